"""Groups: nested, in circles, incomplete, too large."""

from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st

from smime_engine.directory.entries import DirectoryEntry
from smime_engine.directory.groups import expand_group
from smime_engine.limits import Limits


def person(name: str) -> DirectoryEntry:
    return DirectoryEntry(source="ldap", identifier=name, primary=f"{name}@example.org")


def group(name: str, *members: str) -> DirectoryEntry:
    return DirectoryEntry(source="ldap", identifier=name, primary=f"{name}@example.org", members=members)


def known(*entries: DirectoryEntry) -> dict[str, DirectoryEntry | None]:
    return {entry.identifier: entry for entry in entries}


def test_nested_groups_in_their_order() -> None:
    world = known(person("a"), person("b"), person("c"), person("d"), group("inner", "b", "c"))
    expansion = expand_group(group("all", "a", "inner", "d", "b"), world)
    assert expansion.addresses == ("a@example.org", "b@example.org", "c@example.org", "d@example.org")
    assert expansion.is_complete
    assert expansion.loops == ()


def test_what_is_not_known_is_wanted() -> None:
    expansion = expand_group(group("all", "a", "b", "a"), known(person("a")))
    assert expansion.wanted == ("b",)
    assert not expansion.is_complete


def test_loops() -> None:
    world = known(group("one", "two", "a"), group("two", "ONE", "one", "three"), group("three", "three"), person("a"))
    world["ONE"] = world["one"]
    expansion = expand_group(group("One", "two", "one", "a"), world)
    assert expansion.addresses == ("a@example.org",)
    assert set(expansion.loops) == {"one", "three"}
    assert expansion.is_complete


def test_a_group_in_two_groups_is_no_loop() -> None:
    world = known(group("left", "shared"), group("right", "shared"), group("shared", "a"), person("a"))
    expansion = expand_group(group("all", "left", "right"), world)
    assert expansion.loops == ()
    assert expansion.addresses == ("a@example.org",)


def test_nobody_is_left_out_silently() -> None:
    nameless = DirectoryEntry(source="ldap", identifier="printer")
    expansion = expand_group(group("all", "gone", "printer"), {"gone": None, "printer": nameless})
    assert expansion.unresolved == ("gone", "printer")
    assert not expansion.is_complete
    assert expand_group(group("empty"), {}).is_complete


def test_too_many_members() -> None:
    world = known(*(person(f"p{number}") for number in range(50)))
    expansion = expand_group(group("all", *world), world, limits=Limits(group_members=20))
    assert expansion.exceeded
    assert not expansion.is_complete


def test_large_and_deep_groups_in_linear_time() -> None:
    world: dict[str, DirectoryEntry | None] = {
        f"g{number}": group(f"g{number}", f"g{number + 1}", "g0", f"p{number}") for number in range(5_000)
    }
    world.update({f"p{number}": person(f"p{number}") for number in range(5_000)})
    world["g5000"] = None
    started = time.perf_counter()
    expansion = expand_group(group("top", "g0"), world)
    assert time.perf_counter() - started < 5
    assert len(expansion.members) == 5_000
    assert expansion.unresolved == ("g5000",)


@given(st.dictionaries(st.sampled_from("abcdef"), st.lists(st.sampled_from("abcdefxyz"), max_size=5)))
def test_everybody_who_can_be_reached_is_there(groups: dict[str, list[str]]) -> None:
    world = {name: group(name, *members) for name, members in groups.items()}
    everything = {**world, **known(person("x"), person("y"), person("z"))}
    expansion = expand_group(group("top", *groups), everything)
    reachable = {member for members in groups.values() for member in members}
    assert {entry.identifier for entry in expansion.members} == reachable & {"x", "y", "z"}
    assert set(expansion.wanted) == reachable - set(everything)
