"""RC2 decryption one block at a time, as RFC 2268 section 4 says it: what the lanes of `crypto.rc2` must equal."""

from __future__ import annotations

from struct import pack, unpack

ROTATIONS = (1, 2, 3, 5)


def decrypt_cbc(words: tuple[int, ...], iv: bytes, data: bytes) -> bytes:
    output = b""
    for start in range(0, len(data), 8):
        block = data[start : start + 8]
        clear = decrypt_block(words, block)
        output += bytes(x ^ y for x, y in zip(clear, iv, strict=True))
        iv = block
    return output


def decrypt_block(words: tuple[int, ...], block: bytes) -> bytes:
    r = list(unpack("<4H", block))
    j = 63
    for rounds in (5, 6, 5):
        for _ in range(rounds):
            for i in (3, 2, 1, 0):
                rotated = (r[i] >> ROTATIONS[i] | r[i] << 16 - ROTATIONS[i]) & 0xFFFF
                r[i] = (rotated - words[j] - (r[i - 1] & r[i - 2]) - (~r[i - 1] & r[i - 3])) & 0xFFFF
                j -= 1
        if j > 0:
            for i in (3, 2, 1, 0):
                r[i] = (r[i] - words[r[i - 1] & 63]) & 0xFFFF
    return pack("<4H", *r)
