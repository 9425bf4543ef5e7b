"""EncryptedData: with and without attributes, with whatever key has the right size."""

from __future__ import annotations

import pytest
from asn1crypto import cms as independent

from smime_engine.asn1 import ber, oids
from smime_engine.cms.attributes import encode_attribute
from smime_engine.cms.encrypted import encrypt_data, open_encrypted_data
from smime_engine.cms.opening import DecryptionKeys
from smime_engine.cms.opening_stream import open_stream
from smime_engine.crypto.encryption_algorithms import CONTENT_CIPHERS
from smime_engine.errors import DecryptionFailed, LimitExceeded, MalformedMessage, NoMatchingKey, UnsupportedAlgorithm
from smime_engine.limits import Limits
from tests.cms.addressees import with_bad_padding

PADDING = tuple(name for name, cipher in CONTENT_CIPHERS.items() if not cipher.authenticates)
ATTRIBUTE = encode_attribute(oids.ID_AA_CONTENT_HINT, ber.encode(0x30, ber.encode(0x0C, b"text")))


@pytest.mark.parametrize("cipher", PADDING)
@pytest.mark.parametrize("attributes", [(), (ATTRIBUTE,)])
def test_round_trip(cipher: str, attributes: tuple[bytes, ...]) -> None:
    key = bytes(range(CONTENT_CIPHERS[cipher].key_size))
    sealed = encrypt_data(
        b"content", key, cipher=cipher, content_type=oids.ID_SIGNED_DATA, unprotected_attributes=attributes
    )
    assert independent.ContentInfo.load(sealed, strict=True)["content"]["version"].native == (
        "v2" if attributes else "v0"
    )
    keys = DecryptionKeys(content_keys=(b"x" * 200, key))
    opened = open_encrypted_data(sealed, keys)
    assert (opened.content, opened.content_type, opened.cipher) == (b"content", oids.ID_SIGNED_DATA, cipher)
    assert (opened.kind, opened.integrity, opened.recipients, opened.opened_with) == ("encrypted-data", False, (), None)
    written: list[bytes] = []
    open_stream(lambda: [sealed], keys, written.append)
    assert b"".join(written) == b"content"


def test_several_keys_are_tried() -> None:
    wrong = tuple(bytes((number,)) * 32 for number in range(20))
    while True:  # a wrong key passes for right once in 256 times: take a message where none of them does
        sealed = encrypt_data(b"content" * 100, b"k" * 32)
        try:
            open_encrypted_data(sealed, DecryptionKeys(content_keys=wrong))
        except DecryptionFailed:
            break
    assert open_encrypted_data(sealed, DecryptionKeys(content_keys=(*wrong, b"k" * 32))).content == b"content" * 100
    with pytest.raises(LimitExceeded):
        open_encrypted_data(sealed, DecryptionKeys(content_keys=wrong), limits=Limits(unwrap_attempts=19))


def test_what_does_not_fit() -> None:
    sealed = encrypt_data(b"content", bytes(32))
    with pytest.raises(NoMatchingKey):
        open_encrypted_data(sealed, DecryptionKeys(content_keys=(bytes(16),)))
    with pytest.raises(NoMatchingKey):
        open_stream(lambda: [sealed], DecryptionKeys(content_keys=(bytes(16),)), len)
    with pytest.raises(DecryptionFailed):
        open_encrypted_data(with_bad_padding(sealed), DecryptionKeys(content_keys=(bytes(32),)))
    for cipher, size in (("aes256-gcm", 32), ("aes256-cbc", 16), ("rot13", 8)):
        with pytest.raises(UnsupportedAlgorithm):
            encrypt_data(b"content", bytes(size), cipher=cipher)
    gcm = ber.encode(0x30, oids.ID_AES256_GCM.tlv, ber.encode(0x30, ber.encode(0x04, bytes(12))))
    info = ber.encode(0x30, oids.ID_DATA.tlv, gcm, ber.encode(0x80, bytes(16)))
    structure = ber.encode(0xA0, ber.encode(0x30, b"\x02\x01\x00", info))
    with pytest.raises(MalformedMessage, match="no authenticating cipher"):
        open_encrypted_data(
            ber.encode(0x30, oids.ID_ENCRYPTED_DATA.tlv, structure), DecryptionKeys(content_keys=(bytes(32),))
        )


def test_a_detached_content_is_named_as_missing() -> None:
    info = ber.encode(0x30, oids.ID_DATA.tlv, ber.encode(0x30, oids.ID_AES256_CBC.tlv, ber.encode(0x04, bytes(16))))
    structure = ber.encode(0xA0, ber.encode(0x30, b"\x02\x01\x00", info))
    with pytest.raises(MalformedMessage, match="inside of the message"):
        open_encrypted_data(
            ber.encode(0x30, oids.ID_ENCRYPTED_DATA.tlv, structure), DecryptionKeys(content_keys=(bytes(32),))
        )


def test_cut_at_every_offset() -> None:
    sealed = encrypt_data(b"content", bytes(32), unprotected_attributes=(ATTRIBUTE,))
    for end in range(len(sealed)):
        with pytest.raises(MalformedMessage):
            open_encrypted_data(sealed[:end], DecryptionKeys(content_keys=(bytes(32),)))
