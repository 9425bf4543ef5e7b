"""Both ways with other programs: OpenSSL, gpgsm, NSS.

What Debian's versions of them cannot do, and what therefore is not tried:

- OpenSSL 3.0: AES-CCM, ChaCha20-Poly1305 and RFC 9709; X25519, X448 and KEM recipients; making password recipients
  with AES-GCM; authenticated attributes (it expects them under the tags [2] and [3] instead of [1] and [2]), which
  mail has none of, since its content type is always id-data
- gpgsm 2.2: elliptic curves (importing such a PKCS #12 file crashes it, encrypting is refused), RSA-OAEP
- NSS 3.87: RSA-OAEP and elliptic curves (it reads not even OpenSSL's messages of these kinds), AEAD
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from smime_engine.certificate import Certificate
from smime_engine.cms.addressing import (
    KekRecipient,
    KeyAgreementRecipient,
    KeyTransportRecipient,
    PasswordRecipient,
    Recipient,
    recipient_for,
)
from smime_engine.cms.compressed import compress, decompress
from smime_engine.cms.encrypted import encrypt_data, open_encrypted_data
from smime_engine.cms.enveloped import open_envelope
from smime_engine.cms.opening import DecryptionKeys, KeyEncryptionKey
from smime_engine.cms.opening_stream import open_stream
from smime_engine.cms.sealing import Encryptor, cut
from smime_engine.crypto.encryption_algorithms import CONTENT_CIPHERS
from smime_engine.crypto.key_management_algorithms import oaep
from smime_engine.keys import Identity, InMemoryKey, KeyRing
from tests import pki
from tests.cms import addressees
from tests.cms.addressees import CONTENT

# -------------------------------------------------------------------------------------------------------------- OpenSSL

OPENSSL_CIPHERS = {
    "aes128-cbc": "-aes-128-cbc",
    "aes192-cbc": "-aes-192-cbc",
    "aes256-cbc": "-aes-256-cbc",
    "aes128-gcm": "-aes-128-gcm",
    "aes192-gcm": "-aes-192-gcm",
    "aes256-gcm": "-aes-256-gcm",
    "camellia128-cbc": "-camellia128",
    "camellia256-cbc": "-camellia256",
    "des-ede3-cbc": "-des3",
}
OPENSSL_KINDS = ("rsa2048", "p256", "p384", "p521", "brainpool256", "brainpool384", "brainpool512")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keys and certificates of one recipient of each kind that OpenSSL 3.0 knows, as `KIND.key` and `KIND.crt`."""
    path = tmp_path_factory.mktemp("recipients")
    for kind in OPENSSL_KINDS:
        addressees.credential(kind).write(path, kind)
    return path


def _openssl_opens(openssl: Any, sealed: bytes, *arguments: str | Path) -> bytes:
    return openssl("cms", "-decrypt", "-binary", "-inform", "DER", *arguments, stdin=sealed).stdout


def _openssl_seals(openssl: Any, *arguments: str | Path, stdin: bytes = CONTENT) -> bytes:
    return openssl("cms", "-encrypt", "-binary", "-outform", "DER", *arguments, stdin=stdin).stdout


def _opened(sealed: bytes, keys: DecryptionKeys) -> bytes:
    """Open in memory and as a stream."""
    content = open_envelope(sealed, keys).content
    written: list[bytes] = []
    open_stream(lambda: [sealed[i : i + 333] for i in range(0, len(sealed), 333)], keys, written.append)
    assert b"".join(written) == content
    return content


@pytest.mark.openssl
@pytest.mark.parametrize("cipher", OPENSSL_CIPHERS)
@pytest.mark.parametrize("kind", ["rsa2048", "p256"])
def test_openssl_ciphers(openssl: Any, folder: Path, kind: str, cipher: str) -> None:
    recipient = ("-inkey", folder / f"{kind}.key", "-recip", folder / f"{kind}.crt")
    encryptor = Encryptor([addressees.recipient(kind)], cipher=cipher)
    assert _openssl_opens(openssl, encryptor.seal(CONTENT), *recipient) == CONTENT
    assert _openssl_opens(openssl, b"".join(encryptor.pieces(cut(CONTENT, 700))), *recipient) == CONTENT
    for stream in ((), ("-stream",)):
        sealed = _openssl_seals(openssl, OPENSSL_CIPHERS[cipher], *stream, "-recip", folder / f"{kind}.crt")
        opened = open_envelope(sealed, addressees.keys(kind))
        assert (opened.content, opened.cipher) == (CONTENT, cipher)
        assert _opened(sealed, addressees.keys(kind)) == CONTENT


