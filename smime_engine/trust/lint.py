"""Whether a certificate is one that mail clients can use well: a table of rules, each with its check and its source.

Does: one subscriber's certificate by itself, optionally for one address. Does not: verify anything, build a path, or
look at the time (`trust.path`); CA certificates are only checked for form. Private CAs need not follow the CA/Browser
Forum, so what only its rules demand is a warning or a note; an error is what keeps mail clients from using the
certificate.

Sources: "SBR" is the CA/Browser Forum's Baseline Requirements for S/MIME Certificates (version 1.0.10), RFC 5280,
RFC 8550, and what Microsoft documents for Outlook and Exchange.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum

from smime_engine.asn1 import oids
from smime_engine.certificate import Certificate
from smime_engine.crypto.public_keys import KeyKind, PublicKey
from smime_engine.crypto.signature_algorithms import Status, signature_scheme
from smime_engine.errors import MalformedMessage, UnsupportedAlgorithm
from smime_engine.general_names import NameForm
from smime_engine.trust.conformity import nonconformities

__all__ = ["RULES", "Finding", "Rule", "Severity", "lint_certificate"]


class Severity(Enum):
    """How much a finding matters; the value is the word in reports."""

    ERROR = "error"
    """Mail clients cannot use the certificate, or not for what it was meant."""

    WARNING = "warning"
    """Some clients will not use it, or a publicly trusted CA must not issue it."""

    NOTE = "note"
    """Worth knowing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One rule that the certificate breaks."""

    rule: str
    severity: Severity
    text: str
    source: str


Check = Callable[[Certificate, str | None], Iterator[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One row of the table. `check` takes the certificate and the wanted address and yields what is wrong, in words."""

    name: str
    severity: Severity
    source: str
    check: Check
    for_issuers: bool = False
    """Whether the rule holds for CA certificates too."""


def lint_certificate(certificate: Certificate, *, email: str | None = None) -> tuple[Finding, ...]:
    """Check one certificate against all rules; () when nothing is wrong. `email`: the address that it is meant for."""
    constraints = certificate.basic_constraints
    is_issuer = constraints is not None and constraints.ca
    return tuple(
        Finding(rule=rule.name, severity=rule.severity, text=text, source=rule.source)
        for rule in RULES
        if rule.for_issuers or not is_issuer
        for text in rule.check(certificate, email)
    )


# --- form


def _well_formed(certificate: Certificate, _: str | None) -> Iterator[str]:
    yield from certificate.defects


def _conforming(certificate: Certificate, _: str | None) -> Iterator[str]:
    constraints = certificate.basic_constraints
    yield from nonconformities(certificate, issues=constraints is not None and constraints.ca)


def _serial_number(certificate: Certificate, _: str | None) -> Iterator[str]:
    # 64 random bits have fewer than 48 significant ones once in 65,536 certificates.
    if 0 < certificate.serial_number < 1 << 48:
        yield f"the serial number {certificate.serial_number} cannot hold 64 random bits"


# --- names


def _subject_key_identifier(certificate: Certificate, _: str | None) -> Iterator[str]:
    if certificate.subject_key_identifier is None:
        yield "no subjectKeyIdentifier: Outlook on the web and Exchange do not accept the certificate"


def _address(certificate: Certificate, _: str | None) -> Iterator[str]:
    forms = {name.form for name in certificate.subject_alternative_names}
    if forms.isdisjoint({NameForm.EMAIL, NameForm.MAILBOX}):
        where = "only in the subject, which few clients read" if certificate.addresses else "nowhere"
        yield f"no e-mail address in subjectAltName ({where})"


def _address_matches(certificate: Certificate, email: str | None) -> Iterator[str]:
    if email is not None and not certificate.names_address(email):
        yield f"the certificate is not for {email} but for {', '.join(certificate.addresses) or 'no address at all'}"


