"""Where the commands take trust from: certificate stores of Windows, the machine's store."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from smime_engine.cli import smime
from smime_engine.trust.sst import encode_sst
from tests import pki

ROOT = pki.authority("Trust Root")
ALICE = ROOT.issue("Alice", "alice@example.org")
AT = ("--at", pki.MOMENT.isoformat())


def path(place: Path, *options: object) -> str:
    (place / "alice.crt").write_bytes(ALICE.certificate_pem)
    arguments = ["path", str(place / "alice.crt"), *AT, "--revocation", "none", "--json", *map(str, options)]
    return json.loads(CliRunner().invoke(smime, arguments).stdout)["verdict"]


def test_a_serialized_store_is_trusted_distrusted_and_pinned(tmp_path: Path) -> None:
    store, tenant = tmp_path / "roots.sst", tmp_path / "acme"
    store.write_bytes(encode_sst([ROOT.certificate_der]))
    assert path(tmp_path, "--trust", store) == "VALID"
    for command in (["import"], ["distrust"], ["pin"]):
        name = ["example.org"] if command == ["pin"] else []
        result = CliRunner().invoke(
            smime, ["tenant", "collection", *command, "--tenant", str(tenant), *name, str(store)]
        )
        assert result.exit_code == 0, result.output
    assert path(tmp_path, "--collection", tenant) == "INVALID"
    listed = CliRunner().invoke(smime, ["tenant", "collection", "list", "--tenant", str(tenant), "--json"])
    found = json.loads(listed.stdout)
    fingerprint = found["certificates"][0]["sha256"]
    assert (found["distrusted"], found["pins"]) == ([fingerprint], {"example.org": [fingerprint]})


def test_the_machines_store_counts_only_where_it_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "machine.pem").write_bytes(ROOT.certificate_pem)
    other = tmp_path / "other.crt"
    other.write_bytes(pki.authority("Another Root").certificate_pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "machine.pem"))
    assert path(tmp_path, "--trust", other) == "UNKNOWN"
    assert path(tmp_path, "--trust", other, "--machine-store") == "VALID"
    assert path(tmp_path, "--machine-store") == "VALID"
