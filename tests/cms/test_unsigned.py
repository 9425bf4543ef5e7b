"""Countersignatures and time stamps, ours and OpenSSL's."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from asn1crypto import cms as asn1_cms
from asn1crypto import tsp
from hypothesis import given
from hypothesis import strategies as st

from smime_engine.asn1 import ber, oids
from smime_engine.certificate import Certificate
from smime_engine.cms.several_signers import sign_with
from smime_engine.cms.signed import parse_signed_data, signer_certificates
from smime_engine.cms.signer import SignedAttributes
from smime_engine.cms.timestamp import (
    TimestampCheck,
    timestamp_request,
    timestamp_token,
    timestamp_tokens,
    verify_timestamp,
)
from smime_engine.cms.unsigned import (
    add_unsigned_attributes,
    countersign,
    countersignatures,
    unsigned_values,
    verify_countersignature,
)
from smime_engine.errors import LimitExceeded, MalformedMessage
from smime_engine.limits import Limits
from tests.cms import stamping
from tests.cms.signers import CONTENT, KINDS, authority, problems, signer
from tests.cms.stamping import token, token_info
from tests.reference.cms_signer import attribute

NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)


def _names(check) -> set[str]:
    return {problem.name for problem in check.problems}


# -------------------------------------------------------------------------------------------------- countersignatures


def _countersigned(data: bytes, index: int = 0):
    """The signer, its countersignatures and the certificates of the message."""
    signed = parse_signed_data(data)
    info = signed.signers[index]
    return info, countersignatures(info), [Certificate.parse(der) for der in signed.certificates]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("attributes", [SignedAttributes(), None])
def test_countersignatures_of_every_kind(kind: str, attributes) -> None:
    data = countersign(signer("p256").sign(CONTENT, now=NOW), [signer(kind, attributes=attributes)], now=NOW)
    assert problems(data, CONTENT) == set()
    info, (counter,), pool = _countersigned(data)
    check = verify_countersignature(info, counter, certificate=signer_certificates(counter, pool))
    assert check.findings == ()
    assert check.certificate == signer(kind).certificate
    assert check.signing_time == (None if attributes is None else NOW)
    other = info._replace(signature=info.signature[:-1] + bytes([info.signature[-1] ^ 1]))
    expected = {"SIGNATURE_MISMATCH"} if attributes is None else {"DIGEST_MISMATCH"}
    wrong = verify_countersignature(other, counter, certificate=signer_certificates(counter, pool))
    assert _names(wrong) == expected
    assert _names(verify_countersignature(info, counter)) == {"SIGNER_CERTIFICATE_MISSING"}


def test_several_countersignatures_and_asn1crypto_reads_them() -> None:
    data = sign_with([signer("p256"), signer("rsa2048")], CONTENT, now=NOW, detached=False)
    data = countersign(data, [signer("ed25519"), signer("p384")], now=NOW, index=1)
    data = countersign(data, [signer("p521")], now=NOW, index=1)
    assert problems(data) == set()
    counted = [len(countersignatures(info)) for info in parse_signed_data(data).signers]
    assert sorted(counted) == [0, 3]
    body = asn1_cms.ContentInfo.load(data, strict=True)["content"]
    (info,) = [info for info in body["signer_infos"] if info["unsigned_attrs"]]
    types = [entry["type"].native for entry in info["unsigned_attrs"]]
    assert types == ["counter_signature"] * 3


def test_a_countersignature_of_a_countersignature() -> None:
    info, (counter,), _ = _countersigned(countersign(signer("p256").sign(b"", now=NOW), [signer("p384")], now=NOW))
    above = signer("ed25519").signer_info_of(counter.signature, now=NOW, content_type=None)
    nested = counter._replace(
        unsigned_attributes=ber.encode(0xA1, attribute(oids.ID_COUNTERSIGNATURE, above)),
    )
    (upper,) = countersignatures(nested)
    assert verify_countersignature(nested, upper, certificate=signer("ed25519").certificate).findings == ()
    assert verify_countersignature(info, upper, certificate=signer("ed25519").certificate).findings != ()


def test_a_countersignature_has_no_content_type() -> None:
    info = parse_signed_data(signer("p256").sign(CONTENT, now=NOW)).signers[0]
    with_type = signer("p384").signer_info_of(info.signature, now=NOW)
    data = add_unsigned_attributes(signer("p256").sign(CONTENT, now=NOW), [(oids.ID_COUNTERSIGNATURE, with_type)])
    _, (counter,), _ = _countersigned(data)
    check = verify_countersignature(info, counter, certificate=signer("p384").certificate)
    assert _names(check) == {"SIGNED_ATTRIBUTES_MALFORMED"}


def test_unsigned_attributes_are_added_to_what_is_there() -> None:
    data = signer("p256").sign(CONTENT, now=NOW, detached=False)
    first = oids.Oid("1.2.3.4", "first")
    for number in range(3):
        data = add_unsigned_attributes(data, [(first, ber.encode(0x02, bytes((number,))))])
    assert problems(data) == set()
    (info,) = parse_signed_data(data).signers
    assert sorted(unsigned_values(info, first)) == [b"\x02\x01\x00", b"\x02\x01\x01", b"\x02\x01\x02"]
    assert unsigned_values(info, oids.ID_COUNTERSIGNATURE) == ()
    with pytest.raises(IndexError):
        add_unsigned_attributes(data, [], index=1)
    with pytest.raises(MalformedMessage):
        add_unsigned_attributes(b"\x30\x00", [])


def test_malformed_countersignatures() -> None:
    info = parse_signed_data(signer("p256").sign(CONTENT, now=NOW)).signers[0]
    for value in (b"\x05\x00", b"\x30\x00", b"\x30\x02\x05\x00"):
        field = ber.encode(0xA1, attribute(oids.ID_COUNTERSIGNATURE, value))
        with pytest.raises(MalformedMessage):
            countersignatures(info._replace(unsigned_attributes=field))
    field = ber.encode(0xA1, *[attribute(oids.ID_COUNTERSIGNATURE, b"\x30\x00")] * 5)
    with pytest.raises(LimitExceeded):
        countersignatures(info._replace(unsigned_attributes=field), limits=Limits(signers=4))


# ---------------------------------------------------------------------------------------------------------- time stamps


@pytest.fixture(scope="module")
def stamping_authority():
    return stamping.stamping_authority(authority())


@pytest.fixture
def stamp(openssl, tmp_path, stamping_authority):
    """Ask OpenSSL's authority: request -> response."""
    stamping_authority.write(tmp_path, "tsa")
    (tmp_path / "serial").write_text("01\n")
    (tmp_path / "ts.cnf").write_text(
        "[tsa]\ndefault_tsa = stamping\n[stamping]\n"
        f"serial = {tmp_path}/serial\ncrypto_device = builtin\nsigner_cert = {tmp_path}/tsa.crt\n"
        f"signer_key = {tmp_path}/tsa.key\ncerts = {tmp_path}/tsa.chain\nsigner_digest = sha256\n"
        "default_policy = 1.2.3.4.1\ndigests = sha1, sha256, sha512\naccuracy = secs:1, millisecs:500, microsecs:100\n"
        "ordering = yes\ntsa_name = yes\ness_cert_id_chain = no\ness_cert_id_alg = sha256\n"
    )

    def respond(request: bytes) -> bytes:
        (tmp_path / "request").write_bytes(request)
        openssl(
            "ts", "-reply", "-config", tmp_path / "ts.cnf", "-queryfile", tmp_path / "request", "-out",
            tmp_path / "response",
        )  # fmt: skip
        return (tmp_path / "response").read_bytes()

    return respond


