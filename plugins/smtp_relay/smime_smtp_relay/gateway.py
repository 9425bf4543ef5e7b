"""The way of one message through the gateway, and what all sessions share.

Does: gather the facts of a message, ask the policy, sign, deliver, log; count sessions and the memory of messages;
check passwords. Does not: speak SMTP (`session`, `connection`) or decide about S/MIME (`smime_engine.policy`).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from time import perf_counter
from typing import Any, Protocol

import structlog

from smime_engine.addresses import comparable_address
from smime_engine.errors import SmimeError
from smime_engine.policy.outgoing import outgoing_message
from smime_engine.policy.sending import Refuse, Sign, plan_signing
from smime_smtp_relay.actions import Accept, Action, Reject, Replace, for_error, for_refusal
from smime_smtp_relay.config import Configuration
from smime_smtp_relay.connection import NextHopUnavailable, tls_context
from smime_smtp_relay.delivery import Pool, Transaction
from smime_smtp_relay.envelope import MailCommand
from smime_smtp_relay.identities import Identities, SigningIdentity, load_identities, read_password
from smime_smtp_relay.incoming import has_bare_line_ends, with_normal_line_ends
from smime_smtp_relay.passwords import NOBODY, PasswordCheck
from smime_smtp_relay.replies import Reply
from smime_smtp_relay.trace import Arrival, hop_count, received_field

__all__ = ["Gateway", "Memory", "Submission"]

_HOPS = 50
_CLIENT_GONE = Reply(code=451, enhanced="4.4.2", text="the client has gone")
_BARE_LINE_END = Reply(code=550, enhanced="5.5.2", text="bare CR or LF in the message (RFC 5321 section 2.3.8)")
_LOOP = Reply(code=554, enhanced="5.4.6", text="too many hops: a mail loop")
_NO_EIGHT_BIT = Reply(code=554, enhanced="5.6.3", text="the next hop takes no 8-bit content")


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A message that a client has handed over and waits for the reply to."""

    message: bytes
    mail: MailCommand
    arrival: Arrival
    user: str | None
    """Who logged in."""
    transaction: Transaction
    """Open at the next hop, with every recipient that it accepted."""
    wanted: Callable[[], bool]
    """Whether the client is still there to hear the reply."""


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

    def __init__(self, configuration: Configuration, *, clock: Callable[[], datetime] | None = None) -> None:
        next_hop = configuration.next_hop
        password = None if next_hop.password_file is None else read_password(next_hop.password_file).decode()
        self.configuration = configuration
        self.identities: Identities = load_identities(
            configuration.identity, clear=configuration.signing.form == "clear"
        )
        self.pool = Pool(next_hop, tls_context(next_hop), hostname=configuration.hostname, password=password)
        self.memory = Memory(configuration.limits.memory)
        self.sessions: set[Session] = set()
        self._clients: Counter[str] = Counter()
        self._changed = asyncio.Event()
        self._background: set[asyncio.Task[None]] = set()
        self.log: Any = structlog.get_logger("smime_smtp_relay")
        self._clock = clock or (lambda: datetime.now(UTC))
        self._passwords = PasswordCheck()
        # One scrypt takes 32 MiB and a core: a flood of logins must not take more.
        self._login_slots = asyncio.Semaphore(2)
        self._running: set[asyncio.Task[Reply]] = set()
        self._rules = configuration.signing.rules
        self._owned = {name: _senders(user.senders) for name, user in configuration.users.items()}

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

    def submit(self, submission: Submission) -> asyncio.Task[Reply]:
        """Process a message in a task of its own, which goes on when the client's session ends."""
        task = asyncio.create_task(self._processed(submission))
        self._running.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[Reply]) -> None:
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

    async def _processed(self, submission: Submission) -> Reply:
        started = perf_counter()
        perhaps_delivered = False
        try:
            message, action = await self._action(submission)
            reply = await self._carried_out(action, message, submission)
            reason = action.reason
        except NextHopUnavailable as error:
            reply, reason, perhaps_delivered = error.reply, error.detail, error.perhaps_delivered
        finally:
            await submission.transaction.abandon()
        self._report(submission, reply, reason, started, perhaps_delivered=perhaps_delivered)
        return reply

    async def _action(self, submission: Submission) -> tuple[bytes, Action]:
        """The message with proper line ends, and what shall happen to it."""
        signing = self.configuration.signing
        message = submission.message
        if signing.line_ends == "reject" and has_bare_line_ends(message):
            return message, Reject(reply=_BARE_LINE_END, reason="bare CR or LF")
        message = with_normal_line_ends(message)
        if hop_count(message) > _HOPS:
            return message, Reject(reply=_LOOP, reason="too many hops")
        try:
            return message, await self._signed(message, submission)
        except SmimeError as error:
            return message, for_error(error, signing)

    async def _signed(self, message: bytes, submission: Submission) -> Action:
        now = self._clock()
        user = submission.user
        decision = plan_signing(
            outgoing_message(message, envelope_sender=submission.mail.sender),
            self._rules,
            has_key=lambda address: self.identities.find(address, now=now) is not None,
            owned=None if user is None else lambda address: self.owns(user, address),
        )
        if isinstance(decision, Refuse):
            return for_refusal(decision, self.configuration.signing)
        if not isinstance(decision, Sign):
            return Accept(reason=decision.reason.value)
        identity = self.identities.find(decision.address, now=now)
        assert identity is not None
        return Replace(message=await self._by_key(identity, message, now), reason=decision.reason.value)

    async def _by_key(self, identity: SigningIdentity, message: bytes, now: datetime) -> bytes:
        sign = identity.signer.sign
        if len(message) > self.configuration.signing.thread_above:
            # Hashing, base64 and RSA release the GIL: other sessions go on meanwhile.
            return await asyncio.to_thread(sign, message, now=now)
        return sign(message, now=now)

    async def _carried_out(self, action: Action, message: bytes, submission: Submission) -> Reply:
        if isinstance(action, Replace):
            message = action.message
        elif not isinstance(action, Accept):
            return action.reply
        trace = received_field(submission.arrival, hostname=self.configuration.hostname, now=self._clock())
        if "8bitmime" not in submission.transaction.extensions and not message.isascii():
            return _NO_EIGHT_BIT
        # Who has gone does not hear our 250 and will send the message again: do not deliver it twice.
        if not submission.wanted():
            return _CLIENT_GONE
        return await submission.transaction.deliver(trace + message)

    def _report(
        self, submission: Submission, reply: Reply, reason: str, started: float, *, perhaps_delivered: bool
    ) -> None:
        delivered, deferred = reply.positive, reply.temporary
        event = "message.delivered" if delivered else "message.deferred" if deferred else "message.refused"
        arrival = submission.arrival
        self.log.info(
            event,
            id=arrival.identifier,
            client=arrival.client,
            user=submission.user,
            sender=submission.mail.sender,
            recipients=arrival.recipients[:10],
            recipient_count=len(arrival.recipients),
            size=len(submission.message),
            reason=reason,
            reply=str(reply),
            perhaps_delivered=perhaps_delivered,
            milliseconds=round((perf_counter() - started) * 1000, 2),
        )


def _senders(senders: tuple[str, ...]) -> frozenset[str]:
    # A domain is written with a leading `@`: give it a local part for the comparison and take it away again.
    comparable = (comparable_address(f"x{sender}" if sender.startswith("@") else sender) for sender in senders)
    return frozenset(
        text[1:] if sender.startswith("@") else text
        for sender, text in zip(senders, comparable, strict=True)
        if text is not None
    )
