"""The floor of encryption: bare primitives of `cryptography`, nothing around them."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.x963kdf import X963KDF
from cryptography.hazmat.primitives.keywrap import aes_key_wrap
from cryptography.hazmat.primitives.padding import PKCS7

__all__ = ["raw_agreement", "raw_cbc", "raw_decrypt", "raw_encrypt", "raw_gcm", "raw_gcm_decrypt"]


def raw_cbc(content: bytes) -> Callable[[bytes], bytes]:
    """Key -> ciphertext of `content` with AES in CBC, fresh IV, padded."""
    padded = PKCS7(128).padder()
    whole = padded.update(content) + padded.finalize()

    def encrypt(key: bytes) -> bytes:
        context = Cipher(algorithms.AES(key), modes.CBC(secrets.token_bytes(16))).encryptor()
        return context.update(whole) + context.finalize()

    return encrypt


def raw_encrypt(public_key: Any, content: bytes, recipients: int = 1) -> Callable[[], bytes]:
    """RSA PKCS #1 v1.5 of a fresh key for each recipient, and AES-256-CBC of the content."""
    encrypt, scheme = raw_cbc(content), padding.PKCS1v15()

    def act() -> bytes:
        key = secrets.token_bytes(32)
        for _ in range(recipients):
            public_key.encrypt(key, scheme)
        return encrypt(key)

    return act


def raw_agreement(public_key: Any, content: bytes) -> Callable[[], bytes]:
    """An ephemeral key, ECDH, X9.63 with SHA-256, AES key wrap, and AES-256-CBC of the content."""
    encrypt = raw_cbc(content)

    def act() -> bytes:
        key = secrets.token_bytes(32)
        shared = ec.generate_private_key(public_key.curve).exchange(ec.ECDH(), public_key)
        aes_key_wrap(X963KDF(hashes.SHA256(), 32, b"shared info").derive(shared), key)
        return encrypt(key)

    return act


def raw_decrypt(private_key: Any, content: bytes) -> Callable[[], bytes]:
    """RSA decryption of a key, AES-256-CBC of the content, padding removed."""
    key, iv = secrets.token_bytes(32), secrets.token_bytes(16)
    wrapped = private_key.public_key().encrypt(key, padding.PKCS1v15())
    context = Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor()
    padder = PKCS7(128).padder()
    ciphertext = context.update(padder.update(content) + padder.finalize()) + context.finalize()
    scheme = padding.PKCS1v15()

    def act() -> bytes:
        context = Cipher(algorithms.AES(private_key.decrypt(wrapped, scheme)), modes.CBC(iv)).decryptor()
        unpadder = PKCS7(128).unpadder()
        return unpadder.update(context.update(ciphertext) + context.finalize()) + unpadder.finalize()

    return act


def raw_gcm(content: bytes) -> Callable[[], int]:
    """AES-256-GCM of the content into memory that is there already."""
    key, room = secrets.token_bytes(32), bytearray(len(content))

    def act() -> int:
        context = Cipher(algorithms.AES(key), modes.GCM(secrets.token_bytes(12))).encryptor()
        written = context.update_into(content, room)
        context.finalize()
        return written

    return act


def raw_gcm_decrypt(content: bytes) -> Callable[[], int]:
    """AES-256-GCM of a ciphertext, with its tag, into memory that is there already."""
    key, nonce, room = secrets.token_bytes(32), secrets.token_bytes(12), bytearray(len(content))
    sealing = Cipher(algorithms.AES(key), modes.GCM(nonce)).encryptor()
    ciphertext = sealing.update(content) + sealing.finalize()
    tag = sealing.tag

    def act() -> int:
        context = Cipher(algorithms.AES(key), modes.GCM(nonce)).decryptor()
        written = context.update_into(ciphertext, room)
        context.finalize_with_tag(tag)
        return written

    return act
