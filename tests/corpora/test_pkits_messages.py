"""The 224 signed mails of PKITS, opened whole: signatures, senders, and with the cases' settings the verdicts.

`test_pkits.py` judges the paths alone, `tests/cms/test_signed_corpora.py` the signatures alone.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict

import pytest

from smime_engine import Evidence, Problem, TrustCollection, Verdict, open_message
from tests.corpora import pkits

pytestmark = pytest.mark.corpora

CONTENT = b"Content-Type: text/plain\r\n\r\nThis is a sample signed message.\r\n"
EXCEPTIONS = {
    # DSA with 1024 bits and SHA-1: right, and weak
    "SignedInvalidDSASignatureTest6": {"WEAK_DIGEST", "WEAK_SIGNATURE_ALGORITHM", "WEAK_KEY"},
    "SignedValidDSASignaturesTest4": {"WEAK_DIGEST", "WEAK_SIGNATURE_ALGORITHM", "WEAK_KEY"},
    # DSA parameters inherited from the issuer: without a path to it the signature cannot be checked
    "SignedValidDSAParameterInheritanceTest5": {"WEAK_DIGEST", "WEAK_SIGNATURE_ALGORITHM", "UNSUPPORTED_KEY"},
}


def test_the_224_signed_mails_of_pkits() -> None:
    """All are signed rightly. Their senders are bound where the certificate names an address, as eleven do."""
    bound = 0
    mails = sorted((pkits.DATA / "smime").glob("*.eml"))
    for path in mails:
        opened = open_message(path.read_bytes(), now=pkits.NOW)
        expected = {"NO_TRUST_ANCHOR", *EXCEPTIONS.get(path.stem, set())}
        (signature,) = opened.signatures
        assert signature.certificate is not None
        if signature.certificate.addresses:
            bound += opened.sender_bound is True
        else:
            expected.add("SENDER_MISMATCH")
        assert {problem.name for problem in signature.problems if problem.effect is not None} == expected, path.stem
        assert opened.content == CONTENT
        assert not opened.partial
    assert (len(mails), bound) == (224, 11)


def test_the_verdicts_of_pkits_hold_for_whole_mails() -> None:
    """With roots, lists and settings of the cases whose end entity signed: the mail is VALID where the case says so."""
    cases = defaultdict(list)
    for case in pkits.cases():
        cases[case.chain[-1].der].append(case)
    judged: dict[str, set[str]] = {}
    for path in sorted((pkits.DATA / "smime").glob("*.eml")):
        data = path.read_bytes()
        (signature,) = open_message(data, now=pkits.NOW).signatures
        assert signature.certificate is not None
        for case in cases[signature.certificate.der]:
            anchor, *pool, _ = case.chain
            options = case.options()
            options = dataclasses.replace(options, forgiven=options.forgiven | {Problem.SENDER_MISMATCH})
            opened = open_message(
                data,
                now=pkits.NOW,
                trust=TrustCollection([anchor]),
                certificates=pool,
                evidence=Evidence.read(crls=[crl.read_bytes() for crl in case.crl_paths]),
                options=options,
            )
            right = (opened.verdict is Verdict.VALID) == case.valid
            judged.setdefault("right" if right else "wrong", set()).add(case.number)
    assert "wrong" not in judged
    assert len(judged["right"]) == 225
