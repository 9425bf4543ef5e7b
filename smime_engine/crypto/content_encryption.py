"""Encrypt and decrypt a content with a content key: in memory, into a buffer, or piece by piece.

Hot file. Goal: 25 MB near the speed of the cipher, without a copy that is not needed. Plan: one pass of OpenSSL over
the whole content, straight from the input's span into the memory of the result (`_Output`). For small contents a copy
costs less than that memory's management.

Every failure of decryption is `DecryptionFailed`: padding, tag, length. `decrypt` returns nothing before the tag is
verified; `ContentDecryptor` cannot keep that promise, and its caller must: what it hands out is worth nothing until
`finish` has returned.

Does not: choose a cipher, encode parameters (`encryption_algorithms.py`), or make CBC safe: it has no tag, and padding
is all that is checked.

Standards: RFC 5652 section 6.3 (padding), RFC 5084 (AES-GCM, AES-CCM), RFC 8439 section 2.8 (ChaCha20-Poly1305), RFC
9709 section 2 (CEK-HKDF).
"""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from struct import pack
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.decrepit.ciphers.algorithms import Camellia
from cryptography.hazmat.primitives import hashes, padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, AESGCM
from cryptography.hazmat.primitives.constant_time import bytes_eq
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.poly1305 import Poly1305

from smime_engine.crypto.encryption_algorithms import ContentEncryption, Mode
from smime_engine.crypto.legacy import Rc2Context, triple_des
from smime_engine.errors import DecryptionFailed, UnsupportedAlgorithm

__all__ = ["ContentDecryptor", "ContentEncryptor", "decrypt", "encrypt", "encrypted_size", "padding_fits"]

Octets = bytes | bytearray | memoryview


def encrypted_size(encryption: ContentEncryption, content_size: int) -> int:
    """Octets of ciphertext, without the tag, for a content of this size."""
    block_size = encryption.cipher.block_size
    return content_size if block_size == 1 else content_size + block_size - content_size % block_size


def encrypt(
    encryption: ContentEncryption,
    key: bytes,
    content: Octets,
    *,
    associated: bytes = b"",
    before: bytes = b"",
    after: Callable[[bytes], bytes] | None = None,
) -> tuple[bytes, bytes]:
    """Encrypt -> (`before` + ciphertext + `after(tag)`, tag); the tag is empty for CBC.

    `before` and `after` spare the caller a copy of everything, where the ciphertext is a part of something larger.
    """
    at_once = _at_once(encryption, key, len(content), encryption.tag_size)
    if at_once is not None:
        sealed = at_once.encrypt(encryption.iv, content, associated)
        end = len(content)
        tag = sealed[end:]
        return b"".join((before, memoryview(sealed)[:end], after(tag) if after else b"")), tag
    if len(content) < _SMALL and encryption.cipher.block_size > 1:
        context = _encryption_context(encryption, key, associated)
        missing = encryption.cipher.block_size - len(content) % encryption.cipher.block_size
        ciphertext = context.update(b"".join((content, bytes((missing,)) * missing)))
        return b"".join((before, ciphertext, context.finalize(), after(b"") if after else b"")), b""
    size = encrypted_size(encryption, len(content))
    start, end = len(before), len(before) + size
    output = _Output(end + _USUAL_END)
    view = output.view
    view[:start] = before
    encryptor = ContentEncryptor(encryption, key, associated=associated)
    written = encryptor.update_into(content, view[start:])
    last, tag = encryptor.finish()
    view[start + written : end] = last
    return output.content(end, after(tag) if after else b""), tag


def decrypt(
    encryption: ContentEncryption, key: bytes, ciphertext: Octets, *, tag: bytes = b"", associated: bytes = b""
) -> bytes:
    """Decrypt the whole content; nothing is returned unless tag or padding are right. Raises DecryptionFailed.

    QUIRK: a tag may be longer than the parameters say, since some writers leave out the length, which then is 12.
    """
    size = len(ciphertext)
    if len(tag) < encryption.tag_size:
        raise DecryptionFailed
    at_once = _at_once(encryption, key, size, len(tag))
    if at_once is not None:
        try:
            return at_once.decrypt(encryption.iv, b"".join((ciphertext, tag)), associated)
        except (InvalidTag, ValueError):
            raise DecryptionFailed from None
    context = _decryption_context(encryption, key, associated)
    block_size = encryption.cipher.block_size
    start = size - block_size
    if size % block_size or start < 0 < block_size - 1:
        raise DecryptionFailed
    if size < _SMALL:
        clear: bytes = context.update(ciphertext)
        if block_size == 1:
            _check_tag(context, tag)
            return clear
        return clear[:start] + _unpadded(clear[start:], block_size)
    output = _Output(size + _ROOM)
    context.update_into(ciphertext, output.view)
    if block_size == 1:
        _check_tag(context, tag)
        return output.content(size)
    last = _unpadded(bytes(output.view[start:size]), block_size)
    return output.content(start + len(last))


