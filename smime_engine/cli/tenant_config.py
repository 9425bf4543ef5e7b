"""`smime tenant smime-config get|set`: Get-SmimeConfig and Set-SmimeConfig.

Does: the options, made from the table of parameters; PowerShell's spelling (`-OWAAlwaysSign $true`, `-Name:$true`, any
case, the switches that every cmdlet has). Does not: check values; `policy.smime_config` does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import click

from smime_engine.cli.inputs import Moment, read_file
from smime_engine.cli.rendering import json_text, printable
from smime_engine.cli.tenant_place import tenant_option
from smime_engine.errors import ConfigurationError
from smime_engine.policy.smime_config import changed, parameter_named, smime_config_to_json
from smime_engine.policy.smime_parameters import PARAMETERS, Kind, Parameter, Value
from smime_engine.sources.tenant_settings import TenantSettings
from smime_engine.trust.collection_files import collection_of, encode_collection, import_collection

__all__ = ["smime_config"]

_BY_EXCHANGE_NAME = {parameter.exchange_name.lower(): parameter for parameter in PARAMETERS}
_SWITCHES = {"whatif": "--what-if", "wi": "--what-if"}
_VALUELESS = {"confirm", "cf"}
_READ_ALL_BYTES = re.compile(r"\(?\[(?:System\.)?IO\.File\]::ReadAllBytes\(\s*(['\"])(.*)\1\s*\)\)?", re.IGNORECASE)
_HIDDEN = "(set)"


class _Cmdlet(click.Command):
    """A command that also takes its parameters as PowerShell writes them."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, list(_translated(args)))


def _translated(arguments: Sequence[str]) -> list[str]:
    """Turn `-OWAAlwaysSign $true` and `-OWAAlwaysSign:$true` into `--owa-always-sign $true`."""
    translated: list[str] = []
    remaining = list(arguments)
    while remaining:
        argument = remaining.pop(0)
        if not re.match(r"-[A-Za-z]{2}", argument):
            translated.append(argument)
            continue
        name, colon, value = argument[1:].partition(":")
        name = name.lower()
        if name in _SWITCHES:
            translated.append(_SWITCHES[name])
        elif name == "identity":
            # An organisation has one set of settings; PowerShell passes its name along in pipelines.
            del remaining[: 0 if colon else 1]
        elif name in _VALUELESS:
            if remaining and remaining[0].lower() in {"$true", "$false"}:
                del remaining[0]
        else:
            parameter = _BY_EXCHANGE_NAME.get(name)
            if parameter is None:
                raise click.NoSuchOption(argument, possibilities=[_spelling(row) for row in PARAMETERS])
            if not colon:
                value = _value_of(parameter, remaining)
            translated += (parameter.option, value)
    return translated


def _value_of(parameter: Parameter, remaining: list[str]) -> str:
    if not remaining or re.match(r"--?[A-Za-z]", remaining[0]):
        # A POSIX shell replaces an unquoted $true by nothing.
        raise click.UsageError(f"{_spelling(parameter)} needs a value; in this shell write '$true' in quotes, or true")
    return remaining.pop(0)


def _spelling(parameter: Parameter) -> str:
    return f"-{parameter.exchange_name}"


def _shown(value: Value) -> str:
    if isinstance(value, bytes):
        return f"{_HIDDEN} {len(value):,} bytes"
    return "" if value is None else str(value)


def _parameter_options(function: Callable[..., None]) -> Callable[..., None]:
    for parameter in reversed(PARAMETERS):
        metavar = "FILE.sst" if parameter.kind is Kind.BYTES else parameter.kind.value
        default = "" if parameter.default is None else f" [{_shown(parameter.default)}]"
        function = click.option(
            parameter.option,
            parameter.name,
            metavar=metavar,
            help=f"{parameter.exchange_name}: {parameter.meaning}{default}",
        )(function)
    return function


@click.group(name="smime-config")
def smime_config() -> None:
    """The settings that Set-SmimeConfig and Get-SmimeConfig have in Exchange."""


@smime_config.command(name="get")
@tenant_option
@click.argument("names", nargs=-1, metavar="[PARAMETER…]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON under Exchange's names.")
@click.option("--explain", is_flag=True, help="Say what each parameter means and where it acts.")
def get_command(tenant: TenantSettings, names: Sequence[str], *, as_json: bool, explain: bool) -> None:
    """Show all parameters, or those that are named."""
    config = tenant.smime_config()
    chosen = [parameter_named(name) for name in names] or list(PARAMETERS)
    if as_json:
        values: dict[str, Any] = json.loads(smime_config_to_json(config))
        click.echo(json_text({row.exchange_name: values[row.exchange_name] for row in chosen}))
        return
    width = max(len(row.exchange_name) for row in chosen)
    for row in chosen:
        click.echo(printable(f"{row.exchange_name:{width}} : {_shown(getattr(config, row.name))}"))
        if explain:
            effect = f"acts: {row.acts}" if row.acts else f"does not act: {row.why_not}"
            click.echo(f"{'':{width}}   {row.meaning} ({effect})")


@smime_config.command(
    name="set", cls=_Cmdlet, epilog="Parameters may be written as in PowerShell: -OWAAlwaysSign '$true'."
)
@tenant_option
@click.option("--what-if", is_flag=True, help="Show what would change, and change nothing.")
@click.option("--at", type=Moment(), help="Judge the expiry of a collection at this moment instead of now.")
@_parameter_options
def set_command(tenant: TenantSettings, *, what_if: bool, at: datetime | None, **texts: str | None) -> None:
    """Change parameters; those that are not named stay as they are, $null gives the default back."""
    before = tenant.smime_config()
    now = at or datetime.now(UTC)
    rows = {parameter_named(name): text for name, text in texts.items() if text is not None}
    if not rows:
        raise click.UsageError("name at least one parameter to set; --help lists them")
    values: dict[str, Value] = {
        row.name: _collection_bytes(text, now) if row.kind is Kind.BYTES else row.parse(text)
        for row, text in rows.items()
    }
    after, warnings = changed(before, values)
    for warning in warnings:
        click.echo(f"smime: warning: {printable(warning)}", err=True)
    for row in rows:
        old, new = getattr(before, row.name), getattr(after, row.name)
        if old != new:
            click.echo(printable(f"{row.exchange_name}: {_shown(old)} -> {_shown(new)}"))
    if not what_if:
        tenant.save_smime_config(after)
        if any(row.kind is Kind.BYTES for row in rows):
            tenant.save_collection(after.smime_certificate_issuing_ca or b"")


def _collection_bytes(text: str, now: datetime) -> bytes | None:
    """The SST of a file, checked as an import is; a file name, or PowerShell's words for reading one."""
    if text.strip().lower() in {"$null", ""}:
        return None
    match = _READ_ALL_BYTES.fullmatch(text.strip())
    found = import_collection(read_file(match[2] if match else text), now=now).require()
    if not found.certificates:
        raise ConfigurationError("the file holds no certificate")
    return encode_collection(collection_of(found.certificates), crls=[crl.der for crl in found.crls])
