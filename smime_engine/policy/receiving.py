"""What shall happen to a message that arrives: a pure function of the report about it and of rules.

Does: judge a report (or the error instead of one), choose between the original, the decrypted and the stripped form,
and between delivering, quarantine and refusal; say which certificates of correspondents are worth keeping. Does not:
open messages, compose them (`policy.incoming`), or know why decryption failed: there is one answer for every cause.

RFC 8551 section 3, RFC 8550 section 3, RFC 3218 (no oracle).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from smime_engine.certificate import Certificate
from smime_engine.errors import MalformedMessage, NoMatchingKey, SmimeError
from smime_engine.problems import Verdict
from smime_engine.report import EncryptedLayer, OpenedMessage, SignedLayer

__all__ = ["Disposal", "Form", "InboundRules", "Judgement", "State", "Treatment", "harvest", "judge_incoming"]


class Treatment(Enum):
    """How far a message is opened for its recipient."""

    PASS = "pass"  # noqa: S105 - not a password
    """Not at all."""
    VERIFY = "verify"
    """Signatures are judged; the message stays as it is."""
    DECRYPT = "decrypt"
    """It is decrypted with the recipient's keys; signatures inside stay."""
    STRIP = "strip"
    """It is decrypted, and a valid signature is taken off, for readers that cannot show one."""


class Disposal(Enum):
    """Where a message goes."""

    DELIVER = "deliver"
    QUARANTINE = "quarantine"
    REJECT = "reject"


class State(Enum):
    """What a message is; the value is a text for people."""

    UNPROTECTED = "neither signed nor encrypted"
    VALID = "the signature is valid"
    INVALID = "the signature is not valid"
    UNKNOWN = "the signature cannot be judged"
    UNSIGNED = "encrypted, not signed"
    UNDECRYPTABLE = "no key here opens the message"
    DAMAGED = "the message could not be decrypted"
    MALFORMED = "the message is malformed"


class Form(Enum):
    """Which form of the message is handed on."""

    ORIGINAL = "original"
    DECRYPTED = "decrypted"
    STRIPPED = "stripped"


@dataclass(frozen=True, slots=True, kw_only=True)
class InboundRules:
    """What a domain or person has settled."""

    treatment: Treatment = Treatment.VERIFY
    invalid: Disposal = Disposal.DELIVER
    unknown: Disposal = Disposal.DELIVER
    undecryptable: Disposal = Disposal.DELIVER
    """Delivered as it came: the recipient may have the key elsewhere. REJECT is for messages that no key fits; what
    a key fits and does not open is put into quarantine, or delivered: see `judge_incoming`."""
    malformed: Disposal = Disposal.DELIVER
    quarantine: str | None = None
    """The address that quarantined messages go to."""
    tags: tuple[tuple[State, str], ...] = ()
    """What is put before the Subject, such as `[signed]`."""
    explain: bool = False
    """Put a text part before the message that says what was found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """The decision about one message for one recipient."""

    state: State
    disposal: Disposal
    form: Form
    opened: OpenedMessage | None
    """None where it could not be opened."""
    tag: str = ""
    explain: bool = False
    quarantine: str | None = None


def judge_incoming(opened: OpenedMessage | SmimeError, rules: InboundRules, *, encrypted: bool) -> Judgement:
    """Judge what `open_message` gave, or the exception that it raised; `encrypted`: whether the outer layer encrypts.

    Attack: whoever can send a changed copy of an encrypted message and hears for one change "refused" and for another
    "accepted" can decrypt it, bit by bit (padding and format oracles; RFC 3218). So nothing that depends on the result
    of decryption without integrity (CBC) refuses a message: not its failure, and not a signature found inside. That no
    key fits depends on the recipients alone, which are public.
    """
    state = _state(opened, encrypted=encrypted)
    report = opened if isinstance(opened, OpenedMessage) else None
    disposal = _disposal(state, rules)
    telling = state is State.DAMAGED or (report is not None and _is_malleable(report))
    if disposal is Disposal.REJECT and telling:
        disposal = Disposal.DELIVER if rules.quarantine is None else Disposal.QUARANTINE
    if disposal is Disposal.QUARANTINE and rules.quarantine is None:
        # Without a place to keep it, refusing is what loses nothing.
        disposal = Disposal.DELIVER if telling else Disposal.REJECT
    return Judgement(
        state=state,
        disposal=disposal,
        form=Form.ORIGINAL if report is None else _form(report, state, rules.treatment),
        opened=report,
        tag=dict(rules.tags).get(state, ""),
        explain=rules.explain and state is not State.UNPROTECTED,
        quarantine=rules.quarantine if disposal is Disposal.QUARANTINE else None,
    )


def harvest(opened: OpenedMessage) -> tuple[Certificate, ...]:
    """Certificates that answers to this message may be encrypted to: of the signer of a VALID, bound signature.

    Besides the signing certificate these are others of the same message that name the same address and may encrypt
    (separate keys for signing and encryption). Whoever uses them validates them again.
    """
    if opened.verdict is not Verdict.VALID or opened.sender_bound is not True or opened.partial:
        return ()
    ders = dict.fromkeys(der for layer in opened.layers if isinstance(layer, SignedLayer) for der in layer.certificates)
    return tuple(
        certificate
        for certificate in map(_parsed, ders)
        if certificate is not None and _may_encrypt(certificate) and any(map(certificate.names_address, opened.sender))
    )


def _is_malleable(opened: OpenedMessage) -> bool:
    return any(isinstance(layer, EncryptedLayer) and not layer.integrity for layer in opened.layers)


def _state(opened: OpenedMessage | SmimeError, *, encrypted: bool) -> State:
    if isinstance(opened, NoMatchingKey):
        return State.UNDECRYPTABLE
    if isinstance(opened, SmimeError):
        # A wrong key, a damaged message, an unknown cipher, nonsense inside: one answer.
        return State.DAMAGED if encrypted or not isinstance(opened, MalformedMessage) else State.MALFORMED
    if opened.verdict is not None:
        # A signature that covers only a part of what is shown is not called valid.
        partial = opened.verdict is Verdict.VALID and opened.partial
        return State.UNKNOWN if partial else State[opened.verdict.name]
    encrypted = any(isinstance(layer, EncryptedLayer) for layer in opened.layers)
    return State.UNSIGNED if encrypted else State.UNPROTECTED


def _disposal(state: State, rules: InboundRules) -> Disposal:
    if rules.treatment is Treatment.PASS:
        return Disposal.DELIVER
    return {
        State.INVALID: rules.invalid,
        State.UNKNOWN: rules.unknown,
        State.UNDECRYPTABLE: rules.undecryptable,
        State.DAMAGED: rules.undecryptable,
        State.MALFORMED: rules.malformed,
    }.get(state, Disposal.DELIVER)


def _form(opened: OpenedMessage, state: State, treatment: Treatment) -> Form:
    # What stands beside the encrypted part must not be mixed with it (EFAIL), and cannot be left out either.
    if opened.partial:
        return Form.ORIGINAL
    if treatment is Treatment.STRIP and state is State.VALID and opened.payload is not None:
        return Form.STRIPPED
    if treatment in (Treatment.DECRYPT, Treatment.STRIP) and opened.decrypted is not None:
        return Form.DECRYPTED
    return Form.ORIGINAL


def _may_encrypt(certificate: Certificate) -> bool:
    usage = certificate.key_usage
    return usage is None or not usage.isdisjoint({"keyEncipherment", "keyAgreement"})


def _parsed(der: bytes) -> Certificate | None:
    try:
        return Certificate.parse(der)
    except MalformedMessage:
        return None
