"""What would be encrypted for whom, with what, and who stands in the way: a pure function of choices of certificates.

Outlook asks its user before it sends: recipients without a certificate must be removed, or the message is not sent
encrypted. `plan_encryption` gives what is needed for that question. Nobody without a fit certificate is in any copy,
nobody is left out silently, and Bcc recipients get copies of their own.

Does: join `directory.choosing`, `policy.forking` and `policy.capabilities`; read Exchange's settings as a policy of
choice. Does not: look anybody up (`sources.directories`), encrypt, or decide whether to send.

Sources: Microsoft's reference of Set-SmimeConfig; RFC 8551 section 2.7.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from smime_engine.certificate import Certificate
from smime_engine.cms.addressing import KemRecipient, KeyAgreementRecipient, KeyTransportRecipient, Recipient
from smime_engine.directory.choosing import Choice, ChoicePolicy
from smime_engine.directory.reasons import Note
from smime_engine.policy.capabilities import Addressee, Explanation, choose_encryption
from smime_engine.policy.capabilities import Choice as Encryption
from smime_engine.policy.forking import Copy, Correspondent, plan_copies
from smime_engine.policy.preferences import cipher_preference
from smime_engine.policy.revocation_rules import revocation_rules
from smime_engine.policy.smime_config import SmimeConfig
from smime_engine.trust.collection import TrustCollection
from smime_engine.trust.path import NO_EVIDENCE, Evidence, PathOptions

__all__ = ["EncryptionPlan", "PlannedCopy", "Question", "choice_policy", "plan_encryption"]

_ASKED_ABOUT = (Note.STALE, Note.SOURCE_UNAVAILABLE)
"""Notes that make a certificate a guess. The others are worth telling, and nobody needs to be stopped by them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Something that the sender should be asked about one recipient before sending."""

    address: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedCopy:
    """One encrypted message: who gets it, and how it is encrypted."""

    copy: Copy
    encryption: Encryption

    @property
    def keys(self) -> tuple[tuple[Certificate, str], ...]:
        """Each certificate that opens it, with how the content key reaches it: `rsaes-oaep-sha256`, `ecdh` …"""
        return tuple(
            (addressee.certificate, _way_of(recipient))
            for addressee, recipient in zip(self.copy.addressees, self.encryption.recipients, strict=True)
        )

    @property
    def explanations(self) -> tuple[Explanation, ...]:
        """Why these algorithms."""
        return self.encryption.explanations


@dataclass(frozen=True, slots=True, kw_only=True)
class EncryptionPlan:
    """The plan for one message."""

    copies: tuple[PlannedCopy, ...]
    """For everybody with a certificate; empty where nobody has one."""

    to_remove: tuple[Choice, ...]
    """Recipients whom the message cannot be encrypted for: remove them, or do not send."""

    questions: tuple[Question, ...]
    """What to ask before sending to the others."""

    @property
    def reaches_everybody(self) -> bool:
        """Whether nobody must be removed."""
        return not self.to_remove

    @property
    def may_be_complete_later(self) -> bool:
        """Whether all who are missing may have a certificate after all: a source did not answer, say."""
        return bool(self.to_remove) and all(
            choice.incomplete or (choice.reason is not None and choice.reason.is_temporary) for choice in self.to_remove
        )


def choice_policy(
    config: SmimeConfig,
    collection: TrustCollection,
    *,
    evidence: Evidence = NO_EVIDENCE,
    pool: Iterable[Certificate] = (),
) -> ChoicePolicy:
    """A tenant's Exchange settings as a policy of choice: proxy addresses, and revocation as for sending."""
    return ChoicePolicy(
        collection=collection,
        options=PathOptions(revocation=revocation_rules(config).sending),
        evidence=evidence,
        pool=tuple(pool),
        use_secondary_proxies=config.owa_use_secondary_proxies_when_finding_certificates,
    )


def plan_encryption(
    visible: Sequence[Choice],
    *,
    bcc: Sequence[Choice] = (),
    own: Sequence[Addressee] = (),
    config: SmimeConfig | None = None,
    demanded: str | None = None,
) -> EncryptionPlan:
    """Plan a message to recipients whose certificates were chosen.

    `own` are the sender's certificates, in every copy; `config` has the tenant's cipher list and treatment of Bcc;
    `demanded` is a cipher that is used whatever recipients announce. Raises UnsupportedAlgorithm for an unknown cipher.
    """
    settings = config or SmimeConfig()
    everybody = (*visible, *bcc)
    to, hidden = _correspondents(visible), _correspondents(bcc)
    copies: tuple[Copy, ...] = ()
    if to or hidden:
        copies = plan_copies(visible=to, bcc=hidden, own=own, forking=settings.bcc_forking)
    preference = cipher_preference(settings)
    planned = tuple(
        PlannedCopy(copy=copy, encryption=choose_encryption(copy.addressees, preference=preference, demanded=demanded))
        for copy in copies
    )
    return EncryptionPlan(
        copies=planned,
        to_remove=tuple(choice for choice in everybody if choice.certificate is None),
        questions=(*_doubts(everybody), *_unreadable(planned, everybody)),
    )


def _correspondents(choices: Sequence[Choice]) -> list[Correspondent]:
    return [
        Correspondent(
            address=choice.address,
            addressees=(Addressee(certificate=choice.certificate, capabilities=choice.capabilities),),
        )
        for choice in choices
        if choice.certificate is not None
    ]


def _doubts(choices: Sequence[Choice]) -> Iterable[Question]:
    for choice in choices:
        for note, detail in choice.notes:
            if note in _ASKED_ABOUT:
                yield Question(address=choice.address, text=f"{note.value}{f' ({detail})' if detail else ''}")


def _unreadable(copies: Sequence[PlannedCopy], choices: Sequence[Choice]) -> Iterable[Question]:
    """Recipients who announce ciphers, but not the one that their copy has."""
    names = {choice.certificate: choice.address for choice in choices if choice.certificate is not None}
    for planned in copies:
        for place in planned.encryption.may_be_unreadable:
            address = names.get(planned.copy.addressees[place].certificate)
            if address is not None:
                text = f"the recipient's mail program does not say that it reads {planned.encryption.cipher}"
                yield Question(address=address, text=text)


def _way_of(recipient: Recipient) -> str:
    match recipient:
        case KeyTransportRecipient():
            return recipient.scheme.name
        case KeyAgreementRecipient():
            return f"ecdh {recipient.wrap}".rstrip()
        case KemRecipient():
            return "kem"
        case _:
            return type(recipient).__name__
