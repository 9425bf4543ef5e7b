"""What all sessions of one process share.

Does: hold configuration, keys, connections and the journal; count sessions and the memory of messages; check passwords;
run messages in tasks of their own and log what became of them. Does not: speak SMTP (`session`, `connection`), or know
the way of a message (`planning`, `dispatch`).
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from time import perf_counter
from typing import Any, Protocol

import structlog

from smime_engine.addresses import comparable_address
from smime_engine.sources.http import Fetcher, FetchRules
from smime_engine.sources.network_guard import AddressGuard
from smime_engine.trust.collection_files import collection_of
from smime_smtp_relay.config import Configuration
from smime_smtp_relay.connection import tls_context
from smime_smtp_relay.correspondents import load_correspondents, read_certificates
from smime_smtp_relay.delivery import Pool
from smime_smtp_relay.dispatch import Dispatcher, Outcome, Submission
from smime_smtp_relay.identities import load_identities, read_password
from smime_smtp_relay.journal import Journal
from smime_smtp_relay.metrics import Metrics
from smime_smtp_relay.opening import InboundPlanner, load_key_rings
from smime_smtp_relay.parcels import Planner
from smime_smtp_relay.passwords import NOBODY, PasswordCheck
from smime_smtp_relay.planning import OutboundPlanner
from smime_smtp_relay.replies import Reply
from smime_smtp_relay.tenants import exchange_settings

__all__ = ["Gateway", "Memory"]


class Session(Protocol):
    """What the gateway knows of a session."""

    @property
    def client(self) -> str:
        """The client's IP address."""

    def drain(self) -> None:
        """End after the running transaction."""

    def cut(self) -> None:
        """End at once."""


