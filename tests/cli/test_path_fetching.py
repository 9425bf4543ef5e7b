"""`smime path --fetch`: what is wanted is fetched from a real server, and what cannot be is said so."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from click.testing import CliRunner

from smime_engine.cli.path import command
from tests import pki


@pytest.fixture
def web():
    """A server on the loopback interface: `web.answers["/a"] = b"…"`, `web.url("/a")`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            body = web.answers.get(self.path)
            self.send_response(404 if body is None else 200)
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *_):
            pass

    web = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    web.answers = {}
    web.url = lambda path: f"http://127.0.0.1:{web.server_port}{path}"
    thread = Thread(target=web.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield web
    web.shutdown()
    thread.join()
    web.server_close()


@pytest.fixture
def chain(tmp_path, web):
    """A root on disk, a leaf on disk; the authority between them and all lists are on the server."""
    root = pki.authority("Fetch Root", crl_urls=[web.url("/root.crl")])
    authority = root.subordinate(
        "Fetch Authority", crl_urls=[web.url("/authority.crl")], issuer_urls=[web.url("/authority.cer")]
    )
    leaf = authority.issue("Alice", "alice@example.org")
    (tmp_path / "root.pem").write_bytes(root.certificate_pem)
    (tmp_path / "leaf.pem").write_bytes(leaf.certificate_pem)
    web.answers["/authority.cer"] = authority.certificate_der
    web.answers["/root.crl"] = root.crl()
    web.answers["/authority.crl"] = authority.crl()
    web.revoke = lambda: web.answers.update({"/authority.crl": authority.crl({leaf: None})})
    return [str(tmp_path / "leaf.pem"), "--trust", str(tmp_path / "root.pem"), "--at", pki.MOMENT.isoformat()]


def run(*arguments):
    return CliRunner().invoke(command, arguments, catch_exceptions=False)


LOOPBACK = ("--fetch", "--fetch-from", "127.0.0.0/8")


def test_issuer_and_lists_are_fetched(chain):
    assert run(*chain).exit_code == 3
    result = run(*chain, *LOOPBACK, "--json")
    report = json.loads(result.stdout)
    assert (result.exit_code, report["verdict"]) == (0, "VALID"), report["problems"]
    assert report["chain"] == ["CN=Alice", "CN=Fetch Authority", "CN=Fetch Root"]


def test_a_revoked_certificate(chain, web):
    web.revoke()
    result = run(*chain, *LOOPBACK, "--json")
    assert result.exit_code == 1
    assert {(p["certificate"], p["problem"]) for p in json.loads(result.stdout)["problems"]} == {
        ("CN=Alice", "REVOKED")
    }


def test_an_unreachable_list_is_explained(chain, web):
    del web.answers["/authority.crl"]
    result = run(*chain, *LOOPBACK, "--revocation", "exchange-online")
    assert result.exit_code == 1
    assert f"CRL at {web.url('/authority.crl')} could not be fetched" in result.stdout
    assert "Exchange Online treats that as invalid" in result.stdout
    assert "→ make the address reachable" in result.stdout


def test_private_addresses_are_not_asked_unless_allowed(chain):
    result = run(*chain, "--fetch")
    assert result.exit_code == 3
    assert "ISSUER_MISSING" in result.stdout
    assert "could not be fetched: address 127.0.0.1 is not public" in result.stdout


def test_a_network_that_is_none():
    assert run("x", "--fetch-from", "everything").exit_code == 2
