"""What a tenant's settings are, wherever they are kept: files in a folder, or rows of a store.

Does: define it. Does not: implement it (`tenant_folder.TenantFolder`, `store.settings.StoredSettings`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from smime_engine.certificate import Certificate
from smime_engine.policy.smime_config import SmimeConfig
from smime_engine.trust.collection import Pin, TrustCollection
from smime_engine.trust.crl import RevocationList

__all__ = ["TenantSettings", "copy_settings"]


class TenantSettings(Protocol):
    """One tenant's settings and trust. What cannot be read raises ConfigurationError."""

    def smime_config(self) -> SmimeConfig:
        """The settings, with the collection as SMIMECertificateIssuingCA."""

    def save_smime_config(self, config: SmimeConfig) -> None:
        """Keep the settings; the collection is kept by `save_collection`."""

    def save_collection(self, sst: bytes) -> None:
        """Put another collection in the place of the one that is there."""

    def certificates(self) -> tuple[Certificate, ...]:
        """The certificates of the collection, in their order."""

    def collection_crls(self) -> tuple[bytes, ...]:
        """DER of the revocation lists that the collection holds."""

    def trust_collection(self, *, fallback: Iterable[Certificate] = ()) -> TrustCollection:
        """What the tenant trusts; `fallback` are roots of the machine's store, behind the tenant's own."""

    def distrusted(self) -> tuple[bytes, ...]:
        """Fingerprints on the distrust list."""

    def save_distrusted(self, fingerprints: Iterable[bytes]) -> None:
        """Keep the distrust list."""

    def pins(self) -> tuple[Pin, ...]:
        """The pin list."""

    def save_pins(self, pins: Iterable[Pin]) -> None:
        """Keep the pin list."""

    def user_certificates(self) -> tuple[Certificate, ...]:
        """Certificates of users whose end should be watched."""

    def crls(self) -> tuple[RevocationList, ...]:
        """Revocation lists whose end should be watched."""


def copy_settings(source: TenantSettings, target: TenantSettings) -> None:
    """Take everything that one tenant has set over to another place."""
    config = source.smime_config()
    target.save_smime_config(config)
    target.save_collection(config.smime_certificate_issuing_ca or b"")
    target.save_distrusted(source.distrusted())
    target.save_pins(source.pins())
