"""Certificate policies by the letter of RFC 5280 section 6.1: the valid-policy *tree*, which grows exponentially.

The plain version that `smime_engine.trust.policies` must agree with. Certificates are anything with the attributes
`policies`, `policy_mappings`, `policy_constraints`, `inhibit_any_policy` and `is_self_issued`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

ANY = "2.5.29.32.0"


@dataclass(eq=False)
class Node:
    policy: str
    expected: set[str]
    parent: Node | None
    children: list[Node] = field(default_factory=list)

    def add(self, policy: str, expected: set[str]) -> Node:
        child = Node(policy, expected, self)
        self.children.append(child)
        return child


class Tree:
    """`levels[i]` are the nodes of depth i; NULL is a tree without nodes at depth 0."""

    def __init__(self) -> None:
        self.levels = [[Node(ANY, {ANY}, None)]]

    @property
    def is_null(self) -> bool:
        return not self.levels or not self.levels[0]

    def remove(self, node: Node, depth: int) -> None:
        self.levels[depth].remove(node)
        if node.parent is not None:
            node.parent.children.remove(node)
        for child in list(node.children):
            self.remove(child, depth + 1)

    def prune(self, depth: int) -> None:
        """Nodes of depth `depth` or less without children go, from the bottom up."""
        for level in range(depth, -1, -1):
            for node in list(self.levels[level]):
                if not node.children:
                    self.remove(node, level)


def judge(
    certificates: Sequence[Any],
    *,
    initial: frozenset[str],
    explicit: bool,
    inhibit_mapping: bool,
    inhibit_any: bool,
) -> tuple[bool, frozenset[str]]:
    """Whether the path is acceptable, and its user-constrained-policy-set."""
    count = len(certificates)
    explicit_policy = 0 if explicit else count + 1
    policy_mapping = 0 if inhibit_mapping else count + 1
    inhibit_any_policy = 0 if inhibit_any else count + 1
    tree = Tree()
    for depth, certificate in enumerate(certificates, 1):
        last = depth == count
        tree.levels.append([])
        if certificate.policies and not tree.is_null:
            _add_level(tree, depth, certificate, allow_any=inhibit_any_policy > 0, last=last)
            tree.prune(depth - 1)
        else:
            tree.levels = [[] for _ in tree.levels]
        if explicit_policy == 0 and tree.is_null:
            return False, frozenset()
        if last:
            break
        for issuer_policy, subject_policy in certificate.policy_mappings:
            if ANY in {issuer_policy, subject_policy}:
                return False, frozenset()
        _map(tree, depth, certificate, allowed=policy_mapping > 0)
        if not certificate.is_self_issued:
            explicit_policy = max(explicit_policy - 1, 0)
            policy_mapping = max(policy_mapping - 1, 0)
            inhibit_any_policy = max(inhibit_any_policy - 1, 0)
        if certificate.policy_constraints is not None:
            required, inhibited = certificate.policy_constraints
            explicit_policy = explicit_policy if required is None else min(explicit_policy, required)
            policy_mapping = policy_mapping if inhibited is None else min(policy_mapping, inhibited)
        if certificate.inhibit_any_policy is not None:
            inhibit_any_policy = min(inhibit_any_policy, certificate.inhibit_any_policy)
    explicit_policy = max(explicit_policy - 1, 0)
    constraints = certificates[-1].policy_constraints
    if constraints is not None and constraints[0] == 0:
        explicit_policy = 0
    agreed = _intersect(tree, count, initial)
    return explicit_policy > 0 or not tree.is_null, agreed


def _add_level(tree: Tree, depth: int, certificate: Any, *, allow_any: bool, last: bool) -> None:
    """Section 6.1.3 (d) (1) and (2)."""
    above, level = tree.levels[depth - 1], tree.levels[depth]
    for policy in certificate.policies:
        if policy == ANY:
            continue
        matching = [node for node in above if policy in node.expected]
        for node in matching or [node for node in above if node.policy == ANY]:
            level.append(node.add(policy, {policy}))
    if ANY in certificate.policies and (allow_any or (not last and certificate.is_self_issued)):
        for node in above:
            for policy in sorted(node.expected):
                if all(child.policy != policy for child in node.children):
                    level.append(node.add(policy, {policy}))


def _map(tree: Tree, depth: int, certificate: Any, *, allowed: bool) -> None:
    """Section 6.1.4 (b)."""
    mapped: dict[str, set[str]] = {}
    for issuer_policy, subject_policy in certificate.policy_mappings:
        mapped.setdefault(issuer_policy, set()).add(subject_policy)
    for policy, subject_policies in mapped.items():
        nodes = [node for node in tree.levels[depth] if node.policy == policy]
        if not allowed:
            for node in nodes:
                tree.remove(node, depth)
            tree.prune(depth - 1)
        elif nodes:
            for node in nodes:
                node.expected = set(subject_policies)
        else:
            for node in [node for node in tree.levels[depth] if node.policy == ANY]:
                assert node.parent is not None
                tree.levels[depth].append(node.parent.add(policy, set(subject_policies)))


def _intersect(tree: Tree, count: int, initial: frozenset[str]) -> frozenset[str]:
    """Section 6.1.5 (g)."""
    if tree.is_null:
        return frozenset()
    if ANY in initial:
        if any(node.policy == ANY for node in tree.levels[count]):
            return frozenset({ANY})
        return frozenset(node.policy for node in _domain_nodes(tree) if node.policy != ANY)
    for depth in range(1, count + 1):
        for node in list(tree.levels[depth]):
            if node.parent is not None and node.parent.policy == ANY and node.policy not in {*initial, ANY}:
                tree.remove(node, depth)
    for node in [node for node in tree.levels[count] if node.policy == ANY]:
        present = {domain.policy for domain in _domain_nodes(tree)}
        assert node.parent is not None
        for policy in sorted(initial - present):
            tree.levels[count].append(node.parent.add(policy, {policy}))
        tree.remove(node, count)
    tree.prune(count - 1)
    return frozenset(node.policy for node in _domain_nodes(tree) if node.policy != ANY)


def _domain_nodes(tree: Tree) -> list[Node]:
    """Nodes right below anyPolicy: the policies in the words of the anchor's domain."""
    return [
        node for level in tree.levels[1:] for node in level if node.parent is not None and node.parent.policy == ANY
    ]
