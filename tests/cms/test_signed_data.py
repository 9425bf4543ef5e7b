"""Taking SignedData apart: everything that is in it, in DER and BER; and nothing but MalformedMessage otherwise."""

from __future__ import annotations

import contextlib
import time
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smime_engine.asn1 import ber, oids
from smime_engine.cms.attributes import decode_octets, encode_attribute, parse_attributes
from smime_engine.cms.several_signers import sign_with
from smime_engine.cms.signed import parse_signed_data
from smime_engine.cms.signed_data import _parse
from smime_engine.cms.signed_data_writer import certificates_only, encode_signed_data
from smime_engine.cms.usual_signed_data import usual_signed_data
from smime_engine.errors import LimitExceeded, MalformedMessage
from smime_engine.limits import DEFAULT_LIMITS, Limits
from tests.cms.signers import CONTENT, authority, problems, signer
from tests.reference import attributes as plain

NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)


def to_ber(data: bytes, *, depth: int = 20) -> bytes:
    """The same value with indefinite lengths, OCTET STRINGs in segments of five octets."""
    tag, start, end = ber.read_header(data, 0, len(data))
    if tag == 0x04 and end - start > 5 and depth:
        segments = (data[first : min(first + 5, end)] for first in range(start, end, 5))
        return b"\x24\x80" + b"".join(ber.encode(0x04, segment) for segment in segments) + b"\0\0"
    if not tag & 0x20 or not depth:
        return data[:end]
    children = [data[first:last] for _, first, _, last in ber.children(data, start, end)]
    return bytes((tag, 0x80)) + b"".join(to_ber(child, depth=depth - 1) for child in children) + b"\0\0"


def streamed(data: bytes) -> bytes:
    """As a streaming writer has it: everything down to the content is BER; certificates and signers stay DER."""
    start, end = ber.content(data, 0, len(data), 0x30, expected="")
    content_type, (_, _, start, end) = ber.children(data, start, end)
    start, end = ber.content(data, start, end, 0x30, expected="")
    fields = [data[first:last] for _, first, _, last in ber.children(data, start, end)]
    fields[2] = to_ber(fields[2])
    return b"\x30\x80" + data[content_type[1] : content_type[3]] + b"\xa0\x80\x30\x80" + b"".join(fields) + b"\0\0" * 3


def test_everything_that_is_in_it() -> None:
    ours = signer("p256")
    crl = authority().crl()
    ocsp = b"\x30\x03\x0a\x01\x06"
    data = encode_signed_data(
        [ours.signer_info_of(CONTENT, now=NOW)],
        [ours.digest.identifier],
        [*ours.certificates, ber.encode(0xA1, b"\x05\x00")],
        crls=[crl, ber.encode(0xA1, oids.ID_RI_OCSP_RESPONSE.tlv, ocsp), ber.encode(0xA1, oids.ID_RI_SCVP.tlv, ocsp)],
        content=CONTENT,
    )
    for form in (data, memoryview(data), to_ber(data), streamed(data)):
        signed = parse_signed_data(form)
        assert signed.content_type == oids.ID_DATA
        assert signed.content is not None
        assert bytes(signed.content) == CONTENT
        assert set(signed.certificates) == set(ours.certificates)
        assert signed.crls == (crl,)
        assert signed.ocsp_responses == (ocsp,)
        assert signed.skipped == 2
        assert signed.digest_algorithms == (ours.digest.identifier,)
        (info,) = signed.signers
        assert info.issuer_and_serial == ours.certificate.issuer_and_serial
        assert info.subject_key_identifier is None
        assert problems(bytes(form)) == set()


def test_the_content_is_a_span_of_the_input() -> None:
    content = bytes(1_000_000)
    data = signer("p256").sign(content, now=NOW, detached=False)
    signed = parse_signed_data(data)
    assert signed.content is not None
    assert signed.content.obj is data
    assert signed.content == content


@given(content=st.binary(max_size=200), kinds=st.lists(st.sampled_from(["p256", "ed25519", "rsa2048"]), min_size=1))
def test_ber_says_the_same_as_der(content: bytes, kinds: list[str]) -> None:
    data = sign_with([signer(kind) for kind in kinds], content, now=NOW, detached=False)
    assert ber.to_der(to_ber(data)) == data
    assert parse_signed_data(to_ber(data)) == parse_signed_data(data)
    assert parse_signed_data(streamed(data)) == parse_signed_data(data)


def test_content_that_is_no_octet_string() -> None:
    """PKCS #7 had any type there, as Authenticode still has: its content octets are what is signed."""
    data = signer("p256").sign(b"\x02\x01\x07", now=NOW, detached=False)
    pkcs7 = data.replace(b"\x04\x03\x02\x01\x07", b"\x30\x03\x02\x01\x07")
    assert pkcs7 != data
    assert problems(pkcs7) == set()


