"""Messages: spans inside the input, every part classified, canonical form stable and with the same parts."""

from __future__ import annotations

from smime_engine.errors import MalformedMessage
from smime_engine.mime.build import split_message
from smime_engine.mime.canonical import canonical_entity, is_clean
from smime_engine.mime.classify import ClearSigned, classify
from smime_engine.mime.parse import parse_entity


def fuzz(data: bytes) -> None:
    try:
        entity = parse_entity(data)
        split = split_message(data)
    except MalformedMessage:
        return
    for part in entity.walk():
        if not 0 <= part.start <= part.header_end <= part.body_start <= part.end <= len(data):
            raise AssertionError("a span leaves the input")
        part.decoded()
    form = classify(entity)
    if isinstance(form, ClearSigned):
        list(form.candidates())
    try:
        canonical = canonical_entity(data)
        content = b"".join(split.canonical())
    except MalformedMessage:
        return
    if canonical_entity(canonical) != canonical:
        raise AssertionError("the canonical form is not stable")
    if is_clean(data) and canonical is not data:
        raise AssertionError("a clean entity was changed")
    if content != canonical_entity(split.inner):
        raise AssertionError("the pieces are not the canonical entity")


def seeds() -> list[bytes]:
    text = b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    text += b"Gr\xc3\xbc\xc3\x9fe \r\nFrom me\r\n"
    signature = (
        b"Content-Type: application/pkcs7-signature; name=smime.p7s\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        b"MBUGCSqGSIb3DQEHAqAIMAYCAQExADAA\r\n"
    )
    signed = (
        b'From: a@b\r\nContent-Type: multipart/signed; protocol="application/pkcs7-signature"; boundary=b\r\n\r\n'
        b"pre\r\n--b\r\n" + text + b"\r\n--b\r\n" + signature + b"\r\n--b--\r\nepilogue\r\n"
    )
    mixed = b"Content-Type: multipart/mixed; boundary=bb\n\n--bb \n" + signed + b"\n--bb\n\n" + b"x" * 99 + b"\n--bb--"
    forwarded = b"Subject: x\nContent-Type: message/rfc822\n\nFrom: J\xfc <a@b>\n" + mixed
    opaque = b"Content-Type: application/octet-stream; name=smime.p7m\r\n" + signature.partition(b"\r\n")[2]
    return [text, signed, mixed, forwarded, opaque]