@pytest.mark.openssl
@pytest.mark.parametrize("kind", OPENSSL_KINDS)
@pytest.mark.parametrize("by_key_identifier", [False, True])
def test_openssl_kinds_of_keys(openssl: Any, folder: Path, kind: str, by_key_identifier: bool) -> None:
    recipient = dataclasses.replace(addressees.recipient(kind), by_key_identifier=by_key_identifier)  # type: ignore[arg-type]
    sealed = Encryptor([recipient]).seal(CONTENT)
    who = ("-inkey", folder / f"{kind}.key", "-recip", folder / f"{kind}.crt")
    assert _openssl_opens(openssl, sealed, *who) == CONTENT
    options = ("-keyid",) if by_key_identifier else ()
    sealed = _openssl_seals(openssl, "-aes-256-cbc", "-recip", folder / f"{kind}.crt", *options)
    assert _opened(sealed, addressees.keys(kind)) == CONTENT


@pytest.mark.openssl
@pytest.mark.parametrize("digest", ["sha1", "sha224", "sha256", "sha384", "sha512"])
@pytest.mark.parametrize("mask", ["sha1", "sha256", "sha512"])
@pytest.mark.parametrize("label", [b"", b"\xde\xad"])
def test_openssl_oaep(openssl: Any, folder: Path, digest: str, mask: str, label: bytes) -> None:
    certificate = addressees.identity("rsa2048").certificate
    recipient = KeyTransportRecipient(certificate=certificate, scheme=oaep(digest, mask, label))
    who = ("-inkey", folder / "rsa2048.key", "-recip", folder / "rsa2048.crt")
    assert _openssl_opens(openssl, Encryptor([recipient]).seal(CONTENT), *who) == CONTENT
    options = ["rsa_padding_mode:oaep", f"rsa_oaep_md:{digest}", f"rsa_mgf1_md:{mask}"]
    options += [f"rsa_oaep_label:{label.hex()}"] if label else []
    keyopts = [part for option in options for part in ("-keyopt", option)]
    sealed = _openssl_seals(openssl, "-aes-256-cbc", "-recip", folder / "rsa2048.crt", *keyopts)
    assert _opened(sealed, addressees.keys("rsa2048")) == CONTENT


@pytest.mark.openssl
@pytest.mark.parametrize("digest", ["sha1", "sha224", "sha256", "sha384", "sha512"])
@pytest.mark.parametrize("cofactor", [False, True])
@pytest.mark.parametrize("kind", ["p256", "p521", "brainpool384"])
def test_openssl_key_agreements(openssl: Any, folder: Path, kind: str, digest: str, cofactor: bool) -> None:
    certificate = addressees.identity(kind).certificate
    scheme = f"ecdh-{'cofactor-' if cofactor else ''}{digest}kdf"
    who = ("-inkey", folder / f"{kind}.key", "-recip", folder / f"{kind}.crt")
    for wrap, ukm in (("aes128-wrap", b""), ("aes256-wrap", b"user keying material")):
        recipient = KeyAgreementRecipient(certificate=certificate, scheme=scheme, wrap=wrap, ukm=ukm)
        assert _openssl_opens(openssl, Encryptor([recipient]).seal(CONTENT), *who) == CONTENT
    keyopts = ("-keyopt", f"ecdh_kdf_md:{digest}", "-keyopt", f"ecdh_cofactor_mode:{int(cofactor)}")
    for extra in ((), ("-aes128-wrap",), ("-aes256-wrap",), ("-des3-wrap",)):
        cipher = "-des3" if extra == ("-des3-wrap",) else "-aes-128-cbc"
        sealed = _openssl_seals(openssl, cipher, *extra, "-recip", folder / f"{kind}.crt", *keyopts)
        opened = open_envelope(sealed, addressees.keys(kind))
        assert opened.content == CONTENT
        assert opened.opened_with is not None
        assert opened.opened_with.key_algorithm == scheme


