"""Why a cell of the table says `no` or `refused`: the one place where each failure has its reason.

A failure without a reason here fails the test, and so does a reason that nothing needs any more.
"""

from __future__ import annotations

from fnmatch import fnmatchcase

__all__ = ["EXPLANATIONS", "explanation"]

_GCM = ("*gcm*",)
_NEVER_READ = ("*aes256-ccm", "*chacha20-poly1305")
_EDWARDS = ("Ed25519*", "Ed448*")
_BRAINPOOL = ("*brainpool*",)
_ELLIPTIC_RECIPIENTS = ("ECDH*",)
_OTHER_RECIPIENTS = ("password*", "shared key*")

EXPLANATIONS: dict[str, tuple[str, tuple[str, ...]]] = {
    # reason -> peer, patterns of titles; the first one that fits a cell is its reason
    "OpenSSL has EdDSA in CMS from version 3.2 on.": ("OpenSSL", _EDWARDS),
    "OpenSSL has ML-DSA from version 3.5 on.": ("OpenSSL", ("ML-DSA*",)),
    "OpenSSL's only authenticated cipher in CMS is AES-GCM.": ("OpenSSL", _NEVER_READ),
    "OpenSSL knows nothing of derived content keys (RFC 9709).": ("OpenSSL", ("*RFC 9709*",)),
    "OpenSSL has no recipients with X25519 and X448 in CMS.": ("OpenSSL", ("ECDH X25519", "ECDH X448")),
    "OpenSSL 3.0 has no KEM recipients (RFC 9629).": ("OpenSSL", ("KEM*",)),
    "OpenSSL reads password recipients with AES-GCM and does not make them.": ("OpenSSL", ("password*gcm",)),
    "Debian builds OpenSSL without zlib.": ("OpenSSL", ("CompressedData*",)),
    "gpgsm has no SHA-3.": ("gpgsm", ("*SHA3*",)),
    "gpgsm 2.2 has no signatures with Ed25519, Ed448 and ML-DSA.": ("gpgsm", (*_EDWARDS, "ML-DSA*")),
    "gpgsm 2.2 refuses signatures with P-521, since 521 is no multiple of 8.": ("gpgsm", ("ECDSA P-521*",)),
    "gpgsm 2.2 finds signers by issuer and serial number alone.": ("gpgsm", ("*signer by key identifier",)),
    "gpgsm takes no private keys from PKCS #12 but RSA's.": ("gpgsm", ("ECDSA*",)),
    "gpgsm 2.2 has no recipients with elliptic curves: it neither takes the private keys nor encrypts for them.": (
        "gpgsm",
        _ELLIPTIC_RECIPIENTS,
    ),
    "gpgsm knows nothing of derived content keys (RFC 9709).": ("gpgsm", ("*RFC 9709*",)),
    "gpgsm 2.2 has no authenticated ciphers.": ("gpgsm", (*_GCM, *_NEVER_READ)),
    "gpgsm 2.2 has no RSA-OAEP.": ("gpgsm", ("RSA-OAEP*",)),
    "gpgsm finds recipients by issuer and serial number alone.": ("gpgsm", ("*recipient by key identifier",)),
    "gpgsm has no password, shared-key and KEM recipients.": ("gpgsm", (*_OTHER_RECIPIENTS, "KEM*")),
    "NSS 3.87 has no SHA-3.": ("NSS", ("*SHA3*",)),
    "NSS has no Brainpool curves.": ("NSS", _BRAINPOOL),
    "NSS has no EdDSA and ML-DSA in CMS.": ("NSS", (*_EDWARDS, "ML-DSA*")),
    "NSS 3.87 has no recipients with elliptic curves; it does not read OpenSSL's either.": (
        "NSS",
        _ELLIPTIC_RECIPIENTS,
    ),
    "NSS refuses a message with a recipient of a kind that it does not know.": ("NSS", ("three recipients*",)),
    "NSS knows nothing of derived content keys (RFC 9709).": ("NSS", ("*RFC 9709*",)),
    "NSS has no authenticated ciphers in CMS.": ("NSS", (*_GCM, *_NEVER_READ)),
    "NSS 3.87 has no RSA-OAEP in CMS.": ("NSS", ("RSA-OAEP*",)),
    "NSS has no password, shared-key and KEM recipients.": ("NSS", (*_OTHER_RECIPIENTS, "KEM*")),
}


def explanation(peer: str, title: str) -> str | None:
    """The reason why something fails with a peer."""
    for reason, (name, patterns) in EXPLANATIONS.items():
        if name == peer and any(fnmatchcase(title, pattern) for pattern in patterns):
            return reason
    return None
