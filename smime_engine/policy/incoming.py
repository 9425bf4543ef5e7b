"""The message that a recipient gets: what came, or what was inside it, with what was found out about it.

Does: compose the form that `policy.receiving` chose; add `Authentication-Results` with method `smime` (RFC 8601, RFC
7281) and three fields of our own; remove such fields that came from outside; tag the Subject; put an explanation in
front. Does not: decide, open, or deliver.

The decrypted entity keeps every octet but for fields in its header that belong to the transport or name people (From,
To, Subject …): those of the message outside stay, for they are what others on the way have checked, unless header
protection (RFC 9788) says which ones are genuine. A protected From that differs from the one outside is not put in its
place.
"""

from __future__ import annotations

from collections.abc import Iterable

from smime_engine.limits import DEFAULT_LIMITS, Limits
from smime_engine.mime.build import MIME_VERSION
from smime_engine.mime.edit import with_fields_on_top, with_subject_prefix, without_fields, without_fields_where
from smime_engine.mime.fields import HeaderField
from smime_engine.mime.header_protection import restored_message
from smime_engine.mime.parse import parse_entity
from smime_engine.policy.receiving import Form, Judgement, State
from smime_engine.problems import Verdict
from smime_engine.report import EncryptedLayer, OpenedMessage, SignatureReport

__all__ = ["OWN_FIELDS", "authentication_results", "compose_incoming", "without_forged_fields"]

OWN_FIELDS = ("X-SMIME-Signature", "X-SMIME-Encryption", "X-SMIME-Problems")

_NOT_FROM_INSIDE = frozenset(
    {
        *("from", "sender", "reply-to", "to", "cc", "bcc", "date", "message-id", "in-reply-to", "references"),
        *("subject", "received", "return-path", "delivered-to", "authentication-results", "dkim-signature"),
        *("mime-version", *(name.lower() for name in OWN_FIELDS)),
    }
)

_RESULTS = {
    State.UNPROTECTED: "none",
    State.UNSIGNED: "none",
    State.VALID: "pass",
    State.INVALID: "fail",
    State.UNKNOWN: "neutral",
    State.UNDECRYPTABLE: "permerror",
    State.DAMAGED: "permerror",
    State.MALFORMED: "permerror",
}


def compose_incoming(message: bytes, judgement: Judgement, *, server: str, limits: Limits = DEFAULT_LIMITS) -> bytes:
    """The message for a recipient. `server` is our authserv-id (RFC 8601 section 2.5).

    Raises LimitExceeded for the message.
    """
    composed = without_forged_fields(_form(message, judgement, limits), server, limits=limits)
    if judgement.tag:
        composed = with_subject_prefix(composed, judgement.tag, limits=limits)
    if judgement.explain:
        composed = _explained(composed, judgement, limits)
    return with_fields_on_top(composed, _new_fields(judgement, server))


def without_forged_fields(message: bytes, server: str, *, limits: Limits = DEFAULT_LIMITS) -> bytes:
    """The message without fields that only this server may write: our own, and results in our name."""
    own = {name.lower() for name in OWN_FIELDS}

    def forged(field: HeaderField) -> bool:
        name = field.name.lower()
        return name in own or (name == "authentication-results" and _server_of(field.value) == server.lower())

    return without_fields_where(message, forged, limits=limits)


def authentication_results(judgement: Judgement, server: str) -> bytes:
    """One `Authentication-Results` field, folded, with CRLF: a result for each signature."""
    result = _RESULTS[judgement.state]
    signatures = () if judgement.opened is None else judgement.opened.signatures
    results = [_result(signature) for signature in signatures]
    # Where all signatures are valid and the message is not, a part of it is not covered by any.
    uncovered = result != "pass" and all(words[0].startswith("smime=pass") for words in results)
    if not results or uncovered or result not in {"pass", "fail", "neutral"}:
        results = [[f"smime={result} ({judgement.state.value})"]]
    lines = [f"Authentication-Results: {server}", *("\r\n\t".join(words) for words in results)]
    return (";\r\n\t".join(lines) + "\r\n").encode("ascii", "replace")


def _new_fields(judgement: Judgement, server: str) -> list[bytes]:
    opened = judgement.opened
    verdict = None if opened is None else opened.verdict
    ciphers = [] if opened is None else [layer.cipher for layer in opened.layers if isinstance(layer, EncryptedLayer)]
    encryption = "failed" if judgement.state in {State.UNDECRYPTABLE, State.DAMAGED} else ", ".join(ciphers) or "none"
    fields = [
        authentication_results(judgement, server),
        f"X-SMIME-Signature: {'none' if verdict is None else judgement.state.name}\r\n".encode("ascii"),
        f"X-SMIME-Encryption: {encryption}\r\n".encode("ascii", "replace"),
    ]
    problems = [] if opened is None else _problems(opened)
    if problems:
        fields.append(("X-SMIME-Problems: " + ",\r\n\t".join(problems) + "\r\n").encode("ascii"))
    return fields


