"""RC2 against RFC 2268's vectors, OpenSSL's RC2, and the plain version."""

from __future__ import annotations

import pytest
from cryptography.hazmat.decrepit.ciphers.algorithms import RC2
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from hypothesis import given
from hypothesis import strategies as st

from smime_engine.crypto import rc2
from tests.reference import rc2 as plain

# RFC 2268 section 5: key, effective bits, plaintext, ciphertext
VECTORS = (
    ("0000000000000000", 63, "0000000000000000", "ebb773f993278eff"),
    ("ffffffffffffffff", 64, "ffffffffffffffff", "278b27e42e2f0d49"),
    ("3000000000000000", 64, "1000000000000001", "30649edf9be7d2c2"),
    ("88", 64, "0000000000000000", "61a8a244adacccf0"),
    ("88bca90e90875a", 64, "0000000000000000", "6ccf4308974c267f"),
    ("88bca90e90875a7f0f79c384627bafb2", 64, "0000000000000000", "1a807d272bbe5db1"),
    ("88bca90e90875a7f0f79c384627bafb2", 128, "0000000000000000", "2269552ab0f85ca6"),
    (
        "88bca90e90875a7f0f79c384627bafb216f80a6f85920584c42fceb0be255daf1e",
        129,
        "0000000000000000",
        "5b78d3a43dfff1f1",
    ),
)


@pytest.mark.parametrize(("key", "bits", "clear", "sealed"), VECTORS)
def test_vectors_of_rfc_2268(key: str, bits: int, clear: str, sealed: str) -> None:
    words = rc2.expand_key(bytes.fromhex(key), bits)
    assert rc2.encrypt_cbc(words, bytes(8), bytes.fromhex(clear)).hex() == sealed
    assert rc2.decrypt_cbc(words, bytes(8), bytes.fromhex(sealed)).hex() == clear
    assert plain.decrypt_block(words, bytes.fromhex(sealed)).hex() == clear


@given(
    key=st.binary(min_size=1, max_size=128),
    bits=st.integers(1, 1024),
    iv=st.binary(min_size=8, max_size=8),
    blocks=st.integers(0, 40),
    seed=st.randoms(use_true_random=False),
)
def test_lanes_equal_the_plain_version(key: bytes, bits: int, iv: bytes, blocks: int, seed: object) -> None:
    data = seed.randbytes(8 * blocks)  # type: ignore[attr-defined]
    words = rc2.expand_key(key, bits)
    assert rc2.decrypt_cbc(words, iv, data) == plain.decrypt_cbc(words, iv, data)
    assert rc2.decrypt_cbc(words, iv, rc2.encrypt_cbc(words, iv, data)) == data


def test_many_lanes_and_the_seam_between_two_runs() -> None:
    words = rc2.expand_key(b"12345", 40)
    data = bytes(range(256)) * 260  # 8,320 blocks: two full runs and a rest
    assert rc2.decrypt_cbc(words, b"IIIIIIII", rc2.encrypt_cbc(words, b"IIIIIIII", data)) == data


@given(key=st.binary(min_size=16, max_size=16), iv=st.binary(min_size=8, max_size=8), data=st.binary(max_size=80))
def test_openssl_agrees_on_128_bits(key: bytes, iv: bytes, data: bytes) -> None:
    data = data[: len(data) // 8 * 8]
    encryptor = Cipher(RC2(key), modes.CBC(iv)).encryptor()
    assert rc2.encrypt_cbc(rc2.expand_key(key, 128), iv, data) == encryptor.update(data) + encryptor.finalize()


@pytest.mark.parametrize(("size", "bits"), [(0, 40), (129, 40), (16, 0), (16, 1025)])
def test_bounds_of_the_key(size: int, bits: int) -> None:
    with pytest.raises(ValueError, match="RC2"):
        rc2.expand_key(bytes(size), bits)
