"""LDAP addresses of revocation lists, read from OpenLDAP's server."""

from __future__ import annotations

import asyncio
import base64
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from smime_engine.errors import SourceUnavailable
from smime_engine.sources.fetched import Fetched
from smime_engine.sources.http import Fetcher, FetchRules
from smime_engine.sources.ldap_urls import parse_ldap_url
from smime_engine.trust.evidence import FetchFailure
from smime_engine.trust.wanted import Crl, Issuer
from tests import pki, surroundings
from tests.sources.servers import LOOPBACK

ROOT = pki.authority("Root")
SUFFIX = "?certificateRevocationList;binary?base?(objectClass=*)"


@pytest.mark.parametrize(
    ("url", "host", "port", "name", "attribute"),
    [
        (
            "ldap://dir.example/cn=ca,dc=x" + SUFFIX,
            "dir.example",
            389,
            "cn=ca,dc=x",
            "certificateRevocationList;binary",
        ),
        ("LDAPS://dir.example:1636/cn=a%20b?cACertificate", "dir.example", 1636, "cn=a b", "cACertificate"),
        (
            "ldap://[::1]/cn=ca?certificateRevocationList;binary",
            "::1",
            389,
            "cn=ca",
            "certificateRevocationList;binary",
        ),
    ],
)
def test_the_parts_of_an_address(url: str, host: str, port: int, name: str, attribute: str) -> None:
    parsed = parse_ldap_url(url)
    assert (parsed.host, parsed.port, parsed.name, parsed.attribute) == (host, port, name, attribute)


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("ldap:///CN=CA,CN=CDP,DC=ad" + SUFFIX, "names no host"),
        ("ldap://h/cn=ca?userPassword", "asks for something else"),
        ("ldap://h/cn=ca", "asks for something else"),
        ("ldap://h/cn=ca?certificateRevocationList;binary?sub", "asks for something else"),
        ("ldap://h:x/cn=ca" + SUFFIX, "malformed"),
        ("ldap://u@h/cn=ca" + SUFFIX, "malformed"),
        ("ldapi://h/cn=ca" + SUFFIX, "malformed"),
    ],
)
def test_addresses_that_are_not_fetched(url: str, text: str) -> None:
    with pytest.raises(SourceUnavailable, match=text):
        parse_ldap_url(url)


def _write_configuration(folder: Path) -> Path:
    """A server with one entry that holds a list and a certificate."""
    (folder / "data").mkdir()
    configuration = folder / "slapd.conf"
    configuration.write_text(
        "include /etc/ldap/schema/core.schema\n"
        "modulepath /usr/lib/ldap\n"
        "moduleload back_mdb\n"
        f"pidfile {folder}/slapd.pid\n"
        "database mdb\n"
        'suffix "dc=example"\n'
        f"directory {folder}/data\n"
    )
    crl, certificate = (base64.b64encode(der).decode() for der in (ROOT.crl(), ROOT.certificate_der))
    (folder / "data.ldif").write_text(
        "dn: dc=example\nobjectClass: organization\nobjectClass: dcObject\no: Example\ndc: example\n\n"
        "dn: ou=CA,dc=example\nobjectClass: organizationalUnit\nobjectClass: pkiCA\nou: CA\n"
        f"certificateRevocationList;binary:: {crl}\ncACertificate;binary:: {certificate}\n\n"
        "dn: ou=Nothing,dc=example\nobjectClass: organizationalUnit\nou: Nothing\n"
    )
    return configuration


@pytest.fixture
async def directory(tmp_path: Path) -> AsyncIterator[str]:
    """The start of LDAP addresses of a running server."""
    server, loader = surroundings.command("slapd"), surroundings.command("slapadd")
    assert server is not None
    assert loader is not None
    configuration = str(_write_configuration(tmp_path))
    arguments = ("-f", configuration, "-l", str(tmp_path / "data.ldif"))
    loading = await asyncio.create_subprocess_exec(loader, *arguments, stderr=asyncio.subprocess.PIPE)
    _, said = await loading.communicate()
    assert loading.returncode == 0, said.decode()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"ldap://127.0.0.1:{port}"
    process = await asyncio.create_subprocess_exec(
        server, "-f", configuration, "-h", url, "-d", "0", stderr=asyncio.subprocess.DEVNULL
    )
    try:
        await _until_listening(port)
        yield url
    finally:
        process.terminate()
        await process.wait()


async def _until_listening(port: int) -> None:
    for _ in range(200):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return
    raise AssertionError("slapd does not listen")


@pytest.mark.ldap
async def test_a_list_and_a_certificate_from_a_directory(directory: str) -> None:
    async with Fetcher(FetchRules(guard=LOOPBACK), clock=lambda: pki.MOMENT) as fetcher:
        found = await fetcher.fetch(Crl(url=f"{directory}/ou=CA,dc=example{SUFFIX}", issuer="CN=Root"))
        assert isinstance(found, Fetched), found
        assert [crl.issuer for crl in found.crls] == ["CN=Root"]
        issuer = Issuer(url=f"{directory}/ou=CA,dc=example?cACertificate;binary", name="CN=Root", name_der=b"0")
        found = await fetcher.fetch(issuer)
        assert isinstance(found, Fetched), found
        assert found.certificates[0].der == ROOT.certificate_der


@pytest.mark.ldap
@pytest.mark.parametrize(
    ("entry", "text"),
    [
        ("ou=Absent,dc=example", "LDAP: no such object"),
        ("ou=Nothing,dc=example", "LDAP: the entry has no such attribute"),
    ],
)
async def test_what_a_directory_does_not_have(directory: str, entry: str, text: str) -> None:
    async with Fetcher(FetchRules(guard=LOOPBACK)) as fetcher:
        answer = await fetcher.fetch(Crl(url=f"{directory}/{entry}{SUFFIX}", issuer="CN=Root"))
    assert isinstance(answer, FetchFailure)
    assert answer.text == text


@pytest.mark.ldap
async def test_a_directory_that_is_not_there_or_not_allowed(directory: str) -> None:
    async with Fetcher(FetchRules(guard=LOOPBACK)) as fetcher:
        answer = await fetcher.fetch(Crl(url=f"ldap://127.0.0.1:9/ou=CA{SUFFIX}", issuer="CN=Root"))
        assert isinstance(answer, FetchFailure)
        assert answer.text == "LDAP: can't contact ldap server"
    async with Fetcher(FetchRules()) as fetcher:
        answer = await fetcher.fetch(Crl(url=f"{directory}/ou=CA,dc=example{SUFFIX}", issuer="CN=Root"))
        assert isinstance(answer, FetchFailure)
        assert "is not public" in answer.text


@pytest.mark.ldap
async def test_an_answer_that_is_too_large(directory: str) -> None:
    async with Fetcher(FetchRules(guard=LOOPBACK, crl_size=100)) as fetcher:
        answer = await fetcher.fetch(Crl(url=f"{directory}/ou=CA,dc=example{SUFFIX}", issuer="CN=Root"))
    assert isinstance(answer, FetchFailure)
    assert answer.text == "the answer is larger than 100 bytes"
