"""Everything that is tried with other programs: one row for each combination, with how each side makes it.

A combination is data: `ours` makes it here; the fields with the peers' names are their commands' options (None: the
command has no option for it). Who reads it, and how, is in `peers.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache, partial
from typing import Any

from smime_engine import DecryptionKeys, KeyRing, MessageCompressor, MessageEncryptor, MessageSigner, load_identity
from smime_engine.cms.addressing import (
    KekRecipient,
    KeyAgreementRecipient,
    KeyTransportRecipient,
    PasswordRecipient,
    Recipient,
    recipient_for,
)
from smime_engine.cms.compressed import compress
from smime_engine.cms.encrypted import encrypt_data
from smime_engine.cms.opening import KeyEncryptionKey
from smime_engine.cms.sealing import Encryptor, cut
from smime_engine.cms.several_signers import sign_with
from smime_engine.cms.signer import SignedAttributes
from smime_engine.crypto.key_management_algorithms import oaep
from smime_engine.keys import Identity
from tests import pki
from tests.cms import signers
from tests.cms.signers import CONTENT

__all__ = ["COMBINATIONS", "CONTENT", "Combination", "Options", "credential", "keys", "now"]

Options = tuple[str, ...]

_PASSWORD = "correct horse"
_RAW_KEYS = {size: bytes(range(size)) for size in (16, 24, 32)}
_SHARED = {size: KeyEncryptionKey(identifier=b"shared", key=key) for size, key in _RAW_KEYS.items()}


@dataclass(frozen=True, kw_only=True)
class Combination:
    """One row of the table."""

    section: str
    title: str
    kind: str
    """`signed`, `encrypted`, `compressed` or `keyed` (EncryptedData)."""

    ours: Callable[[], bytes] | None
    people: Options = ()
    """Kinds of the keys of signers or recipients."""

    detached: bool = False
    smime: bool = False
    """A message in text form instead of DER or BER."""

    bare: bool = False
    """Without certificates: the reader has to know them."""

    secret: Options = ()
    """OpenSSL's options for a password or a shared key, the same in both directions."""

    openssl: Options | None = None
    gpgsm: Options | None = None
    nss: Options | None = None


def now() -> datetime:
    """The peers judge by their own clock, and so does this side."""
    return datetime.now(UTC)


def credential(kind: str) -> pki.Credential:
    """Whoever signs or receives with a key of this kind: one certificate for both, where the key can do both."""
    only_encrypts = kind.startswith(("x", "mlkem"))
    return signers.credential(kind, "Interop", **({"usage": "encrypt"} if only_encrypts else {}))


@cache
def _identity(kind: str) -> Identity:
    return load_identity(credential(kind).pem())


def keys(combination: Combination) -> DecryptionKeys:
    """What opens a combination here."""
    return DecryptionKeys(
        ring=KeyRing([_identity(kind) for kind in combination.people]),
        passwords=(_PASSWORD.encode(),),
        key_encryption_keys=tuple(_SHARED.values()),
        content_keys=tuple(_RAW_KEYS.values()),
    )


# ----------------------------------------------------------------------------------------------------------- signatures

