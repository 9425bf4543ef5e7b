"""Reading structures: BER to DER of a large streamed content, and the offsets of one level of values.

Floor of the conversion: one copy of the content, already cut into segments. Peers: the plain version that the tests
hold ours equal to, and asn1crypto, but not for the large content: it takes quadratic time there, minutes.
"""

from __future__ import annotations

from asn1crypto import parser

from bench.contest import Contest, scenario
from smime_engine.asn1 import ber, oids
from tests.reference import ber as plain

_SEGMENT = 1000
_SIZE = 25_000_000


@scenario
def ber_to_der_25m() -> Contest:
    """An EncapsulatedContentInfo as `openssl cms -stream` writes it, in segments of 1,000 octets."""
    segment = ber.encode(0x04, bytes(_SEGMENT))
    streamed = b"\x24\x80" + segment * (_SIZE // _SEGMENT) + b"\x00\x00"
    data = b"\x30\x80" + oids.ID_DATA.tlv + b"\xa0\x80" + streamed + b"\x00\x00\x00\x00"
    segments = [bytes(_SEGMENT)] * (_SIZE // _SEGMENT)
    assert ber.to_der(data) == plain.to_der(data)
    return Contest(
        ours=lambda: ber.to_der(data),
        floor=lambda: b"".join(segments),
        peers={"plain version": lambda: plain.to_der(data)},
    )


@scenario
def children_of_ten() -> Contest:
    """Offsets of ten values, as many as a SignedData has on its two outer levels. Floor: ten tuples in a list."""
    data = b"".join(ber.encode(0x30, bytes(size)) for size in (1, 10, 100, 200, 300, 1000, 20, 30, 40, 50))
    end = len(data)
    positions = range(10)
    return Contest(
        ours=lambda: ber.children(data, 0, end),
        floor=lambda: [(0x30, position, position, position) for position in positions],
        peers={"plain version": lambda: _plain_children(data), "asn1crypto": lambda: _asn1crypto_children(data)},
    )


def _plain_children(data: bytes) -> list[tuple[bytes, int, int]]:
    found = []
    offset = 0
    while offset < len(data):
        tag, length, start = plain.header(data, offset)
        assert length is not None
        offset = start + length
        found.append((tag, start, offset))
    return found


def _asn1crypto_children(data: bytes) -> list[int]:
    found = []
    while data:
        found.append(parser.peek(data))
        data = data[found[-1] :]
    return found
