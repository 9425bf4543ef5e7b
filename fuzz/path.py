"""Path validation: whatever certificates contain, there is a report, and a changed certificate is never valid.

The input stands in turn for the leaf, for an intermediate in the pool, and for the trust anchor.
"""

from __future__ import annotations

from fuzz import _chains
from smime_engine.certificate import Certificate
from smime_engine.errors import MalformedMessage
from smime_engine.problems import Verdict
from smime_engine.trust.collection import TrustCollection
from smime_engine.trust.diagnostics import path_diagnosis
from smime_engine.trust.path import PathOptions, Profile, Purpose, validate_path
from tests import pki

_OPTIONS = PathOptions(profile=Profile.STRICT, require_explicit_policy=True)


def fuzz(data: bytes) -> None:
    try:
        mutant = Certificate.parse(data)
    except MalformedMessage:
        return
    root, *below = map(Certificate.parse, _chains.certificates())
    genuine = mutant in {root, *below}
    for purpose in Purpose:
        report = validate_path(
            mutant,
            collection=TrustCollection([root]),
            pool=below,
            now=pki.MOMENT,
            purpose=purpose,
            address="a@b.example",
        )
        if report.verdict is Verdict.VALID and not genuine:
            raise AssertionError(f"a forged certificate is valid: {report}")
        path_diagnosis(report)
    for leaf in below:
        validate_path(leaf, collection=TrustCollection([root]), pool=[mutant, *below], now=pki.MOMENT, options=_OPTIONS)
        validate_path(leaf, collection=TrustCollection([mutant]), pool=below, now=pki.MOMENT)


def seeds() -> list[bytes]:
    return list(_chains.certificates())
