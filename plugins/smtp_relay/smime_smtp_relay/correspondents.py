"""The certificates of those who get mail from here, from files.

Does: read a folder of certificates, and find for an address the newest one that may be used for encrypting to it now.
Does not: ask directories, check revocation, or write files.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from smime_engine import Certificate, Purpose, TrustCollection, Verdict, certificates_from, validate_path
from smime_engine.addresses import comparable_address
from smime_engine.errors import ConfigurationError, SmimeError
from smime_engine.policy.delivery_plan import Knowledge
from smime_smtp_relay.outbound_config import Recipients

__all__ = ["Correspondents", "load_correspondents", "read_certificates"]


class Correspondents:
    """Certificates by address. Immutable."""

    def __init__(self, certificates: Iterable[Certificate] = (), *, trust: TrustCollection | None = None) -> None:
        self._certificates = tuple(certificates)
        # Without roots the operator vouches for every file: each certificate is its own anchor.
        self.trust = TrustCollection(self._certificates) if trust is None else trust
        self._by_address: dict[str, list[Certificate]] = {}
        for certificate in sorted(self._certificates, key=lambda found: found.not_before, reverse=True):
            for address in certificate.addresses:
                comparable = comparable_address(address)
                if comparable is not None:
                    self._by_address.setdefault(comparable, []).append(certificate)

    async def look_up(self, address: str, *, now: datetime) -> tuple[Knowledge, Certificate | None]:
        """What is known about an address, with the certificate where it is USABLE."""
        certificate = self.find(address, now=now)
        return (Knowledge.MISSING, None) if certificate is None else (Knowledge.USABLE, certificate)

    def find(self, address: str, *, now: datetime) -> Certificate | None:
        """The newest certificate that names the address, may encrypt and is valid now."""
        for certificate in self._by_address.get(comparable_address(address) or "", ()):
            report = validate_path(
                certificate,
                collection=self.trust,
                now=now,
                pool=self._certificates,
                purpose=Purpose.ENCRYPT,
                address=address,
            )
            if report.verdict is Verdict.VALID:
                return certificate
        return None


def load_correspondents(recipients: Recipients) -> Correspondents:
    """Read what `[recipients]` names; ConfigurationError names the file that cannot be read."""
    trust = None if recipients.trust is None else TrustCollection(read_certificates(recipients.trust))
    return Correspondents(
        () if recipients.certificates is None else read_certificates(recipients.certificates), trust=trust
    )


def read_certificates(path: Path) -> tuple[Certificate, ...]:
    """All certificates of a file, or of the files in a folder (hidden ones left out)."""
    try:
        files = [path] if path.is_file() else sorted(file for file in path.iterdir() if file.name[0] != ".")
        return tuple(certificate for file in files for certificate in _certificates_of(file))
    except OSError as error:
        raise ConfigurationError(f"{error.filename or path}: {error.strerror}") from error


def _certificates_of(file: Path) -> tuple[Certificate, ...]:
    try:
        return certificates_from(file.read_bytes())
    except SmimeError as error:
        raise ConfigurationError(f"{file}: {error}") from error