def _address_repeated(certificate: Certificate, _: str | None) -> Iterator[str]:
    named = {
        str(name.value).lower()
        for name in certificate.subject_alternative_names
        if name.form in {NameForm.EMAIL, NameForm.MAILBOX}
    }
    for address in certificate.subject_email_addresses:
        if named and address.lower() not in named:
            yield f"{address} of the subject is missing in subjectAltName"


# --- usages


def _key_usage_present(certificate: Certificate, _: str | None) -> Iterator[str]:
    extension = certificate.extensions.get(oids.ID_CE_KEY_USAGE)
    if extension is None:
        yield "no keyUsage: every usage is allowed"
    elif not extension.critical:
        yield "keyUsage is not critical"


_SIGNING = frozenset({"digitalSignature", "nonRepudiation"})
_TRANSPORT = frozenset({"keyEncipherment", "dataEncipherment"})
_AGREEMENT = frozenset({"keyAgreement", "encipherOnly", "decipherOnly"})

# Kind of key -> usages that it can serve, and the one that encrypting to it needs.
_USAGES: dict[KeyKind, tuple[frozenset[str], str]] = {
    KeyKind.RSA: (_SIGNING | _TRANSPORT, "keyEncipherment"),
    KeyKind.RSA_PSS: (_SIGNING, ""),
    KeyKind.DSA: (_SIGNING, ""),
    KeyKind.EC: (_SIGNING | _AGREEMENT, "keyAgreement"),
    KeyKind.ED25519: (_SIGNING, ""),
    KeyKind.ED448: (_SIGNING, ""),
    KeyKind.X25519: (_AGREEMENT, "keyAgreement"),
    KeyKind.X448: (_AGREEMENT, "keyAgreement"),
    KeyKind.ML_DSA_44: (_SIGNING, ""),
    KeyKind.ML_DSA_65: (_SIGNING, ""),
    KeyKind.ML_DSA_87: (_SIGNING, ""),
    KeyKind.ML_KEM_768: (frozenset({"keyEncipherment"}), "keyEncipherment"),
    KeyKind.ML_KEM_1024: (frozenset({"keyEncipherment"}), "keyEncipherment"),
}


def _key_usage_useful(certificate: Certificate, _: str | None) -> Iterator[str]:
    usage, key = certificate.key_usage, _key_of(certificate)
    if usage is None or key is None:
        return
    able, encryption = _USAGES[key.kind]
    if not usage & _SIGNING & able and encryption not in usage:
        listed = ", ".join(sorted(usage)) or "nothing"
        yield f"this {key.kind.value} key can neither sign nor receive encrypted mail: keyUsage allows {listed}"


def _key_usage_fits(certificate: Certificate, _: str | None) -> Iterator[str]:
    usage, key = certificate.key_usage, _key_of(certificate)
    if usage is None or key is None:
        return
    for name in sorted(usage - _USAGES[key.kind][0]):
        yield f"keyUsage {name} is of no use to an end entity with this {key.kind.value} key"


def _purpose(certificate: Certificate, _: str | None) -> Iterator[str]:
    purposes = certificate.extended_key_usage
    if purposes is not None and not {oids.ID_KP_EMAIL_PROTECTION, oids.ANY_EXTENDED_KEY_USAGE}.intersection(purposes):
        yield f"extKeyUsage does not allow e-mail: {', '.join(map(oids.name_of, purposes))}"


def _purpose_named(certificate: Certificate, _: str | None) -> Iterator[str]:
    purposes = certificate.extended_key_usage
    if purposes is None:
        yield "no extKeyUsage: Outlook chooses only certificates with id-kp-emailProtection from a directory"
    elif oids.ANY_EXTENDED_KEY_USAGE in purposes and oids.ID_KP_EMAIL_PROTECTION not in purposes:
        yield "extKeyUsage has anyExtendedKeyUsage instead of id-kp-emailProtection"


_OTHER_WORLDS = (oids.ID_KP_SERVER_AUTH, oids.ID_KP_CODE_SIGNING, oids.ID_KP_TIME_STAMPING, oids.ANY_EXTENDED_KEY_USAGE)


