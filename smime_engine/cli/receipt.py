"""`smime receipt`: make the signed receipt that a message asks for, and check one that came back.

Does: gather files and keys, call `engine.receipts`, write and explain the result. Does not: send, or decrypt messages
(`smime open` first).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import click

from smime_engine.cli.exit_status import status_of_verdict
from smime_engine.cli.inputs import (
    Moment,
    read_certificates,
    read_file,
    read_password,
    read_signing_identity,
    trusted_collection,
    write_file,
)
from smime_engine.cli.rendering import json_text, printable
from smime_engine.cms.signer import CmsSigner
from smime_engine.engine import open_message
from smime_engine.engine.receipts import open_receipt, receipt_message
from smime_engine.errors import InvalidKey

__all__ = ["command"]

C = TypeVar("C", bound=Callable[..., object])


@click.group(name="receipt")
def command() -> None:
    """Signed receipts (RFC 2634): the recipient says, signed, to have verified a message.

    To ask for one: smime sign --receipt-to ADDRESS.
    """


def _about_trust(function: C) -> C:
    for option in (
        click.option("--at", type=Moment(), help="Judge for this moment instead of now."),
        click.option(
            "--cert", "certificates", multiple=True, metavar="FILE", help="Further certificates, not trusted."
        ),
        click.option("--collection", metavar="TENANT", help="Trust the certificate collection of a tenant's folder."),
        click.option("--trust", multiple=True, metavar="FILE|DIR", help="Trusted CA certificates (PEM, DER, PKCS #7)."),
    ):
        function = option(function)
    return function


def _world(
    trust: Sequence[str], collection: str | None, certificates: Sequence[str], at: datetime | None
) -> dict[str, Any]:
    present = datetime.now(UTC)
    return {
        "trust": trusted_collection(trust, collection),
        "certificates": read_certificates(certificates),
        "now": at or present,
        "present": present,
    }


@command.command()
@click.argument("message")
@click.option("--key", required=True, metavar="P12|PEM", help="Your key with certificate.")
@click.option("--password-file", metavar="FILE", help="First line: the password of the key.")
@click.option("--address", metavar="ADDRESS", help="Yours; default: the certificate's first one.")
@_about_trust
@click.option("-o", "--output", metavar="OUT", help="Default: standard output.")
@click.pass_context
def create(  # noqa: PLR0913, PLR0917 - one argument for each option
    context: click.Context,
    message: str,
    key: str,
    password_file: str | None,
    address: str | None,
    trust: Sequence[str],
    collection: str | None,
    certificates: Sequence[str],
    at: datetime | None,
    output: str | None,
) -> None:
    """Make the receipt for MESSAGE, as a mail to whom its signer named.

    Exit status 1, and no receipt, where MESSAGE asks for none from you, or is not valid.
    """
    world = _world(trust, collection, certificates, at)
    identity = read_signing_identity(key, read_password(password_file))
    own = identity.certificate.addresses
    if address is None and not own:
        raise InvalidKey(f"{key}: its certificate names no address: give --address")
    signer = CmsSigner(identity.key, identity.certificate, chain=identity.chain)
    opened = open_message(read_file(message), **world)
    receipt = receipt_message(opened, signer, address=address or own[0], now=datetime.now(UTC))
    if receipt is None:
        click.echo(f"smime: {message} asks for no receipt from {printable(address or own[0])}", err=True)
        context.exit(1)
    write_file(output, receipt)


@command.command()
@click.argument("receipt")
@click.argument("message")
@_about_trust
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.pass_context
def check(
    context: click.Context,
    receipt: str,
    message: str,
    trust: Sequence[str],
    collection: str | None,
    certificates: Sequence[str],
    at: datetime | None,
    as_json: bool,  # noqa: FBT001 - click hands flags over by name
) -> None:
    """Check RECEIPT, a mail that came back, against the MESSAGE that asked for it, as it was sent."""
    world = _world(trust, collection, certificates, at)
    report = open_receipt(read_file(receipt), open_message(read_file(message), **world), **world)
    certificate = report.signature.certificate
    who = "somebody" if certificate is None else certificate.subject
    if as_json:
        found = {
            "verdict": report.verdict.value,
            "problems": [problem.name for problem in report.problems],
            "from": None if certificate is None else list(certificate.addresses),
            "signing_time": None if (time := report.signature.signing_time) is None else time.isoformat(),
        }
        click.echo(json_text(found))
    else:
        click.echo(f"{report.verdict.value}: receipt of {printable(who)}")
        for problem in report.problems:
            click.echo(f"  {problem.name}: {problem.text}")
    context.exit(status_of_verdict(report.verdict))
