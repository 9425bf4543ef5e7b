"""Private keys and master keys that stay in a PKCS #11 token.

Does: `TokenKey`, which signs and unwraps as `keys.PrivateKey` asks for; finding a key by identifier, label or
certificate; `TokenMasterKey`, which seals the store's keys. Digests are computed here: a token sees 64 octets of a
message of any size. Does not: sessions (`pkcs11.py`).

Bad padding is `DecryptionFailed`, as it is for keys in memory; that a token takes longer over it than over good padding
is the token's own affair, and no message gets an answer from us that tells.

Standards: PKCS #11 3.1 sections 6.1 (RSA), 6.3 (elliptic curves), 6.13 (AES-GCM); RFC 8017, RFC 5753, RFC 3279.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from secrets import token_bytes
from typing import Any

import pkcs11
from pkcs11 import KDF, MGF, Attribute, GCMParams, KeyType, Mechanism, ObjectClass

from smime_engine.asn1 import ber, oids
from smime_engine.certificate import Certificate
from smime_engine.crypto.digests import NULL, Digest, algorithm_identifier
from smime_engine.crypto.key_management import AgreementPublicKey, RsaCiphertext, WrappedSecret
from smime_engine.crypto.key_management_algorithms import RsaScheme
from smime_engine.crypto.oaep import remove_oaep
from smime_engine.crypto.public_keys import KeyKind, load_public_key, same_public_key
from smime_engine.crypto.sealing import NONCE_SIZE
from smime_engine.crypto.signature_algorithms import Family, SignatureScheme
from smime_engine.crypto.signing import digest
from smime_engine.errors import DecryptionFailed, InvalidKey, MalformedMessage, UnsupportedAlgorithm
from smime_engine.sources.pkcs11 import Borrowed, Token
from smime_engine.sources.pkcs11_uri import Pkcs11Uri, parse_pkcs11_uri

__all__ = ["TokenKey", "TokenMasterKey", "generate_master_key"]

_DIGESTS = {
    "sha1": (Mechanism.SHA_1, MGF.SHA1),
    "sha224": (Mechanism.SHA224, MGF.SHA224),
    "sha256": (Mechanism.SHA256, MGF.SHA256),
    "sha384": (Mechanism.SHA384, MGF.SHA384),
    "sha512": (Mechanism.SHA512, MGF.SHA512),
}
_UNKNOWN_PARAMETERS = (pkcs11.ArgumentsBad, pkcs11.MechanismParamInvalid, pkcs11.MechanismInvalid)


class TokenKey:
    """A private key in a token, as `keys.PrivateKey`. Threads may share it."""

    __slots__ = ("_public_key_info", "_token", "_uri")

    def __init__(self, token: Token, uri: str | Pkcs11Uri = "", certificate: Certificate | None = None) -> None:
        """Find a key by identifier or label (a URI), or the one that belongs to a certificate, or by both.

        Raises InvalidKey where there is none, several fit, or key and certificate do not belong together, and what
        `Token.call` raises.
        """
        if not isinstance(uri, Pkcs11Uri):
            uri = parse_pkcs11_uri(uri) if uri else Pkcs11Uri()
        self._token = token
        self._uri = uri if uri.id or uri.object or certificate is None else _uri_of(token, certificate)
        found = token.call(self._public)
        if certificate is not None:
            if found is not None and not same_public_key(found, certificate.public_key_info):
                raise InvalidKey(f"the key {self.name} does not belong to the certificate of {certificate.subject!r}")
            found = certificate.public_key_info
        if found is None:
            raise InvalidKey(f"the token does not tell the public key of {self.name}: name its certificate")
        self._public_key_info = found

    def __repr__(self) -> str:
        return f"<TokenKey {self.name}>"

    @property
    def name(self) -> str:
        """The key's URI, for messages."""
        return str(self._uri.bare)

    @property
    def public_key_info(self) -> bytes:
        """DER SubjectPublicKeyInfo."""
        return self._public_key_info

    def sign(self, data: bytes | memoryview, scheme: SignatureScheme) -> bytes:
        """Sign `data`, or the digest that it is when `scheme.prehashed`. Raises UnsupportedAlgorithm."""
        octets, mechanism, parameters = _signing(data, scheme, self._public_key_info)

        def act(borrowed: Borrowed) -> bytes:
            signature: bytes = self._private(borrowed).sign(octets, mechanism=mechanism, mechanism_param=parameters)
            return signature

        try:
            signature = self._token.call(act)
        except (pkcs11.PKCS11Error, AttributeError) as error:
            raise UnsupportedAlgorithm(scheme.name, purpose="signature (with this token)") from error
        return _ecdsa_signature(signature) if scheme.family is Family.ECDSA else signature

    def unwrap(self, wrapped: WrappedSecret) -> bytes:
        """Recover the secret of a recipient info. Raises DecryptionFailed, whatever the reason."""
        try:
            if isinstance(wrapped, RsaCiphertext):
                return self._decrypt(wrapped)
            if isinstance(wrapped, AgreementPublicKey):
                return self._agree(wrapped.public_key_info)
        except (pkcs11.PKCS11Error, AttributeError, MalformedMessage, UnsupportedAlgorithm):
            raise DecryptionFailed from None
        raise DecryptionFailed

    # --- what only the token can do

    def _decrypt(self, wrapped: RsaCiphertext) -> bytes:
        def act(mechanism: Mechanism, parameters: Any) -> bytes:
            return self._token.call(
                lambda borrowed: bytes(
                    self._private(borrowed).decrypt(wrapped.ciphertext, mechanism=mechanism, mechanism_param=parameters)
                )
            )

        scheme = wrapped.scheme
        if scheme.digest is None:
            return act(Mechanism.RSA_PKCS, None)
        try:
            return act(Mechanism.RSA_PKCS_OAEP, _oaep_parameters(scheme))
        except _UNKNOWN_PARAMETERS:
            # QUIRK: SoftHSM 2.6 has OAEP with SHA-1 and without a label alone, as many cards do.
            raw = act(Mechanism.RSA_X_509, None)
        return remove_oaep(scheme, raw, len(wrapped.ciphertext))

    def _agree(self, peer: bytes) -> bytes:
        # OpenSSL checks here that the point is on the curve: not every token does, and a wrong one gives the key away.
        own, other = load_public_key(self._public_key_info), load_public_key(peer)
        if (own.kind, own.curve) != (other.kind, other.curve):
            raise DecryptionFailed
        point = _key_octets(peer)
        octets = (own.bits + 7) // 8 if own.kind is KeyKind.EC else len(point)
        template = {Attribute.SENSITIVE: False, Attribute.EXTRACTABLE: True, Attribute.TOKEN: False}

        def act(borrowed: Borrowed) -> bytes:
            secret = self._private(borrowed).derive_key(
                KeyType.GENERIC_SECRET,
                octets * 8,
                mechanism=Mechanism.ECDH1_DERIVE,
                mechanism_param=(KDF.NULL, None, point),
                template=template,
            )
            value: bytes = secret[Attribute.VALUE]
            secret.destroy()
            return value

        return self._token.call(act).rjust(octets, b"\0")

    # --- finding

    def _private(self, borrowed: Borrowed) -> Any:
        return borrowed.found(self._uri, lambda session: _private_key(session, self._uri))

    def _public(self, borrowed: Borrowed) -> bytes | None:
        """The public key, as far as the token tells it."""
        private = self._private(borrowed)
        try:
            if private.key_type is KeyType.RSA:
                return _rsa_info(private[Attribute.MODULUS], private[Attribute.PUBLIC_EXPONENT])
            identifier = private[Attribute.ID]
        except pkcs11.PKCS11Error:
            return None
        for public in borrowed.session.get_objects({Attribute.CLASS: ObjectClass.PUBLIC_KEY, Attribute.ID: identifier}):
            return _elliptic_info(public[Attribute.EC_PARAMS], public[Attribute.EC_POINT])
        return None


