"""Messages as spans of the input: trees, boundaries as hostile mail writes them, limits."""

from __future__ import annotations

import email
import email.policy
import time
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smime_engine.errors import LimitExceeded
from smime_engine.limits import Limits
from smime_engine.mime.canonical import with_crlf
from smime_engine.mime.defects import Defect
from smime_engine.mime.parse import Entity, parse_entity
from tests.mime import entities

MIXED = b"Content-Type: multipart/mixed; boundary=b\n\n"


def shape(entity: Entity):
    """Media types and bodies, nested as the parts are."""
    if entity.parts:
        return entity.content_type.value, [shape(part) for part in entity.parts]
    return bytes(entity.body)


def bodies(octets: bytes) -> list[bytes]:
    return [bytes(part.body) for part in parse_entity(octets).parts]


def test_a_message():
    octets = b"From: a@b\r\nSubject: x\r\n\r\nbody\r\n"
    entity = parse_entity(octets)
    assert bytes(entity.raw) == octets
    assert bytes(entity.body) == b"body\r\n"
    assert entity.header == b"From: a@b\r\nSubject: x\r\n"
    assert entity.content_type.value == "text/plain"
    assert [field.name for field in entity.fields] == ["From", "Subject"]
    assert entity.named("SUBJECT")[0].value == "x"
    assert entity.defects == entity.parts == ()
    assert list(entity.walk()) == [entity]


@pytest.mark.parametrize(
    ("octets", "body", "defects"),
    [
        (b"", b"", ()),
        (b"\r\nbody", b"body", ()),
        (b"\nbody", b"body", ()),
        (b"A: b", b"", ()),
        (b"A: b\r\n", b"", ()),
        (b"A: b\r\n\r\n", b"", ()),
        (b"body", b"body", (Defect.HEADER_BROKEN_OFF,)),
        (b"A: b\r\nbody\r\n\r\nmore", b"body\r\n\r\nmore", (Defect.HEADER_BROKEN_OFF,)),
        (b"From me Mon Jan\nA: b\n\nbody", b"body", (Defect.ENVELOPE_LINE,)),
        (b">From me\nA: b\n\nbody", b"body", (Defect.ENVELOPE_LINE,)),
        (b"From : a@b\n\nbody", b"body", ()),
        (b"Content-Type: a/b\nContent-Type: c/d\n\nbody", b"body", (Defect.DUPLICATE_FIELD,)),
        (b"Content-Type: nonsense\n\nbody", b"body", (Defect.MALFORMED_CONTENT_TYPE,)),
        (b"Content-Type: multipart/mixed\n\nbody", b"body", (Defect.NO_BOUNDARY,)),
        (b'Content-Type: multipart/mixed; boundary=" "\n\nbody', b"body", (Defect.NO_BOUNDARY,)),
        (MIXED + b"body", b"body", (Defect.NO_PARTS,)),
        (MIXED + b"--b--\nbody", b"--b--\nbody", (Defect.NO_PARTS,)),
    ],
)
def test_odd_messages(octets, body, defects):
    entity = parse_entity(octets)
    assert bytes(entity.body) == body
    assert entity.defects == defects


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"], ids=["LF", "CRLF"])
@pytest.mark.parametrize(
    ("body", "parts"),
    [
        (b"--b\n\n1\n--b\n\n2\n--b--\n", [b"1", b"2"]),
        (b"preamble\n--b\n\n1\n--b--\nepilogue\n--b\n\nnot a part", [b"1"]),
        (b"\n\n--b\n\n1\n--b--", [b"1"]),
        (b"--b \t\n\n1\n--b-- \n", [b"1"]),
        (b"--b\n\n1\n", [b"1\n"]),
        (b"--b\n\n1\n--b\n\n2", [b"1", b"2"]),
        (b"--b\n\n1\n--b", [b"1", b""]),
        (b"--b\n\n\n--b\n\n--b\n--b\n\n\n\n--b--", [b"", b"", b"", b"\n"]),
        (b"--b\n\n1\n--bb\n--b\xff\n--b --\n--b-\n -b\n--B\n--b--\n", [b"1\n--bb\n--b\xff\n--b --\n--b-\n -b\n--B"]),
        (b"--b\n\nx--b\n --b\n--b--", [b"x--b\n --b"]),
        (b"--b\nA: b\n--b\nA: b\n\n--b\nno header\n--b--", [b"", b"", b"no header"]),
    ],
)
def test_boundaries(line_end, body, parts):
    octets = (MIXED + body).replace(b"\n", line_end)
    assert bodies(octets) == [part.replace(b"\n", line_end) for part in parts]


