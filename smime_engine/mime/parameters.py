"""Parameterised fields: Content-Type, Content-Disposition (RFC 2045 section 5, RFC 2183, RFC 2231).

Does: read a value and its parameters, with continuations, character sets, quoted strings and comments, and what
hostile or careless senders make of them: missing quotes, missing semicolons, duplicate names, an RFC 2231 parameter
beside a plain one. Writes parameters as plain tokens, quoted strings or, for text outside ASCII, after RFC 2231.
Does not: judge types (`classify`) or split bodies (`parse`).

The first of two parameters of one name counts, and the RFC 2231 form counts before the plain one (RFC 6266 section
4.3); both are reported when the values differ.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from smime_engine.errors import LimitExceeded
from smime_engine.limits import DEFAULT_LIMITS, Limits
from smime_engine.mime import charsets
from smime_engine.mime.defects import Defect
from smime_engine.mime.expressions import repeated
from smime_engine.mime.fields import behind_comment, unfold

__all__ = ["ContentType", "Parameterised", "encode_parameter", "parse_content_type", "parse_parameterised"]

_WORD = r"[^\x00-\x20\x7f()<>@,;:\\\"/\[\]?=]"
_PARAMETER = rf";\s*+{_WORD}++=(?:\"[^\"\\]*+\"|{_WORD}++)\s*+"
_SIMPLE = re.compile(
    rf"\s*+({_WORD}++(?:/{_WORD}++)?)\s*+({repeated(_PARAMETER)});?\s*+\Z",
)
_SIMPLE_PARAMETER = re.compile(rf";\s*+({_WORD}++)=(?:\"([^\"]*+)\"|({_WORD}++))")
"""The form that nearly all mail has; `_tokens` reads everything."""

_REMEMBERED_LENGTH = 250
_PLAIN_BOUNDARY = re.compile(rb"[Bb]oundary=\"([0-9A-Za-z'()+_,./:=? -]++)\"")

_PIECE = re.compile(
    r"(?P<space>[ \t\r\n]++)"
    r"|\"(?P<quoted>" + repeated(r"[^\"\\]|\\.") + r")(?:\"|\Z)"
    r"|(?P<separator>[;=])"
    r"|(?P<text>[^ \t\r\n\"();=]++)"
    r"|(?P<other>.)",
    re.DOTALL,
)
_QUOTED_PAIR = re.compile(r"\\(.)", re.DOTALL)
_PERCENT = re.compile(rb"%([0-9A-Fa-f]{2})")
_ATTRIBUTE_CHARACTERS = frozenset(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!#$&+-.^_`{|}~",
)
_SECTION = re.compile(r"([^*]+)(?:\*(\d{1,4}))?(\*)?")
_WORD_ONLY = re.compile(rf"{_WORD}+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameterised:
    """A value such as `attachment` and its parameters; names in lower case, values decoded."""

    value: str
    """What stands before the first semicolon, without comments and in lower case."""

    parameters: tuple[tuple[str, str], ...] = ()
    defects: tuple[Defect, ...] = ()

    def parameter(self, name: str) -> str | None:
        """The value of the parameter called `name` (lower case), or None."""
        for key, value in self.parameters:
            if key == name:
                return value
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentType(Parameterised):
    """A media type; `type` and `subtype` in lower case, both as the standard's default where the field is unusable."""

    @property
    def type(self) -> str:
        """The part before the slash."""
        return self.value.partition("/")[0]

    @property
    def subtype(self) -> str:
        """The part after the slash."""
        return self.value.partition("/")[2]


def parse_content_type(raw: bytes, *, default: str = "text/plain", limits: Limits = DEFAULT_LIMITS) -> ContentType:
    """Read what follows the colon of a Content-Type field; `default` where it is unusable (RFC 2045 section 5.2)."""
    if len(raw) > _REMEMBERED_LENGTH or limits.mime_parameters < _REMEMBERED_LENGTH // 4:
        return _content_type(raw, default, limits)
    if b'oundary="' not in raw:
        return _remembered_content_type(raw, default)
    boundary = _PLAIN_BOUNDARY.search(raw)
    if boundary is None or raw.lower().count(b"boundary") != 1:
        return _remembered_content_type(raw, default)
    # Only the boundary is new in every message: what is between quotes can be put in again as it was cut out.
    template = _remembered_content_type(raw[: boundary.start(1)] + raw[boundary.end(1) :], default)
    if ("boundary", "") not in template.parameters or template.defects:
        return _content_type(raw, default, limits)
    value = boundary[1].decode("ascii")
    parameters = tuple([item if item[0] != "boundary" else ("boundary", value) for item in template.parameters])
    return ContentType(value=template.value, parameters=parameters)


