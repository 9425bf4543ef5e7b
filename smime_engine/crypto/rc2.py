"""RC2 with every effective key length, which `cryptography` lacks (it has 128 bits alone).

RC2 is broken by its short keys; it is here because old mail must stay readable and because an ActiveSync policy can
demand it. Decryption handles many blocks at once: a hostile message of 100 MB would else cost minutes. Plan: the
16-bit words at one place of all blocks form one Python integer with a lane of 16 bits for each block, so that one
operation of C code works on all of them. Encryption in CBC cannot be spread like that and goes block by block.

Does not: pad, check a key's strength, or resist timing measurement (the tables are looked up by secret values; nobody
who may use RC2 asks for that).

Standards: RFC 2268 sections 2 (key expansion), 3 (encryption), 4 (decryption), 6 (parameters).
"""

from __future__ import annotations

from struct import Struct

__all__ = ["decrypt_cbc", "encrypt_cbc", "expand_key"]

Octets = bytes | bytearray | memoryview

_PI_TABLE = bytes.fromhex(
    "d978f9c419ddb5ed28e9fd794aa0d89dc67e37832b76538e624c6488448bfba2"
    "179a59f587b34f1361456d8d09817d32bd8f40eb86b77b0bf09521225c6b4e82"
    "54d66593ce60b21c7356c014a78cf1dc1275ca1f3bbee4d1423dd430a33cb626"
    "6fbf0eda4669075727f21d9bbc944303f811c7f690ef3ee706c3d52fc8661ed7"
    "08e8eade8052eef784aa72ac354d6a2a961ad2715a1549744b9fd05e0418a4ec"
    "c2e0416e0f51cbcc2491af50a1f47039997c3a8523b8b47afc02365b25559731"
    "2d5dfa98e38a92ae05df2910676cbac9d300e6cfe19ea82c6316013f58e289a9"
    "0d38341bab33ffb0bb480c5fb9b1cd2ec5f3db47e5a59c770aa62068fe7fc1ad"
)
_BLOCK = Struct("<4H")
_ROTATIONS = (1, 2, 3, 5)
_LANES_AT_ONCE = 4096  # 8 KiB for each integer stays in the first-level cache


def expand_key(key: bytes, effective_bits: int) -> tuple[int, ...]:
    """Expand 1 to 128 octets of key to 64 words of 16 bits. Raises ValueError outside of RFC 2268's bounds."""
    if not 1 <= len(key) <= 128 or not 1 <= effective_bits <= 1024:
        raise ValueError("RC2 takes 1 to 128 octets of key and 1 to 1024 effective bits")
    size = len(key)
    expanded = bytearray(key)
    for i in range(size, 128):
        expanded.append(_PI_TABLE[(expanded[i - 1] + expanded[i - size]) & 0xFF])
    effective_size = (effective_bits + 7) // 8
    expanded[128 - effective_size] = _PI_TABLE[expanded[128 - effective_size] & (0xFF >> (-effective_bits % 8))]
    for i in range(127 - effective_size, -1, -1):
        expanded[i] = _PI_TABLE[expanded[i + 1] ^ expanded[i + effective_size]]
    return Struct("<64H").unpack(expanded)


def encrypt_cbc(words: tuple[int, ...], iv: bytes, data: Octets) -> bytes:
    """Encrypt whole blocks of 8 octets; `words` are those of `expand_key`."""
    a0, a1, a2, a3 = _BLOCK.unpack(iv)
    output = bytearray()
    for b0, b1, b2, b3 in _BLOCK.iter_unpack(data):
        a0, a1, a2, a3 = _encrypt_block(words, a0 ^ b0, a1 ^ b1, a2 ^ b2, a3 ^ b3)
        output += _BLOCK.pack(a0, a1, a2, a3)
    return bytes(output)


def decrypt_cbc(words: tuple[int, ...], iv: bytes, data: Octets) -> bytes:
    """Decrypt whole blocks of 8 octets, about 10 MB a second; `words` are those of `expand_key`."""
    view = memoryview(data).cast("B")
    output = []
    previous = iv
    step = 8 * _LANES_AT_ONCE
    for start in range(0, len(view), step):
        piece = bytes(view[start : start + step])
        clear = _decrypt_blocks(words, piece)
        mask = int.from_bytes(previous + piece[:-8], "little")
        output.append((int.from_bytes(clear, "little") ^ mask).to_bytes(len(piece), "little"))
        previous = piece[-8:]
    return b"".join(output)


