"""SMIMEA records: where a certificate stands in DNS, and what a record says.

A record can hold a whole certificate, or a digest or key that a certificate from elsewhere must match. Only whole
certificates help to find one, so that only these are read; the others are told. What DNS says about trust (the usages)
does not count: trust is decided by the tenant's collection.

Does: names and records as values. Does not: ask DNS, or check DNSSEC (`sources.smimea` demands it).

Standards: RFC 8162 sections 2 and 3, RFC 6698 section 2.1 (the fields), RFC 7671 section 5.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from typing import NamedTuple

from smime_engine.addresses import comparable_address, comparable_domain
from smime_engine.certificate import Certificate
from smime_engine.directory.entries import DirectoryEntry, ListedCertificate, Origin
from smime_engine.errors import MalformedMessage
from smime_engine.limits import DEFAULT_LIMITS, Limits

__all__ = ["SmimeaRecord", "entry_of_records", "smimea_name"]

_END_ENTITY = frozenset({1, 3})
_AUTHORITY = frozenset({0, 2})


class SmimeaRecord(NamedTuple):
    """One record (RFC 6698 section 2.1)."""

    usage: int
    selector: int
    matching_type: int
    data: bytes


def smimea_name(address: str) -> str | None:
    """Where the records of an address stand: a DNS name with final dot; None for what is no address.

    The local part is hashed as it is written, without quotes: only the owner of the domain knows what is the same
    mailbox (RFC 8162 section 4).
    """
    local, _, domain = address.rpartition("@")
    where = comparable_domain(domain)
    if comparable_address(address) is None or where is None or where.startswith("["):
        return None
    if len(local) >= 2 and local[0] == local[-1] == '"':
        characters = iter(local[1:-1])
        local = "".join(next(characters, "") if character == "\\" else character for character in characters)
    digest = sha256(local.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{digest[:56]}._smimecert.{where}."


def entry_of_records(
    address: str, records: Iterable[SmimeaRecord], *, source: str, limits: Limits = DEFAULT_LIMITS
) -> DirectoryEntry | None:
    """An entry with the certificates of the records; None without records. Never raises for what they hold."""
    listed: list[ListedCertificate] = []
    pool: list[Certificate] = []
    defects: list[str] = []
    count = 0
    for record in records:
        count += 1
        if count > limits.directory_values:
            defects.append(f"only {limits.directory_values:,} records are read")
            break
        if record.usage not in _END_ENTITY | _AUTHORITY or (record.selector, record.matching_type) != (0, 0):
            fields = f"{record.usage} {record.selector} {record.matching_type}"
            defects.append(f"a record left out that holds no whole certificate ({fields})")
            continue
        try:
            certificate = Certificate.parse(record.data)
        except MalformedMessage as error:
            defects.append(f"a record left out: {error}")
            continue
        if record.usage in _AUTHORITY:
            pool.append(certificate)
        else:
            listed.append(ListedCertificate(certificate=certificate, origin=Origin.SMIMEA))
    if not count:
        return None
    return DirectoryEntry(
        source=source,
        identifier=smimea_name(address) or address,
        primary=address,
        certificates=tuple(dict.fromkeys(listed)),
        pool=tuple(dict.fromkeys(pool)),
        defects=tuple(defects[:5]),
    )
