"""The choice of ciphers, RSA schemes and key wraps by what recipients announce."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smime_engine.asn1 import oids
from smime_engine.certificate import Certificate
from smime_engine.cms.addressing import KemRecipient, KeyAgreementRecipient, KeyTransportRecipient
from smime_engine.cms.capabilities import DEFAULT_CAPABILITIES, Capability, announced_ciphers, cipher_capability
from smime_engine.cms.enveloped import open_envelope
from smime_engine.cms.sealing import Encryptor
from smime_engine.crypto.encryption_algorithms import CONTENT_CIPHERS, KEY_WRAPS
from smime_engine.crypto.key_management_algorithms import KEY_AGREEMENTS, PKCS1_V1_5, oaep
from smime_engine.errors import UnsupportedAlgorithm
from smime_engine.policy.capabilities import (
    ASSUMED,
    DEFAULT_PREFERENCE,
    Addressee,
    Choice,
    Reason,
    choose_encryption,
)
from tests.cms import addressees


def _certificate(kind: str = "rsa2048") -> Certificate:
    return addressees.identity(kind).certificate


def _announcing(*ciphers: str, kind: str = "rsa2048", also: tuple[Capability, ...] = ()) -> Addressee:
    capabilities = (*(cipher_capability(CONTENT_CIPHERS[name]) for name in ciphers), *also)
    return Addressee(certificate=_certificate(kind), capabilities=capabilities)


UNKNOWN = Addressee(certificate=addressees.identity("rsa2048").certificate)


def _reasons(choice: Choice) -> list[tuple[Reason, int | None]]:
    return [(explanation.reason, explanation.recipient) for explanation in choice.explanations]


def test_nothing_is_known() -> None:
    choice = choose_encryption([UNKNOWN, UNKNOWN])
    assert (choice.cipher, choice.derives_key, choice.may_be_unreadable) == ("aes256-cbc", False, ())
    assert _reasons(choice) == [
        (Reason.STRONGEST_COMMON, None),
        (Reason.NO_CAPABILITIES, 0),
        (Reason.NO_CAPABILITIES, 1),
    ]
    assert all(isinstance(entry, KeyTransportRecipient) and entry.scheme is PKCS1_V1_5 for entry in choice.recipients)


@pytest.mark.parametrize(
    ("announced", "expected"),
    [
        ((("aes128-cbc", "aes256-cbc"),), "aes256-cbc"),
        ((("aes128-cbc", "aes256-gcm"), ("aes128-gcm", "aes256-gcm")), "aes256-gcm"),
        ((("aes256-gcm", "aes128-cbc"), ("aes256-cbc", "aes128-cbc")), "aes128-cbc"),
        ((("aes256-gcm", "aes128-cbc"), None), "aes128-cbc"),
        ((("aes256-gcm", "aes256-cbc"), None), "aes256-cbc"),
        ((("aes256-gcm",), ()), "aes256-cbc"),
        ((("des-ede3-cbc", "rc2-40-cbc"),), "aes256-cbc"),
        ((("des-ede3-cbc",), ("aes256-cbc",)), "aes256-cbc"),
    ],
)
def test_the_strongest_common_cipher(announced: tuple[tuple[str, ...] | None, ...], expected: str) -> None:
    choice = choose_encryption([UNKNOWN if ciphers is None else _announcing(*ciphers) for ciphers in announced])
    assert choice.cipher == expected
    unreadable = tuple(place for place, ciphers in enumerate(announced) if ciphers and expected not in ciphers)
    assert choice.may_be_unreadable == unreadable


def test_weak_ciphers_only_where_the_caller_accepts_them() -> None:
    old = _announcing("des-ede3-cbc", "rc2-40-cbc")
    assert choose_encryption([old]).cipher == "aes256-cbc"
    accepted = (*DEFAULT_PREFERENCE, "des-ede3-cbc")
    assert choose_encryption([old], preference=accepted).cipher == "des-ede3-cbc"
    choice = choose_encryption([old, UNKNOWN], preference=accepted, assumed=(*ASSUMED, "des-ede3-cbc"))
    assert choice.cipher == "des-ede3-cbc"


def test_a_demanded_cipher_is_used_whatever_is_announced() -> None:
    choice = choose_encryption([_announcing("aes256-cbc"), UNKNOWN], demanded="rc2-40-cbc")
    assert choice.cipher == "rc2-40-cbc"
    assert (Reason.DEMANDED, None) in _reasons(choice)
    assert choice.may_be_unreadable == (0,)


def test_schemes_and_wraps_are_each_recipients_own() -> None:
    wrap = KEY_WRAPS["aes128-wrap"]
    announced = (
        Capability(oids.ID_RSAES_OAEP, oaep("sha256").identifier[2 + len(oids.ID_RSAES_OAEP.tlv) :]),
        Capability(KEY_AGREEMENTS["ecdh-sha256kdf"].oid, wrap.identifier),
    )
    choice = choose_encryption(
        [
            _announcing("aes128-cbc", also=announced),
            _announcing("aes128-cbc"),
            _announcing("aes128-cbc", kind="p256", also=announced),
            _announcing("aes128-cbc", kind="p256"),
            _announcing("aes128-cbc", kind="mlkem768"),
        ]
    )
    first, second, third, fourth, fifth = choice.recipients
    assert isinstance(first, KeyTransportRecipient)
    assert first.scheme == oaep("sha256")
    assert isinstance(second, KeyTransportRecipient)
    assert second.scheme is PKCS1_V1_5
    assert isinstance(third, KeyAgreementRecipient)
    assert third.wrap == "aes128-wrap"
    assert isinstance(fourth, KeyAgreementRecipient)
    assert not fourth.wrap
    assert isinstance(fifth, KemRecipient)
    assert (Reason.OAEP_ANNOUNCED, 0) in _reasons(choice)
    assert (Reason.WRAP_ANNOUNCED, 2) in _reasons(choice)


def test_a_wrap_is_never_weaker_than_the_content() -> None:
    announced = (Capability(KEY_WRAPS["aes128-wrap"].oid), Capability(KEY_WRAPS["aes256-wrap"].oid))
    (recipient,) = choose_encryption([_announcing("aes256-cbc", kind="p256", also=announced)]).recipients
    assert isinstance(recipient, KeyAgreementRecipient)
    assert recipient.wrap == "aes256-wrap"
    (recipient,) = choose_encryption([_announcing("aes256-cbc", kind="p256", also=announced[:1])]).recipients
    assert isinstance(recipient, KeyAgreementRecipient)
    assert not recipient.wrap


def test_derived_keys_where_all_announce_them() -> None:
    announced = Addressee(certificate=_certificate(), capabilities=DEFAULT_CAPABILITIES)
    assert choose_encryption([announced, announced]).derives_key
    assert not choose_encryption([announced, UNKNOWN]).derives_key
    assert not choose_encryption([]).derives_key


def test_what_cannot_be() -> None:
    for arguments in ({"preference": ("rot13",)}, {"demanded": "rot13"}, {"assumed": ("rot13",)}):
        with pytest.raises(UnsupportedAlgorithm, match="rot13"):
            choose_encryption([UNKNOWN], **arguments)  # type: ignore[arg-type]
    signer = Certificate.parse(addressees.authority().issue("Signer only", kind="ed25519").certificate_der)
    with pytest.raises(UnsupportedAlgorithm):
        choose_encryption([Addressee(certificate=signer)])


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["rsa2048", "p256", "x25519", "mlkem768"]),
            st.none() | st.lists(st.sampled_from(sorted(CONTENT_CIPHERS)), max_size=5),
        ),
        min_size=1,
        max_size=5,
    )
)
def test_whatever_is_chosen_can_be_read_by_all(entries: list[tuple[str, list[str] | None]]) -> None:
    addressed = [
        Addressee(certificate=_certificate(kind)) if ciphers is None else _announcing(*ciphers, kind=kind)
        for kind, ciphers in entries
    ]
    choice = choose_encryption(addressed)
    assert choice.cipher in DEFAULT_PREFERENCE
    assert len(choice.recipients) == len(addressed)
    for place, addressee in enumerate(addressed):
        ciphers = announced_ciphers(addressee.capabilities or ())
        assert (place in choice.may_be_unreadable) is (bool(ciphers) and choice.cipher not in ciphers)
    sealed = Encryptor(choice.recipients, cipher=choice.cipher, derives_key=choice.derives_key).seal(b"content")
    for kind, _ in entries:
        assert open_envelope(sealed, addressees.keys(kind)).content == b"content"
