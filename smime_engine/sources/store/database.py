"""Connections of the tenant store: SQLite or PostgreSQL, transactions, errors.

Does: open an engine from a URL, with the settings under which a killed process leaves the old or the new state; hand
out reading and writing transactions; turn the database's failures into `SourceUnavailable`, whose text never holds a
password or a row. Does not: know any table but the one that names the schema's revision.

SQLite: write-ahead log, every commit on the disk before it returns, foreign keys checked, ten seconds of patience with
other writers; the file is made readable by its owner alone. A writing transaction takes the write lock when it begins,
so that it cannot fail half-way because somebody else wrote meanwhile.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy
from sqlalchemy import Connection, Engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from smime_engine.errors import ConfigurationError, SourceUnavailable
from smime_engine.sources.store.schema import HEAD

__all__ = ["Database", "open_database", "store_url"]

_PATIENCE = 10  # seconds that a writer waits for another one
_WRITES = "smime_writes"
_DRIVERS = {"sqlite": "sqlite+pysqlite", "postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg"}


def store_url(text_or_path: str) -> URL:
    """The database that a text names: a URL of SQLite or PostgreSQL, or the path of an SQLite file.

    Raises ConfigurationError for other databases and for SQLite without a file.
    """
    if "://" not in text_or_path:
        return URL.create("sqlite+pysqlite", database=text_or_path)
    try:
        url = make_url(text_or_path)
    except ArgumentError as error:
        raise ConfigurationError(
            "the store's URL cannot be read: sqlite:///FILE or postgresql://USER@HOST/NAME"
        ) from error
    driver = _DRIVERS.get(url.get_backend_name())
    if driver is None:
        raise ConfigurationError(f"the store cannot be in {url.get_backend_name()}: use SQLite or PostgreSQL")
    if driver.startswith("sqlite") and url.database in {None, "", ":memory:"}:
        raise ConfigurationError("the store needs a file: sqlite:////var/lib/smime/store.sqlite")
    return url.set(drivername=driver)


class Database:
    """An engine with the store's rules. Threads may share it; processes may not (open one after a fork)."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        # One state for all queries of a reader; a writer sees what others committed while it waited for their locks.
        snapshot = {} if engine.dialect.name == "sqlite" else {"isolation_level": "REPEATABLE READ"}
        self._reading = engine.execution_options(**snapshot)
        self._writing = engine.execution_options(**{_WRITES: True})

    @property
    def name(self) -> str:
        """Where the store is, without a password: for messages."""
        return self.engine.url.render_as_string(hide_password=True)

    @property
    def is_sqlite(self) -> bool:
        """Whether it is an SQLite file."""
        return self.engine.dialect.name == "sqlite"

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that reads one state of the store. Raises SourceUnavailable."""
        with self._translated(), self._reading.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that is committed where the block ends, and rolled back where it raises."""
        with self._translated(), self._writing.begin() as connection:
            yield connection

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (DBAPIError, PoolTimeout) as error:
            reason = type(getattr(error, "orig", None) or error).__name__
            raise SourceUnavailable(
                f"the store {self.name} does not answer as it should ({reason}); try again"
            ) from error

    def require_schema(self) -> None:
        """Raise ConfigurationError where the tables are missing, older or newer than this program's."""
        found = self.revision()
        if found is None:
            raise ConfigurationError(f"there is no store in {self.name}: `smime tenant init` makes one")
        if found != HEAD:
            older = "older" if found < HEAD else "newer"
            hint = "`smime tenant upgrade` brings it up to date" if older == "older" else "update this program"
            raise ConfigurationError(f"the store {self.name} is {older} than this program: {hint}")

    def revision(self) -> str | None:
        """The revision of the schema that is there; None where there is none."""
        with self.reading() as connection:
            if not sqlalchemy.inspect(connection).has_table("alembic_version"):
                return None
            found: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
            return found

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


def open_database(url: str, *, create: bool = False) -> Database:
    """Open a database; with `create`, an SQLite file (and its folder) is made where there is none.

    Raises ConfigurationError, and SourceUnavailable where a server does not answer.
    """
    target = store_url(url)
    if target.get_backend_name() == "sqlite":
        assert target.database is not None
        _prepare_file(Path(target.database), create=create)
        engine = sqlalchemy.create_engine(target, connect_args={"timeout": _PATIENCE, "check_same_thread": False})
        event.listen(engine, "connect", _configure_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return Database(engine)
    try:
        engine = sqlalchemy.create_engine(target, pool_pre_ping=True)
    except (ImportError, NoSuchModuleError) as error:
        raise ConfigurationError("PostgreSQL needs psycopg: install smime-engine[postgres]") from error
    return Database(engine)


def _prepare_file(path: Path, *, create: bool) -> None:
    if path.exists():
        return
    if not create:
        raise ConfigurationError(f"there is no store {path}: `smime tenant init` makes one")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))


def _configure_sqlite(connection: sqlite3.Connection, _record: Any) -> None:
    connection.isolation_level = None  # transactions begin where SQLAlchemy says so, DDL included
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        "mmap_size=268435456",
        "cache_size=-65536",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
