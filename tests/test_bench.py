"""The benchmark runs, and writes the figures that other programs read. Nothing here looks at a time."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.surroundings import REPOSITORY

PROMISED = {
    "sign_p256_4k",
    "sign_rsa2048_4k",
    "sign_smime_p256_4k",
    "sign_smime_rsa2048_4k",
    "verify_p256_4k_warm",
    "verify_rsa2048_4k_warm",
    "sign_25m",
}


@pytest.mark.openssl
def test_every_scenario_runs_once(tmp_path):
    figures_file = tmp_path / "figures.json"
    command = [sys.executable, "-m", "bench", "--quick", "--json", str(figures_file)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode("utf-8", "replace")
    results = json.loads(figures_file.read_bytes())
    assert set(results) >= PROMISED
    for figures in results.values():
        assert figures["ours_us"] > 0
        assert figures["floor_us"] > 0
        assert figures["ratio_to_floor"] > 0
        assert all(peer["us"] > 0 and peer["speedup"] >= 0 for peer in figures["peers"].values())
    assert results["sign_25m"]["peak_memory_ratio"] > 1