_ALGORITHMS: dict[str, tuple[str, dict[str, Any]]] = {
    "RSA, SHA-256": ("rsa2048", {"digest": "sha256"}),
    "RSA, SHA-384": ("rsa2048", {"digest": "sha384"}),
    "RSA, SHA-512": ("rsa2048", {"digest": "sha512"}),
    "RSA, SHA3-256": ("rsa2048", {"digest": "sha3-256"}),
    "RSA 4096, SHA-256": ("rsa4096", {"digest": "sha256"}),
    "RSASSA-PSS, SHA-256": ("rsa2048", {"digest": "sha256", "pss": True}),
    "RSASSA-PSS, SHA-512": ("rsa2048", {"digest": "sha512", "pss": True}),
    "ECDSA P-256, SHA-256": ("p256", {"digest": "sha256"}),
    "ECDSA P-384, SHA-384": ("p384", {"digest": "sha384"}),
    "ECDSA P-521, SHA-512": ("p521", {"digest": "sha512"}),
    "ECDSA brainpoolP256r1, SHA-256": ("brainpool256", {"digest": "sha256"}),
    "ECDSA brainpoolP384r1, SHA-384": ("brainpool384", {"digest": "sha384"}),
    "ECDSA brainpoolP512r1, SHA-512": ("brainpool512", {"digest": "sha512"}),
    "Ed25519": ("ed25519", {}),
    "Ed448": ("ed448", {}),
    "ML-DSA-65": ("mldsa65", {}),
}
_GPGSM_DIGESTS = {"sha256": "SHA256", "sha384": "SHA384", "sha512": "SHA512"}
_OPENSSL_PSS = ("-keyopt", "rsa_padding_mode:pss")


def _signatures() -> Iterator[Combination]:
    for title, (kind, options) in _ALGORITHMS.items():
        for detached in (True, False):
            yield Combination(
                section="Signatures: algorithms",
                title=f"{title}, {'detached' if detached else 'attached'}",
                kind="signed",
                people=(kind,),
                detached=detached,
                ours=_signed(kind, options, detached=detached),
                openssl=_openssl_signs(options, detached=detached),
                gpgsm=_gpgsm_signs(options, detached=detached),
                nss=_nss_signs(options, detached=detached),
            )
    for kind, name in (("rsa2048", "RSA"), ("p256", "ECDSA P-256")):
        yield from _signature_forms(kind, name)
    for detached in (True, False):
        several = ("rsa2048", "p256", "brainpool256")
        yield Combination(
            section="Signatures: forms",
            title=f"three signers (RSA, P-256, brainpoolP256r1), {'detached' if detached else 'attached'}",
            kind="signed",
            people=several,
            detached=detached,
            ours=_signed_by_all(several, detached=detached),
            openssl=_openssl_signs({}, detached=detached),
        )


def _signature_forms(kind: str, name: str) -> Iterator[Combination]:
    row = Combination(
        section="Signatures: forms", title="", kind="signed", people=(kind,), detached=True, ours=None, nss=None
    )

    def form(title: str, options: dict[str, Any], *openssl: str, **more: Any) -> Combination:
        ours = _signed(kind, options, detached=True)
        return replace(row, title=f"{name}, {title}", openssl=openssl, **{"ours": ours, **more})

    yield form("signer by key identifier", {"by_key_identifier": True}, "-keyid")
    yield form("without signed attributes", {"attributes": None}, "-noattr")
    yield form("without certificates", {"include_certificates": False}, "-nocerts", gpgsm=_GPGSM_BARE, bare=True)
    yield form("signingCertificate (ESS)", {"attributes": SignedAttributes(signing_certificate=True)}, "-cades")
    yield form("streamed BER", {}, "-nodetach", "-stream", ours=None, detached=False)
    yield form("multipart/signed", {}, ours=_mailed(kind, clear=True), detached=False, smime=True)
    yield form("application/pkcs7-mime", {}, "-nodetach", ours=_mailed(kind, clear=False), detached=False, smime=True)


_GPGSM_BARE = ("--include-certs", "0", "--detach-sign")


def _signed(kind: str, options: dict[str, Any], *, detached: bool) -> Callable[[], bytes]:
    return lambda: signers.signer(kind, "Interop", **options).sign(CONTENT, now=now(), detached=detached)


def _signed_by_all(kinds: Options, *, detached: bool) -> Callable[[], bytes]:
    return lambda: sign_with([signers.signer(kind, "Interop") for kind in kinds], CONTENT, now=now(), detached=detached)


def _mailed(kind: str, *, clear: bool) -> Callable[[], bytes]:
    return lambda: MessageSigner.of(signers.signer(kind, "Interop"), clear=clear).sign(CONTENT, now=now())


