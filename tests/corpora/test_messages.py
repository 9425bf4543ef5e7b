"""Other people's messages, opened whole: layers, contents and the problems that count for the verdict.

The CMS structures have their own tests (`tests/cms/test_*_corpora.py`); here `open_message` and `open_cms` put them
together with MIME, senders and paths. A problem is expected only where its author's text or a comment here explains it.
"""

from __future__ import annotations

import base64
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from smime_engine import (
    Certificate,
    CertificatesLayer,
    DecryptionKeys,
    EncryptedLayer,
    Identity,
    InMemoryKey,
    KeyRing,
    MalformedMessage,
    MessageEncryptor,
    MessageSigner,
    NoMatchingKey,
    OpenedMessage,
    PathOptions,
    Problem,
    SignedLayer,
    SmimeError,
    TrustCollection,
    UnsupportedAlgorithm,
    Verdict,
    certificates_from,
    load_identities,
    open_cms,
    open_message,
    recipient_for,
    seal_message,
)
from smime_engine.cms.enveloped import parse_envelope
from smime_engine.cms.opening import KeyEncryptionKey
from smime_engine.cms.recipients import KeyTransportRecipientInfo
from smime_engine.mime.classify import CmsPart, classify
from smime_engine.mime.parse import parse_entity
from smime_engine.report import DigestedLayer

pytestmark = pytest.mark.corpora

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def names(opened: OpenedMessage) -> list[set[str]]:
    """The problems of each signature that count."""
    return [{problem.name for problem in found.problems if problem.effect is not None} for found in opened.signatures]


# ------------------------------------------------------------------------------------------------------------- RFC 4134

THEN = datetime(2005, 7, 1, tzinfo=UTC)
OLD_DSA = {"WEAK_DIGEST", "WEAK_SIGNATURE_ALGORITHM", "WEAK_KEY"}
OLD_RSA = OLD_DSA - {"WEAK_SIGNATURE_ALGORITHM"}
# The mails come from aliceDss@examples.com, Alice's certificate names AliceDSS@example.com: a slip of the RFC.
SLIP = OLD_DSA | {"SENDER_MISMATCH"}

RFC4134: dict[str, tuple[type, list[set[str]]]] = {
    # section -> its layer, what is found in each signature
    "4.1.bin": (SignedLayer, [OLD_DSA]),
    "4.2.bin": (SignedLayer, [OLD_RSA]),
    "4.3.bin": (SignedLayer, [OLD_DSA]),
    "4.4.bin": (SignedLayer, [OLD_DSA]),
    "4.5.bin": (SignedLayer, [OLD_RSA]),
    "4.6.bin": (SignedLayer, [OLD_DSA, OLD_DSA]),  # Diane's key inherits its parameters from Carl's certificate
    "4.7.bin": (SignedLayer, [OLD_DSA]),
    "4.8.eml": (SignedLayer, [SLIP]),
    "4.9.eml": (SignedLayer, [SLIP]),
    "4.10.bin": (SignedLayer, [OLD_DSA]),
    "4.11.bin": (CertificatesLayer, []),
    "5.1.bin": (EncryptedLayer, []),
    "5.2.bin": (EncryptedLayer, []),
    "5.3.eml": (EncryptedLayer, []),
    "6.0.bin": (DigestedLayer, []),
    "7.1.bin": (EncryptedLayer, []),
    "7.2.bin": (EncryptedLayer, []),
}


@pytest.fixture(scope="module")
def rfc4134(corpora: Path) -> Path:
    return corpora / "rfc4134"


