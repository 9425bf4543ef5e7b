"""Digests, signatures and public keys: every algorithm both ways, against pyca, and whatever is wrong is False."""

from __future__ import annotations

import hashlib

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from hypothesis import given
from hypothesis import strategies as st

from smime_engine.asn1 import ber, oids
from smime_engine.crypto.digests import algorithm_identifier
from smime_engine.crypto.public_keys import KeyKind, default_family, load_public_key, public_key_of, same_public_key
from smime_engine.crypto.signature_algorithms import DIGESTS, Family, pss_scheme, scheme_for, signature_scheme
from smime_engine.crypto.signing import digest, digest_context, sign, verify
from smime_engine.errors import MalformedMessage, UnsupportedAlgorithm
from tests import pki

MESSAGE = b"Content-Type: text/plain\r\n\r\nsigned\r\n"


def _schemes(kind: str):
    key = load_public_key(public_key_of(pki.new_key(kind)))
    for family in key.families:
        for name in DIGESTS:
            try:
                yield scheme_for(family, name)
            except UnsupportedAlgorithm:
                continue


@pytest.mark.parametrize("name", DIGESTS)
@given(data=st.binary(max_size=300), cut=st.integers(0, 300))
def test_digests(name: str, data: bytes, cut: int) -> None:
    algorithm = DIGESTS[name]
    context = digest_context(algorithm)
    context.update(data[:cut])
    context.update(memoryview(data)[cut:])
    once = digest(algorithm, memoryview(data))
    assert once == context.digest()
    assert len(once) == algorithm.size


def test_digests_are_what_their_names_say() -> None:
    assert digest(DIGESTS["sha512-256"], b"a") == hashlib.new("sha512_256", b"a").digest()
    assert digest(DIGESTS["shake256-len"], b"a") == hashlib.shake_256(b"a").digest(64)
    assert digest(DIGESTS["shake128"], b"a") == hashlib.shake_128(b"a").digest(32)
    assert digest(DIGESTS["sha3-384"], b"a") == hashlib.sha3_384(b"a").digest()


@pytest.mark.parametrize("kind", [kind for kind in pki.SIGNING_KINDS if kind not in {"dsa2048", "rsa1024"}])
def test_every_scheme_signs_and_verifies(kind: str) -> None:
    native = pki.new_key(kind)
    key = load_public_key(public_key_of(native))
    schemes = list(_schemes(kind))
    assert schemes
    for scheme in schemes:
        signature = sign(native, MESSAGE, scheme)
        assert verify(key, signature, MESSAGE, scheme)
        assert verify(key, memoryview(signature), memoryview(MESSAGE), scheme)
        assert not verify(key, signature, MESSAGE + b"!", scheme)
        assert not verify(key, bytes((signature[0] ^ 1,)) + signature[1:], MESSAGE, scheme)
        assert not verify(key, signature[:-1], MESSAGE, scheme)
        assert not verify(key, b"", MESSAGE, scheme)
        if scheme.digest is None:
            with pytest.raises(UnsupportedAlgorithm):
                scheme.of_digest()
        else:  # over a digest that was computed elsewhere
            value = digest(scheme.digest, MESSAGE)
            assert verify(key, signature, value, scheme.of_digest())
            assert verify(key, sign(native, value, scheme.of_digest()), MESSAGE, scheme)


def test_dsa_verifies_only() -> None:
    native = pki.new_key("dsa2048")
    key = load_public_key(public_key_of(native))
    scheme = signature_scheme(bytes.fromhex("300b0609608648016503040302"), DIGESTS["sha256"])
    assert scheme.name == "dsa-sha256"
    assert verify(key, native.sign(MESSAGE, hashes.SHA256()), MESSAGE, scheme)
    assert not verify(key, b"\x30\x00", MESSAGE, scheme)
    with pytest.raises(UnsupportedAlgorithm):
        sign(native, MESSAGE, scheme)


def test_pss_takes_the_salt_and_mask_that_it_says() -> None:
    native = pki.new_key("rsa2048")
    key = load_public_key(public_key_of(native))
    sha256, sha512 = DIGESTS["sha256"], DIGESTS["sha512"]
    mixed = pss_scheme(sha256, mask_digest=sha512, salt_length=17)
    signature = native.sign(MESSAGE, padding.PSS(padding.MGF1(hashes.SHA512()), 17), hashes.SHA256())
    assert verify(key, signature, MESSAGE, mixed)
    assert not verify(key, signature, MESSAGE, pss_scheme(sha256, mask_digest=sha512, salt_length=18))
    assert not verify(key, signature, MESSAGE, pss_scheme(sha256, salt_length=17))
    too_long = pss_scheme(sha512, salt_length=300)
    assert not verify(key, signature, MESSAGE, too_long)
    with pytest.raises(UnsupportedAlgorithm):
        sign(native, MESSAGE, too_long)


