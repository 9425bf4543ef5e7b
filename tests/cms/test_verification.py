"""Judging signatures: every rule about signed attributes, attacks, and what cannot be decided."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from asn1crypto import core

from smime_engine.asn1 import ber, oids
from smime_engine.certificate import Certificate
from smime_engine.cms import signed as signed_module
from smime_engine.cms.signed import (
    ContentDigests,
    SignerInfo,
    parse_signed_data,
    signer_certificates,
    verify_signer,
)
from smime_engine.cms.signer import SignedAttributes
from smime_engine.crypto.digests import NULL, algorithm_identifier
from smime_engine.crypto.signature_algorithms import DIGESTS, Family, pss_scheme, scheme_for
from smime_engine.crypto.signing import digest as compute_digest
from smime_engine.limits import Limits
from smime_engine.problems import Verdict, verdict_of
from tests import pki
from tests.cms.signers import CONTENT, authority, check_all, credential, problems, signer
from tests.reference import cms_signer as plain
from tests.reference.cms_signer import attribute

NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
ALICE = signer("p256")
SHA256 = DIGESTS["sha256"]
ECDSA = scheme_for(Family.ECDSA, "sha256")

CONTENT_TYPE = attribute(oids.ID_CONTENT_TYPE, oids.ID_DATA.tlv)
MESSAGE_DIGEST = attribute(oids.ID_MESSAGE_DIGEST, core.OctetString(compute_digest(SHA256, CONTENT)))
SIGNING_TIME = attribute(oids.ID_SIGNING_TIME, b"\x17\x0d260601120000Z")


@pytest.fixture(autouse=True, params=["quick first", "careful"])
def way(request, monkeypatch) -> None:
    """Every case runs as it is, and with nothing recognised quickly."""
    if request.param == "careful":
        monkeypatch.setattr(signed_module, "quick_check", lambda *_: None)


def signed(attributes, **options) -> bytes:
    """A message by the plain signer, whose attributes may be anything."""
    options = {"digest": SHA256, "scheme": ECDSA, **options}
    return plain.signed_data(ALICE.key, ALICE.certificate, CONTENT, attributes=attributes, **options)


def with_algorithms(data: bytes, old: bytes, new: bytes) -> bytes:
    """Exchange an algorithm identifier of the same length everywhere."""
    assert len(old) == len(new)
    assert old in data
    return data.replace(old, new)


# ------------------------------------------------------------------------------------------- content and certificate


def test_right() -> None:
    assert problems(signed([CONTENT_TYPE, MESSAGE_DIGEST, SIGNING_TIME]), CONTENT) == set()
    assert problems(signed([CONTENT_TYPE, MESSAGE_DIGEST]), CONTENT) == set()
    assert problems(signed(None), CONTENT) == set()


def test_changed_content() -> None:
    assert problems(ALICE.sign(CONTENT, now=NOW), CONTENT + b" ") == {"DIGEST_MISMATCH"}
    assert problems(signed(None), CONTENT + b" ") == {"SIGNATURE_MISMATCH"}


def test_missing_content() -> None:
    for data in (ALICE.sign(CONTENT, now=NOW), signed(None)):
        assert problems(data) == {"CONTENT_MISSING"}
        (check,) = check_all(data)
        assert verdict_of(check.problems) is Verdict.UNKNOWN
    mldsa = signer("mldsa44", attributes=None).sign(CONTENT, now=NOW)
    assert problems(mldsa) == {"CONTENT_MISSING"}


def test_missing_certificate() -> None:
    data = signer("p256", include_certificates=False).sign(CONTENT, now=NOW)
    assert problems(data, CONTENT) == {"SIGNER_CERTIFICATE_MISSING"}
    assert problems(data, b"other") == {"SIGNER_CERTIFICATE_MISSING", "DIGEST_MISMATCH"}
    body = parse_signed_data(data)
    check = verify_signer(body, body.signers[0], content=CONTENT)
    assert verdict_of(check.problems) is Verdict.UNKNOWN
    with pytest.raises(TypeError):
        bool(check)


def test_another_certificate_of_the_same_name() -> None:
    """A certificate with the signer's issuer and serial number, but another key, does not hide the right one."""
    real = credential("p256")
    forged = authority().issue(
        "Signer p256", kind="p384", serial_number=real.certificate.serial_number, key_identifiers=False
    )
    wrong, right = (Certificate.parse(entry.certificate_der) for entry in (forged, real))
    data = signer("p256", include_certificates=False).sign(CONTENT, now=NOW)
    for pool in ((wrong, right), (right, wrong), (wrong, wrong, right)):
        body = parse_signed_data(data)
        candidates = signer_certificates(body.signers[0], pool)
        assert set(candidates) == {wrong, right}
        check = verify_signer(body, body.signers[0], content=CONTENT, certificate=candidates)
        assert check.findings == ()
        assert check.certificate == right
    assert problems(data, CONTENT, pool=(wrong,)) == {"SIGNATURE_MISMATCH"}
    assert problems(data, b"other", pool=(wrong, right)) == {"DIGEST_MISMATCH"}


