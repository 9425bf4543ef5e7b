"""What becomes of mail that arrives: decisions, and the message that is handed on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from smime_engine import (
    Certificate,
    KeyRing,
    MalformedMessage,
    MessageEncryptor,
    MessageSigner,
    NoMatchingKey,
    OpenedMessage,
    TrustCollection,
    Verdict,
    load_identity,
    open_message,
    recipient_for,
    seal_message,
)
from smime_engine.errors import DecryptionFailed, UnsupportedAlgorithm
from smime_engine.mime.parse import parse_entity
from smime_engine.policy.incoming import authentication_results, compose_incoming, without_forged_fields
from smime_engine.policy.receiving import (
    Disposal,
    Form,
    InboundRules,
    Judgement,
    State,
    Treatment,
    harvest,
    judge_incoming,
)
from tests import pki

ROOT = pki.authority("Inbound Root")
ALICE = load_identity(ROOT.issue("Alice", "alice@example.org").pem())
BOB = load_identity(ROOT.issue("Bob", "bob@example.net", kind="rsa2048").pem())
TRUST = TrustCollection([Certificate.parse(ROOT.certificate_der)])
SIGNER = MessageSigner(ALICE.key, ALICE.certificate)
ENCRYPTOR = MessageEncryptor([recipient_for(BOB.certificate)])
BODY = (
    b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    b"Gr\xc3\xbc\xc3\x9fe\r\n"
)
PLAIN = b"Received: from x by y\r\nFrom: Alice <alice@example.org>\r\nTo: bob@example.net\r\nSubject: Hi\r\n" + BODY
SIGNED = SIGNER.sign(PLAIN, now=pki.MOMENT)
ENCRYPTED = ENCRYPTOR.encrypt(PLAIN)
SEALED = seal_message(PLAIN, steps=(SIGNER, ENCRYPTOR), now=pki.MOMENT)
TRIPLE = seal_message(PLAIN, steps=(SIGNER, ENCRYPTOR, SIGNER), now=pki.MOMENT)
DECRYPT = InboundRules(treatment=Treatment.DECRYPT)
STRIP = InboundRules(treatment=Treatment.STRIP)
SERVER = "gw.example.net"


def opened(message: bytes, trust: TrustCollection | None = TRUST) -> OpenedMessage:
    return open_message(message, now=pki.MOMENT, keys=KeyRing([BOB]), trust=trust)


def judged(message: bytes, rules: InboundRules = DECRYPT, **options) -> Judgement:
    return judge_incoming(opened(message, **options), rules, encrypted=False)


@pytest.mark.parametrize(
    ("message", "state", "forms"),
    [
        (PLAIN, State.UNPROTECTED, (Form.ORIGINAL, Form.ORIGINAL, Form.ORIGINAL)),
        (SIGNED, State.VALID, (Form.ORIGINAL, Form.ORIGINAL, Form.STRIPPED)),
        (SIGNED.replace(b"charset=utf-8", b"charset=UTF-8"), State.INVALID, (Form.ORIGINAL,) * 3),
        (ENCRYPTED, State.UNSIGNED, (Form.ORIGINAL, Form.DECRYPTED, Form.DECRYPTED)),
        (SEALED, State.VALID, (Form.ORIGINAL, Form.DECRYPTED, Form.STRIPPED)),
        (TRIPLE, State.VALID, (Form.ORIGINAL, Form.DECRYPTED, Form.STRIPPED)),
    ],
)
def test_states_and_forms(message, state, forms):
    for treatment, form in zip((Treatment.VERIFY, Treatment.DECRYPT, Treatment.STRIP), forms, strict=True):
        judgement = judged(message, InboundRules(treatment=treatment))
        assert judgement.state is state
        assert judgement.form is form
        assert judgement.disposal is Disposal.DELIVER


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (NoMatchingKey(), State.UNDECRYPTABLE),
        (DecryptionFailed(), State.DAMAGED),
        (UnsupportedAlgorithm("1.2.3", purpose="cipher"), State.DAMAGED),
        (MalformedMessage("x"), State.MALFORMED),
    ],
)
def test_errors(error, state):
    assert judge_incoming(error, DECRYPT, encrypted=False).state is state
    assert judge_incoming(error, DECRYPT, encrypted=False).form is Form.ORIGINAL


def test_no_answer_depends_on_decryption_without_integrity():
    rejecting = InboundRules(
        treatment=Treatment.DECRYPT,
        invalid=Disposal.REJECT,
        unknown=Disposal.REJECT,
        undecryptable=Disposal.REJECT,
        malformed=Disposal.REJECT,
    )
    jail = replace(rejecting, quarantine="q@example.net")
    forged = PLAIN.replace(b"alice@", b"eve@")
    inside = opened(seal_message(forged, steps=(SIGNER, ENCRYPTOR), now=pki.MOMENT))
    assert inside.verdict is Verdict.INVALID
    for found in (DecryptionFailed(), MalformedMessage("x"), inside):
        assert judge_incoming(found, rejecting, encrypted=True).disposal is Disposal.DELIVER
        assert judge_incoming(found, jail, encrypted=True).disposal is Disposal.QUARANTINE
    # With integrity nobody but the sender decides what is inside, and that no key fits is no secret.
    authentic = MessageEncryptor([recipient_for(BOB.certificate)], cipher="aes256-gcm")
    inside = opened(seal_message(forged, steps=(SIGNER, authentic), now=pki.MOMENT))
    for found in (NoMatchingKey(), inside):
        assert judge_incoming(found, rejecting, encrypted=True).disposal is Disposal.REJECT


@pytest.mark.parametrize(
    ("rules", "disposal", "quarantine"),
    [
        (InboundRules(invalid=Disposal.REJECT), Disposal.REJECT, None),
        (InboundRules(invalid=Disposal.QUARANTINE, quarantine="q@example.net"), Disposal.QUARANTINE, "q@example.net"),
        (InboundRules(invalid=Disposal.QUARANTINE), Disposal.REJECT, None),
        (InboundRules(invalid=Disposal.REJECT, treatment=Treatment.PASS), Disposal.DELIVER, None),
        (InboundRules(unknown=Disposal.REJECT), Disposal.DELIVER, None),
    ],
)
def test_disposal_of_an_invalid_signature(rules, disposal, quarantine):
    other = TrustCollection([Certificate.parse(pki.authority("Somebody Else").certificate_der)])
    message = SIGNER.sign(PLAIN.replace(b"alice@", b"eve@"), now=pki.MOMENT)
    judgement = judge_incoming(opened(message), rules, encrypted=False)
    assert (judgement.state, judgement.disposal, judgement.quarantine) == (State.INVALID, disposal, quarantine)
    changed = replace(rules, unknown=Disposal.REJECT, invalid=Disposal.DELIVER)
    unknown = judge_incoming(opened(SIGNED, other), changed, encrypted=False)
    assert unknown.state is State.UNKNOWN


def test_what_stands_outside_is_never_mixed_with_what_was_decrypted():
    part = SEALED[SEALED.index(b"Content-Type") :]
    message = (
        b"From: alice@example.org\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
        b"--b\r\nContent-Type: text/html\r\n"
        b'\r\n<img src="http://evil/\r\n--b\r\n' + part + b"\r\n--b--\r\n"
    )
    judgement = judged(message, STRIP)
    assert judgement.opened is not None
    assert judgement.opened.partial
    assert judgement.state is State.UNKNOWN
    assert judgement.form is Form.ORIGINAL


# --------------------------------------------------------------------------------------------------- composition


def test_an_original_is_only_marked():
    composed = compose_incoming(SIGNED, judged(SIGNED, InboundRules()), server=SERVER)
    assert composed.endswith(SIGNED)
    assert opened(composed).verdict is Verdict.VALID
    top = parse_entity(composed)
    (results,) = top.named("Authentication-Results")
    assert results.value.startswith(
        f"{SERVER};\tsmime=pass\tbody.smime-identifier=alice@example.org\tbody.smime-serial="
    )
    assert results.value.endswith('body.smime-issuer="CN=Inbound Root"')
    assert top.named("X-SMIME-Signature")[0].value == "VALID"
    assert top.named("X-SMIME-Encryption")[0].value == "none"
    assert top.named("X-SMIME-Problems") == ()


@pytest.mark.parametrize("message", [SEALED, TRIPLE])
def test_decrypted_keeps_the_signature_inside(message):
    composed = compose_incoming(message, judged(message), server=SERVER)
    top = parse_entity(composed)
    assert [field.name for field in top.fields] == [
        "Authentication-Results",
        "X-SMIME-Signature",
        "X-SMIME-Encryption",
        "Received",
        "From",
        "To",
        "Subject",
        "MIME-Version",
        "Content-Type",
    ]
    inner = opened(message).decrypted
    assert inner is not None
    assert composed.endswith(inner)
    again = opened(composed)
    assert [layer.kind for layer in again.layers] == ["signed"]
    assert again.verdict is Verdict.VALID
    assert top.named("X-SMIME-Encryption")[0].value == "aes256-cbc"


def test_stripped_is_a_plain_message():
    composed = compose_incoming(SEALED, judged(SEALED, STRIP), server=SERVER)
    entity = parse_entity(composed)
    assert opened(composed).layers == ()
    assert bytes(entity.decoded()) == "Grüße\r\n".encode()
    assert [len(entity.named(name)) for name in ("From", "To", "Subject", "Received")] == [1, 1, 1, 1]


def test_fields_inside_do_not_replace_those_outside():
    smuggled = ENCRYPTOR.encrypt(b"X: y\r\n" + BODY)
    inner = b"From: boss@example.org\r\nAuthentication-Results: gw.example.net; smime=pass\r\nX-Kept: 1\r\n" + BODY
    judgement = replace(judged(smuggled), opened=replace(opened(smuggled), decrypted=inner), form=Form.DECRYPTED)
    outer = b"From: alice@example.org\r\nContent-Type: application/pkcs7-mime\r\n\r\n"
    entity = parse_entity(compose_incoming(outer, judgement, server=SERVER))
    assert [field.value for field in entity.named("From")] == ["alice@example.org"]
    assert len(entity.named("Authentication-Results")) == 1
    assert b"smime=pass" not in entity.header
    assert entity.named("X-Kept")
    assert entity.content_type.value == "text/plain"


@pytest.mark.parametrize(
    ("field", "removed"),
    [
        (b"Authentication-Results: gw.example.net; smime=pass", True),
        (b"Authentication-Results: GW.Example.Net 1;\r\n dkim=pass", True),
        (b"authentication-results: other.example; spf=pass", False),
        (b"X-Smime-Signature: VALID", True),
        (b"X-Other: gw.example.net", False),
        (b"Authentication-Results:", False),
    ],
)
def test_forged_fields(field, removed):
    message = b"A: b\r\n" + field + b"\r\n" + PLAIN
    assert without_forged_fields(message, SERVER) == (b"A: b\r\n" + PLAIN if removed else message)


def test_tag_and_explanation():
    rules = InboundRules(treatment=Treatment.VERIFY, explain=True, tags=((State.INVALID, "[INVALID]"),))
    message = SIGNER.sign(PLAIN.replace(b"alice@", b"eve@"), now=pki.MOMENT)
    composed = compose_incoming(message, judged(message, rules), server=SERVER)
    entity = parse_entity(composed)
    assert entity.named("Subject")[0].value == "[INVALID] Hi"
    assert entity.content_type.value == "multipart/mixed"
    text, original = entity.parts
    assert b"S/MIME: the signature is not valid." in bytes(text.body)
    assert b"SENDER_MISMATCH" in bytes(text.body)
    assert original.content_type.value == "multipart/signed"
    assert entity.named("X-SMIME-Problems")[0].value == "SENDER_MISMATCH"
    assert compose_incoming(PLAIN, judged(PLAIN, rules), server=SERVER).endswith(PLAIN)


@pytest.mark.parametrize(
    ("judgement", "result"),
    [
        (judge_incoming(NoMatchingKey(), DECRYPT, encrypted=True), "smime=permerror (no key here opens the message)"),
        (judge_incoming(MalformedMessage("x"), DECRYPT, encrypted=False), "smime=permerror (the message is malformed)"),
        (judged(PLAIN), "smime=none (neither signed nor encrypted)"),
        (judged(ENCRYPTED), "smime=none (encrypted, not signed)"),
        (judged(SIGNED, trust=None), "smime=neutral (NO_TRUST_ANCHOR)"),
    ],
)
def test_other_results(judgement, result):
    field = authentication_results(judgement, SERVER)
    assert field.startswith(f"Authentication-Results: {SERVER};\r\n\t{result}".encode())
    assert field.endswith(b"\r\n")


def test_a_partial_message_never_passes():
    message = (
        b"From: alice@example.org\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nunsigned\r\n--b\r\n"
    )
    message += SIGNED[SIGNED.index(b"Content-Type") :] + b"\r\n--b--\r\n"
    judgement = judged(message)
    assert judgement.state is State.UNKNOWN
    assert b"smime=neutral" in authentication_results(judgement, SERVER)


def test_harvest():
    assert harvest(opened(SIGNED)) == (ALICE.certificate,)
    assert harvest(opened(SIGNED, None)) == ()
    assert harvest(opened(PLAIN)) == ()
    assert harvest(opened(SIGNER.sign(PLAIN.replace(b"alice@", b"eve@"), now=pki.MOMENT))) == ()
