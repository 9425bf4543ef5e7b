"""The `smime` command: one click group whose sub-commands are imported only when they are used.

Exit status (scripts depend on it): 0 valid or done, 1 invalid, 2 usage, 3 unknown, 4 malformed input, 5 no key fits.
Errors are one line on standard error. Plugins add sub-commands through the entry-point group
`smime_engine.commands`.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, NoReturn

import click

from smime_engine.cli.exit_status import status_of
from smime_engine.errors import SmimeError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

# name -> (module with a click command named `command`, one line for the list); imported when the command is called.
_COMMANDS = {
    "sign": ("smime_engine.cli.sign", "Sign a message, or any file as bare CMS."),
    "encrypt": ("smime_engine.cli.encrypt", "Encrypt a message, or any file as bare CMS."),
    "open": ("smime_engine.cli.open", "Open a message: decrypt, verify, say what was found."),
    "countersign": ("smime_engine.cli.countersign", "Sign somebody's signature."),
    "receipt": ("smime_engine.cli.receipt", "Make and check signed receipts."),
    "inspect": ("smime_engine.cli.inspect", "Show what is in a message, CMS object, certificate or PKCS #12 file."),
    "path": ("smime_engine.cli.path", "Validate the path of a certificate."),
    "directory": ("smime_engine.cli.directory", "Look recipients' certificates up, and plan an encryption."),
    "tenant": ("smime_engine.cli.tenant", "Manage a tenant's certificate collection and settings."),
}
_ENTRY_POINTS = "smime_engine.commands"


class _LazyGroup(click.Group):
    """A group that knows its sub-commands by name and imports only the one that is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*_COMMANDS, *sorted(point.name for point in _plugin_entry_points())]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in _COMMANDS:
            command = import_module(_COMMANDS[cmd_name][0]).command
        else:
            points = {point.name: point for point in _plugin_entry_points()}
            if cmd_name not in points:
                return None
            command = points[cmd_name].load()
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing any of them but the plugins', whose texts are their own."""
        rows = [(name, text) for name, (_, text) in _COMMANDS.items()]
        points = sorted(_plugin_entry_points(), key=lambda point: point.name)
        rows += ((point.name, point.load().get_short_help_str(100)) for point in points)
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def _plugin_entry_points() -> Sequence[EntryPoint]:
    from importlib.metadata import entry_points

    return tuple(entry_points(group=_ENTRY_POINTS))


if TYPE_CHECKING:
    from importlib.metadata import EntryPoint


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="smime-engine")
def smime() -> None:
    """Sign, verify, encrypt and decrypt S/MIME mail; run the gateway around it."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run `smime`; every expected failure becomes one line on standard error and its exit status."""
    try:
        smime.main(args=None if arguments is None else list(arguments), prog_name="smime", standalone_mode=True)
    except SmimeError as error:
        click.echo(f"smime: {error}", err=True)
        sys.exit(status_of(error))
    except BrokenPipeError:
        # The reader went away (`smime inspect | head`); nothing more can be said to it.
        sys.stderr.close()
    except OSError as error:
        click.echo(f"smime: {error.filename or 'input/output'}: {error.strerror or error}", err=True)
        sys.exit(2)
    sys.exit(0)
