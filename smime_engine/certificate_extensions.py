"""The certificate extensions of RFC 5280 as values: one function per extension, from its DER to a value.

Does: decode, or raise MalformedMessage. Does not: judge; what an extension means for a path is `trust`'s business,
and `certificate.Certificate` calls these functions one by one, so that one malformed extension spoils no other.

Standards: RFC 5280 sections 4.2.1 and 4.2.2.
"""

from __future__ import annotations

from typing import NamedTuple

from smime_engine.asn1 import ber, oids
from smime_engine.errors import MalformedMessage
from smime_engine.general_names import GeneralName, general_name, general_names_in

__all__ = [
    "KEY_USAGES",
    "REASONS",
    "AuthorityKeyIdentifier",
    "BasicConstraints",
    "DistributionPoint",
    "NameConstraints",
    "PolicyConstraints",
    "authority_key_identifier",
    "basic_constraints",
    "distribution_point_name",
    "distribution_points",
    "extended_key_usage",
    "information_access",
    "inhibit_any_policy",
    "key_usage",
    "name_constraints",
    "octet_string",
    "policies",
    "policy_constraints",
    "policy_mappings",
    "reason_flags",
]

KEY_USAGES = (
    "digitalSignature",
    "nonRepudiation",
    "keyEncipherment",
    "dataEncipherment",
    "keyAgreement",
    "keyCertSign",
    "cRLSign",
    "encipherOnly",
    "decipherOnly",
)
"""Names of the bits of KeyUsage, bit 0 first. X.509 has renamed nonRepudiation to contentCommitment."""

REASONS = (
    "unused",
    "keyCompromise",
    "cACompromise",
    "affiliationChanged",
    "superseded",
    "cessationOfOperation",
    "certificateHold",
    "privilegeWithdrawn",
    "aACompromise",
)
"""Names of the bits of ReasonFlags, bit 0 first."""

_BOOLEAN, _INTEGER, _BIT_STRING, _OCTET_STRING, _OID, _SEQUENCE = 0x01, 0x02, 0x03, 0x04, 0x06, 0x30


class BasicConstraints(NamedTuple):
    """RFC 5280 section 4.2.1.9; `path_length` is None without limit."""

    ca: bool
    path_length: int | None


class AuthorityKeyIdentifier(NamedTuple):
    """RFC 5280 section 4.2.1.1."""

    key_identifier: bytes | None
    issuer: tuple[GeneralName, ...]
    serial_number: int | None


class NameConstraints(NamedTuple):
    """RFC 5280 section 4.2.1.10. An IP base is address and mask (8 or 32 octets)."""

    permitted: tuple[GeneralName, ...]
    excluded: tuple[GeneralName, ...]


class PolicyConstraints(NamedTuple):
    """RFC 5280 section 4.2.1.11: certificates to skip, None where the constraint is absent."""

    require_explicit_policy: int | None
    inhibit_policy_mapping: int | None


class DistributionPoint(NamedTuple):
    """RFC 5280 section 4.2.1.13.

    `relative_name` is the content of nameRelativeToCRLIssuer (attributes of one RelativeDistinguishedName); `reasons`
    is None where the point covers all reasons.
    """

    full_name: tuple[GeneralName, ...]
    relative_name: bytes | None
    reasons: frozenset[str] | None
    crl_issuer: tuple[GeneralName, ...]


def octet_string(value: bytes) -> bytes:
    """SubjectKeyIdentifier: the content of one OCTET STRING."""
    start, end = _whole(value, _OCTET_STRING, "an OCTET STRING")
    return value[start:end]


def key_usage(value: bytes) -> frozenset[str]:
    """KeyUsage as names out of KEY_USAGES."""
    start, end = _whole(value, _BIT_STRING, "KeyUsage (BIT STRING)")
    return _bits(value, start, end, KEY_USAGES)


def extended_key_usage(value: bytes) -> tuple[str, ...]:
    """ExtKeyUsageSyntax as dotted identifiers; at least one."""
    return _identifiers(value, *_whole(value, _SEQUENCE, "ExtKeyUsageSyntax"))


def basic_constraints(value: bytes) -> BasicConstraints:
    """BasicConstraints. QUIRK: many CAs write cA FALSE out, which DER forbids; read all the same."""
    start, end = _whole(value, _SEQUENCE, "BasicConstraints")
    ca = False
    path_length = None
    fields = ber.children(value, start, end)
    if fields and fields[0][0] == _BOOLEAN:
        ca = _boolean(value, fields.pop(0))
    if fields and fields[0][0] == _INTEGER:
        path_length = _count(value, fields.pop(0))
    _nothing_left(fields, "the end of BasicConstraints")
    return BasicConstraints(ca, path_length)


