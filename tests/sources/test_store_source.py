"""The tenant store as a source of certificates: what it finds is chosen from like that of any directory."""

from __future__ import annotations

import pytest

from smime_engine.certificate import Certificate
from smime_engine.cms.capabilities import encode_capabilities
from smime_engine.directory.choosing import ChoicePolicy, choose_certificates
from smime_engine.directory.entries import Origin
from smime_engine.keys import load_identity
from smime_engine.sources.master_key import MasterKeys, PlainMasterKey
from smime_engine.sources.store import DirectoryValue, HarvestedCertificate, Tenant, User
from smime_engine.sources.store_source import StoreSource
from smime_engine.trust.collection import TrustCollection
from tests import pki

ROOT = pki.authority("Source Root")
CA = ROOT.subordinate("Source CA")
POLICY = ChoicePolicy(
    collection=TrustCollection((Certificate.parse(ROOT.certificate_der),), (Certificate.parse(CA.certificate_der),))
)


@pytest.fixture
def tenant(store):
    return store.add_tenant(Tenant(name="example"))


def listed(address: str, *octets: bytes, attribute: str = "userCertificate", **more) -> User:
    values = tuple(DirectoryValue(attribute=attribute, value=each) for each in octets)
    return User(primary_address=address, source="ad", external_id=f"id of {address}", values=values, **more)


async def test_users_are_found_with_what_their_directory_gives(tenant):
    bob = CA.issue("Bob", "bob@example.org", usage="encrypt").certificate_der
    tenant.directory.apply("ad", [listed("bob@example.org", b"garbage", bob, proxy_addresses=("b@example.org",))])
    source = StoreSource("store", tenant)
    answers = await source.look_up(["B@example.org", "nobody@example.org"])
    assert [len(answer.entries) for answer in answers] == [1, 0]
    (entry,) = answers[0].entries
    assert (entry.source, entry.identifier, entry.addresses) == (
        "store",
        "id of bob@example.org",
        ("bob@example.org", "b@example.org"),
    )
    assert len(entry.defects) == 1
    first, second = choose_certificates(answers, POLICY, pki.MOMENT)
    assert first.certificate.der == bob
    assert first.chosen.origin is Origin.USER_CERTIFICATE
    assert second.certificate is None
    await source.aclose()


async def test_keys_of_the_store_are_found_until_they_are_retired(tenant):
    tenant.directory.add(User(primary_address="alice@example.org"))
    own = load_identity(CA.issue("Alice", "alice@example.org").pem())
    tenant.keys.add("alice@example.org", [own], MasterKeys([PlainMasterKey(bytes(32))]))
    source = StoreSource("store", tenant)
    (choice,) = choose_certificates(await source.look_up(["alice@example.org"]), POLICY, pki.MOMENT)
    assert choice.certificate == own.certificate
    tenant.keys.retire("alice@example.org", own.certificate.fingerprint_sha256)
    (choice,) = choose_certificates(await source.look_up(["alice@example.org"]), POLICY, pki.MOMENT)
    assert choice.certificate is None


async def test_harvested_certificates_come_with_what_is_known(tenant):
    first, second = (CA.issue(name, "carol@partner.example").certificate_der for name in ("Carol", "Carol 2"))
    for der, more in (
        (first, {"capabilities": encode_capabilities(()), "preferred": True}),
        (second, {"capabilities": b"damaged"}),
        (b"garbage", {}),
    ):
        tenant.harvest.keep(
            HarvestedCertificate(
                address="carol@partner.example",
                certificate=der,
                chain=(CA.certificate_der,),
                first_seen=pki.MOMENT,
                last_seen=pki.MOMENT,
                **more,
            )
        )
    (answer,) = await StoreSource("store", tenant).look_up(["Carol@partner.example"])
    (entry,) = answer.entries
    assert [each.capabilities for each in entry.certificates] == [(), None]
    assert {each.origin for each in entry.certificates} == {Origin.SIGNED_MAIL}
    assert [certificate.der for certificate in entry.pool] == [CA.certificate_der]
    assert len(entry.defects) == 1
    (choice,) = choose_certificates([answer], POLICY, pki.MOMENT)
    assert choice.certificate.der == first


async def test_members_of_groups(tenant):
    group = listed("all@example.org", members=("id of bob@example.org", "dan@example.org", "nobody"))
    tenant.directory.apply("ad", [group, listed("bob@example.org"), listed("dan@example.org")])
    source = StoreSource("store", tenant)
    (answer,) = await source.look_up(["all@example.org"])
    assert answer.entries[0].is_group
    members = await source.look_up_members(answer.entries[0].members)
    assert {name: entry and entry.primary for name, entry in members.items()} == {
        "id of bob@example.org": "bob@example.org",
        "dan@example.org": "dan@example.org",
        "nobody": None,
    }


async def test_a_store_that_does_not_answer_says_so(store, tenant):
    with store._database.writing() as connection:
        connection.exec_driver_sql("ALTER TABLE harvested RENAME TO elsewhere")
    (answer,) = await StoreSource("store", tenant).look_up(["a@example.org"])
    assert "does not answer" in answer.failures[0].text