def _purpose_alone(certificate: Certificate, _: str | None) -> Iterator[str]:
    for purpose in _OTHER_WORLDS:
        if purpose in (certificate.extended_key_usage or ()):
            yield f"extKeyUsage has {oids.name_of(purpose)}, which has no place in a certificate for e-mail"


# --- keys and signatures


def _key_of(certificate: Certificate) -> PublicKey | None:
    try:
        return certificate.public_key
    except (UnsupportedAlgorithm, MalformedMessage):
        return None


def _key_size(certificate: Certificate, _: str | None) -> Iterator[str]:
    key = _key_of(certificate)
    if key is not None and key.weakness:
        yield key.weakness


def _key_known(certificate: Certificate, _: str | None) -> Iterator[str]:
    if _key_of(certificate) is None:
        yield f"a public key of an unsupported kind: {oids.name_of(certificate.public_key_algorithm_oid)}"


_COMMON_CURVES = {"secp256r1", "secp384r1", "secp521r1"}
_COMMON_KINDS = {KeyKind.RSA, KeyKind.EC, KeyKind.ED25519, KeyKind.ED448}


def _key_common(certificate: Certificate, _: str | None) -> Iterator[str]:
    key = _key_of(certificate)
    if key is None:
        return
    if key.kind not in _COMMON_KINDS:
        yield f"a key of kind {key.kind.value}: few mail clients know it"
    elif key.curve and key.curve not in _COMMON_CURVES:
        yield f"an elliptic curve ({key.curve}) that few mail clients know"


def _signature_strong(certificate: Certificate, _: str | None) -> Iterator[str]:
    if certificate.is_self_issued:
        return  # nobody relies on the signature of a trust anchor
    try:
        scheme = signature_scheme(certificate.signature_algorithm)
    except (UnsupportedAlgorithm, MalformedMessage):
        yield f"signed with an unsupported algorithm: {oids.name_of(certificate.signature_algorithm_oid)}"
        return
    if scheme.status is Status.WEAK:
        yield f"signed with a weak algorithm: {scheme.name}"


# --- lifetime, revocation, policies

_LEGACY = {
    oids.MAILBOX_VALIDATED_LEGACY,
    oids.ORGANIZATION_VALIDATED_LEGACY,
    oids.SPONSOR_VALIDATED_LEGACY,
    oids.INDIVIDUAL_VALIDATED_LEGACY,
}
_STRICT = {
    oids.MAILBOX_VALIDATED_STRICT,
    oids.ORGANIZATION_VALIDATED_STRICT,
    oids.SPONSOR_VALIDATED_STRICT,
    oids.INDIVIDUAL_VALIDATED_STRICT,
}
_MULTIPURPOSE = {
    oids.MAILBOX_VALIDATED_MULTIPURPOSE,
    oids.ORGANIZATION_VALIDATED_MULTIPURPOSE,
    oids.SPONSOR_VALIDATED_MULTIPURPOSE,
    oids.INDIVIDUAL_VALIDATED_MULTIPURPOSE,
}


def _lifetime(certificate: Certificate, _: str | None) -> Iterator[str]:
    strict = not (_STRICT | _MULTIPURPOSE).isdisjoint(certificate.policies)
    allowed = 825 if strict else 1185
    # Both ends belong to the validity (SBR section 1.6.1): a year of 365 days ends one second before the next begins.
    lifetime = certificate.not_after - certificate.not_before + timedelta(seconds=1)
    if lifetime > timedelta(days=allowed):
        yield f"valid for {lifetime.days:,} days; publicly trusted CAs may issue for at most {allowed:,}"


def _validity_order(certificate: Certificate, _: str | None) -> Iterator[str]:
    if certificate.not_after < certificate.not_before:
        yield "the validity ends before it begins"


