"""Microsoft serialized certificate stores (SST files): read them, and write them as Windows does.

Does: the framing (certificates, revocation lists, trust lists and their properties), byte for byte. Does not: look into
the certificates; trust anything; read the header-less "serialized certificate" (.NET's X509ContentType.SerializedCert).

Standards: MS-OSHARED sections 2.3.2.5.1 to 2.3.2.5.4 and 2.3.9.1. All integers are little-endian, 32 bits:

    store   = version 0, "CERT", element*, end marker (12 zero bytes)
    element = identifier, encoding 1, length, value

Elements with an identifier of 0x20 (certificate), 0x21 (CRL) and 0x22 (CTL) are the content; those before them with
other identifiers are properties of the content that follows.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from smime_engine.errors import LimitExceeded, MalformedMessage
from smime_engine.limits import DEFAULT_LIMITS, Limits

__all__ = ["SerializedStore", "StoreContent", "StoreEntry", "encode_sst", "is_sst", "parse_sst"]

_HEADER = b"\0\0\0\0CERT"
_END = bytes(12)
_ELEMENT = struct.Struct("<III")
_ENCODING_ASN1 = 1
_LAST_PROPERTY = 0xFFFF

# Hashes of the content (SHA-1, MD5, signature, MD5 of the issuer's and of the subject's key): Windows leaves them out
# when it saves a store, because every reader can compute them.
_HASH_PROPERTIES = frozenset({3, 4, 15, 24, 25})


class StoreContent(Enum):
    """What an entry holds; the value is the element identifier."""

    CERTIFICATE = 0x20
    CRL = 0x21
    CTL = 0x22


# Windows writes all certificates, then all CRLs, then all CTLs.
_BY_IDENTIFIER = {content.value: content for content in StoreContent}
_ORDER = {content: place for place, content in enumerate(StoreContent)}


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreEntry:
    """One certificate, CRL or CTL (a PKCS#7 SignedData), DER, with its properties as (identifier, value)."""

    content: StoreContent
    der: bytes
    properties: tuple[tuple[int, bytes], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SerializedStore:
    """All entries of a store, in the order of the file."""

    entries: tuple[StoreEntry, ...] = ()

    @property
    def certificates(self) -> tuple[bytes, ...]:
        """DER of every certificate."""
        return self._of(StoreContent.CERTIFICATE)

    @property
    def crls(self) -> tuple[bytes, ...]:
        """DER of every revocation list."""
        return self._of(StoreContent.CRL)

    @property
    def ctls(self) -> tuple[bytes, ...]:
        """DER of every certificate trust list."""
        return self._of(StoreContent.CTL)

    def _of(self, content: StoreContent) -> tuple[bytes, ...]:
        return tuple(entry.der for entry in self.entries if entry.content is content)


def is_sst(data: bytes) -> bool:
    """Whether the data begins as a serialized store does; says nothing about the rest."""
    return data.startswith(_HEADER)


def parse_sst(data: bytes, *, limits: Limits = DEFAULT_LIMITS) -> SerializedStore:
    """Read a serialized store. An empty file is an empty store, as for Windows.

    Raises MalformedMessage with the offset of whatever is wrong (cut short, bytes behind the end marker, properties
    that belong to nothing), LimitExceeded for more than `limits.store_elements` elements. The certificates' own bytes
    are not examined.
    """
    if not data:
        return SerializedStore()
    if not data.startswith(_HEADER):
        raise MalformedMessage("a serialized certificate store: four zero bytes and CERT", offset=0)
    entries: list[StoreEntry] = []
    properties: list[tuple[int, bytes]] = []
    offset = len(_HEADER)
    for _ in range(limits.store_elements + 1):
        if data.startswith(b"\0\0\0\0", offset):
            _require_end(data, offset, dangling=bool(properties))
            return SerializedStore(entries=tuple(entries))
        identifier, value, following = _element(data, offset)
        content = _BY_IDENTIFIER.get(identifier)
        if content is None:
            properties.append((identifier, value))
        else:
            entries.append(StoreEntry(content=content, der=value, properties=tuple(properties)))
            properties.clear()
        offset = following
    raise LimitExceeded("store_elements", limits.store_elements, offset=offset)


def encode_sst(store: SerializedStore | Iterable[bytes], *, crls: Iterable[bytes] = ()) -> bytes:
    """Write a store as Windows does: certificates, then CRLs, then CTLs; computable hash properties are left out.

    Takes a store, or the DER of certificates (and CRLs). Within each kind the order is kept.
    """
    if not isinstance(store, SerializedStore):
        certificates = (StoreEntry(content=StoreContent.CERTIFICATE, der=der) for der in store)
        lists = (StoreEntry(content=StoreContent.CRL, der=der) for der in crls)
        store = SerializedStore(entries=(*certificates, *lists))
    pieces = [_HEADER]
    for entry in sorted(store.entries, key=lambda entry: _ORDER[entry.content]):
        kept = (pair for pair in entry.properties if pair[0] not in _HASH_PROPERTIES)
        for identifier, value in (*kept, (entry.content.value, entry.der)):
            pieces += (_ELEMENT.pack(identifier, _ENCODING_ASN1, len(value)), value)
    pieces.append(_END)
    return b"".join(pieces)


def _element(data: bytes, offset: int) -> tuple[int, bytes, int]:
    """Read one element -> (identifier, value, offset behind it)."""
    start = offset + _ELEMENT.size
    if start > len(data):
        raise MalformedMessage("an element of 12 bytes or the end marker", offset=offset)
    identifier, encoding, length = _ELEMENT.unpack_from(data, offset)
    if identifier > _LAST_PROPERTY:
        raise MalformedMessage(f"an element identifier of at most 0x{_LAST_PROPERTY:X}", offset=offset)
    if encoding != _ENCODING_ASN1:
        raise MalformedMessage(f"the encoding {_ENCODING_ASN1} (ASN.1)", offset=offset + 4)
    if length > len(data) - start:
        raise MalformedMessage(f"{length:,} bytes of element 0x{identifier:X}", offset=start)
    return identifier, data[start : start + length], start + length


def _require_end(data: bytes, offset: int, *, dangling: bool) -> None:
    if dangling:
        raise MalformedMessage("a certificate, CRL or CTL after its properties", offset=offset)
    if data[offset : offset + len(_END)] != _END:
        raise MalformedMessage("an end marker of 12 zero bytes", offset=offset)
    if len(data) > offset + len(_END):
        # Windows stops reading here. Bytes that an importer ignores and an auditor sees are refused instead.
        raise MalformedMessage("the end of the store", offset=offset + len(_END))
