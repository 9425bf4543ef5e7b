"""Revocation: a known chain with its lists, and one certificate in a list of a million.

Floor of the path: the same path without revocation. Floor of the search: hashing a serial number and one comparison,
as a dictionary would. Peers: `cryptography`'s own search, which walks the list; `bytes.find` over the whole list, which
proves nothing (a serial number may stand inside another value) and takes 10 ms for a miss.
"""

from __future__ import annotations

import gc
import time
import tracemalloc
from datetime import timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from bench.contest import Contest, scenario
from bench.material import BENCH_TIME, size
from smime_engine.asn1 import ber
from smime_engine.certificate import Certificate
from smime_engine.problems import Verdict
from smime_engine.trust.collection import TrustCollection
from smime_engine.trust.crl import RevocationList
from smime_engine.trust.evidence import Evidence
from smime_engine.trust.path import PathOptions, Purpose, RevocationMode, validate_path
from tests import pki

_ENTRIES = size(1_000_000, quick=10_000)
_DAY = timedelta(days=1)


@scenario
def path_warm_crl() -> Contest:
    """Leaf, intermediate, root; both lists are at hand and were judged before. 60 µs is the goal."""
    root = pki.authority("Bench Root")
    ca = root.subordinate("Bench CA")
    leaf, issuer, anchor = (
        Certificate.parse(each.certificate_der) for each in (ca.issue("Alice", "alice@example.org"), ca, root)
    )
    revoked: dict[pki.Credential | int, x509.ReasonFlags | None] = dict.fromkeys(range(1_000_000, 1_000_500))
    lists = [each.crl(revoked, this_update=BENCH_TIME - _DAY, next_update=BENCH_TIME + _DAY) for each in (ca, root)]
    evidence = Evidence.read(crls=lists)
    collection = TrustCollection((anchor,), (issuer,))

    def judge(mode: RevocationMode) -> Verdict:
        options = PathOptions(revocation=mode)
        return validate_path(
            leaf, collection=collection, now=BENCH_TIME, purpose=Purpose.SIGN, options=options, evidence=evidence
        ).verdict

    assert judge(RevocationMode.HARD_FAIL) is Verdict.VALID
    return Contest(ours=lambda: judge(RevocationMode.HARD_FAIL), floor=lambda: judge(RevocationMode.NONE))


@scenario
def crl_with_a_million_entries() -> Contest:
    """Search a list of 1,000,000 entries (42 MB) for a certificate that is in it and for one that is not; goal 1 ms."""
    der = _large_list()
    crl = RevocationList.parse(der)
    present = _serial(_ENTRIES // 2)
    assert crl.find(present)
    assert not crl.find(present + 1)
    peer = x509.load_der_x509_crl(der)
    octets = (present + 1).to_bytes(16, "big")
    known = {present: None}
    return Contest(
        ours=lambda: (crl.find(present), crl.find(present + 1)),
        floor=lambda: (known.get(present), known.get(present + 1)),
        peers={
            "pyca": lambda: (
                peer.get_revoked_certificate_by_serial_number(present),
                peer.get_revoked_certificate_by_serial_number(present + 1),
            ),
            "bytes.find": lambda: der.find(octets),
        },
        figures=lambda: _cost_of_the_index(der),
    )


def _cost_of_the_index(der: bytes) -> dict[str, float]:
    """Seconds for the first search, and the memory that it leaves behind, beside the list's own octets."""
    started = time.perf_counter()
    crl = RevocationList.parse(der)
    len(crl)
    seconds = time.perf_counter() - started
    del crl
    gc.collect()
    tracemalloc.start()
    crl = RevocationList.parse(der)
    len(crl)
    kept, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return {
        "first_search_seconds": seconds,
        "index_octets_per_entry": kept / _ENTRIES,
        "peak_octets_per_entry": peak / _ENTRIES,
        "list_megabytes": len(der) / 1e6,
    }


def _serial(number: int) -> int:
    """A serial number of 16 octets that looks like nothing in particular."""
    return 1 << 126 | number * 0x9E3779B97F4A7C15F39CC0605CEDC835 & (1 << 126) - 1


def _large_list() -> bytes:
    authority = pki.authority("Large CA")
    plain = authority.crl(this_update=BENCH_TIME - _DAY, next_update=BENCH_TIME + _DAY)
    reason = bytes.fromhex("300c300a0603551d1504030a0101")
    entries = b"".join(
        ber.encode(
            0x30,
            b"\x02\x10" + _serial(number).to_bytes(16, "big"),
            b"\x17\x0d240101000000Z",
            reason if number % 2 else b"",
        )
        for number in range(_ENTRIES)
    )
    start, end = ber.content(plain, 0, len(plain), 0x30, expected="a list")
    tbs, algorithm, _ = ber.children(plain, start, end)
    fields = ber.children(plain, tbs[2], tbs[3])
    signed = ber.encode(0x30, plain[tbs[2] : fields[4][3]], ber.encode(0x30, entries), plain[fields[5][1] : tbs[3]])
    signature = authority.key.sign(signed, ec.ECDSA(hashes.SHA256()))
    return ber.encode(0x30, signed, plain[algorithm[1] : algorithm[3]], ber.encode(3, b"\0", signature))
