"""Everything that other people encoded becomes DER that asn1crypto reads strictly, with the same values in it."""

from __future__ import annotations

from pathlib import Path

import pytest
from asn1crypto import cms, parser, pem

from smime_engine.asn1 import ber, oids
from smime_engine.errors import MalformedMessage
from tests.surroundings import CORPORA

pytestmark = pytest.mark.corpora

# Streamed or otherwise no DER; all others must come back as the same object.
NOT_DER = {
    "openssl/cms-data/bad_signtime_attr.cms",
    "openssl/cms-data/ct_multiple_attr.cms",
    "openssl/cms-data/no_ct_attr.cms",
    "openssl/cms-data/no_md_attr.cms",
    "rfc4134/3.1.bin",
    "rfc4134/4.5.bin",
    "wolfssl/test-ber-exp02-05-2022.p7b",
    "wolfssl/test-stream-dec.p7b",
    "wolfssl/test-stream-sign.p7b",
}
# No ASN.1: the plain content, and whole S/MIME messages.
NO_ASN1 = {"rfc4134/ExContent.bin", "openssl/cms-data/ciphertext_from_1_1_1.cms"}
# A ContentInfo without the content that asn1crypto demands: malformed on purpose.
NO_CONTENT = {"openssl/cms-data/malformed.pkcs7"}

PATTERNS = ("rfc4134/*.bin", "wolfssl/*.p7b", "nss-interop/*.env", "nss-interop/*.p12", "pqc/**/*.cms")
MORE = ("openssl/cms-data/*.cms", "openssl/cms-data/*.pkcs7", "openssl/cms-data/*.der", "pqc/**/*kemri*.der")
ARMOURED = ("openssl/cms-data/*.pem", "pqc/lamps-cms-ml-dsa/*.pem", "rfc9216/*.p12.der")

ENCRYPTED_CONTENT = frozenset({(0x30, 0xA0, 0x30, 0x30, 0xA0)})
"""Where encryptedContent stands: ContentInfo, [0], EnvelopedData, EncryptedContentInfo, [0] IMPLICIT OCTET STRING."""

NAMES = sorted(
    {str(path.relative_to(CORPORA)) for pattern in (*PATTERNS, *MORE, *ARMOURED) for path in CORPORA.glob(pattern)}
    - NO_ASN1
)


def binary(path: Path) -> bytes:
    data = path.read_bytes()
    return bytes(pem.unarmor(data)[2]) if data.startswith(b"-----BEGIN") else data


def parse_all_strictly(data: bytes) -> int:
    """Let asn1crypto read every constructed value's content; return the number of values."""
    count = 0
    pending = [data]
    while pending:
        content = pending.pop()
        while content:
            _, constructed, _, header, inner, trailer = parser.parse(content)
            assert trailer == b""
            content = content[len(header) + len(inner) :]
            count += 1
            if constructed:
                pending.append(inner)
    return count


def test_there_are_corpora() -> None:
    assert len(NAMES) > 60


@pytest.mark.parametrize("name", NAMES)
def test_it_becomes_der(name: str) -> None:
    data = binary(CORPORA / name)
    converted = ber.to_der(data)
    assert (converted is not data) == (name in NOT_DER)
    assert ber.to_der(converted) is converted
    assert parse_all_strictly(converted) > 0


@pytest.mark.parametrize("name", sorted(NOT_DER))
def test_the_values_stay_what_they_were(name: str) -> None:
    data = binary(CORPORA / name)
    theirs = cms.ContentInfo.load(data, strict=True)
    # asn1crypto reads [0] IMPLICIT OCTET STRING in segments only where its length is indefinite.
    enveloped = theirs["content_type"].native == "enveloped_data"
    converted = ber.to_der(data, octet_strings=ENCRYPTED_CONTENT if enveloped else frozenset())
    ours = cms.ContentInfo.load(converted, strict=True)
    assert ours["content_type"].native == theirs["content_type"].native
    if ours["content_type"].native == "signed_data":
        content = theirs["content"]["encap_content_info"]["content"]
        assert ours["content"]["encap_content_info"]["content"].native == content.native
        for own, other in zip(ours["content"]["signer_infos"], theirs["content"]["signer_infos"], strict=True):
            assert own["signature"].native == other["signature"].native
    if enveloped:
        encrypted = theirs["content"]["encrypted_content_info"]["encrypted_content"].native
        assert ours["content"]["encrypted_content_info"]["encrypted_content"].native == encrypted


@pytest.mark.parametrize("name", [name for name in NAMES if name not in NO_CONTENT and not name.endswith(".p12")][::5])
def test_a_cut_message_is_refused_at_every_place(name: str) -> None:
    data = binary(CORPORA / name)[:3000]
    for length in range(0, len(data) - 1, 7):
        with pytest.raises(MalformedMessage):
            ber.to_der(data[:length])


def test_the_streamed_ciphertext_of_an_enveloped_data_is_joined(corpora: Path) -> None:
    data = (corpora / "wolfssl/test-stream-dec.p7b").read_bytes()
    theirs = cms.ContentInfo.load(data)["content"]["encrypted_content_info"]["encrypted_content"].native
    converted = ber.to_der(data, octet_strings=ENCRYPTED_CONTENT)
    assert isinstance(converted, bytes)
    assert ber.encode(0x80, theirs) in converted
    # The same, found by walking the DER that keeps the segments.
    walked = ber.to_der(data)
    start, end = ber.content(walked, 0, len(walked), 0x30, expected="ContentInfo")
    type_, content = ber.children(walked, start, end)
    assert walked[type_[1] : type_[3]] == oids.ID_ENVELOPED_DATA.tlv
    start, end = ber.content(walked, content[2], content[3], 0x30, expected="EnvelopedData")
    encrypted = ber.children(walked, start, end)[2]
    tag, _, start, end = ber.children(walked, encrypted[2], encrypted[3])[2]
    assert tag == 0xA0
    assert ber.octets(walked, tag, start, end) == theirs
