"""Keys in a real PKCS #11 token: real messages signed and opened, sessions lost and found, PINs."""

from __future__ import annotations

import os
import shutil
import threading
from functools import cache
from itertools import count

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from hypothesis import given
from hypothesis import strategies as st

from smime_engine import (
    CmsSigner,
    Identity,
    KeyRing,
    MessageEncryptor,
    MessageSigner,
    TrustCollection,
    Verdict,
    open_message,
    recipient_for,
)
from smime_engine.certificate import Certificate
from smime_engine.crypto.key_management import AgreementPublicKey, KemCiphertext, RsaCiphertext
from smime_engine.crypto.key_management_algorithms import PKCS1_V1_5, oaep
from smime_engine.crypto.oaep import remove_oaep
from smime_engine.crypto.public_keys import default_family, load_public_key
from smime_engine.crypto.signature_algorithms import Family, scheme_for
from smime_engine.crypto.signing import verify
from smime_engine.errors import (
    ConfigurationError,
    DecryptionFailed,
    InvalidKey,
    SourceUnavailable,
    UnsupportedAlgorithm,
)
from smime_engine.sources.master_key import MasterKeys
from smime_engine.sources.pkcs11_uri import Pkcs11Uri, parse_pkcs11_uri
from tests import pki

ROOT = pki.authority("Token Root")
CA = ROOT.subordinate("Token CA")
MESSAGE = b"From: alice@example.org\r\nTo: bob@example.org\r\nSubject: x\r\nContent-Type: text/plain\r\n\r\nhello\r\n"
CURVES = ("secp256r1", "secp384r1", "secp521r1")
_labels = count()


# --- URIs (no token needed)


@pytest.mark.parametrize(
    ("text", "uri"),
    [
        ("pkcs11:", Pkcs11Uri()),
        ("PKCS11:token=My%20Token;id=%01%fF;object=k", Pkcs11Uri(token="My Token", id=b"\x01\xff", object="k")),
        (
            "pkcs11:serial=1?module-path=/usr/lib/x.so&pin-source=file:/p",
            Pkcs11Uri(serial="1", module_path="/usr/lib/x.so", pin_source="file:/p"),
        ),
        ("pkcs11:token=a;type=private", Pkcs11Uri(token="a")),
        ("pkcs11:object=gr%C3%BCn", Pkcs11Uri(object="grün")),
    ],
)
def test_uris_are_read_and_written(text, uri):
    assert parse_pkcs11_uri(text) == uri
    assert parse_pkcs11_uri(str(uri)) == uri


@pytest.mark.parametrize(
    "text",
    ["", "token=a", "pkcs11", "pkcs11:token", "pkcs11:color=red", "pkcs11:token=a;token=b", "pkcs11:type=public",
     "pkcs11:token=%ff", "pkcs11:?pin-value=1234", "pkcs11:?module-name=x", "pkcs11:object=" + "a" * 5000],
)  # fmt: skip
def test_other_uris_are_refused(text):
    with pytest.raises(ConfigurationError) as raised:
        parse_pkcs11_uri(text)
    assert "1234" not in str(raised.value)


@given(st.text())
def test_a_uri_or_an_error(text):
    for each in (text, f"pkcs11:{text}"):
        try:
            parse_pkcs11_uri(each)
        except ConfigurationError:
            continue


def test_a_bare_uri_names_neither_module_nor_pin():
    uri = parse_pkcs11_uri("pkcs11:token=a;id=%01?module-path=/x.so&pin-source=file:/pin")
    assert str(uri.bare) == "pkcs11:token=a;id=%01"


# --- OAEP without the token's help


