"""Fetch what a report wants: CRLs, OCSP responses, issuers' certificates; cached, bounded, once at a time.

    async with Fetcher(FetchRules(...), cache=DiskCache(folder)) as fetcher:
        answers = await fetcher.fetch_all(report.wanted, seconds=10)
        evidence = gathered(answers).evidence

Does: HTTP and LDAP, size and time limits, refusal of addresses that are not public, a cache in memory and on disk that
goes by the answers' own expiry, one fetch for all who want the same, refresh before expiry, counters. Does not: verify
signatures, or decide what a failure means: failures are values with a text, and the policy judges them.

Standards: RFC 5280 sections 4.2.1.13 and 4.2.2.1, RFC 6960 appendix A, RFC 5019 section 5, RFC 4516 (LDAP URLs).
"""

from __future__ import annotations

import asyncio
import base64
import secrets
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Self
from urllib.parse import quote

from smime_engine.errors import MalformedMessage, SourceUnavailable
from smime_engine.limits import DEFAULT_LIMITS, Limits
from smime_engine.sources.cache import CachedFile, DiskCache
from smime_engine.sources.fetched import Fetched, Gathered, gathered, kept_until, read_answer
from smime_engine.sources.ldap_urls import fetch_ldap
from smime_engine.sources.network_guard import AddressGuard, GuardedResolver
from smime_engine.sources.transport import HttpTransport, RefusedRequest, Request
from smime_engine.trust.evidence import Evidence, FetchFailure
from smime_engine.trust.ocsp import with_nonce
from smime_engine.trust.wanted import Crl, Ocsp, Wanted

__all__ = ["FetchRules", "Fetched", "Fetcher", "Gathered", "gathered"]

