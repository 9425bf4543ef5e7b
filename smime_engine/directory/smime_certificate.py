"""Values of userSMIMECertificate: certificates, the preferred one, and what the owner's client can read.

A value is either a SignedData that its owner signed over nothing in particular, or Microsoft's list of properties
(TLV). Outlook's SignedData embeds the text "Empty Body"; RFC 2798 says that the content is left out. Both are read, and
any other content.

The signature need not be valid, and often cannot be: certificates are judged by their own paths. A signature that is
provably wrong, though, means that somebody else wrote the capabilities and the preference: both are then ignored.

Does: read one value into certificates. Does not: judge certificates, or write values (`publishing.py`).

Standards: RFC 2798 section 2.8, RFC 8551 sections 2.5.2 and 2.5.3, MS-OXOABK 2.2.4.36, MS-OXLDAP 2.2.5.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from smime_engine.asn1 import ber
from smime_engine.certificate import Certificate
from smime_engine.cms.attributes import decode_octets
from smime_engine.cms.capabilities import Capability, parse_capabilities
from smime_engine.cms.signed import SignedData, SignerInfo, parse_signed_data, signer_certificates, verify_signer
from smime_engine.directory.entries import ListedCertificate, Origin, Standing
from smime_engine.errors import LimitExceeded, MalformedMessage
from smime_engine.limits import DEFAULT_LIMITS, Limits
from smime_engine.problems import Problem

__all__ = ["PublishedCertificates", "preferred_certificate", "read_user_smime_certificate"]

_FORGED = {Problem.SIGNATURE_MISMATCH, Problem.DIGEST_MISMATCH}

_SEQUENCE = 0x30
_VERSION, _CHAIN_CERTIFICATE, _SIGN_CERTIFICATE = 0x0001, 0x0004, 0x0008
"""Tags of MS-OXOABK 2.2.4.36.2 ff. Those of other properties are not documented, and are skipped as it demands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedCertificates:
    """One value, read."""

    certificates: tuple[ListedCertificate, ...] = ()
    """End-entity certificates, the preferred one first."""

    pool: tuple[Certificate, ...] = ()
    """Certificates of authorities."""

    defects: tuple[str, ...] = ()


def read_user_smime_certificate(
    value: bytes, *, origin: Origin = Origin.USER_SMIME_CERTIFICATE, limits: Limits = DEFAULT_LIMITS
) -> PublishedCertificates:
    """Read one value, also a bare certificate: some write that here, and SignedData to userCertificate.

    Raises MalformedMessage, LimitExceeded (`directory_value_size` and those of CMS).
    """
    if len(value) > limits.directory_value_size:
        raise LimitExceeded("directory_value_size", limits.directory_value_size)
    if value[:1] != bytes((_SEQUENCE,)):
        return _property_list(value, origin, limits)
    start, _ = ber.content(value, 0, len(value), _SEQUENCE, expected="a SignedData or certificate")
    if value[start : start + 1] == bytes((_SEQUENCE,)):  # a SignedData begins with its type
        listed = ListedCertificate(certificate=Certificate.parse(value), origin=origin)
        return PublishedCertificates(certificates=(listed,))
    return _signed_value(value, origin, limits)


# --- SignedData


