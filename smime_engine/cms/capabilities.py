"""SMIMECapabilities: what a mail client can read, as it says in its signed messages and certificates.

Reads and writes the attribute's value, which is the certificate extension's value too. Does not: find the attribute in
a signature, verify that signature, or choose anything (`policy.capabilities`).

Capabilities are a list by preference; parameters are part of an entry's identity (RFC 8551 section 2.5.2). What is
unknown is kept as it is.

Standards: RFC 8551 section 2.5.2, RFC 4262 (certificate extension), RFC 4055 section 4.1 (OAEP), RFC 5084, RFC 8103,
RFC 9709 section 5, RFC 5753 section 8 (key agreement with its wrap).
"""

from __future__ import annotations

from typing import NamedTuple

from smime_engine.asn1 import ber, oids
from smime_engine.certificate import Certificate
from smime_engine.crypto.encryption_algorithms import CONTENT_CIPHERS, KEY_WRAPS, ContentCipher
from smime_engine.crypto.key_management_algorithms import KEMS, KEY_AGREEMENTS, oaep
from smime_engine.errors import LimitExceeded, MalformedMessage
from smime_engine.limits import DEFAULT_LIMITS, Limits

__all__ = [
    "DEFAULT_CAPABILITIES",
    "Capability",
    "announced_ciphers",
    "certificate_capabilities",
    "cipher_capability",
    "encode_capabilities",
    "parse_capabilities",
]


class Capability(NamedTuple):
    """One entry: an algorithm that its owner can handle."""

    oid: str
    """Dotted."""

    parameters: bytes = b""
    """DER; empty for absent."""


def parse_capabilities(value: bytes, *, limits: Limits = DEFAULT_LIMITS) -> tuple[Capability, ...]:
    """Read the DER of an SMIMECapabilities, in its order. Raises MalformedMessage, LimitExceeded (`attributes`)."""
    expected = "SMIMECapabilities (SEQUENCE)"
    start, end = ber.content(value, 0, len(value), 0x30, expected=expected)
    if end != len(value):
        raise MalformedMessage("the end of the SMIMECapabilities", offset=end)
    entries = ber.children(value, start, end, limits)
    if len(entries) > limits.attributes:
        raise LimitExceeded("attributes", limits.attributes, offset=start)
    return tuple(_capability(value, *entry) for entry in entries)


def _capability(value: bytes, tag: int, start: int, content_start: int, content_end: int) -> Capability:
    fields = ber.children(value, content_start, content_end)
    if tag != 0x30 or not 1 <= len(fields) <= 2 or fields[0][0] != 0x06:
        raise MalformedMessage("an SMIMECapability", offset=start)
    _, _, oid_start, oid_end = fields[0]
    return Capability(oids.decode_oid(value[oid_start:oid_end], offset=oid_start), value[oid_end:content_end])


def encode_capabilities(capabilities: tuple[Capability, ...]) -> bytes:
    """Encode in the given order, which is the order of preference -> DER, for the attribute and the extension."""
    return ber.encode(0x30, *(ber.encode(0x30, oids.named(oid).tlv, parameters) for oid, parameters in capabilities))


def certificate_capabilities(certificate: Certificate) -> tuple[Capability, ...] | None:
    """The capabilities that a certificate announces (RFC 4262); None where it says nothing, or nothing readable."""
    extension = certificate.extensions.get(oids.SMIME_CAPABILITIES)
    if extension is None:
        return None
    try:
        return parse_capabilities(extension.value)
    except MalformedMessage:
        return None


def cipher_capability(cipher: ContentCipher) -> Capability:
    """How a content cipher is announced. RC2's effective bits are the number itself here, not RFC 2268's version."""
    if not cipher.effective_bits:
        return Capability(cipher.oid)
    octets = cipher.effective_bits.to_bytes(cipher.effective_bits.bit_length() // 8 + 1, "big")
    return Capability(cipher.oid, ber.encode(0x02, octets))


def announced_ciphers(capabilities: tuple[Capability, ...]) -> tuple[str, ...]:
    """Names (`CONTENT_CIPHERS`) of the content ciphers among capabilities, in their order, each once."""
    found = (_CIPHERS.get(_without_null(capability)) for capability in capabilities)
    return tuple(dict.fromkeys(name for name in found if name is not None))


def _without_null(capability: Capability) -> Capability:
    """QUIRK: some clients write NULL where parameters should be absent."""
    return capability._replace(parameters=b"") if capability.parameters == b"\x05\x00" else capability


_CIPHERS = {cipher_capability(cipher): cipher.name for cipher in CONTENT_CIPHERS.values()}

DEFAULT_CAPABILITIES: tuple[Capability, ...] = (
    *(
        cipher_capability(CONTENT_CIPHERS[name])
        for name in (
            "aes256-gcm",
            "aes128-gcm",
            "chacha20-poly1305",
            "aes256-cbc",
            "aes192-cbc",
            "aes128-cbc",
            "des-ede3-cbc",
        )
    ),
    Capability(oids.ID_ALG_CEK_HKDF_SHA256),
    Capability(oids.ID_RSAES_OAEP, oaep("sha256").identifier[2 + len(oids.ID_RSAES_OAEP.tlv) :]),
    Capability(KEY_AGREEMENTS["ecdh-sha256kdf"].oid, KEY_WRAPS["aes256-wrap"].identifier),
    Capability(KEY_AGREEMENTS["ecdh-sha256kdf"].oid, KEY_WRAPS["aes128-wrap"].identifier),
    *(Capability(kem.oid) for kem in KEMS.values()),
)
"""What this engine announces unless told otherwise: what it reads and thinks well of, best first; Triple DES so that
old clients choose it and not RC2."""
