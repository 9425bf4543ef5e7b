"""`smime open`: open a message or CMS object, say what was found, hand out the content.

Does: gather files, call `open_message` or `open_cms`, translate the report into text or JSON and an exit status. Does
not: judge, or fetch anything: what could help is named in the output.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from smime_engine.cli.exit_status import status_of_verdict
from smime_engine.cli.inputs import (
    Moment,
    from_pem,
    networks_of,
    read_certificates,
    read_evidence,
    read_file,
    read_identities,
    read_password,
    trusted_collection,
    write_file,
)
from smime_engine.cli.large_files import FileSource, is_large, scratch_files, write_pieces
from smime_engine.cli.rendering import as_json, as_lines, json_text, printable
from smime_engine.cms.opening import DecryptionKeys
from smime_engine.engine import open_cms, open_message
from smime_engine.engine.judging import Judge
from smime_engine.engine.streamed_opening import open_cms_stream, open_message_stream
from smime_engine.engine.streaming import span_of
from smime_engine.errors import SmimeError
from smime_engine.keys import KeyRing
from smime_engine.policy.sender_attributes import sender_attributes
from smime_engine.problems import Problem
from smime_engine.report import OpenedMessage
from smime_engine.trust.path import DEFAULT_OPTIONS, PathOptions, RevocationMode

if TYPE_CHECKING:
    from smime_engine.sources.fetched import Gathered

__all__ = ["command"]


@click.command(
    name="open",
    epilog="Exit status: 0 valid or nothing signed, 1 invalid, 2 usage, 3 unknown, 4 malformed, 5 no key fits.",
)
@click.argument("file")
@click.option("--key", "keys", multiple=True, metavar="P12|PEM", help="Private key with certificate; may be repeated.")
@click.option("--password-file", metavar="FILE", help="First line: the password of the keys.")
@click.option("--message-password-file", metavar="FILE", help="First line: the password that the message is for.")
@click.option("--trust", multiple=True, metavar="FILE|DIR", help="Trusted CA certificates (PEM, DER, PKCS #7).")
@click.option("--collection", metavar="TENANT", help="Trust the certificate collection of a tenant's folder.")
@click.option("--machine-store", is_flag=True, help="Trust the machine's roots as well, as Exchange on premises does.")
@click.option("--crl", "crls", multiple=True, metavar="FILE", help="Revocation list; may be repeated.")
@click.option("--cert", "certificates", multiple=True, metavar="FILE", help="Further certificates, not trusted.")
@click.option("--content", metavar="FILE", help="The content of a detached CMS signature.")
@click.option("--at", type=Moment(), help="Judge for this moment instead of now.")
@click.option(
    "--revocation",
    type=click.Choice([mode.value for mode in RevocationMode]),
    help="What it means when revocation cannot be determined. Default: soft-fail with --crl or --fetch, else none.",
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
@click.option(
    "--forgive",
    multiple=True,
    type=click.Choice([problem.name for problem in Problem], case_sensitive=False),
    metavar="PROBLEM",
    help="Report this problem, but do not count it (WEAK_DIGEST for old mail, say).",
)
@click.option("-o", "--output", metavar="OUT", help="Write the innermost content here (- for standard output).")
@click.option("--json", "as_json_", is_flag=True, help="Print the report as JSON.")
def command(  # noqa: PLR0913, PLR0917 - one argument for each option
    file: str,
    keys: Sequence[str],
    password_file: str | None,
    message_password_file: str | None,
    trust: Sequence[str],
    collection: str | None,
    machine_store: bool,  # noqa: FBT001 - click hands flags over by name
    crls: Sequence[str],
    certificates: Sequence[str],
    content: str | None,
    at: datetime | None,
    revocation: str | None,
    fetch: bool,  # noqa: FBT001 - click hands flags over by name, here and below
    networks: Sequence[IPv4Network | IPv6Network],
    forgive: Sequence[str],
    output: str | None,
    as_json_: bool,  # noqa: FBT001
) -> None:
    """Open FILE (a message, or CMS as DER, BER or PEM; - for standard input) and judge its signatures.

    The report goes to standard output, or to standard error when the content goes there.
    """
    message_password = read_password(message_password_file)
    present = datetime.now(UTC)
    arguments: dict[str, Any] = {
        "keys": DecryptionKeys(
            ring=KeyRing(read_identities(keys, read_password(password_file))),
            passwords=() if message_password is None else (message_password,),
        ),
        "trust": trusted_collection(trust, collection, machine_store=machine_store),
        "certificates": read_certificates(certificates),
        "evidence": read_evidence(crls),
        "now": at or present,
        "present": present,
        "options": _options(revocation, forgive, asks=bool(crls) or fetch),
    }
    to_stderr = output == "-"
    try:
        if is_large(file) or (content is not None and is_large(content)):
            opened = _open_large(file, content, arguments, output, fetch=fetch)
        else:
            opened = _open_small(read_file(file), content, arguments, networks, fetch=fetch)
            if output is not None:
                write_file(output, opened.content)
    except SmimeError as error:
        if as_json_:
            click.echo(json_text({"error": type(error).__name__, "text": str(error)}), err=to_stderr)
        raise
    shown = _sender_attributes(opened, collection)
    if as_json_:
        click.echo(json_text({**as_json(opened), **({"sender_attributes": shown} if shown else {})}), err=to_stderr)
    else:
        for line in as_lines(opened):
            click.echo(line, err=to_stderr)
        for name, values in shown.items():
            click.echo(f"  the signer's {name}: {printable(', '.join(values))}", err=to_stderr)
    sys.exit(status_of_verdict(opened.verdict))


def _sender_attributes(opened: OpenedMessage, tenant: str | None) -> dict[str, list[str]]:
    """What the tenant wants to be shown of signers who are not the sender, by the attribute's name."""
    strangers = [signature.certificate for signature in opened.signatures if signature.sender_bound is False]
    if tenant is None or not strangers:
        return {}
    from smime_engine.cli.tenant_place import existing_settings

    wanted = existing_settings(tenant).smime_config().sender_attributes_to_display
    found: dict[str, list[str]] = {}
    for certificate in strangers:
        for name, values in () if certificate is None else sender_attributes(certificate, wanted):
            found[name] = [*found.get(name, ()), *values]
    return found


