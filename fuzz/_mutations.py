"""Mutations of byte strings, deterministic for a given `random.Random`.

They know a little of what they break: ASN.1 lengths, MIME line ends and boundaries, base64. They know no grammar.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

__all__ = ["MAXIMUM_SIZE", "mutate"]

MAXIMUM_SIZE = 1 << 16
"""Mutants are cut to this many bytes: bugs of size are the business of the linear-time tests."""

_LENGTHS = [
    *(b"\x00", b"\x01", b"\x7f", b"\x80", b"\x81\x00", b"\x81\x7f", b"\x81\x80", b"\x81\xff", b"\x82\x00\x01"),
    *(b"\x82\x01\x00", b"\x82\xff\xff", b"\x83\xff\xff\xff", b"\x84\x7f\xff\xff\xff", b"\x84\xff\xff\xff\xff"),
    *(b"\x88" + b"\xff" * 8, b"\xfe" + b"\xff" * 126, b"\xff", b"\x00\x00"),
]
_TOKENS = [
    *(
        b"\r\n",
        b"\n",
        b"\r",
        b"\r\n\r\n",
        b"\n\n",
        b"\x00",
        b"--",
        b"=",
        b"==",
        b"=\r\n",
        b";",
        b'"',
        b"\\",
        b"(",
        b")",
    ),
    *(b":", b"<", b">", b"@", b",", b"%", b"*0*=", b"=?utf-8?b?", b"?=", b"\xff\xfe", b"\xe2\x80\xae", b"\xc2\xa0"),
    *(b"Content-Type: multipart/mixed; boundary=a\r\n\r\n", b"Content-Transfer-Encoding: base64\r\n", b"From "),
    *(b"\x30\x80", b"\x24\x80", b"\x31\x00", b"\x05\x00", b"\xa0\x80", b"\x1f\xff\xff\xff\x7f", b"\x02\x01\xff"),
]
_INTERESTING_BYTES = (
    b"\x00\x01\x02\x03\x04\x05\x06\x0c\x13\x17\x18\x1f\x20\x24\x30\x31\x7f\x80\xa0\xa1\xa3\xfe\xff\r\n-="
)


def mutate(random: Random, data: bytes, corpus: Sequence[bytes]) -> bytes:
    """One mutant: a few mutations stacked, most often only one."""
    for _ in range(1 + min(int(random.expovariate(0.8)), 8)):
        data = random.choice(_MUTATIONS)(random, data, corpus)[:MAXIMUM_SIZE]
    return data


def _flip_bit(random: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    if not data:
        return data
    at = random.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << random.randrange(8)]) + data[at + 1 :]


def _set_byte(random: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    at = random.randrange(len(data) + 1)
    return data[:at] + bytes([random.choice(_INTERESTING_BYTES)]) + data[at + 1 :]


def _cut_end(random: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    return data[: random.randrange(len(data) + 1)]


def _remove(random: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    start, end = _span(random, data)
    return data[:start] + data[end:]


def _repeat(random: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    start, end = _span(random, data)
    return data[:end] + data[start:end] * random.choice((1, 1, 2, 5, 50)) + data[end:]


def _swap(random: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    cuts = sorted(random.randrange(len(data) + 1) for _ in range(4))
    a, b, c, d = cuts
    return data[:a] + data[c:d] + data[b:c] + data[a:b] + data[d:]


def _splice(random: Random, data: bytes, corpus: Sequence[bytes]) -> bytes:
    other = random.choice(corpus)
    start, end = _span(random, other)
    at = random.randrange(len(data) + 1)
    return data[:at] + other[start:end] + data[at + random.choice((0, end - start)) :]


def _insert_token(random: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    at = random.randrange(len(data) + 1)
    return data[:at] + random.choice(_TOKENS) + data[at:]


def _tamper_length(random: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    """Replace one byte by another ASN.1 length; the first bytes, where the outer lengths are, are taken more often."""
    at = random.randrange(min(len(data), 64 if random.random() < 0.5 else len(data)) + 1)
    return data[:at] + random.choice(_LENGTHS) + data[at + 1 :]


def _nest(random: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    """Put a deep nest of indefinite values or multiparts in front."""
    opening = random.choice((b"\x30\x80", b"\x24\x80", b"\xa0\x80", b"\x31\x80"))
    return opening * random.choice((2, 70, 3_000)) + data


def _span(random: Random, data: bytes) -> tuple[int, int]:
    start = random.randrange(len(data) + 1)
    return start, min(len(data), start + int(random.expovariate(1 / 16)))


_MUTATIONS: list[Callable[[Random, bytes, Sequence[bytes]], bytes]] = [
    *(_flip_bit, _set_byte, _cut_end, _remove, _repeat, _swap, _splice, _insert_token, _tamper_length, _tamper_length),
    _nest,
]
