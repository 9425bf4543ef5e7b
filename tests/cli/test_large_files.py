"""`smime sign`, `encrypt` and `open` on files above the streaming threshold, which the tests lower."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from smime_engine.cli import large_files, main
from tests import pki

LINE = b"0123456789" * 7 + b"\r\n"
MESSAGE = b"From: alice@example.org\r\nSubject: large\r\nContent-Type: text/plain\r\n\r\n" + LINE * 3_000
AT = ("--at", pki.MOMENT.isoformat())


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(large_files, "LARGE", 10_000)
    ca = pki.authority("Large Root").subordinate("Large CA")
    ca.issue("Large Alice", "alice@example.org", kind="p256", usage="sign").write(tmp_path, "alice")
    ca.issue("Large Bob", "bob@example.org", kind="rsa2048", usage="encrypt").write(tmp_path, "bob")
    (tmp_path / "message.eml").write_bytes(MESSAGE)
    return tmp_path


def smime(*arguments):
    with pytest.raises(SystemExit) as stopped:
        main(list(arguments))
    return stopped.value.code or 0


@pytest.mark.parametrize("sign_options", [(), ("--opaque",)])
@pytest.mark.parametrize("cipher", ["aes256-cbc", "aes256-gcm", "aes128-ccm"])
def test_sign_encrypt_open(place, capfd, sign_options, cipher):
    assert smime("sign", "message.eml", "--key", "alice.pem", *sign_options, *AT, "-o", "signed.eml") == 0
    assert smime("encrypt", "signed.eml", "--to", "bob.crt", "--cipher", cipher, *AT, "-o", "sealed.eml") == 0
    status = smime("open", "sealed.eml", "--key", "bob.pem", "--trust", "alice.root", *AT, "--json", "-o", "out")
    if cipher == "aes128-ccm":  # its tag cannot be checked in pieces
        assert status == 3
        assert not (place / "out").exists()
        return
    report = json.loads(capfd.readouterr().out)
    assert (status, report["verdict"], report["sender_bound"]) == (0, "VALID", True)
    assert (place / "out").read_bytes().endswith(LINE * 3_000)


def test_a_changed_octet_leaves_no_output(place, capfd):
    smime("encrypt", "message.eml", "--to", "bob.crt", "--cipher", "aes256-gcm", "--form", "der", *AT, "-o", "sealed")
    sealed = bytearray((place / "sealed").read_bytes())
    sealed[len(sealed) // 2] ^= 1
    (place / "sealed").write_bytes(sealed)
    assert smime("open", "sealed", "--key", "bob.pem", "-o", "out") == 1
    assert not (place / "out").exists()
    assert sorted(path.name for path in place.iterdir() if "out" in path.name) == []


@pytest.mark.openssl
def test_openssl_reads_what_was_streamed(place, openssl):
    smime("sign", "message.eml", "--key", "alice.pem", "-o", "signed.eml")
    verified = openssl("cms", "-verify", "-in", place / "signed.eml", "-CAfile", place / "alice.root")
    assert verified.stdout.endswith(LINE * 3_000)
    smime("encrypt", "signed.eml", "--to", "bob.crt", "--form", "der", "-o", "sealed.der")
    keys = ("-inkey", place / "bob.key", "-recip", place / "bob.crt")
    opened = openssl("cms", "-decrypt", "-binary", "-inform", "DER", "-in", place / "sealed.der", *keys)
    assert opened.stdout == (place / "signed.eml").read_bytes()


_RUN_AND_TELL_MEMORY = """
import sys
from pathlib import Path
from smime_engine.cli import main
try:
    main()
finally:
    # Not ru_maxrss: it remembers the process that this one was forked from.
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    Path("peak").write_text(peak.split()[1])
"""


def test_memory_stays_below_64_mib_for_a_large_file(place):
    """The real command in a process of its own; 300 MiB show whether memory grows with the file."""
    with (place / "big").open("wb") as file:
        file.write(MESSAGE)
        for _ in range(300):
            file.write(LINE * (1024 * 1024 // len(LINE)))
    for arguments in (
        ("sign", "big", "--key", "alice.pem", "-o", "signed"),
        ("encrypt", "signed", "--to", "bob.crt", "--cipher", "aes256-gcm", "-o", "sealed"),
        ("open", "sealed", "--key", "bob.pem", "--trust", "alice.root", "-o", "out"),
    ):
        subprocess.run([sys.executable, "-c", _RUN_AND_TELL_MEMORY, *arguments], check=True, timeout=120)
        assert int((place / "peak").read_text()) < 64 * 1024  # KiB
