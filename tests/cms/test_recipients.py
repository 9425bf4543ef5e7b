"""RecipientInfos: whatever the octets, an info; static originators; what reports say."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from smime_engine.asn1 import ber, oids
from smime_engine.cms.enveloped import open_envelope
from smime_engine.cms.opening import DecryptionKeys
from smime_engine.cms.recipients import (
    KeyAgreementRecipientInfo,
    OtherRecipientInfo,
    RecipientIdentifier,
    descriptions,
    parse_recipient_info,
)
from smime_engine.cms.sealing import Encryptor
from smime_engine.crypto.encryption_algorithms import CONTENT_CIPHERS, KEY_WRAPS
from smime_engine.crypto.key_management import agreement_key, wrap_key
from smime_engine.crypto.key_management_algorithms import KEY_AGREEMENTS
from smime_engine.errors import LimitExceeded, NoMatchingKey, UnsupportedAlgorithm
from smime_engine.keys import KeyRing
from smime_engine.limits import Limits
from tests.cms import addressees
from tests.cms.addressees import CONTENT


def _encoded(kind: str) -> bytes:
    encryptor = Encryptor([addressees.recipient(kind)])
    return encryptor._prepared[0](bytes(32))


@pytest.mark.parametrize("kind", addressees.KINDS)
def test_any_cut_and_any_change_is_an_info(kind: str) -> None:
    encoded = _encoded(kind)
    assert not isinstance(parse_recipient_info(encoded), OtherRecipientInfo)
    for end in range(0, len(encoded), 1 + len(encoded) // 300):
        assert isinstance(parse_recipient_info(encoded[:end]), OtherRecipientInfo)
    for place in range(0, len(encoded), 1 + len(encoded) // 300):
        for flip in (0x01, 0x20, 0x80):
            changed = encoded[:place] + bytes((encoded[place] ^ flip,)) + encoded[place + 1 :]
            assert all(isinstance(entry.identifier, str) for entry in descriptions(parse_recipient_info(changed)))


@given(
    st.binary(max_size=120),
    st.sampled_from([0x30, 0xA1, 0xA2, 0xA3, 0xA4, 0xA5]),
    st.sampled_from([b"", b"\x02\x01\x00", b"\x02\x01\x03\xa0\x04\x80\x02ab", oids.ID_ORI_KEM.tlv]),
)
def test_any_octets_are_an_info(data: bytes, tag: int, start: bytes) -> None:
    for encoded in (data, ber.encode(tag, start, data)):
        for entry in descriptions(parse_recipient_info(encoded)):
            assert entry.kind in {"key-transport", "key-agreement", "kem", "kek", "password", "other"}


def test_identifiers_for_people() -> None:
    assert RecipientIdentifier(None, b"\xab\xcd").text == "key abcd"
    certificate = addressees.identity("p256").certificate
    text = RecipientIdentifier(certificate.issuer_and_serial, None).text
    assert text == f"serial {certificate.serial_number:x} of CN=Root of the recipients"
    for odd in (b"", b"\x30\x00", b"\x30\x02\x05\x00"):
        assert RecipientIdentifier(odd, None).text == f"#{odd.hex()}"


def test_unknown_algorithms_are_named_in_reports() -> None:
    encoded = _encoded("rsa2048").replace(oids.RSA_ENCRYPTION.tlv, oids.ID_RSASSA_PSS.tlv)
    (entry,) = descriptions(parse_recipient_info(encoded))
    assert entry.key_algorithm == "id-RSASSA-PSS"


def _static(kind: str, *, originator: bytes) -> bytes:
    """A KeyAgreeRecipientInfo whose originator has a static key, as RFC 5753 section 3.1.1 allows."""
    sender, receiver = addressees.credential(kind, "Sender"), addressees.identity(kind)
    shared = sender.key.exchange(ec.ECDH(), addressees.credential(kind).key.public_key())
    scheme, wrap = KEY_AGREEMENTS["ecdh-sha256kdf"], KEY_WRAPS["aes256-wrap"]
    key = agreement_key(scheme, shared, wrap, wrap.identifier, b"fresh material")
    encrypted = ber.encode(0x04, wrap_key(wrap, key, bytes(range(32))))
    ukm = ber.encode(0xA1, ber.encode(0x04, b"fresh material"))
    algorithm = ber.encode(0x30, scheme.oid.tlv, wrap.identifier)
    entries = ber.encode(0x30, ber.encode(0x30, receiver.certificate.issuer_and_serial, encrypted))
    return ber.encode(0xA1, b"\x02\x01\x03", ber.encode(0xA0, originator), ukm, algorithm, entries)


@pytest.mark.parametrize("by_key_identifier", [False, True])
def test_static_originators(by_key_identifier: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    sender = addressees.identity("p256", "Sender").certificate
    identifier = sender.issuer_and_serial
    if by_key_identifier:
        assert sender.subject_key_identifier is not None
        identifier = ber.encode(0x80, sender.subject_key_identifier)
    monkeypatch.setattr("smime_engine.cms.sealing.content_key", lambda _: bytes(range(32)))
    keys = addressees.keys("p256")

    def sealed(*certificates: bytes) -> bytes:
        encryptor = Encryptor([addressees.recipient("p256")], originator_certificates=certificates)
        encryptor._prepared = (lambda _: _static("p256", originator=identifier),)
        return encryptor.seal(CONTENT)

    assert open_envelope(sealed(sender.der), keys).content == CONTENT
    assert open_envelope(sealed(b"\x30\x00", sender.der), keys).content == CONTENT
    given_certificates = DecryptionKeys(ring=keys.ring, certificates=(sender,))
    assert open_envelope(sealed(), given_certificates).content == CONTENT
    with pytest.raises(NoMatchingKey):  # the sender's certificate is not known
        open_envelope(sealed(), keys)


def test_several_recipients_of_one_agreement() -> None:
    """One ephemeral key for several people, as RFC 5753 allows: only the right one's entry is used."""
    own, other = _encoded("p256"), Encryptor([addressees.recipient("p256", "Other")])._prepared[0](bytes(32))
    parsed, others = parse_recipient_info(own), parse_recipient_info(other)
    assert isinstance(parsed, KeyAgreementRecipientInfo)
    assert isinstance(others, KeyAgreementRecipientInfo)
    joined = parsed._replace(keys=(*others.keys, *parsed.keys))
    assert [entry.kind for entry in descriptions(joined)] == ["key-agreement"] * 2
    assert len({entry.identifier for entry in descriptions(joined)}) == 2