def test_the_wrong_certificate() -> None:
    body = parse_signed_data(ALICE.sign(CONTENT, now=NOW))
    for kind, problem in (("rsa2048", "KEY_ALGORITHM_MISMATCH"), ("ed25519", "KEY_ALGORITHM_MISMATCH")):
        other = Certificate.parse(credential(kind).certificate_der)
        check = verify_signer(body, body.signers[0], content=CONTENT, certificate=other)
        assert {found.name for found in check.problems} == {problem}
    same_kind = Certificate.parse(credential("p256", "Another").certificate_der)
    check = verify_signer(body, body.signers[0], content=CONTENT, certificate=same_kind)
    assert {found.name for found in check.problems} == {"SIGNATURE_MISMATCH"}


def test_a_signer_is_found_by_either_identifier() -> None:
    alice = ALICE.certificate
    pool = [Certificate.parse(credential(kind).certificate_der) for kind in ("rsa2048", "ed25519")] + [alice]
    by_serial = parse_signed_data(ALICE.sign(b"", now=NOW)).signers[0]
    by_key = parse_signed_data(signer("p256", by_key_identifier=True).sign(b"", now=NOW)).signers[0]
    assert signer_certificates(by_serial, pool) == signer_certificates(by_key, pool) == (alice,)
    assert signer_certificates(by_serial, pool[:2]) == signer_certificates(by_key, ()) == ()
    named = alice.issuer_and_serial
    assert b"\x0c\x11CA of the signers" in named
    otherwise = named.replace(b"\x0c\x11CA of the signers", b"\x13\x11ca OF the SIGNERS")
    assert signer_certificates(by_serial._replace(issuer_and_serial=otherwise), pool) == (alice,)
    for nonsense in (b"\x30\x00", b"\x30\x02\x05\x00", ber.encode(0x30, b"\x30\x00", b"\x02\x01\x01", b"\x05\x00")):
        assert signer_certificates(by_serial._replace(issuer_and_serial=nonsense), pool) == ()


def test_content_is_digested_once_for_all_signers() -> None:
    digests = ContentDigests(CONTENT)
    first = digests.of(SHA256)
    assert digests.of(SHA256) is first
    body = parse_signed_data(ALICE.sign(CONTENT, now=NOW))
    known = ContentDigests(None, {"sha256": compute_digest(SHA256, CONTENT)})  # the content was streamed past
    check = verify_signer(body, body.signers[0], content=known, certificate=ALICE.certificate)
    assert check.findings == ()
    assert known.of(DIGESTS["sha512"]) is None