def test_mixed_line_ends():
    assert bodies(MIXED + b"--b\r\n\r\n1\r\n\n--b\n\n2\n\r\n--b\r\n\n3\r\r\n--b--") == [b"1\r\n", b"2\n", b"3\r"]


def test_line_end_before_a_boundary_belongs_to_it():
    part = parse_entity(MIXED + b"--b\nContent-Type: a/b\r\n\r\nsigned\r\n\n--b--\n").parts[0]
    assert bytes(part.raw) == b"Content-Type: a/b\r\n\r\nsigned\r\n"


def test_preamble_and_epilogue():
    entity = parse_entity(MIXED + b"one\ntwo\n--b\n\n1\n--b--\nthree\n")
    assert entity.preamble is not None
    assert entity.epilogue is not None
    assert entity.data[slice(*entity.preamble)] == b"one\ntwo"
    assert entity.data[slice(*entity.epilogue)] == b"three\n"
    unclosed = parse_entity(MIXED + b"--b\n\n1\n")
    assert unclosed.epilogue is None
    assert unclosed.defects == (Defect.MISSING_CLOSING_BOUNDARY,)


def test_outer_boundary_ends_inner_parts():
    inner = b"Content-Type: multipart/mixed; boundary=bb\n\n--bb\n\n1\n"
    octets = MIXED + b"--b\n" + inner + b"--b\n\n2\n--bb--\n\n--b--\n"
    assert shape(parse_entity(octets)) == (
        "multipart/mixed",
        [("multipart/mixed", [b"1"]), b"2\n--bb--\n"],
    )


def test_same_boundary_nested_belongs_to_the_outer_one():
    octets = MIXED + b"--b\n" + MIXED + b"--b\n\n1\n--b--\n--b\n\n2\n--b--\n"
    entity = parse_entity(octets)
    assert shape(entity) == ("multipart/mixed", [b"", b"1"])
    assert entity.parts[0].defects == (Defect.NO_PARTS,)


def test_boundary_that_begins_with_another():
    outer = b"Content-Type: multipart/mixed; boundary=bb\n\n"
    octets = outer + b"--bb\n" + MIXED + b"--b\n\n1\n--b--\n--bb--\n"
    assert shape(parse_entity(octets)) == ("multipart/mixed", [("multipart/mixed", [b"1"])])


@pytest.mark.parametrize(
    "boundary", ['"b 1"', '"b:=?"', '"b\'(),/"', "b\xfc", '"b\\"q"', '"trailing "', "*=us-ascii''b%2B"]
)
def test_boundary_spellings(boundary):
    plain = {"*=us-ascii''b%2B": "b+", '"b\\"q"': 'b"q', '"trailing "': "trailing"}.get(boundary, boundary.strip('"'))
    name = "boundary" if boundary.startswith("*") else "boundary="
    for codec in ("utf-8", "latin-1"):
        octets = f"Content-Type: multipart/mixed; {name}{boundary}\n\n--{plain}\n\n1\n--{plain}--\n".encode(codec)
        assert bodies(octets) == [b"1"]


def test_messages_inside():
    message = b"From: a@b\nContent-Type: text/html\n\n<p>"
    entity = parse_entity(b"Content-Type: message/rfc822\n\n" + message)
    assert bytes(entity.parts[0].raw) == message
    assert entity.parts[0].content_type.value == "text/html"
    digest = parse_entity(b"Content-Type: multipart/digest; boundary=b\n\n--b\n\n" + message + b"\n--b--")
    assert [part.content_type.value for part in digest.walk()] == ["multipart/digest", "message/rfc822", "text/html"]
    encoded = parse_entity(b"Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nRnJvbTogYUBiCg==\n")
    assert encoded.parts == ()
    assert encoded.decoded() == b"From: a@b\n"


@pytest.mark.parametrize(
    ("encoding", "body", "decoded"),
    [
        ("base64", b"YWJj\r\n", b"abc"),
        ("BASE64 (comment)", b"YWJj\r\n", b"abc"),
        ("quoted-printable", b"a=3Db", b"a=b"),
        ("8bit", b"a=3Db", b"a=3Db"),
        ("x-unknown", b"a=3Db", b"a=3Db"),
        ("", b"a=3Db", b"a=3Db"),
    ],
)
def test_decoding(encoding, body, decoded):
    assert bytes(parse_entity(f"Content-Transfer-Encoding: {encoding}\n\n".encode() + body).decoded()) == decoded


