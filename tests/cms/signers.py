"""Signers of every kind for the tests of this folder, made once per process."""

from __future__ import annotations

from functools import cache
from typing import Any

from smime_engine.certificate import Certificate
from smime_engine.cms.signed import SignerCheck, parse_signed_data, signer_certificates, verify_signer
from smime_engine.cms.signer import CmsSigner
from smime_engine.keys import InMemoryKey
from tests import pki

KINDS = tuple(kind for kind in pki.SIGNING_KINDS if kind not in {"dsa2048", "rsa1024"})
CONTENT = b"Content-Type: text/plain\r\n\r\n" + b"A line of the message that is signed.\r\n" * 100


@cache
def authority() -> pki.Authority:
    return pki.authority("Root of the signers", kind="rsa2048").subordinate("CA of the signers", kind="rsa2048")


def credential(kind: str, name: str = "Signer", **options: Any) -> pki.Credential:
    return _credential(kind, name, tuple(options.items()))


@cache
def _credential(kind: str, name: str, options: tuple[tuple[str, Any], ...]) -> pki.Credential:
    return authority().issue(f"{name} {kind}", f"{name}.{kind}@example.org".lower(), kind=kind, **dict(options))


def signer(kind: str = "p256", name: str = "Signer", **options: Any) -> CmsSigner:
    holder = credential(kind, name)
    chain = tuple(Certificate.parse(der) for der in holder.chain_der)
    return CmsSigner(InMemoryKey(holder.key), Certificate.parse(holder.certificate_der), chain=chain, **options)


def check_all(data: bytes, content: bytes | None = None, *, pool: tuple[Certificate, ...] = ()) -> list[SignerCheck]:
    """Verify every signer with the certificates of the message and of the pool."""
    signed = parse_signed_data(data)
    known = (*map(Certificate.parse, signed.certificates), *pool)
    return [
        verify_signer(signed, info, content=content, certificate=signer_certificates(info, known))
        for info in signed.signers
    ]


def problems(data: bytes, content: bytes | None = None, *, pool: tuple[Certificate, ...] = ()) -> set[str]:
    """Names of all problems of all signers, `NO_SIGNERS` when there are none."""
    checks = check_all(data, content, pool=pool)
    if not checks:
        return {"NO_SIGNERS"}
    return {problem.name for check in checks for problem in check.problems}
