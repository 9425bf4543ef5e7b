"""The one table of content ciphers (and, from `key_wrap_algorithms.py`, key wraps): identifier -> parameters, strength.

Data, and the codec of parameters that belong to a content cipher (IV, nonce, tag length, RC2's effective bits). Does
not encrypt (`content_encryption.py`) nor choose (`policy.capabilities`). How content keys reach recipients stands in
`key_management_algorithms.py`.

WEAK ciphers are always read and reported, and written only where a caller names them. A cipher that authenticates
belongs into AuthEnvelopedData alone; `cms.enveloped` refuses it elsewhere.

Standards: RFC 3565 (AES-CBC), RFC 5084 (AES-GCM, AES-CCM), RFC 8103 (ChaCha20-Poly1305), RFC 3370 (3DES, RC2), RFC 2268
section 6 (RC2 versions), RFC 3657 (Camellia, reading what others write), RFC 9709 (CEK-HKDF).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from secrets import token_bytes
from types import MappingProxyType
from typing import NamedTuple

from smime_engine.asn1 import ber, oids
from smime_engine.asn1.oid import Oid
from smime_engine.crypto.digests import Status, split_identifier
from smime_engine.crypto.key_wrap_algorithms import (
    KEY_WRAPS,
    RC2_VERSIONS,
    KeyWrap,
    key_wrap_from_identifier,
    rc2_version,
)
from smime_engine.errors import MalformedMessage, UnsupportedAlgorithm

__all__ = [
    "CONTENT_CIPHERS",
    "KEY_WRAPS",
    "ContentCipher",
    "ContentEncryption",
    "KeyWrap",
    "Mode",
    "Status",
    "content_encryption",
    "content_encryption_from_identifier",
    "key_wrap_from_identifier",
]

_INTEGER, _OCTET_STRING, _SEQUENCE = 0x02, 0x04, 0x30


class Mode(Enum):
    """How a cipher treats a content; all but CBC authenticate it."""

    CBC = "cbc"
    GCM = "gcm"
    CCM = "ccm"
    CHACHA20_POLY1305 = "chacha20-poly1305"


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentCipher:
    """One content-encryption algorithm."""

    name: str
    """`aes256-cbc` and so on: the key of `CONTENT_CIPHERS`."""

    oid: Oid
    family: str
    """`aes`, `camellia`, `3des`, `des`, `rc2` or `chacha20`."""

    mode: Mode
    key_size: int
    """Octets of the content-encryption key."""

    block_size: int
    """Octets; 1 for the modes that do not pad."""

    iv_size: int
    """Octets of the IV or nonce as this engine writes it."""

    tag_size: int
    """Octets of the authentication tag as this engine writes it; 0 for CBC."""

    status: Status
    effective_bits: int = 0
    """RC2 alone: the effective key bits of RFC 2268."""

    @property
    def authenticates(self) -> bool:
        """Whether a changed content is noticed: AEAD."""
        return self.mode is not Mode.CBC

    @property
    def key_sizes(self) -> tuple[int, ...]:
        """Sizes that a content key may have. QUIRK: some clients use 16 octets for RC2 whatever its effective bits."""
        return (self.key_size, 16) if self.family == "rc2" else (self.key_size,)


class ContentEncryption(NamedTuple):
    """A content cipher with the parameters of one message: what a contentEncryptionAlgorithm says."""

    cipher: ContentCipher
    iv: bytes
    """IV or nonce."""

    tag_size: int
    """Octets; 0 for CBC."""

    identifier: bytes
    """DER of the cipher's AlgorithmIdentifier, without the wrapping of RFC 9709."""

    derived: bool = False
    """RFC 9709: the cipher's key is derived from the content key and `identifier`, which binds the algorithm."""

    @property
    def content_encryption_algorithm(self) -> bytes:
        """DER for EncryptedContentInfo."""
        if not self.derived:
            return self.identifier
        return ber.encode(_SEQUENCE, oids.ID_ALG_CEK_HKDF_SHA256.tlv, self.identifier)

    @property
    def name(self) -> str:
        """For reports: the cipher's name, `+cek-hkdf-sha256` behind it where the key is derived."""
        return f"{self.cipher.name}+cek-hkdf-sha256" if self.derived else self.cipher.name


# ------------------------------------------------------------------------------------------------------ the table


def _aes(bits: int, mode: Mode, oid: Oid) -> ContentCipher:
    cbc = mode is Mode.CBC
    return ContentCipher(
        name=f"aes{bits}-{mode.value}",
        oid=oid,
        family="aes",
        mode=mode,
        key_size=bits // 8,
        block_size=16 if cbc else 1,
        iv_size=16 if cbc else 12,
        tag_size=0 if cbc else 16,
        status=Status.STRONG,
    )


def _block_cipher(
    name: str, oid: Oid, family: str, key_size: int, block_size: int, *, status: Status, effective_bits: int = 0
) -> ContentCipher:
    return ContentCipher(
        name=name,
        oid=oid,
        family=family,
        mode=Mode.CBC,
        key_size=key_size,
        block_size=block_size,
        iv_size=block_size,
        tag_size=0,
        status=status,
        effective_bits=effective_bits,
    )


