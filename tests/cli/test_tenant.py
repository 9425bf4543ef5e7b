"""`smime tenant`: settings in both spellings, imports and refusals, lists, and what expires."""

from __future__ import annotations

import json
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from prometheus_client.parser import text_string_to_metric_families

from smime_engine.cli.path import command as path_command
from smime_engine.cli.tenant import command
from smime_engine.errors import ConfigurationError, MalformedMessage
from smime_engine.trust.sst import encode_sst, parse_sst
from tests import pki

AT = "2026-06-01T12:00:00Z"
ROOT = pki.authority("Root")
CA = ROOT.subordinate("CA", not_after=pki.MOMENT + timedelta(days=20))
ALICE = CA.issue("Alice", "alice@example.org")


def run(*arguments: str, status: int = 0) -> Result:
    result = CliRunner().invoke(command, arguments, catch_exceptions=True)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == status, result.output
    return result


@pytest.fixture
def tenant(tmp_path: Path) -> str:
    return str(tmp_path / "tenant")


def values(tenant: str) -> dict:
    return json.loads(run("smime-config", "get", "--tenant", tenant, "--json").output)


@pytest.fixture
def collection(tenant: str, tmp_path: Path) -> str:
    """A tenant with Root and CA."""
    file = tmp_path / "trust.sst"
    file.write_bytes(encode_sst([ROOT.certificate_der, CA.certificate_der]))
    assert run("collection", "import", "--tenant", tenant, str(file), "--at", AT).output == "1 roots, 1 intermediates\n"
    return tenant


# --- settings


@pytest.mark.parametrize(
    "arguments",
    [
        ["-OWAAlwaysSign", "$true", "-OWACRLRetrievalTimeout", "20000"],
        ["-owaalwayssign:$true", "-OWACrlRetrievalTimeout:20000"],
        ["--owa-always-sign", "true", "--owa-crl-retrieval-timeout", "20000"],
        ["-Identity", "x", "-OWAAlwaysSign", "True", "-Confirm:$false", "--owa-crl-retrieval-timeout=20000"],
        ["-Confirm", "$false", "-OWAAlwaysSign", "1", "-Identity:x", "-OWACRLRetrievalTimeout", "20000"],
    ],
)
def test_both_spellings_set_the_same(tenant: str, arguments: list[str]) -> None:
    result = run("smime-config", "set", "--tenant", tenant, *arguments)
    assert "OWAAlwaysSign: False -> True" in result.output
    found = values(tenant)
    assert (found["OWAAlwaysSign"], found["OWACRLRetrievalTimeout"], found["OWAClearSign"]) == (True, 20000, True)


def test_what_if_changes_nothing(tenant: str) -> None:
    result = run("smime-config", "set", "--tenant", tenant, "-OWAAlwaysSign", "$true", "-WhatIf")
    assert "False -> True" in result.output
    assert not Path(tenant).exists()
    assert values(tenant)["OWAAlwaysSign"] is False


def test_a_value_that_the_shell_has_eaten_is_missed(tenant: str) -> None:
    result = run("smime-config", "set", "--tenant", tenant, "-OWAAlwaysSign", "-OWAClearSign", "$true", status=2)
    assert "-OWAAlwaysSign needs a value" in result.output
    assert "needs a value" in run("smime-config", "set", "--tenant", tenant, "-OWAAlwaysSign", status=2).output
    assert "at least one parameter" in run("smime-config", "set", "--tenant", tenant, status=2).output
    assert "No such option" in run("smime-config", "set", "--tenant", tenant, "-OWANothing", "1", status=2).output


def test_a_malformed_algorithm_list_warns(tenant: str) -> None:
    result = run("smime-config", "set", "--tenant", tenant, "-OWAEncryptionAlgorithms", "AES")
    assert "smime: warning: OWAEncryptionAlgorithms" in result.stderr
    assert values(tenant)["OWAEncryptionAlgorithms"] == "6610"


def test_get_shows_some_and_explains(tenant: str) -> None:
    result = run("smime-config", "get", "--tenant", tenant, "OWAClearSign", "--explain")
    first, second = result.output.splitlines()
    assert first == "OWAClearSign : True"
    assert "multipart/signed" in second
    with pytest.raises(ConfigurationError):
        run("smime-config", "get", "--tenant", tenant, "Nothing")


