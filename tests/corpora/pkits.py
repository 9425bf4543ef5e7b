"""The 249 path cases of NIST's PKITS: certificates and CRLs from `cryptography_vectors`, verdicts from the corpora."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import cryptography_vectors

from smime_engine.certificate import Certificate
from smime_engine.problems import Problem
from smime_engine.trust.path_report import PathOptions, RevocationMode
from tests import surroundings

DATA = Path(cryptography_vectors.__file__).parent / "x509" / "PKITS_data"
NOW = datetime(2011, 4, 15, tzinfo=UTC)
"""A day after the tests' signatures; everything that should be valid is valid then."""

OLD_ALGORITHMS = frozenset({Problem.WEAK_KEY, Problem.WEAK_DIGEST, Problem.WEAK_SIGNATURE_ALGORITHM})
"""Section 4.1 asks for DSA with 1024 bits and SHA-1."""

_POLICY_ARC = "2.16.840.1.101.3.2.1.48"
_ANY_POLICY = "2.5.29.32.0"


@dataclass(frozen=True)
class Case:
    """One case. The first certificate is the trust anchor, the last one the end entity's."""

    number: str
    title: str
    certificates: tuple[str, ...]
    crls: tuple[str, ...]
    valid: bool
    settings: dict[str, Any]
    agreed_policies: frozenset[str] | None
    """The user-constrained-policy-set, where the suite states it."""

    def options(self, *, revocation: RevocationMode = RevocationMode.HARD_FAIL) -> PathOptions:
        return PathOptions(revocation=revocation, forgiven=OLD_ALGORITHMS, **self.settings)

    @property
    def chain(self) -> tuple[Certificate, ...]:
        return tuple(Certificate.parse(self.path_of(name).read_bytes()) for name in self.certificates)

    @property
    def crl_paths(self) -> tuple[Path, ...]:
        return tuple(DATA / "crls" / f"{name}.crl" for name in self.crls)

    @staticmethod
    def path_of(certificate: str) -> Path:
        return DATA / "certs" / f"{certificate}.crt"


@cache
def cases() -> tuple[Case, ...]:
    """All cases; () where the corpora are missing."""
    file = surroundings.CORPORA / "pkits" / "cases.json"
    return tuple(map(_case, json.loads(file.read_bytes()))) if file.is_file() else ()


def _case(raw: dict[str, Any]) -> Case:
    settings: dict[str, Any] = {
        ours: raw[theirs] == "true"
        for theirs, ours in (
            ("SetInitialExplicitPolicy", "require_explicit_policy"),
            ("SetInitialPolicyMappingInhibit", "inhibit_policy_mapping"),
            ("SetInitialInhibitAnyPolicy", "inhibit_any_policy"),
        )
        if theirs in raw
    }
    if "SetInitialPolicySet" in raw:
        settings["initial_policies"] = _policies(raw["SetInitialPolicySet"])
    agreed = raw.get("SetUserConstrainedPolicySet")
    return Case(
        number=raw["test_number"],
        title=raw["title"],
        certificates=tuple(raw["certs"]),
        crls=tuple(raw["crls"]),
        valid=raw["should_validate"] == "true",
        settings=settings,
        agreed_policies=None if agreed is None else _policies(agreed),
    )


def _policies(quoted: str) -> frozenset[str]:
    """`"NIST-test-policy-1,anyPolicy"`, in quotes, as dotted identifiers."""
    names = filter(None, json.loads(quoted).split(","))
    return frozenset(
        _ANY_POLICY if name == "anyPolicy" else f"{_POLICY_ARC}.{name.rpartition('-')[2]}" for name in names
    )
