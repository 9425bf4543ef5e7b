"""Mail that arrives: keys, opening, judging, composing.

Does: open a message with each recipient's own keys, fetch what is missing for a judgement where that is allowed, ask
the policy, build what each recipient gets, keep harvested certificates. Does not: decide (`policy.receiving`), compose
(`policy.incoming`), speak SMTP or deliver (`dispatch`).

Peers hear the same reply whatever made decryption fail (RFC 3218); how long it took still differs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from smime_engine import Certificate, KeyRing, OpenedMessage, TrustCollection, load_identities, open_message
from smime_engine.addresses import comparable_address, comparable_domain
from smime_engine.errors import ConfigurationError, InvalidKey, SmimeError
from smime_engine.keys import Identity
from smime_engine.policy.incoming import compose_incoming, without_forged_fields
from smime_engine.policy.outgoing import protection_of
from smime_engine.policy.receiving import Disposal, InboundRules, Judgement, State, Treatment, harvest, judge_incoming
from smime_engine.policy.sending import Protection
from smime_engine.problems import Problem
from smime_engine.sources.fetched import Gathered
from smime_engine.sources.http import Fetcher
from smime_engine.sources.settle import settle
from smime_engine.trust.path import NO_EVIDENCE, PathOptions
from smime_smtp_relay.actions import Action, Replace, for_error
from smime_smtp_relay.config import Signing
from smime_smtp_relay.correspondents import Correspondents
from smime_smtp_relay.identities import read_password
from smime_smtp_relay.inbound_config import DecryptionFile, InboundBook, Verification
from smime_smtp_relay.parcels import Order, Parcel, Planned, acceptable
from smime_smtp_relay.replies import Reply

__all__ = ["InboundPlanner", "KeyRings", "load_key_rings"]

# RFC 3463 section 3.8: 5.7.7 message integrity failure, 5.7.5 cryptographic failure.
_REFUSALS = {
    State.INVALID: ("5.7.7", "the signature of this message is not valid"),
    State.UNKNOWN: ("5.7.7", "the signature of this message cannot be judged"),
    State.UNDECRYPTABLE: ("5.7.5", "this message cannot be decrypted here"),
    State.MALFORMED: ("5.6.0", "the message is malformed"),
}
_NOT_YET = Reply(code=451, enhanced="4.4.3", text="what is needed to judge the signature cannot be fetched now")


class KeyRings:
    """Decryption keys by the address that they open mail for."""

    def __init__(self, keys: Iterable[tuple[Identity, DecryptionFile]] = ()) -> None:
        by_address: dict[str, list[Identity]] = {}
        by_domain: dict[str, list[Identity]] = {}
        for identity, file in keys:
            named = file.addresses or (() if file.domains else identity.certificate.addresses)
            for address in filter(None, map(comparable_address, named)):
                by_address.setdefault(address, []).append(identity)
            for domain in filter(None, map(comparable_domain, file.domains)):
                by_domain.setdefault(domain, []).append(identity)
        self._domains = {domain: KeyRing(identities) for domain, identities in by_domain.items()}
        self._people = {
            address: KeyRing([*identities, *by_domain.get(address.rpartition("@")[2], [])])
            for address, identities in by_address.items()
        }

    def ring_for(self, address: str) -> KeyRing:
        """All keys that open mail for an address, its own before its domain's; an empty ring where there is none."""
        comparable = comparable_address(address) or ""
        return self._people.get(comparable) or self._domains.get(comparable.rpartition("@")[2]) or _NO_KEYS


_NO_KEYS = KeyRing()
_NOTHING = Gathered(evidence=NO_EVIDENCE, certificates=())


def load_key_rings(files: Iterable[DecryptionFile]) -> KeyRings:
    """Read all files; ConfigurationError names the one that cannot be used."""
    return KeyRings((identity, file) for file in files for identity in _identities(file))