def _problems(opened: OpenedMessage) -> list[str]:
    found = [problem.name for signature in opened.signatures for problem in signature.problems]
    found += [finding.problem.name for finding in opened.findings]
    return list(dict.fromkeys(found))


def _result(signature: SignatureReport) -> list[str]:
    verdict = {Verdict.VALID: "pass", Verdict.INVALID: "fail", Verdict.UNKNOWN: "neutral"}[signature.verdict]
    words = [f"smime={verdict}"]
    if signature.problems:
        words[0] += f" ({', '.join(problem.name for problem in signature.problems)})"
    certificate = signature.certificate
    if certificate is not None:
        words += [f"body.smime-identifier={_value(address)}" for address in certificate.addresses[:1]]
        words.append(f"body.smime-serial={certificate.serial_number:x}")
        words.append(f"body.smime-issuer={_quoted(certificate.issuer)}")
    return words


def _value(address: str) -> str:
    # RFC 8601 section 2.2: an addr-spec may stand bare; anything odd is quoted.
    return address if address.isascii() and all(c.isalnum() or c in "@.-_+" for c in address) else _quoted(address)


def _quoted(text: str) -> str:
    clean = "".join(character if " " <= character <= "~" else "?" for character in text)[:200]
    return '"' + clean.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _server_of(value: str) -> str:
    """The authserv-id of an Authentication-Results field; a version may follow it."""
    words = value.partition(";")[0].split()
    return words[0].strip('"').lower() if words else ""


def _form(message: bytes, judgement: Judgement, limits: Limits) -> bytes:
    opened = judgement.opened
    if opened is None or judgement.form is Form.ORIGINAL:
        return message
    header = opened.header
    restorable = header is not None and not header.from_differs
    if judgement.form is Form.STRIPPED and header is not None and restorable:
        return restored_message(header)
    if opened.decrypted is None:
        return message
    if header is not None and restorable and header.scheme is not None:
        outside = [field.raw for field in (*header.unprotected, *header.header) if not _is_about_content(field.name)]
    else:
        outer = parse_entity(message, limits=limits)
        outside = [field.raw for field in outer.fields if not _is_about_content(field.name)]
    inside = without_fields(opened.decrypted, _NOT_FROM_INSIDE, limits=limits)
    return b"".join((*map(_with_crlf, outside), MIME_VERSION, inside))


def _is_about_content(name: str) -> bool:
    lowered = name.lower()
    return lowered.startswith("content-") or lowered in {"mime-version", "hp-outer"}


def _with_crlf(field: bytes) -> bytes:
    return field.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def _explained(message: bytes, judgement: Judgement, limits: Limits) -> bytes:
    """A multipart/mixed of an explanation and the entity as it is."""
    entity = parse_entity(message, limits=limits)
    fields = entity.fields
    outside = b"".join(field.raw for field in fields if not _is_about_content(field.name))
    content = b"".join(field.raw for field in fields if field.name.lower().startswith("content-"))
    body = bytes(entity.body)
    boundary = _boundary(judgement, body)
    text = "\r\n".join(_explanation(judgement)).encode("ascii", "replace")
    return b"".join(
        (
            outside,
            MIME_VERSION,
            b'Content-Type: multipart/mixed; boundary="' + boundary + b'"\r\n\r\n--' + boundary,
            b"\r\nContent-Type: text/plain; charset=us-ascii\r\nContent-Disposition: inline\r\n\r\n" + text,
            b"\r\n--" + boundary + b"\r\n" + content + b"\r\n" + body,
            b"\r\n--" + boundary + b"--\r\n",
        )
    )


def _boundary(judgement: Judgement, body: bytes) -> bytes:
    """A boundary that does not occur in the body."""
    boundary = b"=_smime_" + judgement.state.name.lower().encode("ascii")
    while boundary in body:
        boundary += b"_"
    return boundary


def _explanation(judgement: Judgement) -> Iterable[str]:
    yield f"S/MIME: {judgement.state.value}."
    opened = judgement.opened
    if opened is not None:
        for signature in opened.signatures:
            signer = "" if signature.certificate is None else ", ".join(signature.certificate.addresses)
            yield f"Signed by {signer or signature.identifier}: {signature.verdict.name}"
            for problem in signature.problems:
                yield f"  {problem.name}: {problem.text}"
        if opened.partial:
            yield "Parts of this message stand outside of what was signed or encrypted."