@pytest.mark.parametrize("form", ["{}", "([IO.File]::ReadAllBytes('{}'))", '[System.IO.File]::ReadAllBytes("{}")'])
def test_the_collection_is_a_parameter(tenant: str, tmp_path: Path, form: str) -> None:
    file = tmp_path / "trust.sst"
    file.write_bytes(encode_sst([CA.certificate_der, ROOT.certificate_der]))
    arguments = ["--tenant", tenant, "--at", AT, "-SMIMECertificateIssuingCA"]
    result = run("smime-config", "set", *arguments, form.format(file))
    assert "SMIMECertificateIssuingCA:  -> (set)" in result.output
    stored = (Path(tenant) / "collection.sst").read_bytes()
    assert parse_sst(stored).certificates == (ROOT.certificate_der, CA.certificate_der)
    assert values(tenant)["SMIMECertificateIssuingCA"] is not None
    run("smime-config", "set", "--tenant", tenant, "-OWAAlwaysSign", "$true")
    assert (Path(tenant) / "collection.sst").read_bytes() == stored
    run("smime-config", "set", *arguments, "$null")
    assert values(tenant)["SMIMECertificateIssuingCA"] is None


# --- the collection


def test_one_expired_certificate_fails_the_import(collection: str, tmp_path: Path) -> None:
    file = tmp_path / "old.pem"
    old = ROOT.subordinate("Old CA", not_after=pki.MOMENT - timedelta(days=1))
    file.write_bytes(old.certificate_pem + ROOT.certificate_pem)
    before = (Path(collection) / "collection.sst").read_bytes()
    with pytest.raises(ConfigurationError, match="CN=Old CA"):
        run("collection", "import", "--tenant", collection, str(file), "--at", AT)
    assert (Path(collection) / "collection.sst").read_bytes() == before
    file.write_bytes(b"nothing")
    with pytest.raises(MalformedMessage):
        run("collection", "import", "--tenant", collection, str(file))


def test_an_import_replaces_or_adds(collection: str, tmp_path: Path) -> None:
    file = tmp_path / "second.der"
    second = pki.authority("Second Root")
    file.write_bytes(second.certificate_der)
    arguments = ["collection", "import", "--tenant", collection, str(file), "--at", AT]
    assert run(*arguments, "--add").output == "2 roots, 1 intermediates\n"
    assert run(*arguments).output == "1 roots, 0 intermediates\n"


def test_an_export_is_what_windows_would_save(collection: str, tmp_path: Path) -> None:
    file = tmp_path / "out.sst"
    run("collection", "export", "--tenant", collection, "-o", str(file))
    assert file.read_bytes() == encode_sst([ROOT.certificate_der, CA.certificate_der])


def test_lists_show_roots_intermediates_distrust_and_pins(collection: str, tmp_path: Path) -> None:
    key = sha256(b"some key").hexdigest()
    file = tmp_path / "ca.pem"
    file.write_bytes(CA.certificate_pem)
    run("collection", "distrust", "--tenant", collection, key)
    run("collection", "distrust", "--tenant", collection, str(file))
    run("collection", "pin", "--tenant", collection, "example.org", str(file), key)
    found = json.loads(run("collection", "list", "--tenant", collection, "--json").output)
    fingerprint = sha256(CA.certificate_der).hexdigest()
    assert [(row["kind"], row["subject"]) for row in found["certificates"]] == [
        ("root", "CN=Root"),
        ("intermediate", "CN=CA"),
    ]
    assert found["distrusted"] == [key, fingerprint]
    assert found["pins"] == {"example.org": sorted([key, fingerprint])}
    text = run("collection", "list", "--tenant", collection).output
    assert "intermediate  until 2026-06-21  CN=CA" in text
    run("collection", "distrust", "--tenant", collection, key, "--remove")
    run("collection", "pin", "--tenant", collection, "EXAMPLE.org")
    found = json.loads(run("collection", "list", "--tenant", collection, "--json").output)
    assert (found["distrusted"], found["pins"]) == ([fingerprint], {})


