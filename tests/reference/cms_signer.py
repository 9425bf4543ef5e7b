"""The plain way to make a SignedData: build the whole structure with asn1crypto, sign, encode. No precomputation.

`CmsSigner` must give equal structures; see tests/cms/test_signer.py. It also serves tests that need attributes which
no honest signer writes.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from asn1crypto import cms, core, x509

from smime_engine.asn1 import oids
from smime_engine.certificate import Certificate
from smime_engine.crypto.signature_algorithms import Digest, SignatureScheme
from smime_engine.crypto.signing import digest as compute_digest
from smime_engine.keys import PrivateKey


class _Attributes(core.SetOf):
    """Attributes that asn1crypto neither reads nor sorts."""

    _child_spec = core.Any


class _SignerInfo(cms.SignerInfo):
    _fields = [  # noqa: RUF012 - asn1crypto wants a list
        (name, _Attributes if name == "signed_attrs" else kind, *rest) for name, kind, *rest in cms.SignerInfo._fields
    ]


class _SignerInfos(core.SetOf):
    _child_spec = _SignerInfo


class _SignedData(cms.SignedData):
    _fields = [  # noqa: RUF012
        (name, _SignerInfos if name == "signer_infos" else kind, *rest) for name, kind, *rest in cms.SignedData._fields
    ]


class _ContentInfo(core.Sequence):
    _fields = [("content_type", core.ObjectIdentifier), ("content", _SignedData, {"explicit": 0})]  # noqa: RUF012


def attribute(oid: str, *values: core.Asn1Value | bytes) -> bytes:
    """One attribute; values as asn1crypto objects or DER."""
    encoded = [value if isinstance(value, bytes) else value.dump() for value in values]
    return _sequence(core.ObjectIdentifier(oid).dump(), _set(encoded))


def usual_attributes(
    content: bytes, *, digest: Digest, scheme: SignatureScheme, now: datetime, content_type: str = oids.ID_DATA
) -> list[bytes]:
    """Content type, signing time, algorithm protection and message digest, in no special order."""
    time = cms.Time(
        name="utc_time" if 1950 <= now.year < 2050 else "generalized_time",
        value=(core.UTCTime if 1950 <= now.year < 2050 else core.GeneralizedTime)(now.replace(microsecond=0)),
    )
    protection = _sequence(digest.identifier, b"\xa1" + scheme.identifier[1:])
    return [
        attribute(oids.ID_MESSAGE_DIGEST, core.OctetString(compute_digest(digest, content))),
        attribute(oids.ID_SIGNING_TIME, time),
        attribute(oids.ID_AA_CMS_ALGORITHM_PROTECTION, protection),
        attribute(oids.ID_CONTENT_TYPE, core.ObjectIdentifier(content_type)),
    ]


def signed_data(
    key: PrivateKey,
    certificate: Certificate,
    content: bytes,
    *,
    digest: Digest,
    scheme: SignatureScheme,
    attributes: Sequence[bytes] | None,
    chain: Sequence[Certificate] = (),
    detached: bool = True,
    content_type: str = oids.ID_DATA,
    sort: bool = True,
    signed_bytes: bytes | None = None,
) -> bytes:
    """Sign and encode. `sort=False` leaves the attributes in the order given; `signed_bytes` are signed instead."""
    field = None
    if attributes is None:
        signature = _sign_content(key, content, scheme)
    else:
        joined = b"".join(sorted(attributes) if sort else attributes)
        encoded = core.SetOf(spec=core.Any, contents=joined).dump()
        signature = key.sign(encoded if signed_bytes is None else signed_bytes, scheme)
        field = _Attributes.load(encoded)
    issuer_and_serial = cms.IssuerAndSerialNumber.load(certificate.issuer_and_serial)
    info = _SignerInfo(
        {
            "version": "v1",
            "sid": cms.SignerIdentifier(name="issuer_and_serial_number", value=issuer_and_serial),
            "digest_algorithm": cms.DigestAlgorithm.load(digest.identifier),
            "signature_algorithm": cms.SignedDigestAlgorithm.load(scheme.identifier),
            "signature": signature,
            **({} if field is None else {"signed_attrs": field}),
        }
    )
    encapsulated = {"content_type": content_type}
    if not detached:
        encapsulated["content"] = core.OctetString(content)
    body = _SignedData(
        {
            "version": "v1" if content_type == oids.ID_DATA else "v3",
            "digest_algorithms": [cms.DigestAlgorithm.load(digest.identifier)],
            "encap_content_info": encapsulated,
            "certificates": sorted(
                (x509.Certificate.load(entry.der) for entry in (certificate, *chain)), key=lambda entry: entry.dump()
            ),
            "signer_infos": [info],
        }
    )
    return bytes(_ContentInfo({"content_type": oids.ID_SIGNED_DATA, "content": body}).dump())


def _sign_content(key: PrivateKey, content: bytes, scheme: SignatureScheme) -> bytes:
    if scheme.digest is None:
        return key.sign(content, scheme)
    return key.sign(compute_digest(scheme.digest, content), scheme.of_digest())


def _sequence(*parts: bytes) -> bytes:
    return bytes(core.Sequence(contents=b"".join(parts)).dump())


def _set(parts: Sequence[bytes]) -> bytes:
    return bytes(core.SetOf(spec=core.Any, contents=b"".join(sorted(parts))).dump())
