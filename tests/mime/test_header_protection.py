"""Header protection: what is written is read back, what was changed is told, older schemes are read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smime_engine.mime.build import SplitMessage, split_message
from smime_engine.mime.classify import ClearSigned, classify
from smime_engine.mime.header_protection import (
    HeaderScheme,
    displayed_body,
    hcp_baseline,
    hcp_shy,
    main_body_parts,
    no_confidentiality,
    protect_header,
    read_header,
    restored_message,
)
from smime_engine.mime.parse import parse_entity
from tests.mime import entities

MESSAGE = (
    b"Received: from a by b; Fri, 1 Jan 2027 00:00:00 +0000\r\n"
    b"Subject: The offer\r\n"
    b"From: Alice Doe <alice@example.org>\r\n"
    b"To: Bob <bob@example.org>,\r\n\tCarol <carol@example.org>\r\n"
    b"Bcc: secret@example.org\r\n"
    b"Date: Fri, 1 Jan 2027 12:00:00 +0200\r\n"
    b"Keywords: money\r\n"
    b"Message-ID: <1@example.org>\r\n"
    b"MIME-Version: 1.0\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\n"
    b"\r\n"
    b"We offer much.\r\n"
)


def sent(split: SplitMessage) -> tuple[bytes, bytes]:
    """What travels outside, and the payload inside all layers."""
    return split.outer + b"Content-Type: application/pkcs7-mime\r\n\r\n", b"".join(split.canonical())


def read(outer: bytes, payload: bytes, **layers: bool):
    return read_header(parse_entity(outer), parse_entity(payload), **{"signed": True, "encrypted": False, **layers})


def names(header: bytes) -> list[str]:
    return [field.name for field in parse_entity(header).fields]


def test_signed_only():
    split = protect_header(split_message(MESSAGE), encrypted=False)
    outer, payload = sent(split)
    assert split.outer == split_message(MESSAGE).outer
    assert payload == (
        b"Subject: The offer\r\n"
        b"From: Alice Doe <alice@example.org>\r\n"
        b"To: Bob <bob@example.org>,\r\n\tCarol <carol@example.org>\r\n"
        b"Date: Fri, 1 Jan 2027 12:00:00 +0200\r\n"
        b"Keywords: money\r\n"
        b"Message-ID: <1@example.org>\r\n"
        b'Content-Type: text/plain; charset=utf-8;\r\n hp="clear"\r\n'
        b"\r\n"
        b"We offer much.\r\n"
    )
    report = read(outer, payload)
    assert report.scheme is HeaderScheme.RFC_9788
    assert report.declared == "clear"
    assert all(field.signed and not field.encrypted and not field.differs for field in report.fields)
    assert [field.name for field in report.header] == ["Subject", "From", "To", "Date", "Keywords", "Message-ID"]
    assert [field.name for field in report.unprotected] == ["Received", "Bcc"]
    assert report.changed_outside == ()
    assert not report.from_differs
    assert not report.legacy_display


def test_encrypted_with_the_least_confidentiality():
    outer, payload = sent(protect_header(split_message(MESSAGE), encrypted=True))
    assert names(outer) == [
        "Received", "Subject", "From", "To", "Bcc", "Date", "Message-ID", "MIME-Version", "Content-Type",
    ]  # fmt: skip
    assert b"offer" not in outer
    assert b"Subject: [...]\r\n" in outer
    assert b"HP-Outer: Subject: [...]\r\n" in payload
    assert b"HP-Outer: To: Bob <bob@example.org>,\r\n\tCarol <carol@example.org>\r\n" in payload
    assert b"HP-Outer: Keywords" not in payload
    assert b"\r\n\r\nSubject: The offer\r\nKeywords: money\r\n\r\nWe offer much.\r\n" in payload
    assert b"secret@" not in payload
    report = read(outer, payload, encrypted=True)
    assert report.declared == "cipher"
    assert {field.name for field in report.fields if field.encrypted} == {"Subject", "Keywords"}
    assert {field.name for field in report.fields if field.differs} == {"Subject", "Keywords"}
    assert {field.name: field.value for field in report.fields}["Subject"] == "The offer"
    assert report.changed_outside == ()
    assert report.legacy_display
    (part,) = main_body_parts(report.message)
    assert bytes(displayed_body(part)) == b"We offer much.\r\n"


def test_shy():
    outer, payload = sent(protect_header(split_message(MESSAGE), encrypted=True, policy=hcp_shy))
    assert b"From: alice@example.org\r\nTo: bob@example.org, carol@example.org\r\n" in outer
    assert b"Date: Fri, 01 Jan 2027 10:00:00 +0000\r\n" in outer
    report = read(outer, payload, encrypted=True)
    assert {field.name for field in report.fields if field.encrypted} == {"Subject", "From", "To", "Date", "Keywords"}
    assert not report.from_differs


def test_no_confidentiality():
    split = protect_header(split_message(MESSAGE), encrypted=True, policy=no_confidentiality)
    assert split.outer == split_message(MESSAGE).outer
    report = read(*sent(split), encrypted=True)
    assert not any(field.encrypted or field.differs for field in report.fields)
    assert not report.legacy_display


def test_no_legacy_display_when_not_wanted():
    _, payload = sent(protect_header(split_message(MESSAGE), encrypted=True, legacy_display=False))
    assert payload.endswith(b'hp="cipher"\r\n\r\nWe offer much.\r\n')


@pytest.mark.parametrize(
    ("name", "value", "baseline", "shy"),
    [
        ("SUBJECT", "x", "[...]", "[...]"),
        ("comments", "x", None, None),
        ("Keywords", "x", None, None),
        ("From", '"A" <a@x>', '"A" <a@x>', "a@x"),
        ("From", "A <a@x>, B <b@x>", "A <a@x>, B <b@x>", "A <a@x>, B <b@x>"),
        ("From", "nonsense", "nonsense", "nonsense"),
        ("To", "G: A <a@x>;", "G: A <a@x>;", "G: A <a@x>;"),
        ("Cc", "A <a@x>, b@y", "A <a@x>, b@y", "a@x, b@y"),
        ("Cc", "A <a@x>, junk", "A <a@x>, junk", "A <a@x>, junk"),
        ("Date", "20 Feb 2021 00:06:02 +0500", "20 Feb 2021 00:06:02 +0500", "Fri, 19 Feb 2021 19:06:02 +0000"),
        ("Date", "31 Dec 2020 23:30 -0100 (CVT)", "31 Dec 2020 23:30 -0100 (CVT)", "Fri, 01 Jan 2021 00:30:00 +0000"),
        ("Date", "1 Jan 0001 00:00:00 +0100", "1 Jan 0001 00:00:00 +0100", "1 Jan 0001 00:00:00 +0100"),
        ("Date", "30 Feb 2021 00:00:00 +0000", "30 Feb 2021 00:00:00 +0000", "30 Feb 2021 00:00:00 +0000"),
        ("Date", "yesterday", "yesterday", "yesterday"),
        ("X-Other", "x", "x", "x"),
    ],
)  # fmt: skip
def test_policies(name, value, baseline, shy):
    assert hcp_baseline(name, value) == baseline
    assert hcp_shy(name, value) == shy
    assert no_confidentiality(name, value) == value


def test_field_changed_on_the_way_is_told():
    outer, payload = sent(protect_header(split_message(MESSAGE), encrypted=False))
    report = read(outer.replace(b"Subject: The", b"Subject: [list] The"), payload)
    assert report.changed_outside == ("subject",)
    (subject, *others) = report.fields
    assert (subject.value, subject.outside, subject.differs) == ("The offer", ("[list] The offer",), True)
    assert not any(field.differs for field in others)


def test_hidden_field_that_somebody_added_outside_is_told():
    outer, payload = sent(protect_header(split_message(MESSAGE), encrypted=True))
    report = read(b"Keywords: evil\r\n" + outer, payload, encrypted=True)
    assert report.changed_outside == ("keywords",)
    assert {field.name: field.value for field in report.header}["Keywords"] == "money"


def test_folding_and_encoding_on_the_way_are_no_difference():
    message = "Subject: Grüße  an alle\r\nFrom: a@x\r\n\r\nx\r\n".encode()
    outer, payload = sent(protect_header(split_message(message), encrypted=False))
    assert payload.isascii()
    again = outer.replace("Grüße  an".encode(), b"=?iso-8859-1?q?Gr=FC=DFe?=\r\n  an")
    assert read(again, payload).changed_outside == ()


def test_another_sender_outside_is_told():
    outer, payload = sent(protect_header(split_message(MESSAGE), encrypted=False))
    report = read(outer.replace(b"alice@example.org", b"eve@evil.example"), payload)
    assert report.from_differs
    assert report.changed_outside == ("from",)
    assert not read(outer.replace(b"alice@example.org", b"Alice@Example.ORG"), payload).from_differs


def test_without_a_valid_signature_nothing_is_signed():
    outer, payload = sent(protect_header(split_message(MESSAGE), encrypted=True))
    report = read(outer, payload, signed=False, encrypted=True)
    assert not any(field.signed for field in report.fields)
    assert any(field.encrypted for field in report.fields)


def test_cipher_without_encryption_hides_nothing():
    outer, payload = sent(protect_header(split_message(MESSAGE), encrypted=True))
    report = read(outer, payload, encrypted=False)
    assert not any(field.encrypted for field in report.fields)
    assert not report.legacy_display


def test_clear_inside_encryption_hides_nothing():
    outer, payload = sent(protect_header(split_message(MESSAGE), encrypted=False))
    report = read(outer.replace(b"The offer", b"[...]"), payload, encrypted=True)
    assert not any(field.encrypted for field in report.fields)
    assert report.changed_outside == ("subject",)


def test_message_without_protection():
    report = read(MESSAGE, b"Content-Type: text/plain\r\nSubject: inside\r\n\r\nx\r\n")
    assert report.scheme is None
    assert report.fields == ()
    assert [field.name for field in report.header][:2] == ["Received", "Subject"]
    assert {field.name: field.value for field in report.header}["Subject"] == "The offer"


def test_hp_outer_outside_means_nothing():
    split = split_message(b"HP-Outer: Subject: x\r\n" + MESSAGE)
    outer, payload = sent(protect_header(split, encrypted=True))
    assert b"HP-Outer" not in outer
    assert payload.count(b"HP-Outer: Subject:") == 1
    report = read(b"HP-Outer: Subject: The offer\r\n" + outer, payload, encrypted=True)
    assert {field.name for field in report.fields if field.encrypted} == {"Subject", "Keywords"}


@pytest.mark.parametrize(
    "told",
    [
        b"",
        b"x",
        b"x" * 5_000,
        b":",
        b"Subject",
        b"\r\n Subject: [...]",
        b"Subject:\r\n [...]",
        b"A: b\r\n C: d",
        b"\0: x",
    ],
)
def test_hostile_hp_outer(told):
    payload = b'Subject: s\r\nHP-Outer: %s\r\nContent-Type: text/plain; hp="cipher"\r\n\r\n' % told
    report = read(b"Subject: [...]\r\n\r\n", payload, encrypted=True)
    assert report.fields[0].encrypted
    assert report.changed_outside == (() if b"[...]" in told else ("subject",))


def test_protected_headers_of_the_drafts():
    payload = b'From: a@x\r\nSubject: real\r\nContent-Type: text/plain; protected-headers="v1"\r\n\r\nx\r\n'
    report = read(b"From: a@x\r\nSubject: ...\r\n\r\n", payload, encrypted=True)
    assert report.scheme is HeaderScheme.PROTECTED_HEADERS
    assert {field.name for field in report.fields if field.encrypted} == {"Subject"}
    assert report.changed_outside == ()


@pytest.mark.parametrize("kind", ["message/rfc822", "message/rfc822; forwarded=no", "message/global"])
def test_wrapping_of_rfc_8551(kind):
    payload = f"Content-Type: {kind}\r\n\r\n".encode() + MESSAGE
    report = read(b"From: alice@example.org\r\nSubject: ...\r\n\r\n", payload, encrypted=True)
    assert report.scheme is HeaderScheme.RFC_8551
    assert {field.name: field.encrypted for field in report.fields}["Subject"]
    assert bytes(report.message.body) == b"We offer much.\r\n"


@pytest.mark.parametrize("kind", ["message/rfc822; forwarded=yes", "message/delivery-status", "multipart/mixed"])
def test_what_is_no_wrapping(kind):
    assert read(MESSAGE, f"Content-Type: {kind}\r\n\r\n".encode() + MESSAGE).scheme is None


def test_content_type_keeps_its_octets_where_it_can():
    for content_type, written in [
        (b"Content-type:  Text/Plain ;", b'Content-type:  Text/Plain;\r\n hp="clear"'),
        (b'Content-Type: text/plain; hp="cipher"; x=y', b"Content-Type: text/plain;\r\n\tx=y;\r\n\thp=clear"),
        (b"Content-Type: text/plain (a comment", b"Content-Type: text/plain;\r\n\thp=clear"),
        (b'Content-Type: text/plain; name="open', b"Content-Type: text/plain;\r\n\tname=open;\r\n\thp=clear"),
        (b"Content-Type: nonsense", b"Content-Type: text/plain;\r\n\thp=clear"),
        (
            b"Content-Type: a/b\r\nContent-Type: c/d; hp=x",
            b'Content-Type: a/b;\r\n hp="clear"\r\nContent-Type: c/d; hp=x',
        ),
    ]:
        split = protect_header(split_message(content_type + b"\r\n\r\nx"), encrypted=False)
        assert written in split.content_header
        assert parse_entity(split.inner).content_type.parameter("hp") == "clear"


def test_restored_message():
    for encrypted in (False, True):
        outer, payload = sent(protect_header(split_message(MESSAGE), encrypted=encrypted))
        report = read(outer, payload, encrypted=encrypted)
        restored = restored_message(report)
        expected = split_message(MESSAGE)
        inner = split_message(restored).inner.replace(b"Content-Transfer-Encoding: 7bit\r\n", b"")
        assert inner == expected.inner.replace(b"; ", b";\r\n\t")
        assert sorted(names(restored)) == sorted([*names(MESSAGE), *["Content-Transfer-Encoding"] * encrypted])
        assert b"Subject: The offer\r\n" in restored


def test_restored_message_of_other_schemes():
    wrapped = b"Content-Type: message/rfc822\r\n\r\n" + MESSAGE
    outer = b"Received: x\r\nSubject: ...\r\n\r\n"
    assert restored_message(read(outer, wrapped)).endswith(b"We offer much.\r\n")
    plain = restored_message(read(outer, b"Content-Type: text/html\r\nSubject: ignored\r\n\r\n<p>"))
    assert plain == b"Received: x\r\nSubject: ...\r\nMIME-Version: 1.0\r\nContent-Type: text/html\r\n\r\n<p>"
    draft = b'Subject: real\r\nContent-Type: text/plain; protected-headers="v1"; charset=utf-8\r\n\r\nx'
    assert restored_message(read(outer, draft)) == (
        b"Received: x\r\nSubject: real\r\nMIME-Version: 1.0\r\nContent-Type: text/plain;\r\n\tcharset=utf-8\r\n\r\nx"
    )


@given(entities.entities(b"\r\n"), st.sampled_from([hcp_baseline, hcp_shy, no_confidentiality]), st.booleans())
def test_any_message_is_read_back(part, policy, encrypted):
    header = b"Subject: Gr\xc3\xbc\xc3\x9fe, viele\r\nFrom: A <a@x>\r\nDate: Fri, 1 Jan 2027 12:00:00 +0200\r\n"
    split = split_message(header + part.octets())
    protected = protect_header(split, encrypted=encrypted, policy=policy)
    outer, payload = sent(protected)
    report = read(outer, payload, encrypted=encrypted)
    assert report.scheme is HeaderScheme.RFC_9788
    assert report.changed_outside == ()
    hidden = {field.name for field in report.fields if field.encrypted}
    assert hidden == {
        field.name for field in report.fields if encrypted and policy(field.name, field.value) != field.value
    }
    before = parse_entity(b"".join(split.canonical()))
    for old, new in zip(main_body_parts(before), main_body_parts(report.message), strict=True):
        shown = bytes(displayed_body(new)) if report.legacy_display else bytes(new.decoded())
        assert shown == bytes(old.decoded())


@given(st.lists(st.sampled_from([
    b"Subject: x", b"Subject: y", b"From: a@b", b"HP-Outer: Subject: x", b"HP-Outer: z", b"HP-Outer:", b" folded",
    b"\xff", b'Content-Type: text/plain; hp="cipher"; hp-legacy-display="1"', b"Content-Type: text/html; hp=clear",
    b"Content-Type: message/rfc822", b"Content-Type: text/plain; protected-headers=v1", b"", b"text",
]), max_size=12), st.booleans(), st.booleans())  # fmt: skip
def test_never_fails(lines, signed, encrypted):
    octets = b"\r\n".join(lines)
    report = read(octets, octets, signed=signed, encrypted=encrypted)
    restored_message(report)


@pytest.mark.corpora
@pytest.mark.parametrize(
    ("name", "scheme"),
    [("smime-multipart-hp", HeaderScheme.RFC_9788), ("smime-multipart-signed", HeaderScheme.PROTECTED_HEADERS)],
)
def test_samples(corpora, name, scheme):
    outer = parse_entity((corpora / "header-protection" / f"{name}.eml").read_bytes())
    form = classify(outer)
    assert isinstance(form, ClearSigned)
    report = read_header(outer, form.content, signed=True, encrypted=False)
    assert report.scheme is scheme
    assert {"Subject", "From", "To", "Date", "Message-ID"} <= {field.name for field in report.fields}
    assert not any(field.differs or field.encrypted for field in report.fields)
    assert report.changed_outside == ()
    assert not report.from_differs
