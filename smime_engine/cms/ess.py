"""Enhanced Security Services: receipt requests, security labels, mailing-list history, content hints.

The attributes that RFC 2634 puts among the signed attributes: decode them, and encode those that a client writes (a
mailing-list agent writes the expansion history). To sign one: `SignedAttributes(further=((OID, value),))`; to read one:
`SignerCheck.value_of(OID)`. Signed receipts themselves: `receipts.py`.

Does not: decide whether a label grants access (a policy does), or whether addresses are the reader's.

Standards: RFC 2634 sections 2.7 (ReceiptRequest), 2.9 (ContentHints), 3.2 (ESSSecurityLabel), 3.4 (EquivalentLabels),
4.4 (MLExpansionHistory).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, NamedTuple

from smime_engine.addresses import same_address
from smime_engine.asn1 import ber, der, oids
from smime_engine.cms.attributes import decode_octets, decode_time
from smime_engine.cms.signer_check import SignerCheck
from smime_engine.errors import LimitExceeded, MalformedMessage
from smime_engine.general_names import NameForm, general_names_in
from smime_engine.limits import DEFAULT_LIMITS, Limits

__all__ = [
    "ContentHint",
    "ListExpansion",
    "ReceiptRequest",
    "SecurityLabel",
    "SecurityServices",
    "decode_content_hint",
    "decode_equivalent_labels",
    "decode_list_history",
    "decode_receipt_request",
    "decode_security_label",
    "encode_receipt_request",
    "encode_security_label",
    "security_services",
]


class ReceiptRequest(NamedTuple):
    """The sender asks recipients for a signed receipt."""

    identifier: bytes
    """signedContentIdentifier: the message, by a name that never occurs again."""

    send_to: tuple[str, ...]
    """Addresses that get the receipt."""

    wanted_from: tuple[str, ...] | None = None
    """Addresses that shall send one; None for everybody."""

    first_tier_only: bool = False
    """Only who got the message without a mailing list in between."""

    def wants_from(self, address: str, history: tuple[ListExpansion, ...] = ()) -> bool:
        """Whether a recipient shall send a receipt; `history` is that of the message (RFC 2634 section 2.3).

        A mailing list can forbid receipts; that it redirects them does not matter here (see `ListExpansion`).
        """
        if history and (history[-1].receipts == "none" or self.first_tier_only):
            return False
        return self.wanted_from is None or any(same_address(address, wanted) for wanted in self.wanted_from)


class SecurityLabel(NamedTuple):
    """Who may read the content, in the words of a security policy."""

    policy: str
    """Dotted identifier of the policy that gives the rest its meaning."""

    classification: int | None = None
    """0 unmarked, 1 unclassified, 2 restricted, 3 confidential, 4 secret, 5 top secret; others by policy."""

    privacy_mark: str = ""
    """For people; decides nothing."""

    categories: tuple[tuple[str, bytes], ...] = ()
    """(dotted type, DER value), meaning given by the policy."""


class ListExpansion(NamedTuple):
    """One mailing list that the message went through."""

    list_identifier: bytes
    """DER IssuerAndSerialNumber, or OCTET STRING with a key identifier, of the list's certificate."""

    moment: datetime
    receipts: str = ""
    """What becomes of receipts: empty (as requested), `none`, `instead-of`, `in-addition-to`."""

    receipt_addresses: tuple[str, ...] = ()
    """Where the list wants receipts, instead of or in addition to the sender's addresses."""


class ContentHint(NamedTuple):
    """What an encrypted or wrapped content is."""

    content_type: str
    """Dotted type of the innermost content."""

    description: str = ""


class SecurityServices(NamedTuple):
    """All of these that a signature carries; None and empty where it does not."""

    receipt_request: ReceiptRequest | None = None
    label: SecurityLabel | None = None
    equivalent_labels: tuple[SecurityLabel, ...] = ()
    list_history: tuple[ListExpansion, ...] = ()
    content_hint: ContentHint | None = None
    malformed: tuple[str, ...] = ()
    """Names of attributes that are there and cannot be read: whoever must obey a label cannot obey this one."""


def security_services(check: SignerCheck) -> SecurityServices:
    """Decode what a signer says by signed attributes. Never raises: what cannot be read is named."""
    found: dict[str, Any] = {}
    malformed = []
    for field, (type_, decode) in _DECODERS.items():
        value = check.value_of(type_)
        if value is not None:
            try:
                found[field] = decode(value)
            except MalformedMessage:
                malformed.append(type_.name)
    return SecurityServices(**found, malformed=tuple(malformed))