@pytest.fixture(scope="module")
def world_of_2005(rfc4134: Path) -> dict[str, Any]:
    """Both of Carl's roots, everybody's certificates, Bob's key, the keys that sections 5.2 and 7.1 state."""
    certificates = [Certificate.parse(path.read_bytes()) for path in sorted(rfc4134.glob("*.cer"))]
    bob = Identity(
        key=InMemoryKey.load((rfc4134 / "BobPrivRSAEncrypt.pri").read_bytes()),
        certificate=Certificate.parse((rfc4134 / "BobRSASignByCarl.cer").read_bytes()),
    )
    return {
        "now": THEN,
        "trust": TrustCollection([certificate for certificate in certificates if certificate.is_self_issued]),
        "certificates": certificates,
        "keys": DecryptionKeys(
            ring=KeyRing([bob]), content_keys=(bytes.fromhex("737c791f25ead0e04629254352f7dc6291e5cb26917ada32"),)
        ),
    }


def test_every_item_of_rfc_4134_sections_4_to_7_is_here(rfc4134: Path) -> None:
    assert {path.name for path in rfc4134.iterdir() if re.match(r"[4-7]\.", path.name)} == set(RFC4134)


@pytest.mark.parametrize("name", RFC4134)
def test_rfc_4134(rfc4134: Path, world_of_2005: dict[str, Any], name: str) -> None:
    data, content = (rfc4134 / name).read_bytes(), (rfc4134 / "ExContent.bin").read_bytes()
    if name.endswith(".eml"):
        opened = open_message(data, **world_of_2005)
        found = bytes(parse_entity(opened.content).body)
    else:
        opened = open_cms(data, content=content if name == "4.3.bin" else None, **world_of_2005)
        found = opened.content
    kind, problems = RFC4134[name]
    (layer,) = opened.layers
    assert isinstance(layer, kind)
    assert names(opened) == problems
    assert found == (b"" if kind is CertificatesLayer else content)
    assert opened.verdict is (Verdict.INVALID if problems else None)
    assert not opened.findings
    assert not opened.partial


@pytest.mark.parametrize("name", [name for name, (kind, _) in RFC4134.items() if kind is SignedLayer])
def test_rfc_4134_is_valid_where_old_algorithms_are_forgiven(
    rfc4134: Path, world_of_2005: dict[str, Any], name: str
) -> None:
    """Nothing else is wrong with the paths: the roots are trusted, and 2005 is when all of it was current."""
    forgiven = frozenset({Problem[problem] for problem in SLIP})
    world = {**world_of_2005, "options": PathOptions(forgiven=forgiven)}
    if name == "4.3.bin":
        world["content"] = (rfc4134 / "ExContent.bin").read_bytes()
    opened = (open_message if name.endswith(".eml") else open_cms)((rfc4134 / name).read_bytes(), **world)
    assert opened.verdict is Verdict.VALID
    for signature in opened.signatures:
        assert signature.path is not None
        assert signature.path.chain[-1].is_self_issued


def test_the_mail_list_key_of_rfc_4134(rfc4134: Path, world_of_2005: dict[str, Any]) -> None:
    shared = KeyEncryptionKey(identifier=b"MailListRC2", key=bytes.fromhex("b70a25fbc9d86a86050ce0d711ead4d9"))
    world = {**world_of_2005, "keys": DecryptionKeys(key_encryption_keys=(shared,))}
    opened = open_cms((rfc4134 / "5.2.bin").read_bytes(), **world)
    assert opened.content == (rfc4134 / "ExContent.bin").read_bytes()


# ------------------------------------------------------------------------------------------------------------------ NSS


def test_the_17_messages_of_nss(corpora: Path) -> None:
    folder = corpora / "nss-interop"
    ring = KeyRing(
        identity
        for name in ("Fran.p12", "Fran-ec.p12")
        for identity in load_identities((folder / name).read_bytes(), b"nss")
    )
    paths = sorted(folder.glob("*.env"))
    assert len(paths) == 17
    for path in paths:
        opened = open_cms(path.read_bytes(), keys=ring, now=NOW)
        (layer,) = opened.layers
        assert isinstance(layer, EncryptedLayer)
        assert opened.content.replace(b"\r\n", b"\n") == b"This is a test message to Fran.\n", path.name
        assert (opened.verdict, layer.integrity) == (None, False)


# ------------------------------------------------------------------------------------- RFC 9216 and header protection


