"""x509-limbo's path validation cases, and which of them say something about S/MIME.

The rule: a case is applicable unless its stated outcome rests on one of the `REASONS` below. Cases of the `rfc5280`
name space are judged with the strict profile, because many of them test rules for issuers; the others with the default.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any

from smime_engine.certificate_bundle import certificates_from
from smime_engine.errors import MalformedMessage
from smime_engine.problems import Verdict
from smime_engine.trust.collection import TrustCollection
from smime_engine.trust.evidence import revocation_lists_from
from smime_engine.trust.path import Evidence, PathOptions, Profile, RevocationMode, validate_path
from tests import surroundings

NOW = datetime(2026, 6, 1, tzinfo=UTC)
"""For cases without a time of their own, which are valid for decades."""

HOST_NAME = "the host name that was asked for is compared with the certificate: mail has none"
SERVER_USAGE = "the extended key usage of TLS servers"
WEB_PKI = "a rule of the CA/Browser Forum for TLS certificates, which RFC 5280 does not have"
CRL_ISSUER = "a rule for issuers of CRLs that section 6.3 of RFC 5280 does not check; such lists are in use"

REASONS: dict[str, str] = {
    "crl::crlnumber-missing": CRL_ISSUER,
    "crl::crlnumber-critical": CRL_ISSUER,
    "rfc5280::eku::ee-wrong-eku": SERVER_USAGE,
    "rfc5280::ca-as-leaf-wrong-san": HOST_NAME,
    **dict.fromkeys(
        (
            f"webpki::{name}"
            for name in (
                "aki::root-with-aki-missing-keyidentifier",
                "aki::root-with-aki-authoritycertissuer",
                "aki::root-with-aki-authoritycertserialnumber",
                "aki::root-with-aki-all-fields",
                "aki::root-with-aki-ski-mismatch",
                "cn::ipv4-hex-mismatch",
                "cn::ipv4-leading-zeros-mismatch",
                "cn::ipv6-uppercase-mismatch",
                "cn::ipv6-uncompressed-mismatch",
                "cn::ipv6-non-rfc5952-mismatch",
                "cn::punycode-not-in-san",
                "cn::utf8-vs-punycode-mismatch",
                "cn::not-in-san",
                "cn::case-mismatch",
                "san::no-san",
                "san::san-critical-with-nonempty-subject",
                "san::public-suffix-wildcard-san",
                "san::public-suffix-multi-label-wildcard-san",
                "san::public-suffix-private-namespace-wildcard-san",
                "forbidden-dsa-leaf",
                "forbidden-rsa-not-divisible-by-8-in-root",
                "forbidden-rsa-key-not-divisible-by-8-in-leaf",
                "v1-cert",
                "ee-basicconstraints-ca",
                "ca-as-leaf",
            )
        ),
        WEB_PKI,
    ),
    **dict.fromkeys(
        (
            f"webpki::san::{name}"
            for name in (
                "mismatch-domain-san",
                "mismatch-subdomain-san",
                "mismatch-subdomain-apex-san",
                "mismatch-apex-subdomain-san",
                "wildcard-embedded-leftmost-san",
                "wildcard-not-in-leftmost-san",
                "wildcard-match-across-labels-san",
                "wildcard-embedded-ulabel-san",
                "san-wildcard-only",
                "san-wildcard-only-tld",
            )
        ),
        HOST_NAME,
    ),
    **dict.fromkeys(
        (f"webpki::eku::{name}" for name in ("ee-anyeku", "ee-critical-eku", "ee-without-eku", "root-has-eku")),
        SERVER_USAGE,
    ),
}


@dataclass(frozen=True)
class Case:
    """One case; certificates and CRLs as PEM."""

    name: str
    valid: bool
    leaf: bytes
    anchors: tuple[bytes, ...]
    pool: tuple[bytes, ...]
    crls: tuple[bytes, ...]
    now: datetime
    maximum_intermediates: int | None

    @property
    def options(self) -> PathOptions:
        return PathOptions(
            profile=Profile.STRICT if self.name.startswith("rfc5280::") else Profile.TOLERANT,
            revocation=RevocationMode.HARD_FAIL if self.crls else RevocationMode.NONE,
            maximum_intermediates=self.maximum_intermediates,
        )


@cache
def cases() -> tuple[Case, ...]:
    """All cases, applicable or not; () where the corpora are missing."""
    file = surroundings.CORPORA / "x509-limbo" / "limbo.json"
    return tuple(map(_case, json.loads(file.read_bytes())["testcases"])) if file.is_file() else ()


def _case(raw: dict[str, Any]) -> Case:
    return Case(
        name=raw["id"],
        valid=raw["expected_result"] == "SUCCESS",
        leaf=raw["peer_certificate"].encode(),
        anchors=tuple(map(str.encode, raw["trusted_certs"])),
        pool=tuple(map(str.encode, raw["untrusted_intermediates"])),
        crls=tuple(map(str.encode, raw["crls"] or ())),
        now=datetime.fromisoformat(raw["validation_time"]) if raw["validation_time"] else NOW,
        maximum_intermediates=raw["max_chain_depth"],
    )


def judge(case: Case) -> tuple[bool, str]:
    """Whether we accept the chain, and why not; a malformed certificate is a refusal."""
    try:
        (leaf,) = certificates_from(case.leaf)
        anchors = [certificate for pem in case.anchors for certificate in certificates_from(pem)]
        pool = [certificate for pem in case.pool for certificate in certificates_from(pem)]
        evidence = Evidence(crls=[crl for pem in case.crls for crl in revocation_lists_from(pem)])
    except MalformedMessage as error:
        return False, str(error)
    report = validate_path(
        leaf,
        collection=TrustCollection(anchors),
        pool=pool,
        now=case.now,
        options=case.options,
        evidence=evidence,
    )
    return report.verdict is Verdict.VALID, "\n".join(map(str, report.problems))
