"""The tables of the tenant store, for SQLite and PostgreSQL alike.

Does: name every table and column once; `migrations/` makes them, and a test holds the two equal. Does not: read or
write (the modules beside it do).

Addresses and domains stand here in the form in which they are compared (`addresses.comparable_address`), and beside it
as they were written. Identifiers of users are never used again, as seals are bound to them.
"""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)

__all__ = [
    "HEAD",
    "addresses",
    "audit_events",
    "collections",
    "directory_states",
    "directory_values",
    "distrusted",
    "domains",
    "harvested",
    "master_keys",
    "metadata",
    "mobile_policies",
    "pins",
    "private_keys",
    "smime_configs",
    "tenants",
    "users",
]

HEAD = "0001"
"""The revision of `migrations/` that makes these tables."""


class Instant(TypeDecorator[datetime]):
    """An aware datetime in UTC; SQLite, which knows no zones, gets it without one."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse times without a zone, which would mean different moments on different machines."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time in the store needs a zone")
        moment = value.astimezone(UTC)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Give the zone back."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)

# SQLite counts by itself only what it calls INTEGER.
_NUMBER = BigInteger().with_variant(Integer(), "sqlite")


def _id() -> Column[int]:
    return Column("id", _NUMBER, primary_key=True, autoincrement=True)


def _owner(table: str, *, primary_key: bool = False) -> Column[int]:
    name = f"{table.removesuffix('s')}_id"
    reference = ForeignKey(f"{table}.id", ondelete="CASCADE")
    return Column(name, _NUMBER, reference, primary_key=primary_key, nullable=False, autoincrement=False)


tenants = Table(
    "tenants",
    metadata,
    _id(),
    Column("name", Text, nullable=False, unique=True),
    Column("display_name", Text, nullable=False, default=""),
    Column("created", Instant, nullable=False),
    sqlite_autoincrement=True,
)

domains = Table(
    "domains",
    metadata,
    Column("domain", Text, primary_key=True),
    _owner("tenants"),
    Column("position", Integer, nullable=False),
    Index("ix_domains_tenant_id", "tenant_id"),
)

users = Table(
    "users",
    metadata,
    _id(),
    _owner("tenants"),
    Column("display_name", Text, nullable=False, default=""),
    Column("source", Text, nullable=False),
    Column("external_id", Text, nullable=False),
    Column("revision", Text, nullable=False, default=""),
    # What a group's members are called, as JSON; NULL for everything that is no group.
    Column("members", Text),
    Column("mobile_policy", Text),
    UniqueConstraint("tenant_id", "external_id", "source"),
    sqlite_autoincrement=True,
)

# Several entries of a directory may claim one address: the look-up returns them all. As its own index (WITHOUT ROWID),
# the table answers from one place.
addresses = Table(
    "addresses",
    metadata,
    _owner("tenants", primary_key=True),
    Column("address", Text, primary_key=True),
    _owner("users", primary_key=True),
    Column("position", SmallInteger, nullable=False),
    Column("written", Text, nullable=False),
    Index("ix_addresses_user_id", "user_id"),
    sqlite_with_rowid=False,
)

directory_values = Table(
    "directory_values",
    metadata,
    _owner("users", primary_key=True),
    Column("position", SmallInteger, primary_key=True, autoincrement=False),
    Column("attribute", Text, nullable=False),
    Column("value", LargeBinary, nullable=False),
)

directory_states = Table(
    "directory_states",
    metadata,
    _owner("tenants", primary_key=True),
    Column("source", Text, primary_key=True),
    Column("state", Text, nullable=False),
)

private_keys = Table(
    "private_keys",
    metadata,
    _owner("users", primary_key=True),
    Column("fingerprint", LargeBinary, primary_key=True),
    Column("certificate", LargeBinary, nullable=False),
    Column("chain", LargeBinary, nullable=False),
    Column("master_key", Text),
    Column("sealed", LargeBinary),
    Column("token", Text),
    Column("imported", Instant, nullable=False),
    Column("retired", Instant),
    Column("chosen", Boolean, nullable=False, default=False),
    CheckConstraint("(sealed IS NULL) <> (token IS NULL)", name="one_place"),
    CheckConstraint("(sealed IS NULL) = (master_key IS NULL)", name="sealed_by"),
    Index("ix_private_keys_master_key", "master_key"),
)

master_keys = Table(
    "master_keys",
    metadata,
    Column("identifier", Text, primary_key=True),
    Column("since", Instant, nullable=False),
    # TRUE for the one that seals, NULL for former ones: the constraint lets no two be current.
    Column("current", Boolean, unique=True),
)

collections = Table(
    "collections", metadata, _owner("tenants", primary_key=True), Column("sst", LargeBinary, nullable=False)
)

distrusted = Table(
    "distrusted",
    metadata,
    _owner("tenants", primary_key=True),
    Column("fingerprint", LargeBinary, primary_key=True),
    Column("position", Integer, nullable=False),
)

pins = Table(
    "pins",
    metadata,
    _owner("tenants", primary_key=True),
    Column("name", Text, primary_key=True),
    Column("fingerprint", LargeBinary, primary_key=True),
    Column("position", Integer, nullable=False),
)

smime_configs = Table(
    "smime_configs", metadata, _owner("tenants", primary_key=True), Column("settings", Text, nullable=False)
)

mobile_policies = Table(
    "mobile_policies",
    metadata,
    _owner("tenants", primary_key=True),
    Column("name", Text, primary_key=True),
    Column("settings", JSON, nullable=False),
    Column("is_default", Boolean, nullable=False, default=False),
)

harvested = Table(
    "harvested",
    metadata,
    _owner("tenants", primary_key=True),
    Column("address", Text, primary_key=True),
    Column("fingerprint", LargeBinary, primary_key=True),
    Column("written", Text, nullable=False),
    Column("certificate", LargeBinary, nullable=False),
    Column("chain", LargeBinary, nullable=False),
    Column("capabilities", LargeBinary),
    Column("preferred", Boolean, nullable=False, default=False),
    Column("pinned", Boolean, nullable=False, default=False),
    Column("source", Text, nullable=False),
    Column("first_seen", Instant, nullable=False),
    Column("last_seen", Instant, nullable=False),
)

audit_events = Table(
    "audit_events",
    metadata,
    _id(),
    # Not a reference: what was done outlives the tenant it was done to.
    Column("tenant", Text, nullable=False, default=""),
    Column("at", Instant, nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("subject", Text, nullable=False, default=""),
    Column("detail", JSON, nullable=False),
    Index("ix_audit_events_tenant_at", "tenant", "at"),
    sqlite_autoincrement=True,
)
