"""Key files, public keys and algorithm identifiers. Allowed: InvalidKey, MalformedMessage, UnsupportedAlgorithm."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, mldsa, rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import NameOID

from smime_engine.crypto.public_keys import load_public_key, public_key_of
from smime_engine.crypto.signature_algorithms import Family, digest_from_identifier, scheme_for, signature_scheme
from smime_engine.errors import InvalidKey, MalformedMessage, UnsupportedAlgorithm
from smime_engine.keys import InMemoryKey, load_identities
from smime_engine.limits import Limits

_LIMITS = Limits(pbkdf2_iterations=3_000)  # quick: what asks for more is refused before the first round
_PASSWORD = b"fuzz"


def fuzz(data: bytes) -> None:
    """Every reader of keys takes any octets."""
    for password in (None, _PASSWORD):
        with contextlib.suppress(InvalidKey):
            load_identities(data, password, limits=_LIMITS)
        with contextlib.suppress(InvalidKey):
            InMemoryKey.load(data, password, limits=_LIMITS)
    for read in (load_public_key, digest_from_identifier, signature_scheme):
        with contextlib.suppress(MalformedMessage, UnsupportedAlgorithm):
            read(data)


def seeds() -> list[bytes]:
    """Files of several kinds with keys of the moment."""
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Fuzz")])
    certificate = x509.CertificateBuilder(name, name, key.public_key(), 7, moment, moment.replace(year=2035)).sign(
        key, hashes.SHA256()
    )
    formats = serialization.PrivateFormat
    few_rounds = formats.PKCS12.encryption_builder().kdf_rounds(10).hmac_hash(hashes.SHA256())
    modern = few_rounds.key_cert_algorithm(pkcs12.PBES.PBESv2SHA256AndAES256CBC).build(_PASSWORD)
    old = few_rounds.key_cert_algorithm(pkcs12.PBES.PBESv1SHA1And3KeyTripleDESCBC).build(_PASSWORD)
    clear = serialization.NoEncryption()
    others = (rsa.generate_private_key(65537, 2048), mldsa.MLDSA44PrivateKey.generate())
    pem = key.private_bytes(serialization.Encoding.PEM, formats.PKCS8, clear)
    return [
        *(pkcs12.serialize_key_and_certificates(b"fuzz", key, certificate, None, how) for how in (modern, old, clear)),
        pem + certificate.public_bytes(serialization.Encoding.PEM),
        *(other.private_bytes(serialization.Encoding.DER, formats.PKCS8, clear) for other in others),
        public_key_of(key),
        scheme_for(Family.RSA_PSS, "sha384").identifier,
    ]
