"""What the gateway does with a message: decisions of the engine's policy translated into SMTP.

Pure. Does: turn a decision, or the error that prevented one, into Accept, Replace, Reject or Defer, with reply codes
(RFC 5321), enhanced status codes (RFC 3463) and texts. Does not: decide anything about S/MIME; that is
`smime_engine.policy.sending`. Texts for our peers say what the sender can do, never how cryptography failed.
"""

from __future__ import annotations

from dataclasses import dataclass

from smime_engine.errors import MalformedMessage, SmimeError, SourceUnavailable
from smime_engine.policy.delivery_plan import RefusalReason
from smime_engine.policy.sending import Otherwise, Reason, Refuse
from smime_smtp_relay.config import Signing
from smime_smtp_relay.replies import Reply

__all__ = ["Accept", "Action", "Defer", "Reject", "Replace", "for_error", "for_recipient", "for_refusal"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Accept:
    """Deliver the message as it came."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Replace:
    """Deliver this message instead of the one that came."""

    message: bytes
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reject:
    """Refuse the message for good (5yz)."""

    reply: Reply
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Defer:
    """Refuse the message for now (4yz): the client keeps it and comes again."""

    reply: Reply
    reason: str


Action = Accept | Replace | Reject | Defer

# RFC 3463 section 3.8: 5.7.1 delivery not authorised; 5.6.0 other content error.
_REFUSALS = {
    Reason.NOT_BOUND: ("5.7.1", "{address} is not an address of the sender"),
    Reason.SEVERAL_AUTHORS: ("5.6.0", "several authors in From, and no Sender field says who sends (RFC 5322)"),
    Reason.AMBIGUOUS_AUTHOR: ("5.6.0", "From or Sender is malformed or given twice (RFC 5322)"),
    Reason.NO_AUTHOR: ("5.6.0", "the message has no From field with an address"),
}


def for_refusal(refusal: Refuse, signing: Signing) -> Reject:
    """The reply for a message that the policy does not let out."""
    if refusal.reason is Reason.NO_KEY:
        enhanced, text = signing.no_key_status, "{address} has no signing key at this gateway"
    else:
        enhanced, text = _REFUSALS.get(refusal.reason, ("5.7.1", refusal.reason.value))
    text = text.format(address=refusal.address or "the author")
    return Reject(reply=Reply(code=550, enhanced=enhanced, text=text), reason=refusal.reason.value)


def for_recipient(recipient: str, reason: RefusalReason) -> Reply:
    """The reply for a recipient for whom a rule cannot be kept (RFC 3463 section 3.5: 4.4.3 directory failure)."""
    text = f"<{recipient}>: {reason.value}"
    if reason is RefusalReason.DIRECTORY_DOWN:
        return Reply(code=451, enhanced="4.4.3", text=text)
    return Reply(code=550, enhanced="5.7.5" if reason is RefusalReason.NO_CERTIFICATE else "5.7.1", text=text)


def for_error(error: SmimeError, signing: Signing) -> Action:
    """What happens to a message that the engine could not handle.

    Malformed mail is passed or refused as configured; a source that does not answer defers; everything else is our
    own fault (a key that cannot sign, say): the client keeps the message until an operator has mended it.
    """
    if isinstance(error, MalformedMessage):
        if signing.malformed is Otherwise.PASS:
            return Accept(reason="malformed")
        return Reject(reply=Reply(code=554, enhanced="5.6.0", text="the message is malformed"), reason="malformed")
    if isinstance(error, SourceUnavailable):
        return Defer(
            reply=Reply(code=451, enhanced="4.4.3", text="a directory or key store does not answer"), reason=str(error)
        )
    return Defer(reply=Reply(code=451, enhanced="4.3.5", text="the gateway cannot sign now"), reason=str(error))
