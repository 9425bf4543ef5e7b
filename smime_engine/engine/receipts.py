"""Signed receipts as mail: make one for a message that asks for it, and judge one that came back.

Does: decide whether a receipt is due (the signature is VALID, and the sender wants one from this address), wrap it, and
hold a receipt against the message that asked. Does not: send, or ask the person whether it may be sent.

Standards: RFC 2634 sections 2.3 to 2.6, RFC 8551 section 3.2.2 (`smime-type=signed-receipt`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, NoReturn

from smime_engine.addresses import comparable_address
from smime_engine.asn1 import oids
from smime_engine.cms.receipts import ReceiptCheck, create_receipt, verify_receipt
from smime_engine.cms.signer import CmsSigner
from smime_engine.engine.opening import open_message
from smime_engine.errors import MalformedMessage
from smime_engine.mime.build import OpaqueFrame
from smime_engine.mime.classify import CmsPart, classify
from smime_engine.mime.dates import date_text
from smime_engine.mime.parse import parse_entity
from smime_engine.problems import Problem, Verdict, verdict_of
from smime_engine.report import OpenedMessage, SignatureReport

__all__ = ["ReceiptReport", "open_receipt", "receipt_message", "requesting_signature"]

_FRAME = OpaqueFrame("signed-receipt")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptReport:
    """A receipt held against the message that asked for it."""

    check: ReceiptCheck
    signature: SignatureReport
    """Who signed the receipt, with the path; the sender of the receipt's mail is compared as with any message."""

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Every problem once."""
        return tuple(dict.fromkeys((*self.check.problems, *self.signature.problems)))

    @property
    def verdict(self) -> Verdict:
        """VALID: the owner of the receipt's certificate has verified exactly this message."""
        return verdict_of(self.problems, forgiven=self.signature.forgiven)

    def __bool__(self) -> NoReturn:
        raise TypeError("a receipt report has no truth value: compare its verdict")


def requesting_signature(opened: OpenedMessage) -> SignatureReport | None:
    """The signature that asks for a receipt: of the innermost layer that has one; None where nobody asks."""
    asking = [signature for signature in opened.signatures if signature.services.receipt_request is not None]
    return asking[-1] if asking else None


def receipt_message(opened: OpenedMessage, signer: CmsSigner, *, address: str, now: datetime) -> bytes | None:
    """The mail with `signer`'s receipt for an opened message that `address` got; None where none is wanted from it.

    A message that is not VALID gets no receipt (NotValid): it would confirm what nobody verified. `now` is aware.
    """
    signature = requesting_signature(opened)
    request = None if signature is None else signature.services.receipt_request
    if signature is None or request is None or not request.wants_from(address, signature.services.list_history):
        return None
    opened.require_valid()
    # Hostile addresses could bring header fields along; what is no address gets no receipt.
    receivers = [receiver for receiver in request.send_to if comparable_address(receiver) is not None]
    if not receivers:
        return None
    receipt = create_receipt(signature.signer, signature.check, signer, now=now)
    fields = (
        f"From: {address}\r\nTo: {', '.join(receivers)}\r\nDate: {date_text(now)}\r\n"
        "Subject: Signed receipt\r\nMIME-Version: 1.0\r\n"
    )
    return _FRAME.compose(fields.encode(), (receipt,))


def open_receipt(receipt: bytes, original: OpenedMessage, **world: Any) -> ReceiptReport:
    """Judge a receipt's mail against the message that asked for it; `world` are the arguments of `open_message`.

    Raises MalformedMessage where the one is no receipt or the other asks for none.
    """
    asking = requesting_signature(original)
    if asking is None:
        raise MalformedMessage("a message that asks for a receipt")
    form = classify(parse_entity(receipt))
    if not isinstance(form, CmsPart):
        raise MalformedMessage("a signed receipt (application/pkcs7-mime)")
    check = verify_receipt(form.data, asking.signer, asking.check, content_type=oids.ID_DATA)
    signatures = open_message(receipt, **world).signatures
    if len(signatures) != 1:
        raise MalformedMessage("a receipt that one signer signed")
    return ReceiptReport(check=check, signature=signatures[0])