def nested(depth: int) -> bytes:
    octets = b"\nx"
    for level in range(depth):
        octets = f"Content-Type: multipart/mixed; boundary=b{level}x\n\n--b{level}x\n".encode() + octets
    return octets


def test_limits():
    assert parse_entity(nested(32))
    with pytest.raises(LimitExceeded, match="mime_depth"):
        parse_entity(nested(33))
    with pytest.raises(LimitExceeded, match="mime_depth"):
        parse_entity(b"Content-Type: message/rfc822\n\n" * 33)
    with pytest.raises(LimitExceeded, match="mime_depth"):
        parse_entity(b"Content-Type: message/rfc822\n\n" * 5_000, limits=Limits(mime_depth=1_000_000))
    many = MIXED + b"--b\n" * 12_000
    with pytest.raises(LimitExceeded, match="mime_parts"):
        parse_entity(many)
    assert len(parse_entity(many, limits=Limits(mime_parts=20_000)).parts) == 12_000
    with pytest.raises(LimitExceeded, match="mime_parts"):
        parse_entity(MIXED + b"--b x\n" * 30_000)
    with pytest.raises(LimitExceeded, match="message_size"):
        parse_entity(b"x" * 101, limits=Limits(message_size=100))


@pytest.mark.parametrize("line_end", [b"\r\n", b"\n"], ids=["CRLF", "LF"])
@given(data=st.data())
def test_agrees_with_the_standard_library(line_end, data):
    part = data.draw(entities.entities(line_end).filter(entities.boundaries_are_distinct))
    octets = part.octets(line_end)
    theirs = email.message_from_bytes(octets, policy=email.policy.compat32)
    _same_tree(parse_entity(octets), theirs)


def _same_tree(ours, theirs):
    assert ours.content_type.value == theirs.get_content_type()
    assert len(ours.fields) == len(theirs.keys())
    payload = theirs.get_payload()
    if not ours.parts:
        if ours.content_type.type != "multipart":
            decoded = payload if isinstance(payload, list) else theirs.get_payload(decode=True)
            if ours.transfer_encoding in {"base64", "quoted-printable"}:
                return  # they differ where the encoding is broken
            # The last line end of a part without closing boundary is the part's for us, nobody's for them, who also
            # take away a second one where the part consists of nothing else.
            own, other = with_crlf(bytes(ours.decoded())), with_crlf(decoded)
            assert own.rstrip(b"\r\n") == other.rstrip(b"\r\n")
            assert len(own) - len(other) in ({0, 2} if own.strip() else {0, 2, 4})
        return
    assert isinstance(payload, list)
    assert len(ours.parts) == len(payload)
    for first, second in zip(ours.parts, payload, strict=True):
        _same_tree(first, second)


@given(st.data())
def test_cut_at_every_offset(data):
    octets = data.draw(entities.entities(b"\r\n")).octets()[:1_500]
    whole = parse_entity(octets)
    assert bytes(whole.raw) == octets
    for end in range(0, len(octets), max(1, len(octets) // 200)):
        for cut in (octets[:end], octets[end:]):
            for entity in parse_entity(cut).walk():
                assert 0 <= entity.start <= entity.header_end <= entity.body_start <= entity.end <= len(cut)
                assert all(entity.body_start <= part.start <= part.end <= entity.end for part in entity.parts)


def test_parts_are_not_copied():
    octets = MIXED + b"--b\nContent-Transfer-Encoding: 8bit\n\n" + b"x" * 5_000_000 + b"\n--b--\n"
    tracemalloc.start()
    try:
        part = parse_entity(octets).parts[0]
        assert len(part.decoded()) == len(part.body) == 5_000_000
        assert tracemalloc.get_traced_memory()[1] < 200_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "unit", [b"--b\n", b"--b", b"\n--b x", b"\n", b"\r", b"--b--\n", b"A: b\n", b"--b\n\n", b"\n-", b"--b\r"]
)
def test_time_is_linear(unit):
    limits = Limits(mime_parts=1 << 30, header_size=1 << 30, header_fields=1 << 30)

    def seconds(count):
        octets = MIXED + b"--b\n" + unit * count
        start = time.perf_counter()
        parse_entity(octets, limits=limits)
        return time.perf_counter() - start

    small = 20_000 // len(unit)
    assert seconds(8 * small) < 40 * seconds(small) + 0.3
