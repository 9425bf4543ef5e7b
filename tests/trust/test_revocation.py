"""Revocation through `validate_path`: who may say that a certificate is revoked, when, and what if nobody does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID

from smime_engine.asn1 import ber
from smime_engine.asn1.oids import encode_oid
from smime_engine.certificate import Certificate
from smime_engine.problems import Problem, Verdict
from smime_engine.trust.collection import TrustCollection
from smime_engine.trust.evidence import Evidence, FetchFailure
from smime_engine.trust.path import PathOptions, PathReport, RevocationMode, validate_path
from smime_engine.trust.wanted import Crl, Ocsp
from tests import pki

MOMENT = pki.MOMENT
DAY = timedelta(days=1)
Flags = x509.ReasonFlags
HARD = RevocationMode.HARD_FAIL

ROOT = pki.authority("Root")
URLS = {"crl_urls": ["http://crl.example/ca.crl"], "ocsp_urls": ["http://ocsp.example/"]}
CA = ROOT.subordinate("CA", **URLS)
ALICE = CA.issue("Alice", "alice@example.org")
OTHER = pki.authority("Other Root")


def parsed(credential: pki.Credential) -> Certificate:
    return Certificate.parse(credential.certificate_der)


def judge(
    holder: pki.Credential = ALICE,
    *,
    crls: Sequence[bytes] = (),
    responses: Sequence[bytes] = (),
    failures: Sequence[FetchFailure] = (),
    mode: RevocationMode = HARD,
    now: datetime = MOMENT,
    pool: Sequence[pki.Credential] = (),
    root_list: bool = True,
    forgiven: frozenset[Problem] = frozenset(),
    ca: pki.Authority = CA,
) -> PathReport:
    evidence = Evidence.read(
        crls=[*crls, *([ROOT.crl(this_update=now - DAY, next_update=now + DAY)] if root_list else [])],
        ocsp_responses=responses,
        failures=failures,
    )
    return validate_path(
        parsed(holder),
        collection=TrustCollection([parsed(ROOT)]),
        pool=[parsed(ca), *map(parsed, pool)],
        now=now,
        options=PathOptions(revocation=mode, forgiven=forgiven),
        evidence=evidence,
    )


def problems(report: PathReport) -> list[Problem]:
    return [found.problem for found in report.problems]


def detail(report: PathReport) -> str:
    (found,) = report.problems
    return found.detail


@dataclass
class ListOf:
    """A revocation list in all its variations, signed by `signer` in the name of `name` (default: the signer's)."""

    signer: pki.Credential = CA
    revoked: Sequence[tuple[int, Flags | None, pki.Credential | None]] = ()
    name: x509.Name | None = None
    number: int = 1
    base: int | None = None
    point: Sequence[x509.GeneralName] | None = None
    relative: x509.RelativeDistinguishedName | None = None
    reasons: frozenset[Flags] | None = None
    users: bool = False
    cas: bool = False
    indirect: bool = False
    this_update: datetime = MOMENT - DAY
    next_update: datetime = MOMENT + DAY
    revoked_at: datetime = MOMENT - 30 * DAY
    weak: bool = False
    extra: Sequence[tuple[x509.ExtensionType, bool]] = ()

    @property
    def der(self) -> bytes:
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.name or self.signer.certificate.subject)
            .last_update(self.this_update)
            .next_update(self.next_update)
            .add_extension(x509.CRLNumber(self.number), critical=False)
        )
        if self.base is not None:
            builder = builder.add_extension(x509.DeltaCRLIndicator(self.base), critical=True)
        if self.point or self.relative or self.reasons or self.users or self.cas or self.indirect:
            scope = x509.IssuingDistributionPoint(
                self.point, self.relative, self.users, self.cas, self.reasons, self.indirect, False
            )
            builder = builder.add_extension(scope, critical=True)
        for extension, critical in self.extra:
            builder = builder.add_extension(extension, critical=critical)
        for serial, reason, issuer in self.revoked:
            entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(self.revoked_at)
            if reason is not None:
                entry = entry.add_extension(x509.CRLReason(reason), critical=False)
            if issuer is not None:
                name = x509.DirectoryName(issuer.certificate.subject)
                entry = entry.add_extension(x509.CertificateIssuer([name]), critical=True)
            builder = builder.add_revoked_certificate(entry.build())
        der = builder.sign(self.signer.key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)
        return signed_with_sha1(der, self.signer) if self.weak else der


