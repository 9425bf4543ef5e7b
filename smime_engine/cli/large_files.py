"""Files that are larger than memory: read in pieces, written beside their place and renamed when they are whole.

Does: sources with a progress bar on a terminal, scratch files that vanish, output that appears whole or not at all.
Does not: decide which way a command goes; `is_large` says when the streamed one is worth it.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

import click

__all__ = ["LARGE", "FileSource", "ScratchFile", "is_large", "scratch_files", "write_pieces"]

LARGE = 32 * 1024 * 1024
"""Octets from which a file is streamed: below that, memory is cheaper than the second reading."""

_CHUNK = 1024 * 1024


def is_large(name: str) -> bool:
    """Whether a file (not a pipe) is to be streamed."""
    path = Path(name)
    return name != "-" and path.is_file() and path.stat().st_size > LARGE


class FileSource:
    """A file as source of the engine's streamed functions: each call reads it from the beginning."""

    def __init__(self, name: str, *, readings: int = 1, label: str = "") -> None:
        """`readings` of the whole file make the progress bar full; it is drawn on a terminal alone."""
        self._path = Path(name)
        self.size = self._path.stat().st_size
        self._total = self.size * readings
        self._done = 0
        self._label = label
        self._shows = bool(label) and sys.stderr.isatty()

    def __call__(self) -> Iterator[bytes]:
        """Read the file from the beginning, in pieces of 1 MiB."""
        with self._path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                self._advance(len(chunk))
                yield chunk

    def _advance(self, octets: int) -> None:
        self._done += octets
        if not self._shows:
            return
        share = min(self._done / self._total, 1) if self._total else 1
        bar = "#" * int(share * 30)
        click.echo(f"\r{self._label} [{bar:<30}] {share:4.0%}", nl=share == 1, err=True)


class ScratchFile:
    """The content of one layer, on disk, readable by nobody else."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def write(self, octets: bytes, /) -> int:
        """Append."""
        return self._file.write(octets)

    def read(self) -> Iterator[bytes]:
        """Everything from the beginning, in pieces."""
        position = 0
        while True:
            self._file.seek(position)
            chunk = self._file.read(_CHUNK)
            if not chunk:
                return
            position += len(chunk)
            yield chunk


@contextmanager
def scratch_files(folder: Path | None = None) -> Iterator[Callable[[], ScratchFile]]:
    """Hand out scratch files (unnamed where the system can) that are gone afterwards, whatever happens.

    Decrypted content is in them: they lie in `folder`, beside the output, whose file system is the user's choice.
    """

    def new() -> ScratchFile:
        return ScratchFile(stack.enter_context(tempfile.TemporaryFile(dir=folder)))

    with ExitStack() as stack:
        yield new


def write_pieces(name: str | None, pieces: Iterable[bytes | bytearray | memoryview]) -> None:
    """Write a result that comes in pieces; None or `-` is standard output. A file appears whole or not at all."""
    if name is None or name == "-":
        for piece in pieces:
            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
        return
    with click.open_file(name, "wb", atomic=True) as stream:
        for piece in pieces:
            stream.write(piece)