@pytest.mark.parametrize(("digest", "mask", "label"), [("sha256", "sha256", b""), ("sha512", "sha1", b"label")])
def test_oaep_padding_is_removed(digest, mask, label):
    key = pki.new_key("rsa2048")
    scheme = oaep(digest, mask, label)
    hashes_ = {"sha1": hashes.SHA1(), "sha256": hashes.SHA256(), "sha512": hashes.SHA512()}
    ciphertext = key.public_key().encrypt(
        b"secret", padding.OAEP(padding.MGF1(hashes_[mask]), hashes_[digest], label or None)
    )
    numbers = key.private_numbers()
    encoded = pow(int.from_bytes(ciphertext, "big"), numbers.d, numbers.public_numbers.n).to_bytes(256, "big")
    assert remove_oaep(scheme, encoded, 256) == b"secret"
    assert remove_oaep(scheme, encoded.lstrip(b"\0"), 256) == b"secret"
    for position in range(0, 256, 5):
        damaged = bytearray(encoded)
        damaged[position] ^= 1
        with pytest.raises(DecryptionFailed):
            remove_oaep(scheme, bytes(damaged), 256)
    for wrong in (b"", bytes(256), encoded + b"\0"):
        with pytest.raises(DecryptionFailed):
            remove_oaep(scheme, wrong, 256)
    with pytest.raises(DecryptionFailed):
        remove_oaep(scheme, bytes(40), 40)


# --- a token


@pytest.fixture(scope="module")
def hsm():
    from tests.sources.softhsm import SoftHsm

    made = SoftHsm()
    yield made
    made.remove()


