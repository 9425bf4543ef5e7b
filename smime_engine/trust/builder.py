"""Path building: from a leaf up to trust anchors, through whatever certificates are at hand.

Does: find candidate chains lazily, the shortest first, among equals the likeliest. An issuer is a certificate with the
right subject; key identifiers (AKI, SKI) only say which to try first, because certificates with wrong ones exist. A
link is taken when the signature verifies; where none does, the likeliest issuer is taken all the same, so that the
report can say so. No certificate, and no subject with the same key, occurs twice in a chain: that ends every circle of
cross certificates. Does not: judge a chain (`checks.py`, `path.py`).

Bounds: `limits.path_candidates` links are examined, `limits.path_length` certificates make a chain.

Standards: RFC 5280 section 6.1 (what a path is), RFC 4158 (how to build one).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from smime_engine.certificate import Certificate
from smime_engine.limits import Limits
from smime_engine.names import ComparableName
from smime_engine.problems import Problem
from smime_engine.trust.collection import TrustCollection
from smime_engine.trust.signatures import Outcome, signature_outcome

__all__ = ["CandidateChain", "candidate_chains"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateChain:
    """A chain, leaf first; `ending` says why it goes no further (None: it ends in an anchor)."""

    certificates: tuple[Certificate, ...]
    ending: Problem | None
    detail: str = ""


def candidate_chains(
    leaf: Certificate, *, collection: TrustCollection, pool: Sequence[Certificate], limits: Limits
) -> Iterator[CandidateChain]:
    """Every chain from the leaf to an anchor, the shortest and likeliest first; then, for the report, dead ends."""
    by_subject: dict[ComparableName, list[Certificate]] = {}
    for certificate in pool:
        by_subject.setdefault(certificate.comparable_subject, []).append(certificate)
    return _Search(collection, by_subject, limits).run(leaf)


# Whether a DSA key that inherits its parameters made a signature can be told only once the chain is complete.
_TAKEN = frozenset({Outcome.GOOD, Outcome.KEY_INHERITS_PARAMETERS})


class _Search:
    """Breadth first, but for chains that are one step from an anchor."""

    def __init__(
        self, collection: TrustCollection, pool: dict[ComparableName, list[Certificate]], limits: Limits
    ) -> None:
        self.collection = collection
        self.pool = pool
        self.limits = limits
        self.links_left = limits.path_candidates

    def run(self, leaf: Certificate) -> Iterator[CandidateChain]:
        """All chains to anchors, then the dead ends."""
        queue: deque[tuple[Certificate, ...]] = deque([(leaf,)])
        dead_ends: list[CandidateChain] = []
        while queue:
            chain = queue.popleft()
            if self.collection.is_anchor(chain[-1]):
                # A cross certificate may lead on to another anchor, but whoever trusts this one needs no other.
                yield CandidateChain(certificates=chain, ending=None)
                continue
            if self.links_left <= 0 or len(chain) >= self.limits.path_length:
                dead_ends.append(self._given_up(chain))
                continue
            issuers = self._issuers_of(chain[-1], chain)
            # What is one step from an anchor goes first: in a maze of cross certificates this is the way out.
            near = [issuer for issuer in issuers if self._is_below_anchor(issuer)]
            queue.extendleft((*chain, issuer) for issuer in reversed(near))
            queue.extend((*chain, issuer) for issuer in issuers if issuer not in near)
            if not issuers:
                dead_ends.append(self._dead_end(chain))
        yield from dead_ends

    def _is_below_anchor(self, certificate: Certificate) -> bool:
        candidates = self.collection.with_subject(certificate.comparable_issuer)
        return bool(candidates) and self.collection.is_anchor(candidates[0])

    def _issuers_of(self, certificate: Certificate, chain: tuple[Certificate, ...]) -> list[Certificate]:
        """Those that signed the certificate, the likeliest first; if none did, the likeliest that could have."""
        subject = certificate.comparable_issuer
        named = dict.fromkeys((*self.collection.with_subject(subject), *self.pool.get(subject, ())))
        used = {(link.comparable_subject, link.public_key_info) for link in chain}
        candidates = [c for c in named if (c.comparable_subject, c.public_key_info) not in used]
        candidates.sort(key=lambda candidate: self._unlikeliness(certificate, candidate))
        signed = []
        for candidate in candidates:
            self.links_left -= 1
            if self.links_left < 0:
                break
            if signature_outcome(certificate, candidate, self.collection) in _TAKEN:
                signed.append(candidate)
        return signed or candidates[:1]

    def _unlikeliness(self, certificate: Certificate, candidate: Certificate) -> tuple[bool, bool, bool]:
        """For sorting: fitting key identifier first, then anchors, then certificates that are CAs at all."""
        hint = certificate.authority_key_identifier
        fits = (
            hint is None
            or hint.key_identifier is None
            or candidate.subject_key_identifier is None
            or hint.key_identifier == candidate.subject_key_identifier
        )
        constraints = candidate.basic_constraints
        return not fits, not self.collection.is_anchor(candidate), constraints is None or not constraints.ca

    def _given_up(self, chain: tuple[Certificate, ...]) -> CandidateChain:
        links = self.limits.path_candidates
        reason = f"{len(chain)} certificates" if self.links_left > 0 else f"{links} links between certificates"
        return CandidateChain(certificates=chain, ending=Problem.ISSUER_MISSING, detail=f"given up after {reason}")

    def _dead_end(self, chain: tuple[Certificate, ...]) -> CandidateChain:
        last = chain[-1]
        if not self.collection.anchors:
            ending = Problem.NO_TRUST_ANCHOR
        elif last.is_self_issued and signature_outcome(last, last, self.collection) is Outcome.GOOD:
            ending = Problem.UNTRUSTED_ROOT
        elif self._is_circle(chain):
            ending = Problem.PATH_LOOP
        else:
            ending = Problem.ISSUER_MISSING
        return CandidateChain(
            certificates=chain, ending=ending, detail=last.issuer if ending is Problem.ISSUER_MISSING else ""
        )

    def _is_circle(self, chain: tuple[Certificate, ...]) -> bool:
        """Whether the chain ends only because its certificates issue each other."""
        last = chain[-1]
        return any(
            link.comparable_subject == last.comparable_issuer
            and signature_outcome(last, link, self.collection) is Outcome.GOOD
            for link in chain[:-1]
        )
