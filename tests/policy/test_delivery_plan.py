"""Who gets which form of a message."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smime_engine.policy.delivery_plan import (
    DeliveryPlan,
    Knowledge,
    RecipientRefusal,
    RefusalReason,
    Variant,
    plan_delivery,
    refusal_at_rcpt,
)
from smime_engine.policy.rules import Encryption, FieldTrigger, OutboundRules, RecipientRule, Signing, Triggers
from smime_engine.policy.sending import Leave, OutgoingMessage, Protection, Reason, Refuse, Sign, SigningRules
from smime_engine.policy.smime_config import BccForking

ALICE, BOB, CAROL, DAVE = (f"{name}@example.org" for name in ("alice", "bob", "carol", "dave"))
PLAIN = OutgoingMessage(
    envelope_sender=ALICE,
    authors=(ALICE,),
    sender=None,
    ambiguous=False,
    protection=Protection.NONE,
    resent=False,
    visible_recipients=(BOB, CAROL),
)
TRIGGERS = Triggers(subject_tags=("[encrypt]",), fields=(FieldTrigger(name="X-Encrypt", value="yes"),))
RULES = OutboundRules(encrypt_triggers=TRIGGERS)
USABLE, MISSING, UNKNOWN = Knowledge.USABLE, Knowledge.MISSING, Knowledge.UNKNOWN


def plan(
    recipients: tuple[str, ...],
    rules: OutboundRules = RULES,
    message: OutgoingMessage = PLAIN,
    keys: frozenset[str] = frozenset({ALICE}),
    **known: Knowledge,
) -> DeliveryPlan:
    knowledge = {f"{name}@example.org": value for name, value in known.items()}
    return plan_delivery(message, recipients, rules, SigningRules(), has_key=keys.__contains__, knowledge=knowledge)


def encrypting(mode: Encryption, **changes: Any) -> OutboundRules:
    return replace(RULES, encrypt=mode, **changes)


def test_nothing_is_encrypted_without_a_rule():
    found = plan((BOB, CAROL), bob=USABLE, carol=USABLE)
    assert found.variants == (Variant(recipients=(BOB, CAROL), encrypted=False),)
    assert found.refusals == ()
    assert found.signing == Sign(address=ALICE, reason=Reason.SIGNED_AS_AUTHOR)
    assert found.removed_tags == ("[encrypt]",)
    assert found.removed_fields == ("X-Encrypt",)


def test_required():
    found = plan((BOB, CAROL, DAVE), encrypting(Encryption.REQUIRED), bob=USABLE, carol=MISSING)
    assert found.variants == (Variant(recipients=(BOB,), encrypted=True),)
    assert found.refusals == (
        RecipientRefusal(recipient=CAROL, reason=RefusalReason.NO_CERTIFICATE),
        RecipientRefusal(recipient=DAVE, reason=RefusalReason.DIRECTORY_DOWN),
    )
    assert not found.refusals[0].reason.is_temporary
    assert found.refusals[1].reason.is_temporary


def test_when_possible():
    found = plan((BOB, CAROL, DAVE), encrypting(Encryption.WHEN_POSSIBLE), bob=USABLE, carol=MISSING, dave=UNKNOWN)
    assert found.variants == (
        Variant(recipients=(BOB,), encrypted=True),
        Variant(recipients=(CAROL,), encrypted=False),
    )
    assert found.refusals == (RecipientRefusal(recipient=DAVE, reason=RefusalReason.DIRECTORY_DOWN),)


@pytest.mark.parametrize(
    "asking",
    [
        replace(PLAIN, subject="Re: [ENCRYPT] hello"),
        replace(PLAIN, fields=(("x-encrypt", "YES"),)),
    ],
)
def test_on_request(asking):
    rules = encrypting(Encryption.ON_REQUEST, recipients=(RecipientRule(match=(DAVE,), encrypt=Encryption.NEVER),))
    found = plan((BOB, CAROL, DAVE), rules, asking, bob=USABLE, carol=MISSING, dave=USABLE)
    assert found.variants == (Variant(recipients=(BOB,), encrypted=True),)
    assert {refusal.recipient: refusal.reason for refusal in found.refusals} == {
        CAROL: RefusalReason.NO_CERTIFICATE,
        DAVE: RefusalReason.ENCRYPTION_FORBIDDEN,
    }
    assert plan((BOB, CAROL, DAVE), rules).variants == (Variant(recipients=(BOB, CAROL, DAVE), encrypted=False),)


@pytest.mark.parametrize("field", [("x-encrypt", "no"), ("x-encryption", "yes")])
def test_other_fields_ask_for_nothing(field):
    found = plan((BOB,), message=replace(PLAIN, fields=(field,)), bob=USABLE)
    assert not found.variants[0].encrypted


@pytest.mark.parametrize(
    ("bcc", "groups"),
    [
        (BccForking.EACH, [(BOB, CAROL), (DAVE,), ("eve@example.org",)]),
        (BccForking.TOGETHER, [(BOB, CAROL), (DAVE, "eve@example.org")]),
        (BccForking.NONE, [(BOB, CAROL, DAVE, "eve@example.org")]),
    ],
)
def test_bcc(bcc, groups):
    everybody = (BOB, CAROL, DAVE, "eve@example.org")
    known = dict.fromkeys(("bob", "carol", "dave", "eve"), USABLE)
    found = plan(everybody, encrypting(Encryption.REQUIRED, bcc=bcc), **known)
    assert [variant.recipients for variant in found.variants] == groups


def test_an_odd_address_in_the_header_makes_no_other_odd_address_visible():
    odd = "no address"
    message = replace(PLAIN, visible_recipients=(BOB, "undisclosed recipients"))
    knowledge = {BOB: USABLE, odd: USABLE}
    rules = encrypting(Encryption.REQUIRED)
    found = plan_delivery(message, (BOB, odd), rules, SigningRules(), has_key=bool, knowledge=knowledge)
    assert [variant.recipients for variant in found.variants] == [(BOB,), (odd,)]


def test_only_bcc_recipients():
    found = plan((DAVE,), encrypting(Encryption.REQUIRED), dave=USABLE)
    assert found.variants == (Variant(recipients=(DAVE,), encrypted=True),)


def test_what_is_encrypted_already_is_left_alone():
    message = replace(PLAIN, protection=Protection.ENCRYPTED, subject="[encrypt]")
    found = plan((BOB, DAVE), encrypting(Encryption.REQUIRED), message, bob=MISSING)
    assert found.variants == (Variant(recipients=(BOB, DAVE), encrypted=False),)
    assert found.signing == Leave(reason=Reason.ALREADY_PROTECTED)


def test_what_is_only_signed_is_still_encrypted():
    found = plan((BOB,), encrypting(Encryption.REQUIRED), replace(PLAIN, protection=Protection.SIGNED), bob=USABLE)
    assert found.variants == (Variant(recipients=(BOB,), encrypted=True),)


def test_labels_exclude_s_mime():
    message = replace(PLAIN, labelled=True)
    found = plan((BOB,), RULES, message, bob=USABLE)
    assert found.signing == Leave(reason=Reason.LABELLED)
    assert found.variants == (Variant(recipients=(BOB,), encrypted=False),)
    found = plan((BOB,), encrypting(Encryption.REQUIRED), message, bob=USABLE)
    assert found.refusals == (RecipientRefusal(recipient=BOB, reason=RefusalReason.LABELLED),)


def test_signing_on_request():
    rules = replace(RULES, sign=Signing.ON_REQUEST, sign_triggers=Triggers(subject_tags=("[sign]",)))
    assert plan((BOB,), rules).signing == Leave(reason=Reason.NOT_WANTED)
    asking = replace(PLAIN, subject="[sign] x")
    assert plan((BOB,), rules, asking).signing == Sign(address=ALICE, reason=Reason.SIGNED_AS_AUTHOR)
    assert plan((BOB,), rules, asking, frozenset()).signing == Refuse(reason=Reason.NO_KEY)
    assert plan((BOB,), replace(rules, sign=Signing.NEVER)).signing == Leave(reason=Reason.NOT_WANTED)


@pytest.mark.parametrize(
    ("mode", "known", "refusal"),
    [
        (Encryption.REQUIRED, USABLE, None),
        (Encryption.REQUIRED, MISSING, RefusalReason.NO_CERTIFICATE),
        (Encryption.REQUIRED, UNKNOWN, RefusalReason.DIRECTORY_DOWN),
        (Encryption.WHEN_POSSIBLE, MISSING, None),
        (Encryption.NEVER, UNKNOWN, None),
    ],
)
def test_refusal_at_rcpt(mode, known, refusal):
    assert refusal_at_rcpt(BOB, encrypting(mode), known) is refusal


PEOPLE = st.sampled_from([f"{name}@example.{top}" for name in ("a", "b", "c") for top in ("org", "net")])
MODES = st.sampled_from(Encryption)


@given(
    st.lists(PEOPLE, max_size=8),
    st.lists(PEOPLE, max_size=4),
    st.dictionaries(PEOPLE, st.sampled_from(Knowledge)),
    MODES,
    st.dictionaries(PEOPLE, MODES),
    st.sampled_from(BccForking),
    st.booleans(),
    st.booleans(),
    st.sampled_from(Protection),
)
def test_nobody_is_dropped_and_nothing_leaks(  # noqa: PLR0917 - everything that the plan depends on
    recipients, visible, knowledge, mode, exceptions, bcc, asked, labelled, protection
):
    rules = OutboundRules(
        encrypt=mode,
        recipients=tuple(RecipientRule(match=(who,), encrypt=rule) for who, rule in exceptions.items()),
        encrypt_triggers=TRIGGERS,
        bcc=bcc,
    )
    message = replace(
        PLAIN,
        subject="[encrypt]" if asked else "",
        visible_recipients=tuple(visible),
        labelled=labelled,
        protection=protection,
    )
    found = plan_delivery(message, recipients, rules, SigningRules(), has_key=lambda _: True, knowledge=knowledge)
    placed = [recipient for variant in found.variants for recipient in variant.recipients]
    refused = [refusal.recipient for refusal in found.refusals]
    # Everybody stands in exactly one place.
    assert sorted(placed + refused) == sorted(set(recipients))
    for variant in found.variants:
        assert variant.recipients
        for recipient in variant.recipients:
            rule = exceptions.get(recipient, mode)
            if variant.encrypted:
                assert knowledge[recipient] is USABLE
                assert rule is not Encryption.NEVER
            elif protection is not Protection.ENCRYPTED:
                assert rule is not Encryption.REQUIRED
                assert not asked
        if variant.encrypted and bcc is not BccForking.NONE:
            # Who reads an encrypted message sees its other recipients: a Bcc never stands beside To and Cc.
            hidden = [recipient for recipient in variant.recipients if recipient not in visible]
            assert not hidden or len(hidden) == len(variant.recipients)
            assert bcc is BccForking.TOGETHER or len(hidden) <= 1
