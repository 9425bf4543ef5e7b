"""Mailboxes in header fields: From, Sender, To and their like (RFC 5322 section 3.4, RFC 6532).

Does: read address lists with groups, comments, quoted local parts, source routes, domain literals, addresses outside
ASCII and encoded display names; and what forgers write: several From fields, an address as display name, two
addresses without a comma, control characters. Does not: compare addresses (`smime_engine.addresses`), nor decode
encoded words inside an address: there they are no encoding but characters (the "Mailsploit" forgeries).

Structure is found before anything is decoded, so no encoded comma or bracket can change it. What cannot be read is a
defect and yields no mailbox, or the mailbox that most readers would see together with the defect; a caller who binds
a signature to a sender should take any defect but ADDRESS_IN_DISPLAY_NAME as "not bound".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from smime_engine.mime.charsets import decode_guessing
from smime_engine.mime.defects import Defect
from smime_engine.mime.encoded_words import decode_words
from smime_engine.mime.expressions import repeated
from smime_engine.mime.fields import behind_comment, named_fields, unfold
from smime_engine.mime.parse import Entity

__all__ = ["AddressList", "Mailbox", "addresses_of", "parse_addresses"]

_REMEMBERED_OCTETS = 512
"""Size of a field up to which it is kept: with the number kept this bounds what hostile mail can fill."""

_PIECE = re.compile(
    r"(?P<space>[ \t\r\n]++)"
    r"|\"(?P<quoted>" + repeated(r"[^\"\\]|\\.") + r")(?P<close>\"|\\?\Z)"
    r"|(?P<literal>\[" + repeated(r"[^\[\]\\]|\\.") + r"(?:\]|\\?\Z))"
    r"|(?P<special>[<>@,:;\[\]\\)])"
    r"|(?P<atom>[^ \t\r\n\"()<>@,:;\\\[\]]++)",
    re.DOTALL,
)
_QUOTED_PAIR = re.compile(r"\\(.)", re.DOTALL)
_ATOM = r"[^\s\"()<>@,:;\\\[\].]++"
_DOT_ATOM = re.compile(_ATOM + repeated(r"\." + _ATOM))
_ADDRESS_IN_TEXT = re.compile(r"[^\s@<>\"'(),;:]{1,64}+@[^\s@<>\"'(),;:]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mailbox:
    """One mailbox: who is shown, and where mail goes."""

    display_name: str
    """Decoded text for people; empty where there is none. Anybody can write anything here."""

    address: str
    """`local@domain`, the local part with quotes only where it needs them, without comments and white space."""

    group: str | None = None
    """Display name of the group that the mailbox stands in."""

    @property
    def domain(self) -> str:
        """What stands behind the last `@`."""
        return self.address.rpartition("@")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressList:
    """All mailboxes of all fields of one name."""

    mailboxes: tuple[Mailbox, ...] = ()
    defects: tuple[Defect, ...] = ()
    """Each once; DUPLICATE_FIELD where the field occurs more than once."""

    field_count: int = 0

    @property
    def addresses(self) -> tuple[str, ...]:
        """The addresses alone, in order."""
        return tuple(mailbox.address for mailbox in self.mailboxes)


def addresses_of(entity: Entity, name: str) -> AddressList:
    """The mailboxes of all fields called `name` (any letter case) of an entity. Never fails."""
    raw_fields = named_fields(entity.header, name.lower().encode("ascii"))
    if len(raw_fields) == 1:
        raw = raw_fields[0]
        return _remembered(raw) if len(raw) <= _REMEMBERED_OCTETS else _field(raw)
    defects = [Defect.DUPLICATE_FIELD] if len(raw_fields) > 1 else []
    mailboxes: list[Mailbox] = []
    for raw in raw_fields:
        found = _field(raw)
        mailboxes += found.mailboxes
        defects += found.defects
    return AddressList(mailboxes=tuple(mailboxes), defects=tuple(dict.fromkeys(defects)), field_count=len(raw_fields))


def _field(raw: bytes) -> AddressList:
    return parse_addresses(decode_guessing(unfold(raw.partition(b":")[2])))


@lru_cache(maxsize=1024)
def _remembered(raw: bytes) -> AddressList:
    """The same people write again and again; reading an address takes 20 µs, remembering it less than one."""
    return _field(raw)


def parse_addresses(text: str) -> AddressList:
    """Read an unfolded address list; time is linear in its length. Never fails."""
    reader = _Reader()
    for piece in _pieces(text):
        reader.take(piece)
    reader.end_address()
    if reader.group is not None:
        reader.defects.append(Defect.MALFORMED_ADDRESS)
    if not text.replace("\t", " ").isprintable():
        reader.defects.append(Defect.CONTROL_CHARACTERS)
    return AddressList(mailboxes=tuple(reader.mailboxes), defects=tuple(dict.fromkeys(reader.defects)), field_count=1)


class _Piece(NamedTuple):
    kind: str
    text: str


_SPACE = _Piece("space", " ")
_UNCLOSED = _Piece("unclosed", "")


def _pieces(text: str) -> list[_Piece]:
    pieces = []
    position = 0
    while position < len(text):
        if text[position] == "(":
            position = behind_comment(text, position)
            pieces.append(_SPACE)
            continue
        found = _PIECE.match(text, position)
        assert found is not None  # every character but an opening bracket, taken above, has its alternative
        position = found.end()
        kind = found.lastgroup
        if kind == "space":
            pieces.append(_SPACE)
        elif kind == "close":
            pieces.append(_Piece("quoted", _QUOTED_PAIR.sub(r"\1", found["quoted"])))
            if found["close"] != '"':
                pieces.append(_UNCLOSED)
        else:
            pieces.append(_Piece(kind or "", found[0]))
    return pieces


class _Reader:
    """The state of one pass over an address list."""

    def __init__(self) -> None:
        self.mailboxes: list[Mailbox] = []
        self.defects: list[Defect] = []
        self.group: str | None = None
        self._phrase: list[_Piece] = []
        self._angle: list[_Piece] | None = None
        self._has_address = False

    def take(self, piece: _Piece) -> None:
        special = piece.text if piece.kind == "special" else ""
        if piece is _UNCLOSED:
            self.defects.append(Defect.MALFORMED_ADDRESS)
        elif self._angle is not None:
            if special == ">":
                self._end_angle()
            else:
                self._angle.append(piece)
        elif special == "<":
            self._begin_angle()
        elif special == "," or (special == ";" and self.group is None):
            self.end_address()  # QUIRK: Outlook users separate addresses by semicolons
        elif special == ";":
            self.end_address()
            self.group = None
        elif special == ":":
            self._begin_group()
        else:
            self._phrase.append(piece)

    def _begin_group(self) -> None:
        if self.group is not None or self._has_address or any(piece.text == "@" for piece in self._phrase):
            self.defects.append(Defect.MALFORMED_ADDRESS)
        self.group = _phrase_text(self._phrase)
        self._phrase = []

    def _begin_angle(self) -> None:
        if self._has_address:  # `<a@b> <c@d>`: somebody hopes that two readers choose differently
            self.defects.append(Defect.MALFORMED_ADDRESS)
        self._angle = []

    def _end_angle(self) -> None:
        assert self._angle is not None
        pieces = _without_route(self._angle)
        self._angle = None
        self._has_address = True
        self._add(_phrase_text(self._phrase), pieces)
        self._phrase = []

    def end_address(self) -> None:
        """Take what was collected since the last separator as one address."""
        if self._angle is not None:  # `<a@b` without end
            self.defects.append(Defect.MALFORMED_ADDRESS)
            self._end_angle()
        words = _trimmed(self._phrase)
        self._phrase = []
        had_address, self._has_address = self._has_address, False
        if not words:
            return
        if had_address:  # `<a@b> something`
            self.defects.append(Defect.MALFORMED_ADDRESS)
            if not any(piece.text == "@" for piece in words):
                return
        self._add("", words)

    def _add(self, display_name: str, pieces: list[_Piece]) -> None:
        address = _address(pieces)
        if address is None:
            self.defects.append(Defect.MALFORMED_ADDRESS)
            # QUIRK: `Alice alice@example.org`, brackets forgotten: readers show the last word as address.
            name, last = _last_word(pieces)
            address = _address(last)
            display_name = display_name or _phrase_text(name)
            if address is None or not name:
                return
        shown = _ADDRESS_IN_TEXT.findall(display_name)
        if any(other.lower() != address.lower() for other in shown):
            self.defects.append(Defect.ADDRESS_IN_DISPLAY_NAME)
        self.mailboxes.append(Mailbox(display_name=display_name, address=address, group=self.group))


def _trimmed(pieces: list[_Piece]) -> list[_Piece]:
    first, last = 0, len(pieces)
    while first < last and pieces[first] is _SPACE:
        first += 1
    while last > first and pieces[last - 1] is _SPACE:
        last -= 1
    return pieces[first:last]


def _phrase_text(pieces: list[_Piece]) -> str:
    """A display name: words with single spaces between them, encoded words decoded at the end."""
    words = ["" if piece is _SPACE else piece.text for piece in _trimmed(pieces)]
    text = "".join(word or " " for word in words)
    return " ".join(decode_words(text).split(" ")).strip()


def _without_route(pieces: list[_Piece]) -> list[_Piece]:
    """Without an obsolete source route, `@relay,@relay:` (RFC 5322 section 4.4)."""
    words = _trimmed(pieces)
    if words and words[0].text == "@":
        for index, piece in enumerate(words):
            if piece == ("special", ":"):
                return words[index + 1 :]
    return words


def _last_word(pieces: list[_Piece]) -> tuple[list[_Piece], list[_Piece]]:
    for index in range(len(pieces) - 1, -1, -1):
        if pieces[index] is _SPACE:
            return pieces[:index], pieces[index + 1 :]
    return [], pieces


def _address(pieces: list[_Piece]) -> str | None:
    """`local@domain` of an addr-spec, or None where it is none."""
    at = [index for index, piece in enumerate(pieces) if piece == ("special", "@")]
    if len(at) != 1:
        return None
    local = _local_part(_trimmed(pieces[: at[0]]))
    domain = _domain(_trimmed(pieces[at[0] + 1 :]))
    return f"{local}@{domain}" if local and domain else None


def _local_part(pieces: list[_Piece]) -> str | None:
    if not _words_joined_by_dots(pieces, frozenset({"atom", "quoted"})):
        return None
    content = "".join(piece.text for piece in pieces if piece is not _SPACE)
    if _DOT_ATOM.fullmatch(content):
        return content
    if all(piece.kind != "quoted" for piece in pieces):
        # QUIRK: Japanese carriers gave out `a..b@` and `a.@`; quoted, it is the same mailbox (RFC 5321 section 4.1.2).
        return '"' + content + '"' if content else None
    return '"' + content.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _domain(pieces: list[_Piece]) -> str | None:
    if len(pieces) == 1 and pieces[0].kind == "literal":
        return pieces[0].text if pieces[0].text.endswith("]") else None
    if not _words_joined_by_dots(pieces, frozenset({"atom"})):
        return None
    content = "".join(piece.text for piece in pieces if piece is not _SPACE)
    return content if _DOT_ATOM.fullmatch(content) else None


def _words_joined_by_dots(pieces: list[_Piece], kinds: frozenset[str]) -> bool:
    """Whether only words of these kinds occur, and white space only beside a dot (obsolete syntax, RFC 5322 4.4)."""
    previous = ""
    spaced = False
    for piece in pieces:
        if piece is _SPACE:
            spaced = True
            continue
        if piece.kind not in kinds:
            return False
        if spaced and previous and not previous.endswith(".") and not piece.text.startswith("."):
            return False
        if not spaced and previous and piece.kind == "quoted" and not previous.endswith("."):
            return False
        previous, spaced = piece.text or '"', False
    return True
