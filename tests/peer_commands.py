"""Other people's S/MIME commands, each callable from a test with bytes in and bytes out.

A call returns the finished process; a non-zero exit status fails the test with what the command said, unless
`check=False`. Every command has 60 seconds and an environment without the user's own settings.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

import pytest

from tests.pki import Credential
from tests.surroundings import command

_SECONDS = 60


def run(
    name: str,
    *arguments: str | os.PathLike[str],
    stdin: bytes = b"",
    environment: dict[str, str] | None = None,
    check: bool = True,
) -> subprocess.CompletedProcess[bytes]:
    """Run a command found by `surroundings.command`; `stdin` is its standard input."""
    path = command(name)
    assert path is not None, f"{name} is not installed; mark the test or use the fixture"
    settings = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8", **(environment or {})}
    done = subprocess.run(
        [path, *arguments], input=stdin, capture_output=True, env=settings, timeout=_SECONDS, check=False
    )
    if check and done.returncode != 0:
        said = (done.stderr or done.stdout).decode("utf-8", "replace")
        pytest.fail(f"{name} {' '.join(map(str, arguments))} → exit {done.returncode}\n{said}", pytrace=False)
    return done


class OpenSsl:
    """`openssl("cms", "-verify", "-in", path)`."""

    def __call__(
        self,
        *arguments: str | os.PathLike[str],
        stdin: bytes = b"",
        check: bool = True,
    ) -> subprocess.CompletedProcess[bytes]:
        return run("openssl", *arguments, stdin=stdin, check=check)

    @property
    def version(self) -> tuple[int, ...]:
        """(3, 0, 15) and so on: what it can sign with depends on it."""
        return tuple(int(number) for number in run("openssl", "version").stdout.split()[1].split(b"."))


class Gpgsm:
    """`gpgsm("--verify", path)`. Keys are kept under the passphrase that every call gives on standard input.

    Data goes through files: standard input is taken. `trust` makes a root trusted, `import_key_of` and
    `import_certificate` fill the key box.
    """

    PASSPHRASE = b"smime"

    def __init__(self, home: Path) -> None:
        self.home = home
        home.chmod(0o700)
        (home / "gpgsm.conf").write_text("disable-dirmngr\ndisable-crl-checks\ndisable-policy-checks\n")
        (home / "gpg-agent.conf").write_text("allow-loopback-pinentry\n")
        self._environment = {"GNUPGHOME": str(home)}

    def __call__(self, *arguments: str | os.PathLike[str], check: bool = True) -> subprocess.CompletedProcess[bytes]:
        options = ("--batch", "--yes", "--pinentry-mode", "loopback", "--passphrase-fd", "0", "--status-fd", "2")
        return run(
            "gpgsm", *options, *arguments, stdin=self.PASSPHRASE + b"\n", environment=self._environment, check=check
        )

    def trust(self, root_der: bytes) -> None:
        """Import a root certificate and list it as trusted (`relax`: without demands on its extensions)."""
        self.import_certificate(root_der)
        with (self.home / "trustlist.txt").open("a") as listing:
            listing.write(f"{hashlib.sha1(root_der).hexdigest().upper()} S relax\n")
        run("gpgconf", "--reload", "gpg-agent", environment=self._environment, check=False)

    def import_certificate(self, der: bytes) -> None:
        """Import one certificate."""
        self("--import", self._file(der, "crt"))

    def import_key_of(self, holder: Credential) -> None:
        """Import key and certificate of somebody from a PKCS#12 file.

        QUIRK: gpgsm 2.2 takes an ASN.1 error behind the right password for a wrong one, and fails on about one file in
        some hundreds, whatever the key: another salt makes another file.
        """
        for _ in range(3):
            file = self._file(holder.pkcs12(self.PASSPHRASE, old=True), "p12")
            if self("--import", file, check=False).returncode == 0:
                return
        self("--import", file)

    def stop_agent(self) -> None:
        """End the gpg-agent that the commands started."""
        run("gpgconf", "--kill", "all", environment=self._environment, check=False)

    def _file(self, data: bytes, suffix: str) -> Path:
        path = self.home / f"{hashlib.sha256(data).hexdigest()[:16]}.{suffix}"
        path.write_bytes(data)
        return path


class Nss:
    """`nss("cmsutil", "-D", "-i", path)`: any command of NSS on one database without a password.

    `cmsutil -S` wants a certificate that may sign and encrypt: it announces it as the encryption key preference.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self("certutil", "-N", "--empty-password")

    def __call__(
        self,
        name: str,
        *arguments: str | os.PathLike[str],
        stdin: bytes = b"",
        check: bool = True,
    ) -> subprocess.CompletedProcess[bytes]:
        return run(name, *arguments, "-d", f"sql:{self.folder}", stdin=stdin, check=check)

    def trust(self, root_der: bytes, nickname: str = "root") -> None:
        """Import a root certificate, trusted for e-mail."""
        self("certutil", "-A", "-n", nickname, "-t", ",C,", stdin=root_der)

    def import_certificate(self, der: bytes, nickname: str) -> None:
        """Import one certificate without giving it trust."""
        self("certutil", "-A", "-n", nickname, "-t", ",,", stdin=der)

    def import_pkcs12(self, pkcs12: bytes, password: str) -> None:
        """Import key and certificate; the nickname is the PKCS#12 friendly name."""
        path = self.folder / f"{hashlib.sha256(pkcs12).hexdigest()[:16]}.p12"
        path.write_bytes(pkcs12)
        self("pk12util", "-i", path, "-W", password, "-K", "")
