"""The table of all parameters of Set-SmimeConfig and Get-SmimeConfig.

One row says everything about a parameter: Exchange's name, ours, type, default, meaning, and what of this system it
changes or why it changes nothing. `smime_config.py` makes a value of the settings.

Source: Microsoft's reference of Set-SmimeConfig. Its "Default value: None" means the defaults that its prose gives.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from enum import Enum

from smime_engine.errors import ConfigurationError

__all__ = ["LARGEST_UINT32", "PARAMETERS", "Kind", "Parameter", "Value", "base64_value"]

Value = bool | int | str | bytes | None


class Kind(Enum):
    """The type of a parameter; the value is Exchange's name for it."""

    BOOLEAN = "Boolean"
    UINT32 = "UInt32"
    STRING = "String"
    BYTES = "Byte[]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One row of the table."""

    exchange_name: str
    name: str
    """The field of SmimeConfig."""

    kind: Kind
    default: Value
    """What is in force when nobody set it."""

    meaning: str
    acts: str = ""
    """What of this system it changes; empty where it changes nothing."""

    why_not: str = ""
    """Why it changes nothing."""

    @property
    def option(self) -> str:
        """The option of our command line, `--owa-always-sign`."""
        return "--" + self.name.replace("_", "-")

    def parse(self, text: str) -> Value:
        """Read a value as either command line writes it: `true`, `$true`, `True`, 1; `$null` or nothing is unset.

        Raises ConfigurationError with the parameter's name and what it takes.
        """
        if text.strip().lower() in {"$null", "null", ""}:
            return self.default
        value: Value = _READERS[self.kind](self.exchange_name, text.strip())
        return value


_BOOLEANS = {"true": True, "$true": True, "1": True, "false": False, "$false": False, "0": False}
LARGEST_UINT32 = 0xFFFF_FFFF


def _boolean(name: str, text: str) -> bool:
    value = _BOOLEANS.get(text.lower())
    if value is None:
        raise ConfigurationError(f"{name} takes true or false (or $true, $false), not {text!r}")
    return value


def _uint32(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and int(text) <= LARGEST_UINT32):
        raise ConfigurationError(f"{name} takes a number from 0 to {LARGEST_UINT32}, not {text!r}")
    return int(text)


