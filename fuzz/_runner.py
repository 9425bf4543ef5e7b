"""Finds the fuzz targets and runs one for a while with deterministic mutations of its seeds.

A finding is an exception of the target, or an input that takes far longer than its size allows. It is shrunk a
little and returned; nothing is written here.
"""

from __future__ import annotations

import importlib
import pkgutil
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

import fuzz
from fuzz._mutations import mutate

__all__ = ["Finding", "Outcome", "Target", "run", "target_names"]

SLOW_SECONDS = 10.0
"""One input of at most 64 KB: a hundred times what the slowest target needs, so that a busy machine is no finding."""

_SHRINK_ATTEMPTS = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """An input that broke the promise, and how."""

    data: bytes
    report: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one run of one target did."""

    target: str
    executions: int
    seconds: float
    finding: Finding | None


class Target:
    """One target module: `fuzz` and `seeds`."""

    def __init__(self, name: str) -> None:
        module = importlib.import_module(f"fuzz.{name}")
        self.name = name
        self.fuzz: Callable[[bytes], None] = module.fuzz
        self.seeds: list[bytes] = list(module.seeds()) or [b""]


def target_names() -> tuple[str, ...]:
    """The targets by name."""
    return tuple(sorted(found.name for found in pkgutil.iter_modules(fuzz.__path__) if not found.name.startswith("_")))


def run(target: Target, *, seed: int = 0, seconds: float | None = None, executions: int | None = None) -> Outcome:
    """Run until the time or the number of executions is used up, or the first finding."""
    started = time.monotonic()
    deadline = started + seconds if seconds is not None else float("inf")
    done = 0
    finding = None
    for data in _inputs(target, seed):
        finding = _broken_promise(target, data)
        done += 1
        if finding is not None or done == executions or time.monotonic() >= deadline:
            break
    if finding is not None:
        finding = _shrink(target, finding)
    return Outcome(target=target.name, executions=done, seconds=time.monotonic() - started, finding=finding)


def _inputs(target: Target, seed: int) -> Iterator[bytes]:
    """The seeds, the empty input, then mutants for ever."""
    yield b""
    yield from target.seeds
    random = Random(f"{target.name}:{seed}")
    while True:
        yield mutate(random, random.choice(target.seeds), target.seeds)


def _broken_promise(target: Target, data: bytes) -> Finding | None:
    started = time.monotonic()
    try:
        target.fuzz(data)
    except Exception:
        return Finding(data=data, report=traceback.format_exc(limit=-8))
    took = time.monotonic() - started
    return Finding(data=data, report=f"took {took:.1f} s for {len(data)} bytes") if took > SLOW_SECONDS else None


def _shrink(target: Target, finding: Finding) -> Finding:
    """Remove slices as long as the input is still a finding (slow ones stay as they are)."""
    if finding.report.startswith("took"):
        return finding
    attempts = 0
    size = max(1, len(finding.data) // 2)
    while size:
        at = 0
        while at < len(finding.data) and attempts < _SHRINK_ATTEMPTS:
            attempts += 1
            smaller = _broken_promise(target, finding.data[:at] + finding.data[at + size :])
            if smaller is None:
                at += size
            else:
                finding = smaller
        size //= 2
    return finding
