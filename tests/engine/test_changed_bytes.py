"""Any single changed byte of a sealed message is noticed or harmless, for every kind of recipient and cipher.

*Noticed*: an error, a verdict that is not VALID, a report that says `partial`, or, where nothing protects integrity, a
layer that says so. *Harmless*: the content is what was sealed. Signed and compressed layers alone are in
`test_sealing.py`.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smime_engine import (
    DecryptionFailed,
    EncryptedLayer,
    MessageEncryptor,
    OpenedMessage,
    SmimeError,
    Verdict,
    open_cms,
    open_message,
    seal_message,
)
from smime_engine.cms.sealing import Encryptor
from tests import pki
from tests.cms import addressees
from tests.engine.people import CONTENT, MESSAGE, signer, trust

NOW = pki.MOMENT
KINDS = addressees.KINDS
AUTHENTICATED = ("aes256-gcm", "aes256-ccm", "chacha20-poly1305")
UNAUTHENTICATED = ("aes256-cbc", "des-ede3-cbc")


def sealed_cms(kind: str, cipher: str) -> bytes:
    return Encryptor([addressees.recipient(kind)], cipher=cipher).seal(CONTENT)


def opened(data: bytes, kind: str) -> OpenedMessage | None:
    """None: an error of the engine, and no other kind of exception."""
    try:
        return open_cms(data, keys=addressees.keys(kind), trust=trust(), now=NOW)
    except SmimeError:
        return None


def encrypted(found: OpenedMessage) -> EncryptedLayer:
    layer = found.layers[0]
    assert isinstance(layer, EncryptedLayer)
    return layer


@pytest.mark.parametrize("kind", KINDS)
def test_every_byte_of_authenticated_encryption(kind: str) -> None:
    """Each octet of the whole structure: identifiers, wrapped keys, nonce, ciphertext, tag."""
    sealed = sealed_cms(kind, "aes256-gcm")
    harmless = 0
    for offset in range(len(sealed)):
        changed = bytearray(sealed)
        changed[offset] ^= 0x01
        found = opened(bytes(changed), kind)
        if found is not None:
            assert found.content == CONTENT, offset
            assert encrypted(found).integrity
            harmless += 1
    # Versions, and what names a recipient in a way that changes nothing; never the content, its key or its tag.
    assert harmless < len(sealed) // 3


@pytest.mark.parametrize("kind", KINDS)
def test_every_byte_of_a_signature_inside_unauthenticated_encryption(kind: str) -> None:
    """CBC lets changes pass; what is VALID afterwards is what was signed."""
    signed = signer("alice").sign(MESSAGE, now=NOW)
    sealed = Encryptor([addressees.recipient(kind)], cipher="aes256-cbc").seal(signed)
    for offset in [*range(600), *range(600, len(sealed), 11)]:
        changed = bytearray(sealed)
        changed[offset] ^= 0x01
        found = opened(bytes(changed), kind)
        if found is None:
            continue
        assert not encrypted(found).integrity
        if found.verdict is Verdict.VALID and not found.partial:
            assert found.content == CONTENT, offset


@given(
    kind=st.sampled_from(KINDS),
    cipher=st.sampled_from((*AUTHENTICATED, *UNAUTHENTICATED)),
    place=st.floats(0, 1, exclude_max=True),
    value=st.integers(1, 255),
)
def test_any_byte_with_any_value(kind: str, cipher: str, place: float, value: int) -> None:
    changed = bytearray(sealed_cms(kind, cipher))
    changed[int(place * len(changed))] ^= value
    found = opened(bytes(changed), kind)
    if found is None or found.content == CONTENT:
        return
    # Other content, at best under a layer that promises nothing: never under one that claims integrity, never VALID.
    assert cipher in UNAUTHENTICATED
    assert found.verdict is not Verdict.VALID
    assert not any(isinstance(layer, EncryptedLayer) and layer.integrity for layer in found.layers)


@given(
    kind=st.sampled_from(KINDS),
    cipher=st.sampled_from((*AUTHENTICATED, *UNAUTHENTICATED)),
    stack=st.sampled_from(["se", "es", "ses"]),
    place=st.floats(0, 1, exclude_max=True),
    value=st.integers(1, 255),
)
def test_any_byte_of_a_mail_that_is_signed_too(kind: str, cipher: str, stack: str, place: float, value: int) -> None:
    """Sign then encrypt, encrypt then sign, triple wrap: VALID as a whole means the content that was sealed."""
    encryptor = MessageEncryptor([addressees.recipient(kind)], cipher=cipher)
    steps = [signer("alice") if step == "s" else encryptor for step in stack]
    message = seal_message(MESSAGE, steps=steps, now=NOW)
    changed = bytearray(message)
    changed[int(place * len(changed))] ^= value
    try:
        found = open_message(bytes(changed), keys=addressees.keys(kind), trust=trust(), now=NOW)
    except SmimeError:
        return
    if found.verdict is Verdict.VALID and not found.partial:
        # An outer signature vouches for what is inside it, and inside that nothing may have changed.
        assert found.content == CONTENT


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cipher", AUTHENTICATED)
def test_the_ciphertext_and_the_tag_fail_with_one_text(kind: str, cipher: str) -> None:
    sealed = sealed_cms(kind, cipher)
    failures = set()
    for offset in range(len(sealed) - 16 - 2 - len(CONTENT), len(sealed)):
        changed = bytearray(sealed)
        changed[offset] ^= 0x80
        try:
            open_cms(bytes(changed), keys=addressees.keys(kind), now=NOW)
        except DecryptionFailed as error:
            failures.add((type(error), str(error), error.args, error.__cause__, error.__suppress_context__))
        except SmimeError:
            # The two octets of tag and length between ciphertext and tag
            assert len(sealed) - 18 <= offset < len(sealed) - 16
        else:
            pytest.fail(f"octet {offset} was changed and nobody noticed")
    assert len(failures) == 1