@pytest.mark.openssl
@pytest.mark.parametrize("digest", ["sha256", "sha512"])
def test_time_stamps_of_openssl(stamp, stamping_authority, digest: str) -> None:
    data = signer("p256").sign(CONTENT, now=NOW)
    signature = parse_signed_data(data).signers[0].signature
    request = timestamp_request(signature, digest=digest, nonce=0x1234567890ABCDEF1234)
    assert tsp.TimeStampReq.load(request, strict=True)["nonce"].native == 0x1234567890ABCDEF1234
    token = timestamp_token(stamp(request), nonce=0x1234567890ABCDEF1234)
    stamped = add_unsigned_attributes(data, [(oids.ID_AA_TIME_STAMP_TOKEN, token)])
    assert problems(stamped, CONTENT) == set()
    (info,) = parse_signed_data(stamped).signers
    assert timestamp_tokens(info) == (token,)
    check = verify_timestamp(info.signature, token)
    assert check.findings == ()
    assert check.moment is not None
    assert abs(check.moment - datetime.now(UTC)) < timedelta(minutes=5)
    assert check.accuracy == timedelta(seconds=1, milliseconds=500, microseconds=100)
    assert (check.policy, check.serial_number > 0) == ("1.2.3.4.1", True)
    assert check.signer is not None
    assert check.signer.certificate == Certificate.parse(stamping_authority.certificate_der)
    assert len(check.certificates) == 2
    assert _names(verify_timestamp(b"another signature", token)) == {"TIMESTAMP_MISMATCH"}
    with pytest.raises(MalformedMessage, match="nonce"):
        timestamp_token(stamp(timestamp_request(signature)), nonce=7)


