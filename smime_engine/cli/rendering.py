"""How `smime open` shows an opened message: JSON for scripts, lines for people.

Does: translate a report, field by field. Does not: decide anything. Text from messages and certificates is hostile:
control characters are shown as escapes, so that no subject can move a terminal's cursor.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from smime_engine.cms.ess import SecurityLabel, SecurityServices
from smime_engine.cms.recipients import RecipientDescription
from smime_engine.mime.header_protection import HeaderReport
from smime_engine.problems import Verdict
from smime_engine.report import (
    CertificatesLayer,
    CompressedLayer,
    DigestedLayer,
    EncryptedLayer,
    Layer,
    OpenedMessage,
    SignatureReport,
    SignedLayer,
    TimestampReport,
)
from smime_engine.trust.wanted import Crl, Issuer, Ocsp, Wanted

__all__ = ["as_json", "as_lines", "json_text", "printable"]


def json_text(value: object) -> str:
    """JSON, indented for people, in ASCII so that nothing in it can steer a terminal."""
    return json.dumps(value, indent=2)


def as_json(opened: OpenedMessage) -> dict[str, Any]:
    """The JSON of `smime open --json`; `verdict` is null when nothing was signed."""
    found: dict[str, Any] = {
        "layers": [_layer(layer) for layer in opened.layers],
        "verdict": _verdict(opened.verdict),
        "sender_bound": opened.sender_bound,
        "partial": opened.partial,
        "problems": [finding.problem.name for finding in opened.findings],
        "outside": [{"content_type": part.content_type, "size": part.size} for part in opened.outside],
        "wanted": [_wanted(wanted) for wanted in opened.wanted],
    }
    header = opened.header
    if header is not None and header.scheme is not None:
        found["header"] = _header(header)
    if opened.parts:
        found["parts"] = [as_json(part) for part in opened.parts]
    return found


def _header(header: HeaderReport) -> dict[str, Any]:
    assert header.scheme is not None
    return {
        "scheme": header.scheme.value,
        "declared": header.declared,
        "from_differs": header.from_differs,
        "changed_outside": list(header.changed_outside),
        "fields": [
            {
                "name": field.name,
                "value": field.value,
                "signed": field.signed,
                "encrypted": field.encrypted,
                "differs": field.differs,
            }
            for field in header.fields
        ],
    }


def _header_lines(header: HeaderReport) -> Iterator[str]:
    assert header.scheme is not None
    yield f"header fields protected ({header.scheme.value}):"
    for field in header.fields:
        protection = ", ".join(
            word
            for word, holds in (("signed", field.signed), ("encrypted", field.encrypted), ("differs", field.differs))
            if holds
        )
        yield f"  {field.name}: {printable(field.value)} [{protection or 'as outside'}]"
    if header.from_differs:
        yield "  the From outside names somebody else than the one inside"


def _layer(layer: Layer) -> dict[str, Any]:
    match layer:
        case SignedLayer():
            return {
                "kind": layer.kind,
                "clear": layer.clear,
                "verdict": _verdict(layer.verdict),
                "problems": [problem.name for problem in layer.problems],
                "signatures": [_signature(signature) for signature in layer.signatures],
            }
        case EncryptedLayer():
            return {
                "kind": layer.kind,
                "content_type": layer.content_type,
                "cipher": layer.cipher,
                "integrity": layer.integrity,
                "recipients": [_recipient(recipient) for recipient in layer.recipients],
                "opened_with": None if layer.opened_with is None else _recipient(layer.opened_with),
                "problems": [problem.name for problem in layer.problems],
            }
        case CompressedLayer():
            return {"kind": layer.kind, "algorithm": layer.algorithm, "size": layer.size}
        case DigestedLayer():
            return {"kind": layer.kind, "algorithm": layer.algorithm, "intact": layer.intact}
        case CertificatesLayer():
            return {"kind": layer.kind, "certificates": len(layer.certificates), "crls": len(layer.crls)}


def _recipient(recipient: RecipientDescription) -> dict[str, str]:
    return {"kind": recipient.kind, "id": recipient.identifier, "key_algorithm": recipient.key_algorithm}


def _signature(signature: SignatureReport) -> dict[str, Any]:
    certificate = signature.certificate
    path = signature.path
    return {
        "verdict": _verdict(signature.verdict),
        "problems": [problem.name for problem in signature.problems],
        "forgiven": sorted(problem.name for problem in signature.forgiven.intersection(signature.problems)),
        "details": [_detail(*row) for row in _details(signature)],
        "signer": None
        if certificate is None
        else {
            "subject": certificate.subject,
            "issuer": certificate.issuer,
            "serial": f"{certificate.serial_number:x}",
            "addresses": list(certificate.addresses),
        },
        "identifier": signature.identifier,
        "digest": signature.digest,
        "algorithm": signature.algorithm,
        "signing_time": None if signature.signing_time is None else signature.signing_time.isoformat(),
        "sender_bound": signature.sender_bound,
        "chain": [] if path is None else [link.subject for link in path.chain],
        **_attested(signature),
    }


def _attested(signature: SignatureReport) -> dict[str, Any]:
    """What few signatures have: time stamps, countersignatures, security services; each key only where it is."""
    found: dict[str, Any] = {}
    if signature.judged_at is not None:
        at = signature.judged_at
        found["judged_at"] = {"moment": at.moment.isoformat(), "reason": at.reason.value, "authority": at.authority}
    if signature.timestamps:
        found["timestamps"] = [_timestamp(stamp) for stamp in signature.timestamps]
    if signature.countersignatures:
        found["countersignatures"] = [_signature(other) for other in signature.countersignatures]
    if signature.services != SecurityServices():
        found["services"] = _services(signature.services)
    return found


def _timestamp(stamp: TimestampReport) -> dict[str, Any]:
    check, certificate = stamp.check, stamp.certificate
    return {
        "verdict": stamp.verdict.value,
        "problems": [problem.name for problem in stamp.problems],
        "moment": None if check.moment is None else check.moment.isoformat(),
        "accuracy_seconds": None if check.accuracy is None else check.accuracy.total_seconds(),
        "policy": check.policy,
        "authority": None if certificate is None else certificate.subject,
    }


def _services(services: SecurityServices) -> dict[str, Any]:
    found: dict[str, Any] = {}
    request, hint = services.receipt_request, services.content_hint
    if request is not None:
        found["receipt_request"] = {
            "identifier": request.identifier.hex(),
            "send_to": list(request.send_to),
            "wanted_from": None if request.wanted_from is None else list(request.wanted_from),
            "first_tier_only": request.first_tier_only,
        }
    if services.label is not None:
        found["label"] = _label(services.label)
    if services.equivalent_labels:
        found["equivalent_labels"] = [_label(label) for label in services.equivalent_labels]
    if services.list_history:
        found["mailing_lists"] = [
            {
                "list": entry.list_identifier.hex(),
                "moment": entry.moment.isoformat(),
                "receipts": entry.receipts or "as-requested",
                "receipt_addresses": list(entry.receipt_addresses),
            }
            for entry in services.list_history
        ]
    if hint is not None:
        found["content_hint"] = {"content_type": hint.content_type, "description": hint.description}
    if services.malformed:
        found["malformed"] = list(services.malformed)
    return found


def _label(label: SecurityLabel) -> dict[str, Any]:
    return {
        "policy": label.policy,
        "classification": label.classification,
        "privacy_mark": label.privacy_mark,
        "categories": [{"type": kind, "value": value.hex()} for kind, value in label.categories],
    }


def _details(signature: SignatureReport) -> Iterator[tuple[str, str, str | None]]:
    for finding in (*signature.check.findings, *signature.findings):
        yield finding.problem.name, str(finding), None
    for problem in () if signature.path is None else signature.path.problems:
        text = f"{problem.problem.text} ({problem.detail})" if problem.detail else problem.problem.text
        yield problem.problem.name, text, problem.certificate.subject


def _detail(name: str, text: str, certificate: str | None) -> dict[str, str]:
    found = {"problem": name, "text": text}
    return found if certificate is None else {**found, "certificate": certificate}


def _wanted(wanted: Wanted) -> str:
    match wanted:
        case Issuer():
            return f"the certificate of {wanted.name} from {wanted.url or 'its administrator'}"
        case Crl():
            return f"the revocation list of {wanted.issuer} from {wanted.url or 'its administrator'}"
        case Ocsp():
            return f"an OCSP response about a certificate of {wanted.issuer} from {wanted.url}"


def _verdict(verdict: Verdict | None) -> str | None:
    return None if verdict is None else verdict.value


def as_lines(opened: OpenedMessage, *, indent: str = "") -> Iterator[str]:
    """A report for people, one line after the other, without terminal colours."""
    for layer in opened.layers:
        yield from (indent + line for line in _layer_lines(layer))
    yield from (f"{indent}{finding.problem.name}: {printable(str(finding))}" for finding in opened.findings)
    for part in opened.parts:
        yield f"{indent}part:"
        yield from as_lines(part, indent=indent + "  ")
    for outside in opened.outside:
        yield f"{indent}outside of the opened part: {printable(outside.content_type)}, {outside.size:,} bytes"
    header = opened.header
    if header is not None and header.scheme is not None and opened.layers:
        yield from (indent + line for line in _header_lines(header))
    if not opened.layers and not opened.parts:
        yield f"{indent}neither signed nor encrypted"
    if not indent:
        verdict = opened.verdict
        yield f"verdict: {'nothing was signed' if verdict is None else verdict.value}"
        yield from (f"  could help: {printable(_wanted(wanted))}" for wanted in opened.wanted)


def _layer_lines(layer: Layer) -> Iterator[str]:
    match layer:
        case SignedLayer():
            yield f"signed ({'clear' if layer.clear else 'opaque'}): {layer.verdict.value}"
            yield from (f"  {problem.name}: {problem.text}" for problem in layer.problems)
            for signature in layer.signatures:
                yield from (f"  {line}" for line in _signature_lines(signature))
        case EncryptedLayer():
            protection = "with integrity" if layer.integrity else "without integrity: changes go unnoticed"
            count = len(layer.recipients)
            yield f"encrypted: {layer.cipher}, {protection}, {count} recipient{'s' if count != 1 else ''}"
            if layer.opened_with is not None:
                yield f"  opened with {layer.opened_with.kind} {printable(layer.opened_with.identifier)}".rstrip()
            yield from (f"  {finding.problem.name}: {finding}" for finding in layer.findings)
        case CompressedLayer():
            yield f"compressed: {layer.algorithm}, {layer.compressed_size:,} to {layer.size:,} bytes"
        case DigestedLayer():
            yield f"digested: {layer.algorithm}, {'intact' if layer.intact else 'damaged'}"
        case CertificatesLayer():
            yield f"certificates only: {len(layer.certificates)} certificates, {len(layer.crls)} revocation lists"


def _signature_lines(signature: SignatureReport) -> Iterator[str]:
    certificate = signature.certificate
    who = signature.identifier if certificate is None else certificate.subject
    addresses = "" if certificate is None or not certificate.addresses else f" <{', '.join(certificate.addresses)}>"
    yield f"{signature.verdict.value}: {printable(who + addresses)}"
    claimed = "" if signature.signing_time is None else f", claims {signature.signing_time:%Y-%m-%d %H:%M:%S} UTC"
    yield f"  {signature.algorithm} with {signature.digest}{claimed}"
    for name, text, subject in _details(signature):
        yield f"  {name}: {printable(text)}{'' if subject is None else f' [{printable(subject)}]'}"
    if signature.judged_at is not None:
        yield f"  judged for {signature.judged_at.moment:%Y-%m-%d %H:%M:%S} UTC: {signature.judged_at.reason.value}"
    for stamp in signature.timestamps:
        yield from (f"  {line}" for line in _timestamp_lines(stamp))
    for other in signature.countersignatures:
        first, *rest = _signature_lines(other)
        yield f"  countersigned: {first}"
        yield from (f"  {line}" for line in rest)
    yield from (f"  {line}" for line in _service_lines(signature.services))


def _timestamp_lines(stamp: TimestampReport) -> Iterator[str]:
    check, certificate = stamp.check, stamp.certificate
    moment = "at no readable time" if check.moment is None else f"{check.moment:%Y-%m-%d %H:%M:%S} UTC"
    by = "" if certificate is None else f" by {printable(certificate.subject)}"
    yield f"time stamp: {stamp.verdict.value}, {moment}{by}"
    yield from (f"  {problem.name}: {problem.text}" for problem in stamp.problems)


_CLASSIFICATIONS = ("unmarked", "unclassified", "restricted", "confidential", "secret", "top secret")


def _service_lines(services: SecurityServices) -> Iterator[str]:
    request, label, hint = services.receipt_request, services.label, services.content_hint
    if request is not None:
        who = "everybody" if request.wanted_from is None else ", ".join(request.wanted_from)
        yield f"receipt wanted from {printable(who)}, to {printable(', '.join(request.send_to))}"
    for entry in filter(None, (label, *services.equivalent_labels)):
        known = entry.classification is not None and entry.classification < len(_CLASSIFICATIONS)
        level = _CLASSIFICATIONS[entry.classification or 0] if known else f"classification {entry.classification}"
        mark = f", {printable(entry.privacy_mark)}" if entry.privacy_mark else ""
        yield f"security label: {level} under policy {entry.policy}{mark}"
    for expansion in services.list_history:
        yield f"went through a mailing list at {expansion.moment:%Y-%m-%d %H:%M:%S} UTC"
    if hint is not None:
        yield f"content hint: {hint.content_type} {printable(hint.description)}".rstrip()
    yield from (f"cannot be read: {name}" for name in services.malformed)


def printable(text: str) -> str:
    """The text with everything that could steer a terminal (control, format, unassigned) as an escape."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
