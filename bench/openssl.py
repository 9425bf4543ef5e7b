"""OpenSSL's CMS functions called in this process through ctypes: the peer that has no start-up cost to hide behind.

Key and certificates are loaded once. Every call makes what a C program would make for one message (memory BIOs, the
CMS structure, the encoded output) and frees it. ctypes itself costs about half a microsecond for each of the five to
nine calls. The library is the system's libcrypto, not the one inside the `cryptography` wheel.
"""

from __future__ import annotations

import ctypes
import ctypes.util
from ctypes import byref, c_char_p, c_int, c_long, c_void_p
from functools import cache

__all__ = ["OpenSsl", "version"]

_DETACHED = 0x40
_BINARY = 0x80
_STREAM = 0x1000
_NO_SIGNER_CERTIFICATE_CHECK = 0x20
_BIO_CTRL_INFO = 3

_SIGNATURES: dict[str, tuple[object, tuple[object, ...]]] = {
    "BIO_ctrl": (c_long, (c_void_p, c_int, c_long, c_void_p)),
    "BIO_free": (c_int, (c_void_p,)),
    "BIO_new": (c_void_p, (c_void_p,)),
    "BIO_new_mem_buf": (c_void_p, (c_char_p, c_int)),
    "BIO_s_mem": (c_void_p, ()),
    "CMS_ContentInfo_free": (None, (c_void_p,)),
    "CMS_sign": (c_void_p, (c_void_p, c_void_p, c_void_p, c_void_p, c_int)),
    "CMS_verify": (c_int, (c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_int)),
    "CRYPTO_free": (None, (c_void_p, c_char_p, c_int)),
    "OPENSSL_sk_new_null": (c_void_p, ()),
    "OPENSSL_sk_push": (c_int, (c_void_p, c_void_p)),
    "OpenSSL_version": (c_char_p, (c_int,)),
    "PEM_read_bio_PrivateKey": (c_void_p, (c_void_p, c_void_p, c_void_p, c_void_p)),
    "SMIME_read_CMS": (c_void_p, (c_void_p, c_void_p)),
    "SMIME_write_CMS": (c_int, (c_void_p, c_void_p, c_void_p, c_int)),
    "d2i_CMS_bio": (c_void_p, (c_void_p, c_void_p)),
    "d2i_X509": (c_void_p, (c_void_p, c_void_p, c_long)),
    "i2d_CMS_ContentInfo": (c_int, (c_void_p, c_void_p)),
}


@cache
def _library() -> ctypes.CDLL:
    name = ctypes.util.find_library("crypto")
    if name is None:
        raise RuntimeError("libcrypto is not installed (Debian: libssl3)")
    library = ctypes.CDLL(name)
    for function, (result, arguments) in _SIGNATURES.items():
        entry = getattr(library, function)
        entry.restype, entry.argtypes = result, arguments
    return library


def version() -> str:
    """For example `OpenSSL 3.0.15 3 Sep 2024`."""
    text: bytes = _library().OpenSSL_version(0)
    return text.decode()


class OpenSsl:
    """Signs and verifies like a C program that keeps its key and certificates loaded."""

    def __init__(self, *, key_pem: bytes, certificate_der: bytes, chain_der: tuple[bytes, ...] = ()) -> None:
        self._c = _library()
        bio = self._c.BIO_new_mem_buf(key_pem, len(key_pem))
        self._key = _present(self._c.PEM_read_bio_PrivateKey(bio, None, None, None))
        self._c.BIO_free(bio)
        self._certificate = self._load_certificate(certificate_der)
        self._chain = self._c.OPENSSL_sk_new_null()
        for der in chain_der:
            self._c.OPENSSL_sk_push(self._chain, self._load_certificate(der))

    def sign(self, content: bytes) -> bytes:
        """A detached SignedData in DER over these very bytes."""
        c = self._c
        source = c.BIO_new_mem_buf(content, len(content))
        cms = _present(c.CMS_sign(self._certificate, self._key, self._chain, source, _DETACHED | _BINARY))
        out = c_void_p()
        length = c.i2d_CMS_ContentInfo(cms, byref(out))
        encoded = ctypes.string_at(out, length)
        c.CRYPTO_free(out, b"", 0)
        c.CMS_ContentInfo_free(cms)
        c.BIO_free(source)
        return encoded

    def sign_smime(self, content: bytes) -> bytes:
        """A clear-signed message (multipart/signed) around a MIME entity."""
        c = self._c
        flags = _DETACHED | _BINARY | _STREAM
        source = c.BIO_new_mem_buf(content, len(content))
        cms = _present(c.CMS_sign(self._certificate, self._key, self._chain, source, flags))
        sink = c.BIO_new(c.BIO_s_mem())
        _succeeded(c.SMIME_write_CMS(sink, cms, source, flags))
        message = self._content_of(sink)
        c.BIO_free(sink)
        c.CMS_ContentInfo_free(cms)
        c.BIO_free(source)
        return message

    def verify(self, signed_data: bytes, content: bytes) -> None:
        """Parse a detached SignedData and verify its signature; the certificate's path is not looked at."""
        c = self._c
        encoded = c.BIO_new_mem_buf(signed_data, len(signed_data))
        cms = _present(c.d2i_CMS_bio(encoded, None))
        source = c.BIO_new_mem_buf(content, len(content))
        _succeeded(c.CMS_verify(cms, None, None, source, None, _BINARY | _NO_SIGNER_CERTIFICATE_CHECK))
        c.BIO_free(source)
        c.CMS_ContentInfo_free(cms)
        c.BIO_free(encoded)

    def verify_smime(self, message: bytes) -> None:
        """Parse a clear-signed message and verify its signature; the certificate's path is not looked at."""
        c = self._c
        source = c.BIO_new_mem_buf(message, len(message))
        content = c_void_p()
        cms = _present(c.SMIME_read_CMS(source, byref(content)))
        _succeeded(c.CMS_verify(cms, None, None, content, None, _BINARY | _NO_SIGNER_CERTIFICATE_CHECK))
        c.BIO_free(content)
        c.CMS_ContentInfo_free(cms)
        c.BIO_free(source)

    def _load_certificate(self, der: bytes) -> c_void_p:
        at = c_char_p(der)
        return _present(self._c.d2i_X509(None, byref(at), len(der)))

    def _content_of(self, sink: c_void_p) -> bytes:
        pointer = c_void_p()
        length = self._c.BIO_ctrl(sink, _BIO_CTRL_INFO, 0, byref(pointer))
        return ctypes.string_at(pointer, length)


def _present(pointer: int | None) -> c_void_p:
    if not pointer:
        raise RuntimeError("OpenSSL refused")
    return c_void_p(pointer)


def _succeeded(status: int) -> None:
    if status != 1:
        raise RuntimeError("OpenSSL refused")
