"""The store's master key: which one seals, and how another one takes its place.

Does: let nobody seal under a key that is not the current one; seal everything anew in one transaction. Does not: read
keys (`master_key`).

Killed half-way, a rotation leaves every key sealed under the former master key. Other nodes that have both keys go on
through a rotation: each seal names its key. Whoever imports a key holds the current master key's row, and a rotation
waits for that.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from sqlalchemy import Connection, bindparam, func, insert, select, tuple_, update

from smime_engine.errors import ConfigurationError
from smime_engine.sources.master_key import MasterKeys
from smime_engine.sources.store.database import Database
from smime_engine.sources.store.schema import master_keys, private_keys, tenants, users
from smime_engine.sources.store.scope import record

__all__ = ["current_master_key", "require_current", "rotate", "seal_context"]

_BATCH = 200


class _Actor(Protocol):
    @property
    def actor(self) -> str: ...

    @property
    def clock(self) -> Callable[[], datetime]: ...


def seal_context(tenant: str, user_id: int, fingerprint: bytes) -> bytes:
    """What a seal is bound to: tenant, user and certificate."""
    return b"\0".join((b"smime-engine private key", tenant.encode(), str(user_id).encode(), fingerprint))


def current_master_key(connection: Connection) -> str | None:
    """The identifier of the key that seals; None before the first seal."""
    found: str | None = connection.execute(select(master_keys.c.identifier).filter_by(current=True)).scalar()
    return found


def require_current(connection: Connection, who: _Actor, keys: MasterKeys) -> None:
    """Raise ConfigurationError where keys are sealed under another master key; the first one becomes current."""
    current = select(master_keys.c.identifier).filter_by(current=True).with_for_update(read=True)
    found = connection.execute(current).scalar()
    if found is None:
        _make_current(connection, who, keys.current.identifier)
    elif found != keys.current.identifier:
        raise ConfigurationError(f"the store seals under the master key {found}, not {keys.current.identifier}")


def rotate(
    database: Database,
    who: _Actor,
    old: MasterKeys,
    new: MasterKeys,
    *,
    progress: Callable[[int], None] | None = None,
) -> int:
    """Seal everything anew under the current key of `new` -> how many seals. All or nothing, safe to repeat.

    Raises InvalidKey where a seal does not open with `old`; nothing has changed then.
    """
    target = new.current.identifier
    with database.writing() as connection:
        connection.execute(select(master_keys.c.identifier).with_for_update()).all()
        before = current_master_key(connection)
        done = _seal_anew(connection, old, new, progress)
        if before != target:
            connection.execute(update(master_keys).values(current=None))
            _make_current(connection, who, target)
        if done or before != target:
            record(connection, who, "master_key.rotated", target, {"former": before, "keys": done})
    return done


def count_sealed(database: Database) -> int:
    """How many seals there are."""
    with database.reading() as connection:
        counted = select(func.count()).select_from(private_keys).where(private_keys.c.sealed.is_not(None))
        return connection.execute(counted).scalar_one()


def _seal_anew(connection: Connection, old: MasterKeys, new: MasterKeys, progress: Callable[[int], None] | None) -> int:
    key = tuple_(private_keys.c.user_id, private_keys.c.fingerprint)
    rows = (
        select(private_keys.c.user_id, private_keys.c.fingerprint, private_keys.c.sealed, tenants.c.name)
        .join(users, users.c.id == private_keys.c.user_id)
        .join(tenants, tenants.c.id == users.c.tenant_id)
        .where(private_keys.c.sealed.is_not(None), private_keys.c.master_key != new.current.identifier)
        .order_by(private_keys.c.user_id, private_keys.c.fingerprint)
        .limit(_BATCH)
    )
    change = update(private_keys).where(
        private_keys.c.user_id == bindparam("row"), private_keys.c.fingerprint == bindparam("print")
    )
    done = 0
    query = rows
    while batch := connection.execute(query).all():
        values = []
        for user_id, fingerprint, sealed, tenant in batch:
            context = seal_context(tenant, user_id, fingerprint)
            anew = new.seal(old.open(sealed, context), context)
            identifier = new.current.identifier
            values.append({"row": user_id, "print": fingerprint, "sealed": anew, "master_key": identifier})
        connection.execute(change, values)
        done += len(batch)
        if progress is not None:
            progress(len(batch))
        query = rows.where(key > tuple_(batch[-1].user_id, batch[-1].fingerprint))
    return done


def _make_current(connection: Connection, who: _Actor, identifier: str) -> None:
    if connection.execute(update(master_keys).filter_by(identifier=identifier).values(current=True)).rowcount == 0:
        connection.execute(insert(master_keys).values(identifier=identifier, since=who.clock(), current=True))
