"""Path building and validation on chains made at run time: what the corpora do not have."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.x509.oid import ExtendedKeyUsageOID

from smime_engine.asn1 import ber, oids
from smime_engine.certificate import Certificate
from smime_engine.limits import Limits
from smime_engine.problems import Problem, Verdict
from smime_engine.trust.collection import TrustCollection
from smime_engine.trust.path import DEFAULT_OPTIONS, PathOptions, Profile, Purpose, validate_path
from smime_engine.trust.wanted import Issuer
from tests import pki

SHA256_AND_SHA1 = (oids.SHA256_WITH_RSA_ENCRYPTION, oids.SHA1_WITH_RSA_ENCRYPTION)

ROOT = pki.authority("Root")
AUTHORITY = ROOT.subordinate("Authority")
ALICE = AUTHORITY.issue("Alice", "alice@example.org")


def parsed(*credentials):
    return tuple(Certificate.parse(credential.certificate_der) for credential in credentials)


def validate(leaf, pool=(), anchors=(ROOT,), *, now=pki.MOMENT, collection=None, **options):
    """Validate a credential's certificate."""
    asked = {key: options.pop(key) for key in ("purpose", "address", "present", "options") if key in options}
    return validate_path(
        *parsed(leaf),
        collection=collection or TrustCollection(parsed(*anchors)),
        pool=parsed(*pool),
        now=now,
        **asked,
    )


def problems(report):
    """Names of what counts, with the certificate's common name."""
    return {
        (found.certificate.subject.removeprefix("CN="), found.problem.name)
        for found in report.problems
        if found.problem.effect is not None
    }


def notes(report):
    return {found.problem for found in report.problems if found.problem.effect is None}


# --- building


def test_a_plain_chain_is_valid():
    report = validate(ALICE, [AUTHORITY], purpose=Purpose.SIGN)
    assert report.verdict is Verdict.VALID
    assert report.chain == parsed(ALICE, AUTHORITY, ROOT)
    assert report.anchored
    assert report.problems == report.wanted == ()


def test_a_report_has_no_truth_value():
    with pytest.raises(TypeError):
        bool(validate(ALICE, [AUTHORITY]))


def test_intermediates_of_the_collection_are_used():
    collection = TrustCollection(parsed(ROOT), parsed(AUTHORITY))
    assert validate(ALICE, collection=collection).verdict is Verdict.VALID


def test_a_missing_issuer_is_wanted_with_its_url():
    authority = ROOT.subordinate("Authority", issuer_urls=["http://ca.example/a.cer", "ldap://ca.example/a"])
    report = validate(authority.issue("Alice", "alice@example.org"))
    assert report.verdict is Verdict.UNKNOWN
    assert problems(report) == {("Alice", "ISSUER_MISSING")}
    assert [wanted.url for wanted in report.wanted] == ["http://ca.example/a.cer", "ldap://ca.example/a"]
    assert {wanted.name for wanted in report.wanted} == {"CN=Authority"}


def test_a_missing_issuer_without_url_is_wanted_too():
    report = validate(ALICE)
    authority = parsed(AUTHORITY)[0]
    assert report.wanted == (Issuer(url=None, name="CN=Authority", name_der=authority.subject_der),)


def test_without_anchors_nothing_can_be_said():
    report = validate(ALICE, [AUTHORITY, ROOT], anchors=())
    assert report.verdict is Verdict.UNKNOWN
    assert problems(report) == {("Root", "NO_TRUST_ANCHOR")}


def test_a_root_that_came_with_the_message_is_not_trusted():
    stranger = pki.authority("Stranger")
    leaf = stranger.issue("Mallory", "alice@example.org")
    report = validate(leaf, [stranger])
    assert report.verdict is Verdict.INVALID
    assert problems(report) == {("Stranger", "UNTRUSTED_ROOT")}
    assert report.wanted == ()


def test_a_root_of_the_same_name_with_another_key_does_not_count():
    impostor = pki.authority("Root", key=pki.new_key("p256", "impostor"))
    leaf = impostor.issue("Mallory", "alice@example.org")
    assert validate(leaf, [impostor]).verdict is Verdict.INVALID
    assert problems(validate(leaf)) == {("Mallory", "CERTIFICATE_SIGNATURE_MISMATCH")}


