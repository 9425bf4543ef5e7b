"""Legacy display elements: written at the top of the text, removed again, nowhere else."""

from __future__ import annotations

import time

import pytest

from smime_engine.mime.canonical import is_clean
from smime_engine.mime.legacy_display import (
    displayed_body,
    main_body_parts,
    with_legacy_display,
    without_legacy_display,
)
from smime_engine.mime.parse import parse_entity

FIELDS = [("Subject", "=?utf-8?q?Gr=C3=BC=C3=9Fe?= <b>&"), ("Keywords", "a")]


def body_of(octets: bytes) -> bytes:
    (part,) = main_body_parts(parse_entity(octets))
    return bytes(part.decoded())


def test_plain_text():
    entity = parse_entity(b"Content-Type: text/plain; charset=utf-8; format=flowed\r\nX: y\r\n\r\nHello\r\n")
    octets = with_legacy_display(entity, FIELDS)
    assert is_clean(octets)
    assert body_of(octets).decode() == "Subject: Grüße <b>&\r\nKeywords: a\r\n\r\nHello\r\n"
    changed = parse_entity(octets)
    assert dict(changed.content_type.parameters) == {"charset": "utf-8", "format": "flowed", "hp-legacy-display": "1"}
    assert changed.named("X")
    assert displayed_body(changed) == b"Hello\r\n"


@pytest.mark.parametrize(
    ("charset", "body"),
    [("us-ascii", b"Hello"), ("iso-8859-1", b"Gr\xfc\xdfe"), ("iso-8859-5", b"\xdf"), ("windows-1252", b"\x80")],
)
def test_text_keeps_its_meaning_whatever_the_character_set(charset, body):
    entity = parse_entity(f"Content-Type: text/plain; charset={charset}\r\n\r\n".encode() + body)
    changed = parse_entity(with_legacy_display(entity, FIELDS))
    codec = changed.content_type.parameter("charset") or ""
    assert bytes(displayed_body(changed)).decode(codec) == body.decode(charset)
    assert bytes(changed.decoded()).decode(codec).startswith("Subject: Grüße")


def test_html():
    document = b"<html><body class='x'><p>Hello</p></body></html>\r\n"
    octets = with_legacy_display(parse_entity(b"Content-Type: text/html; charset=utf-8\r\n\r\n" + document), FIELDS)
    assert body_of(octets) == (
        b"<html><body class='x'><div class=\"header-protection-legacy-display\"><pre>"
        b"Subject: Gr&#252;&#223;e &lt;b&gt;&amp;"
        b"\r\nKeywords: a</pre></div><p>Hello</p></body></html>\r\n"
    )
    assert displayed_body(parse_entity(octets)) == document


def test_character_sets_that_do_not_extend_ascii_are_left_alone():
    octets = b"Content-Type: text/plain; charset=utf-16\r\nContent-Transfer-Encoding: base64\r\n\r\n//5IAGkA\r\n"
    assert with_legacy_display(parse_entity(octets), FIELDS) == octets


MIXED = (
    b"Content-Type: multipart/mixed; boundary=m\r\n\r\n--m\r\n"
    b"Content-Type: multipart/alternative; boundary=a\r\n\r\n--a\r\n\r\nplain\r\n--a\r\n"
    b"Content-Type: multipart/related; boundary=r\r\n\r\n--r\r\nContent-Type: text/html\r\n\r\n<p>\r\n--r\r\n"
    b"Content-Type: image/png\r\n\r\nx\r\n--r--\r\n\r\n--a--\r\n\r\n--m\r\n"
    b"Content-Type: text/plain\r\n\r\nattached\r\n--m--\r\n"
)


def test_main_body_parts_alone_are_changed():
    entity = parse_entity(MIXED)
    assert [part.content_type.value for part in main_body_parts(entity)] == ["text/plain", "text/html"]
    changed = parse_entity(with_legacy_display(entity, FIELDS))
    assert [part.content_type.parameter("hp-legacy-display") for part in changed.walk() if not part.parts] == [
        "1", "1", None, None,
    ]  # fmt: skip
    restored = parse_entity(without_legacy_display(changed))
    assert [bytes(part.decoded()).strip() for part in restored.walk() if not part.parts] == [
        b"plain", b"<p>", b"x", b"attached",
    ]  # fmt: skip


def test_attachments_and_signed_parts_are_left_alone():
    for octets in (
        b"Content-Type: text/plain\r\nContent-Disposition: attachment\r\n\r\nx",
        b"Content-Type: application/pdf\r\n\r\nx",
        MIXED.replace(b"multipart/mixed", b"multipart/signed"),
        MIXED.replace(b"multipart/alternative", b"multipart/signed"),
    ):
        assert with_legacy_display(parse_entity(octets), FIELDS) == octets


@pytest.mark.parametrize(
    ("header", "body", "shown"),
    [
        (b"text/plain", b"Subject: x\r\n\r\nHello", b"Subject: x\r\n\r\nHello"),
        (b"text/plain; hp-legacy-display=0", b"Subject: x\r\n\r\nHello", b"Subject: x\r\n\r\nHello"),
        (b"text/plain; hp-legacy-display=1", b"Subject: x\r\n \t\r\nHello\r\n\r\nx", b"Hello\r\n\r\nx"),
        (b"text/plain; hp-legacy-display=1", b"Subject: x\n\nHello", b"Hello"),
        (b"text/plain; hp-legacy-display=1", b"no blank line", b"no blank line"),
        (b"text/plain; hp-legacy-display=1", b"\r\nHello", b"Hello"),
        (b"text/csv; hp-legacy-display=1", b"a\r\n\r\nb", b"a\r\n\r\nb"),
        (b"text/html; hp-legacy-display=1", b"<p>Hello", b"<p>Hello"),
        (
            b"text/html; hp-legacy-display=1",
            b"<BODY>\r\n<DIV CLASS=header-protection-legacy-display><div>a</div></DIV><p>",
            b"<BODY><p>",
        ),
        (
            b"text/html; hp-legacy-display=1",
            b"<body><p><div class='header-protection-legacy-display'>a</div>",
            b"<body><p><div class='header-protection-legacy-display'>a</div>",
        ),
        (
            b"text/html; hp-legacy-display=1",
            b"<div class='header-protection-legacy-display'>no end",
            b"<div class='header-protection-legacy-display'>no end",
        ),
    ],
)
def test_what_is_shown(header, body, shown):
    assert bytes(displayed_body(parse_entity(b"Content-Type: " + header + b"\r\n\r\n" + body))) == shown


@pytest.mark.parametrize("unit", [b"<div ", b"<div>", b"<body ", b" ", b"\n ", b"<div class=", b"</div>", b"\r"])
def test_time_is_linear(unit):
    start = b'<div class="header-protection-legacy-display">'

    def seconds(count):
        begin = time.perf_counter()
        for kind in (b"html", b"plain"):
            for head in (b"", start, b"<div "):
                octets = b"Content-Type: text/%b; hp-legacy-display=1\r\n\r\n" % kind + head + unit * count
                displayed_body(parse_entity(octets))
        return time.perf_counter() - begin

    small = 20_000 // len(unit)
    assert seconds(8 * small) < 40 * seconds(small) + 0.3
