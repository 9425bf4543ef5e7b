"""What was fetched about revocation, and what could not be: the input of `revocation.py`.

Does: hold parsed CRLs and OCSP responses, find them by issuer in constant time, read files of CRLs. Does not: fetch,
verify or judge. An `Evidence` is made once and used for many messages; what a message brings along is added to it
for that message alone (`including`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from smime_engine.armour import binary_blocks
from smime_engine.asn1 import ber, oids
from smime_engine.errors import LimitExceeded, MalformedMessage
from smime_engine.limits import DEFAULT_LIMITS, Limits
from smime_engine.names import ComparableName
from smime_engine.trust.collection import Memory
from smime_engine.trust.crl import RevocationList
from smime_engine.trust.ocsp import OcspResponse, ResponseStatus
from smime_engine.trust.wanted import Wanted

__all__ = ["NO_EVIDENCE", "Evidence", "FetchFailure", "revocation_lists_from"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchFailure:
    """Something that was wanted and could not be had; `text` says why, for an administrator."""

    wanted: Wanted
    text: str


class Evidence:
    """CRLs, OCSP responses and failures to fetch them. Immutable but for its memory of results that never change."""

    __slots__ = (
        "_by_issuer",
        "_by_issuer_der",
        "_by_serial_number",
        "crls",
        "defects",
        "failures",
        "ocsp_responses",
        "settled",
    )

    def __init__(
        self,
        *,
        crls: Iterable[RevocationList] = (),
        ocsp_responses: Iterable[OcspResponse] = (),
        failures: Iterable[FetchFailure] = (),
        defects: Iterable[str] = (),
    ) -> None:
        self.crls: tuple[RevocationList, ...] = tuple(dict.fromkeys(crls))
        self.ocsp_responses: tuple[OcspResponse, ...] = tuple(dict.fromkeys(ocsp_responses))
        self.failures: tuple[FetchFailure, ...] = tuple(failures)
        self.defects: tuple[str, ...] = tuple(defects)
        """Why revocation data was left out: it was malformed."""
        grouped: dict[ComparableName, list[RevocationList]] = {}
        by_der: dict[bytes, ComparableName] = {}
        # The newest first: an older list of the same scope is not looked at.
        for crl in sorted(self.crls, key=lambda crl: (crl.this_update, crl.number or 0), reverse=True):
            name = by_der.setdefault(crl.issuer_der, crl.comparable_issuer)
            grouped.setdefault(name, []).append(crl)
        self._by_issuer = {name: tuple(lists) for name, lists in grouped.items()}
        self._by_issuer_der = {der: self._by_issuer[name] for der, name in by_der.items()}
        by_serial_number: dict[int, list[OcspResponse]] = {}
        for response in self.ocsp_responses:
            for serial_number in {answer.serial_number for answer in response.responses}:
                by_serial_number.setdefault(serial_number, []).append(response)
        self._by_serial_number = {number: tuple(found) for number, found in by_serial_number.items()}
        self.settled: Memory[object, tuple[datetime, datetime]] = Memory(4_096)
        """From when to when a certificate is known not to be revoked: what `revocation.py` need not find out again."""

    @classmethod
    def read(
        cls,
        *,
        crls: Iterable[bytes] = (),
        ocsp_responses: Iterable[bytes] = (),
        failures: Iterable[FetchFailure] = (),
        limits: Limits = DEFAULT_LIMITS,
    ) -> Evidence:
        """Parse DER. What is malformed is left out, with the reason in `defects`: it may only ever be missing."""
        lists, responses, defects = [], [], []
        for der in crls:
            try:
                lists.append(RevocationList.parse(der, limits=limits))
            except MalformedMessage as error:
                defects.append(f"revocation list left out: {error}")
        for der in ocsp_responses:
            try:
                response = OcspResponse.parse(der, limits=limits)
            except MalformedMessage as error:
                defects.append(f"OCSP response left out: {error}")
                continue
            if response.status is ResponseStatus.SUCCESSFUL:
                responses.append(response)
            else:
                defects.append(f"OCSP responder refused: {response.status.name.lower().replace('_', ' ')}")
        return cls(crls=lists, ocsp_responses=responses, failures=failures, defects=defects)

    def including(self, other: Evidence) -> Evidence:
        """Both together, as a new value."""
        if not (other.crls or other.ocsp_responses or other.failures or other.defects):
            return self
        return Evidence(
            crls=(*self.crls, *other.crls),
            ocsp_responses=(*self.ocsp_responses, *other.ocsp_responses),
            failures=(*self.failures, *other.failures),
            defects=(*self.defects, *other.defects),
        )

    def crls_of(self, issuer_der: bytes, issuer: ComparableName | None = None) -> tuple[RevocationList, ...]:
        """All lists of one issuer, the newest first. The same octets are looked up first, they cost nothing."""
        found = self._by_issuer_der.get(issuer_der)
        if found is None and issuer is not None:
            found = self._by_issuer.get(issuer)
        return found or ()

    def ocsp_responses_about(self, serial_number: int) -> tuple[OcspResponse, ...]:
        """All responses with an answer about this serial number, whoever issued it."""
        return self._by_serial_number.get(serial_number, ())

    def failure_of(self, wanted: Wanted) -> FetchFailure | None:
        """Why something could not be fetched; None where nobody tried."""
        return next((failure for failure in self.failures if failure.wanted == wanted), None)

    def __repr__(self) -> str:
        counts = f"{len(self.crls)} CRLs, {len(self.ocsp_responses)} OCSP responses, {len(self.failures)} failures"
        return f"<Evidence {counts}>"


NO_EVIDENCE = Evidence()

_PEM_LABELS = frozenset({b"X509 CRL", b"PKCS7", b"CMS"})
_SEQUENCE, _OID = 0x30, 0x06


def revocation_lists_from(data: bytes, *, limits: Limits = DEFAULT_LIMITS) -> tuple[RevocationList, ...]:
    """All CRLs of a file: PEM bundle, DER, PKCS #7 with CRLs (BER too), or bare base64.

    Raises MalformedMessage where a list is malformed or none is found, LimitExceeded for more than `limits.crls`.
    """
    found: list[RevocationList] = []
    for block in binary_blocks(data, _PEM_LABELS):
        for der in _lists_in(block, limits):
            if len(found) >= limits.crls:
                raise LimitExceeded("crls", limits.crls)
            found.append(RevocationList.parse(der, limits=limits))
    if not found:
        raise MalformedMessage("at least one revocation list (PEM, DER or PKCS #7)")
    return tuple(found)


def _lists_in(data: bytes, limits: Limits) -> list[bytes]:
    """The DER of every CRL of one block: the block itself, or what a SignedData carries."""
    der = bytes(ber.to_der(data, limits)) if data[1:2] == b"\x80" else data
    start, end = ber.content(der, 0, len(der), _SEQUENCE, expected="a revocation list (SEQUENCE)")
    if der[start : start + 1] != bytes((_OID,)):
        return [der]
    fields = ber.children(der, start, end, limits)
    if der[fields[0][1] : fields[0][3]] != oids.ID_SIGNED_DATA.tlv or len(fields) != 2:
        raise MalformedMessage("revocation lists (SignedData)", offset=start)
    first, last = ber.content(der, fields[1][2], fields[1][3], _SEQUENCE, expected="SignedData")
    sets = [field for field in ber.children(der, first, last, limits) if field[0] == 0xA1]
    return [
        der[offset:content_end]
        for _, _, set_start, set_end in sets
        for tag, offset, _, content_end in ber.children(der, set_start, set_end, limits)
        if tag == _SEQUENCE
    ]
