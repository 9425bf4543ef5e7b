"""The committed table is what is measured, every failure in it has its reason, and we read whatever peers make."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from smime_engine import Certificate, CmsSigner, InMemoryKey
from tests import pki
from tests.cms import signers
from tests.interop.combinations import COMBINATIONS, CONTENT, now
from tests.interop.explanations import EXPLANATIONS, explanation
from tests.interop.peers import Peer, we_read
from tests.interop.table import DOCUMENT, READS, THEIRS, Cells, cells_of, measured, peers, rendered

pytestmark = [pytest.mark.openssl, pytest.mark.gpgsm, pytest.mark.nss]


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Peer, ...]]:
    """OpenSSL, gpgsm, NSS."""
    with peers(tmp_path_factory.mktemp("i")) as found:
        yield found


@pytest.fixture(scope="module")
def results(others: tuple[Peer, ...]) -> tuple[Cells, str]:
    """Cells as measured, and the document that they make."""
    cells = measured(others)
    return cells, rendered(cells, others)


def test_the_document_is_what_is_measured(results: tuple[Cells, str]) -> None:
    """Versions may differ; where cells do, `python -m tests.interop.table` writes them anew."""
    cells, document = results
    assert cells_of(document) == cells
    committed = cells_of(DOCUMENT.read_text(encoding="utf-8"))
    changed = {key: (committed.get(key), cells.get(key)) for key in committed.keys() | cells.keys()}
    assert {key: pair for key, pair in changed.items() if pair[0] != pair[1]} == {}


def test_every_failure_has_its_reason_and_every_reason_its_failure(results: tuple[Cells, str]) -> None:
    cells, _ = results
    failed = {(peer, title) for (title, peer, _), cell in cells.items() if cell in {"no", "refused"}}
    reasons = {(peer, title): explanation(peer, title) for peer, title in failed}
    assert [key for key, reason in reasons.items() if reason is None] == []
    assert set(reasons.values()) == set(EXPLANATIONS)


def test_we_read_whatever_they_make(results: tuple[Cells, str]) -> None:
    cells, _ = results
    theirs = [cell for (_, _, way), cell in cells.items() if way == THEIRS]
    assert "no" not in theirs
    assert theirs.count("yes") >= 100


def test_what_they_do_not_read_of_ours_they_do_not_read_of_openssls(
    others: tuple[Peer, ...], results: tuple[Cells, str]
) -> None:
    cells, _ = results
    openssl, *rest = others
    compared = 0
    for combination in COMBINATIONS:
        strangers = [peer for peer in rest if cells[combination.title, peer.name, READS] == "no"]
        made = openssl.makes(combination) if strangers and openssl.may_make(combination) else None
        for peer in strangers if made is not None else ():
            assert made is not None
            assert peer.reads(combination, made) is False, (peer.name, combination.title)
            compared += 1
    assert compared >= 50


def test_readers_can_say_no(others: tuple[Peer, ...]) -> None:
    """A `yes` would mean nothing if other content, another signer's root or a broken message got one as well."""
    rows = {combination.title: combination for combination in COMBINATIONS}
    signer, stranger = signers.signer("rsa2048", "Interop"), _stranger()
    detached, attached = rows["RSA, SHA-256, detached"], rows["RSA, SHA-256, attached"]
    encrypted = rows["RSA PKCS #1 v1.5, aes256-cbc"]
    assert encrypted.ours is not None
    broken = bytearray(encrypted.ours())
    broken[-40] ^= 1
    bad = [
        (detached, signer.sign(b"other content", now=now())),
        (detached, stranger.sign(CONTENT, now=now())),
        (attached, signer.sign(b"other content", now=now(), detached=False)),
        (attached, signer.sign(CONTENT, now=now(), detached=False).replace(b"A line", b"A lime")),
        (attached, stranger.sign(CONTENT, now=now(), detached=False)),
        (encrypted, bytes(broken)),
    ]
    for combination, data in bad:
        assert we_read(combination, data) is False
        for peer in others:
            assert peer.reads(combination, data) is False, (peer.name, combination.title)


def _stranger() -> CmsSigner:
    holder = pki.authority("Untrusted", kind="rsa2048").issue("Stranger", "stranger@example.org", kind="rsa2048")
    return CmsSigner(InMemoryKey(holder.key), Certificate.parse(holder.certificate_der))


def test_titles_are_unique() -> None:
    titles = [combination.title for combination in COMBINATIONS]
    assert len(titles) == len(set(titles))