def test_unsorted_sets_are_read() -> None:
    signers = [signer(kind) for kind in ("rsa2048", "p256", "ed25519")]
    data = sign_with(signers, CONTENT, now=NOW)
    start, end = ber.content(data, 0, len(data), 0x30, expected="")
    content_type, (_, _, start, end) = ber.children(data, start, end)
    start, end = ber.content(data, start, end, 0x30, expected="")
    fields = []
    for tag, first, content_start, last in ber.children(data, start, end):
        if tag in {0x31, 0xA0}:
            fields.append(ber.encode(tag, *reversed(ber.elements(data, content_start, last))))
        else:
            fields.append(data[first:last])
    reversed_sets = ber.encode(
        0x30, data[content_type[1] : content_type[3]], ber.encode(0xA0, ber.encode(0x30, *fields))
    )
    assert reversed_sets != data
    assert problems(reversed_sets, CONTENT) == set()
    assert len(parse_signed_data(reversed_sets).signers) == 3


def test_versions_are_not_judged() -> None:
    data = signer("p256").sign(CONTENT, now=NOW)
    assert data.count(b"\x02\x01\x01") >= 2
    for version in (0, 3, 4, 5, 127):
        changed = data.replace(b"\x02\x01\x01", bytes((0x02, 0x01, version)))
        assert parse_signed_data(changed).version == version


# ------------------------------------------------------------------------------------------------------- malformed


@pytest.fixture(scope="module")
def messages() -> list[bytes]:
    usual = signer("p256").sign(b"content", now=NOW, detached=False)
    return [usual, to_ber(usual), certificates_only(signer("p256").certificates)]


def test_cut_at_every_offset(messages) -> None:
    for data in messages:
        for end in range(len(data)):
            with pytest.raises(MalformedMessage):
                parse_signed_data(data[:end])


def test_octets_behind_the_end(messages) -> None:
    for data in messages:
        for more in (b"\0", b"\n", b"\0\0", data):
            with pytest.raises(MalformedMessage):
                parse_signed_data(data + more)


def test_other_content_types() -> None:
    for data in (
        ber.encode(0x30, oids.ID_ENVELOPED_DATA.tlv, ber.encode(0xA0, b"\x30\x00")),
        ber.encode(0x30, oids.ID_SIGNED_DATA.tlv),
        ber.encode(0x30, oids.ID_SIGNED_DATA.tlv, ber.encode(0xA0, b"\x30\x00")),
        ber.encode(0x30, oids.ID_SIGNED_DATA.tlv, ber.encode(0xA0, b"\x30\x00"), b"\x05\x00"),
        b"",
        b"\x30\x00",
        b"\x30\x80\x00\x00",
    ):
        with pytest.raises(MalformedMessage):
            parse_signed_data(data)


def test_errors_say_where_and_what() -> None:
    data = ber.encode(0x30, oids.ID_ENVELOPED_DATA.tlv, ber.encode(0xA0, b"\x30\x00"))
    with pytest.raises(MalformedMessage, match="offset 2: expected the content type id-signedData"):
        parse_signed_data(data)


