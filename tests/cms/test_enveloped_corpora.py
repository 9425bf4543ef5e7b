"""Encrypted messages that others made: RFC 4134, NSS, LAMPS and its hackathon, OpenSSL, wolfSSL, RFC 9216's people."""

from __future__ import annotations

import base64
from email import message_from_bytes
from pathlib import Path

import pytest

from smime_engine.certificate import Certificate
from smime_engine.cms.addressing import recipient_for
from smime_engine.cms.encrypted import open_encrypted_data
from smime_engine.cms.enveloped import OpenedEnvelope, open_envelope, parse_envelope
from smime_engine.cms.opening import DecryptionKeys, KeyEncryptionKey
from smime_engine.cms.opening_stream import open_stream
from smime_engine.cms.sealing import Encryptor
from smime_engine.crypto.encryption_algorithms import content_encryption_from_identifier
from smime_engine.errors import DecryptionFailed, MalformedMessage, NoMatchingKey, SmimeError, UnsupportedAlgorithm
from smime_engine.keys import Identity, InMemoryKey, KeyRing, load_identities

pytestmark = pytest.mark.corpora


def _identity(key: Path, certificate: Path) -> Identity:
    return Identity(key=InMemoryKey.load(key.read_bytes()), certificate=Certificate.parse(certificate.read_bytes()))


def _both_ways(data: bytes, keys: DecryptionKeys) -> OpenedEnvelope:
    """Open in memory and as a stream; both must agree."""
    opened = open_envelope(data, keys)
    written: list[bytes] = []
    streamed = open_stream(lambda: [data[i : i + 100] for i in range(0, len(data), 100)], keys, written.append)
    assert b"".join(written) == opened.content
    assert (streamed.kind, streamed.cipher, streamed.recipients) == (opened.kind, opened.cipher, opened.recipients)
    return opened


# ------------------------------------------------------------------------------------------------------------ RFC 4134

# Sections 5.2 and 7.1 of the RFC state these keys.
MAIL_LIST_KEY = KeyEncryptionKey(identifier=b"MailListRC2", key=bytes.fromhex("b70a25fbc9d86a86050ce0d711ead4d9"))
CONTENT_KEY = bytes.fromhex("737c791f25ead0e04629254352f7dc6291e5cb26917ada32")


@pytest.fixture
def rfc4134(corpora: Path) -> Path:
    return corpora / "rfc4134"


@pytest.fixture
def bob(rfc4134: Path) -> DecryptionKeys:
    return DecryptionKeys(
        ring=KeyRing([_identity(rfc4134 / "BobPrivRSAEncrypt.pri", rfc4134 / "BobRSASignByCarl.cer")])
    )


@pytest.mark.parametrize(("section", "cipher"), [("5.1", "des-ede3-cbc"), ("5.2", "rc2-40-cbc")])
def test_enveloped_data_of_rfc_4134(rfc4134: Path, bob: DecryptionKeys, section: str, cipher: str) -> None:
    opened = _both_ways((rfc4134 / f"{section}.bin").read_bytes(), bob)
    assert opened.content == (rfc4134 / "ExContent.bin").read_bytes()
    assert opened.cipher == cipher


def test_the_mail_list_key_of_rfc_4134(rfc4134: Path) -> None:
    data = (rfc4134 / "5.2.bin").read_bytes()
    opened = _both_ways(data, DecryptionKeys(key_encryption_keys=(MAIL_LIST_KEY,)))
    assert opened.content == (rfc4134 / "ExContent.bin").read_bytes()
    assert opened.opened_with is not None
    assert opened.opened_with.key_algorithm == "rc2-128-wrap"


def test_the_mail_of_rfc_4134(rfc4134: Path, bob: DecryptionKeys) -> None:
    mail = message_from_bytes((rfc4134 / "5.3.eml").read_bytes())
    payload = mail.get_payload(decode=True)
    assert isinstance(payload, bytes)
    opened = _both_ways(payload, bob)
    assert b"This is some sample content." in opened.content


