"""The tenant's settings: the table against the documentation's defaults, both spellings, lists, JSON."""

from __future__ import annotations

import importlib
import json
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smime_engine.errors import ConfigurationError
from smime_engine.policy.algorithm_lists import ENCRYPTION, SIGNING, algorithm_list
from smime_engine.policy.smime_config import (
    BccForking,
    SmimeConfig,
    changed,
    parameter_named,
    smime_config_from_json,
    smime_config_to_json,
)
from smime_engine.policy.smime_parameters import PARAMETERS, Kind, Parameter
from tests.surroundings import REPOSITORY

# Exchange's name -> type, default: what Microsoft's reference says in its prose, written down a second time.
DOCUMENTED = {
    "OWAAllowUserChoiceOfSigningCertificate": ("Boolean", False),
    "OWAAlwaysEncrypt": ("Boolean", False),
    "OWAAlwaysSign": ("Boolean", False),
    "OWABCCEncryptedEmailForking": ("UInt32", 0),
    "OWACheckCRLOnSend": ("Boolean", False),
    "OWAClearSign": ("Boolean", True),
    "OWACopyRecipientHeaders": ("Boolean", None),
    "OWACRLConnectionTimeout": ("UInt32", 60000),
    "OWACRLRetrievalTimeout": ("UInt32", 10000),
    "OWADisableCRLCheck": ("Boolean", False),
    "OWADLExpansionTimeout": ("UInt32", 60000),
    "OWAEncryptionAlgorithms": ("String", "6610"),
    "OWAEncryptTemporaryBuffers": ("Boolean", True),
    "OWAForceSMIMEClientUpgrade": ("Boolean", True),
    "OWAIncludeCertificateChainAndRootCertificate": ("Boolean", False),
    "OWAIncludeCertificateChainWithoutRootCertificate": ("Boolean", False),
    "OWAIncludeSMIMECapabilitiesInMessage": ("Boolean", False),
    "OWAOnlyUseSmartCard": ("Boolean", False),
    "OWASenderCertificateAttributesToDisplay": ("String", None),
    "OWASignedEmailCertificateInclusion": ("Boolean", True),
    "OWASigningAlgorithms": ("String", "8004"),
    "OWATripleWrapSignedEncryptedMail": ("Boolean", False),
    "OWAUseKeyIdentifier": ("Boolean", False),
    "OWAUseSecondaryProxiesWhenFindingCertificates": ("Boolean", True),
    "NoSignOnReply": ("Boolean", True),
    "SMIMECertificateIssuingCA": ("Byte[]", None),
}


def test_the_table_has_every_documented_parameter_with_type_and_default() -> None:
    assert {row.exchange_name: (row.kind.value, row.default) for row in PARAMETERS} == DOCUMENTED


def test_the_value_has_the_fields_and_defaults_of_the_table() -> None:
    assert [field.name for field in fields(SmimeConfig)] == [row.name for row in PARAMETERS]
    config = SmimeConfig()
    assert {row.name: getattr(config, row.name) for row in PARAMETERS} == {row.name: row.default for row in PARAMETERS}


def test_every_parameter_says_what_it_changes_or_why_it_changes_nothing() -> None:
    for row in PARAMETERS:
        assert bool(row.acts) != bool(row.why_not), row.exchange_name
        assert row.meaning


