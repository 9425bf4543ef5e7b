"""What would be encrypted for whom: nobody unfit, nobody left out silently, nobody betrayed."""

from __future__ import annotations

from typing import Any

import pytest

from smime_engine.cms.capabilities import DEFAULT_CAPABILITIES, Capability, cipher_capability
from smime_engine.cms.sealing import Encryptor
from smime_engine.crypto.encryption_algorithms import CONTENT_CIPHERS
from smime_engine.directory.choosing import Choice, choose_certificates
from smime_engine.directory.entries import Answer, ListedCertificate, Origin, SourceFailure
from smime_engine.engine.recipient_plan import choice_policy, cipher_preference, plan_encryption
from smime_engine.errors import UnsupportedAlgorithm
from smime_engine.policy.capabilities import DEFAULT_PREFERENCE, Addressee
from smime_engine.policy.smime_config import SmimeConfig
from smime_engine.trust.path import RevocationMode
from tests.directory.people import COLLECTION, NOW, answer, certificate, entry, policy


def choice(name: str, *ciphers: str, **fields: Any) -> Choice:
    """Somebody with a certificate; `ciphers` are announced."""
    address = f"{name}@example.org"
    capabilities: tuple[Capability, ...] | None = None
    if ciphers:
        capabilities = tuple(cipher_capability(CONTENT_CIPHERS[cipher]) for cipher in ciphers)
    listed = ListedCertificate(
        certificate=certificate(name, address, **fields), origin=Origin.USER_CERTIFICATE, capabilities=capabilities
    )
    found = answer(entry(listed, primary=address, identifier=name), address=address)
    (chosen,) = choose_certificates([found], policy(), NOW)
    return chosen


ALICE, BOB = choice("alice"), choice("bob")
(NOBODY,) = choose_certificates([Answer(address="nobody@example.org")], policy(), NOW)


def test_a_plan_for_everybody() -> None:
    own = Addressee(certificate=certificate("me", "me@example.org"))
    plan = plan_encryption([ALICE, BOB], own=[own])
    (planned,) = plan.copies
    assert planned.copy.recipients == ("alice@example.org", "bob@example.org")
    assert [found for found, _ in planned.keys] == [ALICE.certificate, BOB.certificate, own.certificate]
    assert {way for _, way in planned.keys} == {"ecdh"}
    assert planned.encryption.cipher == "aes256-cbc"
    assert plan.reaches_everybody
    assert plan.questions == ()
    Encryptor(planned.encryption.recipients, cipher=planned.encryption.cipher).seal(b"text")


def test_who_has_no_certificate_is_in_no_copy_and_is_named() -> None:
    plan = plan_encryption([ALICE, NOBODY], bcc=[NOBODY])
    assert plan.copies[0].copy.recipients == ("alice@example.org",)
    assert plan.to_remove == (NOBODY, NOBODY)
    assert not plan.reaches_everybody
    assert not plan.may_be_complete_later
    empty = plan_encryption([NOBODY])
    assert empty.copies == ()
    assert empty.to_remove == (NOBODY,)


def test_a_source_that_is_down_may_know_more_later() -> None:
    failed = Answer(address="carol@example.org", failures=(SourceFailure(source="ldap", text="down"),))
    (carol,) = choose_certificates([failed], policy(), NOW)
    assert plan_encryption([carol]).may_be_complete_later
    assert not plan_encryption([carol, NOBODY]).may_be_complete_later


def test_hidden_recipients_get_copies_of_their_own() -> None:
    plan = plan_encryption([ALICE], bcc=[BOB, choice("carol", "aes128-cbc")])
    assert [planned.copy.recipients for planned in plan.copies] == [
        ("alice@example.org",),
        ("bob@example.org",),
        ("carol@example.org",),
    ]
    # An old mail program among the hidden ones changes nothing for the others.
    assert [planned.encryption.cipher for planned in plan.copies] == ["aes256-cbc", "aes256-cbc", "aes128-cbc"]
    one = plan_encryption([ALICE], bcc=[BOB], config=SmimeConfig(owa_bcc_encrypted_email_forking=2))
    assert one.copies[0].copy.exposed == ("bob@example.org",)


def test_capabilities_of_the_directory_decide_the_cipher() -> None:
    modern = choice("dora", "aes256-gcm", "aes256-cbc")
    assert plan_encryption([modern]).copies[0].encryption.cipher == "aes256-gcm"
    assert plan_encryption([modern, ALICE]).copies[0].encryption.cipher == "aes256-cbc"
    assert DEFAULT_CAPABILITIES


def test_questions() -> None:
    stale_answer = answer(
        entry(certificate("alice", "alice@example.org")),
        stale=True,
        failures=(SourceFailure(source="gal", text="no answer"),),
    )
    (stale,) = choose_certificates([stale_answer], policy(), NOW)
    old = choice("old", "des-ede3-cbc")
    plan = plan_encryption([stale, old])
    assert [question.address for question in plan.questions] == [
        "alice@example.org",
        "alice@example.org",
        "old@example.org",
    ]
    assert "gal: no answer" in plan.questions[1].text
    assert "aes256-cbc" in plan.questions[2].text


def test_the_tenants_settings() -> None:
    assert cipher_preference(SmimeConfig()) == DEFAULT_PREFERENCE
    config = SmimeConfig(owa_encryption_algorithms="660E;6603;6602:40")
    assert cipher_preference(config) == ("aes128-cbc", "des-ede3-cbc", "rc2-40-cbc")
    assert plan_encryption([ALICE], config=config).copies[0].encryption.cipher == "aes128-cbc"
    assert plan_encryption([ALICE], demanded="aes192-cbc").copies[0].encryption.cipher == "aes192-cbc"
    with pytest.raises(UnsupportedAlgorithm):
        plan_encryption([ALICE], demanded="rot13")
    strict = SmimeConfig(owa_check_crl_on_send=True, owa_use_secondary_proxies_when_finding_certificates=False)
    assert not choice_policy(strict, COLLECTION).use_secondary_proxies
    assert choice_policy(strict, COLLECTION).options.revocation is RevocationMode.EXCHANGE_ONLINE
    assert choice_policy(SmimeConfig(), COLLECTION).options.revocation is RevocationMode.SOFT_FAIL
