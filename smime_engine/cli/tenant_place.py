"""Where a command finds its tenant: a folder, or a store and a name; and the keys that open a store's secrets.

Does: the options that all commands about tenants share; a progress bar. Does not: import SQLAlchemy before a store is
asked for: commands that work on a folder start without it.
"""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from smime_engine.errors import ConfigurationError
from smime_engine.sources.tenant_folder import TenantFolder
from smime_engine.sources.tenant_settings import TenantSettings

if TYPE_CHECKING:
    from smime_engine.sources.master_key import MasterKeys
    from smime_engine.sources.pkcs11 import Token
    from smime_engine.sources.pkcs11_uri import Pkcs11Uri
    from smime_engine.sources.store import TenantStore

__all__ = [
    "existing_settings",
    "json_option",
    "master_key_option",
    "master_keys",
    "name_option",
    "opened_store",
    "progress_bar",
    "store_option",
    "tenant_option",
    "token_at",
]

_STORE_HELP = "The tenant store, sqlite:///FILE or postgresql://USER@HOST/NAME (or environment variable SMIME_STORE)."

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
store_option = click.option("--store", "url", metavar="URL", envvar="SMIME_STORE", required=True, help=_STORE_HELP)
name_option = click.option(
    "--tenant",
    "name",
    metavar="NAME",
    envvar="SMIME_TENANT",
    required=True,
    help="The tenant's name in the store (or environment variable SMIME_TENANT).",
)
master_key_option = click.option(
    "--master-key",
    "master",
    metavar="file:PATH|env:NAME|pkcs11:URI",
    envvar="SMIME_MASTER_KEY_AT",
    multiple=True,
    help="Where the master key is; repeat for former ones (or environment variable SMIME_MASTER_KEY_AT).",
)


def tenant_option(function: Callable[..., None]) -> Callable[..., None]:
    """Options for a tenant in a folder or in a store; the command gets its settings as `tenant`."""

    @click.option("--store", "store_url", metavar="URL", envvar="SMIME_STORE", help=f"{_STORE_HELP} Without: a folder.")
    @click.option(
        "--tenant",
        "tenant_name",
        metavar="DIR|NAME",
        envvar="SMIME_TENANT",
        required=True,
        help="The tenant's folder, or with --store its name (or environment variable SMIME_TENANT).",
    )
    @wraps(function)
    def with_settings(*arguments: Any, store_url: str | None, tenant_name: str, **options: Any) -> None:
        tenant: TenantSettings = TenantFolder(Path(tenant_name))
        if store_url is not None:
            tenant = opened_store(store_url).tenant(tenant_name).settings
        function(*arguments, tenant=tenant, **options)

    return with_settings


def existing_settings(name: str) -> TenantSettings:
    """The settings of a folder that is there, or of a tenant of the store that SMIME_STORE names."""
    url = os.environ.get("SMIME_STORE")
    if url and not Path(name).is_dir():
        return opened_store(url).tenant(name).settings
    if not Path(name).is_dir():
        raise ConfigurationError(f"{name} is no tenant's folder: `smime tenant collection import` makes one")
    return TenantFolder(Path(name))


def opened_store(url: str) -> TenantStore:
    """A store that is closed when the command ends."""
    from smime_engine.sources.store import open_store

    store = open_store(url, actor=_actor())
    context = click.get_current_context(silent=True)
    if context is not None:
        context.call_on_close(store.close)
    return store


def _actor() -> str:
    """Who runs the command, for the audit log."""
    try:
        return f"smime:{getpass.getuser()}"
    except (KeyError, OSError):
        return f"smime:{os.getuid()}"


def master_keys(specifications: Sequence[str]) -> MasterKeys:
    """The master keys that the options name, the current one first. Raises ConfigurationError."""
    from smime_engine.sources.master_key import MasterKey, MasterKeys, read_keys

    if not specifications:
        raise ConfigurationError("name the master key: --master-key file:PATH, env:NAME or pkcs11:…")
    found: list[MasterKey] = []
    for each in specifications:
        if each.lower().startswith("pkcs11:"):
            from smime_engine.sources.pkcs11_keys import TokenMasterKey

            token, uri = token_at(each)
            found.append(TokenMasterKey(token, uri))
        else:
            found += read_keys(each, os.environ)
    return MasterKeys(found)


def token_at(text: str) -> tuple[Token, Pkcs11Uri]:
    """The token of a PKCS #11 URI, closed when the command ends, and the URI. A missing PIN is asked for."""
    try:
        from smime_engine.sources.pkcs11 import token_of
    except ImportError as error:
        raise ConfigurationError("PKCS #11 needs python-pkcs11: install smime-engine[pkcs11]") from error
    from smime_engine.sources.pkcs11_uri import parse_pkcs11_uri

    uri = parse_pkcs11_uri(text)
    token = token_of(uri, pin=_asked_pin(uri.token or uri.serial))
    context = click.get_current_context(silent=True)
    if context is not None:
        context.call_on_close(token.close)
    return token, uri


def _asked_pin(token: str) -> Callable[[], str]:
    def ask() -> str:
        if not sys.stdin.isatty():
            raise ConfigurationError("the token wants a PIN: name a file with pin-source=file:PATH in its URI")
        pin: str = click.prompt(f"PIN of the token {token}", hide_input=True, err=True)
        return pin

    return ask


@contextmanager
def progress_bar(label: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """A bar on standard error, if that is a terminal; what is yielded is told how much more is done."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(label), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(label, total=total)
        yield lambda count: progress.advance(task, count)
