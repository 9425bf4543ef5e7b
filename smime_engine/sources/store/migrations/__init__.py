"""How the store's tables came to be, one step after the other; Alembic runs them.

Does: bring an empty or older store to the schema of this program, in one transaction, while others wait. Does not: go
back: an older program refuses a newer store, and a backup is the way back.
"""

from __future__ import annotations

from alembic import command
from alembic.config import Config

from smime_engine.sources.store.database import Database

__all__ = ["upgrade"]

_LOCK = 0x736D696D65  # "smime": whoever migrates a PostgreSQL store holds this advisory lock


def upgrade(database: Database) -> None:
    """Run all steps that are missing. Safe to call from several nodes at once, and to be killed."""
    config = Config()
    config.set_main_option("script_location", "smime_engine.sources.store:migrations")
    config.set_main_option("path_separator", "os")
    with database.writing() as connection:
        if not database.is_sqlite:
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
