"""EnvelopedData and AuthEnvelopedData: what we seal we open, for every kind of recipient and every cipher."""

from __future__ import annotations

import dataclasses
import itertools
import time

import pytest
from asn1crypto import cms as independent
from hypothesis import given
from hypothesis import strategies as st

from smime_engine.asn1 import ber, oids
from smime_engine.cms.addressing import (
    KekRecipient,
    KemRecipient,
    KeyAgreementRecipient,
    KeyTransportRecipient,
    PasswordRecipient,
    prepare,
    recipient_for,
)
from smime_engine.cms.attributes import encode_attribute
from smime_engine.cms.enveloped import open_envelope, parse_envelope
from smime_engine.cms.opening import DecryptionKeys, KeyEncryptionKey
from smime_engine.cms.opening_stream import open_stream
from smime_engine.cms.sealing import Encryptor, cut
from smime_engine.crypto.encryption_algorithms import CONTENT_CIPHERS
from smime_engine.crypto.key_management_algorithms import KEY_AGREEMENTS, oaep
from smime_engine.errors import (
    DecryptionFailed,
    LimitExceeded,
    MalformedMessage,
    NoMatchingKey,
    UnsupportedAlgorithm,
)
from smime_engine.keys import KeyRing
from smime_engine.limits import DEFAULT_LIMITS
from smime_engine.problems import Problem
from tests.cms import addressees
from tests.cms.addressees import CONTENT

STRONG = tuple(name for name, cipher in CONTENT_CIPHERS.items() if cipher.key_size >= 16)
SHORT_KEYS = tuple(name for name in CONTENT_CIPHERS if name not in STRONG)
AUTHENTICATING = tuple(name for name, cipher in CONTENT_CIPHERS.items() if cipher.authenticates)


def _streamed(data: bytes, keys: DecryptionKeys, size: int = 1000) -> bytes:
    written: list[bytes] = []
    opened = open_stream(lambda: [data[i : i + size] for i in range(0, len(data), size)], keys, written.append)
    assert opened.content == b""
    return b"".join(written)


@pytest.mark.parametrize("cipher", STRONG)
@pytest.mark.parametrize("kind", addressees.KINDS)
def test_every_recipient_with_every_cipher(kind: str, cipher: str) -> None:
    encryptor = Encryptor([addressees.recipient(kind)], cipher=cipher)
    for content_type in (oids.ID_DATA, oids.ID_SIGNED_DATA):
        sealed = encryptor.seal(CONTENT, content_type=content_type)
        opened = open_envelope(sealed, addressees.keys(kind))
        assert opened.content == CONTENT
        assert opened.content_type == content_type
        assert opened.cipher == cipher
        assert opened.integrity is CONTENT_CIPHERS[cipher].authenticates
        assert opened.kind == ("auth-enveloped-data" if opened.integrity else "enveloped-data")
        assert opened.recipients == (opened.opened_with,)


@pytest.mark.parametrize("cipher", SHORT_KEYS)
def test_short_keys_go_to_rsa_recipients_alone(cipher: str) -> None:
    sealed = Encryptor([addressees.recipient("rsa2048")], cipher=cipher).seal(CONTENT)
    opened = open_envelope(sealed, addressees.keys("rsa2048"))
    assert opened.content == CONTENT
    assert [finding.problem for finding in opened.findings] == [Problem.WEAK_CONTENT_CIPHER]
    with pytest.raises(UnsupportedAlgorithm):
        Encryptor([addressees.recipient("p256")], cipher=cipher)


@pytest.mark.parametrize("cipher", ["aes256-cbc", "aes128-gcm", "chacha20-poly1305"])
def test_derived_keys(cipher: str) -> None:
    sealed = Encryptor([addressees.recipient("rsa2048")], cipher=cipher, derives_key=True).seal(CONTENT)
    opened = open_envelope(sealed, addressees.keys("rsa2048"))
    assert (opened.content, opened.cipher) == (CONTENT, f"{cipher}+cek-hkdf-sha256")


