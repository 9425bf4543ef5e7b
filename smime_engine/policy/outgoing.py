"""The facts of a message that leaves: who wrote it, who sends it, what it asks for, whether it is protected already.

Does: read them from the message's octets for `policy.sending` and `policy.delivery_plan`. Does not: decide anything.
RFC 5322 sections 3.6.2 (From, Sender), 3.6.3 (To, Cc) and 3.6.6 (Resent fields); RFC 8551 section 3.2; RFC 3156
(OpenPGP); the `msip_labels` field of Microsoft Information Protection.
"""

from __future__ import annotations

import re
from dataclasses import replace

from smime_engine.asn1 import oids
from smime_engine.cms.content_info import content_type_of
from smime_engine.errors import MalformedMessage
from smime_engine.limits import DEFAULT_LIMITS, Limits
from smime_engine.mime.classify import ClearSigned, CmsPart, classify
from smime_engine.mime.defects import Defect
from smime_engine.mime.encoded_words import decode_words
from smime_engine.mime.headers import AddressList, addresses_of
from smime_engine.mime.parse import Entity, parse_entity
from smime_engine.policy.sending import OutgoingMessage, Protection

__all__ = ["detailed", "outgoing_message", "protection_of"]

_HARMLESS = frozenset({Defect.ADDRESS_IN_DISPLAY_NAME})

_ENCRYPTED = frozenset({oids.ID_ENVELOPED_DATA, oids.ID_CT_AUTH_ENVELOPED_DATA, oids.ID_ENCRYPTED_DATA})

# `MSIP_Label_<GUID>_ContentBits=8;`, where bit 3 says that rights management encrypts.
_LABEL = re.compile(r"MSIP_Label_([0-9A-Fa-f-]{36})_(Enabled|ContentBits)\s*=\s*([^;\s]*)", re.IGNORECASE)
_ENCRYPT_BIT = 0x8


def outgoing_message(message: bytes, *, envelope_sender: str, limits: Limits = DEFAULT_LIMITS) -> OutgoingMessage:
    """The facts that signing needs; LimitExceeded where the message is larger or deeper than allowed.

    Subject, header fields and visible recipients stay empty: `detailed` adds them where a rule asks for them.
    """
    entity = parse_entity(message, limits=limits)
    authors, sender = addresses_of(entity, "From"), addresses_of(entity, "Sender")
    return OutgoingMessage(
        envelope_sender=envelope_sender,
        authors=authors.addresses,
        sender=sender.addresses[0] if sender.addresses else None,
        ambiguous=_is_ambiguous(authors) or _is_ambiguous(sender) or len(sender.addresses) > 1,
        protection=_protection(entity),
        resent=bool(entity.named("Resent-From") or entity.named("Resent-Sender")),
        labelled=_is_labelled(entity),
    )


def detailed(facts: OutgoingMessage, message: bytes, *, limits: Limits = DEFAULT_LIMITS) -> OutgoingMessage:
    """The facts with Subject, header fields and the recipients that everybody can see."""
    entity = parse_entity(message, limits=limits)
    fields = tuple((field.name.lower(), field.value) for field in entity.fields)
    return replace(
        facts,
        subject=decode_words(next((value for name, value in fields if name == "subject"), "")),
        visible_recipients=addresses_of(entity, "To").addresses + addresses_of(entity, "Cc").addresses,
        fields=fields,
    )


def protection_of(message: bytes, *, limits: Limits = DEFAULT_LIMITS) -> Protection:
    """Whether a message is signed or encrypted on the outside, by what it is and not by what it calls itself."""
    return _protection(parse_entity(message, limits=limits))


def _protection(entity: Entity) -> Protection:
    if entity.content_type.value == "multipart/encrypted":
        first = entity.parts[0].content_type.value if len(entity.parts) == 2 else ""
        return Protection.ENCRYPTED if first == "application/pgp-encrypted" else Protection.SIGNED
    form = classify(entity)
    if isinstance(form, CmsPart):
        return Protection.ENCRYPTED if _is_encrypted(form.data) else Protection.SIGNED
    # RFC 1847: whatever the protocol is, somebody has signed this, and signing it again helps nobody.
    signed = isinstance(form, ClearSigned) or entity.content_type.value == "multipart/signed"
    return Protection.SIGNED if signed else Protection.NONE


def _is_encrypted(cms: bytes) -> bool:
    # What the sender's smime-type says does not count: a rule that demands encryption must not be talked out of it.
    try:
        return content_type_of(cms) in _ENCRYPTED
    except MalformedMessage:
        return False


def _is_ambiguous(addresses: AddressList) -> bool:
    return not _HARMLESS.issuperset(addresses.defects)


def _is_labelled(entity: Entity) -> bool:
    labels: dict[str, dict[str, str]] = {}
    for field in entity.named("msip_labels"):
        for guid, attribute, value in _LABEL.findall(field.value):
            labels.setdefault(guid.lower(), {})[attribute.lower()] = value
    return any(
        label.get("enabled", "").lower() == "true" and _bits(label.get("contentbits", "")) & _ENCRYPT_BIT
        for label in labels.values()
    )


def _bits(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
