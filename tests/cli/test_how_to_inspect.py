"""The examples of docs/how-to/inspect.md print what stands there, up to random octets and sizes of files."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.serialization import pkcs7

from tests import pki
from tests.surroundings import REPOSITORY

PAGE = (REPOSITORY / "docs" / "how-to" / "inspect.md").read_text(encoding="utf-8")
CONSOLE = re.findall(r"```console\n\$ (smime .*)\n((?:.*\n)*?)```", PAGE)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The files that the page speaks of."""
    alice = pki.authority("Example CA").issue(
        "Alice",
        "alice@example.org",
        kind="rsa2048",
        usage="sign",
        serial_number=0x1F3A,
        not_after=pki.NOT_BEFORE + timedelta(days=730),
    )
    builder = pkcs7.PKCS7SignatureBuilder().set_data(b"Hello, world!")
    builder = builder.add_signer(alice.certificate, alice.key, hashes.SHA256())
    options = [pkcs7.PKCS7Options.DetachedSignature, pkcs7.PKCS7Options.NoCapabilities, pkcs7.PKCS7Options.Text]
    (tmp_path / "signed.eml").write_bytes(builder.sign(serialization.Encoding.SMIME, options))
    (tmp_path / "alice.crt").write_bytes(alice.certificate_pem)
    key_usage, other_type = (b"\x55\x1d\x0f\x01\x01\xff\x04\x04" + tag for tag in (b"\x03", b"\x0c"))
    (tmp_path / "strange.crt").write_bytes(alice.certificate_der.replace(key_usage, other_type))
    return tmp_path


def said(arguments: list[str], folder: Path) -> str:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        arguments, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    return done.stdout.decode("utf-8")


def comparable(text: str) -> str:
    """Without what differs from run to run: random octets, sizes, the time of signing."""
    text = re.sub(r"[0-9a-f]{16,}", "HEX", text)
    text = re.sub(r"id-signingTime: \S+", "id-signingTime: TIME", text)
    return re.sub(r"[0-9,]+ bytes", "N bytes", text)


def test_the_page_has_examples():
    assert len(CONSOLE) == 3


@pytest.mark.parametrize(("line", "expected"), CONSOLE, ids=[line for line, _ in CONSOLE])
def test_a_command_prints_what_the_page_says(line: str, expected: str, folder: Path):
    assert comparable(said(shlex.split(line), folder)) == comparable(expected)


def test_the_script_prints_what_the_page_says(folder: Path):
    (script,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    (expected,) = re.findall(r"# prints: (.*)", script)
    assert said([sys.executable, "-c", script], folder) == expected + "\n"
