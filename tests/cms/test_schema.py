"""All that the engine writes is read by the declarative schema: the same values, and the same octets written again."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smime_engine.asn1 import oids
from smime_engine.cms.compressed import compress
from smime_engine.cms.enveloped import parse_envelope
from smime_engine.cms.sealing import Encryptor
from smime_engine.cms.several_signers import sign_with
from smime_engine.cms.signed import SignedData, parse_signed_data
from smime_engine.cms.signed_data_writer import certificates_only
from smime_engine.cms.signer import SignedAttributes
from tests.cms import addressees
from tests.cms.signers import CONTENT, KINDS, credential, signer
from tests.reference import cms_schema as schema

NOW = datetime(2026, 6, 1, 12, 0, 0, tzinfo=UTC)


def _same_signed_data(data: bytes) -> tuple[Any, SignedData]:
    declared, ours = schema.content_of(schema.SignedData, data), parse_signed_data(data)
    encapsulated = declared.encapsulated
    assert encapsulated.content_type.dotted_string == ours.content_type
    assert encapsulated.content == (None if ours.content is None else bytes(ours.content))
    assert declared.version == ours.version
    assert [schema.octets(entry) for entry in declared.certificates or ()] == list(ours.certificates)
    assert [schema.octets(entry) for entry in declared.digest_algorithms.as_list()] == list(ours.digest_algorithms)
    for info, signed in zip(declared.signer_infos.as_list(), ours.signers, strict=True):
        assert info.version == signed.version
        assert schema.octets(info.signer_identifier)[0] == (0x30 if signed.issuer_and_serial else 0x80)
        assert schema.octets(info.digest_algorithm) == signed.digest_algorithm
        assert schema.octets(info.signature_algorithm) == signed.signature_algorithm
        assert info.signature == signed.signature
        assert (info.signed_attributes is None) == (signed.signed_attributes is None)
        assert (info.unsigned_attributes is None) == (signed.unsigned_attributes is None)
    return declared, ours


@pytest.mark.parametrize("kind", KINDS)
@given(content=st.binary(max_size=100), detached=st.booleans(), by_key_identifier=st.booleans(), plain=st.booleans())
def test_signed_data(kind: str, content: bytes, detached: bool, by_key_identifier: bool, plain: bool) -> None:
    attributes = None if plain else SignedAttributes(signing_certificate=True)
    ours = signer(kind, by_key_identifier=by_key_identifier, attributes=attributes)
    _same_signed_data(ours.sign(content, now=NOW, detached=detached))


def test_several_signers_and_none() -> None:
    declared, ours = _same_signed_data(sign_with([signer("p256"), signer("rsa2048")], CONTENT, now=NOW))
    assert len(declared.signer_infos.as_list()) == len(ours.signers) == 2
    _same_signed_data(certificates_only([credential("p256").certificate_der]))


@pytest.mark.parametrize("cipher", ["aes256-cbc", "aes128-gcm", "chacha20-poly1305"])
@pytest.mark.parametrize("kind", addressees.KINDS)
def test_envelopes(kind: str, cipher: str) -> None:
    sealed = Encryptor([addressees.recipient(kind)], cipher=cipher).seal(CONTENT)
    ours = parse_envelope(sealed)
    authenticated = ours.kind == "auth-enveloped-data"
    declared: Any = schema.content_of(schema.AuthEnvelopedData if authenticated else schema.EnvelopedData, sealed)
    assert declared.version == ours.version
    assert declared.encrypted.content_type.dotted_string == ours.encrypted.content_type
    assert schema.octets(declared.encrypted.algorithm) == ours.encrypted.algorithm
    assert declared.encrypted.encrypted_content == bytes(ours.encrypted.ciphertext or b"")
    if authenticated:
        assert declared.mac == ours.tag
    (encoded,) = map(schema.octets, declared.recipient_infos.as_list())
    _same_recipient(encoded, ours.recipients[0])


def _same_recipient(encoded: bytes, ours: Any) -> None:
    if encoded[0] == 0xA3:  # a password recipient: see the schema
        return
    info: Any = schema.read(schema.RECIPIENT_INFOS[encoded[0]], encoded, tag=encoded[0])
    if encoded[0] == 0xA4:
        assert info.type.dotted_string == oids.ID_ORI_KEM
        info = schema.read(schema.KemRecipientInfo, schema.octets(info.value))
        assert (info.ciphertext, info.key_size) == (ours.ciphertext, ours.key_size)
    if encoded[0] == 0xA1:
        assert [entry.encrypted_key for entry in info.keys] == [entry.encrypted_key for entry in ours.keys]
    else:
        assert info.encrypted_key == ours.encrypted_key


@given(content=st.binary(max_size=1000))
def test_compressed_data(content: bytes) -> None:
    declared = schema.content_of(schema.CompressedData, compress(content))
    assert declared.encapsulated.content_type.dotted_string == oids.ID_DATA
    assert declared.version == 0
