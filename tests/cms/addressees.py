"""Recipients of every kind for the tests of this folder, made once per process."""

from __future__ import annotations

from functools import cache

from smime_engine.asn1 import oids
from smime_engine.certificate import Certificate
from smime_engine.cms.addressing import KekRecipient, PasswordRecipient, Recipient, recipient_for
from smime_engine.cms.opening import DecryptionKeys, KeyEncryptionKey
from smime_engine.keys import Identity, InMemoryKey, KeyRing
from tests import pki

CERTIFIED = (
    "rsa2048",
    "p256",
    "p384",
    "p521",
    "brainpool256",
    "brainpool384",
    "brainpool512",
    "x25519",
    "x448",
    "mlkem768",
    "mlkem1024",
)
"""Kinds of keys that certificates of recipients have."""

KINDS = (*CERTIFIED, "kek", "password")
PASSWORD = b"correct horse"
SHARED_KEY = KeyEncryptionKey(identifier=b"shared", key=bytes(range(32)))
CONTENT = b"Content-Type: text/plain\r\n\r\n" + b"A line of the message that is encrypted.\r\n" * 50


@cache
def authority() -> pki.Authority:
    return pki.authority("Root of the recipients")


def credential(kind: str, name: str = "Recipient") -> pki.Credential:
    return _credential(kind, name)


@cache
def _credential(kind: str, name: str) -> pki.Credential:
    return authority().issue(f"{name} {kind}", f"{name}.{kind}@example.org".lower(), kind=kind, usage="encrypt")


def identity(kind: str, name: str = "Recipient") -> Identity:
    return _identity(kind, name)


@cache
def _identity(kind: str, name: str) -> Identity:
    holder = _credential(kind, name)
    return Identity(key=InMemoryKey(holder.key), certificate=Certificate.parse(holder.certificate_der))


def recipient(kind: str, name: str = "Recipient") -> Recipient:
    if kind == "kek":
        return KekRecipient(key_encryption_key=SHARED_KEY)
    if kind == "password":
        return PasswordRecipient(password=PASSWORD, iterations=1000)
    return recipient_for(identity(kind, name).certificate)


def keys(*kinds: str, name: str = "Recipient") -> DecryptionKeys:
    """The keys of the recipients of these kinds, and no others."""
    certified = [identity(kind, name) for kind in kinds if kind in CERTIFIED]
    return DecryptionKeys(
        ring=KeyRing(certified),
        passwords=(PASSWORD,) if "password" in kinds else (),
        key_encryption_keys=(SHARED_KEY,) if "kek" in kinds else (),
    )


def with_bad_padding(sealed: bytes) -> bytes:
    """The IV of AES-256-CBC changed, so that a single block with more than one octet of padding is padded wrong."""
    last_of_iv = sealed.index(oids.ID_AES256_CBC.tlv) + len(oids.ID_AES256_CBC.tlv) + 2 + 15
    return sealed[:last_of_iv] + bytes((sealed[last_of_iv] ^ 1,)) + sealed[last_of_iv + 1 :]
