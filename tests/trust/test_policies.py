"""The policy graph against the plain policy tree of RFC 5280, and what makes the tree explode."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smime_engine.certificate_extensions import PolicyConstraints
from smime_engine.limits import Limits
from smime_engine.problems import Problem
from smime_engine.trust.path_report import PathOptions
from smime_engine.trust.policies import check_policies
from tests.reference import policy_tree

ANY = policy_tree.ANY
A, B, C, D = (f"1.2.3.{n}" for n in range(4))


@dataclass(frozen=True)
class Issued:
    """As much of a certificate as policy processing looks at."""

    policies: tuple[str, ...] = ()
    policy_mappings: tuple[tuple[str, str], ...] = ()
    policy_constraints: PolicyConstraints | None = None
    inhibit_any_policy: int | None = None
    is_self_issued: bool = False


ROOT = Issued()

policies = st.sampled_from([A, B, C, D])
counts = st.none() | st.integers(0, 3)
certificates = st.builds(
    Issued,
    policies=st.lists(st.sampled_from([A, B, C, D, ANY]), unique=True, max_size=4).map(tuple),
    policy_mappings=st.lists(st.tuples(policies, policies), max_size=4).map(tuple),
    policy_constraints=st.none() | st.builds(PolicyConstraints, counts, counts),
    inhibit_any_policy=counts,
    is_self_issued=st.booleans(),
)


@given(
    path=st.lists(certificates, min_size=1, max_size=5),
    initial=st.just(frozenset({ANY})) | st.frozensets(policies, min_size=1),
    explicit=st.booleans(),
    inhibit_mapping=st.booleans(),
    inhibit_any=st.booleans(),
)
def test_the_graph_agrees_with_the_tree(path, initial, explicit, inhibit_mapping, inhibit_any):
    result = check_policies(
        path,
        ROOT,
        PathOptions(
            initial_policies=initial,
            require_explicit_policy=explicit,
            inhibit_policy_mapping=inhibit_mapping,
            inhibit_any_policy=inhibit_any,
        ),
    )
    accepted, agreed = policy_tree.judge(
        path, initial=initial, explicit=explicit, inhibit_mapping=inhibit_mapping, inhibit_any=inhibit_any
    )
    assert (not result.problems) == accepted
    if accepted:
        assert frozenset(result.policies) == agreed


def test_the_default_accepts_a_path_without_policies():
    result = check_policies([Issued(), Issued()], ROOT, PathOptions())
    assert result.problems == ()
    assert result.policies == ()


def test_an_explicit_policy_is_demanded_from_the_first_certificate_on():
    result = check_policies([Issued((A,)), Issued()], ROOT, PathOptions(require_explicit_policy=True))
    assert [(found.problem, found.certificate) for found in result.problems] == [
        (Problem.POLICY_NOT_ACCEPTED, Issued())
    ]


def test_constraints_of_the_anchor_count():
    root = Issued(policy_constraints=PolicyConstraints(0, None), inhibit_any_policy=0)
    assert check_policies([Issued((ANY,))], root, PathOptions()).problems
    assert not check_policies([Issued((A,))], root, PathOptions()).problems


@pytest.mark.parametrize("pair", [(ANY, A), (A, ANY)])
def test_mapping_any_policy_is_a_mistake(pair):
    result = check_policies([Issued((A,), (pair,)), Issued((A,))], ROOT, PathOptions())
    assert [found.problem for found in result.problems] == [Problem.POLICY_MAPPING_INVALID]


def _exploding(width, length):
    """Each policy is mapped to all of the next certificate: the tree has width ** length nodes."""
    names = tuple(f"1.2.3.{n}" for n in range(width))
    mappings = tuple((first, second) for first in names for second in names)
    return [Issued(names, mappings) for _ in range(length)]


def test_what_explodes_as_a_tree_is_small_as_a_graph():
    started = perf_counter()
    result = check_policies([*_exploding(30, 12), Issued(("1.2.3.0",))], ROOT, PathOptions())
    assert perf_counter() - started < 1
    assert result.problems == ()
    assert len(result.policies) == 30


def test_the_graph_is_bounded_all_the_same():
    path = [*_exploding(30, 12), Issued(("1.2.3.0",))]
    result = check_policies(path, ROOT, PathOptions(limits=Limits(policy_nodes=100)))
    (found,) = result.problems
    assert found.problem is Problem.POLICY_NOT_ACCEPTED
    assert "100" in found.detail
