"""The certificate to encrypt to, and the right reason where there is none."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import Any

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given
from hypothesis import strategies as st

from smime_engine.certificate import Certificate
from smime_engine.directory.choosing import Choice, choose_certificates
from smime_engine.directory.entries import Answer, DirectoryEntry, ListedCertificate, Origin, SourceFailure, Standing
from smime_engine.directory.reasons import Note, Reason, reasons_of
from smime_engine.limits import Limits
from smime_engine.problems import Problem, Verdict
from smime_engine.trust.path import PathOptions, Purpose, RevocationMode, validate_path
from tests import pki
from tests.directory.people import CA, COLLECTION, DAY, NOW, ROOT, STRANGER, answer, certificate, entry, policy

ADDRESS = "alice@example.org"
GOOD = certificate("Alice", ADDRESS)


def choose(*entries: DirectoryEntry, address: str = ADDRESS, **fields: Any) -> Choice:
    (choice,) = choose_certificates([answer(*entries, address=address)], policy(**fields), NOW)
    return choice


def notes(choice: Choice) -> set[Note]:
    return {note for note, _ in choice.notes}


def test_a_fit_certificate_is_chosen() -> None:
    choice = choose(entry(GOOD))
    assert choice.certificate == GOOD
    assert choice.reason is None
    assert choice.report is not None
    assert choice.report.verdict is Verdict.VALID
    assert choice.source == "ldap"
    assert choice.notes == ()


# --- every combination of faults has the right reasons


FAULTS: dict[Reason, dict[str, Any]] = {
    Reason.EXPIRED: {"not_after": NOW - DAY},
    Reason.UNTRUSTED: {"issuer": STRANGER},
    Reason.WRONG_USAGE: {"usage": "sign"},
    Reason.WRONG_ADDRESS: {"addresses": ("bob@example.org",)},
    Reason.REVOKED: {"serial_number": 0xBAD},
}
COMBINATIONS = [
    frozenset(chosen) for size in range(1, len(FAULTS) + 1) for chosen in itertools.combinations(FAULTS, size)
]
CRLS = (ROOT.crl(), CA.crl({0xBAD: None}), STRANGER.crl({0xBAD: None}))


def faulty(faults: frozenset[Reason]) -> Certificate:
    options = {name: value for fault in faults for name, value in FAULTS[fault].items()}
    return certificate("Alice", *options.pop("addresses", (ADDRESS,)), **options)


@pytest.mark.parametrize("faults", COMBINATIONS, ids=lambda faults: "+".join(sorted(f.name for f in faults)))
def test_every_combination_of_faults_has_its_reasons(faults: frozenset[Reason]) -> None:
    bad = faulty(faults)
    choice = choose(entry(bad), crls=CRLS)
    assert choice.certificate is None
    (rejected,) = choice.rejected
    # Who issued an untrusted certificate cannot say either that it was revoked.
    expected = faults - {Reason.REVOKED} if Reason.UNTRUSTED in faults else faults
    assert set(rejected.reasons) == expected
    assert choice.reason == min(expected, key=list(Reason).index)
    assert choice.detail
    # A fit one beside it is taken, wherever it stands.
    for certificates in ((bad, GOOD), (GOOD, bad)):
        assert choose(entry(*certificates), crls=CRLS).certificate == GOOD


@given(st.lists(st.sampled_from([*COMBINATIONS, frozenset[Reason]()]), max_size=6), st.randoms())
def test_nothing_unfit_is_ever_chosen(kinds: list[frozenset[Reason]], random: Any) -> None:
    listed = [
        ListedCertificate(
            certificate=GOOD if not kind else faulty(kind),
            origin=random.choice([Origin.USER_CERTIFICATE, Origin.USER_SMIME_CERTIFICATE, Origin.SIGNED_MAIL]),
            standing=random.choice(list(Standing)),
        )
        for kind in kinds
    ]
    chosen_policy = policy(crls=CRLS, use_secondary_proxies=random.choice([False, True]))
    (choice,) = choose_certificates([answer(entry(*listed))], chosen_policy, NOW)
    assert (choice.certificate is None) == (frozenset() not in kinds)
    assert (choice.certificate is None) == (choice.reason is not None)
    if choice.certificate is not None:
        report = validate_path(
            choice.certificate,
            collection=COLLECTION,
            now=NOW,
            purpose=Purpose.ENCRYPT,
            address=ADDRESS,
            evidence=chosen_policy.evidence,
            options=chosen_policy.options,
        )
        assert report.verdict is Verdict.VALID


def test_the_reason_is_that_of_the_certificate_that_lacks_least() -> None:
    both = faulty(frozenset({Reason.UNTRUSTED, Reason.EXPIRED}))
    expired, untrusted = (faulty(frozenset({fault})) for fault in (Reason.EXPIRED, Reason.UNTRUSTED))
    choice = choose(entry(both, untrusted, expired))
    assert choice.reason is Reason.EXPIRED
    assert len(choice.rejected) == 3
    assert "has expired" in choice.detail


@pytest.mark.parametrize(
    ("given_answer", "reason"),
    [
        (Answer(address="alice"), Reason.NOT_AN_ADDRESS),
        (Answer(address="a\x00b@example.org"), Reason.NOT_AN_ADDRESS),
        (Answer(address=ADDRESS), Reason.NOT_FOUND),
        (answer(entry()), Reason.NO_CERTIFICATE),
        (answer(entry(defects=("userCertificate: a value left out",))), Reason.UNREADABLE),
        (answer(failures=(SourceFailure(source="ldap", text="down"),)), Reason.SOURCE_UNAVAILABLE),
        (answer(entry(), failures=(SourceFailure(source="ldap", text="down"),)), Reason.SOURCE_UNAVAILABLE),
        (answer(entry(members=("cn=Bob",))), Reason.GROUP_NOT_EXPANDED),
    ],
)
def test_why_there_is_nothing_to_look_at(given_answer: Answer, reason: Reason) -> None:
    (choice,) = choose_certificates([given_answer], policy(), NOW)
    assert choice.reason is reason
    assert choice.certificate is None
    assert choice.incomplete == bool(given_answer.failures)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"not_before": NOW + DAY}, Reason.NOT_YET_VALID),
        ({"extended_key_usage": (ExtendedKeyUsageOID.CODE_SIGNING,)}, Reason.WRONG_USAGE),
        ({"kind": "ed25519", "usage": None}, Reason.WRONG_USAGE),
        ({"kind": "rsa1024"}, Reason.WEAK),
    ],
)
def test_further_reasons(options: dict[str, Any], reason: Reason) -> None:
    choice = choose(entry(certificate("Alice further", ADDRESS, **options)))
    assert choice.certificate is None
    assert choice.reason is reason


def test_a_certificate_without_purposes_is_for_every_purpose() -> None:
    open_ended = certificate("Alice", ADDRESS, extended_key_usage=None, usage=None)
    assert choose(entry(open_ended)).certificate == open_ended


def test_revocation_that_nobody_can_tell() -> None:
    choice = choose(entry(GOOD), options=PathOptions(revocation=RevocationMode.HARD_FAIL))
    assert choice.reason is Reason.REVOCATION_UNKNOWN
    assert choice.reason.is_temporary
    choice = choose(entry(GOOD), options=PathOptions(revocation=RevocationMode.SOFT_FAIL))
    assert choice.certificate == GOOD
    assert notes(choice) == {Note.REVOCATION_UNCHECKED}


def test_what_would_help_is_wanted() -> None:
    listing = pki.authority("Listing Root", crl_urls=["http://crl.example/root.crl"])
    leaf = certificate("Alice", ADDRESS, issuer=listing)
    trusting = policy(
        collection=type(COLLECTION)([Certificate.parse(listing.certificate_der)]),
        options=PathOptions(revocation=RevocationMode.HARD_FAIL),
    )
    (choice,) = choose_certificates([answer(entry(leaf))], trusting, NOW)
    assert [wanted.url for wanted in choice.wanted] == ["http://crl.example/root.crl"]


def test_every_problem_that_counts_has_a_reason() -> None:
    for problem in Problem:
        assert len(reasons_of([problem])) == (problem.effect is not None)
    assert reasons_of([Problem.EXPIRED], forgiven=frozenset({Problem.EXPIRED})) == ()


# --- the order of choice


def listed(found: Certificate, origin: Origin, standing: Standing = Standing.LISTED) -> ListedCertificate:
    return ListedCertificate(certificate=found, origin=origin, standing=standing)


NEW = certificate("Alice", ADDRESS, not_before=NOW - DAY)
OLD = certificate("Alice", ADDRESS, not_before=NOW - 10 * DAY)
SMIME, PLAIN = Origin.USER_SMIME_CERTIFICATE, Origin.USER_CERTIFICATE


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (listed(OLD, SMIME), listed(NEW, PLAIN)),
        (listed(OLD, SMIME, Standing.PREFERRED), listed(NEW, SMIME, Standing.SIGNER)),
        (listed(OLD, SMIME, Standing.SIGNER), listed(NEW, SMIME)),
        (listed(NEW, PLAIN), listed(OLD, PLAIN)),
        (listed(OLD, Origin.PINNED), listed(NEW, PLAIN)),
    ],
)
def test_the_order_of_choice(first: ListedCertificate, second: ListedCertificate) -> None:
    for order in ((first, second), (second, first)):
        choice = choose(entry(*order))
        assert choice.certificate == first.certificate
        assert notes(choice) == {Note.SEVERAL_FIT}


def test_an_earlier_source_comes_first() -> None:
    device, ldap = entry(OLD, source="device"), entry(listed(NEW, SMIME), source="ldap")
    assert choose(device, ldap).certificate == OLD
    assert choose(ldap, device).certificate == NEW


def test_one_certificate_in_both_attributes_counts_by_the_better() -> None:
    choice = choose(entry(listed(NEW, PLAIN), listed(NEW, SMIME, Standing.PREFERRED)))
    assert choice.chosen is not None
    assert choice.chosen.origin is SMIME
    assert notes(choice) == set()


def test_the_order_never_depends_on_the_servers() -> None:
    twins = [certificate("Alice", ADDRESS, not_before=NOW - DAY) for _ in range(5)]
    assert len({choose(entry(*order)).certificate for order in itertools.permutations(twins, 5)}) == 1


# --- addresses


ALIAS = "a.smith@example.org"


@pytest.mark.parametrize(
    ("named", "asked", "secondary", "note"),
    [
        ((ADDRESS,), ADDRESS, False, None),
        ((ALIAS,), ALIAS, False, None),
        ((ADDRESS,), ALIAS, False, Note.NAMES_PRIMARY_ADDRESS),
        ((ALIAS,), ADDRESS, True, Note.NAMES_OTHER_ADDRESS),
        (("Alice@Example.ORG",), ADDRESS, False, None),
        ((ALIAS, ADDRESS), ADDRESS, True, None),
    ],
)
def test_addresses_that_count(named: tuple[str, ...], asked: str, secondary: bool, note: Note | None) -> None:
    leaf = certificate("Alice", *named)
    choice = choose(entry(leaf, proxies=(ALIAS,)), address=asked, use_secondary_proxies=secondary)
    assert choice.certificate == leaf
    assert notes(choice) == ({note} if note else set())


@pytest.mark.parametrize(
    ("named", "fields", "secondary"),
    [
        ((ALIAS,), {"proxies": (ALIAS,)}, False),
        ((ALIAS,), {}, True),
        (("bob@example.org",), {"proxies": (ALIAS,)}, True),
        # An entry that does not have the address that was asked for lends none of its own.
        (("bob@example.org",), {"primary": "bob@example.org"}, True),
        ((), {}, True),
    ],
)
def test_addresses_that_do_not_count(named: tuple[str, ...], fields: dict[str, Any], secondary: bool) -> None:
    choice = choose(entry(certificate("Alice", *named), **fields), use_secondary_proxies=secondary)
    assert choice.reason is Reason.WRONG_ADDRESS


def test_a_certificate_that_names_the_address_beats_one_that_names_a_proxy() -> None:
    other = certificate("Alice", ALIAS, not_before=NOW - DAY)
    assert choose(entry(other, OLD, proxies=(ALIAS,))).certificate == OLD


# --- what is told


def test_notes() -> None:
    soon = certificate("Alice", ADDRESS, not_after=NOW + 3 * DAY)
    choices = choose_certificates(
        [
            answer(
                entry(soon, defects=("userCertificate: a value left out",)),
                entry(identifier="cn=Alice two"),
                stale=True,
                failures=(SourceFailure(source="gal", text="no answer"),),
            )
        ],
        policy(),
        NOW,
    )
    assert notes(choices[0]) == {
        Note.EXPIRES_SOON,
        Note.VALUES_LEFT_OUT,
        Note.SEVERAL_ENTRIES,
        Note.STALE,
        Note.SOURCE_UNAVAILABLE,
    }
    assert choices[0].incomplete
    (quiet,) = choose_certificates([answer(entry(soon))], policy(expiry_warning=timedelta(0)), NOW)
    assert quiet.notes == ()


def test_a_thousand_bad_certificates_are_given_up_and_hide_no_good_one() -> None:
    bad = [certificate("Alice", ADDRESS, issuer=STRANGER, serial_number=n + 1) for n in range(100)]
    limits = PathOptions(limits=Limits(judged_certificates=10))
    choice = choose(entry(*bad), options=limits)
    assert choice.reason is Reason.UNTRUSTED
    assert len(choice.rejected) == 10
    expired = [certificate("Alice", ADDRESS, not_after=NOW - DAY, serial_number=n + 1000) for n in range(100)]
    assert choose(entry(*expired, GOOD), options=limits).certificate == GOOD


def test_choices_are_in_the_order_of_the_answers() -> None:
    answers = [Answer(address=f"user{number}@example.org") for number in range(5)]
    assert [c.address for c in choose_certificates(answers, policy(), NOW)] == [a.address for a in answers]
