"""The signing keys of the gateway, by address and domain.

Does: read PKCS#12 and PEM files, find the one for an
address (an address of its own before its domain) that is valid now. Does not: check certificate chains or revocation
(`smime relay check` tells what readers will complain about).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from smime_engine import CmsSigner, Identity, load_identity
from smime_engine.addresses import comparable_address, comparable_domain
from smime_engine.certificate import Certificate
from smime_engine.crypto.public_keys import KeyKind
from smime_engine.errors import ConfigurationError, InvalidKey, UnsupportedAlgorithm
from smime_smtp_relay.config import IdentityFile

__all__ = ["Identities", "SigningIdentity", "load_identities", "read_password"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningIdentity:
    """One key that signs, and whom it signs for."""

    name: str
    """The file it came from, for people."""
    identity: Identity
    digest: str
    """Empty for the one that suits the key."""
    addresses: tuple[str, ...]
    domains: tuple[str, ...]

    @property
    def certificate(self) -> Certificate:
        """The signer's certificate."""
        return self.identity.certificate

    @property
    def is_slow(self) -> bool:
        """Whether a signature takes longer than handing it to a thread: RSA's, 0.3 to 0.7 ms."""
        return self.certificate.public_key.kind is KeyKind.RSA

    def valid_at(self, now: datetime) -> bool:
        """Whether the certificate is in its period of validity."""
        return self.certificate.not_before <= now <= self.certificate.not_after


class Identities:
    """All signing identities, found by address."""

    def __init__(self, identities: Iterable[SigningIdentity]) -> None:
        self.all = tuple(identities)
        self._by_address = {comparable_address(a): identity for identity in self.all for a in identity.addresses}
        self._by_domain = {comparable_domain(d): identity for identity in self.all for d in identity.domains}

    def find(self, address: str, *, now: datetime) -> SigningIdentity | None:
        """The identity that signs for an address, None where there is none or its certificate is not valid now."""
        comparable = comparable_address(address)
        if comparable is None:
            return None
        found = self._by_address.get(comparable) or self._by_domain.get(comparable.rpartition("@")[2])
        return found if found is not None and found.valid_at(now) else None


def load_identities(files: Iterable[IdentityFile]) -> Identities:
    """Read all key files; ConfigurationError names the file that cannot be used and why."""
    return Identities(map(_loaded, files))


def read_password(path: Path) -> bytes:
    """The first line of a password file; ConfigurationError where it cannot be read."""
    try:
        return path.read_bytes().split(b"\n", 1)[0].rstrip(b"\r")
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from error


def _loaded(file: IdentityFile) -> SigningIdentity:
    for address in file.addresses:
        if comparable_address(address) is None:
            raise ConfigurationError(f"{file.file}: {address} is no e-mail address")
    for domain in file.domains:
        if comparable_domain(domain) is None:
            raise ConfigurationError(f"{file.file}: {domain} is no domain")
    password = None if file.password_file is None else read_password(file.password_file)
    try:
        identity = load_identity(file.file.read_bytes(), password)
        # Made again by `sealing` as the rules want it: what cannot sign is told at the start.
        CmsSigner(identity.key, identity.certificate, digest=file.digest or "")
    except OSError as error:
        raise ConfigurationError(f"{file.file}: {error.strerror}") from error
    except (InvalidKey, UnsupportedAlgorithm) as error:
        raise ConfigurationError(f"{file.file}: {error}") from error
    return SigningIdentity(
        name=file.file.name,
        identity=identity,
        digest=file.digest or "",
        addresses=file.addresses,
        domains=file.domains,
    )