# -------------------------------------------------------------------------------------------------- receipt requests


def decode_receipt_request(value: bytes) -> ReceiptRequest:
    """Decode a DER ReceiptRequest. Raises MalformedMessage."""
    fields = _children(value, "a ReceiptRequest")
    if len(fields) != 3 or fields[2][0] != 0x30:
        raise MalformedMessage("a ReceiptRequest", offset=0)
    _, start, _, end = fields[0]
    identifier = decode_octets(value[start:end])
    tag, offset, start, end = fields[1]
    wanted: tuple[str, ...] | None = None
    first_tier = False
    if tag == 0x80 and value[start:end] in {b"\x00", b"\x01"}:
        first_tier = value[start] == 1
    elif tag == 0xA1:
        wanted = _addresses(value, start, end)
    else:
        raise MalformedMessage("ReceiptsFrom", offset=offset)
    send_to = _addresses(value, fields[2][2], fields[2][3])
    return ReceiptRequest(identifier, send_to, wanted, first_tier)


def encode_receipt_request(request: ReceiptRequest) -> bytes:
    """Encode a DER ReceiptRequest, for the attribute `oids.ID_AA_RECEIPT_REQUEST`."""
    if request.wanted_from is None:
        receipts_from = ber.encode(0x80, bytes((request.first_tier_only,)))
    else:
        receipts_from = ber.encode(0xA1, *map(_names_of, request.wanted_from))
    return ber.encode(
        0x30,
        ber.encode(0x04, request.identifier),
        receipts_from,
        ber.encode(0x30, *map(_names_of, request.send_to)),
    )


# ---------------------------------------------------------------------------------------------------- security labels


def decode_security_label(value: bytes) -> SecurityLabel:
    """Decode a DER ESSSecurityLabel, a SET whose fields may stand in any order. Raises MalformedMessage."""
    start, end = ber.content(value, 0, len(value), 0x31, expected="an ESSSecurityLabel (SET)")
    fields = {tag: (first, last) for tag, _, first, last in ber.children(value, start, end)}
    if end != len(value) or 0x06 not in fields or not fields.keys() <= {0x02, 0x06, 0x0C, 0x13, 0x31}:
        raise MalformedMessage("the fields of an ESSSecurityLabel", offset=start)
    first, last = fields[0x06]
    policy = oids.decode_oid(value[first:last], offset=first)
    classification = None
    if 0x02 in fields:
        first, last = fields[0x02]
        classification = int.from_bytes(value[first:last], "big", signed=True)
        if not 0 <= classification <= 256:
            raise MalformedMessage("a classification from 0 to 256", offset=first)
    mark = b"".join(value[slice(*fields[tag])] for tag in (0x0C, 0x13) if tag in fields)
    categories = []
    if 0x31 in fields:
        categories = [_category(value, element) for element in ber.children(value, *fields[0x31])]
    return SecurityLabel(policy, classification, mark.decode("utf-8", "replace"), tuple(categories))


def encode_security_label(label: SecurityLabel) -> bytes:
    """Encode a DER ESSSecurityLabel, for the attribute `oids.ID_AA_SECURITY_LABEL`."""
    fields = []
    if label.classification is not None:
        fields.append(der.encode(label.classification))
    fields.append(oids.named(label.policy).tlv)
    if label.privacy_mark:
        fields.append(ber.encode(0x0C, label.privacy_mark.encode()))
    if label.categories:
        encoded = [
            ber.encode(0x30, b"\x80" + oids.named(kind).tlv[1:], ber.encode(0xA1, content))
            for kind, content in label.categories
        ]
        fields.append(ber.encode_set(0x31, encoded))
    return ber.encode(0x31, *fields)


def decode_equivalent_labels(value: bytes, *, limits: Limits = DEFAULT_LIMITS) -> tuple[SecurityLabel, ...]:
    """Decode DER EquivalentLabels: the same label in other policies' words. Raises MalformedMessage."""
    fields = _children(value, "EquivalentLabels", limits)
    return tuple(decode_security_label(value[start:end]) for _, start, _, end in fields)


