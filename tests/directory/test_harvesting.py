"""What valid signed mail teaches about its author, and what replaces what."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from smime_engine import MessageSigner, OpenedMessage, open_message
from smime_engine.certificate import Certificate
from smime_engine.cms.capabilities import DEFAULT_CAPABILITIES, encode_capabilities
from smime_engine.cms.signer import SignedAttributes
from smime_engine.directory.choosing import choose_certificates
from smime_engine.directory.entries import Origin
from smime_engine.directory.harvesting import Harvest, Outcome, entry_of_harvest, harvest, succeed
from smime_engine.keys import Identity
from tests import pki
from tests.directory.people import CA, COLLECTION, DAY, NOW, answer, certificate, identity, policy

ADDRESS = "alice@example.org"
ENCRYPTION = certificate("Alice", ADDRESS, key=pki.new_key("rsa2048", "alice encrypts"))
LEAF = identity().certificate


def message(author: str = ADDRESS, more: str = "") -> bytes:
    return (
        f"From: Alice <{author}>\r\nTo: bob@example.org\r\n{more}Subject: hello\r\nMIME-Version: 1.0\r\n"
        "Content-Type: text/plain\r\n\r\nHello.\r\n"
    ).encode()


def opened(
    raw: bytes | None = None,
    *,
    signer: Identity | None = None,
    chain: tuple[Certificate, ...] = (),
    signed_at: datetime = NOW - DAY,
    **attributes: Any,
) -> OpenedMessage:
    """A message signed by Alice, received and opened."""
    alice = signer or identity()
    signing = MessageSigner(
        alice.key, alice.certificate, chain=(*alice.chain, *chain), attributes=SignedAttributes(**attributes)
    )
    return open_message(signing.sign(raw or message(), now=signed_at), trust=COLLECTION, now=NOW)


def test_the_signers_own_certificate() -> None:
    (found,) = harvest(opened(), now=NOW)
    assert found == Harvest(
        address=ADDRESS,
        certificate=LEAF,
        capabilities=None,
        signed_at=NOW - DAY,
        pool=(Certificate.parse(CA.certificate_der),),
    )


def test_capabilities_and_the_preferred_certificate() -> None:
    (found,) = harvest(
        opened(
            chain=(ENCRYPTION,),
            encryption_certificate=ENCRYPTION,
            capabilities=encode_capabilities(DEFAULT_CAPABILITIES),
        ),
        now=NOW,
    )
    assert found.certificate == ENCRYPTION
    assert found.capabilities == DEFAULT_CAPABILITIES
    assert LEAF in found.pool


def test_a_preference_that_is_not_there_or_somebody_elses() -> None:
    (found,) = harvest(opened(encryption_certificate=ENCRYPTION), now=NOW)
    assert found.certificate == LEAF
    mallory = certificate("Mallory", "mallory@example.org")
    assert harvest(opened(chain=(mallory,), encryption_certificate=mallory), now=NOW) == ()


@pytest.mark.parametrize(
    "raw",
    [
        message("mallory@example.org"),
        message().replace(b"From: Alice", b"From: bob@example.org, Alice"),
        message(more="From: mallory@example.org\r\n"),
    ],
    ids=["somebody else", "two authors", "two fields"],
)
def test_messages_that_teach_nothing(raw: bytes) -> None:
    assert harvest(opened(raw), now=NOW) == ()


def test_broken_untrusted_and_unsigned_messages_teach_nothing() -> None:
    alice = identity()
    signed = MessageSigner(alice.key, alice.certificate, chain=alice.chain).sign(message(), now=NOW)
    for raw in (signed.replace(b"Hello.", b"Hullo."), message()):
        assert harvest(open_message(raw, trust=COLLECTION, now=NOW), now=NOW) == ()
    for trust in (None, type(COLLECTION)()):
        assert harvest(open_message(signed, trust=trust, now=NOW), now=NOW) == ()


def test_what_stands_beside_the_signed_part_spoils_the_lesson() -> None:
    alice = identity()
    signed = MessageSigner(alice.key, alice.certificate, chain=alice.chain).sign(message(), now=NOW)
    head, _, body = signed.partition(b"\r\n\r\n")
    entity = b"\r\n".join(line for line in head.split(b"\r\n") if line.lower().startswith((b"content-", b" ", b"\t")))
    mixed = (
        b"From: Alice <alice@example.org>\r\nMIME-Version: 1.0\r\n"
        b'Content-Type: multipart/mixed; boundary="outside"\r\n\r\n'
        b"--outside\r\n" + entity + b"\r\n\r\n" + body + b"\r\n--outside\r\nContent-Type: text/plain\r\n\r\nAdded.\r\n"
        b"--outside--\r\n"
    )
    found = open_message(mixed, trust=COLLECTION, now=NOW)
    assert found.partial
    assert harvest(found, now=NOW) == ()


def test_times_that_are_not_believed() -> None:
    """A replayed message without time, or with one in the future, never counts as the latest."""
    (future,) = harvest(opened(signed_at=NOW + DAY), now=NOW)
    (timeless,) = harvest(opened(signing_time=False), now=NOW)
    assert future.signed_at == timeless.signed_at == LEAF.not_before


def record(found: Certificate = LEAF, **fields: Any) -> Harvest:
    return Harvest(**{"address": ADDRESS, "certificate": found, "capabilities": None, "signed_at": NOW, **fields})


LATER, EARLIER = NOW + timedelta(days=1), NOW - timedelta(days=1)


@pytest.mark.parametrize(
    ("known", "new", "kept", "outcome"),
    [
        (None, record(), "new", Outcome.LEARNED),
        (record(), record(signed_at=LATER), "new", Outcome.CONFIRMED),
        (record(), record(ENCRYPTION, signed_at=LATER), "new", Outcome.REPLACED),
        (record(), record(ENCRYPTION, signed_at=EARLIER), "known", Outcome.KEPT_LATER),
        (record(), record(signed_at=EARLIER), "known", Outcome.KEPT_LATER),
        (record(pinned=True), record(ENCRYPTION, signed_at=LATER), "known", Outcome.KEPT_PINNED),
    ],
)
def test_what_replaces_what(known: Harvest | None, new: Harvest, kept: str, outcome: Outcome) -> None:
    assert succeed(known, new) == ({"known": known, "new": new}[kept], outcome)


def test_a_pin_stays_while_capabilities_are_learned() -> None:
    learned = record(signed_at=LATER, capabilities=DEFAULT_CAPABILITIES)
    assert succeed(record(pinned=True), learned) == (replace(learned, pinned=True), Outcome.CONFIRMED)


@pytest.mark.parametrize(("pinned", "origin"), [(False, Origin.SIGNED_MAIL), (True, Origin.PINNED)])
def test_a_record_can_be_chosen_from(pinned: bool, origin: Origin) -> None:
    entry = entry_of_harvest(record(pinned=pinned), source="mail")
    (choice,) = choose_certificates([answer(entry)], policy(), NOW)
    assert choice.certificate == LEAF
    assert choice.chosen is not None
    assert choice.chosen.origin is origin
