"""The people of the engine's tests: Alice signs, Bob receives, Mallory has a certificate of the same authority."""

from __future__ import annotations

from functools import cache

from smime_engine import Certificate, Identity, KeyRing, MessageSigner, TrustCollection, load_identity
from tests import pki

MESSAGE = (
    b"From: Alice <alice@example.org>\r\n"
    b"To: bob@example.org\r\n"
    b"Subject: the contract\r\n"
    b"Date: Mon, 1 Jun 2026 12:00:00 +0000\r\n"
    b"MIME-Version: 1.0\r\n"
    b"Content-Type: text/plain; charset=us-ascii\r\n"
    b"\r\n"
    b"We agree.\r\n"
)
CONTENT = b"Content-Type: text/plain; charset=us-ascii\r\n\r\nWe agree.\r\n"


@cache
def authority() -> pki.Authority:
    """An intermediate authority under a root."""
    return pki.authority("Engine Root").subordinate("Engine CA")


def identity(name: str, *, kind: str = "p256", usage: str = "sign") -> Identity:
    """`alice` has the address alice@example.org, and so on; the same identity each time."""
    return _identity(name, kind, usage)


@cache
def _identity(name: str, kind: str, usage: str) -> Identity:
    holder = authority().issue(f"{name} {usage}", f"{name}@example.org", kind=kind, usage=usage)
    return load_identity(holder.pem())


@cache
def trust() -> TrustCollection:
    """The root alone is trusted."""
    return TrustCollection([Certificate.parse(authority().root_der)])


@cache
def signer(name: str, *, kind: str = "p256", clear: bool = True) -> MessageSigner:
    """A signer with the chain."""
    holder = identity(name, kind=kind)
    return MessageSigner(holder.key, holder.certificate, chain=holder.chain, clear=clear)


@cache
def ring(name: str, *, kind: str = "rsa2048") -> KeyRing:
    """The decryption keys of somebody."""
    return KeyRing([identity(name, kind=kind, usage="encrypt")])
