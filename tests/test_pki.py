"""The test authority itself: its chains hold for OpenSSL, so that what other tests find is not its fault."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key, pkcs12

from tests import pki
from tests.peer_commands import Gpgsm, Nss, OpenSsl


@pytest.fixture(scope="module")
def ca() -> pki.Authority:
    return pki.authority().subordinate(
        "Test CA", crl_urls=["http://crl.example/ca.crl"], ocsp_urls=["http://ocsp.example"]
    )


@pytest.mark.parametrize("kind", [kind for kind in pki.SIGNING_KINDS if kind not in ("dsa2048", "rsa1024", "rsa4096")])
def test_each_signing_kind_makes_a_root_and_a_user(kind):
    root = pki.authority(f"Root {kind}", kind=kind)
    user = root.issue("Alice", "alice@example.org", kind=kind)
    user.certificate.verify_directly_issued_by(root.certificate)
    assert user.chain == ()
    assert user.root == root.certificate
    load_pem_private_key(user.key_pem(b"pw"), b"pw")


@pytest.mark.parametrize("kind", ["x25519", "x448", "mlkem768", "mlkem1024"])
def test_encryption_keys_get_certificates(ca, kind):
    user = ca.issue("Bob", "bob@example.org", kind=kind, usage="encrypt")
    user.certificate.verify_directly_issued_by(ca.certificate)


def test_pkcs12_holds_key_certificate_and_chain(ca):
    user = ca.issue("Alice", "alice@example.org")
    for old in (False, True):
        key, certificate, chain = pkcs12.load_key_and_certificates(user.pkcs12(b"pw", old=old), b"pw")
        assert key is not None
        assert certificate == user.certificate
        assert chain == [ca.certificate]


def test_revocation_data(ca):
    user = ca.issue("Alice", "alice@example.org")
    crl = x509.load_der_x509_crl(ca.crl({user: x509.ReasonFlags.key_compromise}))
    assert crl.is_signature_valid(ca.certificate.public_key())
    assert crl.get_revoked_certificate_by_serial_number(user.certificate.serial_number) is not None
    response = x509.ocsp.load_der_ocsp_response(ca.ocsp_response(user))
    assert response.certificate_status is x509.ocsp.OCSPCertStatus.GOOD


@pytest.mark.openssl
def test_openssl_accepts_the_chain(ca, openssl: OpenSsl, tmp_path):
    user = ca.issue("Alice", "alice@example.org", kind="rsa2048", usage="sign")
    user.write(tmp_path, "alice")
    said = openssl(
        *("verify", "-x509_strict", "-purpose", "smimesign"),
        *("-CAfile", tmp_path / "alice.root", "-untrusted", tmp_path / "alice.chain", tmp_path / "alice.crt"),
    ).stdout
    assert said.endswith(b": OK\n")


@pytest.mark.gpgsm
def test_gpgsm_takes_key_and_chain(ca, gpgsm: Gpgsm, tmp_path):
    user = ca.issue("Alice", "alice@example.org", kind="rsa2048", usage="sign")
    gpgsm.trust(user.root_der)
    gpgsm.import_certificate(ca.certificate_der)
    gpgsm.import_key_of(user)
    text = tmp_path / "text"
    text.write_bytes(b"hello\r\n")
    signature = gpgsm("--sign", "-u", "alice@example.org", "--output", "-", text).stdout
    (tmp_path / "signature").write_bytes(signature)
    gpgsm("--verify", tmp_path / "signature")


@pytest.mark.nss
def test_nss_takes_key_and_chain(ca, nss: Nss):
    user = ca.issue("Alice", "alice@example.org", kind="rsa2048", usage="both")
    nss.trust(user.root_der)
    nss.import_certificate(ca.certificate_der, "ca")
    nss.import_pkcs12(user.pkcs12(b"pw", friendly_name="alice"), "pw")
    signature = nss("cmsutil", "-S", "-N", "alice", "-P", stdin=b"hello\r\n").stdout
    nss("cmsutil", "-D", stdin=signature)
