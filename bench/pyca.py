"""The PKCS#7 builder of `cryptography`, used as its documentation shows; a builder makes one message."""

from __future__ import annotations

from collections.abc import Callable

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.serialization import pkcs7

from tests import pki

__all__ = ["pkcs7_sign"]


def pkcs7_sign(user: pki.Credential, content: bytes, *, smime: bool) -> Callable[[], bytes]:
    """Sign detached; as DER, or as a clear-signed message."""
    encoding = serialization.Encoding.SMIME if smime else serialization.Encoding.DER
    options = [pkcs7.PKCS7Options.DetachedSignature, pkcs7.PKCS7Options.Binary]

    def sign() -> bytes:
        builder = pkcs7.PKCS7SignatureBuilder().set_data(content)
        builder = builder.add_signer(user.certificate, user.key, hashes.SHA256())
        for certificate in user.chain:
            builder = builder.add_certificate(certificate)
        return builder.sign(encoding, options)

    return sign