def test_what_is_no_fingerprint_is_refused(collection: str) -> None:
    for text in ("12", "zz" * 32):
        with pytest.raises(ConfigurationError, match="no SHA-256 fingerprint"):
            run("collection", "distrust", "--tenant", collection, text)


def test_damaged_files_are_named(collection: str) -> None:
    for name, data in {
        "smime-config.json": b"{",
        "collection.sst": b"SST",
        "distrusted.txt": b"12",
        "pins.txt": b"example.org",
    }.items():
        path = Path(collection) / name
        before = path.read_bytes() if path.exists() else b""
        path.write_bytes(data)
        command_line = ["smime-config", "get"] if name.endswith("json") else ["collection", "list"]
        with pytest.raises(ConfigurationError, match=name):
            run(*command_line, "--tenant", collection)
        path.write_bytes(before)


def test_paths_are_judged_by_a_tenants_collection(collection: str, tmp_path: Path) -> None:
    file = tmp_path / "alice.pem"
    file.write_bytes(ALICE.certificate_pem)
    arguments = [str(file), "--collection", collection, "--at", AT, "--no-revocation", "--json"]
    result = CliRunner().invoke(path_command, arguments)
    assert json.loads(result.output)["verdict"] == "VALID", result.output
    run("collection", "distrust", "--tenant", collection, sha256(CA.certificate_der).hexdigest())
    result = CliRunner().invoke(path_command, arguments)
    assert json.loads(result.output)["verdict"] == "INVALID"
    assert result.exit_code == 1


# --- what expires


def watched(tenant: str, *arguments: str, status: int = 1) -> list[dict]:
    return json.loads(run("watch", "--tenant", tenant, "--at", AT, "--json", *arguments, status=status).output)


def test_the_watch_lists_what_ends_within_thirty_days(collection: str) -> None:
    (row,) = watched(collection)
    assert (row["kind"], row["name"], row["days"], row["state"]) == ("intermediate", "CN=CA", 20, "expiring")
    assert watched(collection, "--days", "19", status=0) == []
    assert [row["kind"] for row in watched(collection, "--all")] == ["intermediate", "root"]
    assert watched(collection, "--at", "2026-07-01T00:00:00Z")[0]["state"] == "expired"


def test_users_and_lists_are_watched_from_folders_and_options(collection: str, tmp_path: Path) -> None:
    (Path(collection) / "users").mkdir()
    soon = CA.issue("Bob", "bob@example.org", not_after=pki.MOMENT + timedelta(days=3))
    (Path(collection) / "users" / "bob.pem").write_bytes(soon.certificate_pem)
    (Path(collection) / "crls").mkdir()
    crl = CA.crl(next_update=pki.MOMENT + timedelta(days=1, hours=1))
    (Path(collection) / "crls" / "ca.crl").write_bytes(crl)
    extra = tmp_path / "root.crl"
    extra.write_bytes(ROOT.crl(next_update=pki.MOMENT - timedelta(hours=1)))
    rows = watched(collection, "--crl", str(extra))
    assert [(row["kind"], row["name"], row["days"]) for row in rows] == [
        ("crl", "CN=Root", -1),
        ("crl", "CN=CA", 1),
        ("user", "CN=Bob", 3),
        ("intermediate", "CN=CA", 20),
    ]
    table = run("watch", "--tenant", collection, "--at", AT, status=1).output
    assert "expiring  2026-06-04      3 days  user          CN=Bob" in table
    assert table.endswith("4 watched, 3 within 30 days or over\n")


def test_prometheus_reads_the_gauges(collection: str) -> None:
    result = run("watch", "--tenant", collection, "--at", AT, "--format", "prometheus", status=1)
    families = {family.name: family for family in text_string_to_metric_families(result.output)}
    ends = {sample.labels["name"]: sample.value for sample in families["smime_expiry_timestamp_seconds"].samples}
    assert ends["CN=CA"] == (pki.MOMENT + timedelta(days=20)).timestamp()
    counts = {(s.labels["kind"], s.labels["state"]): s.value for s in families["smime_expiry_count"].samples}
    assert (counts["intermediate", "expiring"], counts["root", "good"], counts["user", "good"]) == (1, 1, 0)
