"""All sources of a tenant together: from addresses to certificates, with groups expanded and revocation asked.

    directories = Directories([device, cached_ldap], fetcher=fetcher)
    resolution = await directories.resolve(addresses, policy, now=now)

Sources are asked in their order (device, directory, LDAP; or the address list first: Microsoft's documents say both),
and each only about those for whom the ones before had nothing fit. A group becomes its members, who are resolved as
everybody else. What the judgement lacks (revocation lists, issuers) is fetched where there is a fetcher.

A choice is kept for a minute, for the same entries and the same policy: judging a thousand certificates takes longer
than finding them. It is never kept beyond the validity of its chain.

Does: gather, and call the pure functions of `directory`. Does not: decide which certificate, or whether to send.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from smime_engine.addresses import comparable_address
from smime_engine.directory.choosing import Choice, ChoicePolicy, choose_certificates
from smime_engine.directory.entries import Answer, DirectoryEntry
from smime_engine.directory.groups import ExpandedGroup, Expansion, expand_group
from smime_engine.directory.reasons import Reason
from smime_engine.errors import SourceUnavailable
from smime_engine.limits import DEFAULT_LIMITS, Limits
from smime_engine.sources.directory_source import DirectorySource
from smime_engine.sources.fetched import Gathered
from smime_engine.sources.http import Fetcher
from smime_engine.sources.settle import settle
from smime_engine.trust.collection import Memory

__all__ = ["Directories", "Resolution"]

_KEPT = 16_384


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """What was found for a list of addresses."""

    choices: tuple[Choice, ...]
    """One for each address that was asked for, and for each member of a group, each mailbox once; a group's own
    address only where the group could not be expanded as a whole."""

    groups: tuple[ExpandedGroup, ...] = ()

    @property
    def missing(self) -> tuple[Choice, ...]:
        """Those without a certificate."""
        return tuple(choice for choice in self.choices if choice.certificate is None)


class Directories:
    """Sources in the order in which they are asked. For one event loop."""

    def __init__(
        self,
        sources: Sequence[DirectorySource],
        *,
        fetcher: Fetcher | None = None,
        expansion_seconds: float = 60.0,
        kept_seconds: float = 60.0,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        """Join sources; their names must differ.

        `expansion_seconds` is for one group: Exchange's OWADLExpansionTimeout. `kept_seconds`: how long a choice
        holds.
        """
        self.sources = tuple(sources)
        self._by_name = {source.name: source for source in sources}
        self._fetcher = fetcher
        self._expansion_seconds = expansion_seconds
        self._kept_for = timedelta(seconds=kept_seconds)
        self._limits = limits
        self._kept: Memory[object, _Kept] = Memory(_KEPT)

    async def aclose(self) -> None:
        """Close the sources."""
        await asyncio.gather(*(source.aclose() for source in self.sources))

    async def resolve(self, addresses: Iterable[str], policy: ChoicePolicy, *, now: datetime) -> Resolution:
        """Find a certificate, or a reason, for each address. Never raises SmimeError."""
        first = await self._choose_all(_each_once(addresses), policy, now)
        people = {_key(choice.address): choice for choice in first}
        groups = []
        for choice in first:
            if choice.reason is not Reason.GROUP_NOT_EXPANDED or choice.entry is None:
                continue
            group = await self._expanded(choice.address, choice.entry)
            groups.append(group)
            if group.is_complete:
                del people[_key(choice.address)]
            else:
                people[_key(choice.address)] = replace(choice, detail=group.problem)
        members = [address for group in groups for address in group.expansion.addresses]
        unknown = [address for address in _each_once(members) if _key(address) not in people]
        for choice in await self._choose_all(unknown, policy, now):
            people[_key(choice.address)] = choice
        return Resolution(choices=tuple(people.values()), groups=tuple(groups))

    # --- people

    async def _choose_all(self, addresses: Sequence[str], policy: ChoicePolicy, now: datetime) -> tuple[Choice, ...]:
        """Ask source after source about those for whom nothing fit was found yet."""
        answers: dict[str, Answer] = {}
        choices: dict[str, Choice] = {}
        remaining = list(addresses)
        for source in self.sources:
            if not remaining:
                break
            for answer in await source.look_up(remaining):
                known = answers.get(answer.address)
                answers[answer.address] = answer if known is None else Answer.joined(answer.address, (known, answer))
            found = await self._choose([answers[address] for address in remaining], policy, now)
            choices.update(zip(remaining, found, strict=True))
            remaining = [
                choice.address
                for choice in found
                if choice.certificate is None and choice.reason is not Reason.GROUP_NOT_EXPANDED
            ]
        nobody = [Answer(address=address) for address in remaining if address not in choices]
        choices.update((choice.address, choice) for choice in choose_certificates(nobody, policy, now))
        return tuple([choices[address] for address in addresses])

    async def _choose(self, answers: Sequence[Answer], policy: ChoicePolicy, now: datetime) -> list[Choice]:
        keys = [_identity_of(answer, policy) for answer in answers]
        choices = [self._recall(key, answer, now) for key, answer in zip(keys, answers, strict=True)]
        places = [place for place, choice in enumerate(choices) if choice is None]
        fresh = await self._judge([answers[place] for place in places], policy, now) if places else ()
        for place, choice in zip(places, fresh, strict=True):
            choices[place] = choice
            self._keep(keys[place], answers[place], policy, choice, now)
        return [choice for choice in choices if choice is not None]

    async def _judge(self, answers: Sequence[Answer], policy: ChoicePolicy, now: datetime) -> tuple[Choice, ...]:
        if self._fetcher is None:
            return choose_certificates(answers, policy, now)

        def judge(found: Gathered) -> tuple[Choice, ...]:
            informed = replace(
                policy,
                evidence=policy.evidence.including(found.evidence),
                pool=(*policy.pool, *found.certificates),
            )
            return choose_certificates(answers, informed, now)

        return await settle(
            judge, lambda choices: (wanted for choice in choices for wanted in choice.wanted), self._fetcher
        )

    def _recall(self, key: object, answer: Answer, now: datetime) -> Choice | None:
        kept = None if answer.stale or answer.failures else self._kept.recall(key)
        if kept is None or abs(now - kept.judged_at) >= self._kept_for or now > kept.valid_until:
            return None
        return kept.choice if kept.choice.address == answer.address else replace(kept.choice, address=answer.address)

    def _keep(self, key: object, answer: Answer, policy: ChoicePolicy, choice: Choice, now: datetime) -> None:
        """Keep good news alone: whoever has just published a certificate should not wait."""
        if choice.report is not None and not answer.stale and not answer.failures:
            ends = min(certificate.not_after for certificate in choice.report.chain)
            self._kept.keep(key, _Kept(choice, now, ends, (answer.entries, policy)))

    # --- groups

    async def _expanded(self, address: str, group: DirectoryEntry) -> ExpandedGroup:
        """Ask the group's own source for members, level by level, until all are known or the time is over."""
        known: dict[str, DirectoryEntry | None] = {group.identifier: group}
        expansion = expand_group(group, known, limits=self._limits)
        try:
            async with asyncio.timeout(self._expansion_seconds):
                while expansion.wanted and not expansion.exceeded:
                    found = await self._by_name[group.source].look_up_members(expansion.wanted)
                    known.update({member: found.get(member) for member in expansion.wanted})
                    expansion = expand_group(group, known, limits=self._limits)
        except TimeoutError:
            return _ended(address, expansion, f"not expanded within {self._expansion_seconds:g} s")
        except SourceUnavailable as error:
            return _ended(address, expansion, f"{group.source}: {error}")
        return ExpandedGroup(address=address, expansion=expansion)


def _ended(address: str, expansion: Expansion, failure: str) -> ExpandedGroup:
    return ExpandedGroup(address=address, expansion=expansion, failure=failure)


@dataclass(frozen=True, slots=True)
class _Kept:
    choice: Choice
    judged_at: datetime
    valid_until: datetime
    alive: object
    """What the key names by identity: as long as this is held, nothing else can have the same."""


def _identity_of(answer: Answer, policy: ChoicePolicy) -> object:
    return (_key(answer.address), id(policy), *map(id, answer.entries))


def _key(address: str) -> str:
    return comparable_address(address) or address


def _each_once(addresses: Iterable[str]) -> list[str]:
    """The first spelling of each address."""
    found: dict[str, str] = {}
    for address in addresses:
        found.setdefault(_key(address), address)
    return list(found.values())
