"""Which structure a DER or BER value is, told by its shape, and its tree.

Does: CMS and PKCS #7, certificates, revocation lists, certificate requests, PKCS #12 (outer structure), keys (public
ones; of private ones the algorithm alone), OCSP responses; anything else by its tags. Does not: ask for passwords or
decrypt.

Standards: RFC 5652, RFC 5280, RFC 2986, RFC 7292, RFC 5958, RFC 6960.
"""

from __future__ import annotations

from asn1crypto import cms, core, crl, csr, keys, ocsp, pkcs12, x509

from smime_engine.asn1 import ber, oids
from smime_engine.cli.inspection.tree import Leaf, Titled, Tree
from smime_engine.cli.inspection.values import Inside, any_der, elements_tree, guarded, oid_leaf, tree_of
from smime_engine.cli.inspection.views import WITH_ENCRYPTED_CONTENT

__all__ = ["structure_tree"]

_INTEGER, _BIT, _OCTETS, _OID, _ENUMERATED, _SEQUENCE, _SET = 0x02, 0x03, 0x04, 0x06, 0x0A, 0x30, 0x31


def structure_tree(data: bytes, inside: Inside) -> tuple[str, Tree]:
    """(what it is, its tree). Raises MalformedMessage where not even the outermost value can be read."""
    der = bytes(ber.to_der(data))
    kind = _kind_of(der)
    match kind:
        case "CMS":
            der = bytes(_joined(der))
            return _cms_name(der), guarded(lambda: tree_of(cms.ContentInfo.load(der, strict=True), inside.deeper(4)))
        case "PKCS #12":
            return kind, guarded(lambda: _pfx(der, inside.deeper(4)))
        case "unknown":
            return "ASN.1 value of unknown type", guarded(lambda: any_der(der))
        case _:
            loaded = _LOADERS[kind]
            return kind, guarded(lambda: tree_of(loaded.load(der, strict=True), inside))


_LOADERS = {
    "certificate": x509.Certificate,
    "certificate revocation list": crl.CertificateList,
    "certificate request": csr.CertificationRequest,
    "private key": keys.PrivateKeyInfo,
    "encrypted private key": keys.EncryptedPrivateKeyInfo,
    "public key": keys.PublicKeyInfo,
    "OCSP response": ocsp.OCSPResponse,
}


def _kind_of(der: bytes) -> str:
    tag, start, end = ber.read_header(der, 0, len(der))
    if tag != _SEQUENCE:
        return "unknown"
    fields = ber.children(der, start, end)
    tags = tuple(field[0] for field in fields)
    if tags[:1] == (_OID,) and tags[1:] in {(), (0xA0,)}:
        return "CMS"
    if tags[:2] == (_INTEGER, _SEQUENCE) and tags[2:] in {(), (_SEQUENCE,)}:
        return "PKCS #12" if _tags(der, *fields[1][2:])[:1] == (_OID,) else "unknown"
    if tags[:3] == (_INTEGER, _SEQUENCE, _OCTETS):
        return "private key"
    if tags == (_SEQUENCE, _OCTETS):
        return "encrypted private key"
    if tags == (_SEQUENCE, _BIT):
        return "public key"
    if tags[:1] == (_ENUMERATED,) and tags[1:] in {(), (0xA0,)}:
        return "OCSP response"
    return _signed_kind(_tags(der, *fields[0][2:])) if tags == (_SEQUENCE, _SEQUENCE, _BIT) else "unknown"


def _signed_kind(tags: tuple[int, ...]) -> str:
    """Of a SIGNED{} value, by the tags of what is signed."""
    tags = tags[1:] if tags[:1] == (0xA0,) else tags
    if tags[:6] == (_INTEGER, _SEQUENCE, _SEQUENCE, _SEQUENCE, _SEQUENCE, _SEQUENCE):
        return "certificate"
    if tags[:4] == (_INTEGER, _SEQUENCE, _SEQUENCE, 0xA0):
        return "certificate request"
    tags = tags[1:] if tags[:1] == (_INTEGER,) else tags
    return (
        "certificate revocation list"
        if tags[:2] == (_SEQUENCE, _SEQUENCE) and tags[2:3] in {(0x17,), (0x18,)}
        else "unknown"
    )


