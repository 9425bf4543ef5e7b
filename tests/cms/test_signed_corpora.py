"""Other people's SignedData, with the verdicts that their authors state."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from pathlib import Path

import cryptography_vectors
import pytest

from smime_engine.certificate import Certificate
from smime_engine.certificate_bundle import certificates_from
from smime_engine.cms.signed import parse_signed_data
from smime_engine.errors import MalformedMessage
from tests.cms.signers import check_all, problems

pytestmark = pytest.mark.corpora

OLD_DSA = {"WEAK_DIGEST", "WEAK_SIGNATURE_ALGORITHM", "WEAK_KEY"}
OLD_RSA = {"WEAK_DIGEST", "WEAK_KEY"}
INHERITED_DSA = {"WEAK_DIGEST", "WEAK_SIGNATURE_ALGORITHM", "UNSUPPORTED_KEY"}


# ---------------------------------------------------------------------------------------------- RFC 4134 section 4


@pytest.fixture(scope="module")
def examples(corpora: Path) -> tuple[Certificate, ...]:
    return tuple(Certificate.parse(path.read_bytes()) for path in sorted((corpora / "rfc4134").glob("*.cer")))


@pytest.mark.parametrize(
    ("name", "signers", "expected"),
    [
        ("4.1", 1, OLD_DSA),
        ("4.2", 1, OLD_RSA),
        ("4.3", 1, OLD_DSA),  # detached
        ("4.4", 1, OLD_DSA),  # all attributes
        ("4.5", 1, OLD_RSA),
        ("4.7", 1, OLD_DSA),  # by subject key identifier
        ("4.10", 1, OLD_DSA),  # with ESS attributes
    ],
)
def test_rfc_4134(corpora: Path, examples, name: str, signers: int, expected: set[str]) -> None:
    """What is weak today was right in 2005: nothing else may be found."""
    data = (corpora / "rfc4134" / f"{name}.bin").read_bytes()
    content = (corpora / "rfc4134" / "ExContent.bin").read_bytes()
    embedded = parse_signed_data(data).content
    assert embedded is None or bytes(embedded) == content
    checks = check_all(data, content, pool=examples)
    assert len(checks) == signers
    assert problems(data, content, pool=examples) == expected
    assert problems(data, content + b"!", pool=examples) > expected


def test_rfc_4134_with_several_signers(corpora: Path, examples) -> None:
    """Diane's key of 4.6 inherits its DSA parameters from the issuer's certificate, which only a path to it tells."""
    alice, diane = check_all((corpora / "rfc4134" / "4.6.bin").read_bytes(), pool=examples)
    assert {found.name for found in alice.problems} == OLD_DSA
    assert {found.name for found in diane.problems} == INHERITED_DSA


def test_rfc_4134_certificates_only(corpora: Path) -> None:
    signed = parse_signed_data((corpora / "rfc4134" / "4.11.bin").read_bytes())
    assert (len(signed.certificates), len(signed.crls), signed.signers) == (2, 1, ())


# ------------------------------------------------------------------------------------------------------- ML-DSA


@pytest.mark.parametrize("name", ["mldsa44", "mldsa65", "mldsa87"])
def test_ml_dsa(corpora: Path, name: str) -> None:
    data = _from_pem(corpora / "pqc" / "lamps-cms-ml-dsa" / f"{name}-signed-attrs.pem")
    pool = tuple(
        certificate
        for path in sorted((corpora / "pqc" / "lamps-ml-dsa-certificates").glob("*.crt"))
        for certificate in certificates_from(path.read_bytes())
    )
    (check,) = check_all(data, pool=pool)  # all three certificates have the same issuer and serial number
    assert check.findings == ()
    assert check.algorithm.replace("-", "") == name
    assert "DIGEST_MISMATCH" in problems(data, b"other", pool=pool)


# ------------------------------------------------------------------------------------------------------ wolfSSL


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("smime-test-multipart", set()),
        ("smime-test-canon", set()),
        ("smime-test", set()),
        ("smime-test-multipart-badsig", {"DIGEST_MISMATCH"}),
    ],
)
def test_wolfssl_messages(corpora: Path, name: str, expected: set[str]) -> None:
    message = (corpora / "wolfssl" / f"{name}.p7s").read_bytes()
    content, signature = _parts(message) if b"multipart/signed" in message else (None, _body(message))
    assert problems(signature, content) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("test-stream-sign", {"SIGNER_CERTIFICATE_MISSING"}),  # streamed BER, 5 KB in segments
        ("test-ber-exp02-05-2022", {"WEAK_DIGEST"}),
        ("test-degenerate", {"NO_SIGNERS"}),
    ],
)
def test_wolfssl_ber(corpora: Path, name: str, expected: set[str]) -> None:
    assert problems((corpora / "wolfssl" / f"{name}.p7b").read_bytes()) == expected


# ------------------------------------------------------------------------------------------------------ OpenSSL


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("bad_signtime_attr.cms", {"UNSIGNED_ATTRIBUTES_MALFORMED"}),
        ("ct_multiple_attr.cms", {"SIGNED_ATTRIBUTES_MALFORMED"}),
        ("no_ct_attr.cms", {"CONTENT_TYPE_MISSING"}),
        ("no_md_attr.cms", {"MESSAGE_DIGEST_MISSING"}),
        ("pkcs7-md4.pem", {"UNSUPPORTED_DIGEST", "UNSUPPORTED_SIGNATURE_ALGORITHM"}),
    ],
)
def test_openssl_problems(corpora: Path, name: str, expected: set[str]) -> None:
    assert problems(_from_pem(corpora / "openssl" / "cms-data" / name)) == expected


@pytest.mark.parametrize("name", ["malformed.pkcs7", "rsa-malformed.der", "ecdh-malformed.der", "encryptedData.der"])
def test_openssl_malformed(corpora: Path, name: str) -> None:
    with pytest.raises(MalformedMessage):
        parse_signed_data(_from_pem(corpora / "openssl" / "cms-data" / name))


def test_openssl_empty_digest_set(corpora: Path) -> None:
    """DigestAlgorithms may lack a signer's: readers may refuse that, and need not (RFC 5652 section 5.3)."""
    message = (corpora / "openssl" / "smime-eml" / "pkcs7-empty-digest-set.eml").read_bytes()
    content, signature = _parts(message)
    assert parse_signed_data(signature).digest_algorithms == ()
    assert problems(signature, content) <= {"DIGEST_MISMATCH", "SIGNATURE_MISMATCH"}


