"""`smime sign`, `smime open` and `smime encrypt`: the contract that scripts depend on, alone and with OpenSSL."""

from __future__ import annotations

import json

import pytest

from smime_engine.cli import main
from tests import pki

MESSAGE = b"From: alice@example.org\r\nTo: bob@example.org\r\nSubject: hi\r\n\r\nHello Bob.\r\n"
AT = ("--at", pki.MOMENT.isoformat())


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Files of Alice, Bob and Mallory, and a message."""
    place = tmp_path_factory.mktemp("people")
    ca = pki.authority("CLI Root").subordinate("CLI CA")
    alice = ca.issue("CLI Alice", "alice@example.org", kind="p256", usage="sign")
    alice.write(place, "alice")
    (place / "alice.p12").write_bytes(alice.pkcs12(b"secret"))
    ca.issue("CLI Mallory", "mallory@example.org", kind="p256", usage="sign").write(place, "mallory")
    ca.issue("CLI Bob", "bob@example.org", kind="rsa2048", usage="encrypt").write(place, "bob")
    ca.issue("CLI Carol", "carol@example.org", kind="p256", usage="encrypt").write(place, "carol")
    expired = {"not_before": pki.NOT_BEFORE, "not_after": pki.NOT_BEFORE.replace(year=2025)}
    ca.issue("CLI Dora", "dora@example.org", kind="rsa2048", usage="encrypt", **expired).write(place, "dora")
    (place / "ca.crl").write_bytes(ca.crl({alice: None}))
    (place / "good.crl").write_bytes(ca.crl())
    (place / "password").write_bytes(b"secret\n")
    (place / "message.eml").write_bytes(MESSAGE)
    return place


@pytest.fixture
def smime(folder, capfdbinary, monkeypatch):
    """Run the command in the folder -> (exit status, standard output, standard error)."""
    monkeypatch.chdir(folder)

    def run(*arguments):
        with pytest.raises(SystemExit) as stopped:
            main([str(argument) for argument in arguments])
        output = capfdbinary.readouterr()
        return stopped.value.code or 0, output.out, output.err

    return run


@pytest.fixture
def signed(smime):
    """The message, clear-signed by Alice."""
    status, _, _ = smime("sign", "message.eml", "--key", "alice.pem", *AT, "-o", "signed.eml")
    assert status == 0
    return "signed.eml"


def report(smime, *arguments):
    status, out, _ = smime("open", *arguments, "--json")
    return status, json.loads(out)


def test_sign_then_open_is_valid(smime, signed):
    status, found = report(smime, signed, "--trust", "alice.root", *AT)
    assert status == 0
    assert found["verdict"] == "VALID"
    assert found["sender_bound"] is True
    assert found["partial"] is False
    (layer,) = found["layers"]
    assert layer["kind"] == "signed"
    (signature,) = layer["signatures"]
    assert signature["verdict"] == "VALID"
    assert signature["problems"] == []
    assert signature["signer"]["addresses"] == ["alice@example.org"]
    assert signature["signer"]["subject"] == "CN=CLI Alice"
    assert signature["signer"]["issuer"] == "CN=CLI CA"
    assert int(signature["signer"]["serial"], 16) > 0
    assert (signature["digest"], signature["algorithm"]) == ("sha256", "ecdsa")
    assert signature["signing_time"] == pki.MOMENT.isoformat()


def test_a_pkcs12_with_a_password_file(smime, folder):
    status, out, _ = smime("sign", "message.eml", "--key", "alice.p12", "--password-file", "password")
    assert status == 0
    assert b"multipart/signed" in out
    status, _, err = smime("sign", "message.eml", "--key", "alice.p12")
    assert (status, err.count(b"\n")) == (2, 1)
    assert b"alice.p12" in err


def test_people_can_read_the_report(smime, signed):
    status, out, _ = smime("open", signed, "--trust", "alice.root", *AT)
    assert status == 0
    assert b"signed (clear): VALID" in out
    assert b"CN=CLI Alice <alice@example.org>" in out


@pytest.mark.parametrize(
    ("arguments", "status", "problem"),
    [
        ((), 3, "NO_TRUST_ANCHOR"),
        (("--trust", "alice.root", "--at", "2049-01-01T00:00:00Z"), 1, "EXPIRED"),
        (("--trust", "alice.root", "--at", "2020-01-01T00:00:00Z"), 1, "NOT_YET_VALID"),
        (("--trust", "alice.root", *AT, "--crl", "ca.crl"), 1, "REVOKED"),
        (("--trust", "alice.root", *AT, "--revocation", "hard-fail"), 3, "REVOCATION_UNKNOWN"),
    ],
)
def test_exit_status_and_problem(smime, signed, arguments, status, problem):
    found_status, found = report(smime, signed, *arguments)
    assert found_status == status
    assert problem in found["layers"][0]["signatures"][0]["problems"]


def test_soft_fail_tolerates_what_cannot_be_checked(smime, signed):
    status, found = report(smime, signed, "--trust", "alice.root", *AT, "--crl", "good.crl")
    assert (status, found["verdict"]) == (0, "VALID")


def test_somebody_elses_signature(smime):
    smime("sign", "message.eml", "--key", "mallory.pem", *AT, "-o", "mallory.eml")
    status, found = report(smime, "mallory.eml", "--trust", "alice.root", *AT)
    assert (status, found["verdict"], found["sender_bound"]) == (1, "INVALID", False)
    assert found["layers"][0]["signatures"][0]["problems"] == ["SENDER_MISMATCH"]
    status, found = report(smime, "mallory.eml", "--trust", "alice.root", *AT, "--forgive", "sender_mismatch")
    assert (status, found["verdict"]) == (0, "VALID")
    assert found["layers"][0]["signatures"][0]["forgiven"] == ["SENDER_MISMATCH"]


def test_a_tampered_message(smime, folder, signed):
    (folder / "tampered.eml").write_bytes((folder / signed).read_bytes().replace(b"Hello Bob", b"Hello Eve"))
    status, found = report(smime, "tampered.eml", "--trust", "alice.root", *AT)
    assert (status, found["verdict"]) == (1, "INVALID")
    assert "DIGEST_MISMATCH" in found["layers"][0]["signatures"][0]["problems"]


def test_plain_mail_has_no_verdict_and_status_0(smime):
    status, found = report(smime, "message.eml")
    assert (status, found["verdict"], found["layers"]) == (0, None, [])


def test_the_content_is_handed_out_while_the_report_steps_aside(smime, signed):
    status, out, err = smime("open", signed, "--trust", "alice.root", *AT, "-o", "-")
    assert status == 0
    assert out.endswith(b"\r\n\r\nHello Bob.\r\n")
    assert b"VALID" in err


def test_malformed_input_is_one_line_and_status_4(smime, folder):
    (folder / "broken.der").write_bytes(b"\x30\x82\x01")
    status, _, err = smime("open", "broken.der")
    assert status == 4
    assert err.startswith(b"smime: malformed input")
    assert err.count(b"\n") == 1


def test_a_missing_file_is_one_line_and_status_2(smime):
    status, _, err = smime("open", "nowhere.eml")
    assert status == 2
    assert b"nowhere.eml" in err


def test_a_time_without_a_zone_is_a_usage_error(smime, signed):
    status, _, err = smime("open", signed, "--at", "2026-06-01T00:00:00")
    assert status == 2
    assert b"time zone" in err


class TestEncrypt:
    def test_each_recipient_opens_it(self, smime):
        status, _, _ = smime("encrypt", "message.eml", "--to", "bob.crt", "--to", "carol.crt", *AT, "-o", "sealed.eml")
        assert status == 0
        for who, kind in (("bob", "key-transport"), ("carol", "key-agreement")):
            status, found = report(smime, "sealed.eml", "--key", f"{who}.pem")
            assert (status, found["verdict"]) == (0, None)
            (layer,) = found["layers"]
            assert (layer["kind"], layer["content_type"]) == ("encrypted", "enveloped-data")
            assert (layer["cipher"], layer["integrity"]) == ("aes256-cbc", False)
            assert layer["opened_with"]["kind"] == kind
            assert {entry["kind"] for entry in layer["recipients"]} == {"key-transport", "key-agreement"}

    def test_nobody_elses_key_fits(self, smime):
        smime("encrypt", "message.eml", "--to", "bob.crt", *AT, "-o", "sealed.eml")
        status, out, err = smime("open", "sealed.eml", "--key", "carol.pem")
        assert (status, out) == (5, b"")
        assert err.count(b"\n") == 1

    def test_a_password_and_aead(self, smime):
        options = ("--message-password-file", "password", "--cipher", "aes256-gcm")
        assert smime("encrypt", "message.eml", *options, "-o", "sealed.eml")[0] == 0
        status, found = report(smime, "sealed.eml", "--message-password-file", "password")
        assert status == 0
        assert found["layers"][0]["integrity"] is True
        assert found["layers"][0]["content_type"] == "auth-enveloped-data"

    @pytest.mark.parametrize(("who", "reason"), [("dora", b"expired"), ("alice", b"key usage")])
    def test_an_unfit_certificate_stops_everything(self, smime, folder, who, reason):
        output = folder / f"never-{who}.eml"
        arguments = ("--to", "bob.crt", "--to", f"{who}.crt", *AT, "-o", output.name)
        status, _, err = smime("encrypt", "message.eml", *arguments)
        assert status == 2
        assert reason in err
        assert not output.exists()

    def test_trust_is_demanded_where_it_is_given(self, smime, folder):
        folder.joinpath("other.root").write_bytes(pki.authority("CLI Other Root").certificate_pem)
        assert smime("encrypt", "message.eml", "--to", "bob.crt", *AT, "--trust", "other.root")[0] == 2
        arguments = ("--to", "bob.crt", *AT, "--trust", "bob.root", "--cert", "bob.chain")
        assert smime("encrypt", "message.eml", *arguments)[0] == 0

    def test_the_choice_is_explained(self, smime):
        status, _, err = smime("encrypt", "message.eml", "--to", "bob.crt", *AT, "--explain")
        assert status == 0
        assert b"aes256-cbc" in err


@pytest.mark.openssl
class TestWithOpenSsl:
    """The same files, through the other implementation's command."""

    @pytest.mark.parametrize("options", [(), ("--opaque",), ("--key-identifier",), ("--signing-certificate",)])
    def test_openssl_verifies_what_we_sign(self, smime, openssl, folder, options):
        smime("sign", "message.eml", "--key", "alice.pem", *options, "-o", "ours.eml")
        verified = openssl("cms", "-verify", "-in", folder / "ours.eml", "-CAfile", folder / "alice.root")
        assert verified.stdout.endswith(b"Hello Bob.\r\n")

    @pytest.mark.parametrize("options", [(), ("-nodetach",), ("-keyid",), ("-nodetach", "-stream")])
    def test_we_verify_what_openssl_signs(self, smime, openssl, folder, options):
        source = ("-in", folder / "message.eml", "-signer", folder / "alice.crt", "-inkey", folder / "alice.key")
        openssl("cms", "-sign", *source, *options, "-certfile", folder / "alice.chain", "-out", folder / "theirs.eml")
        status, found = report(smime, "theirs.eml", "--trust", "alice.root")
        assert (status, found["verdict"], found["sender_bound"]) == (0, "VALID", None)

    @pytest.mark.parametrize("form", ["der", "pem"])
    def test_bare_and_detached_cms(self, smime, openssl, folder, form):
        smime("sign", "message.eml", "--key", "alice.pem", "--form", form, "--detached", "-o", "sig")
        arguments = ("-inform", form.upper(), "-content", folder / "message.eml", "-CAfile", folder / "alice.root")
        openssl("cms", "-verify", "-binary", "-in", folder / "sig", *arguments)
        status, found = report(smime, "sig", "--content", "message.eml", "--trust", "alice.root")
        assert (status, found["verdict"]) == (0, "VALID")

    def test_encryption_both_ways(self, smime, openssl, folder):
        smime("encrypt", "message.eml", "--to", "bob.crt", *AT, "-o", "ours.enc")
        keys = ("-inkey", folder / "bob.key", "-recip", folder / "bob.crt")
        assert openssl("cms", "-decrypt", "-in", folder / "ours.enc", *keys).stdout.endswith(b"Hello Bob.\r\n")
        arguments = ("-aes-256-cbc", "-in", folder / "message.eml", "-out", folder / "theirs.enc", folder / "bob.crt")
        openssl("cms", "-encrypt", *arguments)
        status, out, _ = smime("open", "theirs.enc", "--key", "bob.pem", "-o", "-")
        assert status == 0
        assert out.endswith(b"Hello Bob.\r\n")


def test_the_tenant_says_what_is_shown_of_a_signer_who_is_not_the_sender(smime, tmp_path):
    tenant = tmp_path / "acme"
    assert smime("tenant", "collection", "import", "--tenant", tenant, "mallory.root")[0] == 0
    setting = ("--owa-sender-certificate-attributes-to-display", "2.5.4.3,2.5.29.17")
    assert smime("tenant", "smime-config", "set", "--tenant", tenant, *setting)[0] == 0
    smime("sign", "message.eml", "--key", "mallory.pem", *AT, "-o", tmp_path / "forged.eml")
    status, found = report(smime, tmp_path / "forged.eml", "--collection", tenant, *AT)
    assert status == 1
    assert list(found["sender_attributes"].values()) == [["CLI Mallory"], ["mallory@example.org"]]
    _, out, _ = smime("open", tmp_path / "forged.eml", "--collection", tenant, *AT)
    assert b"the signer's id-at-commonName: CLI Mallory" in out, out
