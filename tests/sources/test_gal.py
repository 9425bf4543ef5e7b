"""The address list of an Exchange server, over real HTTPS."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from smime_engine.directory.choosing import choose_certificates
from smime_engine.directory.entries import Answer, Origin, Standing
from smime_engine.directory.reasons import Reason
from smime_engine.errors import ConfigurationError
from smime_engine.sources.directories import Directories
from smime_engine.sources.gal import GalAccess, GlobalAddressList
from tests import pki
from tests.directory.people import NOW, certificate, identity, policy, value
from tests.sources.exchange_server import PASSWORD, USER, ExchangeServer, Person

pytestmark = pytest.mark.gal

BOB = certificate("Bob", "bob@example.org")
PEOPLE = (
    Person("alice@example.org", "Alice", ("a.smith@example.org",), smime_certificates=(b"garbage", value())),
    Person("bob@example.org", "Bob", certificates=(BOB.der, "no base64!", certificate("Bob", "bob@example.org").der)),
    Person("bobby@example.org", "Bobby"),
    Person("team@example.org", "Team", members=("alice@example.org", "bob@example.org", "gone@example.org")),
)


def source(server: ExchangeServer, **options: Any) -> GlobalAddressList:
    settings = {"endpoint": server.endpoint, "user": USER, "password": PASSWORD, "authentication": "basic"}
    return GlobalAddressList("gal", GalAccess(**{**settings, "ca_file": server.ca_file, "seconds": 5.0, **options}))


async def look_up(server: ExchangeServer, *addresses: str, **options: Any) -> tuple[Answer, ...]:
    gal = source(server, **options)
    try:
        return await gal.look_up(addresses)
    finally:
        await gal.aclose()


async def test_certificates_of_the_address_list(tmp_path: Path) -> None:
    async with ExchangeServer(tmp_path, PEOPLE) as server:
        answers = await look_up(server, "A.Smith@example.org", "bob@example.org", "bobby@example.org", "nobody@x.org")
        assert server.problems == []
        assert sorted(server.asked) == [
            "smtp:A.Smith@example.org",
            "smtp:bob@example.org",
            "smtp:bobby@example.org",
            "smtp:nobody@x.org",
        ]
    alice, bob, bobby, nobody = answers
    (entry,) = alice.entries
    assert (entry.name, entry.primary, entry.proxies) == ("Alice", "alice@example.org", ("a.smith@example.org",))
    assert [(found.origin, found.standing) for found in entry.certificates] == [
        (Origin.USER_SMIME_CERTIFICATE, Standing.PREFERRED)
    ]
    # Exchange finds Bobby as well when it is asked for Bob.
    assert [found.primary for found in bob.entries] == ["bob@example.org"]
    assert len(bob.entries[0].certificates) == 2
    choices = choose_certificates(answers, policy(), NOW)
    assert [choice.reason for choice in choices] == [None, None, Reason.NO_CERTIFICATE, Reason.NOT_FOUND]
    assert choices[0].certificate == identity().certificate
    assert (bobby.failures, nobody.failures) == ((), ())


async def test_groups(tmp_path: Path) -> None:
    async with ExchangeServer(tmp_path, PEOPLE) as server:
        directories = Directories([source(server)])
        resolution = await directories.resolve(["team@example.org"], policy(), now=NOW)
        await directories.aclose()
    (group,) = resolution.groups
    assert group.expansion.addresses == ("alice@example.org", "bob@example.org")
    assert group.expansion.unresolved == ("gone@example.org",)
    assert resolution.choices[0].reason is Reason.GROUP_NOT_EXPANDED


async def test_the_server_is_checked(tmp_path: Path) -> None:
    (tmp_path / "other.pem").write_bytes(pki.authority("Another Root").certificate_pem)
    async with ExchangeServer(tmp_path, PEOPLE) as server:
        (answer,) = await look_up(server, "bob@example.org", ca_file=tmp_path / "other.pem")
        assert server.asked == []
    assert answer.failures


@pytest.mark.parametrize(
    ("status", "body"),
    [(500, None), (503, None), (200, "no XML"), (200, "<a/>"), (200, "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>")],
)
async def test_servers_that_do_not_answer(tmp_path: Path, status: int, body: str | None) -> None:
    async with ExchangeServer(tmp_path, PEOPLE) as server:
        server.status, server.body = status, body
        answers = await asyncio.wait_for(look_up(server, "bob@example.org", "alice@example.org"), 30)
    assert all(answer.failures and not answer.entries for answer in answers)


async def test_wrong_password_and_no_server(tmp_path: Path) -> None:
    async with ExchangeServer(tmp_path, PEOPLE) as server:
        (answer,) = await look_up(server, "bob@example.org", password="wrong")
        assert answer.failures
    (answer,) = await look_up_without(tmp_path)
    assert answer.failures


async def look_up_without(folder: Path) -> tuple[Answer, ...]:
    access = GalAccess(endpoint="https://127.0.0.1:9/EWS/Exchange.asmx", user="u", password="p", authentication="basic")
    gal = GlobalAddressList("gal", access)
    try:
        return await gal.look_up(["bob@example.org"])
    finally:
        await gal.aclose()


async def test_autodiscover(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The endpoint is found; Exchange Online is refused where that is what it finds."""
    import exchangelib.autodiscover

    found = "https://outlook.office365.com/EWS/Exchange.asmx"

    def discover(email: str, **_: Any) -> tuple[None, SimpleNamespace]:
        assert email == USER
        return None, SimpleNamespace(service_endpoint=found)

    monkeypatch.setattr(exchangelib.autodiscover, "discover", discover)
    async with ExchangeServer(tmp_path, PEOPLE) as server:
        (answer,) = await look_up(server, "bob@example.org", endpoint="")
        assert "has blocked" in answer.failures[0].text
        found = server.endpoint
        (answer,) = await look_up(server, "bob@example.org", endpoint="")
        assert answer.entries


@pytest.mark.parametrize(("authentication", "name"), [("ntlm", "NTLM"), ("oauth", "OAuth 2.0"), ("basic", "basic")])
def test_ways_to_log_in(authentication: Any, name: str) -> None:
    access = GalAccess(
        endpoint="https://mail.example.org/EWS/Exchange.asmx",
        user="u",
        password="p",
        tenant="t",
        authentication=authentication,
    )
    protocol = GlobalAddressList("gal", access)._new_protocol()
    assert protocol.auth_type == name
    assert "p" not in repr(access).partition("user")[2]


@pytest.mark.parametrize(
    ("endpoint", "text"),
    [
        ("https://outlook.office365.com/EWS/Exchange.asmx", "has blocked"),
        ("http://mail.example.org/EWS/Exchange.asmx", "no address such as"),
        ("mail.example.org", "no address such as"),
    ],
)
def test_endpoints_that_are_refused(endpoint: str, text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        GalAccess(endpoint=endpoint, user="u", password="p")