@pytest.mark.openssl
def test_a_refused_request(stamp) -> None:
    with pytest.raises(MalformedMessage, match="grants"):
        timestamp_token(stamp(timestamp_request(b"signature", digest="sha384")))


def test_rules_about_time_stamps(stamping_authority) -> None:
    right = verify_timestamp(b"s", token(token_info(b"s"), stamping_authority))
    assert right.findings == ()
    assert right.moment == datetime(2026, 6, 1, 12, 0, 0, 123_000, tzinfo=UTC)
    assert (right.accuracy, right.serial_number, right.policy) == (None, 42, "1.2.3")
    assert _names(verify_timestamp(b"t", token(token_info(b"s"), stamping_authority))) == {"TIMESTAMP_MISMATCH"}
    weak = token(token_info(b"s", digest="sha1"), stamping_authority)
    assert _names(verify_timestamp(b"s", weak)) == {"WEAK_DIGEST"}
    unbound = token(token_info(b"s"), stamping_authority, reference=False)
    assert _names(verify_timestamp(b"s", unbound)) == {"TIMESTAMP_MALFORMED"}
    ordinary = authority().issue("Not stamping", "x@example.org", kind="rsa2048")
    assert _names(verify_timestamp(b"s", token(token_info(b"s"), ordinary))) == {"EXTENDED_KEY_USAGE_UNFIT"}
    for wrong in (
        token(token_info(b"s"), stamping_authority, content_type=oids.ID_DATA),
        token(token_info(b"s", time=b"\x17\x0d260601120000Z"), stamping_authority),
        token(token_info(b"s", imprint=b"\x30\x00"), stamping_authority),
        token(token_info(b"s", more=b"\x30\x03\x82\x01\x00"), stamping_authority),
        token(b"", stamping_authority),
        b"",
        b"\x30\x00",
    ):
        check = verify_timestamp(b"s", wrong)
        assert _names(check) == {"TIMESTAMP_MALFORMED"}
        assert check.moment is None


@given(st.data())
def test_changed_tokens_never_raise(stamping_authority, choice) -> None:
    changed = bytearray(token(token_info(b"s"), stamping_authority))
    changed[choice.draw(st.integers(0, len(changed) - 1))] = choice.draw(st.integers(0, 255))
    check = verify_timestamp(b"s", bytes(changed))
    assert isinstance(check, TimestampCheck)


@given(st.binary(max_size=60))
def test_any_octets_are_a_response_or_refused(data: bytes) -> None:
    for response in (data, ber.encode(0x30, b"\x30\x03\x02\x01\x00", data)):
        try:
            timestamp_token(response, nonce=1)
        except MalformedMessage:
            continue
