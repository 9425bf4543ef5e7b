"""Time stamps, countersignatures and security services in the report: who attests what, and what it changes."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import cache

import pytest

from smime_engine import Limits, PathOptions, Verdict, load_identity
from smime_engine.asn1 import ber, oids
from smime_engine.cli.rendering import as_json, as_lines
from smime_engine.cms.ess import (
    ReceiptRequest,
    SecurityLabel,
    encode_receipt_request,
    encode_security_label,
)
from smime_engine.cms.signed import parse_signed_data
from smime_engine.cms.signer import CmsSigner, SignedAttributes
from smime_engine.cms.unsigned import add_unsigned_attributes, countersign
from smime_engine.engine import open_cms
from smime_engine.problems import Problem
from smime_engine.report import OpenedMessage, SignatureReport
from smime_engine.trust.evidence import Evidence
from smime_engine.trust.history import Reason
from smime_engine.trust.path import RevocationMode
from tests import pki
from tests.cms import stamping
from tests.engine.people import CONTENT, authority, identity, trust

SIGNED_AT = pki.MOMENT
LATER = pki.MOMENT + timedelta(days=400)
"""When Alice's certificate has expired."""


@cache
def alice() -> pki.Credential:
    return authority().issue("Alice", "alice@example.org", not_after=SIGNED_AT + timedelta(days=30))


def signed(**options: object) -> bytes:
    holder = load_identity(alice().pem())
    return CmsSigner(holder.key, holder.certificate, chain=holder.chain, **options).sign(CONTENT, now=SIGNED_AT)


@cache
def stamping_authority() -> pki.Credential:
    return stamping.stamping_authority(authority())


def stamped(data: bytes, *, moment: datetime = SIGNED_AT, holder: pki.Credential | None = None) -> bytes:
    signature = parse_signed_data(data).signers[0].signature
    info = stamping.token_info(signature, moment=moment)
    return with_attribute(data, oids.ID_AA_TIME_STAMP_TOKEN, stamping.token(info, holder or stamping_authority()))


def with_attribute(data: bytes, type_: oids.Oid, value: bytes) -> bytes:
    return add_unsigned_attributes(data, [(type_, value)])


def opened(data: bytes, *, now: datetime = SIGNED_AT, **options: object) -> OpenedMessage:
    return open_cms(data, content=CONTENT, now=now, **{"trust": trust(), **options})


def only(found: OpenedMessage) -> SignatureReport:
    (signature,) = found.signatures
    return signature


# --- time stamps


def test_a_valid_time_stamp_keeps_a_signature_valid_whose_certificate_has_expired_since() -> None:
    assert only(opened(signed(), now=LATER)).problems == (Problem.EXPIRED,)
    signature = only(opened(stamped(signed()), now=LATER))
    assert signature.verdict is Verdict.VALID
    assert signature.problems == (Problem.EXPIRED_SINCE,)
    assert signature.judged_at is not None
    assert (signature.judged_at.moment, signature.judged_at.reason) == (SIGNED_AT, Reason.TIMESTAMP)
    assert "Time Stamping" in signature.judged_at.authority
    (stamp,) = signature.timestamps
    assert (stamp.verdict, stamp.moment, stamp.problems) == (Verdict.VALID, SIGNED_AT, ())


def test_a_time_stamp_behind_the_expiry_proves_that() -> None:
    signature = only(opened(stamped(signed(), moment=LATER - timedelta(days=1)), now=LATER))
    assert signature.problems == (Problem.EXPIRED,)


def test_the_accuracy_counts_against_the_stamp() -> None:
    data = signed()
    info = stamping.token_info(
        parse_signed_data(data).signers[0].signature,
        moment=SIGNED_AT + timedelta(days=29, hours=23, minutes=59),
        accuracy=ber.encode(0x30, ber.encode(0x02, b"\x78")),  # two minutes
    )
    data = with_attribute(data, oids.ID_AA_TIME_STAMP_TOKEN, stamping.token(info, stamping_authority()))
    assert Problem.EXPIRED in only(opened(data, now=LATER)).problems


def _untrusted() -> pki.Credential:
    return stamping.stamping_authority(pki.authority("Somebody's Root"))


def _no_stamping_authority() -> pki.Credential:
    return authority().issue("Not stamping", "x@example.org", kind="rsa2048")


def _expired() -> pki.Credential:
    return stamping.stamping_authority(authority(), not_after=SIGNED_AT + timedelta(days=1))


def _from_the_future() -> bytes:
    return stamped(signed(), moment=LATER + timedelta(days=1))


@pytest.mark.parametrize("holder", [_untrusted, _no_stamping_authority, _expired])
def test_time_stamps_that_prove_nothing(holder) -> None:
    signature = only(opened(stamped(signed(), holder=holder()), now=LATER))
    assert Problem.EXPIRED in signature.problems
    assert signature.judged_at is None
    assert signature.timestamps[0].verdict is not Verdict.VALID


def test_a_time_stamp_from_the_future_proves_nothing() -> None:
    assert only(opened(_from_the_future(), now=LATER)).judged_at is None


def test_a_time_stamp_of_another_signature_proves_nothing() -> None:
    token = stamping.token(stamping.token_info(b"another", moment=SIGNED_AT), stamping_authority())
    signature = only(opened(with_attribute(signed(), oids.ID_AA_TIME_STAMP_TOKEN, token), now=LATER))
    assert signature.timestamps[0].problems == (Problem.TIMESTAMP_MISMATCH,)
    assert signature.verdict is Verdict.INVALID


def test_a_bad_time_stamp_does_not_harm_a_good_signature() -> None:
    data = with_attribute(signed(), oids.ID_AA_TIME_STAMP_TOKEN, b"\x30\x00")
    signature = only(opened(data))
    assert (signature.verdict, signature.timestamps[0].verdict) == (Verdict.VALID, Verdict.INVALID)


