"""Serialized certificate stores: a result or MalformedMessage; what is read is written and read again."""

from __future__ import annotations

from smime_engine.errors import MalformedMessage
from smime_engine.trust.sst import SerializedStore, StoreContent, StoreEntry, encode_sst, parse_sst

HASHES = {3, 4, 15, 24, 25}


def fuzz(data: bytes) -> None:
    """Read; write; read again."""
    try:
        store = parse_sst(data)
    except MalformedMessage:
        return
    again = parse_sst(encode_sst(store))
    assert sorted(entry.der for entry in again.entries) == sorted(entry.der for entry in store.entries)
    assert not any(identifier in HASHES for entry in again.entries for identifier, _ in entry.properties)


def seeds() -> list[bytes]:
    """Stores with everything that can stand in them."""
    entries = (
        StoreEntry(content=StoreContent.CERTIFICATE, der=b"certificate", properties=((11, b"n\0\0\0"), (20, b"key"))),
        StoreEntry(content=StoreContent.CRL, der=b"list"),
        StoreEntry(content=StoreContent.CTL, der=b"trust"),
    )
    return [b"", encode_sst([]), encode_sst([b"one", b"two"]), encode_sst(SerializedStore(entries=entries))]