def authority_key_identifier(value: bytes) -> AuthorityKeyIdentifier:
    """AuthorityKeyIdentifier."""
    start, end = _whole(value, _SEQUENCE, "AuthorityKeyIdentifier")
    fields = _tagged(value, start, end, (0x80, 0xA1, 0x82), "AuthorityKeyIdentifier")
    identifier, issuer, serial = fields
    return AuthorityKeyIdentifier(
        value[identifier[2] : identifier[3]] if identifier else None,
        general_names_in(value, issuer[2], issuer[3]) if issuer else (),
        _integer(value, serial) if serial else None,
    )


def name_constraints(value: bytes) -> NameConstraints:
    """NameConstraints; a minimum other than 0 and any maximum are refused, as RFC 5280 lets them have no meaning."""
    start, end = _whole(value, _SEQUENCE, "NameConstraints")
    permitted, excluded = _tagged(value, start, end, (0xA0, 0xA1), "NameConstraints")
    if not permitted and not excluded:
        raise MalformedMessage("permitted or excluded subtrees", offset=start)
    return NameConstraints(_subtrees(value, permitted), _subtrees(value, excluded))


def policies(value: bytes) -> tuple[str, ...]:
    """CertificatePolicies as dotted identifiers; qualifiers are skipped. The same policy twice is malformed."""
    start, end = _whole(value, _SEQUENCE, "CertificatePolicies")
    found = []
    for tag, offset, content_start, content_end in ber.children(value, start, end):
        fields = ber.children(value, content_start, content_end) if tag == _SEQUENCE else []
        if not 1 <= len(fields) <= 2 or fields[0][0] != _OID or fields[-1][0] not in {_OID, _SEQUENCE}:
            raise MalformedMessage("PolicyInformation", offset=offset)
        found.append(oids.dotted(value[fields[0][2] : fields[0][3]]))
    if not found:
        raise MalformedMessage("at least one PolicyInformation", offset=start)
    if len(set(found)) != len(found):
        raise MalformedMessage("each policy once", offset=start)
    return tuple(found)


def policy_mappings(value: bytes) -> tuple[tuple[str, str], ...]:
    """PolicyMappings as (issuer's policy, subject's policy), at least one pair."""
    start, end = _whole(value, _SEQUENCE, "PolicyMappings")
    pairs = []
    for tag, offset, content_start, content_end in ber.children(value, start, end):
        if tag != _SEQUENCE:
            raise MalformedMessage("a policy mapping", offset=offset)
        pair = _identifiers(value, content_start, content_end)
        if len(pair) != 2:
            raise MalformedMessage("two policies in a mapping", offset=offset)
        pairs.append((pair[0], pair[1]))
    if not pairs:
        raise MalformedMessage("at least one policy mapping", offset=start)
    return tuple(pairs)


def policy_constraints(value: bytes) -> PolicyConstraints:
    """PolicyConstraints; an empty one is malformed."""
    start, end = _whole(value, _SEQUENCE, "PolicyConstraints")
    explicit, mapping = _tagged(value, start, end, (0x80, 0x81), "PolicyConstraints")
    if not explicit and not mapping:
        raise MalformedMessage("a policy constraint", offset=start)
    return PolicyConstraints(_count(value, explicit) if explicit else None, _count(value, mapping) if mapping else None)


def inhibit_any_policy(value: bytes) -> int:
    """InhibitAnyPolicy: certificates to skip."""
    start, end = _whole(value, _INTEGER, "InhibitAnyPolicy (INTEGER)")
    return _count(value, (_INTEGER, 0, start, end))


def distribution_points(value: bytes) -> tuple[DistributionPoint, ...]:
    """CRLDistributionPoints or FreshestCRL: at least one point."""
    start, end = _whole(value, _SEQUENCE, "CRLDistributionPoints")
    points = tuple(_distribution_point(value, element) for element in ber.children(value, start, end))
    if not points:
        raise MalformedMessage("at least one DistributionPoint", offset=start)
    return points


def information_access(value: bytes) -> tuple[tuple[str, GeneralName], ...]:
    """AuthorityInfoAccessSyntax as (dotted method, location)."""
    start, end = _whole(value, _SEQUENCE, "AuthorityInfoAccessSyntax")
    descriptions = []
    for tag, offset, content_start, content_end in ber.children(value, start, end):
        fields = ber.children(value, content_start, content_end) if tag == _SEQUENCE else []
        if len(fields) != 2 or fields[0][0] != _OID:
            raise MalformedMessage("AccessDescription", offset=offset)
        descriptions.append((oids.dotted(value[fields[0][2] : fields[0][3]]), general_name(value, fields[1])))
    if not descriptions:
        raise MalformedMessage("at least one AccessDescription", offset=start)
    return tuple(descriptions)


