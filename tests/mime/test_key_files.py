"""Finding PKCS #12 attachments."""

from __future__ import annotations

from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smime_engine.errors import LimitExceeded
from smime_engine.limits import Limits
from smime_engine.mime.key_files import key_files_in

DATA = bytes(range(256)) * 5


def message(*attachments: tuple[str, str | None]) -> EmailMessage:
    made = EmailMessage()
    made["Subject"] = "Your certificate"
    made.set_content("The password comes by post.")
    for kind, name in attachments:
        made.add_attachment(DATA, *kind.split("/"), filename=name)
    return made


@pytest.mark.parametrize(
    ("kind", "name", "found"),
    [
        ("application/x-pkcs12", "alice.p12", True),
        ("application/pkcs12", None, True),
        ("Application/X-PKCS12", "picture.png", True),
        ("application/octet-stream", "Schlüssel für Alice.PFX", True),
        ("application/octet-stream", "alice.p12.exe", False),
        ("application/octet-stream", None, False),
        ("image/png", "alice.p12", False),
        ("application/pkcs7-mime", "smime.p7m", False),
    ],
)
def test_types_and_names(kind, name, found):
    files = key_files_in(bytes(message((kind, name))))
    assert [(file.name, file.data) for file in files] == ([(name or "", DATA)] if found else [])


def test_order_and_forwarded_messages():
    inner = message(("application/x-pkcs12", "second.p12"))
    outer = message(("application/x-pkcs12", "first.p12"))
    outer.add_attachment(inner)
    outer.add_attachment(DATA, "application", "pkcs12", filename="=?utf-8?q?third=2Ep12?=")
    assert [file.name for file in key_files_in(bytes(outer))] == ["first.p12", "second.p12", "third.p12"]


def test_a_message_that_is_the_attachment():
    raw = b"Content-Type: application/x-pkcs12; name=a.p12\r\nContent-Transfer-Encoding: base64\r\n\r\nMIIB\r\n"
    (file,) = key_files_in(raw)
    assert (file.name, file.data) == ("a.p12", bytes.fromhex("308201"))


def test_cut_anywhere():
    raw = bytes(message(("application/x-pkcs12", "a.p12")))
    for end in range(len(raw)):
        key_files_in(raw[:end])


@given(st.binary(max_size=300))
def test_whatever_comes(raw):
    key_files_in(raw)


def test_limits_hold():
    with pytest.raises(LimitExceeded):
        key_files_in(b"x" * 11, limits=Limits(message_size=10))
