"""SignedData both ways with OpenSSL, gpgsm and NSS: they accept ours, we accept theirs."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from smime_engine.certificate import Certificate
from smime_engine.cms.several_signers import add_signers, sign_with
from smime_engine.cms.signed import parse_signed_data
from smime_engine.cms.signer import SignedAttributes
from tests.cms.signers import CONTENT, authority, check_all, credential, problems, signer

NOW = datetime.now(UTC)

OPENSSL_KINDS = ("rsa2048", "p256", "p384", "p521", "brainpool256", "brainpool384", "brainpool512")
NEWER_KINDS = {"ed25519": (3, 2), "mldsa44": (3, 5), "mldsa87": (3, 5)}  # kind -> the first OpenSSL that has it in CMS
EVERY_ATTRIBUTE = SignedAttributes(signing_certificate=True, capabilities=b"\x30\x00")


@pytest.fixture
def folder(tmp_path):
    """Signers as PEM files `KIND.pem`, the root, the content."""
    for kind in (*OPENSSL_KINDS, *NEWER_KINDS):
        credential(kind).write(tmp_path, kind)
    (tmp_path / "root.pem").write_bytes(authority().root_pem)
    (tmp_path / "chain.pem").write_bytes(credential("p256").chain_pem)
    (tmp_path / "content").write_bytes(CONTENT)
    return tmp_path


# ------------------------------------------------------------------------------------------------------ OpenSSL


def openssl_verifies(openssl, folder, data: bytes, *, detached: bool, more: tuple[str, ...] = ()) -> bytes:
    (folder / "message.der").write_bytes(data)
    content = ("-content", folder / "content") if detached else ()
    return openssl(
        "cms", "-verify", "-inform", "DER", "-in", folder / "message.der", *content, "-binary", "-CAfile",
        folder / "root.pem", *more,
    ).stdout  # fmt: skip


def _require_version(openssl, kind: str) -> None:
    if openssl.version < NEWER_KINDS.get(kind, ()):
        pytest.skip(f"this OpenSSL has no {kind} in CMS")


@pytest.mark.openssl
@pytest.mark.parametrize("kind", [*OPENSSL_KINDS, *NEWER_KINDS])
@pytest.mark.parametrize("detached", [True, False])
def test_openssl_accepts_ours(openssl, folder, kind: str, detached: bool) -> None:
    _require_version(openssl, kind)
    for options in ({}, {"attributes": EVERY_ATTRIBUTE}, {"by_key_identifier": True}, {"attributes": None}):
        if kind in NEWER_KINDS and options == {"attributes": None}:
            continue  # OpenSSL signs and verifies a digest where RFC 8419 and RFC 9882 want the content itself
        data = signer(kind, **options).sign(CONTENT, now=NOW, detached=detached)
        assert openssl_verifies(openssl, folder, data, detached=detached) == CONTENT


@pytest.mark.openssl
@pytest.mark.parametrize("digest", ["sha224", "sha256", "sha384", "sha512", "sha3-256"])
def test_openssl_accepts_our_pss_and_digests(openssl, folder, digest: str) -> None:
    for ours in (
        signer("rsa2048", digest=digest, pss=True),
        signer("rsa2048", digest=digest),
        signer("p256", digest=digest),
    ):
        openssl_verifies(openssl, folder, ours.sign(CONTENT, now=NOW), detached=True)


@pytest.mark.openssl
def test_openssl_accepts_several_of_our_signers(openssl, folder) -> None:
    data = sign_with([signer(kind) for kind in OPENSSL_KINDS], CONTENT, now=NOW, detached=False)
    assert openssl_verifies(openssl, folder, data, detached=False) == CONTENT


@pytest.mark.openssl
def test_openssl_refuses_ours_with_other_content(openssl, folder) -> None:
    (folder / "message.der").write_bytes(signer("p256").sign(b"other", now=NOW))
    done = openssl(
        "cms", "-verify", "-inform", "DER", "-in", folder / "message.der", "-content", folder / "content", "-binary",
        "-CAfile", folder / "root.pem", check=False,
    )  # fmt: skip
    assert done.returncode != 0


@pytest.mark.openssl
@pytest.mark.parametrize("kind", [*OPENSSL_KINDS, *NEWER_KINDS])
def test_we_accept_openssls(openssl, folder, kind: str) -> None:
    _require_version(openssl, kind)
    sign = ("cms", "-sign", "-in", folder / "content", "-binary", "-outform", "DER", "-signer", folder / f"{kind}.pem")
    more = ("-certfile", folder / "chain.pem")
    forms = [
        ((), CONTENT),
        (("-nodetach",), None),
        (("-nodetach", "-stream"), None),
        (("-keyid",), CONTENT),
        (("-nosmimecap",), CONTENT),
        (("-cades",), CONTENT),
        (("-nocerts",), CONTENT),
    ]
    if kind in OPENSSL_KINDS:
        forms += [(("-noattr",), CONTENT), (("-md", "sha512"), CONTENT)]
    if kind == "rsa2048":
        forms += [(("-md", "sha3-384"), CONTENT), (("-md", "sha512-256"), CONTENT)]
    pool = (Certificate.parse(credential(kind).certificate_der),)
    for options, content in forms:
        data = openssl(*sign, *more, *options).stdout
        assert problems(data, content, pool=pool) == set(), options
        assert problems(data, b"other", pool=pool) & {"DIGEST_MISMATCH", "SIGNATURE_MISMATCH"}, options
        embedded = parse_signed_data(data).content
        assert (embedded is None) == (content is not None)
        assert embedded is None or bytes(embedded) == CONTENT


@pytest.mark.openssl
def test_streamed_ber_of_openssl_is_ber(openssl, folder) -> None:
    data = openssl(
        "cms", "-sign", "-in", folder / "content", "-binary", "-nodetach", "-stream", "-outform", "DER", "-signer",
        folder / "p256.pem",
    ).stdout  # fmt: skip
    assert data[:2] == b"\x30\x80"
    assert problems(data) == set()
    added = add_signers(data, [signer("ed25519")], now=NOW)
    assert len(check_all(added)) == 2
    assert problems(added) == set()


@pytest.mark.openssl
@pytest.mark.parametrize(
    "options",
    [
        (),
        ("rsa_pss_saltlen:-1",),
        ("rsa_pss_saltlen:20", "rsa_mgf1_md:sha1"),
        ("rsa_pss_saltlen:max",),
        ("rsa_mgf1_md:sha512",),
    ],
)
def test_we_accept_openssls_pss(openssl, folder, options) -> None:
    key_options = [word for option in ("rsa_padding_mode:pss", *options) for word in ("-keyopt", option)]
    data = openssl(
        "cms", "-sign", "-in", folder / "content", "-binary", "-outform", "DER", "-signer", folder / "rsa2048.pem",
        *key_options,
    ).stdout  # fmt: skip
    assert problems(data, CONTENT) == set()
    (check,) = check_all(data, CONTENT)
    assert check.algorithm == "rsa-pss"


@pytest.mark.openssl
def test_we_accept_several_signers_of_openssl(openssl, folder) -> None:
    signers = [word for kind in ("rsa2048", "p384", "brainpool256") for word in ("-signer", folder / f"{kind}.pem")]
    data = openssl("cms", "-sign", "-in", folder / "content", "-binary", "-outform", "DER", *signers).stdout
    assert len(check_all(data, CONTENT)) == 3
    assert problems(data, CONTENT) == set()
    (folder / "first.der").write_bytes(data)
    resigned = openssl(
        "cms", "-resign", "-inform", "DER", "-in", folder / "first.der", "-content", folder / "content", "-outform",
        "DER", "-binary", "-signer", folder / "p256.pem",
    ).stdout  # fmt: skip
    assert len(check_all(resigned, CONTENT)) == 4
    assert problems(resigned, CONTENT) == set()


@pytest.mark.openssl
def test_weak_signatures_of_openssl(openssl, folder) -> None:
    sign = ("cms", "-sign", "-in", folder / "content", "-binary", "-outform", "DER", "-md", "sha1")
    data = openssl(*sign, "-signer", folder / "rsa2048.pem").stdout
    assert problems(data, CONTENT) == {"WEAK_DIGEST"}
    dsa = credential("dsa2048").write(folder, "dsa")
    assert problems(openssl(*sign[:-1], "sha256", "-signer", dsa).stdout, CONTENT) == {"WEAK_SIGNATURE_ALGORITHM"}


@pytest.mark.openssl
def test_a_restricted_pss_key(openssl, folder) -> None:
    """A certificate whose key may sign RSASSA-PSS with SHA-256 only, made and used by OpenSSL and by us."""
    openssl(
        "req", "-x509", "-newkey", "rsa-pss", "-pkeyopt", "rsa_keygen_bits:2048", "-pkeyopt",
        "rsa_pss_keygen_md:sha256", "-pkeyopt", "rsa_pss_keygen_mgf1_md:sha256", "-pkeyopt",
        "rsa_pss_keygen_saltlen:32", "-sigopt", "rsa_pss_saltlen:32", "-nodes", "-subj", "/CN=PSS", "-days", "30",
        "-keyout", folder / "pss.key", "-out", folder / "pss.crt",
    )  # fmt: skip
    (folder / "pss.pem").write_bytes((folder / "pss.key").read_bytes() + (folder / "pss.crt").read_bytes())
    data = openssl(
        "cms",
        "-sign",
        "-in",
        folder / "content",
        "-binary",
        "-outform",
        "DER",
        "-signer",
        folder / "pss.pem",
        "-keyopt",
        "rsa_padding_mode:pss",
    ).stdout
    assert problems(data, CONTENT) == set()
    from smime_engine.cms.signer import CmsSigner
    from smime_engine.keys import load_identity

    identity = load_identity((folder / "pss.pem").read_bytes())
    ours = CmsSigner(identity.key, identity.certificate).sign(CONTENT, now=NOW)
    assert check_all(ours, CONTENT)[0].algorithm == "rsa-pss"
    assert problems(ours, CONTENT) == set()
    (folder / "root.pem").write_bytes((folder / "pss.crt").read_bytes())
    openssl_verifies(openssl, folder, ours, detached=True)


# -------------------------------------------------------------------------------------------------------- gpgsm


@pytest.mark.gpgsm
@pytest.mark.parametrize("kind", ["rsa2048", "p256", "p384", "brainpool256"])
def test_gpgsm_accepts_ours(gpgsm, tmp_path, kind: str) -> None:
    holder = credential(kind)
    gpgsm.trust(authority().root_der)
    for der in holder.chain_der:
        gpgsm.import_certificate(der)
    (tmp_path / "content").write_bytes(CONTENT)
    for options in ({}, {"attributes": EVERY_ATTRIBUTE}, {"digest": "sha512"}, {"attributes": None}):
        (tmp_path / "detached").write_bytes(signer(kind, **options).sign(CONTENT, now=NOW))
        done = gpgsm("--verify", tmp_path / "detached", tmp_path / "content")
        assert b"GOODSIG" in done.stderr, options
    if kind == "rsa2048":
        (tmp_path / "pss").write_bytes(signer(kind, pss=True).sign(CONTENT, now=NOW))
        assert b"GOODSIG" in gpgsm("--verify", tmp_path / "pss", tmp_path / "content").stderr
        several = sign_with([signer(other) for other in ("rsa2048", "p256", "p384")], CONTENT, now=NOW)
        (tmp_path / "several").write_bytes(several)
        assert gpgsm("--verify", tmp_path / "several", tmp_path / "content").stderr.count(b" GOODSIG ") == 3
    (tmp_path / "opaque").write_bytes(signer(kind).sign(CONTENT, now=NOW, detached=False))
    gpgsm("--output", tmp_path / "out", "--verify", tmp_path / "opaque")
    assert (tmp_path / "out").read_bytes() == CONTENT


@pytest.mark.gpgsm
@pytest.mark.parametrize("kind", ["rsa2048", "rsa3072"])  # it imports no other keys from PKCS #12
def test_we_accept_gpgsms(gpgsm, tmp_path, kind: str) -> None:
    holder = credential(kind, "Gpg", usage="sign")
    gpgsm.trust(authority().root_der)
    for der in holder.chain_der:
        gpgsm.import_certificate(der)
    gpgsm.import_key_of(holder)
    (tmp_path / "content").write_bytes(CONTENT)
    for options, content in (
        (("--detach-sign",), CONTENT),
        (("--sign",), None),
        (("--digest-algo", "SHA512", "--detach-sign"), CONTENT),
    ):
        gpgsm("--output", tmp_path / "signed", *options, tmp_path / "content")
        data = (tmp_path / "signed").read_bytes()
        assert problems(data, content) == set(), options
        (check,) = check_all(data, content)
        assert check.certificate == Certificate.parse(holder.certificate_der)
        assert check.signing_time is not None


# ---------------------------------------------------------------------------------------------------------- NSS


@pytest.mark.nss
@pytest.mark.parametrize("kind", ["rsa2048", "p256", "p384"])
def test_nss_accepts_ours(nss, tmp_path, kind: str) -> None:
    nss.trust(authority().root_der)
    (tmp_path / "content").write_bytes(CONTENT)
    for options in ({}, {"attributes": EVERY_ATTRIBUTE}, {"digest": "sha384"}):
        (tmp_path / "detached").write_bytes(signer(kind, **options).sign(CONTENT, now=NOW))
        done = nss("cmsutil", "-D", "-i", tmp_path / "detached", "-c", tmp_path / "content", "-h", "1")
        assert b"signer0.status=GoodSignature" in done.stdout, options
        (tmp_path / "opaque").write_bytes(signer(kind, **options).sign(CONTENT, now=NOW, detached=False))
        done = nss("cmsutil", "-D", "-i", tmp_path / "opaque", "-o", tmp_path / "out")
        assert (tmp_path / "out").read_bytes() == CONTENT
    several = sign_with([signer(other) for other in ("rsa2048", "p256", "p384")], CONTENT, now=NOW)
    (tmp_path / "several").write_bytes(several)
    done = nss("cmsutil", "-D", "-i", tmp_path / "several", "-c", tmp_path / "content", "-h", "1")
    assert done.stdout.count(b"status=GoodSignature") == 3


@pytest.mark.nss
@pytest.mark.parametrize("kind", ["rsa2048", "p256"])
def test_we_accept_nsss(nss, tmp_path, kind: str) -> None:
    holder = credential(kind, "Nss")
    nss.trust(authority().root_der)
    for number, der in enumerate(holder.chain_der):
        nss.import_certificate(der, f"ca{number}")
    nss.import_pkcs12(holder.pkcs12(b"secret", old=True), "secret")
    (tmp_path / "content").write_bytes(CONTENT)
    for options, content in ((("-T",), CONTENT), ((), None), (("-T", "-H", "SHA512", "-G"), CONTENT)):
        nss("cmsutil", "-S", "-N", "test", *options, "-i", tmp_path / "content", "-o", tmp_path / "signed")
        data = (tmp_path / "signed").read_bytes()
        assert problems(data, content) == set(), options
        assert problems(data, b"other") == {"DIGEST_MISMATCH"}