def _private_key(session: Any, uri: Pkcs11Uri) -> Any:
    wanted: dict[Attribute, Any] = {Attribute.CLASS: ObjectClass.PRIVATE_KEY}
    return _only(session, wanted, uri, "private key")


def _only(session: Any, wanted: dict[Attribute, Any], uri: Pkcs11Uri, what: str) -> Any:
    if uri.id:
        wanted[Attribute.ID] = uri.id
    if uri.object:
        wanted[Attribute.LABEL] = uri.object
    found = list(session.get_objects(wanted))
    if len(found) != 1:
        count = "no" if not found else f"{len(found)}"
        raise InvalidKey(f"the token has {count} {what} that fits {uri.bare}")
    return found[0]


def _uri_of(token: Token, certificate: Certificate) -> Pkcs11Uri:
    """The key that has the same identifier as the certificate on the token, or as a public key that fits."""
    for identifier, _, found in token.certificates():
        if identifier and found == certificate:
            return Pkcs11Uri(id=identifier)

    def act(borrowed: Borrowed) -> Pkcs11Uri | None:
        # Of RSA keys the private half tells the modulus too: some cards have no other object.
        for kind in (ObjectClass.PUBLIC_KEY, ObjectClass.PRIVATE_KEY):
            for found in borrowed.session.get_objects({Attribute.CLASS: kind}):
                identifier = found[Attribute.ID]
                if identifier and same_public_key(_info(found), certificate.public_key_info):
                    return Pkcs11Uri(id=identifier)
        return None

    found_uri = token.call(act)
    if found_uri is None:
        raise InvalidKey(f"the token {token.name} has no key for the certificate of {certificate.subject!r}")
    return found_uri


