"""Which certificate signs: the rules of Outlook on the web."""

from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from smime_engine.certificate import Certificate
from smime_engine.policy.signing_choice import choose_signing_certificate
from smime_engine.policy.smime_config import SmimeConfig
from smime_engine.problems import Problem
from tests import pki

ADDRESS = "alice@example.org"
CA = pki.authority("Choice Root")
AUTOMATIC, BY_USER = SmimeConfig(), SmimeConfig(owa_allow_user_choice_of_signing_certificate=True)
YEAR = timedelta(days=365)


def issue(start=pki.NOT_BEFORE, **options) -> Certificate:
    return Certificate.parse(CA.issue("Alice", ADDRESS, not_before=start, **options).certificate_der)


def choose(*certificates, config=AUTOMATIC, chosen=None, now=pki.MOMENT, address=ADDRESS):
    return choose_signing_certificate(certificates, address=address, now=now, config=config, chosen=chosen)


def test_the_newest_start_of_validity_wins_to_the_second():
    old, new = issue(), issue(pki.NOT_BEFORE + timedelta(seconds=1))
    for order in ((old, new), (new, old)):
        assert choose(*order).certificate == new
    assert not choose(old, new).by_user


def test_a_tie_has_always_the_same_answer():
    first, second = issue(), issue()
    longer = issue(not_after=pki.NOT_AFTER + YEAR)
    assert choose(first, second).certificate == choose(second, first).certificate
    assert choose(first, longer, second).certificate == longer


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"not_after": pki.MOMENT - timedelta(days=1)}, Problem.EXPIRED),
        ({"start": pki.MOMENT + timedelta(days=1)}, Problem.NOT_YET_VALID),
        ({"usage": "encrypt"}, Problem.KEY_USAGE_UNFIT),
        ({"extended_key_usage": (ExtendedKeyUsageOID.CLIENT_AUTH,)}, Problem.EXTENDED_KEY_USAGE_UNFIT),
        ({"key_identifiers": False}, Problem.CERTIFICATE_NONCONFORMING),
    ],
)
def test_what_is_not_fit_is_never_chosen(options, problem):
    unfit, fit = issue(**{"start": pki.NOT_BEFORE + YEAR, **options}), issue()
    found = choose(unfit, fit, config=BY_USER, chosen=unfit.fingerprint_sha256)
    assert found.certificate == fit
    assert not found.by_user
    assert found.refused == ((unfit, problem),)
    assert choose(unfit).certificate is None


def test_the_sender_must_be_named():
    found = choose(issue(), address="bob@example.org")
    assert found.certificate is None
    assert found.refused[0][1] is Problem.ADDRESS_MISMATCH
    assert choose(issue(), address="ALICE@Example.org").certificate is not None


def test_extensions_that_are_not_there_allow_everything():
    assert choose(issue(usage=None, extended_key_usage=None)).certificate is not None


def test_the_users_choice_counts_where_the_tenant_allows_it():
    old, new = issue(), issue(pki.NOT_BEFORE + YEAR)
    chosen = old.fingerprint_sha256
    assert choose(old, new, config=BY_USER, chosen=chosen).certificate == old
    assert choose(old, new, config=BY_USER, chosen=chosen).by_user
    assert choose(old, new, config=AUTOMATIC, chosen=chosen).certificate == new
    assert choose(old, new, config=BY_USER).certificate == new
    assert choose(new, config=BY_USER, chosen=chosen).certificate == new


def test_nobody_without_certificates():
    assert choose().certificate is None
