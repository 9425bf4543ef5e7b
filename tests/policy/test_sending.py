"""Who signs: a table of messages and rules."""

from __future__ import annotations

import dataclasses

import pytest

from smime_engine.policy.sending import (
    Binding,
    Leave,
    Otherwise,
    OutgoingMessage,
    Protection,
    Reason,
    Refuse,
    SeveralAuthors,
    Sign,
    SigningRules,
    plan_signing,
)

ALICE, BOB, CAROL = "alice@example.org", "bob@example.org", "carol@example.org"
PLAIN = OutgoingMessage(
    envelope_sender=ALICE, authors=(ALICE,), sender=None, ambiguous=False, protection=Protection.NONE, resent=False
)
RULES = SigningRules()


def changed(value, **changes):
    return dataclasses.replace(value, **changes)


@pytest.mark.parametrize(
    ("message", "rules", "keys", "expected"),
    [
        (PLAIN, RULES, {ALICE}, Sign(address=ALICE, reason=Reason.SIGNED_AS_AUTHOR)),
        (PLAIN, RULES, {BOB}, Leave(reason=Reason.NO_KEY)),
        (PLAIN, changed(RULES, without_key=Otherwise.REJECT), {BOB}, Refuse(reason=Reason.NO_KEY, address=ALICE)),
        (changed(PLAIN, protection=Protection.SIGNED), RULES, {ALICE}, Leave(reason=Reason.ALREADY_PROTECTED)),
        (changed(PLAIN, envelope_sender=""), RULES, {ALICE}, Leave(reason=Reason.NULL_SENDER)),
        (
            changed(PLAIN, envelope_sender=""),
            changed(RULES, sign_null_sender=True),
            {ALICE},
            Sign(address=ALICE, reason=Reason.SIGNED_AS_AUTHOR),
        ),
        (changed(PLAIN, resent=True), RULES, {ALICE}, Leave(reason=Reason.RESENT)),
        (
            changed(PLAIN, resent=True),
            changed(RULES, sign_resent=True),
            {ALICE},
            Sign(address=ALICE, reason=Reason.SIGNED_AS_AUTHOR),
        ),
        (changed(PLAIN, authors=()), RULES, {ALICE}, Leave(reason=Reason.NO_AUTHOR)),
        (
            changed(PLAIN, authors=()),
            changed(RULES, without_key=Otherwise.REJECT),
            {ALICE},
            Refuse(reason=Reason.NO_AUTHOR),
        ),
        # Readers would not take the Sender's signature for the author's.
        (changed(PLAIN, sender=BOB), RULES, {ALICE, BOB}, Sign(address=ALICE, reason=Reason.SIGNED_AS_AUTHOR)),
        (changed(PLAIN, sender=BOB), RULES, {BOB}, Leave(reason=Reason.NO_KEY)),
        (changed(PLAIN, authors=(), sender=BOB), RULES, {BOB}, Sign(address=BOB, reason=Reason.SIGNED_AS_SENDER)),
        (changed(PLAIN, ambiguous=True), RULES, {ALICE}, Refuse(reason=Reason.AMBIGUOUS_AUTHOR)),
        (
            changed(PLAIN, ambiguous=True),
            changed(RULES, not_bound=Otherwise.PASS),
            {ALICE},
            Leave(reason=Reason.AMBIGUOUS_AUTHOR),
        ),
        # Several authors.
        (
            changed(PLAIN, authors=(ALICE, BOB), sender=CAROL),
            RULES,
            {ALICE, CAROL},
            Sign(address=CAROL, reason=Reason.SIGNED_AS_SENDER),
        ),
        (changed(PLAIN, authors=(ALICE, BOB)), RULES, {ALICE}, Refuse(reason=Reason.SEVERAL_AUTHORS)),
        (
            changed(PLAIN, authors=(ALICE, BOB)),
            changed(RULES, several_authors=SeveralAuthors.PASS),
            {ALICE},
            Leave(reason=Reason.SEVERAL_AUTHORS),
        ),
        (
            changed(PLAIN, authors=(ALICE, BOB), sender=CAROL),
            changed(RULES, several_authors=SeveralAuthors.REJECT),
            {CAROL},
            Refuse(reason=Reason.SEVERAL_AUTHORS),
        ),
        # The envelope.
        (
            changed(PLAIN, envelope_sender="ALICE@Example.org"),
            changed(RULES, binding=Binding.ENVELOPE),
            {ALICE},
            Sign(address=ALICE, reason=Reason.SIGNED_AS_AUTHOR),
        ),
        (
            changed(PLAIN, envelope_sender=BOB),
            changed(RULES, binding=Binding.ENVELOPE),
            {ALICE},
            Refuse(reason=Reason.NOT_BOUND, address=ALICE),
        ),
        (
            changed(PLAIN, envelope_sender=BOB),
            changed(RULES, binding=Binding.ENVELOPE, not_bound=Otherwise.PASS),
            {ALICE},
            Leave(reason=Reason.NOT_BOUND),
        ),
        (
            changed(PLAIN, envelope_sender=CAROL, authors=(ALICE, BOB), sender=CAROL),
            changed(RULES, binding=Binding.ENVELOPE),
            {CAROL},
            Sign(address=CAROL, reason=Reason.SIGNED_AS_SENDER),
        ),
    ],
)
def test_decisions(message, rules, keys, expected):
    assert plan_signing(message, rules, has_key=keys.__contains__) == expected


def test_who_logged_in():
    rules = changed(RULES, binding=Binding.AUTHENTICATED)
    signed = Sign(address=ALICE, reason=Reason.SIGNED_AS_AUTHOR)
    refused = Refuse(reason=Reason.NOT_BOUND, address=ALICE)
    assert plan_signing(PLAIN, rules, has_key=lambda _: True, owned={ALICE}.__contains__) == signed
    assert plan_signing(PLAIN, rules, has_key=lambda _: True, owned={BOB}.__contains__) == refused
    assert plan_signing(PLAIN, rules, has_key=lambda _: True) == refused