def test_key_and_scheme_must_fit() -> None:
    rsa_scheme, ecdsa_scheme = scheme_for(Family.RSA, "sha256"), scheme_for(Family.ECDSA, "sha256")
    key = load_public_key(public_key_of(pki.new_key("p256")))
    assert not key.fits(rsa_scheme)
    assert not verify(key, bytes(256), MESSAGE, rsa_scheme)
    for native in (pki.new_key("x25519"), pki.new_key("mlkem768")):
        other = load_public_key(public_key_of(native))
        assert not other.fits(ecdsa_scheme)
        with pytest.raises(UnsupportedAlgorithm):
            default_family(other)
        with pytest.raises(UnsupportedAlgorithm):
            sign(native, MESSAGE, ecdsa_scheme)
    with pytest.raises(UnsupportedAlgorithm):
        sign(pki.new_key("ed25519"), MESSAGE, rsa_scheme)


def test_weak_keys_are_told() -> None:
    assert load_public_key(public_key_of(pki.new_key("rsa1024"))).weakness == "rsa 1024 bits"
    assert load_public_key(public_key_of(pki.new_key("rsa2048"))).weakness == ""
    assert load_public_key(public_key_of(ec.generate_private_key(ec.SECP192R1()))).weakness == "ec 192 bits"
    assert load_public_key(public_key_of(pki.new_key("ed25519"))).weakness == ""


@pytest.mark.openssl
def test_a_restricted_pss_key_keeps_to_its_restriction(openssl) -> None:
    """RFC 4055 section 3.3: the key's parameters bind the signature's."""
    pem = openssl(
        "genpkey", "-algorithm", "RSA-PSS", "-pkeyopt", "rsa_keygen_bits:2048", "-pkeyopt", "rsa_pss_keygen_md:sha256",
        "-pkeyopt", "rsa_pss_keygen_mgf1_md:sha256", "-pkeyopt", "rsa_pss_keygen_saltlen:32",
    ).stdout  # fmt: skip
    public = openssl("pkey", "-pubout", "-outform", "DER", stdin=pem).stdout
    key = load_public_key(public)
    assert key.kind is KeyKind.RSA_PSS
    assert key.restriction == pss_scheme(DIGESTS["sha256"])
    assert key.fits(pss_scheme(DIGESTS["sha256"], salt_length=40))
    assert not key.fits(pss_scheme(DIGESTS["sha256"], salt_length=20))
    assert not key.fits(pss_scheme(DIGESTS["sha384"]))
    assert not key.fits(scheme_for(Family.RSA, "sha256"))
    native = serialization.load_pem_private_key(pem, None)
    assert same_public_key(public, public_key_of(native))


def test_the_same_key_in_two_encodings() -> None:
    native = pki.new_key("rsa2048")
    info = public_key_of(native)
    assert b"\x01\x01\x01\x05\x00" in info
    point = pki.new_key("p256").public_key()
    compressed = point.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.CompressedPoint)
    header = bytes.fromhex("3039301306072a8648ce3d020106082a8648ce3d030107032200")
    assert same_public_key(public_key_of(pki.new_key("p256")), header + compressed)
    assert not same_public_key(info, header + compressed)
    assert not same_public_key(info, b"")


def test_public_keys_that_nobody_has() -> None:
    for oid in (oids.ID_EC_PUBLIC_KEY, oids.ID_DSA, oids.Oid("1.2.3", "nobody's")):
        info = ber.encode(0x30, algorithm_identifier(oid), ber.encode(0x03, b"\0\4\4\4"))
        with pytest.raises(UnsupportedAlgorithm) as caught:
            load_public_key(info)
        assert caught.value.identifier.startswith(oid)
    numbers = rsa.RSAPublicNumbers(65537, (1 << 16400) + 1)
    huge = numbers.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    with pytest.raises(UnsupportedAlgorithm):
        load_public_key(huge)


@pytest.mark.parametrize("kind", ["p256", "rsa2048", "ed25519"])
def test_a_public_key_that_is_cut_is_refused(kind: str) -> None:
    info = public_key_of(pki.new_key(kind))
    for end in range(len(info)):
        with pytest.raises((MalformedMessage, UnsupportedAlgorithm)):
            load_public_key(info[:end])
    with pytest.raises(MalformedMessage):
        load_public_key(info + b"\x00")
