"""NIST PKITS: every case is judged as stated, without exception, and so are the policies that come out."""

from __future__ import annotations

import pytest

from smime_engine.problems import Verdict
from smime_engine.trust.collection import TrustCollection
from smime_engine.trust.path import Evidence, RevocationMode, validate_path
from tests.corpora import pkits

pytestmark = pytest.mark.corpora


def test_the_suite_is_whole(corpora):
    assert len(pkits.cases()) == 249
    assert sum(case.valid for case in pkits.cases()) == 114


@pytest.mark.parametrize("case", pkits.cases(), ids=lambda case: case.number)
def test_case(case):
    anchor, *pool, leaf = case.chain
    evidence = Evidence.read(crls=[path.read_bytes() for path in case.crl_paths])
    report = validate_path(
        leaf,
        collection=TrustCollection([anchor]),
        pool=pool,
        now=pkits.NOW,
        options=case.options(),
        evidence=evidence,
    )
    assert (report.verdict is Verdict.VALID) == case.valid, "\n".join(map(str, report.problems))
    if case.valid and case.agreed_policies is not None:
        assert set(report.policies) == case.agreed_policies
    if not case.valid:
        assert any(found.problem.effect is not None for found in report.problems)


@pytest.mark.parametrize("case", [case for case in pkits.cases() if case.valid], ids=lambda case: case.number)
def test_the_order_of_the_pool_and_strangers_in_it_change_nothing(case):
    anchor, *pool, leaf = case.chain
    strangers = [other.chain[1] for other in pkits.cases()[:40:4] if len(other.chain) > 2]
    collection = TrustCollection([anchor])
    for candidates in ((*reversed(pool), *strangers), (*strangers, anchor, leaf, *pool)):
        report = validate_path(
            leaf,
            collection=collection,
            pool=candidates,
            now=pkits.NOW,
            options=case.options(revocation=RevocationMode.NONE),
        )
        assert report.verdict is Verdict.VALID, "\n".join(map(str, report.problems))
