"""Comparison of addresses: what is the same mailbox, and what only looks so."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smime_engine.addresses import comparable_address, comparable_domain, same_address


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("alice@example.org", "alice@EXAMPLE.org"),
        ("alice@example.org", "ALICE@example.org"),
        ("alice@example.org", "alice@example.org."),
        ('"alice"@example.org', "alice@example.org"),
        ('"al\\ice"@example.org', "alice@example.org"),
        ("alice@münchen.example", "alice@xn--mnchen-3ya.example"),
        ("alice@MÜNCHEN.example", "alice@xn--mnchen-3ya.example"),
        ("alice@mu\u0308nchen.example", "alice@münchen.example"),
        ("alice@straße.example", "alice@xn--strae-oqa.example"),
        ("müller@example.org", "müller@EXAMPLE.ORG"),
        ('"a@b"@example.org', '"A@b"@example.org'),
        ('"a b"@example.org', '"A B"@example.org'),
        ("alice@[192.0.2.1]", "alice@[192.0.2.1]"),
        ("alice@例え.テスト", "alice@xn--r8jz45g.xn--zckzah"),
        ("alice@例え。テスト", "alice@例え.テスト"),
    ],
)
def test_same_mailbox(first, second):
    assert same_address(first, second)
    assert same_address(second, first)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("alice@example.org", "alice@example.com"),
        ("alice@example.org", "alice@sub.example.org"),
        ("alice@example.org", "alice@example.org\0.evil.example"),
        ("alice\0@example.org", "alice\0@example.org"),
        ("alice@straße.example", "alice@strasse.example"),
        ("kelvin@example.org", "\u212aelvin@example.org"),
        ("sam@example.org", "\u017fam@example.org"),
        ("i@example.org", "\u0130@example.org"),
        ("weiß@example.org", "weiss@example.org"),
        ("müller@example.org", "mu\u0308ller@example.org"),
        ("alice", "alice"),
        ("alice@evil.example@example.org", "alice@evil.example@example.org"),
        ("@example.org", "@example.org"),
        ("alice@", "alice@"),
        ("", ""),
        ("a b@example.org", "a b@example.org"),
        ("alice@exam ple.org", "alice@exam ple.org"),
        ("alice@example.org\n", "alice@example.org\n"),
        ("alice@example.org\u202e", "alice@example.org\u202e"),
        ("alice@.", "alice@."),
        ("a" * 2000 + "@example.org", "a" * 2000 + "@example.org"),
    ],
)
def test_different_or_no_mailbox(first, second):
    assert not same_address(first, second)


@given(st.text(max_size=60))
def test_never_raises_and_is_stable(text):
    comparable = comparable_address(text)
    if comparable is not None:
        assert same_address(text, text)


@given(st.from_regex(r"[a-z0-9.+_-]{1,20}@[a-z0-9-]{1,20}(\.[a-z]{2,9}){1,3}", fullmatch=True))
def test_plain_addresses_are_their_own_comparable_form(address):
    assert comparable_address(address) == address
    assert same_address(address.upper(), address)


def test_a_long_label_costs_nothing():
    assert comparable_domain("ü" * 900) is not None