@pytest.mark.parametrize("cipher", ["aes256-cbc", "aes256-gcm"])
def test_all_kinds_in_one_message(cipher: str) -> None:
    encryptor = Encryptor([addressees.recipient(kind) for kind in addressees.KINDS], cipher=cipher)
    sealed = encryptor.seal(CONTENT)
    assert len(parse_envelope(sealed).recipients) == len(addressees.KINDS)
    for kind in addressees.KINDS:
        opened = open_envelope(sealed, addressees.keys(kind))
        assert opened.content == CONTENT
        assert len(opened.recipients) == len(addressees.KINDS)
    assert {entry.kind for entry in opened.recipients} == {
        "key-transport",
        "key-agreement",
        "kem",
        "kek",
        "password",
    }
    with pytest.raises(NoMatchingKey):
        open_envelope(sealed, addressees.keys(*addressees.CERTIFIED, name="Stranger"))
    with pytest.raises(NoMatchingKey):
        open_envelope(sealed, DecryptionKeys())


@pytest.mark.parametrize("kind", addressees.CERTIFIED)
def test_recipients_named_by_key_identifier(kind: str) -> None:
    recipient = dataclasses.replace(addressees.recipient(kind), by_key_identifier=True)  # type: ignore[arg-type]
    sealed = Encryptor([recipient]).seal(CONTENT)
    opened = open_envelope(sealed, addressees.keys(kind))
    assert opened.content == CONTENT
    identifier = addressees.identity(kind).certificate.subject_key_identifier
    assert identifier is not None
    assert opened.recipients[0].identifier == f"key {identifier.hex()}"


@pytest.mark.parametrize("scheme", KEY_AGREEMENTS)
@pytest.mark.parametrize("kind", ["p256", "brainpool512", "x25519", "x448"])
@pytest.mark.parametrize("ukm", [b"", b"user keying material"])
def test_key_agreements(scheme: str, kind: str, ukm: bytes) -> None:
    certificate = addressees.identity(kind).certificate
    for wrap in ("", "aes128-wrap", "aes192-wrap-pad", "3des-wrap"):
        cipher = "des-ede3-cbc" if wrap == "3des-wrap" else "aes128-cbc"
        recipient = KeyAgreementRecipient(certificate=certificate, scheme=scheme, wrap=wrap, ukm=ukm)
        opened = open_envelope(Encryptor([recipient], cipher=cipher).seal(CONTENT), addressees.keys(kind))
        assert opened.content == CONTENT
        assert opened.opened_with is not None
        assert opened.opened_with.key_algorithm == scheme


@pytest.mark.parametrize("digest", ["sha256", "sha384", "sha512"])
@pytest.mark.parametrize("ukm", [None, b"", b"user keying material"])
def test_kems(digest: str, ukm: bytes | None) -> None:
    certificate = addressees.identity("mlkem768").certificate
    recipient = KemRecipient(certificate=certificate, digest=digest, wrap="aes128-wrap", ukm=ukm)
    sealed = Encryptor([recipient]).seal(CONTENT)
    assert open_envelope(sealed, addressees.keys("mlkem768")).content == CONTENT


@pytest.mark.parametrize("digest", ["sha1", "sha256", "sha512"])
@pytest.mark.parametrize("mask", ["sha1", "sha384"])
@pytest.mark.parametrize("label", [b"", b"label"])
def test_rsa_oaep(digest: str, mask: str, label: bytes) -> None:
    certificate = addressees.identity("rsa2048").certificate
    recipient = KeyTransportRecipient(certificate=certificate, scheme=oaep(digest, mask, label))
    opened = open_envelope(Encryptor([recipient]).seal(CONTENT), addressees.keys("rsa2048"))
    assert opened.content == CONTENT
    assert opened.recipients[0].key_algorithm == f"rsaes-oaep-{digest}"


@pytest.mark.parametrize("cipher", ["aes128-cbc", "aes256-cbc", "des-ede3-cbc"])
@pytest.mark.parametrize("digest", ["sha1", "sha256", "sha512"])
def test_passwords(cipher: str, digest: str) -> None:
    recipient = PasswordRecipient(password=b"secret", iterations=10, digest=digest, cipher=cipher)
    sealed = Encryptor([recipient]).seal(CONTENT)
    assert open_envelope(sealed, DecryptionKeys(passwords=(b"wrong", b"secret"))).content == CONTENT
    with pytest.raises(DecryptionFailed):
        open_envelope(sealed, DecryptionKeys(passwords=(b"wrong",)))


