"""`smime directory`: lookups with a real LDAP server, groups, plans, publishing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pybase64
import pytest
from click.testing import CliRunner, Result

from smime_engine.certificate_bundle import certificates_from
from smime_engine.cli.directory import command
from smime_engine.directory.smime_certificate import read_user_smime_certificate
from smime_engine.errors import ConfigurationError, InvalidKey
from smime_engine.sources.directory_config import make_directories, read_directory_configuration
from smime_engine.sources.tenant_folder import TenantFolder
from smime_engine.trust.sst import encode_sst
from tests import pki
from tests.directory.people import CA, DAY, NOW, ROOT, STRANGER, value
from tests.sources.slapd import ADMINISTRATOR, BASE, PASSWORD, Slapd, ldif_group, ldif_user

AT = "2026-06-01T12:00:00Z"


def run(*arguments: str | Path, status: int = 0) -> Result:
    result = CliRunner().invoke(command, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == status, result.output
    return result


def lookup(tenant: Path, *arguments: str | Path, status: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        run("lookup", "--tenant", tenant, "--at", AT, "--json", *arguments, status=status).output
    )
    return found


@pytest.fixture
def tenant(tmp_path: Path) -> Path:
    folder = TenantFolder(tmp_path / "acme")
    folder.save_collection(encode_sst([ROOT.certificate_der, CA.certificate_der]))
    return folder.folder


def person(name: str, issuer: pki.Authority = CA, **options: Any) -> pki.Credential:
    return issuer.issue(name, f"{name}@example.org", **{"usage": "encrypt", **options})


# --- files


@pytest.fixture
def files(tenant: Path) -> Path:
    folder = tenant / "certificates"
    folder.mkdir()
    for name, options in {"bob": {}, "old": {"not_after": NOW - DAY}, "carol": {"issuer": STRANGER}}.items():
        (folder / f"{name}.pem").write_bytes(person(name, **options).certificate_pem)
    (tenant / "directories.toml").write_text('[[files]]\nname = "device"\npaths = ["certificates"]\n')
    return folder


def test_a_lookup_for_people(tenant: Path, files: Path) -> None:
    result = run("lookup", "--tenant", tenant, "--at", AT, "bob@example.org")
    assert result.output.splitlines() == [
        "bob@example.org: CN=bob, until 2048-01-01",
        "  from device (file), issued by CN=Directory CA",
        "  says nothing about what it reads",
        "  REVOCATION_UNCHECKED: whether the certificate was revoked is not known, and the policy tolerates that",
        "copy for bob@example.org: aes256-cbc, 1 key",
    ]


def test_who_must_be_removed(tenant: Path, files: Path) -> None:
    addresses = ["bob@example.org", "old@example.org", "carol@example.org", "nobody@example.org"]
    found = lookup(tenant, *addresses, "--bcc", "bob@example.org", status=1)
    assert [row["reason"] for row in found["recipients"]] == [None, "EXPIRED", "UNTRUSTED", "NOT_FOUND", None]
    assert [row["reason"] for row in found["remove"]] == ["EXPIRED", "UNTRUSTED", "NOT_FOUND"]
    assert [row["trusted"] for row in found["recipients"]] == [True, False, False, False, True]
    assert found["recipients"][0]["chain"] == ["CN=bob", "CN=Directory CA", "CN=Directory Root"]
    assert [copy["recipients"] for copy in found["copies"]] == [["bob@example.org"]]
    text = run("lookup", "--tenant", tenant, "--at", AT, "old@example.org", status=1).output
    assert "remove old@example.org, or do not send" in text
    assert "EXPIRED" in text


def test_hidden_recipients_and_the_sender(tenant: Path, files: Path, tmp_path: Path) -> None:
    (tmp_path / "me.pem").write_bytes(person("me").certificate_pem)
    (files / "dora.pem").write_bytes(person("dora").certificate_pem)
    found = lookup(
        tenant, "bob@example.org", "--bcc", "dora@example.org", "--to-self", tmp_path / "me.pem", "--cipher",
        "aes128-gcm",
    )  # fmt: skip
    assert [(copy["hidden"], len(copy["keys"]), copy["cipher"]) for copy in found["copies"]] == [
        (False, 2, "aes128-gcm"),
        (True, 2, "aes128-gcm"),
    ]


def test_revocation(tenant: Path, files: Path, tmp_path: Path) -> None:
    crl = tmp_path / "ca.crl"
    crl.write_bytes(CA.crl())
    (tmp_path / "root.crl").write_bytes(ROOT.crl())
    arguments = ("bob@example.org", "--crl", crl, "--crl", tmp_path / "root.crl", "--revocation", "hard-fail")
    assert lookup(tenant, *arguments)["recipients"][0]["notes"] == []
    (bob,) = certificates_from((files / "bob.pem").read_bytes())
    crl.write_bytes(CA.crl({bob.serial_number: None}))
    assert lookup(tenant, *arguments, status=1)["remove"][0]["reason"] == "REVOKED"
    unknown = lookup(tenant, "bob@example.org", "--revocation", "hard-fail", status=3)
    assert unknown["remove"] == [
        {
            "address": "bob@example.org",
            "reason": "REVOCATION_UNKNOWN",
            "text": "nobody could say whether the certificate was revoked",
            "temporary": True,
        }
    ]


def test_without_a_tenant(files: Path, tmp_path: Path) -> None:
    (tmp_path / "root.pem").write_bytes(ROOT.certificate_pem + CA.certificate_pem)
    config = files.parent / "directories.toml"
    run("lookup", "--config", config, "--trust", tmp_path / "root.pem", "--at", AT, "bob@example.org")
    with pytest.raises(ConfigurationError, match="who is trusted"):
        run("lookup", "--config", config, "bob@example.org")
    with pytest.raises(ConfigurationError, match="where to look"):
        run("lookup", "--trust", tmp_path / "root.pem", "bob@example.org")


# --- LDAP


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Slapd:
    from tests.conftest import _require

    _require("ldap")
    return Slapd(
        tmp_path_factory.mktemp("people"),
        "".join(
            (
                ldif_user("alice", smime_certificate=[value()], proxyAddresses=["smtp:a.smith@example.org"]),
                ldif_user("bob", certificate=[person("bob").certificate_der]),
                ldif_user("carol"),
                ldif_group("team", "alice", "bob"),
                ldif_group("everybody", "team", "carol", "everybody"),
            )
        ),
    )


@pytest.fixture
def configured(tenant: Path, people: Slapd) -> Iterator[Path]:
    loop = asyncio.new_event_loop()
    loop.run_until_complete(people.start())
    (tenant / "ldap.password").write_text(f"{PASSWORD}\n")
    (tenant / "directories.toml").write_text(
        'order = ["contoso"]\n'
        "[cache]\nfound_seconds = 60\n"
        f'[[ldap]]\nname = "contoso"\nservers = ["{people.tls_url}"]\nbase = "{BASE}"\nca_file = "{people.ca_file}"\n'
        f'bind = "simple"\nuser = "{ADMINISTRATOR}"\npassword_file = "ldap.password"\n'
    )
    yield tenant
    loop.run_until_complete(people.stop())
    loop.close()


@pytest.mark.ldap
def test_a_lookup_in_ldap(configured: Path) -> None:
    found = lookup(configured, "a.smith@example.org", "bob@example.org")
    alice, bob = found["recipients"]
    assert alice["origin"] == "USER_SMIME_CERTIFICATE"
    assert alice["entry"] == f"cn=alice,{BASE}"
    assert alice["capabilities"][0] == "aes256-gcm"
    assert [note["note"] for note in alice["notes"]] == ["NAMES_PRIMARY_ADDRESS", "REVOCATION_UNCHECKED"]
    assert (bob["origin"], bob["capabilities"]) == ("USER_CERTIFICATE", None)
    assert found["copies"][0]["cipher"] == "aes256-cbc"
    assert lookup(configured, "alice@example.org")["copies"][0]["cipher"] == "aes256-gcm"


@pytest.mark.ldap
def test_a_group_in_ldap(configured: Path) -> None:
    found = lookup(configured, "everybody@example.org", status=1)
    assert [row["address"] for row in found["recipients"]] == [f"{n}@example.org" for n in ("alice", "bob", "carol")]
    (group,) = found["groups"]
    assert group["complete"]
    assert group["loops"] == [f"cn=everybody,{BASE}"]
    assert [row["address"] for row in found["remove"]] == ["carol@example.org"]
    assert found["copies"][0]["recipients"] == ["alice@example.org", "bob@example.org"]


@pytest.mark.ldap
def test_a_directory_that_is_down(tenant: Path) -> None:
    (tenant / "directories.toml").write_text(
        '[[ldap]]\nname = "contoso"\nservers = ["ldap://127.0.0.1:9"]\nbase = "dc=x"\n'
    )
    found = lookup(tenant, "alice@example.org", status=3)
    assert found["remove"][0]["reason"] == "SOURCE_UNAVAILABLE"
    assert found["remove"][0]["temporary"]


# --- the configuration


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("order = 1", "order"),
        ("order = ['x']", "x is not there"),
        ("unknown = 1", "unknown"),
        ("[[files]]\nname = 'a'\npaths = []\n[[files]]\nname = 'a'\npaths = []", "same name"),
        ("[[ldap]]\nname = 'a'\nservers = []\nbase = ''\nbind = 'magic'", "bind"),
        ("[[smimea]]\nname = ''", "name"),
        ("not toml", "directories.toml"),
        ("[[files]]\nname = 'a'\npaths = []\n[[smimea]]\nname = 'b'\nport = 0", "port"),
    ],
)
def test_configurations_that_are_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "directories.toml"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=message):
        read_directory_configuration(path)


def test_the_order_of_sources(tmp_path: Path) -> None:
    path = tmp_path / "directories.toml"
    text = "[[smimea]]\nname = 'dns'\n[[files]]\nname = 'device'\npaths = ['.']\npinned = true\n"
    path.write_text(text)
    found = make_directories(read_directory_configuration(path))
    assert [source.name for source in found.sources] == ["device", "dns"]
    path.write_text(f"order = ['dns']\n{text}")
    found = make_directories(read_directory_configuration(path))
    assert [source.name for source in found.sources] == ["dns"]


@pytest.mark.gal
def test_an_address_list_in_the_configuration(tmp_path: Path) -> None:
    path = tmp_path / "directories.toml"
    (tmp_path / "password").write_text("secret\n")
    start = "[[gal]]\nname = 'exchange'\nuser = 'u'\npassword_file = 'password'\n"
    path.write_text(f"{start}endpoint = 'https://mail.example.org/EWS/Exchange.asmx'\n")
    (found,) = make_directories(read_directory_configuration(path)).sources
    assert found.name == "exchange"
    path.write_text(f"{start}endpoint = 'https://outlook.office365.com/EWS/Exchange.asmx'\n")
    with pytest.raises(ConfigurationError, match="October 2026"):
        make_directories(read_directory_configuration(path))


# --- publishing


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "alice.p12"
    path.write_bytes(CA.issue("Alice", "alice@example.org").pkcs12(b"secret"))
    (tmp_path / "password").write_text("secret\n")
    return path


def test_publishing(key: Path, tmp_path: Path) -> None:
    arguments = ("publish", "--key", key, "--password-file", tmp_path / "password", "--at", AT)
    text = run(*arguments).output
    read = read_user_smime_certificate(pybase64.b64decode(text))
    assert read.certificates[0].capabilities
    run(*arguments, "--form", "der", "-o", tmp_path / "value")
    assert read_user_smime_certificate((tmp_path / "value").read_bytes()).pool == read.pool
    run(*arguments, "--form", "ldif", status=2)


def test_publishing_separate_certificates(tmp_path: Path) -> None:
    signing = CA.issue("Alice", "alice@example.org", usage="sign")
    encryption = person("alice", key=pki.new_key("p256", "another"))
    (tmp_path / "sign.pem").write_bytes(signing.pem())
    (tmp_path / "encrypt.pem").write_bytes(encryption.certificate_pem)
    result = run("publish", "--key", tmp_path / "sign.pem", "--encryption-cert", tmp_path / "encrypt.pem")
    read = read_user_smime_certificate(pybase64.b64decode(result.output))
    assert read.certificates[0].certificate.der == encryption.certificate_der
    (tmp_path / "only.pem").write_bytes(encryption.pem())
    with pytest.raises(InvalidKey, match="may sign"):
        run("publish", "--key", tmp_path / "only.pem")


@pytest.mark.ldap
async def test_what_is_published_is_found(key: Path, people: Slapd, tmp_path: Path) -> None:
    """LDIF → ldapmodify's work, done with python-ldap → lookup."""
    import ldap
    import ldif

    from smime_engine.sources.ldap import LdapAccess, LdapDirectory

    arguments = ("--password-file", tmp_path / "password", "--form", "ldif", "--dn", f"cn=carol,{BASE}")
    run("publish", "--key", key, *arguments, "-o", tmp_path / "change.ldif")
    async with people:

        def change() -> None:
            connection = ldap.initialize(people.url)
            connection.simple_bind_s(ADMINISTRATOR, PASSWORD)
            with (tmp_path / "change.ldif").open("rb") as file:
                parser = ldif.LDIFRecordList(file)
                parser.parse_change_records()
            ((name, changes, _),) = parser.all_modify_changes
            connection.modify_s(name, changes)
            connection.unbind_s()

        await asyncio.to_thread(change)
        directory = LdapDirectory("ldap", LdapAccess(servers=(people.url,)), base=BASE)
        (answer,) = await directory.look_up(["carol@example.org"])
        await directory.aclose()
    names = [listed.certificate.subject for listed in answer.entries[0].certificates]
    assert names == ["CN=Alice", "CN=Alice"]