# ----------------------------------------------------------------------------------------------- mandatory attributes


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ([], {"CONTENT_TYPE_MISSING", "MESSAGE_DIGEST_MISSING"}),
        ([CONTENT_TYPE], {"MESSAGE_DIGEST_MISSING"}),
        ([MESSAGE_DIGEST], {"CONTENT_TYPE_MISSING"}),
        ([CONTENT_TYPE, MESSAGE_DIGEST, MESSAGE_DIGEST], {"SIGNED_ATTRIBUTES_MALFORMED"}),
        ([CONTENT_TYPE, CONTENT_TYPE, MESSAGE_DIGEST], {"SIGNED_ATTRIBUTES_MALFORMED"}),
        ([CONTENT_TYPE, MESSAGE_DIGEST, SIGNING_TIME, SIGNING_TIME], {"SIGNED_ATTRIBUTES_MALFORMED"}),
        (
            [attribute(oids.ID_CONTENT_TYPE, oids.ID_DATA.tlv, oids.ID_ENVELOPED_DATA.tlv), MESSAGE_DIGEST],
            {"SIGNED_ATTRIBUTES_MALFORMED"},
        ),
        (
            [attribute(oids.ID_CONTENT_TYPE), MESSAGE_DIGEST],
            {"SIGNED_ATTRIBUTES_MALFORMED", "CONTENT_TYPE_MISMATCH"},
        ),
        ([attribute(oids.ID_CONTENT_TYPE, oids.ID_ENVELOPED_DATA.tlv), MESSAGE_DIGEST], {"CONTENT_TYPE_MISMATCH"}),
        ([CONTENT_TYPE, attribute(oids.ID_MESSAGE_DIGEST, b"\x04\x01\x00")], {"DIGEST_MISMATCH"}),
        ([CONTENT_TYPE, attribute(oids.ID_MESSAGE_DIGEST, b"\x05\x00")], {"SIGNED_ATTRIBUTES_MALFORMED"}),
        (
            [CONTENT_TYPE, attribute(oids.ID_MESSAGE_DIGEST)],
            {"SIGNED_ATTRIBUTES_MALFORMED", "MESSAGE_DIGEST_MISSING"},
        ),
        ([CONTENT_TYPE, MESSAGE_DIGEST, attribute(oids.ID_SIGNING_TIME, b"\x05\x00")], {"SIGNING_TIME_MALFORMED"}),
        (
            [CONTENT_TYPE, MESSAGE_DIGEST, attribute(oids.SMIME_CAPABILITIES, b"\x30\x00", b"\x30\x02\x05\x00")],
            {"SIGNED_ATTRIBUTES_MALFORMED"},
        ),
        ([CONTENT_TYPE, MESSAGE_DIGEST, attribute("1.2.3.4", b"\x05\x00", b"\x02\x01\x01")], set()),
        ([CONTENT_TYPE, MESSAGE_DIGEST, attribute("1.2.3.4"), attribute("1.2.3.4", b"\x05\x00")], set()),
    ],
)
def test_rules_about_attributes(attributes, expected) -> None:
    assert problems(signed(attributes), CONTENT) == expected


def test_attributes_that_are_none() -> None:
    for nonsense in (b"\x05\x00", b"\x30\x00", b"\x30\x03\x06\x01\x2a", b"\x30\x80"):
        data = _with_attributes_field(signed([CONTENT_TYPE, MESSAGE_DIGEST]), ber.encode(0xA0, nonsense))
        assert problems(data, CONTENT) == {"SIGNED_ATTRIBUTES_MALFORMED"}


def _with_attributes_field(data: bytes, field: bytes) -> bytes:
    """Exchange the signed attributes of the only signer, whatever that does to the signature."""
    from smime_engine.cms.signed_data_writer import encode_signed_data

    body = parse_signed_data(data)
    (info,) = body.signers
    assert info.issuer_and_serial is not None
    changed = ber.encode(
        0x30, b"\x02\x01\x01", info.issuer_and_serial, info.digest_algorithm, field, info.signature_algorithm,
        ber.encode(0x04, info.signature),
    )  # fmt: skip
    return encode_signed_data([changed], body.digest_algorithms, body.certificates)


def test_too_many_attributes() -> None:
    many = [attribute(f"1.2.3.{number}", b"\x05\x00") for number in range(20)]
    body = parse_signed_data(signed([CONTENT_TYPE, MESSAGE_DIGEST, *many]))
    for allowed, expected in ((22, set()), (21, {"SIGNED_ATTRIBUTES_MALFORMED"})):
        limits = Limits(attributes=allowed)
        check = verify_signer(body, body.signers[0], content=CONTENT, certificate=ALICE.certificate, limits=limits)
        assert {found.name for found in check.problems} == expected


def test_attributes_that_der_would_sort_otherwise() -> None:
    """Signed as they stand, or signed sorted: both happen; told, and harmless."""
    unsorted = [MESSAGE_DIGEST, SIGNING_TIME, CONTENT_TYPE]
    as_they_stand = signed(unsorted, sort=False)
    assert problems(as_they_stand, CONTENT) == {"SIGNED_ATTRIBUTES_NOT_DER"}
    in_order = signed(unsorted, sort=False, signed_bytes=ber.encode_set(0x31, unsorted))
    assert problems(in_order, CONTENT) == {"SIGNED_ATTRIBUTES_NOT_DER"}
    (check,) = check_all(in_order, CONTENT)
    assert verdict_of(check.problems) is Verdict.VALID
    neither = signed(unsorted, sort=False, signed_bytes=b"something else")
    assert problems(neither, CONTENT) == {"SIGNED_ATTRIBUTES_NOT_DER", "SIGNATURE_MISMATCH"}


