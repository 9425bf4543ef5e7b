"""The way of one message: facts, rules, plan, octets, delivery; a reply for each recipient.

Does: ask the policy, build each variant, deliver the variants one after the other, remember what was delivered where
not everybody has it. Does not: speak SMTP (`session`, `connection`) or decide about S/MIME (`smime_engine.policy`).

The promise: a recipient's reply is positive only if the next hop took that recipient's variant, and with SMTP, where
one reply answers for all, only if everybody has it or the sender was told who has not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from msgspec import structs

from smime_engine.certificate import Certificate
from smime_engine.errors import SmimeError
from smime_engine.mime.edit import without_fields, without_subject_tags
from smime_engine.policy.delivery_plan import DeliveryPlan, Knowledge, Variant, plan_delivery, refusal_at_rcpt
from smime_engine.policy.outgoing import detailed, outgoing_message
from smime_engine.policy.rules import Encryption, OutboundRules
from smime_engine.policy.sending import Otherwise, OutgoingMessage, Refuse, Sign
from smime_smtp_relay.actions import Accept, Action, Reject, Replace, for_error, for_recipient, for_refusal
from smime_smtp_relay.config import Signing
from smime_smtp_relay.correspondents import Correspondents
from smime_smtp_relay.envelope import MailCommand, RecipientCommand
from smime_smtp_relay.identities import Identities, SigningIdentity
from smime_smtp_relay.incoming import has_bare_line_ends, with_normal_line_ends
from smime_smtp_relay.outbound_config import RuleBook
from smime_smtp_relay.replies import Reply
from smime_smtp_relay.sealing import Sealer
from smime_smtp_relay.trace import hop_count

__all__ = ["Order", "Planned", "Planner"]

_HOPS = 50
_REJECT = Otherwise.REJECT
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """What is to be done with a message, and everything that is needed for it."""

    message: bytes
    """With proper line ends, and without what asked for something."""
    facts: OutgoingMessage
    rules: OutboundRules
    plan: DeliveryPlan
    signer: SigningIdentity | None
    certificates: Mapping[str, Certificate]
    """For the recipients that are encrypted to, and for the sender."""
    now: datetime

    @property
    def reason(self) -> str:
        """For the log."""
        encrypted = sum(len(variant.recipients) for variant in self.plan.variants if variant.encrypted)
        return self.plan.signing.reason.value + (f"; encrypted to {encrypted}" if encrypted else "")


class Planner:
    """Plans messages and builds their variants."""

    def __init__(
        self,
        *,
        signing: Signing,
        identities: Identities,
        correspondents: Correspondents,
        rules: RuleBook,
        owns: Callable[[str, str], bool],
    ) -> None:
        self._signing = signing
        self._signing_rules = signing.rules
        self._identities = identities
        self._correspondents = correspondents
        self._rules = rules
        self._owns = owns
        self._sealer = Sealer(roots=correspondents.trust)

    async def refusal_at_rcpt(self, sender: str, recipient: str, *, now: datetime) -> Reply | None:
        """Why a recipient of this sender's mail is refused before the message is known; None: no reason."""
        rules = self._rules.rules_for(sender)
        if rules.encryption_for(recipient) is not Encryption.REQUIRED:
            return None
        knowledge, _ = await self._correspondents.look_up(recipient, now=now)
        return for_recipient(recipient, refusal) if (refusal := refusal_at_rcpt(recipient, rules, knowledge)) else None

    async def plan(self, order: Order, *, now: datetime) -> Planned | Action:
        """What is to be done: a plan, or that the whole message is refused or passed on as it is."""
        message = order.message
        if self._signing.line_ends == "reject" and has_bare_line_ends(message):
            return Reject(reply=_BARE_LINE_END, reason="bare CR or LF")
        message = with_normal_line_ends(message)
        if hop_count(message) > _HOPS:
            return Reject(reply=_LOOP, reason="too many hops")
        try:
            planned = await self._planned(order, message, now)
        except SmimeError as error:
            # What cannot be read cannot be encrypted: it is passed on only where no rule ever asks for that.
            passing = self._rules.rules_for(order.mail.sender).is_plain
            return for_error(error, self._signing if passing else structs.replace(self._signing, malformed=_REJECT))
        if isinstance(planned.plan.signing, Refuse):
            return for_refusal(planned.plan.signing, self._signing)
        return planned

    async def build(self, planned: Planned, variant: Variant) -> Action:
        """The octets of one variant: Replace, Accept (they are those of `planned.message`), or why not."""
        to = list(variant.recipients) if variant.encrypted else []
        certificates = [planned.certificates[recipient] for recipient in to]
        if to and planned.rules.encrypt_to_sender and (own := self._own_certificate(planned)) is not None:
            certificates.append(own)
        if not certificates and planned.signer is None:
            return Accept(reason=planned.reason)

        def sealed() -> bytes:
            return self._sealer.seal(
                planned.message, signer=planned.signer, recipients=certificates, rules=planned.rules, now=planned.now
            )

        try:
            # Hashing, base64, ciphers and RSA release the GIL: other sessions go on meanwhile.
            in_thread = len(planned.message) > self._signing.thread_above
            message = await asyncio.to_thread(sealed) if in_thread else sealed()
        except SmimeError as error:
            return for_error(error, self._signing)
        return Replace(message=message, reason=planned.reason)

    async def _planned(self, order: Order, message: bytes, now: datetime) -> Planned:
        facts = outgoing_message(message, envelope_sender=order.mail.sender)
        rules = self._rules.rules_for(_responsible(facts))
        if not rules.is_plain:
            facts = detailed(facts, message)
        recipients = [command.recipient for command in order.recipients]
        knowledge, certificates = await self._known(recipients, facts, rules, now)
        user = order.user
        plan = plan_delivery(
            facts,
            recipients,
            rules,
            self._signing_rules,
            has_key=lambda address: self._identities.find(address, now=now) is not None,
            knowledge=knowledge,
            owned=None if user is None else lambda address: self._owns(user, address),
        )
        signing = plan.signing
        signer = self._identities.find(signing.address, now=now) if isinstance(signing, Sign) else None
        if plan.removed_tags or plan.removed_fields:
            message = without_subject_tags(without_fields(message, plan.removed_fields), plan.removed_tags)
        return Planned(
            message=message, facts=facts, rules=rules, plan=plan, signer=signer, certificates=certificates, now=now
        )

    async def _known(
        self, recipients: list[str], facts: OutgoingMessage, rules: OutboundRules, now: datetime
    ) -> tuple[dict[str, Knowledge], dict[str, Certificate]]:
        knowledge: dict[str, Knowledge] = {}
        certificates: dict[str, Certificate] = {}
        if rules.is_plain:
            return knowledge, certificates
        asked = facts.asks_for(rules.encrypt_triggers)
        for recipient in dict.fromkeys(recipients):
            if asked or rules.encryption_for(recipient) in (Encryption.WHEN_POSSIBLE, Encryption.REQUIRED):
                knowledge[recipient], certificate = await self._correspondents.look_up(recipient, now=now)
                if certificate is not None:
                    certificates[recipient] = certificate
        return knowledge, certificates

    def _own_certificate(self, planned: Planned) -> Certificate | None:
        """What the sender can read the message with: a certificate among the correspondents', or the signing one."""
        for address in (*planned.facts.authors, planned.facts.envelope_sender):
            found = self._correspondents.find(address, now=planned.now)
            if found is not None:
                return found
            identity = self._identities.find(address, now=planned.now)
            if identity is not None and identity.identity.may_decrypt:
                return identity.certificate
        return None


def _responsible(facts: OutgoingMessage) -> str:
    """Whose rules hold: the author's; of several, the Sender's; without any, the envelope sender's."""
    if len(facts.authors) == 1:
        return facts.authors[0]
    return facts.sender or facts.envelope_sender
