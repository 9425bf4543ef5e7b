"""Certificate policies along a path: the valid-policy graph.

Does: RFC 5280 section 6.1's policy processing in the form of RFC 9618, as a graph with one node per policy and
certificate. The tree of RFC 5280 grows exponentially with hostile mappings (CVE-2023-0464); the graph grows with the
extensions' own length, and `limits.policy_nodes` bounds it all the same. Does not: policy qualifiers.

Standards: RFC 5280 sections 6.1.2 to 6.1.5 (a, b, d, e, f, h, i, j; g of the wrap-up), RFC 9618 section 5.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from smime_engine.asn1 import oids
from smime_engine.certificate import Certificate
from smime_engine.problems import Problem
from smime_engine.trust.path_report import PathOptions, PathProblem

__all__ = ["PolicyResult", "check_policies"]

_ANY = str(oids.ANY_POLICY)


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyResult:
    """What policy processing found: problems, and the policies that path and caller agree on."""

    problems: tuple[PathProblem, ...]
    policies: tuple[str, ...]


class _Node:
    """One valid policy at one certificate."""

    __slots__ = ("expected", "parents", "policy")

    def __init__(self, policy: str, parents: Sequence[_Node], expected: frozenset[str]) -> None:
        self.policy = policy
        self.parents = parents
        self.expected = expected


_Level = dict[str, _Node]


def check_policies(certificates: Sequence[Certificate], anchor: Certificate, options: PathOptions) -> PolicyResult:
    """Process the policies of a path: `certificates` from the one that the anchor issued down to the leaf.

    Of the anchor's own extensions, policyConstraints and inhibitAnyPolicy count (RFC 5937); its certificatePolicies do
    not: roots name policies of their own there, and the caller's initial policies say what is acceptable.
    """
    processing = _Processing(len(certificates), anchor, options)
    for index, certificate in enumerate(certificates):
        processing.take(certificate, last=index == len(certificates) - 1)
        if processing.problems:
            return PolicyResult(problems=tuple(processing.problems), policies=())
    return processing.result(certificates[-1] if certificates else anchor)


class _Processing:
    """The state variables of RFC 5280 section 6.1.2."""

    def __init__(self, length: int, anchor: Certificate, options: PathOptions) -> None:
        self.options = options
        self.explicit = 0 if options.require_explicit_policy else length + 1
        self.mapping = 0 if options.inhibit_policy_mapping else length + 1
        self.any = 0 if options.inhibit_any_policy else length + 1
        self.levels: list[_Level] = [{_ANY: _Node(_ANY, (), frozenset({_ANY}))}]
        self.nodes = 1
        self.problems: list[PathProblem] = []
        self._lower_counters(anchor)

    def take(self, certificate: Certificate, *, last: bool) -> None:
        """Process one certificate: sections 6.1.3 (d, e, f), then 6.1.4 (a, b, h to j) or 6.1.5 (a, b)."""
        self.levels.append(self._next_level(certificate, last=last) if certificate.policies else {})
        if self.explicit == 0 and not self.levels[-1]:
            self._object(certificate, Problem.POLICY_NOT_ACCEPTED, "a policy is demanded, and none is left")
            return
        if last:
            self._finish_counters(certificate)
            return
        if certificate.policy_mappings:
            self._map(certificate)
        if not certificate.is_self_issued:
            self.explicit = max(self.explicit - 1, 0)
            self.mapping = max(self.mapping - 1, 0)
            self.any = max(self.any - 1, 0)
        self._lower_counters(certificate)
        if self.nodes > self.options.limits.policy_nodes:
            allowed = self.options.limits.policy_nodes
            self._object(certificate, Problem.POLICY_NOT_ACCEPTED, f"more than {allowed} nodes in the policy graph")

    def result(self, leaf: Certificate) -> PolicyResult:
        """Section 6.1.5 (g) and RFC 9618 section 5.5: the two policy sets, and whether the path is acceptable."""
        authority = self._authority_policies()
        wanted = self.options.initial_policies
        if _ANY in authority:
            agreed = sorted(wanted)
        elif _ANY in wanted:
            agreed = authority
        else:
            agreed = [policy for policy in authority if policy in wanted]
        if self.explicit == 0 and not agreed:
            detail = "the path has " + (", ".join(authority) or "none")
            self._object(leaf, Problem.POLICY_NOT_ACCEPTED, detail)
        return PolicyResult(problems=tuple(self.problems), policies=tuple(agreed))

    # --- one certificate

    def _next_level(self, certificate: Certificate, *, last: bool) -> _Level:
        """Section 6.1.3 (d): the nodes of this certificate, from the nodes of the one before."""
        above = self.levels[-1]
        expecting = _by_expected_policy(above)
        level: _Level = {}
        any_above = above.get(_ANY)
        for policy in certificate.policies:
            if policy == _ANY:
                continue
            parents = expecting.get(policy) or ([any_above] if any_above is not None else [])
            if parents:
                level[policy] = _Node(policy, parents, frozenset({policy}))
        if _ANY in certificate.policies and (self.any > 0 or (not last and certificate.is_self_issued)):
            for policy, parents in expecting.items():
                if policy not in level:
                    level[policy] = _Node(policy, parents, frozenset({policy}))
        self.nodes += len(level)
        return level

    def _map(self, certificate: Certificate) -> None:
        """Section 6.1.4 (a) and (b)."""
        mapped: dict[str, set[str]] = {}
        for issuer_policy, subject_policy in certificate.policy_mappings:
            if _ANY in {issuer_policy, subject_policy}:
                self._object(certificate, Problem.POLICY_MAPPING_INVALID)
                return
            mapped.setdefault(issuer_policy, set()).add(subject_policy)
        level = self.levels[-1]
        any_node = level.get(_ANY)
        for policy, subject_policies in mapped.items():
            node = level.get(policy)
            if self.mapping == 0:
                level.pop(policy, None)
            elif node is not None:
                node.expected = frozenset(subject_policies)
            elif any_node is not None:
                level[policy] = _Node(policy, any_node.parents, frozenset(subject_policies))
                self.nodes += 1

    def _lower_counters(self, certificate: Certificate) -> None:
        """Section 6.1.4 (i) and (j)."""
        constraints = certificate.policy_constraints
        if constraints is not None:
            if constraints.require_explicit_policy is not None:
                self.explicit = min(self.explicit, constraints.require_explicit_policy)
            if constraints.inhibit_policy_mapping is not None:
                self.mapping = min(self.mapping, constraints.inhibit_policy_mapping)
        if certificate.inhibit_any_policy is not None:
            self.any = min(self.any, certificate.inhibit_any_policy)

    def _finish_counters(self, leaf: Certificate) -> None:
        """Section 6.1.5 (a) and (b)."""
        self.explicit = max(self.explicit - 1, 0)
        constraints = leaf.policy_constraints
        if constraints is not None and constraints.require_explicit_policy == 0:
            self.explicit = 0

    def _object(self, certificate: Certificate, problem: Problem, detail: str = "") -> None:
        self.problems.append(PathProblem(certificate=certificate, problem=problem, detail=detail))

    # --- the end of the path

    def _authority_policies(self) -> list[str]:
        """The authorities-constrained-policy-set: policies of nodes right below anyPolicy that reach the leaf."""
        last = self.levels[-1]
        if _ANY in last:
            return [_ANY]
        reached = (node.policy for node in self._reached_from(last) if _is_below_any(node))
        return [policy for policy in dict.fromkeys(reached) if policy != _ANY]

    def _reached_from(self, last: _Level) -> Iterator[_Node]:
        """All nodes with a way down to the last level; the others are what RFC 5280 prunes."""
        current = list(last.values())
        while current:
            yield from current
            current = list({id(parent): parent for node in current for parent in node.parents}.values())


def _is_below_any(node: _Node) -> bool:
    return any(parent.policy == _ANY for parent in node.parents)


def _by_expected_policy(level: _Level) -> dict[str, list[_Node]]:
    """Which nodes expect which policy next: built once per certificate, so that its policies cost one look-up each."""
    expecting: dict[str, list[_Node]] = {}
    for node in level.values():
        for policy in node.expected:
            expecting.setdefault(policy, []).append(node)
    return expecting
