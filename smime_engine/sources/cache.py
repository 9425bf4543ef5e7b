"""A cache of fetched files on disk, shared by processes.

Does: keep octets under a key, one file each, written whole or not at all (a new file renamed over the old one), so that
any number of processes may read and write without locks; notice damage (a digest in each file); stay below a size.
Does not: know how long something is good for (its content says so) or trust what it reads: signatures are verified by
those who use it.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

__all__ = ["CachedFile", "DiskCache"]

_MAGIC = b"smime-engine cache 1\n"
_LONGEST_HEADER = 16_384
_TRIM_EVERY = 64  # files written between two looks at the size of the folder


@dataclass(frozen=True, slots=True, kw_only=True)
class CachedFile:
    """What was kept: the address it came from, when (aware, UTC), and the octets."""

    url: str
    fetched_at: datetime
    body: bytes


class DiskCache:
    """Files in one folder, made with mode 0700. All methods block: call them in a thread.

    `size` bounds the folder in octets; the files that were written longest ago go first. Failures to write are
    ignored: a cache may always be empty.
    """

    def __init__(self, folder: Path, *, size: int = 2 * 1024**3) -> None:
        self._folder = folder
        self._size = size
        self._written = 0

    def read(self, key: str) -> CachedFile | None:
        """What is kept under a key (any text); None where there is nothing, or the file is damaged."""
        path = self._path(key)
        try:
            data = path.read_bytes()
        except OSError:
            return None
        found = _parsed(data, key)
        if found is None:
            self.forget(key)
        return found

    def write(self, key: str, kept: CachedFile) -> None:
        """Keep a file under a key, in place of what was there."""
        header = {
            "key": key,
            "url": kept.url,
            "fetched_at": kept.fetched_at.timestamp(),
            "sha256": sha256(kept.body).hexdigest(),
        }
        with contextlib.suppress(OSError):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=self._folder, prefix="new-")
            try:
                with os.fdopen(handle, "wb") as file:
                    file.writelines((_MAGIC, json.dumps(header).encode(), b"\n", kept.body))
                Path(name).replace(self._path(key))
            except OSError:
                Path(name).unlink(missing_ok=True)
                raise
            self._written += 1
            if self._written % _TRIM_EVERY == 1:
                self.trim()

    def forget(self, key: str) -> None:
        """Remove what is kept under a key, if anything."""
        with contextlib.suppress(OSError):
            self._path(key).unlink()

    def trim(self) -> None:
        """Remove the files that were written longest ago until the folder is below its size."""
        files = sorted(self._files(), reverse=True)
        total = 0
        for _, size, path in files:
            total += size
            if total > self._size:
                with contextlib.suppress(OSError):
                    path.unlink()

    def _files(self) -> Iterator[tuple[float, int, Path]]:
        with contextlib.suppress(OSError):
            for path in self._folder.iterdir():
                with contextlib.suppress(OSError):
                    status = path.stat()
                    yield status.st_mtime, status.st_size, path

    def _path(self, key: str) -> Path:
        return self._folder / (sha256(key.encode()).hexdigest() + ".cache")


def _parsed(data: bytes, key: str) -> CachedFile | None:
    """Read a cache file; None for anything that this program did not write just so."""
    if not data.startswith(_MAGIC):
        return None
    end = data.find(b"\n", len(_MAGIC), len(_MAGIC) + _LONGEST_HEADER)
    if end < 0:
        return None
    body = data[end + 1 :]
    try:
        header = json.loads(data[len(_MAGIC) : end])
        if header["key"] != key or header["sha256"] != sha256(body).hexdigest():
            return None
        fetched_at = datetime.fromtimestamp(header["fetched_at"], UTC)
        return CachedFile(url=str(header["url"]), fetched_at=fetched_at, body=body)
    except (ValueError, KeyError, TypeError, OverflowError, OSError, RecursionError):
        return None
