"""Which of a user's certificates signs: as Outlook on the web chooses it, or as the user does.

Of the certificates that are fit, the one with the latest start of validity, compared to the second. Where several start
in the same second Exchange chooses any of them; here the one that ends last, then the one with the smallest
fingerprint, so that the answer is always the same. Where OWAAllowUserChoiceOfSigningCertificate is on and the user has
chosen one that is fit, it is that one.

Fit is a certificate that is valid at the time, may sign mail by key usage and extended key usage, names the sender, and
has a subject key identifier, which Exchange demands. That the private key is there is the caller's knowledge.

Does not: validate the path to a root (`trust.path`), or read keys.

Source: Microsoft's reference of Set-SmimeConfig; RFC 8550 section 4.4.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from smime_engine.asn1 import oids
from smime_engine.certificate import Certificate
from smime_engine.policy.smime_config import SmimeConfig
from smime_engine.problems import Problem

__all__ = ["SigningChoice", "choose_signing_certificate"]

_SIGNING = frozenset({"digitalSignature", "nonRepudiation", "contentCommitment"})
_MAIL = frozenset({str(oids.ID_KP_EMAIL_PROTECTION), str(oids.ANY_EXTENDED_KEY_USAGE)})


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningChoice:
    """The certificate to sign with, and why not another one."""

    certificate: Certificate | None = None
    """None where no certificate is fit."""

    by_user: bool = False
    """Whether the user chose it."""

    refused: tuple[tuple[Certificate, Problem], ...] = ()
    """The certificates that are not fit, each with the first problem that was found."""


def choose_signing_certificate(
    certificates: Iterable[Certificate],
    *,
    address: str,
    now: datetime,
    config: SmimeConfig,
    chosen: bytes | None = None,
) -> SigningChoice:
    """Choose among certificates whose private keys are there, for mail from `address` at the time `now` (aware).

    `chosen` is the SHA-256 fingerprint of the user's own choice. It counts where the tenant allows that and the
    certificate is fit; otherwise the newest one signs, as mail should not fail because a certificate was renewed.
    """
    fit: list[Certificate] = []
    refused: list[tuple[Certificate, Problem]] = []
    for certificate in dict.fromkeys(certificates):
        problem = next(_problems(certificate, address, now), None)
        if problem is None:
            fit.append(certificate)
        else:
            refused.append((certificate, problem))
    if chosen is not None and config.owa_allow_user_choice_of_signing_certificate:
        for certificate in fit:
            if certificate.fingerprint_sha256 == chosen:
                return SigningChoice(certificate=certificate, by_user=True, refused=tuple(refused))
    newest = min(fit, key=_order, default=None)
    return SigningChoice(certificate=newest, refused=tuple(refused))


def _problems(certificate: Certificate, address: str, now: datetime) -> Iterator[Problem]:
    if now < certificate.not_before:
        yield Problem.NOT_YET_VALID
    if now > certificate.not_after:
        yield Problem.EXPIRED
    usage = certificate.key_usage
    if usage is not None and usage.isdisjoint(_SIGNING):
        yield Problem.KEY_USAGE_UNFIT
    purposes = certificate.extended_key_usage
    if purposes is not None and _MAIL.isdisjoint(purposes):
        yield Problem.EXTENDED_KEY_USAGE_UNFIT
    if not certificate.names_address(address):
        yield Problem.ADDRESS_MISMATCH
    if certificate.subject_key_identifier is None:
        yield Problem.CERTIFICATE_NONCONFORMING


def _order(certificate: Certificate) -> tuple[int, int, bytes]:
    """Newest first, to the second."""
    starts = int(certificate.not_before.timestamp())
    return -starts, -int(certificate.not_after.timestamp()), certificate.fingerprint_sha256
