"""`smime encrypt --bcc`: a folder of copies, who gets which, and what is refused."""

from __future__ import annotations

import json

import pytest

from smime_engine import load_identity, open_cms, open_message
from smime_engine.cli import copies, large_files, main
from smime_engine.errors import NoMatchingKey
from smime_engine.keys import KeyRing
from tests import pki

MESSAGE = (
    b"From: alice@example.org\r\nTo: bob@example.org\r\nBcc: carol@example.org\r\nSubject: hi\r\n\r\nHello Bob.\r\n"
)
PEOPLE = {"alice": "rsa2048", "bob": "rsa2048", "carol": "p256", "dave": "x25519"}


@pytest.fixture(scope="session")
def people():
    ca = pki.authority("Copies Root")
    return {
        name: ca.issue(f"Copies {name}", f"{name}@example.org", kind=kind, usage="encrypt")
        for name, kind in PEOPLE.items()
    }


@pytest.fixture
def folder(tmp_path, people, monkeypatch):
    for name, holder in people.items():
        holder.write(tmp_path, name)
    (tmp_path / "message.eml").write_bytes(MESSAGE)
    (tmp_path / "password").write_bytes(b"secret\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def encrypt(folder, capfdbinary):
    """Run `smime encrypt message.eml` -> (exit status, standard output, standard error)."""

    def run(*arguments):
        with pytest.raises(SystemExit) as stopped:
            main(["encrypt", "message.eml", "--at", pki.MOMENT.isoformat(), *arguments])
        output = capfdbinary.readouterr()
        return stopped.value.code or 0, output.out.decode(), output.err.decode()

    return run


def readers(path, people, opener=open_message):
    """Whose keys open a file, all with the same content."""
    able = set()
    for name, holder in people.items():
        try:
            opened = opener(path.read_bytes(), keys=KeyRing([load_identity(holder.pem())]), now=pki.MOMENT)
        except NoMatchingKey:
            continue
        assert opened.content.endswith(b"Hello Bob.\r\n")
        able.add(name)
    return able


BLIND = ("--to", "bob.crt", "--bcc", "carol.crt", "--bcc", "dave.crt", "--to-self", "alice.crt")


@pytest.mark.parametrize(
    ("forking", "expected"),
    [
        ("0", {"to.eml": {"bob"}, "bcc-1.eml": {"carol"}, "bcc-2.eml": {"dave"}}),
        ("1", {"to.eml": {"bob"}, "bcc-1.eml": {"carol", "dave"}}),
        ("2", {"to.eml": {"bob", "carol", "dave"}}),
    ],
)
def test_forking(encrypt, folder, people, forking, expected):
    status, out, err = encrypt(*BLIND, "--bcc-forking", forking, "--output-folder", "out")
    assert status == 0
    told = {line.split("\t")[0]: set(line.split("\t")[1:]) for line in out.splitlines()}
    assert told == {f"out/{name}": {f"{who}@example.org" for who in group} for name, group in expected.items()}
    assert {path.name for path in (folder / "out").iterdir()} == set(expected)
    for name, group in expected.items():
        assert readers(folder / "out" / name, people) == group | {"alice"}
        assert b"Bcc:" not in (folder / "out" / name).read_bytes()
    if forking == "0":
        assert err == ""
    else:
        assert "can find in it: carol@example.org, dave@example.org" in err


def test_json(encrypt):
    status, out, _ = encrypt(*BLIND, "--output-folder", "out", "--bcc-forking", "1", "--json")
    assert status == 0
    both = ["carol@example.org", "dave@example.org"]
    assert json.loads(out) == {
        "copies": [
            {"file": "out/to.eml", "recipients": ["bob@example.org"], "hidden": False, "exposed": []},
            {"file": "out/bcc-1.eml", "recipients": both, "hidden": True, "exposed": both},
        ]
    }


def test_bare_cms(encrypt, folder, people):
    status, _, _ = encrypt(*BLIND, "--output-folder", "out", "--form", "der")
    assert status == 0
    assert readers(folder / "out" / "bcc-2.p7m", people, open_cms) == {"alice", "dave"}


def test_one_copy_needs_no_folder(encrypt, folder, people):
    status, out, err = encrypt("--to", "bob.crt", "--to-self", "alice.crt", "-o", "one.eml")
    assert (status, out, err) == (0, "", "")
    assert readers(folder / "one.eml", people) == {"alice", "bob"}
    status, _, err = encrypt("--to", "bob.crt", "--bcc", "dave.crt", "--bcc-forking", "2", "-o", "two.eml")
    assert status == 0
    assert "dave@example.org" in err
    assert readers(folder / "two.eml", people) == {"bob", "dave"}


def test_large_files_go_the_same_way(encrypt, folder, people, monkeypatch):
    monkeypatch.setattr(large_files, "LARGE", 10)
    monkeypatch.setattr(copies, "read_file", None)
    status, _, _ = encrypt(*BLIND, "--output-folder", "out")
    assert status == 0
    for name, group in (("to.eml", {"bob"}), ("bcc-1.eml", {"carol"}), ("bcc-2.eml", {"dave"})):
        assert readers(folder / "out" / name, people) == group | {"alice"}
        assert b"Bcc:" not in (folder / "out" / name).read_bytes()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (BLIND, "3 copies: give --output-folder"),
        ((*BLIND, "-o", "one.eml"), "--output-folder"),
        ((*BLIND, "-o", "one.eml", "--output-folder", "out"), "--output-folder"),
        (("--to", "bob.crt", "--json"), "--json"),
        ((*BLIND, "--message-password-file", "password", "--output-folder", "out"), "password"),
        ((), "nobody to encrypt for"),
        ((*BLIND, "--output-folder", "."), "not empty"),
        ((*BLIND, "--output-folder", "message.eml"), "not empty"),
        ((*BLIND, "--bcc-forking", "3", "--output-folder", "out"), "bcc-forking"),
    ],
)
def test_usage(encrypt, folder, arguments, words):
    before = sorted(folder.iterdir())
    status, out, err = encrypt(*arguments)
    assert (status, out) == (2, "")
    assert words in err
    assert sorted(folder.iterdir()) == before