@pytest.mark.parametrize("size", [16, 24, 32])
def test_shared_keys(size: int) -> None:
    shared = KeyEncryptionKey(identifier=b"id", key=bytes(size))
    sealed = Encryptor([KekRecipient(key_encryption_key=shared)]).seal(CONTENT)
    others = (
        KeyEncryptionKey(identifier=b"other", key=bytes(size)),
        KeyEncryptionKey(identifier=b"id", key=b"x" * size),
        KeyEncryptionKey(identifier=b"id", key=b"short"),
    )
    assert open_envelope(sealed, DecryptionKeys(key_encryption_keys=(*others, shared))).content == CONTENT
    with pytest.raises(DecryptionFailed):
        open_envelope(sealed, DecryptionKeys(key_encryption_keys=others))
    with pytest.raises(UnsupportedAlgorithm):
        Encryptor([KekRecipient(key_encryption_key=KeyEncryptionKey(identifier=b"", key=bytes(8)))])


def test_versions_follow_rfc_5652() -> None:
    transport = addressees.recipient("rsa2048")
    by_key = dataclasses.replace(transport, by_key_identifier=True)  # type: ignore[arg-type]
    agreement, password = addressees.recipient("p256"), addressees.recipient("password")
    certificate = addressees.identity("p256").certificate.der
    attribute = encode_attribute(oids.ID_CONTENT_TYPE, oids.ID_DATA.tlv)

    def version(*recipients: object, cipher: str = "aes256-cbc", **options: object) -> int:
        attributes = options.pop("other_attributes", ())
        encryptor = Encryptor(recipients, cipher=cipher, **options)  # type: ignore[arg-type]
        return parse_envelope(encryptor.seal(b"", other_attributes=attributes)).version  # type: ignore[arg-type]

    assert version(transport) == 0
    assert version(by_key) == 2
    assert version(transport, agreement) == 2
    assert version(transport, originator_certificates=(certificate,)) == 2
    assert version(transport, other_attributes=(attribute,)) == 2
    assert version(transport, password) == 3
    assert version(addressees.recipient("mlkem768")) == 3
    assert version(password, cipher="aes256-gcm") == 0


def test_authenticated_attributes_are_bound() -> None:
    recipients, keys = [addressees.recipient("rsa2048")], addressees.keys("rsa2048")
    attributes = [encode_attribute(oids.ID_AA_CONTENT_HINT, ber.encode(0x0C, text)) for text in (b"text", b"a")]
    sealed = Encryptor(recipients, cipher="aes256-gcm").seal(CONTENT, authenticated_attributes=attributes)
    assert open_envelope(sealed, keys).content == CONTENT
    with pytest.raises(DecryptionFailed):
        open_envelope(sealed.replace(b"\x0c\x04text", b"\x0c\x04next"), keys)
    # Another order of the same attributes is the same SET.
    first, second = sorted(attributes)
    assert open_envelope(sealed.replace(first + second, second + first), keys).content == CONTENT
    with pytest.raises(UnsupportedAlgorithm):
        Encryptor(recipients).seal(CONTENT, authenticated_attributes=attributes)


def test_the_content_type_is_bound() -> None:
    keys = addressees.keys("rsa2048")
    encryptor = Encryptor([addressees.recipient("rsa2048")], cipher="aes256-gcm")
    sealed = encryptor.seal(CONTENT, content_type=oids.ID_SIGNED_DATA)
    assert sealed.count(oids.ID_SIGNED_DATA.tlv) == 2
    with pytest.raises(MalformedMessage, match="content type"):
        open_envelope(sealed.replace(oids.ID_SIGNED_DATA.tlv, oids.ID_DATA.tlv, 1), keys)


