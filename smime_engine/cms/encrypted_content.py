"""What EnvelopedData, AuthEnvelopedData and EncryptedData have in common: EncryptedContentInfo, and trying keys on it.

Does not: read recipients (`recipients.py`) or recover keys (`opening.py`).

Standards: RFC 5652 section 6.1 (EncryptedContentInfo), section 6.3 (padding).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, TypeVar

from smime_engine.asn1 import ber, oids
from smime_engine.cms.opening import ContentKey
from smime_engine.crypto.content_encryption import decrypt, padding_fits
from smime_engine.crypto.encryption_algorithms import ContentEncryption, Status
from smime_engine.errors import DecryptionFailed, MalformedMessage
from smime_engine.limits import DEFAULT_LIMITS, Limits
from smime_engine.problems import Finding, Problem

__all__ = [
    "SEGMENTED_CONTENT",
    "EncryptedContentInfo",
    "cipher_findings",
    "decrypt_with",
    "parse_encrypted_content_info",
    "structure_in",
]

Octets = bytes | memoryview
T = TypeVar("T")

SEGMENTED_CONTENT = frozenset({(0x30, 0xA0, 0x30, 0x30, 0xA0)})
"""Where the encrypted content stands in all three structures, for `ber.to_der`: streaming writers send it segmented."""


class EncryptedContentInfo(NamedTuple):
    """The encrypted content with its algorithm."""

    content_type: str
    algorithm: bytes
    ciphertext: Octets | None
    """A span of the input unless that was segmented; None where it is kept elsewhere."""


def structure_in(data: Octets, type_: oids.Oid, limits: Limits, *, expected: str) -> list[ber.Element]:
    """Unwrap a ContentInfo of the given type, which must fill `data`, and the SEQUENCE in it -> the fields of that."""
    end = len(data)
    start, content_end = ber.content(data, 0, end, 0x30, expected="a ContentInfo (SEQUENCE)")
    if content_end != end:
        raise MalformedMessage("the end of the input", offset=content_end)
    oid_end = start + len(type_.tlv)
    if data[start:oid_end] != type_.tlv:
        raise MalformedMessage(f"the content type {type_.name}", offset=start)
    start, explicit_end = ber.content(data, oid_end, end, 0xA0, expected="the content of a ContentInfo, [0]")
    start, content_end = ber.content(data, start, explicit_end, 0x30, expected=f"{expected} (SEQUENCE)")
    if content_end != end or explicit_end != end:
        raise MalformedMessage(f"the end of {expected}", offset=content_end)
    return ber.children(data, start, end, limits)


def parse_encrypted_content_info(
    data: Octets, start: int, end: int, *, limits: Limits = DEFAULT_LIMITS
) -> EncryptedContentInfo:
    """Take apart the content data[start:end] of an EncryptedContentInfo, DER."""
    fields = ber.children(data, start, end, limits)
    if not 2 <= len(fields) <= 3 or fields[0][0] != 0x06 or fields[1][0] != 0x30:
        raise MalformedMessage("the fields of an EncryptedContentInfo", offset=start)
    _, type_first, type_start, type_end = fields[0]
    _, algorithm_start, _, algorithm_end = fields[1]
    ciphertext: Octets | None = None
    if len(fields) == 3:
        tag, first, content_start, content_end = fields[2]
        if tag not in {0x80, 0xA0}:
            raise MalformedMessage("the encrypted content, [0]", offset=first)
        ciphertext = ber.octets(data, tag, content_start, content_end, limits)
    return EncryptedContentInfo(
        _USUAL_TYPES.get(bytes(data[type_first:type_end]))
        or oids.decode_oid(data[type_start:type_end], offset=type_start),
        bytes(data[algorithm_start:algorithm_end]),
        ciphertext,
    )


_USUAL_TYPES: dict[bytes, str] = {type_.tlv: type_ for type_ in (oids.ID_DATA, oids.ID_SIGNED_DATA)}


def cipher_findings(encryption: ContentEncryption) -> tuple[Finding, ...]:
    """What is to be told about a content cipher."""
    if encryption.cipher.status is Status.STRONG:
        return ()
    return (Finding(problem=Problem.WEAK_CONTENT_CIPHER, detail=encryption.name),)


def decrypt_with(
    keys: Iterable[tuple[T, ContentKey]],
    encryption: ContentEncryption,
    info: EncryptedContentInfo,
    *,
    several: bool,
    tag: bytes = b"",
    associated: bytes = b"",
) -> tuple[bytes, T]:
    """Try keys until one decrypts -> the content, and what came with its key.

    Raises DecryptionFailed where none does, always after the same work. With CBC a wrong key passes for right once in
    256 times (that is RFC 3218's price); where there are `several` keys, the last block is tried before the whole.
    """
    ciphertext = info.ciphertext
    if ciphertext is None:
        raise MalformedMessage("the encrypted content inside of the message")
    tries_last_block = several and not encryption.cipher.authenticates
    for label, (key, usable) in keys:
        if tries_last_block and not padding_fits(encryption, key, ciphertext):
            continue
        try:
            content = decrypt(encryption, key, ciphertext, tag=tag, associated=associated)
        except DecryptionFailed:
            continue
        if usable:
            return content, label
    raise DecryptionFailed
