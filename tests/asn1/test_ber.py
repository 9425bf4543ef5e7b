"""BER becomes DER once: against an independent oracle, cut, bent, deep, wide and big."""

from __future__ import annotations

import pytest
from asn1crypto import parser
from hypothesis import given
from hypothesis import strategies as st

from smime_engine.asn1 import ber
from smime_engine.errors import LimitExceeded, MalformedMessage
from smime_engine.limits import DEFAULT_LIMITS, Limits
from tests.asn1.ber_trees import Encoded, der, encodings, length_octets
from tests.reference import ber as plain


def indefinite(tag: int, *parts: bytes) -> bytes:
    return bytes([tag, 0x80]) + b"".join(parts) + b"\0\0"


@given(encodings())
def test_every_ber_style_becomes_the_der_of_the_value(value: Encoded) -> None:
    assert ber.to_der(value.ber) == value.der


@given(encodings())
def test_the_plain_version_gives_the_same(value: Encoded) -> None:
    assert plain.to_der(value.ber) == ber.to_der(value.ber)


@given(encodings())
def test_der_is_returned_as_the_same_object(value: Encoded) -> None:
    assert ber.to_der(value.der) is value.der
    view = memoryview(value.der)
    assert ber.to_der(view) is view


@given(encodings())
def test_asn1crypto_accepts_the_result_strictly(value: Encoded) -> None:
    converted = ber.to_der(value.ber)
    assert parser.peek(converted) == len(converted)
    parser.parse(converted, strict=True)


@given(encodings(), st.binary(min_size=1, max_size=3))
def test_trailing_octets_are_refused_where_they_begin(value: Encoded, trailing: bytes) -> None:
    with pytest.raises(MalformedMessage) as raised:
        ber.to_der(value.ber + trailing)
    assert raised.value.offset == len(value.ber)
    assert raised.value.expected == "the end of the input"


@given(encodings())
def test_a_value_cut_anywhere_is_malformed(value: Encoded) -> None:
    for length in range(len(value.ber)):
        with pytest.raises(MalformedMessage) as raised:
            ber.to_der(value.ber[:length])
        assert raised.value.offset is not None
        assert raised.value.offset <= length


@given(encodings(), st.data())
def test_a_changed_octet_gives_a_result_or_malformed_message(value: Encoded, data: st.DataObject) -> None:
    bent = bytearray(value.ber)
    bent[data.draw(st.integers(0, len(bent) - 1))] = data.draw(st.integers(0, 255))
    try:
        converted = ber.to_der(bytes(bent))
    except MalformedMessage:
        return
    assert ber.to_der(converted) is converted


@given(st.binary(max_size=64))
def test_random_octets_give_a_result_or_malformed_message(data: bytes) -> None:
    try:
        converted = ber.to_der(data)
    except MalformedMessage:
        return
    assert ber.to_der(converted) is converted


@pytest.mark.parametrize(
    ("hexadecimal", "offset", "expected"),
    [
        ("", 0, "an identifier and a length"),
        ("30", 0, "an identifier and a length"),
        ("3004020105", 2, "a value that ends inside the enclosing one"),
        ("0480", 1, "a definite length of a primitive value"),
        ("30020000", 2, "a value, not end-of-contents octets"),
        ("300400000500", 2, "a value, not end-of-contents octets"),
        ("308005000000ff", 6, "the end of the input"),
        ("3080050000", 4, "an identifier and a length"),
        ("3080050000ff", 4, "a value, not end-of-contents octets"),
        ("30ff", 1, "a length inside the enclosing value"),
        ("30" + "ff" + "00" * 127, 1, "a length inside the enclosing value"),
        ("3085ffffffffff", 7, "a value that ends inside the enclosing one"),
        ("1f1e00", 0, "a tag number in as few octets as possible"),
        ("1f801f00", 0, "a tag number in as few octets as possible"),
        ("1fffffffff7f00", 0, "an identifier of at most 5 octets"),
        ("1fffff", 0, "an identifier of at most 5 octets"),
        ("1f1f", 2, "a length"),
        ("24030201ff", 2, "a segment of the string, tag 0x04"),
        ("24032301ff", 2, "a segment of the string, tag 0x04"),
        ("2c0424023100", 4, "a segment of the string, tag 0x04"),
        ("230304010f", 2, "a segment of the string, tag 0x03"),
        ("23020300", 4, "whole octets in all segments but the last of a BIT STRING"),
        ("230303010f", 4, "whole octets in all segments but the last of a BIT STRING"),
        ("23030301ff", 4, "whole octets in all segments but the last of a BIT STRING"),
        ("2304030208ff", 4, "whole octets in all segments but the last of a BIT STRING"),
        ("2308030204f0030204f0", 8, "whole octets in all segments but the last of a BIT STRING"),
    ],
)
def test_errors_say_what_was_expected_and_where(hexadecimal: str, offset: int, expected: str) -> None:
    with pytest.raises(MalformedMessage) as raised:
        ber.to_der(bytes.fromhex(hexadecimal))
    assert (raised.value.offset, raised.value.expected) == (offset, expected)


