"""Files of certificates and revocation lists: PEM blocks, bare base64, or binary, made binary.

Does: find the blocks with the wanted labels and decode them, in linear time. Does not: look into them.

Standards: RFC 7468 (PEM), read leniently: text around blocks, other labels, any line length, CRLF, a byte order mark.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Collection

from smime_engine.errors import MalformedMessage

__all__ = ["binary_blocks"]

_PEM = re.compile(rb"-----BEGIN ([A-Z0-9 #]{1,40})-----([^-]*)-----END \1-----")
_BASE64_TEXT = re.compile(rb"[A-Za-z0-9+/=\s]+")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def binary_blocks(data: bytes, labels: Collection[bytes]) -> list[bytes]:
    """The PEM blocks with one of `labels`, decoded; or all of `data`, decoded where it is nothing but base64.

    Raises MalformedMessage for a wanted block that is not base64; a file with other blocks alone gives [].
    """
    data = data.removeprefix(_BYTE_ORDER_MARK)
    if b"-----BEGIN " in data:
        return [_from_base64(match[2], match.start(2)) for match in _PEM.finditer(data) if match[1] in labels]
    if data[:1] != b"\x30" and _BASE64_TEXT.fullmatch(data):
        return [_from_base64(data, 0)]
    return [data]


def _from_base64(text: bytes, offset: int) -> bytes:
    try:
        return binascii.a2b_base64(b"".join(text.split()), strict_mode=True)
    except binascii.Error as error:
        raise MalformedMessage("base64", offset=offset) from error
