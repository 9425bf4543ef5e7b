"""Any asn1crypto value as a tree, by its ASN.1 type; `views` overrides it for the structures that people know.

Names are those of the RFC: asn1crypto's `signer_infos` is shown as `signerInfos`, identifiers by the names of
`asn1.oids`. A value that cannot be read becomes `Malformed`, and its siblings are still shown.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Any

from asn1crypto import core

from smime_engine.asn1 import ber, oids
from smime_engine.cli.inspection.tree import Leaf, Malformed, Octets, Titled, Tree
from smime_engine.errors import LimitExceeded, MalformedMessage
from smime_engine.limits import DEFAULT_LIMITS

__all__ = ["Inside", "View", "any_der", "elements_tree", "fields_tree", "guarded", "oid_leaf", "rfc_name", "tree_of"]

View = Callable[[Any, "Inside"], Tree]


@dataclass(frozen=True, slots=True)
class Inside:
    """Where a value stands, and how values are shown there."""

    views: Mapping[type, View]
    """Class of asn1crypto -> how its values are shown; all others by their ASN.1 type."""

    open_data: Callable[[bytes, Inside], Tree | None]
    """Shows content of type id-data (a MIME entity, usually); None if it is nothing but octets."""

    room: int = 4 * DEFAULT_LIMITS.layers
    """How much nesting is still allowed: trees are built by recursion, which must end before Python's stack does."""

    def deeper(self, cost: int) -> Inside:
        """Inside one more MIME part (cost 1) or CMS message (cost 4). Raises LimitExceeded."""
        if self.room < cost:
            raise LimitExceeded("layers", DEFAULT_LIMITS.layers)
        return replace(self, room=self.room - cost)


_SHOWN_ELEMENTS = 500
"""Elements shown of one SET OF or SEQUENCE OF; a hostile message has two million."""

_GENERIC_DEPTH = 12
_LONGEST_NUMBER = 64  # bits; longer ones (serial numbers, moduli) are shown in hexadecimal

# Where asn1crypto's name with its underscores removed is not the RFC's.
_RFC_NAMES = {
    "ip_address": "iPAddress",
    "dns_name": "dNSName",
    "issuer_unique_id": "issuerUniqueID",
    "subject_unique_id": "subjectUniqueID",
}


def guarded(build: Callable[[], Tree]) -> Tree:
    """Build a tree; what asn1crypto raises about hostile octets becomes `Malformed`."""
    try:
        return build()
    except MalformedMessage as error:
        return Malformed(str(error))
    except Exception as error:  # noqa: BLE001 - a third party's parser: whatever it raises, the octets are to blame
        reason = str(error).split("\n", 1)[0].strip()
        return Malformed(reason or type(error).__name__)


def tree_of(value: Any, inside: Inside) -> Tree:
    """The tree of a decoded value."""
    for kind in type(value).__mro__:
        if kind in inside.views:
            return inside.views[kind](value, inside)
    match value:
        case core.Choice():
            return tree_of(value.chosen, inside)
        case core.Any():
            return any_der(value.dump())
        case core.Sequence():
            return fields_tree(value, inside)
        case core.SequenceOf():
            return elements_tree(value, lambda element: tree_of(element, inside))
        case _:
            return _primitive(value)


def fields_tree(value: Any, inside: Inside) -> dict[str, Tree]:
    """Fields of a SEQUENCE or SET, without those that are absent."""
    return dict(_fields(value, inside))


def _fields(value: Any, inside: Inside) -> Iterator[tuple[str, Tree]]:
    for name, *_ in value._fields:
        tree = guarded(partial(_field, value, name, inside))
        if tree is not _ABSENT:
            yield rfc_name(name), tree


_ABSENT = Leaf(None, "absent")


def _field(value: Any, name: str, inside: Inside) -> Tree:
    field = value[name]
    return _ABSENT if isinstance(field, core.Void) else tree_of(field, inside)


def elements_tree(values: Collection[Any], build: Callable[[Any], Tree]) -> list[Tree]:
    """Elements one by one; where there are very many, the first, and a line that says how many more."""
    shown = [guarded(partial(build, value)) for value in islice(values, _SHOWN_ELEMENTS)]
    if len(values) > _SHOWN_ELEMENTS:
        more = len(values) - _SHOWN_ELEMENTS
        shown.append(Titled(f"… and {more:,} more", {"more": Leaf(more)}))
    return shown


