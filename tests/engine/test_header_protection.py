"""RFC 9788 through the whole engine: fields protected inside, hidden outside, and what the report says of them."""

from __future__ import annotations

import pytest

from smime_engine import (
    HeaderProtection,
    KeyRing,
    MessageEncryptor,
    TrustCollection,
    Verdict,
    certificates_from,
    open_message,
    recipient_for,
    seal_message,
)
from smime_engine.cli.rendering import as_json, as_lines
from smime_engine.mime.header_protection import HeaderScheme, hcp_shy, no_confidentiality
from tests import pki
from tests.engine.people import MESSAGE, ring, signer, trust

NOW = pki.MOMENT


def encryptor():
    return MessageEncryptor([recipient_for(ring("bob").identities[0].certificate)])


def sealed(*steps, **options):
    return seal_message(MESSAGE, steps=steps, now=NOW, header_protection=HeaderProtection(**options))


def opened(message):
    return open_message(message, keys=ring("bob"), trust=trust(), now=NOW)


def fields(report):
    return {field.name.lower(): field for field in report.header.fields}


def test_signed_fields_are_told_as_signed():
    report = opened(sealed(signer("alice"))).require_valid()
    assert report.header.scheme is HeaderScheme.RFC_9788
    assert report.header.declared == "clear"
    assert {"from", "to", "subject", "date"} <= set(fields(report))
    assert all(field.signed and not field.encrypted and not field.differs for field in report.header.fields)


def test_encryption_hides_the_subject_and_the_reader_gets_it():
    message = sealed(signer("alice"), encryptor())
    assert b"the contract" not in message
    assert b"Subject: [...]" in message
    report = opened(message).require_valid()
    subject = fields(report)["subject"]
    assert (subject.value, subject.signed, subject.encrypted, subject.differs) == ("the contract", True, True, True)
    assert fields(report)["from"].encrypted is False
    assert report.header.changed_outside == ()


def test_encrypted_alone_is_not_signed():
    subject = fields(opened(sealed(encryptor())))["subject"]
    assert (subject.signed, subject.encrypted) == (False, True)


@pytest.mark.parametrize(("policy", "hidden"), [(hcp_shy, True), (no_confidentiality, False)])
def test_confidentiality_policies(policy, hidden):
    message = sealed(signer("alice"), encryptor(), policy=policy)
    outside = message.partition(b"\r\n\r\n")[0]
    assert (b"the contract" in outside) is not hidden
    assert (b"Alice <" in outside) is not hidden
    assert opened(message).verdict is Verdict.VALID


def test_a_field_changed_on_the_way_is_told():
    message = sealed(signer("alice")).replace(b"Subject: the contract", b"Subject: another thing", 1)
    report = opened(message)
    assert report.verdict is Verdict.VALID  # the signature is; the fields to show are those inside
    assert report.header.changed_outside == ("subject",)
    assert fields(report)["subject"].value == "the contract"
    assert fields(report)["subject"].differs


def test_another_sender_outside_is_told_and_not_bound():
    message = sealed(signer("alice")).replace(b"From: Alice <alice@", b"From: Alice <mallory@", 1)
    report = opened(message)
    assert report.header.from_differs
    assert report.verdict is Verdict.INVALID


def test_a_message_with_a_wrong_signature_has_no_signed_fields():
    message = sealed(signer("alice")).replace(b"We agree", b"We don't")
    assert not any(field.signed for field in opened(message).header.fields)


def test_without_protection_nothing_is_claimed():
    report = opened(signer("alice").sign(MESSAGE, now=NOW))
    assert report.header.scheme is None
    assert "header" not in as_json(report)


def test_the_report_is_shown():
    report = opened(sealed(signer("alice"), encryptor()))
    assert as_json(report)["header"]["scheme"] == "rfc9788"
    assert any("Subject: the contract [signed, encrypted, differs]" in line for line in as_lines(report))


@pytest.mark.corpora
def test_samples_of_the_standards_authors(corpora):
    root = TrustCollection(certificates_from((corpora / "rfc9216" / "ca.rsa.crt").read_bytes()))
    for name in ("smime-one-part-hp.eml", "smime-multipart-hp.eml"):
        data = (corpora / "header-protection" / name).read_bytes()
        report = open_message(data, keys=KeyRing(), trust=root, now=NOW)
        assert report.verdict is Verdict.VALID
        assert report.header.scheme is not None
        assert all(field.signed for field in report.header.fields)
