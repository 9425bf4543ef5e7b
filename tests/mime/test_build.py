"""Messages composed around pieces: outer fields untouched, what goes in comes out."""

from __future__ import annotations

import base64
import email
import email.policy
import hashlib
import os
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smime_engine.errors import LimitExceeded
from smime_engine.limits import Limits
from smime_engine.mime.build import ClearSignedFrame, OpaqueFrame, boundary_from, split_message
from smime_engine.mime.canonical import canonical_entity, is_clean
from smime_engine.mime.classify import ClearSigned, CmsPart, classify
from smime_engine.mime.parse import parse_entity
from tests.mime import entities

MESSAGE = (
    b"Received: by x;\r\n\tFri, 1 Jan 2027 00:00:00 +0000\r\n"
    b"From: Alice <alice@example.org>\r\n"
    b"Content-Type: text/plain;\r\n charset=utf-8\r\n"
    b"Subject: a subject that is rather long, folded by its sender\r\n  in a way of his own\r\n"
    b"content-transfer-encoding:   7bit\r\n"
    b"MIME-Version: 1.0\r\n"
    b"X-Last: 1\r\n"
    b"\r\n"
    b"Hello\r\n"
)


def test_split():
    split = split_message(MESSAGE)
    assert split.outer == (
        b"Received: by x;\r\n\tFri, 1 Jan 2027 00:00:00 +0000\r\n"
        b"From: Alice <alice@example.org>\r\n"
        b"Subject: a subject that is rather long, folded by its sender\r\n  in a way of his own\r\n"
        b"MIME-Version: 1.0\r\n"
        b"X-Last: 1\r\n"
    )
    assert split.inner == (
        b"Content-Type: text/plain;\r\n charset=utf-8\r\ncontent-transfer-encoding:   7bit\r\n\r\nHello\r\n"
    )
    assert b"".join(split.canonical()) == split.inner


@pytest.mark.parametrize(
    ("message", "outer", "inner"),
    [
        (b"", b"MIME-Version: 1.0\r\n", b"Content-Type: text/plain\r\n\r\n"),
        (b"From: a@b\n\nHi\n", b"From: a@b\r\nMIME-Version: 1.0\r\n", b"Content-Type: text/plain\r\n\r\nHi\n"),
        (b"From: a@b", b"From: a@b\r\nMIME-Version: 1.0\r\n", b"Content-Type: text/plain\r\n\r\n"),
        (b"\r\nHi", b"MIME-Version: 1.0\r\n", b"Content-Type: text/plain\r\n\r\nHi"),
        (b"From me Mon\nmime-version: 1.0\n\nHi", b"mime-version: 1.0\r\n", b"Content-Type: text/plain\r\n\r\nHi"),
        (
            b"X-MIME-Version: 1\r\n\r\n",
            b"X-MIME-Version: 1\r\nMIME-Version: 1.0\r\n",
            b"Content-Type: text/plain\r\n\r\n",
        ),
        (b"Content-TypeX: a", b"MIME-Version: 1.0\r\n", b"Content-Type: text/plain\r\nContent-TypeX: a\r\n\r\n"),
        (b"Content-Type: a/b", b"MIME-Version: 1.0\r\n", b"Content-Type: a/b\r\n\r\n"),
        (b"A: 1\njunk\nB: 2\n\n", b"A: 1\r\nMIME-Version: 1.0\r\n", b"Content-Type: text/plain\r\n\r\njunk\nB: 2\n\n"),
        (
            b"Content-ID: <x>\nA: 1\nContent-Language: de\n\n",
            b"A: 1\r\nMIME-Version: 1.0\r\n",
            b"Content-Type: text/plain\r\nContent-ID: <x>\r\nContent-Language: de\r\n\r\n",
        ),
    ],
)
def test_odd_messages(message, outer, inner):
    split = split_message(message)
    assert (split.outer, split.inner) == (outer, inner)


@given(entities.entities(b"\r\n"), st.booleans())
def test_canonical_pieces_are_the_canonical_entity(part, big):
    message = b"From: a@b\r\n" + part.octets()
    if big:
        message += b"more lines\r\n" * 30_000
    split = split_message(message)
    assert b"".join(split.canonical()) == canonical_entity(split.inner)


