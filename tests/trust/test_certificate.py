"""The view of a certificate: fields, extensions one by one, hostile bytes, and files of certificates."""

from __future__ import annotations

import base64
import pickle
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs7
from hypothesis import given
from hypothesis import strategies as st

from fuzz import _chains
from smime_engine.asn1 import ber, oids
from smime_engine.certificate import Certificate
from smime_engine.certificate_bundle import certificates_from
from smime_engine.certificate_fields import time_in
from smime_engine.errors import LimitExceeded, MalformedMessage
from smime_engine.general_names import NameForm
from smime_engine.limits import Limits
from tests import pki


@pytest.fixture(scope="module")
def alice():
    return pki.authority("Root").subordinate("CA").issue("Alice", "alice@example.org", "a.lice@example.org")


@pytest.fixture(scope="module")
def rich():
    """One certificate with every extension, and the CA above it."""
    _, upper, _, leaf, _ = map(Certificate.parse, _chains.certificates())
    return upper, leaf


def changed(der, old, new):
    assert der.count(old) == 1
    assert len(old) == len(new)
    return der.replace(old, new)


def test_fields(alice):
    certificate = Certificate.parse(alice.certificate_der)
    theirs = alice.certificate
    assert certificate.subject == "CN=Alice"
    assert certificate.issuer == "CN=CA"
    assert certificate.serial_number == theirs.serial_number
    assert certificate.version == 3
    assert certificate.tbs == theirs.tbs_certificate_bytes
    assert certificate.signature == theirs.signature
    assert certificate.not_before == pki.NOT_BEFORE
    assert certificate.not_after == pki.NOT_AFTER
    assert certificate.key_usage == {"digitalSignature", "nonRepudiation", "keyEncipherment", "keyAgreement"}
    assert certificate.extended_key_usage == (oids.ID_KP_EMAIL_PROTECTION,)
    assert certificate.addresses == ("alice@example.org", "a.lice@example.org")
    assert certificate.names_address("ALICE@EXAMPLE.ORG")
    assert not certificate.names_address("mallory@example.org")
    assert certificate.basic_constraints is None or not certificate.basic_constraints.ca
    assert certificate.signature_algorithm_oid == "1.2.840.10045.4.3.2"
    assert certificate.public_key_algorithm_oid == "1.2.840.10045.2.1"
    assert certificate.defects == ()
    spki = theirs.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    assert certificate.public_key_info == spki
    ski = theirs.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    assert certificate.subject_key_identifier == ski
    assert list(certificate.extensions) == [extension.oid.dotted_string for extension in theirs.extensions]


def test_issuer_and_serial(alice):
    certificate = Certificate.parse(alice.certificate_der)
    issuer = alice.certificate.issuer.public_bytes()
    assert certificate.issuer_and_serial == ber.encode(
        0x30, issuer, ber.encode(0x02, alice.certificate.serial_number.to_bytes(2, "big"))
    )


def test_every_extension(rich):
    upper, leaf = rich
    assert upper.basic_constraints == (True, 2)
    assert upper.policies == ("2.16.840.1.101.3.2.1.48.1",)
    assert upper.policy_mappings == (("2.16.840.1.101.3.2.1.48.1", "2.16.840.1.101.3.2.1.48.2"),)
    assert upper.policy_constraints == (3, 2)
    assert upper.inhibit_any_policy == 4
    constraints = upper.name_constraints
    assert [base.form for base in constraints.permitted] == [
        NameForm.EMAIL,
        NameForm.DNS,
        NameForm.URI,
        NameForm.DIRECTORY,
        NameForm.IP,
        NameForm.IP,
    ]
    assert [base.value for base in constraints.excluded] == ["mallory@example.org", b"\x05\x00"]
    assert constraints.excluded[1].type_id == "1.2.3.4"
    (point,) = leaf.crl_distribution_points
    assert [name.value for name in point.full_name] == ["http://crl.example.org/a.crl"]
    assert point.reasons == {"keyCompromise"}
    assert [name.form for name in point.crl_issuer] == [NameForm.DIRECTORY]
    assert leaf.freshest_crl == leaf.crl_distribution_points
    ((method, place),) = leaf.authority_information_access
    assert (method, place.value) == ("1.3.6.1.5.5.7.48.2", "http://ca.example.org/a.cer")
    assert leaf.authority_key_identifier.key_identifier is not None
    assert {name.form for name in leaf.subject_alternative_names} == {
        NameForm.EMAIL,
        NameForm.MAILBOX,
        NameForm.OTHER,
        NameForm.DNS,
        NameForm.URI,
        NameForm.DIRECTORY,
        NameForm.IP,
        NameForm.REGISTERED,
    }
    assert leaf.addresses == ("alice@example.org", "müller@example.org")