def test_other_attributes_and_certificates_are_carried() -> None:
    attribute = encode_attribute(oids.ID_AA_CONTENT_HINT, ber.encode(0x0C, b"text"))
    certificate = addressees.identity("p256").certificate.der
    for cipher in ("aes256-cbc", "aes256-gcm"):
        encryptor = Encryptor([addressees.recipient("p256")], cipher=cipher, originator_certificates=(certificate,))
        sealed = encryptor.seal(CONTENT, other_attributes=(attribute,))
        envelope = parse_envelope(sealed)
        assert envelope.other_attributes == attribute
        assert envelope.certificates == (certificate,)
        assert open_envelope(sealed, addressees.keys("p256")).content == CONTENT


def _as_other_kind(sealed: bytes) -> bytes:
    """The same AuthEnvelopedData dressed up as EnvelopedData: no tag."""
    start, end = ber.content(sealed, 0, len(sealed), 0x30, expected="")
    _, (_, _, inner, inner_end) = ber.children(sealed, start, end)
    (structure,) = ber.children(sealed, inner, inner_end)
    fields = ber.elements(sealed, structure[2], structure[3])
    enveloped = ber.encode(0x30, *fields[:3])
    return ber.encode(0x30, oids.ID_ENVELOPED_DATA.tlv, ber.encode(0xA0, enveloped))


def test_authenticating_ciphers_are_refused_in_enveloped_data() -> None:
    for cipher in AUTHENTICATING:
        sealed = Encryptor([addressees.recipient("rsa2048")], cipher=cipher).seal(CONTENT)
        with pytest.raises(MalformedMessage, match="no authenticating cipher in enveloped-data"):
            open_envelope(_as_other_kind(sealed), addressees.keys("rsa2048"))


def test_other_ciphers_are_refused_in_auth_enveloped_data() -> None:
    sealed = Encryptor([addressees.recipient("rsa2048")], cipher="aes256-cbc").seal(CONTENT)
    start, end = ber.content(sealed, 0, len(sealed), 0x30, expected="")
    _, (_, _, inner, inner_end) = ber.children(sealed, start, end)
    (structure,) = ber.children(sealed, inner, inner_end)
    fields = sealed[structure[2] : structure[3]] + ber.encode(0x04, bytes(16))
    changed = ber.encode(0x30, oids.ID_CT_AUTH_ENVELOPED_DATA.tlv, ber.encode(0xA0, ber.encode(0x30, fields)))
    with pytest.raises(MalformedMessage, match="an authenticating cipher"):
        open_envelope(changed, addressees.keys("rsa2048"))