def rfc_name(name: str) -> str:
    """`signer_infos` -> `signerInfos`."""
    if name in _RFC_NAMES:
        return _RFC_NAMES[name]
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def oid_leaf(dotted: str) -> Leaf:
    """An object identifier by name, with its dotted form as the note."""
    name = oids.name_of(dotted)
    return Leaf(name, "" if name == dotted else dotted)


def _primitive(value: Any) -> Tree:
    match value:
        case core.ObjectIdentifier():
            return oid_leaf(oids.decode_oid(value.contents))
        case core.Enumerated() | core.Boolean():
            return Leaf(value.native)
        case core.Integer():
            return _integer(value)
        case core.Null():
            return Leaf(None)
        case core.AbstractTime():
            return Leaf(value.native.isoformat())
        case core.AbstractString():
            return Leaf(value.native)
        case core.BitString() if value._map:  # noqa: SLF001 - the names of the bits
            return _named_bits(value)
        case core.BitString() | core.OctetBitString() | core.ParsableOctetBitString() | core.IntegerBitString():
            return Octets.of(value.contents[1:])
        case _:
            return Octets.of(value.contents or b"")


def _integer(value: Any) -> Leaf:
    if value._map:  # noqa: SLF001 - the names of the values
        return Leaf(value.native)
    if len(value.contents) * 8 <= _LONGEST_NUMBER:
        return Leaf(int(value))
    return Leaf("0x" + value.contents.hex()[: 4 * _LONGEST_NUMBER], f"{len(value.contents):,} octets")


def _named_bits(value: Any) -> list[Tree]:
    native = value.native
    names = [name for _, name in sorted(value._map.items()) if name in native]  # noqa: SLF001
    return [Leaf(rfc_name(name)) for name in names]


# --- DER without a declared type

_UNIVERSAL = {
    0x01: "BOOLEAN",
    0x02: "INTEGER",
    0x03: "BIT STRING",
    0x04: "OCTET STRING",
    0x05: "NULL",
    0x06: "OBJECT IDENTIFIER",
    0x0A: "ENUMERATED",
    0x0C: "UTF8String",
    0x13: "PrintableString",
    0x14: "TeletexString",
    0x16: "IA5String",
    0x17: "UTCTime",
    0x18: "GeneralizedTime",
    0x1A: "VisibleString",
    0x1E: "BMPString",
    0x30: "SEQUENCE",
    0x31: "SET",
}
_TEXT_TAGS = {
    0x0C: "utf-8",
    0x13: "ascii",
    0x16: "ascii",
    0x17: "ascii",
    0x18: "ascii",
    0x1A: "ascii",
    0x1E: "utf-16-be",
}


def any_der(data: bytes, depth: int = 0) -> Tree:
    """A DER value of unknown type, by its tags."""
    tag, start, end = ber.read_header(data, 0, len(data))
    if not data[0] & 0x20:
        return _any_primitive(tag, data[start:end])
    title = _UNIVERSAL.get(tag) or _tagged(data[0])
    if depth >= _GENERIC_DEPTH:
        return Octets.of(data)
    inner = [data[first:last] for _, first, _, last in ber.children(data, start, end)]
    body = elements_tree(inner, lambda element: any_der(element, depth + 1))
    return Titled(title, {title: body}, body)


def _any_primitive(tag: int, content: bytes) -> Tree:
    if tag == 0x06:
        return oid_leaf(oids.decode_oid(content))
    if tag == 0x05 and not content:
        return Leaf(None)
    if tag == 0x01 and len(content) == 1:
        return Leaf(content != b"\0")
    if tag in {0x02, 0x0A} and 0 < len(content) <= _LONGEST_NUMBER // 8:
        return Leaf(int.from_bytes(content, "big", signed=True))
    if tag in _TEXT_TAGS:
        return Leaf(content.decode(_TEXT_TAGS[tag]))
    octets = Octets.of(content)
    if tag == 0x04:
        return octets
    title = _UNIVERSAL.get(tag) or _tagged(ber.encode(tag)[0])
    return Titled(title, {title: octets}, octets)


def _tagged(identifier: int) -> str:
    kind = ("UNIVERSAL ", "APPLICATION ", "", "PRIVATE ")[identifier >> 6]
    number = identifier & 0x1F
    return f"[{kind}{number if number < 31 else '≥ 31'}]"
