"""Header fields of an entity in the form to sign: ASCII, CRLF, lines of at most 76 characters where they can be folded.

Does: replace Content-Transfer-Encoding, media type and boundary where the body was re-encoded; put 8-bit text of
fields into encoded words (RFC 2047) or RFC 2231 parameters; fold long lines at white space that is already there.
Fields that are clean keep their octets. Does not: fold where there is no white space; a word longer than a line
stays, up to the 998 octets that SMTP allows.
"""

from __future__ import annotations

import re

from smime_engine.mime.addresses import Mailbox, addresses_of, parse_addresses
from smime_engine.mime.defects import Defect
from smime_engine.mime.encoded_words import decode_words, encode_words
from smime_engine.mime.expressions import repeated
from smime_engine.mime.fields import HeaderField, named_fields
from smime_engine.mime.parameters import Parameterised, encode_parameter, parse_parameterised
from smime_engine.mime.parse import Entity

__all__ = ["clean_header", "expressible_in_ascii", "mailbox_text", "parameter_field"]

_CLEAN_LINE = rb"[^\x00\r\n\x80-\xff]{1,76}+(?<![ \t])\r\n"
_CLEAN_FIELD = re.compile(rb"(?!From )" + _CLEAN_LINE + repeated(_CLEAN_LINE) + rb"\Z")
_ADDRESS_FIELDS = frozenset(
    {
        "from",
        "sender",
        "reply-to",
        "to",
        "cc",
        "bcc",
        "resent-from",
        "resent-sender",
        "resent-to",
        "resent-cc",
        "resent-bcc",
        "disposition-notification-to",
    }
)
_PARAMETER_FIELDS = frozenset({"content-type", "content-disposition"})
_ENCODING = b"content-transfer-encoding"
_PLAIN_PHRASE = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]+")
_SPACES = re.compile(rb"[ \t]+")
_LONGEST_LINE = 76


def clean_header(
    entity: Entity,
    *,
    encoding: str | None = None,
    content_type: Parameterised | None = None,
    boundary: str | None = None,
) -> bytes:
    """The entity's header fields, clean, with CRLF line ends; None leaves a value as it is.

    `encoding` sets Content-Transfer-Encoding, `content_type` replaces the media type with its parameters, `boundary`
    that parameter alone. A replaced field keeps its place; a missing one comes last.
    """
    pending: dict[str, list[str] | None] = {}
    if content_type is not None:
        pending["content-type"] = _parameter_lines("Content-Type", content_type)
    elif boundary is not None:
        kept = tuple(item for item in entity.content_type.parameters if item[0] != "boundary")
        value = Parameterised(value=entity.content_type.value, parameters=(("boundary", boundary), *kept))
        pending["content-type"] = _parameter_lines("Content-Type", value)
    if encoding is None and not all(_CLEAN_FIELD.match(raw) for raw in named_fields(entity.header, _ENCODING)):
        encoding = entity.transfer_encoding or "7bit"  # cleaning must not give a label another meaning
    if encoding is not None:
        pending["content-transfer-encoding"] = [f"Content-Transfer-Encoding: {encoding}"]
    lines: list[bytes] = []
    for field in entity.fields:
        name = field.name.lower()
        if name not in pending:
            lines.append(_clean_field(field))
            continue
        lines.append(_joined(pending[name] or []))
        pending[name] = None  # the first one counts; a second would contradict the new one
    lines += [_joined(field_lines) for field_lines in pending.values() if field_lines]
    return b"".join(lines)


def expressible_in_ascii(message: Entity) -> bool:
    """Whether every address in the header of `message` itself can be written in ASCII."""
    if message.header.isascii():
        return True
    return all(address.isascii() for name in _ADDRESS_FIELDS for address in addresses_of(message, name).addresses)


def _joined(lines: list[str]) -> bytes:
    return b"".join(_folded(_ascii(line)) for line in lines)


def _ascii(line: str) -> bytes:
    """What cannot stand in a field any other way becomes a question mark, or nothing."""
    return line.encode("ascii", "replace").replace(b"\0", b"").replace(b"\r", b" ")