def test_whoever_asks_for_a_moment_gets_that_one() -> None:
    asked = SIGNED_AT + timedelta(days=100)
    signature = only(opened(stamped(signed()), now=asked, present=LATER))
    assert signature.judged_at is None
    assert Problem.EXPIRED in signature.problems


def test_without_trust_nothing_is_proven() -> None:
    signature = only(opened(stamped(signed()), now=LATER, trust=None))
    assert Problem.NO_TRUST_ANCHOR in signature.timestamps[0].problems
    assert signature.judged_at is None


@pytest.mark.parametrize("issued", [SIGNED_AT + timedelta(days=10), LATER], ids=["valid", "expired"])
def test_what_was_revoked_after_the_stamp_is_only_told(issued: datetime) -> None:
    revoked = authority().crl({alice(): None}, this_update=issued, next_update=LATER + timedelta(days=7),
                              revoked_at=SIGNED_AT + timedelta(days=2))  # fmt: skip
    evidence = Evidence.read(crls=(revoked,))
    options = PathOptions(revocation=RevocationMode.SOFT_FAIL)
    before = only(opened(stamped(signed()), now=LATER, evidence=evidence, options=options))
    assert Problem.REVOKED_SINCE in before.problems
    assert before.verdict is Verdict.VALID
    behind = stamped(signed(), moment=SIGNED_AT + timedelta(days=3))
    assert Problem.REVOKED in only(opened(behind, now=LATER, evidence=evidence, options=options)).problems


# --- countersignatures


def countersigned(data: bytes, *names: str, **options: object) -> bytes:
    holders = [identity(name) for name in names]
    signers = [CmsSigner(h.key, h.certificate, chain=h.chain, **options) for h in holders]
    return countersign(data, signers, now=SIGNED_AT)


def test_countersignatures_are_judged_with_their_paths() -> None:
    signature = only(opened(countersigned(signed(), "bob", "carol")))
    assert signature.verdict is Verdict.VALID
    assert [report.verdict for report in signature.countersignatures] == [Verdict.VALID, Verdict.VALID]
    assert {report.certificate for report in signature.countersignatures} == {
        identity("bob").certificate,
        identity("carol").certificate,
    }
    assert {report.sender_bound for report in signature.countersignatures} == {None}


def test_a_wrong_countersignature_says_so_and_harms_nothing() -> None:
    other = CmsSigner(identity("bob").key, identity("bob").certificate).signer_info_of(
        b"another signature", now=SIGNED_AT, content_type=None
    )
    data = countersigned(signed(), "carol")
    signature = only(
        opened(with_attribute(data, oids.ID_COUNTERSIGNATURE, other), certificates=[identity("bob").certificate])
    )
    assert signature.verdict is Verdict.VALID
    assert sorted(report.verdict.value for report in signature.countersignatures) == ["INVALID", "VALID"]


def test_an_unreadable_or_unaffordable_countersignature_is_told() -> None:
    signature = only(opened(with_attribute(signed(), oids.ID_COUNTERSIGNATURE, b"\x05\x00")))
    assert signature.problems == (Problem.ATTESTATION_MALFORMED,)
    assert signature.verdict is Verdict.VALID
    many = opened(countersigned(signed(), "bob", "carol", "dave"), limits=Limits(attestations=2))
    assert only(many).problems == (Problem.ATTESTATION_MALFORMED,)
    assert len(only(many).countersignatures) == 2


# --- security services


LABEL = SecurityLabel("1.2.3.4", 4, "SECRET PROJECT")
REQUEST = ReceiptRequest(b"unique", ("alice@example.org",))
ASKING = SignedAttributes(
    further=(
        (oids.ID_AA_RECEIPT_REQUEST, encode_receipt_request(REQUEST)),
        (oids.ID_AA_SECURITY_LABEL, encode_security_label(LABEL)),
    )
)


def test_requests_and_labels_are_reported() -> None:
    services = only(opened(signed(attributes=ASKING))).services
    assert services.receipt_request == REQUEST
    assert services.label == LABEL
    assert services.malformed == ()
    assert only(opened(signed())).services == type(services)()


def test_labels_that_cannot_be_read_are_named() -> None:
    attributes = SignedAttributes(further=((oids.ID_AA_SECURITY_LABEL, b"\x31\x00"),))
    services = only(opened(signed(attributes=attributes))).services
    assert (services.label, services.malformed) == (None, (oids.ID_AA_SECURITY_LABEL.name,))


def test_all_of_it_is_shown() -> None:
    found = opened(stamped(countersigned(signed(attributes=ASKING), "bob")), now=LATER)
    (shown,) = as_json(found)["layers"][0]["signatures"]
    assert shown["judged_at"]["moment"] == SIGNED_AT.isoformat()
    assert shown["timestamps"][0]["verdict"] == "VALID"
    assert shown["timestamps"][0]["moment"] == SIGNED_AT.isoformat()
    assert shown["countersignatures"][0]["signer"]["addresses"] == ["bob@example.org"]
    assert shown["services"]["receipt_request"]["send_to"] == ["alice@example.org"]
    assert shown["services"]["label"] == {
        "policy": "1.2.3.4",
        "classification": 4,
        "privacy_mark": "SECRET PROJECT",
        "categories": [],
    }
    text = "\n".join(as_lines(found))
    for expected in ("time stamp: VALID", "countersigned: ", "judged for 2026-06-01", "receipt wanted", "secret"):
        assert expected in text, text
    (plain,) = as_json(opened(signed()))["layers"][0]["signatures"]
    assert not {"judged_at", "timestamps", "countersignatures", "services"} & plain.keys()
