"""The tenant store: organisations with their users, keys, trust and settings, in SQLite or PostgreSQL.

    with open_store("sqlite:////var/lib/smime/store.sqlite", actor="relay") as store:
        tenant = store.tenant("example")
        tenant.directory.find(["bob@example.org"])
        tenant.keys.key_ring("alice@example.org", KeyOpener(master=master_keys))

Does: tenants, their domains, the audit log, the rotation of the master key; the parts of a tenant hang on
`StoredTenant`. Values go in and come out; every change is one transaction with its audit event. Does not: keep anything
in memory: each call asks the database, so that several nodes always agree.

Threads may share a store. After a fork each process opens its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

from sqlalchemy import Connection, RowMapping, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from smime_engine.addresses import comparable_domain
from smime_engine.errors import ConfigurationError
from smime_engine.sources.master_key import MasterKeys
from smime_engine.sources.store import rotation
from smime_engine.sources.store.database import Database, open_database
from smime_engine.sources.store.directory import Directory
from smime_engine.sources.store.harvest import Harvest
from smime_engine.sources.store.keys import Keys
from smime_engine.sources.store.schema import audit_events, domains, tenants
from smime_engine.sources.store.scope import Scope, record
from smime_engine.sources.store.settings import StoredSettings
from smime_engine.sources.store.values import AuditEvent, Tenant

__all__ = ["StoredTenant", "TenantStore", "open_store"]


def _now() -> datetime:
    return datetime.now(UTC)


def open_store(url: str, *, actor: str = "", clock: Callable[[], datetime] = _now) -> TenantStore:
    """Open a store whose tables are up to date. `actor` stands in the audit log for whoever acts through it.

    `url`: `sqlite:///FILE`, `postgresql://USER@HOST/NAME`, or the path of an SQLite file. Raises ConfigurationError
    where there is no store or another version of one, SourceUnavailable where the server does not answer.
    """
    database = open_database(url)
    try:
        database.require_schema()
    except BaseException:
        database.close()
        raise
    return TenantStore(database, actor=actor, clock=clock)


class TenantStore:
    """All tenants of one store."""

    def __init__(self, database: Database, *, actor: str, clock: Callable[[], datetime]) -> None:
        self._database = database
        self.actor = actor
        self.clock = clock

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._database.close()

    # --- tenants

    def tenants(self) -> tuple[Tenant, ...]:
        """All tenants, by name."""
        with self._database.reading() as connection:
            rows = connection.execute(select(tenants).order_by(tenants.c.name)).mappings().all()
            return tuple(_tenant(connection, row) for row in rows)

    def tenant(self, name: str) -> StoredTenant:
        """One tenant, to work with. Raises ConfigurationError where there is none of this name."""
        with self._database.reading() as connection:
            row = connection.execute(select(tenants).filter_by(name=name)).mappings().first()
        if row is None:
            raise ConfigurationError(f"there is no tenant {name!r} in the store: `smime tenant init` makes one")
        return self._opened(row)

    def tenant_of(self, address_or_domain: str) -> StoredTenant | None:
        """The tenant that accepts mail for a domain, or for the domain of an address; None where nobody does."""
        domain = comparable_domain(address_or_domain.rpartition("@")[2])
        query = select(tenants).join(domains).where(domains.c.domain == domain)
        with self._database.reading() as connection:
            row = connection.execute(query).mappings().first()
        return None if row is None else self._opened(row)

    def add_tenant(self, tenant: Tenant) -> StoredTenant:
        """Add a tenant. Raises ConfigurationError where the name or one of the domains is taken."""
        if not tenant.name or not tenant.name.isprintable() or "/" in tenant.name or tenant.name != tenant.name.strip():
            raise ConfigurationError(f"{tenant.name!r} is no name for a tenant: letters, digits and the like, no slash")
        with self._database.writing() as connection:
            values = {"name": tenant.name, "display_name": tenant.display_name, "created": self.clock()}
            try:
                added = connection.execute(insert(tenants).values(**values))
            except IntegrityError as error:
                raise ConfigurationError(f"there is a tenant {tenant.name!r} already") from error
            assert added.inserted_primary_key is not None
            scope = self._scope(added.inserted_primary_key[0], tenant.name)
            _save_domains(connection, scope, tenant.domains)
            scope.record(connection, "tenant.added", tenant.name, domains=list(tenant.domains))
        return StoredTenant(scope)

    def remove_tenant(self, name: str) -> None:
        """Remove a tenant with everything that belongs to it, private keys too; its audit events stay."""
        with self._database.writing() as connection:
            if connection.execute(delete(tenants).filter_by(name=name)).rowcount == 0:
                raise ConfigurationError(f"there is no tenant {name!r} in the store")
            record(connection, self, "tenant.removed", name, {}, tenant=name)

    def _opened(self, row: RowMapping) -> StoredTenant:
        return StoredTenant(self._scope(row["id"], row["name"]))

    def _scope(self, tenant_id: int, name: str) -> Scope:
        return Scope(database=self._database, tenant_id=tenant_id, tenant=name, actor=self.actor, clock=self.clock)

    # --- master key

    def master_key(self) -> str | None:
        """The identifier of the master key under which keys are sealed; None before the first one."""
        with self._database.reading() as connection:
            return rotation.current_master_key(connection)

    def sealed_keys(self) -> int:
        """How many private keys are sealed in the store."""
        return rotation.count_sealed(self._database)

    def rotate_master_key(
        self, old: MasterKeys, new: MasterKeys, *, progress: Callable[[int], None] | None = None
    ) -> int:
        """Seal all private keys of all tenants anew -> how many. See `rotation.rotate`."""
        return rotation.rotate(self._database, self, old, new, progress=progress)

    # --- audit

    def audit(
        self, *, tenant: str | None = None, since: datetime | None = None, limit: int = 1_000
    ) -> tuple[AuditEvent, ...]:
        """The latest audit events, the newest first; of one tenant, or of all and of the store itself."""
        query = select(audit_events).order_by(audit_events.c.at.desc(), audit_events.c.id.desc()).limit(limit)
        if tenant is not None:
            query = query.filter_by(tenant=tenant)
        if since is not None:
            query = query.where(audit_events.c.at >= since)
        with self._database.reading() as connection:
            return tuple(_event(row) for row in connection.execute(query).mappings())

    def record(self, action: str, subject: str = "", *, tenant: str = "", **detail: Any) -> None:
        """Write an audit event about something that happened outside of the store. No secret may stand in `detail`."""
        with self._database.writing() as connection:
            record(connection, self, action, subject, detail, tenant=tenant)


class StoredTenant:
    """One tenant of a store, in parts."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self.directory = Directory(scope)
        """Users, addresses, certificates of the directory."""

        self.keys = Keys(scope)
        """Private keys."""

        self.settings = StoredSettings(scope)
        """S/MIME settings, collection, distrust, pins, policies for mobile devices."""

        self.harvest = Harvest(scope)
        """Certificates of correspondents."""

    @property
    def name(self) -> str:
        """What the tenant is called in commands."""
        return self._scope.tenant

    def description(self) -> Tenant:
        """Name and domains as they are now."""
        with self._scope.reading() as connection:
            row = connection.execute(select(tenants).filter_by(id=self._scope.tenant_id)).mappings().first()
            if row is None:
                raise ConfigurationError(f"the tenant {self.name!r} has been removed")
            return _tenant(connection, row)

    def describe(self, *, display_name: str | None = None, domain_list: Iterable[str] | None = None) -> None:
        """Change the name for people, or the accepted domains. Raises ConfigurationError where a domain is taken."""
        with self._scope.writing() as connection:
            if display_name is not None:
                here = update(tenants).filter_by(id=self._scope.tenant_id)
                connection.execute(here.values(display_name=display_name))
            if domain_list is not None:
                _save_domains(connection, self._scope, domain_list)
            self._scope.record(connection, "tenant.changed", self.name)


def _save_domains(connection: Connection, scope: Scope, domain_list: Iterable[str]) -> None:
    connection.execute(delete(domains).filter_by(tenant_id=scope.tenant_id))
    for at, written in enumerate(domain_list):
        domain = comparable_domain(written)
        if domain is None:
            raise ConfigurationError(f"{written!r} is no mail domain")
        try:
            connection.execute(insert(domains).values(domain=domain, tenant_id=scope.tenant_id, position=at))
        except IntegrityError as error:
            raise ConfigurationError(f"the domain {written} is taken") from error


def _tenant(connection: Connection, row: RowMapping) -> Tenant:
    query = select(domains.c.domain).filter_by(tenant_id=row["id"]).order_by(domains.c.position)
    accepted = tuple(connection.execute(query).scalars())
    return Tenant(name=row["name"], display_name=row["display_name"], domains=accepted)


def _event(row: RowMapping) -> AuditEvent:
    return AuditEvent(**{name: row[name] for name in ("tenant", "at", "actor", "action", "subject", "detail")})
