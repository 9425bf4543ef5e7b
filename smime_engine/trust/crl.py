"""Certificate revocation lists: a read-only view over the DER of a CRL.

Does: split, decode, find entries by serial number (`crl_entries.py`). Does not: verify the signature, decide whether a
list applies to a certificate, or fetch (`revocation.py`, `sources`). The entries are walked on the first search and not
before: a caller that verifies the signature first spends no time on a stranger's list.

Standards: RFC 5280 section 5.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from functools import cached_property
from hashlib import sha256
from typing import Any, NamedTuple, NoReturn, TypeVar

from smime_engine import certificate_extensions as decode
from smime_engine.asn1 import ber, oids
from smime_engine.certificate_extensions import DistributionPoint
from smime_engine.certificate_fields import Extension, algorithm_oid, extensions_in, signature_in, time_in
from smime_engine.errors import LimitExceeded, MalformedMessage
from smime_engine.general_names import GeneralName
from smime_engine.limits import DEFAULT_LIMITS, Limits
from smime_engine.names import ComparableName, comparable_name, readable_name
from smime_engine.trust.crl_entries import LARGEST_LIST, EntryIndex, RevokedEntry, unique

__all__ = ["IssuingDistributionPoint", "RevocationList", "RevokedEntry"]

T = TypeVar("T")

_INTEGER, _BIT_STRING, _SEQUENCE = 0x02, 0x03, 0x30
_TIMES = (0x17, 0x18)
_UNDERSTOOD = frozenset(
    {
        oids.ID_CE_AUTHORITY_KEY_IDENTIFIER,
        oids.ID_CE_CRL_NUMBER,
        oids.ID_CE_DELTA_CRL_INDICATOR,
        oids.ID_CE_ISSUING_DISTRIBUTION_POINT,
        oids.ID_CE_FRESHEST_CRL,
    }
)


class IssuingDistributionPoint(NamedTuple):
    """The scope of a list (RFC 5280 section 5.2.5); `reasons` is None where it covers all."""

    full_name: tuple[GeneralName, ...] = ()
    relative_name: bytes | None = None
    only_user_certificates: bool = False
    only_ca_certificates: bool = False
    reasons: frozenset[str] | None = None
    indirect: bool = False
    only_attribute_certificates: bool = False


class RevocationList:
    """One CRL. Immutable; two are equal when their DER is. Made by `RevocationList.parse`."""

    der: bytes
    issuer_der: bytes
    this_update: datetime
    next_update: datetime | None
    signature_algorithm: bytes
    """DER of the outer AlgorithmIdentifier."""
    signature: bytes
    number: int | None
    """CRLNumber."""
    base_number: int | None
    """BaseCRLNumber of a delta list; None for a complete one."""
    scope: IssuingDistributionPoint | None
    authority_key_identifier: decode.AuthorityKeyIdentifier | None
    freshest: tuple[DistributionPoint, ...]
    """Where the delta lists for this complete one are."""
    defects: tuple[str, ...]
    """What forbids using this list, in words: critical extensions that are not understood, broken rules."""

    _tbs: tuple[int, int]
    _entries: tuple[int, int]
    _limits: Limits

    @classmethod
    def parse(cls, der: bytes, *, limits: Limits = DEFAULT_LIMITS) -> RevocationList:
        """Split one DER list; its entries are walked by the first `find`. Raises MalformedMessage, LimitExceeded."""
        if len(der) > min(limits.message_size, LARGEST_LIST):
            raise LimitExceeded("message_size", min(limits.message_size, LARGEST_LIST))
        self = cls.__new__(cls)
        self.__dict__.update(_fields_of(der), _limits=limits)
        return self

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a revocation list is immutable, {name} cannot be set")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RevocationList) and self.der == other.der

    def __hash__(self) -> int:
        return hash(self.fingerprint_sha256)

    def __repr__(self) -> str:
        return f"<RevocationList of {self.issuer!r} from {self.this_update:%Y-%m-%d %H:%M:%SZ}>"

    @cached_property
    def issuer(self) -> str:
        """RFC 4514 text; where the name is malformed, its DER as `#` and hex."""
        try:
            return readable_name(self.issuer_der)
        except MalformedMessage:
            return "#" + self.issuer_der.hex()

    @cached_property
    def comparable_issuer(self) -> ComparableName:
        """The issuer as RFC 5280 section 7.1 compares it; a malformed name equals itself alone."""
        try:
            return comparable_name(self.issuer_der)
        except MalformedMessage:
            return ((("", self.issuer_der),),)

    @cached_property
    def fingerprint_sha256(self) -> bytes:
        """SHA-256 of the DER, 32 octets."""
        return sha256(self.der).digest()

    @property
    def is_delta(self) -> bool:
        """Whether this is a delta list, of use only together with a complete one."""
        return self.base_number is not None

    @property
    def is_indirect(self) -> bool:
        """Whether entries may belong to certificates of other issuers."""
        return self.scope is not None and self.scope.indirect

    @property
    def signed_octets(self) -> memoryview:
        """What the signature covers (TBSCertList), as a view."""
        return memoryview(self.der)[self._tbs[0] : self._tbs[1]]

    def __len__(self) -> int:
        return len(self._index)

    def find(self, serial_number: int) -> tuple[RevokedEntry, ...]:
        """Every entry with this serial number, in the order of the list.

        Raises MalformedMessage where an entry breaks the rules, or has a critical extension that is not understood:
        such a list must not be used for any certificate (RFC 5280 section 5.3).
        """
        return self._index.find(self.der, serial_number)

    @cached_property
    def _index(self) -> EntryIndex:
        return EntryIndex.of(self.der, *self._entries, limits=self._limits, indirect=self.is_indirect)


def _fields_of(der: bytes) -> dict[str, Any]:
    start, end = ber.content(der, 0, len(der), _SEQUENCE, expected="a revocation list (SEQUENCE)")
    if end != len(der):
        raise MalformedMessage("the end of the revocation list", offset=end)
    outer = ber.children(der, start, end)
    if [element[0] for element in outer] != [_SEQUENCE, _SEQUENCE, _BIT_STRING]:
        raise MalformedMessage("signed part, signature algorithm and signature", offset=start)
    (_, tbs_start, tbs_content, tbs_end), (_, algorithm_start, _, algorithm_end), signature = outer
    algorithm = der[algorithm_start:algorithm_end]
    algorithm_oid(algorithm, offset=algorithm_start)
    fields = _tbs_fields(der, tbs_content, tbs_end, algorithm)
    return fields | {
        "der": der,
        "signature_algorithm": algorithm,
        "signature": signature_in(der, signature),
        "_tbs": (tbs_start, tbs_end),
    }


def _tbs_fields(der: bytes, start: int, end: int, outer_algorithm: bytes) -> dict[str, Any]:
    fields = ber.children(der, start, end)
    version = 1
    if fields and fields[0][0] == _INTEGER:
        version = 2
        if der[fields[0][2] : fields[0][3]] != b"\1":
            raise MalformedMessage("version 2", offset=fields[0][1])
        del fields[0]
    if [field[0] for field in fields[:2]] != [_SEQUENCE, _SEQUENCE] or len(fields) < 3:
        raise MalformedMessage("algorithm, issuer and time", offset=start)
    algorithm, issuer = fields[0], fields[1]
    del fields[:2]
    this_update = time_in(der, fields.pop(0))
    next_update = time_in(der, fields.pop(0)) if fields and fields[0][0] in _TIMES else None
    entries = fields.pop(0) if fields and fields[0][0] == _SEQUENCE else (0, end, end, end)
    extensions = fields.pop(0) if fields and fields[0][0] == 0xA0 else None
    if fields:
        raise MalformedMessage("the end of the signed part", offset=fields[0][1])
    listed = {} if extensions is None else dict(unique(extensions_in(der, *extensions[2:]), extensions[1]))
    return {
        "issuer_der": der[issuer[1] : issuer[3]],
        "this_update": this_update,
        "next_update": next_update,
        "_entries": (entries[2], entries[3]),
        **_extension_fields(listed),
        "defects": tuple(
            _defects_of(version, listed, same_algorithm=der[algorithm[1] : algorithm[3]] == outer_algorithm)
        ),
    }


def _extension_fields(extensions: Mapping[str, Extension]) -> dict[str, Any]:
    def decoded(identifier: str, decoder: Callable[[bytes], T]) -> T | None:
        extension = extensions.get(identifier)
        return None if extension is None else decoder(extension.value)

    return {
        "number": decoded(oids.ID_CE_CRL_NUMBER, _crl_number),
        "base_number": decoded(oids.ID_CE_DELTA_CRL_INDICATOR, _crl_number),
        "scope": decoded(oids.ID_CE_ISSUING_DISTRIBUTION_POINT, _issuing_distribution_point),
        "authority_key_identifier": decoded(oids.ID_CE_AUTHORITY_KEY_IDENTIFIER, decode.authority_key_identifier),
        "freshest": decoded(oids.ID_CE_FRESHEST_CRL, decode.distribution_points) or (),
    }


def _defects_of(version: int, extensions: Mapping[str, Extension], *, same_algorithm: bool) -> Iterator[str]:
    if not same_algorithm:
        yield "the signature algorithm inside the signed part is another one than outside"
    if version == 1 and extensions:
        yield "extensions in a list of version 1"
    for identifier, extension in extensions.items():
        if extension.critical and identifier not in _UNDERSTOOD:
            yield f"critical extension {oids.name_of(identifier)} is not understood"


_LONGEST_NUMBER = 32  # octets; RFC 5280 section 5.2.3 allows 20


def _crl_number(value: bytes) -> int:
    start, end = ber.content(value, 0, len(value), _INTEGER, expected="a CRL number (INTEGER)")
    if end != len(value) or not 0 < end - start <= _LONGEST_NUMBER:
        raise MalformedMessage(f"a CRL number of at most {_LONGEST_NUMBER} octets", offset=start)
    number = int.from_bytes(value[start:end], "big", signed=True)
    if number < 0:
        raise MalformedMessage("a CRL number not below 0", offset=start)
    return number


_SCOPE_FLAGS = {
    0x81: "only_user_certificates",
    0x82: "only_ca_certificates",
    0x84: "indirect",
    0x85: "only_attribute_certificates",
}


def _issuing_distribution_point(value: bytes) -> IssuingDistributionPoint:
    start, end = ber.content(value, 0, len(value), _SEQUENCE, expected="IssuingDistributionPoint")
    if end != len(value):
        raise MalformedMessage("the end of IssuingDistributionPoint", offset=end)
    found: dict[str, Any] = {}
    previous = -1
    for element in ber.children(value, start, end):
        tag, offset, content_start, content_end = element
        if (number := tag & 0x1F) <= previous:
            raise MalformedMessage("fields of IssuingDistributionPoint in their order", offset=offset)
        previous = number
        if tag == 0xA0:
            found["full_name"], found["relative_name"] = decode.distribution_point_name(value, element)
        elif tag == 0x83:
            found["reasons"] = decode.reason_flags(value, element)
        elif tag in _SCOPE_FLAGS and content_end - content_start == 1:
            found[_SCOPE_FLAGS[tag]] = value[content_start] != 0
        else:
            raise MalformedMessage("a field of IssuingDistributionPoint", offset=offset)
    return IssuingDistributionPoint(**found)
