"""Content encryption: every cipher, in memory and in pieces; whatever is changed fails the same way."""

from __future__ import annotations

import itertools

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from hypothesis import given
from hypothesis import strategies as st

from smime_engine.asn1 import oids
from smime_engine.crypto import content_encryption as content
from smime_engine.crypto.encryption_algorithms import (
    CONTENT_CIPHERS,
    ContentEncryption,
    Mode,
    content_encryption,
    content_encryption_from_identifier,
)
from smime_engine.errors import DecryptionFailed, UnsupportedAlgorithm

NAMES = tuple(CONTENT_CIPHERS)
AUTHENTICATING = tuple(name for name, cipher in CONTENT_CIPHERS.items() if cipher.authenticates)
PADDING = tuple(name for name, cipher in CONTENT_CIPHERS.items() if not cipher.authenticates)
STREAMED = tuple(name for name, cipher in CONTENT_CIPHERS.items() if cipher.mode is not Mode.CCM)


def _sample(name: str, *, derived: bool = False) -> tuple[ContentEncryption, bytes, bytes]:
    cipher = CONTENT_CIPHERS[name]
    return (
        content_encryption(cipher, derived=derived),
        bytes(range(cipher.key_size)),
        (b"associated" if cipher.authenticates else b""),
    )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("derived", [False, True])