def signed_with_sha1(der: bytes, signer: pki.Credential) -> bytes:
    """The same list with ecdsa-with-SHA1, which cryptography's builder refuses."""
    crl = x509.load_der_x509_crl(der)
    strong, weak = encode_oid("1.2.840.10045.4.3.2"), encode_oid("1.2.840.10045.4.1")
    strong, weak = ber.encode(0x30, ber.encode(6, strong)), ber.encode(0x30, ber.encode(6, weak))
    start, end = ber.content(crl.tbs_certlist_bytes, 0, len(crl.tbs_certlist_bytes), 0x30, expected="list")
    tbs = ber.encode(0x30, crl.tbs_certlist_bytes[start:end].replace(strong, weak))
    signature = signer.key.sign(tbs, ec.ECDSA(hashes.SHA1()))
    return ber.encode(0x30, tbs, weak, ber.encode(3, b"\0", signature))


def revoking(holder: pki.Credential, reason: Flags | None = None, issuer: pki.Credential | None = None) -> list:
    return [(holder.certificate.serial_number, reason, issuer)]


def with_point(
    *points: x509.DistributionPoint, issuer: pki.Authority = CA, name: str = "Carol", **options: object
) -> pki.Credential:
    """An end-entity certificate with exactly these distribution points."""
    plain = pki.Authority(issuer.key, issuer.certificate, issuer.issuers)
    extra = [(x509.CRLDistributionPoints(list(points)), False)] if points else []
    return plain.issue(name, f"{name.lower()}@example.org", extra=extra, **options)


def point(
    url: str | None = None, *, reasons: frozenset[Flags] | None = None, issuer: pki.Credential | None = None
) -> x509.DistributionPoint:
    return x509.DistributionPoint(
        None if url is None else [x509.UniformResourceIdentifier(url)],
        None,
        reasons,
        None if issuer is None else [x509.DirectoryName(issuer.certificate.subject)],
    )


# --- complete lists


def test_a_list_that_does_not_name_the_certificate_settles_the_question() -> None:
    report = judge(crls=[CA.crl()])
    assert report.verdict is Verdict.VALID
    assert report.problems == report.wanted == ()


@pytest.mark.parametrize("reason", [None, Flags.key_compromise, Flags.certificate_hold, Flags.cessation_of_operation])
def test_an_entry_revokes_whatever_its_reason(reason: Flags | None) -> None:
    report = judge(crls=[CA.crl({ALICE: reason})])
    assert problems(report) == [Problem.REVOKED]
    assert detail(report).startswith("unspecified" if reason is None else reason.value)
    assert report.problems[0].certificate == parsed(ALICE)


def test_an_intermediate_can_be_revoked() -> None:
    report = judge(crls=[CA.crl(), ROOT.crl({CA: None})], root_list=False)
    assert problems(report) == [Problem.REVOKED]
    assert report.problems[0].certificate == parsed(CA)


def test_the_newest_list_counts() -> None:
    older = CA.crl(this_update=MOMENT - 9 * DAY)
    newer = CA.crl({ALICE: None}, number=2)
    assert problems(judge(crls=[older, newer])) == problems(judge(crls=[newer, older])) == [Problem.REVOKED]


