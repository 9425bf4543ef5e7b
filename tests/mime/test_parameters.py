"""Content-Type and Content-Disposition, as the standards and as careless and hostile senders write them."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smime_engine.errors import LimitExceeded
from smime_engine.limits import Limits
from smime_engine.mime.defects import Defect
from smime_engine.mime.parameters import encode_parameter, parse_content_type, parse_parameterised


@pytest.mark.parametrize(
    ("raw", "value", "parameters"),
    [
        ("text/plain", "text/plain", {}),
        ("Text/HTML; Charset=UTF-8", "text/html", {"charset": "UTF-8"}),
        ("text/plain;charset=utf-8;", "text/plain", {"charset": "utf-8"}),
        ('a/b; x="a;b"; y="q\\"p\\\\"', "a/b", {"x": "a;b", "y": 'q"p\\'}),
        ('a/b (comment; x=1); y=2 (more (nested) \\) "quote)', "a/b", {"y": "2"}),
        ("a/b; x = 1 ;\r\n\ty\r\n =2", "a/b", {"x": "1", "y": "2"}),
        ('multipart/signed; boundary="=_a=b"', "multipart/signed", {"boundary": "=_a=b"}),
        # RFC 2231
        ("a/b; name*=utf-8'de'Gr%C3%BC%C3%9Fe", "a/b", {"name": "Grüße"}),
        ('a/b; name*0=abc; name*1="d e"; name*2=f', "a/b", {"name": "abcd ef"}),
        ("a/b; name*1*=%C3%9F; name*0*=iso-8859-1''Gr%FC; name*2=e", "a/b", {"name": "GrüÃ\x9fe"}),
        ("a/b; name*0*=utf-8''Gr%C3; name*1*=%BC%C3%9Fe", "a/b", {"name": "Grüße"}),
        ("a/b; name*=plain%20text", "a/b", {"name": "plain text"}),
        ("a/b; name*=unknown'x'%E9", "a/b", {"name": "é"}),
        ("a/b; name*=utf-8''%zz%4", "a/b", {"name": "%zz%4"}),
        ("a/b; name=x; name*=utf-8''y", "a/b", {"name": "y"}),
        ("a/b; boundary*=us-ascii''x%2By", "a/b", {"boundary": "x+y"}),
        # careless senders
        ("a/b; name=my file.txt", "a/b", {"name": "my file.txt"}),
        ("a/b; boundary=a=b", "a/b", {"boundary": "a=b"}),
        ("text/plain charset=utf-8", "text/plain", {"charset": "utf-8"}),
        ('a/b; name="x" charset=utf-8', "a/b", {"name": "x", "charset": "utf-8"}),
        ('a/b; name="no end', "a/b", {"name": "no end"}),
        ("a/b; name=Gr\udcfc\udcdfe", "a/b", {"name": "Grüße"}),
        ("a/b;;; x=1;; y", "a/b", {"x": "1"}),
        ("a/b; x=1; X=2", "a/b", {"x": "1"}),
        ("a/b; name=<a@b>", "a/b", {"name": "<a@b>"}),
        ("a/b; x=", "a/b", {"x": ""}),
        ("a/b; x=1\0\x01", "a/b", {"x": "1\x01"}),
        ("message/rfc\000822", "message/rfc822", {}),
    ],
)
def test_values_and_parameters(raw, value, parameters):
    found = parse_content_type(raw.encode("ascii", "surrogateescape") if "\udcfc" in raw else raw.encode())
    assert found.value == value
    assert dict(found.parameters) == parameters


@pytest.mark.parametrize(
    "raw", ["", "text", "text/", "/plain", "a/b/c", "; charset=utf-8", "charset=utf-8", "\0", "=;="]
)
def test_unusable_type_is_the_default(raw):
    found = parse_content_type(raw.encode(), default="message/rfc822")
    assert found.value == "message/rfc822"
    assert found.defects[0] is Defect.MALFORMED_CONTENT_TYPE
    assert (found.type, found.subtype) == ("message", "rfc822")


def test_parameters_survive_an_unusable_type():
    assert parse_content_type(b"; charset=utf-8").parameter("charset") == "utf-8"
    assert parse_content_type(b"charset=utf-8").parameter("charset") == "utf-8"


@pytest.mark.parametrize(
    ("raw", "defect"),
    [
        (b"a/b; x=1; x=2", Defect.DUPLICATE_PARAMETER),
        (b"a/b; boundary=x; boundary*=us-ascii''y", Defect.DUPLICATE_PARAMETER),
        (b"a/b; x*0=1; x*0=2", Defect.DUPLICATE_PARAMETER),
        (b"a/b; x*1=1", Defect.MALFORMED_PARAMETERS),
        (b'a/b; x="1', Defect.MALFORMED_PARAMETERS),
        (b"a/b; x", Defect.MALFORMED_PARAMETERS),
        (b"a/b x=1", Defect.MALFORMED_PARAMETERS),
    ],
)
def test_defects(raw, defect):
    assert defect in parse_content_type(raw).defects


def test_same_value_twice_is_no_contradiction():
    assert parse_content_type(b"a/b; x=1; x=1").defects == ()


def test_too_many_parameters():
    raw = b"a/b" + b"; x=1" * 300
    for kind in (raw, raw.replace(b"x=", b"x*0=")):
        with pytest.raises(LimitExceeded, match="mime_parameters"):
            parse_content_type(kind)
    assert parse_content_type(raw, limits=Limits(mime_parameters=400)).parameter("x") == "1"


@given(
    st.from_regex(r"[a-z][a-z0-9-]{0,12}", fullmatch=True),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=150),
)
def test_written_parameters_are_read_back(name, value):
    pieces = encode_parameter(name, value)
    assert all(len(piece) <= 75 and piece.isascii() for piece in pieces)
    found = parse_parameterised(("x; " + ";\r\n\t".join(pieces)).encode("ascii"))
    assert found.parameter(name) == value
    assert found.defects == ()


@given(st.binary(max_size=80) | st.lists(st.sampled_from(
    [b"a/b", b";", b"=", b'"', b"\\", b"(", b")", b" ", b"*0", b"*", b"'", b"%41", b"x", b"\xff", b"\r\n ", b"\0"],
), max_size=20).map(b"".join))  # fmt: skip
def test_never_fails(raw):
    found = parse_content_type(raw)
    assert "/" in found.value
    assert all(name == name.lower() for name, _ in found.parameters)
    parse_parameterised(raw)


@given(st.lists(st.sampled_from(["; x=1", '; y="2"', ";z=a-b", "; Q = 3", "; name=a.b", " "]), max_size=6).map("".join))
def test_quick_and_thorough_way_agree(rest):
    quick = parse_parameterised(f"text/plain{rest}".encode())
    thorough = parse_parameterised(f"(comment) text/plain{rest}".encode())
    assert (quick.value, quick.parameters) == (thorough.value, thorough.parameters)


@given(st.lists(st.sampled_from([
    'boundary="x"', 'Boundary="y z"', 'boundary=""', "boundary=q", "boundary*=utf-8''z", 'name="boundary="', 'x="a b"',
    "; ", ";", " ", "(boundary=", ")", 'name="a; ', '"', "\\", "=",
]), max_size=8).map("".join))  # fmt: skip
def test_remembered_and_fresh_reading_agree(rest):
    raw = f"multipart/mixed; {rest}".encode()
    fresh = parse_content_type(raw, limits=Limits(mime_parameters=50))  # too few for what is remembered
    for _ in range(2):
        assert parse_content_type(raw) == fresh


@pytest.mark.parametrize("unit", ['"', "(", ")", "\\", ";", "=", "a", " ", "a=b ", "x*0=1;", "' ", '";', "\udcff"])
def test_time_is_linear(unit):
    def seconds(count):
        raw = f"a/b; x={unit * count}".encode("ascii", "surrogateescape")
        start = time.perf_counter()
        parse_content_type(raw, limits=Limits(mime_parameters=1 << 30))
        return time.perf_counter() - start

    small = 20_000 // len(unit)
    assert seconds(8 * small) < 40 * seconds(small) + 0.3