def padding_fits(encryption: ContentEncryption, key: bytes, ciphertext: Octets) -> bool:
    """CBC: whether the key makes sense of the last block; False for 255 of 256 wrong keys, at the cost of one block."""
    block_size = encryption.cipher.block_size
    last_blocks = bytes(ciphertext[-2 * block_size :])
    if len(ciphertext) % block_size or not ciphertext:
        return False
    if len(last_blocks) == block_size:
        last_blocks = encryption.iv + last_blocks
    try:
        context = _cbc(encryption, _content_key(encryption, key), last_blocks[:block_size], encrypts=False)
        _unpadded(context.update(last_blocks[block_size:]), block_size)
    except DecryptionFailed:
        return False
    return True


class ContentEncryptor:
    """Encrypts a content that comes in pieces. Raises UnsupportedAlgorithm for CCM, which needs the size before."""

    __slots__ = ("_block_size", "_context", "_size")

    def __init__(self, encryption: ContentEncryption, key: bytes, *, associated: bytes = b"") -> None:
        self._block_size = encryption.cipher.block_size
        self._context = _encryption_context(encryption, key, associated)
        self._size = 0

    def update(self, content: Octets) -> bytes:
        """Encrypt the next piece -> ciphertext, up to a block shorter or longer than the piece."""
        self._size += len(content)
        output: bytes = self._context.update(content)
        return output

    def update_into(self, content: Octets, buffer: memoryview) -> int:
        """Like `update`, into a buffer that has room for one block more than the piece; returns octets written."""
        self._size += len(content)
        written: int = self._context.update_into(content, buffer)
        return written

    def finish(self) -> tuple[bytes, bytes]:
        """End the content -> (last ciphertext, tag)."""
        if self._block_size == 1:
            self._context.finalize()
            return b"", self._context.tag
        missing = self._block_size - self._size % self._block_size
        last: bytes = self._context.update(bytes((missing,)) * missing) + self._context.finalize()
        return last, b""


class ContentDecryptor:
    """Decrypts a content that comes in pieces.

    What `update` returns is unverified: it must not be shown, stored under its name or acted on before `finish`.
    Raises UnsupportedAlgorithm for CCM, whose size must be known before.
    """

    __slots__ = ("_block_size", "_context", "_held", "_tag_size")

    def __init__(self, encryption: ContentEncryption, key: bytes, *, associated: bytes = b"") -> None:
        self._block_size = encryption.cipher.block_size
        self._tag_size = encryption.tag_size
        self._context = _decryption_context(encryption, key, associated)
        self._held = b""  # the last block may be padding

    def update(self, ciphertext: Octets) -> bytes:
        """Decrypt the next piece -> unverified content."""
        output: bytes = self._context.update(ciphertext)
        if self._block_size == 1:
            return output
        output = self._held + output
        start = max(len(output) - self._block_size, 0)
        self._held = output[start:]
        return output[:start]

    def finish(self, tag: bytes = b"") -> bytes:
        """Verify -> the last of the content. Raises DecryptionFailed: then all that was handed out is to be dropped."""
        if len(tag) < self._tag_size:
            raise DecryptionFailed
        if self._block_size == 1:
            _check_tag(self._context, tag)
            return b""
        try:
            self._context.finalize()
        except ValueError:
            raise DecryptionFailed from None
        if len(self._held) != self._block_size:
            raise DecryptionFailed
        return _unpadded(self._held, self._block_size)


# ------------------------------------------------------------------------------------------------------------- contexts

_ROOM = 16  # what OpenSSL may want beyond the octets that it writes: one block
_USUAL_END = 256  # room for that and for what usually follows a ciphertext


class _Output:
    """Memory that is filled in place and becomes `bytes` without a copy, which `bytearray` does not."""

    __slots__ = ("_buffer", "view")

    def __init__(self, size: int) -> None:
        self._buffer = BytesIO(bytes(size))
        self.view = self._buffer.getbuffer()

    def content(self, size: int, after: bytes = b"") -> bytes:
        """The first `size` octets, and `after`."""
        self.view.release()
        self._buffer.seek(size)
        self._buffer.write(after)
        self._buffer.truncate()
        return self._buffer.getvalue()


def _content_key(encryption: ContentEncryption, key: bytes) -> bytes:
    """RFC 9709 section 2: where the algorithm says so, the key that the recipients have is not the cipher's."""
    if not encryption.derived:
        return key
    salt = b"The Cryptographic Message Syntax"
    return HKDF(hashes.SHA256(), len(key), salt, encryption.identifier).derive(key)


