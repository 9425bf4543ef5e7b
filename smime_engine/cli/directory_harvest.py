"""`smime directory harvest`: learn correspondents' certificates from their signed mail, into the tenant store.

Does: open messages with the tenant's trust, hand what they teach to the store, say what became of it. Does not: decide.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import click

from smime_engine.cli.inputs import Moment, read_file
from smime_engine.cli.rendering import json_text, printable
from smime_engine.cli.tenant_place import json_option, name_option, opened_store, store_option
from smime_engine.directory.harvesting import harvest
from smime_engine.engine import open_message

__all__ = ["harvest_command"]


@click.command(
    name="harvest", epilog="Exit status: 0 every message taught something, 1 some did not (not signed, not valid)."
)
@store_option
@name_option
@click.argument("messages", nargs=-1, required=True, metavar="MESSAGE…")
@click.option("--pin", is_flag=True, help="Settle that these certificates are the ones: later mail replaces none.")
@click.option("--at", type=Moment(), help="Judge for this moment instead of now.")
@json_option
def harvest_command(
    *, url: str, name: str, messages: Sequence[str], pin: bool, at: datetime | None, as_json: bool
) -> None:
    """Keep the certificates and capabilities of the authors of signed messages.

    Only messages that are valid as a whole count, judged by the tenant's collection. A certificate is replaced by one
    from a message that was signed later, a pinned one never.
    """
    from smime_engine.sources.learning import learn

    tenant = opened_store(url).tenant(name)
    trust, now = tenant.settings.trust_collection(), at or datetime.now(UTC)
    rows = []
    for file in messages:
        records = harvest(open_message(read_file(file), now=now, trust=trust), now=now)
        for record in records:
            outcome = learn(tenant.harvest, replace(record, pinned=pin), source="signed mail")
            fingerprint = record.certificate.fingerprint_sha256.hex()
            rows.append({"message": file, "address": record.address, "sha256": fingerprint, "outcome": outcome.value})
        if not records:
            rows.append({"message": file, "address": "", "sha256": "", "outcome": "it is no valid signed mail"})
    if as_json:
        click.echo(json_text(rows))
    else:
        for row in rows:
            click.echo(printable(f"{row['address'] or row['message']}: {row['outcome']}"))
    sys.exit(0 if all(row["address"] for row in rows) else 1)
