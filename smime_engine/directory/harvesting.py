"""Certificates from signed mail: what a valid signature teaches about its author, and when that replaces what is known.

A signature counts when its message is VALID as a whole, nothing stands outside of it, and its certificate names the
author. Then two things are learned: the certificate that the author wants answers to be encrypted to (RFC 8551's
preference, or Microsoft's; the signer's own without one), and the capabilities. An encryption certificate that is not
the signer's must name the author as well; whether it is trusted is judged when it is used, as every other.

What is pinned is never replaced. Everything else is replaced by what was learned from a later signature, so that a
replayed old message cannot bring back an old certificate.

Does: read a report, compare two records. Does not: store them, verify, or trust the signing time further than to order
records: a signer who claims the future is not believed.

Standards: RFC 8551 sections 2.5.2 and 2.5.3, RFC 8550 section 3.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from smime_engine.addresses import comparable_address
from smime_engine.certificate import Certificate
from smime_engine.cms.capabilities import Capability, parse_capabilities
from smime_engine.directory.entries import DirectoryEntry, ListedCertificate, Origin, Standing
from smime_engine.directory.smime_certificate import preferred_certificate
from smime_engine.errors import MalformedMessage
from smime_engine.problems import Verdict
from smime_engine.report import OpenedMessage, SignatureReport, SignedLayer

__all__ = ["Harvest", "Outcome", "entry_of_harvest", "harvest", "succeed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Harvest:
    """What one signature teaches about one address."""

    address: str
    certificate: Certificate
    """To encrypt to."""

    capabilities: tuple[Capability, ...] | None
    signed_at: datetime
    """The signing time; where there is none, or one in the future, the start of the signer's certificate."""

    pool: tuple[Certificate, ...] = ()
    """The message's other certificates."""

    pinned: bool = False
    """An administrator or user has settled that this is the one."""


class Outcome(Enum):
    """What becomes of a new record beside the known one."""

    LEARNED = "nothing was known"
    CONFIRMED = "the same certificate, signed later"
    REPLACED = "another certificate, signed later"
    KEPT_PINNED = "another one is pinned"
    KEPT_LATER = "what is known was signed later"


def harvest(opened: OpenedMessage, *, now: datetime) -> tuple[Harvest, ...]:
    """What a message teaches: one record for each signature of its innermost signed layer that counts."""
    if opened.verdict is not Verdict.VALID or opened.partial or len(opened.sender) != 1:
        return ()
    layer = next((layer for layer in reversed(opened.layers) if isinstance(layer, SignedLayer)), None)
    if layer is None:
        return ()
    pool = tuple(_parsed(layer.certificates))
    found = (_learned(signature, opened.sender[0], pool, now) for signature in layer.signatures)
    return tuple(record for record in found if record is not None)


def succeed(known: Harvest | None, new: Harvest) -> tuple[Harvest, Outcome]:
    """Which of two records for one address is kept, and why."""
    if known is None:
        return new, Outcome.LEARNED
    if new.pinned:  # somebody has just settled it
        return new, Outcome.CONFIRMED if known.certificate == new.certificate else Outcome.REPLACED
    if known.pinned and known.certificate != new.certificate:
        return known, Outcome.KEPT_PINNED
    if new.signed_at < known.signed_at:
        return known, Outcome.KEPT_LATER
    if known.certificate != new.certificate:
        return new, Outcome.REPLACED
    kept = Harvest(
        address=new.address,
        certificate=new.certificate,
        capabilities=new.capabilities,
        signed_at=new.signed_at,
        pool=new.pool,
        pinned=known.pinned,
    )
    return kept, Outcome.CONFIRMED


def entry_of_harvest(record: Harvest, *, source: str) -> DirectoryEntry:
    """A record as an entry that can be chosen from."""
    listed = ListedCertificate(
        certificate=record.certificate,
        origin=Origin.PINNED if record.pinned else Origin.SIGNED_MAIL,
        standing=Standing.PREFERRED,
        capabilities=record.capabilities,
    )
    return DirectoryEntry(
        source=source, identifier=record.address, primary=record.address, certificates=(listed,), pool=record.pool
    )


def _learned(signature: SignatureReport, author: str, pool: Sequence[Certificate], now: datetime) -> Harvest | None:
    signer = signature.certificate
    if signature.verdict is not Verdict.VALID or not signature.sender_bound or signer is None:
        return None
    check = signature.check
    certificate = preferred_certificate(check.encryption_key_preference, (signer, *pool)) or signer
    if not certificate.names_address(author) or comparable_address(author) is None:
        return None
    claimed = signature.signing_time
    return Harvest(
        address=author,
        certificate=certificate,
        capabilities=_capabilities(check.capabilities),
        signed_at=claimed if claimed is not None and claimed <= now else signer.not_before,
        pool=tuple(found for found in pool if found != certificate),
    )


def _capabilities(encoded: bytes | None) -> tuple[Capability, ...] | None:
    if encoded is None:
        return None
    try:
        return parse_capabilities(encoded)
    except MalformedMessage:
        return None


def _parsed(encodings: Sequence[bytes]) -> Iterator[Certificate]:
    for der in encodings:
        try:
            yield Certificate.parse(der)
        except MalformedMessage:
            continue