PROOF = {
    "OWAAllowUserChoiceOfSigningCertificate": (
        "tests/policy/test_signing_choice.py",
        "test_the_users_choice_counts_where_the_tenant_allows_it",
    ),
    "OWAAlwaysEncrypt": ("tests/relay/test_encryption.py", "test_the_tenants_exchange_settings_are_a_layer_of_rules"),
    "OWAAlwaysSign": ("tests/policy/test_rules.py", "test_exchanges_settings"),
    "OWABCCEncryptedEmailForking": ("tests/engine/test_copies.py", "test_who_opens_which"),
    "OWACheckCRLOnSend": ("tests/engine/test_recipient_plan.py", "test_the_tenants_settings"),
    "OWAClearSign": ("tests/relay/test_encryption.py", "test_the_tenants_exchange_settings_are_a_layer_of_rules"),
    "OWACRLConnectionTimeout": ("tests/policy/test_revocation_rules.py", "test_the_total_time_wins"),
    "OWACRLRetrievalTimeout": ("tests/policy/test_revocation_rules.py", "test_the_total_time_wins"),
    "OWADisableCRLCheck": ("tests/policy/test_revocation_rules.py", "test_modes"),
    "OWADLExpansionTimeout": ("tests/sources/test_directories.py", "test_a_group_that_cannot_be_expanded_as_a_whole"),
    "OWAEncryptionAlgorithms": ("tests/policy/test_rules.py", "test_exchanges_algorithm_lists"),
    "OWAIncludeCertificateChainAndRootCertificate": ("tests/policy/test_rules.py", "test_exchanges_settings"),
    "OWAIncludeCertificateChainWithoutRootCertificate": ("tests/policy/test_rules.py", "test_exchanges_settings"),
    "OWAIncludeSMIMECapabilitiesInMessage": ("tests/policy/test_rules.py", "test_exchanges_settings"),
    "OWAOnlyUseSmartCard": (
        "tests/sources/test_store_keys.py",
        "test_with_smart_cards_alone_keys_in_files_neither_sign_nor_decrypt",
    ),
    "OWASenderCertificateAttributesToDisplay": (
        "tests/policy/test_sender_attributes.py",
        "test_wanted_attributes_that_are_there_in_the_order_wanted",
    ),
    "OWASignedEmailCertificateInclusion": ("tests/policy/test_rules.py", "test_exchanges_settings"),
    "OWASigningAlgorithms": ("tests/policy/test_rules.py", "test_exchanges_algorithm_lists"),
    "OWATripleWrapSignedEncryptedMail": (
        "tests/relay/test_encryption.py",
        "test_the_tenants_exchange_settings_are_a_layer_of_rules",
    ),
    "OWAUseKeyIdentifier": ("tests/policy/test_rules.py", "test_exchanges_settings"),
    "OWAUseSecondaryProxiesWhenFindingCertificates": (
        "tests/engine/test_recipient_plan.py",
        "test_the_tenants_settings",
    ),
    "SMIMECertificateIssuingCA": (
        "tests/trust/test_collection.py",
        "test_an_expired_certificate_fails_the_whole_import_and_is_named",
    ),
}
"""Parameter -> the test that shows it acting."""


@pytest.mark.parametrize("row", [row for row in PARAMETERS if row.acts], ids=lambda row: row.exchange_name)
def test_where_a_parameter_acts_is_a_module_and_a_test_shows_it(row: Parameter) -> None:
    module, _, what = row.acts.partition(": ")
    found = importlib.import_module(f"smime_engine.{module}")
    assert " " in what or hasattr(found, what)
    file, test = PROOF[row.exchange_name]
    assert f"def {test}(" in (REPOSITORY / file).read_text(encoding="utf-8")


def _table() -> str:
    lines = ["| parameter | type | default | acts in | shown by |", "|---|---|---|---|---|"]
    for row in PARAMETERS:
        default = "not set" if row.default is None else f"`{row.default}`"
        module, _, what = row.acts.partition(": ")
        acts = f"`{module}`: {what}" if row.acts else f"nothing: {row.why_not}"
        file, test = PROOF.get(row.exchange_name, ("", ""))
        shown = f"`{file}`: {test}" if file else ""
        lines.append(f"| {row.exchange_name} | {row.kind.value} | {default} | {acts} | {shown} |")
    return "\n".join(lines)


def test_the_page_says_so_too() -> None:
    page = (REPOSITORY / "docs" / "smime-config.md").read_text(encoding="utf-8")
    assert _table() in page, f"docs/smime-config.md should have:\n{_table()}"


@pytest.mark.parametrize("spelling", ["OWAAlwaysSign", "-owaalwayssign", "--owa-always-sign", "owa_always_sign"])
@pytest.mark.parametrize("value", ["true", "$true", "True", "$TRUE", "1"])
def test_both_spellings_of_names_and_values(spelling: str, value: str) -> None:
    row = parameter_named(spelling)
    config, warnings = changed(SmimeConfig(), {spelling: row.parse(value)})
    assert config.owa_always_sign is True
    assert warnings == ()


