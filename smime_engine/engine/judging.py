"""Judge the signatures of one SignedData: cryptography, sender, path to a trusted root.

Does: hold what the caller knows about the world (`Judge`) and make a `SignatureReport` of each signer. Does not: find
the SignedData or its content (`opening.py`, `streaming.py`).

Standards: RFC 5652 section 5.6, RFC 8550, RFC 8551 section 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from smime_engine.certificate import Certificate
from smime_engine.cms.signed import ContentDigests, SignedData, SignerInfo, signer_certificates, verify_signer
from smime_engine.engine.sender import Sender
from smime_engine.errors import MalformedMessage
from smime_engine.limits import DEFAULT_LIMITS, Limits
from smime_engine.problems import Finding, Problem
from smime_engine.report import SignatureReport
from smime_engine.trust.collection import TrustCollection
from smime_engine.trust.path import DEFAULT_OPTIONS, NO_EVIDENCE, Evidence, PathOptions, Purpose, validate_path

__all__ = ["Judge"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """What the caller knows, and how strict it is. See `open_message` for the fields."""

    now: datetime
    trust: TrustCollection | None = None
    evidence: Evidence = NO_EVIDENCE
    certificates: Sequence[Certificate] = ()
    options: PathOptions = DEFAULT_OPTIONS
    present: datetime | None = None
    limits: Limits = DEFAULT_LIMITS

    def __post_init__(self) -> None:
        if self.now.tzinfo is None:
            raise ValueError("now must be an aware datetime")

    def signatures(self, signed: SignedData, content: ContentDigests, sender: Sender) -> tuple[SignatureReport, ...]:
        """Judge all signers of `signed` over `content`."""
        pool = self._pool(signed)
        evidence = self.evidence
        if signed.crls or signed.ocsp_responses:
            own = Evidence.read(crls=signed.crls, ocsp_responses=signed.ocsp_responses, limits=self.limits)
            evidence = evidence.including(own)
        return tuple([self._signature(signed, signer, content, sender, pool, evidence) for signer in signed.signers])

    def _pool(self, signed: SignedData) -> list[Certificate]:
        """The message's certificates and the caller's; one that is malformed is left out, and missed if it matters."""
        parse = Certificate.parse if self.trust is None else self.trust.certificate
        pool = []
        for der in signed.certificates:
            try:
                pool.append(parse(der))
            except MalformedMessage:
                continue
        return [*pool, *self.certificates]

    def _signature(
        self,
        signed: SignedData,
        signer: SignerInfo,
        content: ContentDigests,
        sender: Sender,
        pool: list[Certificate],
        evidence: Evidence,
    ) -> SignatureReport:
        candidates = signer_certificates(signer, pool)
        check = verify_signer(signed, signer, content=content, certificate=candidates, limits=self.limits)
        findings = []
        certificate = check.certificate
        if check.signing_time is not None and check.signing_time > (self.present or self.now):
            findings.append(Finding(problem=Problem.SIGNING_TIME_IN_FUTURE, detail=f"{check.signing_time:%Y-%m-%d}"))
        path = bound = None
        if certificate is not None:
            bound, mismatch = sender.bound_to(certificate)
            if mismatch is not None:
                findings.append(mismatch)
            if self.trust is None:
                findings.append(Finding(problem=Problem.NO_TRUST_ANCHOR))
            else:
                path = validate_path(
                    certificate,
                    collection=self.trust,
                    now=self.now,
                    pool=pool,
                    purpose=Purpose.SIGN,
                    options=self.options,
                    present=self.present,
                    evidence=evidence,
                )
        return SignatureReport(
            signer=signer,
            check=check,
            findings=tuple(findings),
            path=path,
            sender_bound=bound,
            forgiven=self.options.forgiven,
        )
