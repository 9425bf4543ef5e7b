"""`python -m bench`: run the scenarios under pytest-benchmark and print what they cost beside floor and peers.

`--json FILE` writes `{scenario: {ours_us, floor_us, ratio_to_floor, peers: {name: {us, speedup}}, figures…}}`;
`speedup` is the peer's time divided by ours. All figures are medians of rounds measured in turn (bench/contest.py).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import click

_HERE = Path(__file__).resolve().parent


@click.command(help=__doc__)
@click.option("--only", help="Scenarios by name, separated by commas.")
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Write the figures there.")
@click.option("--rounds", type=int, default=60, show_default=True, help="Turns of each contestant.")
@click.option(
    "--quick", is_flag=True, help="One call a turn, two turns: checks that everything runs, measures nothing."
)
def main(*, only: str | None, json_file: Path | None, rounds: int, quick: bool) -> None:
    results = _run(only.split(",") if only else [], rounds=2 if quick else rounds, quick=quick)
    if json_file is not None:
        json_file.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    _print_table(results)


def _run(names: list[str], *, rounds: int, quick: bool) -> dict[str, dict[str, Any]]:
    """Run pytest in a process of its own, as its state should not depend on ours."""
    # The smoke test may itself run under pytest-xdist, whose workers would switch pytest-benchmark off.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment = {**inherited, "BENCH_ROUNDS": str(rounds), **({"BENCH_QUICK": "1"} if quick else {})}
    tests = [f"{_HERE / 'test_scenarios.py'}::test_scenario[{name}]" for name in names] or [str(_HERE)]
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        options = ["-q", "--no-header", "--no-summary", "-c", str(_HERE / "pytest.ini"), f"--rootdir={_HERE.parent}"]
        options += ["--benchmark-quiet", "--benchmark-columns=median,rounds", f"--benchmark-json={report}"]
        command = [sys.executable, "-m", "pytest", *options, *tests]
        done = subprocess.run(command, env=environment, cwd=_HERE.parent, stdout=subprocess.PIPE, check=False)
        if done.returncode != 0:
            sys.stderr.write(done.stdout.decode("utf-8", "replace"))
            sys.exit(done.returncode)
        measured = json.loads(report.read_bytes())["benchmarks"]
    return {entry["params"]["name"]: _figures(entry["extra_info"]) for entry in measured}


def _figures(info: dict[str, Any]) -> dict[str, Any]:
    times: dict[str, float] = dict(info["us"])
    ours, floor = times.pop("ours"), times.pop("floor")
    return {
        "ours_us": round(ours, 2),
        "floor_us": round(floor, 2),
        "ratio_to_floor": round(ours / floor, 3),
        "peers": {name: {"us": round(us, 2), "speedup": round(us / ours, 2)} for name, us in times.items()},
        **{name: round(value, 3) for name, value in info["figures"].items()},
    }


def _print_table(results: dict[str, dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title="medians; × is the peer's time divided by ours", title_justify="left")
    table.add_column("scenario", no_wrap=True)
    for column in ("ours µs", "floor µs", "ours / floor"):
        table.add_column(column, justify="right")
    table.add_column("peers")
    table.add_column("more")
    for name, figures in results.items():
        peers = "\n".join(f"{peer}: {it['us']:,.1f} µs (×{it['speedup']:.2f})" for peer, it in figures["peers"].items())
        known = {"ours_us", "floor_us", "ratio_to_floor", "peers"}
        more = "\n".join(f"{key}: {value:,}" for key, value in figures.items() if key not in known)
        table.add_row(
            *(name, f"{figures['ours_us']:,.1f}", f"{figures['floor_us']:,.1f}", f"{figures['ratio_to_floor']:.2f}"),
            *(peers, more),
        )
    Console(width=None if sys.stdout.isatty() else 140).print(table)


if __name__ == "__main__":
    main()