def test_an_unfit_certificate_of_one_stops_all(encrypt, folder):
    pki.authority("Copies Root").issue("Eve", "eve@example.org", usage="sign").write(folder, "eve")
    before = sorted(folder.iterdir())
    status, _, err = encrypt(*BLIND, "--bcc", "eve.crt", "--output-folder", "out")
    assert (status, "key usage" in err) == (2, True)
    assert sorted(folder.iterdir()) == before


def test_a_failure_leaves_no_folder(encrypt, folder, monkeypatch):
    def full(name, data):
        raise OSError(28, "No space left on device", name)

    monkeypatch.setattr(copies, "write_file", full)
    before = sorted(folder.iterdir())
    assert encrypt(*BLIND, "--output-folder", "out")[0] == 2
    assert sorted(folder.iterdir()) == before


def test_a_certificate_without_addresses_is_called_by_its_name(encrypt, folder):
    pki.authority("Copies Root").issue("Robot \x1b[2J", usage="encrypt", kind="rsa2048").write(folder, "robot")
    status, out, _ = encrypt("--to", "robot.crt", "--output-folder", "out")
    assert status == 0
    assert "Robot" in out
    assert "\x1b" not in out


def test_the_password_goes_with_the_visible_copy(encrypt, folder, people):
    from smime_engine import DecryptionKeys

    options = ("--message-password-file", "password", "--to-self", "alice.crt", "-o", "one.eml")
    assert encrypt(*options)[0] == 0
    assert readers(folder / "one.eml", people) == {"alice"}
    opened = open_message(
        (folder / "one.eml").read_bytes(), keys=DecryptionKeys(passwords=(b"secret",)), now=pki.MOMENT
    )
    assert opened.content.endswith(b"Hello Bob.\r\n")
