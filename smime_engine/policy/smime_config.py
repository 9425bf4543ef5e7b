"""The tenant's S/MIME settings: everything that Set-SmimeConfig sets and Get-SmimeConfig shows.

Does: the settings as an immutable value, changes by name with Exchange's checks, JSON. Does not: describe the
parameters (`smime_parameters.py`), store them (`sources`) or import the certificate collection (`trust.collection`).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum

from smime_engine.errors import ConfigurationError
from smime_engine.policy.algorithm_lists import ENCRYPTION, SIGNING, Algorithm, algorithm_list
from smime_engine.policy.smime_parameters import LARGEST_UINT32, PARAMETERS, Kind, Parameter, Value, base64_value

__all__ = [
    "BccForking",
    "SmimeConfig",
    "changed",
    "parameter_named",
    "smime_config_from_json",
    "smime_config_to_json",
]


class BccForking(Enum):
    """OWABCCEncryptedEmailForking: how an encrypted message reaches Bcc recipients."""

    EACH = 0
    """One encrypted message for each Bcc recipient."""
    TOGETHER = 1
    """One encrypted message for all Bcc recipients."""
    NONE = 2
    """One encrypted message for everybody: To and Cc recipients can see that there are Bcc recipients, and whose."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SmimeConfig:
    """The settings of one tenant. Each field is described in PARAMETERS; times are in milliseconds."""

    owa_allow_user_choice_of_signing_certificate: bool = False
    owa_always_encrypt: bool = False
    owa_always_sign: bool = False
    owa_bcc_encrypted_email_forking: int = 0
    owa_check_crl_on_send: bool = False
    owa_clear_sign: bool = True
    owa_copy_recipient_headers: bool | None = None
    owa_crl_connection_timeout: int = 60_000
    owa_crl_retrieval_timeout: int = 10_000
    owa_disable_crl_check: bool = False
    owa_dl_expansion_timeout: int = 60_000
    owa_encryption_algorithms: str = "6610"
    owa_encrypt_temporary_buffers: bool = True
    owa_force_smime_client_upgrade: bool = True
    owa_include_certificate_chain_and_root_certificate: bool = False
    owa_include_certificate_chain_without_root_certificate: bool = False
    owa_include_smime_capabilities_in_message: bool = False
    owa_only_use_smart_card: bool = False
    owa_sender_certificate_attributes_to_display: str | None = None
    owa_signed_email_certificate_inclusion: bool = True
    owa_signing_algorithms: str = "8004"
    owa_triple_wrap_signed_encrypted_mail: bool = False
    owa_use_key_identifier: bool = False
    owa_use_secondary_proxies_when_finding_certificates: bool = True
    no_sign_on_reply: bool = True
    smime_certificate_issuing_ca: bytes | None = None

    @property
    def bcc_forking(self) -> BccForking:
        """OWABCCEncryptedEmailForking as a name."""
        return BccForking(self.owa_bcc_encrypted_email_forking)

    @property
    def encryption_algorithms(self) -> tuple[Algorithm, ...]:
        """OWAEncryptionAlgorithms resolved, most preferred first."""
        return algorithm_list(self.owa_encryption_algorithms, ENCRYPTION)

    @property
    def signing_algorithms(self) -> tuple[Algorithm, ...]:
        """OWASigningAlgorithms resolved, most preferred first."""
        return algorithm_list(self.owa_signing_algorithms, SIGNING)

    @property
    def sender_attributes_to_display(self) -> tuple[str, ...]:
        """OWASenderCertificateAttributesToDisplay as dotted identifiers."""
        text = self.owa_sender_certificate_attributes_to_display or ""
        return tuple(part.strip() for part in text.split(",") if part.strip())


_BY_NAME = {spelling: row for row in PARAMETERS for spelling in (row.exchange_name.lower(), row.name)}


def parameter_named(name: str) -> Parameter:
    """Find a parameter: `OWAAlwaysSign` in any case, with or without `-`, or `--owa-always-sign`."""
    row = _BY_NAME.get(name.lstrip("-").replace("-", "_").lower())
    if row is None:
        raise ConfigurationError(f"{name} is no parameter of Set-SmimeConfig")
    return row


def changed(config: SmimeConfig, values: Mapping[str, Value]) -> tuple[SmimeConfig, tuple[str, ...]]:
    """Set parameters (by any name that `parameter_named` takes) -> (new settings, warnings).

    A malformed algorithm list becomes the default with a warning, as in Exchange. Everything else that does not fit
    raises ConfigurationError and changes nothing.
    """
    rows = {parameter_named(name): value for name, value in values.items()}
    warnings: list[str] = []
    updates = {row.name: _checked(row, value, warnings) for row, value in rows.items()}
    return replace(config, **updates), tuple(warnings)  # type: ignore[arg-type]  # the table's types are the fields'


_LISTS = {"owa_encryption_algorithms": ENCRYPTION, "owa_signing_algorithms": SIGNING}
_TYPES: dict[Kind, type] = {Kind.BOOLEAN: bool, Kind.UINT32: int, Kind.STRING: str, Kind.BYTES: bytes}


def _checked(row: Parameter, value: Value, warnings: list[str]) -> Value:
    if value is None or value == "":
        return row.default
    if type(value) is not _TYPES[row.kind]:
        raise ConfigurationError(f"{row.exchange_name} is a {row.kind.value}, not {type(value).__name__}")
    if isinstance(value, int) and not 0 <= value <= LARGEST_UINT32:
        raise ConfigurationError(f"{row.exchange_name} takes a number from 0 to {LARGEST_UINT32}")
    if row.name == "owa_bcc_encrypted_email_forking" and value not in {forking.value for forking in BccForking}:
        raise ConfigurationError(f"{row.exchange_name} is 0, 1 or 2, not {value!r}")
    if row.name in _LISTS and isinstance(value, str):
        try:
            algorithm_list(value, _LISTS[row.name])
        except ConfigurationError as error:
            warnings.append(f"{row.exchange_name}: {error}; the default {row.default!r} is used")
            return row.default
    return value


def smime_config_to_json(config: SmimeConfig) -> str:
    """Write settings as JSON under Exchange's names; the collection as base64. Read by `smime_config_from_json`."""
    values = {row.exchange_name: getattr(config, row.name) for row in PARAMETERS}
    shown = {
        name: base64.b64encode(value).decode() if isinstance(value, bytes) else value for name, value in values.items()
    }
    return json.dumps(shown, indent=2)


def smime_config_from_json(text: str | bytes) -> tuple[SmimeConfig, tuple[str, ...]]:
    """Read settings -> (settings, warnings). Missing parameters have their defaults; unknown ones are errors."""
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"the S/MIME settings are no JSON: {error}") from error
    if not isinstance(values, dict):
        raise ConfigurationError("the S/MIME settings are no JSON object")
    rows = {parameter_named(name): value for name, value in values.items()}
    return changed(
        SmimeConfig(),
        {
            row.name: base64_value(row.exchange_name, value)
            if row.kind is Kind.BYTES and isinstance(value, str)
            else value
            for row, value in rows.items()
        },
    )