def test_several_issuers_of_one_name():
    """The one that signed is found among those that did not, wherever it stands."""
    others = [ROOT.subordinate("Authority", key=pki.new_key("p256", f"other {n}")) for n in range(5)]
    for pool in ([*others, AUTHORITY], [AUTHORITY, *others], [*others[:3], AUTHORITY, *others[3:]]):
        report = validate(ALICE, pool)
        assert report.verdict is Verdict.VALID
        assert report.chain[1] == parsed(AUTHORITY)[0]


def test_wrong_key_identifiers_are_hints_only():
    wrong = x509.AuthorityKeyIdentifier(b"wrong", None, None)
    leaf = AUTHORITY.issue("Alice", "alice@example.org", key_identifiers=False, extra=[(wrong, False)])
    assert validate(leaf, [AUTHORITY]).verdict is Verdict.VALID


def test_the_good_one_of_two_certificates_of_an_issuer_is_chosen():
    """One authority, certified twice: the first has expired, the second has not."""
    expired = ROOT.subordinate("Authority", not_after=pki.MOMENT - timedelta(days=1))
    report = validate(ALICE, [expired, AUTHORITY])
    assert report.verdict is Verdict.VALID
    report = validate(ALICE, [expired])
    assert problems(report) == {("Authority", "EXPIRED")}


def test_cross_certificates_lead_to_the_trusted_root():
    """Root 2 is known to the recipient, the sender sends the way to Root 1 and the cross certificate."""
    other = pki.authority("Other Root")
    cross = other.subordinate("Root", key=ROOT.key)
    report = validate(ALICE, [AUTHORITY, ROOT, cross], anchors=[other])
    assert report.verdict is Verdict.VALID
    assert report.chain == parsed(ALICE, AUTHORITY, cross, other)


def test_circles_end():
    one = pki.authority("One")
    two = pki.authority("Two")
    one_by_two = two.subordinate("One", key=one.key)
    two_by_one = one.subordinate("Two", key=two.key)
    leaf = one.issue("Alice", "alice@example.org")
    report = validate(leaf, [one_by_two, two_by_one])
    assert report.verdict is Verdict.INVALID
    assert {name for _, name in problems(report)} == {"PATH_LOOP"}
    assert validate(leaf, [one_by_two, two_by_one], anchors=[two]).verdict is Verdict.VALID


def test_a_maze_of_cross_certificates_is_given_up():
    """Thirty authorities that all certify each other, none of them to be trusted: bounded work, and a report."""
    authorities = [pki.authority(f"Maze {n}") for n in range(30)]
    maze = [a.subordinate(b.certificate.subject.rfc4514_string()[3:], key=b.key)
            for a in authorities for b in authorities if a is not b]  # fmt: skip
    leaf = authorities[0].issue("Alice", "alice@example.org")
    report = validate(leaf, maze)
    assert report.verdict is not Verdict.VALID
    assert any("given up" in found.detail for found in report.problems)
    report = validate(leaf, maze, anchors=[authorities[17]])
    assert report.verdict is Verdict.VALID
    assert len(report.chain) == 3


def test_chains_longer_than_the_limit_are_given_up():
    authority, chain = ROOT, []
    for depth in range(6):
        authority = authority.subordinate(f"Depth {depth}")
        chain.append(authority)
    leaf = authority.issue("Alice", "alice@example.org")
    assert validate(leaf, chain).verdict is Verdict.VALID
    report = validate(leaf, chain, options=PathOptions(limits=Limits(path_length=5)))
    assert report.verdict is Verdict.UNKNOWN
    assert any("given up after 5 certificates" in found.detail for found in report.problems)


def test_an_anchor_need_not_be_self_signed():
    report = validate(ALICE, anchors=[AUTHORITY])
    assert report.verdict is Verdict.VALID
    assert report.chain == parsed(ALICE, AUTHORITY)


def test_a_leaf_can_be_trusted_itself():
    report = validate(ALICE, anchors=[ALICE], purpose=Purpose.SIGN)
    assert report.verdict is Verdict.VALID
    assert report.chain == parsed(ALICE)


