"""`seal_message` and the steps: whatever goes in comes out, through any stack of layers, and nothing else passes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smime_engine import (
    CompressedLayer,
    DecryptionFailed,
    EncryptedLayer,
    MalformedMessage,
    MessageCompressor,
    MessageEncryptor,
    NoMatchingKey,
    SignedLayer,
    SmimeError,
    UnsupportedAlgorithm,
    Verdict,
    open_message,
    recipient_for,
    seal_message,
)
from smime_engine.mime.build import split_message
from smime_engine.mime.canonical import canonical_entity
from tests import pki
from tests.engine.people import CONTENT, MESSAGE, identity, ring, signer, trust
from tests.mime.entities import entities

NOW = pki.MOMENT


def encryptor(*names, cipher="aes256-cbc", kind="rsa2048"):
    certificates = [identity(name, kind=kind, usage="encrypt").certificate for name in names]
    return MessageEncryptor([recipient_for(certificate) for certificate in certificates], cipher=cipher)


STEPS = {
    "clear": lambda: signer("alice"),
    "opaque": lambda: signer("alice", clear=False),
    "cbc": lambda: encryptor("bob"),
    "gcm": lambda: encryptor("carol", "bob", cipher="aes256-gcm"),
    "zlib": MessageCompressor,
}
LAYERS = {
    "clear": SignedLayer,
    "opaque": SignedLayer,
    "cbc": EncryptedLayer,
    "gcm": EncryptedLayer,
    "zlib": CompressedLayer,
}


def opened(message):
    return open_message(message, keys=ring("bob"), trust=trust(), now=NOW)


@given(st.lists(st.sampled_from(sorted(STEPS)), max_size=4), entities(b"\r\n"))
def test_any_stack_of_layers_gives_back_any_entity(names, entity):
    message = b"From: alice@example.org\r\nTo: bob@example.org\r\nMIME-Version: 1.0\r\n" + entity.octets()
    sealed = seal_message(message, steps=[STEPS[name]() for name in names], now=NOW)
    if not names:
        assert sealed == message
        return
    result = opened(sealed)
    assert [type(layer) for layer in result.layers[: len(names)]] == [LAYERS[name] for name in reversed(names)]
    assert result.content == canonical_entity(split_message(message).inner)
    expected = Verdict.VALID if {"clear", "opaque"} & set(names) else None
    assert result.verdict is expected
    assert not result.partial


def test_outer_fields_keep_order_folding_and_octets():
    fields = b"Received: from a\r\n\tby b; now\r\nX-Odd:no space\r\nfrom: alice@example.org\r\nX-Empty: \r\n"
    for step in STEPS.values():
        sealed = seal_message(fields + CONTENT, steps=(step(),), now=NOW)
        assert sealed.startswith(fields)


@pytest.mark.parametrize("name", ["clear", "opaque", "gcm"])
def test_no_single_changed_byte_passes_with_other_content(name):
    """Signed and AEAD-encrypted: a change is noticed, or it changes nothing that anybody reads."""
    steps = (STEPS["clear"](), STEPS[name]()) if name == "gcm" else (STEPS[name](),)
    sealed = seal_message(MESSAGE, steps=steps, now=NOW)
    start = sealed.index(b"Content-Type:")
    for offset in range(start, len(sealed), 3):
        changed = bytearray(sealed)
        changed[offset] ^= 0x01
        try:
            result = opened(bytes(changed))
        except SmimeError:
            continue
        if result.verdict is Verdict.VALID and not result.partial:
            assert result.content == CONTENT


def test_all_failures_of_decryption_are_one():
    sealed = bytes(encryptor("bob").encrypt(MESSAGE))
    seen = set()
    digits = sealed.index(b"\r\n\r\n") + 4
    for offset in range(digits + 500, len(sealed) - 10, 5):
        changed = bytearray(sealed)
        changed[offset] = ord("A") if changed[offset] != ord("A") else ord("B")
        try:
            result = opened(bytes(changed))
        except DecryptionFailed as error:
            seen.add((type(error), str(error), error.args, error.__cause__, error.__suppress_context__))
        except (MalformedMessage, NoMatchingKey, UnsupportedAlgorithm):
            continue
        else:
            assert not result.layers[0].integrity  # CBC: a changed content goes unnoticed, and the report says so
    assert len(seen) == 1


def test_nobody_to_encrypt_for_is_an_error():
    with pytest.raises(ValueError, match="recipient"):
        MessageEncryptor([])


def test_a_big_message_flows_in_pieces_and_arrives():
    body = (b"0123456789abcdef" * 4 + b"\r\n") * 20_000
    message = MESSAGE.replace(b"We agree.\r\n", body)
    for steps in (("clear",), ("opaque",), ("gcm",), ("cbc",), ("clear", "cbc", "clear")):
        sealed = seal_message(message, steps=[STEPS[name]() for name in steps], now=NOW)
        assert opened(sealed).content.endswith(body)


def test_bare_line_feeds_become_crlf_before_signing():
    sealed = signer("alice").sign(MESSAGE.replace(b"\r\n", b"\n"), now=NOW)
    content = opened(sealed).require_valid().content
    assert content.endswith(b"\r\n\r\nWe agree.\r\n")
    assert content.count(b"\n") == content.count(b"\r\n")


def test_a_mailbox_that_stores_bare_line_feeds_does_not_break_the_signature():
    stored = signer("alice").sign(MESSAGE, now=NOW).replace(b"\r\n", b"\n")
    assert opened(stored).verdict is Verdict.VALID


def test_signing_is_deterministic_but_for_the_signature():
    rsa = signer("alice", kind="rsa2048")
    assert rsa.sign(MESSAGE, now=NOW) == rsa.sign(MESSAGE, now=NOW)
