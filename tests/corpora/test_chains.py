"""Chains of other people's corpora: RFC 9216 with its cross certificates, post-quantum certificates, OpenSSL's own."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from smime_engine.certificate_bundle import certificates_from
from smime_engine.problems import Problem, Verdict
from smime_engine.trust.collection import TrustCollection
from smime_engine.trust.path import PathOptions, Profile, Purpose, validate_path

pytestmark = pytest.mark.corpora

NOW = datetime(2026, 6, 1, tzinfo=UTC)


@pytest.fixture
def load(corpora):
    def read(name):
        (certificate,) = certificates_from((corpora / name).read_bytes())
        return certificate

    return read


def names_of(report):
    return {found.problem for found in report.problems if found.problem.effect is not None}


@pytest.mark.parametrize("anchor", ["rsa", "25519"])
@pytest.mark.parametrize("holder", ["alice", "bob", "carlos", "dana"])
@pytest.mark.parametrize("purpose", [Purpose.SIGN, Purpose.ENCRYPT])
@pytest.mark.parametrize("whole_pool", [False, True])
def test_rfc9216_over_cross_certificates(load, anchor, holder, purpose, whole_pool):
    """Each holder reaches both roots: its own directly, the other one over the cross certificate."""
    leaf = load(f"rfc9216/{holder}.{purpose.value}.crt")
    pool = [load(f"rfc9216/ca.{kind}.cross.crt") for kind in ("rsa", "25519")]
    if whole_pool:
        pool += [load(f"rfc9216/ca.{kind}.crt") for kind in ("25519", "rsa")]
    report = validate_path(
        leaf,
        collection=TrustCollection([load(f"rfc9216/ca.{anchor}.crt")]),
        pool=pool,
        now=NOW,
        purpose=purpose,
        options=PathOptions(profile=Profile.STRICT),
        address=f"{holder}@smime.example",
    )
    assert report.verdict is Verdict.VALID, report.problems
    own = "rsa" if holder in {"alice", "bob"} else "25519"
    assert len(report.chain) == (2 if own == anchor else 3)


def test_rfc9216_signing_certificates_cannot_encrypt(load):
    leaf = load("rfc9216/alice.sign.crt")
    report = validate_path(
        leaf, collection=TrustCollection([load("rfc9216/ca.rsa.crt")]), now=NOW, purpose=Purpose.ENCRYPT
    )
    assert names_of(report) == {Problem.KEY_USAGE_UNFIT}


@pytest.mark.parametrize(("kem", "dsa"), [("512", "44"), ("768", "65"), ("1024", "87")])
def test_ml_kem_certificates_signed_with_ml_dsa(load, kem, dsa):
    leaf = load(f"pqc/lamps-ml-kem-certificates/ML-KEM-{kem}.crt")
    anchors = [load(f"pqc/lamps-ml-dsa-certificates/ML-DSA-{size}.crt") for size in ("44", "65", "87")]
    report = validate_path(leaf, collection=TrustCollection(anchors), now=NOW, purpose=Purpose.ENCRYPT)
    assert report.chain[-1].public_key.kind.value == f"ml-dsa-{dsa}"
    assert names_of(report) == ({Problem.UNSUPPORTED_KEY} if kem == "512" else set())
    assert report.verdict is (Verdict.UNKNOWN if kem == "512" else Verdict.VALID)
    signing = validate_path(leaf, collection=TrustCollection(anchors), now=NOW, purpose=Purpose.SIGN)
    assert signing.verdict is not Verdict.VALID


def test_openssl_leaves(corpora, load):
    collection = TrustCollection([load("openssl/smime-certs/smroot.pem")])
    verdicts = {}
    for file in sorted((corpora / "openssl" / "smime-certs").glob("*.pem")):
        if b"-----BEGIN CERTIFICATE-----" in file.read_bytes():
            leaf = certificates_from(file.read_bytes())[0]
            report = validate_path(leaf, collection=collection, now=NOW, purpose=Purpose.SIGN)
            verdicts[file.stem] = (report.verdict, names_of(report))
    expected = {
        "badrsa": (Verdict.UNKNOWN, {Problem.ISSUER_MISSING}),
        "csrsa1": (Verdict.INVALID, {Problem.EXTENDED_KEY_USAGE_UNFIT}),
        "smrsa1024": (Verdict.INVALID, {Problem.WEAK_KEY}),
        "smroot": (Verdict.INVALID, {Problem.KEY_USAGE_UNFIT}),
        "smec3": (Verdict.INVALID, {Problem.CERTIFICATE_SIGNATURE_MISMATCH}),  # of an earlier root
        "smdh": (Verdict.UNKNOWN, {Problem.UNSUPPORTED_KEY}),
        **dict.fromkeys(
            ("sm_slhdsa_sha2_128s", "sm_slhdsa_shake_128s", "sm_slhdsa_shake_256s", "smec2"),  # and a binary curve
            (Verdict.UNKNOWN, {Problem.UNSUPPORTED_KEY}),
        ),
    }
    for name, found in verdicts.items():
        assert found == expected.get(name, (Verdict.VALID, set())), name
    assert len(verdicts) > 15
