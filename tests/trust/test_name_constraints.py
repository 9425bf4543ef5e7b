"""Name constraints of every form, by what they are for: keeping a subordinate authority inside its domain."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from smime_engine.certificate import Certificate
from smime_engine.limits import Limits
from smime_engine.trust.collection import TrustCollection
from smime_engine.trust.path import PathOptions, validate_path
from tests import pki

ROOT = pki.authority("Root")
SMTP_UTF8 = x509.ObjectIdentifier("1.3.6.1.5.5.7.8.9")
UPN = x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3")


def email(text):
    return x509.RFC822Name._init_without_validation(text)


def dns(text):
    return x509.DNSName._init_without_validation(text)


def uri(text):
    return x509.UniformResourceIdentifier._init_without_validation(text)


def utf8(text):
    content = text.encode()
    return x509.OtherName(SMTP_UTF8, b"\x0c" + bytes((len(content),)) + content)


def upn(text):
    content = text.encode()
    return x509.OtherName(UPN, b"\x0c" + bytes((len(content),)) + content)


def directory(*pairs):
    kinds = {"C": "2.5.4.6", "O": "2.5.4.10", "CN": "2.5.4.3"}
    return x509.DirectoryName(
        x509.Name([x509.NameAttribute(x509.ObjectIdentifier(kinds[kind]), text) for kind, text in pairs])
    )


def ip(text):
    return x509.IPAddress(ip_network(text) if "/" in text else ip_address(text))


def constrained(authority_above, name, *, permitted=(), excluded=(), critical=True, **options):
    constraints = x509.NameConstraints(
        permitted_subtrees=list(permitted) or None, excluded_subtrees=list(excluded) or None
    )
    return authority_above.subordinate(name, extra=[(constraints, critical)], **options)


def judge(names, *, permitted=(), excluded=(), subject=None, limits=None):
    """Names of the problems of a leaf with these names below a constrained authority."""
    authority = constrained(ROOT, "Authority", permitted=permitted, excluded=excluded)
    leaf = authority.issue("Leaf", names=names, subject=subject if subject is not None else x509.Name([]))
    return problems(leaf, [authority], limits=limits)


def problems(leaf, pool, *, limits=None, root=ROOT):
    parsed = [Certificate.parse(credential.certificate_der) for credential in (leaf, root, *pool)]
    report = validate_path(
        parsed[0],
        collection=TrustCollection([parsed[1]]),
        pool=parsed[2:],
        now=pki.MOMENT,
        options=PathOptions(limits=limits or Limits()),
    )
    return [found.problem.name for found in report.problems if found.problem.effect is not None]


PERMITTED, NOT_PERMITTED, EXCLUDED, UNSUPPORTED = (
    [],
    ["NAME_NOT_PERMITTED"],
    ["NAME_EXCLUDED"],
    ["UNSUPPORTED_NAME_CONSTRAINT"],
)

INSIDE = [
    (email("example.org"), email("a@example.org")),
    (email("example.org"), email("a@EXAMPLE.ORG")),
    (email("EXAMPLE.org"), email("a@example.org")),
    (email(".example.org"), email("a@mail.example.org")),
    (email(".example.org"), email("a@deep.mail.example.org")),
    (email("a@example.org"), email("a@example.org")),
    (email("a@example.org"), email("A@example.org")),
    (email("xn--mnchen-3ya.example"), utf8("ü@xn--mnchen-3ya.example")),
    (email("xn--mnchen-3ya.example"), utf8("ü@münchen.example")),
    (email(".example.org"), utf8("ü@mail.example.org")),
    (utf8("ü@example.org"), utf8("ü@example.org")),
    (dns("example.org"), dns("example.org")),
    (dns("example.org"), dns("www.example.org")),
    (dns("example.org"), dns("WWW.example.ORG")),
    (dns("example.org"), dns("*.example.org")),
    (uri("www.example.org"), uri("https://www.example.org/x")),
    (uri("www.example.org"), uri("https://user@WWW.example.org:8443?x#y")),
    (uri(".example.org"), uri("ldap://www.example.org/x")),
    (directory(("C", "DE"), ("O", "Example")), directory(("C", "DE"), ("O", "Example"), ("CN", "Alice"))),
    (directory(("C", "DE"), ("O", "Example")), directory(("C", "DE"), ("O", " example "))),
    (ip("192.0.2.0/24"), ip("192.0.2.77")),
    (ip("0.0.0.0/0"), ip("192.0.2.77")),
    (ip("2001:db8::/32"), ip("2001:db8:1::1")),
]
OUTSIDE = [
    (email("example.org"), email("a@mail.example.org")),
    (email("example.org"), email("a@badexample.org")),
    (email("example.org"), email("example.org@evil.example")),
    (email(".example.org"), email("a@example.org")),
    (email(".example.org"), email("a@badexample.org")),
    (email("a@example.org"), email("b@example.org")),
    (email("a@example.org"), email("ba@example.org")),
    (email("xn--mnchen-3ya.example"), utf8("ü@munchen.example")),
    (email("example.org"), utf8("ü@example.com")),
    (utf8("ü@example.org"), utf8("ä@example.org")),
    (dns("example.org"), dns("badexample.org")),
    (dns("example.org"), dns("org")),
    (uri("www.example.org"), uri("https://example.org/")),
    (uri("www.example.org"), uri("https://www.example.org.evil.example/")),
    (uri("www.example.org"), uri("https://evil.example/www.example.org")),
    (uri("www.example.org"), uri("https://www.example.org@evil.example/")),
    (uri(".example.org"), uri("https://example.org/")),
    (directory(("C", "DE"), ("O", "Example")), directory(("C", "DE"))),
    (directory(("C", "DE"), ("O", "Example")), directory(("O", "Example"), ("C", "DE"))),
    (directory(("C", "DE"), ("O", "Example")), directory(("C", "DE"), ("O", "Example Evil"))),
    (ip("192.0.2.0/24"), ip("192.0.3.1")),
    (ip("192.0.2.0/24"), ip("::ffff:192.0.2.1")),
    (ip("2001:db8::/32"), ip("2001:db9::1")),
]


@pytest.mark.parametrize(("base", "name"), INSIDE, ids=repr)
def test_inside(base, name):
    assert judge([name], permitted=[base]) == PERMITTED
    assert judge([name], excluded=[base]) == EXCLUDED


@pytest.mark.parametrize(("base", "name"), OUTSIDE, ids=repr)
def test_outside(base, name):
    assert judge([name], permitted=[base]) == NOT_PERMITTED
    assert judge([name], excluded=[base]) == PERMITTED


@pytest.mark.parametrize(
    ("base", "name"),
    [
        (dns("www.example.org"), dns("*.example.org")),  # the wildcard stands for the host as well
        (uri("example.org"), uri("urn:oid:1.2.3")),  # no host to compare
        (uri("example.org"), uri("https://192.0.2.1/")),
        (uri("example.org"), uri("https://[2001:db8::1]/")),
        (email("example.org"), email("no address")),
        (email("example.org"), email("a@example.org\0.evil.example")),
        (dns("example.org"), dns("exa mple.org")),
        (dns("example.org"), dns("")),
    ],
    ids=repr,
)
def test_names_that_nobody_can_place_are_in_no_permitted_and_in_every_excluded_subtree(base, name):
    assert judge([name], permitted=[base]) == NOT_PERMITTED
    assert judge([name], excluded=[base]) == EXCLUDED


@pytest.mark.parametrize(
    ("base", "name"),
    [
        (email("a@"), email("a@example.org")),
        (email("exam ple.org"), email("a@example.org")),
        (email("..example.org"), email("a@example.org")),
        (dns(".example.org"), dns("www.example.org")),
        (dns("exa mple.org"), dns("www.example.org")),
        (uri("https://example.org/"), uri("https://example.org/")),
        (x509.RegisteredID(x509.ObjectIdentifier("1.2.3")), x509.RegisteredID(x509.ObjectIdentifier("1.2.4"))),
        (upn("a@example.org"), upn("b@example.org")),
    ],
    ids=repr,
)
def test_constraints_that_cannot_be_checked_are_refused_where_they_apply(base, name):
    assert judge([name], permitted=[base]) == UNSUPPORTED
    assert judge([name], excluded=[base]) == UNSUPPORTED
    other = email("a@example.org") if base.value is not None and not isinstance(base, x509.RFC822Name) else dns("x.org")
    assert judge([other], permitted=[base]) == PERMITTED
    assert judge([other], excluded=[base]) == PERMITTED


def test_other_names_are_told_apart_by_their_type():
    other_type = x509.OtherName(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
    assert judge([upn("a@example.org")], excluded=[other_type]) == PERMITTED
    assert judge([other_type], excluded=[other_type]) == UNSUPPORTED


def test_forms_without_constraint_are_free():
    names = [email("a@anywhere.example"), dns("any.example"), uri("https://any.example/"), ip("192.0.2.1")]
    assert judge(names, permitted=[directory(("C", "DE"))]) == PERMITTED


def test_addresses_in_the_subject_are_held_to_the_same_constraints():
    evil = pki.name("Leaf", email_address="a@evil.example")
    base = email("example.org")
    assert judge([], permitted=[base], subject=evil) == NOT_PERMITTED
    assert judge([email("a@example.org")], permitted=[base], subject=evil) == NOT_PERMITTED
    good = pki.name("Leaf", email_address="a@example.org")
    assert judge([], permitted=[base], subject=good) == PERMITTED
    assert judge([], excluded=[base], subject=good) == EXCLUDED


def test_the_subject_is_a_directory_name():
    base = directory(("C", "DE"))
    inside = x509.Name([*base.value, *pki.name("Leaf")])
    assert judge([], permitted=[base], subject=inside) == PERMITTED
    assert judge([], permitted=[base], subject=pki.name("Leaf")) == NOT_PERMITTED
    assert judge([], permitted=[base]) == PERMITTED  # an empty subject is no name


def test_excluded_wins_over_permitted():
    permitted, excluded = [email("example.org")], [email("boss@example.org")]
    assert judge([email("a@example.org")], permitted=permitted, excluded=excluded) == PERMITTED
    assert judge([email("boss@example.org")], permitted=permitted, excluded=excluded) == EXCLUDED


def test_one_of_several_bases_is_enough_and_every_name_is_checked():
    permitted = [email("example.org"), email("example.com")]
    assert judge([email("a@example.com"), email("a@example.org")], permitted=permitted) == PERMITTED
    assert judge([email("a@example.com"), email("a@example.net")], permitted=permitted) == NOT_PERMITTED


def test_constraints_of_all_authorities_count():
    upper = constrained(ROOT, "Upper", permitted=[email(".example.org")])
    lower = constrained(upper, "Lower", permitted=[email("mail.example.org"), email("example.com")])
    assert problems(lower.issue("Leaf", "a@mail.example.org"), [upper, lower]) == PERMITTED
    assert problems(lower.issue("Leaf", "a@example.com"), [upper, lower]) == NOT_PERMITTED
    assert problems(lower.issue("Leaf", "a@www.example.org"), [upper, lower]) == NOT_PERMITTED


def test_constraints_of_the_anchor_count():
    constraints = x509.NameConstraints(permitted_subtrees=[email("example.org")], excluded_subtrees=None)
    root = pki.authority("Constrained Root", extra=[(constraints, True)])
    assert problems(root.issue("Leaf", "a@example.org"), [], root=root) == PERMITTED
    assert problems(root.issue("Leaf", "a@example.com"), [], root=root) == NOT_PERMITTED


def test_constraints_that_are_not_critical_count_too():
    authority = constrained(ROOT, "Lax", permitted=[email("example.org")], critical=False)
    assert problems(authority.issue("Leaf", "a@example.com"), [authority]) == NOT_PERMITTED


def test_intermediate_authorities_are_held_to_them():
    upper = constrained(ROOT, "Upper", permitted=[directory(("C", "DE"))])
    lower = upper.subordinate("Lower")
    subject = x509.Name([*directory(("C", "DE")).value, *pki.name("Leaf")])
    assert problems(lower.issue("Leaf", subject=subject), [upper, lower]) == NOT_PERMITTED


def test_a_new_key_of_the_same_authority_is_exempt():
    """Self-issued certificates carry on the authority's own name, which its constraints need not permit."""
    old = constrained(ROOT, "Rollover", permitted=[directory(("C", "DE"))])
    new = old.subordinate("Rollover", key=pki.new_key("p256", "rolled over"))
    subject = x509.Name([*directory(("C", "DE")).value, *pki.name("Leaf")])
    assert problems(new.issue("Leaf", subject=subject), [old, new]) == PERMITTED
    assert problems(new.issue("Leaf"), [old, new]) == NOT_PERMITTED


def test_too_much_work_is_refused():
    names = [email(f"a{n}@example.org") for n in range(60)]
    bases = [email(f"host{n}.example") for n in range(60)]
    assert judge(names, excluded=bases) == PERMITTED
    assert judge(names, excluded=bases, limits=Limits(name_constraint_comparisons=3_599)) == UNSUPPORTED


@given(
    st.from_regex(r"[a-z]{1,6}(\.[a-z]{1,6}){0,2}", fullmatch=True),
    st.from_regex(r"[a-z]{1,6}(\.[a-z]{1,6}){0,3}", fullmatch=True),
    st.booleans(),
)
def test_permitted_and_excluded_are_opposites(base, host, below):
    """A well-formed mail name is inside or outside: permitted exactly where it would be excluded."""
    constraint = email("." + base if below else base)
    permitted = judge([email(f"a@{host}")], permitted=[constraint]) == PERMITTED
    excluded = judge([email(f"a@{host}")], excluded=[constraint]) == EXCLUDED
    expected = host.endswith("." + base) if below else host == base
    assert permitted == excluded == expected
