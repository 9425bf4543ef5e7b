"""The tenants that `smime tenant` keeps: their Exchange settings, for the rules of mail that leaves.

Does: read Set-SmimeConfig's settings of each `[tenants.NAME]` that names a folder or a tenant of the store. Does not:
keep them up to date: they are read at the start and at every reload.
"""

from __future__ import annotations

from smime_engine.errors import ConfigurationError, SmimeError
from smime_engine.policy.smime_config import SmimeConfig
from smime_engine.sources.tenant_folder import TenantFolder
from smime_smtp_relay.config import Configuration

__all__ = ["exchange_settings"]


def exchange_settings(configuration: Configuration) -> dict[str, SmimeConfig]:
    """Settings by the name in `[tenants.NAME]`; ConfigurationError names the tenant whose cannot be read."""
    found = {}
    for name, tenant in configuration.tenants.items():
        try:
            if tenant.settings is not None:
                if not tenant.settings.is_dir():
                    raise ConfigurationError(f"{tenant.settings} is no folder")
                found[name] = TenantFolder(tenant.settings).smime_config()
            elif tenant.stored_as is not None and configuration.store is not None:
                found[name] = _stored(tenant.stored_as, configuration.store.url)
        except SmimeError as error:
            raise ConfigurationError(f"tenants.{name}: {error}") from error
    return found


def _stored(name: str, url: str) -> SmimeConfig:
    from smime_engine.sources.store import open_store

    store = open_store(url, actor="smime-relay")
    try:
        return store.tenant(name).settings.smime_config()
    finally:
        store.close()
