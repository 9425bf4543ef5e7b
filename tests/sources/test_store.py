"""The tenant store on both databases: schema, tenants, users, settings, harvest, audit."""

from __future__ import annotations

import sqlite3
import stat
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from smime_engine.errors import ConfigurationError, SourceUnavailable
from smime_engine.policy.smime_config import SmimeConfig
from smime_engine.sources.store import (
    LOCAL,
    DirectoryValue,
    HarvestedCertificate,
    MobilePolicy,
    Tenant,
    User,
    open_store,
)
from smime_engine.sources.store.database import open_database, store_url
from smime_engine.sources.store.migrations import upgrade
from smime_engine.sources.store.schema import HEAD, metadata
from smime_engine.trust.collection import Pin
from smime_engine.trust.sst import encode_sst
from tests import pki

ALICE = User(
    primary_address="Alice@Example.ORG",
    proxy_addresses=("a.smith@example.org", "not an address"),
    display_name="Alice Smith ☺",
)


@pytest.fixture
def tenant(store):
    return store.add_tenant(
        Tenant(name="example", display_name="Example AG", domains=("Example.org", "bücher.example"))
    )


# --- schema


def test_migrations_make_what_the_schema_says(url):
    database = open_database(url)
    with database.reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    assert database.revision() == HEAD
    database.close()
    config = Config()
    config.set_main_option("script_location", "smime_engine.sources.store:migrations")
    config.set_main_option("path_separator", "os")
    assert ScriptDirectory.from_config(config).get_heads() == [HEAD]


def test_an_upgrade_of_what_is_up_to_date_changes_nothing(url, tenant):
    database = open_database(url)
    upgrade(database)
    database.close()
    with open_store(url) as store:
        assert store.tenant("example").name == "example"