def test_clean_body_of_a_big_message_is_not_copied():
    message = MESSAGE + base64.encodebytes(os.urandom(4_000_000)).replace(b"\n", b"\r\n")
    tracemalloc.start()
    try:
        pieces = split_message(message).canonical()
        assert tracemalloc.get_traced_memory()[1] < 500_000
    finally:
        tracemalloc.stop()
    assert b"".join(pieces) == split_message(message).inner


def test_clear_signed():
    split = split_message(MESSAGE)
    content = split.canonical()
    boundary = boundary_from(hashlib.sha256(split.inner).digest(), content)
    message = ClearSignedFrame("sha-256").compose(split.outer, content, b"\x30\x00" * 200, boundary)
    assert message.startswith(split.outer)
    assert is_clean(message)
    found = classify(parse_entity(message))
    assert isinstance(found, ClearSigned)
    assert bytes(found.signed_content) == split.inner
    assert found.signature == b"\x30\x00" * 200
    entity = found.entity
    assert entity.defects == ()
    assert dict(entity.content_type.parameters) == {
        "protocol": "application/pkcs7-signature",
        "micalg": "sha-256",
        "boundary": boundary.decode(),
    }
    signature = entity.parts[1]
    assert signature.content_type.parameter("name") == signature.disposition.parameter("filename") == "smime.p7s"
    theirs = email.message_from_bytes(message, policy=email.policy.default)
    assert theirs.get_content_type() == "multipart/signed"
    assert theirs.get_payload()[0].get_content() == "Hello\r\n"
    assert theirs["Subject"].startswith("a subject that is rather long")


def test_several_digests_are_quoted():
    message = ClearSignedFrame("sha-256,sha-512").compose(b"", (b"\r\nx",), b"\x30\x00", b"b")
    assert parse_entity(message).content_type.parameter("micalg") == "sha-256,sha-512"


@pytest.mark.parametrize(
    ("smime_type", "name"),
    [
        ("signed-data", "smime.p7m"),
        ("enveloped-data", "smime.p7m"),
        ("authEnveloped-data", "smime.p7m"),
        ("certs-only", "smime.p7c"),
        ("compressed-data", "smime.p7z"),
    ],
)
@pytest.mark.parametrize("size", [10, 58, 100_000, 1_000_000])
def test_opaque(smime_type, name, size):
    cms = b"\x30" + os.urandom(size)
    split = split_message(MESSAGE)
    message = OpaqueFrame(smime_type).compose(split.outer, (cms[:1], memoryview(cms)[1:40], cms[40:]))
    assert message.startswith(split.outer)
    assert is_clean(message)
    found = classify(parse_entity(message))
    assert isinstance(found, CmsPart)
    assert (found.data, found.hint, found.detached) == (cms, smime_type, False)
    assert found.entity.content_type.parameter("name") == found.entity.disposition.parameter("filename") == name
    theirs = email.message_from_bytes(message, policy=email.policy.default)
    assert theirs.get_payload(decode=True) == cms


def test_memory_of_a_big_opaque_message():
    cms = os.urandom(8_000_000)
    tracemalloc.start()
    try:
        message = OpaqueFrame("enveloped-data").compose(b"", (cms,))
        assert tracemalloc.get_traced_memory()[1] < 1.15 * len(message)
    finally:
        tracemalloc.stop()


def test_boundary_never_occurs_in_the_content():
    digest = bytes(range(32))
    first = boundary_from(digest)
    assert first == boundary_from(digest, (b"other", b"content"))
    assert len(first) <= 70
    second = boundary_from(digest, (b"x" + first,))
    third = boundary_from(digest, (b"x" + first, memoryview(second + b"y")[:3]))
    assert len({first, second, third}) == 3
    assert second not in first
    assert first not in second


def test_limits():
    with pytest.raises(LimitExceeded, match="message_size"):
        split_message(MESSAGE, limits=Limits(message_size=10))
    with pytest.raises(LimitExceeded, match="header_size"):
        split_message(b"A: " + b"x" * 2_000_000)
    with pytest.raises(LimitExceeded, match="header_fields"):
        split_message(b"A: x\n" * 3_000)
    with pytest.raises(LimitExceeded, match="header_fields"):
        split_message(b"A: x\nContent-X: y\n" * 1_500)
