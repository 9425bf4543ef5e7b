"""What is remembered about revocation changes no answer: shared evidence against fresh evidence, at any times."""

from __future__ import annotations

from datetime import timedelta
from functools import cache

from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from smime_engine.certificate import Certificate
from smime_engine.trust.collection import TrustCollection
from smime_engine.trust.evidence import Evidence
from smime_engine.trust.path import PathOptions, PathReport, RevocationMode, validate_path
from tests import pki

ROOT = pki.authority("Root")
LEAF = ROOT.issue("Alice", "alice@example.org", not_after=pki.MOMENT + timedelta(days=12))
HOUR = timedelta(hours=1)


@cache
def crl(start: int, length: int, state: str, number: int, base: int | None) -> bytes:
    """A list: `start` and `length` in hours; `state` says what it says about the leaf."""
    revoked = {
        "absent": {},
        "revoked": {LEAF: None},
        "held": {LEAF: x509.ReasonFlags.certificate_hold},
        "removed": {LEAF: x509.ReasonFlags.remove_from_crl},
    }[state]
    return ROOT.crl(
        revoked,
        this_update=pki.MOMENT + start * HOUR,
        next_update=pki.MOMENT + (start + length) * HOUR,
        revoked_at=pki.MOMENT + (start - 3) * HOUR,
        number=number,
        extra=[] if base is None else [(x509.DeltaCRLIndicator(base), True)],
    )


LISTS = st.builds(
    crl,
    start=st.sampled_from([-48, -24, 0, 24, 240, 400]),
    length=st.sampled_from([12, 36, 300]),
    state=st.sampled_from(["absent", "absent", "revoked", "held", "removed"]),
    number=st.integers(1, 4),
    base=st.none() | st.integers(1, 3),
)
TIMES = st.integers(-60, 500).map(lambda hours: pki.MOMENT + hours * HOUR)


def judge(evidence: Evidence, collection: TrustCollection, now: object, mode: RevocationMode) -> PathReport:
    return validate_path(
        Certificate.parse(LEAF.certificate_der),
        collection=collection,
        now=now,  # type: ignore[arg-type]
        options=PathOptions(revocation=mode),
        evidence=evidence,
    )


@given(
    st.lists(LISTS, max_size=5),
    st.lists(st.tuples(TIMES, st.sampled_from(RevocationMode)), min_size=1, max_size=6),
)
def test_memory_changes_no_answer(lists: list[bytes], questions: list) -> None:
    root = Certificate.parse(ROOT.certificate_der)
    shared, collection = Evidence.read(crls=lists), TrustCollection([root])
    for now, mode in questions:
        fresh = judge(Evidence.read(crls=lists), TrustCollection([root]), now, mode)
        assert judge(shared, collection, now, mode) == fresh
