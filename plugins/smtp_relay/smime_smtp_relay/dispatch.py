"""Deliver the parcels of a message, and say for each recipient what became of it.

Does: deliver through the client's own transaction where one parcel goes to everybody, else one transaction for each
parcel; with SMTP merge the recipients' outcomes into one honest reply, with the help of the delivery journal and of
notices to the sender. Does not: plan or build parcels (`planning`, `opening`), or keep messages.

| outcome with SMTP | reply |
|---|---|
| everybody has it | 250 |
| nobody has it | the first temporary reply, else the first permanent one |
| some have it, some may get it later | 451; the journal remembers who has it, and the next attempt leaves them out |
| some have it, the others never will | a notice about these goes to the sender; then 250 |
| the same, and the journal cannot be written | as if the others never will: a retry would reach everybody again |

With LMTP (RFC 2033) each recipient has a reply of its own, and none of this is needed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from time import perf_counter

from smime_engine.errors import SourceUnavailable
from smime_smtp_relay.actions import Accept, Action, Defer, Reject, Replace
from smime_smtp_relay.connection import NextHopUnavailable
from smime_smtp_relay.delivery import Pool, Transaction
from smime_smtp_relay.envelope import MailCommand, RecipientCommand
from smime_smtp_relay.incoming import with_normal_line_ends
from smime_smtp_relay.journal import Journal, digest_of, fingerprint
from smime_smtp_relay.notices import Failure, failure_notice, wants_notice
from smime_smtp_relay.parcels import Order, Parcel, Planned, Planner
from smime_smtp_relay.replies import Reply
from smime_smtp_relay.trace import Arrival, received_field

__all__ = ["Dispatcher", "Outcome", "Submission"]

_CLIENT_GONE = Reply(code=451, enhanced="4.4.2", text="the client has gone")
_NO_EIGHT_BIT = Reply(code=554, enhanced="5.6.3", text="the next hop takes no 8-bit content")
_NO_JOURNAL = Reply(code=451, enhanced="4.3.0", text="the delivery journal does not answer")
_DELIVERED_BEFORE = Reply(code=250, enhanced="2.0.0", text="delivered before")


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A message that a client has handed over and waits for the reply to."""

    order: Order
    arrival: Arrival
    transaction: Transaction
    """Open at the next hop, with every recipient that it accepted."""
    wanted: Callable[[], bool]
    """Whether the client is still there to hear the reply."""
    one_reply: bool = True
    """SMTP; with LMTP each recipient has its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a message."""

    replies: tuple[Reply, ...]
    """One for each recipient in the order of the RCPT commands, or a single one for all."""
    reason: str
    perhaps_delivered: bool = False
    """The next hop did not answer after the end of the content: it may have the message or not."""


class Dispatcher:
    """Brings messages to their end."""

    def __init__(
        self,
        planner: Planner,
        pool: Pool,
        journal: Journal,
        *,
        hostname: str,
        clock: Callable[[], datetime],
        building: Callable[[float], None] = lambda _: None,
    ) -> None:
        """`building` is told how many seconds planning and building a message took."""
        self._planner = planner
        self._pool = pool
        self._journal = journal
        self._hostname = hostname
        self._clock = clock
        self._building = building

    async def dispatch(self, submission: Submission) -> Outcome:
        """Plan, build and deliver; the submission's transaction is over afterwards."""
        try:
            started = perf_counter()
            planned = await self._planner.plan(submission.order, now=self._clock())
            self._building(perf_counter() - started)
            if isinstance(planned, Planned):
                return await _Delivery(self, submission, planned).run()
            if isinstance(planned, Reject | Defer):
                return Outcome(replies=(planned.reply,), reason=planned.reason)
            message = planned.message if isinstance(planned, Replace) else submission.order.message
            reply = await self.deliver(submission.transaction, with_normal_line_ends(message), submission)
            return Outcome(replies=(reply,), reason=planned.reason)
        except NextHopUnavailable as error:
            return Outcome(replies=(error.reply,), reason=error.detail, perhaps_delivered=error.perhaps_delivered)
        except SourceUnavailable as error:
            return Outcome(replies=(_NO_JOURNAL,), reason=str(error))
        finally:
            await submission.transaction.abandon()

    async def deliver(self, transaction: Transaction, message: bytes, submission: Submission) -> Reply:
        """Hand over one parcel in an open transaction, under a trace field of ours."""
        if "8bitmime" not in transaction.extensions and not message.isascii():
            return _NO_EIGHT_BIT
        # Who has gone does not hear our 250 and will send the message again: do not deliver it twice.
        if not submission.wanted():
            return _CLIENT_GONE
        trace = received_field(submission.arrival, hostname=self._hostname, now=self._clock())
        return await transaction.deliver(trace + message)