def _rc2(bits: int) -> ContentCipher:
    """RC2 as S/MIME clients write it: as many octets of key as the effective bits need."""
    size = (bits + 7) // 8
    return _block_cipher(f"rc2-{bits}-cbc", oids.RC2_CBC, "rc2", size, 8, status=Status.WEAK, effective_bits=bits)


_CIPHERS = (
    _aes(256, Mode.GCM, oids.ID_AES256_GCM),
    _aes(192, Mode.GCM, oids.ID_AES192_GCM),
    _aes(128, Mode.GCM, oids.ID_AES128_GCM),
    ContentCipher(
        name="chacha20-poly1305",
        oid=oids.ID_ALG_AEAD_CHACHA20_POLY1305,
        family="chacha20",
        mode=Mode.CHACHA20_POLY1305,
        key_size=32,
        block_size=1,
        iv_size=12,
        tag_size=16,
        status=Status.STRONG,
    ),
    _aes(256, Mode.CCM, oids.ID_AES256_CCM),
    _aes(192, Mode.CCM, oids.ID_AES192_CCM),
    _aes(128, Mode.CCM, oids.ID_AES128_CCM),
    _aes(256, Mode.CBC, oids.ID_AES256_CBC),
    _aes(192, Mode.CBC, oids.ID_AES192_CBC),
    _aes(128, Mode.CBC, oids.ID_AES128_CBC),
    _block_cipher("camellia256-cbc", oids.ID_CAMELLIA256_CBC, "camellia", 32, 16, status=Status.STRONG),
    _block_cipher("camellia192-cbc", oids.ID_CAMELLIA192_CBC, "camellia", 24, 16, status=Status.STRONG),
    _block_cipher("camellia128-cbc", oids.ID_CAMELLIA128_CBC, "camellia", 16, 16, status=Status.STRONG),
    _block_cipher("des-ede3-cbc", oids.DES_EDE3_CBC, "3des", 24, 8, status=Status.WEAK),
    _rc2(128),
    _rc2(64),
    _block_cipher("des-cbc", oids.DES_CBC, "des", 8, 8, status=Status.WEAK),
    _rc2(56),
    _rc2(40),
)

CONTENT_CIPHERS: MappingProxyType[str, ContentCipher] = MappingProxyType({cipher.name: cipher for cipher in _CIPHERS})
"""Every content cipher, by name, the preferred ones first."""

_BY_OID: dict[str, ContentCipher] = {cipher.oid: cipher for cipher in _CIPHERS if cipher.family != "rc2"}


# ---------------------------------------------------------------------------------------------- parameters, written


def content_encryption(
    cipher: ContentCipher, *, derived: bool = False, content_size: int | None = None
) -> ContentEncryption:
    """A content cipher with a fresh random IV or nonce.

    `content_size` matters for CCM alone, whose nonce shortens as the content's length grows (RFC 5084 section 3.1);
    without it CCM takes contents of up to 4 GiB.
    """
    iv_size = cipher.iv_size
    if cipher.mode is Mode.CCM and (content_size is None or content_size >= 1 << 24):
        iv_size = 11
    iv = token_bytes(iv_size)
    around = _WRITTEN.get(cipher.name) if iv_size == cipher.iv_size else None
    if around is not None:  # the IV is all that changes, mostly
        identifier = around[0] + iv + around[1]
    else:
        identifier = ber.encode(_SEQUENCE, cipher.oid.tlv, _parameters(cipher, iv))
    return ContentEncryption(cipher, iv, cipher.tag_size, identifier, derived)


def _parameters(cipher: ContentCipher, iv: bytes) -> bytes:
    octets = ber.encode(_OCTET_STRING, iv)
    if cipher.mode in {Mode.GCM, Mode.CCM}:
        return ber.encode(_SEQUENCE, octets, bytes((_INTEGER, 1, cipher.tag_size)))
    if cipher.family == "rc2":
        return ber.encode(_SEQUENCE, rc2_version(cipher.effective_bits), octets)
    return octets


def _around_the_iv(cipher: ContentCipher) -> tuple[bytes, bytes]:
    """The octets of an identifier before and behind its IV."""
    iv = b"\xff" * cipher.iv_size
    before, _, behind = ber.encode(_SEQUENCE, cipher.oid.tlv, _parameters(cipher, iv)).partition(iv)
    return before, behind


_WRITTEN = {cipher.name: _around_the_iv(cipher) for cipher in _CIPHERS}


_RC2_EFFECTIVE_BITS = {version: bits for bits, version in RC2_VERSIONS.items()}

# ------------------------------------------------------------------------------------------------- parameters, read


