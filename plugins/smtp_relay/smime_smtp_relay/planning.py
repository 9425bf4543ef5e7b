"""Mail that leaves: facts, rules, plan, octets.

Does: gather what the policy needs, ask it, and build each parcel as it says. Does not: decide about S/MIME
(`smime_engine.policy`), speak SMTP or deliver (`dispatch`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime

from msgspec import structs

from smime_engine.certificate import Certificate
from smime_engine.errors import SmimeError
from smime_engine.mime.edit import without_fields, without_subject_tags
from smime_engine.policy.delivery_plan import DeliveryPlan, Knowledge, plan_delivery, refusal_at_rcpt
from smime_engine.policy.outgoing import detailed, outgoing_message
from smime_engine.policy.rules import Encryption, OutboundRules
from smime_engine.policy.sending import Otherwise, OutgoingMessage, Refuse, Sign
from smime_smtp_relay.actions import Accept, Action, Replace, for_error, for_recipient, for_refusal
from smime_smtp_relay.config import Signing
from smime_smtp_relay.correspondents import Correspondents
from smime_smtp_relay.identities import Identities, SigningIdentity
from smime_smtp_relay.outbound_config import RuleBook
from smime_smtp_relay.parcels import Order, Parcel, Planned, acceptable
from smime_smtp_relay.replies import Reply
from smime_smtp_relay.sealing import Sealer

__all__ = ["OutboundPlanner"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Outgoing:
    """One message on its way out."""

    message: bytes
    """Without what asked for something."""
    facts: OutgoingMessage
    rules: OutboundRules
    plan: DeliveryPlan
    signer: SigningIdentity | None
    certificates: Mapping[str, Certificate]
    """Of the recipients that are encrypted to."""
    now: datetime

    @property
    def reason(self) -> str:
        """For the log."""
        encrypted = sum(len(variant.recipients) for variant in self.plan.variants if variant.encrypted)
        return self.plan.signing.reason.value + (f"; encrypted to {encrypted}" if encrypted else "")


class OutboundPlanner:
    """Plans messages and builds their parcels."""

    def __init__(
        self,
        *,
        signing: Signing,
        identities: Identities,
        correspondents: Correspondents,
        rules: RuleBook,
        owns: Callable[[str, str], bool],
        threads: ThreadPoolExecutor | None = None,
    ) -> None:
        """`threads` sign with slow keys; None: that is done at once."""
        self._threads = threads
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
        message = acceptable(order.message, line_ends=self._signing.line_ends)
        if not isinstance(message, bytes):
            return message
        try:
            outgoing = await self._outgoing(order, message, now)
        except SmimeError as error:
            # What cannot be read cannot be encrypted: it is passed on only where no rule ever asks for that.
            passing = self._rules.rules_for(order.mail.sender).is_plain
            signing = self._signing if passing else structs.replace(self._signing, malformed=Otherwise.REJECT)
            return for_error(error, signing)
        plan = outgoing.plan
        if isinstance(plan.signing, Refuse):
            return for_refusal(plan.signing, self._signing)
        return Planned(
            message=outgoing.message,
            parcels=tuple(Parcel(recipients=group.recipients, detail=group.encrypted) for group in plan.variants),
            refusals={refused.recipient: for_recipient(refused.recipient, refused.reason) for refused in plan.refusals},
            build=lambda parcel: self._build(outgoing, parcel),
            divisible=not outgoing.rules.is_plain,
            reason=outgoing.reason,
            now=now,
            explanation=tuple(_explanation(outgoing)),
        )

    async def _build(self, outgoing: _Outgoing, parcel: Parcel) -> Action:
        to = parcel.recipients if parcel.detail else ()
        certificates = [outgoing.certificates[recipient] for recipient in to]
        if to and outgoing.rules.encrypt_to_sender and (own := self._own_certificate(outgoing)) is not None:
            certificates.append(own)
        if not certificates and outgoing.signer is None:
            return Accept(reason=outgoing.reason)

        def sealed() -> bytes:
            return self._sealer.seal(
                outgoing.message,
                signer=outgoing.signer,
                recipients=certificates,
                rules=outgoing.rules,
                now=outgoing.now,
            )

        try:
            # Hashing, base64, ciphers and RSA release the GIL: other sessions go on meanwhile.
            if len(outgoing.message) > self._signing.thread_above:
                message = await asyncio.to_thread(sealed)
            elif self._threads is not None and outgoing.signer is not None and outgoing.signer.is_slow:
                message = await asyncio.get_running_loop().run_in_executor(self._threads, sealed)
            else:
                message = sealed()
        except SmimeError as error:
            return for_error(error, self._signing)
        return Replace(message=message, reason=outgoing.reason)

    async def _outgoing(self, order: Order, message: bytes, now: datetime) -> _Outgoing:
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
        return _Outgoing(
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

    def _own_certificate(self, outgoing: _Outgoing) -> Certificate | None:
        """What the sender can read the message with: a certificate among the correspondents', or the signing one."""
        for address in (*outgoing.facts.authors, outgoing.facts.envelope_sender):
            found = self._correspondents.find(address, now=outgoing.now)
            if found is not None:
                return found
            identity = self._identities.find(address, now=outgoing.now)
            if identity is not None and identity.identity.may_decrypt:
                return identity.certificate
        return None


def _responsible(facts: OutgoingMessage) -> str:
    """Whose rules hold: the author's; of several, the Sender's; without any, the envelope sender's."""
    if len(facts.authors) == 1:
        return facts.authors[0]
    return facts.sender or facts.envelope_sender


def _explanation(outgoing: _Outgoing) -> Iterator[str]:
    signing = outgoing.plan.signing
    address = getattr(signing, "address", None)
    yield f"signing: {signing.reason.value}" + (f" ({address})" if address else "")
    for variant in outgoing.plan.variants:
        form = "encrypted" if variant.encrypted else "not encrypted"
        for recipient in variant.recipients:
            rule = outgoing.rules.encryption_for(recipient).value
            yield f"<{recipient}>: {form} (rule: {rule}), in one parcel with {len(variant.recipients) - 1} others"
    for refusal in outgoing.plan.refusals:
        rule = outgoing.rules.encryption_for(refusal.recipient).value
        yield f"<{refusal.recipient}>: refused (rule: {rule}): {refusal.reason.value}"
