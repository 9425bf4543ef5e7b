"""A message of 25 MB, the usual limit of mail systems: speed against SHA-256 over the same bytes, and peak memory.

The checks that the message is in canonical form are part of it. Memory is measured in a fresh process: see
`bench.memory`.
"""

from __future__ import annotations

import hashlib

from bench import memory
from bench.contest import Contest, scenario
from bench.material import BENCH_TIME, message, size, user
from bench.openssl import OpenSsl
from smime_engine import MessageSigner
from smime_engine.keys import load_identity

_SIZE = size(25_000_000, quick=500_000)


@scenario
def sign_25m() -> Contest:
    """Clear-signing, ECDSA P-256. Floor: SHA-256 of the message."""
    alice, whole = user("p256"), message(_SIZE)
    identity = load_identity(alice.pem())
    signer = MessageSigner(identity.key, identity.certificate, chain=identity.chain)
    openssl = OpenSsl(key_pem=alice.key_pem(), certificate_der=alice.certificate_der, chain_der=alice.chain_der)
    return Contest(
        ours=lambda: signer.sign(whole, now=BENCH_TIME),
        floor=lambda: hashlib.sha256(whole).digest(),
        peers={"openssl CMS_sign + SMIME_write": lambda: openssl.sign_smime(whole)},
        figures=lambda: memory.peak_of("sign", alice.pem(), whole),
    )
