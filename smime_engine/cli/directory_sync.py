"""`smime directory sync`: take an LDAP directory over into the tenant store, once or again and again.

Does: open source and store, call `sources.directory_sync`, show the report, keep the time. Does not: decide.
"""

from __future__ import annotations

import re
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from smime_engine.cli.rendering import json_text, printable
from smime_engine.cli.tenant_place import name_option, opened_store, progress_bar, store_option
from smime_engine.directory.synchronising import MOST_DELETIONS
from smime_engine.errors import ConfigurationError, SmimeError

if TYPE_CHECKING:
    from collections.abc import Callable

    from smime_engine.sources.directory_config import Ldap
    from smime_engine.sources.directory_sync import SyncReport
    from smime_engine.sources.store.directory import Directory

__all__ = ["sync_command"]

_SIGNS = {"added": "+", "changed": "~", "removed": "-", "refused": "!"}
_UNITS = {"s": 1, "m": 60, "h": 3600}


class _Period(click.ParamType[float]):
    """`30m`, `90s`, `2h`; the value is in seconds."""

    name = "period"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        found = re.fullmatch(r"([1-9][0-9]{0,5})([smh])", str(value))
        if found is None:
            self.fail("such as 30m, 90s or 2h", param, ctx)
        return int(found[1]) * _UNITS[found[2]]


class _Deletions(click.ParamType["int | None"]):
    """A number, or `all`."""

    name = "number|all"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | None:
        if value == "all":
            return None
        text = str(value)
        if not (text.isascii() and text.isdigit() and len(text) < 10):
            self.fail("a number, or all", param, ctx)
        return int(text)


@click.command(
    name="sync",
    epilog="Exit status: 0 synchronised, 1 some entries could not go over, 2 refused, 3 the directory does not answer.",
)
@store_option
@name_option
@click.option("--config", "config_file", required=True, metavar="TOML", help="The directories: see docs.")
@click.option("--source", metavar="NAME", help="Which [[ldap]] directory of the file. Default: the only one.")
@click.option("--dry-run", "dry", is_flag=True, help="Say what would change, and change nothing.")
@click.option(
    "--allow-deletions",
    "deletions",
    type=_Deletions(),
    default=MOST_DELETIONS,
    show_default=True,
    metavar="NUMBER|all",
    help="How many entries may be deleted at once.",
)
@click.option("--every", "seconds", type=_Period(), metavar="30m", help="Go on for ever, and start as often as this.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON, one line for each run with --every.")
def sync_command(
    *,
    url: str,
    name: str,
    config_file: str,
    source: str | None,
    dry: bool,
    deletions: int | None,
    seconds: float | None,
    as_json: bool,
) -> None:
    """Take users, groups and certificates over from an LDAP directory, as Entra Connect does.

    Only what is new or has changed is read. Of an attribute with more than 15 certificates none goes over, and the
    report names the entry. A run that is interrupted goes on where it was; private keys are never deleted.
    """
    from smime_engine.sources.directory_config import read_directory_configuration

    chosen = _chosen(read_directory_configuration(Path(config_file)).ldap, source, config_file)
    directory = opened_store(url).tenant(name).directory

    def once() -> bool:
        report = _synchronised(chosen, directory, dry=dry, deletions=deletions)
        if as_json:
            click.echo(json_text(_as_json(report)) if seconds is None else _line(report))
        else:
            _tell(report)
        return not any(change.kind == "refused" for change in report.changes)

    if seconds is None:
        sys.exit(0 if once() else 1)
    _again_and_again(once, seconds)


def _chosen(known: tuple[Ldap, ...], source: str | None, config_file: str) -> Ldap:
    found = [ldap for ldap in known if source in {None, ldap.name}]
    if len(found) != 1:
        names = ", ".join(ldap.name for ldap in known) or "none"
        raise ConfigurationError(f"{config_file}: say which LDAP directory with --source; there are: {names}")
    return found[0]


def _synchronised(ldap: Ldap, directory: Directory, *, dry: bool, deletions: int | None) -> SyncReport:
    from smime_engine.sources.directory_config import ldap_directory
    from smime_engine.sources.directory_sync import synchronise

    source = ldap_directory(ldap)
    try:
        with progress_bar(f"synchronising {ldap.name}", None) as advance:
            shown = 0

            def progress(done: int, _: int) -> None:
                nonlocal shown
                advance(done - shown)
                shown = done

            return synchronise(source, directory, dry=dry, allowed_deletions=deletions, progress=progress)
    finally:
        source.close()


def _again_and_again(once: Callable[[], bool], seconds: float) -> None:
    """Until SIGTERM or SIGINT; a run under way is finished first. A run that fails is told, and the next one comes."""
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    while not stopping.is_set():
        try:
            once()
        except SmimeError as error:
            click.echo(f"smime: {error}", err=True)
        stopping.wait(seconds)


def _tell(report: SyncReport) -> None:
    for change in report.changes:
        details = f": {'; '.join(change.details)}" if change.details else ""
        click.echo(printable(f"{_SIGNS[change.kind]} {change.address}{details}"))
    for entry in report.withheld:
        click.echo(printable(f"! {entry.address}: {'; '.join(entry.details)}"))
    would = "would be " if report.dry else ""
    done = {"added": report.added, "changed": report.changed, "removed": report.removed}
    counts = [f"{count:,} {would}{what}" for what, count in done.items()]
    click.echo(f"{report.source}: {report.listed:,} entries: {', '.join(counts)}, {report.unchanged:,} unchanged")


def _as_json(report: SyncReport) -> dict[str, Any]:
    return {
        "source": report.source,
        "dry_run": report.dry,
        "listed": report.listed,
        "added": report.added,
        "changed": report.changed,
        "removed": report.removed,
        "unchanged": report.unchanged,
        "changes": [
            {"kind": change.kind, "address": change.address, "details": list(change.details)}
            for change in (*report.changes, *report.withheld)
        ],
    }


def _line(report: SyncReport) -> str:
    return " ".join(json_text(_as_json(report)).split())