class Memory:
    """How many bytes of messages are held, and may be."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.used = 0

    def take(self, size: int) -> bool:
        """Account for more bytes; False, and nothing taken, where that is too much."""
        if self.used + size > self._limit:
            return False
        self.used += size
        return True

    def give_back(self, size: int) -> None:
        """Account for bytes that are free again."""
        self.used -= size


class Gateway:
    """Everything that one process needs to take, sign and deliver mail."""

    def __init__(
        self,
        configuration: Configuration,
        *,
        clock: Callable[[], datetime] | None = None,
        journal: Journal | None = None,
    ) -> None:
        """`journal` is one in memory that another configuration has used until now."""
        next_hop = configuration.next_hop
        password = None if next_hop.password_file is None else read_password(next_hop.password_file).decode()
        self.configuration = configuration
        self.clock = clock or (lambda: datetime.now(UTC))
        self.pool = Pool(next_hop, tls_context(next_hop), hostname=configuration.hostname, password=password)
        verification = configuration.verification
        trust = None if verification.trust is None else collection_of(read_certificates(verification.trust))
        correspondents = load_correspondents(configuration.recipients, harvested=verification.harvest, roots=trust)
        self.identities = load_identities(configuration.identity)
        alone = configuration.workers == 1 and (os.cpu_count() or 1) > 1
        wanted = alone if configuration.signing.rsa_in_threads is None else configuration.signing.rsa_in_threads
        # Two: with more they spend their time waiting for the interpreter's lock (measured: a fifth slower with six).
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="signing") if wanted else None
        outbound = OutboundPlanner(
            signing=configuration.signing,
            identities=self.identities,
            correspondents=correspondents,
            rules=configuration.rule_book(exchange_settings(configuration)),
            owns=self.owns,
            threads=self._threads,
        )
        self._inbound = InboundPlanner(
            signing=configuration.signing,
            server=configuration.hostname,
            rules=configuration.inbound_book(),
            rings=load_key_rings(configuration.decryption),
            trust=trust,
            verification=verification,
            correspondents=correspondents,
        )
        self.planners: dict[str, Planner] = {"outbound": outbound, "inbound": self._inbound}
        """By the direction of a listener."""
        self._journal = journal or Journal(configuration.journal.file)
        self._keeps_journal = True
        self.metrics = Metrics()
        self.trouble = ""
        """Why the next hop took no mail when it was last asked; empty when it did."""
        self._dispatchers = {
            direction: Dispatcher(
                planner,
                self.pool,
                self._journal,
                hostname=configuration.hostname,
                clock=self.clock,
                building=partial(self.metrics.observe, "smime_relay_building_seconds", direction=direction),
            )
            for direction, planner in self.planners.items()
        }
        self._fetcher: Fetcher | None = None
        self.memory = Memory(configuration.limits.memory)
        self.sessions: set[Session] = set()
        self.log: Any = structlog.get_logger("smime_smtp_relay")
        self._clients: Counter[str] = Counter()
        self._changed = asyncio.Event()
        self._background: set[asyncio.Task[None]] = set()
        self._running: set[asyncio.Task[Outcome]] = set()
        self._passwords = PasswordCheck()
        # One scrypt takes 32 MiB and a core: a flood of logins must not take more.
        self._login_slots = asyncio.Semaphore(2)
        self._owned = {name: _senders(user.senders) for name, user in configuration.users.items()}

    @property
    def shared_journal(self) -> Journal | None:
        """The journal for another configuration to go on with, where it is in memory; it is no longer ours to close."""
        if self.configuration.journal.file is not None:
            return None
        self._keeps_journal = False
        return self._journal

    def metrics_text(self) -> str:
        """All numbers in Prometheus' format."""
        gauges: list[tuple[str, tuple[tuple[str, str], ...], float]] = [
            ("smime_relay_sessions", (), len(self.sessions)),
            ("smime_relay_memory_bytes", (), self.memory.used),
            ("smime_relay_next_hop_connections_opened", (), self.pool.opened),
        ]
        for identity in self.identities.all:
            labels = (("file", identity.name), ("subject", identity.certificate.subject))
            gauges.append(
                ("smime_relay_certificate_expiry_seconds", labels, identity.certificate.not_after.timestamp())
            )
        return self.metrics.text(gauges)

    async def start(self) -> None:
        """Open what needs a running loop."""
        verification = self.configuration.verification
        if verification.fetch:
            rules = FetchRules(guard=AddressGuard(allowed=verification.networks))
            self._fetcher = self._inbound.fetcher = await Fetcher(rules).__aenter__()

    def entered(self, session: Session) -> bool:
        """Count a new session; False where there are too many, and then `left` must not be called."""
        limits = self.configuration.limits
        if len(self.sessions) >= limits.sessions or self._clients[session.client] >= limits.sessions_per_client:
            self.log.warning("session.refused", client=session.client, sessions=len(self.sessions))
            return False
        self.sessions.add(session)
        self._clients[session.client] += 1
        return True

    def left(self, session: Session) -> None:
        """Count a session that has ended."""
        self.sessions.discard(session)
        self._changed.set()
        self._clients[session.client] -= 1
        if self._clients[session.client] <= 0:
            del self._clients[session.client]

    async def close(self) -> None:
        """Give up what still runs, and close the connections to the next hop."""
        tasks = (*self._running, *self._background)
        for task in tasks:
            task.cancel()
        if tasks:
            # In Python 3.11 wait_for, which aiosmtplib uses, can swallow a cancellation: do not wait for ever.
            await asyncio.wait(tasks, timeout=5)
        await self.pool.close()
        if self._threads is not None:
            self._threads.shutdown(wait=False)
        if self._fetcher is not None:
            await self._fetcher.__aexit__(None, None, None)
        if self._keeps_journal:
            self._journal.close()

    def in_background(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something that nobody waits for."""
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def quiet(self) -> None:
        """Wait until the last session has ended and the last message is processed."""
        while self.sessions or self._running:
            self._changed.clear()
            await self._changed.wait()

    def submit(self, submission: Submission, direction: str) -> asyncio.Task[Outcome]:
        """Process a message in a task of its own, which goes on when the client's session ends."""
        task = asyncio.create_task(self._processed(submission, direction))
        self._running.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[Outcome]) -> None:
        self._running.discard(task)
        self._changed.set()

    async def login(self, name: str, password: bytes) -> bool:
        """Whether this is the user's password; takes as long for users that do not exist."""
        user = self.configuration.users.get(name)
        stored = NOBODY if user is None else user.password
        if self._passwords.remembers(password, stored):
            return True
        async with self._login_slots:
            return await asyncio.to_thread(self._passwords.check, password, stored)

    def owns(self, user: str, address: str) -> bool:
        """Whether a user may send as an address."""
        senders = self._owned[user]
        comparable = comparable_address(address)
        return not senders or (
            comparable is not None and (comparable in senders or f"@{comparable.rpartition('@')[2]}" in senders)
        )

    async def _processed(self, submission: Submission, direction: str) -> Outcome:
        started = perf_counter()
        outcome = await self._dispatchers[direction].dispatch(submission)
        seconds = perf_counter() - started
        event = _event(outcome.replies)
        self.metrics.count("smime_relay_messages_total", direction=direction, outcome=event.partition(".")[2])
        self.metrics.count("smime_relay_bytes_total", len(submission.order.message), direction=direction)
        self.metrics.observe("smime_relay_message_seconds", seconds, direction=direction)
        self._report(event, submission, outcome, milliseconds=round(seconds * 1000, 2))
        return outcome

    def _report(self, event: str, submission: Submission, outcome: Outcome, *, milliseconds: float) -> None:
        arrival, order = submission.arrival, submission.order
        self.log.info(
            event,
            id=arrival.identifier,
            client=arrival.client,
            origin=order.forwarded.address,
            user=order.user,
            sender=order.mail.sender,
            recipients=arrival.recipients[:10],
            recipient_count=len(arrival.recipients),
            size=len(order.message),
            reason=outcome.reason,
            replies=[str(reply) for reply in outcome.replies[:10]],
            perhaps_delivered=outcome.perhaps_delivered,
            milliseconds=milliseconds,
        )


def _event(replies: tuple[Reply, ...]) -> str:
    if all(reply.positive for reply in replies):
        return "message.delivered"
    if any(reply.positive for reply in replies):
        return "message.divided"
    return "message.deferred" if any(reply.temporary for reply in replies) else "message.refused"


def _senders(senders: tuple[str, ...]) -> frozenset[str]:
    # A domain is written with a leading `@`: give it a local part for the comparison and take it away again.
    comparable = (comparable_address(f"x{sender}" if sender.startswith("@") else sender) for sender in senders)
    return frozenset(
        text[1:] if sender.startswith("@") else text
        for sender, text in zip(senders, comparable, strict=True)
        if text is not None
    )
