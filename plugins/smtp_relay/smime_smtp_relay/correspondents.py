"""The certificates of those who get mail from here, from files.

Does: read a folder of certificates, and find for an address the newest one that may be used for encrypting to it now.
keep those that were harvested from mail. Does not: ask directories or check revocation.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from smime_engine import Certificate, Purpose, TrustCollection, Verdict, certificates_from, validate_path
from smime_engine.addresses import comparable_address
from smime_engine.errors import ConfigurationError, SmimeError, SourceUnavailable
from smime_engine.policy.delivery_plan import Knowledge
from smime_smtp_relay.outbound_config import Recipients

__all__ = ["Correspondents", "load_correspondents", "read_certificates"]


class Correspondents:
    """Certificates by address."""

    def __init__(self, certificates: Iterable[Certificate] = (), *, trust: TrustCollection | None = None) -> None:
        certificates = tuple(certificates)
        # Without roots the operator vouches for every file: each certificate is its own anchor.
        self.trust = TrustCollection(certificates) if trust is None else trust
        self._known: dict[bytes, Certificate] = {}
        self._by_address: dict[str, tuple[Certificate, ...]] = {}
        self._add(certificates)

    def has(self, certificate: Certificate) -> bool:
        """Whether a certificate is there already."""
        return certificate.fingerprint_sha256 in self._known

    def keep(self, certificates: Iterable[Certificate], folder: Path) -> None:
        """Add certificates, and write each into a file of its own; SourceUnavailable where that fails."""
        certificates = tuple(certificates)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for certificate in certificates:
                path = folder / f"{certificate.fingerprint_sha256.hex()}.cer"
                temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
                temporary.write_bytes(certificate.der)
                temporary.replace(path)
        except OSError as error:
            raise SourceUnavailable(f"{error.filename or folder}: {error.strerror}") from error
        self._add(certificates)

    def _add(self, certificates: Iterable[Certificate]) -> None:
        for certificate in certificates:
            self._known[certificate.fingerprint_sha256] = certificate
            for address in filter(None, map(comparable_address, certificate.addresses)):
                others = self._by_address.get(address, ())
                if certificate not in others:
                    newest_first = sorted((*others, certificate), key=lambda found: found.not_before, reverse=True)
                    self._by_address[address] = tuple(newest_first)

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
                pool=tuple(self._known.values()),
                purpose=Purpose.ENCRYPT,
                address=address,
            )
            if report.verdict is Verdict.VALID:
                return certificate
        return None


def load_correspondents(
    recipients: Recipients, *, harvested: Path | None = None, roots: TrustCollection | None = None
) -> Correspondents:
    """Read what `[recipients]` names, and what was harvested; ConfigurationError names the file that is wrong.

    `roots` are those that signatures are judged with: harvested certificates end there.
    """
    own = () if recipients.certificates is None else read_certificates(recipients.certificates)
    found = read_certificates(harvested) if harvested is not None and harvested.is_dir() else ()
    trusted = own if recipients.trust is None else read_certificates(recipients.trust)
    others = () if roots is None else roots.anchors
    intermediates = () if roots is None else roots.intermediates
    return Correspondents((*own, *found), trust=TrustCollection((*trusted, *others), intermediates))


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
