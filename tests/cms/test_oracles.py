"""No oracle: every failure to decrypt is the same error, and what is released before it says nothing."""

from __future__ import annotations

import contextlib

import pytest
from cryptography.hazmat.primitives.asymmetric import padding

from smime_engine.asn1 import ber
from smime_engine.cms.encrypted import encrypt_data, open_encrypted_data
from smime_engine.cms.enveloped import open_envelope, parse_envelope
from smime_engine.cms.opening import DecryptionKeys, KeyEncryptionKey
from smime_engine.cms.recipients import KeyTransportRecipientInfo
from smime_engine.cms.sealing import Encryptor
from smime_engine.crypto.key_management import WrappedSecret
from smime_engine.errors import DecryptionFailed
from smime_engine.keys import Identity, KeyRing
from tests.cms import addressees
from tests.cms.addressees import CONTENT


def _with_encrypted_key(sealed: bytes, encrypted_key: bytes) -> bytes:
    (info,) = parse_envelope(sealed).recipients
    assert isinstance(info, KeyTransportRecipientInfo)
    assert len(encrypted_key) == len(info.encrypted_key)
    return sealed.replace(info.encrypted_key, encrypted_key)


def _encrypted(secret: bytes) -> bytes:
    return addressees.credential("rsa2048").key.public_key().encrypt(secret, padding.PKCS1v15())


def _failure(data: bytes, keys: DecryptionKeys) -> DecryptionFailed:
    with pytest.raises(DecryptionFailed) as caught:
        open_envelope(data, keys)
    return caught.value


def _last_changed(octets: bytes) -> bytes:
    return octets[:-1] + bytes((octets[-1] ^ 1,))


def test_all_failures_compare_equal() -> None:
    keys = addressees.keys("rsa2048")
    failures = []
    for cipher in ("aes256-cbc", "aes256-gcm", "chacha20-poly1305"):
        sealed = Encryptor([addressees.recipient("rsa2048")], cipher=cipher).seal(CONTENT)
        for encrypted_key in (
            _encrypted(bytes(32))[::-1],  # bad padding, most probably
            b"\xff" * 256,  # not below the modulus
            bytes(256),
            _encrypted(b""),  # good padding, but no key
            _encrypted(bytes(31)),  # good padding, and a key of another size
            _encrypted(bytes(245)),
            _encrypted(b"another key of 32 octets in all!"),  # good padding, and a wrong key
        ):
            changed = _with_encrypted_key(sealed, encrypted_key)
            try:
                open_envelope(changed, keys)
            except DecryptionFailed as failure:
                failures.append(failure)
            else:
                assert cipher == "aes256-cbc"  # once in 256 times rubbish looks padded: RFC 3218's price
        if cipher != "aes256-cbc":
            failures.append(_failure(_last_changed(sealed), keys))
    sealed = Encryptor([addressees.recipient("rsa2048")]).seal(b"content")
    failures.append(_failure(addressees.with_bad_padding(sealed), keys))
    for kind in ("p256", "x25519", "mlkem768", "kek", "password"):
        sealed = Encryptor([addressees.recipient(kind)], cipher="aes256-gcm").seal(CONTENT)
        (info,) = parse_envelope(sealed).recipients
        wrapped = info.keys[0].encrypted_key if kind in {"p256", "x25519"} else info.encrypted_key  # type: ignore[union-attr]
        failures.append(_failure(sealed.replace(wrapped, _last_changed(wrapped)), addressees.keys(kind)))
    sealed = Encryptor([addressees.recipient("password")]).seal(CONTENT)
    failures.append(_failure(sealed, DecryptionKeys(passwords=(b"another",))))
    sealed = addressees.with_bad_padding(encrypt_data(b"content", bytes(32)))
    with pytest.raises(DecryptionFailed) as caught:
        open_encrypted_data(sealed, DecryptionKeys(content_keys=(bytes(32),)))
    failures.append(caught.value)
    assert len({(type(failure), str(failure), failure.args) for failure in failures}) == 1
    assert all(failure.__cause__ is None for failure in failures)


def test_bad_padding_behaves_as_a_wrong_key_does() -> None:
    """Both decrypt to rubbish; whether that looks padded depends on the ciphertext alone and never changes."""
    keys = addressees.keys("rsa2048")
    sealed = Encryptor([addressees.recipient("rsa2048")]).seal(b"")
    outcomes = {"bad padding": 0, "wrong key": 0}
    for number in range(60):
        wrong_key = _encrypted(number.to_bytes(32, "big"))
        bad_padding = bytes((wrong_key[0] ^ 1,)) + wrong_key[1:]
        for name, encrypted_key in (("bad padding", bad_padding), ("wrong key", wrong_key)):
            changed = _with_encrypted_key(sealed, encrypted_key)
            seen = set()
            for _ in range(2):
                try:
                    seen.add(open_envelope(changed, keys).content)
                except DecryptionFailed:
                    seen.add(None)
            assert len(seen) == 1
            outcomes[name] += seen != {None}
    assert outcomes["bad padding"] < 10
    assert outcomes["wrong key"] < 10


