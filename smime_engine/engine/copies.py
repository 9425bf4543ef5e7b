"""Seal a message once for each copy that `policy.forking` has planned: what Bcc needs when mail is encrypted.

    copies = plan_copies(visible=..., bcc=..., own=..., forking=...)
    for sealed in seal_copies(message, copies, inner=(signer,), now=now):
        send(sealed.message, to=sealed.recipients)

Does: take the Bcc fields out of what is signed and sent, apply the steps before the encryption once (one signature for
all copies), choose algorithms for each copy by its own readers, encrypt, apply the steps behind it to each copy. Does
not: plan copies, send, keep a copy that is complete from one that is not: either all are returned or none.

Standards: RFC 5322 section 3.6.3 (Bcc), RFC 8551 section 3.3, RFC 2634 section 1.1 (steps behind the encryption).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from smime_engine.engine.sealing import HeaderProtection, MessageEncryptor, Step, seal_message
from smime_engine.engine.streaming import Octets, Source, head_of, span_of
from smime_engine.limits import DEFAULT_LIMITS, Limits
from smime_engine.mime.edit import without_fields
from smime_engine.policy.capabilities import choose_encryption
from smime_engine.policy.forking import Copy

__all__ = ["BLIND_FIELDS", "SealedCopy", "encryptor_for", "seal_copies", "without_blind_fields"]

BLIND_FIELDS = ("Bcc", "Resent-Bcc")
"""Header fields that name hidden recipients. They leave the message before it is signed, and so leave every copy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedCopy:
    """One message to send."""

    copy: Copy
    """The plan: who gets it, and who can read it."""

    message: bytes

    @property
    def recipients(self) -> tuple[str, ...]:
        """Addresses to deliver it to."""
        return self.copy.recipients


def encryptor_for(copy: Copy) -> MessageEncryptor:
    """An encryptor with the algorithms that suit the readers of this copy. Raises UnsupportedAlgorithm."""
    choice = choose_encryption(copy.addressees)
    return MessageEncryptor(choice.recipients, cipher=choice.cipher, derives_key=choice.derives_key)


def seal_copies(
    message: bytes,
    copies: Sequence[Copy],
    *,
    now: datetime,
    inner: Sequence[Step] = (),
    outer: Sequence[Step] = (),
    header_protection: HeaderProtection | None = None,
    encryptor: Callable[[Copy], MessageEncryptor] = encryptor_for,
    limits: Limits = DEFAULT_LIMITS,
) -> tuple[SealedCopy, ...]:
    """Seal an RFC 5322 message for each copy: `inner` steps once, then the encryption, then `outer` steps.

    `now` (aware) is the signing time. Raises what the steps raise; then there is no copy for anybody.
    """
    encryptors = [encryptor(copy) for copy in copies]
    prepared = without_fields(message, BLIND_FIELDS, limits=limits)
    if inner:
        if header_protection is not None:
            header_protection = replace(header_protection, encrypted=True)
        prepared = seal_message(prepared, steps=inner, now=now, header_protection=header_protection, limits=limits)
        header_protection = None
    return tuple(
        SealedCopy(
            copy=copy,
            message=seal_message(
                prepared, steps=(step, *outer), now=now, header_protection=header_protection, limits=limits
            ),
        )
        for copy, step in zip(copies, encryptors, strict=True)
    )


def without_blind_fields(source: Source, size: int, *, limits: Limits = DEFAULT_LIMITS) -> tuple[Source, int]:
    """The same for a message of `size` octets that is larger than memory -> (source without the fields, its size)."""
    head = head_of(source(), limits)
    edited = without_fields(head, BLIND_FIELDS, limits=limits)
    if edited is head:
        return source, size

    def again() -> Iterator[Octets]:
        yield edited
        yield from span_of(source(), len(head))

    return again, size - len(head) + len(edited)
