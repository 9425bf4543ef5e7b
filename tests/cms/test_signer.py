"""What `CmsSigner` writes: equal to the plain version, readable by asn1crypto, right under every option."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta, timezone

import pytest
from asn1crypto import cms as asn1_cms
from hypothesis import given
from hypothesis import strategies as st

from smime_engine.asn1 import ber, oids
from smime_engine.certificate import Certificate
from smime_engine.cms.attributes import decode_time, encode_time
from smime_engine.cms.several_signers import add_signers, sign_with
from smime_engine.cms.signed import parse_signed_data, verify_signer
from smime_engine.cms.signed_data_writer import certificates_only, encode_signed_data
from smime_engine.cms.signer import CmsSigner, SignedAttributes
from smime_engine.crypto.signature_algorithms import DIGESTS
from smime_engine.errors import InvalidKey, LimitExceeded, MalformedMessage, UnsupportedAlgorithm
from smime_engine.keys import InMemoryKey
from smime_engine.limits import Limits
from tests import pki
from tests.cms.signers import CONTENT, KINDS, authority, check_all, credential, problems, signer
from tests.reference import cms_signer as plain

NOW = datetime(2026, 6, 1, 12, 0, 0, tzinfo=UTC)
CAPABILITIES = ber.encode(0x30, ber.encode(0x30, oids.ID_AES256_CBC.tlv))

moments = st.datetimes(datetime(1900, 1, 1), datetime(9999, 1, 1)).map(lambda moment: moment.replace(tzinfo=UTC))  # noqa: DTZ001


@pytest.mark.parametrize("kind", ["rsa2048", "ed25519"])  # whose signatures are deterministic
@given(content=st.binary(max_size=400), now=moments, detached=st.booleans())
def test_equal_to_the_plain_version(kind: str, content: bytes, now: datetime, detached: bool) -> None:
    ours = signer(kind)
    expected = plain.signed_data(
        ours.key,
        ours.certificate,
        content,
        digest=ours.digest,
        scheme=ours.scheme,
        attributes=plain.usual_attributes(content, digest=ours.digest, scheme=ours.scheme, now=now),
        chain=[Certificate.parse(der) for der in ours.certificates[1:]],
        detached=detached,
    )
    assert ours.sign(content, now=now, detached=detached) == expected


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_key(kind: str) -> None:
    ours = signer(kind)
    for _ in range(4):  # several, so that precomputed frames of every length of signature are met
        for detached in (True, False):
            data = ours.sign(CONTENT, now=NOW, detached=detached)
            assert problems(data, CONTENT if detached else None) == set()
            assert asn1_cms.ContentInfo.load(data, strict=True)["content"]["signer_infos"][0]["signature"].native
    (check,) = check_all(data)
    assert check.signing_time == NOW
    assert check.digest == ours.digest.name
    assert check.algorithm == ours.scheme.family.value
    assert check.certificate == ours.certificate


@pytest.mark.parametrize("kind", KINDS)
def test_without_signed_attributes(kind: str) -> None:
    ours = signer(kind, attributes=None)
    for detached in (True, False):
        data = ours.sign(CONTENT, now=NOW, detached=detached)
        assert problems(data, CONTENT if detached else None) == set()
        assert "SIGNATURE_MISMATCH" in problems(data, CONTENT + b"!")
        assert parse_signed_data(data).signers[0].signed_attributes is None


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("digest", DIGESTS)
def test_every_digest_of_every_kind(kind: str, digest: str) -> None:
    try:
        ours = signer(kind, digest=digest)
    except UnsupportedAlgorithm:
        assert digest in {"md5", "sha1", "sha512-256"} or digest.startswith("shake") or kind.startswith(("ed", "mldsa"))
        return
    assert problems(ours.sign(CONTENT, now=NOW), CONTENT) == set()
    assert ours.micalg == DIGESTS[digest].micalg


@pytest.mark.parametrize("digest", ["", "sha256", "sha384", "sha512", "sha3-256"])
def test_pss(digest: str) -> None:
    ours = signer("rsa2048", digest=digest, pss=True)
    data = ours.sign(CONTENT, now=NOW, detached=False)
    assert problems(data) == set()
    algorithm = asn1_cms.ContentInfo.load(data)["content"]["signer_infos"][0]["signature_algorithm"]
    assert algorithm["algorithm"].native == "rsassa_pss"
    assert algorithm["parameters"]["salt_length"].native == DIGESTS[digest or "sha256"].size
    with pytest.raises(UnsupportedAlgorithm):
        signer("p256", pss=True)


options = st.builds(
    SignedAttributes,
    signing_time=st.booleans(),
    algorithm_protection=st.booleans(),
    signing_certificate=st.booleans(),
    capabilities=st.sampled_from([b"", CAPABILITIES, ber.encode(0x30, CAPABILITIES[2:] * 20)]),
    encryption_certificate=st.sampled_from([None, Certificate.parse(credential("rsa2048").certificate_der)]),
    further=st.lists(
        st.tuples(
            st.sampled_from([oids.ID_AA_RECEIPT_REQUEST, oids.ID_AA_CONTENT_HINT, oids.Oid("1.2.3.4", "x")]),
            st.binary(max_size=200).map(lambda data: ber.encode(0x04, data)),
        ),
        max_size=3,
        unique_by=lambda pair: pair[0],
    ).map(tuple),
)


@given(
    attributes=st.none() | options,
    digest=st.sampled_from(["sha256", "sha384", "sha512", "sha224", "sha3-512"]),
    by_key_identifier=st.booleans(),
    include_certificates=st.booleans(),
    detached=st.booleans(),
    content=st.binary(max_size=300),
    now=moments,
)
def test_every_option_and_asn1crypto_finds_the_same(
    attributes, digest, by_key_identifier, include_certificates, detached, content, now
) -> None:
    ours = signer(
        "p256",
        attributes=attributes,
        digest=digest,
        by_key_identifier=by_key_identifier,
        include_certificates=include_certificates,
    )
    for data in (
        ours.sign(content, now=now, detached=detached),
        ours.sign(content, now=now, detached=detached),  # the second one is joined from the memo
    ):
        assert problems(data, content if detached else None, pool=(ours.certificate,)) == set()
        body = asn1_cms.ContentInfo.load(data, strict=True)["content"]
        assert body["encap_content_info"]["content"].native == (None if detached else content)
        (info,) = body["signer_infos"]
        assert info["sid"].name == ("subject_key_identifier" if by_key_identifier else "issuer_and_serial_number")
        assert body["version"].native == info["version"].native == ("v3" if by_key_identifier else "v1")
        assert len(body["certificates"] or ()) == (2 if include_certificates else 0)
        found = {entry["type"].dotted: entry["values"] for entry in info["signed_attrs"] or ()}
        assert bool(found) == (attributes is not None)
        if attributes is None:
            continue
        assert found[oids.ID_MESSAGE_DIGEST][0].native == hashlib.new(digest.replace("-", "_"), content).digest()
        assert (oids.ID_SIGNING_TIME in found) == attributes.signing_time
        if attributes.signing_time:
            assert found[oids.ID_SIGNING_TIME][0].native == now.replace(microsecond=0)
        encoded = [entry.dump() for entry in info["signed_attrs"]]
        assert encoded == sorted(encoded)
        for oid, value in attributes.further:
            assert found[oid][0].dump() == value
        assert (oids.ID_AA_SIGNING_CERTIFICATE_V2 in found) == attributes.signing_certificate
        (check,) = check_all(data, content, pool=(ours.certificate,))
        assert check.capabilities == (attributes.capabilities or None)
        preferred = attributes.encryption_certificate
        assert check.encryption_key_preference == (
            None if preferred is None else b"\xa0" + preferred.issuer_and_serial[1:]
        )
        if preferred is not None:
            assert check.value_of(oids.MICROSOFT_ENCRYPTION_KEY_PREFERENCE) == preferred.issuer_and_serial


@given(content=st.binary(max_size=100_000), now=moments)
def test_content_that_was_digested_elsewhere(content: bytes, now: datetime) -> None:
    ours = signer("rsa2048")
    digest = hashlib.sha256(content).digest()
    assert ours.sign_digest(digest, now=now) == ours.sign(content, now=now)
    head, tail = ours.sign_around(digest, len(content), now=now)
    assert head + content + tail == ours.sign(memoryview(content), now=now, detached=False)
    with pytest.raises(ValueError, match="32 octets"):
        ours.sign_digest(digest[1:], now=now)


def test_keys_that_need_the_content_itself() -> None:
    """Without signed attributes, Ed25519 signs the content and not its digest."""
    with pytest.raises(UnsupportedAlgorithm):
        signer("ed25519", attributes=None).sign_digest(bytes(64), now=NOW)
    assert problems(signer("ed25519").sign_digest(hashlib.sha512(CONTENT).digest(), now=NOW), CONTENT) == set()


@pytest.mark.parametrize("content_type", [oids.ID_ENVELOPED_DATA, oids.ID_CT_TST_INFO])
def test_other_content_types(content_type: oids.Oid) -> None:
    data = signer("p256").sign(CONTENT, now=NOW, detached=False, content_type=content_type)
    signed = parse_signed_data(data)
    assert (signed.version, signed.content_type) == (3, content_type)
    assert problems(data) == set()
    bare = signer("p256", attributes=None).sign(CONTENT, now=NOW, detached=False, content_type=content_type)
    assert problems(bare) == {"SIGNED_ATTRIBUTES_MISSING"}


# --------------------------------------------------------------------------------------------------- several signers


def test_several_signers_side_by_side() -> None:
    signers = [signer(kind) for kind in KINDS] + [signer("rsa2048", "Other", by_key_identifier=True, digest="sha512")]
    for detached in (True, False):
        data = sign_with(signers, CONTENT, now=NOW, detached=detached)
        checks = check_all(data, CONTENT if detached else None)
        assert len(checks) == len(signers)
        assert all(check.findings == () for check in checks)
        assert {check.certificate for check in checks} == {entry.certificate for entry in signers}
        body = asn1_cms.ContentInfo.load(data, strict=True)["content"]
        assert body["version"].native == "v3"
        for field in ("digest_algorithms", "certificates", "signer_infos"):
            encoded = [entry.dump() for entry in body[field]]
            assert encoded == sorted(set(encoded))


@pytest.mark.parametrize("detached", [True, False])
def test_a_signer_is_added(detached: bool) -> None:
    first = signer("rsa2048").sign(CONTENT, now=NOW, detached=detached)
    second = add_signers(first, [signer("p256")], now=NOW, content=CONTENT if detached else None)
    third = add_signers(second, [signer("ed25519"), signer("p384")], now=NOW, content=CONTENT if detached else None)
    assert len(check_all(third, CONTENT if detached else None)) == 4
    assert problems(third, CONTENT if detached else None) == set()
    assert parse_signed_data(first).signers[0] in parse_signed_data(third).signers
    if detached:
        with pytest.raises(MalformedMessage):
            add_signers(first, [signer("p256")], now=NOW)
    with pytest.raises(LimitExceeded):
        add_signers(third, [signer("p256")], now=NOW, content=CONTENT, limits=Limits(signers=4))


def test_adding_keeps_what_it_does_not_know() -> None:
    attribute_certificate = ber.encode(0xA2, b"\x02\x01\x01")
    crl, other_crl = b"\x30\x03\x02\x01\x07", ber.encode(0xA1, oids.ID_RI_SCVP.tlv, b"\x30\x00")
    info = parse_signed_data(signer("p256").sign(CONTENT, now=NOW)).signers[0]
    ours = signer("p256")
    data = encode_signed_data(
        [ours.signer_info_of(CONTENT, now=NOW)],
        [ours.digest.identifier],
        [ours.certificate.der, attribute_certificate],
        crls=[crl, other_crl],
    )
    added = parse_signed_data(add_signers(data, [signer("rsa2048")], now=NOW, content=CONTENT))
    assert (added.version, added.skipped, added.crls, len(added.signers)) == (5, 2, (crl,), 2)
    assert info.digest_algorithm == added.signers[0].digest_algorithm


def test_certificates_only() -> None:
    holder = credential("p256")
    crl = authority().crl()
    data = certificates_only([holder.certificate_der, *holder.chain_der], crls=[crl])
    signed = parse_signed_data(data)
    assert set(signed.certificates) == {holder.certificate_der, *holder.chain_der}
    assert (signed.version, signed.crls, signed.content, signed.signers) == (1, (crl,), None, ())
    assert problems(data) == {"NO_SIGNERS"}
    assert len(asn1_cms.ContentInfo.load(data, strict=True)["content"]["certificates"]) == 2


# ------------------------------------------------------------------------------------------------------------- times


@given(moments)
def test_times_are_read_back(now: datetime) -> None:
    encoded = encode_time(now)
    assert decode_time(encoded) == now.replace(microsecond=0)
    assert encoded[0] == (0x17 if 1950 <= now.year < 2050 else 0x18)


def test_times_of_other_zones_and_without_zone() -> None:
    berlin = timezone(timedelta(hours=2))
    assert encode_time(datetime(2026, 6, 1, 1, 30, tzinfo=berlin)) == b"\x17\x0d260531233000Z"
    with pytest.raises(ValueError, match="time zone"):
        encode_time(datetime(2026, 6, 1))  # noqa: DTZ001


@pytest.mark.parametrize(
    ("encoded", "expected"),
    [
        (b"\x17\x0b2606011200Z", datetime(2026, 6, 1, 12, 0, tzinfo=UTC)),
        (b"\x17\x0d500101000000Z", datetime(1950, 1, 1, tzinfo=UTC)),
        (b"\x17\x0d491231235959Z", datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC)),
        (b"\x17\x0d161231235960Z", datetime(2016, 12, 31, 23, 59, 59, tzinfo=UTC)),
        (b"\x18\x1120260601120000.5Z", datetime(2026, 6, 1, 12, 0, 0, 500_000, tzinfo=UTC)),
        (b"\x18\x0f20260601120000Z", datetime(2026, 6, 1, 12, 0, tzinfo=UTC)),
    ],
)
def test_times_as_others_write_them(encoded: bytes, expected: datetime) -> None:
    assert decode_time(encoded) == expected


@given(st.binary(max_size=24) | st.binary(max_size=20).map(lambda data: ber.encode(0x17, data)))
def test_times_that_are_none(data: bytes) -> None:
    try:
        decode_time(data)
    except MalformedMessage:
        return


# ------------------------------------------------------------------------------------------------------------ errors


def test_key_and_certificate_must_belong_together() -> None:
    with pytest.raises(InvalidKey):
        CmsSigner(InMemoryKey(pki.new_key("p256", "stranger")), signer("p256").certificate)


def test_a_certificate_without_key_identifier_cannot_be_named_by_it() -> None:
    holder = credential("p256", "Bare", key_identifiers=False)
    with pytest.raises(InvalidKey, match="key identifier"):
        CmsSigner(InMemoryKey(holder.key), Certificate.parse(holder.certificate_der), by_key_identifier=True)


def test_keys_that_cannot_sign() -> None:
    for kind in ("x25519", "mlkem768", "dsa2048"):
        holder = authority().issue("Nobody", "nobody@example.org", kind=kind)
        with pytest.raises(UnsupportedAlgorithm):
            CmsSigner(InMemoryKey(holder.key), Certificate.parse(holder.certificate_der))


def test_the_memo_depends_on_the_sizes_alone() -> None:
    """Two signers of one key do not mix up their frames, and a year 2050 does not use the frame of 2049."""
    ours = signer("p256")
    later = datetime(2050, 1, 1, tzinfo=UTC)
    for now in (NOW, later, NOW, later):
        data = ours.sign(CONTENT, now=now)
        signed = parse_signed_data(data)
        check = verify_signer(signed, signed.signers[0], content=CONTENT, certificate=ours.certificate)
        assert (check.findings, check.signing_time) == ((), now)
