"""A real PostgreSQL for tests: Debian's server programs, a cluster in a folder of its own, a Unix socket.

PostgreSQL refuses to run as root: where the tests do, the server runs as `postgres`, whom Debian's package makes.
Nothing of the machine's own clusters is touched, and no port is opened.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from itertools import count
from pathlib import Path

import psycopg

_PROGRAMS = Path("/usr/lib/postgresql/15/bin")
_USER = "smime"


class Postgres:
    """One server; `database()` makes a database and returns its URL."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="pg-"))
        self._account: dict[str, str] = {}
        if os.geteuid() == 0:
            shutil.chown(self.folder, "postgres", "postgres")
            self._account = {"user": "postgres", "group": "postgres"}
        self._data = self.folder / "data"
        self._numbers = count()
        self._run("initdb", "-D", self._data, "-U", _USER, "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")
        self.start()

    def start(self) -> None:
        settings = f"-c listen_addresses='' -c fsync=off -c max_connections=40 -k {self.folder}"
        log = self.folder / "log"
        self._run("pg_ctl", "start", "-w", "-s", "-t", "60", "-D", self._data, "-l", log, "-o", settings)

    def stop(self, mode: str = "fast") -> None:
        """`fast` ends all connections; `immediate` is a crash."""
        self._run("pg_ctl", "stop", "-w", "-s", "-D", self._data, "-m", mode)

    def remove(self) -> None:
        self.stop("immediate")
        shutil.rmtree(self.folder, ignore_errors=True)

    def database(self) -> str:
        name = f"t{next(self._numbers)}"
        with psycopg.connect(host=str(self.folder), user=_USER, dbname="postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return f"postgresql://{_USER}@/{name}?host={self.folder}"

    def _run(self, program: str, *arguments: object) -> None:
        command = [str(_PROGRAMS / program), *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, cwd=self.folder, check=False, timeout=120, **self._account)
        assert done.returncode == 0, done.stderr.decode("utf-8", "replace")
