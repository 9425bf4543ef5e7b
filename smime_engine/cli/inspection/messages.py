"""MIME messages as trees: types and sizes of the parts, and the CMS in them opened.

Does not: verify, decrypt, or show text of the parts.
"""

from __future__ import annotations

from smime_engine.cli.inspection.binary import structure_tree
from smime_engine.cli.inspection.tree import Leaf, Octets, Titled, Tree
from smime_engine.cli.inspection.values import Inside, guarded
from smime_engine.cli.inspection.views import VIEWS
from smime_engine.errors import MalformedMessage
from smime_engine.mime.classify import ClearSigned, CmsPart, classify
from smime_engine.mime.parse import Entity, parse_entity

__all__ = ["OUTERMOST", "looks_like_message", "message_tree"]


def message_tree(data: bytes, inside: Inside) -> Tree:
    """The tree of a message or a MIME entity. Raises MalformedMessage."""
    return _entity_tree(parse_entity(data), inside)


def looks_like_message(data: bytes) -> bool:
    """Whether the data begins with a header field that a message or a MIME part has."""
    head, colon, _ = data[:200].partition(b":")
    return bool(colon) and bool(_FIELD_NAMES.intersection((head.strip().lower(),)) or _has_content_type(data))


_FIELD_NAMES = frozenset(
    {b"mime-version", b"from", b"to", b"received", b"return-path", b"subject", b"date", b"message-id"}
)


def _has_content_type(data: bytes) -> bool:
    header = data[: 64 * 1024].lower().replace(b"\r\n", b"\n").split(b"\n\n", 1)[0]
    return (b"\n" + header).find(b"\ncontent-type:") >= 0


def _entity_tree(entity: Entity, inside: Inside) -> Tree:
    form = classify(entity)
    inside = inside.deeper(1)
    fields: dict[str, Tree] = {"contentType": Leaf(entity.content_type.value)}
    body: Tree
    match form:
        case CmsPart():
            fields["cms"] = body = _cms(form.data, inside)
        case ClearSigned():
            parts: list[Tree] = [_entity_tree(form.content, inside)]
            fields["signed"] = parts[0]
            fields["cms"] = signature = _cms(form.signature, inside)
            parts += [Titled("signature", {"cms": signature}, signature)]
            if form.outside:
                outside: list[Tree] = [_entity_tree(part, inside) for part in form.outside]
                fields["outside"] = outside
                parts += [Titled("outside the signature", {"parts": outside}, outside)]
            body = parts
        case _ if entity.parts:
            fields["parts"] = body = [_part_tree(part, inside) for part in entity.parts]
        case _:
            fields["content"] = body = Octets(len(entity.decoded()), b"")
    return Titled(entity.content_type.value, fields, body)


def _part_tree(part: Entity, inside: Inside) -> Tree:
    return guarded(lambda: _entity_tree(part, inside))


def _cms(data: bytes, inside: Inside) -> Tree:
    def opened() -> Tree:
        kind, tree = structure_tree(data, inside)
        return Titled(kind, {"kind": Leaf(kind), "structure": tree}, tree)

    return guarded(opened)


def _open_data(data: bytes, inside: Inside) -> Tree | None:
    """Content of type id-data: shown as MIME where it is, else None."""
    if not looks_like_message(data):
        return None
    try:
        return message_tree(data, inside)
    except MalformedMessage:
        return None


OUTERMOST = Inside(VIEWS, _open_data)
"""Where the file itself stands."""
