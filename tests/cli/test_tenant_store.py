"""`smime tenant` on a store: tenants, users, keys, the master key; being killed while it is rotated."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from datetime import timedelta
from email.message import EmailMessage
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from smime_engine.cli.path import command as path_command
from smime_engine.cli.tenant import command
from smime_engine.errors import ConfigurationError, InvalidKey, MalformedMessage
from smime_engine.sources.master_key import MasterKeys, keys_in_file
from smime_engine.sources.store import KeyOpener, open_store
from smime_engine.trust.sst import encode_sst
from tests import pki
from tests.surroundings import REPOSITORY

AT = "2026-06-01T12:00:00Z"
ROOT = pki.authority("Store CLI Root")
CA = ROOT.subordinate("Store CLI CA")
ALICE = "alice@example.org"


def run(*arguments: object, status: int = 0, **options) -> Result:
    result = CliRunner().invoke(command, [str(each) for each in arguments], catch_exceptions=True, **options)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == status, result.output
    return result


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    url = f"sqlite:///{tmp_path / 'store.sqlite'}"
    key = tmp_path / "master.key"
    monkeypatch.setenv("SMIME_STORE", url)
    monkeypatch.setenv("SMIME_TENANT", "example")
    monkeypatch.setenv("SMIME_MASTER_KEY_AT", f"file:{key}")
    run("new-master-key", f"file:{key}")
    run("init", "example", "--domain", "example.org", "--display-name", "Example AG")
    run("add-user", ALICE, "--proxy", "a@example.org", "--display-name", "Alice\x1b[2J")
    return url


def p12(tmp_path: Path, name: str, **options) -> Path:
    file = tmp_path / f"{name}.p12"
    file.write_bytes(CA.issue(name, ALICE, **options).pkcs12(b"secret"))
    (tmp_path / "password").write_text("secret\n")
    return file


def rows(*arguments: object) -> list[dict]:
    return json.loads(run(*arguments, "--json").output)


def test_tenants_are_added_listed_and_removed(store: str) -> None:
    run("init", "second", "--domain", "example.net")
    assert rows("list") == [
        {"name": "example", "display_name": "Example AG", "domains": ["example.org"]},
        {"name": "second", "display_name": "", "domains": ["example.net"]},
    ]
    assert "example.net" in run("list").output
    with pytest.raises(ConfigurationError, match="taken"):
        run("init", "third", "--domain", "example.net")
    run("remove", "second", input="n\n", status=1)
    run("remove", "second", "--yes")
    assert len(rows("list")) == 1
    assert run("upgrade").output == "the store has revision 0001\n"


def test_without_a_store_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="smime tenant init"):
        run("list", "--store", tmp_path / "none")
    with pytest.raises(ConfigurationError, match="smime tenant init"):
        run("upgrade", "--store", tmp_path / "none")
    assert not (tmp_path / "none").exists()
    assert "--store" in run("list", status=2, env={"SMIME_STORE": None}).output


def test_settings_in_a_store_are_those_of_a_folder(store: str, tmp_path: Path) -> None:
    file = tmp_path / "trust.sst"
    file.write_bytes(encode_sst([ROOT.certificate_der, CA.certificate_der]))
    assert run("collection", "import", file, "--at", AT).output == "1 roots, 1 intermediates\n"
    run("smime-config", "set", "-OWAAlwaysSign", "$true")
    assert rows("smime-config", "get", "OWAAlwaysSign") == {"OWAAlwaysSign": True}
    root = tmp_path / "root.pem"
    root.write_bytes(ROOT.certificate_pem)
    run("collection", "pin", "example.org", root)
    assert len(rows("collection", "list")["certificates"]) == 2
    alice = tmp_path / "alice.pem"
    alice.write_bytes(CA.issue("Alice", ALICE).certificate_pem)
    checked = CliRunner().invoke(path_command, [str(alice), "--collection", "example", "--at", AT, "--no-revocation"])
    assert checked.exit_code == 0, checked.output
    run("watch", "--at", AT)


def test_a_folder_moves_into_a_store(store: str, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder_options = {"env": {"SMIME_STORE": None, "SMIME_TENANT": str(folder)}}
    file = tmp_path / "trust.sst"
    file.write_bytes(encode_sst([ROOT.certificate_der]))
    run("collection", "import", file, "--at", AT, **folder_options)
    root = tmp_path / "root.pem"
    root.write_bytes(ROOT.certificate_pem)
    run("collection", "distrust", root, **folder_options)
    run("smime-config", "set", "-OWAClearSign", "$false", **folder_options)
    run("init", "moved", "--from", folder)
    assert rows("smime-config", "get", "--tenant", "moved", "OWAClearSign") == {"OWAClearSign": False}
    listed = rows("collection", "list", "--tenant", "moved")
    assert (len(listed["certificates"]), len(listed["distrusted"])) == (1, 1)


def test_users(store: str, tmp_path: Path) -> None:
    (row,) = rows("users")
    assert (row["address"], row["proxies"], row["source"]) == (ALICE, ["a@example.org"], "local")
    assert rows("users", "A@example.org", "nobody@example.org") == [row]
    text = run("users").output
    assert "Alice\\x1b[2J" in text, "names cannot steer the terminal"
    certificate = tmp_path / "bob.pem"
    certificate.write_bytes(CA.issue("Bob", "bob@example.org").certificate_pem)
    run("add-user", "bob@example.org", "--cert", certificate)
    assert len(rows("users", "bob@example.org")[0]["certificates"]) == 1
    with pytest.raises(ConfigurationError, match="taken"):
        run("add-user", "BOB@example.org")
    run("remove-user", "bob@example.org", "--yes")
    assert rows("users", "bob@example.org") == []


def test_users_are_imported_from_lines(store: str, tmp_path: Path) -> None:
    file = tmp_path / "users.jsonl"
    lines = [
        {"address": "x1@example.org", "id": "1", "proxies": ["y1@example.org"], "userCertificate": ["MAA="]},
        {"address": "x2@example.org", "members": ["1"], "display_name": "Group"},
        {"address": "wrong", "id": "3"},
    ]
    file.write_text("\n".join(map(json.dumps, lines)) + "\n\n")
    result = run("import-users", file, "--source", "hr", status=1)
    assert result.stdout == "2 added, 0 changed, 0 unchanged, 0 removed, 1 refused\n"
    assert "3: the primary address" in result.stderr
    assert rows("users", "y1@example.org")[0]["certificates"] == [{"attribute": "userCertificate", "size": 2}]
    assert [row["address"] for row in rows("users", "--source", "hr")] == ["x1@example.org", "x2@example.org"]
    file.write_text(json.dumps({"address": "x9@example.org", "id": "1"}))
    assert "1 changed, 0 unchanged, 1 removed" in run("import-users", file, "--source", "hr", "--replace").output
    for wrong in (
        "{",
        "[]",
        '{"address": 1}',
        '{"address": "a@b", "color": 1}',
        '{"address":"a@b","userCertificate":["*"]}',
    ):
        file.write_text('{"address": "new@example.org"}\n' + wrong)
        with pytest.raises(MalformedMessage, match="line 2"):
            run("import-users", file)
    assert rows("users", "new@example.org") == [], "all or nothing"


def test_keys_are_imported_and_listed(store: str, tmp_path: Path) -> None:
    first = p12(tmp_path, "First", usage="sign")
    second = p12(tmp_path, "Second", usage="sign", not_before=pki.NOT_BEFORE + timedelta(days=9))
    password = ["--password-file", tmp_path / "password"]
    assert run("import-key", ALICE, first, second, *password).output == "2 imported, 0 known\n"
    assert run("import-key", ALICE, first, *password).output == "0 imported, 1 known\n"
    found = {row["subject"]: row for row in rows("keys", ALICE, "--at", AT)}
    assert (found["CN=First"]["signs"], found["CN=Second"]["signs"]) == (False, True)
    digest = found["CN=First"]["sha256"]
    assert "warning" in run("choose-key", ALICE, digest).stderr
    run("smime-config", "set", "-OWAAllowUserChoiceOfSigningCertificate", "$true")
    found = {row["subject"]: row for row in rows("keys", ALICE, "--at", AT)}
    assert (found["CN=First"]["signs"], found["CN=First"]["chosen"]) == (True, True)
    run("choose-key", ALICE, "automatic")
    run("retire-key", ALICE, found["CN=Second"]["sha256"])
    text = run("keys", ALICE, "--at", AT).output
    assert "signs" in text.splitlines()[0]
    assert "CN=First" in text.splitlines()[0]
    assert "retired" in text
    run("retire-key", ALICE, found["CN=Second"]["sha256"], "--restore")
    assert "retired" not in run("keys", ALICE, "--at", AT).output
    (tmp_path / "password").write_text("wrong")
    with pytest.raises(InvalidKey, match=r"First\.p12"):
        run("import-key", ALICE, first, *password)
    assert "--token" in run("import-key", ALICE, status=2).output


def test_a_key_that_came_by_mail(store: str, tmp_path: Path) -> None:
    message = EmailMessage()
    message.set_content("Your key.")
    message.add_attachment(p12(tmp_path, "Mailed").read_bytes(), "application", "x-pkcs12", filename="key.p12")
    file = tmp_path / "message.eml"
    file.write_bytes(bytes(message))
    result = run("import-key", ALICE, file, "--password-file", tmp_path / "password")
    assert result.stdout == "1 imported, 0 known\n"
    other = run("import-key", "a@example.org", file, "--password-file", tmp_path / "password")
    assert "does not name a@example.org" in other.stderr
    file.write_bytes(b"Subject: nothing\r\n\r\nhere")
    with pytest.raises(InvalidKey):
        run("import-key", ALICE, file)


def test_the_master_key_is_needed_and_never_overwritten(store: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="never overwritten"):
        run("new-master-key", f"file:{tmp_path / 'master.key'}")
    with pytest.raises(ConfigurationError, match="written to file"):
        run("new-master-key", "env:X")
    file = p12(tmp_path, "First")
    password = ["--password-file", tmp_path / "password"]
    with pytest.raises(ConfigurationError, match="name the master key"):
        run("import-key", ALICE, file, *password, env={"SMIME_MASTER_KEY_AT": None})
    text = keys_in_file(tmp_path / "master.key")[0].text
    environment = {"SMIME_MASTER_KEY_AT": "env:OTHER", "OTHER": text}
    assert run("import-key", ALICE, file, *password, env=environment).output == "1 imported, 0 known\n"


def opens(store: str, path: Path) -> bool:
    with open_store(store) as opened:
        keys = opened.tenant("example").keys
        return len(keys.identities(ALICE, KeyOpener(master=MasterKeys(keys_in_file(path))))) == 2


def import_two(tmp_path: Path) -> None:
    files = [p12(tmp_path, name) for name in ("First", "Second")]
    run("import-key", ALICE, *files, "--password-file", tmp_path / "password")


def test_the_master_key_is_rotated_in_its_file(store: str, tmp_path: Path) -> None:
    import_two(tmp_path)
    path = tmp_path / "master.key"
    before = keys_in_file(path)
    assert "2 keys sealed" in run("rotate-master-key").output
    after = keys_in_file(path)
    assert [key.text for key in after[1:]] == [key.text for key in before]
    assert opens(store, path)
    assert "2 keys sealed" in run("rotate-master-key", "--forget").output
    assert len(keys_in_file(path)) == 1
    assert opens(store, path)
    run("new-master-key", f"file:{tmp_path / 'other'}")
    with pytest.raises(ConfigurationError, match="not in it"):
        run("rotate-master-key", "--master-key", f"file:{tmp_path / 'other'}")
    assert "2 keys sealed" in run("rotate-master-key", "--to", f"file:{tmp_path / 'other'}").output
    assert opens(store, tmp_path / "other")
    run("rotate-master-key", "--to", f"file:{path}", "--forget", status=2)
    run("rotate-master-key", "--master-key", "file:a", "--master-key", "file:b", status=2)
    actions = [event["action"] for event in rows("audit", "--limit", "2")]
    assert actions == ["master_key.rotated"] * 2
    assert "master_key.rotated" in run("audit").output
    assert rows("audit", "--tenant", "example")[-1]["action"] == "tenant.added"


_SLOW = """
import sys, time
from smime_engine.sources.store import rotation
from smime_engine.cli.tenant import command
import smime_engine.sources.master_key as master_key
real = master_key.write_key_file
def slow_write(*arguments, **options):
    real(*arguments, **options)
    print("written", flush=True)
    time.sleep(float(sys.argv[1]))