def _info(public: Any) -> bytes:
    try:
        if public.key_type is KeyType.RSA:
            return _rsa_info(public[Attribute.MODULUS], public[Attribute.PUBLIC_EXPONENT])
        return _elliptic_info(public[Attribute.EC_PARAMS], public[Attribute.EC_POINT]) or b""
    except pkcs11.PKCS11Error:
        return b""


# --- public keys


def _rsa_info(modulus: bytes, exponent: bytes) -> bytes:
    numbers = (int.from_bytes(octets, "big") for octets in (modulus, exponent))
    return _info_of(algorithm_identifier(oids.RSA_ENCRYPTION, NULL), ber.encode(0x30, *map(_integer, numbers)))


def _elliptic_info(parameters: bytes, point: bytes) -> bytes | None:
    try:
        start, end = ber.content(point, 0, len(point), 0x04, expected="an EC_POINT")
        octets = point[start:end]
    except MalformedMessage:
        octets = point  # QUIRK: some modules leave the OCTET STRING out
    named = _MONTGOMERY_AND_EDWARDS.get(parameters)
    if named is not None:
        return _info_of(algorithm_identifier(named), octets)
    return _info_of(ber.encode(0x30, oids.ID_EC_PUBLIC_KEY.tlv, parameters), octets)


def _printable(text: str) -> bytes:
    return ber.encode(0x13, text.encode())


# PKCS #11 names these curves by PrintableString or by OID.
_MONTGOMERY_AND_EDWARDS = {
    spelling: oid
    for text, oid in (
        ("edwards25519", oids.ID_ED25519),
        ("edwards448", oids.ID_ED448),
        ("curve25519", oids.ID_X25519),
        ("curve448", oids.ID_X448),
    )
    for spelling in (_printable(text), oid.tlv)
}


def _info_of(algorithm: bytes, octets: bytes) -> bytes:
    return ber.encode(0x30, algorithm, ber.encode(0x03, b"\0", octets))


def _key_octets(public_key_info: bytes) -> bytes:
    start, end = ber.content(public_key_info, 0, len(public_key_info), 0x30, expected="a SubjectPublicKeyInfo")
    _, _, first, last = ber.children(public_key_info, start, end)[1]
    return public_key_info[first + 1 : last]


# --- signatures and paddings