def test_addresses_of_the_subject_and_hostile_ones():
    subject = pki.name("Alice", email_address="old@example.org")
    names = [
        x509.RFC822Name._init_without_validation("bank@example.org\0.evil.example"),
        x509.RFC822Name._init_without_validation("no address"),
        x509.RFC822Name._init_without_validation("new@example.org"),
    ]
    issued = pki.authority("Root").issue("Alice", subject=subject, names=names)
    certificate = Certificate.parse(issued.certificate_der)
    assert certificate.addresses == ("new@example.org", "old@example.org")
    assert not certificate.names_address("bank@example.org")


def test_one_malformed_extension_spoils_no_other(alice):
    der = alice.certificate_der
    email = ber.encode(0x81, b"alice@example.org")
    certificate = Certificate.parse(changed(der, email, b"\x81\x7f" + email[2:]))
    assert certificate.addresses == ()
    assert certificate.key_usage is not None
    (defect,) = certificate.defects
    assert defect.startswith("id-ce-subjectAltName: ")


def test_a_value_that_is_not_ascii_is_malformed(alice):
    certificate = Certificate.parse(changed(alice.certificate_der, b"a.lice@", b"\xe4.lice@"))
    assert certificate.subject_alternative_names == ()
    assert certificate.defects


def test_a_malformed_name_is_shown_and_equals_itself_alone(alice):
    der = alice.certificate_der
    broken = Certificate.parse(changed(der, ber.encode(0x0C, b"Alice"), b"\x0c\x06Alice"))
    assert broken.subject.startswith("#30")
    assert broken.comparable_subject == Certificate.parse(broken.der).comparable_subject
    assert broken.comparable_subject != Certificate.parse(der).comparable_subject
    assert any(defect.startswith("subject: ") for defect in broken.defects)


def test_an_extension_that_occurs_twice(alice):
    der = alice.certificate_der
    eku, ku = ber.encode(0x06, b"\x55\x1d\x25"), ber.encode(0x06, b"\x55\x1d\x0f")
    assert any("occurs 2 times" in defect for defect in Certificate.parse(changed(der, eku, ku)).defects)


def test_immutable_equal_and_hashable(alice):
    first, second = (Certificate.parse(alice.certificate_der) for _ in range(2))
    assert first == second
    assert hash(first) == hash(second)
    assert first != alice.certificate_der
    assert pickle.loads(pickle.dumps(first)) == first
    with pytest.raises(AttributeError):
        first.subject = "CN=Mallory"
    with pytest.raises(AttributeError):
        first.anything = 1
    assert repr(first).startswith("<Certificate 'CN=Alice'")


def test_cut_at_every_offset_and_trailing_bytes(rich):
    der = rich[1].der
    for end in range(len(der)):
        with pytest.raises(MalformedMessage):
            Certificate.parse(der[:end])
    with pytest.raises(MalformedMessage):
        Certificate.parse(der + b"\0")


@given(data=st.data())
def test_one_changed_byte_gives_a_certificate_or_malformed(data):
    der = bytearray(_chains.certificates()[1])
    position = data.draw(st.integers(0, len(der) - 1))
    der[position] = data.draw(st.integers(0, 255))
    try:
        certificate = Certificate.parse(bytes(der))
    except MalformedMessage:
        return
    assert isinstance(certificate.defects, tuple)
    assert isinstance(certificate.subject, str)


@pytest.mark.parametrize(
    ("tag", "text", "expected"),
    [
        (0x17, b"500101000000Z", datetime(1950, 1, 1, tzinfo=UTC)),
        (0x17, b"491231235959Z", datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC)),
        (0x18, b"20500101000000Z", datetime(2050, 1, 1, tzinfo=UTC)),
        (0x18, b"99991231235959Z", datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
    ],
)
def test_times(tag, text, expected):
    assert time_in(text, (tag, 0, 0, len(text))) == expected


