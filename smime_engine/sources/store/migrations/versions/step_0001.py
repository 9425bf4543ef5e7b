"""The first tables: tenants, users with addresses and certificates, keys, trust, settings, harvest, audit.

Does: make them, in the words of this revision; what changes later stands in later steps. Does not: go back.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make the tables, those first that others refer to."""
    _tenants()
    _users()
    _keys()
    _settings()
    _harvest_and_audit()


def _owner(table: str, owned: str) -> list[sa.schema.SchemaItem]:
    column = f"{table.removesuffix('s')}_id"
    name = f"fk_{owned}_{column}"
    return [
        sa.Column(column, _NUMBER, autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint([column], [f"{table}.id"], name=op.f(name), ondelete="CASCADE"),
    ]


def _key(table: str, *columns: str) -> sa.PrimaryKeyConstraint:
    return sa.PrimaryKeyConstraint(*columns, name=op.f(f"pk_{table}"))


def _tenants() -> None:
    op.create_table(
        "tenants",
        sa.Column("id", _NUMBER, autoincrement=True, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("display_name", sa.Text(), nullable=False),
        sa.Column("created", _INSTANT, nullable=False),
        _key("tenants", "id"),
        sa.UniqueConstraint("name", name=op.f("uq_tenants_name")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "domains",
        sa.Column("domain", sa.Text(), nullable=False),
        *_owner("tenants", "domains"),
        sa.Column("position", sa.Integer(), nullable=False),
        _key("domains", "domain"),
    )
    op.create_index(op.f("ix_domains_tenant_id"), "domains", ["tenant_id"])


def _users() -> None:
    op.create_table(
        "users",
        sa.Column("id", _NUMBER, autoincrement=True, nullable=False),
        *_owner("tenants", "users"),
        sa.Column("display_name", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=False),
        sa.Column("revision", sa.Text(), nullable=False),
        sa.Column("members", sa.Text()),
        sa.Column("mobile_policy", sa.Text()),
        _key("users", "id"),
        sa.UniqueConstraint("tenant_id", "external_id", "source", name=op.f("uq_users_tenant_id_external_id_source")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "addresses",
        *_owner("tenants", "addresses"),
        sa.Column("address", sa.Text(), nullable=False),
        *_owner("users", "addresses"),
        sa.Column("position", sa.SmallInteger(), nullable=False),
        sa.Column("written", sa.Text(), nullable=False),
        _key("addresses", "tenant_id", "address", "user_id"),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_addresses_user_id"), "addresses", ["user_id"])
    op.create_table(
        "directory_values",
        *_owner("users", "directory_values"),
        sa.Column("position", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("attribute", sa.Text(), nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=False),
        _key("directory_values", "user_id", "position"),
    )
    op.create_table(
        "directory_states",
        *_owner("tenants", "directory_states"),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        _key("directory_states", "tenant_id", "source"),
    )


def _keys() -> None:
    op.create_table(
        "private_keys",
        *_owner("users", "private_keys"),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("certificate", sa.LargeBinary(), nullable=False),
        sa.Column("chain", sa.LargeBinary(), nullable=False),
        sa.Column("master_key", sa.Text()),
        sa.Column("sealed", sa.LargeBinary()),
        sa.Column("token", sa.Text()),
        sa.Column("imported", _INSTANT, nullable=False),
        sa.Column("retired", _INSTANT),
        sa.Column("chosen", sa.Boolean(), nullable=False),
        _key("private_keys", "user_id", "fingerprint"),
        sa.CheckConstraint("(sealed IS NULL) <> (token IS NULL)", name=op.f("ck_private_keys_one_place")),
        sa.CheckConstraint("(sealed IS NULL) = (master_key IS NULL)", name=op.f("ck_private_keys_sealed_by")),
    )
    op.create_index(op.f("ix_private_keys_master_key"), "private_keys", ["master_key"])
    op.create_table(
        "master_keys",
        sa.Column("identifier", sa.Text(), nullable=False),
        sa.Column("since", _INSTANT, nullable=False),
        sa.Column("current", sa.Boolean()),
        _key("master_keys", "identifier"),
        sa.UniqueConstraint("current", name=op.f("uq_master_keys_current")),
    )


def _settings() -> None:
    op.create_table(
        "collections",
        *_owner("tenants", "collections"),
        sa.Column("sst", sa.LargeBinary(), nullable=False),
        _key("collections", "tenant_id"),
    )
    op.create_table(
        "distrusted",
        *_owner("tenants", "distrusted"),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        _key("distrusted", "tenant_id", "fingerprint"),
    )
    op.create_table(
        "pins",
        *_owner("tenants", "pins"),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        _key("pins", "tenant_id", "name", "fingerprint"),
    )
    op.create_table(
        "smime_configs",
        *_owner("tenants", "smime_configs"),
        sa.Column("settings", sa.Text(), nullable=False),
        _key("smime_configs", "tenant_id"),
    )
    op.create_table(
        "mobile_policies",
        *_owner("tenants", "mobile_policies"),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("is_default", sa.Boolean(), nullable=False),
        _key("mobile_policies", "tenant_id", "name"),
    )


def _harvest_and_audit() -> None:
    op.create_table(
        "harvested",
        *_owner("tenants", "harvested"),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("written", sa.Text(), nullable=False),
        sa.Column("certificate", sa.LargeBinary(), nullable=False),
        sa.Column("chain", sa.LargeBinary(), nullable=False),
        sa.Column("capabilities", sa.LargeBinary()),
        sa.Column("preferred", sa.Boolean(), nullable=False),
        sa.Column("pinned", sa.Boolean(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("first_seen", _INSTANT, nullable=False),
        sa.Column("last_seen", _INSTANT, nullable=False),
        _key("harvested", "tenant_id", "address", "fingerprint"),
    )
    op.create_table(
        "audit_events",
        sa.Column("id", _NUMBER, autoincrement=True, nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("at", _INSTANT, nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=False),
        _key("audit_events", "id"),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_audit_events_tenant_at"), "audit_events", ["tenant", "at"])
