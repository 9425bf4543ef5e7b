"""The tables of encryption: every identifier that is written is read back, what is wrong has a name."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smime_engine.asn1 import ber, oids
from smime_engine.crypto import encryption_algorithms as table
from smime_engine.crypto import key_management_algorithms as keys
from smime_engine.crypto.digests import DIGESTS
from smime_engine.errors import MalformedMessage, UnsupportedAlgorithm


def _identifier(oid: oids.Oid, parameters: bytes = b"") -> bytes:
    return ber.encode(0x30, oid.tlv, parameters)


def _octets(octets: bytes) -> bytes:
    return ber.encode(0x04, octets)


@pytest.mark.parametrize("name", table.CONTENT_CIPHERS)
@pytest.mark.parametrize("derived", [False, True])
def test_content_ciphers_round_trip(name: str, derived: bool) -> None:
    written = table.content_encryption(table.CONTENT_CIPHERS[name], derived=derived)
    read = table.content_encryption_from_identifier(written.content_encryption_algorithm)
    assert read == written
    assert read.name == name + ("+cek-hkdf-sha256" if derived else "")


def test_nonces_differ() -> None:
    cipher = table.CONTENT_CIPHERS["aes256-gcm"]
    assert len({table.content_encryption(cipher).iv for _ in range(100)}) == 100


@pytest.mark.parametrize(("size", "nonce"), [(0, 12), ((1 << 24) - 1, 12), (1 << 24, 11), (None, 11)])
def test_the_nonce_of_ccm_leaves_room_for_the_length(size: int | None, nonce: int) -> None:
    assert len(table.content_encryption(table.CONTENT_CIPHERS["aes128-ccm"], content_size=size).iv) == nonce


@pytest.mark.parametrize(
    ("parameters", "name"),
    [
        (_octets(bytes(8)), "rc2-32-cbc"),
        (ber.encode(0x30, b"\x02\x02\x00\xa0", _octets(bytes(8))), "rc2-40-cbc"),
        (ber.encode(0x30, b"\x02\x01\x34", _octets(bytes(8))), "rc2-56-cbc"),
        (ber.encode(0x30, b"\x02\x01\x78", _octets(bytes(8))), "rc2-64-cbc"),
        (ber.encode(0x30, b"\x02\x01\x3a", _octets(bytes(8))), "rc2-128-cbc"),
        (ber.encode(0x30, b"\x02\x02\x01\x00", _octets(bytes(8))), "rc2-256-cbc"),
    ],
)
def test_versions_of_rc2(parameters: bytes, name: str) -> None:
    read = table.content_encryption_from_identifier(_identifier(oids.RC2_CBC, parameters))
    assert read.name == name
    assert read.cipher.status is table.Status.WEAK


def test_an_absent_tag_length_means_twelve() -> None:
    parameters = ber.encode(0x30, _octets(bytes(12)))
    assert table.content_encryption_from_identifier(_identifier(oids.ID_AES128_GCM, parameters)).tag_size == 12


@pytest.mark.parametrize(
    ("oid", "parameters"),
    [
        (oids.ID_AES256_CBC, b""),
        (oids.ID_AES256_CBC, b"\x05\x00"),
        (oids.ID_AES256_CBC, _octets(bytes(15))),
        (oids.ID_AES256_CBC, _octets(bytes(17))),
        (oids.ID_AES256_CBC, _octets(bytes(16)) + b"\x05\x00"),
        (oids.DES_EDE3_CBC, _octets(bytes(16))),
        (oids.ID_AES256_GCM, _octets(bytes(12))),
        (oids.ID_AES256_GCM, ber.encode(0x30)),
        (oids.ID_AES256_GCM, ber.encode(0x30, _octets(bytes(7)))),
        (oids.ID_AES256_GCM, ber.encode(0x30, _octets(bytes(12)), b"\x02\x01\x0b")),
        (oids.ID_AES256_GCM, ber.encode(0x30, _octets(bytes(12)), b"\x02\x01\x11")),
        (oids.ID_AES256_GCM, ber.encode(0x30, _octets(bytes(12)), b"\x02\x01\x10", b"\x05\x00")),
        (oids.ID_AES256_CCM, ber.encode(0x30, _octets(bytes(14)), b"\x02\x01\x10")),
        (oids.ID_AES256_CCM, ber.encode(0x30, _octets(bytes(12)), b"\x02\x01\x09")),
        (oids.ID_ALG_AEAD_CHACHA20_POLY1305, _octets(bytes(8))),
        (oids.RC2_CBC, ber.encode(0x30, b"\x02\x01\x3a")),
        (oids.RC2_CBC, ber.encode(0x30, b"\x02\x01\x3a", _octets(bytes(7)))),
        (oids.ID_ALG_CEK_HKDF_SHA256, b""),
    ],
)
def test_parameters_that_do_not_fit(oid: oids.Oid, parameters: bytes) -> None:
    with pytest.raises(MalformedMessage):
        table.content_encryption_from_identifier(_identifier(oid, parameters))


@pytest.mark.parametrize(
    ("identifier", "name"),
    [
        (_identifier(oids.RC4), "rc4"),
        (_identifier(oids.CAST5_CBC), "cast5CBC"),
        (_identifier(oids.named("1.2.3.4")), "1.2.3.4"),
        (_identifier(oids.RC2_CBC, ber.encode(0x30, b"\x02\x01\x01", _octets(bytes(8)))), "rc2-cbc version 1"),
        (
            _identifier(oids.ID_AES128_CCM, ber.encode(0x30, _octets(bytes(12)), b"\x02\x01\x04")),
            "aes128-ccm with a tag of 4 octets",
        ),
        # RFC 9709 inside of RFC 9709
        (_identifier(oids.ID_ALG_CEK_HKDF_SHA256, _identifier(oids.ID_ALG_CEK_HKDF_SHA256)), "id-alg-cek-hkdf-sha256"),
    ],
)
def test_unsupported_ciphers_are_named(identifier: bytes, name: str) -> None:
    with pytest.raises(UnsupportedAlgorithm) as caught:
        table.content_encryption_from_identifier(identifier)
    assert caught.value.identifier == name


@pytest.mark.parametrize("wrap", table.KEY_WRAPS.values(), ids=str)
def test_key_wraps_round_trip(wrap: table.KeyWrap) -> None:
    assert table.key_wrap_from_identifier(wrap.identifier) is wrap
    if wrap.family != "rc2":
        assert table.key_wrap_from_identifier(_identifier(wrap.oid, b"\x05\x00")) is wrap
    with pytest.raises(UnsupportedAlgorithm):
        table.key_wrap_from_identifier(_identifier(oids.ID_ALG_CMS_RC2_WRAP))
    with pytest.raises(UnsupportedAlgorithm):
        table.key_wrap_from_identifier(_identifier(oids.ID_CAMELLIA128_WRAP))


@pytest.mark.parametrize("digest", ["sha1", "sha224", "sha256", "sha384", "sha512"])
@pytest.mark.parametrize("mask", [None, "sha1", "sha512"])
@pytest.mark.parametrize("label", [b"", b"label"])
def test_oaep_round_trips(digest: str, mask: str | None, label: bytes) -> None:
    scheme = keys.oaep(digest, mask, label)
    assert keys.rsa_scheme_from_identifier(scheme.identifier) == scheme


def test_rsa_schemes_read_leniently() -> None:
    assert keys.rsa_scheme_from_identifier(_identifier(oids.RSA_ENCRYPTION)) is keys.PKCS1_V1_5
    assert keys.rsa_scheme_from_identifier(_identifier(oids.ID_RSAES_OAEP)) == keys.oaep("sha1")
    # Explicit defaults, and hashes without NULL
    explicit = ber.encode(0x30, ber.encode(0xA0, ber.encode(0x30, oids.ID_SHA1.tlv)))
    assert keys.rsa_scheme_from_identifier(_identifier(oids.ID_RSAES_OAEP, explicit)).digest is DIGESTS["sha1"]


@pytest.mark.parametrize(
    "parameters",
    [
        b"\x05\x00",
        ber.encode(0x30, b"\xa3\x00"),
        ber.encode(0x30, b"\xa1\x00", b"\xa0\x00"),
        ber.encode(0x30, b"\xa0\x00"),
        ber.encode(0x30, ber.encode(0xA2, _identifier(oids.ID_P_SPECIFIED, b"\x05\x00"))),
        ber.encode(0x30) + b"\x00",
    ],
)
def test_malformed_oaep_parameters(parameters: bytes) -> None:
    with pytest.raises(MalformedMessage):
        keys.rsa_scheme_from_identifier(_identifier(oids.ID_RSAES_OAEP, parameters))


@pytest.mark.parametrize(
    "parameters",
    [
        ber.encode(0x30, ber.encode(0xA0, _identifier(oids.ID_SHA3_256))),
        ber.encode(0x30, ber.encode(0xA0, _identifier(oids.named("1.2.3")))),
        ber.encode(0x30, ber.encode(0xA1, _identifier(oids.ID_SHA256))),
        ber.encode(0x30, ber.encode(0xA2, _identifier(oids.ID_SHA256))),
    ],
)
def test_unsupported_oaep_parameters(parameters: bytes) -> None:
    with pytest.raises(UnsupportedAlgorithm):
        keys.rsa_scheme_from_identifier(_identifier(oids.ID_RSAES_OAEP, parameters))


def test_key_agreements_and_kems() -> None:
    for scheme in keys.KEY_AGREEMENTS.values():
        wrap = table.KEY_WRAPS["aes128-wrap"].identifier
        assert keys.key_agreement_from_identifier(_identifier(scheme.oid, wrap)) == (scheme, wrap)
    for kem in keys.KEMS.values():
        assert keys.kem_from_identifier(_identifier(kem.oid)) is kem
        with pytest.raises(MalformedMessage):
            keys.kem_from_identifier(_identifier(kem.oid, b"\x05\x00"))
    with pytest.raises(UnsupportedAlgorithm) as caught:
        keys.kem_from_identifier(_identifier(oids.ID_ALG_ML_KEM_512))
    assert caught.value.identifier == "ml-kem-512"
    with pytest.raises(UnsupportedAlgorithm) as caught:
        keys.key_agreement_from_identifier(_identifier(oids.ID_ALG_ESDH))
    assert caught.value.identifier == "id-alg-ESDH"
    for name, oid in keys.HKDF_DERIVATIONS.items():
        assert keys.hkdf_from_identifier(_identifier(oid)).name == name
    with pytest.raises(UnsupportedAlgorithm):
        keys.hkdf_from_identifier(_identifier(oids.ID_KDF_KDF3))


@pytest.mark.parametrize("name", keys.PBKDF2_DIGESTS)
@pytest.mark.parametrize("size", [None, 16, 300])
def test_pbkdf2_round_trips(name: str, size: int | None) -> None:
    derivation = keys.Pbkdf2(digest=DIGESTS[name], salt=b"salt", iterations=200_000, key_size=size)
    assert keys.pbkdf2_from_identifier(derivation.identifier) == derivation


@pytest.mark.parametrize(
    "parameters",
    [
        b"",
        ber.encode(0x30, _octets(b"salt")),
        ber.encode(0x30, _octets(b"salt"), b"\x02\x01\x00"),
        ber.encode(0x30, _octets(b"salt"), b"\x02\x01\x80"),
        ber.encode(0x30, _octets(b"salt"), b"\x02\x00"),
        ber.encode(0x30, _octets(b"salt"), b"\x02\x01\x01", b"\x02\x01\x00"),
        ber.encode(0x30, _octets(b"salt"), b"\x02\x01\x01", b"\x02\x01\x10", b"\x02\x01\x10"),
        ber.encode(0x30, ber.encode(0x30), b"\x02\x01\x01"),
    ],
)
def test_malformed_pbkdf2_parameters(parameters: bytes) -> None:
    with pytest.raises(MalformedMessage):
        keys.pbkdf2_from_identifier(_identifier(oids.ID_PBKDF2, parameters))


def test_an_iteration_count_of_any_length_is_a_number() -> None:
    parameters = ber.encode(0x30, _octets(b"salt"), ber.encode(0x02, b"\x7f" * 100_000))
    assert keys.pbkdf2_from_identifier(_identifier(oids.ID_PBKDF2, parameters)).iterations > 1 << 60


@given(st.binary(max_size=60))
def test_any_octets_give_an_answer_or_a_named_error(data: bytes) -> None:
    for read in (
        table.content_encryption_from_identifier,
        table.key_wrap_from_identifier,
        keys.rsa_scheme_from_identifier,
        keys.key_agreement_from_identifier,
        keys.kem_from_identifier,
        keys.hkdf_from_identifier,
        keys.pbkdf2_from_identifier,
    ):
        for candidate in (data, ber.encode(0x30, oids.ID_PBKDF2.tlv, data), ber.encode(0x30, oids.RC2_CBC.tlv, data)):
            with contextlib.suppress(MalformedMessage, UnsupportedAlgorithm):
                read(candidate)