def _openssl_signs(options: dict[str, Any], *, detached: bool) -> Options:
    digest = ("-md", options["digest"]) if "digest" in options else ()
    return (*digest, *(_OPENSSL_PSS if options.get("pss") else ()), *(() if detached else ("-nodetach",)))


def _gpgsm_signs(options: dict[str, Any], *, detached: bool) -> Options | None:
    digest = _GPGSM_DIGESTS.get(options.get("digest", "sha256"))
    if digest is None or options.get("pss"):
        return None
    return ("--digest-algo", digest, "--detach-sign" if detached else "--sign")


def _nss_signs(options: dict[str, Any], *, detached: bool) -> Options | None:
    digest = _GPGSM_DIGESTS.get(options.get("digest", "sha256"))
    if digest is None or options.get("pss"):
        return None
    return ("-H", digest, "-G", *(("-T",) if detached else ()))


# ----------------------------------------------------------------------------------------------------------- encryption

_CIPHERS = {
    # ours -> (OpenSSL's, gpgsm's, NSS's: cmsutil has no option, this is what it chooses)
    "aes128-cbc": ("-aes-128-cbc", "AES128", ()),
    "aes192-cbc": ("-aes-192-cbc", "AES192", None),
    "aes256-cbc": ("-aes-256-cbc", "AES256", None),
    "aes128-gcm": ("-aes-128-gcm", None, None),
    "aes192-gcm": ("-aes-192-gcm", None, None),
    "aes256-gcm": ("-aes-256-gcm", None, None),
    "aes256-ccm": ("-aes-256-ccm", None, None),
    "chacha20-poly1305": ("-chacha20-poly1305", None, None),
    "camellia256-cbc": ("-camellia256", "CAMELLIA256", None),
    "des-ede3-cbc": ("-des3", "3DES", None),
}
_AGREEMENTS = {
    "p256": "sha256",
    "p384": "sha384",
    "p521": "sha512",
    "brainpool256": "sha256",
    "brainpool384": "sha384",
    "brainpool512": "sha512",
    "x25519": "",
    "x448": "",
}
"""Kind of key -> digest of the key derivation that suits it."""

_NAMES = {
    "p256": "P-256",
    "p384": "P-384",
    "p521": "P-521",
    "brainpool256": "brainpoolP256r1",
    "brainpool384": "brainpoolP384r1",
    "brainpool512": "brainpoolP512r1",
    "x25519": "X25519",
    "x448": "X448",
    "mlkem768": "ML-KEM-768",
    "mlkem1024": "ML-KEM-1024",
}
_CBC, _GCM = "aes256-cbc", "aes256-gcm"


def _row(title: str, kinds: Sequence[str], recipients: Callable[[], list[Recipient]], **more: Any) -> Combination:
    """AES-256-CBC unless `cipher` says another one."""
    cipher, derives_key = more.pop("cipher", _CBC), more.pop("derives_key", False)
    fields: dict[str, Any] = {
        "section": "Encryption: recipients",
        "kind": "encrypted",
        "ours": lambda: Encryptor(recipients(), cipher=cipher, derives_key=derives_key).seal(CONTENT),
    }
    return Combination(title=title, people=tuple(kinds), **{**fields, **more})


def _recipient(kind: str, **options: Any) -> Callable[[], list[Recipient]]:
    return lambda: [replace(recipient_for(_identity(kind).certificate), **options)]


