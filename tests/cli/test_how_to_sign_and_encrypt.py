"""The commands of docs/how-to/sign-and-encrypt.md run in their order, and say what stands there."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import pki
from tests.surroundings import REPOSITORY

PAGE = (REPOSITORY / "docs" / "how-to" / "sign-and-encrypt.md").read_text(encoding="utf-8")
STEPS = re.findall(r"^    smime (.*)$|^```text\n((?:.*\n)*?)```$", PAGE, re.MULTILINE)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The files that the page speaks of."""
    authority = pki.authority("Root")
    alice = authority.issue("Alice", "alice@example.org", kind="rsa2048", usage="sign")
    bob = authority.issue("Bob", "bob@example.net", kind="rsa2048", usage="encrypt")
    (tmp_path / "alice.p12").write_bytes(alice.pkcs12(b"secret"))
    (tmp_path / "password.txt").write_bytes(b"secret\n")
    (tmp_path / "bob.pem").write_bytes(bob.pem())
    (tmp_path / "bob.crt").write_bytes(bob.certificate_pem)
    (tmp_path / "bob-sign.pem").write_bytes(authority.issue("Bob", "bob@example.net", usage="sign").pem())
    (tmp_path / "root.pem").write_bytes(alice.root_pem)
    (tmp_path / "message.eml").write_bytes(
        b"From: alice@example.org\r\nTo: bob@example.net\r\nSubject: Quarterly figures\r\n\r\nHello!\r\n"
    )
    return tmp_path


def test_the_commands_of_the_page(folder: Path) -> None:
    smime = shutil.which("smime", path=Path(sys.executable).parent)
    assert smime is not None
    said = ""
    commands = 0
    for command, expected in STEPS:
        if command:
            done = subprocess.run(
                [smime, *shlex.split(command)], cwd=folder, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, (command, done.stdout, done.stderr)
            said, commands = done.stdout, commands + 1
        for line in expected.splitlines():
            assert line in said, said
    assert commands > 9
    assert (folder / "opened.txt").read_text().endswith("Hello!\n")
