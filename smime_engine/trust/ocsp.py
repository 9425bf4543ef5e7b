"""The Online Certificate Status Protocol: requests as bytes, responses as values.

Does: encode an OCSPRequest for one certificate, split an OCSPResponse. Does not: verify the signature, decide whether
the responder may answer or whether the answer is fresh (`revocation.py`), or fetch (`sources`).

Standards: RFC 6960 sections 4.1 and 4.2, RFC 5019 (SHA-1 in CertID: what every responder knows), RFC 9654 (nonce),
RFC 5940 (responses inside CMS).
"""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from functools import cached_property
from hashlib import sha256
from typing import Any, NamedTuple, NoReturn

from smime_engine.asn1 import ber, oids
from smime_engine.certificate import Certificate
from smime_engine.certificate_fields import Extension, algorithm_oid, extensions_in, signature_in, time_in
from smime_engine.crypto.digests import DIGESTS, digest_from_identifier
from smime_engine.crypto.signing import digest
from smime_engine.errors import LimitExceeded, MalformedMessage, UnsupportedAlgorithm
from smime_engine.limits import DEFAULT_LIMITS, Limits
from smime_engine.names import comparable_name
from smime_engine.trust.crl_entries import CRL_REASONS, unique

__all__ = ["CertificateStatus", "OcspResponse", "ResponseStatus", "SingleResponse", "ocsp_request", "with_nonce"]

_INTEGER, _BIT_STRING, _OCTET_STRING, _OID, _ENUMERATED, _SEQUENCE = 0x02, 0x03, 0x04, 0x06, 0x0A, 0x30
_GENERALIZED_TIME = 0x18


class ResponseStatus(Enum):
    """Whether the responder answered (RFC 6960 section 4.2.1); the value is the number on the wire."""

    SUCCESSFUL = 0
    MALFORMED_REQUEST = 1
    INTERNAL_ERROR = 2
    TRY_LATER = 3
    SIGNATURE_REQUIRED = 5
    UNAUTHORIZED = 6


class CertificateStatus(Enum):
    """What the responder says about one certificate."""

    GOOD = "good"
    REVOKED = "revoked"
    UNKNOWN = "unknown"


class SingleResponse(NamedTuple):
    """The answer about one certificate, which is named by hashes of its issuer's name and key."""

    digest_identifier: bytes
    """DER AlgorithmIdentifier of the hashes."""
    issuer_name_hash: bytes
    issuer_key_hash: bytes
    serial_number: int
    status: CertificateStatus
    revoked_at: datetime | None
    reason: str
    this_update: datetime
    next_update: datetime | None
    defects: tuple[str, ...]

    def is_about(self, certificate: Certificate, issuer: Certificate) -> bool:
        """Whether this is the answer about `certificate`, issued by `issuer`. False for digests we do not have."""
        if self.serial_number != certificate.serial_number:
            return False
        try:
            hashes = _issuer_hashes(certificate, issuer, self.digest_identifier)
        except (UnsupportedAlgorithm, MalformedMessage):
            return False
        return hashes == (self.issuer_name_hash, self.issuer_key_hash)


class OcspResponse:
    """One OCSPResponse. Immutable; two are equal when their DER is. Made by `OcspResponse.parse`.

    Everything but `der` and `status` is empty where the responder refused to answer.
    """

    der: bytes
    status: ResponseStatus
    responder_name: bytes | None
    """DER Name of the responder, where it is named so."""
    responder_key_hash: bytes | None
    """SHA-1 of the responder's key (the bits of its SubjectPublicKeyInfo), where it is named so."""
    produced_at: datetime | None
    responses: tuple[SingleResponse, ...]
    certificates: tuple[bytes, ...]
    """DER of the certificates that came along."""
    nonce: bytes | None
    signature_algorithm: bytes
    signature: bytes
    signed_octets: bytes
    defects: tuple[str, ...]
    """What forbids using this response: critical extensions that are not understood."""

    @classmethod
    def parse(cls, der: bytes, *, limits: Limits = DEFAULT_LIMITS) -> OcspResponse:
        """Split one DER OCSPResponse. Raises MalformedMessage, also for octets behind it."""
        self = cls.__new__(cls)
        self.__dict__.update(_fields_of(bytes(der), limits))
        return self

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"an OCSP response is immutable, {name} cannot be set")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OcspResponse) and self.der == other.der

    def __hash__(self) -> int:
        return hash(self.der)

    def __repr__(self) -> str:
        return f"<OcspResponse {self.status.name} with {len(self.responses)} answers>"

    @cached_property
    def fingerprint_sha256(self) -> bytes:
        """SHA-256 of the DER, 32 octets."""
        return sha256(self.der).digest()

    def is_by(self, certificate: Certificate) -> bool:
        """Whether the response names the subject or key of this certificate as its responder. Proves nothing."""
        if self.responder_key_hash is not None:
            return digest(DIGESTS["sha1"], _key_bits(certificate.public_key_info)) == self.responder_key_hash
        if self.responder_name is None:
            return False
        if self.responder_name == certificate.subject_der:
            return True
        try:
            return comparable_name(self.responder_name) == certificate.comparable_subject
        except MalformedMessage:
            return False

    def answer_about(self, certificate: Certificate, issuer: Certificate) -> SingleResponse | None:
        """The newest answer about one certificate, or None."""
        answers = [answer for answer in self.responses if answer.is_about(certificate, issuer)]
        return max(answers, key=lambda answer: answer.this_update, default=None)


