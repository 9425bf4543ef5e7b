"""Messages that others made: each has the form that its authors state, with the octets that were signed."""

from __future__ import annotations

import email
from pathlib import Path

import cryptography_vectors
import pytest

from smime_engine.mime.classify import ClearSigned, CmsPart, classify
from smime_engine.mime.headers import addresses_of
from smime_engine.mime.parse import parse_entity

_PKITS = Path(cryptography_vectors.__file__).parent / "x509" / "PKITS_data" / "smime"

_FORMS = {
    "rfc4134/4.8.eml": "clear",
    "rfc4134/4.9.eml": "signed-data",
    "rfc4134/5.3.eml": "enveloped-data",
    "header-protection/smime-one-part-hp.eml": "signed-data",
    "header-protection/smime-onepart-signed.eml": "signed-data",
    "header-protection/smime-multipart-hp.eml": "clear",
    "header-protection/smime-multipart-signed.eml": "clear",
    "header-protection/smime-enc+legacy-disp.eml": "enveloped-data",
    "header-protection/smime-sign+enc.eml": "enveloped-data",
    "header-protection/smime-sign+enc+legacy-disp.eml": "enveloped-data",
    "openssl/smime-eml/SignedInvalidMappingFromanyPolicyTest7.eml": "clear",
    "openssl/smime-eml/pkcs7-empty-digest-set.eml": "clear",
    "wolfssl/smime-test.p7s": "signed-data",
    "wolfssl/smime-test-multipart.p7s": "clear",
    "wolfssl/smime-test-multipart-badsig.p7s": "clear",
    "wolfssl/smime-test-canon.p7s": "clear",
}


@pytest.mark.corpora
@pytest.mark.parametrize("name", _FORMS)
def test_form(corpora, name):
    octets = (corpora / name).read_bytes()
    found = classify(parse_entity(octets))
    if _FORMS[name] == "clear":
        assert isinstance(found, ClearSigned)
        assert found.signature[:1] == b"\x30"
        assert found.outside == ()
    else:
        assert isinstance(found, CmsPart)
        assert found.hint == _FORMS[name]
        assert found.data[:1] == b"\x30"


@pytest.mark.corpora
def test_every_eml_is_known(corpora):
    found = {str(path.relative_to(corpora)) for path in corpora.rglob("*.eml")}
    assert found <= set(_FORMS)


@pytest.mark.parametrize("path", sorted(_PKITS.glob("*.eml")), ids=lambda path: path.stem)
def test_pkits(path):
    octets = path.read_bytes()
    entity = parse_entity(octets)
    found = classify(entity)
    assert isinstance(found, ClearSigned)
    # The samples have bare LF around a signed part in CRLF: exactly that was signed, so there is no second candidate.
    (content,) = found.candidates()
    assert bytes(content) == b"Content-Type: text/plain\r\n\r\nThis is a sample signed message.\r\n"
    assert found.signature[:2] in {b"\x30\x82", b"\x30\x80"}
    assert addresses_of(entity, "From").addresses == (email.message_from_bytes(octets)["From"],)