class Prepared:
    """A token with keys: an imported RSA key and generated elliptic ones, each with a certificate beside it."""

    def __init__(self, hsm) -> None:
        from tests.sources.softhsm import generate_elliptic, put_certificate, put_rsa

        self.label = f"token {next(_labels)}"
        hsm.new_token(self.label)
        session = hsm.session(self.label)
        self.certificates: dict[str, Certificate] = {}
        rsa = pki.new_key("rsa2048", "in a token")
        pkcs1 = rsa.private_bytes(
            serialization.Encoding.DER, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
        put_rsa(session, pkcs1, b"\x01", "rsa")
        self._certify(session, "rsa", b"\x01", rsa.public_key(), put_certificate)
        for number, curve in enumerate(CURVES, 2):
            identifier = bytes((number,))
            public = generate_elliptic(session, curve, identifier, curve)
            from pkcs11.util.ec import encode_ec_public_key

            native = serialization.load_der_public_key(encode_ec_public_key(public))
            self._certify(session, curve, identifier, native, put_certificate)
        session.close()

    def _certify(self, session, name, identifier, public_key, put_certificate) -> None:
        class Holder:
            """Stands for a key that cannot be had: only its public half is asked for."""

            @staticmethod
            def public_key():
                return public_key

        credential = CA.issue(name, "alice@example.org", key=Holder)
        put_certificate(session, credential.certificate_der, identifier, name)
        self.certificates[name] = Certificate.parse(credential.certificate_der)

    def token(self, pin=None, **options):
        from smime_engine.sources.pkcs11 import Token
        from tests.sources.softhsm import MODULE, PIN

        return Token(MODULE, label=self.label, pin=pin or (lambda: PIN), **options)

    def identity(self, token, name: str) -> Identity:
        from smime_engine.sources.pkcs11_keys import TokenKey

        chain = (Certificate.parse(CA.certificate_der),)
        certificate = self.certificates[name]
        return Identity(key=TokenKey(token, f"pkcs11:object={name}", certificate), certificate=certificate, chain=chain)


@cache
def _prepared(hsm) -> Prepared:
    return Prepared(hsm)


@pytest.fixture
def prepared(hsm) -> Prepared:
    return _prepared(hsm)


@pytest.fixture
def token(prepared):
    with prepared.token() as opened:
        yield opened


def _scheme(public, digest: str = "sha256"):
    return scheme_for(default_family(public), digest)


def valid(message: bytes) -> bool:
    trust = TrustCollection((Certificate.parse(ROOT.certificate_der),))
    return open_message(message, trust=trust, now=pki.MOMENT).verdict is Verdict.VALID


@pytest.mark.pkcs11
@pytest.mark.openssl
@pytest.mark.parametrize("digest", ["sha256", "sha384", "sha512"])
@pytest.mark.parametrize(("name", "pss"), [("rsa", True), *((name, False) for name in ("rsa", *CURVES))])
def test_messages_are_signed(prepared, token, openssl, tmp_path, name, digest, pss):
    identity = prepared.identity(token, name)
    signer = CmsSigner(identity.key, identity.certificate, chain=identity.chain, digest=digest, pss=pss)
    message = MessageSigner.of(signer).sign(MESSAGE, now=pki.MOMENT)
    assert valid(message)
    (tmp_path / "root").write_bytes(ROOT.certificate_pem)
    verified = openssl(
        *("cms", "-verify", "-CAfile", tmp_path / "root", "-purpose", "any"),
        *("-attime", str(int(pki.MOMENT.timestamp())), "-auth_level", "0"),
        stdin=message,
    )
    assert b"hello" in verified.stdout


@pytest.mark.pkcs11
@pytest.mark.parametrize("scheme", [PKCS1_V1_5, oaep("sha1"), oaep("sha256"), oaep("sha512", "sha256", b"label")])
def test_rsa_messages_are_opened(prepared, token, scheme):
    identity = prepared.identity(token, "rsa")
    recipient = recipient_for(identity.certificate, rsa_scheme=scheme)
    sealed = MessageEncryptor([recipient], cipher="aes256-gcm").encrypt(MESSAGE)
    assert b"hello" in open_message(sealed, keys=KeyRing([identity]), now=pki.MOMENT).content


@pytest.mark.pkcs11
@pytest.mark.parametrize("curve", CURVES)
def test_ecdh_messages_are_opened(prepared, token, curve):
    identity = prepared.identity(token, curve)
    sealed = MessageEncryptor([recipient_for(identity.certificate)]).encrypt(MESSAGE)
    assert b"hello" in open_message(sealed, keys=KeyRing([identity]), now=pki.MOMENT).content


@pytest.mark.pkcs11
@pytest.mark.openssl
@pytest.mark.parametrize("options", [(), ("-keyopt", "rsa_padding_mode:oaep")])
def test_messages_of_openssl_are_opened(prepared, token, openssl, tmp_path, options):
    for name in ("rsa", "secp256r1") if not options else ("rsa",):
        identity = prepared.identity(token, name)
        from cryptography import x509

        pem = x509.load_der_x509_certificate(identity.certificate.der).public_bytes(serialization.Encoding.PEM)
        (tmp_path / "to").write_bytes(pem)
        sealed = openssl(
            "cms",
            "-encrypt",
            "-aes256",
            "-recip",
            tmp_path / "to",
            *options,
            stdin=b"Content-Type: text/plain\n\nhello\n",
        )
        assert b"hello" in open_message(sealed.stdout, keys=KeyRing([identity]), now=pki.MOMENT).content


@pytest.mark.pkcs11
def test_ed25519_signs(hsm, prepared, token):
    from asn1crypto.core import PrintableString
    from pkcs11 import Attribute, KeyType

    from smime_engine.sources.pkcs11_keys import TokenKey

    session = hsm.session(prepared.label)
    parameters = session.create_domain_parameters(
        KeyType.EC_EDWARDS, {Attribute.EC_PARAMS: PrintableString("edwards25519").dump()}, local=True
    )
    parameters.generate_keypair(store=True, id=b"\x20", label="ed")
    session.close()
    key = TokenKey(token, "pkcs11:object=ed")
    public = load_public_key(key.public_key_info)
    scheme = _scheme(public, "sha512")
    assert verify(public, key.sign(b"data", scheme), b"data", scheme)


@pytest.mark.pkcs11
def test_bad_ciphertexts_are_one_error(prepared, token):
    rsa, ec = prepared.identity(token, "rsa").key, prepared.identity(token, "secp256r1").key
    other = pki.new_key("p384").public_key()
    info = other.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    own = bytearray(ec.public_key_info)
    own[-1] ^= 1
    wrong = [
        (rsa, RsaCiphertext(scheme=scheme, ciphertext=octets))
        for scheme in (PKCS1_V1_5, oaep("sha1"), oaep("sha256"))
        for octets in (bytes(256), b"\1" * 256, b"\xff" * 256, b"", b"\1" * 255, b"\1" * 300)
    ]
    wrong += [
        (ec, AgreementPublicKey(public_key_info=info)),
        (ec, AgreementPublicKey(public_key_info=bytes(own))),
        (ec, AgreementPublicKey(public_key_info=b"")),
        (ec, AgreementPublicKey(public_key_info=rsa.public_key_info)),
        (rsa, AgreementPublicKey(public_key_info=rsa.public_key_info)),
        (ec, RsaCiphertext(scheme=PKCS1_V1_5, ciphertext=bytes(256))),
        (ec, KemCiphertext(ciphertext=b"")),
    ]
    for key, wrapped in wrong:
        with pytest.raises(DecryptionFailed) as raised:
            key.unwrap(wrapped)
        assert raised.value.__cause__ is None
    assert len(token._idle) == 1, "none of them cost a session"


@pytest.mark.pkcs11
def test_a_damaged_message_fails_as_it_does_in_memory(prepared, token):
    identity = prepared.identity(token, "rsa")
    sealed = MessageEncryptor([recipient_for(identity.certificate)]).encrypt(MESSAGE)
    position = sealed.index(b"\r\n\r\n") + 400  # inside of the encrypted content key
    damaged = sealed[:position] + (b"A" if sealed[position : position + 1] != b"A" else b"B") + sealed[position + 1 :]
    with pytest.raises(DecryptionFailed) as raised:
        open_message(damaged, keys=KeyRing([identity]), now=pki.MOMENT)
    assert str(raised.value) == "the message could not be decrypted"


# --- finding keys


@pytest.mark.pkcs11
def test_keys_are_found(hsm, prepared, token):
    from smime_engine.sources.pkcs11_keys import TokenKey
    from tests.sources.softhsm import generate_elliptic

    for name, identifier in zip(("rsa", *CURVES), range(1, 5), strict=True):
        certificate = prepared.certificates[name]
        for key in (
            TokenKey(token, f"pkcs11:id=%{identifier:02x}"),
            TokenKey(token, f"pkcs11:object={name}"),
            TokenKey(token, Pkcs11Uri(id=bytes((identifier,)), object=name)),
            TokenKey(token, certificate=certificate),
        ):
            assert key.public_key_info == certificate.public_key_info
            assert "pkcs11:" in repr(key)
    assert {label for _, label, _ in token.certificates()} == {"rsa", *CURVES}
    for uri in ("pkcs11:object=none", "pkcs11:id=%01;object=secp256r1", "pkcs11:"):
        with pytest.raises(InvalidKey, match="the token has"):
            TokenKey(token, uri)
    with pytest.raises(InvalidKey, match="does not belong"):
        TokenKey(token, "pkcs11:id=%01", prepared.certificates["secp256r1"])
    stranger = Certificate.parse(CA.issue("Stranger", "s@example.org").certificate_der)
    with pytest.raises(InvalidKey, match="no key for the certificate"):
        TokenKey(token, certificate=stranger)
    session = hsm.session(prepared.label)
    public = generate_elliptic(session, "secp256r1", b"\x30", "alone")
    from pkcs11.util.ec import encode_ec_public_key

    native = serialization.load_der_public_key(encode_ec_public_key(public))
    session.close()

    class Holder:
        @staticmethod
        def public_key():
            return native

    beside = Certificate.parse(CA.issue("Beside", "b@example.org", key=Holder).certificate_der)
    assert TokenKey(token, certificate=beside).name == "pkcs11:id=%30", "by its public key, without a certificate there"


@pytest.mark.pkcs11
def test_a_key_that_may_not_do_it_says_so(prepared, token):
    ec = prepared.identity(token, "secp256r1").key
    with pytest.raises(UnsupportedAlgorithm):
        ec.sign(b"", scheme_for(Family.RSA, "sha256"))
    public = load_public_key(ec.public_key_info)
    with pytest.raises(UnsupportedAlgorithm):
        ec.sign(b"", scheme_for(Family.ML_DSA_44, "sha256"))
    assert verify(public, ec.sign(b"x", _scheme(public)), b"x", _scheme(public))


# --- sessions


@pytest.mark.pkcs11
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # python-pkcs11 when nothing works
@pytest.mark.parametrize("loss", ["sessions", "logout", "reinitialised", "finalised"])
def test_lost_sessions_are_opened_anew(prepared, loss):
    import pkcs11

    from tests.sources.softhsm import MODULE

    with prepared.token() as token:
        key = prepared.identity(token, "rsa").key
        public = load_public_key(key.public_key_info)
        scheme = _scheme(public)
        key.sign(b"x", scheme)
        library = pkcs11.lib(MODULE)
        if loss == "sessions":
            for borrowed in [*token._idle, token._login]:
                borrowed.session.close()
        elif loss == "logout":
            token._login.session.close()
        elif loss == "reinitialised":
            library.reinitialize()
        else:
            library.finalize()
        assert verify(public, key.sign(b"y", scheme), b"y", scheme)
        wrapped = RsaCiphertext(scheme=PKCS1_V1_5, ciphertext=public.native.encrypt(b"secret", padding.PKCS1v15()))
        library.reinitialize()
        assert key.unwrap(wrapped) == b"secret"


@pytest.mark.pkcs11
def test_a_token_that_is_pulled_out_and_put_back(hsm):
    prepared = Prepared(hsm)
    with prepared.token() as token:
        key = prepared.identity(token, "secp256r1").key
        public = load_public_key(key.public_key_info)
        scheme = _scheme(public)
        before = set(hsm.tokens.iterdir())
        theirs = [
            path for path in before if prepared.label.encode() in b"".join(f.read_bytes() for f in path.iterdir())
        ]
        for path in theirs:
            shutil.move(path, hsm.folder)
        hsm.refresh()
        with pytest.raises(SourceUnavailable, match="try again"):
            key.sign(b"x", scheme)
        for path in theirs:
            shutil.move(hsm.folder / path.name, hsm.tokens)
        assert verify(public, key.sign(b"y", scheme), b"y", scheme)


@pytest.mark.pkcs11
def test_threads_share_a_token(prepared, token):
    identities = [prepared.identity(token, name) for name in ("rsa", "secp256r1")]
    failures = []

    def work(identity: Identity) -> None:
        public = load_public_key(identity.key.public_key_info)
        scheme = _scheme(public)
        try:
            for number in range(20):
                data = b"%d" % number
                assert verify(public, identity.key.sign(data, scheme), data, scheme)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(identities[number % 2],)) for number in range(8)]
    for thread in threads:
        thread.start()
    import pkcs11

    from tests.sources.softhsm import MODULE

    with token._module.gate:
        pkcs11.lib(MODULE).reinitialize()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(token._idle) <= 8