def test_unset_gives_the_default_back() -> None:
    row = parameter_named("OWAClearSign")
    config, _ = changed(SmimeConfig(owa_clear_sign=False), {row.name: row.parse("$null")})
    assert config.owa_clear_sign is True


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("OWAAlwaysSign", "perhaps"),
        ("OWAAlwaysSign", "2"),
        ("OWACRLRetrievalTimeout", "-1"),
        ("OWACRLRetrievalTimeout", "4294967296"),
        ("OWACRLRetrievalTimeout", "١"),
        ("OWACRLRetrievalTimeout", "1e3"),
        ("SMIMECertificateIssuingCA", "%%%"),
    ],
)
def test_values_that_do_not_fit_are_refused_by_name(name: str, text: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        parameter_named(name).parse(text)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OWAAlwaysSign", 1),
        ("OWAAlwaysSign", "true"),
        ("OWACRLRetrievalTimeout", True),
        ("OWACRLRetrievalTimeout", 1 << 32),
        ("OWABCCEncryptedEmailForking", 3),
        ("NoSuchSetting", True),
        ("SMIMECertificateIssuingCA", "text"),
    ],
)
def test_values_of_the_wrong_type_change_nothing(name: str, value: object) -> None:
    with pytest.raises(ConfigurationError, match=name):
        changed(SmimeConfig(), {name: value})  # type: ignore[dict-item]


def test_limits_of_uint32() -> None:
    row = parameter_named("OWACRLConnectionTimeout")
    assert row.parse("4294967295") == 4294967295
    assert row.parse("0") == 0


def test_forking_has_names() -> None:
    assert SmimeConfig(owa_bcc_encrypted_email_forking=1).bcc_forking is BccForking.TOGETHER


def test_lists_are_resolved_in_their_order() -> None:
    config = SmimeConfig(owa_encryption_algorithms="6603;6602:128;6602:64;6601;6602:56")
    assert [(entry.name, entry.bits) for entry in config.encryption_algorithms] == [
        ("des-ede3-cbc", 168),
        ("rc2-cbc", 128),
        ("rc2-cbc", 64),
        ("des-cbc", 56),
        ("rc2-cbc", 56),
    ]
    assert [entry.name for entry in SmimeConfig(owa_signing_algorithms="800E;8004;8003").signing_algorithms] == [
        "sha512",
        "sha1",
        "md5",
    ]


def test_a_list_may_name_a_custom_identifier() -> None:
    (entry,) = algorithm_list("800c, 1.3.6.1.4.1.1", SIGNING)
    assert (entry.identifier, entry.custom_oid) == ("800C", "1.3.6.1.4.1.1")


@pytest.mark.parametrize(
    "text",
    ["AES256", "6610;", ";6610", "6610 6603", "9999", "6610:128", "6602:41", "RC2:128", "6610,x", "6610,1", "8004"],
)
def test_a_malformed_list_becomes_the_default_with_a_warning(text: str) -> None:
    config, warnings = changed(SmimeConfig(owa_encryption_algorithms="6603"), {"OWAEncryptionAlgorithms": text})
    assert config.owa_encryption_algorithms == "6610"
    (warning,) = warnings
    assert warning.startswith("OWAEncryptionAlgorithms: ")


@given(st.text(max_size=40))
def test_any_text_is_a_list_or_a_configuration_error(text: str) -> None:
    try:
        entries = algorithm_list(text, ENCRYPTION)
    except ConfigurationError:
        return
    assert entries


def test_attributes_to_display_are_split_at_commas() -> None:
    config = SmimeConfig(owa_sender_certificate_attributes_to_display="2.5.4.3, 2.5.4.10")
    assert config.sender_attributes_to_display == ("2.5.4.3", "2.5.4.10")
    assert SmimeConfig().sender_attributes_to_display == ()


SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        row.name: {
            Kind.BOOLEAN: st.booleans(),
            Kind.UINT32: st.integers(0, 2),
            Kind.STRING: st.sampled_from(["2.5.4.3", "9.9"])
            if row.name.endswith("display")
            else st.just("6601" if "encryption" in row.name else "800E"),
            Kind.BYTES: st.binary(min_size=1),
        }[row.kind]
        for row in PARAMETERS
    },
)


@given(SETTINGS)
def test_json_gives_back_what_was_written(values: dict) -> None:
    config, warnings = changed(SmimeConfig(), values)
    assert warnings == ()
    text = smime_config_to_json(config)
    assert smime_config_from_json(text) == (config, ())
    assert list(json.loads(text)) == [row.exchange_name for row in PARAMETERS]


@pytest.mark.parametrize("text", ["", "[]", "{", '{"Nothing": 1}', '{"OWAAlwaysSign": "yes"}', "[" * 100_000])
def test_other_json_is_a_configuration_error(text: str) -> None:
    with pytest.raises(ConfigurationError):
        smime_config_from_json(text)