def _signing(data: bytes | memoryview, scheme: SignatureScheme, public_key_info: bytes) -> tuple[bytes, Mechanism, Any]:
    """What the token gets to sign, and how."""
    if scheme.family in {Family.ED25519, Family.ED448}:
        return bytes(data), Mechanism.EDDSA, None
    if scheme.digest is None or scheme.family not in {Family.RSA, Family.RSA_PSS, Family.ECDSA}:
        raise UnsupportedAlgorithm(scheme.name, purpose="signature (with a token)")
    octets = bytes(data) if scheme.prehashed else digest(scheme.digest, data)
    if scheme.family is Family.RSA:
        identifier = algorithm_identifier(scheme.digest.oid, NULL)
        return ber.encode(0x30, identifier, ber.encode(0x04, octets)), Mechanism.RSA_PKCS, None
    if scheme.family is Family.RSA_PSS:
        hashes, masks = _mechanisms(scheme.digest), _mechanisms(scheme.mask_digest or scheme.digest)
        return octets, Mechanism.RSA_PKCS_PSS, (hashes[0], masks[1], scheme.salt_length)
    # Not every token shortens a digest that is longer than the curve's order (FIPS 186-4 section 6.4).
    return octets[: (load_public_key(public_key_info).bits + 7) // 8], Mechanism.ECDSA, None


def _mechanisms(algorithm: Digest) -> tuple[Mechanism, MGF]:
    found = _DIGESTS.get(algorithm.name)
    if found is None:
        raise UnsupportedAlgorithm(algorithm.name, purpose="digest (with a token)")
    return found


def _oaep_parameters(scheme: RsaScheme) -> tuple[Mechanism, MGF, bytes | None]:
    assert scheme.digest is not None
    assert scheme.mask_digest is not None
    return _mechanisms(scheme.digest)[0], _mechanisms(scheme.mask_digest)[1], scheme.label or None


def _ecdsa_signature(raw: bytes) -> bytes:
    """PKCS #11's two numbers side by side as an Ecdsa-Sig-Value (RFC 3279 section 2.2.3)."""
    half = len(raw) // 2
    return ber.encode(0x30, *(_integer(int.from_bytes(part, "big")) for part in (raw[:half], raw[half:])))


def _integer(number: int) -> bytes:
    return ber.encode(0x02, number.to_bytes(number.bit_length() // 8 + 1, "big"))


# --- master keys


class TokenMasterKey:
    """A 256-bit AES key of a token as `master_key.MasterKey`: what it seals is sealed and opened inside the token."""

    def __init__(self, token: Token, uri: Pkcs11Uri) -> None:
        """Find the key. Raises InvalidKey, and what `Token.call` raises."""
        self._token = token
        self._uri = uri
        identity = token.call(lambda borrowed: _identity_of(self._key(borrowed)))
        self.identifier = f"token-{sha256(identity).hexdigest()[:16]}"
        """Made from the key's identifier and label on the token."""

    def seal(self, secret: bytes, associated: bytes) -> bytes:
        """Seal under AES-256-GCM."""
        nonce = token_bytes(NONCE_SIZE)
        return nonce + self._run("encrypt", secret, nonce, associated)

    def open(self, sealed: bytes, associated: bytes) -> bytes:
        """Undo `seal`. Raises InvalidKey."""
        return self._run("decrypt", sealed[NONCE_SIZE:], sealed[:NONCE_SIZE], associated)

    def _run(self, act: str, octets: bytes, nonce: bytes, associated: bytes) -> bytes:
        parameters = GCMParams(nonce, associated, 128)

        def call(borrowed: Borrowed) -> bytes:
            run: Callable[..., Any] = getattr(self._key(borrowed), act)
            return bytes(run(octets, mechanism=Mechanism.AES_GCM, mechanism_param=parameters))

        try:
            return self._token.call(call)
        except (pkcs11.PKCS11Error, AttributeError) as error:
            raise InvalidKey("a sealed key does not open: it was sealed for somebody else, or is damaged") from error

    def _key(self, borrowed: Borrowed) -> Any:
        wanted: dict[Attribute, Any] = {Attribute.CLASS: ObjectClass.SECRET_KEY, Attribute.KEY_TYPE: KeyType.AES}
        return borrowed.found(("master", self._uri), lambda session: _only(session, wanted, self._uri, "AES key"))


def _identity_of(key: Any) -> bytes:
    return b"\0".join((key[Attribute.ID], str(key[Attribute.LABEL]).encode()))


def generate_master_key(token: Token, label: str) -> None:
    """Make an AES key in the token that never leaves it. Raises InvalidKey where there is one of that label."""
    # A session of its own: this is the only thing that writes.
    token.write(lambda session: _generate(session, label))


def _generate(session: Any, label: str) -> None:
    wanted = {Attribute.CLASS: ObjectClass.SECRET_KEY, Attribute.LABEL: label}
    if next(iter(session.get_objects(wanted)), None) is not None:
        raise InvalidKey(f"the token has a key {label!r} already")
    session.generate_key(
        KeyType.AES,
        256,
        store=True,
        label=label,
        id=token_bytes(8),
        template={
            Attribute.SENSITIVE: True,
            Attribute.EXTRACTABLE: False,
            Attribute.ENCRYPT: True,
            Attribute.DECRYPT: True,
            Attribute.WRAP: False,
            Attribute.UNWRAP: False,
            Attribute.SIGN: False,
            Attribute.VERIFY: False,
        },
    )
