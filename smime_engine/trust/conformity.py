"""What certificates break of the rules that RFC 5280 sets for those who *issue* them.

Section 6 of that RFC does not ask a validator to enforce them, and private CAs, whose certificates protect much real
mail, break them; so they are told and counted only by those who ask for it (`path_report.Profile`). `smime inspect
--lint cert` prints the same sentences.

Does: one certificate by itself. Does not: anything that makes a path unsafe; that is in `checks.py`, and always counts.

Standards: RFC 5280 sections 4.1.2 and 4.2.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from smime_engine.asn1 import oids
from smime_engine.certificate import Certificate
from smime_engine.general_names import NameForm

__all__ = ["nonconformities"]

_EMPTY_NAME = b"\x30\x00"
_MUST_BE_CRITICAL = (
    oids.ID_CE_NAME_CONSTRAINTS,
    oids.ID_CE_POLICY_CONSTRAINTS,
    oids.ID_CE_INHIBIT_ANY_POLICY,
)
_MUST_NOT_BE_CRITICAL = (
    oids.ID_CE_AUTHORITY_KEY_IDENTIFIER,
    oids.ID_CE_SUBJECT_KEY_IDENTIFIER,
    oids.ID_PE_AUTHORITY_INFO_ACCESS,
    oids.ID_CE_FRESHEST_CRL,
)


def nonconformities(certificate: Certificate, *, issues: bool) -> Iterator[str]:
    """Rules that the certificate breaks, in words. `issues` where it stands as an issuer in a chain."""
    constraints = certificate.basic_constraints
    is_ca = issues or (constraints is not None and constraints.ca)
    yield from _serial_number(certificate)
    yield from _names(certificate, is_ca=is_ca)
    yield from _criticality(certificate, is_ca=is_ca)
    yield from _key_identifiers(certificate, is_ca=is_ca)
    yield from _usages(certificate, is_ca=is_ca)


def _serial_number(certificate: Certificate) -> Iterator[str]:
    number = certificate.serial_number
    if number <= 0 or number.bit_length() > 159:
        yield "the serial number is not a positive number of at most 20 octets (section 4.1.2.2)"


def _names(certificate: Certificate, *, is_ca: bool) -> Iterator[str]:
    if certificate.issuer_der == _EMPTY_NAME:
        yield "the issuer's name is empty (section 4.1.2.4)"
    alternative = certificate.extensions.get(oids.ID_CE_SUBJECT_ALT_NAME)
    if certificate.subject_der == _EMPTY_NAME:
        if is_ca:
            yield "the subject of a CA is empty (section 4.1.2.6)"
        elif alternative is None or not alternative.critical:
            yield "the subject is empty, and there is no critical subjectAltName (section 4.2.1.6)"
    for name in certificate.subject_alternative_names:
        if name.form is NameForm.DNS and not _is_host(str(name.value)):
            yield f"{name.value!r} is no dNSName in the preferred syntax (section 4.2.1.6)"
        if name.form is NameForm.EMAIL and not _MAILBOX.fullmatch(str(name.value)):
            yield f"{name.value!r} is no rfc822Name (section 4.2.1.6)"
        if name.form is NameForm.IP and len(name.value) not in {4, 16}:
            yield "an iPAddress has neither 4 nor 16 octets (section 4.2.1.6)"


_MAILBOX = re.compile(r"[^@\s]+@[A-Za-z0-9.-]+")
_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST = re.compile(rf"(\*\.)?{_LABEL}(\.{_LABEL})*")


def _is_host(name: str) -> bool:
    return bool(_HOST.fullmatch(name)) and not name.rpartition(".")[2].isdigit()


def _criticality(certificate: Certificate, *, is_ca: bool) -> Iterator[str]:
    extensions = certificate.extensions
    for oid in _MUST_BE_CRITICAL:
        if oid in extensions and not extensions[oid].critical:
            yield f"{oid.name} is not critical"
    for oid in _MUST_NOT_BE_CRITICAL:
        if oid in extensions and extensions[oid].critical:
            yield f"{oid.name} is critical"
    constraints = extensions.get(oids.ID_CE_BASIC_CONSTRAINTS)
    if is_ca and constraints is not None and not constraints.critical:
        yield "basicConstraints of a CA is not critical (section 4.2.1.9)"
    if not is_ca and oids.ID_CE_NAME_CONSTRAINTS in extensions:
        yield "nameConstraints in a certificate that is no CA's (section 4.2.1.10)"


def _key_identifiers(certificate: Certificate, *, is_ca: bool) -> Iterator[str]:
    hint = certificate.authority_key_identifier
    if not certificate.is_self_issued and (hint is None or hint.key_identifier is None):
        yield "authorityKeyIdentifier has no keyIdentifier (section 4.2.1.1)"
    if hint is not None and (hint.serial_number is None) != (not hint.issuer):
        yield "authorityKeyIdentifier names issuer or serial number without the other (section 4.2.1.1)"
    if is_ca and certificate.subject_key_identifier is None:
        yield "a CA without subjectKeyIdentifier (section 4.2.1.2)"


def _usages(certificate: Certificate, *, is_ca: bool) -> Iterator[str]:
    usage = certificate.key_usage
    constraints = certificate.basic_constraints
    if usage is not None and "keyCertSign" in usage and not is_ca:
        yield "keyCertSign in a certificate that is no CA's (section 4.2.1.9)"
    if usage is not None and not usage:
        yield "a keyUsage without any usage (section 4.2.1.3)"
    if constraints is not None and constraints.path_length is not None:
        if not constraints.ca:
            yield "a path length in a certificate that is no CA's (section 4.2.1.9)"
        elif usage is not None and "keyCertSign" not in usage:
            yield "a path length without keyCertSign (section 4.2.1.9)"
