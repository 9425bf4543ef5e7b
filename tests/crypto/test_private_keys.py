"""Private keys from files: every format, every password scheme, bounded work, and clear refusals."""

from __future__ import annotations

import contextlib
from functools import cache

import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import given
from hypothesis import strategies as st

from smime_engine.crypto.pkcs12 import load_pkcs12
from smime_engine.crypto.private_keys import load_private_key
from smime_engine.crypto.public_keys import public_key_of
from smime_engine.errors import InvalidKey
from smime_engine.limits import Limits
from tests import pki

PASSWORD = "pässwort".encode()


@pytest.mark.parametrize("kind", pki.KINDS)
@pytest.mark.parametrize("password", [None, PASSWORD])
def test_pkcs8(kind: str, password: bytes | None) -> None:
    credential = pki.Credential(pki.new_key(kind), pki.authority().certificate)
    for data in (credential.key_pem(password), credential.key_der(password)):
        native = load_private_key(data, password)
        assert public_key_of(native) == public_key_of(credential.key)
        if password is not None:
            for wrong in (None, b"wrong", b""):
                with pytest.raises(InvalidKey):
                    load_private_key(data, wrong)


@pytest.mark.parametrize("kind", ["rsa2048", "p256"])
def test_traditional(kind: str) -> None:
    native = pki.new_key(kind)
    traditional = serialization.PrivateFormat.TraditionalOpenSSL
    for encoding in (serialization.Encoding.PEM, serialization.Encoding.DER):
        data = native.private_bytes(encoding, traditional, serialization.NoEncryption())
        assert public_key_of(load_private_key(data)) == public_key_of(native)
    data = native.private_bytes(
        serialization.Encoding.PEM, traditional, serialization.BestAvailableEncryption(PASSWORD)
    )
    assert b"Proc-Type" in data
    assert public_key_of(load_private_key(data, PASSWORD)) == public_key_of(native)
    for wrong in (None, b"wrong"):
        with pytest.raises(InvalidKey):
            load_private_key(data, wrong)


@pytest.mark.openssl
@pytest.mark.parametrize(
    "options",
    [
        ("-v2", "aes-128-cbc", "-v2prf", "hmacWithSHA1"),
        ("-v2", "aes-192-cbc", "-v2prf", "hmacWithSHA512"),
        ("-v2", "des-ede3-cbc"),
        ("-scrypt",),
        ("-v1", "PBE-SHA1-3DES"),
    ],
    ids=" ".join,
)
def test_password_schemes_of_openssl(openssl, options) -> None:
    native = pki.new_key("p256")
    clear = pki.Credential(native, pki.authority().certificate).key_pem()
    sealed = openssl("pkcs8", "-topk8", *options, "-passout", "pass:secret", stdin=clear).stdout
    assert public_key_of(load_private_key(sealed, b"secret")) == public_key_of(native)
    with pytest.raises(InvalidKey):
        load_private_key(sealed, b"Secret")


def test_work_is_bounded_before_it_begins() -> None:
    data = pki.Credential(pki.new_key("p256"), pki.authority().certificate).key_der(PASSWORD)
    with pytest.raises(InvalidKey, match="pbkdf2_iterations"):
        load_private_key(data, PASSWORD, limits=Limits(pbkdf2_iterations=100))


def test_damaged_files_are_refused() -> None:
    for data in (b"", b"\x30\x00", b"nonsense", b"-----BEGIN PRIVATE KEY-----\n!!!\n-----END PRIVATE KEY-----\n",
                 b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"):  # fmt: skip
        with pytest.raises(InvalidKey):
            load_private_key(data)


@pytest.mark.parametrize("kind", ["p256", "mldsa44"])
@pytest.mark.parametrize("password", [None, b"secret"])
def test_a_file_that_is_cut_is_refused(kind: str, password: bytes | None) -> None:
    data = pki.Credential(pki.new_key(kind), pki.authority().certificate).key_der(password)
    for end in range(0, len(data), 1 if password is None else 7):
        with pytest.raises(InvalidKey):
            load_private_key(data[:end], password)


@given(position=st.integers(0, 2**16), octet=st.integers(0, 255))
def test_a_file_with_a_changed_octet_is_read_or_refused(position: int, octet: int) -> None:
    original = _pkcs12()
    position %= len(original)
    changed = original[:position] + bytes((octet,)) + original[position + 1 :]
    with contextlib.suppress(InvalidKey):
        load_pkcs12(changed, b"secret", limits=Limits(pbkdf2_iterations=50_000))


@cache
def _pkcs12() -> bytes:
    return pki.authority().issue("Alice", "alice@example.org").pkcs12(b"secret", old=True)


# -------------------------------------------------------------------------------------------------- post-quantum keys


@pytest.mark.corpora
def test_seeded_keys_of_the_lamps_drafts(corpora) -> None:
    for folder, name in (("dsa", "ML-DSA-44"), ("dsa", "ML-DSA-87"), ("kem", "ML-KEM-768"), ("kem", "ML-KEM-1024")):
        place = corpora / "pqc" / f"lamps-ml-{folder}-certificates"
        seed, both = (load_private_key((place / f"{name}-{form}.priv").read_bytes()) for form in ("seed", "both"))
        assert public_key_of(seed) == public_key_of(both)
        public = serialization.load_pem_public_key((place / f"{name}.pub").read_bytes())
        assert public_key_of(seed) == public.public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        with pytest.raises(InvalidKey, match="only the expanded key"):
            load_private_key((place / f"{name}-expanded.priv").read_bytes())


@pytest.mark.corpora
def test_bad_keys_of_the_lamps_drafts_are_refused(corpora) -> None:
    bad = sorted((corpora / "pqc").glob("*/bad-*.priv"))
    assert len(bad) == 7
    for path in bad:
        with pytest.raises(InvalidKey):
            load_private_key(path.read_bytes())