def _revocation_list(certificate: Certificate, _: str | None) -> Iterator[str]:
    urls = [
        str(name.value)
        for point in certificate.crl_distribution_points
        for name in point.full_name
        if name.form is NameForm.URI
    ]
    if not any(url.lower().startswith("http://") for url in urls):
        yield "no CRL distribution point with an http URL: Exchange Online treats the certificate as invalid"


def _issuer_url(certificate: Certificate, _: str | None) -> Iterator[str]:
    methods = {method for method, _ in certificate.authority_information_access}
    if oids.ID_AD_CA_ISSUERS not in methods:
        yield "no URL of the issuer's certificate (id-ad-caIssuers): recipients need the chain in every message"


def _policy(certificate: Certificate, _: str | None) -> Iterator[str]:
    reserved = (_LEGACY | _MULTIPURPOSE | _STRICT).intersection(certificate.policies)
    if len(reserved) != 1:
        yield f"{len(reserved) or 'none'} of the certificate policies reserved for S/MIME, exactly one is demanded"
    for policy in sorted(reserved & _LEGACY):
        yield f"policy {oids.name_of(policy)}: the legacy profiles ended on 15 July 2025"


_ERROR, _WARNING, _NOTE = Severity.ERROR, Severity.WARNING, Severity.NOTE


def _rule(name: str, severity: Severity, source: str, check: Check, *, for_issuers: bool = False) -> Rule:
    return Rule(name=name, severity=severity, source=source, check=check, for_issuers=for_issuers)


RULES: tuple[Rule, ...] = (
    _rule("well-formed", _ERROR, "RFC 5280 section 4", _well_formed, for_issuers=True),
    _rule("validity-order", _ERROR, "RFC 5280 section 4.1.2.5", _validity_order, for_issuers=True),
    _rule("key-size", _ERROR, "RFC 8550 section 4.3, SBR 6.1.5", _key_size, for_issuers=True),
    _rule("signature-algorithm", _ERROR, "RFC 8550 section 4.3, SBR 7.1.3.2", _signature_strong, for_issuers=True),
    _rule("subject-key-identifier", _ERROR, "Exchange and Outlook on the web, SBR 7.1.2.3 n", _subject_key_identifier),
    _rule("address", _ERROR, "RFC 8550 section 3, SBR 7.1.4.2.1", _address),
    _rule("address-matches", _ERROR, "RFC 8550 section 3, Outlook", _address_matches),
    _rule("key-usage-useful", _ERROR, "RFC 8550 section 4.4.2, SBR 7.1.2.3 e", _key_usage_useful),
    _rule("extended-key-usage", _ERROR, "RFC 8550 section 4.4.4, SBR 7.1.2.3 f", _purpose),
    _rule("key-kind", _WARNING, "SBR 6.1.5", _key_known, for_issuers=True),
    _rule("key-common", _WARNING, "SBR 6.1.5", _key_common),
    _rule("key-usage-present", _WARNING, "SBR 7.1.2.3 e", _key_usage_present),
    _rule("key-usage-fits-key", _WARNING, "SBR 7.1.2.3 e", _key_usage_fits),
    _rule("extended-key-usage-named", _WARNING, "Outlook, SBR 7.1.2.3 f", _purpose_named),
    _rule("extended-key-usage-alone", _WARNING, "SBR 7.1.2.3 f", _purpose_alone),
    _rule("address-repeated", _WARNING, "SBR 7.1.4.2.1", _address_repeated),
    _rule("revocation-list", _WARNING, "Exchange Online, SBR 7.1.2.3 b", _revocation_list),
    _rule("lifetime", _WARNING, "SBR 6.3.2", _lifetime),
    _rule("rfc-5280", _WARNING, "RFC 5280 section 4", _conforming, for_issuers=True),
    _rule("serial-number", _NOTE, "SBR 7.1", _serial_number, for_issuers=True),
    _rule("issuer-url", _NOTE, "SBR 7.1.2.3 c", _issuer_url),
    _rule("policy", _NOTE, "SBR 7.1.6.1", _policy),
)
"""All rules, the gravest first."""