def test_distrust_wins_over_everything():
    for certificate in (ALICE, AUTHORITY, ROOT):
        collection = TrustCollection(parsed(ROOT), distrusted=parsed(certificate))
        report = validate(ALICE, [AUTHORITY], collection=collection)
        assert report.verdict is Verdict.INVALID
        assert {name for _, name in problems(report)} == {"DISTRUSTED"}


# --- signatures

SIGNERS = ("rsa2048", "p256", "p384", "p521", "brainpool256", "brainpool512", "ed25519", "ed448",
           "mldsa44", "mldsa65", "mldsa87")  # fmt: skip


@pytest.mark.parametrize("kind", SIGNERS)
def test_issuers_with_every_kind_of_key(kind):
    root = pki.authority(f"Root {kind}", kind=kind)
    authority = root.subordinate(f"Authority {kind}", kind=kind)
    leaf = authority.issue("Alice", "alice@example.org", kind=kind, usage="sign")
    report = validate(leaf, [authority], [root], purpose=Purpose.SIGN)
    assert report.verdict is Verdict.VALID, report.problems
    der = bytearray(leaf.certificate_der)
    der[-1] ^= 1
    forged = replace(leaf, certificate=x509.load_der_x509_certificate(bytes(der)))
    assert problems(validate(forged, [authority], [root])) == {("Alice", "CERTIFICATE_SIGNATURE_MISMATCH")}


def test_pss():
    root = pki.authority("Root", kind="rsa2048", pss=True)
    leaf = root.issue("Alice", "alice@example.org", pss=True)
    assert validate(leaf, anchors=[root]).verdict is Verdict.VALID


def signed_with_sha1(credential, key):
    """The same certificate, signed with SHA-1: the builder does not do that any more."""
    sha256, sha1 = (ber.encode(0x30, oid.tlv, b"\x05\x00") for oid in SHA256_AND_SHA1)
    tbs = credential.certificate.tbs_certificate_bytes.replace(sha256, sha1)
    signature = key.sign(tbs, padding.PKCS1v15(), hashes.SHA1())
    der = ber.encode(0x30, tbs, sha1, ber.encode(0x03, b"\0", signature))
    return replace(credential, certificate=x509.load_der_x509_certificate(der))


def test_old_digests_are_weak_and_forgivable():
    root = pki.authority("Root", kind="rsa2048")
    leaf = signed_with_sha1(root.issue("Alice", "alice@example.org"), root.key)
    assert problems(validate(leaf, anchors=[root])) == {("Alice", "WEAK_DIGEST")}
    forgiving = PathOptions(forgiven=frozenset({Problem.WEAK_DIGEST}))
    report = validate(leaf, anchors=[root], options=forgiving)
    assert report.verdict is Verdict.VALID
    assert [found.problem for found in report.problems] == [Problem.WEAK_DIGEST]


def test_the_digest_of_a_root_says_nothing():
    root = pki.authority("Root", kind="rsa2048")
    leaf = root.issue("Alice", "alice@example.org")
    assert validate(leaf, anchors=[signed_with_sha1(root, root.key)]).verdict is Verdict.VALID


def test_short_keys_are_weak():
    root = pki.authority("Root", kind="rsa1024")
    leaf = root.issue("Alice", "alice@example.org", kind="rsa1024")
    assert problems(validate(leaf, anchors=[root])) == {("Alice", "WEAK_KEY"), ("Root", "WEAK_KEY")}


# --- time


def test_validity_is_inclusive_to_the_second():
    leaf = AUTHORITY.issue("Alice", "a@b.example", not_before=pki.MOMENT, not_after=pki.MOMENT + timedelta(days=1))
    second, fraction = timedelta(seconds=1), timedelta(microseconds=999_999)
    end = pki.MOMENT + timedelta(days=1)
    for moment in (pki.MOMENT, end, end + fraction):
        assert validate(leaf, [AUTHORITY], now=moment).verdict is Verdict.VALID
    early = validate(leaf, [AUTHORITY], now=pki.MOMENT - second)
    assert problems(early) == {("Alice", "NOT_YET_VALID")}
    late = validate(leaf, [AUTHORITY], now=end + second)
    assert problems(late) == {("Alice", "EXPIRED")}
    assert "2026-06-02 12:00" in late.problems[-1].detail


