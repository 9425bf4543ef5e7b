"""A contest: our code, its floor and its peers, measured round by round in turn.

Machines drift (clock speed, neighbours, caches). So one round measures the floor, every peer and our code one after
the other, a few milliseconds each, and the medians over many rounds are compared. pytest-benchmark times our code;
the others are timed with the same clock in the untimed set-up of each of its rounds.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["SCENARIOS", "Contest", "measure", "scenario"]

Act = Callable[[], object]

_BATCH_SECONDS = 0.004
"""How long one contestant is on turn: long against the clock's resolution, short against the machine's drift."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contest:
    """What one scenario compares: everything is prepared, one call is one operation.

    `floor` is what nothing can be faster than; `figures` measures what is not a time (peak memory) and is called once.
    """

    ours: Act
    floor: Act
    peers: Mapping[str, Act] = field(default_factory=dict)
    figures: Callable[[], dict[str, float]] = dict


SCENARIOS: dict[str, Callable[[], Contest]] = {}
"""Scenario name → what prepares it."""


def scenario(prepare: Callable[[], Contest]) -> Callable[[], Contest]:
    """Register a scenario under its function's name."""
    SCENARIOS[prepare.__name__] = prepare
    return prepare


def measure(benchmark: Any, contest: Contest, *, rounds: int, quick: bool) -> None:
    """Measure one contest with pytest-benchmark's fixture; results go into its `extra_info`.

    Times in `extra_info` are medians in microseconds per operation. `quick` calls everything a few times only.
    """
    others = {"floor": contest.floor, **contest.peers}
    batches = {name: 1 if quick else _batch_size(act) for name, act in {**others, "ours": contest.ours}.items()}
    times: dict[str, list[float]] = {name: [] for name in others}
    ours: list[float] = []

    def others_in_turn() -> None:
        for name, act in others.items():
            times[name].append(_seconds_per_call(act, batches[name]))

    def our_turn() -> None:
        ours.append(_seconds_per_call(contest.ours, batches["ours"]))

    gc.collect()
    gc.disable()
    try:
        benchmark.pedantic(our_turn, setup=others_in_turn, rounds=rounds, iterations=1)
    finally:
        gc.enable()
    benchmark.extra_info["us"] = {name: statistics.median(values) * 1e6 for name, values in times.items()}
    benchmark.extra_info["us"]["ours"] = statistics.median(ours) * 1e6
    benchmark.extra_info["batch"] = batches["ours"]
    benchmark.extra_info["figures"] = contest.figures()


def _seconds_per_call(act: Act, batch: int) -> float:
    started = time.perf_counter()
    for _ in range(batch):
        act()
    return (time.perf_counter() - started) / batch


def _batch_size(act: Act) -> int:
    """Calls that fill one turn; also the warm-up."""
    once = min(_seconds_per_call(act, 1) for _ in range(5))
    return max(1, round(_BATCH_SECONDS / max(once, 1e-7)))