@lru_cache(maxsize=256)
def _remembered_content_type(raw: bytes, default: str) -> ContentType:
    """The same few types come in all messages; short fields are below every limit."""
    return _content_type(raw, default, DEFAULT_LIMITS)


def _content_type(raw: bytes, default: str, limits: Limits) -> ContentType:
    value, parameters, defects = _parse(raw, limits)
    if value.count("/") != 1 or value.startswith("/") or value.endswith("/"):
        return ContentType(value=default, parameters=parameters, defects=(Defect.MALFORMED_CONTENT_TYPE, *defects))
    return ContentType(value=value, parameters=parameters, defects=defects)


def parse_parameterised(raw: bytes, *, limits: Limits = DEFAULT_LIMITS) -> Parameterised:
    """Read what follows the colon of a field such as Content-Disposition."""
    value, parameters, defects = _parse(raw, limits)
    return Parameterised(value=value, parameters=parameters, defects=defects)


_Parsed = tuple[str, tuple[tuple[str, str], ...], tuple[Defect, ...]]


def _parse(raw: bytes, limits: Limits) -> _Parsed:
    raw = unfold(raw)
    if b"\0" in raw or b"\r" in raw:  # no reader sees them, so they must not hide a type from us
        raw = raw.replace(b"\0", b"").replace(b"\r", b" ")
    # Octets outside ASCII travel as lone surrogates, so that nothing is lost before a character set is known.
    text = raw.decode("ascii", "surrogateescape")
    simple = _SIMPLE.match(text)
    if simple is None or not text.isascii() or "*" in text:
        return _parse_any(text, limits)
    if not simple[2]:
        return simple[1].lower(), (), ()
    found = _SIMPLE_PARAMETER.findall(simple[2])
    if len(found) > limits.mime_parameters:
        raise LimitExceeded("mime_parameters", limits.mime_parameters)
    parameters: dict[str, str] = {}
    for name, quoted, token in found:
        parameters.setdefault(name.lower(), quoted or token)
    if len(parameters) != len(found):
        return _parse_any(text, limits)
    return simple[1].lower(), tuple(parameters.items()), ()


def _parse_any(text: str, limits: Limits) -> _Parsed:
    """The slow way, which reads everything."""
    segments, defects = _segments(text, limits)
    value = segments[0][0].lower()
    if segments[0][1] is not None:  # the value itself is missing: `Content-Type: ; name=x` or `name=x`
        segments.insert(0, ("", None))
        value = ""
        defects.append(Defect.MALFORMED_PARAMETERS)
    plain: dict[str, str] = {}
    extended: dict[str, dict[int, tuple[bool, str]]] = {}
    for name, content in segments[1:]:
        if content is None:
            if name:
                defects.append(Defect.MALFORMED_PARAMETERS)
            continue
        section = _SECTION.fullmatch(name.lower())
        if section is None or (section[2] is None and section[3] is None):
            if plain.setdefault(name.lower(), content) != content:
                defects.append(Defect.DUPLICATE_PARAMETER)
            continue
        sections = extended.setdefault(section[1], {})
        if sections.setdefault(int(section[2] or 0), (section[3] is not None, content))[1] != content:
            defects.append(Defect.DUPLICATE_PARAMETER)
    return value, _joined(plain, extended, defects), tuple(dict.fromkeys(defects))


def _joined(
    plain: dict[str, str], extended: dict[str, dict[int, tuple[bool, str]]], defects: list[Defect]
) -> tuple[tuple[str, str], ...]:
    parameters = {}
    for name, sections in extended.items():
        if 0 not in sections:
            defects.append(Defect.MALFORMED_PARAMETERS)
            continue
        parameters[name] = _extended_value(sections)
        if name in plain and plain[name] != parameters[name]:
            defects.append(Defect.DUPLICATE_PARAMETER)
    for name, content in plain.items():
        parameters.setdefault(name, _text(content))
    return tuple(parameters.items())


def _segments(text: str, limits: Limits) -> tuple[list[tuple[str, str | None]], list[Defect]]:
    """(name, content) of everything between semicolons; content is None where there is no equals sign.

    QUIRK: many senders forget the quotes around a value with spaces (`name=my file.txt`) or with an equals sign in
    it (`boundary=a=b`), and some the semicolon before the next parameter on a line of its own.
    """
    scan = _Scan(limits)
    position = 0
    while position < len(text):
        if text[position] == "(":
            position = behind_comment(text, position)
            continue
        found = _PIECE.match(text, position)
        assert found is not None  # the last alternative matches any character
        position = found.end()
        scan.take(found)
    scan.finish()
    return scan.segments, scan.defects


