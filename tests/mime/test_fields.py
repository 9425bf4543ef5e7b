"""Header fields: where a header ends, what its fields are, the same by look-up as by splitting."""

from __future__ import annotations

import email
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smime_engine.errors import LimitExceeded
from smime_engine.limits import Limits
from smime_engine.mime.fields import header_end, header_with_content_type, named_fields, split_fields, unfold
from smime_engine.mime.parse import parse_entity


@pytest.mark.parametrize(
    ("data", "end"),
    [
        (b"", 0),
        (b"\r\nbody", 0),
        (b"A: b", 4),
        (b"A: b\r\n\r\nbody", 6),
        (b"A: b\n\nbody", 5),
        (b"A: b\r\n\tfolded\r\n\r\n", 15),
        (b"A: b\r\n \r\nB: c\r\n\r\n", 15),
        (b"A : b\r\n\r\n", 7),
        (b"A: b\r\nno field\r\nB: c\r\n\r\n", 6),
        (b"A: b\r\n: empty name\r\n\r\n", 6),
        (b"A: b\r\nN\xc3\xa4me: x\r\n\r\n", 6),
        (b"A: b\rB: c\r\n\r\n", 11),
        (b" A: b\r\n\r\n", 0),
        (b"From someone\nA: b\n\n", 0),
        (b"A:\r\nB:\r\n\r\n", 8),
    ],
)
def test_end_of_the_header(data, end):
    assert header_end(data, 0, len(data)) == end
    assert header_with_content_type(data, 0, len(data), Limits())[0] == end
    assert b"".join(field.raw for field in split_fields(data[:end])) == data[:end]


def test_fields_keep_their_octets_beside_the_value():
    header = b"Subject: =?utf-8?q?a?=\r\n\t folded \r\nX-Latin: Gr\xfc\xdfe\r\nTo : a@b\n"
    fields = split_fields(header)
    assert [field.name for field in fields] == ["Subject", "X-Latin", "To"]
    assert [field.value for field in fields] == ["=?utf-8?q?a?=\t folded", "Grüße", "a@b"]
    assert fields[0].raw == b"Subject: =?utf-8?q?a?=\r\n\t folded \r\n"


def test_look_up_by_name():
    header = b"x-to: no\r\nTO: 1\r\nReply-To: no\r\nto \t: 2\r\n folded\r\nX: to: no\r\nX:\r\n to: no\r\nTo: 3"
    assert [unfold(raw.partition(b":")[2]) for raw in named_fields(header, b"to")] == [b"1", b"2 folded", b"3"]


_LINES = st.lists(
    st.sampled_from([
        b"A: b", b"a : c", b"A:", b"AB: x", b" A: folded", b"\tfolded", b"", b" ", b"junk", b"A\xff: x", b":x",
        b"\rA: y",
        b"Content-Type: text/plain", b"CONTENT-TYPE :a/b", b"Content-Type-X: c/d",
    ]),
    max_size=12,
)  # fmt: skip


@given(_LINES, st.sampled_from([b"\n", b"\r\n"]))
def test_look_up_and_splitting_agree(lines, line_end):
    data = line_end.join(lines)
    header = data[: header_end(data, 0, len(data))]
    fields = split_fields(header)
    assert b"".join(field.raw for field in fields) == header
    for name in ("a", "ab", "content-type"):
        found = named_fields(header, name.encode())
        assert found == [field.raw for field in fields if field.name.lower() == name]
    end, content_type, several = header_with_content_type(data, 0, len(data), Limits())
    assert end == len(header)
    assert several == (len(found) > 1)
    assert (None if content_type is None else unfold(content_type)) == (
        unfold(found[0].partition(b":")[2]) if found else None
    )


@given(_LINES.filter(lambda lines: not any(b"\r" in line or line.startswith(b":") for line in lines)))
def test_agrees_with_the_standard_library(lines):
    data = b"\n".join([b"First: x", *lines, b"", b"body"])
    theirs = email.message_from_bytes(data.replace(b"a : c", b"a: c").replace(b"TYPE :a", b"TYPE:a"))
    ours = parse_entity(data)
    assert [field.name for field in ours.fields] == theirs.keys()


def test_limits():
    with pytest.raises(LimitExceeded, match="header_size") as caught:
        header_end(b"A: " + b"b" * 2_000, 0, 2_003, Limits(header_size=1_000))
    assert caught.value.limit == "header_size"
    assert header_end(b"A: b\n" * 500 + b"\n", 0, 2_501, Limits(header_fields=500)) == 2_500
    with pytest.raises(LimitExceeded, match="header_fields"):
        header_end(b"A: b\n" * 501 + b"\n", 0, 2_506, Limits(header_fields=500))
    with pytest.raises(LimitExceeded, match="header_fields"):
        parse_entity(b"A:\n" * 5_000)
    body = b"A: b\n\n" + b"C: d\n" * 5_000
    assert header_end(body, 0, len(body)) == 5


@pytest.mark.parametrize("unit", [b"a", b":", b" ", b"\n", b"\r", b"a:", b"a:\n", b"a:\n ", b"\n "])
def test_time_is_linear(unit):
    def seconds(count):
        data = b"A:" + unit * count
        start = time.perf_counter()
        end = header_end(data, 0, len(data), Limits(header_size=1 << 30, header_fields=1 << 30))
        named_fields(data[:end], b"a")
        split_fields(data[:end])
        return time.perf_counter() - start

    small = 40_000 // len(unit)
    assert seconds(8 * small) < 40 * seconds(small) + 0.3
