"""Files of certificates as a source: a folder that an administrator fills, or the store of a device.

Does: read PEM, DER and PKCS #7 files once, and find certificates by the addresses that they name. Does not: watch the
folder; whoever changes it makes a new source. A file that cannot be read is told and spoils no other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from smime_engine.addresses import comparable_address
from smime_engine.certificate import Certificate
from smime_engine.certificate_bundle import certificates_from
from smime_engine.directory.entries import Answer, DirectoryEntry, ListedCertificate, Origin
from smime_engine.errors import ConfigurationError, MalformedMessage

__all__ = ["CertificateFiles"]


class CertificateFiles:
    """Certificates by address. `origin` is PINNED for those that somebody has settled."""

    def __init__(self, name: str, paths: Iterable[Path], *, origin: Origin = Origin.FILE) -> None:
        self._name = name
        self.defects: list[str] = []
        """Files that were left out, and why."""
        self._entries: dict[str, list[DirectoryEntry]] = {}
        for path in _files(paths):
            self._read(path, origin)

    @property
    def name(self) -> str:
        """The name that its entries carry."""
        return self._name

    async def look_up(self, addresses: Sequence[str]) -> tuple[Answer, ...]:
        """An answer for each address, in their order."""
        return tuple(
            Answer(address=address, entries=tuple(self._entries.get(comparable_address(address) or "", ())))
            for address in addresses
        )

    async def look_up_members(self, members: Sequence[str]) -> Mapping[str, DirectoryEntry | None]:
        """Files hold no groups."""
        return dict.fromkeys(members)

    async def aclose(self) -> None:
        """Nothing to do."""

    def _read(self, path: Path, origin: Origin) -> None:
        try:
            certificates = certificates_from(path.read_bytes())
        except (MalformedMessage, OSError) as error:
            self.defects.append(f"{path}: {error}")
            return
        people = [found for found in certificates if not _is_authority(found)]
        pool = tuple(found for found in certificates if _is_authority(found))
        for certificate in people:
            listed = ListedCertificate(certificate=certificate, origin=origin)
            for address in certificate.addresses:
                entry = DirectoryEntry(
                    source=self._name, identifier=str(path), primary=address, certificates=(listed,), pool=pool
                )
                self._entries.setdefault(comparable_address(address) or "", []).append(entry)


def _is_authority(certificate: Certificate) -> bool:
    constraints = certificate.basic_constraints
    return constraints is not None and constraints.ca


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from sorted(file for file in path.iterdir() if file.is_file() and not file.name.startswith("."))
        elif path.is_file():
            yield path
        else:
            raise ConfigurationError(f"{path}: there is no such file or folder of certificates")