class _Delivery:
    """One message on its way to several recipients."""

    def __init__(self, dispatcher: Dispatcher, submission: Submission, planned: Planned) -> None:
        self._dispatcher = dispatcher
        self._submission = submission
        self._planned = planned
        self._journal = dispatcher._journal  # noqa: SLF001 - two halves of one thing
        self._replies: dict[str, Reply] = {}
        self._perhaps_delivered = False
        self._remembered = True
        self._fingerprint = b""

    async def run(self) -> Outcome:
        planned, one_reply = self._planned, self._submission.one_reply
        before = await self._delivered_before() if planned.divisible else frozenset[bytes]()
        parcels, refusals = planned.parcels, planned.refusals
        if len(parcels) == 1 and parcels[0].redirect is None and not refusals and not before:
            return self._outcome((await self._whole(parcels[0]),))
        if refusals and one_reply and not before:
            # Nobody has it yet: the client learns at once that it cannot go to all of them.
            return self._outcome((_worst(refusals.values()),))
        self._replies = dict(refusals)
        await self._submission.transaction.abandon()
        for parcel in parcels:
            await self._parcel(parcel, before)
        if one_reply:
            return self._outcome((await self._merged(),))
        commands = self._submission.order.recipients
        return self._outcome(tuple(self._replies[command.recipient] for command in commands))

    def _outcome(self, replies: tuple[Reply, ...]) -> Outcome:
        return Outcome(replies=replies, reason=self._planned.reason, perhaps_delivered=self._perhaps_delivered)

    async def _whole(self, parcel: Parcel) -> Reply:
        """Everybody gets the same: the client's own transaction carries it."""
        action = await self._built(parcel)
        if not isinstance(action, Accept | Replace):
            return action.reply
        message = action.message if isinstance(action, Replace) else self._planned.message
        return await self._dispatcher.deliver(self._submission.transaction, message, self._submission)

    async def _built(self, parcel: Parcel) -> Action:
        started = perf_counter()
        action = await self._planned.build(parcel)
        self._dispatcher._building(perf_counter() - started)  # noqa: SLF001 - see __init__
        return action

    async def _parcel(self, parcel: Parcel, before: frozenset[bytes]) -> None:
        """Deliver one parcel to those who do not have it yet, in a transaction of its own."""
        recipients = [recipient for recipient in parcel.recipients if digest_of(recipient) not in before]
        self._replies.update(dict.fromkeys(parcel.recipients, _DELIVERED_BEFORE))
        if not recipients:
            return
        action = await self._built(parcel)
        if not isinstance(action, Accept | Replace):
            self._replies.update(dict.fromkeys(recipients, action.reply))
            return
        message = action.message if isinstance(action, Replace) else self._planned.message
        transaction = Transaction(self._dispatcher._pool, self._submission.order.forwarded)  # noqa: SLF001 - see __init__
        try:
            taken = await self._announced(transaction, recipients, parcel.redirect)
            if taken:
                reply = await self._dispatcher.deliver(transaction, message, self._submission)
                self._replies.update(dict.fromkeys(taken, reply))
        except NextHopUnavailable as error:
            self._perhaps_delivered |= error.perhaps_delivered
            refused = (recipient for recipient in recipients if self._replies[recipient] is _DELIVERED_BEFORE)
            self._replies.update(dict.fromkeys(refused, error.reply))
        finally:
            await transaction.abandon()
        await self._remember([recipient for recipient in recipients if self._replies[recipient].positive])

    async def _announced(self, transaction: Transaction, recipients: list[str], redirect: str | None) -> list[str]:
        """MAIL and RCPT; the recipients that the next hop takes (the others' replies are noted)."""
        order = self._submission.order
        reply = await transaction.mail(order.mail)
        if reply.positive and redirect is not None:
            reply = await transaction.recipient(RecipientCommand(recipient=redirect))
        if not reply.positive:
            self._replies.update(dict.fromkeys(recipients, reply))
            return []
        if redirect is not None:
            return recipients
        taken = []
        for command in order.recipients:
            if command.recipient in recipients and command.recipient not in taken:
                reply = await transaction.recipient(command)
                if reply.positive:
                    taken.append(command.recipient)
                else:
                    self._replies[command.recipient] = reply
        return taken

    async def _delivered_before(self) -> frozenset[bytes]:
        if not self._submission.one_reply:
            return frozenset()
        order = self._submission.order
        self._fingerprint = await asyncio.to_thread(fingerprint, order.mail.sender, order.message)
        return await asyncio.to_thread(self._journal.delivered, self._fingerprint)

    async def _remember(self, recipients: list[str]) -> None:
        if recipients and self._submission.one_reply:
            try:
                await asyncio.to_thread(self._journal.add, self._fingerprint, recipients)
            except SourceUnavailable:
                self._remembered = False

    async def _merged(self) -> Reply:
        """One reply for all recipients, see the table on top."""
        replies = self._replies.values()
        failed = [reply for reply in replies if not reply.positive]
        if not failed or len(failed) == len(replies):
            reply = _worst(failed) if failed else list(replies)[-1]
        elif self._remembered and any(reply.temporary for reply in failed):
            return _again(len(replies) - len(failed), _worst(failed))
        else:
            told = await self._sender_told()
            if not told.positive:
                return _again(len(replies) - len(failed), told)
            reply = Reply(code=250, enhanced="2.0.0", text="delivered; the sender is told about those who refused")
        with suppress(SourceUnavailable):
            await asyncio.to_thread(self._journal.forget, self._fingerprint)
        return reply

    async def _sender_told(self) -> Reply:
        """Send a notice about the recipients who will never get the message."""
        order, dispatcher = self._submission.order, self._dispatcher
        failures = [
            Failure(command=command, reply=self._replies[command.recipient])
            for command in order.recipients
            if not self._replies[command.recipient].positive and wants_notice(order.mail, command)
        ]
        if not failures:
            return _DELIVERED_BEFORE
        notice = failure_notice(
            order.mail,
            failures,
            self._planned.message,
            hostname=dispatcher._hostname,  # noqa: SLF001 - see __init__
            identifier=self._submission.arrival.identifier,
            now=self._planned.now,
        )
        transaction = Transaction(dispatcher._pool)  # noqa: SLF001 - see __init__
        try:
            utf8 = order.mail.utf8 or not notice.isascii()
            for reply in (
                await transaction.mail(MailCommand(sender="", utf8=utf8, eight_bit=not notice.isascii())),
                await transaction.recipient(RecipientCommand(recipient=order.mail.sender)),
            ):
                if not reply.positive:
                    return reply
            return await transaction.deliver(notice)
        except NextHopUnavailable as error:
            return error.reply
        finally:
            await transaction.abandon()


def _worst(replies: Iterable[Reply]) -> Reply:
    """The first temporary reply, for the client may come again; else the first one."""
    every = list(replies)
    return next((reply for reply in every if reply.temporary), every[0])


def _again(delivered: int, reply: Reply) -> Reply:
    """Some have the message: a temporary reply, whatever the others' was."""
    text = f"delivered to {delivered}, not yet to the others: {reply.text}"
    return Reply(code=451, enhanced=reply.enhanced if reply.temporary else "4.0.0", text=text)
