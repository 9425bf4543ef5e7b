"""smime_engine: sign, verify, encrypt and decrypt Internet mail with S/MIME.

Everything that applications need is here; nothing else is promised to stay. Names are imported when they are first
used, so that a command which needs little starts fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from smime_engine.certificate import Certificate
    from smime_engine.certificate_bundle import certificates_from
    from smime_engine.cms.addressing import (
        KekRecipient,
        KemRecipient,
        KeyAgreementRecipient,
        KeyTransportRecipient,
        PasswordRecipient,
        recipient_for,
    )
    from smime_engine.cms.opening import DecryptionKeys
    from smime_engine.cms.signer import CmsSigner, SignedAttributes
    from smime_engine.directory.choosing import ChoicePolicy, choose_certificates
    from smime_engine.directory.entries import Answer, DirectoryEntry
    from smime_engine.directory.harvesting import harvest
    from smime_engine.directory.publishing import published_value
    from smime_engine.engine import (
        HeaderProtection,
        MessageCompressor,
        MessageEncryptor,
        MessageSigner,
        SealedCopy,
        open_cms,
        open_message,
        seal_copies,
        seal_message,
    )
    from smime_engine.engine.recipient_plan import choice_policy, plan_encryption
    from smime_engine.errors import (
        ConfigurationError,
        DecryptionFailed,
        InvalidKey,
        LimitExceeded,
        MalformedMessage,
        NoMatchingKey,
        NotValid,
        SmimeError,
        SourceUnavailable,
        UnsupportedAlgorithm,
    )
    from smime_engine.keys import Identity, InMemoryKey, KeyRing, PrivateKey, load_identities, load_identity
    from smime_engine.limits import Limits
    from smime_engine.policy.capabilities import Addressee, choose_encryption
    from smime_engine.policy.forking import Copy, Correspondent, plan_copies
    from smime_engine.policy.smime_config import BccForking
    from smime_engine.problems import Finding, Problem, Verdict
    from smime_engine.report import (
        CertificatesLayer,
        CompressedLayer,
        EncryptedLayer,
        OpenedMessage,
        SignatureReport,
        SignedLayer,
    )
    from smime_engine.trust.collection import TrustCollection
    from smime_engine.trust.path import Evidence, PathOptions, PathReport, Purpose, RevocationMode, validate_path

_HOMES = {
    "certificate": ("Certificate",),
    "certificate_bundle": ("certificates_from",),
    "cms.addressing": (
        "KekRecipient",
        "KemRecipient",
        "KeyAgreementRecipient",
        "KeyTransportRecipient",
        "PasswordRecipient",
        "recipient_for",
    ),
    "cms.opening": ("DecryptionKeys",),
    "cms.signer": ("CmsSigner", "SignedAttributes"),
    "directory.choosing": ("ChoicePolicy", "choose_certificates"),
    "directory.entries": ("Answer", "DirectoryEntry"),
    "directory.harvesting": ("harvest",),
    "directory.publishing": ("published_value",),
    "engine": (
        "HeaderProtection",
        "MessageCompressor",
        "MessageEncryptor",
        "MessageSigner",
        "SealedCopy",
        "open_cms",
        "open_message",
        "seal_copies",
        "seal_message",
    ),
    "engine.recipient_plan": ("choice_policy", "plan_encryption"),
    "errors": (
        "ConfigurationError",
        "DecryptionFailed",
        "InvalidKey",
        "LimitExceeded",
        "MalformedMessage",
        "NoMatchingKey",
        "NotValid",
        "SmimeError",
        "SourceUnavailable",
        "UnsupportedAlgorithm",
    ),
    "keys": ("Identity", "InMemoryKey", "KeyRing", "PrivateKey", "load_identities", "load_identity"),
    "limits": ("Limits",),
    "policy.capabilities": ("Addressee", "choose_encryption"),
    "policy.forking": ("Copy", "Correspondent", "plan_copies"),
    "policy.smime_config": ("BccForking",),
    "problems": ("Finding", "Problem", "Verdict"),
    "report": (
        "CertificatesLayer",
        "CompressedLayer",
        "EncryptedLayer",
        "OpenedMessage",
        "SignatureReport",
        "SignedLayer",
    ),
    "trust.collection": ("TrustCollection",),
    "trust.path": ("Evidence", "PathOptions", "PathReport", "Purpose", "RevocationMode", "validate_path"),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "Addressee",
    "Answer",
    "BccForking",
    "Certificate",
    "CertificatesLayer",
    "ChoicePolicy",
    "CmsSigner",
    "CompressedLayer",
    "ConfigurationError",
    "Copy",
    "Correspondent",
    "DecryptionFailed",
    "DecryptionKeys",
    "DirectoryEntry",
    "EncryptedLayer",
    "Evidence",
    "Finding",
    "HeaderProtection",
    "Identity",
    "InMemoryKey",
    "InvalidKey",
    "KekRecipient",
    "KemRecipient",
    "KeyAgreementRecipient",
    "KeyRing",
    "KeyTransportRecipient",
    "LimitExceeded",
    "Limits",
    "MalformedMessage",
    "MessageCompressor",
    "MessageEncryptor",
    "MessageSigner",
    "NoMatchingKey",
    "NotValid",
    "OpenedMessage",
    "PasswordRecipient",
    "PathOptions",
    "PathReport",
    "PrivateKey",
    "Problem",
    "Purpose",
    "RevocationMode",
    "SealedCopy",
    "SignatureReport",
    "SignedAttributes",
    "SignedLayer",
    "SmimeError",
    "SourceUnavailable",
    "TrustCollection",
    "UnsupportedAlgorithm",
    "Verdict",
    "certificates_from",
    "choice_policy",
    "choose_certificates",
    "choose_encryption",
    "harvest",
    "load_identities",
    "load_identity",
    "open_cms",
    "open_message",
    "plan_copies",
    "plan_encryption",
    "published_value",
    "recipient_for",
    "seal_copies",
    "seal_message",
    "validate_path",
]


def __getattr__(name: str) -> object:
    """Import a public name from its home."""
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
