"""`smime directory`: find recipients' certificates, say what would be encrypted for whom, publish one's own.

Does: gather settings and sources, call `sources.directories` and `engine.recipient_plan`, translate. Does not: decide,
or write to a directory.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pybase64

from smime_engine.cli.directory_harvest import harvest_command
from smime_engine.cli.directory_report import plan_as_json, plan_as_lines
from smime_engine.cli.directory_sync import sync_command
from smime_engine.cli.exit_status import INVALID, UNKNOWN, VALID
from smime_engine.cli.inputs import (
    Moment,
    networks_of,
    read_certificates,
    read_evidence,
    read_identities,
    read_password,
    trusted_collection,
    write_file,
)
from smime_engine.cli.rendering import json_text, printable
from smime_engine.crypto.encryption_algorithms import CONTENT_CIPHERS
from smime_engine.directory.choosing import ChoicePolicy
from smime_engine.directory.publishing import published_value
from smime_engine.engine.recipient_plan import choice_policy, plan_encryption
from smime_engine.errors import ConfigurationError, InvalidKey
from smime_engine.policy.capabilities import Addressee
from smime_engine.policy.smime_config import SmimeConfig
from smime_engine.trust.path import RevocationMode

if TYPE_CHECKING:
    from smime_engine.sources.directories import Resolution
    from smime_engine.sources.directory_config import DirectoryConfiguration
    from smime_engine.sources.http import FetchRules

__all__ = ["command"]

_DIRECTORIES = "directories.toml"
_WIDTH = 76


@click.group(name="directory")
def command() -> None:
    """Look recipients' certificates up, plan an encryption, publish a certificate, synchronise a directory."""


for each in (sync_command, harvest_command):
    command.add_command(each)


@command.command(
    name="lookup",
    epilog="Exit status: 0 everybody has a certificate, 1 somebody must be removed, 2 usage, "
    "3 a source did not answer, and somebody may have one.",
)
@click.argument("addresses", nargs=-1, required=True, metavar="ADDRESS…")
@click.option("--bcc", "hidden", multiple=True, metavar="ADDRESS", help="Hidden recipient; repeat for more.")
@click.option("--config", "config_file", metavar="TOML", help="The directories. Default: TENANT/directories.toml.")
@click.option("--tenant", envvar="SMIME_TENANT", metavar="DIR", help="A tenant's folder: its settings and collection.")
@click.option("--trust", multiple=True, metavar="FILE|DIR", help="Trusted CA certificates, without --tenant.")
@click.option("--cert", "certificates", multiple=True, metavar="FILE", help="Further certificates, not trusted.")
@click.option("--crl", "crls", multiple=True, metavar="FILE", help="Revocation list; repeat for more.")
@click.option("--to-self", "own", multiple=True, metavar="CERT", help="Your own certificate, in every copy.")
@click.option(
    "--cipher", type=click.Choice(sorted(CONTENT_CIPHERS)), metavar="NAME", help="Demand this content cipher."
)
@click.option(
    "--revocation",
    type=click.Choice([mode.value for mode in RevocationMode]),
    help="What it means when revocation cannot be determined. Default: as the tenant's settings say for sending.",
)
@click.option("--fetch", is_flag=True, help="Fetch missing issuers, revocation lists and OCSP answers.")
@click.option(
    "--fetch-from",
    "networks",
    multiple=True,
    callback=networks_of,
    metavar="NETWORK",
    help="With --fetch: a network that is not public and may be fetched from, such as 10.0.0.0/8.",
)
@click.option("--at", type=Moment(), help="Judge for this moment instead of now.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def lookup_command(  # noqa: PLR0913 - one argument for each option
    addresses: Sequence[str],
    *,
    hidden: Sequence[str],
    config_file: str | None,
    tenant: str | None,
    trust: Sequence[str],
    certificates: Sequence[str],
    crls: Sequence[str],
    own: Sequence[str],
    cipher: str | None,
    revocation: str | None,
    fetch: bool,
    networks: Sequence[IPv4Network | IPv6Network],
    at: datetime | None,
    as_json: bool,
) -> None:
    """Say for each ADDRESS which certificate a message would be encrypted to, or why there is none."""
    from smime_engine.sources.http import FetchRules
    from smime_engine.sources.network_guard import AddressGuard
    from smime_engine.sources.tenant_folder import TenantFolder

    settings = SmimeConfig() if tenant is None else TenantFolder(Path(tenant)).smime_config()
    collection = trusted_collection(trust, tenant)
    if collection is None:
        raise ConfigurationError("say who is trusted: give --tenant or --trust")
    policy = choice_policy(settings, collection, evidence=read_evidence(crls), pool=read_certificates(certificates))
    if revocation is not None:
        policy = replace(policy, options=replace(policy.options, revocation=RevocationMode(revocation)))
    rules = FetchRules(guard=AddressGuard(allowed=tuple(networks))) if fetch else None
    now = at or datetime.now(UTC)
    configuration = _configuration(config_file, tenant)
    expansion = None if tenant is None else settings.owa_dl_expansion_timeout / 1000
    visible, bcc = asyncio.run(_resolved(configuration, (addresses, hidden), policy, now, rules, expansion))
    plan = plan_encryption(
        visible.choices,
        bcc=bcc.choices,
        own=[Addressee(certificate=found) for found in read_certificates(own)],
        config=settings,
        demanded=cipher,
    )
    if as_json:
        click.echo(json_text(plan_as_json(plan, visible, bcc)))
    else:
        for line in plan_as_lines(plan, visible, bcc):
            click.echo(printable(line))
    sys.exit(VALID if plan.reaches_everybody else UNKNOWN if plan.may_be_complete_later else INVALID)


