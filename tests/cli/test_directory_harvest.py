"""`smime directory harvest`: what valid signed mail teaches is kept, and found."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from smime_engine import CmsSigner, MessageSigner, SignedAttributes, load_identity
from smime_engine.cli import smime
from smime_engine.cms.capabilities import DEFAULT_CAPABILITIES, encode_capabilities
from smime_engine.sources.store import Tenant, open_store
from tests import pki
from tests.sources.conftest import create

ROOT = pki.authority("Harvest Root")
LATER = pki.MOMENT + timedelta(days=1)
Run = Callable[..., Result]


def mail(place: Path, file: str, *, now=pki.MOMENT, root: pki.Authority = ROOT) -> tuple[Path, pki.Credential]:
    """A signed message of a new certificate of Carol's."""
    carol = root.issue("Carol", "carol@partner.example", kind="p256")
    identity = load_identity(carol.pem())
    attributes = SignedAttributes(capabilities=encode_capabilities(DEFAULT_CAPABILITIES))
    signer = MessageSigner.of(CmsSigner(identity.key, identity.certificate, attributes=attributes))
    text = b"From: carol@partner.example\r\nTo: alice@example.org\r\nSubject: hi\r\n\r\nHello!\r\n"
    (place / file).write_bytes(signer.sign(text, now=now))
    return place / file, carol


@pytest.fixture
def url(tmp_path: Path) -> str:
    made = create(f"sqlite:///{tmp_path / 'store.sqlite'}")
    with open_store(made) as store:
        store.add_tenant(Tenant(name="acme", domains=("example.org",)))
    return made


@pytest.fixture
def run(url: str, tmp_path: Path) -> Run:
    def harvest(*arguments: object) -> Result:
        given = ["directory", "harvest", "--store", url, "--tenant", "acme", "--at", LATER.isoformat()]
        return CliRunner().invoke(smime, [*given, *map(str, arguments)])

    (tmp_path / "root.pem").write_bytes(ROOT.certificate_pem)
    trust = ["tenant", "collection", "import", "--store", url, "--tenant", "acme", str(tmp_path / "root.pem")]
    assert CliRunner().invoke(smime, trust).exit_code == 0
    return harvest


def kept(url: str) -> bytes:
    with open_store(url) as store:
        return store.tenant("acme").harvest.find(["carol@partner.example"])["carol@partner.example"][0].certificate


def test_the_latest_signature_decides_and_a_pin_stays(run: Run, url: str, tmp_path: Path) -> None:
    old, first = mail(tmp_path, "old.eml")
    new, second = mail(tmp_path, "new.eml", now=LATER)
    assert run(old).output == "carol@partner.example: nothing was known\n"
    assert kept(url) == first.certificate_der
    assert run(new).output == "carol@partner.example: another certificate, signed later\n"
    assert run(old).output == "carol@partner.example: what is known was signed later\n"
    assert kept(url) == second.certificate_der
    (row,) = json.loads(run(new, "--pin", "--json").output)
    assert row["outcome"] == "the same certificate, signed later"
    third, _ = mail(tmp_path, "third.eml", now=LATER)
    assert "pinned" in run(third).output
    assert kept(url) == second.certificate_der


def test_what_is_not_valid_teaches_nothing(run: Run, url: str, tmp_path: Path) -> None:
    stranger, _ = mail(tmp_path, "stranger.eml", root=pki.authority("Somebody Else"))
    changed, _ = mail(tmp_path, "changed.eml")
    changed.write_bytes(changed.read_bytes().replace(b"Hello", b"Goodbye"))
    (tmp_path / "plain.eml").write_bytes(b"From: carol@partner.example\r\n\r\nHello!\r\n")
    for file in (stranger, changed, tmp_path / "plain.eml"):
        result = run(file)
        assert result.exit_code == 1
        assert "no valid signed mail" in result.output
    with open_store(url) as store:
        assert not store.tenant("acme").harvest.find(["carol@partner.example"])
