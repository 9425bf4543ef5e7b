"""The tenant store (`tenants.py` says how it is used): its parts under one name.

Does: re-export. Does not: import Alembic; `migrations.upgrade` makes and renews the tables.
"""

from __future__ import annotations

from smime_engine.sources.store.directory import Directory, Progress
from smime_engine.sources.store.harvest import Harvest
from smime_engine.sources.store.keys import KeyOpener, Keys
from smime_engine.sources.store.settings import StoredSettings
from smime_engine.sources.store.tenants import StoredTenant, TenantStore, open_store
from smime_engine.sources.store.values import (
    LOCAL,
    AuditEvent,
    Changes,
    DirectoryValue,
    HarvestedCertificate,
    MobilePolicy,
    StoredKey,
    Tenant,
    User,
)

__all__ = [
    "LOCAL",
    "AuditEvent",
    "Changes",
    "Directory",
    "DirectoryValue",
    "Harvest",
    "HarvestedCertificate",
    "KeyOpener",
    "Keys",
    "MobilePolicy",
    "Progress",
    "StoredKey",
    "StoredSettings",
    "StoredTenant",
    "Tenant",
    "TenantStore",
    "User",
    "open_store",
]