@pytest.fixture(scope="module")
def lamps(corpora: Path) -> dict[str, Any]:
    """Alice, Bob, Carlos and Dana with all their keys; both roots."""
    folder = corpora / "rfc9216"
    ring = KeyRing(
        identity
        for name in ("alice", "bob", "carlos", "dana")
        for identity in load_identities((folder / f"{name}.p12.der").read_bytes(), name.encode())
    )
    roots = [certificates_from((folder / f"ca.{kind}.crt").read_bytes())[0] for kind in ("rsa", "25519")]
    return {"keys": ring, "trust": TrustCollection(roots), "now": NOW}


@pytest.mark.parametrize("name", ["smime-multipart-hp", "smime-one-part-hp"])
def test_signed_samples_of_rfc_9788(corpora: Path, lamps: dict[str, Any], name: str) -> None:
    opened = open_message((corpora / "header-protection" / f"{name}.eml").read_bytes(), **lamps).require_valid()
    assert opened.sender_bound is True
    assert f"Subject: {name}".encode() in opened.content
    assert b'hp="clear"' in opened.content


OLD_DRAFT = {
    "smime-multipart-signed": None,
    "smime-onepart-signed": None,
    "smime-enc+legacy-disp": NoMatchingKey,
    "smime-sign+enc": NoMatchingKey,
    "smime-sign+enc+legacy-disp": NoMatchingKey,
}
"""Known difference: the samples of 2019 were made with certificates of an early draft of RFC 9216. What was signed has
another root, and what was encrypted went to certificates with other serial numbers and keys than the RFC's. OpenSSL
cannot open them with the published keys either; the tests below show both."""


@pytest.mark.parametrize("name", [name for name, error in OLD_DRAFT.items() if error is None])
def test_signed_samples_of_the_older_draft(corpora: Path, lamps: dict[str, Any], name: str) -> None:
    """The signatures are right, the sender is bound; the root of the draft is not the RFC's."""
    opened = open_message((corpora / "header-protection" / f"{name}.eml").read_bytes(), **lamps)
    (signature,) = opened.signatures
    assert names(opened) == [{"ISSUER_MISSING"}]
    assert opened.verdict is Verdict.UNKNOWN
    assert opened.sender_bound is True
    assert b'protected-headers="v1"' in opened.content
    assert signature.certificate is not None
    assert signature.certificate not in {identity.certificate for identity in lamps["keys"]}


@pytest.mark.parametrize("name", [name for name, error in OLD_DRAFT.items() if error is not None])
def test_encrypted_samples_of_the_older_draft(corpora: Path, lamps: dict[str, Any], name: str) -> None:
    """Their recipients are in no certificate of RFC 9216."""
    data = (corpora / "header-protection" / f"{name}.eml").read_bytes()
    with pytest.raises(NoMatchingKey):
        open_message(data, **lamps)
    form = classify(parse_entity(data))
    assert isinstance(form, CmsPart)
    infos = parse_envelope(form.data).recipients
    assert len(infos) == 2
    for info in infos:
        assert isinstance(info, KeyTransportRecipientInfo)
        wanted = info.identifier.issuer_and_serial
        assert wanted is not None
        assert lamps["keys"].by_issuer_and_serial(wanted) == ()


@pytest.mark.openssl
@pytest.mark.parametrize("name", [name for name, error in OLD_DRAFT.items() if error is not None])
def test_openssl_opens_none_of_them_either(corpora: Path, openssl: Any, name: str) -> None:
    """Without a certificate it tries the key on every recipient."""
    message = corpora / "header-protection" / f"{name}.eml"
    keys = sorted((corpora / "rfc9216").glob("*.key"))
    assert len(keys) == 10
    for key in keys:
        done = openssl("cms", "-decrypt", "-debug_decrypt", "-in", message, "-inkey", key, check=False)
        assert done.returncode != 0, key.name


