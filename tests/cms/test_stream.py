"""Envelopes larger than memory: bounded memory, nothing accepted before its tag, any cut of the input."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smime_engine.asn1 import ber, oids
from smime_engine.cms.attributes import encode_attribute
from smime_engine.cms.compressed import compressed_pieces
from smime_engine.cms.opening import DecryptionKeys
from smime_engine.cms.opening_stream import decompress_stream, open_stream
from smime_engine.cms.sealing import Encryptor
from smime_engine.cms.stream import StreamReader
from smime_engine.errors import DecryptionFailed, LimitExceeded, MalformedMessage
from smime_engine.limits import Limits
from tests.cms import addressees

MIB = 1024 * 1024


def _cut(data: bytes, size: int) -> Iterable[bytes]:
    return (data[i : i + size] for i in range(0, len(data), size))


def _open(data: bytes, keys: DecryptionKeys, size: int = 1000, **options: Limits) -> bytes:
    written: list[bytes] = []
    open_stream(lambda: _cut(data, size), keys, written.append, **options)
    return b"".join(written)


class _Repeated:
    """A large content, and a sealed message of it that is made anew at each reading."""

    def __init__(self, pieces: list[bytes]) -> None:
        self.pieces = pieces

    def __call__(self) -> Iterator[bytes]:
        return iter(self.pieces)


@pytest.mark.parametrize("cipher", ["aes256-cbc", "aes256-gcm", "chacha20-poly1305"])
@pytest.mark.parametrize("known_size", [False, True])
def test_memory_is_bounded(cipher: str, known_size: bool) -> None:
    size, piece = 32 * MIB, bytes(MIB)
    keys = addressees.keys("rsa2048")
    encryptor = Encryptor([addressees.recipient("rsa2048")], cipher=cipher)

    written = 0

    def count(data: bytes) -> None:
        nonlocal written
        written += len(data)

    # The ciphertext itself is kept outside of the measurement, as a file would be.
    sealed = list(encryptor.pieces((piece for _ in range(size // MIB)), size=size if known_size else None))
    tracemalloc.start()
    opened = open_stream(_Repeated(sealed), keys, count)
    for _ in encryptor.pieces((piece for _ in range(size // MIB)), size=size if known_size else None):
        pass
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert written == size
    assert opened.integrity is (cipher != "aes256-cbc")
    assert peak < 16 * MIB


def test_compressed_memory_is_bounded() -> None:
    pieces = list(compressed_pieces(bytes(MIB) for _ in range(48)))
    tracemalloc.start()
    decompress_stream(pieces, len)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 16 * MIB


@given(
    content=st.binary(max_size=300),
    cipher=st.sampled_from(["aes128-cbc", "aes256-gcm", "chacha20-poly1305", "rc2-40-cbc"]),
    cuts=st.lists(st.integers(1, 60), min_size=1, max_size=8),
    segment=st.integers(1, 100),
    attributes=st.booleans(),
)
def test_any_cut_of_the_input(content: bytes, cipher: str, cuts: list[int], segment: int, attributes: bool) -> None:
    attribute = encode_attribute(oids.ID_AA_CONTENT_HINT, ber.encode(0x0C, b"text"))
    options = {"authenticated_attributes": (attribute,)} if attributes and "cbc" not in cipher else {}
    encryptor = Encryptor([addressees.recipient("rsa2048")], cipher=cipher)
    sealed = b"".join(encryptor.pieces(_cut(content, segment), other_attributes=(attribute,), **options))

    def source() -> Iterator[bytes]:
        position = number = 0
        while position < len(sealed):
            step = cuts[number % len(cuts)]
            yield sealed[position : position + step]
            position, number = position + step, number + 1

    written: list[bytes] = []
    open_stream(source, addressees.keys("rsa2048"), written.append)
    assert b"".join(written) == content


def test_a_wrong_tag_raises_at_the_end() -> None:
    keys = addressees.keys("rsa2048")
    sealed = Encryptor([addressees.recipient("rsa2048")], cipher="aes256-gcm").seal(bytes(100_000))
    written: list[bytes] = []
    changed = sealed[:-1] + bytes((sealed[-1] ^ 1,))
    with pytest.raises(DecryptionFailed):
        open_stream(lambda: _cut(changed, 1000), keys, written.append)
    assert written  # which the caller must drop


def test_a_source_that_changes_between_two_readings() -> None:
    """The tag and the attributes come from the first reading, the ciphertext from the second."""
    keys = addressees.keys("rsa2048")
    encryptor = Encryptor([addressees.recipient("rsa2048")], cipher="aes256-gcm")
    first, second = encryptor.seal(b"first"), encryptor.seal(b"other")
    sources = iter([first, second])
    with pytest.raises((DecryptionFailed, MalformedMessage)):
        open_stream(lambda: [next(sources)], keys, len)


def test_a_head_that_is_too_long() -> None:
    sealed = Encryptor([addressees.recipient("rsa2048")]).seal(b"content")
    with pytest.raises(LimitExceeded) as caught:
        _open(sealed, addressees.keys("rsa2048"), limits=Limits(envelope_head=200))
    assert caught.value.limit == "envelope_head"
    endless = b"\x30\x80" + oids.ID_ENVELOPED_DATA.tlv + b"\xa0\x80\x30\x80\x02\x01\x00\x31\x80"

    def forever() -> Iterator[bytes]:
        yield endless
        while True:
            yield b"\x30\x80\x00\x00" * 1000

    for limits in (Limits(envelope_head=100_000), Limits(asn1_elements=10_000)):
        with pytest.raises(LimitExceeded):
            open_stream(forever, addressees.keys("rsa2048"), len, limits=limits)


def test_nesting_is_limited() -> None:
    for opening in (b"\x30\x80", b"\x24\x80"):
        reader = StreamReader([opening * 10_000], limits=Limits())
        with pytest.raises(LimitExceeded):
            reader.value(1 << 20)
    reader = StreamReader([b"\x24\x80" * 10_000], limits=Limits())
    with pytest.raises(LimitExceeded):
        list(reader.octets(0x04, expected=""))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x30",
        b"\x30\x84",
        b"\x30\x03\x04\x02a",
        b"\x30\x80\x04\x01a",
        b"\x30\x80\x04\x80",
        b"\x30\x80\x1f\x81\x00",
        b"\x30\x89" + bytes(9),
        b"\x30\x80\x00\x01",
    ],
)
def test_what_is_no_value(data: bytes) -> None:
    reader = StreamReader([data[i : i + 1] for i in range(len(data))])
    with pytest.raises(MalformedMessage):
        reader.value(1000)


def test_nested_segments() -> None:
    value = b"\x24\x80\x04\x01a\x24\x04\x04\x02bc\x24\x80\x00\x00\x04\x00\x04\x01d\x00\x00"
    for size in (1, 3, 100):
        reader = StreamReader(_cut(value, size))
        assert b"".join(reader.octets(0x04, expected="")) == b"abcd"
        assert reader.at_end()
