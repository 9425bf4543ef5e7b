"""DES, Triple DES, RC2 contexts and the Triple DES key wrap."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smime_engine.crypto import legacy, rc2
from smime_engine.errors import DecryptionFailed

# RFC 3217 section 3.4
CONTENT_KEY = bytes.fromhex("2923bf85e06dd6ae529149f1f1bae9eab3a7da3d860d3e98")
KEY_ENCRYPTION_KEY = bytes.fromhex("255e0d1c07b646dfb3134cc843ba8aa71f025b7c0838251f")
WRAPPED = bytes.fromhex("690107618ef092b3b48ca1796b234ae9fa33ebb4159604037db5d6a84eb3aac2768c632775a467d4")


def test_vector_of_rfc_3217() -> None:
    assert legacy.triple_des_unwrap(KEY_ENCRYPTION_KEY, WRAPPED) == CONTENT_KEY


def test_rc2_vector_of_rfc_3217() -> None:
    key_encryption_key = bytes.fromhex("fd04fd08060707fb0003fefffd02fe05")  # section 4.4
    wrapped = bytes.fromhex("70e699fb5701f7833330fb71e87c85a420bdc99af05d22af5a0e48d35f3138986cbaafb4b28d4f35")
    secret = legacy.rc2_unwrap(key_encryption_key, wrapped, 40)
    assert secret.hex() == "b70a25fbc9d86a86050ce0d711ead4d9"
    for size in (0, 1, 5, 7, 16, 255):
        again = legacy.rc2_wrap(key_encryption_key, bytes(size), 128)
        assert legacy.rc2_unwrap(key_encryption_key, again, 128) == bytes(size)
        for wrong in (b"", again[:-1], again[:-8], again[:16], again[:-1] + bytes((again[-1] ^ 1,))):
            with pytest.raises(DecryptionFailed):
                legacy.rc2_unwrap(key_encryption_key, wrong, 128)


def test_wrap_and_unwrap() -> None:
    wrapped = legacy.triple_des_wrap(KEY_ENCRYPTION_KEY, CONTENT_KEY)
    assert wrapped != WRAPPED
    assert legacy.triple_des_unwrap(KEY_ENCRYPTION_KEY, wrapped) == CONTENT_KEY
    with pytest.raises(ValueError, match="24"):
        legacy.triple_des_wrap(KEY_ENCRYPTION_KEY, bytes(16))


def test_every_changed_octet_of_a_wrapped_key_is_noticed() -> None:
    for place in range(len(WRAPPED)):
        changed = bytearray(WRAPPED)
        changed[place] ^= 1
        with pytest.raises(DecryptionFailed):
            legacy.triple_des_unwrap(KEY_ENCRYPTION_KEY, bytes(changed))
    for size in (0, 8, 39, 41, 48):
        with pytest.raises(DecryptionFailed):
            legacy.triple_des_unwrap(KEY_ENCRYPTION_KEY, bytes(size))


def test_single_des_is_triple_des_with_one_key() -> None:
    # The classic worked example of DES.
    context = legacy.triple_des(bytes.fromhex("133457799bbcdff1"), bytes(8)).encryptor()
    assert context.update(bytes.fromhex("0123456789abcdef")).hex() == "85e813540f0ab405"


def test_odd_parity() -> None:
    assert legacy.odd_parity(bytes(range(8))).hex() == "0101020204040707"
    assert all(octet.bit_count() % 2 for octet in legacy.odd_parity(bytes(range(256))))


@given(pieces=st.lists(st.binary(max_size=30), max_size=8))
def test_rc2_context_in_pieces(pieces: list[bytes]) -> None:
    data = b"".join(pieces)
    data += bytes(-len(data) % 8)
    rest = data[len(b"".join(pieces)) :]
    encrypting = legacy.Rc2Context(b"12345", 40, b"IIIIIIII", encrypts=True)
    sealed = b"".join(encrypting.update(piece) for piece in (*pieces, rest)) + encrypting.finalize()
    assert sealed == rc2.encrypt_cbc(rc2.expand_key(b"12345", 40), b"IIIIIIII", data)
    decrypting = legacy.Rc2Context(b"12345", 40, b"IIIIIIII", encrypts=False)
    buffer = bytearray(len(data) + 8)
    written = decrypting.update_into(sealed, memoryview(buffer))
    assert bytes(buffer[:written]) == data
    decrypting.update(b"x")
    with pytest.raises(ValueError, match="whole number"):
        decrypting.finalize()