def _encrypt_block(words: tuple[int, ...], r0: int, r1: int, r2: int, r3: int) -> tuple[int, int, int, int]:
    for j in range(0, 64, 4):
        r0 = r0 + words[j] + (r3 & r2) + (~r3 & r1) & 0xFFFF
        r0 = (r0 << 1 | r0 >> 15) & 0xFFFF
        r1 = r1 + words[j + 1] + (r0 & r3) + (~r0 & r2) & 0xFFFF
        r1 = (r1 << 2 | r1 >> 14) & 0xFFFF
        r2 = r2 + words[j + 2] + (r1 & r0) + (~r1 & r3) & 0xFFFF
        r2 = (r2 << 3 | r2 >> 13) & 0xFFFF
        r3 = r3 + words[j + 3] + (r2 & r1) + (~r2 & r0) & 0xFFFF
        r3 = (r3 << 5 | r3 >> 11) & 0xFFFF
        if j in _BEFORE_MASHING:
            r0 = r0 + words[r3 & 63] & 0xFFFF
            r1 = r1 + words[r0 & 63] & 0xFFFF
            r2 = r2 + words[r1 & 63] & 0xFFFF
            r3 = r3 + words[r2 & 63] & 0xFFFF
    return r0, r1, r2, r3


_BEFORE_MASHING = (16, 40)  # the fifth and the eleventh mixing round


def _decrypt_blocks(words: tuple[int, ...], data: bytes) -> bytes:
    """Decrypt independent blocks: RFC 2268 section 4 on all lanes at once."""
    count = len(data) // 8
    lanes = _Lanes(count, words)
    registers = [_word_column(data, place, count) for place in range(4)]
    for j in range(60, -1, -4):
        if j in _BEFORE_MASHING:
            for i in (3, 2, 1, 0):
                registers[i] = lanes.subtract(registers[i], lanes.looked_up(registers[i - 1]))
        for i in (3, 2, 1, 0):
            rotated = lanes.rotated_right(registers[i], _ROTATIONS[i])
            chosen = registers[i - 3] ^ registers[i - 1] & (registers[i - 3] ^ registers[i - 2])
            registers[i] = lanes.subtract(lanes.subtract(rotated, chosen), words[j + i] * lanes.ones)
    output = bytearray(len(data))
    for place, register in enumerate(registers):
        column = register.to_bytes(2 * count, "little")
        output[2 * place :: 8] = column[0::2]
        output[2 * place + 1 :: 8] = column[1::2]
    return bytes(output)


def _word_column(data: bytes, place: int, count: int) -> int:
    """The word at one place (0 to 3) of every block, the first block in the lowest lane."""
    column = bytearray(2 * count)
    column[0::2] = data[2 * place :: 8]
    column[1::2] = data[2 * place + 1 :: 8]
    return int.from_bytes(column, "little")


class _Lanes:
    """Arithmetic modulo 2**16 on `count` lanes of one integer."""

    __slots__ = ("count", "high", "high_octets", "low", "low_octets", "ones", "rotations")

    def __init__(self, count: int, words: tuple[int, ...]) -> None:
        self.count = count
        self.ones = int.from_bytes(b"\x01\x00" * count, "little")
        self.high = self.ones << 15
        self.low = self.high - self.ones  # 0x7FFF in every lane
        self.rotations = {s: ((0xFFFF >> s) * self.ones, ((1 << s) - 1 << 16 - s) * self.ones) for s in _ROTATIONS}
        self.low_octets = bytes(words[i & 63] & 0xFF for i in range(256))
        self.high_octets = bytes(words[i & 63] >> 8 for i in range(256))

    def subtract(self, x: int, y: int) -> int:
        """Difference. The highest bit of each lane is lent before and put right after: no lane borrows."""
        return (x | self.high) - (y & self.low) ^ (x ^ y ^ self.high) & self.high

    def rotated_right(self, x: int, distance: int) -> int:
        lower, upper = self.rotations[distance]
        return x >> distance & lower | x << 16 - distance & upper

    def looked_up(self, x: int) -> int:
        """The word of the key that the lowest six bits of each lane name."""
        indices = x.to_bytes(2 * self.count, "little")[0::2]
        column = bytearray(2 * self.count)
        column[0::2] = indices.translate(self.low_octets)
        column[1::2] = indices.translate(self.high_octets)
        return int.from_bytes(column, "little")
