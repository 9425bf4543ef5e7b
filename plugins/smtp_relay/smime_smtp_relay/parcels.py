"""What planners give and the dispatcher takes: a message divided into parcels, each with its recipients.

Pure values, and the one interface with two implementations: mail that leaves (`planning`) and mail that arrives
(`opening`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from smime_smtp_relay.actions import Action, Defer, Reject
from smime_smtp_relay.envelope import UNKNOWN_CLIENT, ForwardedClient, MailCommand, RecipientCommand
from smime_smtp_relay.incoming import has_bare_line_ends, with_normal_line_ends
from smime_smtp_relay.replies import Reply
from smime_smtp_relay.trace import hop_count

__all__ = ["Order", "Parcel", "Planned", "Planner", "acceptable"]

_HOPS = 50
_BARE_LINE_END = Reply(code=550, enhanced="5.5.2", text="bare CR or LF in the message (RFC 5321 section 2.3.8)")
_LOOP = Reply(code=554, enhanced="5.4.6", text="too many hops: a mail loop")


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A message as a client handed it over, and for whom."""

    message: bytes
    mail: MailCommand
    recipients: tuple[RecipientCommand, ...]
    user: str | None = None
    """Who logged in."""
    forwarded: ForwardedClient = UNKNOWN_CLIENT
    """Where the server in front of us has it from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """Recipients who get the same octets."""

    recipients: tuple[str, ...]
    redirect: str | None = None
    """Another address that gets it in their place (quarantine)."""
    detail: Any = None
    """What the planner needs to build it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """What is to be done with a message."""

    message: bytes
    """With proper line ends: what a parcel that is accepted as it is consists of."""
    parcels: tuple[Parcel, ...]
    refusals: Mapping[str, Reply]
    """Recipients who do not get it, each with the reply."""
    build: Callable[[Parcel], Awaitable[Action]] = field(repr=False)
    """The octets of a parcel: Replace, Accept (they are those of `message`), or why not."""
    divisible: bool
    """Whether recipients may get different forms, now or when the client comes again."""
    reason: str
    """For the log."""
    now: datetime
    explanation: tuple[str, ...] = ()
    """For people: which rule decided what."""


class Planner(Protocol):
    """Decides what happens to messages of one direction."""

    async def refusal_at_rcpt(self, sender: str, recipient: str, *, now: datetime) -> Reply | None:
        """Why a recipient is refused before the message is known; None: no reason."""

    async def plan(self, order: Order, *, now: datetime) -> Planned | Action:
        """What is to be done, or one action for the whole message."""


def acceptable(message: bytes, *, line_ends: str) -> bytes | Reject | Defer:
    """The message with proper line ends, or why no message like this is taken at all."""
    if line_ends == "reject" and has_bare_line_ends(message):
        return Reject(reply=_BARE_LINE_END, reason="bare CR or LF")
    message = with_normal_line_ends(message)
    if hop_count(message) > _HOPS:
        return Reject(reply=_LOOP, reason="too many hops")
    return message
