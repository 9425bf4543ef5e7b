"""How `smime directory lookup` shows what it found: JSON for scripts, lines for people.

Does: translate resolutions and plans, field by field. Does not: decide anything, or make text safe for a terminal.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from smime_engine.certificate import Certificate
from smime_engine.cms.capabilities import announced_ciphers
from smime_engine.directory.choosing import Choice
from smime_engine.engine.recipient_plan import EncryptionPlan, PlannedCopy
from smime_engine.policy.capabilities import Addressee

if TYPE_CHECKING:
    from smime_engine.sources.directories import Resolution

__all__ = ["plan_as_json", "plan_as_lines"]


def plan_as_json(plan: EncryptionPlan, visible: Resolution, bcc: Resolution) -> dict[str, Any]:
    """The JSON of `smime directory lookup --json`."""
    return {
        "recipients": [
            *(_recipient(choice, hidden=False) for choice in visible.choices),
            *(_recipient(choice, hidden=True) for choice in bcc.choices),
        ],
        "groups": [
            {
                "address": group.address,
                "members": list(group.expansion.addresses),
                "complete": group.is_complete,
                "problem": group.problem or None,
                "loops": list(group.expansion.loops),
            }
            for group in (*visible.groups, *bcc.groups)
        ],
        "copies": [_copy(planned) for planned in plan.copies],
        "remove": [_missing(choice) for choice in plan.to_remove],
        "ask": [{"address": question.address, "text": question.text} for question in plan.questions],
    }


def _recipient(choice: Choice, *, hidden: bool) -> dict[str, Any]:
    chosen, report = choice.chosen, choice.report
    return {
        "address": choice.address,
        "hidden": hidden,
        "found": choice.entry is not None,
        "certificate": None if chosen is None else _certificate(chosen.certificate),
        "trusted": report is not None,
        "chain": [] if report is None else [link.subject for link in report.chain],
        "source": choice.source,
        "entry": None if choice.entry is None else choice.entry.identifier,
        "origin": None if chosen is None else chosen.origin.name,
        "capabilities": _ciphers(choice),
        "reason": None if choice.reason is None else choice.reason.name,
        "detail": choice.detail or None,
        "notes": [{"note": note.name, "text": note.value, "detail": detail or None} for note, detail in choice.notes],
        "rejected": [
            {
                "certificate": _certificate(found.listed.certificate),
                "source": found.entry.source,
                "origin": found.listed.origin.name,
                "reasons": [reason.name for reason in found.reasons],
                "detail": found.detail,
            }
            for found in choice.rejected
        ],
        "incomplete": choice.incomplete,
    }


def _certificate(certificate: Certificate) -> dict[str, Any]:
    return {
        "subject": certificate.subject,
        "issuer": certificate.issuer,
        "serial": f"{certificate.serial_number:x}",
        "addresses": list(certificate.addresses),
        "not_after": certificate.not_after.isoformat(),
        "sha256": certificate.fingerprint_sha256.hex(),
    }


def _ciphers(choice: Choice) -> list[str] | None:
    """What the recipient announces: by the source, or in the certificate; null where nothing is known."""
    if choice.chosen is None:
        return None
    addressee = Addressee(certificate=choice.chosen.certificate, capabilities=choice.capabilities)
    known = addressee.known_capabilities
    return None if known is None else list(announced_ciphers(known))


def _copy(planned: PlannedCopy) -> dict[str, Any]:
    return {
        "recipients": list(planned.copy.recipients),
        "hidden": planned.copy.hidden,
        "exposed": list(planned.copy.exposed),
        "cipher": planned.encryption.cipher,
        "keys": [
            {"sha256": certificate.fingerprint_sha256.hex(), "subject": certificate.subject, "algorithm": way}
            for certificate, way in planned.keys
        ],
        "explanations": [
            {"reason": entry.reason.name, "recipient": entry.recipient, "detail": entry.detail or None}
            for entry in planned.explanations
        ],
    }


def _missing(choice: Choice) -> dict[str, Any]:
    assert choice.reason is not None
    return {
        "address": choice.address,
        "reason": choice.reason.name,
        "text": choice.reason.value,
        "temporary": choice.incomplete or choice.reason.is_temporary,
    }


def plan_as_lines(plan: EncryptionPlan, visible: Resolution, bcc: Resolution) -> Iterator[str]:
    """The same for people."""
    for choice in (*visible.choices, *bcc.choices):
        yield from _choice_lines(choice)
    for group in (*visible.groups, *bcc.groups):
        problem = f": {group.problem}" if group.problem else ""
        yield f"group {group.address}: {len(group.expansion.members)} members{problem}"
    for planned in plan.copies:
        kind = "hidden copy" if planned.copy.hidden else "copy"
        count = len(planned.copy.addressees)
        keys = f"{count} key{'s' if count != 1 else ''}"
        yield f"{kind} for {', '.join(planned.copy.recipients)}: {planned.encryption.cipher}, {keys}"
        if planned.copy.exposed:
            yield f"  everybody who can read it can find in it: {', '.join(planned.copy.exposed)}"
    for question in plan.questions:
        yield f"ask about {question.address}: {question.text}"
    for choice in plan.to_remove:
        yield f"remove {choice.address}, or do not send"


def _choice_lines(choice: Choice) -> Iterator[str]:
    chosen = choice.chosen
    if chosen is None:
        assert choice.reason is not None
        yield f"{choice.address}: {choice.reason.name}: {choice.reason.value}"
        if choice.detail:
            yield f"  {choice.detail}"
        return
    certificate = chosen.certificate
    ends = f"{certificate.not_after:%Y-%m-%d}"
    yield f"{choice.address}: {certificate.subject or 'a certificate without subject'}, until {ends}"
    yield f"  from {choice.source} ({chosen.origin.value}), issued by {certificate.issuer}"
    ciphers = _ciphers(choice)
    yield f"  reads {', '.join(ciphers)}" if ciphers else "  says nothing about what it reads"
    for note, detail in choice.notes:
        yield f"  {note.name}: {note.value}{f' ({detail})' if detail else ''}"
