"""The tenant's collection: imports in every form, refusals, export, distrust, pins, fall-back, size."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from time import perf_counter

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs7

from smime_engine.certificate import Certificate
from smime_engine.errors import ConfigurationError, MalformedMessage
from smime_engine.problems import Problem, Verdict
from smime_engine.trust.collection import Memory, Pin, TrustCollection
from smime_engine.trust.collection_files import collection_of, encode_collection, import_collection
from smime_engine.trust.path import validate_path
from smime_engine.trust.sst import encode_sst, parse_sst
from tests import pki

MOMENT = pki.MOMENT
ROOT = pki.authority("Root")
CA = ROOT.subordinate("CA")
ALICE = CA.issue("Alice", "alice@example.org")
SECOND_ROOT = pki.authority("Second Root")


def parsed(credential: pki.Credential) -> Certificate:
    return Certificate.parse(credential.certificate_der)


def _sst(*credentials: pki.Credential) -> bytes:
    return encode_sst([credential.certificate_der for credential in credentials])


def _pem(*credentials: pki.Credential) -> bytes:
    return b"".join(credential.certificate_pem for credential in credentials)


def _p7b(*credentials: pki.Credential) -> bytes:
    chain = [credential.certificate for credential in credentials]
    return pkcs7.serialize_certificates(chain, serialization.Encoding.DER)


@pytest.mark.parametrize("form", [_sst, _pem, _p7b], ids=["SST", "PEM", "p7b"])
def test_a_collection_is_read_in_every_form(form: Callable[..., bytes]) -> None:
    imported = import_collection(form(ROOT, CA, SECOND_ROOT), now=MOMENT).require()
    collection = collection_of(imported.certificates)
    assert set(collection.anchors) == {parsed(ROOT), parsed(SECOND_ROOT)}
    assert collection.intermediates == (parsed(CA),)
    assert validate_path(parsed(ALICE), collection=collection, now=MOMENT).verdict is Verdict.VALID


def test_one_certificate_in_der_and_an_empty_store() -> None:
    assert import_collection(ROOT.certificate_der, now=MOMENT).certificates == (parsed(ROOT),)
    assert import_collection(b"", now=MOMENT).certificates == ()


def test_an_expired_certificate_fails_the_whole_import_and_is_named() -> None:
    old = ROOT.subordinate("Old CA", not_after=MOMENT - timedelta(seconds=1), serial_number=0xABC)
    imported = import_collection(_sst(ROOT, old, CA), now=MOMENT)
    with pytest.raises(ConfigurationError) as caught:
        imported.require()
    assert "CN=Old CA (serial number abc) expired on 2026-06-01 11:59 UTC" in str(caught.value)
    assert "CN=CA" not in str(caught.value)
    assert import_collection(_sst(ROOT, old, CA), now=MOMENT - timedelta(seconds=1)).refusals == ()


def test_a_malformed_certificate_fails_the_import_with_its_position() -> None:
    data = encode_sst([ROOT.certificate_der, b"\x30\x03\x02\x01\x01"])
    (refusal,) = import_collection(data, now=MOMENT).refusals
    assert refusal.startswith("certificate 2 of the store cannot be read: ")


@pytest.mark.corpora
def test_stub_certificates_of_the_corpus_are_refused_one_by_one(corpora: Path) -> None:
    data = (corpora / "sst" / "serializedStoreWithCertAndCRL.sst").read_bytes()
    imported = import_collection(data, now=MOMENT)
    assert imported.certificates == ()
    assert len(imported.refusals) == 1
    assert imported.notes[0].startswith("revocation list 1 of the store is left out")


def test_lists_in_a_store_are_read_and_trust_lists_left_out() -> None:
    store = encode_sst([ROOT.certificate_der], crls=[ROOT.crl()])
    imported = import_collection(store, now=MOMENT)
    assert [crl.issuer for crl in imported.crls] == ["CN=Root"]
    with_ctl = store[:-12] + b"\x22\0\0\0\1\0\0\0\2\0\0\0\x30\0" + bytes(12)
    assert "trust lists are left out" in import_collection(with_ctl, now=MOMENT).notes[0]


@pytest.mark.parametrize(
    "data", [b"nothing", b"\0\0\0\0CERT", b"-----BEGIN CERTIFICATE-----\n%\n-----END CERTIFICATE-----"]
)
def test_a_file_that_is_no_collection_is_malformed(data: bytes) -> None:
    with pytest.raises(MalformedMessage):
        import_collection(data, now=MOMENT)


def test_a_certificate_that_only_has_its_issuers_name_is_no_anchor() -> None:
    rolled = ROOT.subordinate("Root", key=pki.new_key("p256", "the next key"))
    collection = collection_of([parsed(ROOT), parsed(rolled)])
    assert collection.anchors == (parsed(ROOT),)
    assert collection.intermediates == (parsed(rolled),)


def test_what_is_exported_is_imported_again() -> None:
    collection = collection_of([parsed(CA), parsed(ROOT)])
    data = encode_collection(collection)
    assert parse_sst(data).certificates == (ROOT.certificate_der, CA.certificate_der)
    again = collection_of(import_collection(data, now=MOMENT).certificates)
    assert (again.anchors, again.intermediates) == (collection.anchors, collection.intermediates)
    assert encode_collection(again) == data


@pytest.mark.parametrize(
    "entry",
    [parsed(CA), parsed(CA).fingerprint_sha256, sha256(parsed(CA).public_key_info).digest(), parsed(ROOT)],
    ids=["certificate", "fingerprint", "key", "root"],
)
def test_no_chain_through_a_distrusted_certificate_is_valid(entry: Certificate | bytes) -> None:
    collection = collection_of([parsed(ROOT), parsed(CA)], distrusted=[entry])
    report = validate_path(parsed(ALICE), collection=collection, now=MOMENT)
    assert report.verdict is Verdict.INVALID
    assert Problem.DISTRUSTED in [found.problem for found in report.problems]


@pytest.mark.parametrize(
    ("name", "verdict"),
    [
        ("example.org", Verdict.INVALID),
        ("EXAMPLE.ORG", Verdict.INVALID),
        ("alice@example.org", Verdict.INVALID),
        ("bob@example.org", Verdict.VALID),
        ("example.com", Verdict.VALID),
        ("mail.example.org", Verdict.VALID),
    ],
)
def test_pins_hold_for_their_addresses(name: str, verdict: Verdict) -> None:
    pin = Pin(name=name, fingerprints=frozenset({parsed(SECOND_ROOT).fingerprint_sha256}))
    collection = collection_of([parsed(ROOT), parsed(CA)], pins=[pin])
    report = validate_path(parsed(ALICE), collection=collection, now=MOMENT)
    assert report.verdict is verdict
    assert [found.problem for found in report.problems] == (
        [Problem.PIN_MISMATCH] if verdict is Verdict.INVALID else []
    )


@pytest.mark.parametrize("pinned", [ROOT, CA, ALICE])
def test_any_certificate_of_the_chain_or_its_key_meets_a_pin(pinned: pki.Credential) -> None:
    for fingerprint in (parsed(pinned).fingerprint_sha256, sha256(parsed(pinned).public_key_info).digest()):
        pin = Pin(name="example.org", fingerprints=frozenset({fingerprint}))
        collection = collection_of([parsed(ROOT), parsed(CA)], pins=[pin])
        assert validate_path(parsed(ALICE), collection=collection, now=MOMENT).verdict is Verdict.VALID


def test_the_machines_store_is_a_fall_back_only_where_it_is_asked_for() -> None:
    tenant = collection_of([parsed(SECOND_ROOT)])
    pool = [parsed(CA)]
    assert validate_path(parsed(ALICE), collection=tenant, pool=pool, now=MOMENT).verdict is not Verdict.VALID
    for both in (tenant.with_fallback([parsed(ROOT)]), collection_of([parsed(SECOND_ROOT)], fallback=[parsed(ROOT)])):
        assert both.anchors == (parsed(SECOND_ROOT), parsed(ROOT))
        assert validate_path(parsed(ALICE), collection=both, pool=pool, now=MOMENT).verdict is Verdict.VALID


def test_memory_is_bounded_and_keeps_what_is_used() -> None:
    memory: Memory[int, str] = Memory(10)
    for number in range(1_000):
        memory.keep(number, str(number))
        assert memory.recall(0) == "0", "what is asked for is not forgotten"
    assert sum(memory.recall(number) is not None for number in range(1_000)) <= 20


def _many(count: int) -> list[Certificate]:
    """Self-signed certificates of different names, all with one key."""
    key = pki.new_key("p256", "many")
    return [parsed(pki.authority(f"Root {number}", key=key)) for number in range(count)]


def test_a_large_collection_costs_the_same_per_lookup_as_a_small_one() -> None:
    def best(collection: TrustCollection) -> float:
        times = []
        for _ in range(200):
            start = perf_counter()
            found = collection.with_subject(wanted)
            collection.is_anchor(anchor)
            times.append(perf_counter() - start)
            assert found
        return min(times)

    few = _many(10)
    anchor, wanted = few[5], few[5].comparable_subject
    large = TrustCollection([*few, *_many(1_000)])
    assert best(large) < 5 * best(TrustCollection(few)) + 5e-6


def test_the_same_subject_many_times_is_imported_in_linear_time() -> None:
    key = pki.new_key("p256", "same")
    certificates = [parsed(pki.authority("Same", key=key, serial_number=number + 1)) for number in range(300)]
    assert len(TrustCollection(certificates).with_subject(certificates[0].comparable_subject)) == 300
