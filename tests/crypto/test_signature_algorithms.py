"""The table: what is written is read back as the same; what is unknown is refused by its OID."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smime_engine.asn1 import ber, oids
from smime_engine.crypto.digests import NULL, algorithm_identifier
from smime_engine.crypto.signature_algorithms import (
    DIGESTS,
    Family,
    Status,
    default_digest,
    digest_from_identifier,
    pss_scheme,
    scheme_for,
    signature_scheme,
)
from smime_engine.errors import MalformedMessage, UnsupportedAlgorithm

NO_PSS = [name for name in DIGESTS if name.startswith("shake")]


@pytest.mark.parametrize("name", DIGESTS)
def test_a_digest_is_read_back_with_and_without_null(name: str) -> None:
    digest = DIGESTS[name]
    assert digest_from_identifier(digest.identifier) is digest
    if not name.endswith("-len"):
        assert digest_from_identifier(algorithm_identifier(digest.oid)) is digest
        assert digest_from_identifier(algorithm_identifier(digest.oid, NULL)) is digest


def test_broken_digests_are_weak_and_never_written() -> None:
    assert {name for name, digest in DIGESTS.items() if digest.status is Status.WEAK} == {"md5", "sha1"}
    for family in (Family.RSA, Family.RSA_PSS, Family.ECDSA):
        for name in ("md5", "sha1"):
            with pytest.raises(UnsupportedAlgorithm):
                scheme_for(family, name)
    with pytest.raises(UnsupportedAlgorithm):
        scheme_for(Family.DSA, "sha256")


def test_shake_with_another_length_is_another_algorithm() -> None:
    identifier = algorithm_identifier("2.16.840.1.101.3.4.2.18", b"\x02\x02\x04\x00")
    with pytest.raises(UnsupportedAlgorithm, match=r"2\.16\.840\.1\.101\.3\.4\.2\.18"):
        digest_from_identifier(identifier)


@pytest.mark.parametrize("family", [family for family in Family if family is not Family.DSA])
def test_a_scheme_is_read_back(family: Family) -> None:
    written = 0
    for name, digest in DIGESTS.items():
        try:
            scheme = scheme_for(family, name)
        except UnsupportedAlgorithm:
            continue
        written += 1
        assert signature_scheme(scheme.identifier, digest) == scheme
    assert written


def test_a_signature_identifier_may_lack_or_have_null_parameters() -> None:
    for parameters in (b"", NULL):
        assert signature_scheme(algorithm_identifier(oids.ECDSA_WITH_SHA256, parameters)).name == "ecdsa-sha256"
        assert signature_scheme(algorithm_identifier(oids.SHA256_WITH_RSA_ENCRYPTION, parameters)).name == "rsa-sha256"
        plain = algorithm_identifier(oids.RSA_ENCRYPTION, parameters)
        assert signature_scheme(plain, DIGESTS["sha384"]).name == "rsa-sha384"
    for oid in (oids.ID_ED25519, oids.ID_ML_DSA_65):
        with pytest.raises(UnsupportedAlgorithm):
            signature_scheme(algorithm_identifier(oid, NULL), DIGESTS["sha512"])


def test_the_oid_of_a_key_as_signature_algorithm() -> None:
    curve = algorithm_identifier(oids.ID_EC_PUBLIC_KEY, oids.SECP256R1.tlv)
    assert signature_scheme(curve, DIGESTS["sha256"]).name == "ecdsa-sha256"
    with pytest.raises(UnsupportedAlgorithm):
        signature_scheme(curve)


@pytest.mark.parametrize(
    "oid",
    [
        oids.ID_RSASSA_PSS_SHAKE256,
        oids.ID_HASH_ML_DSA_65_WITH_SHA512,
        oids.ID_SLH_DSA_SHA2_128S,
        oids.MD2_WITH_RSA_ENCRYPTION,
        oids.Oid("1.2.3.4", "nobody's"),
    ],
)
def test_unknown_algorithms_are_named(oid: oids.Oid) -> None:
    for parameters in (b"", NULL):
        with pytest.raises(UnsupportedAlgorithm) as caught:
            signature_scheme(algorithm_identifier(oid, parameters), DIGESTS["sha256"])
        assert caught.value.identifier == oid


@given(
    st.sampled_from([name for name in DIGESTS if name not in NO_PSS]),
    st.sampled_from([name for name in DIGESTS if name not in NO_PSS]),
    st.integers(0, 512),
)
def test_pss_parameters_are_read_back(digest: str, mask: str, salt: int) -> None:
    scheme = pss_scheme(DIGESTS[digest], mask_digest=DIGESTS[mask], salt_length=salt)
    assert signature_scheme(scheme.identifier) == scheme


def _pss(*fields: bytes) -> bytes:
    return algorithm_identifier(oids.ID_RSASSA_PSS, ber.encode(0x30, *fields))


def test_pss_defaults() -> None:
    """RFC 4055 section 3.1: SHA-1, MGF1 with SHA-1, 20 octets of salt, trailer 1; written out or not."""
    scheme = signature_scheme(_pss())
    assert scheme.digest is scheme.mask_digest is DIGESTS["sha1"]
    assert scheme.salt_length == 20
    assert scheme.status is Status.WEAK
    sha1 = algorithm_identifier(oids.ID_SHA1, NULL)
    written_out = _pss(
        ber.encode(0xA0, sha1),
        ber.encode(0xA1, algorithm_identifier(oids.ID_MGF1, sha1)),
        b"\xa2\x03\x02\x01\x14",
        b"\xa3\x03\x02\x01\x01",
    )
    assert signature_scheme(written_out) == scheme


@pytest.mark.parametrize(
    "identifier",
    [
        algorithm_identifier(oids.ID_RSASSA_PSS),  # parameters must be there
        algorithm_identifier(oids.ID_RSASSA_PSS, NULL),
        _pss(b"\xa3\x03\x02\x01\x02"),  # trailer
        _pss(b"\xa2\x03\x02\x01\xff"),  # negative salt
        _pss(b"\xa2\x05\x02\x03\x7f\xff\xff"),  # salt of 8 MB
        _pss(b"\xa2\x03\x02\x01\x14", ber.encode(0xA0, DIGESTS["sha256"].identifier)),  # order
        _pss(b"\xa2\x03\x02\x01\x14", b"\xa2\x03\x02\x01\x14"),  # twice
        _pss(ber.encode(0xA1, algorithm_identifier(oids.ID_SHA256))),  # no MGF1
        _pss(ber.encode(0xA0, DIGESTS["shake256"].identifier)),
        _pss(b"\x05\x00"),
    ],
)
def test_pss_parameters_are_read_strictly(identifier: bytes) -> None:
    with pytest.raises((UnsupportedAlgorithm, MalformedMessage)):
        signature_scheme(identifier)


@given(st.binary(max_size=80))
def test_any_octets_are_an_identifier_or_refused(data: bytes) -> None:
    for read in (digest_from_identifier, signature_scheme):
        with contextlib.suppress(UnsupportedAlgorithm, MalformedMessage):
            read(data)


@pytest.mark.parametrize("scheme", [scheme_for(Family.RSA_PSS, "sha256"), scheme_for(Family.RSA, "sha256")])
def test_an_identifier_that_is_cut_or_followed_by_octets_is_refused(scheme) -> None:
    identifier = scheme.identifier
    for end in range(len(identifier)):
        with pytest.raises((UnsupportedAlgorithm, MalformedMessage)):
            signature_scheme(identifier[:end], DIGESTS["sha256"])
    with pytest.raises(MalformedMessage):
        signature_scheme(identifier + b"\x00", DIGESTS["sha256"])


def test_default_digests() -> None:
    assert default_digest(Family.RSA) == "sha256"
    assert [default_digest(Family.ECDSA, bits=bits) for bits in (256, 384, 521)] == ["sha256", "sha384", "sha512"]
    assert default_digest(Family.ED25519) == "sha512"
    assert default_digest(Family.ED448) == "shake256-len"
    assert default_digest(Family.ML_DSA_87) == "sha512"
    with pytest.raises(UnsupportedAlgorithm):  # RFC 8419 section 3
        scheme_for(Family.ED25519, "sha256")
    with pytest.raises(UnsupportedAlgorithm):  # RFC 9882 section 3.3
        scheme_for(Family.ML_DSA_65, "sha256")
