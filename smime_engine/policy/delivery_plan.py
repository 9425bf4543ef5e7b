"""Who gets which form of a message: a pure function of facts, rules, and what is known about certificates.

Does: decide about signing and, for each recipient, about encryption; put recipients who get the same octets together;
keep Bcc recipients out of sight; refuse those for whom a rule cannot be kept. Does not: find certificates, choose
algorithms (`policy.capabilities`) or build anything. Two promises: no recipient is ever left out silently, and a
message whose rule is encryption never leaves in clear.

RFC 8551 section 3 (signing before encrypting), RFC 5322 section 3.6.3 (Bcc), MIP labels (`msip_labels`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from smime_engine.addresses import comparable_address
from smime_engine.policy.forking import forked
from smime_engine.policy.rules import Encryption, OutboundRules, Signing
from smime_engine.policy.sending import (
    Leave,
    OutgoingMessage,
    Protection,
    Reason,
    Refuse,
    SigningDecision,
    SigningRules,
    plan_signing,
)
from smime_engine.policy.smime_config import BccForking

__all__ = [
    "DeliveryPlan",
    "Knowledge",
    "RecipientRefusal",
    "RefusalReason",
    "Variant",
    "plan_delivery",
    "refusal_at_rcpt",
]


class Knowledge(Enum):
    """What is known about a recipient's certificate for encryption."""

    USABLE = "usable"
    MISSING = "missing"
    """There is none, or none that may be used now."""
    UNKNOWN = "unknown"
    """The directory does not answer: nobody knows, and nobody guesses."""


class RefusalReason(Enum):
    """Why a recipient does not get the message; the value is a text for people that may be told to a peer."""

    NO_CERTIFICATE = "mail to this recipient must be encrypted, and there is no usable certificate for it"
    DIRECTORY_DOWN = "the directory of certificates does not answer"
    ENCRYPTION_FORBIDDEN = "the sender asks for encryption, and the rule for this recipient forbids it"
    LABELLED = "mail to this recipient must be encrypted, and a message with a protection label cannot be"

    @property
    def is_temporary(self) -> bool:
        """Whether trying again later may help."""
        return self is RefusalReason.DIRECTORY_DOWN


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipientRefusal:
    """One recipient for whom the rules cannot be kept."""

    recipient: str
    reason: RefusalReason


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One form of the message, and who gets it."""

    recipients: tuple[str, ...]
    encrypted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryPlan:
    """Everything that is to be done."""

    signing: SigningDecision
    variants: tuple[Variant, ...]
    """Each accepted recipient stands in exactly one of them."""
    refusals: tuple[RecipientRefusal, ...]
    removed_tags: tuple[str, ...] = ()
    """Subject tags that leave the message."""
    removed_fields: tuple[str, ...] = ()
    """Header fields that leave the message."""


def plan_delivery(
    message: OutgoingMessage,
    recipients: Sequence[str],
    rules: OutboundRules,
    signing: SigningRules,
    *,
    has_key: Callable[[str], bool],
    knowledge: Mapping[str, Knowledge],
    owned: Callable[[str], bool] | None = None,
) -> DeliveryPlan:
    """Plan a message. `knowledge` is asked for the recipients that may be encrypted to; missing entries mean UNKNOWN.

    `has_key` and `owned` as in `plan_signing`. Recipients are kept as written, each once.
    """
    asked = message.asks_for(rules.encrypt_triggers)
    refusals: list[RecipientRefusal] = []
    encrypted: list[str] = []
    plain: list[str] = []
    for recipient in dict.fromkeys(recipients):
        outcome = _outcome(recipient, message, rules, knowledge, asked=asked)
        if isinstance(outcome, RefusalReason):
            refusals.append(RecipientRefusal(recipient=recipient, reason=outcome))
        else:
            (encrypted if outcome else plain).append(recipient)
    variants = [Variant(recipients=group, encrypted=True) for group in _forked(encrypted, message, rules.bcc)]
    if plain:
        variants.append(Variant(recipients=tuple(plain), encrypted=False))
    triggers = (rules.sign_triggers, rules.encrypt_triggers)
    return DeliveryPlan(
        signing=_signing(message, rules, signing, has_key, owned),
        variants=tuple(variants),
        refusals=tuple(refusals),
        removed_tags=tuple(dict.fromkeys(tag for trigger in triggers for tag in trigger.subject_tags)),
        removed_fields=tuple(dict.fromkeys(field.name for trigger in triggers for field in trigger.fields)),
    )


def refusal_at_rcpt(recipient: str, rules: OutboundRules, knowledge: Knowledge) -> RefusalReason | None:
    """Why a recipient can be refused before the message is known, or None: the rule that no message can change."""
    if rules.encryption_for(recipient) is not Encryption.REQUIRED or knowledge is Knowledge.USABLE:
        return None
    return RefusalReason.NO_CERTIFICATE if knowledge is Knowledge.MISSING else RefusalReason.DIRECTORY_DOWN


def _outcome(
    recipient: str,
    message: OutgoingMessage,
    rules: OutboundRules,
    knowledge: Mapping[str, Knowledge],
    *,
    asked: bool,
) -> RefusalReason | bool:
    """Whether the recipient gets the message encrypted, or why not at all."""
    wanted = rules.encryption_for(recipient)
    if message.protection is Protection.ENCRYPTED:
        return False
    if asked and wanted is Encryption.NEVER:
        return RefusalReason.ENCRYPTION_FORBIDDEN
    required = asked or wanted is Encryption.REQUIRED
    if message.labelled:
        return RefusalReason.LABELLED if required else False
    if not required and wanted is not Encryption.WHEN_POSSIBLE:
        return False
    known = knowledge.get(recipient, Knowledge.UNKNOWN)
    if known is Knowledge.USABLE:
        return True
    if known is Knowledge.UNKNOWN:
        return RefusalReason.DIRECTORY_DOWN
    return RefusalReason.NO_CERTIFICATE if required else False


def _forked(recipients: Sequence[str], message: OutgoingMessage, bcc: BccForking) -> tuple[tuple[str, ...], ...]:
    """Recipients of one encrypted message each: everybody who can read it can see who else can."""
    # An address that cannot be compared is nobody's in To or Cc: whoever may be hidden is hidden.
    visible = {comparable_address(address) for address in message.visible_recipients} - {None}
    shown = [recipient for recipient in recipients if comparable_address(recipient) in visible]
    hidden = [recipient for recipient in recipients if comparable_address(recipient) not in visible]
    return forked(shown, hidden, bcc)


def _signing(
    message: OutgoingMessage,
    rules: OutboundRules,
    signing: SigningRules,
    has_key: Callable[[str], bool],
    owned: Callable[[str], bool] | None,
) -> SigningDecision:
    asked = message.asks_for(rules.sign_triggers)
    if message.labelled:
        return Leave(reason=Reason.LABELLED)
    if not asked and rules.sign is not Signing.ALWAYS:
        return Leave(reason=Reason.NOT_WANTED)
    decision = plan_signing(message, signing, has_key=has_key, owned=owned)
    if asked and isinstance(decision, Leave) and decision.reason in (Reason.NO_KEY, Reason.NO_AUTHOR):
        # Who asks for a signature does not want the message to leave without one.
        return Refuse(reason=decision.reason)
    return decision
