"""Keep in the store what signed mail teaches: the joint of `directory.harvesting` and the store's table.

Does: hold a new record against the known one, and store it where the rules say so. Does not: open messages, decide.
"""

from __future__ import annotations

from smime_engine.certificate import Certificate
from smime_engine.cms.capabilities import encode_capabilities, parse_capabilities
from smime_engine.directory.harvesting import Harvest, Outcome, succeed
from smime_engine.errors import MalformedMessage
from smime_engine.sources.store.harvest import Harvest as HarvestTable
from smime_engine.sources.store.values import HarvestedCertificate

__all__ = ["learn"]

_STORED = frozenset({Outcome.LEARNED, Outcome.CONFIRMED, Outcome.REPLACED})


def learn(table: HarvestTable, record: Harvest, *, source: str) -> Outcome:
    """Store a record unless what is known is pinned or was signed later. `source` says where it came from."""
    kept, outcome = succeed(_known(table, record.address), record)
    if record.pinned and outcome is Outcome.REPLACED:
        table.remove(record.address)
    if outcome in _STORED:
        table.keep(
            HarvestedCertificate(
                address=kept.address,
                certificate=kept.certificate.der,
                chain=tuple(certificate.der for certificate in kept.pool),
                capabilities=None if kept.capabilities is None else encode_capabilities(kept.capabilities),
                preferred=True,
                pinned=kept.pinned,
                source=source,
                first_seen=kept.signed_at,
                last_seen=kept.signed_at,
            )
        )
    return outcome


def _known(table: HarvestTable, address: str) -> Harvest | None:
    """The record in force: the pinned one, else the preferred one, else the latest."""
    for row in table.find([address]).get(address, ()):
        try:
            return Harvest(
                address=row.address,
                certificate=Certificate.parse(row.certificate),
                capabilities=None if row.capabilities is None else parse_capabilities(row.capabilities),
                signed_at=row.last_seen,
                pinned=row.pinned,
            )
        except MalformedMessage:
            continue  # not from here: it is told when somebody looks the address up
    return None