def _tags(der: bytes, start: int, end: int) -> tuple[int, ...]:
    return tuple(element[0] for element in ber.children(der, start, end))


# --- CMS


def _content_type(der: bytes) -> str:
    _, start, end = ber.read_header(der, 0, len(der))
    _, _, first, last = ber.children(der, start, end)[0]
    return oids.decode_oid(der[first:last], offset=first)


def _joined(der: bytes) -> bytes:
    """QUIRK: asn1crypto reads encryptedContent in segments only where its length is indefinite: join them."""
    if _content_type(der) not in WITH_ENCRYPTED_CONTENT:
        return der
    return ber.to_der(der, octet_strings=frozenset({(0x30, 0xA0, 0x30, 0x30, 0xA0)}))


def _cms_name(der: bytes) -> str:
    name = oids.name_of(_content_type(der))
    return "CMS " + (name.removeprefix("id-").removeprefix("ct-"))


# --- PKCS #12


def _pfx(der: bytes, inside: Inside) -> Tree:
    """The outer structure: which bags there are, how they and the whole are protected. Encrypted ones stay closed."""
    pfx = pkcs12.Pfx.load(der, strict=True)
    shown: dict[str, Tree] = {"version": guarded(lambda: tree_of(pfx["version"], inside))}
    shown["authSafe"] = guarded(lambda: _authenticated_safe(pfx, inside))
    if not isinstance(pfx["mac_data"], core.Void):
        shown["macData"] = guarded(lambda: tree_of(pfx["mac_data"], inside))
    return shown


def _authenticated_safe(pfx: pkcs12.Pfx, inside: Inside) -> Tree:
    auth_safe = pfx["auth_safe"]
    if auth_safe["content_type"].native != "data":
        return tree_of(auth_safe, inside)  # public-key integrity: a SignedData
    encrypted = frozenset({(0x30, 0x30, 0xA0, 0x30, 0x30, 0xA0)})
    der = ber.to_der(bytes(auth_safe["content"]), octet_strings=encrypted)
    safes = pkcs12.AuthenticatedSafe.load(bytes(der), strict=True)
    return elements_tree(safes, lambda safe: _safe(safe, inside))


def _safe(safe: cms.ContentInfo, inside: Inside) -> Tree:
    if safe["content_type"].native != "data":
        return tree_of(safe, inside)
    der = ber.to_der(bytes(safe["content"]))
    bags = elements_tree(pkcs12.SafeContents.load(bytes(der), strict=True), lambda bag: _bag(bag, inside))
    return Titled("id-data", {"contentType": Leaf("id-data"), "bags": bags}, bags)


def _bag(bag: pkcs12.SafeBag, inside: Inside) -> Tree:
    identifier = oid_leaf(oids.decode_oid(bag["bag_id"].contents))
    fields: dict[str, Tree] = {"bagId": identifier}
    fields["bagValue"] = guarded(lambda: _bag_value(bag, inside))
    if not isinstance(bag["bag_attributes"], core.Void):
        fields["bagAttributes"] = guarded(lambda: tree_of(bag["bag_attributes"], inside))
    body = {name: value for name, value in fields.items() if name != "bagId"}
    return Titled(str(identifier.value), fields, body)


def _bag_value(bag: pkcs12.SafeBag, inside: Inside) -> Tree:
    value = bag["bag_value"]
    match value:
        case pkcs12.SafeContents():
            deeper = inside.deeper(4)
            return elements_tree(value, lambda inner: _bag(inner, deeper))
        case pkcs12.SecretBag():
            return {
                "secretTypeId": oid_leaf(oids.decode_oid(value["secret_type_id"].contents)),
                "secretValue": Leaf("not shown"),
            }
        case pkcs12.CertBag() if value["cert_id"].native == "x509":
            return tree_of(value["cert_value"].parsed, inside)
        case _:
            return tree_of(value, inside)