def base64_value(name: str, text: str) -> bytes:
    """Read the value of a Byte[] parameter. Raises ConfigurationError with the parameter's name."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ConfigurationError(f"{name} takes the content of an SST file (base64 in JSON)") from error


_READERS = {Kind.BOOLEAN: _boolean, Kind.UINT32: _uint32, Kind.STRING: lambda _, text: text, Kind.BYTES: base64_value}


def _row(
    exchange_name: str, name: str, kind: Kind, default: Value, meaning: str, *, acts: str = "", why_not: str = ""
) -> Parameter:
    return Parameter(
        exchange_name=exchange_name, name=name, kind=kind, default=default, meaning=meaning, acts=acts, why_not=why_not
    )


_B, _U, _S = Kind.BOOLEAN, Kind.UINT32, Kind.STRING

PARAMETERS: tuple[Parameter, ...] = (
    _row(
        "OWAAllowUserChoiceOfSigningCertificate",
        "owa_allow_user_choice_of_signing_certificate",
        _B,
        False,
        "true: the user picks the signing certificate; false: the eligible one with the latest NotBefore is taken",
        acts="policy.signing_choice: choose_signing_certificate",
    ),
    _row(
        "OWAAlwaysEncrypt",
        "owa_always_encrypt",
        _B,
        False,
        "true: every message that leaves is encrypted",
        acts="policy.rules: rules_from_smime_config",
    ),
    _row(
        "OWAAlwaysSign",
        "owa_always_sign",
        _B,
        False,
        "true: every message that leaves is signed",
        acts="policy.rules: rules_from_smime_config",
    ),
    _row(
        "OWABCCEncryptedEmailForking",
        "owa_bcc_encrypted_email_forking",
        _U,
        0,
        "0: one encrypted message per Bcc recipient; 1: one for all Bcc recipients; 2: one for everybody",
        acts="policy.rules: rules_from_smime_config",
    ),
    _row(
        "OWACheckCRLOnSend",
        "owa_check_crl_on_send",
        _B,
        False,
        "true: sending is refused while a revocation list of a certificate that is used cannot be fetched",
        acts="policy.revocation_rules: the mode for sending",
    ),
    _row(
        "OWAClearSign",
        "owa_clear_sign",
        _B,
        True,
        "true: multipart/signed, readable without S/MIME; false: opaque application/pkcs7-mime",
        acts="policy.rules: rules_from_smime_config",
    ),
    _row(
        "OWACopyRecipientHeaders",
        "owa_copy_recipient_headers",
        _B,
        None,
        "reserved for Microsoft's own use",
        why_not="Microsoft does not say what it does; it is kept and shown, as hybrid set-ups copy it",
    ),
    _row(
        "OWACRLConnectionTimeout",
        "owa_crl_connection_timeout",
        _U,
        60_000,
        "milliseconds for fetching one revocation list; one failure fails the operation",
        acts="policy.revocation_rules: time limit of one fetch",
    ),
    _row(
        "OWACRLRetrievalTimeout",
        "owa_crl_retrieval_timeout",
        _U,
        10_000,
        "milliseconds for all revocation lists of one operation together; where it is shorter than the limit for one "
        "list, as by default, it wins",
        acts="policy.revocation_rules: time limit of all fetches",
    ),
    _row(
        "OWADisableCRLCheck",
        "owa_disable_crl_check",
        _B,
        False,
        "true: revocation is not checked at all",
        acts="policy.revocation_rules: both modes",
    ),
    _row(
        "OWADLExpansionTimeout",
        "owa_dl_expansion_timeout",
        _U,
        60_000,
        "milliseconds for expanding one distribution list; when they have passed the message is not sent",
        acts="sources.directories: time limit of expanding groups",
    ),
    _row(
        "OWAEncryptionAlgorithms",
        "owa_encryption_algorithms",
        _S,
        "6610",
        "ciphers by preference: ALG_ID[:bits][,OID] joined by semicolons; unset or malformed is 6610 (AES-256)",
        acts="policy.preferences: cipher_preference",
    ),
    _row(
        "OWAEncryptTemporaryBuffers",
        "owa_encrypt_temporary_buffers",
        _B,
        True,
        "true: the client control encrypts its temporary buffers",
        why_not="a setting of the Windows control's own process; this engine keeps no temporary files",
    ),
    _row(
        "OWAForceSMIMEClientUpgrade",
        "owa_force_smime_client_upgrade",
        _B,
        True,
        "true: an outdated client control must be upgraded before it can be used",
        why_not="this system has no client control whose version could be outdated",
    ),
    _row(
        "OWAIncludeCertificateChainAndRootCertificate",
        "owa_include_certificate_chain_and_root_certificate",
        _B,
        False,
        "true: signed messages carry the whole chain with its root",
        acts="policy.rules: rules_from_smime_config",
    ),
    _row(
        "OWAIncludeCertificateChainWithoutRootCertificate",
        "owa_include_certificate_chain_without_root_certificate",
        _B,
        False,
        "true: signed messages carry the chain without its root; false: the user's certificates alone",
        acts="policy.rules: rules_from_smime_config",
    ),
    _row(
        "OWAIncludeSMIMECapabilitiesInMessage",
        "owa_include_smime_capabilities_in_message",
        _B,
        False,
        "true: signed messages announce the ciphers that their sender can read",
        acts="policy.rules: rules_from_smime_config",
    ),
    _row(
        "OWAOnlyUseSmartCard",
        "owa_only_use_smart_card",
        _B,
        False,
        "true: only keys on smart cards may sign and decrypt",
        acts="sources.store.keys: allowed_keys",
    ),
    _row(
        "OWASenderCertificateAttributesToDisplay",
        "owa_sender_certificate_attributes_to_display",
        _S,
        None,
        "identifiers, joined by commas, of certificate attributes that are shown when sender and certificate differ",
        acts="policy.sender_attributes: sender_attributes",
    ),
    _row(
        "OWASignedEmailCertificateInclusion",
        "owa_signed_email_certificate_inclusion",
        _B,
        True,
        "true: signed messages carry the sender's signing and encryption certificates; false: neither",
        acts="policy.rules: rules_from_smime_config",
    ),
    _row(
        "OWASigningAlgorithms",
        "owa_signing_algorithms",
        _S,
        "8004",
        "digests by preference: ALG_ID[,OID] joined by semicolons; unset or malformed is 8004 (SHA-1)",
        acts="policy.preferences: digest_preference",
    ),
    _row(
        "OWATripleWrapSignedEncryptedMail",
        "owa_triple_wrap_signed_encrypted_mail",
        _B,
        False,
        "true: messages that are signed and encrypted are signed once more outside",
        acts="policy.rules: rules_from_smime_config",
    ),
    _row(
        "OWAUseKeyIdentifier",
        "owa_use_key_identifier",
        _B,
        False,
        "true: encrypted messages name their recipients by subject key identifier, not by issuer and serial number",
        acts="policy.rules: rules_from_smime_config",
    ),
    _row(
        "OWAUseSecondaryProxiesWhenFindingCertificates",
        "owa_use_secondary_proxies_when_finding_certificates",
        _B,
        True,
        "true: a certificate also fits when it names a secondary address of its owner",
        acts="engine.recipient_plan: choice_policy",
    ),
    _row(
        "NoSignOnReply",
        "no_sign_on_reply",
        _B,
        True,
        "true: a reply to a signed message is not signed for that reason (new Outlook for Windows alone)",
        why_not="no part of this system signs a reply because the message that it answers was signed",
    ),
    _row(
        "SMIMECertificateIssuingCA",
        "smime_certificate_issuing_ca",
        Kind.BYTES,
        None,
        "the collection of trusted certificates as the content of an SST file; an expired one fails the operation",
        acts="trust.collection_files: import_collection",
    ),
)
"""Every parameter of Set-SmimeConfig, in the order of Microsoft's reference."""
