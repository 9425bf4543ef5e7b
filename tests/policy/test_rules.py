"""Layers of rules, and the rule for a recipient."""

from __future__ import annotations

import pytest

from smime_engine.policy.rules import (
    Certificates,
    Encryption,
    OutboundRules,
    PartialRules,
    RecipientRule,
    Signing,
    layered,
    rules_from_smime_config,
)
from smime_engine.policy.smime_config import BccForking, SmimeConfig

DEFAULT = OutboundRules()


def test_later_layers_win_and_silence_leaves_what_was_settled():
    tenant = PartialRules(encrypt=Encryption.WHEN_POSSIBLE, triple_wrap=True)
    domain = PartialRules(encrypt=Encryption.REQUIRED)
    user = PartialRules(sign=Signing.NEVER, triple_wrap=False)
    rules = layered(DEFAULT, [tenant, domain, user])
    assert rules.encrypt is Encryption.REQUIRED
    assert rules.sign is Signing.NEVER
    assert rules.triple_wrap is False
    assert rules.clear is DEFAULT.clear
    assert layered(DEFAULT, [PartialRules()]) == DEFAULT


def test_the_most_specific_rule_for_a_recipient():
    below = PartialRules(
        encrypt=Encryption.NEVER,
        recipients=(
            RecipientRule(match=("@Partner.Example", "@bücher.example"), encrypt=Encryption.REQUIRED),
            RecipientRule(match=("info@partner.example",), encrypt=Encryption.NEVER),
        ),
    )
    user = PartialRules(recipients=(RecipientRule(match=("@partner.example",), encrypt=Encryption.WHEN_POSSIBLE),))
    rules = layered(DEFAULT, [below])
    assert rules.encryption_for("bob@PARTNER.example") is Encryption.REQUIRED
    assert rules.encryption_for("Info@partner.example") is Encryption.NEVER
    assert rules.encryption_for("bob@xn--bcher-kva.example") is Encryption.REQUIRED
    assert rules.encryption_for("bob@example.net") is Encryption.NEVER
    assert rules.encryption_for("postmaster") is Encryption.NEVER
    rules = layered(DEFAULT, [below, user])
    assert rules.encryption_for("bob@partner.example") is Encryption.WHEN_POSSIBLE
    assert rules.encryption_for("info@partner.example") is Encryption.NEVER


def test_exchanges_defaults():
    rules = layered(DEFAULT, [rules_from_smime_config(SmimeConfig())])
    assert rules.sign is DEFAULT.sign
    assert rules.encrypt is Encryption.NEVER
    assert rules.clear
    assert rules.bcc is BccForking.EACH
    assert rules.certificates is Certificates.SIGNER


@pytest.mark.parametrize(
    ("settings", "certificates"),
    [
        ({"owa_signed_email_certificate_inclusion": False}, Certificates.NONE),
        ({"owa_include_certificate_chain_without_root_certificate": True}, Certificates.CHAIN),
        ({"owa_include_certificate_chain_and_root_certificate": True}, Certificates.CHAIN_AND_ROOT),
    ],
)
def test_exchanges_settings(settings, certificates):
    config = SmimeConfig(
        owa_always_sign=True,
        owa_always_encrypt=True,
        owa_clear_sign=False,
        owa_bcc_encrypted_email_forking=2,
        owa_triple_wrap_signed_encrypted_mail=True,
        owa_use_key_identifier=True,
        owa_include_smime_capabilities_in_message=True,
        **settings,
    )
    rules = layered(OutboundRules(sign=Signing.NEVER), [rules_from_smime_config(config)])
    assert (rules.sign, rules.encrypt, rules.clear) == (Signing.ALWAYS, Encryption.REQUIRED, False)
    assert (rules.bcc, rules.triple_wrap) == (BccForking.NONE, True)
    assert (rules.by_key_identifier, rules.capabilities) == (True, True)
    assert rules.certificates is certificates


def test_exchanges_algorithm_lists():
    """Ciphers and digests by preference; what is weak never signs, and what nobody settled settles nothing."""
    rules = layered(DEFAULT, [rules_from_smime_config(SmimeConfig())])
    assert (rules.ciphers, rules.digest) == (DEFAULT.ciphers, "")
    config = SmimeConfig(owa_encryption_algorithms="660E;6603", owa_signing_algorithms="8004;800D;800C")
    rules = layered(DEFAULT, [rules_from_smime_config(config)])
    assert (rules.ciphers, rules.digest) == (("aes128-cbc", "des-ede3-cbc"), "sha384")
    assert layered(DEFAULT, [rules_from_smime_config(SmimeConfig(owa_signing_algorithms="8003"))]).digest == ""