def content_encryption_from_identifier(identifier: bytes) -> ContentEncryption:
    """Read a contentEncryptionAlgorithm (DER).

    Raises UnsupportedAlgorithm with the algorithm's name or OID, MalformedMessage for parameters that do not fit it.
    """
    usual = _USUAL.get(identifier[:15])
    if usual is not None:  # AES as nearly all mail has it, in a tenth of the time
        cipher, middle, end = usual
        iv = identifier[15 + len(middle) : len(identifier) - len(end)]
        if len(iv) == cipher.iv_size and identifier.startswith(middle, 15) and identifier.endswith(end):
            return ContentEncryption(cipher, iv, cipher.tag_size, identifier)
    oid, parameters = split_identifier(identifier)
    if oid == oids.ID_ALG_CEK_HKDF_SHA256:
        return _content_encryption(parameters, *split_identifier(parameters), derived=True)
    return _content_encryption(identifier, oid, parameters, derived=False)


def _content_encryption(identifier: bytes, oid: str, parameters: bytes, *, derived: bool) -> ContentEncryption:
    cipher = _BY_OID.get(oid)
    if oid == oids.RC2_CBC:
        cipher, iv, tag_size = _rc2_parameters(parameters)
    elif cipher is None:
        raise UnsupportedAlgorithm(oids.name_of(oid), purpose="content-encryption")
    elif cipher.mode in {Mode.GCM, Mode.CCM}:
        iv, tag_size = _nonce_and_tag_size(cipher, parameters)
    else:
        iv, tag_size = _octets(parameters, cipher), cipher.tag_size
    expected = _NONCE_SIZES[cipher.mode] or (cipher.iv_size,)
    if len(iv) not in expected:
        raise MalformedMessage(f"an IV of {' or '.join(map(str, expected))} octets for {cipher.name}")
    return ContentEncryption(cipher, iv, tag_size, identifier, derived)


def _usual_identifiers() -> dict[bytes, tuple[ContentCipher, bytes, bytes]]:
    """First 15 octets of an identifier -> cipher, octets before the IV or nonce, octets behind it."""
    usual = [cipher for cipher in _CIPHERS if cipher.family == "aes" and cipher.mode is not Mode.CCM]
    return {
        before[:15]: (cipher, before[15:], behind) for cipher in usual for before, behind in [_WRITTEN[cipher.name]]
    }


_USUAL = _usual_identifiers()


# RFC 5084 sections 3.1 and 3.2. GCM takes any length; what OpenSSL takes is at most 128 octets, and nobody uses more.
_NONCE_SIZES = {
    Mode.CBC: (),
    Mode.GCM: range(8, 129),
    Mode.CCM: range(7, 14),
    Mode.CHACHA20_POLY1305: (12,),
}
_SHORTEST_TAG = 8  # RFC 5084 has CCM tags of 4 and 6 octets too: they can be guessed


def _octets(parameters: bytes, cipher: ContentCipher) -> bytes:
    expected = f"an OCTET STRING as parameters of {cipher.name}"
    start, end = ber.content(parameters, 0, len(parameters), _OCTET_STRING, expected=expected)
    if end != len(parameters):
        raise MalformedMessage(expected)
    return parameters[start:end]


def _nonce_and_tag_size(cipher: ContentCipher, parameters: bytes) -> tuple[bytes, int]:
    """GCMParameters and CCMParameters: a nonce, and the tag's length, 12 octets where that is absent."""
    expected = f"nonce and tag length as parameters of {cipher.name}"
    nonce, *rest = _fields(parameters, expected, (_OCTET_STRING, _INTEGER), least=1)
    tag_size = int.from_bytes(rest[0], "big", signed=True) if rest else 12
    allowed = range(12, 17) if cipher.mode is Mode.GCM else range(4, 17, 2)
    if tag_size not in allowed:
        raise MalformedMessage(f"{expected}, not a tag of {tag_size} octets")
    if tag_size < _SHORTEST_TAG:
        raise UnsupportedAlgorithm(f"{cipher.name} with a tag of {tag_size} octets", purpose="content-encryption")
    return nonce, tag_size


def _rc2_parameters(parameters: bytes) -> tuple[ContentCipher, bytes, int]:
    """RC2-CBCParameter: an IV alone (32 effective bits), or a version that stands for the bits, and the IV."""
    if parameters[:1] == bytes((_OCTET_STRING,)):
        cipher = _rc2(32)
        return cipher, _octets(parameters, cipher), 0
    version_octets, iv = _fields(parameters, "RC2's version and IV", (_INTEGER, _OCTET_STRING), least=2)
    version = int.from_bytes(version_octets, "big", signed=True)
    bits = _RC2_EFFECTIVE_BITS.get(version, version if 256 <= version <= 1024 else 0)
    if not bits:
        raise UnsupportedAlgorithm(f"rc2-cbc version {version}", purpose="content-encryption")
    return CONTENT_CIPHERS.get(f"rc2-{bits}-cbc") or _rc2(bits), iv, 0


def _fields(parameters: bytes, expected: str, tags: tuple[int, ...], *, least: int) -> list[bytes]:
    """Contents of the fields of a SEQUENCE that must have these tags; those from `least` on may be absent."""
    start, end = ber.content(parameters, 0, len(parameters), _SEQUENCE, expected=expected)
    fields = ber.children(parameters, start, end)
    found = tuple(tag for tag, *_ in fields)
    if end != len(parameters) or len(found) < least or found != tags[: len(found)]:
        raise MalformedMessage(expected)
    return [parameters[first:last] for _, _, first, last in fields]
