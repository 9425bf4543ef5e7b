"""Time stamps: tokens of a time-stamping authority as unsigned attribute, and the request for one.

A token is a SignedData over a TSTInfo, which names the digest of a signature and a moment: the signature existed then.
Checks everything in the token and its signature; the path of the authority's certificate is the caller's to check, with
`SignerCheck.certificate` at the moment of checking. Fetching is an adapter's work: `timestamp_request` makes the
request, `timestamp_token` takes the token out of the response.

Standards: RFC 3161 sections 2.4 and 2.3 (extended key usage), appendix A (the attribute); RFC 5816 (ESSCertIDv2).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from smime_engine.asn1 import ber, der, oids
from smime_engine.certificate import Certificate
from smime_engine.cms.attributes import decode_octets, decode_time
from smime_engine.cms.signed import parse_signed_data, signer_certificates, verify_signer
from smime_engine.cms.signed_data import SignerInfo
from smime_engine.cms.signer_check import SignerCheck
from smime_engine.cms.unsigned import unsigned_values
from smime_engine.crypto.signature_algorithms import DIGESTS, Status, digest_from_identifier
from smime_engine.crypto.signing import digest as compute_digest
from smime_engine.errors import MalformedMessage, UnsupportedAlgorithm
from smime_engine.limits import DEFAULT_LIMITS, Limits
from smime_engine.problems import Finding, Problem

__all__ = ["TimestampCheck", "timestamp_request", "timestamp_token", "timestamp_tokens", "verify_timestamp"]


class TimestampCheck(NamedTuple):
    """What is wrong with a time stamp, and what it says."""

    findings: tuple[Finding, ...]
    """Problems of the token and of its signature; not those of the authority's certificate path."""

    moment: datetime | None
    """When the signature existed, by the authority's clock (aware, UTC); None where the token is malformed."""

    accuracy: timedelta | None
    """How far `moment` may be off; None where the authority does not say."""

    policy: str
    """Dotted policy of the authority."""

    serial_number: int
    signer: SignerCheck | None
    """The authority's signature; None where the token is malformed."""

    certificates: tuple[Certificate, ...]
    """Certificates that the token carries: a pool for the authority's path."""

    @property
    def problems(self) -> tuple[Problem, ...]:
        """The findings' problems."""
        return tuple(finding.problem for finding in self.findings)


def timestamp_tokens(signer: SignerInfo, *, limits: Limits = DEFAULT_LIMITS) -> tuple[bytes, ...]:
    """The time-stamp tokens of a signer: DER ContentInfos. Raises MalformedMessage.

    To add one: `add_unsigned_attributes(data, [(oids.ID_AA_TIME_STAMP_TOKEN, token)])`.
    """
    return unsigned_values(signer, oids.ID_AA_TIME_STAMP_TOKEN, limits=limits)


def verify_timestamp(
    stamped: bytes, token: bytes, *, pool: Sequence[Certificate] = (), limits: Limits = DEFAULT_LIMITS
) -> TimestampCheck:
    """Verify a token for `stamped`, the octets of a signature. `pool` may hold the authority's certificate.

    Never raises, whatever the token holds.
    """
    try:
        return _verified(stamped, token, pool, limits)
    except (MalformedMessage, UnsupportedAlgorithm) as error:
        finding = Finding(problem=Problem.TIMESTAMP_MALFORMED, detail=str(error))
        return TimestampCheck((finding,), None, None, "", 0, None, ())


def timestamp_request(stamped: bytes, *, digest: str = "sha256", nonce: int | None = None) -> bytes:
    """DER TimeStampReq for the octets of a signature; asks for the authority's certificate in the token.

    A random `nonce` of 64 bits or more ties the response to the request.
    """
    algorithm = DIGESTS[digest]
    imprint = ber.encode(0x30, algorithm.identifier, ber.encode(0x04, compute_digest(algorithm, stamped)))
    number = b"" if nonce is None else der.encode(nonce)
    return ber.encode(0x30, b"\x02\x01\x01", imprint, number, b"\x01\x01\xff")


def timestamp_token(response: bytes, *, nonce: int | None = None, limits: Limits = DEFAULT_LIMITS) -> bytes:
    """The token in a DER TimeStampResp. Raises MalformedMessage, also for a refusal or another nonce."""
    fields = _sequence(response, "a TimeStampResp")
    status = _sequence(fields[0], "a PKIStatusInfo")[:1] if fields else []
    if len(fields) != 2 or status not in ([b"\x02\x01\x00"], [b"\x02\x01\x01"]):
        raise MalformedMessage("a TimeStampResp that grants a token")
    if nonce is not None:
        info = _info(bytes(parse_signed_data(fields[1], limits=limits).content or b""))
        if info.nonce != nonce:
            raise MalformedMessage("a token with the nonce of the request")
    return fields[1]