@pytest.mark.parametrize("section", ["7.1", "7.2"])
def test_encrypted_data_of_rfc_4134(rfc4134: Path, section: str) -> None:
    data = (rfc4134 / f"{section}.bin").read_bytes()
    opened = open_encrypted_data(data, DecryptionKeys(content_keys=(CONTENT_KEY,)))
    assert opened.content == (rfc4134 / "ExContent.bin").read_bytes()
    with pytest.raises(NoMatchingKey):
        open_encrypted_data(data, DecryptionKeys())


# ----------------------------------------------------------------------------------------------------------------- NSS


def test_all_messages_of_nss(corpora: Path) -> None:
    folder = corpora / "nss-interop"
    identities = [
        identity
        for name in ("Fran.p12", "Fran-ec.p12")
        for identity in load_identities((folder / name).read_bytes(), b"nss")
    ]
    keys = DecryptionKeys(ring=KeyRing(identities))
    messages = sorted(folder.glob("*.env"))
    assert len(messages) == 17
    for path in messages:
        opened = _both_ways(path.read_bytes(), keys)
        assert opened.content.replace(b"\r\n", b"\n") == b"This is a test message to Fran.\n", path.name
        assert opened.opened_with is not None
        algorithm = opened.opened_with.key_algorithm
        if path.name.startswith("fran-ec"):
            digest = path.stem.rpartition("-")[2]
            assert algorithm == f"ecdh-{digest}kdf"
            assert opened.cipher == path.stem.split("_")[1].split("-")[1] + "-cbc"
        else:
            assert algorithm.startswith("rsaes-oaep-")


# -------------------------------------------------------------------------------------------------------------- ML-KEM


@pytest.mark.parametrize("parameter_set", ["768", "1024"])
@pytest.mark.parametrize("form", ["seed", "both"])
def test_ml_kem_messages(corpora: Path, parameter_set: str, form: str) -> None:
    folder = corpora / "pqc" / "redhound"
    (certificate,) = folder.glob(f"mlkem{parameter_set}-*_ee.der")
    (key,) = folder.glob(f"mlkem{parameter_set}-*_{form}_priv.der")
    keys = DecryptionKeys(ring=KeyRing([_identity(key, certificate)]))
    messages = sorted(folder.glob(f"mlkem{parameter_set}-*_kemri*.der"))
    assert len(messages) == 4
    for path in messages:
        opened = _both_ways(path.read_bytes(), keys)
        assert opened.content == (folder / "expected_plaintext.txt").read_bytes()
        assert opened.integrity is ("auth" in path.name)
        assert opened.opened_with is not None
        assert opened.opened_with.key_algorithm == f"ml-kem-{parameter_set}"


def test_ml_kem_512_is_refused_by_name(corpora: Path) -> None:
    messages = sorted((corpora / "pqc" / "redhound").glob("mlkem512-*_kemri*.der"))
    pem = (corpora / "pqc" / "lamps-cms-ml-kem" / "ML-KEM-512.cms").read_bytes()
    assert len(messages) == 4
    for data in (*(path.read_bytes() for path in messages), _from_pem(pem)):
        with pytest.raises(UnsupportedAlgorithm) as caught:
            open_envelope(data, DecryptionKeys())
        assert caught.value.identifier == "ml-kem-512"
        (info,) = parse_envelope(data).recipients
        assert info.__class__.__name__ == "KemRecipientInfo"


# --------------------------------------------------------------------------------------------------------------- others


@pytest.mark.parametrize("name", ["smime-enc+legacy-disp", "smime-sign+enc+legacy-disp", "smime-sign+enc"])
def test_mails_of_the_header_protection_drafts(corpora: Path, name: str) -> None:
    """They go to certificates of an early draft of RFC 9216, whose keys were never published in the RFC."""
    mail = message_from_bytes((corpora / "header-protection" / f"{name}.eml").read_bytes())
    payload = mail.get_payload(decode=True)
    assert isinstance(payload, bytes)
    assert len(parse_envelope(payload).recipients) == 2
    with pytest.raises(NoMatchingKey):
        open_envelope(payload, DecryptionKeys(ring=KeyRing(_people(corpora))))


