"""The rows of the store's users, written in batches.

Does: prepare entries for the tables, insert and replace them. Does not: open transactions or decide what changes
(`directory.py`), or read (`directory_queries.py`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, text, update

from smime_engine.addresses import comparable_address
from smime_engine.sources.store.schema import addresses, directory_values, users
from smime_engine.sources.store.values import LOCAL, User

__all__ = [
    "BATCH",
    "Prepared",
    "batches",
    "insert_details",
    "insert_users",
    "prepared",
    "update_users",
]

BATCH = 1_000
"""Entries written by one statement, and addresses looked up by one: both databases allow 32,766 parameters."""

_MOST_VALUES = 1_000  # certificates of one entry; Entra ID exports no more than 15
_LARGEST_VALUE = 1_048_576  # octets; Active Directory's rangeUpper is 32,768


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
    attributes = (value.attribute for value in user.values)
    texts = "\n".join((user.display_name, user.revision, user.external_id, *attributes, *user.addresses))
    if "\0" in texts:
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
    for entry, user_id in zip(new, _new_ids(connection, len(new)), strict=True):
        entry.user_id = user_id
    rows = [
        {
            "id": entry.user_id,
            "tenant_id": tenant_id,
            "source": source,
            "external_id": entry.external_id,
            "display_name": entry.user.display_name,
            "revision": entry.user.revision,
            "members": entry.members,
        }
        for entry in new
    ]
    connection.execute(insert(users), rows)


def _new_ids(connection: Connection, count: int) -> Sequence[int]:
    """Identifiers that were never used. Taken beforehand: SQLite would have to be asked row by row."""
    if connection.dialect.name == "sqlite":  # whoever writes is alone
        last = connection.execute(text("SELECT seq FROM sqlite_sequence WHERE name = 'users'")).scalar() or 0
        return range(last + 1, last + count + 1)
    taken = text("SELECT nextval(pg_get_serial_sequence('users', 'id')) FROM generate_series(1, :count)")
    return connection.execute(taken, {"count": count}).scalars().all()


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


def batches(items: Iterable[Any]) -> Iterator[list[Any]]:
    """Split into lists of at most `BATCH`."""
    remaining = iter(items)
    while batch := list(islice(remaining, BATCH)):
        yield batch
