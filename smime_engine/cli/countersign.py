"""`smime countersign`: sign the signature of a CMS object.

Does: gather files and keys, call `cms.unsigned.countersign`, write the result. Does not: judge the signature that is
signed (`smime open` first), or rewrite messages around it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import click

from smime_engine.cli.inputs import (
    Moment,
    from_pem,
    pem_text,
    read_file,
    read_password,
    read_signing_identity,
    write_file,
)
from smime_engine.cms.signed import parse_signed_data
from smime_engine.cms.signer import CmsSigner
from smime_engine.cms.unsigned import countersign

__all__ = ["command"]


@click.command(name="countersign")
@click.argument("file", default="-")
@click.option(
    "--key", "keys", multiple=True, required=True, metavar="P12|PEM", help="Key with certificate; repeat for several."
)
@click.option("--password-file", metavar="FILE", help="First line: the password of the keys.")
@click.option("--signer", default=1, show_default=True, type=click.IntRange(1), help="Whose signature: 1 is the first.")
@click.option("--form", type=click.Choice(["der", "pem"]), default="der", show_default=True, help="Of the result.")
@click.option("--at", type=Moment(), help="Signing time instead of now.")
@click.option("-o", "--output", metavar="OUT", help="Default: standard output.")
def command(
    file: str,
    keys: Sequence[str],
    password_file: str | None,
    signer: int,
    form: str,
    at: datetime | None,
    output: str | None,
) -> None:
    """Sign a signature in FILE (CMS as DER, BER or PEM; - for standard input) with each KEY.

    Nothing that is signed changes. A countersignature says that its signer saw the signature, not that it is right.
    """
    password = read_password(password_file)
    data = read_file(file)
    if data[:1] != b"\x30":
        data = from_pem(data)
    if signer > len(parse_signed_data(data).signers):
        raise click.BadParameter(f"there are {len(parse_signed_data(data).signers)} signers", param_hint="--signer")
    identities = [read_signing_identity(key, password) for key in keys]
    signers = [CmsSigner(identity.key, identity.certificate, chain=identity.chain) for identity in identities]
    result = countersign(data, signers, now=at or datetime.now(UTC), index=signer - 1)
    write_file(output, pem_text(result) if form == "pem" else result)
