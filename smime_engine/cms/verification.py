"""Verify one signer of a SignedData against its content and certificate.

The careful way: it finds everything that is wrong and says it. Signatures with nothing wrong, the usual ones, never get
here: `quick_verification.py` recognises them in half the time.

Checks the signature and every signed attribute that says something about it. Does not check: the certificate (path,
key usage, address: `trust`), whether the signing time is believable, unsigned attributes.

Attacks considered: content that is the signed attributes of another message, shown without attributes (RFC 5652 says
nothing; draft-ietf-lamps-cms-euf-cma-signeddata does); substituted algorithms (RFC 6211) and certificates (RFC 5035);
duplicate or many-valued attributes; signed attributes that are no DER: they are tried as they stand, then as DER.

Standards: RFC 5652 sections 5.3, 5.4, 5.6, 11; RFC 8551 section 2.5; RFC 6211; RFC 5035 and RFC 2634 section 5.4;
RFC 8933 (one digest for content and attributes); RFC 8419 section 3 and RFC 9882 section 3 (signing without prehash).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from smime_engine.asn1 import ber, oids
from smime_engine.certificate import Certificate
from smime_engine.cms.attributes import Attribute, decode_octets, decode_time, parse_attributes
from smime_engine.cms.signed_data import SignerInfo
from smime_engine.cms.signer_check import ContentDigests, SignerCheck
from smime_engine.cms.signing_certificate import names_certificate
from smime_engine.crypto.signature_algorithms import (
    Digest,
    Family,
    SignatureScheme,
    Status,
    digest_from_identifier,
    signature_scheme,
)
from smime_engine.crypto.signing import verify
from smime_engine.errors import MalformedMessage, UnsupportedAlgorithm
from smime_engine.limits import Limits
from smime_engine.problems import Finding, Problem

__all__ = ["Verification"]

# Attributes that may occur once and with one value only: RFC 5652 section 11, RFC 8551 section 2.5, RFC 6211, RFC 5035.
_SINGLE = frozenset(
    oid.tlv
    for oid in (
        oids.ID_CONTENT_TYPE,
        oids.ID_MESSAGE_DIGEST,
        oids.ID_SIGNING_TIME,
        oids.SMIME_CAPABILITIES,
        oids.ID_AA_ENCRYP_KEY_PREF,
        oids.MICROSOFT_ENCRYPTION_KEY_PREFERENCE,
        oids.ID_AA_SIGNING_CERTIFICATE,
        oids.ID_AA_SIGNING_CERTIFICATE_V2,
        oids.ID_AA_CMS_ALGORITHM_PROTECTION,
        oids.ID_AA_RECEIPT_REQUEST,
        oids.ID_AA_SECURITY_LABEL,
        oids.ID_AA_ML_EXPAND_HISTORY,
        oids.ID_AA_MSG_SIG_DIGEST,
        oids.ID_AA_CONTENT_HINT,
        oids.ID_AA_CONTENT_IDENTIFIER,
        oids.ID_AA_CONTENT_REFERENCE,
        oids.ID_AA_EQUIVALENT_LABELS,
    )
)
_CONTENT_TYPE = oids.ID_CONTENT_TYPE.tlv
_MESSAGE_DIGEST = oids.ID_MESSAGE_DIGEST.tlv
_SIGNING_TIME = oids.ID_SIGNING_TIME.tlv
_ALGORITHM_PROTECTION = oids.ID_AA_CMS_ALGORITHM_PROTECTION.tlv
_SIGNING_CERTIFICATE = oids.ID_AA_SIGNING_CERTIFICATE.tlv
_SIGNING_CERTIFICATE_V2 = oids.ID_AA_SIGNING_CERTIFICATE_V2.tlv
_MOST_CANDIDATES = 8  # certificates tried for one signer: honest messages have two at most, each costs a verification
_NEVER_UNSIGNED = frozenset((_CONTENT_TYPE, _MESSAGE_DIGEST, _SIGNING_TIME))  # RFC 5652 sections 11.1 to 11.3


class Verification:
    """One verification under way: first `attributes`, then `signature` or `signature_of_any`, then `result`."""

    __slots__ = (
        "content",
        "content_type",
        "digest",
        "encoded",
        "entries",
        "findings",
        "limits",
        "scheme",
        "signer",
        "signing_time",
        "used",
        "values",
    )

    def __init__(self, content_type: str | None, signer: SignerInfo, content: ContentDigests, limits: Limits) -> None:
        self.content_type = content_type
        self.signer = signer
        self.content = content
        self.limits = limits
        self.findings: list[Finding] = []
        self.entries: list[Attribute] = []
        self.values: dict[bytes, tuple[bytes, ...]] = {}
        self.encoded: bytes | None = None  # the signed attributes as they are signed
        self.signing_time: datetime | None = None
        self.used: Certificate | None = None
        self.digest: Digest | None = None
        self.scheme: SignatureScheme | None = None
        self._algorithms()

    def found(self, problem: Problem, detail: str = "") -> None:
        """Note a problem."""
        self.findings.append(Finding(problem=problem, detail=detail))

    def result(self) -> SignerCheck:
        """The report."""
        digest, scheme = self.digest, self.scheme
        return SignerCheck(
            tuple(self.findings),
            _readable_algorithm(self.signer.digest_algorithm) if digest is None else digest.name,
            _readable_algorithm(self.signer.signature_algorithm) if scheme is None else scheme.family.value,
            self.used,
            self.signing_time,
            tuple(self.entries),
        )

    def _algorithms(self) -> None:
        """Look up both algorithms; what is weak or unknown is found, and does not stop the other checks."""
        signer = self.signer
        try:
            digest = self.digest = digest_from_identifier(signer.digest_algorithm)
            if digest.status is Status.WEAK:
                self.found(Problem.WEAK_DIGEST, digest.name)
        except (UnsupportedAlgorithm, MalformedMessage) as error:
            self.found(Problem.UNSUPPORTED_DIGEST, _identifier_in(error))
        try:
            scheme = self.scheme = signature_scheme(signer.signature_algorithm, self.digest)
        except (UnsupportedAlgorithm, MalformedMessage) as error:
            self.found(Problem.UNSUPPORTED_SIGNATURE_ALGORITHM, _identifier_in(error))
            return
        if scheme.status is Status.WEAK:
            if scheme.family is Family.DSA:
                self.found(Problem.WEAK_SIGNATURE_ALGORITHM, scheme.name)
            elif scheme.digest is not self.digest and scheme.digest is not None:
                self.found(Problem.WEAK_DIGEST, scheme.digest.name)
        if scheme.digest is not self.digest and scheme.digest is not None and self.digest is not None:
            self.found(Problem.DIGEST_ALGORITHMS_DIFFER, f"{self.digest.name}, {scheme.digest.name}")

    # --- the content and the signed attributes

    def attributes(self) -> None:
        """Check content and signed attributes against each other, without any key."""
        if self.signer.signed_attributes is None:
            self._without_attributes()
        elif self._split_attributes(self.signer.signed_attributes):
            self._content_type()
            self._message_digest()
            self._signing_time()
            self._algorithm_protection()
        if self.signer.unsigned_attributes is not None:
            self._unsigned_attributes(self.signer.unsigned_attributes)

    def _unsigned_attributes(self, field: bytes) -> None:
        """Nothing that must be signed may stand among the unsigned attributes; they prove nothing otherwise."""
        try:
            _, start, end = ber.read_header(field, 0, len(field))
            entries, _ = parse_attributes(field, start, end, limits=self.limits)
        except MalformedMessage as error:
            self.found(Problem.UNSIGNED_ATTRIBUTES_MALFORMED, str(error))
            return
        for type_ in {type_ for type_, _ in entries} & _NEVER_UNSIGNED:
            self.found(Problem.UNSIGNED_ATTRIBUTES_MALFORMED, f"{_readable_oid(type_)} must be signed")

    def _without_attributes(self) -> None:
        if self.content_type not in {None, oids.ID_DATA}:
            self.found(Problem.SIGNED_ATTRIBUTES_MISSING)
        content = self.content.content
        if content is not None and content[:1] == b"\x31" and _is_set_of_attributes(content, self.limits):
            self.found(Problem.ATTRIBUTES_AS_CONTENT)

    def _split_attributes(self, field: bytes) -> bool:
        try:
            _, start, end = ber.read_header(field, 0, len(field))
            self.entries, is_sorted = parse_attributes(field, start, end, limits=self.limits)
        except MalformedMessage:
            try:
                field = ber.to_der(field, self.limits)
                _, start, end = ber.read_header(field, 0, len(field))
                self.entries, is_sorted = parse_attributes(field, start, end, limits=self.limits)
            except MalformedMessage as error:
                self.found(Problem.SIGNED_ATTRIBUTES_MALFORMED, str(error))
                return False
        # The field is [0] IMPLICIT; what is signed is the SET OF (RFC 5652 section 5.4).
        self.encoded = b"\x31" + field[1:]
        if not is_sorted:
            self.found(Problem.SIGNED_ATTRIBUTES_NOT_DER)
        values = self.values = dict(self.entries)
        count = len(self.entries)
        if len(values) != count or sum(map(len, values.values())) != count or () in values.values():
            self._check_occurrences()
        return True

    def _check_occurrences(self) -> None:
        values = self.values = {}
        for type_, held in self.entries:
            if type_ in _SINGLE and (len(held) != 1 or type_ in values):
                self.found(Problem.SIGNED_ATTRIBUTES_MALFORMED, f"{_readable_oid(type_)} must have one value")
            values.setdefault(type_, held)

    def _content_type(self) -> None:
        held = self.values.get(_CONTENT_TYPE)
        if self.content_type is None:  # a countersignature signs a signature, not a content (RFC 5652 section 11.4)
            if held is not None:
                self.found(Problem.SIGNED_ATTRIBUTES_MALFORMED, "a countersignature must not have a content type")
        elif held is None:
            self.found(Problem.CONTENT_TYPE_MISSING)
        elif held[:1] != (_oid_tlv(self.content_type),):
            signed = _readable_oid(held[0]) if held else "none"
            self.found(Problem.CONTENT_TYPE_MISMATCH, f"signed {signed}, found {oids.name_of(self.content_type)}")

    def _message_digest(self) -> None:
        held = self.values.get(_MESSAGE_DIGEST)
        if not held:
            self.found(Problem.MESSAGE_DIGEST_MISSING)
            return
        if self.digest is None:
            return
        actual = self.content.of(self.digest)
        if actual is None:
            self.found(Problem.CONTENT_MISSING)
            return
        if held[0] == b"\x04" + bytes((len(actual),)) + actual:
            return
        try:
            if decode_octets(held[0]) != actual:
                self.found(Problem.DIGEST_MISMATCH)
        except MalformedMessage as error:
            self.found(Problem.SIGNED_ATTRIBUTES_MALFORMED, f"message digest: {error}")

    def _signing_time(self) -> None:
        held = self.values.get(_SIGNING_TIME)
        if not held:
            return
        try:
            self.signing_time = decode_time(held[0])
        except MalformedMessage as error:
            self.found(Problem.SIGNING_TIME_MALFORMED, str(error))

    def _algorithm_protection(self) -> None:
        """RFC 6211 section 3: the protected identifiers are those of the SignerInfo."""
        held = self.values.get(_ALGORITHM_PROTECTION)
        if not held:
            return
        digest, signature = self.signer.digest_algorithm, self.signer.signature_algorithm
        if held[0] == ber.encode(0x30, digest, b"\xa1", signature[1:]):
            return
        try:
            same = self._same_algorithms(held[0])
        except (MalformedMessage, UnsupportedAlgorithm) as error:
            self.found(Problem.ALGORITHM_PROTECTION_MISMATCH, str(error))
            return
        if not same:
            self.found(Problem.ALGORITHM_PROTECTION_MISMATCH)

    def _same_algorithms(self, value: bytes) -> bool:
        """Whether they are the same when absent and NULL parameters are (a sender may write one here, one there)."""
        start, end = ber.content(value, 0, len(value), 0x30, expected="a CMSAlgorithmProtection")
        fields = ber.children(value, start, end)
        if [field[0] for field in fields] != [0x30, 0xA1] or end != len(value):
            return False
        (_, first, _, last), (_, second, _, _) = fields
        digest = digest_from_identifier(value[first:last])
        scheme = signature_scheme(b"\x30" + value[second + 1 : end], digest)
        return digest is self.digest and scheme == self.scheme

    # --- the signature

    def signature_of_any(self, candidates: Sequence[Certificate]) -> None:
        """Use the candidate under which the signature is right; when there is none, report on the first."""
        known = self.findings
        reports: list[tuple[list[Finding], Certificate]] = []
        for candidate in candidates[:_MOST_CANDIDATES]:
            self.findings = []
            self.signature(candidate)
            reports.append((self.findings, candidate))
            if not self.findings:
                break
        if not reports:
            self.signature(None)
            return
        wrong = {Problem.SIGNATURE_MISMATCH, Problem.KEY_ALGORITHM_MISMATCH, Problem.UNSUPPORTED_KEY}
        best = min(reports, key=lambda report: sum(finding.problem in wrong for finding in report[0]))
        self.findings = known + best[0]
        self.used = best[1]

    def signature(self, certificate: Certificate | None) -> None:
        """Check the signature and the attributes that name the certificate."""
        self.used = certificate
        if certificate is None:
            self.found(Problem.SIGNER_CERTIFICATE_MISSING)
            return
        if _SIGNING_CERTIFICATE_V2 in self.values or _SIGNING_CERTIFICATE in self.values:
            self._signing_certificate(certificate)
        scheme = self.scheme
        if scheme is None or (self.signer.signed_attributes is not None and self.encoded is None):
            return
        try:
            key = certificate.public_key
        except (UnsupportedAlgorithm, MalformedMessage) as error:
            self.found(Problem.UNSUPPORTED_KEY, _identifier_in(error))
            return
        if key.weakness:
            self.found(Problem.WEAK_KEY, key.weakness)
        if not key.fits(scheme):
            self.found(Problem.KEY_ALGORITHM_MISMATCH, f"{scheme.name}, {key.kind.value}")
            return
        try:
            right = self._verify(certificate, scheme)
        except UnsupportedAlgorithm as error:
            self.found(Problem.UNSUPPORTED_SIGNATURE_ALGORITHM, error.identifier)
            return
        if right is False:
            self.found(Problem.SIGNATURE_MISMATCH)
        elif right is None:
            self.found(Problem.CONTENT_MISSING)

    def _verify(self, certificate: Certificate, scheme: SignatureScheme) -> bool | None:
        """Whether the signature is right; None when the content is missing."""
        key, signature = certificate.public_key, self.signer.signature
        if self.encoded is not None:
            if verify(key, signature, self.encoded, scheme):
                return True
            in_order = self._attributes_in_order()
            return in_order != self.encoded and verify(key, signature, in_order, scheme)
        if scheme.digest is None:
            content = self.content.content
            return None if content is None else verify(key, signature, content, scheme)
        digest = self.content.of(scheme.digest)
        return None if digest is None else verify(key, signature, digest, scheme.of_digest())

    def _attributes_in_order(self) -> bytes:
        assert self.encoded is not None
        _, start, end = ber.read_header(self.encoded, 0, len(self.encoded))
        return ber.encode_set(0x31, ber.elements(self.encoded, start, end))

    def _signing_certificate(self, certificate: Certificate) -> None:
        for type_ in (_SIGNING_CERTIFICATE_V2, _SIGNING_CERTIFICATE):
            held = self.values.get(type_)
            if not held:
                continue
            try:
                if not names_certificate(held[0], certificate, version_2=type_ is _SIGNING_CERTIFICATE_V2):
                    self.found(Problem.SIGNING_CERTIFICATE_MISMATCH)
            except UnsupportedAlgorithm as error:
                self.found(Problem.UNSUPPORTED_DIGEST, error.identifier)
            except MalformedMessage as error:
                self.found(Problem.SIGNED_ATTRIBUTES_MALFORMED, f"signing certificate: {error}")


def _is_set_of_attributes(content: bytes | memoryview, limits: Limits) -> bool:
    """Whether content would pass for signed attributes: a SET OF with content type and message digest."""
    if len(content) > 1 << 20:  # nobody signs a megabyte of attributes; bounds the work
        return False
    try:
        data = bytes(content)
        start, end = ber.content(data, 0, len(data), 0x31, expected="a SET OF")
        entries, _ = parse_attributes(data, start, end, limits=limits)
    except MalformedMessage:
        return False
    types = {type_ for type_, _ in entries}
    return end == len(data) and {_CONTENT_TYPE, _MESSAGE_DIGEST} <= types


def _oid_tlv(dotted: str) -> bytes:
    return dotted.tlv if isinstance(dotted, oids.Oid) else oids.named(dotted).tlv


def _readable_oid(tlv: bytes) -> str:
    try:
        return oids.name_of(oids.decode_oid(tlv[2:]))
    except MalformedMessage:
        return tlv.hex()


def _readable_algorithm(identifier: bytes) -> str:
    try:
        signature_scheme(identifier)
    except UnsupportedAlgorithm as error:
        return error.identifier
    except MalformedMessage:
        pass
    return "malformed"


def _identifier_in(error: UnsupportedAlgorithm | MalformedMessage) -> str:
    return error.identifier if isinstance(error, UnsupportedAlgorithm) else str(error)
