"""Certificates: a read-only view over the DER of an X.509 certificate, and reading files of certificates.

Does: split the certificate once (offsets, a few microseconds); decode names, key, usages and extensions when they are
asked for, each once. One malformed extension spoils no other: it reads as absent and is listed in `defects`, which
makes every path through the certificate invalid. Does not: judge (`trust.path`) nor verify (`crypto.signing`).

Standards: RFC 5280 sections 4.1 and 4.2, RFC 9598, RFC 7468 (PEM), RFC 5652 section 5 (certs-only SignedData).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from functools import cached_property
from hashlib import sha256
from types import MappingProxyType
from typing import NoReturn, TypeVar

from smime_engine import certificate_extensions as decode
from smime_engine.addresses import comparable_address
from smime_engine.asn1 import ber, oids
from smime_engine.certificate_fields import Extension, algorithm_oid, extensions_in, fields_of
from smime_engine.crypto.public_keys import PublicKey, load_public_key
from smime_engine.errors import MalformedMessage
from smime_engine.general_names import GeneralName, NameForm, general_names
from smime_engine.names import ComparableName, comparable_name, readable_name, values_of

__all__ = ["Certificate", "Extension"]

T = TypeVar("T")

_SEQUENCE = 0x30


class Certificate:
    """One X.509 certificate. Immutable; two are equal when their DER is.

    Made by `Certificate.parse`. Fields that every certificate must have are checked there; extensions are decoded on
    first use and never raise: what cannot be decoded is absent and listed in `defects`.
    """

    der: bytes
    """The certificate, byte for byte."""
    tbs: bytes
    """The signed part (TBSCertificate), byte for byte."""
    signature_algorithm: bytes
    """DER of the outer AlgorithmIdentifier."""
    signature: bytes
    serial_number: int
    issuer_der: bytes
    subject_der: bytes
    public_key_info: bytes
    """DER of the SubjectPublicKeyInfo."""
    not_before: datetime
    """Aware, UTC, as is `not_after`; the certificate is valid at both instants and between."""
    not_after: datetime
    version: int
    """1, 2 or 3."""

    _serial: bytes
    _inner_algorithm: bytes
    _extensions_span: tuple[int, int] | None

    @classmethod
    def parse(cls, der: bytes | memoryview) -> Certificate:
        """Read one DER certificate. Raises MalformedMessage, also for octets behind it; offsets count in `der`."""
        certificate = cls.__new__(cls)
        certificate.__dict__.update(fields_of(bytes(der)))
        return certificate

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a certificate is immutable, {name} cannot be set")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Certificate) and self.der == other.der

    def __hash__(self) -> int:
        return hash(self.der)

    def __repr__(self) -> str:
        return f"<Certificate {self.subject!r} serial {self.serial_number:x}>"

    def __reduce__(self) -> tuple[Callable[[bytes], Certificate], tuple[bytes]]:
        return Certificate.parse, (self.der,)

    # --- names

    @cached_property
    def subject(self) -> str:
        """RFC 4514 text; where the name is malformed, its DER as `#` and hex."""
        return _readable(self.subject_der)

    @cached_property
    def issuer(self) -> str:
        """RFC 4514 text; where the name is malformed, its DER as `#` and hex."""
        return _readable(self.issuer_der)

    @cached_property
    def comparable_subject(self) -> ComparableName:
        """The subject as RFC 5280 section 7.1 compares it; a malformed name equals itself alone."""
        return _comparable(self.subject_der)

    @cached_property
    def comparable_issuer(self) -> ComparableName:
        """The issuer as RFC 5280 section 7.1 compares it; a malformed name equals itself alone."""
        return _comparable(self.issuer_der)

    @cached_property
    def is_self_issued(self) -> bool:
        """Subject and issuer are the same name (which says nothing about who signed)."""
        return self.subject_der == self.issuer_der or self.comparable_subject == self.comparable_issuer

    @cached_property
    def issuer_and_serial(self) -> bytes:
        """DER of the IssuerAndSerialNumber that CMS names this certificate by (RFC 5652 section 10.2.4)."""
        return ber.encode(_SEQUENCE, self.issuer_der, self._serial)

    @cached_property
    def subject_alternative_names(self) -> tuple[GeneralName, ...]:
        """Names of the subjectAltName extension, () without one."""
        return self._decoded(oids.ID_CE_SUBJECT_ALT_NAME, general_names) or ()

    @cached_property
    def issuer_alternative_names(self) -> tuple[GeneralName, ...]:
        """Names of the issuerAltName extension; nothing relies on them."""
        return self._decoded(oids.ID_CE_ISSUER_ALT_NAME, general_names) or ()

    @cached_property
    def addresses(self) -> tuple[str, ...]:
        """E-mail addresses that the certificate names, as written, each once: rfc822Name and SmtpUTF8Mailbox in their
        order, then emailAddress of the subject. What is no address (a NUL inside, say) is left out.
        """
        found = {
            str(name.value): None
            for name in self.subject_alternative_names
            if name.form in {NameForm.EMAIL, NameForm.MAILBOX}
        }
        found.update(dict.fromkeys(self.subject_email_addresses))
        return tuple(address for address in found if comparable_address(address))

    @cached_property
    def subject_email_addresses(self) -> tuple[str, ...]:
        """EmailAddress attributes of the subject (PKCS #9), the old place of addresses."""
        try:
            return values_of(self.subject_der, oids.ID_EMAIL_ADDRESS)
        except MalformedMessage:
            return ()

    def names_address(self, address: str) -> bool:
        """Whether one of `addresses` is this one, as `addresses.same_address` compares."""
        wanted = comparable_address(address)
        return wanted is not None and wanted in self._comparable_addresses

    @cached_property
    def _comparable_addresses(self) -> frozenset[str | None]:
        return frozenset(map(comparable_address, self.addresses))

    # --- identifiers and usages

    @cached_property
    def fingerprint_sha256(self) -> bytes:
        """SHA-256 of the DER, 32 octets."""
        return sha256(self.der).digest()

    @cached_property
    def signature_algorithm_oid(self) -> str:
        """Dotted identifier of the algorithm that the issuer signed with."""
        return algorithm_oid(self.signature_algorithm)

    @cached_property
    def public_key_algorithm_oid(self) -> str:
        """Dotted identifier of the subject's key algorithm."""
        start, _ = ber.content(self.public_key_info, 0, len(self.public_key_info), _SEQUENCE, expected="a key")
        return algorithm_oid(self.public_key_info[start:])

    @cached_property
    def public_key(self) -> PublicKey:
        """The key, ready to verify or to encrypt with; parsed once. Raises UnsupportedAlgorithm."""
        return load_public_key(self.public_key_info)

    def with_public_key(self, public_key_info: bytes) -> Certificate:
        """The same certificate with its key completed: DSA keys may inherit parameters (RFC 3279 section 2.3.2).

        Raises UnsupportedAlgorithm, MalformedMessage.
        """
        completed = Certificate.parse(self.der)
        completed.__dict__["public_key"] = load_public_key(public_key_info)
        return completed

    @cached_property
    def subject_key_identifier(self) -> bytes | None:
        """The extension's octets; None where the certificate has none."""
        return self._decoded(oids.ID_CE_SUBJECT_KEY_IDENTIFIER, decode.octet_string)

    @cached_property
    def authority_key_identifier(self) -> decode.AuthorityKeyIdentifier | None:
        """Hints about the issuer's key."""
        return self._decoded(oids.ID_CE_AUTHORITY_KEY_IDENTIFIER, decode.authority_key_identifier)

    @cached_property
    def key_usage(self) -> frozenset[str] | None:
        """Names of RFC 5280 section 4.2.1.3 (digitalSignature …); None without the extension: every usage."""
        return self._decoded(oids.ID_CE_KEY_USAGE, decode.key_usage)

    @cached_property
    def extended_key_usage(self) -> tuple[str, ...] | None:
        """Dotted purposes; None without the extension: every purpose."""
        return self._decoded(oids.ID_CE_EXT_KEY_USAGE, decode.extended_key_usage)

    @cached_property
    def basic_constraints(self) -> decode.BasicConstraints | None:
        """Whether the subject is a CA, and how many CAs may follow."""
        return self._decoded(oids.ID_CE_BASIC_CONSTRAINTS, decode.basic_constraints)

    @cached_property
    def name_constraints(self) -> decode.NameConstraints | None:
        """Subtrees that names of later certificates must, and must not, be in."""
        return self._decoded(oids.ID_CE_NAME_CONSTRAINTS, decode.name_constraints)

    @cached_property
    def policies(self) -> tuple[str, ...]:
        """Dotted certificate policies, () without the extension."""
        return self._decoded(oids.ID_CE_CERTIFICATE_POLICIES, decode.policies) or ()

    @cached_property
    def policy_mappings(self) -> tuple[tuple[str, str], ...]:
        """Pairs (issuer's policy, subject's policy)."""
        return self._decoded(oids.ID_CE_POLICY_MAPPINGS, decode.policy_mappings) or ()

    @cached_property
    def policy_constraints(self) -> decode.PolicyConstraints | None:
        """Certificates to skip before policies are demanded, and before mappings stop."""
        return self._decoded(oids.ID_CE_POLICY_CONSTRAINTS, decode.policy_constraints)

    @cached_property
    def inhibit_any_policy(self) -> int | None:
        """Certificates to skip before anyPolicy stops to count."""
        return self._decoded(oids.ID_CE_INHIBIT_ANY_POLICY, decode.inhibit_any_policy)

    @cached_property
    def crl_distribution_points(self) -> tuple[decode.DistributionPoint, ...]:
        """Where the CRLs are that cover this certificate."""
        return self._decoded(oids.ID_CE_CRL_DISTRIBUTION_POINTS, decode.distribution_points) or ()

    @cached_property
    def freshest_crl(self) -> tuple[decode.DistributionPoint, ...]:
        """Where the delta CRLs are."""
        return self._decoded(oids.ID_CE_FRESHEST_CRL, decode.distribution_points) or ()

    @cached_property
    def authority_information_access(self) -> tuple[tuple[str, GeneralName], ...]:
        """(dotted method, location): OCSP 1.3.6.1.5.5.7.48.1, caIssuers 1.3.6.1.5.5.7.48.2."""
        return self._decoded(oids.ID_PE_AUTHORITY_INFO_ACCESS, decode.information_access) or ()

    @cached_property
    def extensions(self) -> Mapping[str, Extension]:
        """All extensions by dotted identifier, in their order; of one that occurs twice, the first."""
        found: dict[str, Extension] = {}
        for identifier, extension in self._extension_list[0]:
            found.setdefault(identifier, extension)
        return MappingProxyType(found)

    @cached_property
    def _extension_list(self) -> tuple[tuple[tuple[str, Extension], ...], str | None]:
        """The extensions as they stand, and what is wrong with the list as a whole."""
        if self._extensions_span is None:
            return (), None
        try:
            return tuple(extensions_in(self.der, *self._extensions_span)), None
        except MalformedMessage as error:
            return (), str(error)

    @cached_property
    def defects(self) -> tuple[str, ...]:
        """What breaks the rules of RFC 5280 section 4, in words; () for a well-formed certificate."""
        return tuple(_defects_of(self))

    def _decoded(self, identifier: str, decoder: Callable[[bytes], T]) -> T | None:
        extension = self.extensions.get(identifier)
        if extension is None:
            return None
        try:
            return decoder(extension.value)
        except MalformedMessage as error:
            self._undecodable[identifier] = str(error)
            return None

    @cached_property
    def _undecodable(self) -> dict[str, str]:
        """Extensions that were asked for and are malformed, with the reason."""
        return {}


_ATTRIBUTE_OF_EXTENSION: dict[str, str] = {
    oids.ID_CE_SUBJECT_KEY_IDENTIFIER: "subject_key_identifier",
    oids.ID_CE_KEY_USAGE: "key_usage",
    oids.ID_CE_SUBJECT_ALT_NAME: "subject_alternative_names",
    oids.ID_CE_ISSUER_ALT_NAME: "issuer_alternative_names",
    oids.ID_CE_BASIC_CONSTRAINTS: "basic_constraints",
    oids.ID_CE_NAME_CONSTRAINTS: "name_constraints",
    oids.ID_CE_CRL_DISTRIBUTION_POINTS: "crl_distribution_points",
    oids.ID_CE_CERTIFICATE_POLICIES: "policies",
    oids.ID_CE_POLICY_MAPPINGS: "policy_mappings",
    oids.ID_CE_AUTHORITY_KEY_IDENTIFIER: "authority_key_identifier",
    oids.ID_CE_POLICY_CONSTRAINTS: "policy_constraints",
    oids.ID_CE_EXT_KEY_USAGE: "extended_key_usage",
    oids.ID_CE_FRESHEST_CRL: "freshest_crl",
    oids.ID_CE_INHIBIT_ANY_POLICY: "inhibit_any_policy",
    oids.ID_PE_AUTHORITY_INFO_ACCESS: "authority_information_access",
}


def _readable(name: bytes) -> str:
    try:
        return readable_name(name)
    except MalformedMessage:
        return "#" + name.hex()


def _comparable(name: bytes) -> ComparableName:
    try:
        return comparable_name(name)
    except MalformedMessage:
        return (*_MALFORMED, (("", name),))


_MALFORMED: ComparableName = ((("", b"malformed"),),)
"""Begins the comparable form of a malformed name: no attribute has an empty type."""


def _defects_of(certificate: Certificate) -> Iterator[str]:
    extensions, defect = certificate._extension_list  # noqa: SLF001 - the same module
    if defect is not None:
        yield f"extensions: {defect}"
    if extensions and certificate.version != 3:
        yield f"version {certificate.version} has no extensions"
    if certificate.signature_algorithm != certificate._inner_algorithm:  # noqa: SLF001
        yield "the signature algorithm inside the signed part differs from the one outside"
    for identifier, count in Counter(identifier for identifier, _ in extensions).items():
        if count > 1:
            yield f"extension {oids.name_of(identifier)} occurs {count} times"
        if identifier in _ATTRIBUTE_OF_EXTENSION:
            getattr(certificate, _ATTRIBUTE_OF_EXTENSION[identifier])
    for identifier, reason in certificate._undecodable.items():  # noqa: SLF001
        yield f"{oids.name_of(identifier)}: {reason}"
    for label, name in (("issuer", certificate.comparable_issuer), ("subject", certificate.comparable_subject)):
        if name[:1] == _MALFORMED:
            yield f"{label}: not a distinguished name"
