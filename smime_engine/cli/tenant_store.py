"""`smime tenant init|upgrade|list|remove|add-user|remove-user|users|import-users|audit`: tenants in a store.

Does: translate between the command line and `sources.store`. Does not: decide anything. What the store says is shown
with control characters as escapes: names come from directories.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from smime_engine.cli.inputs import Moment, read_certificates
from smime_engine.cli.rendering import json_text, printable
from smime_engine.cli.tenant_place import json_option, name_option, opened_store, progress_bar, store_option
from smime_engine.sources.tenant_folder import TenantFolder
from smime_engine.sources.tenant_settings import copy_settings

if TYPE_CHECKING:
    from smime_engine.sources.store import User

__all__ = ["store_commands"]


@click.command(name="init")
@store_option
@click.argument("name", metavar="NAME")
@click.option("--domain", "domains", multiple=True, metavar="DOMAIN", help="An accepted mail domain; repeat for more.")
@click.option("--display-name", default="", metavar="TEXT", help="The name for people.")
@click.option(
    "--from",
    "folder",
    metavar="DIR",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Take settings, collection, distrust and pins over from a tenant's folder.",
)
def init_command(url: str, name: str, *, domains: Sequence[str], display_name: str, folder: Path | None) -> None:
    """Add a tenant; makes the store where there is none."""
    from smime_engine.sources.store import Tenant

    _upgrade(url, create=True)
    tenant = opened_store(url).add_tenant(Tenant(name=name, display_name=display_name, domains=tuple(domains)))
    if folder is not None:
        copy_settings(TenantFolder(folder), tenant.settings)


@click.command(name="upgrade")
@store_option
def upgrade_command(url: str) -> None:
    """Bring an older store up to date with this program. Older programs then refuse it."""
    click.echo(f"the store has revision {_upgrade(url, create=False)}")


def _upgrade(url: str, *, create: bool) -> str | None:
    from smime_engine.sources.store.database import open_database
    from smime_engine.sources.store.schema import HEAD

    database = open_database(url, create=create)
    try:
        found = database.revision()
        if found is None and not create:
            database.require_schema()
        if found is None or found < HEAD:
            from smime_engine.sources.store.migrations import upgrade

            upgrade(database)
        return database.revision()
    finally:
        database.close()


@click.command(name="list")
@store_option
@json_option
def list_command(url: str, *, as_json: bool) -> None:
    """List the tenants of a store."""
    rows = [
        {"name": tenant.name, "display_name": tenant.display_name, "domains": list(tenant.domains)}
        for tenant in opened_store(url).tenants()
    ]
    if as_json:
        click.echo(json_text(rows))
        return
    for row in rows:
        click.echo(printable(f"{row['name']:20} {', '.join(row['domains'])}  {row['display_name']}".rstrip()))


@click.command(name="remove")
@store_option
@click.argument("name", metavar="NAME")
@click.confirmation_option(prompt="Remove the tenant with all its users and private keys?")
def remove_command(url: str, name: str) -> None:
    """Remove a tenant with everything that belongs to it; --yes does not ask."""
    opened_store(url).remove_tenant(name)


# --- users


@click.command(name="add-user")
@store_option
@name_option
@click.argument("address")
@click.option("--proxy", "proxies", multiple=True, metavar="ADDRESS", help="A further address; repeat for more.")
@click.option("--display-name", default="", metavar="TEXT", help="The name for people.")
@click.option("--cert", "certificates", multiple=True, metavar="FILE", help="A certificate for correspondents.")
def add_user_command(
    url: str, name: str, address: str, *, proxies: Sequence[str], display_name: str, certificates: Sequence[str]
) -> None:
    """Add a user with a primary address."""
    from smime_engine.sources.store import DirectoryValue, User

    found = read_certificates(certificates)
    values = tuple(DirectoryValue(attribute="userCertificate", value=certificate.der) for certificate in found)
    user = User(primary_address=address, proxy_addresses=tuple(proxies), display_name=display_name, values=values)
    opened_store(url).tenant(name).directory.add(user)


@click.command(name="remove-user")
@store_option
@name_option
@click.argument("address")
@click.confirmation_option(prompt="Remove the user with all private keys? Mail encrypted to them cannot be read then.")
def remove_user_command(url: str, name: str, address: str) -> None:
    """Remove a user with everything that belongs to it; --yes does not ask."""
    opened_store(url).tenant(name).directory.remove(address)


@click.command(name="users")
@store_option
@name_option
@click.argument("addresses", nargs=-1, metavar="[ADDRESS…]")
@click.option("--source", metavar="NAME", help="Those of one directory; `local` for users added by hand.")
@json_option
def users_command(url: str, name: str, addresses: Sequence[str], *, source: str | None, as_json: bool) -> None:
    """List all users, or those with the addresses given."""
    directory = opened_store(url).tenant(name).directory
    users: Iterator[User] | list[User]
    if addresses:
        found = directory.find(addresses)
        users = list(dict.fromkeys(user for address in addresses for user in found.get(address, ())))
    else:
        users = directory.users(source=source)
    if as_json:
        click.echo(json_text([_user_row(user) for user in users]))
        return
    for user in users:
        count = len(user.values)
        certificates = f"{count} certificate{'s' if count != 1 else ''}"
        click.echo(
            printable(f"{user.primary_address:40} {certificates:16} {user.source:10} {user.display_name}".rstrip())
        )


def _user_row(user: User) -> dict[str, Any]:
    return {
        "address": user.primary_address,
        "proxies": list(user.proxy_addresses),
        "display_name": user.display_name,
        "source": user.source,
        "external_id": user.external_id or None,
        "members": None if user.members is None else list(user.members),
        "certificates": [{"attribute": each.attribute, "size": len(each.value)} for each in user.values],
    }


@click.command(name="import-users", epilog="Exit status: 0 all imported, 1 some were refused, 4 malformed file.")
@store_option
@name_option
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--source", default="import", show_default=True, metavar="NAME", help="What the entries are filed under.")
@click.option("--replace", is_flag=True, help="Remove entries of this source that the file does not have.")
def import_users_command(url: str, name: str, file: Path, *, source: str, replace: bool) -> None:
    """Import users from a file of JSON objects, one a line.

    {"address": "…", "id": "…", "proxies": […], "display_name": "…", "userCertificate": [base64…],
    "userSMIMECertificate": [base64…]}; all but the address may be left out. All or nothing is imported: a process that
    is killed changes nothing.
    """
    from smime_engine.cli.user_lines import count_lines, read_users

    directory = opened_store(url).tenant(name).directory
    seen: set[str] = set()

    def entries() -> Iterator[User]:
        for user in read_users(file, source):
            seen.add(user.external_id)
            yield user

    def gone() -> Iterator[str]:
        # Asked for after the entries are read: `apply` takes them first.
        yield from (each for each in known if each not in seen)

    known = tuple(directory.revisions(source)) if replace else ()
    with progress_bar("importing", count_lines(file)) as progress:
        changes = directory.apply(source, entries(), remove=gone(), progress=progress)
    for entry, reason in changes.refused:
        click.echo(printable(f"smime: {entry}: {reason}"), err=True)
    click.echo(
        f"{changes.added} added, {changes.changed} changed, {changes.unchanged} unchanged, {changes.removed} removed, "
        f"{len(changes.refused)} refused"
    )
    if changes.refused:
        raise SystemExit(1)


# --- audit


@click.command(name="audit")
@store_option
@click.option("--tenant", "name", metavar="NAME", help="Events of one tenant alone.")
@click.option("--since", type=Moment(), help="Events from this moment on.")
@click.option("--limit", type=click.IntRange(1, 1_000_000), default=100, show_default=True, help="At most so many.")
@json_option
def audit_command(url: str, *, name: str | None, since: datetime | None, limit: int, as_json: bool) -> None:
    """Show what was changed by whom, the latest first."""
    events = opened_store(url).audit(tenant=name, since=since, limit=limit)
    if as_json:
        rows = [
            {
                "at": event.at.isoformat(),
                "actor": event.actor,
                "action": event.action,
                "tenant": event.tenant or None,
                "subject": event.subject,
                "detail": dict(event.detail),
            }
            for event in events
        ]
        click.echo(json_text(rows))
        return
    for event in events:
        detail = " ".join(f"{key}={value}" for key, value in event.detail.items())
        who = f"{event.at:%Y-%m-%d %H:%M:%S} {event.actor:16} {event.tenant:12}"
        click.echo(printable(f"{who} {event.action:20} {event.subject} {detail}".rstrip()))


store_commands = (
    init_command,
    upgrade_command,
    list_command,
    remove_command,
    add_user_command,
    remove_user_command,
    users_command,
    import_users_command,
    audit_command,
)
"""What `smime tenant` gains."""