def _ciphers() -> Iterator[Combination]:
    for kind, name, keyopts in (("rsa2048", "RSA PKCS #1 v1.5", ()), ("p256", "ECDH P-256", _kdf("sha256"))):
        for cipher, (openssl, gpgsm, nss) in _CIPHERS.items():
            yield _row(
                f"{name}, {cipher}",
                (kind,),
                _recipient(kind),
                section="Encryption: content ciphers",
                cipher=cipher,
                openssl=(openssl, *keyopts),
                gpgsm=None if gpgsm is None else ("--cipher-algo", gpgsm),
                nss=nss,
            )
        for cipher in (_CBC, _GCM):
            yield _row(
                f"{name}, {cipher}, RFC 9709 derived key",
                (kind,),
                _recipient(kind),
                section="Encryption: content ciphers",
                cipher=cipher,
                derives_key=True,
            )


def _kdf(digest: str) -> Options:
    return ("-keyopt", f"ecdh_kdf_md:{digest}")


def _oaep() -> Iterator[Combination]:
    for digest, mask, label in (
        ("sha1", "sha1", b""),
        ("sha224", "sha224", b""),
        ("sha256", "sha256", b""),
        ("sha384", "sha384", b""),
        ("sha512", "sha512", b""),
        ("sha256", "sha1", b""),
        ("sha256", "sha256", b"label"),
    ):
        options = ["rsa_padding_mode:oaep", f"rsa_oaep_md:{digest}", f"rsa_mgf1_md:{mask}"]
        options += [f"rsa_oaep_label:{label.hex()}"] if label else []

        def recipients(digest: str = digest, mask: str = mask, label: bytes = label) -> list[Recipient]:
            scheme = oaep(digest, mask, label)
            return [KeyTransportRecipient(certificate=_identity("rsa2048").certificate, scheme=scheme)]

        yield _row(
            f"RSA-OAEP, {digest}, MGF1 {mask}{', with label' if label else ''}",
            ("rsa2048",),
            recipients,
            openssl=("-aes-256-cbc", *(word for option in options for word in ("-keyopt", option))),
        )


def _agreements() -> Iterator[Combination]:
    for kind, digest in _AGREEMENTS.items():
        yield _row(
            f"ECDH {_NAMES[kind]}",
            (kind,),
            _recipient(kind),
            openssl=("-aes-256-cbc", *(_kdf(digest) if digest else ())),
            gpgsm=("--cipher-algo", "AES256"),
            nss=(),
        )
    for digest in ("sha1", "sha224", "sha384", "sha512"):
        yield _agreement(f"ECDH P-256, KDF {digest}", digest)
    yield _agreement("ECDH P-256, cofactor, KDF sha256", "sha256", cofactor=True)
    yield _agreement("ECDH P-256, AES-128 key wrap", "sha256", "-aes128-wrap", wrap="aes128-wrap")
    yield _agreement("ECDH P-256, user keying material", "sha256", ukm=b"user keying material", openssl=None)


def _agreement(title: str, digest: str, *wrap: str, cofactor: bool = False, **options: Any) -> Combination:
    more = {"openssl": options.pop("openssl")} if "openssl" in options else {}
    scheme = f"ecdh-{'cofactor-' if cofactor else ''}{digest}kdf"
    keyopts = (*_kdf(digest), "-keyopt", f"ecdh_cofactor_mode:{int(cofactor)}")

    def recipients() -> list[Recipient]:
        return [KeyAgreementRecipient(certificate=_identity("p256").certificate, scheme=scheme, **options)]

    return _row(title, ("p256",), recipients, **{"openssl": ("-aes-256-cbc", *wrap, *keyopts), **more})


