"""The facts that are read from a message."""

from __future__ import annotations

from base64 import b64encode

import pytest

from smime_engine.policy.outgoing import detailed, outgoing_message
from smime_engine.policy.sending import OutgoingMessage, Protection

BODY = b"MIME-Version: 1.0\r\n\r\nHello\r\n"


def facts(header: bytes, body: bytes = BODY) -> OutgoingMessage:
    return outgoing_message(header + body, envelope_sender="env@example.org")


def test_people():
    read = facts(b"From: Alice <alice@example.org>, bob@example.org\r\nSender: Carol <carol@example.org>\r\n")
    assert read.envelope_sender == "env@example.org"
    assert read.authors == ("alice@example.org", "bob@example.org")
    assert read.sender == "carol@example.org"
    assert not read.ambiguous
    assert read.protection is Protection.NONE
    assert not read.resent


@pytest.mark.parametrize(
    ("header", "ambiguous"),
    [
        (b"", False),
        (b"From: a@b.c\r\nFrom: d@e.f\r\n", True),
        (b"Sender: a@b.c, d@e.f\r\n", True),
        (b"From: a@b.c d@e.f\r\n", True),
        (b'From: "boss@b.c" <a@b.c>\r\n', False),
    ],
)
def test_ambiguity(header, ambiguous):
    assert facts(header).ambiguous is ambiguous


@pytest.mark.parametrize("field", [b"Resent-From", b"resent-sender"])
def test_resent(field):
    assert facts(field + b": a@b.c\r\n").resent


SIGNED, ENVELOPED = "300b06092a864886f70d010702", "300b06092a864886f70d010703"


@pytest.mark.parametrize(
    ("content_type", "cms", "protection"),
    [
        (b"text/plain", "", Protection.NONE),
        (b"multipart/mixed; boundary=b", "", Protection.NONE),
        (b"application/pkcs7-mime; smime-type=enveloped-data", ENVELOPED, Protection.ENCRYPTED),
        (b"application/pkcs7-mime; smime-type=signed-data", ENVELOPED, Protection.ENCRYPTED),
        # A rule that demands encryption is not talked out of it by a false label, or by nonsense.
        (b"application/pkcs7-mime; smime-type=enveloped-data", SIGNED, Protection.SIGNED),
        (b"application/x-pkcs7-mime; smime-type=enveloped-data", "00", Protection.SIGNED),
        (b"multipart/signed; protocol=application/pgp-signature; boundary=b", "", Protection.SIGNED),
        (b"multipart/encrypted; protocol=application/pgp-encrypted; boundary=p", "", Protection.ENCRYPTED),
        (b"multipart/encrypted; protocol=application/pgp-encrypted; boundary=b", "", Protection.SIGNED),
        (b"multipart/signed; boundary=b", "", Protection.SIGNED),
    ],
)
def test_protection(content_type, cms, protection):
    body = b"\r\n--b\r\n\r\nHello\r\n--b\r\nContent-Type: application/pkcs7-signature\r\n\r\nMA==\r\n--b--\r\n"
    body += b"--p\r\nContent-Type: application/pgp-encrypted\r\n\r\nVersion: 1\r\n--p\r\n\r\nX\r\n--p--\r\n"
    if cms:
        body = b"\r\n" + b64encode(bytes.fromhex(cms)) + b"\r\n"
        content_type += b"\r\nContent-Transfer-Encoding: base64"
    assert facts(b"Content-Type: " + content_type + b"\r\n", body).protection is protection


GUID = "0a1b2c3d-0000-1111-2222-333344445555"
OTHER = "ffffffff-0000-1111-2222-333344445555"


@pytest.mark.parametrize(
    ("labels", "labelled"),
    [
        (f"MSIP_Label_{GUID}_Enabled=True; MSIP_Label_{GUID}_ContentBits=8;", True),
        (
            f"MSIP_Label_{GUID}_Enabled=true;\r\n MSIP_Label_{GUID}_Name=Secret;\r\n MSIP_Label_{GUID}_ContentBits=11",
            True,
        ),
        (f"MSIP_Label_{GUID}_Enabled=True; MSIP_Label_{GUID}_ContentBits=3;", False),
        (f"MSIP_Label_{GUID}_Enabled=False; MSIP_Label_{GUID}_ContentBits=8;", False),
        (f"MSIP_Label_{GUID}_Enabled=True; MSIP_Label_{OTHER}_ContentBits=8;", False),
        (f"MSIP_Label_{GUID}_Enabled=True; MSIP_Label_{GUID}_ContentBits=eight;", False),
        ("nonsense", False),
    ],
)
def test_labels(labels, labelled):
    assert facts(f"msip_labels: {labels}\r\n".encode()).labelled is labelled


def test_details():
    raw = b"TO: Bob <bob@example.net>, carol@example.com\r\nCc: Group: dave@example.org;\r\n"
    raw += b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nX-Encrypt: yes\r\n\r\n"
    basic = outgoing_message(raw, envelope_sender="")
    assert (basic.subject, basic.fields, basic.visible_recipients) == ("", (), ())
    read = detailed(basic, raw)
    assert read.subject == "Grüße"
    assert read.visible_recipients == ("bob@example.net", "carol@example.com", "dave@example.org")
    assert ("x-encrypt", "yes") in read.fields
