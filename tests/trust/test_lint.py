"""Every rule of the lint: one certificate that keeps all of them, and for each rule one that breaks it."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from smime_engine.certificate import Certificate
from smime_engine.trust.lint import RULES, Severity, lint_certificate
from tests import pki

CRL_URL = "http://crl.example.org/ca.crl"
STRICT_POLICY = x509.ObjectIdentifier("2.23.140.1.5.3.3")
LEGACY_POLICY = x509.ObjectIdentifier("2.23.140.1.5.1.1")
SERIAL = 0x5EA1_0123_4567_89AB_CDEF
ROOT = pki.authority("Lint Root", crl_urls=[CRL_URL], issuer_urls=["http://crl.example.org/ca.cer"])
SIGN = pki.key_usage("digital_signature", "content_commitment", "key_agreement")


def policies(*identifiers: x509.ObjectIdentifier) -> tuple[x509.ExtensionType, bool]:
    return x509.CertificatePolicies([x509.PolicyInformation(identifier, None) for identifier in identifiers]), False


def certificate(issuer: pki.Authority = ROOT, **options: Any) -> Certificate:
    """A certificate that keeps every rule, but for the options."""
    settings: dict[str, Any] = {
        "usage": SIGN,
        "serial_number": SERIAL,
        "not_after": pki.NOT_BEFORE + timedelta(days=825) - timedelta(seconds=1),
        "extra": [policies(STRICT_POLICY)],
        **options,
    }
    addresses = settings.pop("addresses", ("alice@example.org",))
    return Certificate.parse(issuer.issue("Alice", *addresses, **settings).certificate_der)


def rules(checked: Certificate, email: str | None = None) -> dict[str, str]:
    found: dict[str, str] = {}
    for finding in lint_certificate(checked, email=email):
        found[finding.rule] = " | ".join(filter(None, (found.get(finding.rule), finding.text)))
    return found


def without_pointers() -> pki.Authority:
    return pki.authority("Lint Root")


def tampered(checked: Certificate, old: bytes, new: bytes) -> Certificate:
    """Other octets of the same length; nothing here verifies signatures."""
    assert checked.der.count(old) >= 1
    return Certificate.parse(checked.der.replace(old, new))


def test_a_good_certificate_has_no_findings():
    assert lint_certificate(certificate(), email="Alice@EXAMPLE.org") == ()


def test_rules_are_sorted_by_gravity_and_named_once():
    order = list(Severity)
    gravities = [order.index(rule.severity) for rule in RULES]
    assert gravities == sorted(gravities)
    assert len({rule.name for rule in RULES}) == len(RULES)
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", rule.name) for rule in RULES)
    assert all(rule.source for rule in RULES)


SERVER = [ExtendedKeyUsageOID.EMAIL_PROTECTION, ExtendedKeyUsageOID.SERVER_AUTH]
WITH_ADDRESS = x509.Name(
    [
        x509.NameAttribute(NameOID.COMMON_NAME, "Alice"),
        x509.NameAttribute(NameOID.EMAIL_ADDRESS, "old@example.org"),
    ]
)
MAILBOX = x509.OtherName(x509.ObjectIdentifier("1.3.6.1.5.5.7.8.9"), b"\x0c\x12al\xc3\xadce@example.org")

BROKEN: list[tuple[str, str, dict[str, Any]]] = [
    ("subject-key-identifier", "no subjectKeyIdentifier", {"key_identifiers": False}),
    ("address", "no e-mail address in subjectAltName .nowhere", {"addresses": ()}),
    ("address", "only in the subject", {"addresses": (), "subject": WITH_ADDRESS}),
    ("address-repeated", "old@example.org", {"subject": WITH_ADDRESS}),
    ("key-size", "1024", {"kind": "rsa1024", "usage": "sign"}),
    ("key-common", "ed25519|ml-dsa-44", {"kind": "mldsa44", "usage": "sign"}),
    ("key-common", "brainpool", {"kind": "brainpool256"}),
    ("key-usage-present", "no keyUsage", {"usage": None}),
    ("key-usage-useful", "neither sign nor receive", {"usage": pki.key_usage("data_encipherment")}),
    ("key-usage-useful", "neither sign", {"kind": "rsa2048", "usage": pki.key_usage("key_agreement")}),
    ("key-usage-fits-key", "keyEncipherment", {"usage": "both"}),
    ("key-usage-fits-key", "keyAgreement", {"kind": "rsa2048", "usage": "both"}),
    ("key-usage-fits-key", "cRLSign", {"usage": pki.key_usage("digital_signature", "crl_sign")}),
    ("extended-key-usage", "id-kp-serverAuth", {"extended_key_usage": [ExtendedKeyUsageOID.SERVER_AUTH]}),
    ("extended-key-usage-named", "no extKeyUsage", {"extended_key_usage": None}),
    (
        "extended-key-usage-named",
        "instead of",
        {"extended_key_usage": [ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]},
    ),
    ("extended-key-usage-alone", "id-kp-serverAuth", {"extended_key_usage": SERVER}),
    ("revocation-list", "no CRL distribution point", {"issuer": without_pointers()}),
    ("issuer-url", "caIssuers", {"issuer": without_pointers()}),
    ("revocation-list", "http URL", {"issuer": pki.authority("Lint Root", crl_urls=["ldap://ldap.example.org/cn=ca"])}),
    ("lifetime", "valid for 825 days|825", {"not_after": pki.NOT_BEFORE + timedelta(days=826)}),
    ("lifetime", "1,185", {"not_after": pki.NOT_BEFORE + timedelta(days=1186), "extra": [policies(LEGACY_POLICY)]}),
    ("policy", "none of", {"extra": []}),
    ("policy", "2 of", {"extra": [policies(STRICT_POLICY, LEGACY_POLICY)]}),
    ("policy", "legacy profiles ended", {"extra": [policies(LEGACY_POLICY)]}),
    ("serial-number", "4711", {"serial_number": 4711}),
    (
        "rfc-5280",
        "nameConstraints",
        {"extra": [policies(STRICT_POLICY), (x509.NameConstraints([x509.DNSName("example.org")], None), True)]},
    ),
]


@pytest.mark.parametrize(("rule", "text", "options"), BROKEN, ids=[f"{rule}-{text}" for rule, text, _ in BROKEN])
def test_a_broken_rule_is_found(rule: str, text: str, options: dict[str, Any]):
    found = rules(certificate(**options))
    assert rule in found
    assert re.search(text, found[rule])


def test_every_rule_is_tested():
    own_tests = {"address-matches", "signature-algorithm", "well-formed", "validity-order", "key-kind"}
    assert {rule for rule, _, _ in BROKEN} | own_tests == {rule.name for rule in RULES}


def test_the_address_that_is_wanted_must_be_named():
    found = rules(certificate(), "bob@example.org")
    assert found == {"address-matches": "the certificate is not for bob@example.org but for alice@example.org"}
    assert "no address at all" in rules(certificate(addresses=()), "bob@example.org")["address-matches"]


def test_an_internationalised_mailbox_is_an_address():
    found = rules(certificate(addresses=(), names=[MAILBOX]), "alíce@example.org")
    assert "address" not in found
    assert "address-matches" not in found


def test_lifetimes_count_both_ends():
    days = timedelta(days=825)
    assert "lifetime" not in rules(certificate(not_after=pki.NOT_BEFORE + days - timedelta(seconds=1)))
    assert "lifetime" in rules(certificate(not_after=pki.NOT_BEFORE + days))


def test_a_validity_that_ends_before_it_begins():
    # The year of notAfter, 2026, becomes 2020; notBefore is in 2024.
    checked = certificate()
    assert "validity-order" in rules(tampered(checked, b"\x17\x0d260404", b"\x17\x0d200404"))


def test_a_malformed_extension_is_told():
    checked = certificate()
    found = rules(tampered(checked, b"\x55\x1d\x11\x04\x15\x30\x13\x81", b"\x55\x1d\x11\x04\x15\x30\x13\x8f"))
    assert "id-ce-subjectAltName" in found["well-formed"]
    assert "address" in found


def test_an_unknown_kind_of_key_is_a_warning():
    checked = certificate()
    found = rules(tampered(checked, b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01", b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x7f"))
    assert "1.2.840.10045.2.127" in found["key-kind"]


def test_ca_certificates_are_checked_for_form_alone():
    ca = ROOT.subordinate("Lint CA", serial_number=SERIAL)
    assert lint_certificate(Certificate.parse(ca.certificate_der)) == ()
    weak = ROOT.subordinate("Weak CA", kind="rsa1024", serial_number=SERIAL, usage="ca")
    assert set(rules(Certificate.parse(weak.certificate_der))) == {"key-size"}


def test_sha_1_is_told_except_of_a_root():
    sha256_with_rsa, sha1_with_rsa = bytes.fromhex("2a864886f70d01010b"), bytes.fromhex("2a864886f70d010105")
    root = pki.authority("Old Root", kind="rsa2048", serial_number=SERIAL, crl_urls=[CRL_URL])
    issued = tampered(certificate(issuer=root), sha256_with_rsa, sha1_with_rsa)
    assert rules(issued)["signature-algorithm"] == "signed with a weak algorithm: rsa-sha1"
    own = tampered(Certificate.parse(root.certificate_der), sha256_with_rsa, sha1_with_rsa)
    assert "signature-algorithm" not in rules(own)


def test_the_issuers_unsupported_signature_is_told():
    checked = certificate()
    ecdsa_sha256 = bytes.fromhex("2a8648ce3d040302")
    found = rules(tampered(checked, ecdsa_sha256, bytes.fromhex("2a8648ce3d04037f")))
    assert "unsupported algorithm: 1.2.840.10045.4.3.127" in found["signature-algorithm"]


@pytest.mark.parametrize("kind", ["ed25519", "ed448", "x25519", "mlkem768", "rsa2048", "p384"])
def test_each_kind_of_key_has_its_usages(kind: str):
    usage = {
        "x25519": ("key_agreement",),
        "mlkem768": ("key_encipherment",),
        "rsa2048": ("digital_signature", "key_encipherment"),
        "p384": ("key_agreement",),
    }.get(kind, ("digital_signature",))
    found = rules(certificate(kind=kind, usage=pki.key_usage(*usage)))
    assert not {"key-usage-useful", "key-usage-fits-key", "key-size"} & found.keys()


def test_every_single_octet_change_is_survived():
    """Whatever certificate can be parsed can be linted."""
    der = certificate().der
    for position in range(4, len(der), 3):
        bent = bytearray(der)
        bent[position] ^= 0xFF
        try:
            checked = Certificate.parse(bytes(bent))
        except Exception as error:
            assert type(error).__name__ in {"MalformedMessage", "LimitExceeded"}  # noqa: PT017 - any of many octets
            continue
        lint_certificate(checked, email="alice@example.org")
