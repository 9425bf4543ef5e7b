"""Countersignatures, signed receipts, security labels, and signing while encrypting, on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from smime_engine.cli import smime
from smime_engine.errors import MalformedMessage
from tests import pki
from tests.engine.people import MESSAGE

AT = pki.MOMENT.isoformat()


def run(*arguments: object) -> Result:
    return CliRunner().invoke(smime, [str(argument) for argument in arguments])


def done(*arguments: object) -> Result:
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return result


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """alice.pem and bob.pem (key, certificate, chain), *.crt, root.pem, message.eml."""
    authority = pki.authority("Root").subordinate("CA")
    for name in ("alice", "bob"):
        for usage in ("sign", "encrypt"):
            kind = "p256" if usage == "sign" else "rsa2048"
            holder = authority.issue(name, f"{name}@example.org", usage=usage, kind=kind)
            (tmp_path / f"{name}-{usage}.pem").write_bytes(holder.pem())
            (tmp_path / f"{name}-{usage}.crt").write_bytes(holder.certificate_pem)
    (tmp_path / "root.der").write_bytes(authority.root_der)
    (tmp_path / "message.eml").write_bytes(MESSAGE)
    return tmp_path


def report(place: Path, file: Path, *options: object) -> dict:
    result = run("open", file, "--trust", place / "root.der", "--at", AT, "--json", *options)
    return json.loads(result.stdout)


def signed(place: Path, *options: object) -> Path:
    key = place / "alice-sign.pem"
    done("sign", place / "message.eml", "--key", key, "--at", AT, "-o", place / "signed.eml", *options)
    return place / "signed.eml"


# --- receipts and labels


def receipt_of(place: Path, message: Path) -> Result:
    return run("receipt", "create", message, "--key", place / "bob-sign.pem", "--trust", place / "root.der",
               "-o", place / "receipt.eml")  # fmt: skip


def test_a_receipt_goes_its_whole_way(place: Path) -> None:
    message = signed(place, "--receipt-to", "alice@example.org")
    result = receipt_of(place, message)
    assert result.exit_code == 0, result.output
    mail = (place / "receipt.eml").read_bytes()
    assert mail.startswith(b"From: bob@example.org\r\nTo: alice@example.org\r\n")
    assert b"smime-type=signed-receipt" in mail
    trust = ("--trust", place / "root.der")
    checked = done("receipt", "check", place / "receipt.eml", message, *trust)
    assert checked.output.startswith("VALID: receipt of ")
    found = json.loads(done("receipt", "check", place / "receipt.eml", message, *trust, "--json").output)
    assert (found["verdict"], found["problems"], found["from"]) == ("VALID", [], ["bob@example.org"])
    other = signed(place, "--receipt-to", "alice@example.org")
    wrong = run("receipt", "check", place / "receipt.eml", other, *trust)
    assert wrong.exit_code == 1
    assert "RECEIPT_MISMATCH" in wrong.output
    assert isinstance(run("receipt", "check", message, message, *trust).exception, MalformedMessage)


def test_no_receipt_without_being_asked_or_for_what_is_not_valid(place: Path) -> None:
    result = receipt_of(place, signed(place))
    assert result.exit_code == 1
    assert "asks for no receipt from bob@example.org" in result.output
    message = signed(place, "--receipt-to", "alice@example.org")
    message.write_bytes(message.read_bytes().replace(b"We agree", b"We refuse"))
    result = receipt_of(place, message)
    assert result.exception is not None
    assert "INVALID" in str(result.exception)
    assert not (place / "receipt.eml").exists()


def test_a_security_label_is_signed_and_shown(place: Path) -> None:
    found = report(place, signed(place, "--label", "1.2.3.4:4:FOR THE BOARD"))
    (signature,) = found["layers"][0]["signatures"]
    assert signature["services"]["label"]["classification"] == 4
    assert signature["services"]["label"]["privacy_mark"] == "FOR THE BOARD"
    text = run("open", place / "signed.eml").output
    assert "security label: secret under policy 1.2.3.4, FOR THE BOARD" in text


@pytest.mark.parametrize(
    "options",
    [
        ("--label", "secret"),
        ("--label", "1.2.3:257"),
        ("--receipt-to", "nobody"),
        ("--receipt-to", "a@b.c\r\nBcc: x@y.z"),
        ("--label", "1.2.3", "--no-attributes"),
    ],
)
def test_what_cannot_be_asked_for_is_refused(place: Path, options: tuple[str, ...]) -> None:
    result = run("sign", place / "message.eml", "--key", place / "alice-sign.pem", *options)
    assert result.exit_code == 2, result.output


# --- countersignatures


@pytest.mark.parametrize("form", ["der", "pem"])
def test_countersign(place: Path, form: str) -> None:
    content, signature = place / "message.eml", place / "signature"
    done("sign", content, "--form", form, "--detached", "--key", place / "alice-sign.pem", "--at", AT, "-o", signature)
    bob = ("--key", place / "bob-sign.pem", "--at", AT)
    done("countersign", signature, *bob, "--form", form, "-o", place / "counter")
    (found,) = report(place, place / "counter", "--content", content)["layers"][0]["signatures"]
    (counter,) = found["countersignatures"]
    assert (found["verdict"], counter["verdict"]) == ("VALID", "VALID")
    assert counter["signer"]["addresses"] == ["bob@example.org"]
    result = run("countersign", signature, *bob, "--signer", "2")
    assert result.exit_code == 2
    assert "1 signers" in result.output


# --- sign and encrypt in one step


def sealed(place: Path, *options: object) -> Path:
    recipient, key = place / "bob-encrypt.crt", place / "alice-sign.pem"
    done("encrypt", place / "message.eml", "--to", recipient, "--sign-key", key, "--at", AT,
         "-o", place / "sealed.eml", *options)  # fmt: skip
    return place / "sealed.eml"


@pytest.mark.parametrize(("options", "kinds"), [
    ((), ["encrypted", "signed"]),
    (("--triple-wrap",), ["signed", "encrypted", "signed"]),
])  # fmt: skip
def test_signed_and_encrypted_in_one_step(place: Path, options: tuple[str, ...], kinds: list[str]) -> None:
    found = report(place, sealed(place, *options), "--key", place / "bob-encrypt.pem")
    assert [layer["kind"] for layer in found["layers"]] == kinds
    assert found["verdict"] == "VALID"


@pytest.mark.parametrize(("policy", "hidden"), [("baseline", True), ("shy", True), ("none", False)])
def test_header_fields_are_protected_and_hidden(place: Path, policy: str, hidden: bool) -> None:
    message = sealed(place, "--protect-header", policy)
    assert (b"Subject: the contract" not in message.read_bytes()) is hidden
    header = report(place, message, "--key", place / "bob-encrypt.pem")["header"]
    (subject,) = [field for field in header["fields"] if field["name"] == "Subject"]
    assert subject["value"] == "the contract"
    assert subject["signed"] is True
    assert subject["encrypted"] is hidden


@pytest.mark.parametrize(
    "options",
    [
        ("--triple-wrap",),
        ("--password-file", "x"),
        ("--sign-key", "alice-sign.pem", "--form", "der"),
        ("--protect-header", "shy", "--form", "pem"),
    ],
)
def test_options_that_do_not_go_together(place: Path, options: tuple[str, ...]) -> None:
    given = [place / option if option.endswith(".pem") else option for option in options]
    result = run("encrypt", place / "message.eml", "--to", place / "bob-encrypt.crt", *given)
    assert result.exit_code == 2, result.output