@pytest.mark.openssl
@pytest.mark.parametrize("cipher", ["aes128-cbc", "aes256-gcm"])
def test_openssl_passwords(openssl: Any, cipher: str) -> None:
    sealed = Encryptor([PasswordRecipient(password=b"secret", iterations=2048)], cipher=cipher).seal(CONTENT)
    assert _openssl_opens(openssl, sealed, "-pwri_password", "secret") == CONTENT
    if not CONTENT_CIPHERS[cipher].authenticates:
        sealed = _openssl_seals(openssl, OPENSSL_CIPHERS[cipher], "-pwri_password", "secret")
        assert _opened(sealed, DecryptionKeys(passwords=(b"secret",))) == CONTENT


@pytest.mark.openssl
@pytest.mark.parametrize("size", [16, 24, 32])
def test_openssl_shared_keys(openssl: Any, size: int) -> None:
    shared = KeyEncryptionKey(identifier=b"id", key=bytes(range(size)))
    arguments = ("-secretkey", shared.key.hex(), "-secretkeyid", shared.identifier.hex())
    sealed = Encryptor([KekRecipient(key_encryption_key=shared)]).seal(CONTENT)
    assert _openssl_opens(openssl, sealed, *arguments) == CONTENT
    sealed = _openssl_seals(openssl, "-aes-256-cbc", *arguments)
    assert _opened(sealed, DecryptionKeys(key_encryption_keys=(shared,))) == CONTENT


@pytest.mark.openssl
def test_openssl_mixed_recipients(openssl: Any, folder: Path) -> None:
    recipients: list[Recipient] = [addressees.recipient(kind) for kind in addressees.KINDS]
    sealed = Encryptor(recipients, cipher="aes256-gcm").seal(CONTENT)
    for kind in OPENSSL_KINDS:
        who = ("-inkey", folder / f"{kind}.key", "-recip", folder / f"{kind}.crt")
        assert _openssl_opens(openssl, sealed, *who) == CONTENT
    crts = [part for kind in OPENSSL_KINDS for part in ("-recip", folder / f"{kind}.crt")]
    sealed = _openssl_seals(openssl, "-aes-256-cbc", *crts, "-pwri_password", "secret")
    for kind in OPENSSL_KINDS:
        assert _opened(sealed, addressees.keys(kind)) == CONTENT
    assert _opened(sealed, DecryptionKeys(passwords=(b"secret",))) == CONTENT


@pytest.mark.openssl
@pytest.mark.parametrize("cipher", ["aes128-cbc", "aes256-cbc", "des-ede3-cbc"])
def test_openssl_encrypted_data(openssl: Any, cipher: str) -> None:
    key = bytes(range(CONTENT_CIPHERS[cipher].key_size))
    arguments = ("-binary", "-secretkey", key.hex())
    sealed = encrypt_data(CONTENT, key, cipher=cipher)
    done = openssl("cms", "-EncryptedData_decrypt", "-inform", "DER", *arguments, stdin=sealed)
    assert done.stdout == CONTENT
    name = OPENSSL_CIPHERS[cipher]
    for stream in ((), ("-stream",)):
        sealed = openssl(
            "cms", "-EncryptedData_encrypt", "-outform", "DER", name, *stream, *arguments, stdin=CONTENT
        ).stdout
        assert open_encrypted_data(sealed, DecryptionKeys(content_keys=(key,))).content == CONTENT


@pytest.mark.openssl
def test_openssl_compressed_data(openssl: Any) -> None:
    done = openssl("cms", "-compress", "-binary", "-outform", "DER", stdin=CONTENT, check=False)
    if done.returncode:
        pytest.skip("this openssl is built without zlib")
    assert decompress(done.stdout).content == CONTENT
    done = openssl("cms", "-uncompress", "-binary", "-inform", "DER", stdin=compress(CONTENT))
    assert done.stdout == CONTENT


