"""What was delivered of messages that could not be delivered to everybody at once.

Does: remember in SQLite, for a message whose client was told to come again, which recipients have it, so that the
next attempt leaves them out; forget when the message is through or old. Does not: hold messages or addresses in clear
(digests only), or take part where one reply answers for all: then there is nothing to remember.

Durability: a row is on disk before the next variant goes out (synchronous=FULL). If the process dies between the next
hop's 250 and that row, the client's retry delivers to this recipient again, as with every SMTP relay (RFC 1047).
"""

from __future__ import annotations

import hashlib
import sqlite3
import threading
from collections.abc import Iterable
from pathlib import Path
from time import time

from smime_engine.addresses import comparable_address
from smime_engine.errors import SourceUnavailable

__all__ = ["Journal", "fingerprint"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS delivered (
    message BLOB NOT NULL, recipient BLOB NOT NULL, at REAL NOT NULL, PRIMARY KEY (message, recipient)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS delivered_at ON delivered (at);
"""
_KEPT_SECONDS = 14 * 86_400
"""Longer than mail servers try (RFC 5321 section 4.5.4.1: four to five days)."""


def fingerprint(sender: str, message: bytes) -> bytes:
    """What tells a message from all others when its client comes again: envelope sender and every octet."""
    digest = hashlib.sha256(sender.encode("utf-8", "surrogateescape") + b"\0")
    digest.update(message)
    return digest.digest()


class Journal:
    """A journal in a file, or in memory where `path` is None: then it does not outlive the process.

    Its methods block for a disk access and may be called from several threads; SourceUnavailable when the disk is full
    or the file is gone.
    """

    def __init__(self, path: Path | None) -> None:
        self._lock = threading.Lock()
        try:
            self._database = sqlite3.connect(
                ":memory:" if path is None else path, timeout=10, isolation_level=None, check_same_thread=False
            )
            if path is not None:
                path.chmod(0o600)
                self._database.execute("PRAGMA journal_mode = WAL")
                self._database.execute("PRAGMA synchronous = FULL")
            self._database.executescript(_SCHEMA)
        except (sqlite3.Error, OSError) as error:
            raise SourceUnavailable(f"delivery journal {path}: {error}") from error

    def delivered(self, message: bytes) -> frozenset[bytes]:
        """Digests of the recipients who have the message with this fingerprint."""
        return frozenset(row[0] for row in self._run("SELECT recipient FROM delivered WHERE message = ?", (message,)))

    def add(self, message: bytes, recipients: Iterable[str]) -> None:
        """Remember that these recipients have the message."""
        rows = [(message, digest_of(recipient), time()) for recipient in recipients]
        with self._lock, _as_source_unavailable():
            self._database.execute("BEGIN IMMEDIATE")
            try:
                self._database.executemany("INSERT OR IGNORE INTO delivered VALUES (?, ?, ?)", rows)
                self._database.execute("DELETE FROM delivered WHERE at < ?", (time() - _KEPT_SECONDS,))
                self._database.execute("COMMIT")
            except BaseException:
                self._database.execute("ROLLBACK")
                raise

    def forget(self, message: bytes) -> None:
        """The message is through."""
        self._run("DELETE FROM delivered WHERE message = ?", (message,))

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def _run(self, statement: str, values: tuple[object, ...]) -> list[tuple[bytes]]:
        with self._lock, _as_source_unavailable():
            return self._database.execute(statement, values).fetchall()


def digest_of(recipient: str) -> bytes:
    """A recipient as the journal knows it."""
    return hashlib.sha256((comparable_address(recipient) or recipient).encode("utf-8", "surrogateescape")).digest()


class _as_source_unavailable:  # noqa: N801 - used like a function
    """SQLite's errors as the engine's."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, sqlite3.Error):
            raise SourceUnavailable(f"delivery journal: {error}") from error
