"""Verifying 4 KB from a sender who has written before: the trust collection is warm.

`verify_*`: a detached SignedData (DER), taken apart and verified, and its certificate's path judged. `verify_smime_*`:
`open_message` on the whole clear-signed message, with MIME, sender binding and report. Floor: the raw verification of
one signature. The peer, OpenSSL's CMS_verify (and SMIME_read_CMS), does not look at the path.
"""

from __future__ import annotations

from bench.contest import Contest, scenario
from bench.material import BENCH_TIME, message, user
from bench.openssl import OpenSsl
from bench.primitives import raw_verify
from smime_engine import (
    CmsSigner,
    MessageSigner,
    PathReport,
    Purpose,
    TrustCollection,
    Verdict,
    open_message,
    validate_path,
)
from smime_engine.certificate import Certificate
from smime_engine.cms.signed import SignerCheck, parse_signed_data, signer_certificates, verify_signer
from smime_engine.keys import load_identity

_SIZE = 4096


@scenario
def verify_p256_4k_warm() -> Contest:
    """Detached CMS, ECDSA P-256."""
    return _open_detached("p256")


@scenario
def verify_rsa2048_4k_warm() -> Contest:
    """Detached CMS, RSA-2048."""
    return _open_detached("rsa2048")


@scenario
def verify_smime_p256_4k_warm() -> Contest:
    """A whole message, ECDSA P-256."""
    return _open("p256")


@scenario
def verify_smime_rsa2048_4k_warm() -> Contest:
    """A whole message, RSA-2048."""
    return _open("rsa2048")


def _open_detached(kind: str) -> Contest:
    alice = user(kind)
    identity = load_identity(alice.pem())
    content = message(_SIZE)
    signer = CmsSigner(identity.key, identity.certificate, chain=identity.chain)
    signature = signer.sign(content, now=BENCH_TIME)
    trust = TrustCollection(anchors=(Certificate.parse(alice.root_der),))

    def verify() -> tuple[SignerCheck, PathReport]:
        signed = parse_signed_data(signature)
        pool = [trust.certificate(der) for der in signed.certificates]
        (info,) = signed.signers
        check = verify_signer(signed, info, content=content, certificate=signer_certificates(info, pool))
        assert check.certificate is not None
        path = validate_path(check.certificate, collection=trust, now=BENCH_TIME, pool=pool, purpose=Purpose.SIGN)
        return check, path

    check, path = verify()
    assert (check.findings, path.verdict) == ((), Verdict.VALID)
    openssl = OpenSsl(key_pem=alice.key_pem(), certificate_der=alice.certificate_der)
    return Contest(
        ours=verify,
        floor=raw_verify(alice.key),
        peers={"openssl CMS_verify, no path": lambda: openssl.verify(signature, content)},
    )


def _open(kind: str) -> Contest:
    alice = user(kind)
    identity = load_identity(alice.pem())
    signed = MessageSigner(identity.key, identity.certificate, chain=identity.chain).sign(
        message(_SIZE), now=BENCH_TIME
    )
    trust = TrustCollection(anchors=(Certificate.parse(alice.root_der),))
    opened = open_message(signed, trust=trust, now=BENCH_TIME)
    assert opened.verdict is Verdict.VALID, opened.signatures
    openssl = OpenSsl(key_pem=alice.key_pem(), certificate_der=alice.certificate_der)
    return Contest(
        ours=lambda: open_message(signed, trust=trust, now=BENCH_TIME),
        floor=raw_verify(alice.key),
        peers={"openssl SMIME_read + CMS_verify, no path": lambda: openssl.verify_smime(signed)},
    )
