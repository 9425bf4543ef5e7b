"""Identities from files, and the key ring."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs12

from smime_engine.asn1 import ber
from smime_engine.certificate import Certificate
from smime_engine.crypto.pkcs12 import load_pkcs12
from smime_engine.crypto.signature_algorithms import Family, scheme_for
from smime_engine.crypto.signing import verify
from smime_engine.errors import InvalidKey
from smime_engine.keys import Identity, InMemoryKey, KeyRing, load_identities, load_identity
from smime_engine.limits import Limits
from tests import pki

PASSWORD = b"secret"


@pytest.fixture(scope="module")
def alice() -> pki.Credential:
    return pki.authority("Root").subordinate("Issuing CA").issue("Alice", "alice@example.org")


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("kind", ["rsa2048", "p256", "ed25519"])
def test_pkcs12(kind: str, old: bool) -> None:
    credential = pki.authority("Root").subordinate("CA").issue("Bob", "bob@example.org", kind=kind)
    identity = load_identity(credential.pkcs12(PASSWORD, old=old), PASSWORD)
    assert identity.certificate.der == credential.certificate_der
    assert [certificate.subject for certificate in identity.chain] == ["CN=CA"]
    scheme = scheme_for(Family.RSA if kind == "rsa2048" else Family.ECDSA, "sha256")
    if kind == "ed25519":
        scheme = scheme_for(Family.ED25519, "sha512")
    assert verify(identity.certificate.public_key, identity.key.sign(b"data", scheme), b"data", scheme)
    for wrong in (None, b"", b"wrong"):
        with pytest.raises(InvalidKey, match="password"):
            load_identity(credential.pkcs12(PASSWORD, old=old), wrong)


def test_pkcs12_without_encryption(alice) -> None:
    assert load_identity(alice.pkcs12(None), None).certificate.der == alice.certificate_der


def test_work_of_a_pkcs12_file_is_bounded(alice) -> None:
    with pytest.raises(InvalidKey, match="pbkdf2_iterations"):
        load_identity(alice.pkcs12(PASSWORD), PASSWORD, limits=Limits(pbkdf2_iterations=10))


@pytest.mark.openssl
@pytest.mark.parametrize(
    "options",
    [
        (),
        ("-keypbe", "AES-128-CBC", "-certpbe", "AES-256-CBC", "-macalg", "sha512", "-iter", "10"),
        ("-keypbe", "PBE-SHA1-3DES", "-certpbe", "PBE-SHA1-RC2-40", "-legacy"),
        ("-keypbe", "PBE-SHA1-RC2-128", "-certpbe", "PBE-SHA1-RC2-128", "-legacy"),
        ("-keypbe", "PBE-SHA1-2DES", "-certpbe", "PBE-SHA1-2DES"),
        ("-nomac",),
        ("-certpbe", "NONE", "-keypbe", "NONE"),
        ("-nomaciter",),
    ],
    ids=" ".join,
)
def test_pkcs12_files_of_openssl(openssl, tmp_path, alice, options) -> None:
    path = alice.write(tmp_path, "alice")
    target = tmp_path / "alice.p12"
    for password in ("geheim", "pässwort", ""):
        openssl("pkcs12", "-export", "-in", path, "-out", target, "-passout", f"pass:{password}", *options)
        contents = load_pkcs12(target.read_bytes(), password.encode())
        assert len(contents.keys) == 1
        assert len(contents.certificates) == 2
        assert contents.keys[0].local_key_id == contents.certificates[0].local_key_id != b""
        assert load_identity(target.read_bytes(), password.encode()).certificate.der == alice.certificate_der


@pytest.mark.nss
def test_pkcs12_of_nss(nss, tmp_path, alice) -> None:
    nss.import_pkcs12(alice.pkcs12(PASSWORD), PASSWORD.decode())
    target = tmp_path / "out.p12"
    nss("pk12util", "-o", target, "-n", "test", "-W", "geheim", "-K", "")
    assert load_identity(target.read_bytes(), b"geheim").certificate.der == alice.certificate_der


@pytest.mark.corpora
@pytest.mark.parametrize("name", ["alice", "bob", "carlos", "dana"])
def test_separate_keys_for_signing_and_encryption(corpora, name: str) -> None:
    """RFC 9216's identities have two keys each in one file."""
    folder = corpora / "rfc9216"
    identities = load_identities((folder / f"{name}.p12.der").read_bytes(), name.encode())
    assert [(identity.may_sign, identity.may_decrypt) for identity in identities] == [(False, True), (True, False)]
    signing = load_identity((folder / f"{name}.p12.der").read_bytes(), name.encode())
    assert signing.certificate == identities[1].certificate
    pem = b"".join((folder / f"{name}.{suffix}").read_bytes() for suffix in ("sign.crt", "sign.key"))
    assert load_identity(pem).certificate == signing.certificate


