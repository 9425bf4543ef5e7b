"""The cache before a source, and several sources together with groups and fetching."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from smime_engine.certificate import Certificate
from smime_engine.directory.entries import Answer, DirectoryEntry, Origin, SourceFailure
from smime_engine.directory.reasons import Note, Reason
from smime_engine.errors import ConfigurationError, SourceUnavailable
from smime_engine.limits import Limits
from smime_engine.sources.certificate_files import CertificateFiles
from smime_engine.sources.directories import Directories, Resolution
from smime_engine.sources.directory_cache import CachedSource, CacheRules
from smime_engine.sources.http import Fetcher, FetchRules
from smime_engine.trust.collection import TrustCollection
from smime_engine.trust.path import PathOptions, RevocationMode
from tests import pki
from tests.directory.people import CA, DAY, NOW, STRANGER, certificate, entry, policy
from tests.sources.servers import LOOPBACK, web_server


class Listed:
    """A source that is a table; it can be down, and counts what it is asked."""

    def __init__(self, *entries: DirectoryEntry, name: str = "ldap", delay: float = 0.0) -> None:
        self.name = name
        self.entries = list(entries)
        self.down = False
        self.delay = delay
        self.asked: list[tuple[str, ...]] = []
        self.closed = False

    async def look_up(self, addresses: Sequence[str]) -> tuple[Answer, ...]:
        self.asked.append(tuple(addresses))
        await asyncio.sleep(self.delay)
        if self.down:
            failure = SourceFailure(source=self.name, text="no answer")
            return tuple(Answer(address=address, failures=(failure,)) for address in addresses)
        return tuple(
            Answer(address=address, entries=tuple(found for found in self.entries if found.has_address(address)))
            for address in addresses
        )

    async def look_up_members(self, members: Sequence[str]) -> Mapping[str, DirectoryEntry | None]:
        await asyncio.sleep(self.delay)
        if self.down:
            raise SourceUnavailable("no answer")
        by_name = {found.identifier: found for found in self.entries}
        return {member: by_name.get(member) for member in members}

    async def aclose(self) -> None:
        self.closed = True


def person(name: str, *certificates: Any, source: str = "ldap", **fields: Any) -> DirectoryEntry:
    address = f"{name}@example.org"
    chosen = certificates or (certificate(name, address),)
    return entry(*chosen, identifier=f"cn={name}", primary=address, source=source, **fields)


ALICE, BOB = person("alice"), person("bob")
A, B = "alice@example.org", "bob@example.org"


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


# --- the cache


@pytest.fixture
def clock() -> Clock:
    return Clock()


RULES = CacheRules(found_seconds=100, missing_seconds=10, stale_seconds=1_000, retry_seconds=30)


async def test_answers_are_kept_for_their_time(clock: Clock) -> None:
    source = Listed(ALICE)
    cache = CachedSource(source, RULES, clock=clock)
    first = await cache.look_up([A, B])
    assert [len(answer.entries) for answer in first] == [1, 0]
    clock.now += 9
    assert await cache.look_up([A, B]) == first
    assert source.asked == [(A, B)]
    clock.now += 5
    await cache.look_up([A, B])
    assert source.asked[1:] == [(B,)]
    clock.now += 100
    await cache.look_up([A])
    assert source.asked[2:] == [(A,)]
    assert cache.counters == {"hits": 3, "misses": 4, "joined": 0}
    await cache.aclose()
    assert source.closed


async def test_spellings_and_what_is_no_address(clock: Clock) -> None:
    source = Listed(ALICE)
    cache = CachedSource(source, RULES, clock=clock)
    answers = await cache.look_up(["Alice@Example.ORG", "alice", A, "Alice@Example.ORG"])
    assert [answer.address for answer in answers] == ["Alice@Example.ORG", "alice", A, "Alice@Example.ORG"]
    assert [len(answer.entries) for answer in answers] == [1, 0, 1, 1]
    assert source.asked == [("Alice@Example.ORG",)]


async def test_an_old_answer_is_better_than_none(clock: Clock) -> None:
    source = Listed(ALICE)
    cache = CachedSource(source, RULES, clock=clock)
    await cache.look_up([A, B])
    source.down = True
    clock.now += 200
    alice, bob = await cache.look_up([A, B])
    assert (alice.stale, alice.entries, alice.failures) == (True, (ALICE,), ())
    # That Bob was not there earlier is no answer today.
    assert (bob.stale, bob.entries) == (False, ())
    assert bob.failures
    clock.now += 1_000
    (alice,) = await cache.look_up([A])
    assert alice.entries == ()
    assert alice.failures


async def test_nobody_waits_for_a_source_that_is_known_to_be_down(clock: Clock) -> None:
    source = Listed(ALICE, BOB)
    cache = CachedSource(source, RULES, clock=clock)
    await cache.look_up([A, B])
    source.down = True
    clock.now += 200
    await cache.look_up([B])
    source.delay = 0.05
    loop = asyncio.get_running_loop()
    started = loop.time()
    (alice,) = await cache.look_up([A])
    assert loop.time() - started < 0.04
    assert alice.stale
    source.down = False
    await asyncio.sleep(0.1)  # asked again behind our back
    assert source.asked[-1] == (A,)
    (alice,) = await cache.look_up([A])
    assert not alice.stale
    await cache.aclose()


async def test_stale_answers_can_be_forbidden(clock: Clock) -> None:
    source = Listed(ALICE)
    cache = CachedSource(source, CacheRules(found_seconds=1, stale_seconds=0), clock=clock)
    await cache.look_up([A])
    source.down = True
    clock.now += 2
    (alice,) = await cache.look_up([A])
    assert (alice.entries, alice.stale) == ((), False)


async def test_one_question_for_all_who_ask(clock: Clock) -> None:
    source = Listed(ALICE, delay=0.02)
    cache = CachedSource(source, RULES, clock=clock)
    results = await asyncio.gather(*(cache.look_up([A, B]) for _ in range(10)))
    assert len(set(results)) == 1
    assert source.asked == [(A, B)]
    assert cache.counters["joined"] == 18


async def test_a_source_that_breaks_its_word_is_an_error_for_everybody(clock: Clock) -> None:
    class Broken(Listed):
        async def look_up(self, addresses: Sequence[str]) -> tuple[Answer, ...]:
            raise RuntimeError("a bug")

    cache = CachedSource(Broken(), RULES, clock=clock)
    with pytest.raises(RuntimeError):
        await cache.look_up([A])
    with pytest.raises(RuntimeError):
        await cache.look_up([A])
    await cache.aclose()


async def test_the_cache_is_bounded(clock: Clock) -> None:
    people = [person(f"p{number}") for number in range(20)]
    source = Listed(*people)
    cache = CachedSource(source, CacheRules(entries=5), clock=clock)
    await cache.look_up([f"p{number}@example.org" for number in range(20)])
    assert len(cache._held) == 5
    small = CachedSource(source, CacheRules(octets=10_000), clock=clock)
    await small.look_up([f"p{number}@example.org" for number in range(20)])
    assert 0 < len(small._held) < 5
    assert small._size == sum(held.size for held in small._held.values()) <= 10_000


# --- several sources


async def resolve(*sources: Any, addresses: Sequence[str] = (A,), **options: Any) -> Resolution:
    chosen_policy = options.pop("policy", policy())
    return await Directories(sources, **options).resolve(addresses, chosen_policy, now=NOW)


async def test_sources_are_asked_in_their_order_until_something_fits() -> None:
    expired = certificate("alice", A, not_after=NOW - DAY)
    device = Listed(person("alice", expired, source="device"), name="device")
    ldap = Listed(ALICE, BOB)
    resolution = await resolve(device, ldap, addresses=[A, B, "nobody@example.org"])
    assert [choice.source for choice in resolution.choices] == ["ldap", "ldap", None]
    assert [choice.reason for choice in resolution.missing] == [Reason.NOT_FOUND]
    assert len(resolution.choices[0].rejected) == 0
    resolution = await resolve(ldap, device)
    assert device.asked == [(A, B, "nobody@example.org")]
    assert resolution.choices[0].source == "ldap"


async def test_no_sources() -> None:
    resolution = await resolve(addresses=[A, "nonsense"])
    assert [choice.reason for choice in resolution.choices] == [Reason.NOT_FOUND, Reason.NOT_AN_ADDRESS]


async def test_a_source_that_is_down() -> None:
    down = Listed(name="gal")
    down.down = True
    resolution = await resolve(down, Listed(ALICE), addresses=[A, B])
    alice, bob = resolution.choices
    assert alice.certificate is not None
    assert Note.SOURCE_UNAVAILABLE in dict(alice.notes)
    assert bob.reason is Reason.SOURCE_UNAVAILABLE
    assert bob.incomplete


async def test_choices_are_kept_for_a_minute_and_never_beyond_validity() -> None:
    short = certificate("alice", A, not_after=NOW + timedelta(seconds=30))
    directories = Directories([CachedSource(Listed(person("alice", short), BOB))])
    chosen_policy = policy()
    first = await directories.resolve([A, B], chosen_policy, now=NOW)
    again = await directories.resolve([A, B], chosen_policy, now=NOW + timedelta(seconds=20))
    assert again.choices[0] is first.choices[0]
    later = await directories.resolve([A, B], chosen_policy, now=NOW + timedelta(seconds=31))
    assert later.choices[0].reason is Reason.EXPIRED
    assert later.choices[1] is first.choices[1]
    other = await directories.resolve([A], policy(collection=type(chosen_policy.collection)()), now=NOW)
    assert other.choices[0].reason is Reason.UNTRUSTED


# --- what the judgement lacks is fetched


async def test_revocation_lists_and_issuers_are_fetched() -> None:
    async with web_server() as server, Fetcher(FetchRules(guard=LOOPBACK), clock=lambda: NOW) as fetcher:
        root = pki.authority("Fetched Root", crl_urls=[server.url("/root.crl")])
        ca = root.subordinate("Fetched CA", crl_urls=[server.url("/ca.crl")], issuer_urls=[server.url("/ca.cer")])
        good, revoked = (ca.issue(name, f"{name}@example.org") for name in ("alice", "bob"))
        server.answers["/root.crl"] = root.crl()
        server.answers["/ca.cer"] = ca.certificate_der
        server.answers["/ca.crl"] = ca.crl({revoked: None})
        source = Listed(
            person("alice", Certificate.parse(good.certificate_der)),
            person("bob", Certificate.parse(revoked.certificate_der)),
        )
        strict = policy(
            collection=TrustCollection([Certificate.parse(root.certificate_der)]),
            options=PathOptions(revocation=RevocationMode.HARD_FAIL),
        )
        resolution = await resolve(source, addresses=[A, B], policy=strict, fetcher=fetcher)
        assert [choice.reason for choice in resolution.choices] == [None, Reason.REVOKED]
        assert server.asked == {"/ca.cer": 1, "/root.crl": 1, "/ca.crl": 1}
        alone = await resolve(source, addresses=[A], policy=strict)
        assert alone.choices[0].reason is Reason.UNTRUSTED


# --- groups


def group(name: str, *members: str) -> DirectoryEntry:
    return DirectoryEntry(
        source="ldap", identifier=f"cn={name}", primary=f"{name}@example.org", members=tuple(f"cn={m}" for m in members)
    )


async def test_every_member_of_a_group_is_resolved_once() -> None:
    stranger = person("carol", certificate("carol", "carol@example.org", issuer=STRANGER))
    source = Listed(group("all", "alice", "team"), group("team", "bob", "carol", "all"), ALICE, BOB, stranger)
    resolution = await resolve(source, addresses=["all@example.org", A])
    assert {choice.address: choice.reason for choice in resolution.choices} == {
        A: None,
        B: None,
        "carol@example.org": Reason.UNTRUSTED,
    }
    (expanded,) = resolution.groups
    assert expanded.is_complete
    assert expanded.expansion.loops == ("cn=all",)


@pytest.mark.parametrize(
    ("members", "options", "text"),
    [
        (("alice", "gone"), {}, "not known: cn=gone"),
        (("alice", "bob"), {"limits": Limits(group_members=1)}, "more members"),
        (("alice", "bob"), {"expansion_seconds": 0.01}, "not expanded within 0.01 s"),
    ],
)
async def test_a_group_that_cannot_be_expanded_as_a_whole(
    members: tuple[str, ...], options: dict[str, Any], text: str
) -> None:
    source = Listed(group("all", *members), ALICE, BOB, delay=0.05 if "expansion_seconds" in options else 0)
    resolution = await resolve(source, addresses=["all@example.org"], **options)
    choice = next(choice for choice in resolution.choices if choice.address == "all@example.org")
    assert choice.reason is Reason.GROUP_NOT_EXPANDED
    assert text in choice.detail
    assert not resolution.groups[0].is_complete


async def test_a_directory_that_dies_while_a_group_is_expanded() -> None:
    class Dying(Listed):
        async def look_up_members(self, members: Sequence[str]) -> Mapping[str, DirectoryEntry | None]:
            self.down = True
            return await super().look_up_members(members)

    resolution = await resolve(Dying(group("all", "alice")), addresses=["all@example.org"])
    assert resolution.choices[0].reason is Reason.GROUP_NOT_EXPANDED
    assert "no answer" in resolution.choices[0].detail


# --- files


async def test_certificates_from_files(tmp_path: Path) -> None:
    alice = CA.issue("Alice", A, "alias@example.org")
    (tmp_path / "alice.pem").write_bytes(alice.certificate_pem + alice.chain_pem)
    (tmp_path / "broken.pem").write_bytes(b"garbage")
    (tmp_path / ".hidden").write_bytes(b"garbage")
    files = CertificateFiles("device", [tmp_path], origin=Origin.PINNED)
    assert len(files.defects) == 1
    resolution = await resolve(files, addresses=[A, "ALIAS@example.org", B])
    assert [choice.certificate is None for choice in resolution.choices] == [False, False, True]
    assert resolution.choices[0].chosen is not None
    assert resolution.choices[0].chosen.origin is Origin.PINNED
    assert await files.look_up_members(["x"]) == {"x": None}
    with pytest.raises(ConfigurationError):
        CertificateFiles("device", [tmp_path / "absent"])
