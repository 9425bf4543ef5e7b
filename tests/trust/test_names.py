"""Distinguished names: text that cannot lie, and comparison after RFC 5280 section 7.1."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.x509.name import _ASN1Type
from hypothesis import given
from hypothesis import strategies as st

from smime_engine.asn1 import ber, oids
from smime_engine.errors import MalformedMessage
from smime_engine.names import attributes_of, comparable_name, readable_name, values_of
from tests import pki

CN, ORGANIZATION, MAIL = oids.Oid("2.5.4.3", "cn"), oids.Oid("2.5.4.10", "o"), oids.Oid("1.2.840.113549.1.9.1", "mail")
UTF8, NUMERIC, PRINTABLE, T61, IA5, UNIVERSAL, BMP = 0x0C, 0x12, 0x13, 0x14, 0x16, 0x1C, 0x1E


def attribute(oid, tag, content):
    return ber.encode(0x30, oid.tlv, ber.encode(tag, content))


def name(*parts):
    """A Name of parts, each a list of attributes."""
    return ber.encode(0x30, *(ber.encode(0x31, *part) for part in parts))


def common_name(text, tag=UTF8, codec="utf-8"):
    return name([attribute(CN, tag, text.encode(codec))])


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Alice", "CN=Alice"),
        ("Alice, Bob", "CN=Alice\\, Bob"),
        ("a=b+c", "CN=a=b\\+c"),
        ('"quoted"', 'CN=\\"quoted\\"'),
        ("back\\slash", "CN=back\\\\slash"),
        ("<a;b>", "CN=\\<a\\;b\\>"),
        ("#hash", "CN=\\#hash"),
        (" lead", "CN=\\ lead"),
        ("trail ", "CN=trail\\ "),
        (" ", "CN=\\ "),
        ("", "CN="),
        ("Alice\0,O=Bank", "CN=Alice\\00\\,O=Bank"),
        ("new\nline", "CN=new\\0Aline"),
        ("\u202eecilA", "CN=\\E2\\80\\AEecilA"),
        ("Füzz", "CN=Füzz"),
    ],
)
def test_readable(text, shown):
    assert readable_name(common_name(text)) == shown


def test_readable_order_and_several_attributes_in_one_part():
    whole = name(
        [attribute(ORGANIZATION, PRINTABLE, b"Example")],
        [attribute(CN, UTF8, b"Alice"), attribute(MAIL, IA5, b"a@example.org")],
    )
    assert readable_name(whole) == "CN=Alice+emailAddress=a@example.org,O=Example"
    assert values_of(whole, MAIL) == ("a@example.org",)
    assert readable_name(b"\x30\x00") == ""


def test_octets_that_are_no_text_are_shown_as_hex():
    assert readable_name(name([attribute(CN, UTF8, b"\xff")])) == "2.5.4.3=#0c01ff"
    assert readable_name(name([attribute(CN, PRINTABLE, b"\xe4")])) == "2.5.4.3=#1301e4"
    assert readable_name(name([attribute(CN, 0x04, b"Alice")])) == "2.5.4.3=#0405416c696365"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (common_name("Alice"), common_name("Alice", PRINTABLE)),
        (common_name("Alice"), common_name("aLICE")),
        (common_name("Alice  Q.\t Public "), common_name(" alice q. public")),
        (common_name("Füzz"), common_name("FÜZZ", T61, "latin-1")),
        (common_name("Füzz"), common_name("füzz", BMP, "utf-16-be")),
        (common_name("Füzz"), common_name("Fu\u0308zz", UNIVERSAL, "utf-32-be")),
        (common_name("ABC"), common_name("ＡＢＣ")),
        (common_name("so\u00adft"), common_name("soft")),
    ],
)
def test_names_that_are_equal(first, second):
    assert comparable_name(first) == comparable_name(second)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (common_name("Alice"), common_name("Alicé")),
        (common_name("Alice"), common_name("Alice\0")),
        (common_name("Al ice"), common_name("Alice")),
        (common_name("Alice"), name([attribute(ORGANIZATION, UTF8, b"Alice")])),
        (name([attribute(CN, UTF8, b"\xff")]), name([attribute(CN, T61, b"\xff")])),
        (
            name([attribute(CN, UTF8, b"a")], [attribute(ORGANIZATION, UTF8, b"b")]),
            name([attribute(CN, UTF8, b"a"), attribute(ORGANIZATION, UTF8, b"b")]),
        ),
        (
            name([attribute(CN, UTF8, b"a")], [attribute(ORGANIZATION, UTF8, b"b")]),
            name([attribute(ORGANIZATION, UTF8, b"b")], [attribute(CN, UTF8, b"a")]),
        ),
    ],
)
def test_names_that_differ(first, second):
    assert comparable_name(first) != comparable_name(second)


def test_the_order_inside_a_part_does_not_matter():
    a, b = attribute(CN, UTF8, b"a"), attribute(ORGANIZATION, UTF8, b"b")
    assert comparable_name(name([a, b])) == comparable_name(name([b, a]))


@pytest.mark.parametrize(
    "malformed",
    [
        b"",
        b"\x31\x00",
        b"\x30\x02\x31\x00",
        b"\x30\x00\x00",
        ber.encode(0x30, ber.encode(0x30)),
        name([ber.encode(0x30, CN.tlv)]),
        name([ber.encode(0x30, CN.tlv, b"\x0c\x00", b"\x0c\x00")]),
        name([ber.encode(0x30, b"\x02\x01\x01", b"\x0c\x00")]),
        common_name("Alice")[:-1],
    ],
)
def test_malformed(malformed):
    with pytest.raises(MalformedMessage):
        attributes_of(malformed)


@given(st.lists(st.tuples(st.sampled_from(["CN", "O", "OU", "L"]), st.text(min_size=1, max_size=12)), max_size=4))
def test_reads_what_another_library_writes(pairs):
    types = {"CN": "2.5.4.3", "O": "2.5.4.10", "OU": "2.5.4.11", "L": "2.5.4.7"}
    written = x509.Name(
        x509.NameAttribute(x509.ObjectIdentifier(types[short]), text, _ASN1Type.UTF8String, _validate=False)
        for short, text in pairs
    ).public_bytes()
    found = [(part[0].type, part[0].text) for part in attributes_of(written)]
    assert found == [(types[short], text) for short, text in pairs]
    assert comparable_name(written) == comparable_name(written)
    readable = readable_name(written)
    assert readable.isprintable()
    if pairs:
        assert readable.startswith(pairs[-1][0] + "=")


def test_agrees_with_another_library_on_ordinary_names():
    ordinary = pki.name("Alice, Q.", organization_name="Example & Söhne", country_name="DE")
    assert readable_name(ordinary.public_bytes()) == ordinary.rfc4514_string()