UNUSABLE = {
    "expired": (ListOf(next_update=MOMENT - timedelta(hours=1)), "expired at 2026-06-01 11:00Z"),
    "signed by somebody else": (ListOf(OTHER, name=CA.certificate.subject), "its signature is not that of CN=CA"),
    "for CAs": (ListOf(cas=True), "it covers CA certificates only"),
    "of another point": (
        ListOf(point=[x509.UniformResourceIdentifier("http://crl.example/other.crl")]),
        "it belongs to another distribution point",
    ),
    "with an unknown critical extension": (
        ListOf(extra=[(x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3"), b"\5\0"), True)]),
        "critical extension 1.2.3 is not understood",
    ),
    "signed with SHA-1": (ListOf(weak=True), "broken or obsolete"),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_a_list_that_must_not_be_used_settles_nothing(name: str) -> None:
    crl, text = UNUSABLE[name]
    report = judge(crls=[crl.der])
    assert problems(report) == [Problem.REVOCATION_UNKNOWN]
    assert text in detail(report)
    assert report.verdict is Verdict.UNKNOWN


def test_a_weak_list_counts_where_the_policy_forgives() -> None:
    crl = ListOf(weak=True, revoked=revoking(ALICE)).der
    assert problems(judge(crls=[crl])) == [Problem.REVOCATION_UNKNOWN]
    assert Problem.REVOKED in problems(judge(crls=[crl], forgiven=frozenset({Problem.WEAK_DIGEST})))


def test_the_issuer_must_be_allowed_to_sign_lists() -> None:
    mute = ROOT.subordinate("Mute CA", usage=pki.key_usage("key_cert_sign"))
    holder = mute.issue("Bob", "bob@example.org")
    report = judge(holder, crls=[mute.crl()], ca=mute)
    assert problems(report) == [Problem.REVOCATION_UNKNOWN]
    assert "does not allow signing revocation lists" in detail(report)


def test_a_second_certificate_of_the_issuer_may_sign_its_lists() -> None:
    mute = ROOT.subordinate("Mute CA", usage=pki.key_usage("key_cert_sign"))
    holder = mute.issue("Bob", "bob@example.org")
    signer = ROOT.issue("signer", subject=pki.name("Mute CA"), usage=pki.key_usage("crl_sign"), extended_key_usage=None)
    crl = ListOf(signer).der
    assert judge(holder, crls=[crl], ca=mute, pool=[signer]).verdict is Verdict.VALID
    stranger = OTHER.issue(
        "stranger", subject=pki.name("Mute CA"), usage=pki.key_usage("crl_sign"), extended_key_usage=None
    )
    report = judge(holder, crls=[ListOf(stranger).der], ca=mute, pool=[stranger])
    assert problems(report) == [Problem.REVOCATION_UNKNOWN]
    assert "no valid path to the same trust anchor" in detail(report)


# --- scopes and reasons


def test_lists_for_users_and_lists_for_cas() -> None:
    assert judge(crls=[ListOf(users=True).der]).verdict is Verdict.VALID
    report = judge(crls=[CA.crl(), ListOf(ROOT, users=True).der], root_list=False)
    assert problems(report) == [Problem.REVOCATION_UNKNOWN]
    assert "it covers end-entity certificates only" in detail(report)


def test_reasons_are_collected_over_several_lists() -> None:
    some = frozenset({Flags.key_compromise, Flags.ca_compromise})
    rest = frozenset(Flags) - some - {Flags.unspecified, Flags.remove_from_crl}
    first, second = ListOf(reasons=some), ListOf(reasons=rest, number=2)
    assert problems(judge(crls=[first.der])) == [Problem.REVOCATION_UNKNOWN]
    assert judge(crls=[first.der, second.der]).verdict is Verdict.VALID
    second.revoked = revoking(ALICE, Flags.superseded)
    assert problems(judge(crls=[first.der, second.der])) == [Problem.REVOKED]


def test_partitioned_lists_are_matched_by_their_point() -> None:
    holder = with_point(point("http://crl.example/7.crl"))
    mine = ListOf(point=[x509.UniformResourceIdentifier("http://crl.example/7.crl")])
    other = ListOf(point=[x509.UniformResourceIdentifier("http://crl.example/8.crl")], revoked=revoking(holder))
    assert judge(holder, crls=[mine.der, other.der]).verdict is Verdict.VALID
    assert problems(judge(holder, crls=[other.der])) == [Problem.REVOCATION_UNKNOWN]


def test_points_relative_to_the_issuer() -> None:
    relative = x509.RelativeDistinguishedName(list(pki.name("part 1")))
    holder = with_point(x509.DistributionPoint(None, relative, None, None))
    assert judge(holder, crls=[ListOf(relative=relative).der]).verdict is Verdict.VALID
    full = x509.DirectoryName(x509.Name([*CA.certificate.subject, *relative]))
    assert judge(holder, crls=[ListOf(point=[full]).der]).verdict is Verdict.VALID
    other = x509.RelativeDistinguishedName(list(pki.name("part 2")))
    assert problems(judge(holder, crls=[ListOf(relative=other).der])) == [Problem.REVOCATION_UNKNOWN]


# --- indirect lists

CRL_ISSUER = ROOT.issue("CRL Issuer", usage=pki.key_usage("crl_sign"), extended_key_usage=None)


def test_an_indirect_list_names_the_issuer_of_its_entries() -> None:
    holder = with_point(point(issuer=CRL_ISSUER))
    clean = ListOf(CRL_ISSUER, indirect=True)
    assert judge(holder, crls=[clean.der], pool=[CRL_ISSUER]).verdict is Verdict.VALID
    mine = ListOf(CRL_ISSUER, indirect=True, revoked=revoking(holder, issuer=CA))
    assert problems(judge(holder, crls=[mine.der], pool=[CRL_ISSUER])) == [Problem.REVOKED]
    others = ListOf(CRL_ISSUER, indirect=True, revoked=revoking(holder, issuer=ROOT))
    assert judge(holder, crls=[others.der], pool=[CRL_ISSUER]).verdict is Verdict.VALID
    own = ListOf(CRL_ISSUER, indirect=True, revoked=revoking(holder))
    assert judge(holder, crls=[own.der], pool=[CRL_ISSUER]).verdict is Verdict.VALID


def test_the_issuer_of_an_entry_counts_until_the_next_is_named() -> None:
    holder = with_point(point(issuer=CRL_ISSUER))
    serial = holder.certificate.serial_number
    sticky = ListOf(CRL_ISSUER, indirect=True, revoked=[(1, None, CA), (serial, None, None)])
    assert problems(judge(holder, crls=[sticky.der], pool=[CRL_ISSUER])) == [Problem.REVOKED]
    ended = ListOf(CRL_ISSUER, indirect=True, revoked=[(1, None, CA), (2, None, ROOT), (serial, None, None)])
    assert judge(holder, crls=[ended.der], pool=[CRL_ISSUER]).verdict is Verdict.VALID


def test_a_list_of_another_issuer_must_be_indirect_and_asked_for() -> None:
    asked = with_point(point(issuer=CRL_ISSUER))
    report = judge(asked, crls=[ListOf(CRL_ISSUER).der], pool=[CRL_ISSUER])
    assert problems(report) == [Problem.REVOCATION_UNKNOWN]
    assert "no indirect list" in detail(report)
    report = judge(with_point(), crls=[ListOf(CRL_ISSUER, indirect=True).der], pool=[CRL_ISSUER])
    assert problems(report) == [Problem.REVOCATION_UNKNOWN]


def test_the_issuer_of_an_indirect_list_needs_a_path_to_the_same_anchor_and_must_not_be_revoked() -> None:
    stranger = OTHER.issue("Stranger", usage=pki.key_usage("crl_sign"), extended_key_usage=None)
    holder = with_point(point(issuer=stranger))
    report = judge(holder, crls=[ListOf(stranger, indirect=True).der], pool=[stranger])
    assert problems(report) == [Problem.REVOCATION_UNKNOWN]
    holder = with_point(point(issuer=CRL_ISSUER))
    lists = [ListOf(CRL_ISSUER, indirect=True).der, ROOT.crl({CRL_ISSUER: None})]
    report = judge(holder, crls=lists, pool=[CRL_ISSUER], root_list=False)
    assert problems(report) == [Problem.REVOCATION_UNKNOWN]
    assert "no valid path" in detail(report)


def test_an_issuer_of_lists_whose_own_status_stands_in_its_list_is_accepted() -> None:
    plain = pki.Authority(ROOT.key, ROOT.certificate)
    own = x509.DistributionPoint(None, None, None, [x509.DirectoryName(pki.name("Selfish"))])
    selfish = plain.issue(
        "Selfish",
        usage=pki.key_usage("crl_sign"),
        extended_key_usage=None,
        extra=[(x509.CRLDistributionPoints([own]), False)],
    )
    holder = with_point(point(issuer=selfish))
    crls = [ListOf(selfish, indirect=True).der]
    assert judge(holder, crls=crls, pool=[selfish]).verdict is Verdict.VALID


# --- delta lists


def test_a_delta_list_adds_and_removes() -> None:
    base = ListOf(number=5)
    delta = ListOf(number=6, base=5, revoked=revoking(ALICE, Flags.key_compromise))
    assert problems(judge(crls=[base.der, delta.der])) == [Problem.REVOKED]
    base.revoked = revoking(ALICE, Flags.certificate_hold)
    assert problems(judge(crls=[base.der])) == [Problem.REVOKED]
    delta.revoked = revoking(ALICE, Flags.remove_from_crl)
    assert judge(crls=[base.der, delta.der]).verdict is Verdict.VALID


@pytest.mark.parametrize(
    "changes",
    [
        {"base": 6, "number": 7},
        {"base": 3, "number": 4},
        {"users": True},
        {"next_update": MOMENT - timedelta(hours=1)},
        {"name": OTHER.certificate.subject},
    ],
    ids=["a later base", "older than the base", "another scope", "expired", "another issuer"],
)
def test_a_delta_list_that_does_not_fit_is_left_out(changes: dict) -> None:
    base = ListOf(number=5)
    delta = ListOf(**{"number": 6, "base": 5, "revoked": revoking(ALICE), **changes})
    assert judge(crls=[base.der, delta.der]).verdict is Verdict.VALID


def test_a_delta_list_alone_settles_nothing_and_a_forged_one_spoils_its_base() -> None:
    assert problems(judge(crls=[ListOf(number=6, base=5).der])) == [Problem.REVOCATION_UNKNOWN]
    forged = ListOf(OTHER, name=CA.certificate.subject, number=6, base=5)
    assert problems(judge(crls=[ListOf(number=5).der, forged.der])) == [Problem.REVOCATION_UNKNOWN]


def test_a_delta_list_in_force_keeps_an_expired_base_in_force() -> None:
    base = ListOf(number=5, next_update=MOMENT - timedelta(hours=1))
    assert judge(crls=[base.der, ListOf(number=6, base=5).der]).verdict is Verdict.VALID


def test_a_delta_list_is_wanted_where_the_list_points_to_one() -> None:
    freshest = x509.FreshestCRL([point("http://crl.example/delta.crl")])
    report = judge(crls=[ListOf(extra=[(freshest, False)]).der])
    assert report.verdict is Verdict.VALID
    assert report.wanted == (Crl(url="http://crl.example/delta.crl", issuer="CN=CA", delta=True),)


# --- OCSP


def test_answers_of_the_issuer() -> None:
    assert judge(responses=[CA.ocsp_response(ALICE)]).verdict is Verdict.VALID
    report = judge(responses=[CA.ocsp_response(ALICE, status=ocsp.OCSPCertStatus.REVOKED)])
    assert problems(report) == [Problem.REVOKED]
    assert "by OCSP" in detail(report)
    report = judge(responses=[CA.ocsp_response(ALICE, status=ocsp.OCSPCertStatus.UNKNOWN)])
    assert problems(report) == [Problem.REVOCATION_UNKNOWN]
    assert "does not know the certificate" in detail(report)


def responder(
    name: str = "Responder",
    *,
    by: pki.Authority = CA,
    purposes: Sequence[x509.ObjectIdentifier] | None = (ExtendedKeyUsageOID.OCSP_SIGNING,),
    checked: bool = False,
    **options: object,
) -> pki.Credential:
    extra = [] if checked else [(x509.OCSPNoCheck(), False)]
    return by.issue(name, usage="sign", extended_key_usage=purposes, extra=extra, **options)


def test_a_responder_that_the_issuer_appointed_may_answer() -> None:
    assert judge(responses=[CA.ocsp_response(ALICE, responder=responder())]).verdict is Verdict.VALID


@pytest.mark.parametrize(
    ("appointed", "text"),
    [
        (responder("No purpose", purposes=None), "is not for signing OCSP responses"),
        (responder("Mail", purposes=[ExtendedKeyUsageOID.EMAIL_PROTECTION]), "is not for signing OCSP responses"),
        (responder("Of the root", by=ROOT), "was not appointed by the issuer"),
        (responder("Old", not_after=MOMENT - DAY), "is not valid at"),
        (responder("Cousin", by=OTHER.subordinate("CA", key=pki.new_key("p256", "x"))), "was not signed by the issuer"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_other_responders_may_not(appointed: pki.Credential, text: str) -> None:
    report = judge(responses=[CA.ocsp_response(ALICE, responder=appointed)])
    assert problems(report) == [Problem.REVOCATION_UNKNOWN]
    assert text in detail(report)


def test_a_revoked_responder_may_not_unless_it_is_not_to_be_checked() -> None:
    checked = responder("Checked", checked=True)
    response = CA.ocsp_response(ALICE, responder=checked)
    assert judge(responses=[response]).verdict is Verdict.VALID
    elsewhere = ListOf(revoked=revoking(checked), users=True, reasons=frozenset({Flags.key_compromise}))
    report = judge(responses=[response], crls=[elsewhere.der])
    assert problems(report) == [Problem.REVOCATION_UNKNOWN]
    assert "was revoked" in detail(report)


def test_a_forged_signature_and_an_answer_about_another_certificate() -> None:
    response = CA.ocsp_response(ALICE)
    forged = response[:-1] + bytes((response[-1] ^ 1,))
    assert problems(judge(responses=[forged])) == [Problem.REVOCATION_UNKNOWN]
    bob = CA.issue("Bob", "bob@example.org")
    assert problems(judge(responses=[CA.ocsp_response(bob)])) == [Problem.REVOCATION_UNKNOWN]


def test_how_long_answers_count() -> None:
    expired = CA.ocsp_response(ALICE, this_update=MOMENT - 9 * DAY, next_update=MOMENT - DAY)
    report = judge(responses=[expired])
    assert problems(report) == [Problem.REVOCATION_UNKNOWN]
    assert "it expired at 2026-05-31 12:00Z" in detail(report)
    assert judge(responses=[CA.ocsp_response(ALICE, next_update=None)]).verdict is Verdict.VALID
    old = CA.ocsp_response(ALICE, this_update=MOMENT - 2 * DAY, next_update=None)
    assert problems(judge(responses=[old])) == [Problem.REVOCATION_UNKNOWN]


def test_the_newest_answer_counts_and_a_revocation_by_either_side_wins() -> None:
    revoked = CA.ocsp_response(ALICE, status=ocsp.OCSPCertStatus.REVOKED, this_update=MOMENT - 2 * DAY)
    good = CA.ocsp_response(ALICE)
    assert judge(responses=[revoked, good]).verdict is Verdict.VALID
    assert problems(judge(responses=[good], crls=[CA.crl({ALICE: None})])) == [Problem.REVOKED]
    assert problems(judge(responses=[revoked], crls=[CA.crl()])) == [Problem.REVOKED]


# --- what an unknown status means

CRL_WANTED = Crl(url="http://crl.example/ca.crl", issuer="CN=CA")


def test_hard_fail_says_what_is_wanted() -> None:
    report = judge()
    assert problems(report) == [Problem.REVOCATION_UNKNOWN]
    first, second = report.wanted
    assert isinstance(first, Ocsp)
    assert first.url == "http://ocsp.example/"
    assert second == CRL_WANTED
    request = ocsp.load_der_ocsp_request(first.request)
    assert request.serial_number == ALICE.certificate.serial_number


def test_soft_fail_tells_and_tolerates() -> None:
    report = judge(mode=RevocationMode.SOFT_FAIL)
    assert problems(report) == [Problem.REVOCATION_UNCHECKED]
    assert report.verdict is Verdict.VALID
    assert report.wanted
    assert problems(judge(mode=RevocationMode.SOFT_FAIL, crls=[CA.crl({ALICE: None})])) == [Problem.REVOKED]


def test_without_revocation_nothing_is_looked_at() -> None:
    report = judge(mode=RevocationMode.NONE, crls=[CA.crl({ALICE: None})])
    assert report.verdict is Verdict.VALID
    assert report.problems == report.wanted == ()


FAILURE = FetchFailure(wanted=CRL_WANTED, text="connection refused")


def test_exchange_online_treats_an_unreachable_list_as_invalid() -> None:
    mode = RevocationMode.EXCHANGE_ONLINE
    first = judge(mode=mode)
    assert problems(first) == [Problem.REVOCATION_UNKNOWN]
    assert first.wanted == (CRL_WANTED,)
    report = judge(mode=mode, failures=[FAILURE])
    assert problems(report) == [Problem.CRL_UNREACHABLE]
    assert report.verdict is Verdict.INVALID
    assert detail(report) == "CRL at http://crl.example/ca.crl could not be fetched: connection refused"
    assert report.wanted == ()
    assert judge(mode=mode, crls=[CA.crl()]).verdict is Verdict.VALID


def test_exchange_online_takes_no_answer_instead_of_a_list_but_believes_a_revocation() -> None:
    mode = RevocationMode.EXCHANGE_ONLINE
    assert judge(mode=mode, responses=[CA.ocsp_response(ALICE)], failures=[FAILURE]).verdict is Verdict.INVALID
    revoked = CA.ocsp_response(ALICE, status=ocsp.OCSPCertStatus.REVOKED)
    assert problems(judge(mode=mode, responses=[revoked], crls=[CA.crl()])) == [Problem.REVOKED]


def test_exchange_online_demands_that_the_certificate_names_a_list() -> None:
    report = judge(with_point(), mode=RevocationMode.EXCHANGE_ONLINE)
    assert problems(report) == [Problem.CRL_UNREACHABLE]
    assert "names no place" in detail(report)


def test_a_failure_is_named_in_every_mode() -> None:
    report = judge(failures=[FAILURE])
    assert problems(report) == [Problem.REVOCATION_UNKNOWN]
    assert "connection refused" in detail(report)
    assert [type(wanted) for wanted in report.wanted] == [Ocsp]


def test_nobody_is_asked_to_fetch_for_a_path_that_is_invalid_anyhow() -> None:
    holder = CA.issue("Late", "late@example.org", not_after=MOMENT - DAY)
    report = judge(holder)
    assert Problem.EXPIRED in problems(report)
    assert report.wanted == ()


def test_only_addresses_that_can_be_fetched_are_wanted() -> None:
    holder = with_point(point("file:///etc/passwd"), point("gopher://x/"), point("LDAP://dir.example/cn=ca?x"))
    assert [wanted.url for wanted in judge(holder).wanted] == ["LDAP://dir.example/cn=ca?x"]


# --- the past


def test_a_later_list_tells_about_the_past() -> None:
    past = MOMENT - 60 * DAY
    crl = ListOf(revoked=revoking(ALICE), revoked_at=MOMENT - 30 * DAY)
    report = judge(crls=[crl.der], now=past)
    assert problems(report) == [Problem.REVOKED_SINCE]
    assert report.verdict is Verdict.VALID
    assert "2026-05-02" in detail(report)
    assert problems(judge(crls=[crl.der], now=MOMENT)) == [Problem.REVOKED]
    assert judge(crls=[CA.crl()], now=past).verdict is Verdict.VALID


def test_a_key_that_was_compromised_before_revokes_from_then_on() -> None:
    serial = ALICE.certificate.serial_number
    entry = (
        x509.RevokedCertificateBuilder()
        .serial_number(serial)
        .revocation_date(MOMENT - 10 * DAY)
        .add_extension(x509.InvalidityDate((MOMENT - 90 * DAY).replace(tzinfo=None)), critical=False)
        .build()
    )
    builder = x509.CertificateRevocationListBuilder().issuer_name(CA.certificate.subject)
    builder = builder.last_update(MOMENT - DAY).next_update(MOMENT + DAY).add_revoked_certificate(entry)
    der = builder.sign(CA.key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)
    assert problems(judge(crls=[der], now=MOMENT - 60 * DAY)) == [Problem.REVOKED]
    assert problems(judge(crls=[der], now=MOMENT - 100 * DAY)) == [Problem.REVOKED_SINCE]


def test_lists_forget_expired_certificates() -> None:
    holder = CA.issue("Gone", "gone@example.org", not_after=MOMENT - 20 * DAY)
    report = judge(holder, crls=[CA.crl()], now=MOMENT - 40 * DAY)
    assert problems(report) == [Problem.REVOCATION_UNKNOWN]
    assert "after the certificate had expired" in detail(report)


def test_a_later_answer_tells_about_the_past() -> None:
    revoked = CA.ocsp_response(ALICE, status=ocsp.OCSPCertStatus.REVOKED, revoked_at=MOMENT - 30 * DAY)
    assert problems(judge(responses=[revoked], now=MOMENT - 60 * DAY)) == [Problem.REVOKED_SINCE]
    assert problems(judge(responses=[revoked], now=MOMENT - 20 * DAY)) == [Problem.REVOKED]


# --- memory


def test_a_signature_is_checked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from smime_engine.trust import signed_evidence

    calls = []
    genuine = signed_evidence.verify
    monkeypatch.setattr(signed_evidence, "verify", lambda *arguments: calls.append(1) or genuine(*arguments))
    collection = TrustCollection([parsed(ROOT)])
    evidence = Evidence.read(crls=[CA.crl(), ROOT.crl()], ocsp_responses=[CA.ocsp_response(ALICE)])
    for _ in range(3):
        report = validate_path(
            parsed(ALICE),
            collection=collection,
            pool=[parsed(CA)],
            now=MOMENT,
            options=PathOptions(revocation=HARD),
            evidence=evidence,
        )
        assert report.verdict is Verdict.VALID
    assert len(calls) == 3