def ocsp_request(
    certificate: Certificate, issuer: Certificate, *, nonce: bytes | None = None, digest_name: str = "sha1"
) -> bytes:
    """Encode an OCSPRequest for one certificate, unsigned.

    `nonce` (RFC 9654: 32 octets) is compared by the caller: most public responders do not send it back. The digest
    names the issuer only, nothing rests on its strength; SHA-1 is the one that every responder knows.
    """
    algorithm = ber.encode(_SEQUENCE, oids.Oid(DIGESTS[digest_name].oid, digest_name).tlv, b"\x05\x00")
    name_hash, key_hash = _issuer_hashes(certificate, issuer, algorithm)
    serial = certificate.serial_number
    magnitude = serial if serial >= 0 else ~serial
    certificate_identifier = ber.encode(
        _SEQUENCE,
        algorithm,
        ber.encode(_OCTET_STRING, name_hash),
        ber.encode(_OCTET_STRING, key_hash),
        ber.encode(_INTEGER, serial.to_bytes(magnitude.bit_length() // 8 + 1, "big", signed=True)),
    )
    requests = ber.encode(_SEQUENCE, ber.encode(_SEQUENCE, certificate_identifier))
    request = ber.encode(_SEQUENCE, ber.encode(_SEQUENCE, requests))
    return request if nonce is None else with_nonce(request, nonce)


def with_nonce(request: bytes, nonce: bytes) -> bytes:
    """Add a nonce to a request that `ocsp_request` made without one."""
    start, end = ber.content(request, 0, len(request), _SEQUENCE, expected="an OCSP request")
    first, last = ber.content(request, start, end, _SEQUENCE, expected="an unsigned OCSP request")
    value = ber.encode(_OCTET_STRING, ber.encode(_OCTET_STRING, nonce))
    extension = ber.encode(_SEQUENCE, oids.ID_PKIX_OCSP_NONCE.tlv, value)
    extensions = ber.encode(0xA2, ber.encode(_SEQUENCE, extension))
    return ber.encode(_SEQUENCE, ber.encode(_SEQUENCE, request[first:last], extensions))


def _issuer_hashes(certificate: Certificate, issuer: Certificate, algorithm: bytes) -> tuple[bytes, bytes]:
    chosen = digest_from_identifier(algorithm)
    return digest(chosen, certificate.issuer_der), digest(chosen, _key_bits(issuer.public_key_info))


def _key_bits(public_key_info: bytes) -> bytes:
    """The key itself: the BIT STRING of a SubjectPublicKeyInfo without the count of unused bits."""
    start, end = ber.content(public_key_info, 0, len(public_key_info), _SEQUENCE, expected="a public key")
    _, key = ber.children(public_key_info, start, end)
    return public_key_info[key[2] + 1 : key[3]]


# ------------------------------------------------------------------------------------------------------- responses

_NOTHING: dict[str, Any] = {
    "responder_name": None,
    "responder_key_hash": None,
    "produced_at": None,
    "responses": (),
    "certificates": (),
    "nonce": None,
    "signature_algorithm": b"",
    "signature": b"",
    "signed_octets": b"",
    "defects": (),
}
_STATUSES = {status.value: status for status in ResponseStatus}


def _fields_of(der: bytes, limits: Limits) -> dict[str, Any]:
    start, end = ber.content(der, 0, len(der), _SEQUENCE, expected="an OCSP response (SEQUENCE)")
    if end != len(der):
        raise MalformedMessage("the end of the OCSP response", offset=end)
    fields = ber.children(der, start, end)
    if not fields or fields[0][0] != _ENUMERATED or der[fields[0][2] : fields[0][3]][1:] or len(fields) > 2:
        raise MalformedMessage("a response status", offset=start)
    status = _STATUSES.get(int.from_bytes(der[fields[0][2] : fields[0][3]], "big"))
    if status is None:
        raise MalformedMessage("a known response status", offset=fields[0][1])
    if status is not ResponseStatus.SUCCESSFUL:
        return _NOTHING | {"der": der, "status": status}
    if len(fields) != 2 or fields[1][0] != 0xA0:
        raise MalformedMessage("the response's content", offset=end)
    basic = _basic_response(der, *_response_bytes(der, fields[1]), limits)
    return basic | {"der": der, "status": status}


def _response_bytes(der: bytes, element: ber.Element) -> tuple[int, int]:
    """Where the BasicOCSPResponse stands that is inside the OCTET STRING."""
    start, end = ber.content(der, element[2], element[3], _SEQUENCE, expected="ResponseBytes")
    fields = ber.children(der, start, end)
    if [field[0] for field in fields] != [_OID, _OCTET_STRING] or end != element[3]:
        raise MalformedMessage("a response type and a response", offset=start)
    if der[fields[0][1] : fields[0][3]] != oids.ID_PKIX_OCSP_BASIC.tlv:
        raise MalformedMessage("a basic OCSP response", offset=fields[0][1])
    return fields[1][2], fields[1][3]


def _basic_response(der: bytes, start: int, end: int, limits: Limits) -> dict[str, Any]:
    first, last = ber.content(der, start, end, _SEQUENCE, expected="BasicOCSPResponse")
    fields = ber.children(der, first, last)
    tags = [field[0] for field in fields]
    if last != end or tags not in ([_SEQUENCE, _SEQUENCE, _BIT_STRING], [_SEQUENCE, _SEQUENCE, _BIT_STRING, 0xA0]):
        raise MalformedMessage("response data, signature algorithm and signature", offset=start)
    data, algorithm, signature = fields[:3]
    identifier = der[algorithm[1] : algorithm[3]]
    algorithm_oid(identifier, offset=algorithm[1])
    return _response_data(der, data, limits) | {
        "signature_algorithm": identifier,
        "signature": signature_in(der, signature),
        "signed_octets": der[data[1] : data[3]],
        "certificates": _certificates(der, fields[3], limits) if len(fields) == 4 else (),
    }


def _certificates(der: bytes, element: ber.Element, limits: Limits) -> tuple[bytes, ...]:
    start, end = ber.content(der, element[2], element[3], _SEQUENCE, expected="certificates")
    found = ber.elements(der, start, end, limits)
    if len(found) > limits.certificates:
        raise LimitExceeded("certificates", limits.certificates, offset=start)
    return tuple(found)


def _response_data(der: bytes, element: ber.Element, limits: Limits) -> dict[str, Any]:
    fields = ber.children(der, element[2], element[3])
    if fields and fields[0][0] == 0xA0:
        if der[fields[0][2] : fields[0][3]] != b"\x02\x01\x00":
            raise MalformedMessage("version 1", offset=fields[0][1])
        del fields[0]
    extensions: dict[str, Extension] = {}
    if fields and fields[-1][0] == 0xA1 and len(fields) == 4:
        _, offset, start, end = fields.pop()
        extensions = dict(unique(extensions_in(der, start, end), offset))
    if [field[0] for field in fields[1:]] != [_GENERALIZED_TIME, _SEQUENCE]:
        raise MalformedMessage("responder, time and responses", offset=element[2])
    responder, produced_at, responses = fields
    answers = ber.children(der, responses[2], responses[3], limits)
    if len(answers) > limits.ocsp_answers:
        raise LimitExceeded("ocsp_answers", limits.ocsp_answers, offset=responses[1])
    return {
        **_responder(der, responder),
        "produced_at": time_in(der, produced_at),
        "responses": tuple(_single_response(der, answer) for answer in answers),
        "nonce": _nonce(extensions.get(oids.ID_PKIX_OCSP_NONCE)),
        "defects": _defects_of(extensions),
    }


def _responder(der: bytes, element: ber.Element) -> dict[str, bytes | None]:
    tag, offset, start, end = element
    expected = {0xA1: _SEQUENCE, 0xA2: _OCTET_STRING}.get(tag)
    if expected is None:
        raise MalformedMessage("a responder's name or key", offset=offset)
    first, last = ber.content(der, start, end, expected, expected="a responder's name or key")
    if last != end:
        raise MalformedMessage("the end of the responder's name", offset=last)
    if tag == 0xA1:
        return {"responder_name": der[start:end], "responder_key_hash": None}
    return {"responder_name": None, "responder_key_hash": der[first:last]}


def _nonce(extension: Extension | None) -> bytes | None:
    """The nonce. QUIRK: old responders leave the inner OCTET STRING away (RFC 2560 did not ask for it)."""
    if extension is None:
        return None
    value = extension.value
    try:
        start, end = ber.content(value, 0, len(value), _OCTET_STRING, expected="a nonce (OCTET STRING)")
    except MalformedMessage:
        return value
    return value[start:end] if end == len(value) else value


def _defects_of(extensions: dict[str, Extension]) -> tuple[str, ...]:
    return tuple(
        f"critical extension {oids.name_of(identifier)} is not understood"
        for identifier, extension in extensions.items()
        if extension.critical and identifier != oids.ID_PKIX_OCSP_NONCE
    )


def _single_response(der: bytes, element: ber.Element) -> SingleResponse:
    fields = ber.children(der, element[2], element[3]) if element[0] == _SEQUENCE else []
    if len(fields) < 3 or fields[0][0] != _SEQUENCE or fields[2][0] != _GENERALIZED_TIME:
        raise MalformedMessage("an answer about one certificate", offset=element[1])
    identifier, status, this_update, *rest = fields
    next_update, extensions = None, {}
    if rest and rest[0][0] == 0xA0:
        next_update = _explicit_time(der, rest.pop(0))
    if rest and rest[0][0] == 0xA1:
        _, offset, start, end = rest.pop(0)
        extensions = dict(unique(extensions_in(der, start, end), offset))
    if rest:
        raise MalformedMessage("the end of an answer", offset=rest[0][1])
    return SingleResponse(
        *_certificate_identifier(der, identifier),
        *_certificate_status(der, status),
        time_in(der, this_update),
        next_update,
        _defects_of(extensions),
    )


def _certificate_identifier(der: bytes, element: ber.Element) -> tuple[bytes, bytes, bytes, int]:
    fields = ber.children(der, element[2], element[3])
    if [field[0] for field in fields] != [_SEQUENCE, _OCTET_STRING, _OCTET_STRING, _INTEGER]:
        raise MalformedMessage("a CertID", offset=element[1])
    algorithm, name, key, serial = fields
    octets = der[serial[2] : serial[3]]
    if not 0 < len(octets) <= 64:
        raise MalformedMessage("a serial number of at most 64 octets", offset=serial[1])
    return (
        der[algorithm[1] : algorithm[3]],
        der[name[2] : name[3]],
        der[key[2] : key[3]],
        int.from_bytes(octets, "big", signed=True),
    )


def _certificate_status(der: bytes, element: ber.Element) -> tuple[CertificateStatus, datetime | None, str]:
    tag, offset, start, end = element
    if tag in {0x80, 0x82} and start == end:
        return (CertificateStatus.GOOD if tag == 0x80 else CertificateStatus.UNKNOWN), None, ""
    fields = ber.children(der, start, end) if tag == 0xA1 else []
    if not 1 <= len(fields) <= 2 or fields[0][0] != _GENERALIZED_TIME:
        raise MalformedMessage("good, revoked or unknown", offset=offset)
    reason = CRL_REASONS[0]
    if len(fields) == 2:
        if fields[1][0] != 0xA0 or der[fields[1][2] : fields[1][2] + 2] != bytes((_ENUMERATED, 1)):
            raise MalformedMessage("a revocation reason", offset=fields[1][1])
        reason = CRL_REASONS.get(int.from_bytes(der[fields[1][2] + 2 : fields[1][3]], "big"), reason)
    return CertificateStatus.REVOKED, time_in(der, fields[0]), reason


def _explicit_time(der: bytes, element: ber.Element) -> datetime:
    inner = ber.children(der, element[2], element[3])
    if len(inner) != 1 or inner[0][0] != _GENERALIZED_TIME:
        raise MalformedMessage("a time (GeneralizedTime)", offset=element[1])
    return time_in(der, inner[0])
