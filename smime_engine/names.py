"""X.500 distinguished names: readable text and comparison.

Does: RFC 4514 strings (escaped, so that no value can pretend to be another part of the name), the comparison form of
RFC 5280 section 7.1 (string types taken as equal, case and white space folded after RFC 4518), the values of one
attribute. Does not: encode names, nor check that a name is unique or registered.

Names come from hostile certificates: octets that their string type does not allow are never guessed at, they are
shown as hex and compared octet by octet.
"""

from __future__ import annotations

import unicodedata
from typing import NamedTuple

from smime_engine.asn1 import ber, oids
from smime_engine.errors import MalformedMessage

__all__ = ["Attribute", "ComparableName", "attributes_of", "comparable_name", "readable_name", "values_of"]

ComparableName = tuple[tuple[tuple[str, str | bytes], ...], ...]
"""A name to compare with `==`, hash, and test for being a prefix (a subtree of RFC 5280 section 4.2.1.10)."""


class Attribute(NamedTuple):
    """One AttributeTypeAndValue: dotted type, the tag of the value, the value's content octets."""

    type: str
    tag: int
    content: bytes

    @property
    def text(self) -> str | None:
        """The value as text, or None where its type is no string type or its octets are not of its type."""
        codec = _CODECS.get(self.tag)
        if codec is None:
            return None
        try:
            return self.content.decode(codec)
        except UnicodeDecodeError:
            return None


# Identifier octet of a string type -> codec. QUIRK: TeletexString is T.61 by the book and Latin-1 in every certificate
# that has one (OpenSSL and Windows wrote and read it so). PrintableString holds '@' and '*' in many real certificates.
_CODECS = {
    0x0C: "utf-8",
    0x12: "ascii",
    0x13: "ascii",
    0x14: "latin-1",
    0x16: "ascii",
    0x1A: "ascii",
    0x1C: "utf-32-be",
    0x1E: "utf-16-be",
}

_SEQUENCE, _SET, _OBJECT_IDENTIFIER = 0x30, 0x31, 0x06

# RFC 4514 section 3, and the names that readers expect for what else stands in certificates.
_SHORT_NAMES = {
    "2.5.4.3": "CN",
    "2.5.4.4": "SN",
    "2.5.4.5": "serialNumber",
    "2.5.4.6": "C",
    "2.5.4.7": "L",
    "2.5.4.8": "ST",
    "2.5.4.9": "STREET",
    "2.5.4.10": "O",
    "2.5.4.11": "OU",
    "2.5.4.12": "title",
    "2.5.4.42": "GN",
    "2.5.4.46": "dnQualifier",
    "2.5.4.65": "pseudonym",
    "2.5.4.97": "organizationIdentifier",
    "0.9.2342.19200300.100.1.1": "UID",
    "0.9.2342.19200300.100.1.25": "DC",
    "1.2.840.113549.1.9.1": "emailAddress",
}


def attributes_of(name: bytes) -> tuple[tuple[Attribute, ...], ...]:
    """Split a DER Name into its relative distinguished names, in the order of the encoding (most general first).

    Raises MalformedMessage for anything that is not a Name; values of any type are accepted.
    """
    start, end = ber.content(name, 0, len(name), _SEQUENCE, expected="a name (SEQUENCE)")
    if end != len(name):
        raise MalformedMessage("the end of the name", offset=end)
    return relative_names_in(name, start, end)


def relative_names_in(data: bytes, start: int, end: int) -> tuple[tuple[Attribute, ...], ...]:
    """The same for the content of a Name that stands at data[start:end]."""
    names = []
    for tag, offset, set_start, set_end in ber.children(data, start, end):
        if tag != _SET:
            raise MalformedMessage("a relative distinguished name (SET)", offset=offset)
        names.append(relative_name_in(data, set_start, set_end))
    return tuple(names)


def relative_name_in(data: bytes, start: int, end: int) -> tuple[Attribute, ...]:
    """The attributes of one RelativeDistinguishedName whose content stands at data[start:end]."""
    attributes = []
    for tag, offset, content_start, content_end in ber.children(data, start, end):
        parts = ber.children(data, content_start, content_end) if tag == _SEQUENCE else []
        if len(parts) != 2 or parts[0][0] != _OBJECT_IDENTIFIER:
            raise MalformedMessage("an attribute type and value", offset=offset)
        (_, _, type_start, type_end), (value_tag, _, value_start, value_end) = parts
        attribute_type = oids.dotted(data[type_start:type_end])
        attributes.append(Attribute(attribute_type, value_tag, data[value_start:value_end]))
    if not attributes:
        raise MalformedMessage("at least one attribute in a relative distinguished name", offset=start)
    return tuple(attributes)


def values_of(name: bytes, attribute_type: str) -> tuple[str, ...]:
    """Texts of all attributes of one dotted type, most general first; values that are no proper text are left out."""
    return tuple(
        text
        for relative_name in attributes_of(name)
        for attribute in relative_name
        if attribute.type == attribute_type and (text := attribute.text) is not None
    )


def readable_name(name: bytes) -> str:
    """A DER Name as RFC 4514 text, the most special part first; "" for the empty name. Raises MalformedMessage."""
    return ",".join(
        "+".join(_readable_attribute(attribute) for attribute in relative_name)
        for relative_name in reversed(attributes_of(name))
    )


def comparable_name(name: bytes) -> ComparableName:
    """A DER Name in the form that RFC 5280 section 7.1 compares. Raises MalformedMessage."""
    return tuple(comparable_relative_name(relative_name) for relative_name in attributes_of(name))


def comparable_relative_name(relative_name: tuple[Attribute, ...]) -> tuple[tuple[str, str | bytes], ...]:
    """One relative distinguished name in comparable form; the order of its attributes does not matter."""
    if len(relative_name) == 1:
        return (_comparable_attribute(relative_name[0]),)
    return tuple(sorted(map(_comparable_attribute, relative_name), key=repr))


def _comparable_attribute(attribute: Attribute) -> tuple[str, str | bytes]:
    text = attribute.text
    if text is None:
        return attribute.type, bytes((attribute.tag & 0xFF,)) + attribute.content
    if not text.isascii():
        # RFC 4518 section 2: map, then NFKC. Soft hyphens and the like are "mapped to nothing".
        text = unicodedata.normalize("NFKC", text).replace("\u00ad", "").replace("\u200b", "").replace("\ufeff", "")
    return attribute.type, " ".join(text.casefold().split())


def _readable_attribute(attribute: Attribute) -> str:
    text = attribute.text
    short = _SHORT_NAMES.get(attribute.type, attribute.type)
    if text is None:
        return f"{attribute.type}=#{ber.encode(attribute.tag, attribute.content).hex()}"
    return f"{short}={_escaped(text)}"


def _escaped(text: str) -> str:
    """RFC 4514 section 2.4; beyond it, everything that does not print (controls, bidirectional marks) becomes hex."""
    if text.isalnum():
        return text
    pieces = [_escaped_character(character) for character in text]
    if text[:1] in {" ", "#"}:
        pieces[0] = "\\" + text[0]
    if len(text) > 1 and text[-1] == " ":
        pieces[-1] = "\\ "
    return "".join(pieces)


def _escaped_character(character: str) -> str:
    if character in '"+,;<>\\':
        return "\\" + character
    if character.isprintable():
        return character
    return "".join(f"\\{octet:02X}" for octet in character.encode("utf-8", "surrogatepass"))
