"""The floor: the bare public-key operations of `cryptography` on a digest that is already computed, nothing around."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

__all__ = ["raw_sign", "raw_verify"]

_DIGEST = hashlib.sha256(b"signed attributes").digest()


def raw_sign(key: Any) -> Callable[[], bytes]:
    """Sign a digest with SHA-256's identifier: RSA PKCS#1 v1.5 or ECDSA."""
    arguments = _arguments(key)
    return lambda: key.sign(_DIGEST, *arguments)


def raw_verify(key: Any) -> Callable[[], None]:
    """Verify one signature over a digest."""
    arguments = _arguments(key)
    signature = key.sign(_DIGEST, *arguments)
    public_key = key.public_key()
    return lambda: public_key.verify(signature, _DIGEST, *arguments)


def _arguments(key: Any) -> tuple[Any, ...]:
    prehashed = utils.Prehashed(hashes.SHA256())
    return (padding.PKCS1v15(), prehashed) if isinstance(key, rsa.RSAPrivateKey) else (ec.ECDSA(prehashed),)