@pytest.mark.pkcs11
def test_a_wrong_pin_is_tried_once(prepared, caplog):
    from smime_engine.sources.pkcs11_keys import TokenKey

    asked = []

    def pin() -> str:
        asked.append(1)
        return "wrong pin 99"

    with prepared.token(pin) as token:
        for _ in range(5):
            with pytest.raises(ConfigurationError, match="refuses the PIN") as raised:
                TokenKey(token, "pkcs11:object=rsa")
            assert "99" not in str(raised.value)
            assert raised.value.__cause__ is None
    assert len(asked) == 1
    assert "99" not in caplog.text


@pytest.mark.pkcs11
def test_pins_from_files(prepared, tmp_path):
    from smime_engine.sources.pkcs11 import pin_file, token_of
    from smime_engine.sources.pkcs11_keys import TokenKey
    from tests.sources.softhsm import MODULE, PIN

    path = tmp_path / "pin"
    path.write_text(PIN + "\r\nsecond line")
    path.chmod(0o640)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        pin_file(path)()
    path.chmod(0o600)
    uri = parse_pkcs11_uri(
        f"pkcs11:token={prepared.label.replace(' ', '%20')}?module-path={MODULE}&pin-source=file:{path}"
    )
    with token_of(uri) as token:
        assert TokenKey(token, "pkcs11:object=rsa").public_key_info
    with pytest.raises(ConfigurationError, match="module-path"):
        token_of(uri.bare)
    with pytest.raises(ConfigurationError, match="comes from a file"):
        token_of(Pkcs11Uri(module_path=MODULE, pin_source="http://x"))