@given(st.data())
def test_changed_octets_are_read_or_refused(data: st.DataObject) -> None:
    original = data.draw(st.sampled_from(MESSAGES))
    changed = bytearray(original)
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(0, len(original) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(MalformedMessage):
        problems(bytes(changed))


MESSAGES = [signer("p256").sign(b"content", now=NOW, detached=False)]
MESSAGES += [to_ber(MESSAGES[0]), streamed(MESSAGES[0])]


@pytest.mark.parametrize(
    ("limits", "name"),
    [
        (Limits(signers=1), "signers"),
        (Limits(certificates=1), "certificates"),
        (Limits(crls=1), "crls"),
        (Limits(message_size=100), "message_size"),
        (Limits(asn1_elements=3), "asn1_elements"),
    ],
)
def test_limits(limits: Limits, name: str) -> None:
    crls = [authority().crl(), authority().crl(number=2)]
    ours = [signer("p256"), signer("rsa2048")]
    data = encode_signed_data(
        [entry.signer_info_of(CONTENT, now=NOW) for entry in ours],
        [ours[0].digest.identifier],
        ours[0].certificates,
        crls=crls,
    )
    parse_signed_data(data)
    for form in (data, streamed(data)):
        with pytest.raises(LimitExceeded) as caught:
            parse_signed_data(form, limits=limits)
        assert caught.value.limit == name


def test_many_signers_take_linear_time() -> None:
    """A hostile SET OF in the worst order is neither sorted nor compared."""
    info = signer("p256").signer_info_of(b"", now=NOW)
    many = encode_signed_data([], [], []).removesuffix(b"\x31\x00")
    assert many
    infos = ber.encode(0x31, *[info] * 20_000)
    body = ber.encode(0x30, b"\x02\x01\x01\x31\x00", ber.encode(0x30, oids.ID_DATA.tlv), infos)
    data = ber.encode(0x30, oids.ID_SIGNED_DATA.tlv, ber.encode(0xA0, body))
    began = time.perf_counter()
    with pytest.raises(LimitExceeded):
        parse_signed_data(data)
    assert len(parse_signed_data(data, limits=Limits(signers=20_000)).signers) == 20_000
    assert time.perf_counter() - began < 5


# ----------------------------------------------------------------------------------------------------- the usual form

USUAL = [signer(kind).sign(b"content", now=NOW) for kind in ("p256", "rsa2048", "mldsa44")]
USUAL += [signer("p384", include_certificates=False).sign(b"content", now=NOW)]


@pytest.mark.parametrize("data", USUAL[:3])
def test_usual_messages_are_recognised(data: bytes) -> None:
    assert usual_signed_data(data, DEFAULT_LIMITS) == _parse(data, DEFAULT_LIMITS) == parse_signed_data(data)


@given(st.data())
def test_the_usual_form_is_taken_apart_as_in_the_general_way(choice: st.DataObject) -> None:
    """Or not recognised; whatever octets are changed, inserted or cut."""
    original = choice.draw(st.sampled_from(USUAL))
    changed = bytearray(original)
    for _ in range(choice.draw(st.integers(1, 3))):
        # the structure is at both ends; certificates in between are not looked into
        position = choice.draw(st.integers(0, 80) | st.integers(len(original) - 500, len(original) - 1))
        changed[position] = choice.draw(st.integers(0, 255))
    data = bytes(changed)[: choice.draw(st.just(None) | st.integers(0, len(changed)))]
    usual = usual_signed_data(data, DEFAULT_LIMITS)
    if usual is not None:
        assert usual == _parse(data, DEFAULT_LIMITS)


def test_every_octet_of_the_usual_form() -> None:
    for original in USUAL[::3]:
        for position in range(len(original)):
            for bit in (1, 0x80, 0xFF):
                data = original[:position] + bytes((original[position] ^ bit,)) + original[position + 1 :]
                usual = usual_signed_data(data, DEFAULT_LIMITS)
                assert usual is None or usual == _parse(data, DEFAULT_LIMITS)


# ------------------------------------------------------------------------------------------------------- attributes

types = st.sampled_from([oids.ID_CONTENT_TYPE, oids.SMIME_CAPABILITIES, oids.Oid("1.2.3", ""), oids.Oid("2.999.7", "")])
values = st.binary(max_size=300).map(lambda data: ber.encode(0x04, data)) | st.just(b"\x05\x00")


@given(st.lists(st.tuples(types, st.lists(values, max_size=3)), max_size=6), st.booleans())
def test_attributes_are_split_as_by_the_plain_version(entries, in_order) -> None:
    encodings = [encode_attribute(type_, *held) for type_, held in entries]
    if in_order:
        encodings.sort()
    data = b"\xa0" + b"".join(encodings) + b"\x30\x01"  # octets behind the end must not matter
    end = len(data) - 2
    found = parse_attributes(data, 1, end)
    assert found == plain.parse_attributes(data, 1, end)
    assert found[1] == (encodings == sorted(encodings))


@given(st.binary(max_size=60), st.integers(0, 5))
def test_any_octets_are_split_alike_or_refused_alike(data: bytes, behind: int) -> None:
    end = max(0, len(data) - behind)
    outcomes = []
    for split in (parse_attributes, plain.parse_attributes):
        try:
            outcomes.append(split(data, 0, end))
        except MalformedMessage:
            outcomes.append(None)
    assert outcomes[0] == outcomes[1]


@given(st.lists(st.tuples(types, st.lists(values, max_size=2)), min_size=1, max_size=3), st.data())
def test_changed_attributes_are_split_alike_or_refused_alike(entries, choice) -> None:
    data = bytearray(b"".join(encode_attribute(type_, *held) for type_, held in entries))
    data[choice.draw(st.integers(0, len(data) - 1))] = choice.draw(st.integers(0, 255))
    test_any_octets_are_split_alike_or_refused_alike.hypothesis.inner_test(bytes(data), 0)


@given(st.binary(max_size=20))
def test_octet_strings(data: bytes) -> None:
    assert decode_octets(ber.encode(0x04, data)) == data
    for wrong in (ber.encode(0x05, data), ber.encode(0x04, data) + b"\0", data[:1]):
        with pytest.raises(MalformedMessage):
            decode_octets(wrong)