def _people(corpora: Path) -> list[Identity]:
    return [
        identity
        for person in ("alice", "bob", "carlos", "dana")
        for identity in load_identities((corpora / "rfc9216" / f"{person}.p12.der").read_bytes(), person.encode())
    ]


@pytest.mark.parametrize("cipher", ["aes256-cbc", "aes256-gcm"])
def test_people_of_rfc_9216(corpora: Path, cipher: str) -> None:
    """Two of them have RSA keys, two X25519."""
    people = [identity for identity in _people(corpora) if identity.may_decrypt]
    assert len(people) == 4
    sealed = Encryptor([recipient_for(identity.certificate) for identity in people], cipher=cipher).seal(b"content")
    kinds = set()
    for identity in people:
        opened = _both_ways(sealed, DecryptionKeys(ring=KeyRing([identity])))
        assert opened.content == b"content"
        assert opened.opened_with is not None
        kinds.add(opened.opened_with.key_algorithm)
    assert kinds == {"rsaes-pkcs1-v1_5", "ecdh-hkdf-sha256"}


def _from_pem(pem: bytes) -> bytes:
    lines = pem.replace(b"\r", b"").split(b"\n")
    return base64.b64decode(b"".join(line for line in lines if not line.startswith(b"-----")))


@pytest.mark.parametrize(
    "name",
    [
        "bad_signtime_attr.cms",
        "ciphertext_from_1_1_1.cms",
        "cms_pwri_kek_oob.der",
        "ct_multiple_attr.cms",
        "dh-malformed.der",
        "ecdh-malformed.der",
        "encDataWithTooLongIV.pem",
        "encryptedData.der",
        "malformed.pkcs7",
        "no_ct_attr.cms",
        "pkcs7-md4-encrypted.pem",
        "rsa-malformed.der",
    ],
)
def test_malformed_and_odd_messages_of_openssl(corpora: Path, name: str) -> None:
    data = (corpora / "openssl" / "cms-data" / name).read_bytes()
    if data.startswith(b"-----"):
        data = _from_pem(data)
    certificates = corpora / "openssl" / "smime-certs"
    identities = [
        identity
        for path in (*sorted(certificates.glob("smrsa?.pem")), *sorted(certificates.glob("smec?.pem")))
        for identity in _readable_identities(path)
    ]
    assert len(identities) >= 4
    keys = DecryptionKeys(
        ring=KeyRing(identities),
        passwords=(b"password",),
        key_encryption_keys=(KeyEncryptionKey(identifier=b"", key=bytes(16)),),
        content_keys=(bytes(16), bytes(24), bytes(32)),
    )
    for attempt in (open_envelope, open_encrypted_data):
        with pytest.raises(SmimeError) as caught:
            attempt(data, keys)
        assert isinstance(caught.value, MalformedMessage | UnsupportedAlgorithm | NoMatchingKey | DecryptionFailed)
    with pytest.raises(SmimeError):
        open_stream(lambda: [data], keys, len)


def _readable_identities(path: Path) -> tuple[Identity, ...]:
    try:
        return load_identities(path.read_bytes())
    except SmimeError:
        return ()


def test_a_nonce_of_17_octets_is_long_but_legal(corpora: Path) -> None:
    """What made OpenSSL write behind a buffer is no fault of the message: GCM takes nonces of any length."""
    data = _from_pem((corpora / "openssl" / "cms-data" / "encDataWithTooLongIV.pem").read_bytes())
    assert len(content_encryption_from_identifier(parse_envelope(data).encrypted.algorithm).iv) == 17


def test_many_recipients_of_wolfssl(corpora: Path) -> None:
    data = (corpora / "wolfssl" / "test-multiple-recipients.p7b").read_bytes()
    envelope = parse_envelope(data)
    assert len(envelope.recipients) > 1
    with pytest.raises(NoMatchingKey):
        open_envelope(data, DecryptionKeys())


def test_streamed_ber_of_wolfssl(corpora: Path) -> None:
    data = (corpora / "wolfssl" / "test-stream-dec.p7b").read_bytes()
    envelope = parse_envelope(data)
    assert envelope.encrypted.ciphertext
    with pytest.raises(NoMatchingKey):
        open_stream(lambda: [data], DecryptionKeys(), len)
