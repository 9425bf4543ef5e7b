"""What shall happen to a message that leaves: a pure function of facts and rules.

Does: choose whether a message is signed, and as whom (RFC 5322 sections 3.6.2 and 3.6.6: From, Sender and the Resent
fields; RFC 8551 section 3.2: what is already protected stays as it is). Does not: look for keys or read messages; the
adapter gathers both and translates the decision.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from smime_engine.addresses import same_address
from smime_engine.mime.edit import subject_has
from smime_engine.policy.rules import Triggers

__all__ = [
    "Binding",
    "Leave",
    "Otherwise",
    "OutgoingMessage",
    "Protection",
    "Reason",
    "Refuse",
    "SeveralAuthors",
    "Sign",
    "SigningDecision",
    "SigningRules",
    "plan_signing",
]


class Otherwise(Enum):
    """What happens to a message that cannot be signed, or should not be."""

    PASS = "pass"  # noqa: S105 - not a password
    REJECT = "reject"


class SeveralAuthors(Enum):
    """What happens to a message with several addresses in From."""

    SENDER = "sender"
    """The Sender field, which RFC 5322 demands there, says who signs; without it the message is refused."""
    PASS = "pass"  # noqa: S105 - not a password
    REJECT = "reject"


class Binding(Enum):
    """What the address that signs must agree with, besides having a key."""

    NONE = "none"
    """Nothing: every client of the gateway may send as everybody."""
    ENVELOPE = "envelope"
    """The envelope's sender."""
    AUTHENTICATED = "authenticated"
    """The addresses that belong to the user who logged in."""


class Reason(Enum):
    """Why a decision was taken; the value is a text for people that may be told to a peer."""

    SIGNED_AS_AUTHOR = "signed as the author"
    SIGNED_AS_SENDER = "signed as the sender"
    ALREADY_PROTECTED = "already signed or encrypted"
    LABELLED = "labelled as protected by other means"
    NOT_WANTED = "no rule asks for a signature"
    NULL_SENDER = "a bounce or other report"
    RESENT = "resent by somebody else than its author"
    NO_AUTHOR = "the message names no author"
    SEVERAL_AUTHORS = "the message names several authors"
    AMBIGUOUS_AUTHOR = "From or Sender can be read in several ways"
    NO_KEY = "there is no signing key for the author"
    NOT_BOUND = "the author is not who sends"


class Protection(Enum):
    """How a message is protected already."""

    NONE = "none"
    SIGNED = "signed"
    ENCRYPTED = "encrypted"


@dataclass(frozen=True, slots=True, kw_only=True)
class OutgoingMessage:
    """The facts of one message that matter here."""

    envelope_sender: str
    """The return path; empty for bounces."""

    authors: tuple[str, ...]
    """The addresses of the From field."""

    sender: str | None
    """The address of the Sender field, if there is one."""

    ambiguous: bool
    """Whether From or Sender can be read in several ways: one signs as somebody and readers see somebody else."""

    protection: Protection
    """Whether it is signed or encrypted already, with S/MIME or OpenPGP."""

    resent: bool
    """Whether it has Resent fields."""

    labelled: bool = False
    """Whether a sensitivity label says that it is protected by other means (rights management)."""

    subject: str = ""
    """The decoded Subject."""

    visible_recipients: tuple[str, ...] = ()
    """The addresses of To and Cc; who else gets the message is a secret."""

    fields: tuple[tuple[str, str], ...] = ()
    """Names (lower case) and values of all header fields."""

    def asks_for(self, triggers: Triggers) -> bool:
        """Whether the Subject or a header field contains one of the triggers."""
        return any(subject_has(self.subject, tag) for tag in triggers.subject_tags) or any(
            name == field.name.lower() and (field.value is None or value.casefold() == field.value.casefold())
            for field in triggers.fields
            for name, value in self.fields
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningRules:
    """The operator's choices."""

    without_key: Otherwise = Otherwise.PASS
    binding: Binding = Binding.NONE
    not_bound: Otherwise = Otherwise.REJECT
    several_authors: SeveralAuthors = SeveralAuthors.SENDER
    sign_null_sender: bool = False
    """Bounces carry somebody else's text under the gateway's name."""
    sign_resent: bool = False
    """What is resent was written by the author in From, who may not have asked for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sign:
    """Sign with the key of this address."""

    address: str
    reason: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Leave:
    """Send the message as it is."""

    reason: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Refuse:
    """Do not send the message."""

    reason: Reason
    address: str | None = None
    """The address that the refusal is about."""


SigningDecision = Sign | Leave | Refuse


def plan_signing(
    message: OutgoingMessage,
    rules: SigningRules,
    *,
    has_key: Callable[[str], bool],
    owned: Callable[[str], bool] | None = None,
) -> SigningDecision:
    """Decide whether, and as whom, a message is signed.

    `has_key` says whether a usable key belongs to an address; `owned` whether an address belongs to the user who
    logged in (None: nobody did). Not checked: whether the certificate really names the address.
    """
    if message.protection is not Protection.NONE:
        return Leave(reason=Reason.ALREADY_PROTECTED)
    if not message.envelope_sender and not rules.sign_null_sender:
        return Leave(reason=Reason.NULL_SENDER)
    if message.resent and not rules.sign_resent:
        return Leave(reason=Reason.RESENT)
    if message.ambiguous:
        return _otherwise(rules.not_bound, Reason.AMBIGUOUS_AUTHOR, None)
    candidates = _candidates(message, rules)
    if not isinstance(candidates, tuple):
        return candidates
    bound = [candidate for candidate in candidates if _is_bound(candidate[0], message, rules, owned)]
    if not bound:
        return _otherwise(rules.not_bound, Reason.NOT_BOUND, candidates[0][0])
    for address, reason in bound:
        if has_key(address):
            return Sign(address=address, reason=reason)
    return _otherwise(rules.without_key, Reason.NO_KEY, bound[0][0])


_Candidates = tuple[tuple[str, Reason], ...]


def _candidates(message: OutgoingMessage, rules: SigningRules) -> _Candidates | Leave | Refuse:
    sender: _Candidates = () if message.sender is None else ((message.sender, Reason.SIGNED_AS_SENDER),)
    if len(message.authors) > 1:
        if rules.several_authors is SeveralAuthors.PASS:
            return Leave(reason=Reason.SEVERAL_AUTHORS)
        if rules.several_authors is SeveralAuthors.REJECT or not sender:
            return Refuse(reason=Reason.SEVERAL_AUTHORS)
        return sender
    # Readers compare the signer with From, for that is what people see: a Sender counts only where From alone does
    # not say who sends.
    candidates = tuple((author, Reason.SIGNED_AS_AUTHOR) for author in message.authors) or sender
    return candidates or _otherwise(rules.without_key, Reason.NO_AUTHOR, None)


def _is_bound(address: str, message: OutgoingMessage, rules: SigningRules, owned: Callable[[str], bool] | None) -> bool:
    if rules.binding is Binding.NONE:
        return True
    if rules.binding is Binding.ENVELOPE:
        return same_address(address, message.envelope_sender)
    return owned is not None and owned(address)


def _otherwise(choice: Otherwise, reason: Reason, address: str | None) -> Leave | Refuse:
    return Leave(reason=reason) if choice is Otherwise.PASS else Refuse(reason=reason, address=address)
