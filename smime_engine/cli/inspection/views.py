"""How the structures of X.509 and CMS are shown: names in one line, algorithms by name, certificates without their
wrapping, attributes and extensions decoded, messages inside messages opened.

Standards: RFC 5652 (CMS), RFC 5083 (AuthEnvelopedData), RFC 5280 (certificates, CRLs), RFC 9629 (KEMRecipientInfo),
RFC 5035 (ESS certificate identifiers, through asn1crypto.tsp).
"""

from __future__ import annotations

import zlib
from hashlib import sha256
from typing import Any

from asn1crypto import algos, cms, core, crl, keys, ocsp, pkcs12, tsp, x509

from smime_engine.asn1 import ber, oids
from smime_engine.cli.inspection.tree import Leaf, Octets, Titled, Tree
from smime_engine.cli.inspection.values import (
    Inside,
    View,
    any_der,
    elements_tree,
    fields_tree,
    guarded,
    oid_leaf,
    rfc_name,
    tree_of,
)
from smime_engine.errors import LimitExceeded
from smime_engine.limits import DEFAULT_LIMITS
from smime_engine.names import readable_name

__all__ = ["VIEWS", "WITH_ENCRYPTED_CONTENT", "typed_content"]

# --- names, times, algorithms, keys


def _name(value: Any, _: Inside) -> Tree:
    return Leaf(readable_name(value.chosen.dump()))


def _general_name(value: Any, inside: Inside) -> Tree:
    form = rfc_name(value.name)
    if value.name == "other_name":
        chosen = value.chosen
        type_ = oid_leaf(oids.decode_oid(chosen["type_id"].contents))
        inner = guarded(lambda: any_der(_inside_tag(chosen["value"].dump())))
        return Titled(f"{form} {type_.value}", {"form": Leaf(form), "type": type_, "value": inner}, inner)
    # The text as it stands: asn1crypto would turn A-labels into Unicode, and so hide what was signed.
    chosen = value.chosen
    inner = Leaf(_text(chosen.contents)) if value.name in _TEXT_NAMES else tree_of(chosen, inside)
    return Titled(form, {"form": Leaf(form), "value": inner}, inner)


def _inside_tag(der: bytes) -> bytes:
    """What an EXPLICIT tag surrounds."""
    _, start, end = ber.read_header(der, 0, len(der))
    return der[start:end]


_TEXT_NAMES = {"rfc822_name", "dns_name", "uniform_resource_identifier"}


def _text(contents: bytes) -> str:
    return contents.decode("utf-8", "backslashreplace")


def _algorithm(value: Any, inside: Inside) -> Tree:
    """AlgorithmIdentifier: the name alone where there are no parameters (absent and NULL are not the same in JSON)."""
    identifier = oid_leaf(oids.decode_oid(value["algorithm"].contents))
    fields: dict[str, Tree] = {"algorithm": identifier}
    parameters = value["parameters"]
    body: Tree | None = None
    if not isinstance(parameters, core.Void):
        body = fields["parameters"] = guarded(lambda: tree_of(parameters, inside))
    return Titled(str(identifier.value), fields, None if body == Leaf(None) else body)


def _public_key(value: Any, inside: Inside) -> Tree:
    """SubjectPublicKeyInfo of any algorithm; asn1crypto refuses those that it does not know."""
    der = value.dump()
    (algorithm, octets) = (
        der[start:end] for _, start, _, end in ber.children(der, *ber.read_header(der, 0, len(der))[1:])
    )
    shown = _any_algorithm(algorithm, inside)
    bits = _BITS.get(shown.title, _no_bits)(algorithm, octets)
    note = f"{bits} bits" if bits else ""
    fields = {**shown.fields, "bits": Leaf(bits)} if bits else shown.fields
    return Titled(shown.title, fields, None if note else shown.body, note=note)


def _any_algorithm(der: bytes, inside: Inside) -> Titled:
    shown = _algorithm(algos.AlgorithmIdentifier.load(der, strict=True), inside)
    assert isinstance(shown, Titled)
    return shown


def _rsa_bits(_: bytes, octets: bytes) -> int:
    key = keys.RSAPublicKey.load(core.BitString.load(octets).contents[1:], strict=True)
    return int(key["modulus"]).bit_length()


def _dsa_bits(algorithm: bytes, _: bytes) -> int:
    parameters = algos.AlgorithmIdentifier.load(algorithm)["parameters"]
    return 0 if isinstance(parameters, core.Void) else int(keys.DSAParams.load(parameters.dump())["p"]).bit_length()


def _no_bits(_: bytes, __: bytes) -> int:
    return 0


