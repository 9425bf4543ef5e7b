"""A time-stamping authority made of our own signer, for moments and mistakes that a real one does not offer."""

from __future__ import annotations

from datetime import datetime

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from smime_engine.asn1 import ber, oids
from smime_engine.certificate import Certificate
from smime_engine.cms.signer import CmsSigner, SignedAttributes
from smime_engine.crypto.signature_algorithms import DIGESTS
from smime_engine.crypto.signing import digest as compute_digest
from smime_engine.keys import InMemoryKey
from tests import pki

__all__ = ["stamping_authority", "token", "token_info"]


def stamping_authority(issuer: pki.Authority, **options: object) -> pki.Credential:
    """Key and certificate of a time-stamping authority: critical extended key usage, time-stamping alone."""
    return issuer.issue(
        "Time Stamping", kind="rsa2048", usage="sign", extended_key_usage=None,
        extra=((x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING]), True),), **options,
    )  # type: ignore[arg-type]  # fmt: skip


def token(
    content: bytes,
    holder: pki.Credential,
    *,
    now: datetime = pki.MOMENT,
    content_type: oids.Oid = oids.ID_CT_TST_INFO,
    reference: bool = True,
) -> bytes:
    """The token over a TSTInfo; without `reference` it does not name its certificate."""
    stamping = CmsSigner(
        InMemoryKey(holder.key),
        Certificate.parse(holder.certificate_der),
        chain=tuple(Certificate.parse(der) for der in holder.chain_der),
        attributes=SignedAttributes(signing_certificate=reference),
    )
    return stamping.sign(content, now=now, detached=False, content_type=content_type)


def token_info(stamped: bytes, *, digest: str = "sha256", moment: datetime | None = None, **changes: bytes) -> bytes:
    """A TSTInfo for `stamped`; `changes` replace fields, or are added."""
    algorithm = DIGESTS[digest]
    written = b"20260601120000.123Z" if moment is None else moment.strftime("%Y%m%d%H%M%SZ").encode()
    fields = {
        "version": b"\x02\x01\x01",
        "policy": oids.Oid("1.2.3", "").tlv,
        "imprint": ber.encode(0x30, algorithm.identifier, ber.encode(0x04, compute_digest(algorithm, stamped))),
        "serial": b"\x02\x01\x2a",
        "time": ber.encode(0x18, written),
        **changes,
    }
    return ber.encode(0x30, *fields.values())
