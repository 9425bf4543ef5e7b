"""Where the parts of the store work: one tenant of one database, on behalf of an actor.

Does: open transactions, hold a tenant against other writers, write audit events into the transaction that they are
about. Does not: know what the parts store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select

from smime_engine.errors import ConfigurationError
from smime_engine.sources.store.database import Database
from smime_engine.sources.store.schema import audit_events, tenants

__all__ = ["Scope", "record"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """One tenant, as an actor sees it."""

    database: Database
    tenant_id: int
    tenant: str
    actor: str
    clock: Callable[[], datetime]

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that reads one state of the tenant."""
        with self.database.reading() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that holds the tenant: no other writer changes it meanwhile."""
        with self.database.writing() as connection:
            held = select(tenants.c.id).where(tenants.c.id == self.tenant_id).with_for_update()
            if connection.execute(held).scalar() is None:
                raise ConfigurationError(f"the tenant {self.tenant!r} has been removed")
            yield connection

    def record(self, connection: Connection, action: str, subject: str = "", **detail: Any) -> None:
        """Write an audit event of this tenant into a transaction."""
        record(connection, self, action, subject, detail, tenant=self.tenant)


def record(
    connection: Connection,
    who: Any,
    action: str,
    subject: str,
    detail: Mapping[str, Any],
    *,
    tenant: str = "",
) -> None:
    """Write an audit event; `who` has `actor` and `clock`. No secret may stand in `detail`."""
    values = {"tenant": tenant, "at": who.clock(), "actor": who.actor, "action": action, "subject": subject}
    connection.execute(insert(audit_events).values(**values, detail=dict(detail)))