def _verified(stamped: bytes, token: bytes, pool: Sequence[Certificate], limits: Limits) -> TimestampCheck:
    signed = parse_signed_data(token, limits=limits)
    if signed.content_type != oids.ID_CT_TST_INFO or signed.content is None or len(signed.signers) != 1:
        raise MalformedMessage("a SignedData over a TSTInfo by one signer")
    info = _info(bytes(signed.content))
    certificates = tuple(Certificate.parse(certificate) for certificate in signed.certificates)
    candidates = signer_certificates(signed.signers[0], (*certificates, *pool))
    check = verify_signer(signed, signed.signers[0], certificate=candidates, limits=limits)
    findings = list(check.findings)
    algorithm = digest_from_identifier(info.algorithm)
    if info.imprint != compute_digest(algorithm, stamped):
        findings.append(Finding(problem=Problem.TIMESTAMP_MISMATCH))
    if algorithm.status is Status.WEAK:
        findings.append(Finding(problem=Problem.WEAK_DIGEST, detail=algorithm.name))
    if not (check.value_of(oids.ID_AA_SIGNING_CERTIFICATE) or check.value_of(oids.ID_AA_SIGNING_CERTIFICATE_V2)):
        findings.append(Finding(problem=Problem.TIMESTAMP_MALFORMED, detail="no signing certificate attribute"))
    if check.certificate is not None and not _may_stamp(check.certificate):
        findings.append(Finding(problem=Problem.EXTENDED_KEY_USAGE_UNFIT, detail="not for time-stamping alone"))
    return TimestampCheck(
        tuple(findings), info.moment, info.accuracy, info.policy, info.serial_number, check, certificates
    )


def _may_stamp(certificate: Certificate) -> bool:
    """RFC 3161 section 2.3: the extended key usage is critical and names time-stamping and nothing else."""
    extension = certificate.extensions.get(oids.ID_CE_EXT_KEY_USAGE)
    return (
        extension is not None and extension.critical and certificate.extended_key_usage == (oids.ID_KP_TIME_STAMPING,)
    )


class _TstInfo(NamedTuple):
    policy: str
    algorithm: bytes
    imprint: bytes
    serial_number: int
    moment: datetime
    accuracy: timedelta | None
    nonce: int | None


def _info(content: bytes) -> _TstInfo:
    """TSTInfo; time stamps are as precise as the authority writes them, extensions are passed over."""
    fields = _sequence(content, "a TSTInfo")
    if [field[:1] for field in fields[:5]] != [b"\x02", b"\x06", b"\x30", b"\x02", b"\x18"]:
        raise MalformedMessage("the fields of a TSTInfo", offset=0)
    imprint = _sequence(fields[2], "a MessageImprint")
    if len(imprint) != 2:
        raise MalformedMessage("a MessageImprint", offset=0)
    optional = {field[0]: field for field in fields[5:]}
    nonce = optional.get(0x02)
    return _TstInfo(
        oids.decode_oid(fields[1][2:]),
        imprint[0],
        decode_octets(imprint[1]),
        der.decode(int, fields[3], expected="a serial number"),
        decode_time(fields[4]),
        _accuracy(optional[0x30]) if 0x30 in optional else None,
        None if nonce is None else der.decode(int, nonce, expected="a nonce"),
    )


def _accuracy(encoded: bytes) -> timedelta:
    """Accuracy: seconds, milliseconds [0], microseconds [1], each optional."""
    units = {0x02: "seconds", 0x80: "milliseconds", 0x81: "microseconds"}
    start, end = ber.content(encoded, 0, len(encoded), 0x30, expected="an Accuracy")
    total = timedelta()
    for tag, offset, first, last in ber.children(encoded, start, end):
        if tag not in units or not 0 < last - first <= 4:
            raise MalformedMessage("an Accuracy", offset=offset)
        total += timedelta(**{units[tag]: int.from_bytes(encoded[first:last], "big")})
    return total


def _sequence(encoded: bytes, expected: str) -> list[bytes]:
    start, end = ber.content(encoded, 0, len(encoded), 0x30, expected=expected)
    if end != len(encoded):
        raise MalformedMessage(f"the end of {expected}", offset=end)
    return ber.elements(encoded, start, end)
