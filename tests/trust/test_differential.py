"""Our verdicts beside those of `cryptography.x509.verification`, over both corpora and over generated chains.

Their verifier is told to look at the path alone: a client verifier without extension policies of the Web PKI (but for
basicConstraints, which it demands). Every case in which one accepts and the other refuses is explained in
`EXPLANATIONS`, by the reason that the one that refuses gives; where that reason is too vague to be trusted (a forged
signature gives the same), by the name of the case or by what was generated.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from cryptography import x509
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509 import verification
from hypothesis import given
from hypothesis import strategies as st

from smime_engine.certificate import Certificate
from smime_engine.certificate_bundle import certificates_from
from smime_engine.errors import MalformedMessage
from smime_engine.problems import Problem, Verdict
from smime_engine.trust.collection import TrustCollection
from smime_engine.trust.path import PathReport, Profile, RevocationMode, validate_path
from tests import pki
from tests.corpora import limbo, pkits

NO_POLICIES = "they know no certificate policies: the caller's are not asked for, critical extensions not understood"
FOR_ISSUERS = "a rule for issuers: it counts with us in the strict profile"
NO_SELF_ISSUED = "they count self-issued certificates as intermediates (RFC 5280 section 6.1.4 l does not)"
NO_NAME_MATCHING = "they compare names octet by octet; RFC 5280 section 7.1 folds case, white space and string types"

EXPLANATIONS: dict[str, str] = {
    # we refuse, with this problem
    "problem:POLICY_NOT_ACCEPTED": NO_POLICIES,
    "problem:KEY_USAGE_UNFIT": "for them the key usage of issuers is an extension policy, turned off here",
    "problem:CERTIFICATE_MALFORMED": "the strict profile is asked for, or they do not look into the extension",
    "problem:WEAK_KEY": "they look at the keys of issuers alone",
    "problem:UNSUPPORTED_NAME_CONSTRAINT": "they do not count comparisons of names that no constraint applies to",
    # they refuse, with this text
    "text:Forbidden public key algorithm": "DSA, Ed25519 and Brainpool are no algorithms of the Web PKI",
    "text:SubjectPublicKeyInfo::algorithm": "they cannot read a DSA key that inherits its parameters",
    "text:must be UtcTime": "they hold issuers to the encoding of times; PKITS does not (test 4.2.4)",
    "text:certificate serial number cannot be negative": FOR_ISSUERS,
    "text:certificate must have a serial between": FOR_ISSUERS,
    "text:certificate must have a non-empty Issuer": FOR_ISSUERS,
    "text:certificate must be an X509v3": FOR_ISSUERS,
    "text:2.5.29.36: certificate contains unaccounted-for critical extensions": NO_POLICIES,
    "text:2.5.29.33: certificate contains unaccounted-for critical extensions": NO_POLICIES,
    "text:2.5.29.54: certificate contains unaccounted-for critical extensions": NO_POLICIES,
    "text:unsupported directoryName constraint": "they cannot check constraints on directory names",
    "text:unsupported name constraint": "they cannot check constraints on URIs",
    # the reason given is too vague: these cases alone
    "case:4.3.3": NO_NAME_MATCHING,
    "case:4.3.4": NO_NAME_MATCHING,
    "case:4.3.5": NO_NAME_MATCHING,
    "case:4.3.10": NO_NAME_MATCHING,
    "case:4.3.11": NO_NAME_MATCHING,
    "case:4.6.15": NO_SELF_ISSUED,
    "case:4.6.17": NO_SELF_ISSUED,
    "case:4.12.9": NO_POLICIES + "; " + NO_SELF_ISSUED,
    "case:pathlen::self-issued-certs-pathlen": NO_SELF_ISSUED,
    "case:pathlen::max-chain-depth-1-self-issued": NO_SELF_ISSUED,
    "case:generated with a self-issued authority": NO_SELF_ISSUED,
}
"""Why the two differ, by our problem, by a part of their text, or by the name of the case."""

TEXTS = tuple(key.removeprefix("text:") for key in EXPLANATIONS if key.startswith("text:"))


def theirs(
    leaf: bytes, anchors: Iterable[bytes], pool: Iterable[bytes], now: datetime, depth: int | None = None
) -> str | None:
    """None where they accept, else their reason."""
    ca_policy = verification.ExtensionPolicy.permit_all().require_present(
        x509.BasicConstraints, verification.Criticality.AGNOSTIC, None
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        try:
            store = verification.Store([x509.load_der_x509_certificate(der) for der in anchors])
            builder = verification.PolicyBuilder().store(store).time(now)
            builder = builder.extension_policies(
                ca_policy=ca_policy, ee_policy=verification.ExtensionPolicy.permit_all()
            )
            if depth is not None:
                builder = builder.max_chain_depth(depth)
            others = [x509.load_der_x509_certificate(der) for der in pool]
            builder.build_client_verifier().verify(x509.load_der_x509_certificate(leaf), others)
        except (verification.VerificationError, ValueError, x509.UnsupportedGeneralNameType) as error:
            return str(error)
    return None


def unexplained(name: str, report: PathReport, reason: str | None) -> str | None:
    """What has no explanation, or None; `reason` is why they refuse."""
    accepted = report.verdict is Verdict.VALID
    if accepted == (reason is None):
        return None
    if reason is not None:
        explained = f"case:{name}" in EXPLANATIONS or any(text in reason for text in TEXTS)
        return None if explained else f"{name}: accepted, and they say {reason}"
    counting = [found.problem for found in report.problems if found.problem.effect is not None]
    counting = [problem.name for problem in counting if problem not in report.forgiven]
    explained = any(f"problem:{problem}" in EXPLANATIONS for problem in counting)
    return None if explained else f"{name}: refused for {counting}, and they accept"


@pytest.mark.corpora
def test_pkits(corpora):
    differences, found = 0, []
    for case in pkits.cases():
        anchor, *pool, leaf = case.chain
        report = validate_path(
            leaf,
            collection=TrustCollection([anchor]),
            pool=pool,
            now=pkits.NOW,
            options=case.options(revocation=RevocationMode.NONE),
        )
        reason = theirs(leaf.der, [anchor.der], [certificate.der for certificate in pool], pkits.NOW)
        differences += (report.verdict is Verdict.VALID) != (reason is None)
        found.append(unexplained(case.number, report, reason))
    assert not list(filter(None, found))
    assert differences == 58


@pytest.mark.corpora
@pytest.mark.parametrize("profile", list(Profile))
def test_limbo(corpora, profile):
    found = []
    for case in limbo.cases():
        if case.crls:
            continue
        try:
            leaf, anchors, pool = (
                [certificate for pem in pems for certificate in certificates_from(pem)]
                for pems in ((case.leaf,), case.anchors, case.pool)
            )
        except MalformedMessage:
            continue
        report = validate_path(
            leaf[0],
            collection=TrustCollection(anchors),
            pool=pool,
            now=case.now,
            options=replace(case.options, profile=profile),
        )
        ders = ([certificate.der for certificate in part] for part in (anchors, pool))
        reason = theirs(leaf[0].der, *ders, case.now, case.maximum_intermediates)
        found.append(unexplained(case.name, report, reason))
    assert not list(filter(None, found))


# --- generated chains

DOMAINS = ("example.org", "mail.example.org", "example.com")
unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
domains = st.sampled_from(DOMAINS)
subtrees = st.lists(st.builds(x509.DNSName, domains) | st.builds(x509.RFC822Name, domains), max_size=2)


@st.composite
def constraints(draw):
    permitted, excluded = draw(subtrees), draw(subtrees)
    if not permitted and not excluded:
        return []
    return [(x509.NameConstraints(permitted or None, excluded or None), True)]


@st.composite
def chains(draw):
    """(leaf, pool, root, whether an authority is self-issued): mostly good, with one or two things wrong."""
    kinds = st.sampled_from(["p256", "p256", "rsa2048", "p384"])
    rarely = st.integers(0, 9).map(lambda number: number == 0)
    authority = root = pki.authority("Root", kind=draw(kinds), extra=draw(constraints()))
    pool, self_issued = [], False
    for depth in range(draw(st.integers(0, 3))):
        name = f"Authority {depth}"
        if draw(rarely) and depth:
            self_issued, name = True, f"Authority {depth - 1}"
        options = {
            "key": pki.new_key(draw(kinds), f"{name} {depth}"),
            "path_length": draw(st.sampled_from([None, None, None, 0, 1])),
            "usage": draw(st.sampled_from(["ca", "ca", "ca", "ca", "sign", None])),
            "not_after": pki.MOMENT - timedelta(days=1) if draw(rarely) else pki.NOT_AFTER,
            "extra": [*draw(constraints()), *([(unknown, True)] if draw(rarely) else [])],
        }
        signer = replace(authority, key=pki.new_key("p256", "forger")) if draw(rarely) else authority
        authority = signer.subordinate(name, **options)
        pool.append(authority)
    names = draw(st.lists(st.builds(x509.DNSName, domains), max_size=2))
    addresses = [f"alice@{domain}" for domain in draw(st.lists(domains, max_size=2))]
    leaf = authority.issue(
        "Alice",
        *addresses,
        names=names,
        kind=draw(st.sampled_from(["p256", "rsa2048", "rsa1024"])),
        usage=draw(st.sampled_from(["both", "sign", None])),
        not_before=pki.MOMENT + timedelta(days=1) if draw(rarely) else pki.NOT_BEFORE,
        extra=[(unknown, draw(st.booleans()))] if draw(rarely) else (),
    )
    return leaf, pool, root, self_issued


@given(chains())
def test_generated_chains(chain):
    leaf, pool, root, self_issued = chain
    report = validate_path(
        Certificate.parse(leaf.certificate_der),
        collection=TrustCollection([Certificate.parse(root.certificate_der)]),
        pool=[Certificate.parse(credential.certificate_der) for credential in pool],
        now=pki.MOMENT,
    )
    ders = [credential.certificate_der for credential in pool]
    reason = theirs(leaf.certificate_der, [root.certificate_der], ders, pki.MOMENT)
    name = "generated with a self-issued authority" if self_issued else "generated"
    assert unexplained(name, report, reason) is None
    if reason is not None and "signature does not match" in reason and not self_issued:
        assert Problem.CERTIFICATE_SIGNATURE_MISMATCH in {found.problem for found in report.problems}
