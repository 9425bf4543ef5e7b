"""The laboratory's certification authority and users: files that are made once and used again.

Does: keep `ca.pem`, `root.crt` and per user `NAME.p12` with `NAME.password` in one folder that only its owner may
read; makes what is missing, unreadable or about to expire. Does not: protect anything worth protecting: these keys
are for demonstrations.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TextIO

from smime_engine import Certificate, certificates_from, load_identity
from smime_engine.crypto.issuing import Issued, issue, load_issued, new_root
from smime_engine.errors import SmimeError

__all__ = ["LabAuthority", "LabUser", "open_private_log", "prepare_authority", "write_private"]

_ROOT_LIFE = timedelta(days=365)
_USER_LIFE = timedelta(days=90)
_TOO_OLD = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class LabUser:
    """One user with a key."""

    name: str
    address: str
    file: Path
    """PKCS#12 with key and certificate."""
    password_file: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class LabAuthority:
    """The root and everybody under it."""

    root: Certificate
    root_file: Path
    users: tuple[LabUser, ...]


def prepare_authority(folder: Path, addresses: Sequence[str], *, now: datetime) -> LabAuthority:
    """Read or make the root and a key for each address."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    root, is_new = _root(folder, now)
    users = tuple(_user(folder, root, address, now=now, anew=is_new) for address in addresses)
    (certificate,) = certificates_from(root.certificate_pem())
    return LabAuthority(root=certificate, root_file=folder / "root.crt", users=users)


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner may read, and not a moment anybody else."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)


def open_private_log(path: Path) -> TextIO:
    """Open a file for appending that only its owner may read."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "a", encoding="utf-8")


def _root(folder: Path, now: datetime) -> tuple[Issued, bool]:
    path = folder / "ca.pem"
    try:
        root = load_issued(path.read_bytes())
        if root.certificate.not_valid_after_utc - now > _USER_LIFE and (folder / "root.crt").exists():
            return root, False
    except (OSError, SmimeError):
        pass  # missing or damaged: a new one
    root = new_root("S/MIME Lab Root", not_before=now - timedelta(hours=1), not_after=now + _ROOT_LIFE)
    write_private(path, root.pem())
    write_private(folder / "root.crt", root.certificate_pem())
    return root, True


def _user(folder: Path, root: Issued, address: str, *, now: datetime, anew: bool) -> LabUser:
    name = address.partition("@")[0]
    user = LabUser(name=name, address=address, file=folder / f"{name}.p12", password_file=folder / f"{name}.password")
    if anew or not _is_usable(user, now):
        issued = issue(
            root,
            name.capitalize(),
            [address],
            not_before=now - timedelta(hours=1),
            not_after=now + _USER_LIFE,
        )
        password = secrets.token_urlsafe(12)
        write_private(user.password_file, f"{password}\n".encode())
        write_private(user.file, issued.pkcs12(password.encode(), name=name))
    return user


def _is_usable(user: LabUser, now: datetime) -> bool:
    try:
        identity = load_identity(user.file.read_bytes(), user.password_file.read_bytes().strip())
    except (OSError, SmimeError):
        return False
    return user.address in identity.certificate.addresses and identity.certificate.not_after - now > _TOO_OLD
