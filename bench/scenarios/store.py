"""The tenant store: one address looked up among a million directory entries in SQLite.

Ours: the public call, with connection, transaction, two queries and the values they make. Floor: the same rows by the
standard library's sqlite3 with prepared statements, and nothing made of them. The store is filled once by the public
call, in one transaction; `filled_per_second` is that rate, each entry with two addresses and a certificate of 700
octets. `median_us_cold` looks up addresses all over the store once each, as a gateway does that has no cache yet.
"""

from __future__ import annotations

import atexit
import hashlib
import shutil
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

from bench.contest import Contest, scenario
from bench.material import size
from smime_engine.sources.store import DirectoryValue, Tenant, User, open_store
from smime_engine.sources.store.database import open_database
from smime_engine.sources.store.migrations import upgrade

_CERTIFICATE = 700  # octets, as one with a P-256 key has
_STEP = 7_919  # a prime: looks all over the store


@scenario
def store_lookup_1m() -> Contest:
    """One address among 1,000,000 entries (1,000 with --quick)."""
    entries = size(1_000_000, quick=1_000)
    folder = Path(tempfile.mkdtemp(prefix="bench-store-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = folder / "store.sqlite"
    database = open_database(str(path), create=True)
    upgrade(database)
    database.close()
    store = open_store(str(path), actor="bench")
    atexit.register(store.close)
    directory = store.add_tenant(Tenant(name="bench")).directory
    started = time.perf_counter()
    directory.apply("bench", _users(entries), progress=_told(entries))
    rate = entries / (time.perf_counter() - started)
    wanted = _addresses(entries)

    def ours() -> None:
        address = next(wanted)
        (user,) = directory.find((address,))[address]
        assert len(user.values) == 1

    def figures() -> dict[str, float]:
        return {
            "filled_per_second": rate,
            "file_octets_per_entry": path.stat().st_size / entries,
            "median_us_cold": _cold(path, entries),
        }

    return Contest(ours=ours, floor=_floor(path, _addresses(entries)), figures=figures)


def _users(entries: int) -> Iterator[User]:
    for number in range(entries):
        value = hashlib.shake_128(b"%d" % number).digest(_CERTIFICATE)
        yield User(
            primary_address=f"first.last{number}@example.org",
            proxy_addresses=(f"u{number}@example.net",),
            display_name=f"First Last {number}",
            external_id=f"{number:036}",
            revision="1",
            values=(DirectoryValue(attribute="userCertificate", value=value),),
        )


def _addresses(entries: int) -> Iterator[str]:
    """Primary and other addresses in turn, all over the store."""
    for number in count():
        at = number * _STEP % entries
        yield f"First.Last{at}@example.org" if number % 2 else f"U{at}@example.net"


def _told(entries: int) -> Callable[[int], None]:
    done = 0

    def told(more: int) -> None:
        nonlocal done
        done += more
        if sys.stderr.isatty():
            sys.stderr.write(f"\rfilling the store: {done:,} of {entries:,}")

    return told


def _cold(path: Path, entries: int) -> float:
    """Microseconds of a look-up of something that was not asked for lately; the file itself may be in memory."""
    times = []
    with open_store(str(path)) as store:
        directory = store.tenant("bench").directory
        directory.find(["nobody@example.org"])
        for number in range(min(entries, 2_000)):
            address = f"first.last{(number * 104_729 + 13) % entries}@example.org"
            started = time.perf_counter()
            directory.find((address,))
            times.append(time.perf_counter() - started)
    return statistics.median(times) * 1e6


def _floor(path: Path, wanted: Iterator[str]) -> Callable[[], object]:
    connection = sqlite3.connect(path, isolation_level=None)
    atexit.register(connection.close)

    def floor() -> object:
        address = next(wanted).lower()
        query = "SELECT user_id FROM addresses WHERE tenant_id = 1 AND address = ?"
        ((user,),) = connection.execute(query, (address,)).fetchall()
        details = "SELECT u.*, a.written FROM users u JOIN addresses a ON a.user_id = u.id WHERE u.id = ?"
        values = "SELECT attribute, value FROM directory_values WHERE user_id = ?"
        return connection.execute(details, (user,)).fetchall(), connection.execute(values, (user,)).fetchall()

    return floor
