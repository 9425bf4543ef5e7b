"""Legacy display elements: hidden header fields repeated at the top of the text (RFC 9788 sections 5.2.2 and 4.5.3).

Does: write, for readers that decrypt but know no header protection, the fields that a confidentiality policy hid
into the main body parts (text/plain and text/html), and remove such elements for readers that know better. Does not:
decide when to (`header_protection`), touch attachments, or sanitise HTML.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator, Sequence

from smime_engine.mime import charsets
from smime_engine.mime.canonical import canonical_entity
from smime_engine.mime.canonical_headers import clean_header
from smime_engine.mime.encoded_words import decode_words
from smime_engine.mime.parameters import Parameterised
from smime_engine.mime.parse import Entity

__all__ = ["PARAMETER", "displayed_body", "main_body_parts", "with_legacy_display", "without_legacy_display"]

PARAMETER = "hp-legacy-display"

_CLASS = b"header-protection-legacy-display"
_BODY_TAG = re.compile(rb"<body(?:\s[^<>]*+)?>", re.IGNORECASE)
_ELEMENT_START = re.compile(rb"\s*+<div\s[^<>]*?class\s*=\s*[\"']?" + _CLASS + rb"[\"']?(?:\s[^<>]*+)?>", re.IGNORECASE)
_DIV_TAG = re.compile(rb"<(/?)div\b[^<>]*+>", re.IGNORECASE)
_BLANK_LINE = re.compile(rb"^[ \t]*\r?\n", re.MULTILINE)


def main_body_parts(entity: Entity) -> Iterator[Entity]:
    """The leaves that readers show as the message's text, not as attachments (RFC 9788 section 1.1.1)."""
    content_type = entity.content_type
    if content_type.type == "multipart":
        if content_type.subtype == "alternative":
            for part in entity.parts:
                yield from main_body_parts(part)
        elif entity.parts and content_type.subtype in {"mixed", "related", "signed"}:
            yield from main_body_parts(entity.parts[0])
    elif content_type.value in {"text/plain", "text/html"} and entity.disposition.value in {"", "inline"}:
        yield entity


def with_legacy_display(entity: Entity, fields: Sequence[tuple[str, str]]) -> bytes:
    """The octets of `entity` with `fields` (name, unfolded value) at the top of its main body parts.

    Everything between the changed parts keeps its octets; parts inside `multipart/signed` are not touched.
    """
    lines = [f"{name}: {' '.join(decode_words(value).split())}" for name, value in fields]
    return _with_changed_parts(entity, lambda part: _decorated(part, lines))


def without_legacy_display(entity: Entity) -> bytes:
    """The octets of `entity` without the elements that `with_legacy_display` writes."""
    return _with_changed_parts(entity, _undecorated)


def _with_changed_parts(entity: Entity, change: Callable[[Entity], bytes | memoryview]) -> bytes:
    pieces: list[bytes | memoryview] = []
    position = entity.start
    data = memoryview(entity.data)
    signed = [part for part in entity.walk() if part.content_type.value == "multipart/signed"]
    for part in main_body_parts(entity):
        if any(around.start <= part.start < around.end for around in signed):
            continue
        pieces += (data[position : part.start], change(part))
        position = part.end
    pieces.append(data[position : entity.end])
    return b"".join(pieces)


def _decorated(part: Entity, lines: list[str]) -> bytes | memoryview:
    charset = part.content_type.parameter("charset") or "us-ascii"
    try:
        charsets.encode("", charset)
    except LookupError:
        return part.raw  # nothing can be put before text whose octets are not those of ASCII
    octets = bytes(part.decoded())
    if part.content_type.subtype == "html":
        octets = _with_element(octets, lines)
    else:
        charset, octets = _with_lines(octets, charset, lines)
    return _reencoded(part, (("charset", charset), (PARAMETER, "1")), octets)


def _undecorated(part: Entity) -> bytes | memoryview:
    if part.content_type.parameter(PARAMETER) != "1":
        return part.raw
    charset = part.content_type.parameter("charset")
    return _reencoded(part, () if charset is None else (("charset", charset),), bytes(displayed_body(part)))


def _reencoded(part: Entity, parameters: tuple[tuple[str, str], ...], octets: bytes) -> bytes:
    """The part with another decoded body; `parameters` replace those of its content type that this module knows."""
    kept = tuple(item for item in part.content_type.parameters if item[0] not in {"charset", PARAMETER})
    content_type = Parameterised(value=part.content_type.value, parameters=(*parameters, *kept))
    # Labels that the canonical form replaces by fitting ones; only `binary` keeps line ends that are no CRLF.
    label = "binary" if part.transfer_encoding in {"binary", "base64"} else "8bit"
    encoded = canonical_entity(clean_header(part, encoding=label, content_type=content_type) + b"\r\n" + octets)
    return encoded if part.data[part.end - 1 : part.end] == b"\n" else encoded.removesuffix(b"\r\n")


def _with_lines(octets: bytes, charset: str, lines: list[str]) -> tuple[str, bytes]:
    """(character set, text): the set of the part where it can express the fields, else everything in UTF-8."""
    head = "".join(f"{line}\r\n" for line in (*lines, ""))
    try:
        return charset, charsets.encode(head, charset) + octets
    except UnicodeError:
        return "utf-8", (head + charsets.decode(octets, charset)).encode("utf-8", "replace")


def _with_element(octets: bytes, lines: list[str]) -> bytes:
    text = html.escape("\r\n".join(lines), quote=False).encode("ascii", "xmlcharrefreplace")
    element = b'<div class="%s"><pre>%s</pre></div>' % (_CLASS, text)
    body = _BODY_TAG.search(octets)
    position = body.end() if body else 0
    return octets[:position] + element + octets[position:]


def displayed_body(part: Entity) -> bytes | memoryview:
    """The decoded body of a part without the legacy display element that its content type announces.

    Only for parts of a decrypted payload marked `hp="cipher"`: in other mail the parameter means nothing.
    """
    octets = part.decoded()
    if part.content_type.parameter(PARAMETER) != "1":
        return octets
    if part.content_type.value == "text/plain":
        blank = _BLANK_LINE.search(octets)
        return octets if blank is None else octets[blank.end() :]
    return _without_element(bytes(octets)) if part.content_type.value == "text/html" else octets


def _without_element(octets: bytes) -> bytes:
    body = _BODY_TAG.search(octets)
    start = body.end() if body else 0
    element = _ELEMENT_START.match(octets, start)
    if element is None:
        return octets
    depth = 1
    for tag in _DIV_TAG.finditer(octets, element.end()):
        depth += -1 if tag[1] else 1
        if depth == 0:
            return octets[:start] + octets[tag.end() :]
    return octets