class _Scan:
    """The state of one pass over a value: the segment under way and those that are complete."""

    def __init__(self, limits: Limits) -> None:
        self.segments: list[tuple[str, str | None]] = []
        self.defects: list[Defect] = []
        self._limits = limits
        self._name: list[str] = []
        self._content: list[str] | None = None
        self._quoted = False

    def take(self, found: re.Match[str]) -> None:
        """Take in the next piece."""
        target = self._name if self._content is None else self._content
        if found.lastgroup == "separator":
            if found[0] == ";":
                self.finish()
            else:
                self._equals()
        elif found.lastgroup == "space":
            if target and target[-1] != " ":
                target.append(" ")
        elif found.lastgroup == "quoted":
            self._quoted = True
            inside = found["quoted"]
            target.append(_QUOTED_PAIR.sub(r"\1", inside) if "\\" in inside else inside)
            if found.end() == found.end("quoted"):
                self.defects.append(Defect.MALFORMED_PARAMETERS)
        else:
            target.append(found[0])

    def _equals(self) -> None:
        if self._content is None:
            name = _stripped(self._name)
            if " " in name and not self.segments:  # `text/plain charset=utf-8`
                last = len(name) - name[::-1].index(" ")
                self._end_without_semicolon(name[: last - 1], None, name[last:])
            self._content = []
        elif self._quoted and self._content[-2:-1] == [" "]:  # `name="a" charset=utf-8`
            self._end_without_semicolon(self._name, self._content[:-2], self._content[-1:])
            self._content = []
        else:
            self._content.append("=")

    def _end_without_semicolon(self, name: list[str], content: list[str] | None, following: list[str]) -> None:
        self._name, self._content = name, content
        self.finish()
        self._name = following
        self.defects.append(Defect.MALFORMED_PARAMETERS)

    def finish(self) -> None:
        """End the segment under way."""
        content = None if self._content is None else "".join(_stripped(self._content))
        self.segments.append(("".join(_stripped(self._name)), content))
        if len(self.segments) > self._limits.mime_parameters:
            raise LimitExceeded("mime_parameters", self._limits.mime_parameters)
        self._name, self._content, self._quoted = [], None, False


def _stripped(pieces: list[str]) -> list[str]:
    while pieces and pieces[-1] == " ":
        pieces.pop()
    return pieces


def _extended_value(sections: dict[int, tuple[bool, str]]) -> str:
    """The value of RFC 2231 sections 0, 1, 2 … up to the first that is missing."""
    first_encoded, first = sections[0]
    charset = None
    if first_encoded:
        charset, quote_mark, rest = first.partition("'")
        _language, second_mark, encoded = rest.partition("'")
        if quote_mark and second_mark:
            first = encoded
        else:
            charset = None
    octets = []
    number = 0
    while number in sections:
        encoded_section, content = (first_encoded, first) if number == 0 else sections[number]
        octets.append(_without_percent(_octets(content)) if encoded_section else _octets(content))
        number += 1
    return charsets.decode(b"".join(octets), charset)


def _without_percent(encoded: bytes) -> bytes:
    return _PERCENT.sub(lambda found: bytes.fromhex(found[1].decode("ascii")), encoded)


def _octets(text: str) -> bytes:
    return text.encode("ascii", "surrogateescape")


def _text(content: str) -> str:
    return content if content.isascii() else charsets.decode_guessing(_octets(content))


def encode_parameter(name: str, value: str) -> list[str]:
    """The pieces `name=value` that express one parameter, each short enough for a line of 76 characters."""
    if value.isascii() and value.isprintable() and len(name) + len(value) < 70:
        if _WORD_ONLY.fullmatch(value):
            return [f"{name}={value}"]
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return [f'{name}="{escaped}"'] if len(name) + len(escaped) < 70 else _encode_extended(name, value)
    return _encode_extended(name, value)


def _encode_extended(name: str, value: str) -> list[str]:
    octets = value.encode("utf-8", "surrogateescape")
    encoded = "utf-8''" + "".join(chr(octet) if octet in _ATTRIBUTE_CHARACTERS else f"%{octet:02X}" for octet in octets)
    room = max(20, 68 - len(name))
    if len(encoded) <= room:
        return [f"{name}*={encoded}"]
    return [f"{name}*{number}*={piece}" for number, piece in enumerate(_cut(encoded, room))]


def _cut(encoded: str, room: int) -> Iterable[str]:
    """Pieces of at most `room` characters that do not cut a percent sign from its digits."""
    while len(encoded) > room:
        cut = room
        while "%" in encoded[cut - 2 : cut] and cut > 2:
            cut -= 1
        yield encoded[:cut]
        encoded = encoded[cut:]
    yield encoded