def distribution_point_name(data: bytes, element: ber.Element) -> tuple[tuple[GeneralName, ...], bytes | None]:
    """A DistributionPointName in its explicit tag -> (full name, content of the relative name)."""
    fields = ber.children(data, element[2], element[3])
    if len(fields) != 1:
        raise MalformedMessage("one DistributionPointName", offset=element[1])
    tag, offset, start, end = fields[0]
    if tag == 0xA0:
        return general_names_in(data, start, end), None
    if tag == 0xA1:
        return (), data[start:end]
    raise MalformedMessage("fullName or nameRelativeToCRLIssuer", offset=offset)


def reason_flags(data: bytes, element: ber.Element) -> frozenset[str]:
    """ReasonFlags as names out of REASONS."""
    return _bits(data, element[2], element[3], REASONS)


def _distribution_point(data: bytes, element: ber.Element) -> DistributionPoint:
    tag, offset, start, end = element
    if tag != _SEQUENCE:
        raise MalformedMessage("DistributionPoint", offset=offset)
    name, reasons, issuer = _tagged(data, start, end, (0xA0, 0x81, 0xA2), "DistributionPoint")
    full_name, relative_name = distribution_point_name(data, name) if name else ((), None)
    return DistributionPoint(
        full_name,
        relative_name,
        reason_flags(data, reasons) if reasons else None,
        general_names_in(data, issuer[2], issuer[3]) if issuer else (),
    )


def _subtrees(data: bytes, element: ber.Element | None) -> tuple[GeneralName, ...]:
    if element is None:
        return ()
    bases = []
    for tag, offset, start, end in ber.children(data, element[2], element[3]):
        fields = ber.children(data, start, end) if tag == _SEQUENCE else []
        # QUIRK: minimum 0 is the default and must be left out; some CAs write it.
        if not fields or any(field[0] != 0x80 or data[field[2] : field[3]] != b"\0" for field in fields[1:]):
            raise MalformedMessage("GeneralSubtree without minimum and maximum", offset=offset)
        bases.append(general_name(data, fields[0]))
    if not bases:
        raise MalformedMessage("at least one GeneralSubtree", offset=element[1])
    return tuple(bases)


def _whole(value: bytes, tag: int, expected: str) -> tuple[int, int]:
    start, end = ber.content(value, 0, len(value), tag, expected=expected)
    if end != len(value):
        raise MalformedMessage("the end of the extension's value", offset=end)
    return start, end


def _tagged(data: bytes, start: int, end: int, tags: tuple[int, ...], structure: str) -> tuple[ber.Element | None, ...]:
    """Optional fields of a SEQUENCE, each with its own tag, in their order."""
    fields = ber.children(data, start, end)
    found = [fields.pop(0) if fields and fields[0][0] == tag else None for tag in tags]
    _nothing_left(fields, f"a field of {structure}")
    return tuple(found)


def _nothing_left(fields: list[ber.Element], expected: str) -> None:
    if fields:
        raise MalformedMessage(expected, offset=fields[0][1])


def _identifiers(data: bytes, start: int, end: int) -> tuple[str, ...]:
    found = []
    for tag, offset, content_start, content_end in ber.children(data, start, end):
        if tag != _OID:
            raise MalformedMessage("an object identifier", offset=offset)
        found.append(oids.dotted(data[content_start:content_end]))
    if not found:
        raise MalformedMessage("at least one object identifier", offset=start)
    return tuple(found)


def _boolean(data: bytes, element: ber.Element) -> bool:
    octets = data[element[2] : element[3]]
    if octets not in {b"\0", b"\xff"}:
        raise MalformedMessage("a BOOLEAN", offset=element[1])
    return octets == b"\xff"


def _integer(data: bytes, element: ber.Element) -> int:
    octets = data[element[2] : element[3]]
    if not octets or len(octets) > 128:
        raise MalformedMessage("an INTEGER of 1 to 128 octets", offset=element[1])
    return int.from_bytes(octets, "big", signed=True)


def _count(data: bytes, element: ber.Element) -> int:
    number = _integer(data, element)
    if number < 0:
        raise MalformedMessage("an INTEGER not below 0", offset=element[1])
    return number


def _bits(data: bytes, start: int, end: int, names: tuple[str, ...]) -> frozenset[str]:
    """A BIT STRING of named bits. Bits beyond the known names have no meaning; trailing zeros are tolerated."""
    unused = data[start] if start < end else 8
    if unused > 7 or (unused and end - start < 2):
        raise MalformedMessage("a BIT STRING", offset=start)
    size = end - start - 1
    if size > 8:
        raise MalformedMessage("a BIT STRING of at most 64 named bits", offset=start)
    number = int.from_bytes(data[start + 1 : end], "big")
    return frozenset(name for bit, name in enumerate(names) if bit < size * 8 and number >> (size * 8 - 1 - bit) & 1)
