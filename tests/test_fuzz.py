"""The fuzz targets for a moment each (`make fuzz` is the long form), and the harness itself."""

from __future__ import annotations

import pytest

from fuzz import _mutations, _runner


@pytest.mark.parametrize("name", _runner.target_names())
def test_target_keeps_its_promise(name):
    outcome = _runner.run(_runner.Target(name), seconds=0.5, executions=400)
    if outcome.finding is not None:
        pytest.fail(f"input {outcome.finding.data.hex()}\n{outcome.finding.report}", pytrace=False)


class _Fussy(_runner.Target):
    """A target that breaks its promise when it sees a certain byte."""

    def __init__(self) -> None:
        self.name = "fussy"
        self.seeds = [b"0123456789" * 10]

    @staticmethod
    def fuzz(data: bytes) -> None:
        if b"\xff" in data:
            raise ValueError("found it")


def test_a_finding_is_made_shrunk_and_repeatable():
    first, second = (_runner.run(_Fussy(), executions=20_000) for _ in range(2))
    assert first.finding == second.finding
    assert first.finding is not None
    assert first.finding.data == b"\xff"
    assert "found it" in first.finding.report


def test_mutants_stay_small():
    from random import Random

    random = Random(1)
    corpus = [b"a" * _mutations.MAXIMUM_SIZE, b"b"]
    assert all(len(_mutations.mutate(random, corpus[0], corpus)) <= _mutations.MAXIMUM_SIZE for _ in range(500))
