"""Entries from attributes: names, addresses, certificates, groups, and what hostile values cannot do."""

from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st

from smime_engine.directory.attributes import AttributeNames, entry_from_attributes
from smime_engine.directory.choosing import choose_certificates
from smime_engine.directory.entries import DirectoryEntry, Origin, Standing
from smime_engine.limits import Limits
from tests.directory.people import NOW, answer, certificate, identity, policy, value

GOOD = certificate("Alice", "alice@example.org")


def read(attributes: dict[str, list[bytes]], **options: object) -> DirectoryEntry:
    return entry_from_attributes(attributes, source="ldap", identifier="cn=Alice", **options)  # type: ignore[arg-type]


def test_an_entry_of_active_directory() -> None:
    found = read(
        {
            "cn": [b"Alice"],
            "displayName": [b"Alice Smith"],
            "mail": [b"alice@example.org"],
            "proxyAddresses": [b"smtp:a.smith@example.org", b"SMTP:Alice@example.org", b"x400:c=US;s=Smith"],
            "userSMIMECertificate": [value()],
            "userCertificate;binary": [GOOD.der],
            "objectClass": [b"top", b"person", b"user"],
        }
    )
    assert found.name == "Alice Smith"
    assert found.primary == "Alice@example.org"
    assert found.proxies == ("a.smith@example.org",)
    assert not found.is_group
    assert [(listed.origin, listed.standing) for listed in found.certificates] == [
        (Origin.USER_SMIME_CERTIFICATE, Standing.PREFERRED),
        (Origin.USER_CERTIFICATE, Standing.LISTED),
    ]
    assert len(found.pool) == 1
    assert found.defects == ()
    assert found.has_address("A.Smith@EXAMPLE.org")
    assert not found.has_address("nobody@example.org")


def test_addresses() -> None:
    assert read({"mail": [b"a@example.org", b"b@example.org"]}).addresses == ("a@example.org", "b@example.org")
    assert read({"proxyAddresses": [b"smtp:a@example.org"]}).primary is None
    assert read({"proxyAddresses": [b"sip:a@example.org", b"a@example.org"]}).addresses == ("a@example.org",)
    assert read({"mail": [b"nonsense"], "proxyAddresses": [b"smtp:a@example.org"]}).primary is None
    assert read({"mail": [b"\xff@example.org"]}).addresses == ()
    assert read({"mailPrimaryAddress": [b"a@b.c"]}, names=AttributeNames(mail=("mailPrimaryAddress",))).primary


def test_groups() -> None:
    group = read({"objectClass": [b"groupOfNames"], "member": [b"cn=Alice", b"cn=Bob"]})
    assert group.members == ("cn=Alice", "cn=Bob")
    assert read({"objectClass": [b"group"]}).members == ()
    assert read({"objectClass": [b"person"]}).members is None


def test_the_same_value_under_several_descriptions_counts_once() -> None:
    found = read({"userCertificate": [GOOD.der], "USERCERTIFICATE;BINARY": [GOOD.der]})
    assert len(found.certificates) == 1


def test_a_bare_certificate_in_the_wrong_place() -> None:
    """Some write SignedData to userCertificate, some a bare certificate to userSMIMECertificate."""
    found = read({"userSMIMECertificate": [GOOD.der]})
    assert [listed.certificate for listed in found.certificates] == [GOOD]


def test_hostile_values_spoil_no_other() -> None:
    garbage = [b"", b"\x00", b"\x30", b"\x30\x84\xff\xff\xff\xff", b"\x30" + bytes(1_000_000), bytes(1_000_000)]
    found = read(
        {
            "mail": [b"alice@example.org", b"\x00", b"x" * 100_000],
            "userSMIMECertificate": [*garbage, value()[:-1], value(), value() + b"\x00"],
            "userCertificate": [*garbage, GOOD.der[:-1], GOOD.der, GOOD.der + b"\x00"],
            "": [b""],
        }
    )
    assert {listed.certificate for listed in found.certificates} == {GOOD, identity().certificate}
    assert len(found.defects) == 6
    assert found.defects[-1].startswith("and ")
    (choice,) = choose_certificates([answer(found)], policy(), NOW)
    assert choice.certificate == identity().certificate


def test_a_thousand_values_are_read_in_time() -> None:
    values = [b"\x30\x82\x01\x00" + bytes((number >> 8, number & 255)) + bytes(254) for number in range(3_000)]
    started = time.perf_counter()
    found = read({"userCertificate": [GOOD.der, *values], "userSMIMECertificate": values})
    assert time.perf_counter() - started < 5
    assert [listed.certificate for listed in found.certificates] == [GOOD]
    assert any("only 1,000 of 3,001" in defect for defect in found.defects)
    assert read({"userCertificate": [GOOD.der] * 9}, limits=Limits(directory_values=3)).defects == ()


@given(
    st.dictionaries(
        st.sampled_from(
            [*AttributeNames().all, "userCertificate;binary", "userSMIMECertificate;range=0-9", "odd;;", "mail;lang-de"]
        ),
        st.lists(st.binary(max_size=60) | st.sampled_from([GOOD.der, value(), b"a@b.c", b"group"]), max_size=4),
        max_size=8,
    )
)
def test_whatever_a_server_says_is_an_entry(attributes: dict[str, list[bytes]]) -> None:
    found = read(attributes)
    assert isinstance(found, DirectoryEntry)
    choose_certificates([answer(found)], policy(), NOW)