@pytest.mark.parametrize(
    ("tag", "text"),
    [
        (0x17, b""),
        (0x17, b"Z"),
        (0x17, b"5001010000Z"),
        (0x17, b"500101000000+0100"),
        (0x17, b"500101000060Z"),
        (0x17, b"501301000000Z"),
        (0x17, b"50010100000\xb2Z"),
        (0x18, b"00000101000000Z"),
        (0x18, b"20500101000000.5Z"),
        (0x18, b"20500101000000"),
        (0x18, b"205001010000Z"),
        (0x04, b"500101000000Z"),
    ],
)
def test_times_that_are_none(tag, text):
    with pytest.raises(MalformedMessage):
        time_in(text, (tag, 0, 0, len(text)))


# --- files


def test_files_of_every_kind(alice):
    der, chain = alice.certificate_der, alice.chain_der
    loaded = [alice.certificate, *alice.chain]
    expected = tuple(map(Certificate.parse, (der, *chain)))
    pem = alice.certificate_pem + alice.chain_pem
    files = [
        pem,
        b"\xef\xbb\xbf" + pem,
        b"some words\r\n" + pem.replace(b"\n", b"\r\n") + b"more words",
        alice.key_pem() + pem,
        der + b"".join(chain),
        pkcs7.serialize_certificates(loaded, serialization.Encoding.DER),
        pkcs7.serialize_certificates(loaded, serialization.Encoding.PEM),
        base64.b64encode(pkcs7.serialize_certificates(loaded, serialization.Encoding.DER)),
        base64.encodebytes(der + b"".join(chain)),
    ]
    for file in files:
        assert set(certificates_from(file)) == set(expected)


def test_pkcs7_in_ber(alice):
    der = alice.certificate_der

    def indefinite(tag, *parts):
        return bytes((tag, 0x80)) + b"".join(parts) + b"\0\0"

    content = indefinite(0x30, oids.ID_DATA.tlv)
    signed = indefinite(0x30, b"\x02\x01\x01", b"\x31\x00", content, indefinite(0xA0, der), b"\x31\x80\0\0")
    file = indefinite(0x30, oids.ID_SIGNED_DATA.tlv, indefinite(0xA0, signed))
    assert certificates_from(file) == (Certificate.parse(der),)
    definite_outside = ber.encode(0x30, oids.ID_SIGNED_DATA.tlv, ber.encode(0xA0, signed))
    assert certificates_from(definite_outside) == (Certificate.parse(der),)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"words",
        b"\x30\x00",
        b"-----BEGIN CERTIFICATE-----\n%%%\n-----END CERTIFICATE-----",
        b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----",
        b"-----BEGIN X509 CRL-----\nMAA=\n-----END X509 CRL-----",
        ber.encode(0x30, oids.ID_DATA.tlv, ber.encode(0xA0, ber.encode(0x04, b"x"))),
        ber.encode(0x30, oids.ID_SIGNED_DATA.tlv),
        b"\x04\x00",
    ],
)
def test_files_without_certificates(data):
    with pytest.raises(MalformedMessage):
        certificates_from(data)


def test_too_many_certificates(alice):
    with pytest.raises(LimitExceeded) as caught:
        certificates_from(alice.certificate_der * 4, limits=Limits(certificates=3))
    assert caught.value.limit == "certificates"


def test_pem_without_end_is_linear():
    data = b"-----BEGIN CERTIFICATE-----\n" * 40_000
    with pytest.raises(MalformedMessage):
        certificates_from(data)


@pytest.mark.corpora
def test_certificates_of_the_corpora(corpora):
    for file in (corpora / "rfc9216").glob("*.crt"):
        (certificate,) = certificates_from(file.read_bytes())
        assert certificate.defects == ()
    for file in (corpora / "rfc4134").glob("*.cer"):
        (certificate,) = certificates_from(file.read_bytes())
        assert certificate.subject.startswith("CN=")


def test_pkcs7_cut_at_every_offset(alice):
    whole = pkcs7.serialize_certificates([alice.certificate], serialization.Encoding.DER)
    for end in range(len(whole)):
        with pytest.raises(MalformedMessage):
            certificates_from(whole[:end])