@pytest.mark.openssl
def test_openssl_prints_what_we_write(openssl: Any) -> None:
    """Its ASN.1 templates accept every structure, the KEM recipient included, which it cannot use."""
    recipients = [addressees.recipient(kind) for kind in addressees.KINDS]
    for cipher in ("aes256-cbc", "aes256-gcm"):
        sealed = Encryptor(recipients, cipher=cipher).seal(CONTENT)
        printed = openssl("cms", "-cmsout", "-print", "-noout", "-inform", "DER", stdin=sealed).stdout
        for word in (b"d.ktri", b"d.kari", b"d.kekri", b"d.pwri", b"d.ori"):
            assert word in printed


# ---------------------------------------------------------------------------------------------------------------- gpgsm

GPGSM_CIPHERS = {"aes128-cbc": "AES128", "aes256-cbc": "AES256", "des-ede3-cbc": "3DES"}


@pytest.fixture(scope="module")
def rsa_holder() -> pki.Credential:
    return pki.authority("Root for peers", kind="rsa2048").issue("Peer", "peer@example.org", kind="rsa2048")


def _keys_of(holder: pki.Credential) -> DecryptionKeys:
    certificate = Certificate.parse(holder.certificate_der)
    return DecryptionKeys(ring=KeyRing([Identity(key=InMemoryKey(holder.key), certificate=certificate)]))


@pytest.mark.gpgsm
def test_gpgsm(gpgsm: Any, rsa_holder: pki.Credential, tmp_path: Path) -> None:
    gpgsm.trust(rsa_holder.root_der)
    gpgsm.import_key_of(rsa_holder)
    certificate = Certificate.parse(rsa_holder.certificate_der)
    clear, sealed, opened = tmp_path / "clear", tmp_path / "sealed", tmp_path / "opened"
    clear.write_bytes(CONTENT)
    for cipher, name in GPGSM_CIPHERS.items():
        encryptor = Encryptor([recipient_for(certificate)], cipher=cipher)
        for data in (encryptor.seal(CONTENT), b"".join(encryptor.pieces(cut(CONTENT, 700)))):
            sealed.write_bytes(data)
            gpgsm("--output", opened, "--decrypt", sealed)
            assert opened.read_bytes() == CONTENT
        gpgsm("--cipher-algo", name, "--recipient", "peer@example.org", "--output", sealed, "--encrypt", clear)
        found = open_envelope(sealed.read_bytes(), _keys_of(rsa_holder))
        assert (found.content, found.cipher) == (CONTENT, cipher)


# ------------------------------------------------------------------------------------------------------------------ NSS


@pytest.mark.nss
def test_nss_opens(nss: Any, rsa_holder: pki.Credential, tmp_path: Path) -> None:
    nss.trust(rsa_holder.root_der)
    nss.import_pkcs12(rsa_holder.pkcs12(b"password", old=True), "password")
    certificate = Certificate.parse(rsa_holder.certificate_der)
    sealed = tmp_path / "sealed"
    for cipher in ("aes128-cbc", "aes256-cbc", "des-ede3-cbc"):
        encryptor = Encryptor([recipient_for(certificate)], cipher=cipher)
        for data in (encryptor.seal(CONTENT), b"".join(encryptor.pieces(cut(CONTENT, 700)))):
            sealed.write_bytes(data)
            assert nss("cmsutil", "-D", "-i", sealed).stdout == CONTENT


@pytest.mark.nss
def test_nss_seals(nss: Any, rsa_holder: pki.Credential, tmp_path: Path) -> None:
    nss.trust(rsa_holder.root_der)
    nss.import_certificate(rsa_holder.certificate_der, "peer@example.org")
    clear, sealed = tmp_path / "clear", tmp_path / "sealed"
    clear.write_bytes(CONTENT)
    nss("cmsutil", "-E", "-r", "peer@example.org", "-i", clear, "-o", sealed)
    assert _opened(sealed.read_bytes(), _keys_of(rsa_holder)) == CONTENT
