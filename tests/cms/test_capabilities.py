"""SMIMECapabilities: round trips, other people's habits, certificates that announce them."""

from __future__ import annotations

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from smime_engine.asn1 import ber, oids
from smime_engine.certificate import Certificate
from smime_engine.cms.capabilities import (
    DEFAULT_CAPABILITIES,
    Capability,
    announced_ciphers,
    certificate_capabilities,
    cipher_capability,
    encode_capabilities,
    parse_capabilities,
)
from smime_engine.crypto.encryption_algorithms import CONTENT_CIPHERS
from smime_engine.errors import LimitExceeded, MalformedMessage
from tests import pki


def test_the_default_round_trips() -> None:
    encoded = encode_capabilities(DEFAULT_CAPABILITIES)
    assert parse_capabilities(encoded) == DEFAULT_CAPABILITIES
    assert announced_ciphers(DEFAULT_CAPABILITIES)[0] == "aes256-gcm"
    assert not any("rc2" in name for name in announced_ciphers(DEFAULT_CAPABILITIES))


def test_the_default_is_der() -> None:
    encoded = encode_capabilities(DEFAULT_CAPABILITIES)
    assert ber.to_der(encoded) is encoded


@pytest.mark.parametrize("cipher", CONTENT_CIPHERS.values(), ids=lambda cipher: cipher.name)
def test_every_cipher_can_be_announced(cipher: object) -> None:
    capability = cipher_capability(cipher)  # type: ignore[arg-type]
    read = parse_capabilities(encode_capabilities((capability,)))
    assert announced_ciphers(read) == (cipher.name,)  # type: ignore[attr-defined]


def test_rc2_is_announced_with_its_bits() -> None:
    entries = (
        Capability(oids.DES_EDE3_CBC),
        Capability(oids.RC2_CBC, b"\x02\x02\x00\x80"),
        Capability(oids.RC2_CBC, b"\x02\x01\x40"),
        Capability(oids.DES_CBC),
        Capability(oids.RC2_CBC, b"\x02\x01\x28"),
    )
    read = parse_capabilities(encode_capabilities(entries))
    assert announced_ciphers(read) == ("des-ede3-cbc", "rc2-128-cbc", "rc2-64-cbc", "des-cbc", "rc2-40-cbc")


def test_unknown_entries_and_null_parameters() -> None:
    unknown = Capability("1.2.3.4", b"\x04\x01x")
    read = parse_capabilities(encode_capabilities((unknown, Capability(oids.ID_AES256_CBC, b"\x05\x00"))))
    assert read[0] == unknown
    assert announced_ciphers((*read, Capability(oids.ID_AES256_CBC))) == ("aes256-cbc",)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\x30",
        b"\x31\x00",
        b"\x30\x02\x05\x00",
        b"\x30\x02\x30\x00",
        b"\x30\x04\x30\x02\x05\x00",
        b"\x30\x00\x00",
        ber.encode(0x30, ber.encode(0x30, oids.RC2_CBC.tlv, b"\x05\x00", b"\x05\x00")),
    ],
)
def test_malformed_values(value: bytes) -> None:
    with pytest.raises(MalformedMessage):
        parse_capabilities(value)


def test_too_many_entries() -> None:
    with pytest.raises(LimitExceeded):
        parse_capabilities(encode_capabilities((Capability(oids.ID_AES256_CBC),) * 201))


@given(st.binary(max_size=80))
def test_any_octets(data: bytes) -> None:
    for value in (data, ber.encode(0x30, data), ber.encode(0x30, ber.encode(0x30, data))):
        try:
            read = parse_capabilities(value)
        except MalformedMessage:
            continue
        assert encode_capabilities(read) == value


def test_capabilities_of_certificates() -> None:
    root = pki.authority("Root of capabilities")

    def certificate(*values: bytes) -> Certificate:
        identifier = x509.ObjectIdentifier(oids.SMIME_CAPABILITIES)
        extra = [(x509.UnrecognizedExtension(identifier, value), False) for value in values]
        return Certificate.parse(root.issue("Announcer", extra=extra).certificate_der)

    assert certificate_capabilities(certificate()) is None
    assert certificate_capabilities(certificate(b"rubbish")) is None
    assert certificate_capabilities(certificate(encode_capabilities(DEFAULT_CAPABILITIES))) == DEFAULT_CAPABILITIES
