"""Envelopes of every kind: parsing, opening with keys that fit, the stream reader, and what both must agree on."""

from __future__ import annotations

import contextlib
from functools import cache

from smime_engine.asn1 import oids
from smime_engine.cms.addressing import recipient_for
from smime_engine.cms.capabilities import DEFAULT_CAPABILITIES, encode_capabilities, parse_capabilities
from smime_engine.cms.compressed import compress, compressed_pieces, decompress
from smime_engine.cms.encrypted import encrypt_data, open_encrypted_data
from smime_engine.cms.enveloped import open_envelope, parse_envelope
from smime_engine.cms.opening import DecryptionKeys
from smime_engine.cms.opening_stream import decompress_stream, open_stream
from smime_engine.cms.recipients import descriptions, parse_recipient_info
from smime_engine.cms.sealing import Encryptor
from smime_engine.errors import DecryptionFailed, MalformedMessage, NoMatchingKey, UnsupportedAlgorithm
from smime_engine.keys import KeyRing
from smime_engine.limits import Limits
from tests.cms import addressees

_ALLOWED = (MalformedMessage, UnsupportedAlgorithm, NoMatchingKey, DecryptionFailed)
_LIMITS = Limits(pbkdf2_iterations=2_000, decompressed_size=1 << 20)
_CONTENT_KEY = bytes(32)


@cache
def _keys() -> DecryptionKeys:
    identities = [addressees.identity(kind) for kind in ("rsa2048", "p256", "x25519", "mlkem768")]
    return DecryptionKeys(
        ring=KeyRing(identities),
        passwords=(addressees.PASSWORD,),
        key_encryption_keys=(addressees.SHARED_KEY,),
        content_keys=(_CONTENT_KEY,),
    )


def fuzz(data: bytes) -> None:
    _opened(data)
    for descriptor in descriptions(parse_recipient_info(data)):
        assert descriptor.kind
    for read in (lambda: decompress(data, limits=_LIMITS), lambda: parse_capabilities(data)):
        with contextlib.suppress(*_ALLOWED):
            read()
    with contextlib.suppress(*_ALLOWED):
        decompress_stream((data[i : i + 50] for i in range(0, len(data), 50)), len, limits=_LIMITS)


def _opened(data: bytes) -> None:
    in_memory = streamed = None
    try:
        envelope = parse_envelope(data, limits=_LIMITS)
        for info in envelope.recipients:
            descriptions(info)
        in_memory = open_envelope(data, _keys(), limits=_LIMITS).content
    except _ALLOWED:
        with contextlib.suppress(*_ALLOWED):
            in_memory = open_encrypted_data(data, _keys(), limits=_LIMITS).content
    written: list[bytes] = []
    try:
        opened = open_stream(
            lambda: (data[i : i + 50] for i in range(0, len(data), 50)), _keys(), written.append, limits=_LIMITS
        )
        streamed = b"".join(written)
    except _ALLOWED:
        return
    # An AEAD content is the same whoever reads it; without a tag, which of several keys is right stays a guess.
    if in_memory is not None and opened.integrity:
        assert in_memory == streamed


def seeds() -> list[bytes]:
    kinds = ("rsa2048", "p256", "x25519", "mlkem768", "kek", "password")
    recipients = [addressees.recipient(kind) for kind in kinds]
    found = [Encryptor([recipient], cipher="aes128-gcm").seal(b"content") for recipient in recipients]
    found += [Encryptor([recipient]).seal(b"content" * 5) for recipient in recipients]
    everybody = Encryptor(
        recipients,
        cipher="aes256-gcm",
        derives_key=True,
        originator_certificates=(addressees.identity("p256").certificate.der,),
    )
    found.append(everybody.seal(b"content", content_type=oids.ID_SIGNED_DATA))
    found.append(b"".join(everybody.pieces([b"con", b"tent"], content_type=oids.ID_SIGNED_DATA)))
    weak = Encryptor([recipient_for(addressees.identity("rsa2048").certificate)], cipher="rc2-40-cbc")
    found.append(weak.seal(b"content"))
    found += [encrypt_data(b"content", _CONTENT_KEY), compress(b"content" * 50)]
    found.append(b"".join(compressed_pieces([b"content"] * 50)))
    found.append(encode_capabilities(DEFAULT_CAPABILITIES))
    return found