@pytest.mark.pkcs11
def test_what_is_not_there(prepared, tmp_path):
    from smime_engine.sources.pkcs11 import Token
    from smime_engine.sources.pkcs11_keys import TokenKey
    from tests.sources.softhsm import MODULE

    with pytest.raises(ConfigurationError, match="cannot be loaded"):
        TokenKey(Token(str(tmp_path / "none.so")), "pkcs11:object=rsa")
    with pytest.raises(SourceUnavailable, match="no such token"):
        TokenKey(Token(MODULE, label="none"), "pkcs11:object=rsa")


@pytest.mark.pkcs11
def test_two_tokens_of_one_process_share_a_login(prepared):
    from smime_engine.sources.pkcs11_keys import TokenKey

    first, second = prepared.token(), prepared.token()
    one, two = TokenKey(first, "pkcs11:object=rsa"), TokenKey(second, "pkcs11:object=rsa")
    public = load_public_key(one.public_key_info)
    scheme = _scheme(public)
    first.close()
    assert verify(public, two.sign(b"x", scheme), b"x", scheme)
    second.close()


@pytest.mark.pkcs11
def test_a_child_is_told_to_open_its_own(prepared, token):
    key = prepared.identity(token, "rsa").key
    child = os.fork()
    if child == 0:
        code = 1
        try:
            key.sign(b"", _scheme(load_public_key(key.public_key_info)))
        except ConfigurationError:
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0