class _ReportingToken:
    """A key in a token that reports bad padding, as PKCS #11 tokens do."""

    def __init__(self, identity: Identity) -> None:
        self.public_key_info = identity.key.public_key_info
        self.calls = 0

    def sign(self, data: object, scheme: object) -> bytes:
        raise NotImplementedError

    def unwrap(self, wrapped: WrappedSecret) -> bytes:
        self.calls += 1
        raise DecryptionFailed


def test_a_token_that_reports_bad_padding_tells_nothing_either() -> None:
    identity = addressees.identity("rsa2048")
    token = _ReportingToken(identity)
    keys = DecryptionKeys(ring=KeyRing([Identity(key=token, certificate=identity.certificate)]))
    for cipher in ("aes256-cbc", "aes256-gcm"):
        sealed = Encryptor([addressees.recipient("rsa2048")], cipher=cipher).seal(CONTENT)
        calls = token.calls
        with contextlib.suppress(DecryptionFailed):
            assert open_envelope(sealed, keys).content != CONTENT
        assert token.calls == calls + 1


def test_failures_use_the_private_key_exactly_once_for_each_recipient() -> None:
    identity = addressees.identity("rsa2048")
    token = _ReportingToken(identity)
    keys = DecryptionKeys(ring=KeyRing([Identity(key=token, certificate=identity.certificate)]))
    encryptor = Encryptor([addressees.recipient("rsa2048")], cipher="aes256-gcm")
    encryptor._prepared *= 3
    with pytest.raises(DecryptionFailed):
        open_envelope(encryptor.seal(CONTENT), keys)
    assert token.calls == 3


def test_a_damaged_info_for_the_same_key_does_not_hide_a_good_one() -> None:
    recipient = addressees.recipient("rsa2048")
    encryptor = Encryptor([recipient])
    good = encryptor._prepared[0]

    def bad(secret: bytes) -> bytes:
        info = good(secret)
        return info[:-1] + bytes((info[-1] ^ 1,))

    encryptor._prepared = (bad, bad, good, bad)
    keys = addressees.keys("rsa2048")
    # CBC: rubbish passes for padded once in 256 times. Three times in a row it does not.
    assert any(open_envelope(encryptor.seal(CONTENT), keys).content == CONTENT for _ in range(3))
    encryptor = Encryptor([recipient], cipher="aes256-gcm")
    good = encryptor._prepared[0]
    encryptor._prepared = (bad, bad, good, bad)
    assert open_envelope(encryptor.seal(CONTENT), keys).content == CONTENT


def test_a_wrong_shared_key_is_no_different_from_a_damaged_content() -> None:
    sealed = Encryptor([addressees.recipient("kek")], cipher="aes256-gcm").seal(CONTENT)
    wrong = DecryptionKeys(key_encryption_keys=(KeyEncryptionKey(identifier=b"shared", key=bytes(32)),))
    first = _failure(sealed, wrong)
    second = _failure(sealed[:-1] + bytes((sealed[-1] ^ 1,)), addressees.keys("kek"))
    assert (type(first), first.args, str(first)) == (type(second), second.args, str(second))


def test_unknown_recipients_do_not_disturb() -> None:
    """An OtherRecipientInfo of an unknown type, an unknown tag, and a damaged info stand beside a good one."""
    encryptor = Encryptor([addressees.recipient("p256")])
    (good,) = encryptor._prepared
    strange = (
        ber.encode(0xA4, b"\x06\x03\x2a\x03\x04", b"\x04\x03abc"),
        ber.encode(0xA5, b"\x04\x03abc"),
        ber.encode(0xBF1F, b"\x04\x03abc"),
        ber.encode(0x30, b"\x02\x01\x00"),
        ber.encode(0xA1, b"\x02\x01\x03"),
        ber.encode(0xA4),
        ber.encode(0x04, b"text"),
    )
    encryptor._prepared = (*(lambda _, info=info: info for info in strange), good)
    opened = open_envelope(encryptor.seal(CONTENT), addressees.keys("p256"))
    assert opened.content == CONTENT
    assert [entry.kind for entry in opened.recipients].count("other") == len(strange)