_BITS = {"rsaEncryption": _rsa_bits, "id-RSASSA-PSS": _rsa_bits, "id-dsa": _dsa_bits}


def _private_key(value: Any, inside: Inside) -> Tree:
    """PrivateKeyInfo, OneAsymmetricKey: the algorithm, never a part of the key."""
    der = value.dump()
    _, start, _, end = ber.children(der, *ber.read_header(der, 0, len(der))[1:])[1]
    return {"privateKeyAlgorithm": _any_algorithm(der[start:end], inside), "privateKey": Leaf("not shown")}


def _encrypted_private_key(value: Any, inside: Inside) -> Tree:
    algorithm = guarded(lambda: tree_of(value["encryption_algorithm"], inside))
    return {"encryptionAlgorithm": algorithm, "encryptedData": Octets(len(value["encrypted_data"].contents), b"")}


# --- certificates and revocation lists


def _certificate(value: Any, inside: Inside) -> Tree:
    """A certificate without the wrapping: what is signed, then by which algorithm, then its fingerprint."""
    tbs = value["tbs_certificate"]
    fields = fields_tree(tbs, inside)
    validity = fields.pop("validity", None)
    shown: dict[str, Tree] = {"subject": fields.pop("subject"), "issuer": fields.pop("issuer")}
    shown["serialNumber"] = Leaf(bytes(tbs["serial_number"].contents).hex())
    if isinstance(validity, dict):
        shown |= validity
    fields.pop("serialNumber", None)
    inner = fields.pop("signature", None)
    outer = guarded(lambda: tree_of(value["signature_algorithm"], inside))
    shown |= fields
    shown["signatureAlgorithm"] = outer
    if inner != outer and inner is not None:
        shown["signature (inside, differs)"] = inner
    shown["fingerprint"] = Leaf(sha256(value.dump()).hexdigest(), "SHA-256")
    return Titled(_line_of(shown["subject"]), shown, {name: tree for name, tree in shown.items() if name != "subject"})


def _line_of(name: Tree) -> str:
    return str(name.value) or "(empty name)" if isinstance(name, Leaf) else "(malformed name)"


def _certificate_list(value: Any, inside: Inside) -> Tree:
    fields = fields_tree(value["tbs_cert_list"], inside)
    revoked = fields.pop("revokedCertificates", [])
    fields.pop("signature", None)
    shown: dict[str, Tree] = {"issuer": fields.pop("issuer"), **fields}
    shown["revokedCertificates"] = revoked
    shown["signatureAlgorithm"] = guarded(lambda: tree_of(value["signature_algorithm"], inside))
    return Titled(_line_of(shown["issuer"]), shown, {name: tree for name, tree in shown.items() if name != "issuer"})


def _revoked_certificate(value: Any, inside: Inside) -> Tree:
    serial = bytes(value["user_certificate"].contents).hex()
    fields = fields_tree(value, inside)
    del fields["userCertificate"]
    extensions = fields.pop("crlEntryExtensions", [])
    date = fields["revocationDate"]
    when = f", {date.value}" if isinstance(date, Leaf) else ""
    body = extensions or None
    return Titled(serial + when, {"serialNumber": Leaf(serial), **fields, "extensions": extensions}, body)


def _extension(value: Any, inside: Inside) -> Tree:
    identifier = oid_leaf(oids.decode_oid(value["extn_id"].contents))
    critical = bool(value["critical"].native)
    inner = guarded(lambda: _parsed_extension(value, inside))
    fields: dict[str, Tree] = {"extnID": identifier, "critical": Leaf(critical), "extnValue": inner}
    return Titled(str(identifier.value), fields, inner, note="critical" if critical else "")


def _parsed_extension(value: Any, inside: Inside) -> Tree:
    octets = value["extn_value"]  # raises where the value is not of the type that the identifier demands
    content = bytes(octets.contents)
    parsed = octets.parsed
    if type(parsed) in {core.OctetString, core.OctetBitString}:
        return Octets.of(parsed.native)
    known = type(parsed) not in _UNDECLARED
    return tree_of(parsed, inside) if known else any_der(content)


# What asn1crypto makes of values whose type it does not know.
_UNDECLARED = {core.Sequence, core.SequenceOf, core.Set, core.SetOf, core.Any, core.Asn1Value}


# --- CMS


def _attribute(value: Any, inside: Inside) -> Tree:
    identifier = oid_leaf(oids.decode_oid(value["type"].contents))
    values = guarded(lambda: elements_tree(value["values"], lambda one: _attribute_value(identifier, one, inside)))
    fields: dict[str, Tree] = {"type": identifier, "values": values}
    single = values[0] if isinstance(values, list) and len(values) == 1 else values
    return Titled(str(identifier.value), fields, single)


