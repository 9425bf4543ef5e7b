"""`smime tenant`: a tenant's settings, certificate collection, and what of it expires soon.

Does: translate between the command line and `policy.smime_config`, `trust.collection_files` and `trust.watch`; both
spellings of Exchange's parameters (`-OWAAlwaysSign $true`, `--owa-always-sign true`). Does not: decide anything.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from smime_engine.certificate import Certificate
from smime_engine.cli.exit_status import INVALID, VALID
from smime_engine.cli.inputs import Moment, read_certificates, read_evidence, read_file, write_file
from smime_engine.cli.rendering import json_text, printable
from smime_engine.cli.tenant_config import smime_config
from smime_engine.cli.tenant_keys import key_commands
from smime_engine.cli.tenant_place import tenant_option
from smime_engine.cli.tenant_store import store_commands
from smime_engine.errors import ConfigurationError
from smime_engine.sources.tenant_folder import fingerprint
from smime_engine.sources.tenant_settings import TenantSettings
from smime_engine.trust.collection import Pin
from smime_engine.trust.collection_files import collection_of, encode_collection, import_collection
from smime_engine.trust.watch import WARNING_DAYS, Expiry, State, expiries, prometheus_text

__all__ = ["command"]

_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group(name="tenant")
def command() -> None:
    """Manage tenants: settings, certificate collection, and in a store users and keys."""


for each in (smime_config, *store_commands, *key_commands):
    command.add_command(each)


# --- the collection


@command.group(name="collection")
def collection_group() -> None:
    """The virtual certificate collection: what the tenant trusts."""


@collection_group.command(name="import", epilog="Exit status: 0 imported, 2 refused, 4 malformed file.")
@tenant_option
@click.argument("files", nargs=-1, required=True, metavar="FILE…")
@click.option("--add", is_flag=True, help="Keep the certificates that are there; without this they are replaced.")
@click.option("--at", type=Moment(), help="Judge expiry at this moment instead of now.")
def import_command(tenant: TenantSettings, files: Sequence[str], *, add: bool, at: datetime | None) -> None:
    """Import SST, PEM, DER or PKCS #7 files. One expired certificate fails the whole import."""
    now = at or datetime.now(UTC)
    imports = [import_collection(read_file(file), now=now) for file in files]
    for found in imports:
        for note in found.notes:
            click.echo(f"smime: {printable(note)}", err=True)
        found.require()
    certificates = [
        *(tenant.certificates() if add else ()),
        *(each for found in imports for each in found.certificates),
    ]
    collection = collection_of(certificates)
    crls = [crl.der for found in imports for crl in found.crls]
    tenant.save_collection(encode_collection(collection, crls=[*(tenant.collection_crls() if add else ()), *crls]))
    click.echo(f"{len(collection.anchors)} roots, {len(collection.intermediates)} intermediates")


@collection_group.command(name="export")
@tenant_option
@click.option("-o", "--output", metavar="FILE", help="Write here instead of standard output.")
def export_command(tenant: TenantSettings, *, output: str | None) -> None:
    """Write the collection as SST, as `Export-Certificate -Type SST` does."""
    write_file(output, encode_collection(tenant.trust_collection(), crls=tenant.collection_crls()))


@collection_group.command(name="list")
@tenant_option
@_json
def list_command(tenant: TenantSettings, *, as_json: bool) -> None:
    """List roots and intermediates, and what is distrusted and pinned."""
    collection = tenant.trust_collection()
    rows = [
        *(_row("root", certificate) for certificate in collection.anchors),
        *(_row("intermediate", certificate) for certificate in collection.intermediates),
    ]
    if as_json:
        pins = {pin.name: sorted(each.hex() for each in pin.fingerprints) for pin in collection.pins}
        listed = [each.hex() for each in tenant.distrusted()]
        click.echo(json_text({"certificates": rows, "distrusted": listed, "pins": pins}))
        return
    for row in rows:
        click.echo(printable(f"{row['kind']:13} until {row['not_after'][:10]}  {row['subject']}"))
        click.echo(f"{'':13} sha256 {row['sha256']}")
    for each in tenant.distrusted():
        click.echo(f"{'distrusted':13} sha256 {each.hex()}")
    for pin in collection.pins:
        click.echo(printable(f"{'pin':13} {pin.name}: {', '.join(sorted(each.hex() for each in pin.fingerprints))}"))


