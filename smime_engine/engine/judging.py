"""Judge the signatures of one SignedData: cryptography, sender, path to a trusted root.

Does: hold what the caller knows about the world (`Judge`) and make a `SignatureReport` of each signer. Does not: find
the SignedData or its content (`opening.py`, `streaming.py`).

The path is judged for the caller's moment. Where the caller did not ask for one in the past, a valid time stamp moves
it to when the signature provably existed (`trust/history.py`, decision 0055).

Standards: RFC 5652 section 5.6, RFC 8550, RFC 8551 section 3, RFC 3161 appendix B.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from smime_engine.certificate import Certificate
from smime_engine.cms.signed import (
    ContentDigests,
    SignedData,
    SignerCheck,
    SignerInfo,
    signer_certificates,
    verify_signer,
)
from smime_engine.engine.attestations import Attestations
from smime_engine.engine.sender import Sender
from smime_engine.errors import MalformedMessage, UnsupportedAlgorithm
from smime_engine.limits import DEFAULT_LIMITS, Limits
from smime_engine.problems import Finding, Problem, Verdict
from smime_engine.report import SignatureReport
from smime_engine.trust.collection import TrustCollection
from smime_engine.trust.history import Reason, TrustedTime, ValidationTime, validation_time
from smime_engine.trust.path import (
    DEFAULT_OPTIONS,
    NO_EVIDENCE,
    Evidence,
    PathOptions,
    PathReport,
    Purpose,
    validate_path,
)
from smime_engine.trust.signatures import working_keys

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
        attested = moved = None
        if signer.unsigned_attributes is not None:
            attested = Attestations(
                signer,
                pool,
                partial(self._path, evidence=evidence),
                forgiven=self.options.forgiven,
                limits=self.limits,
            )
            findings += attested.findings
            moved = self._proven_time(attested)
        path = bound = None
        if certificate is not None:
            bound, mismatch = sender.bound_to(certificate)
            if mismatch is not None:
                findings.append(mismatch)
            path = self._path(certificate, pool, Purpose.SIGN, evidence=evidence, moved=moved)
            if path is None:
                findings.append(Finding(problem=Problem.NO_TRUST_ANCHOR))
        if path is not None and Problem.UNSUPPORTED_KEY in check.problems:
            check = self._check_with_inherited_key(signed, signer, content, check, path)
        return SignatureReport(
            signer=signer,
            check=check,
            findings=tuple(findings),
            path=path,
            sender_bound=bound,
            forgiven=self.options.forgiven,
            judged_at=moved,
            timestamps=() if attested is None else attested.timestamps,
            countersignatures=() if attested is None else attested.countersignatures,
        )

    def _check_with_inherited_key(
        self, signed: SignedData, signer: SignerInfo, content: ContentDigests, check: SignerCheck, path: PathReport
    ) -> SignerCheck:
        """Verify again with the DSA parameters that the path lends to a key without (RFC 5280 section 6.1.4)."""
        leaf, key = path.chain[0], working_keys(path.chain)[0]
        if key == leaf.public_key_info:
            return check
        try:
            completed = leaf.with_public_key(key)
        except (MalformedMessage, UnsupportedAlgorithm):
            return check
        return verify_signer(signed, signer, content=content, certificate=completed, limits=self.limits)

    def _path(
        self,
        certificate: Certificate,
        pool: Sequence[Certificate],
        purpose: Purpose,
        *,
        evidence: Evidence,
        moved: ValidationTime | None = None,
    ) -> PathReport | None:
        """The path of a certificate at the caller's moment, or at the one that it was `moved` to."""
        if self.trust is None:
            return None
        return validate_path(
            certificate,
            collection=self.trust,
            now=self.now if moved is None else moved.moment,
            pool=pool,
            purpose=purpose,
            options=self.options,
            present=self.present if moved is None else moved.present,
            evidence=evidence,
        )

    def _proven_time(self, attested: Attestations) -> ValidationTime | None:
        """The moment at which the signature existed, where a valid time stamp proves it; None for the caller's."""
        proven = [
            TrustedTime(moment=stamp.moment, authority="" if stamp.certificate is None else stamp.certificate.subject)
            for stamp in attested.timestamps
            if stamp.moment is not None and stamp.verdict is Verdict.VALID
        ]
        asked = None if self.present in {None, self.now} else self.now
        chosen = validation_time(present=self.present or self.now, at=asked, trusted=proven)
        return chosen if chosen.reason is Reason.TIMESTAMP else None
