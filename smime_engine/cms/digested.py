"""DigestedData: content with its digest, which shows accidents and no attacks. Read only; nobody writes it any more.

Standards: RFC 5652 section 7.
"""

from __future__ import annotations

from functools import partial
from hmac import compare_digest
from typing import NamedTuple

from smime_engine.asn1 import ber, oids
from smime_engine.cms.encrypted_content import structure_in
from smime_engine.crypto.digests import digest_from_identifier
from smime_engine.crypto.signing import digest
from smime_engine.errors import LimitExceeded, MalformedMessage
from smime_engine.limits import DEFAULT_LIMITS, Limits

__all__ = ["DigestedContent", "open_digested_data"]

Octets = bytes | memoryview


class DigestedContent(NamedTuple):
    """A content, and whether its digest fits."""

    content: bytes
    content_type: str
    algorithm: str
    """Name of the digest."""

    intact: bool


def open_digested_data(data: Octets, *, limits: Limits = DEFAULT_LIMITS) -> DigestedContent:
    """Take apart a ContentInfo with a DigestedData, DER or BER, and compare the digest.

    Raises MalformedMessage, LimitExceeded, UnsupportedAlgorithm.
    """
    if len(data) > limits.message_size:
        raise LimitExceeded("message_size", limits.message_size)
    return ber.der_or_converted(data, partial(_open, limits=limits), limits)


def _open(data: Octets, *, limits: Limits) -> DigestedContent:
    fields = structure_in(data, oids.ID_DIGESTED_DATA, limits, expected="a DigestedData")
    if [field[0] for field in fields] != [0x02, 0x30, 0x30, 0x04]:
        raise MalformedMessage("the fields of a DigestedData", offset=0)
    _, (_, first, _, last), (_, _, start, end), (_, _, digest_start, digest_end) = fields
    algorithm = digest_from_identifier(bytes(data[first:last]))
    inner = ber.children(data, start, end, limits)
    if [field[0] for field in inner] != [0x06, 0xA0]:
        raise MalformedMessage("an EncapsulatedContentInfo with content", offset=start)
    (_, _, type_start, type_end), (_, _, explicit_start, explicit_end) = inner
    content_start, content_end = ber.content(
        data, explicit_start, explicit_end, 0x04, expected="the content (OCTET STRING)"
    )
    content = bytes(data[content_start:content_end])
    return DigestedContent(
        content,
        oids.decode_oid(data[type_start:type_end], offset=type_start),
        algorithm.name,
        compare_digest(digest(algorithm, content), bytes(data[digest_start:digest_end])),
    )
