"""Header protection: header fields inside the signed or encrypted payload (RFC 9788).

Does, when writing: put a copy of the message's header fields into the payload, mark it `hp="clear"` or `hp="cipher"`,
hide what the confidentiality policy says outside, record in `HP-Outer` what stands there, and repeat hidden fields in
the text for readers that know nothing of this. When reading: the scheme of RFC 9788, the drafts before it
(`protected-headers="v1"`), and the `message/rfc822` wrapping of RFC 8551 section 3.1; says for every field whether it
was signed, encrypted, or differs outside, and which fields to show. Does not: sign, encrypt or verify: the caller
says what the layers around the payload gave.

Attacks considered: fields outside are never merged into those of a protected payload; a payload marked `clear` inside
encryption hides nothing, so that a reply must not treat its fields as secret; `HP-Outer` counts only where the sender
encrypted; a From inside that differs from the one outside is reported, for whoever relays mail may have checked the
other one (RFC 9788 section 4.4).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from smime_engine.limits import DEFAULT_LIMITS, Limits
from smime_engine.mime.addresses import addresses_of
from smime_engine.mime.build import MIME_VERSION, SplitMessage
from smime_engine.mime.canonical import with_crlf
from smime_engine.mime.canonical_headers import parameter_field
from smime_engine.mime.encoded_words import decode_words
from smime_engine.mime.fields import HeaderField, header_end, split_fields
from smime_engine.mime.header_confidentiality import (
    HeaderConfidentialityPolicy,
    hcp_baseline,
    hcp_shy,
    no_confidentiality,
)
from smime_engine.mime.legacy_display import (
    PARAMETER,
    displayed_body,
    main_body_parts,
    with_legacy_display,
    without_legacy_display,
)
from smime_engine.mime.parameters import ContentType, Parameterised
from smime_engine.mime.parse import Entity, parse_entity

__all__ = [
    "FieldProtection",
    "HeaderConfidentialityPolicy",
    "HeaderReport",
    "HeaderScheme",
    "displayed_body",
    "hcp_baseline",
    "hcp_shy",
    "main_body_parts",
    "no_confidentiality",
    "protect_header",
    "read_header",
    "restored_message",
]

_USER_FACING = frozenset(
    {
        "from",
        "sender",
        "to",
        "cc",
        "reply-to",
        "followup-to",
        "subject",
        "date",
        "keywords",
        "comments",
        "resent-from",
        "resent-sender",
        "resent-to",
        "resent-cc",
        "resent-date",
    }
)
"""Fields that readers show to people; only these go into a legacy display element."""

_ONLY_OUTSIDE = frozenset(
    {
        "arc-authentication-results",
        "arc-message-signature",
        "arc-seal",
        "authentication-results",
        "bcc",
        "delivered-to",
        "dkim-signature",
        "hp-outer",
        "mime-version",
        "received",
        "received-spf",
        "resent-bcc",
        "return-path",
        "x-original-to",
    }
)
"""Fields of the transport, and those whose copy would tell who got a blind copy: never protected."""


_OWN_PARAMETERS = frozenset({"hp", "protected-headers"})


class HeaderScheme(Enum):
    """How a payload carries its header fields; the value is the stable identifier in reports."""

    RFC_9788 = "rfc9788"
    PROTECTED_HEADERS = "protected-headers-v1"
    RFC_8551 = "rfc8551"


def protect_header(
    split: SplitMessage,
    *,
    encrypted: bool,
    policy: HeaderConfidentialityPolicy = hcp_baseline,
    legacy_display: bool = True,
    limits: Limits = DEFAULT_LIMITS,
) -> SplitMessage:
    """The message with its header fields inside the entity that will be signed, or encrypted if `encrypted`.

    Without encryption nothing can be hidden: `policy` and `legacy_display` count only with it. Fields keep their
    order and octets inside; outside only those that the policy changes are rewritten. Raises LimitExceeded and nothing
    else. RFC 9788 section 5.2.
    """
    fields = [field for field in split_fields(split.outer) if _is_protectable(field.name)]
    inside = b"".join(field.raw for field in fields)
    if not encrypted:
        marked = _with_parameter(split.content_header, "clear")
        return SplitMessage(split.outer, inside + marked, split.message, split.body_start)
    outer, told, hidden = _hide(split.outer, policy)
    if hidden and legacy_display:
        entity = parse_entity(with_legacy_display(parse_entity(split.inner, limits=limits), hidden), limits=limits)
        split = SplitMessage(outer, entity.header + b"\r\n", entity.data, entity.body_start)
    marked = _with_parameter(split.content_header, "cipher")
    return SplitMessage(outer, inside + told + marked, split.message, split.body_start)


def _is_protectable(name: str) -> bool:
    lowered = name.lower()
    return lowered not in _ONLY_OUTSIDE and not lowered.startswith("content-")


def _is_structural(name: str) -> bool:
    lowered = name.lower()
    return lowered.startswith("content-") or lowered in {"mime-version", "hp-outer"}


def _hide(outer: bytes, policy: HeaderConfidentialityPolicy) -> tuple[bytes, bytes, list[tuple[str, str]]]:
    """The fields outside, the `HP-Outer` fields that tell of them, and the user-facing ones that were changed."""
    outside: list[bytes] = []
    told: list[bytes] = []
    hidden: list[tuple[str, str]] = []
    for field in split_fields(outer):
        if not _is_protectable(field.name):
            if field.name.lower() != "hp-outer":
                outside.append(field.raw)
            continue
        value = policy(field.name, field.value)
        if value != field.value and field.name.lower() in _USER_FACING:
            hidden.append((field.name, field.value))
        if value is None:
            continue
        raw = field.raw if value == field.value else f"{field.name}: {value}\r\n".encode()
        outside.append(raw)
        told.append(b"HP-Outer: " + raw)
    return b"".join(outside), b"".join(told), hidden


def _with_parameter(content_header: bytes, value: str) -> bytes:
    """The content fields with `hp` on the content type; its octets are kept where they are fit for it."""
    entity = parse_entity(content_header)
    content_type = entity.content_type
    rebuild = bool(content_type.defects) or content_type.parameter("hp") is not None or b"(" in entity.header
    pieces: list[bytes] = []
    for field in entity.fields:
        if field.name.lower() != "content-type":
            pieces.append(field.raw)
        elif not rebuild:
            pieces.append(b'%s;\r\n hp="%s"\r\n' % (field.raw.rstrip(b"; \t\r\n"), value.encode("ascii")))
        elif value:
            pieces.append(_content_type_field(content_type, ("hp", value)))
            value = ""  # a second Content-Type would contradict this one
    return b"".join(pieces) + b"\r\n"


def _content_type_field(content_type: ContentType, *added: tuple[str, str]) -> bytes:
    """The field without the parameters that header protection knows, and with those that are added."""
    kept = tuple(item for item in content_type.parameters if item[0] not in _OWN_PARAMETERS)
    return parameter_field("Content-Type", Parameterised(value=content_type.value, parameters=(*kept, *added)))


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldProtection:
    """One field of the payload and what protects it."""

    name: str
    value: str
    """Unfolded; RFC 2047 words stay encoded."""

    signed: bool
    encrypted: bool
    """True when the layers around encrypt and the sender kept this value out of the header outside."""

    outside: tuple[str, ...]
    """Values of the fields of this name outside, unfolded."""

    differs: bool
    """True when `value` does not stand outside: hidden by the sender, or changed by somebody on the way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderReport:
    """The header of a message as its protection leaves it."""

    scheme: HeaderScheme | None
    """None: nothing of the header is protected, and `header` is the one outside."""

    declared: str | None
    """What the sender declared in `hp`: `clear`, `cipher`, or None in other schemes."""

    fields: tuple[FieldProtection, ...]
    """The protected fields, in order."""

    header: tuple[HeaderField, ...]
    """The fields to show and to act on, in order: those of the payload, or those outside where it has none."""

    unprotected: tuple[HeaderField, ...]
    """Fields outside, but for those of MIME, whose name no protected field has: anybody may have written them."""

    changed_outside: tuple[str, ...]
    """Names of fields that stand outside otherwise than the sender put them there, in lower case."""

    from_differs: bool
    """True when the From inside names other addresses than the one outside."""

    message: Entity
    """The entity whose header is the protected one: the payload, or the message that RFC 8551 wraps."""

    legacy_display: bool
    """True when main body parts begin with repeated fields that `displayed_body` removes."""