def _signed_value(value: bytes, origin: Origin, limits: Limits) -> PublishedCertificates:
    signed = parse_signed_data(value, limits=limits)
    parsed, defects = _parsed(signed.certificates)
    if not parsed and not defects:
        defects.append("the value holds no certificate")
    statement = _NOTHING
    for signer in signed.signers[:1]:
        try:
            statement = _statement(signed, signer, parsed, limits)
        except MalformedMessage as error:
            defects.append(f"signed attributes ignored: {error}")
        else:
            defects += statement.defects
    listed = [
        ListedCertificate(
            certificate=certificate,
            origin=origin,
            standing=Standing.PREFERRED
            if certificate == statement.preferred
            else Standing.SIGNER
            if certificate == statement.signer
            else Standing.LISTED,
            capabilities=statement.capabilities,
        )
        for certificate in parsed
        if not _is_authority(certificate)
    ]
    listed.sort(key=lambda found: found.standing.value)
    return PublishedCertificates(
        certificates=tuple(listed), pool=tuple(filter(_is_authority, parsed)), defects=tuple(defects)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Statement:
    """What the signer of a value says."""

    signer: Certificate | None = None
    preferred: Certificate | None = None
    capabilities: tuple[Capability, ...] | None = None
    defects: tuple[str, ...] = ()


_NOTHING = _Statement()


def _statement(
    signed: SignedData, signer: SignerInfo, certificates: Sequence[Certificate], limits: Limits
) -> _Statement:
    candidates = signer_certificates(signer, certificates)
    if not candidates:
        return _Statement(defects=("signed attributes ignored: the signer's certificate is not in the value",))
    content = b"" if signed.content is None else signed.content
    check = verify_signer(signed, signer, content=content, certificate=candidates, limits=limits)
    # Without a content nobody knows what was digested; the attributes are signed all the same.
    forged = {Problem.SIGNATURE_MISMATCH} if signed.content is None else _FORGED
    if not forged.isdisjoint(check.problems):
        return _Statement(signer=check.certificate, defects=("signed attributes ignored: the signature is wrong",))
    encoded = check.capabilities
    return _Statement(
        signer=check.certificate,
        preferred=preferred_certificate(check.encryption_key_preference, certificates),
        capabilities=None if encoded is None else parse_capabilities(encoded, limits=limits),
    )


def preferred_certificate(preference: bytes | None, certificates: Sequence[Certificate]) -> Certificate | None:
    """The certificate that an SMIMEEncryptionKeyPreference (DER) names; None where it is unreadable or not there.

    RFC 8551 section 2.5.3: [0] issuerAndSerialNumber, [1] RecipientKeyIdentifier, [2] subject key identifier.
    """
    if not preference:
        return None
    try:
        tag, start, end = ber.read_header(preference, 0, len(preference))
        if tag == 0xA0:
            wanted = b"\x30" + preference[1:]
            return next((found for found in certificates if found.issuer_and_serial == wanted), None)
        if tag == 0xA1:
            _, first, _, last = ber.children(preference, start, end)[0]
            identifier = decode_octets(preference[first:last])
        elif tag == 0xA2:
            identifier = decode_octets(preference[start:end])
        elif tag == 0x82:
            identifier = preference[start:end]
        else:
            return None
    except (MalformedMessage, IndexError):
        return None
    return next((found for found in certificates if found.subject_key_identifier == identifier), None)


# --- Microsoft's list of properties


def _property_list(value: bytes, origin: Origin, limits: Limits) -> PublishedCertificates:
    """TAG and LENGTH, little-endian, two octets each; the length counts both. Unknown tags are skipped."""
    position, end = 0, len(value)
    own: list[bytes] = []
    chain: list[bytes] = []
    seen_version = False
    while position < end:
        tag = int.from_bytes(value[position : position + 2], "little")
        length = int.from_bytes(value[position + 2 : position + 4], "little")
        if end - position < 4 or not 4 <= length <= end - position:
            raise MalformedMessage("a property (tag, length, data)", offset=position)
        data = value[position + 4 : position + length]
        if tag == _VERSION:
            if data != b"\x01\x00\x00\x00":
                raise MalformedMessage("version 1 of the property list", offset=position)
            seen_version = True
        elif tag == _CHAIN_CERTIFICATE:
            chain.append(data)
        elif tag == _SIGN_CERTIFICATE:
            own.append(data)
        if len(chain) + len(own) > limits.certificates:
            raise LimitExceeded("certificates", limits.certificates, offset=position)
        position += length
    if not seen_version:
        raise MalformedMessage("a SignedData, or a property list with a version", offset=0)
    mine, defects = _parsed(own)
    others, more = _parsed(chain)
    listed = [certificate for certificate in (*mine, *others) if not _is_authority(certificate)]
    return PublishedCertificates(
        certificates=tuple(ListedCertificate(certificate=found, origin=origin) for found in dict.fromkeys(listed)),
        pool=tuple(filter(_is_authority, (*mine, *others))),
        defects=(*defects, *more),
    )


# --- both


def _parsed(encodings: Sequence[bytes]) -> tuple[list[Certificate], list[str]]:
    """Certificates that can be read, each once, and what is wrong with the others."""
    found: dict[Certificate, None] = {}
    defects = []
    for der in encodings:
        try:
            found[Certificate.parse(der)] = None
        except MalformedMessage as error:
            defects.append(f"a certificate left out: {error}")
    return list(found), defects


def _is_authority(certificate: Certificate) -> bool:
    constraints = certificate.basic_constraints
    return constraints is not None and constraints.ca
