"""EncryptedData: a content encrypted with a key that the reader has from elsewhere; there are no recipients.

Reads and makes it. Has no integrity: an AEAD cipher is refused, since the structure has no place for the tag.

Standards: RFC 5652 section 8; RFC 4134 section 7 (examples).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from smime_engine.asn1 import ber, oids
from smime_engine.cms.encrypted_content import (
    SEGMENTED_CONTENT,
    EncryptedContentInfo,
    cipher_findings,
    decrypt_with,
    parse_encrypted_content_info,
    structure_in,
)
from smime_engine.cms.enveloped import OpenedEnvelope
from smime_engine.cms.opening import ContentKey, DecryptionKeys
from smime_engine.crypto.content_encryption import encrypt
from smime_engine.crypto.encryption_algorithms import (
    CONTENT_CIPHERS,
    content_encryption,
    content_encryption_from_identifier,
)
from smime_engine.errors import LimitExceeded, MalformedMessage, NoMatchingKey, UnsupportedAlgorithm
from smime_engine.limits import DEFAULT_LIMITS, Limits

__all__ = ["encrypt_data", "open_encrypted_data"]

Octets = bytes | memoryview

KIND = "encrypted-data"


def open_encrypted_data(data: Octets, keys: DecryptionKeys, *, limits: Limits = DEFAULT_LIMITS) -> OpenedEnvelope:
    """Decrypt a ContentInfo with an EncryptedData, DER or BER, with one of `keys.content_keys`.

    Raises MalformedMessage, LimitExceeded, UnsupportedAlgorithm; NoMatchingKey where no key has the cipher's size;
    DecryptionFailed for everything else.
    """
    if len(data) > limits.message_size:
        raise LimitExceeded("message_size", limits.message_size)
    info = ber.der_or_converted(data, partial(_parse, limits=limits), limits, octet_strings=SEGMENTED_CONTENT)
    encryption = content_encryption_from_identifier(info.algorithm)
    if encryption.cipher.authenticates:
        raise MalformedMessage(f"no authenticating cipher in {KIND}, not {encryption.name}")
    fitting = [ContentKey(key, usable=True) for key in keys.content_keys if len(key) in encryption.cipher.key_sizes]
    if not fitting:
        raise NoMatchingKey
    if len(fitting) > limits.unwrap_attempts:
        raise LimitExceeded("unwrap_attempts", limits.unwrap_attempts)
    content, _ = decrypt_with(((None, key) for key in fitting), encryption, info, several=len(fitting) > 1)
    return OpenedEnvelope(
        kind=KIND,
        content=content,
        content_type=info.content_type,
        cipher=encryption.name,
        integrity=False,
        findings=cipher_findings(encryption),
        recipient_infos=(),
        candidate=None,
    )


def encrypt_data(
    content: Octets,
    key: bytes,
    *,
    cipher: str = "aes256-cbc",
    content_type: oids.Oid = oids.ID_DATA,
    unprotected_attributes: Iterable[bytes] = (),
) -> bytes:
    """Encrypt with a key of the cipher's size -> DER ContentInfo. Raises UnsupportedAlgorithm for AEAD ciphers.

    `unprotected_attributes` are encoded Attributes: readable by everybody, and changeable.
    """
    found = CONTENT_CIPHERS.get(cipher)
    if found is None or found.authenticates or len(key) not in found.key_sizes:
        raise UnsupportedAlgorithm(f"{cipher} with a key of {len(key)} octets", purpose="content-encryption")
    encryption = content_encryption(found)
    ciphertext, _ = encrypt(encryption, key, content)
    info = ber.encode(0x30, content_type.tlv, encryption.identifier, ber.encode(0x80, ciphertext))
    attributes = tuple(unprotected_attributes)
    fields = (info, ber.encode_set(0xA1, attributes)) if attributes else (info,)
    version = b"\x02\x01\x02" if attributes else b"\x02\x01\x00"
    structure = ber.encode(0x30, version, *fields)
    return ber.encode(0x30, oids.ID_ENCRYPTED_DATA.tlv, ber.encode(0xA0, structure))


def _parse(data: Octets, *, limits: Limits) -> EncryptedContentInfo:
    fields = structure_in(data, oids.ID_ENCRYPTED_DATA, limits, expected="an EncryptedData")
    if [field[0] for field in fields] not in ([0x02, 0x30], [0x02, 0x30, 0xA1]):
        raise MalformedMessage("the fields of an EncryptedData", offset=0)
    _, _, start, end = fields[1]
    return parse_encrypted_content_info(data, start, end, limits=limits)
