"""Find the certificates that a signer identifier names.

Several may fit: certificates of one issuer with one serial number (a forger's among them), or of one key. Choosing
between them is the verification's work.

Standards: RFC 5652 section 5.3 (SignerIdentifier), RFC 5280 section 7.1 (comparing names).
"""

from __future__ import annotations

from collections.abc import Iterable

from smime_engine.asn1 import ber
from smime_engine.certificate import Certificate
from smime_engine.cms.signed_data import SignerInfo
from smime_engine.errors import MalformedMessage
from smime_engine.names import comparable_name

__all__ = ["signer_certificates"]


def signer_certificates(signer: SignerInfo, pool: Iterable[Certificate]) -> tuple[Certificate, ...]:
    """All certificates that a signer identifier names, in the order of the pool, each once.

    Names compare as encoded, and as RFC 5280 section 7.1 says where that finds nothing.
    """
    candidates = tuple(dict.fromkeys(pool))
    if signer.subject_key_identifier is not None:
        wanted = signer.subject_key_identifier
        return tuple(candidate for candidate in candidates if candidate.subject_key_identifier == wanted)
    named = signer.issuer_and_serial
    assert named is not None
    exact = tuple(candidate for candidate in candidates if candidate.issuer_and_serial == named)
    return exact or _by_comparable_name(named, candidates)


def _by_comparable_name(issuer_and_serial: bytes, candidates: tuple[Certificate, ...]) -> tuple[Certificate, ...]:
    try:
        start, end = ber.content(issuer_and_serial, 0, len(issuer_and_serial), 0x30, expected="a signer identifier")
        fields = ber.children(issuer_and_serial, start, end)
        if len(fields) != 2 or fields[1][0] != 0x02:
            return ()
        (_, first, _, last), (_, _, serial_start, serial_end) = fields
        serial = int.from_bytes(issuer_and_serial[serial_start:serial_end], "big", signed=True)
        issuer = comparable_name(issuer_and_serial[first:last])
    except MalformedMessage:
        return ()
    return tuple(
        candidate
        for candidate in candidates
        if candidate.serial_number == serial and candidate.comparable_issuer == issuer
    )
