"""`python -m fuzz`: run the fuzz targets one after the other; exit status 1 after a finding.

With atheris installed the targets run under it, guided by coverage, unless `--simple`; otherwise with the simple
mutator, whose inputs depend on `--seed` alone, so that a finding can be repeated. Findings go to `var/fuzz/`, and
`--replay FILE` runs one target on one of them.
"""

from __future__ import annotations

import hashlib
import importlib.util
import subprocess
import sys
from pathlib import Path

import click

from fuzz._coverage_guided import FINDINGS
from fuzz._runner import Outcome, Target, run, target_names


@click.command(help=__doc__)
@click.option("--seconds", type=float, help="Time for each target (10 if neither this nor --executions is given).")
@click.option("--executions", type=int, help="Inputs for each target.")
@click.option("--only", help="Targets by name, separated by commas.")
@click.option("--seed", type=int, default=0, show_default=True, help="Chooses the sequence of mutations.")
@click.option("--simple", is_flag=True, help="Use the simple mutator even where atheris is installed.")
@click.option("--replay", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="One input; needs --only.")
@click.option("--list", "list_only", is_flag=True, help="Name the targets and stop.")
def main(
    *,
    seconds: float | None,
    executions: int | None,
    only: str | None,
    seed: int,
    simple: bool,
    replay: Path | None,
    list_only: bool,
) -> None:
    names = only.split(",") if only else target_names()
    unknown = set(names) - set(target_names())
    if unknown:
        raise click.UsageError(f"no such target: {', '.join(sorted(unknown))}; there are {', '.join(target_names())}")
    if list_only:
        click.echo("\n".join(names))
        return
    if replay is not None:
        for name in names:
            Target(name).fuzz(replay.read_bytes())
        return
    if executions is None and seconds is None:
        seconds = 10.0
    if executions is None and not simple and importlib.util.find_spec("atheris") is not None:
        sys.exit(max(_coverage_guided(name, int(seconds or 10)) for name in names))
    failed = [
        name for name in names if not _report(run(Target(name), seed=seed, seconds=seconds, executions=executions))
    ]
    if failed:
        sys.exit(1)


def _coverage_guided(name: str, seconds: int) -> int:
    click.echo(f"{name}: atheris, {seconds} s")
    done = subprocess.run([sys.executable, "-m", "fuzz._coverage_guided", name, str(seconds)], check=False)
    return int(done.returncode != 0)


def _report(outcome: Outcome) -> bool:
    """Print one line, and the finding if there is one; True if there is none."""
    rate = outcome.executions / outcome.seconds if outcome.seconds else 0.0
    click.echo(f"{outcome.target:28} {outcome.executions:9,} inputs {outcome.seconds:7.1f} s {rate:9,.0f}/s", nl=False)
    if outcome.finding is None:
        click.echo("  ok")
        return True
    FINDINGS.mkdir(parents=True, exist_ok=True)
    path = FINDINGS / f"{outcome.target}-{hashlib.sha256(outcome.finding.data).hexdigest()[:12]}"
    path.write_bytes(outcome.finding.data)
    click.echo(f"  FOUND: python -m fuzz --only {outcome.target} --replay {path}\n{outcome.finding.report}")
    return False


if __name__ == "__main__":
    main()
