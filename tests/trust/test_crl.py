"""Revocation lists as values: fields, scopes, entries, the index against the plain search, damage."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from smime_engine.asn1 import ber, oids
from smime_engine.asn1.oids import encode_oid
from smime_engine.errors import LimitExceeded, MalformedMessage
from smime_engine.limits import Limits
from smime_engine.trust.crl import RevocationList
from smime_engine.trust.evidence import Evidence, revocation_lists_from
from tests import pki
from tests.reference.revoked_serials import entries_with

ROOT = pki.authority("Root")
Flags = x509.ReasonFlags


def with_entries(der: bytes, entries: bytes) -> bytes:
    """The list with other octets as its entries; its signature no longer fits."""
    start, end = ber.content(der, 0, len(der), 0x30, expected="list")
    tbs, algorithm, signature = ber.children(der, start, end)
    fields = ber.children(der, tbs[2], tbs[3])
    position = next(place for place, field in enumerate(fields) if field[0] in {0x17, 0x18}) + 2
    before = der[tbs[2] : fields[position - 1][3]]
    rest = [field for field in fields[position:] if field[0] != 0x30]
    after = der[rest[0][1] : tbs[3]] if rest else b""
    return ber.encode(
        0x30, ber.encode(0x30, before, ber.encode(0x30, entries), after), der[algorithm[1] : signature[3]]
    )


def entry(serial: bytes = b"\x01", *, time: bytes = b"\x17\x0d240101000000Z", extensions: bytes = b"") -> bytes:
    return ber.encode(0x30, ber.encode(2, serial), time, extensions)


def test_the_fields_of_a_list() -> None:
    der = ROOT.crl({5: None}, number=77)
    crl = RevocationList.parse(der)
    assert crl.issuer == "CN=Root"
    assert crl.this_update == pki.MOMENT - timedelta(days=1)
    assert crl.next_update == pki.NOT_AFTER
    assert (crl.number, crl.base_number, crl.scope, crl.is_delta, crl.is_indirect) == (77, None, None, False, False)
    assert crl.authority_key_identifier is not None
    assert crl.defects == ()
    assert len(crl) == 1
    assert bytes(crl.signed_octets) == x509.load_der_x509_crl(der).tbs_certlist_bytes
    assert crl == RevocationList.parse(der)
    assert len({crl, RevocationList.parse(der)}) == 1
    with pytest.raises(AttributeError):
        crl.number = 1


def test_the_scope_of_a_list() -> None:
    point = x509.IssuingDistributionPoint(
        [x509.UniformResourceIdentifier("http://crl.example/1")],
        None,
        False,
        True,
        frozenset({Flags.key_compromise, Flags.superseded}),
        False,
        False,
    )
    crl = RevocationList.parse(ROOT.crl(extra=[(point, True), (x509.DeltaCRLIndicator(3), True)]))
    assert crl.base_number == 3
    assert crl.scope is not None
    assert crl.scope.reasons == {"keyCompromise", "superseded"}
    assert crl.scope.only_ca_certificates
    assert not crl.scope.only_user_certificates
    assert [name.value for name in crl.scope.full_name] == ["http://crl.example/1"]


@given(
    st.lists(
        st.tuples(
            st.integers(1, (1 << 159) - 1) | st.integers(1, 300),
            st.sampled_from([None, *(flag for flag in Flags if flag is not Flags.unspecified)]),
        ),
        max_size=12,
    ),
    st.integers(1, 300),
)
def test_the_index_finds_what_the_plain_search_finds(entries: list, other: int) -> None:
    der = ROOT.crl(dict(entries))
    crl = RevocationList.parse(der)
    for serial, _ in [*entries, (other, None)]:
        found = [
            (int(each.revoked_at.timestamp()), None if each.reason == "unspecified" else each.reason)
            for each in crl.find(serial)
        ]
        assert found == entries_with(der, serial)


@pytest.mark.parametrize("serial", [-1, -128, -129, -(1 << 64), 0, 127, 128, 255, 256, 1 << 64])
def test_serial_numbers_of_all_signs_and_sizes(serial: int) -> None:
    magnitude = serial if serial >= 0 else ~serial
    octets = serial.to_bytes(magnitude.bit_length() // 8 + 1, "big", signed=True)
    crl = RevocationList.parse(with_entries(ROOT.crl(), entry(b"\x05") + entry(octets) + entry(b"\x06")))
    (found,) = crl.find(serial)
    assert found.serial_number == serial
    assert crl.find(serial + 1) == () or serial + 1 in {5, 6}


def test_a_serial_number_that_occurs_twice_is_found_twice_in_order() -> None:
    first, second = b"\x17\x0d240101000000Z", b"\x17\x0d250101000000Z"
    crl = RevocationList.parse(with_entries(ROOT.crl(), entry(time=first) + entry(b"\x02") + entry(time=second)))
    assert [each.revoked_at.year for each in crl.find(1)] == [2024, 2025]


def extension(oid: str, value: bytes, *, critical: bool = False) -> bytes:
    parts = ber.encode(6, encode_oid(oid)), b"\1\1\xff" if critical else b""
    return ber.encode(0x30, ber.encode(0x30, *parts, ber.encode(4, value)))


@pytest.mark.parametrize(
    "entries",
    [
        entry(b"\x00\x01"),
        entry(b"\xff\xff"),
        entry(b""),
        b"\x30\x03\x02\x01\x01",
        b"\x31" + entry()[1:],
        entry() + b"\x30",
        entry() + b"\x00\x00",
        entry(extensions=extension("1.2.3", b"\5\0", critical=True)),
        entry(extensions=extension("2.5.29.29", b"\x30\x00", critical=True)),
        entry(time=b"\x17\x02" + b"12"),
    ],
    ids=["padded", "padded negative", "empty", "no time", "no sequence", "cut", "zeros", "critical", "issuer", "time"],
)
def test_a_list_with_a_bad_entry_answers_nothing(entries: bytes) -> None:
    crl = RevocationList.parse(with_entries(ROOT.crl(), entry(b"\x09") + entries))
    with pytest.raises(MalformedMessage):
        crl.find(9)


def test_extensions_that_are_not_critical_are_tolerated() -> None:
    crl = RevocationList.parse(with_entries(ROOT.crl(), entry(extensions=extension("1.2.3", b"\5\0"))))
    assert crl.find(1)[0].reason == "unspecified"


def test_a_damaged_reason_is_an_error_and_a_new_reason_is_a_revocation() -> None:
    damaged = entry(extensions=extension("2.5.29.21", b"\4\1\1"))
    with pytest.raises(MalformedMessage):
        RevocationList.parse(with_entries(ROOT.crl(), damaged)).find(1)
    unknown = entry(extensions=extension("2.5.29.21", b"\x0a\1\x4d"))
    assert RevocationList.parse(with_entries(ROOT.crl(), unknown)).find(1)[0].reason == "unspecified"


def test_the_number_of_entries_is_limited() -> None:
    der = ROOT.crl(dict.fromkeys(range(1, 21)))
    assert len(RevocationList.parse(der, limits=Limits(revoked_certificates=20))) == 20
    with pytest.raises(LimitExceeded, match="revoked_certificates"):
        len(RevocationList.parse(der, limits=Limits(revoked_certificates=19)))


def test_critical_extensions_that_are_not_understood_are_defects() -> None:
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\5\0")
    (defect,) = RevocationList.parse(ROOT.crl(extra=[(unknown, True)])).defects
    assert "1.2.3.4" in defect
    assert RevocationList.parse(ROOT.crl(extra=[(unknown, False)])).defects == ()


def test_every_cut_and_every_appended_octet_is_an_error() -> None:
    der = ROOT.crl({1: None, 2: Flags.key_compromise})
    for size in range(len(der)):
        with pytest.raises(MalformedMessage):
            RevocationList.parse(der[:size])
    with pytest.raises(MalformedMessage):
        RevocationList.parse(der + b"\0")


def _pem(der: bytes) -> bytes:
    return x509.load_der_x509_crl(der).public_bytes(pki.serialization.Encoding.PEM)


def _pkcs7(der: bytes) -> bytes:
    data = ber.encode(0x30, oids.ID_DATA.tlv)
    signed = ber.encode(0x30, b"\2\1\1", b"\x31\0", data, ber.encode(0xA1, der), b"\x31\0")
    return ber.encode(0x30, oids.ID_SIGNED_DATA.tlv, ber.encode(0xA0, signed))


@pytest.mark.parametrize("form", [bytes, _pem, _pkcs7], ids=["DER", "PEM", "PKCS7"])
def test_files_of_lists(form: Callable[[bytes], bytes]) -> None:
    der = ROOT.crl({1: None})
    assert [crl.der for crl in revocation_lists_from(form(der))] == [der]


def test_a_bundle_of_lists_and_a_file_without_any() -> None:
    ders = [ROOT.crl({serial: None}) for serial in (1, 2)]
    assert [crl.der for crl in revocation_lists_from(b"# two\n" + b"".join(map(_pem, ders)))] == ders
    for nothing in (b"", b"hello", ROOT.certificate_pem):
        with pytest.raises(MalformedMessage):
            revocation_lists_from(nothing)


def test_evidence_leaves_out_what_is_malformed_and_says_so() -> None:
    evidence = Evidence.read(crls=[b"\x30\x00", ROOT.crl()], ocsp_responses=[b"junk", b"\x30\x03\x0a\x01\x03"])
    assert len(evidence.crls) == 1
    assert evidence.ocsp_responses == ()
    assert [text.split(":")[0] for text in evidence.defects] == [
        "revocation list left out",
        "OCSP response left out",
        "OCSP responder refused",
    ]


def test_evidence_gives_the_newest_list_first() -> None:
    older = RevocationList.parse(ROOT.crl(this_update=pki.MOMENT - timedelta(days=9)))
    newer = RevocationList.parse(ROOT.crl())
    evidence = Evidence(crls=[older]).including(Evidence(crls=[newer, older]))
    assert evidence.crls_of(newer.issuer_der) == (newer, older)
    assert evidence.crls_of(b"nobody") == ()
