"""Messages larger than memory: the streamed functions agree with those that hold everything, whatever the pieces."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smime_engine import (
    DecryptionFailed,
    DecryptionKeys,
    LimitExceeded,
    MalformedMessage,
    MessageEncryptor,
    Problem,
    SignedLayer,
    SmimeError,
    Verdict,
    open_cms,
    open_message,
    recipient_for,
    seal_message,
)
from smime_engine.cms.sealing import Encryptor
from smime_engine.cms.signer import CmsSigner
from smime_engine.engine import MessageCompressor
from smime_engine.engine.judging import Judge
from smime_engine.engine.streamed_opening import open_cms_stream, open_message_stream
from smime_engine.engine.streaming import encrypt_message_stream, encrypt_stream, sign_message_stream, sign_stream
from tests import pki
from tests.engine.people import CONTENT, MESSAGE, identity, ring, signer, trust

NOW = pki.MOMENT
KEYS = DecryptionKeys(ring=ring("bob"))
BODY = (b"0123456789 and so on to the end of the line\r\n") * 400
LONG = MESSAGE.replace(b"We agree.\r\n", BODY)


class Place:
    """A scratch place in memory that reads back in small pieces."""

    def __init__(self):
        self.octets = b""

    def write(self, octets):
        self.octets += octets

    def read(self):
        return source_of(self.octets, 1_000)()


def source_of(data, size):
    return lambda: (data[start : start + size] for start in range(0, len(data), size))


def cms_signer(name="alice", **options):
    holder = identity(name)
    return CmsSigner(holder.key, holder.certificate, chain=holder.chain, **options)


def opened(message, size=1_000):
    judge = Judge(now=NOW, trust=trust())
    return open_message_stream(source_of(message, size), judge=judge, keys=KEYS, scratch=Place)


def content_of(streamed):
    return b"".join(map(bytes, streamed.content()))


@pytest.mark.parametrize("size", [7, 64, 1_000, 1 << 20])
@pytest.mark.parametrize("clear", [True, False])
def test_streamed_signing_is_read_by_both(clear, size):
    signed = b"".join(sign_message_stream(source_of(LONG, size), [cms_signer()], now=NOW, clear=clear))
    whole = open_message(signed, trust=trust(), now=NOW).require_valid()
    streamed = opened(signed, size)
    assert streamed.opened.verdict is Verdict.VALID
    assert streamed.opened.sender_bound is True
    assert content_of(streamed) == whole.content
    assert whole.content.endswith(BODY)


@pytest.mark.parametrize("cipher", ["aes256-cbc", "aes256-gcm"])
@pytest.mark.parametrize("size", [13, 4_096])
def test_streamed_encryption_is_read_by_both(cipher, size):
    encryptor = Encryptor([recipient_for(ring("bob").identities[0].certificate)], cipher=cipher)
    sealed = b"".join(encrypt_message_stream(source_of(LONG, size), len(LONG), encryptor))
    assert open_message(sealed, keys=KEYS, now=NOW).content.endswith(BODY)
    streamed = opened(sealed, size)
    assert content_of(streamed).endswith(BODY)
    assert streamed.opened.layers[0].integrity is (cipher == "aes256-gcm")


@given(st.lists(st.sampled_from(["clear", "opaque", "cbc", "gcm", "zlib"]), max_size=4), st.integers(1, 3_000))
def test_any_stack_of_layers_opens_the_same_way(names, size):
    certificate = ring("bob").identities[0].certificate
    steps = {
        "clear": signer("alice"),
        "opaque": signer("alice", clear=False),
        "cbc": MessageEncryptor([recipient_for(certificate)]),
        "gcm": MessageEncryptor([recipient_for(certificate)], cipher="aes128-gcm"),
        "zlib": MessageCompressor(),
    }
    sealed = seal_message(LONG, steps=[steps[name] for name in names], now=NOW)
    whole = open_message(sealed, keys=KEYS, trust=trust(), now=NOW)
    streamed = opened(sealed, size)
    assert content_of(streamed) == whole.content
    assert [type(layer) for layer in streamed.opened.layers] == [type(layer) for layer in whole.layers]
    assert streamed.opened.verdict is whole.verdict
    assert streamed.opened.partial is whole.partial


def test_bare_cms_attached_and_detached():
    data = b"\0\1\2" * 5_000
    attached = b"".join(sign_stream(source_of(data, 999), [cms_signer()], now=NOW, detached=False))
    assert open_cms(attached, trust=trust(), now=NOW).content == data
    judge = Judge(now=NOW, trust=trust())
    streamed = open_cms_stream(source_of(attached, 500), judge=judge, keys=KEYS, scratch=Place)
    assert content_of(streamed) == data
    assert streamed.opened.verdict is Verdict.VALID
    signature = b"".join(sign_stream(source_of(data, 999), [cms_signer()], now=NOW, detached=True))
    source = source_of(data, 700)
    found = open_cms_stream(source_of(signature, 99), judge=judge, keys=KEYS, scratch=Place, detached=source)
    assert found.opened.verdict is Verdict.VALID
    wrong = source_of(data + b"!", 700)
    found = open_cms_stream(source_of(signature, 99), judge=judge, keys=KEYS, scratch=Place, detached=wrong)
    assert found.opened.verdict is Verdict.INVALID


def test_bare_encrypted_cms():
    encryptor = Encryptor([recipient_for(ring("bob").identities[0].certificate)], cipher="aes128-gcm")
    sealed = b"".join(encrypt_stream(source_of(b"plain", 2), 5, encryptor))
    judge = Judge(now=NOW)
    assert content_of(open_cms_stream(source_of(sealed, 3), judge=judge, keys=KEYS, scratch=Place)) == b"plain"
    changed = sealed[:-1] + bytes((sealed[-1] ^ 1,))
    with pytest.raises(DecryptionFailed):
        open_cms_stream(source_of(changed, 50), judge=judge, keys=KEYS, scratch=Place)


def test_several_signers_with_different_digests():
    both = [cms_signer(), cms_signer(digest="sha512")]
    signed = b"".join(sign_message_stream(source_of(LONG, 100), both, now=NOW))
    assert b"micalg=" in signed
    streamed = opened(signed, 100)
    assert [signature.digest for signature in streamed.opened.signatures] == ["sha256", "sha512"]
    assert streamed.opened.verdict is Verdict.VALID


@pytest.mark.parametrize(
    "body",
    ["ä".encode() * 10 + b"\r\n", b"x" * 77 + b"\r\n", b"bare\n", b"trailing \r\n", b"a\r\nFrom here\r\n", b"\0\r\n"],
)
def test_what_is_not_clean_is_refused(body):
    message = MESSAGE.replace(b"We agree.\r\n", BODY + body)
    for size in (10, 997, 1 << 20):
        with pytest.raises(MalformedMessage, match="not re-encoded"):
            list(sign_message_stream(source_of(message, size), [cms_signer()], now=NOW))


def test_a_changed_byte_is_noticed():
    signed = bytearray(b"".join(sign_message_stream(source_of(LONG, 500), [cms_signer()], now=NOW)))
    signed[signed.index(b"0123456789")] ^= 1
    found = opened(bytes(signed)).opened
    assert found.verdict is Verdict.INVALID
    assert Problem.DIGEST_MISMATCH in found.signatures[0].problems


def test_a_part_behind_the_signature_is_outside():
    signed = signer("alice").sign(MESSAGE, now=NOW)
    boundary = signed.partition(b'boundary="')[2].partition(b'"')[0]
    extra = b"\r\n--" + boundary + b"\r\nContent-Type: text/plain\r\n\r\nPay Mallory.\r\n--" + boundary + b"--\r\n"
    streamed = opened(signed.replace(b"\r\n--" + boundary + b"--\r\n", extra), 50)
    assert streamed.opened.partial
    assert content_of(streamed) == CONTENT


def test_forms_that_need_the_whole_message_are_refused():
    mixed = b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\n\r\nx\r\n--b--\r\n'
    with pytest.raises(LimitExceeded):
        opened(mixed)


def test_cut_anywhere_it_is_an_answer_or_an_error_of_ours():
    signed = signer("alice", clear=False).sign(MESSAGE, now=NOW)
    for message in (signed, signer("alice").sign(MESSAGE, now=NOW)):
        for end in range(0, len(message) - 120, 11):
            try:
                found = opened(message[:end], 100).opened
            except SmimeError:
                continue
            assert found.verdict is not Verdict.VALID or not any(isinstance(x, SignedLayer) for x in found.layers)


def test_memory_does_not_grow_with_the_content():
    piece = (b"0123456789" * 6 + b"\r\n") * 1_000

    def endless():
        yield MESSAGE[: MESSAGE.index(b"We agree.")]
        for _ in range(600):
            yield piece

    tracemalloc.start()
    size = sum(map(len, sign_message_stream(endless, [cms_signer()], now=NOW, clear=False)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size > 40_000_000
    assert peak < 4_000_000
