"""Certificates for the targets about certificates, made at run time: with every extension that we read, some odd."""

from __future__ import annotations

import base64
from functools import cache
from ipaddress import ip_network

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs7
from cryptography.x509.oid import AuthorityInformationAccessOID, ObjectIdentifier

from smime_engine.asn1 import ber, oids
from tests import pki

__all__ = ["certificates", "files"]

_POLICY = ObjectIdentifier("2.16.840.1.101.3.2.1.48.1")
_OTHER_POLICY = ObjectIdentifier("2.16.840.1.101.3.2.1.48.2")
_ANY_POLICY = ObjectIdentifier("2.5.29.32.0")


@cache
def certificates() -> tuple[bytes, ...]:
    """A root, two authorities below each other, and leaves of the lower one: DER."""
    root = pki.authority("Fuzz Root", subject=_odd_name())
    upper = root.subordinate("Upper", extra=_authority_extensions(), path_length=2)
    lower = upper.subordinate("Lower", path_length=0)
    leaves = [lower.issue("Alice", "alice@example.org", extra=_leaf_extensions(), names=_names(), kind=kind)
              for kind in ("p256", "ed25519")]  # fmt: skip
    return tuple(issued.certificate_der for issued in (root, upper, lower, *leaves))


@cache
def files() -> tuple[bytes, ...]:
    """The same as PEM, base64, PKCS #7 and one after the other."""
    loaded = [x509.load_der_x509_certificate(der) for der in certificates()]
    pem = b"".join(certificate.public_bytes(serialization.Encoding.PEM) for certificate in loaded)
    encodings = (serialization.Encoding.DER, serialization.Encoding.PEM)
    bundles = [pkcs7.serialize_certificates(loaded[:2], encoding) for encoding in encodings]
    return (pem, b"".join(certificates()[:2]), base64.encodebytes(certificates()[0]), *bundles)


def _odd_name() -> x509.Name:
    """Two attributes in one part, control characters, types that most readers never see."""
    kind = x509.name._ASN1Type  # no other way to choose the string type
    pairs = [
        [("2.5.4.6", "DE", kind.PrintableString)],
        [("2.5.4.10", "  Füzz   & Söhne ", kind.UTF8String), ("2.5.4.11", '#x,+"\\<>;=', kind.T61String)],
        [("2.5.4.3", "Root\x00\u202e", kind.BMPString), ("1.2.840.113549.1.9.1", "ca@example.org", kind.IA5String)],
    ]
    return x509.Name(
        x509.RelativeDistinguishedName(
            x509.NameAttribute(ObjectIdentifier(oid), value, type_, _validate=False) for oid, value, type_ in part
        )
        for part in pairs
    )


def _names() -> list[x509.GeneralName]:
    return [
        x509.OtherName(ObjectIdentifier("1.3.6.1.5.5.7.8.9"), b"\x0c\x13m\xc3\xbcller@example.org"),
        x509.OtherName(ObjectIdentifier("1.3.6.1.4.1.311.20.2.3"), b"\x0c\x11alice@example.org"),
        x509.DNSName("www.example.org"),
        x509.UniformResourceIdentifier("https://u@www.example.org:443/x?y#z"),
        x509.DirectoryName(pki.name("Alice", organization_name="Example")),
        x509.IPAddress(ip_network("192.0.2.1/32").network_address),
        x509.RegisteredID(ObjectIdentifier("1.2.3")),
    ]


def _authority_extensions() -> list[tuple[x509.ExtensionType, bool]]:
    permitted = [
        x509.RFC822Name("example.org"),
        x509.DNSName("example.org"),
        x509.UniformResourceIdentifier(".example.org"),
        x509.DirectoryName(x509.Name([])),
        x509.IPAddress(ip_network("192.0.2.0/24")),
        x509.IPAddress(ip_network("2001:db8::/32")),
    ]
    excluded = [x509.RFC822Name("mallory@example.org"), x509.OtherName(ObjectIdentifier("1.2.3.4"), b"\x05\x00")]
    return [
        (x509.NameConstraints(permitted_subtrees=permitted, excluded_subtrees=excluded), True),
        (x509.CertificatePolicies([x509.PolicyInformation(_POLICY, ["https://example.org/cps"])]), False),
        (x509.UnrecognizedExtension(ObjectIdentifier("2.5.29.33"), _mappings()), True),
        (x509.PolicyConstraints(require_explicit_policy=3, inhibit_policy_mapping=2), True),
        (x509.InhibitAnyPolicy(4), True),
    ]


def _mappings() -> bytes:
    pair = [oids.Oid(policy.dotted_string, "policy").tlv for policy in (_POLICY, _OTHER_POLICY)]
    return ber.encode(0x30, ber.encode(0x30, *pair))


def _leaf_extensions() -> list[tuple[x509.ExtensionType, bool]]:
    point = x509.DistributionPoint(
        full_name=[x509.UniformResourceIdentifier("http://crl.example.org/a.crl")],
        relative_name=None,
        reasons=frozenset({x509.ReasonFlags.key_compromise}),
        crl_issuer=[x509.DirectoryName(pki.name("Lister"))],
    )
    access = x509.AccessDescription(
        AuthorityInformationAccessOID.CA_ISSUERS, x509.UniformResourceIdentifier("http://ca.example.org/a.cer")
    )
    return [
        (x509.CertificatePolicies([x509.PolicyInformation(p, None) for p in (_OTHER_POLICY, _ANY_POLICY)]), False),
        (x509.CRLDistributionPoints([point]), False),
        (x509.FreshestCRL([point]), False),
        (x509.AuthorityInformationAccess([access]), False),
        (x509.IssuerAlternativeName([x509.RFC822Name("ca@example.org")]), False),
        (x509.TLSFeature([x509.TLSFeatureType.status_request]), False),
    ]