# --- master keys


@pytest.mark.pkcs11
def test_a_master_key_in_a_token(hsm, prepared, token):
    from pkcs11 import Attribute, AttributeSensitive, ObjectClass

    from smime_engine.sources.pkcs11_keys import TokenMasterKey, generate_master_key

    label = f"master {next(_labels)}"
    generate_master_key(token, label)
    with pytest.raises(InvalidKey, match="already"):
        generate_master_key(token, label)
    keys = MasterKeys([TokenMasterKey(token, Pkcs11Uri(object=label))])
    sealed = keys.seal(b"secret", b"alice")
    assert keys.open(sealed, b"alice") == b"secret"
    for wrong, context in ((sealed, b"bob"), (sealed[:-1], b"alice"), (sealed[:-1] + b"\0", b"alice")):
        with pytest.raises(InvalidKey):
            keys.open(wrong, context)
    again = MasterKeys([TokenMasterKey(token, Pkcs11Uri(object=label))])
    assert again.open(sealed, b"alice") == b"secret"
    with pytest.raises(InvalidKey, match="no AES key"):
        TokenMasterKey(token, Pkcs11Uri(object="none"))
    session = hsm.session(prepared.label)
    (found,) = session.get_objects({Attribute.CLASS: ObjectClass.SECRET_KEY, Attribute.LABEL: label})
    with pytest.raises(AttributeSensitive):
        found[Attribute.VALUE]
    session.close()
