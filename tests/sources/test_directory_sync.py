"""Synchronising a real OpenLDAP server into the store: what is new, changed, gone; kills, limits, schedules."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from smime_engine.cli import smime
from smime_engine.directory.attributes import AttributeNames
from smime_engine.errors import ConfigurationError, SourceUnavailable
from smime_engine.sources.directories import Resolution
from smime_engine.sources.directory_config import make_directories, read_directory_configuration
from smime_engine.sources.directory_sync import SyncReport, synchronise
from smime_engine.sources.ldap import LdapAccess, LdapDirectory
from smime_engine.sources.store import Tenant, open_store
from smime_engine.sources.store.tenants import StoredTenant
from tests import pki
from tests.directory.people import CA, NOW, policy
from tests.sources.conftest import create
from tests.sources.slapd import ADMINISTRATOR, BASE, PASSWORD, Slapd, ldif_group, ldif_user

pytestmark = pytest.mark.ldap

KEY = pki.new_key("p256", "synchronised users")
USERS = 2_500
SMIME = [sys.executable, "-c", "from smime_engine.cli import main; main()"]


@cache
def certificate(name: str, serial: int = 1) -> bytes:
    holder = CA.issue(f"{name} {serial}", f"{name}@example.org", key=KEY, usage="both")
    return holder.certificate_der


@pytest.fixture
def slapd(running: tuple[Slapd, Callable[[], None]]) -> Slapd:
    return running[0]


@pytest.fixture
def kill(running: tuple[Slapd, Callable[[], None]]) -> Callable[[], None]:
    """Ends the server without a word to anybody."""
    return running[1]


@pytest.fixture
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Slapd, Callable[[], None]]]:
    server = Slapd(
        tmp_path_factory.mktemp("synchronised"),
        "".join(
            (
                ldif_user("alice", certificate=[certificate("alice")], proxyAddresses=["smtp:a.smith@example.org"]),
                ldif_user("bob", certificate=[certificate("bob"), b"garbage"]),
                ldif_user("carol"),
                ldif_user("many", certificate=[certificate("many", serial) for serial in range(16)]),
                ldif_group("team", "alice", "bob"),
                *(ldif_user(f"user{number}") for number in range(USERS)),
            )
        ),
    )
    loop = asyncio.new_event_loop()
    loop.run_until_complete(server.start())
    yield server, lambda: loop.run_until_complete(server.kill())
    loop.run_until_complete(server.stop())
    loop.close()


@pytest.fixture
def url(tmp_path: Path) -> str:
    made = create(f"sqlite:///{tmp_path / 'store.sqlite'}")
    with open_store(made) as store:
        store.add_tenant(Tenant(name="acme", domains=("example.org",)))
    return made


@pytest.fixture
def tenant(url: str) -> Iterator[StoredTenant]:
    with open_store(url) as store:
        yield store.tenant("acme")


def directory(slapd: Slapd, **options: Any) -> LdapDirectory:
    access = LdapAccess(servers=(slapd.url,), retry_seconds=0.01)
    return LdapDirectory("contoso", access, base=BASE, **options)


def sync(slapd: Slapd, tenant: StoredTenant, **options: Any) -> SyncReport:
    source = directory(slapd, also=options.pop("also", ""))
    try:
        return synchronise(source, tenant.directory, **options)
    finally:
        source.close()


def modify(slapd: Slapd, name: str, *changes: tuple[str, str, list[bytes] | None]) -> None:
    """Change the directory itself: (`add` | `delete` | `replace`, attribute, values)."""
    import ldap

    operations = {"add": ldap.MOD_ADD, "delete": ldap.MOD_DELETE, "replace": ldap.MOD_REPLACE}
    connection = _administrator(slapd)
    connection.modify_s(f"cn={name},{BASE}", [(operations[what], key, values) for what, key, values in changes])
    connection.unbind_s()


def delete(slapd: Slapd, *names: str) -> None:
    connection = _administrator(slapd)
    for name in names:
        connection.delete_s(f"cn={name},{BASE}")
    connection.unbind_s()


def _administrator(slapd: Slapd) -> Any:
    import ldap

    connection = ldap.initialize(slapd.url)
    connection.simple_bind_s(ADMINISTRATOR, PASSWORD)
    return connection


def test_everything_then_what_changed_then_what_is_gone(slapd: Slapd, tenant: StoredTenant) -> None:
    progress: list[tuple[int, int]] = []
    first = sync(slapd, tenant, progress=lambda done, total: progress.append((done, total)))
    assert (first.listed, first.added, first.changed, first.removed) == (USERS + 5, USERS + 5, 0, 0)
    assert progress == [(1_000, USERS + 5), (2_000, USERS + 5), (USERS + 5, USERS + 5)]
    alice, bob = (tenant.directory.user(f"{name}@example.org") for name in ("alice", "bob"))
    assert alice is not None
    assert bob is not None
    assert alice.addresses == ("alice@example.org", "a.smith@example.org")
    assert [value.value for value in alice.values] == [certificate("alice")]
    assert [value.value for value in bob.values] == [certificate("bob"), b"garbage"]
    team = tenant.directory.user("team@example.org")
    assert team is not None
    assert team.members == (alice.external_id, bob.external_id)

    assert (sync(slapd, tenant).unchanged, tenant.directory.count()) == (USERS + 5, USERS + 5)

    modify(slapd, "carol", ("add", "userCertificate;binary", [certificate("carol")]))
    modify(slapd, "alice", ("replace", "mail", [b"alice.smith@example.org"]))
    delete(slapd, "user7", "user8")
    second = sync(slapd, tenant)
    assert (second.added, second.changed, second.removed, second.unchanged) == (0, 2, 2, USERS + 1)
    renamed = tenant.directory.user("alice.smith@example.org")
    assert renamed is not None
    assert renamed.external_id == alice.external_id
    carol = tenant.directory.user("carol@example.org")
    assert carol is not None
    assert len(carol.values) == 1
    assert tenant.directory.user("user7@example.org") is None
    assert json.loads(tenant.directory.state("contoso") or "")["listed"] == USERS + 3


def test_more_than_15_certificates_do_not_go_over_and_what_was_there_goes(slapd: Slapd, tenant: StoredTenant) -> None:
    report = sync(slapd, tenant)
    (entry,) = report.withheld
    assert entry.address == "many@example.org"
    assert "userCertificate: 16 values" in entry.details[0]
    modify(slapd, "many", ("delete", "userCertificate;binary", [certificate("many", 0)]))
    assert sync(slapd, tenant).withheld == ()
    many = tenant.directory.user("many@example.org")
    assert many is not None
    assert len(many.values) == 15
    modify(slapd, "many", ("add", "userCertificate;binary", [certificate("many", 99)]))
    assert len(sync(slapd, tenant).withheld) == 1
    many = tenant.directory.user("many@example.org")
    assert many is not None
    assert many.values == ()


def test_a_dry_run_changes_nothing_and_says_all(slapd: Slapd, tenant: StoredTenant) -> None:
    foreseen = sync(slapd, tenant, dry=True)
    assert foreseen.added == USERS + 5
    assert (tenant.directory.count(), tenant.directory.state("contoso")) == (0, None)
    sync(slapd, tenant)
    modify(
        slapd,
        "bob",
        ("replace", "displayName", [b"Bob B."]),
        ("replace", "userCertificate;binary", [certificate("bob", 2)]),
    )
    delete(slapd, "carol")
    foreseen = sync(slapd, tenant, dry=True)
    assert {(change.kind, change.address): change.details for change in foreseen.changes} == {
        ("changed", "bob@example.org"): ("name 'bob' becomes 'Bob B.'", "userCertificate: 1 added, 2 removed"),
        ("removed", "carol@example.org"): (),
    }
    assert tenant.directory.user("carol@example.org") is not None


def test_mass_deletion_is_refused_until_it_is_allowed(slapd: Slapd, tenant: StoredTenant) -> None:
    sync(slapd, tenant)
    with pytest.raises(ConfigurationError, match=r"2,504 of 2,505 entries are gone"):
        sync(slapd, tenant, also="(cn=alice)")
    with pytest.raises(ConfigurationError, match="are gone"):
        sync(slapd, tenant, also="(cn=nobody)", allowed_deletions=10_000)
    assert tenant.directory.count() == USERS + 5
    assert sync(slapd, tenant, also="(cn=alice)", allowed_deletions=None).removed == USERS + 4
    assert tenant.directory.count() == 1


def test_a_server_that_is_gone_changes_nothing(slapd: Slapd, kill: Callable[[], None], tenant: StoredTenant) -> None:
    sync(slapd, tenant)
    kill()
    with pytest.raises(SourceUnavailable):
        sync(slapd, tenant)
    assert tenant.directory.count() == USERS + 5


class Breaking:
    """A directory whose list, or whose reading, breaks off."""

    def __init__(self, inner: LdapDirectory, *, listing: int | None = None, reading: int | None = None) -> None:
        self.name = inner.name
        self.attribute_names: AttributeNames = inner.attribute_names
        self._inner, self._listing, self._reading = inner, listing, reading

    def list_entries(self, attributes: Sequence[str]) -> Iterator[Any]:
        return self._until(self._inner.list_entries(attributes), self._listing)

    def read_entries(self, names: Sequence[str]) -> Iterator[Any]:
        return self._until(self._inner.read_entries(names), self._reading)

    @staticmethod
    def _until(entries: Iterator[Any], count: int | None) -> Iterator[Any]:
        for number, entry in enumerate(entries):
            if number == count:
                raise SourceUnavailable("it broke off")
            yield entry


def test_a_list_that_breaks_off_deletes_nobody(slapd: Slapd, tenant: StoredTenant) -> None:
    sync(slapd, tenant)
    source = directory(slapd)
    with pytest.raises(SourceUnavailable):
        synchronise(Breaking(source, listing=100), tenant.directory, allowed_deletions=None)
    source.close()
    assert tenant.directory.count() == USERS + 5


@pytest.mark.parametrize("moment", [0.3, 0.6, 1.0])
def test_a_killed_run_goes_on_where_it_was(
    slapd: Slapd, url: str, tenant: StoredTenant, tmp_path: Path, moment: float
) -> None:
    arguments = [*SMIME, *_arguments(slapd, url, tmp_path)]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(arguments, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    deadline = time.monotonic() + 30
    while not tenant.directory.count() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(moment / 10)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.communicate()
    done = tenant.directory.count()
    assert done
    report = sync(slapd, tenant)
    assert (report.added, report.unchanged) == (USERS + 5 - done, done)
    assert tenant.directory.count() == USERS + 5


# --- the command


def _arguments(slapd: Slapd, url: str, folder: Path, *more: str) -> list[str]:
    (folder / "directories.toml").write_text(
        f'[[ldap]]\nname = "contoso"\nservers = ["{slapd.url}"]\nbase = "{BASE}"\n'
        f'[[store]]\nname = "synchronised"\nurl = "{url}"\ntenant = "acme"\n'
    )
    config = str(folder / "directories.toml")
    return ["directory", "sync", "--store", url, "--tenant", "acme", "--config", config, *more]


def run(slapd: Slapd, url: str, folder: Path, *more: str) -> Result:
    return CliRunner().invoke(smime, _arguments(slapd, url, folder, *more))


def test_the_command(slapd: Slapd, url: str, tmp_path: Path) -> None:
    dry = run(slapd, url, tmp_path, "--dry-run")
    assert dry.exit_code == 0, dry.output
    assert "+ alice@example.org: 1 certificates" in dry.output
    assert "2,505 would be added" in dry.output
    done = run(slapd, url, tmp_path)
    assert "! many@example.org: userCertificate: 16 values" in done.output
    assert "2,505 added, 0 changed, 0 removed, 0 unchanged" in done.output
    found = json.loads(run(slapd, url, tmp_path, "--json").output)
    assert (found["unchanged"], found["changes"], found["dry_run"]) == (USERS + 5, [], False)
    for wrong in (("--source", "other"), ("--every", "0m"), ("--allow-deletions", "some")):
        result = run(slapd, url, tmp_path, *wrong)
        assert result.exit_code != 0


def test_what_was_synchronised_is_found(slapd: Slapd, kill: Callable[[], None], url: str, tmp_path: Path) -> None:
    assert run(slapd, url, tmp_path).exit_code == 0
    kill()
    configuration = read_directory_configuration(tmp_path / "directories.toml")

    async def resolved() -> Resolution:
        async with contextlib.aclosing(make_directories(configuration)) as directories:
            return await directories.resolve(["a.smith@example.org", "team@example.org"], policy=policy(), now=NOW)

    resolution = asyncio.run(resolved())
    chosen = {choice.address: choice.certificate for choice in resolution.choices}
    assert chosen["a.smith@example.org"] is not None
    assert "bob@example.org" in chosen


def test_the_schedule_ends_when_it_is_told_to(slapd: Slapd, url: str, tmp_path: Path) -> None:
    arguments = [*SMIME, *_arguments(slapd, url, tmp_path, "--every", "1s", "--json")]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    reports = [json.loads(process.stdout.readline()) for _ in range(2)]
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors
    assert [report["added"] for report in reports] == [USERS + 5, 0]