@pytest.mark.parametrize(
    ("hexadecimal", "converted"),
    [
        ("3003020105", "3003020105"),
        ("30fe" + "00" * 126, "3000"),
        ("308400000000", "3000"),
        ("23800000", "030100"),
        ("24800000", "0400"),
        ("230b030200f02305030304ffe0", "030404f0ffe0"),
        ("2c0a0401610c01622c022400", "0c026162"),
    ],
)
def test_odd_but_valid_encodings(hexadecimal: str, converted: str) -> None:
    assert ber.to_der(bytes.fromhex(hexadecimal)).hex() == converted


def test_indefinite_and_constructed_strings_of_a_streamed_message() -> None:
    segments = [der(0x04, bytes([number]) * 1000) for number in range(3)]
    streamed = indefinite(
        0x30, der(0x06, b"\x2a"), indefinite(0xA0, indefinite(0x24, segments[0], indefinite(0x24, *segments[1:])))
    )
    content = b"\0" * 1000 + b"\1" * 1000 + b"\2" * 1000
    assert ber.to_der(streamed) == der(0x30, der(0x06, b"\x2a") + der(0xA0, der(0x04, content)))


def test_the_order_of_a_set_is_kept() -> None:
    assert ber.to_der(indefinite(0x31, b"\x02\x01\x05", b"\x02\x01\x03")) == bytes.fromhex("3106020105020103")


# ------------------------------------------------------------------------------- IMPLICIT OCTET STRING ([0] in CMS)


@given(st.binary(max_size=80), st.data())
def test_octets_joins_every_encoding_of_a_tagged_octet_string(content: bytes, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(content)))
    nested = indefinite(0x24, der(0x04, content[:cut]), indefinite(0x24), indefinite(0x24, der(0x04, content[cut:])))
    message = b"prefix" + nested + b"suffix"
    assert ber.octets(message, 0xA0, 6, 6 + len(nested)) == content
    assert ber.octets(message, 0x24, 6, 6 + len(nested)) == content
    assert ber.octets(der(0x80, content), 0x80, 2, 2 + len(content)) == content


def test_primitive_octets_are_a_view_of_the_input() -> None:
    data = bytearray(der(0x80, b"abc"))
    view = ber.octets(memoryview(data), 0x80, 2, 5)
    data[2] = 0x78
    assert view == b"xbc"


@pytest.mark.parametrize("segment", [b"\x02\x01\x05", b"\x04\x05\x00", b"\x24\x80\x04\x00", b"\x00\x00", b"\x04"])
def test_octets_refuses_what_is_no_segment(segment: bytes) -> None:
    with pytest.raises(MalformedMessage):
        ber.octets(segment, 0xA0, 0, len(segment))


def test_octets_do_not_read_behind_their_end() -> None:
    data = b"\x04\x01a" + b"\x04\x01b"
    assert ber.octets(data, 0xA0, 0, 3) == b"a"
    with pytest.raises(MalformedMessage):
        ber.octets(data, 0xA0, 0, 4)


def test_named_places_of_implicit_octet_strings_are_joined_on_the_way() -> None:
    segments = indefinite(0xA0, der(0x04, b"ab"), der(0x04, b"c"))
    streamed = indefinite(0x30, indefinite(0xA0, indefinite(0x30, indefinite(0x30, der(0x06, b"\x2a"), segments))))
    path = frozenset({(0x30, 0xA0, 0x30, 0x30, 0xA0)})
    joined = der(0x30, der(0xA0, der(0x30, der(0x30, der(0x06, b"\x2a") + der(0x80, b"abc")))))
    assert ber.to_der(streamed, octet_strings=path) == joined
    assert ber.to_der(joined, octet_strings=path) is joined
    left = der(
        0x30, der(0xA0, der(0x30, der(0x30, der(0x06, b"\x2a") + der(0xA0, der(0x04, b"ab") + der(0x04, b"c")))))
    )
    assert ber.to_der(streamed) == left
    assert ber.to_der(left, octet_strings=path) == joined


