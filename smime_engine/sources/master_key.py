"""Master keys: what the store's private keys are sealed under.

A master key comes from a file that only its owner may read, from an environment variable, or stays in a PKCS #11 token:

    file:/etc/smime/master.key     one key a line, base64 of 32 octets; the first is current, the others are former ones
    env:SMIME_MASTER_KEY           the same, separated by white space
    pkcs11:token=…;object=…        a 256-bit AES key that never leaves the token (`pkcs11_master_key`)

Does: read keys, seal under the current one, open with the one that a seal names; write key files so that at no moment
a key is missing from the disk that something is sealed under. Does not: know what is sealed.

A seal is a version, the key's identifier and what the key made of it; a token's key and one in memory make the same
AES-256-GCM.
"""

from __future__ import annotations

import base64
import binascii
import os
import stat
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from secrets import token_bytes
from typing import Protocol

from smime_engine.crypto.sealing import KEY_SIZE, key_identifier, open_secret, seal_secret
from smime_engine.errors import ConfigurationError, InvalidKey

__all__ = ["MasterKey", "MasterKeys", "PlainMasterKey", "keys_in_file", "new_key_text", "read_keys", "write_key_file"]

_VERSION = b"\x01"
_LARGEST_FILE = 65_536


class MasterKey(Protocol):
    """A key that seals. Implementations are usable from several threads."""

    @property
    def identifier(self) -> str:
        """A name that says nothing about the key."""

    def seal(self, secret: bytes, associated: bytes) -> bytes:
        """Seal -> nonce, ciphertext, tag."""

    def open(self, sealed: bytes, associated: bytes) -> bytes:
        """Undo `seal`. Raises InvalidKey."""


class PlainMasterKey:
    """A master key in this process's memory."""

    __slots__ = ("_key", "identifier")

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_SIZE:
            raise ConfigurationError(f"a master key has {KEY_SIZE} octets, not {len(key)}")
        self._key = key
        self.identifier = key_identifier(key)

    def seal(self, secret: bytes, associated: bytes) -> bytes:
        """Seal under AES-256-GCM."""
        return seal_secret(self._key, secret, associated)

    def open(self, sealed: bytes, associated: bytes) -> bytes:
        """Undo `seal`. Raises InvalidKey."""
        return open_secret(self._key, sealed, associated)

    @property
    def text(self) -> str:
        """How a key file writes it."""
        return base64.b64encode(self._key).decode()

    def __repr__(self) -> str:
        return f"<PlainMasterKey {self.identifier}>"


class MasterKeys:
    """The current master key, which seals, and former ones, which still open."""

    def __init__(self, keys: Iterable[MasterKey]) -> None:
        self._keys = {key.identifier: key for key in keys}
        if not self._keys:
            raise ConfigurationError("there is no master key: `smime tenant new-master-key` makes one")
        self.current = next(iter(self._keys.values()))

    @property
    def identifiers(self) -> tuple[str, ...]:
        """Of all keys, the current one's first."""
        return tuple(self._keys)

    def seal(self, secret: bytes, associated: bytes) -> bytes:
        """Seal under the current key."""
        name = self.current.identifier.encode()
        return _VERSION + bytes((len(name),)) + name + self.current.seal(secret, associated)

    def open(self, sealed: bytes, associated: bytes) -> bytes:
        """Open a seal with the key that it names. Raises InvalidKey."""
        if len(sealed) < 2 or sealed[:1] != _VERSION:
            raise InvalidKey("a sealed key has a form that this program does not know")
        end = 2 + sealed[1]
        name = sealed[2:end].decode("ascii", "replace")
        key = self._keys.get(name)
        if key is None:
            raise InvalidKey(f"a key is sealed under the master key {name!r}, which is not among those given")
        return key.open(sealed[end:], associated)


def read_keys(specification: str, environment: Mapping[str, str]) -> tuple[PlainMasterKey, ...]:
    """The keys that `file:PATH` or `env:NAME` names, the current one first. Raises ConfigurationError.

    The text of an error never holds any of the key.
    """
    kind, _, name = specification.partition(":")
    if kind == "file":
        return keys_in_file(Path(name))
    if kind == "env":
        text = environment.get(name)
        if text is None:
            raise ConfigurationError(f"there is no environment variable {name} with a master key")
        return _keys(text.split(), f"the environment variable {name}")
    raise ConfigurationError(f"a master key comes from file:PATH, env:NAME or pkcs11:…, not {kind + ':'!r}")


def keys_in_file(path: Path) -> tuple[PlainMasterKey, ...]:
    """The keys of a file, which must not be readable by anybody but its owner. Raises ConfigurationError, OSError."""
    with path.open("rb") as file:
        state = os.fstat(file.fileno())
        if not stat.S_ISREG(state.st_mode):
            raise ConfigurationError(f"{path}: a master key must be in an ordinary file")
        if stat.S_IMODE(state.st_mode) & 0o077:
            raise ConfigurationError(
                f"{path}: others may read this master key; `chmod 600 {path}`, then make a new key"
            )
        if state.st_uid not in {0, os.geteuid()}:
            raise ConfigurationError(f"{path}: this master key belongs to another user")
        data = file.read(_LARGEST_FILE)
    lines = (line.strip() for line in data.decode("ascii", "replace").splitlines())
    return _keys([line for line in lines if line and not line.startswith("#")], str(path))


def new_key_text() -> str:
    """A new master key as a key file writes it."""
    return PlainMasterKey(token_bytes(KEY_SIZE)).text


def write_key_file(path: Path, keys: Iterable[str], *, replaces: bool = False) -> None:
    """Write a key file of mode 0600, whole or not at all, and on the disk when this returns.

    Without `replaces`, a file that is there is never touched: ConfigurationError.
    """
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write("# master keys of smime: the first is current, the others open what is sealed under them\n")
            file.writelines(f"{key}\n" for key in keys)
            file.flush()
            os.fsync(file.fileno())
        if replaces:
            Path(temporary).replace(path)
        else:
            _link(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _link(temporary: str, path: Path) -> None:
    try:
        os.link(temporary, path)
    except FileExistsError as error:
        raise ConfigurationError(f"{path} is there already; a master key is never overwritten") from error


def _keys(texts: Iterable[str], where: str) -> tuple[PlainMasterKey, ...]:
    found = []
    for text in texts:
        try:
            key = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if len(key) != KEY_SIZE:
            raise ConfigurationError(f"{where}: a master key is base64 of {KEY_SIZE} octets")
        found.append(PlainMasterKey(key))
    if not found:
        raise ConfigurationError(f"{where}: there is no master key in it")
    return tuple(found)
