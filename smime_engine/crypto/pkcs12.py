"""Read PKCS #12 files (`.p12`, `.pfx`): every key and every certificate with the names that tie them together.

`cryptography`'s own reader returns one key; a file with separate keys for signing and encryption, as RFC 9216 and
Windows exports have them, needs all. The integrity check (MAC) is verified before anything is decrypted. Not read, and
said by name: files sealed with public keys instead of a password. CRLs and secrets in a file are passed over.

Every failure is `InvalidKey`. Work is bounded by `Limits.pbkdf2_iterations`, nesting by `_DEPTH`.

Standards: RFC 7292, RFC 9579 (PBMAC1 integrity), RFC 2985 sections 5.5.1 and 5.5.2 (friendlyName, localKeyId).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from smime_engine.asn1 import ber, oids
from smime_engine.crypto.digests import split_identifier
from smime_engine.crypto.password_encryption import (
    WRONG_PASSWORD,
    decrypt,
    derived_key,
    pkcs12_key,
    pkcs12_password,
)
from smime_engine.crypto.private_keys import load_private_key
from smime_engine.errors import InvalidKey, MalformedMessage
from smime_engine.limits import DEFAULT_LIMITS, Limits

__all__ = ["Pkcs12", "Pkcs12Certificate", "Pkcs12Key", "load_pkcs12"]

_DEPTH = 8  # SafeContents inside SafeContents; one level is already rare
_X509_CERTIFICATE = "1.2.840.113549.1.9.22.1"
_MAC_DIGESTS: dict[str, str] = {
    oids.ID_MD5: "md5",
    oids.ID_SHA1: "sha1",
    oids.ID_SHA224: "sha224",
    oids.ID_SHA256: "sha256",
    oids.ID_SHA384: "sha384",
    oids.ID_SHA512: "sha512",
}
_HMACS: dict[str, str] = {
    oids.HMAC_WITH_SHA1: "sha1",
    oids.HMAC_WITH_SHA224: "sha224",
    oids.HMAC_WITH_SHA256: "sha256",
    oids.HMAC_WITH_SHA384: "sha384",
    oids.HMAC_WITH_SHA512: "sha512",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pkcs12Key:
    """A private key (object of `cryptography`) with its attributes; empty where the file gives none."""

    native: Any
    friendly_name: str = ""
    local_key_id: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pkcs12Certificate:
    """A DER certificate with its attributes; empty where the file gives none."""

    der: bytes
    friendly_name: str = ""
    local_key_id: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pkcs12:
    """What a file holds, in its order."""

    keys: tuple[Pkcs12Key, ...]
    certificates: tuple[Pkcs12Certificate, ...]


def load_pkcs12(data: bytes, password: bytes | None, *, limits: Limits = DEFAULT_LIMITS) -> Pkcs12:
    """Read a whole file, DER or BER; `password` in UTF-8, None for a file without one. Raises InvalidKey."""
    try:
        return _load(ber.to_der(data, limits), password or b"", limits)
    except MalformedMessage as error:
        raise InvalidKey(f"this is no PKCS #12 file, or it is damaged: {error}") from error


def _load(data: bytes, password: bytes, limits: Limits) -> Pkcs12:
    start, end = ber.content(data, 0, len(data), 0x30, expected="a PFX")
    fields = ber.elements(data, start, end)
    if len(fields) not in {2, 3} or fields[0] != b"\x02\x01\x03":
        raise MalformedMessage("a PFX of version 3", offset=start)
    oid, content = _content_info(fields[1])
    if oid == oids.ID_SIGNED_DATA:
        raise InvalidKey("the PKCS #12 file is protected by a signature instead of a password: not supported")
    safes = _octet_string(content)
    if len(fields) == 3:
        _check_mac(fields[2], safes, password, limits)
    keys: list[Pkcs12Key] = []
    certificates: list[Pkcs12Certificate] = []
    for safe in _sequence(ber.to_der(safes, limits), "an AuthenticatedSafe"):
        clear = _safe_contents(safe, password, limits)
        for bag in _bags(ber.to_der(clear, limits)):
            _take(bag, keys, certificates, password, limits)
    return Pkcs12(keys=tuple(keys), certificates=tuple(certificates))


def _safe_contents(safe: bytes, password: bytes, limits: Limits) -> bytes:
    oid, content = _content_info(safe)
    if oid == oids.ID_DATA:
        return _octet_string(content)
    if oid != oids.ID_ENCRYPTED_DATA:
        raise InvalidKey(f"a safe of the PKCS #12 file is {oids.name_of(oid)}, which is not supported")
    _, encrypted = _exactly(_sequence(content, "EncryptedData")[:2], 2)
    _, algorithm, ciphertext = _exactly(_sequence(encrypted, "EncryptedContentInfo"), 3)
    tag, start, end = ber.read_header(ciphertext, 0, len(ciphertext))
    return decrypt(algorithm, bytes(ber.octets(ciphertext, tag, start, end, limits)), password, limits)


def _bags(contents: bytes, depth: int = 0) -> Iterator[tuple[str, bytes, dict[str, bytes]]]:
    """SafeContents -> (bag type, value, attributes: OID -> first value), nested ones unfolded."""
    if depth > _DEPTH:
        raise MalformedMessage(f"at most {_DEPTH} levels of SafeContents")
    for bag in _sequence(contents, "SafeContents"):
        fields = _sequence(bag, "a SafeBag")
        if len(fields) not in {2, 3}:
            raise MalformedMessage("a SafeBag", offset=0)
        oid = _oid(fields[0])
        value = _explicit(fields[1])
        if oid == oids.SAFE_CONTENTS_BAG:
            yield from _bags(value, depth + 1)
        else:
            yield oid, value, _attributes(fields[2]) if len(fields) == 3 else {}


def _take(
    bag: tuple[str, bytes, dict[str, bytes]],
    keys: list[Pkcs12Key],
    certificates: list[Pkcs12Certificate],
    password: bytes,
    limits: Limits,
) -> None:
    oid, value, attributes = bag
    name = attributes.get(oids.FRIENDLY_NAME, b"")
    friendly_name = name[2:].decode("utf-16-be", "replace") if name[:1] == b"\x1e" and len(name) < 130 else ""
    identifier = attributes.get(oids.LOCAL_KEY_ID, b"")
    local_key_id = _octet_string(identifier) if identifier else b""
    if oid in {oids.KEY_BAG, oids.PKCS8_SHROUDED_KEY_BAG}:
        native = load_private_key(value, password, limits=limits)
        keys.append(Pkcs12Key(native=native, friendly_name=friendly_name, local_key_id=local_key_id))
    elif oid == oids.CERT_BAG:
        kind, content = _exactly(_sequence(value, "a CertBag"), 2)
        if _oid(kind) == _X509_CERTIFICATE:
            der = _octet_string(_explicit(content))
            certificates.append(Pkcs12Certificate(der=der, friendly_name=friendly_name, local_key_id=local_key_id))


def _attributes(encoded: bytes) -> dict[str, bytes]:
    start, end = ber.content(encoded, 0, len(encoded), 0x31, expected="bag attributes")
    found: dict[str, bytes] = {}
    for attribute in ber.elements(encoded, start, end):
        kind, values = _exactly(_sequence(attribute, "a bag attribute"), 2)
        values_start, values_end = ber.content(values, 0, len(values), 0x31, expected="a SET of values")
        for value in ber.elements(values, values_start, values_end):
            found.setdefault(_oid(kind), value)
    return found


def _check_mac(mac_data: bytes, safes: bytes, password: bytes, limits: Limits) -> None:
    fields = _sequence(mac_data, "MacData")
    if len(fields) not in {2, 3}:
        raise MalformedMessage("MacData", offset=0)
    algorithm, expected = _exactly(_sequence(fields[0], "DigestInfo"), 2)
    oid, parameters = split_identifier(algorithm)
    if oid == oids.ID_PBMAC1:
        derivation, scheme = _exactly(_sequence(parameters, "PBMAC1 parameters"), 2)
        function = _HMACS.get(split_identifier(scheme)[0], "")
        key = derived_key(derivation, password, len(_octet_string(expected)), limits)
        candidates = [key]
    else:
        function = _MAC_DIGESTS.get(oid, "")
        iterations = _integer(fields[2]) if len(fields) == 3 else 1
        # No password is written in two ways: as nothing, and as an empty text with its zero.
        encodings = (pkcs12_password(password),) if password else (b"\0\0", b"")
        size = hashlib.new(function).digest_size if function else 0
        candidates = [
            pkcs12_key(function, encoded, _octet_string(fields[1]), iterations, purpose=3, size=size, limits=limits)
            for encoded in (encodings if function else ())
        ]
    if not function:
        raise InvalidKey(f"the PKCS #12 file is protected by {oids.name_of(oid)}, which is not supported")
    if not any(hmac.compare_digest(hmac.digest(key, safes, function), _octet_string(expected)) for key in candidates):
        raise InvalidKey(WRONG_PASSWORD)


def _content_info(encoded: bytes) -> tuple[str, bytes]:
    kind, content = _exactly(_sequence(encoded, "a ContentInfo"), 2)
    return _oid(kind), _explicit(content)


def _sequence(encoded: bytes, expected: str) -> list[bytes]:
    start, end = ber.content(encoded, 0, len(encoded), 0x30, expected=expected)
    if end != len(encoded):
        raise MalformedMessage(f"the end of {expected}", offset=end)
    return ber.elements(encoded, start, end)


def _exactly(fields: list[bytes], count: int) -> list[bytes]:
    if len(fields) != count:
        raise MalformedMessage(f"{count} fields", offset=0)
    return fields


def _explicit(encoded: bytes) -> bytes:
    start, end = ber.content(encoded, 0, len(encoded), 0xA0, expected="an EXPLICIT [0]")
    return encoded[start:end]


def _octet_string(encoded: bytes) -> bytes:
    start, end = ber.content(encoded, 0, len(encoded), 0x04, expected="an OCTET STRING")
    return encoded[start:end]


def _oid(encoded: bytes) -> str:
    start, end = ber.content(encoded, 0, len(encoded), 0x06, expected="an object identifier")
    return oids.decode_oid(encoded[start:end], offset=start)


def _integer(encoded: bytes) -> int:
    start, end = ber.content(encoded, 0, len(encoded), 0x02, expected="an INTEGER")
    value = int.from_bytes(encoded[start:end], "big", signed=True)
    if end - start > 8 or value < 1:
        raise InvalidKey("the PKCS #12 file asks for an impossible number of rounds")
    return value