def test_pem_in_any_order(alice) -> None:
    for data in (alice.pem(), alice.chain_pem + alice.certificate_pem + alice.key_pem()):
        identity = load_identity(data)
        assert identity.certificate.der == alice.certificate_der
        assert [certificate.der for certificate in identity.chain] == list(alice.chain_der)
    encrypted = load_identity(b"some text\n" + alice.pem(PASSWORD), PASSWORD)
    assert encrypted.certificate.der == alice.certificate_der


def test_key_and_certificate_must_belong_together(alice) -> None:
    other = pki.authority("Root").issue("Mallory", "m@example.org")
    with pytest.raises(InvalidKey):
        load_identity(other.key_pem() + alice.certificate_pem)
    with pytest.raises(InvalidKey):
        Identity(key=InMemoryKey(other.key), certificate=Certificate.parse(alice.certificate_der))
    with pytest.raises(InvalidKey, match="no private key"):
        load_identity(alice.certificate_pem)
    with pytest.raises(InvalidKey):
        load_identity(alice.key_pem())
    with pytest.raises(InvalidKey):
        load_identity(alice.key_pem() + b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n")


def test_the_newest_of_several_certificates_of_one_key(alice) -> None:
    root = pki.authority("Root")
    older, newer = (
        root.issue("Alice", "alice@example.org", key=alice.key, not_before=moment)
        for moment in (pki.NOT_BEFORE, pki.MOMENT)
    )
    for certificates in ((older, newer), (newer, older)):
        data = alice.key_pem() + b"".join(entry.certificate_pem for entry in certificates)
        assert load_identity(data).certificate.der == newer.certificate_der


def test_local_key_id_decides(alice) -> None:
    older = pki.authority("Root").issue("Alice", "alice@example.org", key=alice.key)
    newer = pki.authority("Root").issue("Alice", "a@example.org", key=alice.key, not_before=pki.MOMENT)
    data = pkcs12.serialize_key_and_certificates(
        b"alice", alice.key, older.certificate, [newer.certificate], serialization.NoEncryption()
    )
    assert load_identity(data).certificate.der == older.certificate_der


def test_key_ring(alice) -> None:
    root = pki.authority("Root")
    former = root.issue("Alice", "alice@example.org", key=pki.new_key("p256", "former"))
    bare = root.issue("Bare", "bare@example.org", key=pki.new_key("rsa2048", "bare"), key_identifiers=False)
    identities = [
        Identity(key=InMemoryKey(entry.key), certificate=Certificate.parse(entry.certificate_der))
        for entry in (alice, former, bare)
    ]
    ring = KeyRing(identities)
    assert len(ring) == 3
    assert list(ring) == identities
    for identity in identities:
        assert ring.by_issuer_and_serial(identity.certificate.issuer_and_serial) == (identity,)
    assert ring.by_key_identifier(identities[0].certificate.subject_key_identifier or b"") == (identities[0],)
    assert ring.by_address("ALICE@example.org") == (identities[0], identities[1])
    # The identifier that senders compute when the certificate has none.
    from cryptography import x509

    computed = x509.SubjectKeyIdentifier.from_public_key(bare.key.public_key()).digest
    assert ring.by_key_identifier(computed) == (identities[2],)
    assert ring.by_key_identifier(b"\0" * 20) == ()
    for nonsense in (b"", b"\x30\x00", ber.encode(0x30, b"\x30\x00", b"\x02\x01\x01"), b"\x30\x02\x02\x00"):
        assert ring.by_issuer_and_serial(nonsense) == ()


def test_names_compare_beyond_their_encoding(alice) -> None:
    """A sender may write the issuer's name as PrintableString where the certificate has UTF8String."""
    identity = Identity(key=InMemoryKey(alice.key), certificate=Certificate.parse(alice.certificate_der))
    named = identity.certificate.issuer_and_serial
    assert b"\x0c\x0aIssuing CA" in named
    assert KeyRing([identity]).by_issuer_and_serial(named.replace(b"\x0c\x0aIssuing CA", b"\x13\x0aissuing ca"))