def test_der_or_converted_converts_only_what_fails() -> None:
    seen: list[bytes] = []

    def parse(data: bytes | memoryview) -> int:
        seen.append(bytes(data))
        return ber.content(data, 0, len(data), 0x30, expected="a SEQUENCE")[0]

    assert ber.der_or_converted(b"\x30\x00", parse) == 2
    assert ber.der_or_converted(b"\x30\x80\x00\x00", parse) == 2
    assert seen == [b"\x30\x00", b"\x30\x80\x00\x00", b"\x30\x00"]
    with pytest.raises(MalformedMessage, match="a SEQUENCE"):
        ber.der_or_converted(b"\x31\x00", parse)


# ----------------------------------------------------------------------------------------------- limits and effort


@pytest.mark.parametrize("opening", [b"\x30\x80", b"\x24\x80", b"\xa0\x80", b"\x23\x80"])
def test_a_depth_bomb_is_refused_without_recursion(opening: bytes) -> None:
    bomb = opening * 100_000
    with pytest.raises(LimitExceeded) as raised:
        ber.to_der(bomb)
    assert (raised.value.limit, raised.value.offset) == ("asn1_depth", 2 * DEFAULT_LIMITS.asn1_depth)
    with pytest.raises(MalformedMessage):  # the limit, or a segment of the wrong kind
        ber.octets(bomb, 0xA0, 0, len(bomb))


def test_a_definite_depth_bomb_is_refused() -> None:
    bomb = b""
    for _ in range(DEFAULT_LIMITS.asn1_depth):
        bomb = der(0x30, bomb)
    assert ber.to_der(bomb) is bomb
    with pytest.raises(LimitExceeded):
        ber.to_der(der(0x30, bomb))


@pytest.mark.parametrize("kind", [b"\x05\x00", b"\x04\x00", b"\x04\x82\x00\x00", b"\x30\x80\x00\x00"])
@pytest.mark.parametrize("around", [0x30, 0x24])
def test_the_number_of_values_is_limited(kind: bytes, around: int) -> None:
    limits = Limits(asn1_elements=100)
    with pytest.raises(MalformedMessage):
        ber.to_der(indefinite(around, kind * 101), limits)
    if around == 0x30 or kind[0] == 0x04:
        with pytest.raises(LimitExceeded):
            ber.to_der(indefinite(around, kind * 101), limits)
        ber.to_der(indefinite(around, kind * 99), limits)


def test_the_size_is_limited() -> None:
    with pytest.raises(LimitExceeded):
        ber.to_der(b"\x04\x01a", Limits(message_size=2))


def test_one_level_of_siblings_is_limited() -> None:
    with pytest.raises(LimitExceeded):
        ber.children(b"\x05\x00" * 11, 0, 22, Limits(asn1_elements=10))
    assert len(ber.children(b"\x05\x00" * 10, 0, 20, Limits(asn1_elements=10))) == 10


def _pieces(data: bytes) -> int:
    """Pieces of output of a conversion: what its time and memory are made of."""
    conversion = ber._Conversion(data, DEFAULT_LIMITS)
    conversion.convert_value()
    conversion.joined()
    return len(conversion.output)


@pytest.mark.parametrize(
    "value", [b"\x05\x00", b"\x04\x81\x01a", b"\x30\x80\x05\x00\x00\x00", b"\x24\x80\x04\x01a\x04\x01b\x00\x00"]
)
def test_work_grows_with_the_input_and_no_faster(value: bytes) -> None:
    small, large = (_pieces(indefinite(0x30, value * number)) for number in (100, 1_000))
    assert large <= 10 * small
    assert large <= 4 * 1_000 + 2


def test_neighbours_that_need_no_change_are_copied_in_one_piece() -> None:
    assert _pieces(indefinite(0x30, b"\x02\x01\x05" * 1_000)) == 2


