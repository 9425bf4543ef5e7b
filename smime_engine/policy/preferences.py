"""Exchange's algorithm lists as orders of preference of this engine.

Does: read OWAEncryptionAlgorithms and OWASigningAlgorithms of a tenant. Does not: choose for a message (`capabilities`
does for ciphers; a key that demands another digest gets that one).

The defaults of Exchange, AES-256-CBC and SHA-1, are what somebody has who settled nothing: they do not speak against
authenticated ciphers, which Exchange does not know, and never for SHA-1, which nobody should sign with (RFC 8551
section 2.1).
"""

from __future__ import annotations

from smime_engine.crypto.encryption_algorithms import CONTENT_CIPHERS
from smime_engine.crypto.signature_algorithms import DIGESTS, Status
from smime_engine.policy.capabilities import DEFAULT_PREFERENCE
from smime_engine.policy.smime_config import SmimeConfig

__all__ = ["cipher_preference", "digest_preference"]

_UNSET = SmimeConfig()


def cipher_preference(config: SmimeConfig) -> tuple[str, ...]:
    """OWAEncryptionAlgorithms as names of `CONTENT_CIPHERS`; the engine's own order where the list is the default."""
    if config.owa_encryption_algorithms == _UNSET.owa_encryption_algorithms:
        return DEFAULT_PREFERENCE
    names = (
        f"rc2-{entry.bits}-cbc" if entry.name == "rc2-cbc" else entry.name for entry in config.encryption_algorithms
    )
    return tuple(name for name in names if name in CONTENT_CIPHERS)


def digest_preference(config: SmimeConfig) -> str:
    """The first strong digest of OWASigningAlgorithms, a name of `DIGESTS`; empty: the one that suits the key."""
    strong = (entry.name for entry in config.signing_algorithms if DIGESTS[entry.name].status is Status.STRONG)
    return next(strong, "")
