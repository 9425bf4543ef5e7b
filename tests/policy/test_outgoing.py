"""The facts that are read from a message."""

from __future__ import annotations

import pytest

from smime_engine.policy.outgoing import outgoing_message
from smime_engine.policy.sending import OutgoingMessage

BODY = b"MIME-Version: 1.0\r\n\r\nHello\r\n"


def facts(header: bytes, body: bytes = BODY) -> OutgoingMessage:
    return outgoing_message(header + body, envelope_sender="env@example.org")


def test_people():
    read = facts(b"From: Alice <alice@example.org>, bob@example.org\r\nSender: Carol <carol@example.org>\r\n")
    assert read.envelope_sender == "env@example.org"
    assert read.authors == ("alice@example.org", "bob@example.org")
    assert read.sender == "carol@example.org"
    assert not read.ambiguous
    assert not read.protected
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


@pytest.mark.parametrize(
    ("content_type", "protected"),
    [
        (b"text/plain", False),
        (b"multipart/mixed; boundary=b", False),
        (b"application/pkcs7-mime; smime-type=enveloped-data", True),
        (b"application/x-pkcs7-mime", True),
        (b"multipart/signed; protocol=application/pgp-signature; boundary=b", True),
        (b"multipart/encrypted; protocol=application/pgp-encrypted; boundary=b", True),
        (b"multipart/signed; boundary=b", True),
    ],
)
def test_protected(content_type, protected):
    body = b"\r\n--b\r\n\r\nHello\r\n--b\r\nContent-Type: application/pkcs7-signature\r\n\r\nMA==\r\n--b--\r\n"
    assert facts(b"Content-Type: " + content_type + b"\r\n", body).protected is protected
