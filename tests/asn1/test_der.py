"""The declarative layer: what it reads, and that every fault of the bytes is MalformedMessage."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smime_engine.asn1 import der, oids
from smime_engine.errors import MalformedMessage


@der.sequence
class Algorithm:
    identifier: der.ObjectIdentifier
    parameters: der.Null | bytes | der.ObjectIdentifier | None


@der.sequence
class Record:
    version: int
    algorithm: Algorithm
    values: der.SetOf[der.TLV]
    time: der.UTCTime | der.GeneralizedTime
    tagged: Annotated[list[der.TLV] | None, der.Implicit(0)]
    explicit: Annotated[bytes | None, der.Explicit(1)]
    text: str | der.PrintableString | der.IA5String
    bits: der.BitString
    critical: Annotated[bool, der.Default(value=False)]


def record() -> Record:
    return Record(
        version=3,
        algorithm=Algorithm(identifier=der.ObjectIdentifier(oids.ID_SHA256), parameters=der.Null()),
        values=der.SetOf([]),
        time=der.UTCTime(datetime(2026, 1, 1, tzinfo=UTC)),
        tagged=[],
        explicit=b"x",
        text="a",
        bits=der.BitString(b"a", 0),
        critical=True,
    )


ENCODED = der.encode(record())


def test_a_value_round_trips() -> None:
    decoded = der.decode(Record, ENCODED, expected="a record")
    assert decoded.algorithm.identifier.dotted_string == oids.ID_SHA256
    assert decoded.explicit == b"x"
    assert der.encode(decoded) == ENCODED
    assert der.decode(Record, memoryview(ENCODED), expected="a record").version == 3


def test_plain_types_decode_too() -> None:
    assert der.decode(int, b"\x02\x01\x05", expected="a version") == 5
    assert der.decode(der.ObjectIdentifier, oids.ID_DATA.tlv, expected="a type").dotted_string == oids.ID_DATA


@pytest.mark.parametrize("length", range(len(ENCODED)))
def test_a_cut_value_is_malformed(length: int) -> None:
    with pytest.raises(MalformedMessage, match="at offset 40: expected a record"):
        der.decode(Record, ENCODED[:length], expected="a record", offset=40)


def test_trailing_octets_are_malformed() -> None:
    with pytest.raises(MalformedMessage):
        der.decode(Record, ENCODED + b"\0", expected="a record")


@given(st.lists(st.tuples(st.integers(0, len(ENCODED) - 1), st.integers(0, 255)), min_size=1, max_size=4))
def test_changed_octets_give_a_value_or_malformed_message(changes: list[tuple[int, int]]) -> None:
    bent = bytearray(ENCODED)
    for position, octet in changes:
        bent[position] = octet
    with contextlib.suppress(MalformedMessage):
        der.decode(Record, bytes(bent), expected="a record")


@pytest.mark.parametrize("time", [b"\x18\x0f00000101000000Z", b"\x17\x0d261301000000Z", b"\x18\x0f20260230000000Z"])
def test_times_that_python_cannot_hold_are_malformed(time: bytes) -> None:
    with pytest.raises(MalformedMessage):
        der.decode(der.GeneralizedTime if time[0] == 0x18 else der.UTCTime, time, expected="a time")


def test_ber_is_malformed() -> None:
    with pytest.raises(MalformedMessage):
        der.decode(bytes, b"\x24\x80\x04\x01a\x00\x00", expected="octets")
    with pytest.raises(MalformedMessage):
        der.decode(bytes, b"\x04\x81\x01a", expected="octets")


def test_mistakes_of_the_caller_are_not_called_malformed_input() -> None:
    with pytest.raises(TypeError):
        der.decode(Record, "text", expected="a record")  # type: ignore[arg-type]
    with pytest.raises((TypeError, ValueError)):
        der.encode(Algorithm(identifier="1.2.3", parameters=None))  # type: ignore[arg-type]
