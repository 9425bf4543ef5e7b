"""The facts of a message that leaves: who wrote it, who sends it, whether it is protected already.

Does: read them from the message's octets for `policy.sending`. Does not: decide anything, or look into CMS.
RFC 5322 sections 3.6.2 (From, Sender) and 3.6.6 (Resent fields); RFC 8551 section 3.2; RFC 3156 (OpenPGP).
"""

from __future__ import annotations

from smime_engine.limits import DEFAULT_LIMITS, Limits
from smime_engine.mime.classify import ClearSigned, CmsPart, classify
from smime_engine.mime.defects import Defect
from smime_engine.mime.headers import AddressList, addresses_of
from smime_engine.mime.parse import Entity, parse_entity
from smime_engine.policy.sending import OutgoingMessage

__all__ = ["outgoing_message"]

# RFC 1847: whatever the protocol is, somebody has signed or encrypted this, and wrapping it again helps nobody.
_PROTECTED_TYPES = frozenset({"multipart/signed", "multipart/encrypted"})

_HARMLESS = frozenset({Defect.ADDRESS_IN_DISPLAY_NAME})


def outgoing_message(message: bytes, *, envelope_sender: str, limits: Limits = DEFAULT_LIMITS) -> OutgoingMessage:
    """The facts of a message (RFC 5322, any line ends); LimitExceeded where it is larger or deeper than allowed."""
    entity = parse_entity(message, limits=limits)
    authors, sender = addresses_of(entity, "From"), addresses_of(entity, "Sender")
    return OutgoingMessage(
        envelope_sender=envelope_sender,
        authors=authors.addresses,
        sender=sender.addresses[0] if sender.addresses else None,
        ambiguous=_is_ambiguous(authors) or _is_ambiguous(sender) or len(sender.addresses) > 1,
        protected=_is_protected(entity),
        resent=bool(entity.named("Resent-From") or entity.named("Resent-Sender")),
    )


def _is_protected(entity: Entity) -> bool:
    return entity.content_type.value in _PROTECTED_TYPES or isinstance(classify(entity), ClearSigned | CmsPart)


def _is_ambiguous(addresses: AddressList) -> bool:
    return not _HARMLESS.issuperset(addresses.defects)