def test_everybody_of_rfc_9216_reads_mail_from_everybody(lamps: dict[str, Any]) -> None:
    """RSA and 25519 identities sign and encrypt to each other; the chains hold under both roots."""
    ring = lamps["keys"]
    readers = [identity for identity in ring if identity.may_decrypt]
    writers = [identity for identity in ring if identity.may_sign]
    assert (len(readers), len(writers)) == (4, 4)
    encryptor = MessageEncryptor([recipient_for(reader.certificate) for reader in readers])
    for writer in writers:
        (address,) = writer.certificate.addresses
        message = f"From: {address}\r\nContent-Type: text/plain\r\n\r\nHello.\r\n".encode()
        sealed = seal_message(
            message,
            steps=(MessageSigner(writer.key, writer.certificate, chain=writer.chain), encryptor),
            now=NOW,
        )
        for reader in readers:
            opened = open_message(sealed, **{**lamps, "keys": KeyRing([reader])}).require_valid()
            assert opened.content.endswith(b"Hello.\r\n")


# -------------------------------------------------------------------------------------------------------------- wolfSSL


@pytest.mark.parametrize(
    ("name", "problems"),
    [
        ("smime-test.p7s", set()),
        ("smime-test-multipart.p7s", set()),
        ("smime-test-canon.p7s", set()),
        ("smime-test-multipart-badsig.p7s", {"DIGEST_MISMATCH"}),
        ("test-ber-exp02-05-2022.p7b", {"WEAK_DIGEST"}),  # SHA-1
        ("test-stream-sign.p7b", {"SIGNER_CERTIFICATE_MISSING"}),
    ],
)
def test_wolfssl(corpora: Path, name: str, problems: set[str]) -> None:
    data = (corpora / "wolfssl" / name).read_bytes()
    opened = (open_message if name.endswith(".p7s") else open_cms)(data, now=NOW)
    assert [found - {"NO_TRUST_ANCHOR"} for found in names(opened)] == [problems]
    assert opened.content


def test_wolfssl_without_signers_and_without_our_keys(corpora: Path) -> None:
    (layer,) = open_cms((corpora / "wolfssl" / "test-degenerate.p7b").read_bytes(), now=NOW).layers
    assert isinstance(layer, CertificatesLayer)
    for name in ("test-multiple-recipients.p7b", "test-stream-dec.p7b"):
        with pytest.raises(NoMatchingKey):
            open_cms((corpora / "wolfssl" / name).read_bytes(), now=NOW)


# -------------------------------------------------------------------------------------------------------------- OpenSSL


def test_odd_mails_of_openssl(corpora: Path) -> None:
    folder = corpora / "openssl" / "smime-eml"
    opened = open_message((folder / "pkcs7-empty-digest-set.eml").read_bytes(), now=NOW)
    assert names(opened) == [{"NO_TRUST_ANCHOR"}]  # an empty digestAlgorithms is no fault of the signature
    assert opened.content == b"This is the content to be signed.\n"
    opened = open_message((folder / "SignedInvalidMappingFromanyPolicyTest7.eml").read_bytes(), now=NOW)
    assert names(opened) == [{"SENDER_MISMATCH", "NO_TRUST_ANCHOR"}]  # its path is judged in PKITS


MALFORMED: dict[str, type[SmimeError] | set[str]] = {
    # name -> the error, or the problems of the signature
    "bad_signtime_attr.cms": {"UNSIGNED_ATTRIBUTES_MALFORMED"},
    "ct_multiple_attr.cms": {"SIGNED_ATTRIBUTES_MALFORMED"},
    "no_ct_attr.cms": {"CONTENT_TYPE_MISSING"},
    "no_md_attr.cms": {"MESSAGE_DIGEST_MISSING"},
    "pkcs7-md4.pem": {"UNSUPPORTED_DIGEST", "UNSUPPORTED_SIGNATURE_ALGORITHM"},
    "ciphertext_from_1_1_1.cms": MalformedMessage,  # a message in S/MIME form, which is no bare CMS
    "malformed.pkcs7": MalformedMessage,
    "rsa-malformed.der": MalformedMessage,
    "dh-malformed.der": UnsupportedAlgorithm,
    "pkcs7-md4-encrypted.pem": UnsupportedAlgorithm,  # SignedAndEnvelopedData of PKCS #7, which CMS dropped
    "cms_pwri_kek_oob.der": NoMatchingKey,
    "ecdh-malformed.der": NoMatchingKey,
    "encDataWithTooLongIV.pem": NoMatchingKey,
    "encryptedData.der": NoMatchingKey,
}