def test_attributes_in_ber() -> None:
    """A writer that streams its attributes signs their DER form (RFC 5652 section 5.4)."""
    attributes = sorted([CONTENT_TYPE, MESSAGE_DIGEST])
    data = signed(attributes)
    field = b"\xa0\x80" + b"".join(attributes) + b"\0\0"
    assert problems(_with_attributes_field(data, field), CONTENT) == set()


# ------------------------------------------------------------------------------------------------ algorithm protection


def protection(digest: bytes, signature: bytes, tag: bytes = b"\xa1") -> bytes:
    return attribute(oids.ID_AA_CMS_ALGORITHM_PROTECTION, ber.encode(0x30, digest, tag + signature[1:]))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (protection(SHA256.identifier, ECDSA.identifier), set()),
        # absent and NULL parameters are the same algorithm
        (protection(algorithm_identifier(oids.ID_SHA256, NULL), ECDSA.identifier), set()),
        (protection(DIGESTS["sha512"].identifier, ECDSA.identifier), {"ALGORITHM_PROTECTION_MISMATCH"}),
        (
            protection(SHA256.identifier, scheme_for(Family.ECDSA, "sha384").identifier),
            {"ALGORITHM_PROTECTION_MISMATCH"},
        ),
        (protection(algorithm_identifier("1.2.3"), ECDSA.identifier), {"ALGORITHM_PROTECTION_MISMATCH"}),
        (protection(SHA256.identifier, ECDSA.identifier, b"\xa2"), {"ALGORITHM_PROTECTION_MISMATCH"}),
        (attribute(oids.ID_AA_CMS_ALGORITHM_PROTECTION, b"\x30\x00"), {"ALGORITHM_PROTECTION_MISMATCH"}),
        (attribute(oids.ID_AA_CMS_ALGORITHM_PROTECTION, b"\x05\x00"), {"ALGORITHM_PROTECTION_MISMATCH"}),
    ],
)
def test_algorithm_protection(value, expected) -> None:
    assert problems(signed([CONTENT_TYPE, MESSAGE_DIGEST, value]), CONTENT) == expected


# ------------------------------------------------------------------------------------------------ signing certificate


def reference(certificate: Certificate, digest: str, *, issuer: bytes | None = None, version_2: bool = True) -> bytes:
    algorithm = b"" if digest == "sha256" or not version_2 else DIGESTS[digest].identifier
    parts = [algorithm, ber.encode(0x04, compute_digest(DIGESTS[digest], certificate.der)), issuer or b""]
    oid = oids.ID_AA_SIGNING_CERTIFICATE_V2 if version_2 else oids.ID_AA_SIGNING_CERTIFICATE
    return attribute(oid, ber.encode(0x30, ber.encode(0x30, ber.encode(0x30, *parts))))


def test_signing_certificate() -> None:
    alice, other = ALICE.certificate, signer("rsa2048").certificate
    usual = [CONTENT_TYPE, MESSAGE_DIGEST]
    serial = alice.issuer_and_serial
    names_start = ber.children(serial, *ber.content(serial, 0, len(serial), 0x30, expected="")[:2])
    name, number = (serial[first:last] for _, first, _, last in names_start)
    right = ber.encode(0x30, ber.encode(0x30, ber.encode(0xA4, name)), number)
    recoded = ber.encode(0x30, ber.encode(0x30, ber.encode(0xA4, name.replace(b"\x0c\x11CA", b"\x13\x11ca"))), number)
    wrong_number = ber.encode(0x30, ber.encode(0x30, ber.encode(0xA4, name)), b"\x02\x01\x07")
    wrong_name = ber.encode(0x30, ber.encode(0x30, ber.encode(0xA4, b"\x30\x00")), number)
    for version_2, digest in ((True, "sha256"), (True, "sha512"), (True, "sha1"), (False, "sha1")):
        for issuer in (None, right, recoded):
            value = reference(alice, digest, issuer=issuer, version_2=version_2)
            assert problems(signed([*usual, value]), CONTENT) == set()
        for issuer in (wrong_number, wrong_name):
            value = reference(alice, digest, issuer=issuer, version_2=version_2)
            assert problems(signed([*usual, value]), CONTENT) == {"SIGNING_CERTIFICATE_MISMATCH"}
        value = reference(other, digest, version_2=version_2)
        assert problems(signed([*usual, value]), CONTENT) == {"SIGNING_CERTIFICATE_MISMATCH"}
    for nonsense in (b"\x30\x00", b"\x30\x02\x30\x00", b"\x05\x00", b"\x30\x04\x30\x02\x30\x00"):
        value = attribute(oids.ID_AA_SIGNING_CERTIFICATE_V2, nonsense)
        assert problems(signed([*usual, value]), CONTENT) == {"SIGNED_ATTRIBUTES_MALFORMED"}
    unknown = ber.encode(0x30, algorithm_identifier("1.2.3"), b"\x04\x01\x00")
    value = attribute(oids.ID_AA_SIGNING_CERTIFICATE_V2, ber.encode(0x30, ber.encode(0x30, unknown)))
    assert problems(signed([*usual, value]), CONTENT) == {"UNSUPPORTED_DIGEST"}