def test_streamed_megabytes_are_joined_once() -> None:
    segment = der(0x04, bytes(range(250)) * 4)
    streamed = indefinite(0x30, indefinite(0xA0, indefinite(0x24, segment * 25_000)))
    converted = ber.to_der(streamed)
    content = bytes(range(250)) * 4 * 25_000
    assert converted == der(0x30, der(0xA0, der(0x04, content)))


# -------------------------------------------------------------------------------------------- walking and encoding


@given(encodings())
def test_headers_are_read_as_asn1crypto_reads_them(value: Encoded) -> None:
    tag, start, end = ber.read_header(value.der, 0, len(value.der))
    theirs = parser.parse(value.der, strict=True)
    assert value.der[start:end] == theirs[4]
    assert ber.encode(tag, value.der[start:end]) == value.der
    assert ber.read_header(b"xx" + value.der + b"yy", 2, 2 + len(value.der)) == (tag, start + 2, end + 2)


@given(encodings())
def test_a_header_cut_anywhere_is_malformed(value: Encoded) -> None:
    for length in range(len(value.der)):
        for cut in (value.der[:length], value.der):
            with pytest.raises(MalformedMessage):
                ber.read_header(cut, 0, length)


@pytest.mark.parametrize("header", ["3080", "308100", "30817f", "30820080", "3083000100", "30820000", "0481" + "00"])
def test_only_der_lengths_are_walked(header: str) -> None:
    data = bytes.fromhex(header) + bytes(300)
    with pytest.raises(MalformedMessage) as raised:
        ber.read_header(data, 0, len(data))
    assert raised.value.expected == "a definite length in as few octets as possible (DER)"
    assert raised.value.offset == 1


@given(st.lists(encodings(), max_size=6))
def test_children_fill_their_parent(values: list[Encoded]) -> None:
    data = b"before" + b"".join(value.der for value in values) + b"after"
    found = ber.children(data, 6, len(data) - 5)
    assert [data[start:end] for _, start, _, end in found] == [value.der for value in values]
    assert ber.elements(memoryview(data), 6, len(data) - 5) == [value.der for value in values]


@given(st.lists(encodings(), min_size=1, max_size=4), st.integers(1, 3))
def test_children_that_do_not_fill_their_parent_are_malformed(values: list[Encoded], lacking: int) -> None:
    data = b"".join(value.der for value in values)
    end = len(data) - lacking
    if end <= 0 or any(end == last for _, _, _, last in ber.children(data, 0, len(data))):
        return
    with pytest.raises(MalformedMessage):
        ber.children(data, 0, end)


def test_content_names_what_it_wanted() -> None:
    assert ber.content(b"\x30\x02\x05\x00", 0, 4, 0x30, expected="a SignedData") == (2, 4)
    with pytest.raises(MalformedMessage, match="at offset 2: expected a SignedData"):
        ber.content(b"\x30\x02\x05\x00", 2, 4, 0x30, expected="a SignedData")


@given(st.integers(0, 2**40))
def test_lengths_are_minimal(length: int) -> None:
    assert ber.encode_length(length) == length_octets(length)


@given(st.lists(st.binary(max_size=200), max_size=4), st.sampled_from((0x30, 0xA0, 0x9F1F, 0xBF8148)))
def test_encode_joins_its_parts(parts: list[bytes], tag: int) -> None:
    assert ber.encode(tag, *parts) == der(tag, b"".join(parts))
    assert ber.encode(tag, *[memoryview(part) for part in parts]) == der(tag, b"".join(parts))


@given(st.lists(encodings(), max_size=8))
def test_a_set_of_is_encoded_in_der_order(values: list[Encoded]) -> None:
    """X.690 section 11.6, word for word: compared as octet strings, the shorter padded with trailing zero octets."""
    widest = max((len(value.der) for value in values), default=0)
    ordered = sorted((value.der for value in values), key=lambda encoding: encoding.ljust(widest, b"\0"))
    assert ber.encode_set(0x31, [value.der for value in values]) == der(0x31, b"".join(ordered))


def test_a_hostile_set_of_equal_beginnings_is_sorted() -> None:
    encodings_of_set = [der(0x04, b"a" * 100 + number.to_bytes(3, "big")) for number in range(20_000, 0, -1)]
    data = ber.encode_set(0x31, encodings_of_set)
    _, start, end = ber.read_header(data, 0, len(data))
    assert ber.elements(data, start, end) == encodings_of_set[::-1]
