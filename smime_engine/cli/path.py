"""`smime path`: validate the path of one certificate, and say in words what stands against it.

Does: gather files, call `validate_path`, translate the report into a tree or JSON and an exit status. Does not: judge,
nor fetch anything unless `--fetch` says so: what could help is named in the output.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from ipaddress import IPv4Network, IPv6Network
from typing import TYPE_CHECKING, Any

import click

from smime_engine.asn1 import oids
from smime_engine.certificate import Certificate
from smime_engine.certificate_bundle import certificates_from
from smime_engine.cli.exit_status import status_of_verdict
from smime_engine.cli.inputs import (
    Moment,
    networks_of,
    read_certificates,
    read_evidence,
    read_file,
    trusted_collection,
)
from smime_engine.cli.rendering import json_text, printable
from smime_engine.problems import Problem
from smime_engine.trust.collection import TrustCollection
from smime_engine.trust.diagnostics import ADVICE, path_diagnosis
from smime_engine.trust.path import (
    PathOptions,
    PathProblem,
    PathReport,
    Profile,
    Purpose,
    RevocationMode,
    validate_path,
)
from smime_engine.trust.wanted import Wanted

if TYPE_CHECKING:
    from smime_engine.sources.fetched import Gathered

__all__ = ["command"]


def _dotted(_context: click.Context, _parameter: click.Parameter, values: Sequence[str]) -> Sequence[str]:
    """Check that every policy is a dotted identifier."""
    for value in values:
        try:
            oids.encode_oid(value)
        except ValueError as error:
            raise click.BadParameter(f"{value!r} is no dotted object identifier such as 2.23.140.1.5.2.1") from error
    return values


@click.command(
    name="path",
    epilog="Exit status: 0 valid, 1 invalid, 2 usage, 3 unknown, 4 malformed certificate.",
)
@click.argument("file", metavar="CERT")
@click.option("--trust", multiple=True, metavar="FILE|DIR", help="Trusted CA certificates (PEM, DER, PKCS #7).")
@click.option("--collection", metavar="TENANT", help="Trust the certificate collection of a tenant's folder.")
@click.option("--machine-store", is_flag=True, help="Trust the machine's roots as well, as Exchange on premises does.")
@click.option("--cert", "certificates", multiple=True, metavar="FILE", help="Further certificates, not trusted.")
@click.option("--crl", "crls", multiple=True, metavar="FILE", help="Revocation list; may be repeated.")
@click.option("--at", type=Moment(), help="Judge for this moment instead of now.")
@click.option("--email", metavar="A", help="Demand that the certificate names this address.")
@click.option("--usage", type=click.Choice([purpose.value for purpose in Purpose]), default="any", show_default=True)
@click.option("--initial-policy", "policies", multiple=True, callback=_dotted, metavar="OID", help="Acceptable policy.")
@click.option("--require-explicit-policy", is_flag=True, help="Demand an acceptable policy all along the path.")
@click.option("--inhibit-policy-mapping", is_flag=True, help="Ignore policy mappings.")
@click.option("--inhibit-any-policy", is_flag=True, help="Do not let anyPolicy stand for every policy.")
@click.option("--no-revocation", is_flag=True, help="Do not ask whether a certificate was revoked.")
@click.option(
    "--revocation",
    type=click.Choice([mode.value for mode in RevocationMode]),
    default=RevocationMode.HARD_FAIL.value,
    show_default=True,
    help="What it means when revocation cannot be determined.",
)
@click.option("--fetch", is_flag=True, help="Fetch missing issuers, revocation lists and OCSP answers.")
@click.option(
    "--fetch-from",
    "networks",
    multiple=True,
    callback=networks_of,
    metavar="NETWORK",
    help="With --fetch: a network that is not public and may be fetched from, such as 10.0.0.0/8.",
)
@click.option("--strict", is_flag=True, help="Count what breaks the rules that RFC 5280 sets for issuers.")
@click.option(
    "--forgive",
    multiple=True,
    type=click.Choice([problem.name for problem in Problem], case_sensitive=False),
    metavar="PROBLEM",
    help="Report this problem, but do not count it.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def command(  # noqa: PLR0913, PLR0917 - one argument for each option
    file: str,
    trust: Sequence[str],
    collection: str | None,
    machine_store: bool,  # noqa: FBT001 - click hands flags over by name
    certificates: Sequence[str],
    crls: Sequence[str],
    at: datetime | None,
    email: str | None,
    usage: str,
    policies: Sequence[str],
    require_explicit_policy: bool,  # noqa: FBT001 - click hands flags over by name, here and below
    inhibit_policy_mapping: bool,  # noqa: FBT001
    inhibit_any_policy: bool,  # noqa: FBT001
    no_revocation: bool,  # noqa: FBT001
    revocation: str,
    fetch: bool,  # noqa: FBT001
    networks: Sequence[IPv4Network | IPv6Network],
    strict: bool,  # noqa: FBT001
    forgive: Sequence[str],
    as_json: bool,  # noqa: FBT001
) -> None:
    """Validate the path from the certificate in CERT (- for standard input) to a trusted one.

    Of several certificates in CERT the first is judged; the others may help to build its path. Trusted are the
    self-issued certificates of --trust; if none of them is self-issued, all are.
    """
    leaf, *others = certificates_from(read_file(file))
    options = PathOptions(
        initial_policies=frozenset(policies) or PathOptions().initial_policies,
        require_explicit_policy=require_explicit_policy,
        inhibit_policy_mapping=inhibit_policy_mapping,
        inhibit_any_policy=inhibit_any_policy,
        revocation=RevocationMode.NONE if no_revocation else RevocationMode(revocation),
        profile=Profile.STRICT if strict else Profile.TOLERANT,
        forgiven=frozenset(Problem[name.upper()] for name in forgive),
    )
    present = datetime.now(UTC)
    trusted = trusted_collection(trust, collection, machine_store=machine_store) or TrustCollection()
    pool = (*others, *read_certificates(certificates))
    given = read_evidence(crls)

    def judge(found: Gathered | None = None) -> PathReport:
        return validate_path(
            leaf,
            collection=trusted,
            pool=pool if found is None else (*pool, *found.certificates),
            evidence=given if found is None else given.including(found.evidence),
            now=at or present,
            present=present,
            purpose=Purpose(usage),
            options=options,
            address=email,
        )

    if fetch:
        from smime_engine.cli.fetching import judge_and_fetch

        report = judge_and_fetch(judge, lambda found: found.wanted, networks=networks)
    else:
        report = judge()
    if as_json:
        click.echo(json_text(_as_json(report)))
    else:
        for line in path_diagnosis(report, revocation=options.revocation):
            click.echo(printable(line))
    sys.exit(status_of_verdict(report.verdict))


def _as_json(report: PathReport) -> dict[str, Any]:
    """`chain` are subjects, the leaf first; `certificates` says more about each of them."""
    return {
        "verdict": report.verdict.value,
        "problems": [_problem(found, report) for found in report.problems],
        "chain": [certificate.subject for certificate in report.chain],
        "wanted": [_wanted(wanted) for wanted in report.wanted],
        "anchored": report.anchored,
        "policies": list(report.policies),
        "certificates": [_certificate(certificate) for certificate in report.chain],
    }


def _problem(found: PathProblem, report: PathReport) -> dict[str, Any]:
    return {
        "certificate": found.certificate.subject,
        "problem": found.problem.name,
        "text": found.problem.text,
        "detail": found.detail,
        "advice": ADVICE.get(found.problem),
        "effect": None if found.problem.effect is None else found.problem.effect.value,
        "forgiven": found.problem in report.forgiven,
    }


def _certificate(certificate: Certificate) -> dict[str, Any]:
    return {
        "subject": certificate.subject,
        "issuer": certificate.issuer,
        "serial": f"{certificate.serial_number:x}",
        "not_before": certificate.not_before.isoformat(),
        "not_after": certificate.not_after.isoformat(),
        "addresses": list(certificate.addresses),
        "sha256": certificate.fingerprint_sha256.hex(),
    }


def _wanted(wanted: Wanted) -> dict[str, Any]:
    kind = type(wanted).__name__.lower()
    whose = getattr(wanted, "name", None) or getattr(wanted, "issuer", "")
    return {"kind": kind, "url": wanted.url, "of": whose}