def test_recipients_inside_of_agreements_count() -> None:
    encryptor = Encryptor([addressees.recipient("p256")])
    (prepared,) = encryptor._prepared

    def many(secret: bytes) -> bytes:
        info = prepared(secret)
        start, end = ber.content(info, 0, len(info), 0xA1, expected="")
        *fields, (_, _, first, last) = ber.children(info, start, end)
        entries = ber.encode(0x30, info[first:last] * 30)
        return ber.encode(0xA1, info[start : fields[-1][3]], entries)

    encryptor._prepared = (many,)
    sealed = encryptor.seal(CONTENT)
    assert open_envelope(sealed, addressees.keys("p256")).content == CONTENT
    with pytest.raises(LimitExceeded):
        open_envelope(sealed, addressees.keys("p256"), limits=Limits(recipients=29))


def test_when_only_algorithms_stand_in_the_way() -> None:
    encryptor = Encryptor([addressees.recipient("rsa2048")])
    (prepared,) = encryptor._prepared
    encryptor._prepared = (lambda secret: prepared(secret).replace(oids.RSA_ENCRYPTION.tlv, oids.ID_RSASSA_PSS.tlv),)
    for keys in (addressees.keys("rsa2048"), DecryptionKeys(ring=KeyRing())):
        with pytest.raises(UnsupportedAlgorithm) as caught:
            open_envelope(encryptor.seal(CONTENT), keys)
        assert caught.value.identifier == "id-RSASSA-PSS"


def test_ciphers_have_names_that_settings_can_hold() -> None:
    assert all(name == name.lower() and " " not in name for name in CONTENT_CIPHERS)