def test_an_expired_anchor_is_expired():
    root = pki.authority("Root", not_after=pki.MOMENT)
    leaf = root.issue("Alice", "alice@example.org")
    report = validate(leaf, anchors=[root], now=pki.MOMENT + timedelta(days=1))
    assert problems(report) == {("Root", "EXPIRED")}
    assert Problem.VALIDITY_NOT_NESTED in notes(report)


def test_what_has_expired_since():
    leaf = AUTHORITY.issue("Alice", "alice@example.org", not_after=pki.MOMENT + timedelta(days=1))
    report = validate(leaf, [AUTHORITY], present=pki.MOMENT + timedelta(days=9))
    assert report.verdict is Verdict.VALID
    assert notes(report) == {Problem.EXPIRED_SINCE}


# --- what certificates may do


def test_an_end_entity_cannot_issue():
    mallory = pki.Authority(ALICE.key, ALICE.certificate, ALICE.issuers)
    leaf = mallory.issue("Victim", "victim@example.org")
    report = validate(leaf, [ALICE, AUTHORITY])
    assert problems(report) == {("Alice", "NOT_A_CA"), ("Alice", "KEY_USAGE_UNFIT")}


def test_path_length():
    short = ROOT.subordinate("Short", path_length=0)
    deeper = short.subordinate("Deeper")
    report = validate(deeper.issue("Alice", "alice@example.org"), [deeper, short])
    assert problems(report) == {("Short", "PATH_LENGTH_EXCEEDED")}
    assert validate(short.issue("Alice", "alice@example.org"), [short]).verdict is Verdict.VALID


def test_path_length_of_the_anchor_counts():
    root = pki.authority("Root", path_length=0)
    authority = root.subordinate("Authority")
    report = validate(authority.issue("Alice", "alice@example.org"), [authority], [root])
    assert problems(report) == {("Root", "PATH_LENGTH_EXCEEDED")}


@pytest.mark.parametrize(
    ("kind", "usage", "purpose", "fits"),
    [
        ("p256", "sign", Purpose.SIGN, True),
        ("p256", "encrypt", Purpose.SIGN, False),
        ("p256", pki.key_usage("content_commitment"), Purpose.SIGN, True),
        ("p256", None, Purpose.SIGN, True),
        ("p256", "encrypt", Purpose.ENCRYPT, True),
        ("p256", pki.key_usage("key_encipherment"), Purpose.ENCRYPT, False),
        ("p256", pki.key_usage("key_agreement"), Purpose.ENCRYPT, True),
        ("rsa2048", pki.key_usage("key_encipherment"), Purpose.ENCRYPT, True),
        ("rsa2048", pki.key_usage("key_agreement"), Purpose.ENCRYPT, False),
        ("rsa2048", "sign", Purpose.ENCRYPT, False),
        ("rsa2048", None, Purpose.ENCRYPT, True),
        ("rsa2048", "encrypt", Purpose.ANY, True),
        ("ed25519", None, Purpose.ENCRYPT, False),
        ("ed25519", None, Purpose.SIGN, True),
        ("x25519", pki.key_usage("key_agreement"), Purpose.ENCRYPT, True),
        ("x25519", None, Purpose.SIGN, False),
        ("mlkem768", pki.key_usage("key_encipherment"), Purpose.ENCRYPT, True),
        ("mlkem768", None, Purpose.SIGN, False),
        ("mldsa65", "sign", Purpose.SIGN, True),
        ("mldsa65", None, Purpose.ENCRYPT, False),
    ],
)
def test_key_usage(kind, usage, purpose, fits):
    leaf = AUTHORITY.issue("Alice", "alice@example.org", kind=kind, usage=usage)
    report = validate(leaf, [AUTHORITY], purpose=purpose)
    assert problems(report) == (set() if fits else {("Alice", "KEY_USAGE_UNFIT")})


