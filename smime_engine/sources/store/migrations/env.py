"""What Alembic runs for each migration: on the connection and in the transaction that `upgrade` has opened.

Does: hand the connection over. Does not: open one, or read a configuration file; to write a new step, add a module to
`versions/` and raise `schema.HEAD`.
"""

from __future__ import annotations

from alembic import context

from smime_engine.sources.store.schema import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, render_as_batch=True, transactional_ddl=True)
context.run_migrations()
