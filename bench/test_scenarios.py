"""The benchmarks as pytest-benchmark runs them: one test for each scenario; nothing is asserted about times."""

from __future__ import annotations

import importlib
import os
import pkgutil
from typing import Any

import pytest

from bench import scenarios
from bench.contest import SCENARIOS, measure

for _module in pkgutil.iter_modules(scenarios.__path__):
    importlib.import_module(f"bench.scenarios.{_module.name}")

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "60"))
QUICK = "BENCH_QUICK" in os.environ


@pytest.mark.parametrize("name", SCENARIOS)
def test_scenario(benchmark: Any, name: str) -> None:
    measure(benchmark, SCENARIOS[name](), rounds=ROUNDS, quick=QUICK)