def _other_recipients() -> Iterator[Combination]:
    for kind in ("mlkem768", "mlkem1024"):
        yield _row(f"KEM {_NAMES[kind]}", (kind,), _recipient(kind), openssl=("-aes-256-cbc",), nss=())
    for kind, name, keyopts in (("rsa2048", "RSA PKCS #1 v1.5", ()), ("p256", "ECDH P-256", _kdf("sha256"))):
        yield _row(
            f"{name}, recipient by key identifier",
            (kind,),
            _recipient(kind, by_key_identifier=True),
            openssl=("-aes-256-cbc", "-keyid", *keyopts),
        )
    secret = ("-pwri_password", _PASSWORD)
    for cipher, openssl in ((_CBC, ("-aes-256-cbc",)), (_GCM, ("-aes-256-gcm",))):
        yield _row(f"password (PBKDF2), {cipher}", (), _password, cipher=cipher, secret=secret, openssl=openssl)
    for size, shared in _SHARED.items():

        def recipients(shared: KeyEncryptionKey = shared) -> list[Recipient]:
            return [KekRecipient(key_encryption_key=shared)]

        named = ("-secretkey", shared.key.hex(), "-secretkeyid", shared.identifier.hex())
        yield _row(f"shared key, AES-{size * 8} key wrap", (), recipients, secret=named, openssl=("-aes-256-cbc",))
    options = ("-aes-256-cbc", *_kdf("sha256"))  # for the last one
    yield _row("three recipients (RSA, RSA 4096, P-256)", _THREE, _several(_THREE), openssl=options)
    yield _row(
        "two recipients (RSA, RSA 4096), aes128-cbc",
        _THREE[:2],
        _several(_THREE[:2]),
        cipher="aes128-cbc",
        openssl=("-aes-128-cbc",),
        gpgsm=("--cipher-algo", "AES128"),
        nss=(),
    )


_THREE = ("rsa2048", "rsa4096", "p256")


def _several(kinds: Options) -> Callable[[], list[Recipient]]:
    return lambda: [recipient_for(_identity(kind).certificate) for kind in kinds]


def _password() -> list[Recipient]:
    return [PasswordRecipient(password=_PASSWORD.encode(), iterations=2048)]


def _encryption_forms() -> Iterator[Combination]:
    for cipher, openssl in ((_CBC, "-aes-256-cbc"), (_GCM, "-aes-256-gcm")):
        common: dict[str, Any] = {"section": "Encryption: forms", "cipher": cipher}
        recipients = _recipient("rsa2048")
        title, who = f"RSA, {cipher}, streamed BER", ("rsa2048",)
        yield _row(title, who, recipients, ours=_streamed(cipher), openssl=(openssl, "-stream"), **common)
        title = f"RSA, {cipher}, application/pkcs7-mime"
        yield _row(title, who, recipients, ours=_mail(cipher), smime=True, openssl=(openssl,), **common)


def _streamed(cipher: str) -> Callable[[], bytes]:
    return lambda: b"".join(Encryptor(_recipient("rsa2048")(), cipher=cipher).pieces(cut(CONTENT, 700)))


def _mail(cipher: str) -> Callable[[], bytes]:
    return lambda: MessageEncryptor(_recipient("rsa2048")(), cipher=cipher).encrypt(CONTENT)


def _other_content() -> Iterator[Combination]:
    row = Combination(section="Other contents", title="", kind="compressed", ours=None)
    yield replace(row, title="CompressedData (zlib)", ours=lambda: compress(CONTENT), openssl=())
    yield replace(row, title="CompressedData (zlib), streamed BER", openssl=("-stream",))
    yield replace(
        row,
        title="CompressedData (zlib), application/pkcs7-mime",
        ours=lambda: MessageCompressor().compress(CONTENT),
        smime=True,
        openssl=(),
    )
    for cipher, (openssl, size) in {"aes256-cbc": ("-aes-256-cbc", 32), "des-ede3-cbc": ("-des3", 24)}.items():
        yield replace(
            row,
            title=f"EncryptedData, {cipher}",
            kind="keyed",
            ours=partial(encrypt_data, CONTENT, _RAW_KEYS[size], cipher=cipher),
            secret=("-secretkey", _RAW_KEYS[size].hex()),
            openssl=(openssl,),
        )


COMBINATIONS: tuple[Combination, ...] = (
    *_signatures(),
    *_ciphers(),
    *_oaep(),
    *_agreements(),
    *_other_recipients(),
    *_encryption_forms(),
    *_other_content(),
)
