"""Several worker processes on the same ports.

Does: fork the workers (each listens with SO_REUSEPORT, so that the kernel spreads connections), start those again that
die, pass SIGTERM and SIGHUP on, and end when all have ended. Does not: serve anything itself; workers share nothing
but files.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

__all__ = ["supervise"]

_TOO_SOON = 2.0
"""Seconds: a worker that dies sooner is started again only after a pause."""

_PAUSE = 0.5
_FAILED = 1
"""Exit status of a worker that ended by an exception, and did not crash or get killed."""

_ATTEMPTS = 3
"""How often in a row that may happen."""


def supervise(count: int, work: Callable[[int], int], log: Any) -> int:
    """Keep `count` workers running; `work` is called in each with its number, and gives its exit status.

    Returns the exit status of the whole: 0 after SIGTERM or SIGINT, 1 when no worker could be started.
    """
    return _Supervisor(count, work, log).run()


class _Supervisor:
    def __init__(self, count: int, work: Callable[[int], int], log: Any) -> None:
        self._work = work
        self._log = log
        self._numbers = range(count)
        self._running: dict[int, tuple[int, float]] = {}
        self._ending = False

    def run(self) -> int:
        for ending in (signal.SIGTERM, signal.SIGINT):
            signal.signal(ending, self._end)
        signal.signal(signal.SIGHUP, self._pass_on)
        for number in self._numbers:
            self._start(number)
        failures = given_up = 0
        while self._running:
            pid, status = os.wait()
            number, started = self._running.pop(pid)
            if self._ending:
                continue
            lived = time.monotonic() - started
            self._log.error(
                "worker.died", worker=number, status=os.waitstatus_to_exitcode(status), seconds=round(lived)
            )
            failures = failures + 1 if lived < _TOO_SOON else 0
            if failures > _ATTEMPTS:
                # They cannot work at all (a port is taken, a key is gone): the service manager shall know.
                self._end()
                given_up = 1
                continue
            if lived < _TOO_SOON:
                time.sleep(_PAUSE)
            if not self._ending:
                self._start(number)
        return given_up

    def _start(self, number: int) -> None:
        pid = os.fork()
        if pid == 0:
            status = _FAILED
            try:
                for signal_number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                    signal.signal(signal_number, signal.SIG_DFL)
                status = self._work(number)
            except BaseException as error:  # noqa: BLE001 - a child never returns into the parent's code
                print(f"smime relay: worker {number}: {error}", file=sys.stderr)
            finally:
                sys.stderr.flush()
                os._exit(status)
        self._running[pid] = number, time.monotonic()

    def _end(self, *_: object) -> None:
        self._ending = True
        self._send(signal.SIGTERM)

    def _pass_on(self, number: int, _: object) -> None:
        self._send(signal.Signals(number))

    def _send(self, number: signal.Signals) -> None:
        for pid in self._running:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
