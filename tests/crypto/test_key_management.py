"""Secrets to recipients and back: every kind of key, every wrap, and no difference between failures."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import padding

from smime_engine.asn1 import ber
from smime_engine.crypto import key_management as keys
from smime_engine.crypto.digests import DIGESTS
from smime_engine.crypto.encryption_algorithms import (
    CONTENT_CIPHERS,
    KEY_WRAPS,
    content_encryption,
    content_encryption_from_identifier,
)
from smime_engine.crypto.key_management_algorithms import KEY_AGREEMENTS, PKCS1_V1_5, Pbkdf2, oaep
from smime_engine.crypto.public_keys import PublicKey, load_public_key
from smime_engine.errors import DecryptionFailed, UnsupportedAlgorithm
from tests import pki

AGREEING = ("p256", "p384", "p521", "brainpool256", "brainpool384", "brainpool512", "x25519", "x448")


def _public(native: Any) -> PublicKey:
    return load_public_key(_info(native))


def _info(native: Any) -> bytes:
    return native.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def _info_with(native: Any, octets: bytes) -> bytes:
    """The key's own AlgorithmIdentifier, with other octets as the public key."""
    info = _info(native)
    start, end = ber.content(info, 0, len(info), 0x30, expected="")
    (_, first, _, last), _ = ber.children(info, start, end)
    return ber.encode(0x30, info[first:last], ber.encode(0x03, b"\0", octets))


@pytest.mark.parametrize(
    "scheme",
    [PKCS1_V1_5, oaep("sha1"), oaep(), oaep("sha512", "sha1"), oaep("sha224", "sha384", b"label")],
    ids=lambda scheme: scheme.name,
)
def test_rsa(scheme: Any) -> None:
    native = pki.new_key("rsa2048", "recipient")
    ciphertext = keys.rsa_encryptor(_public(native), scheme)(b"s" * 32)
    assert keys.unwrap(native, keys.RsaCiphertext(scheme=scheme, ciphertext=ciphertext)) == b"s" * 32


def test_bad_padding_of_pkcs1_v1_5_shows_nothing() -> None:
    native = pki.new_key("rsa2048", "recipient")
    block = native.public_key().encrypt(b"s" * 32, padding.PKCS1v15())
    wrapped = keys.RsaCiphertext(scheme=PKCS1_V1_5, ciphertext=block[:-1] + bytes((block[-1] ^ 1,)))
    first = keys.unwrap(native, wrapped)
    assert first != b"s" * 32
    assert keys.unwrap(native, wrapped) == first  # not random: asking twice tells nothing either


@pytest.mark.parametrize("size", [0, 1, 255, 257])
@pytest.mark.parametrize("scheme", [PKCS1_V1_5, oaep()], ids=lambda scheme: scheme.name)
def test_ciphertexts_of_another_size(size: int, scheme: Any) -> None:
    with pytest.raises(DecryptionFailed):
        keys.unwrap(pki.new_key("rsa2048", "recipient"), keys.RsaCiphertext(scheme=scheme, ciphertext=b"\xff" * size))


@pytest.mark.parametrize("kind", AGREEING)
def test_agreement(kind: str) -> None:
    native = pki.new_key(kind, "recipient")
    octets, secret = keys.agree(_public(native))
    wrapped = keys.AgreementPublicKey(public_key_info=_info_with(native, octets))
    assert keys.unwrap(native, wrapped) == secret


@pytest.mark.parametrize("kind", AGREEING)
def test_points_that_are_none(kind: str) -> None:
    native = pki.new_key(kind, "recipient")
    octets, _ = keys.agree(_public(native))
    for wrong in (b"", octets[:-1], octets + b"\0", bytes(len(octets)), b"\x04" + b"\xff" * (len(octets) - 1)):
        if kind.startswith("x") and len(wrong) == len(octets) and any(wrong):
            continue  # any octets but those of small order are a point of these curves
        with pytest.raises(DecryptionFailed):
            keys.unwrap(native, keys.AgreementPublicKey(public_key_info=_info_with(native, wrong)))


@pytest.mark.parametrize("kind", ["mlkem768", "mlkem1024"])
def test_kem(kind: str) -> None:
    native = pki.new_key(kind, "recipient")
    ciphertext, secret = keys.encapsulate(_public(native))
    assert keys.unwrap(native, keys.KemCiphertext(ciphertext=ciphertext)) == secret
    for size in (0, len(ciphertext) - 1, len(ciphertext) + 1):
        with pytest.raises(DecryptionFailed):
            keys.unwrap(native, keys.KemCiphertext(ciphertext=bytes(size)))


def test_a_secret_for_another_kind_of_key() -> None:
    samples = (
        keys.RsaCiphertext(scheme=PKCS1_V1_5, ciphertext=bytes(256)),
        keys.AgreementPublicKey(public_key_info=_info(pki.new_key("p384", "other"))),
        keys.AgreementPublicKey(public_key_info=_info(pki.new_key("rsa2048", "recipient"))),
        keys.AgreementPublicKey(public_key_info=b"rubbish"),
        keys.KemCiphertext(ciphertext=b""),
    )
    natives = [pki.new_key(kind, "recipient") for kind in ("p256", "x25519", "mlkem768", "ed25519")]
    for native in natives:
        for wrapped in samples:
            with pytest.raises(DecryptionFailed):
                keys.unwrap(native, wrapped)


def test_senders_refuse_other_kinds_of_keys() -> None:
    elliptic, rsa = _public(pki.new_key("p256", "recipient")), _public(pki.new_key("rsa2048", "recipient"))
    for attempt in (
        lambda: keys.rsa_encryptor(elliptic, PKCS1_V1_5),
        lambda: keys.agree(rsa),
        lambda: keys.encapsulate(rsa),
        lambda: keys.rsa_encryptor(_public(pki.new_key("rsa1024", "recipient")), oaep("sha512"))(bytes(32)),
    ):
        with pytest.raises(UnsupportedAlgorithm):
            attempt()


