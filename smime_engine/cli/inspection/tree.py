"""The tree between a decoded structure and the screen.

A tree is a dict (fields), a list (elements) or one of the leaves below. Does: JSON and text with the same content.
Does not: read ASN.1. All text may be hostile: what could steer a terminal is escaped on its way out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from smime_engine.cli.rendering import printable

__all__ = ["Leaf", "Malformed", "Octets", "Titled", "Tree", "as_json", "as_lines", "malformed_in"]

_SHOWN_OCTETS = 32
_LONGEST_TEXT = 1_000


@dataclass(frozen=True, slots=True)
class Leaf:
    """A value; `note` adds, for people, what JSON readers do not need (the dotted form of a named identifier)."""

    value: str | int | bool | None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Octets:
    """Octets: their number, and as many of them as help to recognise them. Never a dump."""

    size: int
    beginning: bytes
    unit: str = "octets"

    @classmethod
    def of(cls, data: bytes | memoryview) -> Octets:
        """Remember the size and the beginning."""
        return cls(len(data), bytes(data[:_SHOWN_OCTETS]))


@dataclass(frozen=True, slots=True)
class Malformed:
    """A value that cannot be read, and why; the rest of the tree stands."""

    problem: str


@dataclass(frozen=True, slots=True)
class Titled:
    """A structure that people know by one line: `title`, then `body` below it. JSON has all `fields` instead."""

    title: str
    fields: dict[str, Tree]
    body: Tree | None = None
    note: str = field(default="", kw_only=True)


Tree = Leaf | Octets | Malformed | Titled | dict[str, "Tree"] | list["Tree"]


def as_json(tree: Tree) -> Any:
    """The tree as dicts, lists and scalars; octets are `{"size", "hex"}`, with `hex` only where it is complete."""
    match tree:
        case Leaf():
            return tree.value[:_LONGEST_TEXT] if isinstance(tree.value, str) else tree.value
        case Octets():
            complete = {"hex": tree.beginning.hex()} if tree.size == len(tree.beginning) else {}
            return {"size": tree.size, **complete}
        case Malformed():
            return {"malformed": tree.problem}
        case Titled():
            return as_json(tree.fields)
        case dict():
            return {name: as_json(value) for name, value in tree.items()}
        case _:
            return [as_json(value) for value in tree]


def malformed_in(tree: Tree) -> Iterator[Malformed]:
    """Every value of the tree that could not be read."""
    match tree:
        case Malformed():
            yield tree
        case Titled():
            yield from malformed_in(tree.fields)
        case dict():
            for value in tree.values():
                yield from malformed_in(value)
        case list():
            for value in tree:
                yield from malformed_in(value)


def as_lines(label: str, tree: Tree) -> Iterator[tuple[str, str, str]]:
    """The tree for people, line by line: (guide, label, text). Labels and guides are ours, text is escaped."""
    yield from _lines(label, tree, "", "")


def _lines(label: str, tree: Tree, guide: str, below: str) -> Iterator[tuple[str, str, str]]:
    text, children = _own_line(tree)
    yield guide, label, text
    for number, (name, child) in enumerate(children, start=1):
        last = number == len(children)
        yield from _lines(name, child, below + ("└─ " if last else "├─ "), below + ("   " if last else "│  "))


def _own_line(tree: Tree) -> tuple[str, list[tuple[str, Tree]]]:
    """What stands on the line of a value itself, and what stands below."""
    match tree:
        case Titled():
            text, children = ("", []) if tree.body is None else _own_line(tree.body)
            title = printable(tree.title[:_LONGEST_TEXT]) + (f" ({tree.note})" if tree.note else "")
            return (f"{title}: {text}" if text else title), children
        case dict():
            return "", list(tree.items())
        case list() if all(isinstance(value, Leaf) for value in tree):
            return ", ".join(_scalar(value) for value in tree) or "none", []
        case list():
            return str(len(tree)), [("" if _has_own_line(value) else f"#{n}", value) for n, value in enumerate(tree, 1)]
        case _:
            return _scalar(tree), []


def _has_own_line(tree: Tree) -> bool:
    return bool(_own_line(tree)[0])


def _scalar(tree: Tree) -> str:
    match tree:
        case Leaf(value=bool()):
            return "TRUE" if tree.value else "FALSE"
        case Leaf():
            text = "NULL" if tree.value is None else printable(str(tree.value)[:_LONGEST_TEXT])
            return f"{text} ({tree.note})" if tree.note else text
        case Octets():
            dots = "…" if 0 < len(tree.beginning) < tree.size else ""
            shown = f" {tree.beginning.hex()}{dots}" if tree.beginning else ""
            return f"{tree.size:,} {tree.unit if tree.size != 1 else tree.unit.removesuffix('s')}{shown}"
        case Malformed():
            return f"MALFORMED: {printable(tree.problem)}"
        case _:
            return ""