def test_all_messages_of_openssl_are_here(corpora: Path) -> None:
    keys = {"dh-cert.pem", "dh-key.pem", "ecdh-cert.pem", "ecdh-key.pem", "grfc.out"}
    assert {path.name for path in (corpora / "openssl" / "cms-data").iterdir()} == set(MALFORMED) | keys


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_messages_of_openssl(corpora: Path, name: str) -> None:
    data = _from_pem((corpora / "openssl" / "cms-data" / name).read_bytes())
    expected = MALFORMED[name]
    if isinstance(expected, set):
        opened = open_cms(data, now=NOW)
        assert [found - {"NO_TRUST_ANCHOR"} for found in names(opened)] == [expected]
        return
    with pytest.raises(SmimeError) as caught:
        open_cms(data, now=NOW)
    assert type(caught.value) is expected
    assert "\n" not in str(caught.value)


def _from_pem(data: bytes) -> bytes:
    found = re.search(rb"-----BEGIN [A-Z0-9 ]+-----(.*?)-----END", data, re.DOTALL)
    return base64.b64decode(found[1]) if found else data


# ------------------------------------------------------------------------------------------------------ post-quantum


@pytest.mark.parametrize("size", ["768", "1024"])
def test_ml_kem(corpora: Path, size: str) -> None:
    folder = corpora / "pqc" / "redhound"
    (certificate,) = folder.glob(f"mlkem{size}-*_ee.der")
    (key,) = folder.glob(f"mlkem{size}-*_seed_priv.der")
    identity = Identity(key=InMemoryKey.load(key.read_bytes()), certificate=Certificate.parse(certificate.read_bytes()))
    paths = sorted(folder.glob(f"mlkem{size}-*_kemri*.der"))
    assert len(paths) == 4
    for path in paths:
        opened = open_cms(path.read_bytes(), keys=KeyRing([identity]), now=NOW)
        assert opened.content == (folder / "expected_plaintext.txt").read_bytes()
        (layer,) = opened.layers
        assert isinstance(layer, EncryptedLayer)
        assert layer.integrity is ("_auth_" in path.name)


def test_ml_kem_512_is_refused_by_name(corpora: Path) -> None:
    paths = sorted((corpora / "pqc" / "redhound").glob("mlkem512-*_kemri*.der"))
    for path in (*paths, corpora / "pqc" / "lamps-cms-ml-kem" / "ML-KEM-512.cms"):
        with pytest.raises(UnsupportedAlgorithm, match="ml-kem-512"):
            open_cms(_from_pem(path.read_bytes()), now=NOW)


@pytest.mark.parametrize("size", ["44", "65", "87"])
def test_ml_dsa(corpora: Path, size: str) -> None:
    """Signed by self-signed certificates, which are then the trusted ones; all three have one issuer and number."""
    paths = sorted((corpora / "pqc" / "lamps-ml-dsa-certificates").glob("*.crt"))
    certificates = [certificate for path in paths for certificate in certificates_from(path.read_bytes())]
    data = _from_pem((corpora / "pqc" / "lamps-cms-ml-dsa" / f"mldsa{size}-signed-attrs.pem").read_bytes())
    opened = open_cms(data, now=NOW, certificates=certificates, trust=TrustCollection(certificates))
    (signature,) = opened.signatures
    assert (signature.algorithm, names(opened)) == (f"ml-dsa-{size}", [set()])
