"""Fixtures for sources: tenant stores, each test once on SQLite and once on PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import pytest

from smime_engine.sources.store import TenantStore, open_store
from smime_engine.sources.store.database import open_database
from smime_engine.sources.store.migrations import upgrade
from tests import pki


@pytest.fixture(scope="session")
def _servers() -> Iterator[list]:
    started: list = []
    yield started
    for server in started:
        server.remove()


@pytest.fixture
def postgres(_servers: list):
    """A PostgreSQL server; the same one for all tests. Those that use it carry the marker `postgres`."""
    if not _servers:
        from tests.sources.postgres import Postgres

        _servers.append(Postgres())
    return _servers[0]


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database without tables."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'store.sqlite'}"
    return request.getfixturevalue("postgres").database()


def create(url: str) -> str:
    """Make the tables."""
    database = open_database(url, create=True)
    upgrade(database)
    database.close()
    return url


@pytest.fixture
def url(empty_url: str) -> str:
    """A store without tenants."""
    return create(empty_url)


class Clock:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.moment = pki.MOMENT

    def __call__(self) -> datetime:
        return self.moment


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def opened(clock: Clock) -> Iterator[Callable[[str], TenantStore]]:
    """Open stores that are closed after the test."""
    stores: list[TenantStore] = []

    def make(url: str) -> TenantStore:
        stores.append(open_store(url, actor="test", clock=clock))
        return stores[-1]

    yield make
    for store in stores:
        store.close()


@pytest.fixture
def store(url: str, opened: Callable[[str], TenantStore]) -> TenantStore:
    """A store without tenants, opened."""
    return opened(url)
