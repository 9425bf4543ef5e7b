"""The fixed fields of an X.509 certificate and its list of extensions, split by offsets.

Hot file: runs for every certificate of every message. Goal: under 10 µs. Plan: one pass with `asn1.ber`, slices of the
input, no object per field; extensions are split later, when one is asked for.

Does: split and check types, or raise MalformedMessage. Does not: decode names, keys or extensions.

Standards: RFC 5280 section 4.1.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

from smime_engine.asn1 import ber, oids
from smime_engine.errors import MalformedMessage

__all__ = ["Extension", "algorithm_oid", "extensions_in", "fields_of", "signature_in", "time_in"]

_BOOLEAN, _INTEGER, _BIT_STRING, _OCTET_STRING, _OID = 0x01, 0x02, 0x03, 0x04, 0x06
_UTC_TIME, _GENERALIZED_TIME, _SEQUENCE = 0x17, 0x18, 0x30
_LONGEST_SERIAL = 64
"""Octets. RFC 5280 section 4.1.2.2 allows 20; longer ones exist, but none of kilobytes."""


class Extension(NamedTuple):
    """One extension: whether it is critical, and its value's DER."""

    critical: bool
    value: bytes


def fields_of(der: bytes) -> dict[str, Any]:
    """Split one certificate into the attributes of `certificate.Certificate`; offsets of errors count in `der`."""
    start, end = ber.content(der, 0, len(der), _SEQUENCE, expected="a certificate (SEQUENCE)")
    if end != len(der):
        raise MalformedMessage("the end of the certificate", offset=end)
    outer = ber.children(der, start, end)
    if [element[0] for element in outer] != [_SEQUENCE, _SEQUENCE, _BIT_STRING]:
        raise MalformedMessage("signed part, signature algorithm and signature", offset=start)
    (_, tbs_start, tbs_content, tbs_end), (_, algorithm_start, _, algorithm_end), signature = outer
    fields = _tbs_fields(der, tbs_content, tbs_end)
    fields |= {
        "der": der,
        "tbs": der[tbs_start:tbs_end],
        "signature_algorithm": der[algorithm_start:algorithm_end],
        "signature": signature_in(der, signature),
    }
    algorithm_oid(fields["signature_algorithm"], offset=algorithm_start)
    return fields


def _tbs_fields(der: bytes, start: int, end: int) -> dict[str, Any]:
    fields = ber.children(der, start, end)
    version = 1
    if fields and fields[0][0] == 0xA0:
        version = _version(der, fields[0])
        del fields[0]
    if [field[0] for field in fields[:6]] != [_INTEGER, *[_SEQUENCE] * 5]:
        raise MalformedMessage("serial number, algorithm, issuer, validity, subject and public key", offset=start)
    serial, algorithm, issuer, validity, subject, public_key = fields[:6]
    not_before, not_after = _validity(der, validity)
    return {
        "version": version,
        "serial_number": _serial_number(der, serial),
        "issuer_der": der[issuer[1] : issuer[3]],
        "subject_der": der[subject[1] : subject[3]],
        "public_key_info": _public_key_info(der, public_key),
        "not_before": not_before,
        "not_after": not_after,
        "_serial": der[serial[1] : serial[3]],
        "_inner_algorithm": der[algorithm[1] : algorithm[3]],
        "_extensions_span": _extensions_span(fields[6:]),
    }


def _version(der: bytes, element: ber.Element) -> int:
    octets = der[element[2] : element[3]]
    if octets[:2] != b"\x02\x01" or len(octets) != 3 or octets[2] > 2:
        raise MalformedMessage("version 1, 2 or 3", offset=element[1])
    return octets[2] + 1


def _serial_number(der: bytes, element: ber.Element) -> int:
    octets = der[element[2] : element[3]]
    if not 0 < len(octets) <= _LONGEST_SERIAL:
        raise MalformedMessage(f"a serial number of at most {_LONGEST_SERIAL} octets", offset=element[1])
    return int.from_bytes(octets, "big", signed=True)