# ---------------------------------------------------------------------------------------------------------- algorithms


def test_weak_algorithms() -> None:
    rsa = signer("rsa2048")
    for name in ("md5", "sha1"):
        from dataclasses import replace

        scheme = replace(scheme_for(Family.RSA, "sha256"), digest=DIGESTS[name])
        digest = attribute(oids.ID_MESSAGE_DIGEST, core.OctetString(compute_digest(DIGESTS[name], CONTENT)))
        for attributes in (None, [CONTENT_TYPE, digest]):
            data = plain.signed_data(
                rsa.key, rsa.certificate, CONTENT, digest=DIGESTS[name], scheme=scheme, attributes=attributes
            )
            assert problems(data, CONTENT) == {"WEAK_DIGEST"}
            (check,) = check_all(data, CONTENT)
            assert check.findings[0].detail == check.digest == name
    small = signer("rsa1024").sign(CONTENT, now=NOW)
    assert problems(small, CONTENT) == {"WEAK_KEY"}


def test_unknown_algorithms_are_named() -> None:
    data = ALICE.sign(CONTENT, now=NOW)
    nobodys = oids.Oid("2.16.840.1.101.3.4.2.99", "nobody's").tlv
    for old, new, problem, oid in (
        (oids.ID_SHA256.tlv, nobodys, "UNSUPPORTED_DIGEST", "2.16.840.1.101.3.4.2.99"),
        (
            oids.ECDSA_WITH_SHA256.tlv,
            oids.Oid("1.2.840.10045.4.3.99", "").tlv,
            "UNSUPPORTED_SIGNATURE_ALGORITHM",
            "1.2.840.10045.4.3.99",
        ),
    ):
        body = parse_signed_data(with_algorithms(data, old, new))
        check = verify_signer(body, body.signers[0], content=CONTENT, certificate=ALICE.certificate)
        finding = next(found for found in check.findings if found.problem.name == problem)
        assert finding.detail == oid
        assert oid in {check.digest, check.algorithm}


def test_content_and_signature_digested_differently() -> None:
    """RFC 8933 forbids it; some writers do it, and no forger gains by it."""
    digest = attribute(oids.ID_MESSAGE_DIGEST, core.OctetString(compute_digest(DIGESTS["sha512"], CONTENT)))
    data = signed([CONTENT_TYPE, digest], digest=DIGESTS["sha512"])
    assert problems(data, CONTENT) == {"DIGEST_ALGORITHMS_DIFFER"}
    weak = attribute(oids.ID_MESSAGE_DIGEST, core.OctetString(compute_digest(DIGESTS["sha1"], CONTENT)))
    data = signed([CONTENT_TYPE, weak], digest=DIGESTS["sha1"])
    assert problems(data, CONTENT) == {"DIGEST_ALGORITHMS_DIFFER", "WEAK_DIGEST"}


def test_pss_with_its_own_salt_and_mask() -> None:
    rsa = signer("rsa2048")
    scheme = pss_scheme(SHA256, mask_digest=DIGESTS["sha512"], salt_length=11)
    data = plain.signed_data(
        rsa.key, rsa.certificate, CONTENT, digest=SHA256, scheme=scheme, attributes=[CONTENT_TYPE, MESSAGE_DIGEST]
    )
    assert problems(data, CONTENT) == set()


def test_a_key_that_cannot_be_read() -> None:
    body = parse_signed_data(ALICE.sign(CONTENT, now=NOW))
    der = ALICE.certificate.der.replace(oids.SECP256R1.tlv, oids.Oid("1.2.840.10045.3.1.99", "").tlv)
    check = verify_signer(body, body.signers[0], content=CONTENT, certificate=Certificate.parse(der))
    assert {found.name for found in check.problems} == {"UNSUPPORTED_KEY"}


