"""Open EnvelopedData, AuthEnvelopedData, EncryptedData and CompressedData that are larger than memory.

    opened = open_stream(lambda: iter(partial(file.read, 1 << 20), b""), keys, output.write)

What is written before the function returns is *unverified*: with an AEAD cipher nothing may be used unless it returns,
and with any cipher nothing when it raises. Callers write to a temporary file and rename it at the end.

`source` is a function, because AuthEnvelopedData has to be read twice: its authenticated attributes stand behind the
content and must be known before it is decrypted (RFC 5083 section 2.1). Each call starts again at the first octet.

Does not: CCM (its tag depends on the size, which a stream does not tell), or any I/O of its own.

Standards: RFC 5652 sections 6 and 8, RFC 5083, RFC 3274.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from smime_engine.asn1 import ber, oids
from smime_engine.cms.compressed import Decompressed, check_algorithm, decompressed_pieces
from smime_engine.cms.encrypted_content import cipher_findings
from smime_engine.cms.enveloped import (
    AUTH_ENVELOPED_DATA,
    ENVELOPED_DATA,
    OpenedEnvelope,
    associated_data,
    check_cipher,
    keys_with_certificates,
    originator_certificates,
)
from smime_engine.cms.opening import Candidate, DecryptionKeys, candidates
from smime_engine.cms.recipients import RecipientInfo, parse_recipient_infos
from smime_engine.cms.stream import StreamReader
from smime_engine.crypto.content_encryption import ContentDecryptor
from smime_engine.crypto.encryption_algorithms import ContentEncryption, content_encryption_from_identifier
from smime_engine.errors import DecryptionFailed, MalformedMessage, NoMatchingKey
from smime_engine.limits import DEFAULT_LIMITS, Limits

__all__ = ["decompress_stream", "open_stream"]

Octets = bytes | bytearray | memoryview
Source = Callable[[], Iterable[Octets]]
Write = Callable[[bytes], object]

ENCRYPTED_DATA = "encrypted-data"
_KINDS = {
    oids.ID_ENVELOPED_DATA.tlv: ENVELOPED_DATA,
    oids.ID_CT_AUTH_ENVELOPED_DATA.tlv: AUTH_ENVELOPED_DATA,
    oids.ID_ENCRYPTED_DATA.tlv: ENCRYPTED_DATA,
}


def open_stream(
    source: Source, keys: DecryptionKeys, write: Write, *, limits: Limits = DEFAULT_LIMITS
) -> OpenedEnvelope:
    """Decrypt a ContentInfo, DER or BER, to `write`; the content of the returned value is empty.

    Raises what `open_envelope` raises. Of several keys that fit, the first one that yields a content key is used: a
    stream is not decrypted for a test.
    """
    tail = _Tail(b"", b"")
    head, reader = _read_head(source(), limits)
    encryption = content_encryption_from_identifier(head.algorithm)
    check_cipher(head.kind, encryption)
    key, candidate, usable = _content_key(head, keys, encryption, limits)
    if head.kind == AUTH_ENVELOPED_DATA:
        for _ in reader.octets(0x80, expected="the encrypted content"):
            pass
        tail = _read_tail(reader, head.kind, limits)
        head, reader = _read_head(source(), limits)
    associated = associated_data(tail.attributes, head.content_type, limits=limits)
    decryptor = ContentDecryptor(encryption, key, associated=associated)
    for piece in reader.octets(0x80, expected="the encrypted content"):
        write(decryptor.update(piece))
    write(decryptor.finish(tail.tag))
    if _read_tail(reader, head.kind, limits).tag != tail.tag:
        raise MalformedMessage("the same octets at the second reading")
    if not usable:
        raise DecryptionFailed
    return OpenedEnvelope(
        kind=head.kind,
        content=b"",
        content_type=head.content_type,
        cipher=encryption.name,
        integrity=encryption.cipher.authenticates,
        findings=cipher_findings(encryption),
        recipient_infos=head.recipients,
        candidate=candidate,
    )


def decompress_stream(chunks: Iterable[Octets], write: Write, *, limits: Limits = DEFAULT_LIMITS) -> Decompressed:
    """Decompress a ContentInfo with a CompressedData, DER or BER, to `write`; the returned content is empty.

    Raises what `decompress` raises.
    """
    reader = StreamReader(chunks, limits=limits)
    reader.enter(0x30, expected="a ContentInfo (SEQUENCE)")
    if reader.value(limits.envelope_head) != oids.ID_CT_COMPRESSED_DATA.tlv:
        raise MalformedMessage("the content type id-ct-compressedData", offset=reader.position)
    reader.enter(0xA0, expected="the content of a ContentInfo, [0]")
    reader.enter(0x30, expected="a CompressedData (SEQUENCE)")
    reader.value(limits.envelope_head)
    check_algorithm(reader.value(limits.envelope_head))
    reader.enter(0x30, expected="an EncapsulatedContentInfo (SEQUENCE)")
    content_type = _content_type(reader, limits)
    reader.enter(0xA0, expected="the compressed content, [0]")
    start = reader.position
    for piece in decompressed_pieces(reader.octets(0x04, expected="an OCTET STRING"), limits=limits):
        write(piece)
    size = reader.position - start
    for _ in range(5):
        reader.leave()
    _end(reader)
    return Decompressed(content=b"", content_type=content_type, algorithm="zlib", compressed_size=size)


class _Head(NamedTuple):
    """What stands before the encrypted content."""

    kind: str
    certificates: tuple[bytes, ...]
    recipients: tuple[RecipientInfo, ...]
    content_type: str
    algorithm: bytes


class _Tail(NamedTuple):
    """What stands behind it."""

    attributes: bytes
    """Content of the authenticated attributes."""

    tag: bytes


def _read_head(chunks: Iterable[Octets], limits: Limits) -> tuple[_Head, StreamReader]:
    """Read up to the encrypted content, where the reader is left."""
    reader = StreamReader(chunks, limits=limits)
    limit = limits.envelope_head
    reader.enter(0x30, expected="a ContentInfo (SEQUENCE)")
    kind = _KINDS.get(reader.value(limit))
    if kind is None:
        raise MalformedMessage("the content type of an encrypted message", offset=reader.position)
    reader.enter(0xA0, expected="the content of a ContentInfo, [0]")
    reader.enter(0x30, expected=f"{kind} (SEQUENCE)")
    fields = {tag: reader.value(limit) for tag in _tags_before(reader, kind)}
    reader.enter(0x30, expected="an EncryptedContentInfo (SEQUENCE)")
    content_type = _content_type(reader, limits)
    algorithm = reader.value(limit)
    recipients: tuple[RecipientInfo, ...] = ()
    if kind != ENCRYPTED_DATA:
        start, end = ber.content(fields[0x31], 0, len(fields[0x31]), 0x31, expected="RecipientInfos")
        recipients = parse_recipient_infos(fields[0x31], start, end, limits=limits)
    certificates = originator_certificates(fields[0xA0], limits) if 0xA0 in fields else ()
    return _Head(kind, certificates, recipients, content_type, algorithm), reader


def _tags_before(reader: StreamReader, kind: str) -> Iterator[int]:
    """Tags of the fields before EncryptedContentInfo, each to be read before the next is asked for."""
    wanted = (0x02,) if kind == ENCRYPTED_DATA else (0x02, 0xA0, 0x31)
    for tag in wanted:
        if reader.next_tag() == tag:
            yield tag
        elif tag != 0xA0:
            raise MalformedMessage(f"the fields of {kind}", offset=reader.position)


def _content_type(reader: StreamReader, limits: Limits) -> str:
    value = reader.value(limits.envelope_head)
    start, end = ber.content(value, 0, len(value), 0x06, expected="a content type")
    return oids.decode_oid(value[start:end])


def _read_tail(reader: StreamReader, kind: str, limits: Limits) -> _Tail:
    """Read what stands behind the encrypted content, to the end of the input."""
    reader.leave()
    attributes = tag = b""
    if reader.next_tag() == 0xA1:
        value = reader.value(limits.envelope_head)
        start, end = ber.content(value, 0, len(value), 0xA1, expected="attributes")
        attributes = value[start:end]
    if kind == AUTH_ENVELOPED_DATA:
        value = reader.value(limits.envelope_head)
        start, end = ber.content(value, 0, len(value), 0x04, expected="an authentication tag")
        tag = value[start:end]
        if reader.next_tag() == 0xA2:
            reader.value(limits.envelope_head)
    for _ in range(3):
        reader.leave()
    _end(reader)
    return _Tail(attributes if kind == AUTH_ENVELOPED_DATA else b"", tag)


def _end(reader: StreamReader) -> None:
    if not reader.at_end():
        raise MalformedMessage("the end of the input", offset=reader.position)


def _content_key(
    head: _Head, keys: DecryptionKeys, encryption: ContentEncryption, limits: Limits
) -> tuple[bytes, Candidate | None, bool]:
    """The first content key that is usable, else the substitute of the last candidate."""
    if head.kind == ENCRYPTED_DATA:
        for key in keys.content_keys:
            if len(key) in encryption.cipher.key_sizes:
                return key, None, True
        raise NoMatchingKey
    found = candidates(head.recipients, keys_with_certificates(keys, head.certificates), encryption, limits)
    for candidate in found:
        key, usable = candidate.recover()
        if usable:
            break
    return key, candidate, usable