def _attribute_value(identifier: Leaf, value: Any, inside: Inside) -> Tree:
    if identifier.note == oids.MICROSOFT_ENCRYPTION_KEY_PREFERENCE:
        return tree_of(cms.IssuerAndSerialNumber.load(value.dump(), strict=True), inside)
    if isinstance(value, core.Any):
        return any_der(value.dump())
    return tree_of(value, inside)


def _capability(value: Any, _: Inside) -> Tree:
    identifier = oid_leaf(oids.decode_oid(value["capability_id"].contents))
    parameters = value["parameters"]
    absent = isinstance(parameters, core.Void)
    body = None if absent else guarded(lambda: any_der(parameters.dump()))
    fields: dict[str, Tree] = (
        {"capabilityID": identifier} if body is None else {"capabilityID": identifier, "parameters": body}
    )
    return Titled(str(identifier.value), fields, body)


def _issuer_and_serial(value: Any, inside: Inside) -> Tree:
    issuer = guarded(lambda: tree_of(value["issuer"], inside))
    serial = bytes(value["serial_number"].contents).hex()
    title = f"{_line_of(issuer)}, serial {serial}"
    return Titled(title, {"issuer": issuer, "serialNumber": Leaf(serial)})


def _alternative(value: Any, inside: Inside) -> Tree:
    """A CHOICE whose alternative's name says something."""
    inner = guarded(lambda: tree_of(value.chosen, inside))
    name = rfc_name(value.name)
    return Titled(name, {name: inner}, inner)


class KemRecipientInfo(core.Sequence):  # type: ignore[misc]
    """RFC 9629 section 3, which asn1crypto does not know yet."""

    _fields = [  # noqa: RUF012 - asn1crypto completes the list in place
        ("version", cms.CMSVersion),
        ("rid", cms.RecipientIdentifier),
        ("kem", algos.AlgorithmIdentifier),
        ("kemct", core.OctetString),
        ("kdf", algos.AlgorithmIdentifier),
        ("kek_length", core.Integer),
        ("ukm", core.OctetString, {"explicit": 0, "optional": True}),
        ("wrap", algos.AlgorithmIdentifier),
        ("encrypted_key", core.OctetString),
    ]


def _compressed(value: Any, inside: Inside) -> Tree:
    fields = fields_tree(value, inside)
    fields["decompressed"] = guarded(lambda: _decompressed(value["encap_content_info"], inside))
    return fields


def _decompressed(value: Any, inside: Inside) -> Tree:
    content_type = oids.decode_oid(value["content_type"].contents)
    inflate = zlib.decompressobj()
    octets = inflate.decompress(bytes(value["content"]), DEFAULT_LIMITS.decompressed_size)
    if inflate.unconsumed_tail:
        raise LimitExceeded("decompressed_size", DEFAULT_LIMITS.decompressed_size)
    return _opened(content_type, octets, inside)


def _ocsp_bytes(value: Any, inside: Inside) -> Tree:
    identifier = oid_leaf(oids.decode_oid(value["response_type"].contents))
    inner = guarded(lambda: tree_of(value["response"].parsed, inside))
    return Titled(str(identifier.value), {"responseType": identifier, "response": inner}, inner)


def _other_recipient(value: Any, inside: Inside) -> Tree:
    identifier = oid_leaf(oids.decode_oid(value["ori_type"].contents))
    encoded = value["ori_value"].dump()
    if identifier.note == oids.ID_ORI_KEM:
        inner = guarded(lambda: tree_of(KemRecipientInfo.load(encoded, strict=True), inside))
    else:
        inner = guarded(lambda: any_der(encoded))
    return Titled(str(identifier.value), {"oriType": identifier, "oriValue": inner}, inner)


def _choice_of_certificates(value: Any, inside: Inside) -> Tree:
    inner = guarded(lambda: tree_of(value.chosen, inside))
    return inner if value.name == "certificate" else Titled(rfc_name(value.name), {rfc_name(value.name): inner}, inner)


def _content_info(value: Any, inside: Inside) -> Tree:
    """ContentInfo and EncapsulatedContentInfo: the type, then the content, opened where it is a message again."""
    identifier = oid_leaf(oids.decode_oid(value["content_type"].contents))
    fields: dict[str, Tree] = {"contentType": identifier}
    content = value["content"]
    body: Tree | None = None
    if not isinstance(content, core.Void):
        body = fields["content"] = guarded(lambda: _content(identifier.note, content, inside))
    return Titled(str(identifier.value), fields, body, note="" if body is not None else "content not included")