# -------------------------------------------------------------------------------------------------------- PKITS

EXCEPTIONS = {
    # DSA with SHA-1 of 1024 bits, right but weak
    "SignedInvalidDSASignatureTest6": OLD_DSA,
    "SignedValidDSASignaturesTest4": OLD_DSA,
    # DSA parameters inherited from the issuer: not supported
    "SignedValidDSAParameterInheritanceTest5": INHERITED_DSA,
}


def _pkits() -> Iterator[Path]:
    folder = Path(cryptography_vectors.__file__).parent / "x509" / "PKITS_data" / "smime"
    yield from sorted(folder.glob("*.eml"))


def test_pkits_signatures() -> None:
    """All 224 messages are signed rightly, whatever is wrong with the paths of their certificates."""
    seen = 0
    for path in _pkits():
        content, signature = _parts(path.read_bytes())
        assert problems(signature, content) == EXCEPTIONS.get(path.stem, set()), path.stem
        seen += 1
    assert seen == 224


def _from_pem(path: Path) -> bytes:
    data = path.read_bytes()
    match = re.search(rb"-----BEGIN [A-Z0-9 ]+-----(.*?)-----END", data, re.DOTALL)
    return base64.b64decode(match[1]) if match else data


def _parts(message: bytes) -> tuple[bytes, bytes]:
    """The signed part with canonical line ends, and the decoded signature, of a simple multipart/signed."""
    match = re.search(rb'boundary="?([^"\r\n;]+)', message)
    assert match is not None
    _, signed, signature, *_ = re.split(rb"\r?\n--" + re.escape(match[1]), message)
    canonical = re.sub(rb"\r*\n", b"\r\n", signed.partition(b"\n")[2])  # wolfSSL's smime-test-canon has CR CR LF
    return canonical, _body(signature)


def _body(entity: bytes) -> bytes:
    return base64.b64decode(re.split(rb"\r?\n\r?\n", entity, maxsplit=1)[1])
