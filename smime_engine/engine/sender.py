"""Sender binding: does the signer's certificate name whoever the message says it is from?

A signature that is valid and somebody else's is the oldest trick against S/MIME ("Johnny, you are fired"). Does:
compare the addresses of From (and, where From has several, of Sender) with those of a certificate. Does not: look at
display names, the envelope, or DKIM; find out which header fields were protected (`mime.header_protection`).

One author: the certificate must name it; a Sender field does not help, for people see From. Several authors: it must
name all of them, or the Sender, whom RFC 5322 section 3.6.2 then demands. Anything that makes the fields ambiguous
(twice there, not readable) means "not bound".

Standards: RFC 8550 section 3, RFC 8551 section 3.1, RFC 5322 section 3.6.2, RFC 9598.
"""

from __future__ import annotations

from dataclasses import dataclass

from smime_engine.certificate import Certificate
from smime_engine.mime.addresses import AddressList, addresses_of
from smime_engine.mime.defects import Defect
from smime_engine.mime.parse import Entity
from smime_engine.problems import Finding, Problem

__all__ = ["Sender", "sender_of"]

_HARMLESS = {Defect.ADDRESS_IN_DISPLAY_NAME}
_NOBODY = AddressList()


@dataclass(frozen=True, slots=True)
class Sender:
    """The From and Sender fields of one message; empty where there is no message."""

    authors: AddressList = _NOBODY
    agents: AddressList = _NOBODY

    @property
    def addresses(self) -> tuple[str, ...]:
        """The addresses of From."""
        return self.authors.addresses

    def bound_to(self, certificate: Certificate) -> tuple[bool | None, Finding | None]:
        """Whether the certificate names the sender (None: there is none to compare), and the finding if it does not."""
        authors = self.authors
        if not authors.field_count:
            return None, None
        if _is_clear(authors) and all(map(certificate.names_address, authors.addresses)):
            return True, None
        if len(authors.addresses) > 1 and _is_clear(authors) and self._names_agent(certificate):
            return True, None
        named = ", ".join(certificate.addresses) or "no address"
        detail = f"it names {named}, not {', '.join(authors.addresses) or 'an unreadable sender'}"
        if authors.field_count > 1:
            detail += f"; the message has {authors.field_count} From fields"
        return False, Finding(problem=Problem.SENDER_MISMATCH, detail=detail)

    def _names_agent(self, certificate: Certificate) -> bool:
        agents = self.agents
        return _is_clear(agents) and len(agents.addresses) == 1 and certificate.names_address(agents.addresses[0])


def sender_of(message: Entity) -> Sender:
    """The sender of a message."""
    authors = addresses_of(message, "From")
    if len(authors.mailboxes) > 1:
        return Sender(authors, addresses_of(message, "Sender"))
    return Sender(authors)


def _is_clear(found: AddressList) -> bool:
    return bool(found.mailboxes) and _HARMLESS.issuperset(found.defects)
