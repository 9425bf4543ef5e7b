"""Fetching from real servers: every outcome with its verdict and its text, limits, cache, single flight, refresh."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from cryptography.x509.oid import ExtendedKeyUsageOID

from smime_engine.certificate import Certificate
from smime_engine.problems import Problem, Verdict
from smime_engine.sources.cache import CachedFile, DiskCache
from smime_engine.sources.fetched import Fetched, Gathered
from smime_engine.sources.http import Fetcher, FetchRules
from smime_engine.sources.settle import settle
from smime_engine.trust.collection import TrustCollection
from smime_engine.trust.evidence import FetchFailure
from smime_engine.trust.path import PathOptions, PathReport, RevocationMode, validate_path
from smime_engine.trust.wanted import Crl, Issuer, Ocsp
from tests import pki
from tests.sources.servers import LOOPBACK, WebServer, openssl_ocsp, web_server

DAY = timedelta(days=1)
HARD = RevocationMode.HARD_FAIL
EXCHANGE = RevocationMode.EXCHANGE_ONLINE


class Clock:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.now = pki.MOMENT

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
async def server() -> AsyncIterator[WebServer]:
    async with web_server() as running:
        yield running


@pytest.fixture
def clock() -> Clock:
    return Clock()


def rules(**changes: object) -> FetchRules:
    return FetchRules(**{"guard": LOOPBACK, "seconds": 5.0, **changes})


class World:
    """A root, a CA whose certificates point at the server, and Alice. The root has no list: it is judged too."""

    def __init__(self, server: WebServer, *, ocsp: bool = False, crl: bool = True, issuer: bool = False) -> None:
        self.server = server
        self.root = pki.authority("Root", crl_urls=[server.url("/root.crl")])
        self.ca = self.root.subordinate(
            "CA",
            crl_urls=[server.url("/ca.crl")] if crl else [],
            ocsp_urls=[server.url("/ocsp")] if ocsp else [],
            issuer_urls=[server.url("/ca.crt")] if issuer else [],
        )
        self.alice = self.ca.issue("Alice", "alice@example.org")
        self.wanted = Crl(url=server.url("/ca.crl"), issuer="CN=CA")
        server.answers["/root.crl"] = self.root.crl()
        server.answers["/ca.crl"] = self.ca.crl()
        server.answers["/ca.crt"] = self.ca.certificate_der

    async def judge(
        self, fetcher: Fetcher, *, mode: RevocationMode = HARD, now: datetime = pki.MOMENT, with_ca: bool = True
    ) -> PathReport:
        collection = TrustCollection([Certificate.parse(self.root.certificate_der)])
        pool = (Certificate.parse(self.ca.certificate_der),) if with_ca else ()

        def open_with(found: Gathered) -> PathReport:
            return validate_path(
                Certificate.parse(self.alice.certificate_der),
                collection=collection,
                pool=(*pool, *found.certificates),
                now=now,
                options=PathOptions(revocation=mode),
                evidence=found.evidence,
            )

        return await settle(open_with, lambda report: report.wanted, fetcher)


def problems(report: PathReport) -> list[Problem]:
    return [found.problem for found in report.problems]


def text(report: PathReport) -> str:
    (found,) = report.problems
    return found.detail


async def slow(_: web.Request) -> web.StreamResponse:
    await asyncio.sleep(30)
    return web.Response()


async def slow_body(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    for _ in range(300):
        await response.write(b"\x30")
        await asyncio.sleep(0.1)
    return response


async def huge(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    for _ in range(64):
        await response.write(bytes(65536))
    return response


def redirect_to(target: str, status: int = 302) -> Callable:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status, headers={"Location": target})

    return answer


# --- what servers can do to us: verdict and text


async def test_a_good_list(server: WebServer, clock: Clock) -> None:
    async with Fetcher(rules(), clock=clock) as fetcher:
        report = await World(server).judge(fetcher)
    assert report.verdict is Verdict.VALID
    assert server.asked == {"/ca.crl": 1, "/root.crl": 1}


async def test_a_list_that_revokes(server: WebServer, clock: Clock) -> None:
    world = World(server)
    server.answers["/ca.crl"] = world.ca.crl({world.alice: x509.ReasonFlags.key_compromise})
    async with Fetcher(rules(), clock=clock) as fetcher:
        report = await world.judge(fetcher)
    assert problems(report) == [Problem.REVOKED]
    assert text(report).startswith("keyCompromise, at 2026-05-02")


async def test_an_expired_list(server: WebServer, clock: Clock) -> None:
    world = World(server)
    server.answers["/ca.crl"] = world.ca.crl(this_update=pki.MOMENT - 9 * DAY, next_update=pki.MOMENT - DAY)
    async with Fetcher(rules(), clock=clock) as fetcher:
        report = await world.judge(fetcher)
    assert problems(report) == [Problem.REVOCATION_UNKNOWN]
    assert "it expired at 2026-05-31 12:00Z" in text(report)


async def forged(request: web.Request) -> web.StreamResponse:
    impostor = pki.authority("CA", key=pki.new_key("p256", "impostor"))
    return web.Response(body=impostor.crl())


async def cut(request: web.Request) -> web.StreamResponse:
    return web.Response(body=pki.authority("CA").crl()[:-1])


FAULTS = {
    "another issuer": (pki.authority("Somebody").crl(), "the list there is CN=Somebody's, not CN=CA's"),
    "no list at all": (b"<html>not found</html>", "what came is not a revocation list: malformed input"),
    "a list that was cut": (cut, "what came is not a revocation list"),
    "not found": (None, "the server answers HTTP 404"),
    "slow": (slow, "no answer within 0.4 s"),
    "slow drops": (slow_body, "no answer within 0.4 s"),
    "huge": (huge, "the answer is larger than 1,000,000 bytes"),
    "announced as huge": (bytes(1_000_001), "the answer is larger than 1,000,000 bytes"),
    "for ever redirected": (redirect_to("/ca.crl"), "more than 4 redirections"),
    "redirected to a file": (redirect_to("file:///etc/passwd"), "addresses of kind 'file' are not fetched"),
    "redirected to a private address": (redirect_to("http://10.0.0.1/"), "address 10.0.0.1 is not public"),
    "redirected to metadata": (redirect_to("http://169.254.169.254/x"), "address 169.254.169.254 is not public"),
    "redirected with a password": (redirect_to("http://a:b@127.0.0.1/"), "the address is malformed"),
    "redirected to nonsense": (redirect_to("http://[::"), "the address is malformed"),
}


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("mode", [HARD, EXCHANGE], ids=["hard-fail", "exchange-online"])
async def test_faults(server: WebServer, clock: Clock, name: str, mode: RevocationMode) -> None:
    answer, expected = FAULTS[name]
    world = World(server)
    server.answers["/ca.crl"] = answer
    async with Fetcher(rules(seconds=0.4, crl_size=1_000_000), clock=clock) as fetcher:
        report = await world.judge(fetcher, mode=mode)
    assert problems(report) == [Problem.REVOCATION_UNKNOWN if mode is HARD else Problem.CRL_UNREACHABLE]
    assert report.verdict is (Verdict.UNKNOWN if mode is HARD else Verdict.INVALID)
    assert text(report).startswith(f"CRL at {server.url('/ca.crl')} could not be fetched: ")
    assert expected in text(report)


async def test_a_forged_list_is_no_failure_of_the_network(server: WebServer, clock: Clock) -> None:
    world = World(server)
    server.answers["/ca.crl"] = forged
    async with Fetcher(rules(), clock=clock) as fetcher:
        report = await world.judge(fetcher)
    assert problems(report) == [Problem.REVOCATION_UNKNOWN]
    assert "no certificate was found for the key of CN=CA that signed it" in text(report)
    assert server.asked["/ca.crl"] == 1


async def test_nobody_listens(server: WebServer, clock: Clock) -> None:
    world = World(server)
    world.wanted = Crl(url="http://127.0.0.1:9/ca.crl", issuer="CN=CA")
    async with Fetcher(rules(), clock=clock) as fetcher:
        answer = await fetcher.fetch(world.wanted)
    assert isinstance(answer, FetchFailure)
    assert "onnect" in answer.text


async def test_a_redirection_is_followed(server: WebServer, clock: Clock) -> None:
    world = World(server)
    server.answers["/ca.crl"] = redirect_to("elsewhere/list.crl", 301)
    server.answers["/elsewhere"] = world.ca.crl()
    async with Fetcher(rules(), clock=clock) as fetcher:
        assert (await world.judge(fetcher)).verdict is Verdict.VALID


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/x",
        "http://localhost/x",
        "http://[::1]/x",
        "http://[::ffff:127.0.0.1]/x",
        "http://127.1/x",
        "http://0x7f000001/x",
        "http://2130706433/x",
        "http://0177.0.0.1/x",
        "http://192.168.1.1/x",
        "http://100.64.0.1/x",
        "http://[fe80::1]/x",
        "http://[fd00::1]/x",
        "http://[64:ff9b::7f00:1]/x",
        "http://[2002:7f00:1::]/x",
        "http://224.0.0.1/x",
        "http://0.0.0.0/x",
        "ldap://127.0.0.1/cn=ca?certificateRevocationList;binary",
        "ldap://localhost/cn=ca?certificateRevocationList;binary",
    ],
)
async def test_addresses_that_are_not_public_are_refused(url: str) -> None:
    async with Fetcher(FetchRules(seconds=5)) as fetcher:
        answer = await fetcher.fetch(Crl(url=url, issuer="CN=CA"))
    assert isinstance(answer, FetchFailure)
    if "ldap" not in url or "python-ldap" not in answer.text:
        assert "is not public" in answer.text


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://127.0.0.1/",
        "http://",
        "http:///x",
        "//host",
        "http://a b/",
        "",
        "http://" + "a" * 5000,
    ],
)
async def test_other_addresses_are_refused(url: str) -> None:
    async with Fetcher(rules()) as fetcher:
        assert isinstance(await fetcher.fetch(Crl(url=url, issuer="CN=CA")), FetchFailure)


async def test_the_total_time_wins(server: WebServer, clock: Clock) -> None:
    world = World(server)
    server.answers["/ca.crl"] = slow
    async with Fetcher(rules(seconds=60.0, total_seconds=0.3), clock=clock) as fetcher:
        start = asyncio.get_running_loop().time()
        report = await world.judge(fetcher, mode=EXCHANGE)
        assert asyncio.get_running_loop().time() - start < 5
    assert "no answer within 0.3 s, the time left for all fetches together" in text(report)
    assert report.verdict is Verdict.INVALID


async def test_the_number_of_addresses_is_limited(server: WebServer, clock: Clock) -> None:
    many = [Crl(url=server.url(f"/{number}"), issuer="CN=CA") for number in range(10)]
    async with Fetcher(rules(fetches=3), clock=clock) as fetcher:
        answers = await fetcher.fetch_all(many)
    assert [answer.wanted for answer in answers] == many
    assert sum(server.asked.values()) == 3
    assert isinstance(answers[9], FetchFailure)
    assert "more than 3 addresses" in answers[9].text


# --- OCSP


@pytest.mark.parametrize("get", [True, False], ids=["GET", "POST"])
async def test_ocsp_by_get_and_by_post(server: WebServer, clock: Clock, get: bool) -> None:
    world = World(server, ocsp=True, crl=False)
    asked = []

    async def respond(request: web.Request) -> web.StreamResponse:
        asked.append(await request.read() or request.path)
        return web.Response(body=world.ca.ocsp_response(world.alice), content_type="application/ocsp-response")

    server.answers["/ocsp"] = respond
    async with Fetcher(rules(ocsp_get=get), clock=clock) as fetcher:
        assert (await world.judge(fetcher)).verdict is Verdict.VALID
    assert len(asked) == 1
    assert isinstance(asked[0], str if get else bytes)


async def test_a_responder_that_refuses_get_is_asked_by_post(server: WebServer, clock: Clock) -> None:
    world = World(server, ocsp=True, crl=False)

    async def respond(request: web.Request) -> web.StreamResponse:
        if request.method == "GET":
            return web.Response(status=405)
        return web.Response(body=world.ca.ocsp_response(world.alice))

    server.answers["/ocsp"] = respond
    async with Fetcher(rules(), clock=clock) as fetcher:
        assert (await world.judge(fetcher)).verdict is Verdict.VALID
    assert server.methods["GET"] == 2  # the root's list, and the try
    assert server.methods["POST"] == 1


async def test_a_nonce_is_compared(server: WebServer, clock: Clock) -> None:
    from cryptography.x509 import ocsp

    world = World(server, ocsp=True, crl=False)
    echoed = True

    async def respond(request: web.Request) -> web.StreamResponse:
        asked = ocsp.load_der_ocsp_request(await request.read())
        nonce = asked.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce
        assert len(nonce) == 32
        return web.Response(body=world.ca.ocsp_response(world.alice, nonce=nonce if echoed else b"another"))

    server.answers["/ocsp"] = respond
    async with Fetcher(rules(ocsp_nonce=True), clock=clock) as fetcher:
        assert (await world.judge(fetcher)).verdict is Verdict.VALID
    echoed = False
    async with Fetcher(rules(ocsp_nonce=True), clock=clock) as fetcher:
        report = await world.judge(fetcher)
    assert "the nonce of another request" in text(report)


async def test_a_responder_that_is_busy(server: WebServer, clock: Clock) -> None:
    world = World(server, ocsp=True, crl=False)
    server.answers["/ocsp"] = b"\x30\x03\x0a\x01\x03"
    async with Fetcher(rules(), clock=clock) as fetcher:
        report = await world.judge(fetcher)
    assert "OCSP at" in text(report)
    assert "the responder refuses: try later" in text(report)


async def _against_openssl(folder: Path, status: str, *, delegated: bool, **changes: object) -> PathReport:
    root = pki.authority("Root")
    ca = root.subordinate("CA")
    signer = ca.issue(
        "Responder",
        usage="sign",
        extended_key_usage=[ExtendedKeyUsageOID.OCSP_SIGNING],
        extra=[(x509.OCSPNoCheck(), False)],
    )
    alice = ca.issue("Alice", "alice@example.org", serial_number=0xA11CE)
    async with openssl_ocsp(folder, ca, {alice: status}, signer=signer if delegated else None) as port:
        pointing = pki.Authority(ca.key, ca.certificate, ca.issuers, ocsp_urls=(f"http://127.0.0.1:{port}/",))
        holder = pointing.issue("Alice", "alice@example.org", serial_number=0xA11CE)
        collection = TrustCollection([Certificate.parse(root.certificate_der)])
        now = datetime.now(UTC)

        def open_with(found: Gathered) -> PathReport:
            return validate_path(
                Certificate.parse(holder.certificate_der),
                collection=collection,
                pool=[Certificate.parse(ca.certificate_der)],
                now=now,
                options=PathOptions(revocation=RevocationMode.HARD_FAIL),
                evidence=found.evidence.including(_evidence_of(root, now)),
            )

        async with Fetcher(rules(**changes)) as fetcher:
            return await settle(open_with, lambda report: report.wanted, fetcher, seconds=20)


def _evidence_of(root: pki.Authority, now: datetime) -> object:
    from smime_engine.trust.evidence import Evidence

    return Evidence.read(crls=[root.crl(this_update=now - DAY)])


@pytest.mark.openssl
@pytest.mark.parametrize(("status", "expected"), [("V", []), ("R", [Problem.REVOKED])], ids=["good", "revoked"])
@pytest.mark.parametrize("delegated", [False, True], ids=["issuer", "responder"])
@pytest.mark.parametrize("changes", [{}, {"ocsp_nonce": True}, {"ocsp_get": False}], ids=["GET", "nonce", "POST"])
async def test_openssls_responder(tmp_path: Path, status: str, expected: list, delegated: bool, changes: dict) -> None:
    report = await _against_openssl(tmp_path, status, delegated=delegated, **changes)
    assert problems(report) == expected, [str(found) for found in report.problems]


# --- issuers


def _p7c(credential: pki.Credential) -> bytes:
    return pkcs7.serialize_certificates([credential.certificate], Encoding.DER)


@pytest.mark.parametrize("form", [lambda ca: ca.certificate_der, lambda ca: ca.certificate_pem, _p7c])
async def test_a_missing_issuer_is_fetched(server: WebServer, clock: Clock, form: Callable) -> None:
    world = World(server, issuer=True)
    server.answers["/ca.crt"] = form(world.ca)
    async with Fetcher(rules(), clock=clock) as fetcher:
        report = await world.judge(fetcher, with_ca=False)
    assert report.verdict is Verdict.VALID
    assert server.asked == {"/ca.crt": 1, "/ca.crl": 1, "/root.crl": 1}


async def test_an_issuer_that_is_none(server: WebServer, clock: Clock) -> None:
    world = World(server, issuer=True)
    server.answers["/ca.crt"] = pki.authority("CA", key=pki.new_key("p256", "impostor")).certificate_der
    async with Fetcher(rules(), clock=clock) as fetcher:
        report = await world.judge(fetcher, with_ca=False)
    assert report.verdict is not Verdict.VALID
    assert server.asked["/ca.crt"] == 1


# --- cache


async def test_memory_answers_until_the_list_expires(server: WebServer, clock: Clock) -> None:
    world = World(server)
    server.answers["/ca.crl"] = world.ca.crl(next_update=pki.MOMENT + DAY)
    async with Fetcher(rules(), clock=clock) as fetcher:
        for hours in (0, 1, 23):
            clock.now = pki.MOMENT + timedelta(hours=hours)
            assert (await world.judge(fetcher, now=clock.now)).verdict is Verdict.VALID
        assert server.asked["/ca.crl"] == 1
        assert fetcher.known() is fetcher.known()
        clock.now = pki.MOMENT + 2 * DAY
        server.answers["/ca.crl"] = world.ca.crl(this_update=clock.now, next_update=clock.now + DAY)
        assert (await world.judge(fetcher, now=clock.now)).verdict is Verdict.VALID
        assert server.asked["/ca.crl"] == 2


async def test_disk_is_shared_and_survives(server: WebServer, clock: Clock, tmp_path: Path) -> None:
    world = World(server)
    for _ in range(3):
        async with Fetcher(rules(), cache=DiskCache(tmp_path / "cache"), clock=clock) as fetcher:
            assert (await world.judge(fetcher)).verdict is Verdict.VALID
    assert server.asked == {"/ca.crl": 1, "/root.crl": 1}
    assert fetcher.counters["disk_hits"] == 2
    assert (tmp_path / "cache").stat().st_mode & 0o777 == 0o700


def _damage_all(folder: Path, damage: bytes | str) -> None:
    for path in folder.glob("*.cache"):
        data = path.read_bytes()
        other = data[:-1] + bytes([data[-1] ^ 1])  # certainly not what it was
        path.write_bytes(damage if isinstance(damage, bytes) else data[:-1] if damage == "cut" else other)


@pytest.mark.parametrize("damage", [b"", b"junk", "cut", "other"], ids=["empty", "junk", "cut", "other content"])
async def test_a_damaged_cache_file_is_fetched_again(
    server: WebServer, clock: Clock, tmp_path: Path, damage: bytes | str
) -> None:
    world = World(server)
    async with Fetcher(rules(), cache=DiskCache(tmp_path), clock=clock) as fetcher:
        await world.judge(fetcher)
    _damage_all(tmp_path, damage)
    async with Fetcher(rules(), cache=DiskCache(tmp_path), clock=clock) as fetcher:
        assert (await world.judge(fetcher)).verdict is Verdict.VALID
    assert server.asked == {"/ca.crl": 2, "/root.crl": 2}


async def test_a_poisoned_cache_cannot_make_good_what_is_revoked_and_is_healed(
    server: WebServer, clock: Clock, tmp_path: Path
) -> None:
    world = World(server)
    server.answers["/ca.crl"] = world.ca.crl({world.alice: None})
    impostor = pki.authority("CA", key=pki.new_key("p256", "impostor"))
    poison = CachedFile(url=world.wanted.url, fetched_at=pki.MOMENT - DAY, body=impostor.crl())
    cache = DiskCache(tmp_path)
    cache.write(f"Crl {world.wanted.url} ", poison)
    async with Fetcher(rules(), cache=cache, clock=clock) as fetcher:
        report = await world.judge(fetcher)
        assert fetcher.counters["disk_hits"] == 1
    assert problems(report) == [Problem.REVOKED]
    async with Fetcher(rules(), cache=cache, clock=clock) as fetcher:
        assert problems(await world.judge(fetcher)) == [Problem.REVOKED]
    assert server.asked["/ca.crl"] == 1


async def test_a_foreign_list_is_not_kept(server: WebServer, clock: Clock, tmp_path: Path) -> None:
    world = World(server)
    server.answers["/ca.crl"] = pki.authority("Somebody").crl()
    async with Fetcher(rules(retry_seconds=0), cache=DiskCache(tmp_path), clock=clock) as fetcher:
        assert (await world.judge(fetcher)).verdict is Verdict.UNKNOWN
        server.answers["/ca.crl"] = world.ca.crl()
        assert (await world.judge(fetcher)).verdict is Verdict.VALID


def test_the_cache_stays_below_its_size(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path, size=10_000)
    for number in range(200):
        cache.write(f"key {number}", CachedFile(url="http://x/", fetched_at=pki.MOMENT, body=bytes(1_000)))
    cache.trim()
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 10_000
    assert not list(tmp_path.glob("new-*"))


def test_a_cache_that_cannot_write_is_empty(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = DiskCache(tmp_path / "file")
    cache.write("key", CachedFile(url="http://x/", fetched_at=pki.MOMENT, body=b"x"))
    assert cache.read("key") is None
    cache.forget("key")


def test_a_cache_header_that_is_no_header(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path)
    cache.write("key", CachedFile(url="http://x/", fetched_at=pki.MOMENT, body=b"body"))
    (path,) = tmp_path.iterdir()
    good = path.read_bytes()
    assert cache.read("key") == CachedFile(url="http://x/", fetched_at=pki.MOMENT, body=b"body")
    magic, header, body = good.split(b"\n", 2)
    for changed in ({"key": "other"}, {"fetched_at": "soon"}, {"fetched_at": 1e300}, {"sha256": None}):
        path.write_bytes(b"\n".join((magic, json.dumps({**json.loads(header), **changed}).encode(), body)))
        assert cache.read("key") is None
        assert not path.exists()
    for size in range(len(good)):
        path.write_bytes(good[:size])
        assert cache.read("key") is None


# --- single flight, failures, refresh


async def test_all_who_want_the_same_share_one_fetch(server: WebServer, clock: Clock) -> None:
    world = World(server)

    async def later(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0.1)
        return web.Response(body=world.ca.crl())

    server.answers["/ca.crl"] = later
    async with Fetcher(rules(), clock=clock) as fetcher:
        answers = await asyncio.gather(*(fetcher.fetch(world.wanted) for _ in range(50)))
    assert all(isinstance(answer, Fetched) for answer in answers)
    assert server.asked["/ca.crl"] == 1
    assert fetcher.counters["joined"] == 49


async def test_one_who_gives_up_does_not_stop_the_others(server: WebServer, clock: Clock) -> None:
    world = World(server)

    async def later(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0.3)
        return web.Response(body=world.ca.crl())

    server.answers["/ca.crl"] = later
    async with Fetcher(rules(), clock=clock) as fetcher:
        (early,) = await fetcher.fetch_all([world.wanted], seconds=0.05)
        assert isinstance(early, FetchFailure)
        (patient,) = await fetcher.fetch_all([world.wanted], seconds=5)
        assert isinstance(patient, Fetched)
    assert server.asked["/ca.crl"] == 1


async def test_a_failure_is_remembered_for_a_while(server: WebServer, clock: Clock) -> None:
    world = World(server)
    server.answers.pop("/ca.crl")
    async with Fetcher(rules(), clock=clock) as fetcher:
        for _ in range(3):
            assert isinstance(await fetcher.fetch(world.wanted), FetchFailure)
        assert server.asked["/ca.crl"] == 1
        server.answers["/ca.crl"] = world.ca.crl()
        clock.now += timedelta(seconds=61)
        assert isinstance(await fetcher.fetch(world.wanted), Fetched)
    assert fetcher.counters["failures"] == 3


async def test_refresh_comes_before_the_end_and_a_failed_one_changes_nothing(server: WebServer, clock: Clock) -> None:
    world = World(server)
    server.answers["/ca.crl"] = world.ca.crl(next_update=pki.MOMENT + DAY)
    async with Fetcher(rules(), clock=clock) as fetcher:
        await fetcher.fetch(world.wanted)
        assert await fetcher.refresh() == 0
        clock.now = pki.MOMENT + timedelta(hours=20)
        server.answers["/ca.crl"] = world.ca.crl({world.alice: None}, number=2, this_update=clock.now)
        assert await fetcher.refresh() == 1
        assert problems(await world.judge(fetcher, now=clock.now)) == [Problem.REVOKED]
        assert server.asked["/ca.crl"] == 2

    server.answers["/ca.crl"] = world.ca.crl(next_update=pki.MOMENT + DAY)
    clock.now = pki.MOMENT
    async with Fetcher(rules(), clock=clock) as fetcher:
        await fetcher.fetch(world.wanted)
        clock.now = pki.MOMENT + timedelta(hours=20)
        server.answers.pop("/ca.crl")
        assert await fetcher.refresh() == 1
        assert (await world.judge(fetcher, now=clock.now)).verdict is Verdict.VALID


async def test_what_nobody_asks_for_is_not_refreshed_for_ever(server: WebServer, clock: Clock) -> None:
    world = World(server)
    async with Fetcher(rules(refreshes=2), clock=clock) as fetcher:
        for _ in range(6):
            now = clock.now
            server.answers["/ca.crl"] = world.ca.crl(this_update=now - DAY, next_update=now + DAY)
            if not server.asked["/ca.crl"]:
                await fetcher.fetch(world.wanted)
            await fetcher.refresh()
            clock.now = now + timedelta(hours=21)
        assert server.asked["/ca.crl"] == 3


async def test_memory_is_bounded(server: WebServer, clock: Clock) -> None:
    world = World(server)
    async with Fetcher(rules(answers=3), clock=clock) as fetcher:
        for number in range(10):
            server.answers[f"/{number}"] = world.ca.crl()
            await fetcher.fetch(Crl(url=server.url(f"/{number}"), issuer="CN=CA"))
        await fetcher.fetch(Crl(url=server.url("/9"), issuer="CN=CA"))
        await fetcher.fetch(Crl(url=server.url("/0"), issuer="CN=CA"))
    assert (server.asked["/9"], server.asked["/0"]) == (1, 2)


async def test_nothing_that_is_wanted_without_an_address_is_fetched() -> None:
    async with Fetcher(rules()) as fetcher:
        answer = await fetcher.fetch(Issuer(url=None, name="CN=CA", name_der=b"\x30\x00"))
        assert isinstance(answer, FetchFailure)
        assert isinstance(await fetcher.fetch(Ocsp(url="nowhere", issuer="CN=CA", request=b"x")), FetchFailure)
