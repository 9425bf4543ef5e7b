"""Octets of hostile mail to text, by the name of a character set.

Does: decode with the character sets that mail uses, and guess where the name is missing, unknown or wrong: UTF-8
when the octets are UTF-8, else ISO 8859-1, which accepts everything. Does not: open Python's whole codec registry
to the sender: `punycode` and `idna` take quadratic time, `unicode_escape` and UTF-7 smuggle characters past
whoever looked at the octets.
"""

from __future__ import annotations

import re

__all__ = ["decode", "decode_guessing", "encode"]

_MAIL_CHARSETS = re.compile(
    r"us-ascii|ascii|utf-?8|utf-16(?:be|le)?|"
    r"iso-?8859-(?:[1-9]|1[0134-6])|latin-?1|"
    r"(?:windows-|cp)(?:125[0-8]|874|932|949|950|866|437|850|852)|"
    r"koi8-[rut]|macintosh|tis-620|"
    r"iso-2022-(?:jp(?:-[123]|-2004|-ext)?|kr)|euc-(?:jp|kr)|shift[_-]jis|sjis|"
    r"gb2312|gbk|gb18030|hz-gb-2312|big5(?:-hkscs)?|ks_c_5601-1987",
)
"""Names in lower case; RFC 2978 registrations that occur in mail and that Python decodes in linear time."""

_PYTHON_NAMES = {"windows-874": "cp874", "macintosh": "mac-roman", "hz-gb-2312": "hz"}


def decode(octets: bytes, charset: str | None) -> str:
    """The text of `octets` in `charset`; octets that are none in it become U+FFFD. Never fails."""
    name = (charset or "").strip().lower()
    if name in {"", "us-ascii", "ascii", "utf-8", "utf8"} or not _MAIL_CHARSETS.fullmatch(name):
        return decode_guessing(octets)
    try:
        return octets.decode(_PYTHON_NAMES.get(name, name), "replace")
    except (LookupError, ValueError):
        return decode_guessing(octets)


def encode(text: str, charset: str) -> bytes:
    """`text` in a character set that extends ASCII; LookupError or UnicodeError where that is not possible."""
    name = charset.strip().lower()
    if not _MAIL_CHARSETS.fullmatch(name) or name.startswith(("utf-16", "iso-2022", "hz")):
        raise LookupError(charset)
    return text.encode(_PYTHON_NAMES.get(name, name))


def decode_guessing(octets: bytes) -> str:
    """The text of octets whose character set nobody told: UTF-8 (RFC 6532) or, failing that, ISO 8859-1."""
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        return octets.decode("latin-1")
