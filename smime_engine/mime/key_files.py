"""PKCS #12 files that came as attachments of a message, as Outlook for iOS and Android take their keys.

Does: find the parts and hand out their octets. Does not: open them (`keys.load_identities`, with a password that must
have come another way), nor believe that they are keys, nor look into encrypted parts: whoever sends a key in an
encrypted message opens that first.

Standards: RFC 2046 section 4.5.1; `application/x-pkcs12` (Netscape, Microsoft) and RFC 7292's own name.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from smime_engine.limits import DEFAULT_LIMITS, Limits
from smime_engine.mime.encoded_words import decode_words
from smime_engine.mime.fields import named_fields
from smime_engine.mime.parse import Entity, parse_entity

__all__ = ["KeyFile", "key_files_in"]

_TYPES = frozenset({"application/x-pkcs12", "application/pkcs12", "application/x-pkcs-12"})
_UNTOLD_TYPES = frozenset({"application/octet-stream", "application/binary", "application/x-unknown"})
_SUFFIXES = (".p12", ".pfx")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFile:
    """One attachment that says of itself that it is PKCS #12."""

    name: str
    """As the sender calls it; hostile text, never a path to write to."""

    data: bytes


def key_files_in(message: bytes, *, limits: Limits = DEFAULT_LIMITS) -> tuple[KeyFile, ...]:
    """Find the PKCS #12 attachments of a message, in order, in forwarded messages too. Raises LimitExceeded alone."""
    return tuple(_search(parse_entity(message, limits=limits)))


def _search(entity: Entity) -> Iterator[KeyFile]:
    remaining = [entity]
    while remaining:
        part = remaining.pop()
        remaining.extend(reversed(part.parts))
        if part.parts:
            continue
        kind = part.content_type.value
        if kind not in _TYPES and kind not in _UNTOLD_TYPES:
            continue
        name = _name(part)
        if kind in _TYPES or name.lower().endswith(_SUFFIXES):
            yield KeyFile(name=name, data=bytes(part.decoded()))


def _name(part: Entity) -> str:
    name = None
    if named_fields(part.header, b"content-disposition"):
        name = part.disposition.parameter("filename")
    # QUIRK: Outlook writes encoded words here, though RFC 2047 section 5 forbids that inside parameters.
    return decode_words(name or part.content_type.parameter("name") or "").strip()
