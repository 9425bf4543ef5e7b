"""Hand a content key to a recipient and get it back: RSA, Diffie-Hellman, KEMs, passwords, key wraps.

Two sides. `unwrap` is what a private key does, in memory here, in a token or at a remote signer elsewhere (see
`keys.PrivateKey`): it turns a `WrappedSecret` into the secret. The rest needs no private key: the sender's half, the
derivations and the key wraps.

No oracle: whatever goes wrong while a secret is unwrapped is `DecryptionFailed`. RSA with PKCS #1 v1.5 padding goes
further, since there even *that* it failed is what an attacker wants to know (Bleichenbacher; RFC 3218): OpenSSL (3.2
and later, here 4) answers bad padding with octets that look random, are always the same for one ciphertext, and have a
random length; `substitute_key` does the same for whatever is left (a length that does not fit, a token that reports
the error). So a wrong key decrypts a content to rubbish, and only that is noticed.

Standards: RFC 8017 (RSA), RFC 3218 section 2.3 (substitute key), RFC 5753 sections 3.1 and 7.2 (ECDH, SharedInfo), RFC
8418 section 2 (X25519, X448), RFC 9629 section 5 and RFC 9936 (KEM), RFC 3394, 5649, 3217 (key wraps), RFC 3211
(password key wrap), RFC 8018 (PBKDF2).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b, pbkdf2_hmac
from hmac import compare_digest
from secrets import token_bytes
from typing import Any

from cryptography import exceptions
from cryptography.hazmat.primitives import hashes, keywrap, serialization
from cryptography.hazmat.primitives.asymmetric import ec, mlkem, padding, rsa, x448, x25519
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.x963kdf import X963KDF

from smime_engine.asn1 import ber
from smime_engine.crypto.digests import Digest
from smime_engine.crypto.encryption_algorithms import ContentEncryption, KeyWrap
from smime_engine.crypto.key_management_algorithms import Derivation, KeyAgreement, Pbkdf2, RsaScheme
from smime_engine.crypto.legacy import (
    Rc2Context,
    rc2_unwrap,
    rc2_wrap,
    triple_des,
    triple_des_unwrap,
    triple_des_wrap,
)
from smime_engine.crypto.public_keys import PublicKey
from smime_engine.errors import DecryptionFailed, UnsupportedAlgorithm

__all__ = [
    "AgreementPublicKey",
    "KemCiphertext",
    "RsaCiphertext",
    "WrappedSecret",
    "agree",
    "agreement_key",
    "encapsulate",
    "kem_key",
    "password_key",
    "password_unwrap",
    "password_wrap",
    "rsa_encryptor",
    "substitute_key",
    "unwrap",
    "unwrap_key",
    "wrap_key",
]

_OCTET_STRING, _INTEGER, _SEQUENCE = 0x04, 0x02, 0x30

# -------------------------------------------------------------------------------------- what only a private key can do


@dataclass(frozen=True, slots=True, kw_only=True)
class RsaCiphertext:
    """An RSA ciphertext; the secret is the plaintext. With PKCS #1 v1.5 the caller must not trust its length."""

    scheme: RsaScheme
    ciphertext: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class AgreementPublicKey:
    """The other side's public key; the secret is the raw Diffie-Hellman shared secret."""

    public_key_info: bytes
    """DER SubjectPublicKeyInfo, of the same curve as the private key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KemCiphertext:
    """A KEM ciphertext; the secret is the shared secret."""

    ciphertext: bytes


WrappedSecret = RsaCiphertext | AgreementPublicKey | KemCiphertext


def unwrap(key_object: Any, wrapped: WrappedSecret) -> bytes:
    """Recover a secret with a private key object of `cryptography`.

    Raises DecryptionFailed for everything: another kind of key, another curve, a point that is not on the curve, bad
    padding (not with PKCS #1 v1.5, see above).
    """
    try:
        if isinstance(wrapped, RsaCiphertext):
            secret = key_object.decrypt(wrapped.ciphertext, _padding(wrapped.scheme))
        elif isinstance(wrapped, KemCiphertext):
            secret = key_object.decapsulate(wrapped.ciphertext)
        else:
            peer = serialization.load_der_public_key(wrapped.public_key_info)
            secret = key_object.exchange(ec.ECDH(), peer) if _is_elliptic(key_object) else key_object.exchange(peer)
    except (ValueError, TypeError, AttributeError, OverflowError, exceptions.UnsupportedAlgorithm):
        raise DecryptionFailed from None
    return bytes(secret)


def _is_elliptic(key_object: Any) -> bool:
    return isinstance(key_object, ec.EllipticCurvePrivateKey)


_SUBSTITUTE_SECRET = token_bytes(32)


def substitute_key(size: int, ciphertext: bytes) -> bytes:
    """The key that takes the place of one that RSA did not yield (RFC 3218 section 2.3).

    It is always the same for the same ciphertext as long as the process lives: a fresh one for each try would let an
    attacker who sends a message twice see a difference. Nobody outside can compute it.
    """
    return blake2b(ciphertext, key=_SUBSTITUTE_SECRET, digest_size=size).digest()


# ----------------------------------------------------------------------------------------------------------------- RSA


def rsa_encryptor(public_key: PublicKey, scheme: RsaScheme) -> Callable[[bytes], bytes]:
    """Prepare RSA encryption to one recipient -> a function from secret to ciphertext.

    Raises UnsupportedAlgorithm for another kind of key; the function raises it where the modulus is too short for the
    secret.
    """
    if not isinstance(public_key.native, rsa.RSAPublicKey):
        raise UnsupportedAlgorithm(public_key.kind.value, purpose="key-transport")
    encrypt = public_key.native.encrypt
    padded = _padding(scheme)

    def encryptor(secret: bytes) -> bytes:
        try:
            return encrypt(secret, padded)
        except ValueError as error:
            raise UnsupportedAlgorithm(f"{scheme.name} with {public_key.bits} bits", purpose="key-transport") from error

    return encryptor


def _padding(scheme: RsaScheme) -> padding.PKCS1v15 | padding.OAEP:
    if scheme.digest is None or scheme.mask_digest is None:
        return _PKCS1_V1_5
    mask = padding.MGF1(_HASHES[scheme.mask_digest.name])
    return padding.OAEP(mask, _HASHES[scheme.digest.name], scheme.label or None)


_PKCS1_V1_5 = padding.PKCS1v15()
_HASHES: dict[str, hashes.HashAlgorithm] = {
    "sha1": hashes.SHA1(),
    "sha224": hashes.SHA224(),
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}

# ------------------------------------------------------------------------------------------------------- key agreement


def agree(public_key: PublicKey) -> tuple[bytes, bytes]:
    """Make an ephemeral key for the recipient's curve -> (its public key's octets, the shared secret)."""
    peer = public_key.native
    if isinstance(peer, ec.EllipticCurvePublicKey):
        ephemeral = ec.generate_private_key(peer.curve)
        point = ephemeral.public_key().public_bytes(_POINT_ENCODING, _POINT_FORMAT)
        return point, ephemeral.exchange(ec.ECDH(), peer)
    private: x25519.X25519PrivateKey | x448.X448PrivateKey
    if isinstance(peer, x25519.X25519PublicKey):
        private = x25519.X25519PrivateKey.generate()
    elif isinstance(peer, x448.X448PublicKey):
        private = x448.X448PrivateKey.generate()
    else:
        raise UnsupportedAlgorithm(public_key.kind.value, purpose="key-agreement")
    try:
        secret: bytes = private.exchange(peer)
    except ValueError as error:  # a point of small order: no honest key (RFC 7748 section 6)
        raise UnsupportedAlgorithm(f"{public_key.kind.value} key of small order", purpose="key-agreement") from error
    return private.public_key().public_bytes_raw(), secret


_POINT_ENCODING = serialization.Encoding.X962
_POINT_FORMAT = serialization.PublicFormat.UncompressedPoint


def agreement_key(scheme: KeyAgreement, secret: bytes, wrap: KeyWrap, wrap_identifier: bytes, ukm: bytes) -> bytes:
    """Derive the key-encryption key from a shared secret.

    `wrap_identifier` is the wrap's AlgorithmIdentifier exactly as the message has it (absent and NULL parameters give
    different keys), `ukm` the user keying material, empty for none.
    """
    shared = [wrap_identifier]
    if ukm:
        shared.append(ber.encode(0xA0, ber.encode(_OCTET_STRING, ukm)))
    bits = (8 * wrap.key_size).to_bytes(4, "big")
    shared.append(ber.encode(0xA2, ber.encode(_OCTET_STRING, bits)))
    shared_info = ber.encode(_SEQUENCE, *shared)
    algorithm = _HASHES[scheme.digest.name]
    if scheme.derivation is Derivation.HKDF:
        return HKDF(algorithm, wrap.key_size, None, shared_info).derive(secret)
    return X963KDF(algorithm, wrap.key_size, shared_info).derive(secret)


# ----------------------------------------------------------------------------------------------------------------- KEM


def encapsulate(public_key: PublicKey) -> tuple[bytes, bytes]:
    """Encapsulate to the recipient -> (ciphertext, shared secret)."""
    native = public_key.native
    if not isinstance(native, mlkem.MLKEM768PublicKey | mlkem.MLKEM1024PublicKey):
        raise UnsupportedAlgorithm(public_key.kind.value, purpose="KEM")
    secret, ciphertext = native.encapsulate()
    return ciphertext, secret


def kem_key(digest: Digest, secret: bytes, wrap_identifier: bytes, key_size: int, ukm: bytes | None) -> bytes:
    """Derive the key-encryption key from a KEM's shared secret: HKDF over CMSORIforKEMOtherInfo.

    `wrap_identifier` is as the message has it; `ukm` None where the message has none (an empty one counts).
    """
    other_info = [wrap_identifier, ber.encode(_INTEGER, key_size.to_bytes(key_size.bit_length() // 8 + 1, "big"))]
    if ukm is not None:
        other_info.append(ber.encode(0xA0, ber.encode(_OCTET_STRING, ukm)))
    return HKDF(_HASHES[digest.name], key_size, None, ber.encode(_SEQUENCE, *other_info)).derive(secret)


# ----------------------------------------------------------------------------------------------------------- key wraps


def wrap_key(wrap: KeyWrap, key_encryption_key: bytes, secret: bytes) -> bytes:
    """Wrap a content key. Raises UnsupportedAlgorithm where the wrap does not take keys of this size."""
    try:
        if wrap.family == "rc2":
            return rc2_wrap(key_encryption_key, secret, wrap.effective_bits)
        return _WRAPPING[wrap.family](key_encryption_key, secret)
    except ValueError as error:
        raise UnsupportedAlgorithm(f"{wrap.name} of {len(secret)} octets", purpose="key-wrap") from error


def unwrap_key(wrap: KeyWrap, key_encryption_key: bytes, wrapped: bytes) -> bytes:
    """Undo `wrap_key`. Raises DecryptionFailed for everything, another size of the key-encryption key included."""
    if len(key_encryption_key) != wrap.key_size:
        raise DecryptionFailed
    try:
        if wrap.family == "rc2":
            return rc2_unwrap(key_encryption_key, wrapped, wrap.effective_bits)
        return _UNWRAPPING[wrap.family](key_encryption_key, wrapped)
    except (keywrap.InvalidUnwrap, ValueError):
        raise DecryptionFailed from None


_WRAPPING: dict[str, Callable[[bytes, bytes], bytes]] = {
    "aes": keywrap.aes_key_wrap,
    "aes-pad": keywrap.aes_key_wrap_with_padding,
    "3des": triple_des_wrap,
}
_UNWRAPPING: dict[str, Callable[[bytes, bytes], bytes]] = {
    "aes": keywrap.aes_key_unwrap,
    "aes-pad": keywrap.aes_key_unwrap_with_padding,
    "3des": triple_des_unwrap,
}

# ----------------------------------------------------------------------------------------------------------- passwords


def password_key(derivation: Pbkdf2, password: bytes, size: int) -> bytes:
    """PBKDF2 -> a key of `size` octets. The caller has held `iterations` against its limit."""
    # hashlib and not cryptography: OpenSSL's PBKDF2 of cryptography 50 refuses what old messages have (short salts).
    name = derivation.digest.name.replace("-", "_")
    return pbkdf2_hmac(name, password, derivation.salt, derivation.iterations, size)


def password_wrap(encryption: ContentEncryption, key_encryption_key: bytes, secret: bytes) -> bytes:
    """RFC 3211 section 2.3.1: length, check octets, secret and random padding, encrypted twice in CBC."""
    block_size = encryption.cipher.block_size
    block = bytes((len(secret),)) + bytes(octet ^ 0xFF for octet in secret[:3]) + secret
    block += token_bytes(max(2 * block_size, -(-len(block) // block_size) * block_size) - len(block))
    once = _cbc(encryption, key_encryption_key, encryption.iv, block, encrypts=True)
    return _cbc(encryption, key_encryption_key, once[-block_size:], once, encrypts=True)


def password_unwrap(encryption: ContentEncryption, key_encryption_key: bytes, wrapped: bytes) -> bytes:
    """Undo `password_wrap` (RFC 3211 section 2.3.2). Raises DecryptionFailed for whatever does not fit."""
    block_size = encryption.cipher.block_size
    if len(wrapped) < 2 * block_size or len(wrapped) % block_size:
        raise DecryptionFailed
    # The last block's predecessor is its IV; the last block, decrypted, is the first one's.
    last = _cbc(
        encryption, key_encryption_key, wrapped[-2 * block_size : -block_size], wrapped[-block_size:], encrypts=False
    )
    once = _cbc(encryption, key_encryption_key, last, wrapped, encrypts=False)
    block = _cbc(encryption, key_encryption_key, encryption.iv, once, encrypts=False)
    size, check, secret = block[0], block[1:4], block[4:]
    fits = compare_digest(bytes(octet ^ 0xFF for octet in secret[:3]), check)
    if not fits or not 3 <= size <= len(secret):
        raise DecryptionFailed
    return secret[:size]


def _cbc(encryption: ContentEncryption, key: bytes, iv: bytes, data: bytes, *, encrypts: bool) -> bytes:
    family = encryption.cipher.family
    context: Any
    if family == "rc2":
        context = Rc2Context(key, encryption.cipher.effective_bits, iv, encrypts=encrypts)
    else:
        cipher: Cipher[Any] = Cipher(algorithms.AES(key), modes.CBC(iv)) if family == "aes" else triple_des(key, iv)
        context = cipher.encryptor() if encrypts else cipher.decryptor()
    output: bytes = context.update(data) + context.finalize()
    return output