# -------------------------------------------------------------------------------------------------------------- attacks


def test_signed_attributes_presented_as_content() -> None:
    """Take a signed message, throw its attributes away and show them as the content: the signature fits."""
    info = parse_signed_data(ALICE.sign(CONTENT, now=NOW)).signers[0]
    assert info.signed_attributes is not None
    content = b"\x31" + info.signed_attributes[1:]
    stripped: SignerInfo = info._replace(signed_attributes=None)
    body = parse_signed_data(ALICE.sign(CONTENT, now=NOW))
    check = verify_signer(body, stripped, content=content, certificate=ALICE.certificate)
    assert {found.name for found in check.problems} == {"ATTRIBUTES_AS_CONTENT"}
    # Content that merely begins like a SET is nobody's attributes.
    innocent = signer("p256", attributes=None).sign(b"1 apple, 2 pears", now=NOW)
    assert problems(innocent, b"1 apple, 2 pears") == set()


def test_the_content_type_is_bound() -> None:
    """An attacker who relabels the content is noticed by the signed content type."""
    data = ALICE.sign(CONTENT, now=NOW, detached=False)
    encapsulated = oids.ID_DATA.tlv + b"\xa0"
    relabelled = data.replace(encapsulated, oids.ID_ENVELOPED_DATA.tlv + b"\xa0")
    assert relabelled != data
    assert problems(relabelled) == {"CONTENT_TYPE_MISMATCH"}


def test_every_changed_octet_is_noticed_or_harmless() -> None:
    """With the signer's certificate given, no change makes another content valid."""
    ours = signer("p256", include_certificates=False, attributes=SignedAttributes(signing_certificate=True))
    content = b"pay 10 euro"
    data = ours.sign(content, now=NOW, detached=False)
    from smime_engine.errors import MalformedMessage

    for position in range(len(data)):
        for bit in (1, 0x80, 0x20):
            changed = data[:position] + bytes((data[position] ^ bit,)) + data[position + 1 :]
            try:
                body = parse_signed_data(changed)
            except MalformedMessage:
                continue
            for info in body.signers:
                check = verify_signer(body, info, certificate=ours.certificate)
                if verdict_of(check.problems) is Verdict.VALID:
                    assert body.content is not None
                    assert bytes(body.content) == content
                    assert body.content_type == oids.ID_DATA


# ----------------------------------------------------------------------------------------------- unsigned attributes


def test_unsigned_attributes() -> None:
    body = parse_signed_data(ALICE.sign(CONTENT, now=NOW))
    for field, expected in (
        (ber.encode(0xA1, attribute("1.2.3", b"\x05\x00")), set()),
        (ber.encode(0xA1, SIGNING_TIME), {"UNSIGNED_ATTRIBUTES_MALFORMED"}),  # RFC 5652 section 11.3
        (ber.encode(0xA1, b"\x05\x00"), {"UNSIGNED_ATTRIBUTES_MALFORMED"}),
    ):
        info = body.signers[0]._replace(unsigned_attributes=field)
        check = verify_signer(body, info, content=CONTENT, certificate=ALICE.certificate)
        assert {found.name for found in check.problems} == expected


def test_dsa_is_weak_but_verified() -> None:
    """DSA has no writer here; pyca signs."""
    from cryptography.hazmat.primitives import hashes

    native = pki.new_key("dsa2048")
    holder = authority().issue("Old", "old@example.org", kind="dsa2048", key=native)
    certificate = Certificate.parse(holder.certificate_der)

    class DsaKey:
        public_key_info = certificate.public_key_info

        def sign(self, data, scheme):
            return native.sign(data, hashes.SHA256())

    scheme = plain_scheme("dsa")
    data = plain.signed_data(
        DsaKey(), certificate, CONTENT, digest=SHA256, scheme=scheme, attributes=[CONTENT_TYPE, MESSAGE_DIGEST]
    )
    assert problems(data, CONTENT) == {"WEAK_SIGNATURE_ALGORITHM"}
    assert problems(data, b"other") == {"WEAK_SIGNATURE_ALGORITHM", "DIGEST_MISMATCH"}


def plain_scheme(name: str):
    from smime_engine.crypto.signature_algorithms import signature_scheme

    assert name == "dsa"
    return signature_scheme(algorithm_identifier(oids.ID_DSA_WITH_SHA256))
