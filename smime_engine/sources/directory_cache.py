"""A cache before a source: answers for a while, also the answer that there is nobody; older ones while it is down.

    cached = CachedSource(LdapDirectory(…), CacheRules(found_seconds=900))

An answer that is too old is asked for again. While the source does not answer, an old one is given all the same, marked
as stale, for as long as the rules allow: when the source is known to be down at once, with the question asked again
behind the caller's back, so that nobody waits for a dead server. A certificate that has expired or was revoked since is
found out when it is judged; the cache keeps what a directory said, never what was made of it.

Several who ask for the same address at the same time wait for one question. Bounded in entries and in octets. Does not:
keep failures (the source decides when it is asked again), or anything on disk.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from smime_engine.addresses import comparable_address
from smime_engine.directory.entries import Answer, DirectoryEntry
from smime_engine.sources.directory_source import DirectorySource

__all__ = ["CacheRules", "CachedSource"]

_OVERHEAD = 2_000  # octets of an entry beside its certificates, roughly


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheRules:
    """For how long answers are good, in seconds, and how much is kept."""

    found_seconds: float = 900.0
    missing_seconds: float = 60.0
    """That there is no entry, or none with a certificate: people who publish one do not want to wait. Also groups."""

    stale_seconds: float = 86_400.0
    """How much longer an answer is given while the source does not answer; 0: not at all."""

    retry_seconds: float = 30.0
    """For how long a source that did not answer is taken for down: stale answers are then given at once."""

    entries: int = 100_000
    octets: int = 512 * 1024 * 1024


@dataclass(slots=True)
class _Held:
    answer: Answer
    fetched_at: float
    size: int


class CachedSource:
    """A source with a cache before it. For one event loop; `counters` counts hits, misses, stale and joined."""

    def __init__(
        self,
        source: DirectorySource,
        rules: CacheRules = CacheRules(),
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.counters: Counter[str] = Counter()
        self._source = source
        self._rules = rules
        self._clock = clock
        self._held: OrderedDict[str, _Held] = OrderedDict()
        self._size = 0
        self._asked: dict[str, asyncio.Future[Answer]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._down_until = 0.0

    @property
    def name(self) -> str:
        """The source's own."""
        return self._source.name

    async def look_up(self, addresses: Sequence[str]) -> tuple[Answer, ...]:
        """An answer for each address, in their order; what has to be asked is asked at once, in one question."""
        now = self._clock()
        keys = [comparable_address(address) for address in addresses]
        found: dict[str | None, Answer] = {None: Answer(address="")}
        to_ask: dict[str, str] = {}
        behind: dict[str, str] = {}
        for key, address in zip(keys, addresses, strict=True):
            if key is None or key in found or key in to_ask:
                continue
            held = self._held.get(key)
            if held is not None and now - held.fetched_at < self._lifetime(held):
                self.counters["hits"] += 1
                self._held.move_to_end(key)
                found[key] = held.answer
            elif held is not None and now < self._down_until and self._may_be_stale(held, now):
                found[key] = self._stale(held)
                behind[key] = address
            else:
                to_ask[key] = address
        self._start(behind)
        self._start(to_ask)
        waiting = {key: self._asked[key] for key in to_ask}
        for key, future in waiting.items():
            found[key] = await asyncio.shield(future)
        return tuple(
            [
                answer if (answer := found[key]).address == address else replace(answer, address=address)
                for key, address in zip(keys, addresses, strict=True)
            ]
        )

    async def look_up_members(self, members: Sequence[str]) -> Mapping[str, DirectoryEntry | None]:
        """Asks the source. Raises SourceUnavailable."""
        return await self._source.look_up_members(members)

    async def aclose(self) -> None:
        """Wait for nothing, and close the source."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._source.aclose()

    # --- asking

    def _start(self, wanted: Mapping[str, str]) -> None:
        """Ask for what nobody is asking for yet; the answers arrive in `_asked`."""
        new = {key: address for key, address in wanted.items() if key not in self._asked}
        self.counters["joined"] += len(wanted) - len(new)
        if not new:
            return
        self.counters["misses"] += len(new)
        loop = asyncio.get_running_loop()
        for key in new:
            self._asked[key] = loop.create_future()
        task = loop.create_task(self._ask(new))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _ask(self, wanted: Mapping[str, str]) -> None:
        futures = {key: self._asked[key] for key in wanted}
        try:
            answers = await self._source.look_up(list(wanted.values()))
            now = self._clock()
            for key, answer in zip(wanted, answers, strict=True):
                futures[key].set_result(self._settled(key, answer, now))
        except Exception as error:  # noqa: BLE001 - handed on to whoever waits
            for future in futures.values():
                if not future.done():
                    future.set_exception(error)
                    future.exception()  # looked at: nobody may be waiting for this one
        finally:
            for key, future in futures.items():
                self._asked.pop(key, None)
                future.cancel()  # nothing happens to one that is done

    def _settled(self, key: str, answer: Answer, now: float) -> Answer:
        """Keep an answer; in the place of a failure, an old answer where there is one."""
        if not answer.failures:
            self._down_until = 0.0
            self._keep(key, answer, now)
            return answer
        self._down_until = now + self._rules.retry_seconds
        held = self._held.get(key)
        return self._stale(held) if held is not None and self._may_be_stale(held, now) else answer

    # --- what is held

    def _may_be_stale(self, held: _Held, now: float) -> bool:
        """That nobody was there some time ago does not say that nobody is: only entries may be stale."""
        age = now - held.fetched_at - self._lifetime(held)
        return bool(held.answer.entries) and age < self._rules.stale_seconds

    def _lifetime(self, held: _Held) -> float:
        # Of groups as well: whoever has left one should not get its mail for long.
        useful = any(entry.certificates for entry in held.answer.entries)
        return self._rules.found_seconds if useful else self._rules.missing_seconds

    def _stale(self, held: _Held) -> Answer:
        self.counters["stale"] += 1
        return replace(held.answer, stale=True)

    def _keep(self, key: str, answer: Answer, now: float) -> None:
        self._forget(key)
        held = _Held(answer, now, _size_of(answer))
        self._held[key] = held
        self._size += held.size
        while self._held and (len(self._held) > self._rules.entries or self._size > self._rules.octets):
            self._forget(next(iter(self._held)))

    def _forget(self, key: str) -> None:
        held = self._held.pop(key, None)
        if held is not None:
            self._size -= held.size


def _size_of(answer: Answer) -> int:
    certificates = {
        certificate
        for entry in answer.entries
        for certificate in (*(listed.certificate for listed in entry.certificates), *entry.pool)
    }
    members = sum(len(member) for entry in answer.entries for member in entry.members or ())
    return _OVERHEAD + members + sum(len(certificate.der) for certificate in certificates)
