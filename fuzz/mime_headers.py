"""Header fields, parameters, addresses, encoded words: always a result; look-up and splitting agree."""

from __future__ import annotations

import contextlib

from smime_engine.errors import MalformedMessage
from smime_engine.mime.addresses import parse_addresses
from smime_engine.mime.encoded_words import decode_words
from smime_engine.mime.fields import header_end, named_fields, split_fields
from smime_engine.mime.parameters import encode_parameter, parse_content_type, parse_parameterised


def fuzz(data: bytes) -> None:
    try:
        header = data[: header_end(data, 0, len(data))]
    except MalformedMessage:
        return
    fields = split_fields(header)
    if b"".join(field.raw for field in fields) != header:
        raise AssertionError("splitting loses octets")
    for name in {field.name.lower() for field in fields[:20]}:
        if named_fields(header, name.encode()) != [field.raw for field in fields if field.name.lower() == name]:
            raise AssertionError("look-up and splitting differ")
    for field in fields:
        decode_words(field.value)
        parse_addresses(field.value)
        with contextlib.suppress(MalformedMessage):
            _parameters(field.raw.partition(b":")[2])


def _parameters(raw: bytes) -> None:
    if parse_content_type(raw).value.count("/") != 1:
        raise AssertionError("no media type")
    for name, value in parse_parameterised(raw).parameters:
        if name.isascii() and name.isalnum() and all(not piece.isascii() for piece in encode_parameter(name, value)):
            raise AssertionError("written parameters are ASCII")


def seeds() -> list[bytes]:
    return [
        b'From: "Doe, A" <a@b.example>, =?utf-8?q?J=C3=BC?= (c) <j@[192.0.2.1]>\r\nTo: G: a@b, "x y"@c;\r\n\r\n',
        b'Content-Type: multipart/signed; boundary="=_a"; protocol="application/pkcs7";\r\n micalg=sha-256\r\n',
        b"Content-Disposition: attachment; filename*0*=utf-8''%C3%9C; filename*1=b; filename*2*=%20c\r\nX: y\n z\n\n",
        b"Subject: =?iso-8859-1?Q?a=FC?= =?utf-8?b?w7w=?=\n\t=?x?q?y?=\nX :\xff\0\n",
    ]
