"""Certificates of correspondents, harvested from their signed mail or entered by hand.

Does: keep each certificate once for an address, with what is known about it; find those of many addresses in few
queries. Does not: decide which mail may be harvested or which certificate takes which one's place: rules do, and say so
by `pinned`, `preferred` and `remove`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any

from sqlalchemy import RowMapping, delete, insert, select, update

from smime_engine.addresses import comparable_address
from smime_engine.errors import ConfigurationError
from smime_engine.sources.store.directory_rows import batches
from smime_engine.sources.store.keys import split_chain
from smime_engine.sources.store.schema import harvested
from smime_engine.sources.store.scope import Scope
from smime_engine.sources.store.values import HarvestedCertificate

__all__ = ["Harvest"]


class Harvest:
    """The harvested certificates of one tenant."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    def keep(self, found: HarvestedCertificate) -> bool:
        """Keep a certificate, or what is new about one that is known -> whether it was new.

        Of a known one the first time stays, the last time moves on, capabilities are replaced where there are any, and
        a pin stays until `remove`. Where the certificate is preferred, no other one of the address is any longer.
        """
        comparable = comparable_address(found.address)
        if comparable is None:
            raise ConfigurationError(f"{found.address!r} is no mail address")
        address = {"tenant_id": self._scope.tenant_id, "address": comparable}
        fingerprint = sha256(found.certificate).digest()
        key = {**address, "fingerprint": fingerprint}
        with self._scope.writing() as connection:
            if found.preferred:
                connection.execute(update(harvested).filter_by(**address).values(preferred=False))
            known = connection.execute(select(harvested).filter_by(**key)).mappings().first()
            if known is None:
                connection.execute(insert(harvested).values(**key, **_values(found)))
                self._scope.record(connection, "certificate.harvested", found.address, certificate=fingerprint.hex())
            else:
                connection.execute(update(harvested).filter_by(**key).values(**_renewed(found, known)))
        return known is None

    def find(self, wanted: Iterable[str]) -> Mapping[str, tuple[HarvestedCertificate, ...]]:
        """Look addresses up -> the certificates of each, by the address as it was asked for.

        Pinned ones first, then preferred ones, then the latest seen. Addresses without any are left out.
        """
        asked: dict[str, list[str]] = {}
        for address in dict.fromkeys(wanted):
            comparable = comparable_address(address)
            if comparable is not None:
                asked.setdefault(comparable, []).append(address)
        own = harvested.c.tenant_id == self._scope.tenant_id
        order = (harvested.c.pinned.desc(), harvested.c.preferred.desc(), harvested.c.last_seen.desc())
        found: dict[str, tuple[HarvestedCertificate, ...]] = {}
        with self._scope.reading() as connection:
            for batch in batches(asked):
                query = select(harvested).where(own, harvested.c.address.in_(batch))
                for row in connection.execute(query.order_by(*order, harvested.c.fingerprint)).mappings():
                    value = _value(row)
                    for address in asked[row["address"]]:
                        found[address] = (*found.get(address, ()), value)
        return found

    def remove(self, address: str, fingerprint: bytes | None = None) -> int:
        """Forget one certificate of an address (by SHA-256), or all of them -> how many."""
        key: dict[str, Any] = {"tenant_id": self._scope.tenant_id, "address": comparable_address(address)}
        if fingerprint is not None:
            key["fingerprint"] = fingerprint
        with self._scope.writing() as connection:
            removed = connection.execute(delete(harvested).filter_by(**key)).rowcount
            if removed:
                self._scope.record(connection, "certificate.forgotten", address, certificates=removed)
        return removed


def _values(found: HarvestedCertificate) -> dict[str, Any]:
    return {
        "written": found.address,
        "certificate": found.certificate,
        "chain": b"".join(found.chain),
        "capabilities": found.capabilities,
        "preferred": found.preferred,
        "pinned": found.pinned,
        "source": found.source,
        "first_seen": found.first_seen,
        "last_seen": found.last_seen,
    }


def _renewed(found: HarvestedCertificate, known: RowMapping) -> dict[str, Any]:
    is_newer = found.last_seen >= known["last_seen"]
    newer = found.capabilities if is_newer and found.capabilities is not None else known["capabilities"]
    return {
        "chain": b"".join(found.chain) or known["chain"],
        "capabilities": newer if newer is not None else found.capabilities,
        "preferred": found.preferred or known["preferred"],
        "pinned": found.pinned or known["pinned"],
        "first_seen": min(found.first_seen, known["first_seen"]),
        "last_seen": max(found.last_seen, known["last_seen"]),
    }


def _value(row: RowMapping) -> HarvestedCertificate:
    return HarvestedCertificate(
        address=row["written"],
        certificate=row["certificate"],
        chain=split_chain(row["chain"]),
        capabilities=row["capabilities"],
        preferred=row["preferred"],
        pinned=row["pinned"],
        source=row["source"],
        first_seen=row["first_seen"],
        last_seen=row["last_seen"],
    )