def _category(value: bytes, element: ber.Element) -> tuple[str, bytes]:
    tag, offset, start, end = element
    fields = ber.children(value, start, end) if tag == 0x30 else []
    if [field[0] for field in fields] != [0x80, 0xA1]:
        raise MalformedMessage("a SecurityCategory", offset=offset)
    kind = oids.decode_oid(value[fields[0][2] : fields[0][3]], offset=fields[0][2])
    return kind, value[fields[1][2] : fields[1][3]]


# ------------------------------------------------------------------------------------------- lists and content hints


def decode_list_history(value: bytes, *, limits: Limits = DEFAULT_LIMITS) -> tuple[ListExpansion, ...]:
    """Decode a DER MLExpansionHistory, the latest list last. Raises MalformedMessage, LimitExceeded."""
    fields = _children(value, "an MLExpansionHistory", limits)
    return tuple(_expansion(value[start:end]) for _, start, _, end in fields)


_RECEIPT_POLICIES = {0x80: "none", 0xA1: "instead-of", 0xA2: "in-addition-to"}


def _expansion(value: bytes) -> ListExpansion:
    fields = _children(value, "an MLData")
    tags = [field[0] for field in fields]
    if len(fields) not in {2, 3} or tags[0] not in {0x30, 0x04} or tags[1] != 0x18:
        raise MalformedMessage("an MLData", offset=0)
    receipts = ""
    addresses: tuple[str, ...] = ()
    if len(fields) == 3:
        tag, offset, start, end = fields[2]
        if tag not in _RECEIPT_POLICIES:
            raise MalformedMessage("an MLReceiptPolicy", offset=offset)
        receipts = _RECEIPT_POLICIES[tag]
        addresses = _addresses(value, start, end) if tag != 0x80 else ()
    moment = decode_time(value[fields[1][1] : fields[1][3]])
    return ListExpansion(value[fields[0][1] : fields[0][3]], moment, receipts, addresses)


def decode_content_hint(value: bytes) -> ContentHint:
    """Decode DER ContentHints. Raises MalformedMessage."""
    fields = _children(value, "ContentHints")
    tags = [field[0] for field in fields]
    if tags not in ([0x06], [0x0C, 0x06]):
        raise MalformedMessage("ContentHints", offset=0)
    _, _, start, end = fields[-1]
    text = value[fields[0][2] : fields[0][3]] if len(fields) == 2 else b""
    return ContentHint(oids.decode_oid(value[start:end], offset=start), text.decode("utf-8", "replace"))


def _addresses(value: bytes, start: int, end: int) -> tuple[str, ...]:
    """E-mail addresses in a SEQUENCE OF GeneralNames; other forms of names are passed over."""
    found: list[str] = []
    for tag, offset, first, last in ber.children(value, start, end):
        if tag != 0x30:
            raise MalformedMessage("GeneralNames", offset=offset)
        names = general_names_in(value, first, last)
        found += [str(name.value) for name in names if name.form in {NameForm.EMAIL, NameForm.MAILBOX}]
    return tuple(found)


def _names_of(address: str) -> bytes:
    """GeneralNames with one address: rfc822Name, or SmtpUTF8Mailbox where the local part is not ASCII (RFC 9598)."""
    if address.isascii():
        return ber.encode(0x30, ber.encode(0x81, address.encode()))
    mailbox = ber.encode(0xA0, ber.encode(0x0C, address.encode()))
    return ber.encode(0x30, ber.encode(0xA0, oids.ID_ON_SMTP_UTF8_MAILBOX.tlv, mailbox))


def _children(value: bytes, expected: str, limits: Limits = DEFAULT_LIMITS) -> list[ber.Element]:
    start, end = ber.content(value, 0, len(value), 0x30, expected=expected)
    if end != len(value):
        raise MalformedMessage(f"the end of {expected}", offset=end)
    fields = ber.children(value, start, end)
    if len(fields) > limits.attributes:
        raise LimitExceeded("attributes", limits.attributes, offset=start)
    return fields


_DECODERS: dict[str, tuple[oids.Oid, Callable[..., Any]]] = {
    "receipt_request": (oids.ID_AA_RECEIPT_REQUEST, decode_receipt_request),
    "label": (oids.ID_AA_SECURITY_LABEL, decode_security_label),
    "equivalent_labels": (oids.ID_AA_EQUIVALENT_LABELS, decode_equivalent_labels),
    "list_history": (oids.ID_AA_ML_EXPAND_HISTORY, decode_list_history),
    "content_hint": (oids.ID_AA_CONTENT_HINT, decode_content_hint),
}