def test_several_nodes_may_upgrade_at_once(empty_url):
    failures = []

    def node():
        database = open_database(empty_url, create=True)
        try:
            upgrade(database)
        except Exception as error:
            failures.append(error)
        finally:
            database.close()

    threads = [threading.Thread(target=node) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    open_store(empty_url).close()


def test_an_empty_older_or_newer_store_is_refused(empty_url):
    open_database(empty_url, create=True).close()
    with pytest.raises(ConfigurationError, match="smime tenant init"):
        open_store(empty_url)
    database = open_database(empty_url)
    upgrade(database)
    for revision, text in (("0000", "smime tenant upgrade"), ("9999", "update this program")):
        with database.writing() as connection:
            connection.exec_driver_sql(f"UPDATE alembic_version SET version_num = '{revision}'")
        with pytest.raises(ConfigurationError, match=text):
            open_store(empty_url)
    database.close()


def test_urls(tmp_path):
    assert store_url("postgres://u@h/d").drivername == "postgresql+psycopg"
    assert store_url(str(tmp_path / "x y.sqlite")).database == str(tmp_path / "x y.sqlite")
    for wrong in ("mysql://h/d", "sqlite://", "sqlite:///:memory:", "://"):
        with pytest.raises(ConfigurationError):
            store_url(wrong)
    with pytest.raises(ConfigurationError, match="no store"):
        open_store(str(tmp_path / "missing"))


def test_a_server_that_is_away_is_named_without_its_password():
    with pytest.raises(SourceUnavailable) as raised:
        open_store("postgresql://smime:secret@127.0.0.1:1/none?connect_timeout=2")
    assert "secret" not in str(raised.value)
    assert "127.0.0.1" in str(raised.value)


def test_only_the_owner_reads_an_sqlite_store(tmp_path):
    path = tmp_path / "new" / "store.sqlite"
    database = open_database(str(path), create=True)
    upgrade(database)
    database.close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_damaged_file_is_unavailable(tmp_path):
    path = tmp_path / "store.sqlite"
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(SourceUnavailable):
        open_store(str(path))


def test_a_writer_that_holds_the_file_for_long_makes_it_unavailable(tmp_path, monkeypatch):
    monkeypatch.setattr("smime_engine.sources.store.database._PATIENCE", 0.1)
    database = open_database(str(tmp_path / "s"), create=True)
    upgrade(database)
    database.close()
    with open_store(str(tmp_path / "s")) as store:
        other = sqlite3.connect(tmp_path / "s", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(SourceUnavailable, match="try again"):
            store.add_tenant(Tenant(name="late"))
        assert store.tenants() == ()
        other.close()
        store.add_tenant(Tenant(name="late"))


# --- tenants


def test_tenants_and_their_domains(store, tenant):
    assert tenant.description() == Tenant(
        name="example", display_name="Example AG", domains=("example.org", "xn--bcher-kva.example")
    )
    assert store.tenant_of("x@BÜCHER.example").name == "example"
    assert store.tenant_of("EXAMPLE.org.").name == "example"
    assert store.tenant_of("sub.example.org") is None
    with pytest.raises(ConfigurationError, match="already"):
        store.add_tenant(Tenant(name="example"))
    with pytest.raises(ConfigurationError, match=r"example\.org is taken"):
        store.add_tenant(Tenant(name="second", domains=("example.org",)))
    assert [each.name for each in store.tenants()] == ["example"]
    for wrong in ("", "a/b", " a", "a\nb"):
        with pytest.raises(ConfigurationError):
            store.add_tenant(Tenant(name=wrong))
    tenant.describe(display_name="Example", domain_list=["example.net"])
    assert tenant.description().domains == ("example.net",)
    store.remove_tenant("example")
    assert store.tenants() == ()
    with pytest.raises(ConfigurationError):
        store.tenant("example")
    with pytest.raises(ConfigurationError, match="removed"):
        tenant.directory.add(ALICE)
    with pytest.raises(ConfigurationError):
        store.remove_tenant("example")


# --- users


def test_addresses_are_found_in_any_spelling(tenant):
    tenant.directory.add(User(primary_address="Jörg@bücher.example", proxy_addresses=('"j b"@example.org',)))
    wanted = ["Jörg@BÜCHER.example", "Jörg@xn--bcher-kva.example", '"J B"@Example.org', "nobody@example.org", "none"]
    found = tenant.directory.find(wanted)
    assert list(found) == wanted[:3]
    assert {users[0].primary_address for users in found.values()} == {"Jörg@bücher.example"}
    assert tenant.directory.find(["JÖRG@bücher.example"]) == {}, "only A to Z are the same in both cases"


def test_local_users_have_addresses_of_their_own(tenant):
    with pytest.raises(ConfigurationError, match="no mail address"):
        tenant.directory.add(ALICE)
    alice = User(**{**_fields(ALICE), "proxy_addresses": ("a.smith@example.org",)})
    tenant.directory.add(alice)
    assert tenant.directory.user("ALICE@example.org") == alice
    for address in ("alice@example.org", "A.SMITH@example.org"):
        with pytest.raises(ConfigurationError, match="taken"):
            tenant.directory.add(User(primary_address="x@example.org", proxy_addresses=(address,)))
    assert tenant.directory.count() == 1
    tenant.directory.remove("a.smith@example.org")
    assert tenant.directory.user("alice@example.org") is None
    with pytest.raises(ConfigurationError, match="no user"):
        tenant.directory.remove("alice@example.org")


def _fields(user: User) -> dict:
    return {name: getattr(user, name) for name in User.__slots__}


def test_tenants_do_not_see_each_other(store, tenant):
    other = store.add_tenant(Tenant(name="other"))
    for each, name in ((tenant, "One"), (other, "Two")):
        each.directory.add(User(primary_address="alice@example.org", display_name=name))
    assert tenant.directory.user("alice@example.org").display_name == "One"
    other.directory.remove("alice@example.org")
    assert tenant.directory.user("alice@example.org").display_name == "One"
    assert list(other.directory.users()) == []


def entry(number: int, revision: str = "1", **more) -> User:
    return User(
        primary_address=f"user{number}@example.org",
        proxy_addresses=(f"u{number}@example.org",),
        source="ad",
        external_id=f"id-{number}",
        revision=revision,
        values=(
            DirectoryValue(attribute="userSMIMECertificate", value=b"\x30\x03\x02\x01" + bytes((number % 251,))),
            DirectoryValue(attribute="userCertificate", value=b"garbage" * (number % 3)),
        ),
        **more,
    )


def test_a_directory_is_taken_over_and_followed(tenant):
    seen: list[int] = []
    entries = [entry(number) for number in range(2_500)]
    changes = tenant.directory.apply("ad", entries, state="cookie 1", progress=seen.append)
    assert (changes.added, changes.changed, changes.unchanged, changes.removed) == (2_500, 0, 0, 0)
    assert sum(seen) == 2_500
    assert tenant.directory.state("ad") == "cookie 1"
    assert tenant.directory.find(["U1234@example.org"])["U1234@example.org"] == (entries[1234],)
    everybody = tenant.directory.find(user.primary_address for user in entries)
    assert [everybody[user.primary_address] for user in entries] == [(user,) for user in entries]
    assert list(tenant.directory.users(source="ad")) == entries

    renamed = User(**{**_fields(entry(1, "2")), "proxy_addresses": ("renamed@example.org",), "values": ()})
    changes = tenant.directory.apply("ad", [entry(0), renamed, entry(2_500)], remove=["id-2", "id-none"], state="2")
    assert (changes.added, changes.changed, changes.unchanged, changes.removed) == (1, 1, 1, 1)
    assert tenant.directory.user("renamed@example.org") == renamed
    assert tenant.directory.user("u1@example.org") is None
    assert tenant.directory.user("user2@example.org") is None
    revisions = tenant.directory.revisions("ad")
    assert (len(revisions), revisions["id-1"], revisions["id-0"]) == (2_500, "2", "1")
    assert tenant.directory.state("other") is None


def test_what_cannot_be_stored_does_not_hold_up_the_rest(tenant):
    wrong = [
        User(primary_address="nobody", external_id="1"),
        User(primary_address="a@example.org"),
        User(primary_address="b@example.org", external_id="nul\0"),
        User(primary_address="c@example.org", external_id="2", display_name="\0"),
        User(primary_address="d@example.org", external_id="3", values=entry(1).values * 501),
        User(
            primary_address="e@example.org",
            external_id="4",
            values=(DirectoryValue(attribute="userCertificate", value=bytes(1_048_577)),),
        ),
    ]
    changes = tenant.directory.apply("ad", [*wrong, entry(1), entry(1, "2")])
    assert (changes.added, len(changes.refused)) == (1, 6)
    assert tenant.directory.user("user1@example.org").revision == "2"
    with pytest.raises(ConfigurationError):
        tenant.directory.apply(LOCAL, [entry(1)])


def test_several_entries_may_claim_one_address(tenant):
    first = User(primary_address="shared@example.org", source="ad", external_id="1")
    second = User(
        primary_address="b@example.org", proxy_addresses=("SHARED@example.org",), source="ad", external_id="0"
    )
    tenant.directory.apply("ad", [second, first])
    assert tenant.directory.find(["shared@example.org"])["shared@example.org"] == (first, second)


def test_groups_have_members(tenant):
    group = User(primary_address="all@example.org", source="ad", external_id="g", members=("id-1", "x@example.net"))
    empty = User(primary_address="none@example.org", source="ad", external_id="h", members=())
    tenant.directory.apply("ad", [group, empty])
    assert tenant.directory.user("all@example.org") == group
    assert tenant.directory.user("none@example.org").members == ()


def test_a_directory_takes_over_a_local_user(tenant):
    tenant.directory.add(User(primary_address="User7@example.org", display_name="Seven"))
    changes = tenant.directory.apply("ad", [entry(7)])
    assert (changes.added, changes.changed) == (0, 1)
    assert tenant.directory.user("user7@example.org") == entry(7)
    assert tenant.directory.count() == 1


def test_two_threads_read_and_write(tenant):
    tenant.directory.apply("ad", [entry(number) for number in range(50)])
    failures = []

    def read():
        try:
            for _ in range(60):
                (user,) = tenant.directory.find(["u3@example.org"])["u3@example.org"]
                assert len(user.values) == 2, "never half of an entry"
        except Exception as error:
            failures.append(error)

    def write():
        try:
            for revision in range(20):
                tenant.directory.apply("ad", [entry(number, f"r{revision}") for number in range(50)])
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=each) for each in (read, write, read, write)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


# --- settings


def test_settings_are_those_of_a_folder(tenant):
    root = pki.authority("Store Root")
    ca = root.subordinate("Store CA")
    settings = tenant.settings
    assert settings.smime_config() == SmimeConfig()
    assert settings.certificates() == ()
    crl = root.crl()
    sst = encode_sst([root.certificate_der, ca.certificate_der], crls=[crl])
    settings.save_collection(sst)
    settings.save_smime_config(SmimeConfig(owa_always_sign=True, smime_certificate_issuing_ca=b"elsewhere"))
    assert settings.smime_config() == SmimeConfig(owa_always_sign=True, smime_certificate_issuing_ca=sst)
    settings.save_distrusted([b"\2" * 32, b"\1" * 32, b"\2" * 32])
    pin_list = (
        Pin(name="z.example", fingerprints=frozenset({b"\1" * 32, b"\3" * 32})),
        Pin(name="a", fingerprints=frozenset({b"\4" * 32})),
    )
    settings.save_pins(pin_list)
    assert settings.distrusted() == (b"\2" * 32, b"\1" * 32)
    assert settings.pins() == pin_list
    collection = settings.trust_collection()
    assert [each.der for each in collection.anchors] == [root.certificate_der]
    assert [each.der for each in collection.intermediates] == [ca.certificate_der]
    assert settings.collection_crls() == (crl,)
    assert len(settings.crls()) == 1
    settings.save_pins([])
    settings.save_collection(b"")
    assert (settings.pins(), settings.certificates(), settings.smime_config().smime_certificate_issuing_ca) == (
        (),
        (),
        None,
    )


def test_mobile_policies(tenant):
    tenant.directory.add(User(primary_address="alice@example.org"))
    first = MobilePolicy(name="A", settings={"RequireSignedSMIMEMessages": True, "n": 1}, default=True)
    second = MobilePolicy(name="B", settings={}, default=True)
    tenant.settings.save_mobile_policy(first)
    assert tenant.settings.mobile_policy_of("alice@example.org") == first
    tenant.settings.save_mobile_policy(second)
    assert [(each.name, each.default) for each in tenant.settings.mobile_policies()] == [("A", False), ("B", True)]
    tenant.directory.assign_mobile_policy("alice@example.org", "A")
    assert tenant.settings.mobile_policy_of("ALICE@example.org").settings == first.settings
    assert tenant.settings.mobile_policy_of("nobody@example.org") == second
    tenant.settings.remove_mobile_policy("A")
    assert tenant.settings.mobile_policy_of("alice@example.org") == second
    tenant.settings.remove_mobile_policy("B")
    assert tenant.settings.mobile_policy_of("alice@example.org") is None


# --- harvest


def test_harvested_certificates_keep_what_is_known(tenant):
    ca = pki.authority("Partner Root").subordinate("Partner CA")
    old, new = ca.issue("Bob", "bob@partner.example"), ca.issue("Bob", "bob@partner.example")
    moment = pki.MOMENT

    def seen(credential, at, **more):
        return HarvestedCertificate(
            address="Bob@partner.example",
            certificate=credential.certificate_der,
            chain=(ca.certificate_der,),
            first_seen=at,
            last_seen=at,
            **more,
        )

    assert tenant.harvest.keep(seen(old, moment, capabilities=b"caps", preferred=True))
    assert tenant.harvest.keep(seen(new, moment + timedelta(days=1)))
    assert not tenant.harvest.keep(seen(old, moment - timedelta(days=9), capabilities=b"older"))
    (found,) = tenant.harvest.find(["BOB@partner.example", "x@y.example"]).values()
    assert [each.certificate for each in found] == [old.certificate_der, new.certificate_der]
    assert found[0].capabilities == b"caps"
    assert (found[0].first_seen, found[0].last_seen) == (moment - timedelta(days=9), moment)
    assert found[0].chain == (ca.certificate_der,)
    assert not tenant.harvest.keep(seen(new, moment, preferred=True))
    found = tenant.harvest.find(["bob@partner.example"])["bob@partner.example"]
    assert [(each.certificate, each.preferred) for each in found] == [
        (new.certificate_der, True),
        (old.certificate_der, False),
    ]
    assert tenant.harvest.remove("bob@partner.example") == 2
    with pytest.raises(ConfigurationError):
        tenant.harvest.keep(HarvestedCertificate(address="bob", certificate=b"", first_seen=moment, last_seen=moment))


# --- audit


def test_what_happened_is_written_down(store, tenant, clock):
    clock.moment += timedelta(hours=1)
    tenant.directory.add(User(primary_address="alice@example.org"))
    store.record("relay.started", "node 1", version="1")
    events = store.audit()
    assert [(each.action, each.subject, each.tenant, each.actor) for each in events] == [
        ("relay.started", "node 1", "", "test"),
        ("user.added", "alice@example.org", "example", "test"),
        ("tenant.added", "example", "example", "test"),
    ]
    assert events[0].at == clock.moment
    assert events[0].detail == {"version": "1"}
    assert len(store.audit(tenant="example")) == 2
    assert len(store.audit(since=clock.moment)) == 2
    assert len(store.audit(limit=1)) == 1
    store.remove_tenant("example")
    assert store.audit(tenant="example")[0].action == "tenant.removed"


def test_times_need_a_zone(store):
    from sqlalchemy.exc import StatementError

    store.clock = lambda: datetime(2026, 1, 1)  # noqa: DTZ001
    with pytest.raises((StatementError, ValueError)):
        store.record("x")
    store.clock = lambda: datetime(2026, 1, 1, tzinfo=UTC)
    store.record("x")


# --- losing the server


@pytest.mark.postgres
def test_a_store_comes_back_with_its_server(postgres, opened):
    from tests.sources.conftest import create

    store = opened(create(postgres.database()))
    store.add_tenant(Tenant(name="example"))
    postgres.stop("immediate")
    try:
        with pytest.raises(SourceUnavailable):
            store.tenants()
    finally:
        postgres.start()
    assert [each.name for each in store.tenants()] == ["example"]


def test_paths_with_odd_names(tmp_path: Path):
    path = tmp_path / "a b?c#d%20.sqlite"
    database = open_database(str(path), create=True)
    upgrade(database)
    database.close()
    assert path.exists()
