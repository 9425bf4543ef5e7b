"""The rows of the store's users: written in batches, read with queries that are made once.

Does: prepare entries for the tables, insert, replace and read them. Does not: open transactions or decide what changes
(`directory.py`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from sqlalchemy import Connection, Row, Select, bindparam, delete, insert, literal, select, union_all, update

from smime_engine.addresses import comparable_address
from smime_engine.sources.store.schema import addresses, directory_values, private_keys, users
from smime_engine.sources.store.values import LOCAL, DirectoryValue, User

__all__ = [
    "BATCH",
    "Prepared",
    "batches",
    "claims_of",
    "insert_details",
    "insert_users",
    "owner_of",
    "prepared",
    "read_users",
    "update_users",
]

BATCH = 1_000
"""Entries written by one statement, and addresses looked up by one: both databases allow 32,766 parameters."""

_MOST_VALUES = 1_000  # certificates of one entry; Entra ID exports no more than 15
_LARGEST_VALUE = 1_048_576  # octets; Active Directory's rangeUpper is 32,768

_owned = addresses.alias("owned")


@dataclass(slots=True)
class Prepared:
    """An entry on its way into the tables."""

    user: User
    external_id: str
    primary: str
    claims: dict[str, str] = field(default_factory=dict)
    user_id: int | None = None
    same: bool = False

    @property
    def members(self) -> str | None:
        """The members of a group as the table holds them."""
        return None if self.user.members is None else json.dumps(self.user.members)


def prepared(user: User, source: str) -> Prepared | str:
    """The entry as it will be stored, or why it cannot be."""
    primary = comparable_address(user.primary_address)
    if primary is None:
        return "the primary address is no mail address"
    if source != LOCAL and not user.external_id:
        return "there is no external identifier"
    if len(user.values) > _MOST_VALUES:
        return f"more than {_MOST_VALUES:,} certificates"
    if any(len(value.value) > _LARGEST_VALUE for value in user.values):
        return f"a certificate of more than {_LARGEST_VALUE:,} octets"
    texts = (
        user.display_name,
        user.revision,
        user.external_id,
        *(value.attribute for value in user.values),
        *user.addresses,
    )
    if any("\0" in text for text in texts):
        return "a text with a NUL character"  # PostgreSQL has no place for one
    claims = {primary: user.primary_address}
    for address in user.proxy_addresses:
        comparable = comparable_address(address)
        if comparable is not None:
            claims.setdefault(comparable, address)
    return Prepared(user, user.external_id if source != LOCAL else primary, primary, claims)


def insert_users(connection: Connection, tenant_id: int, source: str, new: Sequence[Prepared]) -> None:
    """Insert entries; each learns the identifier of its row."""
    if not new:
        return
    rows = [
        {
            "tenant_id": tenant_id,
            "source": source,
            "external_id": entry.external_id,
            "display_name": entry.user.display_name,
            "revision": entry.user.revision,
            "members": entry.members,
        }
        for entry in new
    ]
    made = connection.execute(insert(users).returning(users.c.id, sort_by_parameter_order=True), rows).scalars()
    for entry, user_id in zip(new, made, strict=True):
        entry.user_id = user_id


def update_users(connection: Connection, source: str, known: Sequence[Prepared]) -> None:
    """Renew entries that have a row, and clear their addresses and values."""
    if not known:
        return
    change = update(users).where(users.c.id == bindparam("row"))
    values = [
        {
            "row": entry.user_id,
            "source": source,
            "external_id": entry.external_id,
            "display_name": entry.user.display_name,
            "revision": entry.user.revision,
            "members": entry.members,
        }
        for entry in known
    ]
    connection.execute(change, values)
    ids = [entry.user_id for entry in known]
    connection.execute(delete(addresses).where(addresses.c.user_id.in_(ids)))
    connection.execute(delete(directory_values).where(directory_values.c.user_id.in_(ids)))


def insert_details(connection: Connection, tenant_id: int, entries: Sequence[Prepared]) -> None:
    """Insert addresses and values of entries."""
    claims = [
        {"tenant_id": tenant_id, "address": address, "user_id": entry.user_id, "position": at, "written": written}
        for entry in entries
        for at, (address, written) in enumerate(entry.claims.items())
    ]
    values = [
        {"user_id": entry.user_id, "position": at, "attribute": each.attribute, "value": each.value}
        for entry in entries
        for at, each in enumerate(entry.user.values)
    ]
    if claims:
        connection.execute(insert(addresses), claims)
    if values:
        connection.execute(insert(directory_values), values)


# --- queries: made once, as making them costs more than running them

_claims = select(addresses.c.address, addresses.c.user_id, addresses.c.position).where(
    addresses.c.tenant_id == bindparam("tenant")
)
_CLAIM = _claims.where(addresses.c.address == bindparam("wanted"))
_CLAIMS = _claims.where(addresses.c.address.in_(bindparam("wanted", expanding=True)))


def _of_users(*, one: bool) -> tuple[Select[Any], Any]:
    wanted: Any = bindparam("wanted") if one else bindparam("wanted", expanding=True)

    def those(column: Any) -> Any:
        return column == wanted if one else column.in_(wanted)

    columns = (users.c.id, users.c.display_name, users.c.source, users.c.external_id, users.c.revision, users.c.members)
    entries = (
        select(*columns, _owned.c.written)
        .join(_owned, _owned.c.user_id == users.c.id)
        .where(those(users.c.id))
        .order_by(users.c.id, _owned.c.position)
    )
    given = select(
        directory_values.c.user_id,
        literal(0).label("rank"),
        directory_values.c.position.label("position"),
        directory_values.c.attribute,
        directory_values.c.value,
    ).where(those(directory_values.c.user_id))
    held = select(
        private_keys.c.user_id,
        literal(1).label("rank"),
        literal(0).label("position"),
        literal("userCertificate").label("attribute"),
        private_keys.c.certificate.label("value"),
    ).where(those(private_keys.c.user_id), private_keys.c.retired.is_(None))
    return entries, union_all(given, held)


_ENTRY, _VALUES_OF_ONE = _of_users(one=True)
_ENTRIES, _VALUES = _of_users(one=False)


def _one_or_many(parameters: dict[str, Any], wanted: Sequence[Any]) -> dict[str, Any]:
    return {**parameters, "wanted": wanted[0]} if len(wanted) == 1 else parameters


def read_users(connection: Connection, ids: Iterable[int]) -> dict[int, User]:
    """Read users by the identifiers of their rows."""
    wanted = list(dict.fromkeys(ids))
    if not wanted:
        return {}
    one = len(wanted) == 1
    parameters = _one_or_many({"wanted": wanted}, wanted)
    values: dict[int, list[tuple[int, int, DirectoryValue]]] = {}
    for user_id, rank, at, attribute, value in connection.execute(_VALUES_OF_ONE if one else _VALUES, parameters):
        values.setdefault(user_id, []).append((rank, at, DirectoryValue(attribute=attribute, value=value)))
    rows: dict[int, list[Any]] = {}
    for row in connection.execute(_ENTRY if one else _ENTRIES, parameters):
        rows.setdefault(row[0], []).append(row)
    return {user_id: _user(found, values.get(user_id, [])) for user_id, found in rows.items()}


def claims_of(connection: Connection, tenant_id: int, comparable: Sequence[str]) -> Sequence[Row[Any, Any, Any]]:
    """Who has these addresses -> (address, user, position) each."""
    parameters = _one_or_many({"tenant": tenant_id, "wanted": comparable}, comparable)
    return connection.execute(_CLAIM if len(comparable) == 1 else _CLAIMS, parameters).all()


def _user(rows: Sequence[Any], values: list[tuple[int, int, DirectoryValue]]) -> User:
    _, display_name, source, external_id, revision, members, primary = rows[0]
    values.sort(key=lambda value: (value[0], value[1], value[2].value))
    return User(
        primary_address=primary,
        proxy_addresses=tuple(row[6] for row in rows[1:]),
        display_name=display_name,
        source=source,
        external_id="" if source == LOCAL else external_id,
        revision=revision,
        values=tuple(dict.fromkeys(value for _, _, value in values)),
        members=None if members is None else tuple(json.loads(members)),
    )


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


def batches(items: Iterable[Any]) -> Iterator[list[Any]]:
    """Split into lists of at most `BATCH`."""
    remaining = iter(items)
    while batch := list(islice(remaining, BATCH)):
        yield batch