@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 15, 16, 17, 4096, 200_001])
def test_round_trip(name: str, derived: bool, size: int) -> None:
    if size > 5000 and CONTENT_CIPHERS[name].family == "rc2":
        size //= 20
    encryption, key, associated = _sample(name, derived=derived)
    clear = (b"0123456789abcdef!" * (size // 17 + 1))[:size]
    sealed, tag = content.encrypt(
        encryption, key, clear, associated=associated, before=b"before", after=lambda tag: tag + b"after"
    )
    ciphertext = sealed[6 : len(sealed) - len(tag) - 5]
    assert sealed == b"before" + ciphertext + tag + b"after"
    assert len(ciphertext) == content.encrypted_size(encryption, size)
    assert len(tag) == encryption.cipher.tag_size
    assert content.decrypt(encryption, key, memoryview(ciphertext), tag=tag, associated=associated) == clear
    if not encryption.cipher.authenticates:
        assert content.padding_fits(encryption, key, ciphertext)


@given(
    name=st.sampled_from(STREAMED),
    pieces=st.lists(st.binary(max_size=50), max_size=8),
    cuts=st.lists(st.integers(0, 400), max_size=6),
)
def test_pieces_equal_the_whole(name: str, pieces: list[bytes], cuts: list[int]) -> None:
    encryption, key, associated = _sample(name)
    clear = b"".join(pieces)
    expected, expected_tag = content.encrypt(encryption, key, clear, associated=associated)
    encryptor = content.ContentEncryptor(encryption, key, associated=associated)
    sealed = b"".join(map(encryptor.update, pieces))
    last, tag = encryptor.finish()
    assert (sealed + last, tag) == (expected, expected_tag)
    decryptor = content.ContentDecryptor(encryption, key, associated=associated)
    bounds = sorted({0, len(expected), *(cut for cut in cuts if cut < len(expected))})
    opened = b"".join(decryptor.update(expected[a:b]) for a, b in itertools.pairwise(bounds))
    assert opened + decryptor.finish(tag) == clear


@pytest.mark.parametrize("name", AUTHENTICATING)
def test_whatever_is_changed_is_noticed(name: str) -> None:
    encryption, key, associated = _sample(name)
    for clear in (b"", b"a content"):
        sealed, tag = content.encrypt(encryption, key, clear, associated=associated)
        changes = [(sealed, tag[:-1] + bytes((tag[-1] ^ 1,)), associated), (sealed, tag, associated + b"x")]
        changes += [(sealed, tag[:-1], associated), (sealed, b"", associated), (sealed + b"x", tag, associated)]
        changes += [
            (sealed[:i] + bytes((sealed[i] ^ 0x80,)) + sealed[i + 1 :], tag, associated) for i in range(len(sealed))
        ]
        for changed_sealed, changed_tag, changed_associated in changes:
            with pytest.raises(DecryptionFailed):
                content.decrypt(encryption, key, changed_sealed, tag=changed_tag, associated=changed_associated)
        with pytest.raises(DecryptionFailed):
            content.decrypt(encryption, key[::-1], sealed, tag=tag, associated=associated)
        if name in STREAMED:
            decryptor = content.ContentDecryptor(encryption, key, associated=associated)
            decryptor.update(sealed)
            with pytest.raises(DecryptionFailed):
                decryptor.finish(bytes(len(tag)))


@pytest.mark.parametrize("name", PADDING)
def test_padding_that_does_not_fit(name: str) -> None:
    encryption, key, _ = _sample(name)
    block_size = encryption.cipher.block_size
    sealed, _ = content.encrypt(encryption, key, bytes(3 * block_size))
    for wrong in (b"", sealed[:-1], sealed + b"x", sealed[:-block_size], sealed[:block_size]):
        assert not content.padding_fits(encryption, key, wrong)
        with pytest.raises(DecryptionFailed):
            content.decrypt(encryption, key, wrong)
        decryptor = content.ContentDecryptor(encryption, key)
        with pytest.raises(DecryptionFailed):
            decryptor.update(wrong) + decryptor.finish()


def test_a_truncated_tag_of_gcm() -> None:
    identifier = bytes.fromhex("301b0609608648016503040106300e040c5c79058ba2f43447639d29e2")
    encryption = content_encryption_from_identifier(identifier)
    sealed = AESGCM(bytes(16)).encrypt(encryption.iv, b"content", None)
    assert content.decrypt(encryption, bytes(16), sealed[:-16], tag=sealed[-16:-4]) == b"content"
    with pytest.raises(DecryptionFailed):
        content.decrypt(encryption, bytes(16), sealed[:-16], tag=sealed[-16:-5])  # 11 octets: too short to count


@given(st.binary(min_size=12, max_size=12), st.binary(max_size=300), st.binary(max_size=40))
def test_chacha20_poly1305_in_pieces_is_that_of_openssl(nonce: bytes, clear: bytes, associated: bytes) -> None:
    key = bytes(range(32))
    encryption, _, _ = _sample("chacha20-poly1305")
    encryption = content_encryption_from_identifier(encryption.identifier.replace(encryption.iv, nonce))
    sealed, tag = content.encrypt(encryption, key, clear, associated=associated)
    assert sealed + tag == ChaCha20Poly1305(key).encrypt(nonce, clear, associated)


@pytest.mark.parametrize(
    ("identifier", "derived_key"),
    [
        # RFC 9709 appendices A.1 and A.2
        ("301b0609608648016503040106300e040c5c79058ba2f43447639d29e2", "2124ffb29fac4e0fbbc7d5d87492bff3"),
        ("301d06096086480165030401020410651f722ffd512c52fe072e507d72b377", "9cd102c52f1e19ece8729b35bfeceb50"),
    ],
)
def test_vectors_of_rfc_9709(identifier: str, derived_key: str) -> None:
    plain = content_encryption_from_identifier(bytes.fromhex(identifier))
    derived = content_encryption_from_identifier(
        bytes((0x30, len(oids.ID_ALG_CEK_HKDF_SHA256.tlv) + len(identifier) // 2))
        + oids.ID_ALG_CEK_HKDF_SHA256.tlv
        + bytes.fromhex(identifier)
    )
    key = bytes.fromhex("c702e7d0a9e064b09ba55245fb733cf3")
    assert content.encrypt(derived, key, b"content") == content.encrypt(plain, bytes.fromhex(derived_key), b"content")


def test_ccm_cannot_be_streamed() -> None:
    encryption, key, _ = _sample("aes128-ccm")
    for class_ in (content.ContentEncryptor, content.ContentDecryptor):
        with pytest.raises(UnsupportedAlgorithm, match="aes128-ccm"):
            class_(encryption, key)
