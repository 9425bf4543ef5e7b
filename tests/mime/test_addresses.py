"""Mailboxes: what the standards allow, what forgers write."""

from __future__ import annotations

import email
import email.policy
import time
from email.headerregistry import Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smime_engine.mime.addresses import addresses_of, parse_addresses
from smime_engine.mime.defects import Defect
from smime_engine.mime.parse import parse_entity

MALFORMED = Defect.MALFORMED_ADDRESS
SPOOF = Defect.ADDRESS_IN_DISPLAY_NAME


@pytest.mark.parametrize(
    ("text", "mailboxes"),
    [
        ("", []),
        ("alice@example.org", [("", "alice@example.org", None)]),
        ("Alice <alice@example.org>", [("Alice", "alice@example.org", None)]),
        ('"Doe, Alice" <a@x>, Bob <b@x>', [("Doe, Alice", "a@x", None), ("Bob", "b@x", None)]),
        ("Dr. A. B. Doe <a@x>", [("Dr. A. B. Doe", "a@x", None)]),
        ("a@x (Alice (nested \\) ) Doe)", [("", "a@x", None)]),
        ("(before) a(in)@(between)x(after)", [("", "a@x", None)]),
        ("Friends: a@x, Bob <b@x>;, c@x", [("", "a@x", "Friends"), ("Bob", "b@x", "Friends"), ("", "c@x", None)]),
        ("undisclosed-recipients:;", []),
        ("A:;B: b@x;", [("", "b@x", "B")]),
        ('"john doe"@example.org', [("", '"john doe"@example.org', None)]),
        ('"john"@example.org', [("", "john@example.org", None)]),
        ('"a@b"@example.org', [("", '"a@b"@example.org', None)]),
        ('"a\\"b\\\\c"@x', [("", '"a\\"b\\\\c"@x', None)]),
        ('"a"."b"@x', [("", "a.b@x", None)]),
        ("john . doe @ example . org", [("", "john.doe@example.org", None)]),
        ("<@relay.example,@other.example:joe@example.org>", [("", "joe@example.org", None)]),
        ("a@[192.0.2.1]", [("", "a@[192.0.2.1]", None)]),
        ("a@[IPv6:2001:db8::1]", [("", "a@[IPv6:2001:db8::1]", None)]),
        ("=?utf-8?q?J=C3=BCrgen?= <j@x>", [("Jürgen", "j@x", None)]),
        ("=?utf-8?q?a=2C_b?= <c@x>", [("a, b", "c@x", None)]),
        ("Jürgen <jürgen@müller.example>", [("Jürgen", "jürgen@müller.example", None)]),
        ("a@x,,\t, b@x,", [("", "a@x", None), ("", "b@x", None)]),
        ("Alice <a@x>; Bob <b@x>", [("Alice", "a@x", None), ("Bob", "b@x", None)]),
        ("a..b@docomo.example", [("", '"a..b"@docomo.example', None)]),
        ("a+tag=x/y#z@example.org", [("", "a+tag=x/y#z@example.org", None)]),
    ],
)
def test_mailboxes(text, mailboxes):
    found = parse_addresses(text)
    assert [(mailbox.display_name, mailbox.address, mailbox.group) for mailbox in found.mailboxes] == mailboxes
    assert found.defects == ()


@pytest.mark.parametrize(
    ("text", "addresses", "defect"),
    [
        ('"alice@bank.example" <eve@evil.example>', ["eve@evil.example"], SPOOF),
        ("alice@bank.example <eve@evil.example>", ["eve@evil.example"], SPOOF),
        ("=?utf-8?q?alice=40bank=2Eexample?= <eve@evil.example>", ["eve@evil.example"], SPOOF),
        ("\"'alice@bank.example' via list\" <eve@evil.example>", ["eve@evil.example"], SPOOF),
        ("<alice@bank.example> <eve@evil.example>", ["alice@bank.example", "eve@evil.example"], MALFORMED),
        ("<eve@evil.example> alice@bank.example", ["eve@evil.example", "alice@bank.example"], MALFORMED),
        ("alice@bank.example@evil.example", [], MALFORMED),
        ("alice@bank.example\0@evil.example", [], Defect.CONTROL_CHARACTERS),
        ("alice@bank.example\0", ["alice@bank.example\0"], Defect.CONTROL_CHARACTERS),
        # "Mailsploit": what looks like an encoded word inside an address is not one
        ("=?utf-8?b?YUBi?==?utf-8?q?=00?=@evil.example", ["=?utf-8?b?YUBi?==?utf-8?q?=00?=@evil.example"], None),
        ("Alice alice@example.org", ["alice@example.org"], MALFORMED),
        ("Alice", [], MALFORMED),
        ("<>", [], MALFORMED),
        ("<alice@example.org", ["alice@example.org"], MALFORMED),
        ("alice@", [], MALFORMED),
        ("@example.org", [], MALFORMED),
        ("a@x y", [], MALFORMED),
        ("a@b..c", [], MALFORMED),
        ("a@.b", [], MALFORMED),
        ("a@[192.0.2.1", [], MALFORMED),
        ('"no end <a@x>', [], MALFORMED),
        ("Group: a@x", ["a@x"], MALFORMED),
        ("A: B: a@x;", ["a@x"], MALFORMED),
        ("a@x:b@y;", ["b@y"], MALFORMED),
        ("a\\@b@x", [], MALFORMED),
        ('a"b"@x', [], MALFORMED),
        ("a@x>", [], MALFORMED),
        (">a@x", [], MALFORMED),
    ],
)
def test_forgeries_and_faults(text, addresses, defect):
    found = parse_addresses(text)
    assert list(found.addresses) == addresses
    assert defect in found.defects if defect else not found.defects


