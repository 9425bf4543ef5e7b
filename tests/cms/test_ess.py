"""Enhanced Security Services: receipt requests and receipts, labels, list history; RFC 4134's example of all."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from asn1crypto import cms as asn1_cms
from hypothesis import given
from hypothesis import strategies as st

from smime_engine.asn1 import ber, oids
from smime_engine.certificate import Certificate
from smime_engine.cms.ess import (
    ListExpansion,
    ReceiptRequest,
    SecurityLabel,
    decode_content_hint,
    decode_equivalent_labels,
    decode_list_history,
    decode_receipt_request,
    decode_security_label,
    encode_receipt_request,
    encode_security_label,
)
from smime_engine.cms.receipts import create_receipt, verify_receipt
from smime_engine.cms.signed import parse_signed_data, verify_signer
from smime_engine.cms.signer import SignedAttributes
from smime_engine.errors import LimitExceeded, MalformedMessage
from smime_engine.limits import Limits
from tests.cms.signers import CONTENT, check_all, problems, signer

NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)

addresses = st.sampled_from(["alice@example.org", "bob@example.org", "jürgen@example.org"])
requests = st.builds(
    ReceiptRequest,
    st.binary(max_size=40),
    st.lists(addresses, max_size=3).map(tuple),
    st.none() | st.lists(addresses, max_size=3).map(tuple),
).map(lambda request: request._replace(first_tier_only=request.wanted_from is None))


@given(requests | requests.map(lambda request: request._replace(first_tier_only=False)))
def test_receipt_requests_are_read_back(request: ReceiptRequest) -> None:
    encoded = encode_receipt_request(request)
    assert decode_receipt_request(encoded) == request
    parsed = asn1_cms.CMSAttribute.load(
        ber.encode(0x30, oids.ID_AA_RECEIPT_REQUEST.tlv, ber.encode(0x31, encoded)), strict=True
    )
    assert parsed["type"].dotted == oids.ID_AA_RECEIPT_REQUEST


@given(
    st.builds(
        SecurityLabel,
        st.sampled_from(["1.2.3.4", "2.16.840.1.101.2.1.3"]),
        st.none() | st.integers(0, 256),
        st.text(max_size=30),
        st.lists(
            st.tuples(st.just("1.2.3.9"), st.binary(max_size=20).map(lambda data: ber.encode(0x04, data))), max_size=3
        ).map(lambda found: tuple(sorted(found, key=lambda pair: ber.encode(0xA1, pair[1])))),
    )
)
def test_labels_are_read_back(label: SecurityLabel) -> None:
    encoded = encode_security_label(label)
    decoded = decode_security_label(encoded)
    assert decoded._replace(categories=()) == label._replace(categories=())
    assert sorted(decoded.categories) == sorted(label.categories)
    assert decode_equivalent_labels(ber.encode(0x30, encoded, encoded)) == (decoded, decoded)


@pytest.mark.parametrize(
    "decode",
    [decode_receipt_request, decode_security_label, decode_list_history, decode_content_hint, decode_equivalent_labels],
)
@given(data=st.binary(max_size=60))
def test_any_octets_are_decoded_or_refused(decode, data: bytes) -> None:
    samples = (data, ber.encode(0x30, data), ber.encode(0x31, data), ber.encode(0x30, ber.encode(0x30, data)))
    for value in samples:
        try:
            decode(value)
        except MalformedMessage:
            continue


def test_values_that_are_cut_or_followed_are_refused() -> None:
    request = encode_receipt_request(ReceiptRequest(b"1", ("alice@example.org",), ("bob@example.org",)))
    label = encode_security_label(SecurityLabel("1.2.3", 1, "mark", (("1.2.3.9", b"\x05\x00"),)))
    for decode, value in ((decode_receipt_request, request), (decode_security_label, label)):
        for end in range(len(value)):
            with pytest.raises(MalformedMessage):
                decode(value[:end])
        with pytest.raises(MalformedMessage):
            decode(value + b"\0")


def test_who_is_asked_for_a_receipt() -> None:
    plain = ListExpansion(b"\x04\x01\x00", NOW)
    forbidding = plain._replace(receipts="none")
    everybody = ReceiptRequest(b"1", ())
    assert everybody.wants_from("bob@example.org")
    assert everybody.wants_from("bob@example.org", (plain,))
    assert not everybody.wants_from("bob@example.org", (plain, forbidding))
    assert everybody.wants_from("bob@example.org", (forbidding, plain))
    first_tier = everybody._replace(first_tier_only=True)
    assert first_tier.wants_from("bob@example.org")
    assert not first_tier.wants_from("bob@example.org", (plain,))
    some = ReceiptRequest(b"1", (), ("BOB@example.org",))
    assert some.wants_from("bob@Example.org")
    assert not some.wants_from("carol@example.org")


def test_list_history() -> None:
    moment = b"\x18\x0f20260601120000Z"
    name = ber.encode(0x30, ber.encode(0x81, b"list@example.org"))
    for policy, expected in (
        (b"", ("", ())),
        (b"\x80\x00", ("none", ())),
        (ber.encode(0xA1, name), ("instead-of", ("list@example.org",))),
        (ber.encode(0xA2, name, name), ("in-addition-to", ("list@example.org", "list@example.org"))),
    ):
        value = ber.encode(0x30, ber.encode(0x30, b"\x04\x01\x07", moment, policy))
        assert decode_list_history(value) == (ListExpansion(b"\x04\x01\x07", NOW, *expected),)
    with pytest.raises(LimitExceeded):
        decode_list_history(ber.encode(0x30, *[value[2:]] * 4), limits=Limits(attributes=3))


# ----------------------------------------------------------------------------------------------------------- receipts

REQUEST = ReceiptRequest(b"20260601120000Z-4711", ("alice@example.org",))


@pytest.fixture
def message():
    """A message that asks for a receipt: its parts, and what was found."""
    further = ((oids.ID_AA_RECEIPT_REQUEST, encode_receipt_request(REQUEST)),)
    alice = signer("p256", attributes=SignedAttributes(further=further), digest="sha384")
    data = alice.sign(CONTENT, now=NOW)
    assert problems(data, CONTENT) == set()
    signed = parse_signed_data(data)
    (check,) = check_all(data, CONTENT)
    return signed.signers[0], check


@pytest.mark.parametrize("kind", ["rsa2048", "ed25519", "p256"])
def test_a_receipt_is_made_and_accepted(message, kind: str) -> None:
    receipt = create_receipt(*message, signer(kind, "Bob"), now=NOW)
    found = verify_receipt(receipt, *message)
    assert found.findings == ()
    assert found.identifier == REQUEST.identifier
    assert found.signer.certificate == signer(kind, "Bob").certificate
    assert found.signer.signing_time == NOW
    body = asn1_cms.ContentInfo.load(receipt, strict=True)["content"]
    assert body["encap_content_info"]["content_type"].dotted == oids.ID_CT_RECEIPT
    without = signer(kind, "Bob", include_certificates=False)
    receipt = create_receipt(*message, without, now=NOW)
    assert [found.problem.name for found in verify_receipt(receipt, *message).findings] == [
        "SIGNER_CERTIFICATE_MISSING"
    ]
    assert verify_receipt(receipt, *message, pool=(without.certificate,)).findings == ()


def test_a_receipt_for_another_message(message) -> None:
    receipt = create_receipt(*message, signer("rsa2048", "Bob"), now=NOW)
    further = ((oids.ID_AA_RECEIPT_REQUEST, encode_receipt_request(REQUEST._replace(identifier=b"other"))),)
    other = parse_signed_data(signer("p256", attributes=SignedAttributes(further=further)).sign(b"other", now=NOW))
    check = verify_signer(other, other.signers[0], content=b"other")
    found = verify_receipt(receipt, other.signers[0], check)
    assert {finding.problem.name for finding in found.findings} == {"RECEIPT_MISMATCH"}
    assert {finding.detail for finding in found.findings} == {
        "content identifier",
        "signature",
        "digest of the signed attributes",
    }


def test_what_is_no_receipt(message) -> None:
    ordinary = signer("p256").sign(CONTENT, now=NOW, detached=False)
    garbage = signer("p256").sign(b"\x30\x00", now=NOW, detached=False, content_type=oids.ID_CT_RECEIPT)
    for data in (ordinary, garbage, b"", b"\x30\x00"):
        with pytest.raises(MalformedMessage):
            verify_receipt(data, *message)


def test_nobody_asked_for_a_receipt() -> None:
    signed = parse_signed_data(signer("p256").sign(CONTENT, now=NOW))
    check = verify_signer(signed, signed.signers[0], content=CONTENT)
    with pytest.raises(MalformedMessage):
        create_receipt(signed.signers[0], check, signer("rsa2048"), now=NOW)


def test_a_signer_without_attributes_makes_no_receipts(message) -> None:
    with pytest.raises(ValueError, match="without signed attributes"):
        create_receipt(*message, signer("rsa2048", attributes=None), now=NOW)


def test_further_attributes_do_not_change_the_signer_they_come_from() -> None:
    ours = signer("p256")
    before = ours.sign(CONTENT, now=NOW)
    other = ours.with_attributes((oids.ID_AA_CONTENT_HINT, ber.encode(0x30, oids.ID_DATA.tlv)))
    assert problems(other.sign(CONTENT, now=NOW), CONTENT) == set()
    (check,) = check_all(other.sign(CONTENT, now=NOW), CONTENT)
    assert decode_content_hint(check.value_of(oids.ID_AA_CONTENT_HINT) or b"").content_type == oids.ID_DATA
    for data in (before, ours.sign(CONTENT, now=NOW)):
        (check,) = check_all(data, CONTENT)
        assert check.value_of(oids.ID_AA_CONTENT_HINT) is None


# ------------------------------------------------------------------------------------------------------------ RFC 4134


@pytest.mark.corpora
def test_rfc_4134_with_all_attributes(corpora) -> None:
    data = (corpora / "rfc4134" / "4.10.bin").read_bytes()
    alice = Certificate.parse((corpora / "rfc4134" / "AliceDSSSignByCarlNoInherit.cer").read_bytes())
    (check,) = check_all(data, pool=(alice,))
    label = decode_security_label(check.value_of(oids.ID_AA_SECURITY_LABEL) or b"")
    assert (label.policy, label.classification) == ("1.2.3.4.5.6.7.8", 1)
    assert label.privacy_mark == "THIS IS A PRIVACY MARK TEST"
    assert [kind for kind, _ in label.categories] == ["1.2.3.4.5.6.7.888"]
    equivalent = decode_equivalent_labels(check.value_of(oids.ID_AA_EQUIVALENT_LABELS) or b"")
    assert [other.policy for other in equivalent] == ["1.2.3.4.5.6.7.9", "1.2.3.4.5.6.7.10"]
    (expansion,) = decode_list_history(check.value_of(oids.ID_AA_ML_EXPAND_HISTORY) or b"")
    assert expansion.moment == datetime(1999, 3, 11, 10, 44, 33, tzinfo=UTC)
    assert expansion.receipts == "instead-of"
    hint = decode_content_hint(check.value_of(oids.ID_AA_CONTENT_HINT) or b"")
    assert hint.description == "Content Hints Description Buffer"
    assert check.capabilities is not None
    assert check.encryption_key_preference is not None
