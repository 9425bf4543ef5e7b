"""`smime inspect`: every kind of file, messages in messages, hostile files, promises about output and status."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import zlib
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.serialization import pkcs7

from smime_engine.asn1 import ber, oids
from smime_engine.cli import main
from smime_engine.cli.inspection.files import file_tree
from smime_engine.cli.inspection.tree import as_json, as_lines, malformed_in
from smime_engine.errors import MalformedMessage
from smime_engine.trust.sst import encode_sst
from tests import pki
from tests.surroundings import CORPORA

ROOT = pki.authority("Inspect Root", crl_urls=["http://crl.example.org/root.crl"])
ALICE = ROOT.issue("Alice", "alice@example.org", kind="rsa2048", serial_number=0x1234_5678_9ABC_DEF0_1234)

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def smime(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """`smime(data, "--json")` -> (exit status, standard output, standard error) of `smime inspect` on a file."""

    def run(data: bytes, *options: str) -> tuple[int, str, str]:
        path = tmp_path / "input"
        path.write_bytes(data)
        with pytest.raises(SystemExit) as stopped:
            main(["inspect", str(path), *options])
        captured = capsys.readouterr()
        return int(stopped.value.code or 0), captured.out, captured.err

    return run


def signed(content: bytes, *options: pkcs7.PKCS7Options) -> bytes:
    builder = pkcs7.PKCS7SignatureBuilder().set_data(content)
    builder = builder.add_signer(ALICE.certificate, ALICE.key, hashes.SHA256())
    return builder.sign(serialization.Encoding.DER, [pkcs7.PKCS7Options.Binary, *options])


def enveloped(content: bytes) -> bytes:
    builder = pkcs7.PKCS7EnvelopeBuilder().set_data(content).add_recipient(ALICE.certificate)
    return builder.encrypt(serialization.Encoding.DER, [pkcs7.PKCS7Options.Binary])


def entity(cms: bytes, smime_type: str) -> bytes:
    head = f'Content-Type: application/pkcs7-mime; smime-type={smime_type}; name="smime.p7m"\r\n'
    return (
        head.encode() + b"Content-Transfer-Encoding: base64\r\n\r\n" + base64.encodebytes(cms).replace(b"\n", b"\r\n")
    )


def bare_signed(content_type: oids.Oid, content: bytes) -> bytes:
    """A SignedData (not a ContentInfo) without signers."""
    info = ber.encode(0x30, content_type.tlv, ber.encode(0xA0, ber.encode(0x04, content)))
    return ber.encode(0x30, b"\x02\x01\x03", b"\x31\x00", info, b"\x31\x00")


def content_info(content_type: oids.Oid, content: bytes) -> bytes:
    return ber.encode(0x30, content_type.tlv, ber.encode(0xA0, content))


def inspected(data: bytes) -> Any:
    return as_json(file_tree(data).tree)


# ------------------------------------------------------------------------------------------------ kinds of files


def test_a_signed_message_is_a_readable_tree(smime: Run):
    status, out, err = smime(signed(b"Hello"))
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith("CMS signedData (binary, ")
    assert "├─ version: v1" in lines
    assert "├─ encapContentInfo: id-data: 5 octets 48656c6c6f" in lines
    assert "│  └─ CN=Alice" in lines
    assert "│     ├─ serialNumber: 123456789abcdef01234" in lines
    assert "      ├─ sid: issuerAndSerialNumber: CN=Inspect Root, serial 123456789abcdef01234" in lines
    assert any(line.endswith("id-messageDigest: 32 octets " + hash_of(b"Hello")) for line in lines)
    assert f"│     └─ fingerprint: {hash_of(ALICE.certificate_der)} (SHA-256)" in lines


def hash_of(data: bytes) -> str:
    digest = hashes.Hash(hashes.SHA256())
    digest.update(data)
    return digest.finalize().hex()


def test_json_has_the_same_content(smime: Run):
    status, out, _ = smime(signed(b"Hello"), "--json")
    assert status == 0
    shown = json.loads(out)
    assert shown["kind"] == "CMS signedData"
    data = shown["content"]["content"]
    assert data["encapContentInfo"]["content"] == {"size": 5, "hex": "48656c6c6f"}
    assert data["certificates"][0]["subject"] == "CN=Alice"
    signer = data["signerInfos"][0]
    assert signer["sid"]["issuerAndSerialNumber"] == {
        "issuer": "CN=Inspect Root",
        "serialNumber": "123456789abcdef01234",
    }
    assert signer["digestAlgorithm"]["algorithm"] == "id-sha256"
    assert {"type": "id-contentType", "values": ["id-data"]} in signer["signedAttrs"]
    assert signer["signature"] == {"size": 256}


@pytest.mark.parametrize(
    ("encoding", "wrap"),
    [
        ("binary", lambda der: der),
        ("PEM", lambda der: b"-----BEGIN CMS-----\n" + base64.encodebytes(der) + b"-----END CMS-----\n"),
        (
            "PEM",
            lambda der: b"notes before\r\n-----BEGIN PKCS7-----\r\n" + base64.encodebytes(der) + b"-----END PKCS7-----",
        ),
        ("base64", base64.encodebytes),
        ("MIME", lambda der: entity(der, "signed-data")),
        ("MIME", lambda der: b"From: a@example.org\r\nMIME-Version: 1.0\r\n" + entity(der, "signed-data")),
    ],
)
def test_every_wrapping_shows_the_same_structure(encoding: str, wrap: Callable[[bytes], bytes]):
    der = signed(b"Hello")
    found = file_tree(wrap(der))
    assert found.encoding == encoding
    shown = as_json(found.tree)
    assert (shown["cms"]["structure"] if encoding == "MIME" else shown) == inspected(der)


def key_der(file_format: serialization.PrivateFormat, password: bytes | None = None) -> bytes:
    protection = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return ALICE.key.private_bytes(serialization.Encoding.DER, file_format, protection)


def csr() -> bytes:
    builder = x509.CertificateSigningRequestBuilder().subject_name(pki.name("Alice"))
    return builder.sign(ALICE.key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


KINDS: dict[str, Callable[[], bytes]] = {
    "CMS signedData": lambda: signed(b"x", pkcs7.PKCS7Options.DetachedSignature),
    "CMS envelopedData": lambda: enveloped(b"x"),
    "CMS data": lambda: content_info(oids.ID_DATA, ber.encode(0x04, b"x")),
    "certificate": lambda: ALICE.certificate_der,
    "certificate revocation list": lambda: ROOT.crl({ALICE: x509.ReasonFlags.key_compromise}),
    "certificate request": csr,
    "PKCS #12": lambda: ALICE.pkcs12(b"secret"),
    "private key": lambda: key_der(serialization.PrivateFormat.PKCS8),
    "encrypted private key": lambda: key_der(serialization.PrivateFormat.PKCS8, b"secret"),
    "public key": lambda: ALICE.key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    ),
    "OCSP response": lambda: ROOT.ocsp_response(ALICE),
    "certificate store": lambda: encode_sst([ALICE.certificate_der], crls=[ROOT.crl()]),
    "2 PEM blocks": lambda: ALICE.key_pem() + ALICE.certificate_pem,
    "message": lambda: b"Content-Type: text/plain\r\n\r\nHello",
    "ASN.1 value of unknown type": lambda: key_der(serialization.PrivateFormat.TraditionalOpenSSL),
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_recognised_and_read_completely(kind: str, smime: Run):
    data = KINDS[kind]()
    status, out, err = smime(data)
    assert (status, err) == (0, "")
    assert out.startswith(f"{kind} (")
    status, out, err = smime(data, "--json")
    assert (status, err) == (0, "")
    assert json.loads(out)["kind"] == kind
    assert json.loads(out)["size"] == len(data)


@pytest.mark.parametrize("kind", pki.KINDS)
def test_certificates_with_every_kind_of_key(kind: str):
    usage = "encrypt" if kind.startswith(("x", "mlkem")) else "sign"
    found = file_tree(ROOT.issue("Alice", "alice@example.org", kind=kind, usage=usage).certificate_der)
    assert not list(malformed_in(found.tree))
    key = as_json(found.tree)["subjectPublicKeyInfo"]
    assert "." not in key["algorithm"]
    if kind.startswith(("rsa", "dsa")):
        assert key["bits"] == int(kind[3:])


def test_certificate_fields_and_extensions():
    mailbox = x509.OtherName(x509.ObjectIdentifier("1.3.6.1.5.5.7.8.9"), b"\x0c\x05a@b.c")
    names = [mailbox, x509.DNSName("xn--bcher-kva.example"), x509.DirectoryName(pki.name("Other"))]
    unknown = (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x30\x03\x02\x01\x05"), True)
    strange = (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.5"), b"\x04\x01a"), False)
    shown = inspected(ROOT.issue("Alice", "a@example.org", names=names, extra=[unknown, strange]).certificate_der)
    extensions = {extension["extnID"]: extension for extension in shown["extensions"]}
    assert extensions["id-ce-keyUsage"]["critical"] is True
    assert "digitalSignature" in extensions["id-ce-keyUsage"]["extnValue"]
    assert extensions["id-ce-extKeyUsage"]["extnValue"] == ["id-kp-emailProtection"]
    assert [name["form"] for name in extensions["id-ce-subjectAltName"]["extnValue"]] == [
        "rfc822Name",
        "otherName",
        "dNSName",
        "directoryName",
    ]
    values = [name["value"] for name in extensions["id-ce-subjectAltName"]["extnValue"]]
    assert values == ["a@example.org", "a@b.c", "xn--bcher-kva.example", "CN=Other"]
    assert extensions["1.2.3.4"] == {"extnID": "1.2.3.4", "critical": True, "extnValue": {"SEQUENCE": [5]}}
    assert extensions["1.2.3.5"]["extnValue"] == {"size": 1, "hex": "61"}


def test_a_revocation_list():
    shown = inspected(ROOT.crl({0x1F: x509.ReasonFlags.key_compromise, 0x2F: None}))
    assert shown["issuer"] == "CN=Inspect Root"
    first, second = shown["revokedCertificates"]
    assert first["serialNumber"] == "1f"
    assert first["extensions"] == [{"extnID": "id-ce-cRLReasons", "critical": False, "extnValue": "key_compromise"}]
    assert second["extensions"] == []


def test_pkcs12_shows_protection_but_no_key():
    shown = inspected(ALICE.pkcs12(b"secret"))
    assert shown["macData"]["mac"]["digestAlgorithm"]["algorithm"].startswith("id-sha")
    certificates, keys = shown["authSafe"]
    encryption = certificates["content"]["encryptedContentInfo"]["contentEncryptionAlgorithm"]
    assert encryption["algorithm"] == "id-PBES2"
    assert encryption["parameters"]["keyDerivationFunc"]["algorithm"] == "id-PBKDF2"
    (bag,) = keys["bags"]
    assert bag["bagId"] == "pkcs8ShroudedKeyBag"
    assert bag["bagAttributes"][0] == {"type": "friendlyName", "values": ["test"]}


def test_an_open_pkcs12_shows_certificates_and_hides_keys():
    open_file = serialization.pkcs12.serialize_key_and_certificates(
        b"open", ALICE.key, ALICE.certificate, None, serialization.NoEncryption()
    )
    text = json.dumps(inspected(open_file))
    assert "CN=Alice" in text
    assert secret_of_alice() not in text


def secret_of_alice() -> str:
    prime: int = ALICE.key.private_numbers().p
    return f"{prime:x}"[:24]


@pytest.mark.parametrize("kind", ["private key", "2 PEM blocks", "encrypted private key"])
def test_private_keys_are_never_shown(kind: str, smime: Run):
    for options in ((), ("--json",)):
        _, out, _ = smime(KINDS[kind](), *options)
        assert secret_of_alice() not in out
        assert "not shown" in out or "octets" in out or "size" in out


def test_old_pem_keys_are_not_decoded(smime: Run):
    pem = ALICE.key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    status, out, _ = smime(pem)
    assert status == 0
    assert "RSA PRIVATE KEY: not shown" in out


# ------------------------------------------------------------------------------------------- messages in messages


def test_a_triple_wrapped_message_is_opened_as_far_as_it_goes():
    inner = entity(signed(b"Content-Type: text/plain\r\n\r\nHello"), "signed-data")
    outer = entity(signed(entity(enveloped(inner), "enveloped-data")), "signed-data")
    message = inspected(b"From: alice@example.org\r\nMIME-Version: 1.0\r\n" + outer)
    outer_content = message["cms"]["structure"]["content"]["encapContentInfo"]["content"]
    assert outer_content["contentType"] == "application/pkcs7-mime"
    assert outer_content["cms"]["kind"] == "CMS envelopedData"
    opaque = inspected(inner)["cms"]["structure"]["content"]["encapContentInfo"]["content"]
    assert opaque["contentType"] == "text/plain"


def test_a_clear_signed_message():
    content = (
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\none\r\n"
        b"--b\r\nContent-Type: image/png\r\n\r\ntwo\r\n--b--"
    )
    signature = signed(content, pkcs7.PKCS7Options.DetachedSignature)
    message = (
        b"MIME-Version: 1.0\r\nContent-Type: multipart/signed; boundary=a; micalg=sha-256;\r\n"
        b' protocol="application/pkcs7-signature"\r\n\r\n--a\r\n' + content + b"\r\n--a\r\n"
        b"Content-Type: application/pkcs7-signature\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        + base64.encodebytes(signature).replace(b"\n", b"\r\n")
        + b"\r\n--a--\r\n"
    )
    shown = inspected(message)
    assert shown["contentType"] == "multipart/signed"
    assert [part["contentType"] for part in shown["signed"]["parts"]] == ["text/plain", "image/png"]
    assert shown["cms"]["structure"]["contentType"] == "id-signedData"


def test_bare_structures_inside_each_other():
    """Without MIME between them: the content type says what is inside (RFC 5652 section 5.2)."""
    inner = bare_signed(oids.ID_DATA, b"innermost")
    shown = inspected(content_info(oids.ID_SIGNED_DATA, bare_signed(oids.ID_SIGNED_DATA, inner)))
    deepest = shown["content"]["encapContentInfo"]["content"]["encapContentInfo"]
    assert deepest == {"contentType": "id-data", "content": {"size": 9, "hex": b"innermost".hex()}}


def test_compressed_content_is_opened():
    packed = zlib.compress(b"Content-Type: text/html\r\n\r\n" + b"x" * 5000)
    content = ber.encode(0x30, oids.ID_DATA.tlv, ber.encode(0xA0, ber.encode(0x04, packed)))
    algorithm = ber.encode(0x30, oids.ID_ALG_ZLIB_COMPRESS.tlv)
    compressed = content_info(oids.ID_CT_COMPRESSED_DATA, ber.encode(0x30, b"\x02\x01\x00", algorithm, content))
    shown = inspected(compressed)
    assert shown["content"]["compressionAlgorithm"] == {"algorithm": "id-alg-zlibCompress"}
    assert shown["content"]["decompressed"] == {"contentType": "text/html", "content": {"size": 5000}}


def test_streamed_ber_is_read():
    segments = b"".join(ber.encode(0x04, bytes([number]) * 300) for number in range(3))
    streamed = b"\x24\x80" + segments + b"\x00\x00"
    info = b"\x30\x80" + oids.ID_DATA.tlv + b"\xa0\x80" + streamed + b"\x00\x00\x00\x00"
    data = b"\x30\x80\x02\x01\x01\x31\x00" + info + b"\x31\x00\x00\x00"
    shown = inspected(b"\x30\x80" + oids.ID_SIGNED_DATA.tlv + b"\xa0\x80" + data + b"\x00\x00\x00\x00")
    assert shown["content"]["encapContentInfo"]["content"] == {"size": 900}


# ------------------------------------------------------------------------------------------------- hostile files


@pytest.mark.parametrize(
    "data", [b"", b"Hello", b"\x00\x01", b"0", b"\x30\x80", b"-----BEGIN CMS-----\n!!\n-----END CMS-----"]
)
def test_what_cannot_be_read_is_one_line_and_status_4(data: bytes, smime: Run):
    status, out, err = smime(data)
    assert (status, out) == (4, "")
    assert err.startswith("smime: malformed input")
    assert err.count("\n") == 1


def test_a_malformed_value_is_marked_and_the_rest_is_shown(smime: Run):
    der = ALICE.certificate_der.replace(
        b"\x55\x1d\x0f\x01\x01\xff\x04\x04\x03", b"\x55\x1d\x0f\x01\x01\xff\x04\x04\x0c"
    )
    status, out, err = smime(der)
    assert status == 4
    assert "id-ce-keyUsage (critical): MALFORMED" in out
    assert "id-ce-subjectAltName" in out
    assert err == "smime: malformed input: a value could not be read (look for MALFORMED)\n"


def survives(data: bytes) -> bool:
    """Read, draw and serialise; True if there was something to show."""
    try:
        found = file_tree(data)
    except MalformedMessage:
        return False
    for _ in as_lines("", found.tree):
        pass
    json.dumps(as_json(found.tree))
    list(malformed_in(found.tree))
    return True


@pytest.mark.parametrize("kind", KINDS)
def test_files_cut_and_bent_anywhere_are_survived(kind: str):
    data = KINDS[kind]()
    step = max(1, len(data) // 150)
    for position in range(0, len(data), step):
        survives(data[:position])
        for flip in (0x01, 0x80, 0xFF):
            bent = bytearray(data)
            bent[position] ^= flip
            survives(bytes(bent))


def test_messages_in_messages_end_before_the_stack_does():
    data = bare_signed(oids.ID_DATA, b"x")
    for _ in range(200):
        data = bare_signed(oids.ID_SIGNED_DATA, data)
    data = content_info(oids.ID_SIGNED_DATA, data)
    assert survives(data)
    assert any("layers" in found.problem for found in malformed_in(file_tree(data).tree))


def test_mime_in_cms_in_mime_ends_before_the_stack_does():
    data = b"Content-Type: text/plain\r\n\r\nx"
    for number in range(60):
        boundary = b"b%d" % number
        data = (
            b"Content-Type: multipart/mixed; boundary="
            + boundary
            + b"\r\n\r\n--"
            + boundary
            + b"\r\n"
            + data
            + b"\r\n--"
            + boundary
            + b"--"
        )
        if number % 10 == 9:
            cms = content_info(oids.ID_SIGNED_DATA, bare_signed(oids.ID_DATA, data))
            data = b"Content-Type: application/pkcs7-mime\r\nContent-Transfer-Encoding: binary\r\n\r\n" + cms
    assert survives(data)


def test_very_many_elements_are_counted_not_listed(smime: Run):
    digests = ber.encode(0x31, ber.encode(0x30, oids.ID_SHA256.tlv) * 30_000)
    info = ber.encode(0x30, oids.ID_DATA.tlv)
    data = content_info(oids.ID_SIGNED_DATA, ber.encode(0x30, b"\x02\x01\x03", digests, info, b"\x31\x00"))
    status, out, _ = smime(data)
    assert status == 0
    assert "… and 29,500 more" in out
    assert out.count("\n") < 600


def test_text_cannot_steer_the_terminal(smime: Run):
    evil = "\x1b[2Jgone\r\n\u202eevil"
    status, out, _ = smime(ROOT.issue("Alice", "a@example.org", subject=pki.name(evil)).certificate_der)
    assert status == 0
    assert "\x1b" not in out
    assert "\u202e" not in out
    assert "gone" in out
    assert all(line.isprintable() for line in out.splitlines())


def test_inspecting_json_loads_no_rich(tmp_path: Path):
    path = tmp_path / "certificate"
    path.write_bytes(ALICE.certificate_der)
    code = (
        "import sys\nfrom smime_engine.cli import main\ntry:\n"
        f"    main(['inspect', '--json', {str(path)!r}])\nfinally:\n    assert 'rich' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()


# --------------------------------------------------------------------------------------------------------- lint


def test_lint_reports_findings_and_status(smime: Run):
    status, out, _ = smime(ALICE.certificate_pem, "--lint", "cert", "--email", "bob@example.org")
    assert status == 1
    assert out.startswith("CN=Alice: ")
    assert "  error   address-matches: the certificate is not for bob@example.org but for alice@example.org [" in out


def test_lint_without_errors_is_status_0(smime: Run):
    usage = pki.key_usage("digital_signature", "key_encipherment")
    lifetime = pki.NOT_BEFORE + timedelta(days=365)
    good = ROOT.issue("Alice", "alice@example.org", kind="rsa2048", usage=usage, not_after=lifetime)
    status, out, _ = smime(good.certificate_pem + ROOT.certificate_pem, "--lint", "cert", "--json")
    assert status == 0
    alice, root = json.loads(out)
    assert alice["certificate"] == "CN=Alice"
    assert {finding["severity"] for finding in alice["findings"]} <= {"warning", "note"}
    assert root["certificate"] == "CN=Inspect Root"


def test_lint_needs_a_certificate(smime: Run):
    status, _, err = smime(b"Hello, this is no certificate.", "--lint", "cert")
    assert status == 4
    assert err.count("\n") == 1


def test_email_alone_is_a_usage_error(smime: Run):
    assert smime(ALICE.certificate_der, "--email", "a@example.org")[0] == 2


# ------------------------------------------------------------------------------------------------------ corpora

# Files with a value that is malformed in truth, and files that hold nothing to show.
ODD = {
    "rfc4134/ExContent.bin",
    "nss-interop/alice.txt",
    "nss-interop/bob.txt",
    "openssl/cms-data/malformed.pkcs7",
}
DSA_PARAMETERS = {"openssl/smime-certs/smdsap.pem"}
FOLDERS = ("rfc4134", "wolfssl", "openssl", "nss-interop", "rfc9216", "header-protection", "pqc")
NAMES = sorted(
    str(path.relative_to(CORPORA))
    for folder in FOLDERS
    for path in (CORPORA / folder).rglob("*")
    if path.is_file()
    and path.suffix not in {".txt", ".keyid"}
    and not path.name.endswith(("_ss.bin", "_ciphertext.bin"))
)


@pytest.mark.corpora
@pytest.mark.parametrize("name", [name for name in NAMES if name not in ODD])
def test_everything_that_others_made_is_read_completely(name: str):
    found = file_tree((CORPORA / name).read_bytes())
    assert list(malformed_in(found.tree)) == []
    assert (found.kind == "ASN.1 value of unknown type") == (name in DSA_PARAMETERS)
    assert len(list(as_lines(found.kind, found.tree))) >= 1
    json.dumps(as_json(found.tree))