def _encryption_context(encryption: ContentEncryption, key: bytes, associated: bytes) -> Any:
    key = _content_key(encryption, key)
    if encryption.cipher.mode is Mode.CBC:
        return _cbc(encryption, key, encryption.iv, encrypts=True)
    if encryption.cipher.mode is Mode.CHACHA20_POLY1305:
        return _ChaCha20Poly1305(key, encryption.iv, associated, encrypts=True)
    context = Cipher(algorithms.AES(key), _gcm(encryption)).encryptor()
    context.authenticate_additional_data(associated)
    return context


def _decryption_context(encryption: ContentEncryption, key: bytes, associated: bytes) -> Any:
    key = _content_key(encryption, key)
    if encryption.cipher.mode is Mode.CBC:
        return _cbc(encryption, key, encryption.iv, encrypts=False)
    if encryption.cipher.mode is Mode.CHACHA20_POLY1305:
        return _ChaCha20Poly1305(key, encryption.iv, associated, encrypts=False)
    context = Cipher(algorithms.AES(key), _gcm(encryption)).decryptor()
    context.authenticate_additional_data(associated)
    return context


def _gcm(encryption: ContentEncryption) -> modes.GCM:
    if encryption.cipher.mode is not Mode.GCM:
        raise UnsupportedAlgorithm(encryption.name, purpose="streamed content-encryption")
    return modes.GCM(encryption.iv, min_tag_length=12)


def _at_once(encryption: ContentEncryption, key: bytes, size: int, tag_size: int) -> AESCCM | AESGCM | None:
    """The interface for contents in one piece: the only one that there is for CCM, and three times faster than a
    context for a small content with GCM. None where a context serves better: it needs no copy to append the tag.
    """
    mode = encryption.cipher.mode
    if mode is Mode.GCM and size < _SMALL and tag_size == 16:
        return AESGCM(_content_key(encryption, key))
    if mode is Mode.CCM:
        return AESCCM(_content_key(encryption, key), encryption.tag_size)
    return None


_SMALL = 128 * 1024


def _cbc(encryption: ContentEncryption, key: bytes, iv: bytes, *, encrypts: bool) -> Any:
    family = encryption.cipher.family
    if family == "rc2":
        return Rc2Context(key, encryption.cipher.effective_bits, iv, encrypts=encrypts)
    cipher: Cipher[Any]
    if family == "aes":
        cipher = Cipher(algorithms.AES(key), modes.CBC(iv))
    elif family == "camellia":
        cipher = Cipher(Camellia(key), modes.CBC(iv))
    else:
        cipher = triple_des(key, iv)
    return cipher.encryptor() if encrypts else cipher.decryptor()


def _check_tag(context: Any, tag: bytes) -> None:
    try:
        context.finalize_with_tag(tag)
    except (InvalidTag, ValueError):
        raise DecryptionFailed from None


def _unpadded(last_block: bytes, block_size: int) -> bytes:
    """Remove the padding of RFC 5652 section 6.3, in constant time."""
    unpadder = padding.PKCS7(8 * block_size).unpadder()
    try:
        return unpadder.update(last_block) + unpadder.finalize()
    except ValueError:
        raise DecryptionFailed from None


class _ChaCha20Poly1305:
    """RFC 8439 section 2.8 from its two halves, because `cryptography` has the whole for contents in one piece only."""

    __slots__ = ("_authenticator", "_cipher", "_encrypts", "_sizes", "tag")

    def __init__(self, key: bytes, nonce: bytes, associated: bytes, *, encrypts: bool) -> None:
        first_block = Cipher(algorithms.ChaCha20(key, b"\0\0\0\0" + nonce), None).encryptor().update(bytes(64))
        self._cipher = Cipher(algorithms.ChaCha20(key, b"\1\0\0\0" + nonce), None).encryptor()
        self._authenticator = Poly1305(first_block[:32])
        self._authenticator.update(associated + bytes(-len(associated) % 16))
        self._sizes = [len(associated), 0]
        self._encrypts = encrypts
        self.tag = b""

    def update(self, data: Octets) -> bytes:
        output = self._cipher.update(data)
        self._authenticate(output if self._encrypts else data)
        return output

    def update_into(self, data: Octets, buffer: memoryview) -> int:
        written = self._cipher.update_into(data, buffer)
        self._authenticate(buffer[:written] if self._encrypts else data)
        return written

    def _authenticate(self, ciphertext: Octets) -> None:
        self._authenticator.update(ciphertext)
        self._sizes[1] += len(ciphertext)

    def finalize(self) -> None:
        self._authenticator.update(bytes(-self._sizes[1] % 16) + pack("<QQ", *self._sizes))
        self.tag = self._authenticator.finalize()

    def finalize_with_tag(self, tag: bytes) -> None:
        self.finalize()
        if not bytes_eq(self.tag, tag):
            raise InvalidTag