def _identities(file: DecryptionFile) -> tuple[Identity, ...]:
    password = None if file.password_file is None else read_password(file.password_file)
    try:
        return load_identities(file.file.read_bytes(), password)
    except OSError as error:
        raise ConfigurationError(f"{file.file}: {error.strerror}") from error
    except InvalidKey as error:
        raise ConfigurationError(f"{file.file}: {error}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class _Group:
    """Recipients with the same rules and keys."""

    rules: InboundRules
    ring: KeyRing
    recipients: tuple[str, ...]


class InboundPlanner:
    """Plans messages that arrive."""

    def __init__(
        self,
        *,
        signing: Signing,
        server: str,
        rules: InboundBook,
        rings: KeyRings,
        trust: TrustCollection | None,
        verification: Verification,
        correspondents: Correspondents,
    ) -> None:
        self._signing = signing
        self._server = server
        self._rules = rules
        self._rings = rings
        self._trust = trust
        self._verification = verification
        self._correspondents = correspondents
        self._options = PathOptions(revocation=verification.revocation)
        self.fetcher: Fetcher | None = None
        """Set while the gateway runs, where fetching is allowed."""

    async def refusal_at_rcpt(self, _sender: str, _recipient: str, *, now: datetime) -> Reply | None:  # noqa: ARG002
        """Nothing can be said before the message is known."""
        return None

    async def plan(self, order: Order, *, now: datetime) -> Planned | Action:
        """Open and judge the message for each recipient."""
        message = acceptable(order.message, line_ends=self._signing.line_ends)
        if not isinstance(message, bytes):
            return message
        parcels: list[Parcel] = []
        refusals: dict[str, Reply] = {}
        explanation: list[str] = []
        for group in self._groups(order):
            judgement = await self._judged(message, group, now)
            explanation += [_explained(recipient, judgement, group.rules) for recipient in group.recipients]
            if judgement is not None and judgement.disposal is Disposal.REJECT:
                refusals |= dict.fromkeys(group.recipients, _refusal(judgement))
            else:
                redirect = None if judgement is None else judgement.quarantine
                parcels.append(Parcel(recipients=group.recipients, redirect=redirect, detail=judgement))
            if judgement is not None:
                await self._keep(judgement)
        return Planned(
            message=message,
            parcels=tuple(parcels),
            refusals=refusals,
            build=partial(self._build, message),
            divisible=True,
            reason="; ".join(dict.fromkeys(line.partition(": ")[2] for line in explanation)),
            now=now,
            explanation=tuple(explanation),
        )

    def _groups(self, order: Order) -> list[_Group]:
        found: dict[tuple[InboundRules, int], list[str]] = {}
        rings: dict[int, KeyRing] = {}
        for command in order.recipients:
            rules, ring = self._rules.rules_for(command.recipient), self._rings.ring_for(command.recipient)
            opens = rules.treatment is not Treatment.PASS
            rings[id(ring)] = ring
            recipients = found.setdefault((rules, id(ring) if opens else 0), [])
            if command.recipient not in recipients:
                recipients.append(command.recipient)
        return [
            _Group(rules=rules, ring=rings.get(place, _NO_KEYS), recipients=tuple(recipients))
            for (rules, place), recipients in found.items()
        ]

    async def _judged(self, message: bytes, group: _Group, now: datetime) -> Judgement | None:
        """The judgement for a group; None where it wants nothing opened."""
        if group.rules.treatment is Treatment.PASS:
            return None
        encrypted = False
        try:
            encrypted = protection_of(message) is Protection.ENCRYPTED
            opened: OpenedMessage | SmimeError = await self._opened(message, group.ring, now)
        except SmimeError as error:
            opened = error
        return judge_incoming(opened, group.rules, encrypted=encrypted)

    async def _opened(self, message: bytes, ring: KeyRing, now: datetime) -> OpenedMessage:
        def opened(found: Gathered) -> OpenedMessage:
            return open_message(
                message,
                now=now,
                keys=ring,
                trust=self._trust,
                options=self._options,
                evidence=found.evidence,
                certificates=found.certificates,
            )

        if self.fetcher is not None:
            return await settle(opened, lambda report: report.wanted, self.fetcher)
        in_thread = len(message) > self._signing.thread_above
        return await asyncio.to_thread(opened, _NOTHING) if in_thread else opened(_NOTHING)

    async def _build(self, message: bytes, parcel: Parcel) -> Action:
        judgement = parcel.detail

        def composed() -> bytes:
            if judgement is None:
                return without_forged_fields(message, self._server)
            return compose_incoming(message, judgement, server=self._server)

        try:
            in_thread = len(message) > self._signing.thread_above
            return Replace(message=await asyncio.to_thread(composed) if in_thread else composed(), reason="")
        except SmimeError as error:
            return for_error(error, self._signing)

    async def _keep(self, judgement: Judgement) -> None:
        """Put the certificates of a valid signer where encryption finds them."""
        folder = self._verification.harvest
        if folder is None or judgement.opened is None:
            return
        found: tuple[Certificate, ...] = harvest(judgement.opened)
        new = [certificate for certificate in found if not self._correspondents.has(certificate)]
        if new:
            await asyncio.to_thread(self._correspondents.keep, new, folder)


def _refusal(judgement: Judgement) -> Reply:
    opened = judgement.opened
    if judgement.state is State.UNKNOWN and opened is not None:
        problems = {problem for signature in opened.signatures for problem in signature.problems}
        if Problem.REVOCATION_UNKNOWN in problems:
            return _NOT_YET
    enhanced, text = _REFUSALS[judgement.state]
    return Reply(code=550, enhanced=enhanced, text=text)


def _explained(recipient: str, judgement: Judgement | None, rules: InboundRules) -> str:
    if judgement is None:
        return f"<{recipient}>: passed on unopened (treatment: {rules.treatment.value})"
    where = f"to {judgement.quarantine}" if judgement.quarantine else judgement.disposal.value
    return (
        f"<{recipient}>: {judgement.state.value}; {where} {judgement.form.value} (treatment: {rules.treatment.value})"
    )
