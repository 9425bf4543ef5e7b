"""Exchange's algorithm lists: `6610;6602:128;8004,1.2.3` and what they mean here.

Does: the grammar of OWAEncryptionAlgorithms and OWASigningAlgorithms, and the ALG_IDs of the Windows CryptoAPI that may
stand in them. Does not: choose among them for a message, or say whether this engine implements one.

    list  = entry *( ";" entry )           the first one that fits is used
    entry = ALG_ID [ ":" bits ] [ "," custom OID ]

ALG_ID is four hexadecimal digits; bits are allowed for RC2 alone (40, 56, 64, 128). The ciphers are CBC ciphers: there
is no ALG_ID for AES-GCM, OAEP or PSS. Source: Set-SmimeConfig (Exchange 2013 and later, Exchange Online).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from smime_engine.errors import ConfigurationError

__all__ = ["ENCRYPTION", "SIGNING", "Algorithm", "algorithm_list"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Algorithm:
    """One entry of a list, resolved."""

    identifier: str
    """ALG_ID: four hexadecimal digits in capitals."""

    name: str
    """The cipher or digest as the engine's tables name it: `aes256-cbc`, `sha256`."""

    bits: int
    """Key length of a cipher, output length of a digest."""

    custom_oid: str | None = None
    """Dotted identifier of a replacement that a cryptographic provider offers instead."""


ENCRYPTION: dict[str, tuple[str, int]] = {
    "6601": ("des-cbc", 56),
    "6602": ("rc2-cbc", 128),
    "6603": ("des-ede3-cbc", 168),
    "660E": ("aes128-cbc", 128),
    "660F": ("aes192-cbc", 192),
    "6610": ("aes256-cbc", 256),
}
"""ALG_ID -> (cipher, bits)."""

SIGNING: dict[str, tuple[str, int]] = {
    "8003": ("md5", 128),
    "8004": ("sha1", 160),
    "800C": ("sha256", 256),
    "800D": ("sha384", 384),
    "800E": ("sha512", 512),
}
"""ALG_ID -> (digest, bits)."""

_RC2 = "6602"
_RC2_BITS = (40, 56, 64, 128)
_ENTRY = re.compile(
    r"(?P<identifier>[0-9A-Fa-f]{4})(?::(?P<bits>[0-9]{1,5}))?(?:\s*,\s*(?P<oid>[0-2](?:\.(?:0|[1-9][0-9]{0,40})){1,40}))?"
)
_LONGEST = 10_000  # characters; a list of everything in every length has 100


def algorithm_list(text: str, known: dict[str, tuple[str, int]]) -> tuple[Algorithm, ...]:
    """Read a list whose ALG_IDs are among `known` (ENCRYPTION or SIGNING), in the order of preference.

    Raises ConfigurationError, with the entry that is wrong, for anything else. Exchange falls back to the default
    there: that is the caller's step, because it knows the default and whom to warn.
    """
    if len(text) > _LONGEST:
        raise ConfigurationError(f"an algorithm list has at most {_LONGEST:,} characters")
    return tuple(_entry(entry.strip(), known) for entry in text.split(";"))


def _entry(text: str, known: dict[str, tuple[str, int]]) -> Algorithm:
    match = _ENTRY.fullmatch(text)
    if match is None:
        raise ConfigurationError(f"{text!r} is no algorithm: write ALG_ID, ALG_ID:bits or ALG_ID,OID, e.g. 6610")
    identifier = match["identifier"].upper()
    if identifier not in known:
        raise ConfigurationError(f"{identifier} is not one of {', '.join(known)}")
    name, bits = known[identifier]
    if match["bits"] is not None:
        bits = int(match["bits"])
        if identifier != _RC2 or bits not in _RC2_BITS:
            raise ConfigurationError(f"{text!r}: a key length may stand only with {_RC2} (RC2): {_RC2_BITS}")
    return Algorithm(identifier=identifier, name=name, bits=bits, custom_oid=match["oid"])