def _public_key_info(der: bytes, element: ber.Element) -> bytes:
    parts = ber.children(der, element[2], element[3])
    if [part[0] for part in parts] != [_SEQUENCE, _BIT_STRING]:
        raise MalformedMessage("SubjectPublicKeyInfo", offset=element[1])
    algorithm_oid(der[parts[0][1] : parts[0][3]], offset=parts[0][1])
    return der[element[1] : element[3]]


def _extensions_span(fields: list[ber.Element]) -> tuple[int, int] | None:
    """Where the explicitly tagged Extensions are; the unique identifiers before them are skipped."""
    span = None
    allowed = [0x81, 0x82, 0xA3]
    for tag, offset, start, end in fields:
        if tag not in allowed:
            raise MalformedMessage("unique identifiers and extensions", offset=offset)
        del allowed[: allowed.index(tag) + 1]
        if tag == 0xA3:
            span = (start, end)
    return span


def extensions_in(der: bytes, start: int, end: int) -> Iterator[tuple[str, Extension]]:
    """The extensions of the SEQUENCE that fills der[start:end], in their order, doubles included."""
    first, last = ber.content(der, start, end, _SEQUENCE, expected="extensions (SEQUENCE)")
    if last != end:
        raise MalformedMessage("the end of the extensions", offset=last)
    for tag, offset, content_start, content_end in ber.children(der, first, last):
        fields = ber.children(der, content_start, content_end) if tag == _SEQUENCE else []
        tags = [field[0] for field in fields]
        if tags not in ([_OID, _OCTET_STRING], [_OID, _BOOLEAN, _OCTET_STRING]):
            raise MalformedMessage("an extension", offset=offset)
        # QUIRK: FALSE is the default and must be left out; some CAs write it.
        critical = len(fields) == 3 and der[fields[1][2] : fields[1][3]] != b"\0"
        identifier = oids.dotted(der[fields[0][2] : fields[0][3]], offset=offset)
        yield identifier, Extension(critical, der[fields[-1][2] : fields[-1][3]])


def algorithm_oid(algorithm: bytes, *, offset: int = 0) -> str:
    """Dotted identifier of a DER AlgorithmIdentifier that stands at the start of `algorithm`."""
    start, end = ber.content(algorithm, 0, len(algorithm), _SEQUENCE, expected="an algorithm identifier")
    first, last = ber.content(algorithm, start, end, _OID, expected="an algorithm's object identifier")
    return oids.dotted(algorithm[first:last], offset=offset)


def signature_in(der: bytes, element: ber.Element) -> bytes:
    """The signature's octets. Every algorithm makes whole octets: with unused bits it is none, and reads as b""."""
    unused = der[element[2] : min(element[2] + 1, element[3])]
    if not unused or unused > b"\x07":
        raise MalformedMessage("a signature (BIT STRING)", offset=element[1])
    return b"" if unused != b"\0" else der[element[2] + 1 : element[3]]


def _validity(der: bytes, element: ber.Element) -> tuple[datetime, datetime]:
    times = ber.children(der, element[2], element[3])
    if len(times) != 2:
        raise MalformedMessage("two times", offset=element[1])
    return time_in(der, times[0]), time_in(der, times[1])


def time_in(data: bytes, element: ber.Element) -> datetime:
    """A UTCTime or GeneralizedTime as RFC 5280 section 4.1.2.5 allows them: to the second, in UTC, without fraction.

    Two-digit years from 50 to 99 belong to the twentieth century.
    """
    tag, offset, start, end = element
    digits = data[start : end - 1]
    if tag == _UTC_TIME and len(digits) == 12 and digits.isdigit():
        century = 1900 if digits >= b"5" else 2000
        year, rest = century + int(digits[:2]), digits[2:]
    elif tag == _GENERALIZED_TIME and len(digits) == 14 and digits.isdigit():
        year, rest = int(digits[:4]), digits[4:]
    else:
        raise MalformedMessage("a time to the second", offset=offset)
    if data[end - 1] != 0x5A:
        raise MalformedMessage("a time in UTC (Z)", offset=offset)
    try:
        numbers = (int(rest[0:2]), int(rest[2:4]), int(rest[4:6]), int(rest[6:8]), int(rest[8:10]))
        return datetime(year, *numbers, tzinfo=UTC)
    except ValueError as error:
        raise MalformedMessage("a time that exists", offset=offset) from error