_MEBIBYTE = 1024 * 1024
_SHORT_GET = 255  # octets of a path: longer OCSP requests are posted (RFC 5019 section 5)
_LARGE = 256 * 1024  # octets of an answer above which reading it is moved to a thread
_REFRESH_FROM = 0.8  # part of an answer's life after which it is fetched again in the background


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchRules:
    """Limits. Times are in seconds, sizes in octets."""

    seconds: float = 60.0
    """For one address, with redirections. Exchange's OWACRLConnectionTimeout."""

    total_seconds: float = 10.0
    """For everything that one message needs: where it is shorter, it wins. Exchange's OWACRLRetrievalTimeout."""

    fetches: int = 32
    """Addresses asked for one message."""

    crl_size: int = 128 * _MEBIBYTE
    ocsp_size: int = _MEBIBYTE
    certificates_size: int = _MEBIBYTE
    redirects: int = 4
    guard: AddressGuard = field(default_factory=AddressGuard)
    proxy: str | None = None
    """URL of an HTTP proxy. It resolves names itself: whether addresses are public is then its business."""

    ocsp_get: bool = True
    """Ask with GET where the request is short, so that HTTP caches can answer (RFC 5019); else with POST."""

    ocsp_nonce: bool = False
    """Send a nonce, always with POST. Few public responders send it back."""

    memory: int = 512 * _MEBIBYTE
    """Answers kept ready in memory, and how many."""
    answers: int = 2_000

    retry_seconds: float = 60.0
    """How long a failure is remembered, and how long an answer is not asked for again that settled nothing."""

    refreshes: int = 30
    """How often an answer is fetched again in the background before somebody must have asked for it again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    """One answer in memory."""

    answer: Fetched
    fetched_at: datetime
    until: datetime
    refreshes: int

    @property
    def refresh_at(self) -> datetime:
        return self.fetched_at + (self.until - self.fetched_at) * _REFRESH_FROM


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Fetcher:
    """Fetches for one process; share it. Use as an asynchronous context manager.

    `counters` counts, by name: fetches, memory_hits, disk_hits, joined (waited for a fetch that was under way),
    failures, octets, refreshes. A monitor may read it at any time.
    """

    def __init__(
        self,
        rules: FetchRules | None = None,
        *,
        cache: DiskCache | None = None,
        clock: Callable[[], datetime] = _utc_now,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self.rules = rules or FetchRules()
        self.counters: Counter[str] = Counter()
        self._cache = cache
        self._clock = clock
        self._limits = limits
        self._transport = HttpTransport(self.rules.guard, redirects=self.rules.redirects, proxy=self.rules.proxy)
        self._resolver = GuardedResolver(self.rules.guard)
        self._held: dict[str, _Held] = {}
        self._held_size = 0
        self._running: dict[str, asyncio.Task[Fetched]] = {}
        self._failures: dict[str, tuple[datetime, str]] = {}
        self._known: Evidence | None = None

    async def __aenter__(self) -> Self:
        await self._transport.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        running = list(self._running.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await self._transport.__aexit__(kind, error, trace)

    async def fetch_all(
        self, wanted: Iterable[Wanted], *, seconds: float | None = None, fresh: bool = False
    ) -> tuple[Fetched | FetchFailure, ...]:
        """Fetch all at once, in their order; what is not there after `seconds` (None: as the rules say) has failed.

        A fetch that came too late goes on: whoever asks next may find its answer. `fresh` passes the cache by.
        """
        chosen = tuple(dict.fromkeys(wanted))
        allowed = max(self.rules.total_seconds if seconds is None else seconds, 0.0)
        tasks = [
            asyncio.create_task(self.fetch(each, fresh=fresh)) if place < self.rules.fetches else None
            for place, each in enumerate(chosen)
        ]
        started = [task for task in tasks if task is not None]
        late: set[asyncio.Task[Fetched | FetchFailure]] = set()
        if started:
            _, late = await asyncio.wait(started, timeout=allowed)
        for task in late:
            task.cancel()
        return tuple(
            self._failed(each, f"more than {self.rules.fetches} addresses for one message")
            if task is None
            else self._failed(each, f"no answer within {allowed:.1f} s, the time left for all fetches together")
            if task in late
            else task.result()
            for each, task in zip(chosen, tasks, strict=True)
        )

    async def fetch(self, wanted: Wanted, *, fresh: bool = False) -> Fetched | FetchFailure:
        """Fetch one thing, from memory, disk or its address; `fresh` from its address. Never raises SmimeError."""
        if wanted.url is None:
            return self._failed(wanted, "the certificate names no address")
        key = _key(wanted)
        now = self._clock()
        held = self._held.get(key)
        if held is None and not fresh:
            held = await self._from_disk(key, wanted)
        if held is not None and held.until > now:
            is_new = held.fetched_at + timedelta(seconds=self.rules.retry_seconds) > now
            if is_new or not fresh:
                self.counters["memory_hits"] += 1
                # What is new is not worth a second look, should it settle nothing.
                return replace(held.answer, wanted=wanted, from_cache=not is_new)
        failure = self._failures.get(key)
        if failure is not None and failure[0] > now:
            return self._failed(wanted, failure[1])
        try:
            answer = await self._once_at_a_time(key, wanted)
        except SourceUnavailable as error:
            self._remember_failure(key, str(error))
            return self._failed(wanted, str(error))
        return replace(answer, wanted=wanted)

    def known(self) -> Evidence:
        """All lists and responses in memory: what to try before anything is fetched. One value until they change."""
        if self._known is None:
            self._known = gathered(held.answer for held in self._held.values()).evidence
        return self._known

    async def refresh(self) -> int:
        """Forget what is over, and fetch again what is near its end; returns how many were fetched.

        A failure changes nothing: the old answer is good until its own end. What nobody asks for expires in time,
        however often a hostile message has named it.
        """
        now = self._clock()
        due = []
        for key, held in list(self._held.items()):
            if held.until <= now:
                self._drop(key)
            elif held.refresh_at <= now and held.refreshes > 0 and key not in self._running:
                due.append((key, held))
        self.counters["refreshes"] += len(due)
        await asyncio.gather(*(self._refresh_one(key, held) for key, held in due))
        return len(due)

    async def _refresh_one(self, key: str, held: _Held) -> None:
        self._held[key] = replace(held, refreshes=held.refreshes - 1)
        await self.fetch(held.answer.wanted, fresh=True)
        fetched = self._held.get(key)
        if fetched is not None:
            self._held[key] = replace(fetched, refreshes=held.refreshes - 1)

    async def keep_fresh(self, *, every_seconds: float = 60.0) -> None:
        """Refresh for ever: run it as a task and cancel it at the end."""
        while True:
            await asyncio.sleep(every_seconds)
            await self.refresh()

    # --- one fetch

    async def _once_at_a_time(self, key: str, wanted: Wanted) -> Fetched:
        """Join the fetch of the same thing that is under way, or start it. It outlives those who wait for it."""
        task = self._running.get(key)
        if task is None:
            task = asyncio.create_task(self._fetch_now(key, wanted))
            self._running[key] = task
            task.add_done_callback(lambda done: self._finished(key, done))
        else:
            self.counters["joined"] += 1
        return await asyncio.shield(task)

    def _finished(self, key: str, task: asyncio.Task[Fetched]) -> None:
        self._running.pop(key, None)
        if not task.cancelled():
            task.exception()  # seen: nobody may be waiting any more

    async def _fetch_now(self, key: str, wanted: Wanted) -> Fetched:
        self.counters["fetches"] += 1
        nonce = secrets.token_bytes(32) if self.rules.ocsp_nonce and isinstance(wanted, Ocsp) else None
        try:
            async with asyncio.timeout(self.rules.seconds):
                body = await self._body(wanted, nonce)
        except TimeoutError as error:
            raise SourceUnavailable(f"no answer within {self.rules.seconds:g} s") from error
        self.counters["octets"] += len(body)
        answer = await self._read(wanted, body, nonce)
        await self._keep(key, answer, body)
        return answer

    async def _body(self, wanted: Wanted, nonce: bytes | None) -> bytes:
        url = wanted.url or ""
        size = self.rules.crl_size if isinstance(wanted, Crl) else self.rules.certificates_size
        if url.lower().startswith(("ldap://", "ldaps://")):
            return await fetch_ldap(url, resolver=self._resolver, size=size, seconds=self.rules.seconds)
        if isinstance(wanted, Ocsp):
            return await self._ask_responder(wanted, nonce)
        return await self._transport.exchange(Request(url=url, size=size))

    async def _ask_responder(self, wanted: Ocsp, nonce: bytes | None) -> bytes:
        accept = "application/ocsp-response"
        size = self.rules.ocsp_size
        path = quote(base64.b64encode(wanted.request).decode(), safe="")
        if nonce is None and self.rules.ocsp_get and len(path) <= _SHORT_GET:
            request = Request(url=f"{wanted.url.rstrip('/')}/{path}", size=size, accept=accept)
            try:
                return await self._transport.exchange(request)
            except RefusedRequest:
                # QUIRK: responders that know POST alone (OpenSSL's own before 1.1) answer a GET with an HTTP error.
                pass
        body = wanted.request if nonce is None else with_nonce(wanted.request, nonce)
        kind = "application/ocsp-request"
        return await self._transport.exchange(
            Request(url=wanted.url, size=size, body=body, content_type=kind, accept=accept)
        )

    async def _read(self, wanted: Wanted, body: bytes, nonce: bytes | None = None) -> Fetched:
        if len(body) <= _LARGE:
            return read_answer(wanted, body, nonce=nonce, limits=self._limits)
        return await asyncio.to_thread(self._read_large, wanted, body)

    def _read_large(self, wanted: Wanted, body: bytes) -> Fetched:
        """Read a large list, and walk its entries here, in a thread, before somebody does in the event loop."""
        answer = read_answer(wanted, body, limits=self._limits)
        for crl in answer.crls:
            try:
                len(crl)
            except MalformedMessage as error:
                raise SourceUnavailable(f"the revocation list is malformed: {error}") from error
        return answer

    # --- what was fetched before

    async def _from_disk(self, key: str, wanted: Wanted) -> _Held | None:
        if self._cache is None:
            return None
        kept = await asyncio.to_thread(self._cache.read, key)
        if kept is None or kept.fetched_at > self._clock() + timedelta(minutes=5):
            return None
        try:
            answer = await self._read(wanted, kept.body)
        except SourceUnavailable:
            await asyncio.to_thread(self._cache.forget, key)
            return None
        self.counters["disk_hits"] += 1
        return self._hold(key, answer, kept.fetched_at)

    async def _keep(self, key: str, answer: Fetched, body: bytes) -> None:
        now = self._clock()
        if kept_until(answer, now) <= now:
            return
        self._hold(key, answer, now)
        if self._cache is not None:
            kept = CachedFile(url=answer.wanted.url or "", fetched_at=now, body=body)
            await asyncio.to_thread(self._cache.write, key, kept)

    def _hold(self, key: str, answer: Fetched, fetched_at: datetime) -> _Held:
        self._drop(key)
        until = kept_until(answer, fetched_at)
        held = _Held(answer=answer, fetched_at=fetched_at, until=until, refreshes=self.rules.refreshes)
        if answer.size <= self.rules.memory:
            self._known = None
            self._held[key] = held
            self._held_size += answer.size
            while self._held_size > self.rules.memory or len(self._held) > self.rules.answers:
                self._drop(next(iter(self._held)))
        return held

    def _drop(self, key: str) -> None:
        held = self._held.pop(key, None)
        if held is not None:
            self._known = None
            self._held_size -= held.answer.size

    def _remember_failure(self, key: str, text: str) -> None:
        if len(self._failures) >= self.rules.answers:
            self._failures.clear()
        self._failures[key] = (self._clock() + timedelta(seconds=self.rules.retry_seconds), text)

    def _failed(self, wanted: Wanted, text: str) -> FetchFailure:
        self.counters["failures"] += 1
        return FetchFailure(wanted=wanted, text=text)


def _key(wanted: Wanted) -> str:
    """What an answer is kept under: kind, address, and the question where the address alone does not say it."""
    question = wanted.request.hex() if isinstance(wanted, Ocsp) else ""
    return f"{type(wanted).__name__} {wanted.url} {question}"