@pytest.mark.parametrize("wrap", KEY_WRAPS.values(), ids=lambda wrap: wrap.name)
def test_key_wraps(wrap: Any) -> None:
    key_encryption_key = bytes(range(wrap.key_size))
    secret = bytes.fromhex("2923bf85e06dd6ae529149f1f1bae9eab3a7da3d860d3e98")
    wrapped = keys.wrap_key(wrap, key_encryption_key, secret)
    assert keys.unwrap_key(wrap, key_encryption_key, wrapped) == secret
    wrong = [(key_encryption_key, wrapped[:-1]), (key_encryption_key, b""), (key_encryption_key[1:], wrapped)]
    wrong += [(key_encryption_key[::-1], wrapped), (key_encryption_key, wrapped[:-1] + bytes((wrapped[-1] ^ 1,)))]
    for wrong_key, wrong_wrapped in wrong:
        with pytest.raises(DecryptionFailed):
            keys.unwrap_key(wrap, wrong_key, wrong_wrapped)
    if wrap.family in {"aes", "3des"}:
        with pytest.raises(UnsupportedAlgorithm):
            keys.wrap_key(wrap, key_encryption_key, bytes(5))


def test_agreement_keys_depend_on_everything() -> None:
    wrap = KEY_WRAPS["aes128-wrap"]
    with_null = ber.encode(0x30, wrap.oid.tlv, b"\x05\x00")
    found = {
        keys.agreement_key(scheme, bytes(32), wrap, identifier, ukm)
        for scheme in KEY_AGREEMENTS.values()
        for identifier in (wrap.identifier, with_null)
        for ukm in (b"", b"material")
    }
    # 5 digests with X9.63 (standard and cofactor give the same), 3 with HKDF
    assert len(found) == (5 + 3) * 2 * 2
    assert {len(key) for key in found} == {16}


def test_kem_keys_depend_on_everything() -> None:
    wrap = KEY_WRAPS["aes128-wrap"]
    found = {
        keys.kem_key(DIGESTS[digest], bytes(32), wrap.identifier, size, ukm)
        for digest in ("sha256", "sha384", "sha512")
        for size in (16, 32)
        for ukm in (None, b"", b"material")
    }
    assert len(found) == 18


def test_substitute_keys_are_stable_and_unlike() -> None:
    assert keys.substitute_key(32, b"ciphertext") == keys.substitute_key(32, b"ciphertext")
    assert keys.substitute_key(32, b"ciphertext") != keys.substitute_key(32, b"another")
    assert len(keys.substitute_key(24, b"")) == 24


# RFC 3211 section 3: password-based encryption of a key for DES, and of a longer one for Triple DES
DES_IDENTIFIER = bytes.fromhex("301106052b0e0302070408efe598ef21b33d6d")
TRIPLE_DES_IDENTIFIER = bytes.fromhex("301406082a864886f70d03070408baf1ca7931213c4e")


def test_vectors_of_rfc_3211() -> None:
    derivation = Pbkdf2(digest=DIGESTS["sha1"], salt=bytes.fromhex("1234567878563412"), iterations=5, key_size=None)
    key = keys.password_key(derivation, b"password", 8)
    assert key.hex() == "d1daa78615f287e6"
    wrapped = bytes.fromhex("b81b2565ee373ca6dedca26a178b0c10")
    assert keys.password_unwrap(content_encryption_from_identifier(DES_IDENTIFIER), key, wrapped).hex() == (
        "8c627c897323a2f8"
    )
    passphrase = b"All n-entities must communicate with other n-entities via n-1 entiteeheehees"
    derivation = Pbkdf2(digest=DIGESTS["sha1"], salt=bytes.fromhex("1234567878563412"), iterations=500, key_size=None)
    key = keys.password_key(derivation, passphrase, 24)
    assert key.hex() == "6a8970bf68c92caea84a8df285108586071263 80cc47ab2d".replace(" ", "")
    wrapped = bytes.fromhex("c03c514abdb9e2c5aac038572b5e24553876b377aafb82eca5a9d73f8ab143d9ec74e6cad7db260c")
    assert keys.password_unwrap(content_encryption_from_identifier(TRIPLE_DES_IDENTIFIER), key, wrapped).hex() == (
        "8c637d887223a2f965b566eb014b0fa5d52300a3f7ea40fffc577203c71baf3b"
    )


@pytest.mark.parametrize("name", ["aes128-cbc", "aes256-cbc", "des-ede3-cbc", "des-cbc", "rc2-128-cbc"])
@pytest.mark.parametrize("size", [5, 8, 16, 24, 32])
def test_password_wraps(name: str, size: int) -> None:
    encryption = content_encryption(CONTENT_CIPHERS[name])
    key = bytes(range(encryption.cipher.key_size))
    secret = bytes(range(100, 100 + size))
    wrapped = keys.password_wrap(encryption, key, secret)
    assert keys.password_unwrap(encryption, key, wrapped) == secret
    for wrong in (b"", wrapped[:-1], wrapped[: encryption.cipher.block_size]):
        with pytest.raises(DecryptionFailed):
            keys.password_unwrap(encryption, key, wrong)


def test_passwords_of_rfc_6070() -> None:
    derivation = Pbkdf2(digest=DIGESTS["sha1"], salt=b"salt", iterations=4096, key_size=20)
    assert keys.password_key(derivation, b"password", 20).hex() == "4b007901b765489abead49d926f721d065a429c1"
