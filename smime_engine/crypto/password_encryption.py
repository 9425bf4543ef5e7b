"""Decrypt what a password protects: private keys (PKCS #8) and the safes of PKCS #12.

Reads PBES2 (PBKDF2 or scrypt, AES-CBC or Triple DES) and the PKCS #12 schemes of old exports (Triple DES, RC2), and
derives the keys of PKCS #12 integrity checks. It never writes. Work is bounded: a file that asks for more rounds than
`Limits.pbkdf2_iterations` is refused before the first round.

Every failure is `InvalidKey`: the reader of a key file is its owner, so that a clear text helps and betrays nothing.

Standards: RFC 8018 (PBES2, PBKDF2), RFC 7914 (scrypt), RFC 7292 appendices B and C (PKCS #12 derivation and schemes),
RFC 9579 (PBMAC1). PBES1 with MD2, MD5 or single DES, and RC4, are refused: no exporter of this century writes them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import BlockCipherAlgorithm, Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES

from smime_engine.asn1 import ber, oids
from smime_engine.crypto import rc2
from smime_engine.crypto.digests import split_identifier
from smime_engine.errors import InvalidKey, MalformedMessage
from smime_engine.limits import DEFAULT_LIMITS, Limits

__all__ = ["WRONG_PASSWORD", "decrypt", "derived_key", "pkcs12_key", "pkcs12_password"]

WRONG_PASSWORD = "the password is wrong, or the key file is damaged"  # noqa: S105 - a text, not a secret

_PSEUDORANDOM_FUNCTIONS: dict[str, str] = {
    oids.HMAC_WITH_SHA1: "sha1",
    oids.HMAC_WITH_SHA224: "sha224",
    oids.HMAC_WITH_SHA256: "sha256",
    oids.HMAC_WITH_SHA384: "sha384",
    oids.HMAC_WITH_SHA512: "sha512",
    oids.HMAC_WITH_SHA512_256: "sha512_256",
}
_CIPHERS: dict[str, tuple[int, Callable[[bytes], BlockCipherAlgorithm]]] = {
    oids.ID_AES128_CBC: (16, AES),
    oids.ID_AES192_CBC: (24, AES),
    oids.ID_AES256_CBC: (32, AES),
    oids.DES_EDE3_CBC: (24, TripleDES),
}
_SCRYPT_MEMORY = 256 * 1024 * 1024  # octets; OpenSSL writes files that need 16 MiB
_PKCS12_SCHEMES: dict[str, int] = {  # key size in octets
    oids.PBE_WITH_SHA_AND_3_KEY_TRIPLE_DES_CBC: 24,
    oids.PBE_WITH_SHA_AND_2_KEY_TRIPLE_DES_CBC: 16,
    oids.PBE_WITH_SHA_AND_128BIT_RC2_CBC: 16,
    oids.PBE_WITH_SHA_AND_40BIT_RC2_CBC: 5,
}


def decrypt(algorithm: bytes, ciphertext: bytes, password: bytes, limits: Limits = DEFAULT_LIMITS) -> bytes:
    """Decrypt with a DER encryption AlgorithmIdentifier and a password in UTF-8. Raises InvalidKey."""
    oid, parameters = split_identifier(algorithm)
    if oid == oids.ID_PBES2:
        derivation, cipher = _two_identifiers(parameters)
        cipher_oid, iv_value = split_identifier(cipher)
        if cipher_oid not in _CIPHERS:
            raise InvalidKey(f"the key file is encrypted with {oids.name_of(cipher_oid)}, which is not supported")
        size, block_cipher = _CIPHERS[cipher_oid]
        key = derived_key(derivation, password, size, limits)
        return _cbc_decrypt(block_cipher(key), _octet_string(iv_value), ciphertext)
    if oid in _PKCS12_SCHEMES:
        return _decrypt_pkcs12(oid, parameters, ciphertext, password, limits)
    raise InvalidKey(f"the key file is encrypted with {oids.name_of(oid)}, which is not supported")


def derived_key(derivation: bytes, password: bytes, size: int, limits: Limits) -> bytes:
    """Key of `size` octets by a DER key derivation AlgorithmIdentifier: PBKDF2 or scrypt. Raises InvalidKey."""
    oid, parameters = split_identifier(derivation)
    fields = _fields(parameters)
    if oid == oids.ID_SCRYPT:
        return _scrypt(fields, password, size, limits)
    if oid != oids.ID_PBKDF2:
        raise InvalidKey(f"the key file derives its key with {oids.name_of(oid)}, which is not supported")
    salt, iterations = _octet_string(fields[0]), _positive(fields[1])
    _bound(iterations, limits)
    last = fields[-1]
    function = _PSEUDORANDOM_FUNCTIONS.get(split_identifier(last)[0] if last[0] == 0x30 else oids.HMAC_WITH_SHA1)
    if function is None:
        raise InvalidKey(f"the key file derives its key with {split_identifier(last)[0]}, which is not supported")
    return hashlib.pbkdf2_hmac(function, password, salt, iterations, size)


def _scrypt(fields: list[bytes], password: bytes, size: int, limits: Limits) -> bytes:
    if len(fields) < 4:
        raise MalformedMessage("scrypt parameters", offset=0)
    cost, block, parallel = (_positive(field) for field in fields[1:4])
    _bound(cost * block * parallel, limits)
    try:
        return hashlib.scrypt(
            password, salt=_octet_string(fields[0]), n=cost, r=block, p=parallel, dklen=size, maxmem=_SCRYPT_MEMORY
        )
    except (ValueError, OverflowError, MemoryError) as error:
        raise InvalidKey("the key file asks for an impossible scrypt derivation") from error


def pkcs12_password(password: bytes) -> bytes:
    """The password as PKCS #12 wants it: UTF-16 with a zero at the end (RFC 7292 appendix B.1)."""
    try:
        text = password.decode()
    except UnicodeDecodeError:
        text = password.decode("latin-1")  # QUIRK: what OpenSSL does with passwords that are no UTF-8
    return (text + "\0").encode("utf-16-be")


