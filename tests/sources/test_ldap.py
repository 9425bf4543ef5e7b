"""Looking people up in a real OpenLDAP server with a schema like Active Directory's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from smime_engine.certificate import Certificate
from smime_engine.directory.attributes import AttributeNames
from smime_engine.directory.choosing import choose_certificates
from smime_engine.directory.entries import Answer, Origin
from smime_engine.directory.publishing import published_value
from smime_engine.directory.reasons import Reason
from smime_engine.errors import ConfigurationError, SourceUnavailable
from smime_engine.keys import Identity, InMemoryKey
from smime_engine.sources.ldap import LdapAccess, LdapDirectory
from tests import pki
from tests.directory.people import CA, COLLECTION, NOW, policy
from tests.sources.slapd import ADMINISTRATOR, BASE, PASSWORD, Slapd, ldif_group, ldif_user

pytestmark = pytest.mark.ldap

USERS = 10_000
HOSTILE = [b"", b"garbage", b"\x30\x84\xff\xff\xff\xff", b"\x30\x83\x0f\x00\x00" + bytes(1_000_000)]
KEY = pki.new_key("p256", "directory users")


def user_certificate(number: int) -> bytes:
    holder = CA.issue(f"user{number}", f"user{number}@example.org", key=KEY, usage="both")
    return holder.certificate_der


def user_value(number: int) -> bytes:
    certificate = Certificate.parse(user_certificate(number))
    chain = (Certificate.parse(CA.certificate_der),)
    return published_value(Identity(key=InMemoryKey(KEY), certificate=certificate, chain=chain), now=NOW)


def everybody() -> str:
    people = []
    for number in range(USERS):
        attributes: dict[str, list[str | bytes]] = {
            "proxyAddresses": [f"SMTP:user{number}@example.org", f"smtp:alias{number}@example.org"]
        }
        if number % 10 == 0:
            attributes["smime_certificate"] = [user_value(number)]
        elif number % 10 != 9:
            attributes["certificate"] = [user_certificate(number)]
        people.append(ldif_user(f"user{number}", **attributes))
    many = [b"\x30\x82\x00\xfc\x00" + number.to_bytes(2, "big") + bytes(249) for number in range(1_000)]
    return "".join(
        (
            *people,
            ldif_user("hostile", smime_certificate=[value for value in HOSTILE if value] + many),
            ldif_user("odd (name) *", mail=["o'd*d(x)@example.org"]),
            ldif_group("inner", "user1", "user2", "outer"),
            ldif_group("outer", "inner", "user2", "user3", "nobody"),
        )
    )


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Slapd:
    from tests.conftest import _require

    _require("ldap")
    return Slapd(tmp_path_factory.mktemp("slapd"), everybody())


@pytest.fixture
async def server(database: Slapd) -> AsyncIterator[Slapd]:
    async with database:
        yield database


def directory(*servers: str, **options: Any) -> LdapDirectory:
    kept = {key: options.pop(key) for key in ("batch", "names", "also", "size_limit", "base") if key in options}
    kept.setdefault("base", BASE)
    return LdapDirectory("ldap", LdapAccess(servers=servers, **{"retry_seconds": 0.2, **options}), **kept)


async def look_up(source: LdapDirectory, *addresses: str) -> tuple[Answer, ...]:
    try:
        return await source.look_up(addresses)
    finally:
        await source.aclose()


def failure(answer: Answer) -> str:
    (found,) = answer.failures
    return found.text


async def test_one_by_mail_and_one_by_proxy_address(server: Slapd) -> None:
    by_mail, by_proxy, nobody = await look_up(
        directory(server.url), "USER10@example.org", "alias11@Example.org", "nobody@example.org"
    )
    (entry,) = by_mail.entries
    assert entry.identifier == f"cn=user10,{BASE}"
    assert entry.source == "ldap"
    assert entry.primary == "user10@example.org"
    assert entry.proxies == ("alias10@example.org",)
    assert {listed.origin for listed in entry.certificates} == {Origin.USER_SMIME_CERTIFICATE}
    assert [listed.origin for listed in by_proxy.entries[0].certificates] == [Origin.USER_CERTIFICATE]
    assert (nobody.entries, nobody.failures) == ((), ())
    choices = choose_certificates([by_mail, by_proxy, nobody], policy(), NOW)
    assert [choice.reason for choice in choices] == [None, None, Reason.NOT_FOUND]


async def test_a_thousand_in_few_queries(server: Slapd) -> None:
    addresses = [f"{'alias' if number % 2 else 'user'}{number * 7}@example.org" for number in range(1_000)]
    answers = await look_up(directory(server.url, batch=100), *addresses)
    assert [answer.address for answer in answers] == addresses
    choices = choose_certificates(answers, policy(), NOW)
    missing = {choice.address for choice in choices if choice.certificate is None}
    assert missing == {address for number, address in enumerate(addresses) if number * 7 % 10 == 9}
    assert {choice.reason for choice in choices} == {None, Reason.NO_CERTIFICATE}


async def test_hostile_entries_spoil_no_other(server: Slapd) -> None:
    hostile, good = await look_up(directory(server.url), "hostile@example.org", "user1@example.org")
    (entry,) = hostile.entries
    assert entry.certificates == ()
    assert entry.defects
    choices = choose_certificates([hostile, good], policy(), NOW)
    assert choices[0].reason is Reason.UNREADABLE
    assert choices[1].certificate is not None


@pytest.mark.parametrize(
    "address",
    ["*@example.org", "user1*@example.org", "user1@example.org)(mail=*", "\\2a@example.org", "a\x00@example.org", "x"],
)
async def test_nothing_acts_in_a_filter(server: Slapd, address: str) -> None:
    odd, injected = await look_up(directory(server.url), "o'd*d(x)@example.org", address)
    assert len(odd.entries) == 1
    assert (injected.entries, injected.failures) == ((), ())


# --- TLS and login


async def test_ldaps_and_start_tls_check_the_server(server: Slapd, tmp_path: Path) -> None:
    for url, options in ((server.tls_url, {}), (server.url, {"start_tls": True})):
        (answer,) = await look_up(directory(url, ca_file=server.ca_file, **options), "user1@example.org")
        assert answer.failures == ()
        assert answer.entries
        (tmp_path / "other.pem").write_bytes(pki.authority("Another Root").certificate_pem)
        (answer,) = await look_up(directory(url, ca_file=tmp_path / "other.pem", **options), "user1@example.org")
        assert answer.entries == ()
        assert "certificate" in failure(answer) or "connect error" in failure(answer)
        # The certificate is for 127.0.0.1, not for a name.
        named = url.replace("127.0.0.1", "localhost")
        (answer,) = await look_up(directory(named, ca_file=server.ca_file, **options), "user1@example.org")
        assert answer.entries == ()
        assert "certificate" in failure(answer) or "connect error" in failure(answer)


async def test_a_simple_bind(server: Slapd) -> None:
    secure = {"ca_file": server.ca_file, "bind": "simple", "user": ADMINISTRATOR}
    (answer,) = await look_up(directory(server.tls_url, password=PASSWORD, **secure), "user1@example.org")
    assert answer.entries
    (answer,) = await look_up(
        directory(server.tls_url, server.url, password="wrong", start_tls=True, **secure), "u@x.y"
    )
    assert "invalid credentials" in failure(answer)
    assert server.url not in failure(answer)  # another server is not asked: that would lock the account


async def test_gssapi_without_a_ticket_is_a_failure_with_a_reason(server: Slapd) -> None:
    (answer,) = await look_up(directory(server.url, bind="gssapi"), "user1@example.org")
    assert server.url in failure(answer)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"servers": ()}, "at least one server"),
        ({"servers": ("http://h",)}, "no LDAP server"),
        ({"servers": ("ldap://h",), "bind": "simple", "user": "cn=x"}, "needs a user and a password"),
        ({"servers": ("ldap://h",), "bind": "simple", "user": "cn=x", "password": "p"}, "in clear"),
    ],
)
def test_settings_that_are_refused(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        LdapAccess(**options)


# --- limits and failures


async def test_pages_and_limits(tmp_path: Path) -> None:
    folder = tmp_path / "limited"
    folder.mkdir()
    server = Slapd(folder, "".join(ldif_user(f"user{number}") for number in range(40)), size_limit=10)
    addresses = [f"user{number}@example.org" for number in range(40)]
    async with server:
        answers = await look_up(directory(server.url, batch=40), *addresses)
        assert all(len(answer.entries) == 1 for answer in answers)
        answers = await look_up(directory(server.url, batch=40, size_limit=3), *addresses)
        assert all(len(answer.entries) == 1 for answer in answers)


async def test_a_base_that_is_not_there(server: Slapd) -> None:
    (answer,) = await look_up(directory(server.url, base="dc=other"), "user1@example.org")
    assert "no such object" in failure(answer)


async def test_another_server_where_one_is_down(server: Slapd) -> None:
    source = directory("ldap://127.0.0.1:9", server.url)
    for _ in range(2):
        (answer,) = await source.look_up(["user1@example.org"])
        assert answer.entries
    await source.aclose()
    (answer,) = await look_up(directory("ldap://127.0.0.1:9"), "user1@example.org")
    assert "127.0.0.1:9" in failure(answer)


@pytest.mark.chaos
async def test_a_server_killed_and_restarted_during_lookups(database: Slapd) -> None:
    addresses = [f"user{number}@example.org" for number in range(200)]
    source = directory(database.url, batch=20, connections=4)
    seen: set[bool] = set()
    async with database:
        assert all(answer.entries for answer in await source.look_up(addresses))

        async def keep_asking() -> None:
            while not done.is_set():
                for answer in await source.look_up(addresses):
                    # An entry or a failure: a dead server never looks like a person without certificate.
                    assert bool(answer.entries) != bool(answer.failures)
                    seen.add(bool(answer.entries))

        done = asyncio.Event()
        asking = asyncio.create_task(keep_asking())
        for _ in range(2):
            await asyncio.sleep(0.3)
            await database.kill()
            await asyncio.sleep(0.4)
            await database.start()
            await asyncio.sleep(0.8)
        done.set()
        await asking
        assert seen == {True, False}
        assert all(answer.entries for answer in await source.look_up(addresses))
    await source.aclose()


async def test_while_all_servers_are_down_nobody_waits() -> None:
    source = directory("ldap://127.0.0.1:9", retry_seconds=60)
    loop = asyncio.get_running_loop()
    await source.look_up(["a@example.org"])
    started = loop.time()
    answers = await source.look_up([f"user{number}@example.org" for number in range(1_000)])
    assert loop.time() - started < 2
    assert all(answer.failures for answer in answers)
    with pytest.raises(SourceUnavailable):
        await source.look_up_members(["cn=x"])
    await source.aclose()


# --- groups and schemas


async def test_members_of_groups(server: Slapd) -> None:
    source = directory(server.url)
    (answer,) = await source.look_up(["outer@example.org"])
    (group,) = answer.entries
    assert group.is_group
    assert group.members is not None
    found = await source.look_up_members([*group.members, "no distinguished name", f"cn=user5,{BASE}"])
    names = {name: entry and entry.name for name, entry in found.items()}
    assert names == {
        f"cn=inner,{BASE}": "inner",
        f"cn=user2,{BASE}": "user2",
        f"cn=user3,{BASE}": "user3",
        f"cn=user5,{BASE}": "user5",
        f"cn=nobody,{BASE}": None,
        "no distinguished name": None,
    }
    await source.aclose()


async def test_other_attribute_names_and_a_filter(server: Slapd) -> None:
    names = AttributeNames(proxies=("proxyAddresses",), mail=("sn",))
    (answer,) = await look_up(directory(server.url, names=names), "alias12@example.org")
    assert answer.entries[0].primary == "user12@example.org"
    source = directory(server.url, also="(objectClass=group)")
    person, group = await look_up(source, "user1@example.org", "inner@example.org")
    assert person.entries == ()
    assert group.entries


def test_the_collection_of_these_tests_is_the_tenants() -> None:
    assert policy().collection is COLLECTION
