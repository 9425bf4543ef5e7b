"""Servers that do what OpenLDAP does not: Active Directory's ranges and references, silence, nonsense."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from smime_engine.directory.attributes import AttributeNames
from smime_engine.errors import ConfigurationError
from smime_engine.sources.ldap import LdapAccess, LdapDirectory
from smime_engine.sources.ldap_queries import Range, address_filter, escaped, server_url, whole_values
from tests.directory.people import certificate
from tests.sources.ldap_server import LdapServer, Reply, Search

MAIL = {"mail": [b"alice@example.org"]}


async def look_up(server: LdapServer, **options: Any) -> Any:
    access = LdapAccess(servers=(server.url,), **{"seconds": 2.0, "retry_seconds": 0.1, **options})
    directory = LdapDirectory("ad", access, base="DC=example")
    try:
        (answer,) = await asyncio.wait_for(directory.look_up(["alice@example.org"]), 20)
        return answer
    finally:
        await directory.aclose()


# --- Active Directory


@pytest.mark.ldap
async def test_values_in_ranges() -> None:
    members = [f"CN=m{number},DC=example".encode() for number in range(4_000)]

    def answer(search: Search) -> Reply:
        for attribute in search.attributes:
            name, _, span = attribute.partition(";range=")
            if span:
                start = int(span.partition("-")[0])
                part = members[start : start + 1_500]
                end = "*" if start + 1_500 >= len(members) else str(start + len(part) - 1)
                return Reply(((b"CN=all,DC=example", {name: [], f"{name};range={start}-{end}": part}),))
        attributes = {**MAIL, "objectClass": [b"group"], "member": [], "member;range=0-1499": members[:1_500]}
        return Reply(((b"CN=all,DC=example", attributes),))

    async with LdapServer(answer) as server:
        found = await look_up(server)
        assert found.entries[0].members == tuple(member.decode() for member in members)
        assert [search.attributes for search in server.searches[1:]] == [
            ("member;range=1500-*",),
            ("member;range=3000-*",),
        ]
        assert {search.scope for search in server.searches[1:]} == {0}


@pytest.mark.ldap
async def test_certificates_in_ranges_with_options() -> None:
    leaves = [certificate("Alice", "alice@example.org").der for _ in range(5)]

    def answer(search: Search) -> Reply:
        if search.scope == 0:
            assert search.attributes == ("userCertificate;binary;range=3-*",)
            return Reply(((b"CN=a", {"userCertificate;binary;range=3-*": leaves[3:]}),))
        return Reply(((b"CN=a", {**MAIL, "userCertificate;range=0-2;binary": leaves[:3]}),))

    async with LdapServer(answer) as server:
        found = await look_up(server)
    assert len(found.entries[0].certificates) == 5


@pytest.mark.ldap
@pytest.mark.parametrize("again", ["member;range=0-0", "member;range=1-1", "member;range=5-2"])
async def test_ranges_that_never_end(again: str) -> None:
    def answer(search: Search) -> Reply:
        attributes = {"member;range=0-0": [b"CN=m"]} if search.scope else {again: [b"CN=m"]}
        return Reply(((b"CN=all", {**MAIL, **attributes}),))

    async with LdapServer(answer) as server:
        found = await look_up(server)
        assert found.entries
        assert len(server.searches) <= 101


@pytest.mark.ldap
async def test_references_are_not_followed() -> None:
    elsewhere = "ldap://127.0.0.1:1/DC=elsewhere"
    async with LdapServer(lambda _: Reply(((b"CN=a", MAIL),), references=(elsewhere,))) as server:
        found = await look_up(server)
        assert len(found.entries) == 1
    async with LdapServer(lambda _: Reply(code=10)) as server:
        found = await look_up(server)
        assert "referral" in found.failures[0].text


# --- hostile and broken servers


@pytest.mark.ldap
async def test_a_server_that_says_nothing() -> None:
    async with LdapServer(lambda _: None) as server:
        found = await look_up(server, seconds=0.3)
        assert found.entries == ()
        assert "timeout" in found.failures[0].text


@pytest.mark.ldap
async def test_a_server_that_never_answers_a_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        access = LdapAccess(servers=(f"ldap://127.0.0.1:{silent.getsockname()[1]}",), connect_seconds=0.3, seconds=0.3)
        directory = LdapDirectory("silent", access, base="DC=example")
        (answer,) = await asyncio.wait_for(directory.look_up(["a@example.org"]), 10)
        assert answer.failures
        await directory.aclose()


@pytest.mark.ldap
@pytest.mark.parametrize("name", [b"\xff\xfe", b"\x00", b"not a name"])
async def test_names_that_are_none(name: bytes) -> None:
    async with LdapServer(lambda _: Reply(((name, MAIL),))) as server:
        found = await look_up(server)
    assert bool(found.entries) != bool(found.failures)


@pytest.mark.ldap
async def test_entries_that_nobody_asked_for() -> None:
    async with LdapServer(lambda _: Reply(((b"CN=mallory", {"mail": [b"mallory@example.org"]}),))) as server:
        found = await look_up(server)
    assert (found.entries, found.failures) == ((), ())


@pytest.mark.ldap
async def test_limits_of_one_address() -> None:
    async with LdapServer(lambda _: Reply(code=4)) as server:
        found = await look_up(server)
        assert "size limit exceeded" in found.failures[0].text


@pytest.mark.ldap
async def test_a_busy_server_is_left_for_another() -> None:
    async with LdapServer(lambda _: Reply(code=51)) as busy, LdapServer(lambda _: Reply(((b"CN=a", MAIL),))) as other:
        access = LdapAccess(servers=(busy.url, other.url))
        directory = LdapDirectory("two", access, base="DC=example")
        for _ in range(3):
            (answer,) = await directory.look_up(["alice@example.org"])
            assert answer.entries
        assert len(busy.searches) == 1
        await directory.aclose()


# --- without a server


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("plain", "plain"),
        ("a*b", "a\\2ab"),
        ("(x)", "\\28x\\29"),
        ("back\\slash", "back\\5cslash"),
        ("nul\x00", "nul\\00"),
        ("müller", "müller"),
    ],
)
def test_escaping(text: str, value: str) -> None:
    assert escaped(text) == value


def test_filters() -> None:
    names = AttributeNames(proxies=("proxyAddresses", "mailLocalAddress"))
    assert address_filter(["a@b.c"], names) == "(|(mail=a@b.c)(proxyAddresses=smtp:a@b.c)(mailLocalAddress=a@b.c))"
    assert address_filter(["A@b.c"], AttributeNames(proxies=()), also="(x=y)") == "(&(x=y)(|(mail=A@b.c)(mail=a@b.c)))"
    assert "(mail=u@xn--bcher-kva.example)" in address_filter(["u@bücher.example"], names)


def test_ranges() -> None:
    values, missing = whole_values({"member": [], "member;range=0-1": [b"a", b"b"], "cn": [b"x"], "y;RANGE=5-*": [b""]})
    assert values == {"member": [b"a", b"b"], "cn": [b"x"], "y": [b""]}
    assert missing == (Range("member", 2),)
    assert missing[0].request == "member;range=2-*"
    assert whole_values({"member;range=0-1": []})[1] == ()
    assert whole_values({"member;range=x-1": [b""], "range=0-1": [b""]})[1] == ()


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("dc1.example.org", "ldap://dc1.example.org:389"),
        ("dc1.example.org:636", "ldaps://dc1.example.org:636"),
        ("dc1.example.org:3268", "ldap://dc1.example.org:3268"),
        ("ldaps://dc1.example.org", "ldaps://dc1.example.org:636"),
        ("LDAP://[::1]:1389/", "ldap://[::1]:1389"),
        ("ldapi:///var/run/slapd.sock", "ldapi:///var/run/slapd.sock"),
    ],
)
def test_servers(text: str, url: str) -> None:
    assert server_url(text) == url


@pytest.mark.parametrize(
    "text", ["", "http://h", "ldap://", "ldap://h/dc=x", "ldap://u@h", "ldap://h:x", "ldap://h?cn"]
)
def test_what_is_no_server(text: str) -> None:
    with pytest.raises(ConfigurationError):
        server_url(text)
