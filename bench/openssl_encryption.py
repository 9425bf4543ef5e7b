"""OpenSSL's CMS_encrypt and CMS_decrypt called in this process; see `bench.openssl`, whose library this shares."""

from __future__ import annotations

import ctypes
from ctypes import byref, c_char_p, c_int, c_uint, c_void_p
from functools import cache

from bench.openssl import OpenSsl, _library, _present, _succeeded

__all__ = ["OpenSslEncryption"]

_BINARY = 0x80
_STREAM = 0x1000
_CIPHERS = {"aes256-cbc": "EVP_aes_256_cbc", "aes256-gcm": "EVP_aes_256_gcm", "aes128-cbc": "EVP_aes_128_cbc"}


@cache
def _with_encryption() -> ctypes.CDLL:
    library = _library()
    for name in _CIPHERS.values():
        getattr(library, name).restype = c_void_p
    library.CMS_encrypt.restype = c_void_p
    library.CMS_encrypt.argtypes = (c_void_p, c_void_p, c_void_p, c_uint)
    library.CMS_decrypt.restype = c_int
    library.CMS_decrypt.argtypes = (c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_uint)
    return library


class OpenSslEncryption(OpenSsl):
    """Encrypts to certificates and decrypts with one key, all loaded once."""

    def __init__(self, *, key_pem: bytes, certificate_der: bytes, others_der: tuple[bytes, ...] = ()) -> None:
        super().__init__(key_pem=key_pem, certificate_der=certificate_der)
        self._c = _with_encryption()
        self._recipients = self._c.OPENSSL_sk_new_null()
        for der in (certificate_der, *others_der):
            self._c.OPENSSL_sk_push(self._recipients, self._load_certificate(der))

    def encrypt(self, content: bytes, cipher: str = "aes256-cbc") -> bytes:
        """EnvelopedData or AuthEnvelopedData in DER."""
        c = self._c
        source = c.BIO_new_mem_buf(content, len(content))
        cms = _present(c.CMS_encrypt(self._recipients, source, getattr(c, _CIPHERS[cipher])(), _BINARY))
        out = c_void_p()
        length = c.i2d_CMS_ContentInfo(cms, byref(out))
        encoded = ctypes.string_at(out, length)
        c.CRYPTO_free(out, b"", 0)
        c.CMS_ContentInfo_free(cms)
        c.BIO_free(source)
        return encoded

    def decrypt(self, sealed: bytes) -> bytes:
        """Parse DER and decrypt with the key."""
        c = self._c
        encoded = c.BIO_new_mem_buf(c_char_p(sealed), len(sealed))
        cms = _present(c.d2i_CMS_bio(encoded, None))
        content = self._decrypted(cms)
        c.BIO_free(encoded)
        return content

    def encrypt_smime(self, content: bytes, cipher: str = "aes256-cbc") -> bytes:
        """A whole encrypted MIME entity around a MIME entity."""
        c = self._c
        flags = _BINARY | _STREAM
        source = c.BIO_new_mem_buf(content, len(content))
        cms = _present(c.CMS_encrypt(self._recipients, source, getattr(c, _CIPHERS[cipher])(), flags))
        sink = c.BIO_new(c.BIO_s_mem())
        _succeeded(c.SMIME_write_CMS(sink, cms, source, flags))
        message = self._content_of(sink)
        c.BIO_free(sink)
        c.CMS_ContentInfo_free(cms)
        c.BIO_free(source)
        return message

    def decrypt_smime(self, message: bytes) -> bytes:
        """Parse an encrypted MIME entity and decrypt with the key."""
        c = self._c
        source = c.BIO_new_mem_buf(c_char_p(message), len(message))
        content = self._decrypted(_present(c.SMIME_read_CMS(source, None)))
        c.BIO_free(source)
        return content

    def _decrypted(self, cms: c_void_p) -> bytes:
        c = self._c
        sink = c.BIO_new(c.BIO_s_mem())
        _succeeded(c.CMS_decrypt(cms, self._key, self._certificate, None, sink, _BINARY))
        content = self._content_of(sink)
        c.BIO_free(sink)
        c.CMS_ContentInfo_free(cms)
        return content
