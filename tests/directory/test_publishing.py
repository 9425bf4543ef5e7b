"""Values of userSMIMECertificate: as we publish them, as others read them, as we read others'."""

from __future__ import annotations

from pathlib import Path

import asn1crypto.cms
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smime_engine.asn1 import ber, oids
from smime_engine.certificate import Certificate
from smime_engine.cms.capabilities import DEFAULT_CAPABILITIES, announced_ciphers
from smime_engine.cms.signed_data_writer import certificates_only
from smime_engine.cms.signer import CmsSigner, SignedAttributes
from smime_engine.directory.entries import Origin, Standing
from smime_engine.directory.publishing import OUTLOOK_CONTENT, published_value
from smime_engine.directory.smime_certificate import preferred_certificate, read_user_smime_certificate
from smime_engine.errors import MalformedMessage
from smime_engine.limits import Limits
from tests.directory.people import CA, NOW, ROOT, certificate, identity, value
from tests.peer_commands import OpenSsl

AUTHORITY = Certificate.parse(CA.certificate_der)


def test_what_is_published_is_read() -> None:
    read = read_user_smime_certificate(value())
    (listed,) = read.certificates
    assert listed.certificate == identity().certificate
    assert listed.standing is Standing.PREFERRED
    assert listed.origin is Origin.USER_SMIME_CERTIFICATE
    assert listed.capabilities == DEFAULT_CAPABILITIES
    assert read.pool == (AUTHORITY,)
    assert read.defects == ()


def test_separate_certificates_for_signing_and_encryption() -> None:
    signing = identity(usage="sign")
    encryption = certificate("Alice", "alice@example.org", key=CA.key)
    read = read_user_smime_certificate(published_value(signing, now=NOW, encryption_certificate=encryption))
    assert [(found.certificate, found.standing) for found in read.certificates] == [
        (encryption, Standing.PREFERRED),
        (signing.certificate, Standing.SIGNER),
    ]


@pytest.mark.openssl
@pytest.mark.parametrize("digest", ["", "sha384"])
def test_openssl_reads_what_is_published(openssl: OpenSsl, tmp_path: Path, digest: str) -> None:
    (tmp_path / "root.pem").write_bytes(ROOT.certificate_pem)
    (tmp_path / "value").write_bytes(value(digest=digest))
    arguments = ("-inform", "DER", "-in", tmp_path / "value", "-CAfile", tmp_path / "root.pem", "-purpose", "any")
    done = openssl("cms", "-verify", *arguments, "-attime", str(int(NOW.timestamp())), "-binary")
    assert done.stdout == OUTLOOK_CONTENT


def test_asn1crypto_reads_what_is_published() -> None:
    info = asn1crypto.cms.ContentInfo.load(value(), strict=True)
    signed = info["content"]
    assert info["content_type"].native == "signed_data"
    assert signed["version"].native == "v1"
    assert signed["encap_content_info"]["content"].native == b"Empty Body"
    assert {found.chosen.dump() for found in signed["certificates"]} == {
        identity().certificate.der,
        CA.certificate_der,
    }
    attributes = {found["type"].dotted for found in signed["signer_infos"][0]["signed_attrs"]}
    assert {
        str(oids.SMIME_CAPABILITIES),
        str(oids.ID_AA_ENCRYP_KEY_PREF),
        str(oids.MICROSOFT_ENCRYPTION_KEY_PREFERENCE),
    } <= attributes


# --- as others write it


def test_values_of_other_writers() -> None:
    """No content as RFC 2798 says, other content, no attributes, nobody who signs."""
    alice = identity()
    plain = CmsSigner(alice.key, alice.certificate, chain=alice.chain)
    bare = CmsSigner(alice.key, alice.certificate, attributes=None)
    for encoded in (
        plain.sign(b"", now=NOW),
        plain.sign(b"whatever", now=NOW),
        plain.sign(b"anything", now=NOW, detached=False),
        bare.sign(b"x", now=NOW),
    ):
        (listed,) = read_user_smime_certificate(encoded).certificates
        assert listed.certificate == alice.certificate
        assert listed.standing is Standing.SIGNER
        assert listed.capabilities is None
    (listed,) = read_user_smime_certificate(certificates_only([alice.certificate.der])).certificates
    assert listed.standing is Standing.LISTED


def test_capabilities_without_content() -> None:
    alice = identity()
    attributes = SignedAttributes(capabilities=b"\x30\x00", encryption_certificate=alice.certificate)
    signer = CmsSigner(alice.key, alice.certificate, attributes=attributes)
    (listed,) = read_user_smime_certificate(signer.sign(b"unknown", now=NOW)).certificates
    assert listed.capabilities == ()
    assert listed.standing is Standing.PREFERRED


def test_forged_attributes_are_ignored_and_the_certificate_is_not() -> None:
    honest = value()
    aes256 = next(found for found in DEFAULT_CAPABILITIES if announced_ciphers((found,)) == ("aes256-gcm",))
    encoded = oids.named(aes256.oid).tlv
    forged = honest.replace(encoded, encoded[:-1] + b"\x01")
    assert forged != honest
    read = read_user_smime_certificate(forged)
    (listed,) = read.certificates
    assert listed.capabilities is None
    assert listed.standing is Standing.SIGNER
    assert read.defects == ("signed attributes ignored: the signature is wrong",)
    changed_content = read_user_smime_certificate(honest.replace(OUTLOOK_CONTENT, b"Empty Bodi"))
    assert changed_content.certificates[0].capabilities is None


