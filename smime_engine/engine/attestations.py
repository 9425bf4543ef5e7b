"""What others attest about a signature, in its unsigned attributes: countersignatures and time stamps.

Does: verify each one and judge its signer's path. Does not: let any of them count for or against the signature itself,
for anybody can add and remove them; that a *valid* time stamp moves the moment to judge for is `judging.py`'s decision.

Standards: RFC 5652 section 11.4 (countersignatures), RFC 3161 appendix A (time stamps).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from smime_engine.certificate import Certificate
from smime_engine.cms.signed import SignerInfo, signer_certificates
from smime_engine.cms.timestamp import timestamp_tokens, verify_timestamp
from smime_engine.cms.unsigned import countersignatures, verify_countersignature
from smime_engine.errors import LimitExceeded, MalformedMessage
from smime_engine.limits import Limits
from smime_engine.problems import Finding, Problem
from smime_engine.report import SignatureReport, TimestampReport
from smime_engine.trust.path import PathReport, Purpose

__all__ = ["Attestations", "PathJudge"]

T = TypeVar("T")


class PathJudge(Protocol):
    """Judges the path of a certificate at the caller's time; None where the caller trusts nobody."""

    def __call__(self, certificate: Certificate, pool: Sequence[Certificate], purpose: Purpose) -> PathReport | None:
        """`pool` are certificates that may help."""


class Attestations:
    """What is attested about one signer. Never raises for what the attributes hold: that is in `findings`."""

    def __init__(
        self,
        signer: SignerInfo,
        pool: Sequence[Certificate],
        path_of: PathJudge,
        *,
        forgiven: frozenset[Problem],
        limits: Limits,
    ) -> None:
        self._pool = pool
        self._path_of = path_of
        self._forgiven = forgiven
        self._limits = limits
        self._left = limits.attestations
        self.findings: list[Finding] = []
        """Attributes that cannot be read, or are too many."""

        self.timestamps = self._timestamps(signer)
        self.countersignatures = self._countersignatures(signer)

    def _timestamps(self, signer: SignerInfo) -> tuple[TimestampReport, ...]:
        try:
            tokens = timestamp_tokens(signer, limits=self._limits)
        except MalformedMessage as error:
            self._found(error)
            return ()
        return tuple(self._timestamp(signer, token) for token in self._affordable(tokens))

    def _timestamp(self, signer: SignerInfo, token: bytes) -> TimestampReport:
        check = verify_timestamp(signer.signature, token, pool=self._pool, limits=self._limits)
        certificate = None if check.signer is None else check.signer.certificate
        pool = (*check.certificates, *self._pool)
        path = None if certificate is None else self._path_of(certificate, pool, Purpose.TIMESTAMP)
        missing = () if path is not None else (Finding(problem=Problem.NO_TRUST_ANCHOR),)
        return TimestampReport(check=check, findings=missing, path=path, forgiven=self._forgiven)

    def _countersignatures(self, signer: SignerInfo) -> tuple[SignatureReport, ...]:
        try:
            found = countersignatures(signer, limits=self._limits)
        except MalformedMessage as error:
            self._found(error)
            return ()
        return tuple(self._countersignature(signer, info) for info in self._affordable(found))

    def _countersignature(self, signer: SignerInfo, info: SignerInfo) -> SignatureReport:
        candidates = signer_certificates(info, self._pool)
        check = verify_countersignature(signer, info, certificate=candidates, limits=self._limits)
        path = None if check.certificate is None else self._path_of(check.certificate, self._pool, Purpose.SIGN)
        missing = check.certificate is not None and path is None
        return SignatureReport(
            signer=info,
            check=check,
            findings=(Finding(problem=Problem.NO_TRUST_ANCHOR),) if missing else (),
            path=path,
            sender_bound=None,
            forgiven=self._forgiven,
            countersignatures=self._countersignatures(info),
        )

    def _affordable(self, found: Sequence[T]) -> Sequence[T]:
        """As many as may still be judged: countersignatures nest, and the budget is shared by all levels."""
        judged = found[: self._left]
        self._left -= len(judged)
        if len(judged) < len(found):
            self._found(LimitExceeded("attestations", self._limits.attestations))
        return judged

    def _found(self, error: MalformedMessage) -> None:
        self.findings.append(Finding(problem=Problem.ATTESTATION_MALFORMED, detail=str(error)))