def read_header(outer: Entity, payload: Entity, *, signed: bool, encrypted: bool) -> HeaderReport:
    """Say what protects the header of a message. Never fails.

    `outer` is the message as it came, `payload` the entity inside all layers; `signed` and `encrypted` say whether a
    valid signature, and encryption, cover the payload as a whole. RFC 9788 section 4.3.
    """
    scheme, declared, message = _scheme_of(payload)
    outside = _values([field for field in outer.fields if _is_protectable(field.name)])
    if scheme is None:
        header = tuple(field for field in outer.fields if not _is_structural(field.name))
        return HeaderReport(
            scheme=None,
            declared=None,
            fields=(),
            header=header,
            unprotected=header,
            changed_outside=(),
            from_differs=False,
            message=payload,
            legacy_display=False,
        )
    header = tuple(field for field in message.fields if _is_protectable(field.name))
    placed = _placed_outside(scheme, declared, message, header, outside)
    fields = tuple(_field_protection(field, outside, placed, signed=signed, encrypted=encrypted) for field in header)
    names = {field.name.lower() for field in header}
    return HeaderReport(
        scheme=scheme,
        declared=declared,
        fields=fields,
        header=header,
        unprotected=tuple(
            field for field in outer.fields if field.name.lower() not in names and not _is_structural(field.name)
        ),
        changed_outside=tuple(
            name for name in {**placed, **outside} if name in names and placed.get(name) != outside.get(name)
        ),
        from_differs=_from_addresses(message) != _from_addresses(outer),
        message=message,
        legacy_display=encrypted and declared == "cipher" and _has_legacy_display(message),
    )


