"""Reading the store's users: queries that are made once, as making them costs more than running them.

Does: two queries for all entries of many addresses, whatever their number: the entries with their addresses, and their
certificates. Does not: open transactions or write (`directory_rows.py`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Select, bindparam, literal, select, union_all

from smime_engine.sources.store.schema import addresses, directory_values, private_keys, users
from smime_engine.sources.store.values import LOCAL, DirectoryValue, User

__all__ = ["find_users", "owner_of", "read_users"]


def find_users(connection: Connection, tenant_id: int, comparable: Sequence[str]) -> dict[str, list[User]]:
    """The entries of comparable addresses; those for which an address is the primary one first."""
    one = len(comparable) == 1
    parameters = {"tenant": tenant_id, "wanted": comparable[0] if one else comparable}
    claims: dict[tuple[str, int], list[Any]] = {}
    for row in connection.execute(_CLAIM if one else _CLAIMS, parameters):
        claims.setdefault((row[0], row[1]), []).append(row[1:])
    entries = _made({user_id: rows for (_, user_id), rows in claims.items()}, connection)
    found: dict[str, list[User]] = {}
    for address, user_id in claims:
        found.setdefault(address, []).append(entries[user_id])
    return found


def read_users(connection: Connection, ids: Sequence[int]) -> dict[int, User]:
    """Users by the identifiers of their rows."""
    rows: dict[int, list[Any]] = {}
    for row in connection.execute(_ENTRIES, {"wanted": ids}):
        rows.setdefault(row[0], []).append(row)
    return _made(rows, connection)


def owner_of(connection: Connection, tenant_id: int, comparable: str) -> int | None:
    """Who has an address, those first for whom it is the primary one."""
    query = (
        select(addresses.c.user_id)
        .filter_by(tenant_id=tenant_id, address=comparable)
        .order_by(addresses.c.position > 0, addresses.c.user_id)
        .limit(1)
    )
    found: int | None = connection.execute(query).scalar()
    return found


# --- queries

_owned = addresses.alias("owned")
_columns = (
    users.c.id,
    users.c.display_name,
    users.c.source,
    users.c.external_id,
    users.c.revision,
    users.c.members,
    _owned.c.written,
)
_ENTRIES = (
    select(*_columns)
    .join(_owned, _owned.c.user_id == users.c.id)
    .where(users.c.id.in_(bindparam("wanted", expanding=True)))
    .order_by(users.c.id, _owned.c.position)
)
_claims = (
    select(addresses.c.address, *_columns)
    .join(users, users.c.id == addresses.c.user_id)
    .join(_owned, _owned.c.user_id == users.c.id)
    .where(addresses.c.tenant_id == bindparam("tenant"))
    .order_by(addresses.c.position > 0, users.c.id, _owned.c.position)
)
_CLAIM = _claims.where(addresses.c.address == bindparam("wanted"))
_CLAIMS = _claims.where(addresses.c.address.in_(bindparam("wanted", expanding=True)))


def _values_of(*, one: bool) -> Any:
    """Certificates of the directory, then those of the keys that the store holds."""
    wanted: Any = bindparam("wanted") if one else bindparam("wanted", expanding=True)

    def theirs(query: Select[Any], column: Any) -> Any:
        return query.where(column == wanted if one else column.in_(wanted))

    given = select(
        directory_values.c.user_id,
        literal(0).label("rank"),
        directory_values.c.position.label("position"),
        directory_values.c.attribute,
        directory_values.c.value,
    )
    held = select(
        private_keys.c.user_id,
        literal(1).label("rank"),
        literal(0).label("position"),
        literal("userCertificate").label("attribute"),
        private_keys.c.certificate.label("value"),
    ).where(private_keys.c.retired.is_(None))
    return union_all(theirs(given, directory_values.c.user_id), theirs(held, private_keys.c.user_id))


_VALUES_OF_ONE, _VALUES = _values_of(one=True), _values_of(one=False)


def _made(rows: Mapping[int, Sequence[Any]], connection: Connection) -> dict[int, User]:
    if not rows:
        return {}
    ids = list(rows)
    one = len(ids) == 1
    values: dict[int, list[Any]] = {}
    for row in connection.execute(_VALUES_OF_ONE if one else _VALUES, {"wanted": ids[0] if one else ids}):
        values.setdefault(row[0], []).append(row[1:])
    return {user_id: _user(found, sorted(values.get(user_id, ()))) for user_id, found in rows.items()}


def _user(rows: Sequence[Any], values: Iterable[Any]) -> User:
    _, display_name, source, external_id, revision, members, primary = rows[0]
    given = (DirectoryValue(attribute=attribute, value=value) for _, _, attribute, value in values)
    return User(
        primary_address=primary,
        proxy_addresses=tuple(row[6] for row in rows[1:]),
        display_name=display_name,
        source=source,
        external_id="" if source == LOCAL else external_id,
        revision=revision,
        values=tuple(dict.fromkeys(given)),
        members=None if members is None else tuple(json.loads(members)),
    )
