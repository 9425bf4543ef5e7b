"""Any entity, any set of recipients, any cipher, any stack: each recipient gets the same octets, nobody else any."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smime_engine import (
    EncryptedLayer,
    MessageCompressor,
    MessageEncryptor,
    NoMatchingKey,
    Verdict,
    open_message,
    seal_message,
)
from smime_engine.crypto.encryption_algorithms import CONTENT_CIPHERS
from smime_engine.mime.build import split_message
from smime_engine.mime.canonical import canonical_entity
from tests import pki
from tests.cms import addressees
from tests.engine.people import signer, trust
from tests.mime.entities import entities

NOW = pki.MOMENT
CIPHERS = tuple(
    name for name, cipher in CONTENT_CIPHERS.items() if cipher.family not in {"rc2", "des"} and cipher.key_size >= 16
)


@given(
    kinds=st.lists(st.sampled_from(addressees.KINDS), min_size=1, max_size=5, unique=True),
    cipher=st.sampled_from(CIPHERS),
    stack=st.lists(st.sampled_from(["clear", "opaque", "zlib", "encrypt"]), max_size=3),
    derives_key=st.booleans(),
    entity=entities(b"\r\n"),
)
def test_each_recipient_and_nobody_else(kinds, cipher, stack, derives_key, entity):
    message = b"From: alice@example.org\r\nMIME-Version: 1.0\r\n" + entity.octets()
    encryptor = MessageEncryptor(
        [addressees.recipient(kind) for kind in kinds],
        cipher=cipher,
        derives_key=derives_key and cipher.startswith("aes"),
    )
    available = {
        "clear": signer("alice"),
        "opaque": signer("alice", clear=False),
        "zlib": MessageCompressor(),
        "encrypt": encryptor,
    }
    sealed = seal_message(message, steps=[*(available[name] for name in stack), encryptor], now=NOW)
    expected = canonical_entity(split_message(message).inner)
    for kind in addressees.KINDS:
        keys = addressees.keys(kind)
        if kind not in kinds:
            with pytest.raises(NoMatchingKey):
                open_message(sealed, keys=keys, trust=trust(), now=NOW)
            continue
        opened = open_message(sealed, keys=keys, trust=trust(), now=NOW)
        assert opened.content == expected
        assert opened.verdict is (Verdict.VALID if {"clear", "opaque"} & set(stack) else None)
        outer = opened.layers[0]
        assert isinstance(outer, EncryptedLayer)
        assert outer.cipher.partition("+")[0] == cipher  # "+cek-hkdf-sha256" where the key was derived
        assert len(outer.recipients) == len(kinds)