def test_the_signer_is_not_there() -> None:
    alice = identity()
    signer = CmsSigner(alice.key, alice.certificate, chain=(certificate("Bob", "bob@example.org"),))
    missing = CmsSigner(alice.key, alice.certificate, include_certificates=False)
    read = read_user_smime_certificate(missing.sign(b"", now=NOW, detached=False))
    assert read.certificates == ()
    assert "signer's certificate" in read.defects[-1]
    assert len(read_user_smime_certificate(signer.sign(b"", now=NOW, detached=False)).certificates) == 2


def test_malformed_certificates_and_attributes_are_left_out() -> None:
    read = read_user_smime_certificate(certificates_only([identity().certificate.der, b"\x30\x03\x02\x01\x01"]))
    assert len(read.certificates) == 1
    assert read.defects[0].startswith("a certificate left out")
    alice = identity()
    odd = CmsSigner(alice.key, alice.certificate, attributes=SignedAttributes(capabilities=b"\x04\x00"))
    read = read_user_smime_certificate(odd.sign(b"", now=NOW, detached=False))
    assert [found.certificate for found in read.certificates] == [alice.certificate]
    assert read.defects[0].startswith("signed attributes ignored")
    assert read_user_smime_certificate(certificates_only([])).defects == ("the value holds no certificate",)


# --- the preference


def test_every_form_of_the_preference() -> None:
    leaf = identity().certificate
    identifier = leaf.subject_key_identifier
    assert identifier is not None
    for preference in (
        b"\xa0" + leaf.issuer_and_serial[1:],
        ber.encode(0xA1, ber.encode(0x04, identifier)),
        ber.encode(0xA2, ber.encode(0x04, identifier)),
        ber.encode(0x82, identifier),
    ):
        assert preferred_certificate(preference, (AUTHORITY, leaf)) == leaf
        assert preferred_certificate(preference, (AUTHORITY,)) is None
    for unreadable in (None, b"", b"\xa0", b"\xa1\x00", b"\xa1\x02\x02\x00", b"\x30\x00", b"\xa2\x01\x04"):
        assert preferred_certificate(unreadable, (leaf,)) is None


# --- Microsoft's property list


def record(tag: int, data: bytes) -> bytes:
    return tag.to_bytes(2, "little") + (len(data) + 4).to_bytes(2, "little") + data


VERSION = record(1, b"\x01\x00\x00\x00")


def test_a_property_list() -> None:
    leaf = identity().certificate
    encoded = VERSION + record(0x0B, b"unknown") + record(4, CA.certificate_der) + record(8, leaf.der)
    read = read_user_smime_certificate(encoded)
    assert [found.certificate for found in read.certificates] == [leaf]
    assert read.pool == (AUTHORITY,)
    broken = read_user_smime_certificate(VERSION + record(8, b"garbage") + record(4, leaf.der))
    assert [found.certificate for found in broken.certificates] == [leaf]
    assert len(broken.defects) == 1
    assert read_user_smime_certificate(VERSION).certificates == ()


@pytest.mark.parametrize(
    "encoded",
    [
        b"",
        b"\x01",
        b"\x01\x00\x03\x00",
        b"\x01\x00\xff\xff\x01\x00\x00\x00",
        record(1, b"\x02\x00\x00\x00"),
        record(4, b""),
        VERSION + b"\x04\x00",
        b"\x00\x01\x00\x08\x00\x00\x00\x01",
    ],
)
def test_what_is_no_property_list(encoded: bytes) -> None:
    with pytest.raises(MalformedMessage):
        read_user_smime_certificate(encoded)


# --- hostile values

PUBLISHED = value()


def test_limits() -> None:
    with pytest.raises(MalformedMessage, match="directory_value_size"):
        read_user_smime_certificate(b"\x30" + bytes(1_000_000))
    many = VERSION + record(4, b"") * 20
    with pytest.raises(MalformedMessage, match="certificates"):
        read_user_smime_certificate(many, limits=Limits(certificates=10))


@pytest.mark.parametrize("encoded", [value(), VERSION + record(8, identity().certificate.der)], ids=["cms", "tlv"])
def test_cut_and_extended_values(encoded: bytes) -> None:
    for end in range(0, len(encoded), 7):
        try:
            read_user_smime_certificate(encoded[:end])
        except MalformedMessage:
            continue
    with pytest.raises(MalformedMessage):
        read_user_smime_certificate(encoded + b"\x00")


@given(st.data())
def test_damaged_values(data: st.DataObject) -> None:
    encoded = bytearray(PUBLISHED)
    for _ in range(data.draw(st.integers(1, 4))):
        encoded[data.draw(st.integers(0, len(encoded) - 1))] = data.draw(st.integers(0, 255))
    try:
        read = read_user_smime_certificate(bytes(encoded))
    except MalformedMessage:
        return
    assert all(isinstance(found.certificate, Certificate) for found in read.certificates)