@pytest.mark.parametrize("cipher", ["aes256-cbc", "aes256-gcm", "chacha20-poly1305"])
@pytest.mark.parametrize("size", [0, 1, 4096, 300_000])
def test_pieces(cipher: str, size: int) -> None:
    content = (CONTENT * (size // len(CONTENT) + 1))[:size]
    keys = addressees.keys("rsa2048")
    encryptor = Encryptor([addressees.recipient("rsa2048")], cipher=cipher)
    for content_type in (oids.ID_DATA, oids.ID_SIGNED_DATA):
        der = b"".join(encryptor.pieces(cut(content, 1000), size=size, content_type=content_type))
        segmented = b"".join(encryptor.pieces(cut(content, 70_000), content_type=content_type))
        assert ber.to_der(der) is der
        assert len(der) == len(encryptor.seal(content, content_type=content_type))
        for sealed in (der, segmented):
            opened = open_envelope(sealed, keys)
            assert (opened.content, opened.content_type) == (content, content_type)
            for step in (7, 100_000):
                if size < 10_000 or step > 10:
                    assert _streamed(sealed, keys, step) == content
    for wrong in (size - 1, size + 1):
        with pytest.raises(ValueError, match="octets that were announced"):
            list(encryptor.pieces(cut(content), size=max(wrong, 0) if size else 1))


@given(
    content=st.binary(max_size=400),
    cipher=st.sampled_from(STRONG),
    kinds=st.lists(st.sampled_from([*addressees.KINDS]), min_size=1, max_size=4, unique=True),
    content_type=st.sampled_from([oids.ID_DATA, oids.ID_SIGNED_DATA, oids.ID_CT_COMPRESSED_DATA]),
    derives_key=st.booleans(),
)
def test_any_message_round_trips(
    content: bytes, cipher: str, kinds: list[str], content_type: oids.Oid, derives_key: bool
) -> None:
    encryptor = Encryptor(map(addressees.recipient, kinds), cipher=cipher, derives_key=derives_key)
    sealed = encryptor.seal(content, content_type=content_type)
    independent.ContentInfo.load(sealed, strict=True)
    for kind in kinds:
        opened = open_envelope(sealed, addressees.keys(kind))
        assert (opened.content, opened.content_type) == (content, content_type)


# ------------------------------------------------------------------------------------------- another program's eyes


@pytest.mark.parametrize("cipher", ["aes256-cbc", "aes128-gcm"])
def test_an_independent_parser_reads_what_we_write(cipher: str) -> None:
    kinds = ("rsa2048", "p256", "kek", "password", "mlkem768")
    attribute = encode_attribute(oids.ID_AA_CONTENT_HINT, ber.encode(0x30, ber.encode(0x0C, b"text")))
    sealed = Encryptor([addressees.recipient(kind) for kind in kinds], cipher=cipher).seal(
        CONTENT, content_type=oids.ID_SIGNED_DATA, other_attributes=(attribute,)
    )
    info = independent.ContentInfo.load(sealed, strict=True)
    content = info["content"]
    assert sorted(recipient.name for recipient in content["recipient_infos"]) == [
        "kari",
        "kekri",
        "ktri",
        "ori",
        "pwri",
    ]
    field = "encrypted_content_info" if cipher == "aes256-cbc" else "auth_encrypted_content_info"
    assert content[field]["content_type"].native == "signed_data"
    assert info.dump(force=True) == sealed


# ------------------------------------------------------------------------------------------------------- many of them


def test_ten_thousand_recipients_take_linear_time() -> None:
    certificate = addressees.identity("rsa2048").certificate
    infos = [prepare(recipient_for(certificate), CONTENT_CIPHERS["aes256-cbc"])]
    seconds = {}
    for count in (1000, 4000):
        encryptor = Encryptor([recipient_for(certificate)])
        encryptor._prepared = tuple(infos * count)
        started = time.process_time()
        sealed = encryptor.seal(CONTENT)
        seconds[count] = time.process_time() - started
        assert len(parse_envelope(sealed).recipients) == count
    assert seconds[4000] < 4 * seconds[1000] * 2.5


def test_limits() -> None:
    certificate = addressees.identity("rsa2048").certificate
    info = prepare(recipient_for(certificate), CONTENT_CIPHERS["aes256-cbc"])
    encryptor = Encryptor([recipient_for(certificate)])
    encryptor._prepared = (info,) * 20
    sealed = encryptor.seal(CONTENT)
    keys = addressees.keys("rsa2048")
    assert open_envelope(sealed, keys).content == CONTENT
    for name, allowed in (("recipients", 19), ("unwrap_attempts", 19), ("message_size", len(sealed) - 1)):
        limits = dataclasses.replace(DEFAULT_LIMITS, **{name: allowed})
        with pytest.raises(LimitExceeded) as caught:
            open_envelope(sealed, keys, limits=limits)
        assert caught.value.limit == name
    passwords = Encryptor([PasswordRecipient(password=b"x", iterations=600)]).seal(CONTENT)
    limits = dataclasses.replace(DEFAULT_LIMITS, pbkdf2_iterations=1000)
    assert open_envelope(passwords, DecryptionKeys(passwords=(b"x",)), limits=limits).content == CONTENT
    with pytest.raises(LimitExceeded, match="pbkdf2_iterations"):
        open_envelope(passwords, DecryptionKeys(passwords=(b"y", b"x")), limits=limits)


def test_an_encryptor_takes_each_recipient_once_and_at_least_one() -> None:
    recipient = addressees.recipient("p256")
    assert Encryptor([recipient, recipient]).recipients == (recipient,)
    with pytest.raises(ValueError, match="at least one"):
        Encryptor([])
    with pytest.raises(UnsupportedAlgorithm):
        Encryptor([recipient], cipher="rot13")


def test_keys_that_only_sign_are_no_recipients() -> None:
    signer = addressees.authority().issue("Signer", kind="ed25519")
    from smime_engine.certificate import Certificate

    with pytest.raises(UnsupportedAlgorithm):
        recipient_for(Certificate.parse(signer.certificate_der))


def test_every_message_has_its_own_key_and_iv() -> None:
    encryptor = Encryptor([addressees.recipient("rsa2048")])
    envelopes = [parse_envelope(encryptor.seal(CONTENT)) for _ in range(20)]
    assert len({bytes(envelope.encrypted.ciphertext or b"") for envelope in envelopes}) == 20
    assert len({envelope.encrypted.algorithm for envelope in envelopes}) == 20


def test_old_identities_still_open() -> None:
    sealed = Encryptor([addressees.recipient("rsa2048")]).seal(CONTENT)
    identities = [addressees.identity(kind, "Stranger") for kind in ("p256", "p384")]
    ring = KeyRing([*identities, addressees.identity("rsa2048")])
    assert open_envelope(sealed, DecryptionKeys(ring=ring)).content == CONTENT


def test_reports_hide_content_and_keys() -> None:
    sealed = Encryptor([addressees.recipient("password")]).seal(CONTENT)
    keys = addressees.keys("password", "kek")
    assert b"that is encrypted".decode() not in repr(open_envelope(sealed, keys))
    assert addressees.PASSWORD.decode() not in repr(keys)
    assert repr(addressees.SHARED_KEY.key) not in repr(keys)
    assert addressees.PASSWORD.decode() not in repr(addressees.recipient("password"))


# ---------------------------------------------------------------------------------------------------- damaged messages


@pytest.mark.parametrize("cipher", ["aes256-cbc", "aes256-gcm"])
def test_cut_at_every_offset(cipher: str) -> None:
    keys = addressees.keys("p256")
    sealed = Encryptor([addressees.recipient("p256")], cipher=cipher).seal(b"content")
    for end in range(len(sealed)):
        with pytest.raises(MalformedMessage):
            open_envelope(sealed[:end], keys)
        with pytest.raises(MalformedMessage):
            _streamed(sealed[:end], keys)
    for extra in (b"\0", b"\0\0", sealed):
        with pytest.raises(MalformedMessage):
            open_envelope(sealed + extra, keys)
        with pytest.raises(MalformedMessage):
            _streamed(sealed + extra, keys)


EXPECTED = (MalformedMessage, UnsupportedAlgorithm, NoMatchingKey, DecryptionFailed)


@pytest.mark.parametrize("kind", ["p256", "mlkem768", "kek", "password"])
@pytest.mark.parametrize("flip", [0x01, 0x80])
def test_any_changed_octet_is_noticed_or_harmless(kind: str, flip: int) -> None:
    """AEAD: the content is the same or there is none. What may change is what nothing protects: the content type."""
    keys = addressees.keys(kind)
    sealed = Encryptor([addressees.recipient(kind)], cipher="aes128-gcm").seal(b"the content")
    unnoticed = 0
    for place in range(len(sealed)):
        changed = sealed[:place] + bytes((sealed[place] ^ flip,)) + sealed[place + 1 :]
        for attempt in (lambda data: open_envelope(data, keys).content, lambda data: _streamed(data, keys)):
            try:
                assert attempt(changed) == b"the content"
            except EXPECTED:
                continue
            unnoticed += 1
    assert unnoticed < 2 * 60  # versions, names that nobody compares, dates


def test_changed_octets_of_cbc_never_raise_anything_else() -> None:
    keys = addressees.keys("p256")
    sealed = Encryptor([addressees.recipient("p256")]).seal(CONTENT[:100])
    for place, flip in itertools.product(range(len(sealed)), (0x01, 0x20, 0xFF)):
        changed = sealed[:place] + bytes((sealed[place] ^ flip,)) + sealed[place + 1 :]
        try:
            open_envelope(changed, keys)
        except EXPECTED:
            continue


@given(data=st.binary(max_size=200))
def test_any_octets(data: bytes) -> None:
    for candidate in (data, ber.encode(0x30, oids.ID_ENVELOPED_DATA.tlv, ber.encode(0xA0, data))):
        with pytest.raises(EXPECTED):
            open_envelope(candidate, addressees.keys("rsa2048"))
        with pytest.raises(EXPECTED):
            _streamed(candidate, addressees.keys("rsa2048"))