def _options(revocation: str | None, forgive: Sequence[str], *, asks: bool) -> PathOptions:
    default = RevocationMode.SOFT_FAIL if asks else RevocationMode.NONE
    return replace(
        DEFAULT_OPTIONS,
        revocation=RevocationMode(revocation) if revocation else default,
        forgiven=frozenset(Problem[name.upper()] for name in forgive),
    )


def _open_small(
    data: bytes,
    content: str | None,
    arguments: dict[str, Any],
    networks: Sequence[IPv4Network | IPv6Network],
    *,
    fetch: bool,
) -> OpenedMessage:
    if not fetch:
        return _open(data, content, arguments)
    from smime_engine.cli.fetching import judge_and_fetch

    def judge(found: Gathered) -> OpenedMessage:
        more = {
            "certificates": (*arguments["certificates"], *found.certificates),
            "evidence": arguments["evidence"].including(found.evidence),
        }
        return _open(data, content, {**arguments, **more})

    return judge_and_fetch(judge, lambda opened: opened.wanted, networks=networks)


def _open(data: bytes, content: str | None, arguments: dict[str, Any]) -> OpenedMessage:
    if data[:1] == b"\x30":
        return open_cms(data, content=None if content is None else read_file(content), **arguments)
    if data.lstrip()[:11] == b"-----BEGIN ":
        return open_cms(from_pem(data), content=None if content is None else read_file(content), **arguments)
    if content is not None:
        raise click.UsageError("--content goes with bare CMS, not with a message")
    return open_message(data, **arguments)


def _open_large(
    file: str, content: str | None, arguments: dict[str, Any], output: str | None, *, fetch: bool
) -> OpenedMessage:
    """Open in pieces; the content is written only after everything was decrypted and judged."""
    if fetch:
        raise click.UsageError("--fetch goes with messages that fit into memory")
    keys = arguments.pop("keys")
    judge = Judge(**arguments)
    source = FileSource(file, readings=2, label="opening")
    folder = None if output in {None, "-"} else Path(str(output)).absolute().parent
    with scratch_files(folder) as scratch:
        first = b"".join(map(bytes, span_of(source(), 0, 1)))
        if first == b"\x30":
            detached = None if content is None else FileSource(content)
            streamed = open_cms_stream(source, judge=judge, keys=keys, scratch=scratch, detached=detached)
        elif content is not None:
            raise click.UsageError("--content goes with bare CMS, not with a message")
        else:
            streamed = open_message_stream(source, judge=judge, keys=keys, scratch=scratch)
        if output is not None:
            write_pieces(output, streamed.content())
    return streamed.opened
