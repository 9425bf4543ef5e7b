"""Change the header of a message without touching anything else: remove fields, put fields on top, take words out of
the Subject.

Does: return a message that differs in exactly these fields; all others keep their octets, order and folding. Does not:
look inside the body, or decide what is to be changed.

Standards: RFC 5322 sections 2.2 and 3.6.5, RFC 2047 (a Subject that is not ASCII is encoded anew), RFC 6532.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence

from smime_engine.limits import DEFAULT_LIMITS, Limits
from smime_engine.mime.encoded_words import decode_words, encode_words
from smime_engine.mime.fields import HeaderField, header_end, split_fields

__all__ = [
    "subject_has",
    "with_fields_on_top",
    "with_subject_prefix",
    "without_fields",
    "without_fields_where",
    "without_subject_tags",
]

_LINE = 76


def without_fields(message: bytes, names: Collection[str], *, limits: Limits = DEFAULT_LIMITS) -> bytes:
    """The message without all header fields of these names (any letter case); the same object if it has none."""
    unwanted = {name.lower() for name in names}
    return without_fields_where(message, lambda field: field.name.lower() in unwanted, limits=limits)


def without_fields_where(
    message: bytes, unwanted: Callable[[HeaderField], bool], *, limits: Limits = DEFAULT_LIMITS
) -> bytes:
    """The message without the header fields for which `unwanted` says so; the same object if there is none."""
    return _edited(message, lambda field: b"" if unwanted(field) else field.raw, limits)


def with_fields_on_top(message: bytes, fields: Sequence[bytes]) -> bytes:
    """The message with further fields (whole, with CRLF) above all others."""
    return b"".join((*fields, message))


def with_subject_prefix(message: bytes, prefix: str, *, limits: Limits = DEFAULT_LIMITS) -> bytes:
    """The message with words (ASCII) before its Subject, whose own octets stay; a new Subject where it has none."""
    stop = header_end(message, 0, len(message), limits)
    first = next((field for field in split_fields(message[:stop]) if field.name.lower() == "subject"), None)
    added = f"Subject: {prefix}".encode("ascii")
    if first is None:
        return added + b"\r\n" + message
    rest = first.raw.partition(b":")[2]
    # Folded behind the prefix, so that no line grows.
    new = added + b"\r\n " + rest.lstrip(b" \t") if rest.strip() else added + rest
    return message[:stop].replace(first.raw, new, 1) + message[stop:]


def subject_has(subject: str, tag: str) -> bool:
    """Whether a decoded Subject contains a tag such as `[encrypt]`, in any letter case."""
    return _pattern((tag,)).search(subject) is not None


def without_subject_tags(message: bytes, tags: Collection[str], *, limits: Limits = DEFAULT_LIMITS) -> bytes:
    """The message with each tag removed from the Subject, wherever it stands there; the same object if it has none."""
    if not tags:
        return message
    pattern = _pattern(tags)

    def without_tags(field: HeaderField) -> bytes:
        if field.name.lower() != "subject":
            return field.raw
        subject = decode_words(field.value)
        edited = pattern.sub(" ", subject)
        # Taking a word out leaves two spaces; all runs of white space become one, which is what folding means anyhow.
        return field.raw if edited == subject else _subject(" ".join(edited.split()))

    return _edited(message, without_tags, limits)


def _edited(message: bytes, edit: Callable[[HeaderField], bytes], limits: Limits) -> bytes:
    stop = header_end(message, 0, len(message), limits)
    fields = split_fields(message[:stop])
    edited = [edit(field) for field in fields]
    if all(new is field.raw for new, field in zip(edited, fields, strict=True)):
        return message
    return b"".join((*edited, message[stop:]))


def _pattern(tags: Collection[str]) -> re.Pattern[str]:
    return re.compile("|".join(map(re.escape, tags)), re.IGNORECASE)


def _subject(text: str) -> bytes:
    words = text.split() if text.isascii() else encode_words(text)
    lines = ["Subject:"]
    for word in words:
        if len(lines[-1]) + 1 + len(word) > _LINE:
            lines.append(f" {word}")
        else:
            lines[-1] += f" {word}"
    return ("\r\n".join(lines) + "\r\n").encode("ascii")
