"""Serialized certificate stores: other people's files byte for byte, every cut, every kind of damage."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smime_engine.errors import LimitExceeded, MalformedMessage
from smime_engine.limits import Limits
from smime_engine.trust.sst import (
    SerializedStore,
    StoreContent,
    StoreEntry,
    encode_sst,
    is_sst,
    parse_sst,
)

HEADER = b"\0\0\0\0CERT"
END = bytes(12)


def element(identifier: int, value: bytes, *, encoding: int = 1, length: int | None = None) -> bytes:
    return struct.pack("<III", identifier, encoding, len(value) if length is None else length) + value


def store(*elements: bytes, end: bytes = END) -> bytes:
    return HEADER + b"".join(elements) + end


@pytest.mark.corpora
def test_a_store_with_one_certificate_is_written_byte_for_byte_as_the_reference(corpora: Path) -> None:
    reference = (corpora / "sst" / "serializedStoreWithCert.sst").read_bytes()
    assert len(reference) == 156
    (certificate,) = parse_sst(reference).certificates
    assert len(certificate) == 124
    assert encode_sst([certificate]) == reference


@pytest.mark.corpora
@pytest.mark.parametrize(
    ("name", "certificates", "crls", "properties"),
    [
        ("serializedStoreWithCert", 1, 0, ()),
        ("serializedStoreWithCertAndCRL", 1, 1, ()),
        ("serializedStoreWithCertAndHash", 1, 0, (3,)),
        ("serializedStoreWithCertWithFriendlyName", 1, 0, (11,)),
    ],
)
def test_stores_of_the_corpus(corpora: Path, name: str, certificates: int, crls: int, properties: tuple) -> None:
    data = (corpora / "sst" / f"{name}.sst").read_bytes()
    assert is_sst(data)
    parsed = parse_sst(data)
    assert (len(parsed.certificates), len(parsed.crls), len(parsed.ctls)) == (certificates, crls, 0)
    assert tuple(identifier for identifier, _ in parsed.entries[0].properties) == properties
    if 3 in properties:
        plain = (corpora / "sst" / "serializedStoreWithCert.sst").read_bytes()
        assert encode_sst(parsed) == plain, "a hash that can be computed is not written"
    else:
        assert encode_sst(parsed) == data


@pytest.mark.corpora
@pytest.mark.parametrize("name", ["serializedCert", "serializedCertWithFriendlyName"])
def test_a_single_serialized_certificate_is_not_a_store(corpora: Path, name: str) -> None:
    data = (corpora / "sst" / f"{name}.sst").read_bytes()
    assert not is_sst(data)
    with pytest.raises(MalformedMessage) as caught:
        parse_sst(data)
    assert caught.value.offset == 0


@pytest.mark.corpora
def test_every_cut_of_every_store_is_an_error_that_names_its_offset(corpora: Path) -> None:
    for path in sorted((corpora / "sst").glob("serializedStore*.sst")):
        data = path.read_bytes()
        for size in range(1, len(data)):
            with pytest.raises(MalformedMessage) as caught:
                parse_sst(data[:size])
            assert caught.value.offset is not None
            assert caught.value.offset <= size


def test_an_empty_file_is_an_empty_store_and_the_shortest_store_is_written_whole() -> None:
    assert parse_sst(b"") == SerializedStore()
    assert parse_sst(store()) == SerializedStore()
    assert encode_sst([]) == store()


def test_a_friendly_name_belongs_to_the_certificate_that_follows() -> None:
    data = store(element(32, b"one"), element(11, b"n\0\0\0"), element(32, b"two"))
    first, second = parse_sst(data).entries
    assert first.properties == ()
    assert second.properties == ((11, b"n\0\0\0"),)


def test_windows_order_is_certificates_then_crls_then_ctls() -> None:
    entries = tuple(
        StoreEntry(content=content, der=der)
        for content, der in [
            (StoreContent.CTL, b"t"),
            (StoreContent.CRL, b"l1"),
            (StoreContent.CERTIFICATE, b"c1"),
            (StoreContent.CRL, b"l2"),
            (StoreContent.CERTIFICATE, b"c2"),
        ]
    )
    written = encode_sst(SerializedStore(entries=entries))
    assert written == store(
        element(32, b"c1"), element(32, b"c2"), element(33, b"l1"), element(33, b"l2"), element(34, b"t")
    )
    assert parse_sst(written).ctls == (b"t",)


@pytest.mark.parametrize(
    ("data", "offset"),
    [
        (b"\1\0\0\0CERT" + END, 0),
        (b"\0\0\0\0CERX" + END, 0),
        (store(element(32, b"x", encoding=2)), 12),
        (store(element(0x10000, b"x")), 8),
        (store(element(32, b"x", length=100)), 20),
        (store(element(32, b"x", length=0xFFFFFFFF)), 20),
        (store(element(11, b"name")), 24),
        (store(element(32, b"x")) + b"\0", 33),
        (store(element(32, b"x"), end=b"\0\0\0\0\0\0\0\0\0\0\0\1"), 21),
        (store(element(32, b"x"), end=bytes(11)), 21),
    ],
)
def test_damage_is_reported_with_its_offset(data: bytes, offset: int) -> None:
    with pytest.raises(MalformedMessage) as caught:
        parse_sst(data)
    assert caught.value.offset == offset


def test_the_number_of_elements_is_limited() -> None:
    data = store(*[element(32, b"x")] * 5)
    assert len(parse_sst(data, limits=Limits(store_elements=5)).entries) == 5
    with pytest.raises(LimitExceeded, match="store_elements"):
        parse_sst(data, limits=Limits(store_elements=4))


ENTRIES = st.builds(
    StoreEntry,
    content=st.sampled_from(StoreContent),
    der=st.binary(max_size=40),
    properties=st.lists(
        st.tuples(
            st.integers(1, 0xFFFF).filter(lambda i: i not in {3, 4, 15, 24, 25, 32, 33, 34}), st.binary(max_size=9)
        ),
        max_size=3,
    ).map(tuple),
)


@given(st.lists(ENTRIES, max_size=6))
def test_what_is_written_is_read_back(entries: list[StoreEntry]) -> None:
    written = encode_sst(SerializedStore(entries=tuple(entries)))
    again = parse_sst(written)
    assert sorted(map(repr, again.entries)) == sorted(map(repr, entries))
    assert encode_sst(again) == written