def _clean_field(field: HeaderField) -> bytes:
    if _CLEAN_FIELD.match(field.raw):
        return field.raw
    if field.raw.isascii():
        return _clean_ascii(field)
    name = field.name.lower()
    if name in _PARAMETER_FIELDS:
        return _joined(_parameter_lines(field.name, parse_parameterised(field.raw.partition(b":")[2])))
    if name in _ADDRESS_FIELDS:
        found = parse_addresses(field.value)
        if not set(found.defects) - {Defect.ADDRESS_IN_DISPLAY_NAME}:
            return _joined(_mailbox_lines(field.name, found.mailboxes))
    return _folded(_ascii(f"{field.name}: {_with_encoded_words(field.value)}"))


def _clean_ascii(field: HeaderField) -> bytes:
    """The field with the same words: without NUL, stray CR, white space at line ends and overlong lines."""
    name, _, value = field.raw.partition(b":")
    lines = value.replace(b"\0", b"").split(b"\n")
    kept = [line.rstrip(b" \t\r").replace(b"\r", b" ") for line in lines]
    first = name.rstrip(b" \t") + b":" + kept[0]
    return b"".join(_folded(line) for line in (first, *kept[1:]) if line)


def _folded(line: bytes) -> bytes:
    """One line of a field, folded at white space that it has; with CRLF."""
    line = line.rstrip(b" \t")
    pieces = []
    start = cut = 0
    for space in _SPACES.finditer(line, 1):
        if space.start() - start > _LONGEST_LINE and cut > start:
            pieces.append(line[start:cut])
            start = cut
        if line[start : space.start()].strip(b" \t"):
            cut = space.start()
    if len(line) - start > _LONGEST_LINE and cut > start:
        pieces.append(line[start:cut])
        start = cut
    pieces.append(line[start:])
    return b"\r\n".join(pieces) + b"\r\n"


def parameter_field(name: str, content: Parameterised) -> bytes:
    """A field with parameters, ready to be sent."""
    return _joined(_parameter_lines(name, content))


def _parameter_lines(name: str, content: Parameterised) -> list[str]:
    """The lines of a field with parameters, one per line."""
    pieces = [piece for key, value in content.parameters for piece in encode_parameter(key, value)]
    lines = [f"{name}: {content.value}", *(f"\t{piece}" for piece in pieces)]
    return [f"{line};" for line in lines[:-1]] + lines[-1:]


def _mailbox_lines(name: str, mailboxes: tuple[Mailbox, ...]) -> list[str]:
    """The lines of an address field, one mailbox per line; groups are written as groups."""
    texts = []
    for index, mailbox in enumerate(mailboxes):
        text = mailbox_text(mailbox)
        if mailbox.group is not None:
            if index == 0 or mailboxes[index - 1].group != mailbox.group:
                text = f"{_phrase(mailbox.group)}: {text}"
            if index == len(mailboxes) - 1 or mailboxes[index + 1].group != mailbox.group:
                text += ";"
        texts.append(text)
    lines = [f"{name}: {texts[0]}" if texts else f"{name}:", *(f" {text}" for text in texts[1:])]
    return [f"{line}," for line in lines[:-1]] + lines[-1:]


def mailbox_text(mailbox: Mailbox) -> str:
    """A mailbox as it stands in a field, its display name in encoded words where it needs them."""
    return f"{_phrase(mailbox.display_name)} <{mailbox.address}>" if mailbox.display_name else mailbox.address


def _phrase(text: str) -> str:
    if not text.isascii():
        return " ".join(encode_words(text))
    if _PLAIN_PHRASE.fullmatch(text) and "=?" not in text:
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _with_encoded_words(text: str) -> str:
    """Unstructured text with encoded words in place of all words outside ASCII and of encoded words beside them."""
    words: list[str] = []
    run: list[str] = []
    for word in [*text.split(" "), ""]:
        if word.startswith("=?") or not word.isascii():
            run.append(word)
            continue
        words += _encoded_run(run)
        run = []
        words.append(word)
    return " ".join(words[:-1])


def _encoded_run(run: list[str]) -> list[str]:
    text = " ".join(run)
    return run if text.isascii() else encode_words(decode_words(text))