@pytest.mark.parametrize(
    ("usages", "fits"),
    [
        (None, True),
        ([ExtendedKeyUsageOID.EMAIL_PROTECTION], True),
        ([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE], True),
        ([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.EMAIL_PROTECTION], True),
        ([ExtendedKeyUsageOID.CLIENT_AUTH], False),
    ],
)
def test_extended_key_usage(usages, fits):
    leaf = AUTHORITY.issue("Alice", "alice@example.org", extended_key_usage=usages)
    for purpose in (Purpose.SIGN, Purpose.ENCRYPT):
        report = validate(leaf, [AUTHORITY], purpose=purpose)
        assert problems(report) == (set() if fits else {("Alice", "EXTENDED_KEY_USAGE_UNFIT")})
    assert validate(leaf, [AUTHORITY], purpose=Purpose.ANY).verdict is Verdict.VALID


def test_extended_key_usage_nests_below_the_anchor():
    server = [ExtendedKeyUsageOID.SERVER_AUTH]
    authority = ROOT.subordinate("Server CA", extended_key_usage=server)
    leaf = authority.issue("Alice", "alice@example.org")
    report = validate(leaf, [authority], purpose=Purpose.SIGN)
    assert problems(report) == {("Server CA", "EXTENDED_KEY_USAGE_UNFIT")}
    root = pki.authority("Server Root", extended_key_usage=server)
    assert validate(root.issue("Alice", "a@b.example"), anchors=[root], purpose=Purpose.SIGN).verdict is Verdict.VALID


def test_a_ca_as_end_entity_is_told():
    report = validate(AUTHORITY)
    assert report.verdict is Verdict.VALID
    assert notes(report) == {Problem.CA_AS_END_ENTITY}


def test_unknown_critical_extensions():
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
    tolerated = AUTHORITY.issue("Alice", "alice@example.org", extra=[(unknown, False)])
    assert validate(tolerated, [AUTHORITY]).verdict is Verdict.VALID
    refused = AUTHORITY.issue("Alice", "alice@example.org", extra=[(unknown, True)])
    assert problems(validate(refused, [AUTHORITY])) == {("Alice", "UNKNOWN_CRITICAL_EXTENSION")}


def test_address():
    assert validate(ALICE, [AUTHORITY], address="ALICE@example.org").verdict is Verdict.VALID
    report = validate(ALICE, [AUTHORITY], address="bob@example.org")
    assert problems(report) == {("Alice", "ADDRESS_MISMATCH")}
    assert report.problems[-1].detail == "it names alice@example.org, not bob@example.org"


def test_rules_for_issuers_count_where_asked():
    bare = AUTHORITY.issue("Alice", "alice@example.org", key_identifiers=False)
    report = validate(bare, [AUTHORITY])
    assert report.verdict is Verdict.VALID
    assert notes(report) == {Problem.CERTIFICATE_NONCONFORMING}
    report = validate(bare, [AUTHORITY], options=PathOptions(profile=Profile.STRICT))
    assert problems(report) == {("Alice", "CERTIFICATE_MALFORMED")}


# --- memory


def test_remembering_changes_no_answer():
    """One collection for many questions gives what a new collection gives for each."""
    expired = ROOT.subordinate("Authority", not_after=pki.MOMENT + timedelta(days=1))
    stranger = pki.authority("Stranger").issue("Alice", "alice@example.org")
    shared = TrustCollection(parsed(ROOT))
    questions = [
        (leaf, pool, now, purpose, options)
        for leaf in (ALICE, stranger, AUTHORITY)
        for pool in ([AUTHORITY], [expired], [expired, AUTHORITY], [])
        for now in (pki.MOMENT, pki.MOMENT + timedelta(days=9), pki.NOT_AFTER + timedelta(days=9))
        for purpose in Purpose
        for options in (DEFAULT_OPTIONS, PathOptions(require_explicit_policy=True))
    ]
    for leaf, pool, now, purpose, options in (*questions, *reversed(questions)):
        fresh = validate(leaf, pool, now=now, purpose=purpose, options=options)
        assert validate(leaf, pool, now=now, purpose=purpose, options=options, collection=shared) == fresh


def test_hostile_pools_do_not_fill_the_memory():
    collection = TrustCollection(parsed(ROOT))
    filler = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), bytes(40_000))
    big = AUTHORITY.issue("Alice", "alice@example.org", extra=[(filler, False)])
    assert validate(big, [AUTHORITY], collection=collection).verdict is Verdict.VALID
    assert not collection.paths._young
