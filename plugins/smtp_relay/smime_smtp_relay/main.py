"""`smime relay`: run the gateway, check its configuration, make password hashes.

Does: read the configuration, set logs up, run until SIGTERM or SIGINT and end in an orderly way. Does not: become a
daemon or change its user; the service manager does that.
"""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from smime_engine.errors import SmimeError

if TYPE_CHECKING:
    from smime_smtp_relay.config import Configuration
    from smime_smtp_relay.server import Relay

__all__ = ["command"]

_CONFIG = click.option(
    "--config", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="The gateway's TOML file."
)


@click.group("relay", invoke_without_command=True)
@_CONFIG
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info")
@click.pass_context
def command(context: click.Context, config: Path | None, log_level: str) -> None:
    """Run the signing mail gateway: SMTP in, S/MIME, SMTP out.

    It says 250 only after the next hop's 250 and keeps no queue. SIGTERM ends it after the running transactions.
    """
    if context.invoked_subcommand is None:
        context.exit(_run(_wanted(config), log_level))


@command.command("check")
@_CONFIG
@click.option("--offline", is_flag=True, help="Do not connect to the next hop.")
@click.pass_context
def check(context: click.Context, config: Path | None, *, offline: bool) -> None:
    """Read everything that the gateway needs and say what is wrong or missing. Exit status 1 if anything is wrong."""
    from smime_smtp_relay.checks import check_configuration

    parent = context.parent.params.get("config") if context.parent is not None else None
    complaints = 0
    for finding in check_configuration(_wanted(config or parent), offline=offline):
        complaints += finding.wrong
        click.echo(f"{'WRONG' if finding.wrong else 'ok   '} {finding.subject}: {finding.text}")
    context.exit(1 if complaints else 0)


@command.command("explain")
@click.argument("message", type=click.File("rb"))
@_CONFIG
@click.option("--from", "sender", default="", metavar="ADDRESS", help="The envelope's sender; empty for a bounce.")
@click.option("--to", "recipients", multiple=True, required=True, metavar="ADDRESS", help="May be repeated.")
@click.option("--inbound", is_flag=True, help="Mail that arrives; else mail that leaves.")
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write each form of the message into this folder.",
)
@click.pass_context
def explain(
    context: click.Context,
    message: BinaryIO,
    config: Path | None,
    sender: str,
    recipients: tuple[str, ...],
    *,
    inbound: bool,
    output: Path | None,
) -> None:
    """Say what would happen to MESSAGE (- for standard input), and why. Sends nothing."""
    from smime_smtp_relay.explaining import explained

    parent = context.parent.params.get("config") if context.parent is not None else None
    direction = "inbound" if inbound else "outbound"
    lines = asyncio.run(
        explained(_wanted(config or parent), message.read(), sender, recipients, direction=direction, output=output)
    )
    for line in lines:
        click.echo(line)


@command.command("password")
@click.password_option(prompt="Password", help="The password; asked for where it is not given.")
def password_hash(password: str) -> None:
    """Print the hash that stands for a password in [users.NAME]."""
    from smime_smtp_relay.passwords import hash_password

    click.echo(hash_password(password))


def _wanted(config: Path | None) -> Path:
    if config is None:
        raise click.UsageError("--config FILE is needed")
    return config


def _run(config: Path, log_level: str) -> int:
    """Serve in this process, or in several under this one."""
    import structlog

    from smime_smtp_relay.config import read_configuration
    from smime_smtp_relay.logs import configure_logs
    from smime_smtp_relay.server import Relay  # noqa: F401 - before workers are forked, that they share its memory
    from smime_smtp_relay.sockets import handed_over
    from smime_smtp_relay.workers import supervise

    configure_logs(level=log_level)
    configuration = read_configuration(config)
    given = handed_over()
    if configuration.workers == 1:
        return _loop_run(_served(config, configuration, given, None))

    def work(number: int) -> int:
        return _loop_run(_served(config, configuration, given, number))

    return supervise(configuration.workers, work, structlog.get_logger("smime_smtp_relay"))


def _loop_run(serving: Coroutine[Any, Any, None]) -> int:
    try:
        import uvloop
    except ImportError:
        asyncio.run(serving)
    else:
        uvloop.run(serving)
    return 0


async def _served(
    config: Path, configuration: Configuration, given: Sequence[socket.socket], worker: int | None
) -> None:
    from smime_smtp_relay.logs import report_loop_errors
    from smime_smtp_relay.server import Relay
    from smime_smtp_relay.sockets import notify

    loop = asyncio.get_running_loop()
    signals: asyncio.Queue[signal.Signals] = asyncio.Queue()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, signals.put_nowait, number)
    relay = Relay(configuration, sockets=given, worker=worker)
    report_loop_errors(loop, relay.gateway.log)
    async with relay:
        notify("READY=1")
        while await signals.get() is signal.SIGHUP:
            await _reloaded(relay, config)
        notify("STOPPING=1")


async def _reloaded(relay: Relay, config: Path) -> None:
    """Read the configuration again; the old one goes on where the new one is not usable."""
    from smime_smtp_relay.config import read_configuration

    try:
        await relay.reload(read_configuration(config))
    except SmimeError as error:
        relay.gateway.log.warning("relay.not_reloaded", reason=str(error))