def restored_message(report: HeaderReport) -> bytes:
    """A plain message as the sender wrote it: protected fields in place of those outside, nothing repeated in the text.

    For mailboxes whose readers know no S/MIME. Trace fields and others that nothing protects stay in front; marks of
    header protection are removed. Without protected fields it is the payload with the fields outside.
    """
    message = report.message
    entity = parse_entity(without_legacy_display(message)) if report.legacy_display else message
    unprotected = () if report.scheme is None else report.unprotected
    pieces = [field.raw for field in (*unprotected, *report.header)]
    pieces.append(MIME_VERSION)
    content_type = entity.content_type
    for field in entity.fields:
        name = field.name.lower()
        if name == "content-type" and any(content_type.parameter(own) for own in _OWN_PARAMETERS):
            pieces.append(_content_type_field(content_type))
        elif name.startswith("content-"):
            pieces.append(field.raw)
    return with_crlf(b"".join(pieces)) + b"\r\n" + bytes(entity.body)


def _scheme_of(payload: Entity) -> tuple[HeaderScheme | None, str | None, Entity]:
    content_type = payload.content_type
    declared = (content_type.parameter("hp") or "").lower()
    if declared in {"clear", "cipher"}:
        return HeaderScheme.RFC_9788, declared, payload
    if (content_type.parameter("protected-headers") or "").lower() == "v1":
        return HeaderScheme.PROTECTED_HEADERS, None, payload
    # RFC 8551 section 3.1: a message as payload is the message itself with its header, unless it says otherwise.
    if content_type.value in {"message/rfc822", "message/global"} and payload.parts:
        (message,) = payload.parts
        if (content_type.parameter("forwarded") or "").lower() != "yes" and message.fields:
            return HeaderScheme.RFC_8551, None, message
    return None, None, payload


_Values = dict[str, list[str]]


def _values(fields: list[HeaderField]) -> _Values:
    """Comparable values by name in lower case, in order."""
    found: _Values = {}
    for field in fields:
        found.setdefault(field.name.lower(), []).append(_comparable(field.value))
    return found


def _comparable(value: str) -> str:
    """A value without what folding and encoding on the way may change."""
    return " ".join(decode_words(value).split())


def _placed_outside(
    scheme: HeaderScheme, declared: str | None, message: Entity, header: tuple[HeaderField, ...], outside: _Values
) -> _Values:
    """What the sender put outside: told by HP-Outer, the same as inside, or, in older schemes, whatever is there."""
    if scheme is not HeaderScheme.RFC_9788:
        return outside
    if declared == "clear":
        return _values(list(header))
    told: list[HeaderField] = []
    for outer_field in message.named("HP-Outer"):
        value = outer_field.raw.partition(b":")[2].strip() + b"\r\n"
        told += split_fields(value[: header_end(value, 0, len(value))])
    return _values([field for field in told if _is_protectable(field.name)])


def _field_protection(
    field: HeaderField, outside: _Values, placed: _Values, *, signed: bool, encrypted: bool
) -> FieldProtection:
    name, value = field.name.lower(), _comparable(field.value)
    return FieldProtection(
        name=field.name,
        value=field.value,
        signed=signed,
        encrypted=encrypted and value not in placed.get(name, ()),
        outside=tuple(outside.get(name, ())),
        differs=value not in outside.get(name, ()),
    )


def _from_addresses(message: Entity) -> frozenset[str]:
    return frozenset(address.lower() for address in addresses_of(message, "From").addresses)


def _has_legacy_display(message: Entity) -> bool:
    return any(part.content_type.parameter(PARAMETER) == "1" for part in main_body_parts(message))
