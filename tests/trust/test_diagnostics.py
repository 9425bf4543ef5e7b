"""The words of a report: every problem of a path has advice, and the tree says who did what."""

from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from smime_engine.certificate import Certificate
from smime_engine.problems import Problem
from smime_engine.trust.collection import TrustCollection
from smime_engine.trust.diagnostics import ADVICE, path_diagnosis
from smime_engine.trust.evidence import Evidence, FetchFailure
from smime_engine.trust.path import PathOptions, Purpose, RevocationMode, validate_path
from smime_engine.trust.wanted import Crl
from tests import pki

URL = "http://crl.example/authority.crl"
ROOT = pki.authority("Root")
AUTHORITY = ROOT.subordinate("Authority", crl_urls=[URL], issuer_urls=["http://ca.example/authority.cer"])


def diagnose(leaf, pool=(AUTHORITY,), *, now=pki.MOMENT, mode=RevocationMode.NONE, **options):
    forgiven = options.pop("forgiven", frozenset())
    report = validate_path(
        Certificate.parse(leaf.certificate_der),
        collection=TrustCollection([Certificate.parse(ROOT.certificate_der)]),
        pool=[Certificate.parse(credential.certificate_der) for credential in pool],
        now=now,
        options=PathOptions(revocation=mode, forgiven=forgiven),
        **options,
    )
    return path_diagnosis(report, revocation=mode)


def test_a_valid_chain():
    lines = diagnose(AUTHORITY.issue("Alice", "alice@example.org"), purpose=Purpose.SIGN)
    assert lines[0] == "VALID for signing mail, at 2026-06-01 12:00:00 UTC"
    assert [line.strip(" └─") for line in lines if "CN=" in line] == ["CN=Root", "CN=Authority", "CN=Alice"]
    assert "trust anchor" in lines[2]
    assert lines[-1].strip() == "ok: signature, validity, extensions, key usage, names"
    assert any("alice@example.org" in line for line in lines)


def test_what_failed_and_what_to_do():
    leaf = AUTHORITY.issue("Alice", "a@b.example", extended_key_usage=[ExtendedKeyUsageOID.SERVER_AUTH])
    late = pki.NOT_AFTER + timedelta(days=1)
    text = "\n".join(diagnose(leaf, now=late, purpose=Purpose.SIGN))
    assert text.startswith("INVALID for signing mail")
    assert "FAILED EXPIRED: the certificate has expired: valid until 2048-01-01" in text
    assert "→ renew it" in text
    assert "FAILED EXTENDED_KEY_USAGE_UNFIT" in text
    assert "id-kp-serverAuth" in text


def test_a_missing_issuer_says_where_it_is():
    lines = diagnose(AUTHORITY.issue("Alice", "alice@example.org"), pool=())
    assert lines[0].startswith("UNKNOWN")
    assert lines[-2:] == (
        "What could help:",
        "   the certificate of CN=Authority from http://ca.example/authority.cer",
    )


def test_an_unreachable_list_in_the_words_of_the_exchange_rule():
    leaf = AUTHORITY.issue("Alice", "alice@example.org")
    certificates = [Certificate.parse(c.certificate_der) for c in (leaf, AUTHORITY, ROOT)]
    options = PathOptions(revocation=RevocationMode.EXCHANGE_ONLINE)
    wanted = Crl(url=URL, issuer="CN=Authority")
    report = validate_path(
        certificates[0],
        collection=TrustCollection([certificates[2]]),
        pool=[certificates[1]],
        now=pki.MOMENT,
        options=options,
        evidence=Evidence(failures=[FetchFailure(wanted=wanted, text="connection refused")]),
    )
    text = "\n".join(path_diagnosis(report, revocation=options.revocation))
    assert "CRL_UNREACHABLE" in text
    assert f"CRL at {URL} could not be fetched: connection refused" in text
    assert "Exchange Online treats that as invalid" in text


def test_forgiven_problems_are_marked_and_need_no_advice():
    leaf = AUTHORITY.issue("Alice", "alice@example.org", kind="rsa1024")
    lines = diagnose(leaf, forgiven=frozenset({Problem.WEAK_KEY}))
    assert lines[0].startswith("VALID")
    assert lines[-1].strip() == "forgiven WEAK_KEY: the key is too short: rsa 1024 bits"


@pytest.mark.parametrize("mode", [RevocationMode.HARD_FAIL, RevocationMode.SOFT_FAIL])
def test_only_what_was_checked_is_said_to_be_good(mode):
    leaf = AUTHORITY.issue("Alice", "alice@example.org")
    assert not any("not revoked" in line for line in diagnose(leaf))
    assert not any("not revoked" in line for line in diagnose(leaf, mode=mode))


def test_every_problem_of_a_path_that_counts_has_advice():
    names = [problem.name for problem in Problem]
    first, last = names.index("NO_TRUST_ANCHOR"), names.index("CRL_UNREACHABLE")
    of_paths = list(Problem)[first : last + 1]
    lacking = [problem.name for problem in of_paths if problem.effect is not None and problem not in ADVICE]
    assert lacking == []