def pkcs12_key(
    digest: str, password: bytes, salt: bytes, iterations: int, *, purpose: int, size: int, limits: Limits
) -> bytes:
    """Derive a key (purpose 1), an initialization vector (2) or a MAC key (3): RFC 7292 appendix B.2.

    `digest` is hashlib's name, `password` the result of `pkcs12_password` or empty for none at all.
    """
    _bound(iterations, limits)
    started = hashlib.new(digest, usedforsecurity=False)
    block = started.block_size
    diversifier = bytes((purpose,)) * block
    state = bytearray(_repeated(salt, block) + _repeated(password, block))
    output = b""
    while True:
        value = diversifier + state
        for _ in range(iterations):
            context = started.copy()
            context.update(value)
            value = context.digest()
        output += value
        if len(output) >= size:
            return output[:size]
        increment = int.from_bytes(_repeated(value, block)[:block], "big") + 1
        for start in range(0, len(state), block):
            total = int.from_bytes(state[start : start + block], "big") + increment
            state[start : start + block] = (total % (1 << 8 * block)).to_bytes(block, "big")


def _decrypt_pkcs12(oid: str, parameters: bytes, ciphertext: bytes, password: bytes, limits: Limits) -> bytes:
    salt_field, iterations_field = _fields(parameters)[:2]
    salt, iterations = _octet_string(salt_field), _positive(iterations_field)
    encoded = pkcs12_password(password)
    key = pkcs12_key("sha1", encoded, salt, iterations, purpose=1, size=_PKCS12_SCHEMES[oid], limits=limits)
    iv = pkcs12_key("sha1", encoded, salt, iterations, purpose=2, size=8, limits=limits)
    if oid in {oids.PBE_WITH_SHA_AND_128BIT_RC2_CBC, oids.PBE_WITH_SHA_AND_40BIT_RC2_CBC}:
        if len(ciphertext) % 8:
            raise InvalidKey(WRONG_PASSWORD)
        return _unpadded(rc2.decrypt_cbc(rc2.expand_key(key, 8 * len(key)), iv, ciphertext), 8)
    return _cbc_decrypt(TripleDES(key if len(key) == 24 else key + key[:8]), iv, ciphertext)


def _cbc_decrypt(algorithm: BlockCipherAlgorithm, iv: bytes, ciphertext: bytes) -> bytes:
    try:
        decryptor = Cipher(algorithm, modes.CBC(iv)).decryptor()
        padded = decryptor.update(ciphertext) + decryptor.finalize()
    except ValueError as error:
        raise InvalidKey(WRONG_PASSWORD) from error
    return _unpadded(padded, algorithm.block_size // 8)


def _unpadded(padded: bytes, block: int) -> bytes:
    count = padded[-1] if padded else 0
    if not 1 <= count <= block or padded[-count:] != bytes((count,)) * count:
        raise InvalidKey(WRONG_PASSWORD)
    return padded[:-count]


def _bound(rounds: int, limits: Limits) -> None:
    if rounds > limits.pbkdf2_iterations:
        raise InvalidKey(
            f"the key file asks for {rounds:,} rounds of key derivation; "
            f"{limits.pbkdf2_iterations:,} are allowed (pbkdf2_iterations)"
        )


def _repeated(data: bytes, block: int) -> bytes:
    """`data` again and again up to the next multiple of `block`; empty stays empty."""
    if not data:
        return b""
    size = -(-len(data) // block) * block
    return (data * (size // len(data) + 1))[:size]


def _two_identifiers(parameters: bytes) -> tuple[bytes, bytes]:
    fields = _fields(parameters)
    if len(fields) != 2:
        raise MalformedMessage("PBES2 parameters", offset=0)
    return fields[0], fields[1]


def _fields(parameters: bytes) -> list[bytes]:
    start, end = ber.content(parameters, 0, len(parameters), 0x30, expected="parameters of password-based encryption")
    fields = ber.elements(parameters, start, end)
    if len(fields) < 2:
        raise MalformedMessage("parameters of password-based encryption", offset=start)
    return fields


def _octet_string(field: bytes) -> bytes:
    start, end = ber.content(field, 0, len(field), 0x04, expected="an OCTET STRING")
    return field[start:end]


def _positive(field: bytes) -> int:
    start, end = ber.content(field, 0, len(field), 0x02, expected="an INTEGER")
    value = int.from_bytes(field[start:end], "big", signed=True)
    if end - start > 8 or value < 1:
        raise InvalidKey("the key file asks for an impossible number of key derivation rounds")
    return value
