"""Signing 4 KB: as bare DER (detached SignedData), and as a whole clear-signed message.

Floor: the raw signature over a digest. Peers: OpenSSL's CMS_sign in this process, and pyca's PKCS#7 builder. All of
them carry the signer's certificate and one intermediate, signed attributes with signing time and capabilities.
"""

from __future__ import annotations

from bench.contest import Contest, scenario
from bench.material import BENCH_TIME, entity, message, user
from bench.openssl import OpenSsl
from bench.primitives import raw_sign
from bench.pyca import pkcs7_sign
from smime_engine import MessageSigner
from smime_engine.cms.signer import CmsSigner
from smime_engine.keys import load_identity

_SIZE = 4096


@scenario
def sign_p256_4k() -> Contest:
    """A detached SignedData, ECDSA P-256."""
    return _der("p256")


@scenario
def sign_rsa2048_4k() -> Contest:
    """A detached SignedData, RSA-2048."""
    return _der("rsa2048")


@scenario
def sign_smime_p256_4k() -> Contest:
    """A whole message, ECDSA P-256."""
    return _smime("p256")


@scenario
def sign_smime_rsa2048_4k() -> Contest:
    """A whole message, RSA-2048."""
    return _smime("rsa2048")


def _der(kind: str) -> Contest:
    alice, content = user(kind), entity(_SIZE)
    identity = load_identity(alice.pem())
    signer = CmsSigner(identity.key, identity.certificate, chain=identity.chain)
    openssl = OpenSsl(key_pem=alice.key_pem(), certificate_der=alice.certificate_der, chain_der=alice.chain_der)
    return Contest(
        ours=lambda: signer.sign(content, now=BENCH_TIME),
        floor=raw_sign(alice.key),
        peers={
            "openssl CMS_sign": lambda: openssl.sign(content),
            "pyca pkcs7": pkcs7_sign(alice, content, smime=False),
        },
    )


def _smime(kind: str) -> Contest:
    alice, whole, content = user(kind), message(_SIZE), entity(_SIZE)
    identity = load_identity(alice.pem())
    signer = MessageSigner(identity.key, identity.certificate, chain=identity.chain)
    openssl = OpenSsl(key_pem=alice.key_pem(), certificate_der=alice.certificate_der, chain_der=alice.chain_der)
    return Contest(
        ours=lambda: signer.sign(whole, now=BENCH_TIME),
        floor=raw_sign(alice.key),
        peers={
            "openssl CMS_sign + SMIME_write": lambda: openssl.sign_smime(content),
            "pyca pkcs7": pkcs7_sign(alice, content, smime=True),
        },
    )
