"""A tenant in a folder: settings, collection, distrust and pin lists as plain files.

    smime-config.json   the settings, without the collection
    collection.sst      the collection, as SST
    distrusted.txt      SHA-256 fingerprints of certificates or keys, one a line
    pins.txt            a mail domain or address, then fingerprints, one pin a line
    users/, crls/       certificates of users and revocation lists that `smime tenant watch` looks at

Does: read and write them, each file whole or not at all. Does not: lock: two administrators at once overwrite each
other, file by file. A line that starts with `#` is a comment.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from smime_engine.certificate import Certificate
from smime_engine.certificate_bundle import certificates_from
from smime_engine.errors import ConfigurationError, MalformedMessage
from smime_engine.policy.smime_config import SmimeConfig, smime_config_from_json, smime_config_to_json
from smime_engine.trust.collection import Pin, TrustCollection
from smime_engine.trust.collection_files import collection_of
from smime_engine.trust.crl import RevocationList
from smime_engine.trust.evidence import Evidence, revocation_lists_from
from smime_engine.trust.sst import parse_sst

__all__ = ["TenantFolder", "fingerprint"]

_FINGERPRINT = 32  # octets of SHA-256


class TenantFolder:
    """The files of one tenant. A file that is missing is empty; only writing makes the folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    # --- settings

    def smime_config(self) -> SmimeConfig:
        """The settings, with the collection's file as SMIMECertificateIssuingCA. Raises ConfigurationError."""
        text = self._read("smime-config.json")
        config = SmimeConfig()
        if text:
            try:
                config, _ = smime_config_from_json(text)
            except ConfigurationError as error:
                raise ConfigurationError(f"{self.folder / 'smime-config.json'}: {error}") from error
        return replace(config, smime_certificate_issuing_ca=self._read("collection.sst") or None)

    def save_smime_config(self, config: SmimeConfig) -> None:
        """Write the settings; the collection is written by `save_collection`."""
        text = smime_config_to_json(replace(config, smime_certificate_issuing_ca=None))
        self._write("smime-config.json", text.encode() + b"\n")

    # --- trust

    def save_collection(self, sst: bytes) -> None:
        """Put another collection in the place of the one that is there."""
        self._write("collection.sst", sst)

    def certificates(self) -> tuple[Certificate, ...]:
        """The certificates of the collection, in their order. Raises ConfigurationError."""
        try:
            return tuple(Certificate.parse(der) for der in parse_sst(self._read("collection.sst")).certificates)
        except MalformedMessage as error:
            raise ConfigurationError(f"{self.folder / 'collection.sst'}: {error}") from error

    def collection_crls(self) -> tuple[bytes, ...]:
        """DER of the revocation lists that the collection's file holds."""
        try:
            return parse_sst(self._read("collection.sst")).crls
        except MalformedMessage as error:
            raise ConfigurationError(f"{self.folder / 'collection.sst'}: {error}") from error

    def trust_collection(self, *, fallback: Iterable[Certificate] = ()) -> TrustCollection:
        """What the tenant trusts; `fallback` are roots of the machine's store, behind the tenant's own."""
        return collection_of(self.certificates(), distrusted=self.distrusted(), pins=self.pins(), fallback=fallback)

    def distrusted(self) -> tuple[bytes, ...]:
        """Fingerprints on the distrust list."""
        return tuple(fingerprint(line, self.folder / "distrusted.txt") for line in self._lines("distrusted.txt"))

    def save_distrusted(self, fingerprints: Iterable[bytes]) -> None:
        """Write the distrust list."""
        lines = [found.hex() for found in dict.fromkeys(fingerprints)]
        self._write("distrusted.txt", _text("certificates or keys that are not trusted, by SHA-256", lines))

    def pins(self) -> tuple[Pin, ...]:
        """The pin list."""
        path = self.folder / "pins.txt"
        pins = []
        for line in self._lines("pins.txt"):
            name, *fingerprints = line.split()
            if not fingerprints:
                raise ConfigurationError(f"{path}: {name} needs at least one fingerprint")
            pins.append(Pin(name=name, fingerprints=frozenset(fingerprint(each, path) for each in fingerprints)))
        return tuple(pins)

    def save_pins(self, pins: Iterable[Pin]) -> None:
        """Write the pin list."""
        lines = [" ".join((pin.name, *sorted(each.hex() for each in pin.fingerprints))) for pin in pins]
        self._write("pins.txt", _text("domain or address, then SHA-256 of certificates or keys", lines))

    # --- what is watched

    def user_certificates(self) -> tuple[Certificate, ...]:
        """Certificates in the files of `users/`."""
        found: list[Certificate] = []
        for path in _files(self.folder / "users"):
            try:
                found += certificates_from(path.read_bytes())
            except MalformedMessage as error:
                raise ConfigurationError(f"{path}: {error}") from error
        return tuple(dict.fromkeys(found))

    def crls(self) -> tuple[RevocationList, ...]:
        """Revocation lists in the files of `crls/` and in the collection."""
        found = list(Evidence.read(crls=self.collection_crls()).crls)
        for path in _files(self.folder / "crls"):
            try:
                found += revocation_lists_from(path.read_bytes())
            except MalformedMessage as error:
                raise ConfigurationError(f"{path}: {error}") from error
        return tuple(dict.fromkeys(found))

    # --- files

    def _lines(self, name: str) -> Iterator[str]:
        for line in self._read(name).decode("utf-8", "replace").splitlines():
            text = line.strip()
            if text and not text.startswith("#"):
                yield text

    def _read(self, name: str) -> bytes:
        try:
            return (self.folder / name).read_bytes()
        except FileNotFoundError:
            return b""

    def _write(self, name: str, data: bytes) -> None:
        self.folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=self.folder, prefix=f".{name}-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            Path(temporary).replace(self.folder / name)
        except OSError:
            Path(temporary).unlink(missing_ok=True)
            raise


def fingerprint(text: str, source: object = "fingerprint") -> bytes:
    """Read a SHA-256 fingerprint: 64 hexadecimal digits, with or without colons. Raises ConfigurationError."""
    try:
        octets = bytes.fromhex(text.replace(":", ""))
    except ValueError:
        octets = b""
    if len(octets) != _FINGERPRINT:
        raise ConfigurationError(f"{source}: {text!r} is no SHA-256 fingerprint of 64 hexadecimal digits")
    return octets


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))


def _text(comment: str, lines: Iterable[str]) -> bytes:
    return "\n".join((f"# {comment}", *lines, "")).encode()