master_key.write_key_file = slow_write
seal = rotation._seal_anew
def slow_seal(*arguments):
    done = seal(*arguments)
    print("sealed", flush=True)
    time.sleep(float(sys.argv[2]))
    return done
rotation._seal_anew = slow_seal
command(["rotate-master-key", "--forget"])
"""


@pytest.mark.parametrize("delays", [("60", "0"), ("0", "60")])
def test_a_killed_rotation_can_be_repeated(store: str, tmp_path: Path, delays: tuple[str, str]) -> None:
    import_two(tmp_path)
    path = tmp_path / "master.key"
    expected = ["written"] if delays[0] != "0" else ["written", "sealed"]
    victim = subprocess.Popen([sys.executable, "-c", _SLOW, *delays], stdout=subprocess.PIPE, text=True, cwd=REPOSITORY)
    try:
        assert [victim.stdout.readline().strip() for _ in expected] == expected
    finally:
        victim.send_signal(signal.SIGKILL)
        victim.communicate()
    assert opens(store, path), "the file has the key, whichever it is"
    assert "2 keys sealed" in run("rotate-master-key", "--forget").output
    assert len(keys_in_file(path)) == 1
    assert opens(store, path)


def test_a_long_import_shows_a_bar_on_a_terminal(store: str, tmp_path: Path) -> None:
    file = tmp_path / "users.jsonl"
    file.write_text("".join(f'{{"address": "u{number}@example.org"}}\n' for number in range(3_000)))
    parent, child = pty.openpty()
    smime = Path(sys.executable).parent / "smime"
    done = subprocess.Popen([smime, "tenant", "import-users", file], stdout=subprocess.PIPE, stderr=child)
    os.close(child)
    shown = b""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            data = os.read(parent, 65_536)
        except OSError:  # Linux says so at the end of a terminal
            break
        if not data:
            break
        shown += data
    os.close(parent)
    assert b"3000 added" in done.communicate()[0]
    assert done.returncode == 0
    assert b"importing" in shown
    assert b"3000/3000" in shown


@pytest.mark.pkcs11
def test_keys_and_master_keys_in_a_token(store: str, tmp_path: Path) -> None:
    """In processes of their own: SoftHSM can be loaded with one configuration alone."""
    script = Path(__file__).with_name("token_commands.py")
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "TOKEN_FOLDER": str(tmp_path)}
    done = subprocess.run([sys.executable, script], env=environment, cwd=REPOSITORY, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