def _configuration(config_file: str | None, tenant: str | None) -> DirectoryConfiguration:
    from smime_engine.sources.directory_config import read_directory_configuration

    if config_file is None and tenant is None:
        raise ConfigurationError("say where to look: give --config or --tenant")
    return read_directory_configuration(Path(tenant or "") / _DIRECTORIES if config_file is None else Path(config_file))


async def _resolved(
    configuration: DirectoryConfiguration,
    groups: Sequence[Sequence[str]],
    policy: ChoicePolicy,
    now: datetime,
    rules: FetchRules | None,
    expansion_seconds: float | None,
) -> list[Resolution]:
    """Resolve each list of addresses with the same sources."""
    from smime_engine.sources.directory_config import make_directories
    from smime_engine.sources.http import Fetcher

    async with Fetcher(rules) as fetcher:
        directories = make_directories(
            configuration,
            fetcher=None if rules is None else fetcher,
            expansion_seconds=expansion_seconds,
        )
        try:
            return [await directories.resolve(addresses, policy, now=now) for addresses in groups]
        finally:
            await directories.aclose()


@command.command(name="publish")
@click.option("--key", "keys", multiple=True, required=True, metavar="P12|PEM", help="Key, certificate and chain.")
@click.option("--password-file", metavar="FILE", help="Its first line opens the key.")
@click.option(
    "--encryption-cert", metavar="FILE", help="The certificate to encrypt to, where it is not that of the key."
)
@click.option("--digest", metavar="NAME", default="", help="Digest of the signature; default: as suits the key.")
@click.option("--form", type=click.Choice(["der", "base64", "ldif"]), default="base64", show_default=True)
@click.option("--dn", metavar="DN", help="With --form ldif: the entry to change.")
@click.option("--at", type=Moment(), help="Signing time, instead of now.")
@click.option("-o", "--output", metavar="OUT", help="Default: standard output.")
def publish_command(
    keys: Sequence[str],
    *,
    password_file: str | None,
    encryption_cert: str | None,
    digest: str,
    form: str,
    dn: str | None,
    at: datetime | None,
    output: str | None,
) -> None:
    """Make the value of userSMIMECertificate that Outlook's "Publish to GAL" would write.

    With --form ldif: a change of both attributes, for ldapmodify.
    """
    identities = read_identities(keys, read_password(password_file))
    signing = next((identity for identity in identities if identity.may_sign), None)
    if signing is None:
        raise InvalidKey("no key of --key may sign: the value is signed by its owner")
    encryption = next((identity.certificate for identity in identities if identity.may_decrypt), signing.certificate)
    chain = tuple(found for identity in identities for found in identity.chain)
    if encryption_cert is not None:
        encryption, *others = read_certificates((encryption_cert,))
        chain = (*chain, *others)
    value = published_value(
        signing, now=at or datetime.now(UTC), encryption_certificate=encryption, chain=chain, digest=digest
    )
    if form == "ldif":
        if dn is None:
            raise click.UsageError("--form ldif needs --dn, the entry to change")
        write_file(output, _ldif(dn, value, encryption.der))
    else:
        write_file(output, value if form == "der" else pybase64.b64encode(value) + b"\n")


def _ldif(dn: str, value: bytes, certificate: bytes) -> bytes:
    """A change record (RFC 2849). The name is written as base64, so that nothing in it can be a line of its own."""
    lines = [
        "dn:: " + pybase64.b64encode_as_string(dn.encode()),
        "changetype: modify",
        "replace: userSMIMECertificate",
        "userSMIMECertificate:: " + pybase64.b64encode_as_string(value),
        "-",
        "replace: userCertificate;binary",
        "userCertificate;binary:: " + pybase64.b64encode_as_string(certificate),
        "-",
    ]
    return "".join(_folded(line) for line in lines).encode() + b"\n"


def _folded(line: str) -> str:
    rest = (line[at : at + _WIDTH - 1] for at in range(_WIDTH, len(line), _WIDTH - 1))
    return "\n ".join((line[:_WIDTH], *rest)) + "\n"
