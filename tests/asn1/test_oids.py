"""Object identifiers: names, dotted form and DER agree with asn1crypto, and hostile ones are refused."""

from __future__ import annotations

import re
from typing import Any

import pytest
from asn1crypto import cms, core, ocsp, pkcs12, tsp, x509
from hypothesis import given
from hypothesis import strategies as st

from smime_engine.asn1 import oids
from smime_engine.errors import MalformedMessage

KNOWN = {name: value for name, value in vars(oids).items() if isinstance(value, oids.Oid)}

arcs = st.builds(
    lambda first, second, rest: ".".join(map(str, (first, second % 40 if first < 2 else second, *rest))),
    st.integers(0, 2),
    st.integers(0, 2**40),
    st.lists(st.integers(0, 2**64), max_size=10),
)


@pytest.mark.parametrize("name", sorted(KNOWN))
def test_every_constant_is_encoded_as_asn1crypto_encodes_it(name: str) -> None:
    value = KNOWN[name]
    assert core.ObjectIdentifier(str(value)).dump() == value.tlv
    assert oids.decode_oid(value.tlv[2:]) == value
    assert oids.name_of(str(value)) == value.name


def test_identifiers_and_names_are_unique() -> None:
    assert len(set(KNOWN.values())) == len(KNOWN) == len({value.name for value in KNOWN.values()})


def test_constants_are_named_as_their_standard_names_them() -> None:
    for name, value in KNOWN.items():
        plain = re.sub("[^a-z0-9]", "", value.name.lower()).removeprefix("szoid")
        assert re.sub("[^a-z0-9]", "", name.lower()).removeprefix("microsoft") == plain.removeprefix("microsoft")


def _asn1crypto_names() -> dict[str, str]:
    """All identifiers that asn1crypto has a name for, once its modules have been imported."""
    assert all((cms, ocsp, pkcs12, tsp, x509))
    kinds: list[Any] = [core.ObjectIdentifier]
    for kind in kinds:
        kinds.extend(kind.__subclasses__())
    return {dotted: name for kind in kinds for dotted, name in (kind._map or {}).items()}


def _numbers(name: str) -> list[str]:
    """Key sizes, digest sizes, curve sizes: what a swapped constant would get wrong."""
    plain = name.replace("pkcs12_", "").replace("pkcs1v15", "").replace("x500", "")
    return sorted(re.findall("[0-9]{2,}", plain))


def test_names_that_asn1crypto_has_too_speak_of_the_same_sizes() -> None:
    theirs = _asn1crypto_names()
    shared = [value for value in KNOWN.values() if "." not in theirs.get(str(value), ".")]
    assert len(shared) > 150
    assert {value.name for value in shared if _numbers(value.name) != _numbers(theirs[str(value)])} == set()


@given(arcs)
def test_dotted_form_and_der_round_trip(dotted: str) -> None:
    content = oids.encode_oid(dotted)
    assert core.ObjectIdentifier(dotted).contents == content
    assert oids.decode_oid(content) == dotted
    assert oids.named(dotted).tlv == core.ObjectIdentifier(dotted).dump()


@given(st.binary(max_size=140))
def test_random_octets_are_an_identifier_or_malformed(content: bytes) -> None:
    try:
        dotted = oids.decode_oid(content)
    except MalformedMessage:
        return
    assert oids.encode_oid(dotted) == content


@pytest.mark.parametrize(
    ("content", "offset"),
    [
        (b"", 7),
        (b"\x2a\x80", 7),  # cut inside an arc
        (b"\x2a\x80\x01", 8),  # an arc padded with a zero
        (b"\x80\x01", 7),
        (b"\x2a" + b"\xff" * 126 + b"\x7f", 7),  # one octet too long
        (b"\x2a" + b"\xff" * 10_000_000 + b"\x7f", 7),  # an arc whose decimal form would take hours
    ],
)
def test_malformed_identifiers_are_refused_with_their_place(content: bytes, offset: int) -> None:
    with pytest.raises(MalformedMessage) as raised:
        oids.decode_oid(content, offset=7)
    assert raised.value.offset == offset


def test_the_longest_identifier_is_read() -> None:
    content = b"\x2a" + b"\xff" * 125 + b"\x7f"
    assert oids.encode_oid(oids.decode_oid(content)) == content


@pytest.mark.parametrize(
    "dotted", ["", "1", "3.1", "1.40", "0.40", "1.2.", ".1.2", "1..2", "1.02", "1.-2", "1.2\n", "1.²", "1.2.3" * 200]
)
def test_what_is_no_identifier_cannot_be_encoded(dotted: str) -> None:
    with pytest.raises(ValueError, match="not an object identifier"):
        oids.encode_oid(dotted)


def test_an_unknown_identifier_is_named_by_its_numbers() -> None:
    assert oids.name_of("1.2.3.4") == "1.2.3.4"
    assert oids.named("1.2.3.4").name == "1.2.3.4"
    assert oids.named("1.2.840.113549.1.7.2") == oids.ID_SIGNED_DATA
    assert oids.named("1.2.840.113549.1.7.2").name == "id-signedData"