@collection_group.command(name="distrust")
@tenant_option
@click.argument("fingerprints", nargs=-1, required=True, metavar="SHA256|FILE…")
@click.option("--remove", is_flag=True, help="Take them off the list.")
def distrust_command(tenant: TenantSettings, fingerprints: Sequence[str], *, remove: bool) -> None:
    """Distrust certificates or keys, by SHA-256 fingerprint or certificate file."""
    chosen = [found for each in fingerprints for found in _fingerprints(each)]
    kept = [found for found in tenant.distrusted() if found not in chosen]
    tenant.save_distrusted(kept if remove else [*kept, *chosen])


@collection_group.command(name="pin")
@tenant_option
@click.argument("name", metavar="DOMAIN|ADDRESS")
@click.argument("fingerprints", nargs=-1, metavar="SHA256|FILE…")
def pin_command(tenant: TenantSettings, name: str, fingerprints: Sequence[str]) -> None:
    """Accept only chains with one of these certificates or keys for an address or domain. None of them: no pin."""
    if any(character.isspace() for character in name) or name.startswith("#"):
        raise ConfigurationError(f"{name!r} is no mail domain or address")
    pins = [pin for pin in tenant.pins() if pin.name.lower() != name.lower()]
    chosen = frozenset(found for each in fingerprints for found in _fingerprints(each))
    tenant.save_pins([*pins, Pin(name=name, fingerprints=chosen)] if chosen else pins)


def _fingerprints(text: str) -> list[bytes]:
    """A fingerprint as given, or those of the certificates in a file."""
    if Path(text).is_file():
        return [certificate.fingerprint_sha256 for certificate in read_certificates([text])]
    return [fingerprint(text)]


def _row(kind: str, certificate: Certificate) -> dict[str, Any]:
    return {
        "kind": kind,
        "subject": certificate.subject,
        "issuer": certificate.issuer,
        "serial": f"{certificate.serial_number:x}",
        "not_before": certificate.not_before.isoformat(),
        "not_after": certificate.not_after.isoformat(),
        "sha256": certificate.fingerprint_sha256.hex(),
    }


# --- what expires


@command.command(name="watch", epilog="Exit status: 0 nothing expires soon, 1 something does or has expired.")
@tenant_option
@click.option(
    "--days", type=click.IntRange(0, 10_000), default=WARNING_DAYS, show_default=True, help="Warn this early."
)
@click.option("--cert", "certificates", multiple=True, metavar="FILE|DIR", help="Further certificates of users.")
@click.option("--crl", "crls", multiple=True, metavar="FILE", help="Further revocation lists.")
@click.option("--at", type=Moment(), help="Judge at this moment instead of now.")
@click.option("--all", "everything", is_flag=True, help="List also what is good for longer.")
@click.option(
    "--format", "form", type=click.Choice(["table", "json", "prometheus"]), default="table", show_default=True
)
@click.option("--json", "form", flag_value="json", help="Short for --format json.")
def watch_command(
    tenant: TenantSettings,
    *,
    days: int,
    certificates: Sequence[str],
    crls: Sequence[str],
    at: datetime | None,
    everything: bool,
    form: str,
) -> None:
    """List the certificates of users, intermediates, roots and revocation lists that expire soon."""
    found = expiries(
        now=at or datetime.now(UTC),
        users=(*tenant.user_certificates(), *read_certificates(certificates)),
        collection=tenant.trust_collection(),
        crls=(*tenant.crls(), *read_evidence(crls).crls),
        days=days,
    )
    urgent = [expiry for expiry in found if expiry.state is not State.GOOD]
    shown = found if everything else urgent
    if form == "prometheus":
        click.echo(prometheus_text(found), nl=False)
    elif form == "json":
        click.echo(json_text([_expiry_row(expiry) for expiry in shown]))
    else:
        for expiry in shown:
            click.echo(printable(_expiry_line(expiry)))
        click.echo(f"{len(found)} watched, {len(urgent)} within {days} days or over")
    sys.exit(INVALID if urgent else VALID)


def _expiry_row(expiry: Expiry) -> dict[str, Any]:
    return {
        "kind": expiry.kind.value,
        "name": expiry.name,
        "thumbprint": expiry.thumbprint,
        "expires": expiry.expires.isoformat(),
        "days": expiry.days,
        "state": expiry.state.value,
    }


def _expiry_line(expiry: Expiry) -> str:
    when = f"{expiry.expires:%Y-%m-%d} {expiry.days:>6} days"
    return f"{expiry.state.value:9} {when}  {expiry.kind.value:13} {expiry.name}  {expiry.thumbprint}"
