"""`smime path`: the contract that scripts depend on, and more than 40 cases of PKITS through it."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from click.testing import CliRunner
from cryptography import x509

from smime_engine.cli.path import command
from tests import pki
from tests.corpora import pkits

NUMBERS = [
    "4.1.1",
    "4.1.2",
    "4.1.3",
    "4.1.4",
    "4.1.5",
    "4.1.6",
    "4.2.2",
    "4.2.7",
    "4.3.1",
    "4.3.4",
    "4.4.1",
    "4.4.2",
    "4.4.3",
    "4.4.7",
    "4.4.19",
    "4.5.1",
    "4.5.2",
    "4.6.2",
    "4.6.7",
    "4.6.17",
    "4.7.2",
    "4.7.4",
    "4.8.1",
    "4.8.2",
    "4.8.10",
    "4.8.14",
    "4.9.1",
    "4.10.1",
    "4.10.4",
    "4.11.2",
    "4.12.4",
    "4.13.1",
    "4.13.2",
    "4.13.21",
    "4.13.22",
    "4.14.1",
    "4.14.2",
    "4.14.22",
    "4.15.2",
    "4.15.3",
]
CASES = [case for case in pkits.cases() if case.number in NUMBERS]


@pytest.fixture
def run():
    """Run `smime path … --json` -> (exit status, JSON)."""

    def call(*arguments):
        result = CliRunner().invoke(command, [*map(str, arguments), "--json"], catch_exceptions=False)
        return result.exit_code, json.loads(result.stdout)

    return call


@pytest.fixture
def mailbox(tmp_path):
    """A root, an authority and Alice, as files."""
    root = pki.authority("Path Root")
    authority = root.subordinate("Path Authority")
    alice = authority.issue("Alice", "alice@example.org")
    files = {"root": root.certificate_pem, "authority": authority.certificate_pem, "alice": alice.certificate_der}
    for name, content in files.items():
        (tmp_path / name).with_suffix(".pem").write_bytes(content)
    (tmp_path / "authority.crl").write_bytes(authority.crl())
    (tmp_path / "root.crl").write_bytes(root.crl())
    return tmp_path


def arguments_of(case):
    """A case of PKITS as command line."""
    anchor, *pool, leaf = case.certificates
    found = [case.path_of(leaf), "--trust", case.path_of(anchor), "--at", pkits.NOW.isoformat()]
    for certificate in pool:
        found += ["--cert", case.path_of(certificate)]
    for crl in case.crl_paths:
        found += ["--crl", crl]
    for problem in pkits.OLD_ALGORITHMS:
        found += ["--forgive", problem.name]
    for policy in case.settings.get("initial_policies", ()):
        found += ["--initial-policy", policy]
    flags = ("require_explicit_policy", "inhibit_policy_mapping", "inhibit_any_policy")
    return found + [f"--{flag.replace('_', '-')}" for flag in flags if case.settings.get(flag)]


@pytest.mark.corpora
def test_at_least_forty_cases_are_chosen(corpora):
    assert len(CASES) >= 40


@pytest.mark.corpora
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.number)
def test_pkits(run, case):
    status, report = run(*arguments_of(case))
    assert (report["verdict"] == "VALID") == case.valid, report["problems"]
    assert status == {"VALID": 0, "INVALID": 1, "UNKNOWN": 3}[report["verdict"]]


def test_contract_of_the_json(run, mailbox):
    status, report = run(
        mailbox / "alice.pem",
        *("--trust", mailbox / "root.pem", "--cert", mailbox / "authority.pem", "--no-revocation", "--usage", "sign"),
    )
    assert status == 0
    assert report["verdict"] == "VALID"
    assert report["problems"] == []
    assert report["chain"] == ["CN=Alice", "CN=Path Authority", "CN=Path Root"]
    assert report["wanted"] == []
    assert report["certificates"][0]["addresses"] == ["alice@example.org"]


def test_problems_name_their_certificate(run, mailbox):
    later = (pki.NOT_AFTER + timedelta(days=1)).isoformat()
    status, report = run(
        mailbox / "alice.pem",
        *("--trust", mailbox / "root.pem", "--cert", mailbox / "authority.pem", "--no-revocation", "--at", later),
    )
    assert status == 1
    assert {(p["certificate"], p["problem"]) for p in report["problems"]} == {
        ("CN=Alice", "EXPIRED"),
        ("CN=Path Authority", "EXPIRED"),
        ("CN=Path Root", "EXPIRED"),
    }


def test_an_unknown_status_is_neither_valid_nor_invalid(run, mailbox):
    base = (mailbox / "alice.pem", "--trust", mailbox / "root.pem", "--cert", mailbox / "authority.pem")
    status, report = run(*base)
    assert (status, report["verdict"]) == (3, "UNKNOWN")
    assert {p["problem"] for p in report["problems"]} == {"REVOCATION_UNKNOWN"}
    at = pki.MOMENT.isoformat()
    status, report = run(*base, "--crl", mailbox / "authority.crl", "--crl", mailbox / "root.crl", "--at", at)
    assert (status, report["verdict"]) == (0, "VALID")


def test_a_missing_issuer_is_wanted(run, tmp_path):
    root = pki.authority("Path Root")
    authority = root.subordinate("Path Authority", issuer_urls=["http://ca.example/authority.cer"])
    (tmp_path / "root.pem").write_bytes(root.certificate_pem)
    (tmp_path / "leaf.pem").write_bytes(authority.issue("Alice", "alice@example.org").certificate_pem)
    status, report = run(tmp_path / "leaf.pem", "--trust", tmp_path / "root.pem", "--no-revocation")
    assert (status, report["verdict"]) == (3, "UNKNOWN")
    assert report["wanted"] == [{"kind": "issuer", "url": "http://ca.example/authority.cer", "of": "CN=Path Authority"}]


@pytest.mark.parametrize(
    ("email", "status"), [("alice@example.org", 0), ("Alice@EXAMPLE.org", 0), ("mallory@example.org", 1)]
)
def test_address(run, mailbox, email, status):
    base = (mailbox / "alice.pem", "--trust", mailbox / "root.pem", "--cert", mailbox / "authority.pem")
    found, report = run(*base, "--no-revocation", "--email", email)
    assert found == status
    assert [p["problem"] for p in report["problems"]] == ["ADDRESS_MISMATCH"] * status


def test_the_tree_is_readable_and_cannot_steer_a_terminal(tmp_path):
    root = pki.authority("Root \x1b[2J", subject=x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "R\x1b[2J")]))
    (tmp_path / "root.pem").write_bytes(root.certificate_pem)
    (tmp_path / "leaf.pem").write_bytes(root.issue("Bob", "bob@example.org").certificate_pem)
    result = CliRunner().invoke(
        command, [str(tmp_path / "leaf.pem"), "--trust", str(tmp_path / "root.pem"), "--no-revocation"]
    )
    assert result.exit_code == 0
    assert "\x1b" not in result.stdout
    assert result.stdout.splitlines()[0].startswith("VALID for any use")
    assert "└─ CN=Bob" in result.stdout


def test_usage_errors(tmp_path, mailbox):
    runner = CliRunner()
    for arguments in (
        [],
        [str(mailbox / "alice.pem"), "--usage", "tls"],
        [str(mailbox / "alice.pem"), "--initial-policy", "nonsense"],
        [str(mailbox / "alice.pem"), "--at", "2026-01-01"],
        [str(mailbox / "alice.pem"), "--forgive", "EVERYTHING"],
    ):
        assert runner.invoke(command, arguments).exit_code == 2, arguments