def test_own_address_as_display_name_is_no_forgery():
    assert parse_addresses('"Alice@Example.org" <alice@example.org>').defects == ()


def test_every_field_of_the_name_counts():
    entity = parse_entity(b"From: a@x\r\nfrom: b@x\r\nFROM : c@x\r\nSender: d@x\r\n\r\n")
    found = addresses_of(entity, "From")
    assert found.addresses == ("a@x", "b@x", "c@x")
    assert found.defects == (Defect.DUPLICATE_FIELD,)
    assert found.field_count == 3
    assert addresses_of(entity, "Sender").defects == ()
    assert addresses_of(entity, "To") == addresses_of(parse_entity(b""), "To")
    assert addresses_of(entity, "To").field_count == 0


def test_folded_and_8_bit_fields():
    entity = parse_entity(b"From: J\xfcrgen\r\n  <a@\r\n x>\r\n\r\n")
    assert [(mailbox.display_name, mailbox.address) for mailbox in addresses_of(entity, "from").mailboxes] == [
        ("Jürgen", "a@x")
    ]


_NAMES = st.text(st.sampled_from("abcXYZ019 .,-'\"\\@"), max_size=12)
_LOCALS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=12).filter(
    lambda local: "" not in local.split(".")  # the standard library forgets to quote those
)
_DOMAINS = st.from_regex(r"[a-z]{1,8}(\.[a-z]{1,8}){0,2}", fullmatch=True)


@given(st.lists(st.tuples(_NAMES, _LOCALS, _DOMAINS), min_size=1, max_size=4))
def test_agrees_with_the_standard_library(mailboxes):
    wanted = [Address(" ".join(name.split()), local, domain) for name, local, domain in mailboxes]
    octets = f"To: {', '.join(map(str, wanted))}\r\n\r\n".encode()
    theirs = email.message_from_bytes(octets, policy=email.policy.default)["To"].addresses
    found = addresses_of(parse_entity(octets), "To")
    assert found.addresses == tuple(address.addr_spec for address in theirs)
    assert [mailbox.display_name for mailbox in found.mailboxes] == [address.display_name for address in wanted]


@given(st.lists(st.sampled_from(
    ["a", "@", "b.c", "<", ">", ",", ";", ":", '"', "\\", "(", ")", "[", "]", " ", ".", "=?utf-8?q?x?=", "é", "\0"],
), max_size=20).map("".join))  # fmt: skip
def test_never_fails(text):
    found = parse_addresses(text)
    for mailbox in found.mailboxes:
        local, at, domain = mailbox.address.rpartition("@")
        assert local
        assert at
        assert domain == mailbox.domain


@given(st.lists(st.tuples(_NAMES, _LOCALS, _DOMAINS), min_size=1, max_size=3))
def test_an_address_reads_back_as_itself(mailboxes):
    for _, local, domain in mailboxes:
        address = Address("", local, domain).addr_spec
        assert parse_addresses(address).addresses == (address,)


@pytest.mark.parametrize(
    "unit", ["(", ")", '"', "\\", "<", ">", "a@", "a@b,", ":", "a:", ",", "[", " ", "a ", "@a,", "."]
)
def test_time_is_linear(unit):
    def seconds(count):
        start = time.perf_counter()
        parse_addresses("<@a" + unit * count)
        parse_addresses(unit * count + "b@c")
        return time.perf_counter() - start

    small = 10_000 // len(unit)
    assert seconds(8 * small) < 40 * seconds(small) + 0.3
