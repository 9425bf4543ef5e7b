"""The tenant's collection of certificates: trust anchors, intermediates, and what is known about their signatures.

Does: look certificates up by subject in constant time; hold the lists of what is distrusted and pinned; remember
time-independent results in bounded memory. Does not: read files (`collection_files.py`), judge (`path.py`) or fetch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Generic, TypeVar

from smime_engine.addresses import comparable_address
from smime_engine.certificate import Certificate
from smime_engine.names import ComparableName

__all__ = ["Memory", "Pin", "TrustCollection"]

_REMEMBERED_OCTETS = 16_384
"""Size up to which a parsed certificate is kept: with the number kept this bounds what hostile mail can fill."""

K = TypeVar("K")
V = TypeVar("V")


class Memory(Generic[K, V]):
    """A bounded dictionary that forgets what was not asked for lately.

    Two generations: when the young one is full it becomes the old one, and what is asked for moves back. Every step is
    one dictionary operation, so threads may share it without a lock; the worst that can happen is a thing forgotten.
    """

    __slots__ = ("_old", "_size", "_young")

    def __init__(self, size: int) -> None:
        self._size = size
        self._young: dict[K, V] = {}
        self._old: dict[K, V] = {}

    def recall(self, key: K) -> V | None:
        """What was kept under `key`, or None."""
        value = self._young.get(key)
        if value is None:
            value = self._old.get(key)
            if value is not None:
                self.keep(key, value)
        return value

    def keep(self, key: K, value: V) -> None:
        """Keep a value other than None; at most twice `size` values are held."""
        if len(self._young) >= self._size:
            self._old, self._young = self._young, {}
        self._young[key] = value

    def recall_or(self, key: K, compute: Callable[[], V]) -> V:
        """Recall, or compute and keep."""
        value = self.recall(key)
        if value is None:
            value = compute()
            self.keep(key, value)
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """For the addresses of one domain, or one address, only chains with one of some certificates are good."""

    name: str
    """A mail domain `example.org` (without its subdomains) or an address."""

    fingerprints: frozenset[bytes]
    """SHA-256 of certificates (DER) or of their keys (DER SubjectPublicKeyInfo), as in `Certificate`."""

    def covers(self, address: str) -> bool:
        """Whether the pin is about this address."""
        if "@" in self.name:
            return comparable_address(self.name) == comparable_address(address) is not None
        return address.rpartition("@")[2].lower() == self.name.lower()


class TrustCollection:
    """Anchors and intermediates of one tenant. Immutable but for its memory of results that never change.

    Whatever is given as an anchor is trusted, self-signed or not: giving it is the choice. `distrusted` are
    certificates, or SHA-256 fingerprints of certificates or of keys: no chain through one of them is valid.
    """

    def __init__(
        self,
        anchors: Iterable[Certificate] = (),
        intermediates: Iterable[Certificate] = (),
        *,
        distrusted: Iterable[Certificate | bytes] = (),
        pins: Iterable[Pin] = (),
    ) -> None:
        self.anchors: tuple[Certificate, ...] = tuple(dict.fromkeys(anchors))
        self.intermediates: tuple[Certificate, ...] = tuple(dict.fromkeys(intermediates))
        self.distrusted: frozenset[bytes] = frozenset(
            entry if isinstance(entry, bytes) else entry.fingerprint_sha256 for entry in distrusted
        )
        self.pins: tuple[Pin, ...] = tuple(pins)
        self._anchors = frozenset(certificate.fingerprint_sha256 for certificate in self.anchors)
        self._by_subject: dict[ComparableName, list[Certificate]] = {}
        for certificate in dict.fromkeys((*self.anchors, *self.intermediates)):
            self._by_subject.setdefault(certificate.comparable_subject, []).append(certificate)
        self.signatures: Memory[bytes, Any] = Memory(8_192)
        """Outcome of each signature check, by the fingerprints of certificate and issuer."""
        self.paths: Memory[object, Any] = Memory(512)
        """Finished searches of `path.py`: everything about a path that depends on neither time nor revocation."""
        self._parsed: Memory[bytes, Certificate] = Memory(1_024)

    def certificate(self, der: bytes) -> Certificate:
        """`Certificate.parse`, remembered: the partners' certificates come with every message of theirs."""
        if len(der) > _REMEMBERED_OCTETS:
            return Certificate.parse(der)
        known = self._parsed.recall(der)
        if known is None:
            known = Certificate.parse(der)
            self._parsed.keep(der, known)
        return known

    def with_fallback(self, anchors: Iterable[Certificate]) -> TrustCollection:
        """The same collection with further anchors behind its own: the machine's, as on-premises Exchange has it."""
        return TrustCollection(
            (*self.anchors, *anchors), self.intermediates, distrusted=self.distrusted, pins=self.pins
        )

    def is_distrusted(self, certificate: Certificate) -> bool:
        """Whether the certificate or its key is on the distrust list."""
        return bool(self.distrusted) and not self.distrusted.isdisjoint(_fingerprints(certificate))

    def missed_pin(self, chain: Sequence[Certificate]) -> Pin | None:
        """A pin for an address of the first certificate that no certificate of the chain meets; None if all are met."""
        if not self.pins:
            return None
        present = {fingerprint for certificate in chain for fingerprint in _fingerprints(certificate)}
        for pin in self.pins:
            if present.isdisjoint(pin.fingerprints) and any(map(pin.covers, chain[0].addresses)):
                return pin
        return None

    def is_anchor(self, certificate: Certificate) -> bool:
        """Whether the certificate is one of the anchors."""
        return certificate.fingerprint_sha256 in self._anchors

    def with_subject(self, subject: ComparableName) -> Sequence[Certificate]:
        """All anchors and intermediates of one subject, anchors first."""
        return self._by_subject.get(subject, ())


def _fingerprints(certificate: Certificate) -> tuple[bytes, bytes]:
    """SHA-256 of the certificate and of its key."""
    return certificate.fingerprint_sha256, sha256(certificate.public_key_info).digest()
