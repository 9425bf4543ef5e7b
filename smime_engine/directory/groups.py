"""Distribution groups: from a group to the people in it, through groups in groups, once each.

    expansion = expand_group(group, known)
    while expansion.wanted: fetch them, add them to `known`, expand again

Does: a pure function of what is known; what it lacks is in `wanted`. A group that contains itself is walked once. Does
not: ask directories, watch the clock (`sources` does both, within Exchange's OWADLExpansionTimeout), or decide what a
member without address means: it is in `unresolved`, and nobody is left out silently.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from smime_engine.addresses import comparable_address
from smime_engine.directory.entries import DirectoryEntry
from smime_engine.limits import DEFAULT_LIMITS, Limits

__all__ = ["ExpandedGroup", "Expansion", "expand_group"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Expansion:
    """The people of a group, as far as they are known."""

    group: DirectoryEntry
    members: tuple[DirectoryEntry, ...] = ()
    """Entries that are no groups, each mailbox once, in the order of the groups."""

    wanted: tuple[str, ...] = ()
    """Members that nothing is known about yet, each once."""

    unresolved: tuple[str, ...] = ()
    """Members that no source knows, or that have no address."""

    loops: tuple[str, ...] = ()
    """Identifiers of groups that contain themselves."""

    exceeded: bool = False
    """More than `limits.group_members` members: the list is not complete."""

    @property
    def is_complete(self) -> bool:
        """Whether every member is known, with an address."""
        return not (self.wanted or self.unresolved or self.exceeded)

    @property
    def addresses(self) -> tuple[str, ...]:
        """The address of each member: the primary one, where it has one."""
        return tuple(entry.addresses[0] for entry in self.members)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpandedGroup:
    """What became of one address that turned out to be a group's."""

    address: str
    expansion: Expansion
    failure: str = ""
    """Why the expansion ended early: a source that did not answer, or the time that was allowed."""

    @property
    def is_complete(self) -> bool:
        """Whether every member is known. If not, nobody may act as if it were."""
        return not self.failure and self.expansion.is_complete

    @property
    def problem(self) -> str:
        """What is missing, in words; empty for a complete group."""
        expansion = self.expansion
        texts = [self.failure] if self.failure else []
        if expansion.unresolved:
            texts.append(f"not known: {', '.join(expansion.unresolved[:5])}")
        if expansion.wanted and not self.failure:
            texts.append(f"not looked up: {', '.join(expansion.wanted[:5])}")
        if expansion.exceeded:
            texts.append("more members than the limit allows (group_members)")
        return "; ".join(texts)


def expand_group(
    group: DirectoryEntry, known: Mapping[str, DirectoryEntry | None], *, limits: Limits = DEFAULT_LIMITS
) -> Expansion:
    """Expand as far as `known` reaches: it maps members, as groups name them, to entries, or to None for nobody.

    Linear in the number of members; never raises for what entries hold.
    """
    people: dict[str, DirectoryEntry] = {}
    wanted: dict[str, None] = {}
    unresolved: dict[str, None] = {}
    loops: dict[str, None] = {}
    opened = {_key(group.identifier)}
    # Names of members still to be looked at, the first of them last; None marks the end of the innermost group.
    path: dict[str, None] = {_key(group.identifier): None}
    todo: list[str | None] = [None, *reversed(group.members or ())]
    looked_at = 0
    while todo:
        member = todo.pop()
        if member is None:
            path.popitem()
            continue
        looked_at += 1
        if looked_at > limits.group_members:
            break
        if member not in known:
            wanted[member] = None
            continue
        entry = known[member]
        if entry is None or (not entry.is_group and not entry.addresses):
            unresolved[member] = None
        elif not entry.is_group:
            people.setdefault(comparable_address(entry.addresses[0]) or entry.identifier, entry)
        elif _key(entry.identifier) in opened:
            if _key(entry.identifier) in path:
                loops[entry.identifier] = None
        else:
            opened.add(_key(entry.identifier))
            path[_key(entry.identifier)] = None
            todo += (None, *reversed(entry.members or ()))
    return Expansion(
        group=group,
        members=tuple(people.values()),
        wanted=tuple(wanted),
        unresolved=tuple(unresolved),
        loops=tuple(loops),
        exceeded=looked_at > limits.group_members,
    )


def _key(identifier: str) -> str:
    return identifier.lower()
