"""`smime lab run` and `python -m smime_lab`: the whole way of a message on one machine.

Does: make a demonstration authority and users, start a next hop that writes a Maildir and a signing relay in front of
it, send a real message, print what the readers say, and then serve until Ctrl-C. Does not: anything that the relay
and the engine could do themselves; this is the place where they are put together.
"""

from __future__ import annotations

import asyncio
import errno
import signal
import smtplib
import sys
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from smime_lab.authority import LabAuthority
    from smime_lab.proof import Judgement

__all__ = ["command", "run"]

ADDRESSES = ("alice@example.com", "bob@example.com")


@click.group("lab")
def command() -> None:
    """Try S/MIME on this machine: a demonstration authority, users with keys, a relay and a mailbox."""


@command.command("run")
@click.option("--once", is_flag=True, help="Stop after the proof; exit status 1 if any reader is not satisfied.")
@click.option("--port", type=click.IntRange(1, 65_535), default=2525, show_default=True, help="The relay's port.")
@click.option(
    "--var",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("var"),
    show_default=True,
    help="Folder for keys and mail.",
)
def run(*, once: bool, port: int, var: Path) -> None:
    """Start everything, send a signed message through it, and go on until Ctrl-C."""
    sys.exit(asyncio.run(_run(once=once, port=port, folder=var / "lab")))


async def _run(*, once: bool, port: int, folder: Path) -> int:
    from smime_engine.errors import ConfigurationError
    from smime_lab.authority import open_private_log, prepare_authority, write_private
    from smime_lab.mailbox import MaildirServer
    from smime_lab.texts import instructions, relay_configuration
    from smime_smtp_relay.config import read_configuration
    from smime_smtp_relay.logs import configure_logs
    from smime_smtp_relay.server import Relay

    authority = prepare_authority(folder, ADDRESSES, now=datetime.now(UTC))
    arrivals: asyncio.Queue[Path] = asyncio.Queue()
    async with AsyncExitStack() as stack:
        configure_logs(stream=stack.enter_context(open_private_log(folder / "relay.log")))
        mailbox = await stack.enter_async_context(MaildirServer(folder / "mail", arrivals.put_nowait))
        write_private(folder / "relay.toml", relay_configuration(authority, port=port, next_hop=mailbox.port).encode())
        try:
            await stack.enter_async_context(Relay(read_configuration(folder / "relay.toml")))
        except ConfigurationError as error:
            return _cannot_start(error, port)
        click.echo(f"relay on 127.0.0.1:{port}, mailbox in {mailbox.folder}, keys and log in {folder}")
        satisfied = await _proved(authority, arrivals, port)
        if once or not satisfied:
            return 0 if satisfied else 1
        click.echo(instructions(authority, mailbox.folder, port=port))
        await _until_stopped(authority, arrivals)
    return 0


def _cannot_start(error: Exception, port: int) -> int:
    if isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.EADDRINUSE:
        click.echo(f"smime lab: port {port} is in use; choose another one with --port", err=True)
    else:
        click.echo(f"smime lab: {error}", err=True)
    return 2


async def _proved(authority: LabAuthority, arrivals: asyncio.Queue[Path], port: int) -> bool:
    """Send a message through the relay and print every reader's verdict; whether all are satisfied."""
    from smime_lab.proof import demonstration_message, send
    from smime_lab.texts import judgement_lines

    alice, bob = ADDRESSES
    try:
        await asyncio.to_thread(send, demonstration_message(alice, bob, now=datetime.now(UTC)), port)
        async with asyncio.timeout(30):
            path = await arrivals.get()
    except (smtplib.SMTPException, OSError) as error:
        click.echo(f"smime lab: the message did not go through: {error}", err=True)
        return False
    judgements = await _judged(authority, path)
    click.echo("\n".join((f"sent as {alice} with smtplib, arrived as {path}", *judgement_lines(judgements))))
    return all(judgement.is_valid for judgement in judgements)


async def _judged(authority: LabAuthority, path: Path) -> tuple[Judgement, ...]:
    from smime_lab.proof import judge

    def judged() -> tuple[Judgement, ...]:
        return judge(path.read_bytes(), path, root=authority.root, root_file=authority.root_file, now=datetime.now(UTC))

    return await asyncio.to_thread(judged)


async def _until_stopped(authority: LabAuthority, arrivals: asyncio.Queue[Path]) -> None:
    from smime_lab.texts import judgement_lines

    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    ending = asyncio.create_task(stopped.wait())
    while not stopped.is_set():
        arriving = asyncio.create_task(arrivals.get())
        await asyncio.wait({arriving, ending}, return_when=asyncio.FIRST_COMPLETED)
        if arriving.done():
            path = arriving.result()
            click.echo("\n".join((f"arrived: {path}", *judgement_lines(await _judged(authority, path)))))
        else:
            arriving.cancel()
    click.echo("stopped")