def _content(content_type: str, content: Any, inside: Inside) -> Tree:
    if isinstance(content, core.ParsableOctetString | core.OctetString):
        return _opened(content_type, bytes(content), inside)
    return any_der(content.dump()) if isinstance(content, core.Any) else tree_of(content, inside)


def _opened(content_type: str, octets: bytes, inside: Inside) -> Tree:
    opened = inside.open_data(octets, inside) if content_type == oids.ID_DATA else None
    return opened or typed_content(content_type, octets, inside) or Octets.of(octets)


# Content types whose content, inside another message, is the bare structure.
_TYPED: dict[str, Any] = {
    oids.ID_SIGNED_DATA: cms.SignedData,
    oids.ID_ENVELOPED_DATA: cms.EnvelopedData,
    oids.ID_CT_AUTH_ENVELOPED_DATA: cms.AuthEnvelopedData,
    oids.ID_ENCRYPTED_DATA: cms.EncryptedData,
    oids.ID_DIGESTED_DATA: cms.DigestedData,
    oids.ID_CT_AUTH_DATA: cms.AuthenticatedData,
    oids.ID_CT_COMPRESSED_DATA: cms.CompressedData,
    oids.ID_CT_CONTENT_INFO: cms.ContentInfo,
    oids.ID_CT_TST_INFO: tsp.TSTInfo,
}

WITH_ENCRYPTED_CONTENT = frozenset({oids.ID_ENVELOPED_DATA, oids.ID_CT_AUTH_ENVELOPED_DATA, oids.ID_ENCRYPTED_DATA})
"""Content types in which an EncryptedContentInfo is the last field but unprotected attributes."""


def typed_content(content_type: str, content: bytes, inside: Inside) -> Tree | None:
    """The content of a known content type other than id-data, opened; None for every other type."""
    kind = _TYPED.get(content_type)
    if kind is None:
        return None
    # QUIRK: asn1crypto reads encryptedContent in segments only where its length is indefinite.
    strings = frozenset({(0x30, 0x30, 0xA0)}) if content_type in WITH_ENCRYPTED_CONTENT else frozenset()

    def opened() -> Tree:
        der = ber.to_der(content, octet_strings=strings)
        return tree_of(kind.load(der, strict=True), inside.deeper(4))

    return guarded(opened)


VIEWS: dict[type, View] = {
    x509.Name: _name,
    x509.GeneralName: _general_name,
    algos.AlgorithmIdentifier: _algorithm,
    algos.DigestAlgorithm: _algorithm,
    algos.SignedDigestAlgorithm: _algorithm,
    algos.EncryptionAlgorithm: _algorithm,
    algos.HmacAlgorithm: _algorithm,
    algos.KdfAlgorithm: _algorithm,
    algos.MaskGenAlgorithm: _algorithm,
    algos.PSourceAlgorithm: _algorithm,
    algos.Pkcs5MacAlgorithm: _algorithm,
    algos.AnyAlgorithmIdentifier: _algorithm,
    algos.KeyExchangeAlgorithm: _algorithm,
    cms.KeyEncryptionAlgorithm: _algorithm,
    cms.CompressionAlgorithm: _algorithm,
    keys.PublicKeyInfo: _public_key,
    keys.PrivateKeyInfo: _private_key,
    keys.EncryptedPrivateKeyInfo: _encrypted_private_key,
    x509.Certificate: _certificate,
    x509.Extension: _extension,
    crl.CertificateList: _certificate_list,
    crl.RevokedCertificate: _revoked_certificate,
    crl.TBSCertListExtension: _extension,
    crl.CRLEntryExtension: _extension,
    ocsp.SingleResponseExtension: _extension,
    ocsp.ResponseDataExtension: _extension,
    cms.CMSAttribute: _attribute,
    pkcs12.Attribute: _attribute,
    cms.SMIMECapabilityIdentifier: _capability,
    cms.IssuerAndSerialNumber: _issuer_and_serial,
    cms.SignerIdentifier: _alternative,
    cms.RecipientIdentifier: _alternative,
    cms.KeyAgreementRecipientIdentifier: _alternative,
    cms.OriginatorIdentifierOrKey: _alternative,
    cms.SMIMEEncryptionKeyPreference: _alternative,
    cms.RecipientInfo: _alternative,
    cms.OtherRecipientInfo: _other_recipient,
    cms.CompressedData: _compressed,
    ocsp.ResponseBytes: _ocsp_bytes,
    cms.CertificateChoices: _choice_of_certificates,
    cms.ContentInfo: _content_info,
    cms.EncapsulatedContentInfo: _content_info,
}
