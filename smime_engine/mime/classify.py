"""Which form of S/MIME an entity has (RFC 8551 section 3, RFC 7193, RFC 1847).

Does: recognise `multipart/signed`, `application/pkcs7-mime` and what is meant to be one of them: both `x-`
spellings, missing `protocol`, `smime-type` and names, `application/octet-stream` with a telling file name, misspelt
`smime-type`, CMS in any transfer encoding or as PEM. Finds S/MIME inside other multiparts and lists everything that
stands outside it. Does not: read CMS, verify or decrypt.

Nothing that is not exactly `multipart/signed` over S/MIME is ever called signed: a gateway that turned it into
`multipart/mixed` has broken the signature, and the signature part is listed as an orphan.

| form | what it is |
|---|---|
| ClearSigned | `multipart/signed`: readable content, detached signature |
| CmsPart | one CMS object: opaque-signed, encrypted, compressed, certificates, or a lone signature |
| Container | a multipart or message with any of these inside |
| Plain | no S/MIME at all |
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from smime_engine.mime import transfer
from smime_engine.mime.encoded_words import decode_words
from smime_engine.mime.fields import named_fields
from smime_engine.mime.parse import Entity

__all__ = ["ClearSigned", "CmsPart", "Container", "Form", "Nested", "Plain", "classify"]

_CMS_TYPES = frozenset({"application/pkcs7-mime", "application/x-pkcs7-mime", "application/cms"})
_SIGNATURE_TYPES = frozenset({"application/pkcs7-signature", "application/x-pkcs7-signature"})
_UNTOLD_TYPES = frozenset(
    {
        "application/octet-stream",
        "application/octetstream",
        "application/x-octet-stream",
        "application/binary",
        "application/download",
        "application/force-download",
        "application/unknown",
    }
)
"""Types that say nothing: here the file name decides, and the content must look like CMS."""

_HINTS = {
    "signeddata": "signed-data",
    "envelopeddata": "enveloped-data",
    "authenvelopeddata": "authEnveloped-data",
    "authenticatedenvelopeddata": "authEnveloped-data",  # QUIRK: MimeKit before 4.12 and others wrote this
    "compresseddata": "compressed-data",
    "certsonly": "certs-only",
    "signedreceipt": "signed-receipt",
    "encrypteddata": "encrypted-data",
    "digesteddata": "digested-data",
    "authenticateddata": "authenticated-data",
}
"""`smime-type` in lower case without hyphens -> as the standards write it."""

_HINT_OF_NAME = {".p7c": "certs-only", ".p7z": "compressed-data"}
_CMS_NAMES = (".p7m", ".p7c", ".p7z")

_CMS_START = re.compile(
    rb"\x30(?:\x80|[\x00-\x7f]|[\x81-\x84].{1,4}?)"  # ContentInfo: SEQUENCE of any length form
    rb"\x06(?:\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07[\x01-\x06]"  # id-data … id-encryptedData
    rb"|\x0b\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x01[\x02\x09\x17])",  # authData, compressedData, authEnvelopedData
    re.DOTALL,
)
_PEM = re.compile(rb"-----BEGIN (?:CMS|PKCS ?#?7)-----\s(.*?)(?:-----END|\Z)", re.DOTALL)
_LINE_END = re.compile(rb"\r*+\n")
_LOOKS_LIKE_BASE64 = re.compile(rb"\s*M[A-Za-z0-9+/=\s]*\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClearSigned:
    """A `multipart/signed`: the content can be read by everyone, the signature is detached."""

    entity: Entity
    content: Entity
    """The part that was signed."""

    signature: bytes
    """The CMS object of the signature part."""

    outside: tuple[Entity, ...] = ()
    """Parts behind the signature, which nobody signed; a proper message has none."""

    @property
    def signed_content(self) -> memoryview:
        """The octets that were signed, exactly as they stand in the input."""
        return self.content.raw

    def candidates(self) -> Iterator[memoryview | bytes]:
        """The octets that may have been signed: first as they stand, then, where that differs, with CRLF line ends.

        RFC 8551 section 3.1.1 demands the CRLF form before signing; a mailbox that stores bare LF has lost it, and a
        relay that turns CRLF into CR CRLF too. The second form is made only when it is asked for.
        """
        yield self.content.raw
        octets = bytes(self.content.raw)
        canonical = _LINE_END.sub(b"\r\n", octets)
        if canonical != octets:
            yield canonical


@dataclass(frozen=True, slots=True, kw_only=True)
class CmsPart:
    """An entity whose body is one CMS object."""

    entity: Entity
    data: bytes
    """DER or BER, out of its transfer encoding; may be anything at all when the sender lied."""

    hint: str | None
    """What the sender calls it, in the standards' spelling (`signed-data`, `enveloped-data`, `authEnveloped-data`,
    `compressed-data`, `certs-only` …); None where nothing is said. The CMS object itself decides."""

    detached: bool
    """True for a signature part without the content that it belongs to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Nested:
    """S/MIME inside a Container."""

    form: ClearSigned | CmsPart
    message: Entity
    """The message whose header fields (From, Sender) belong to it: the outermost or a forwarded one."""

    forwarded: bool
    """True inside a `message/rfc822` part."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """A multipart or message that is no S/MIME object itself but has some inside, or the remains of one."""

    entity: Entity
    nested: tuple[Nested, ...]
    outside: tuple[Entity, ...]
    """Leaf parts outside every nested object: what a mailing list added, or an attacker."""

    orphans: tuple[Entity, ...]
    """Signature parts without anything that they sign: a relay broke a `multipart/signed`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plain:
    """No S/MIME."""

    entity: Entity


Form = ClearSigned | CmsPart | Container | Plain


def classify(entity: Entity) -> Form:
    """Say which form of S/MIME `entity` has; total, never fails."""
    form = _own_form(entity)
    if form is not None:
        return form
    if _is_signature(entity):
        return CmsPart(entity=entity, data=_cms_octets(entity), hint=_hint(entity), detached=True)
    found = _Search(entity)
    found.inside(entity, entity, forwarded=False)
    if not found.nested and not found.orphans:
        return Plain(entity=entity)
    return Container(
        entity=entity, nested=tuple(found.nested), outside=tuple(found.outside), orphans=tuple(found.orphans)
    )


class _Search:
    """Collects S/MIME and what stands beside it in a tree of parts."""

    def __init__(self, root: Entity) -> None:
        self._root = root
        self.nested: list[Nested] = []
        self.outside: list[Entity] = []
        self.orphans: list[Entity] = []

    def inside(self, entity: Entity, message: Entity, *, forwarded: bool) -> None:
        """Look at the parts of `entity`, which has no form of its own."""
        if not entity.parts and entity is not self._root:
            self.outside.append(entity)
        is_message = entity.content_type.type == "message"
        for part in entity.parts:
            owner = part if is_message else message
            form = _own_form(part)
            if form is not None:
                self.nested.append(Nested(form=form, message=owner, forwarded=forwarded or is_message))
                if isinstance(form, ClearSigned):
                    self.outside.extend(form.outside)
            elif _is_signature(part):
                self.orphans.append(part)
            else:
                self.inside(part, owner, forwarded=forwarded or is_message)


def _own_form(entity: Entity) -> ClearSigned | CmsPart | None:
    content_type = entity.content_type
    if content_type.value == "multipart/signed":
        return _clear_signed(entity)
    if content_type.value in _CMS_TYPES and not _is_signature(entity):
        return CmsPart(entity=entity, data=_cms_octets(entity), hint=_hint(entity), detached=False)
    if content_type.value in _UNTOLD_TYPES and _file_name(entity).endswith(_CMS_NAMES):
        octets = _cms_octets(entity)
        if _CMS_START.match(octets):
            return CmsPart(entity=entity, data=octets, hint=_hint(entity), detached=False)
    return None


def _clear_signed(entity: Entity) -> ClearSigned | None:
    if len(entity.parts) < 2:
        return None
    content, signature, *outside = entity.parts
    protocol = (entity.content_type.parameter("protocol") or "").lower().strip()
    if protocol not in _SIGNATURE_TYPES and (protocol.startswith("application/pgp") or not _is_signature(signature)):
        return None
    if not _is_signature(signature) and not _may_be_signature(signature):
        return None
    return ClearSigned(entity=entity, content=content, signature=_cms_octets(signature), outside=tuple(outside))


def _is_signature(entity: Entity) -> bool:
    """Whether an entity says of itself that it is a detached signature."""
    value = entity.content_type.value
    if value in _SIGNATURE_TYPES:
        return True
    return (value in _CMS_TYPES or value in _UNTOLD_TYPES) and _file_name(entity).endswith(".p7s")


def _may_be_signature(entity: Entity) -> bool:
    """Whether the second part of a `multipart/signed` whose protocol is S/MIME holds CMS under another name."""
    value = entity.content_type.value
    if value in _CMS_TYPES:
        return True
    return value in _UNTOLD_TYPES and _CMS_START.match(_cms_octets(entity)) is not None


def _file_name(entity: Entity) -> str:
    """The part's file name in lower case: the `name` of the type or the `filename` of the disposition."""
    name = entity.content_type.parameter("name")
    if name is None and named_fields(entity.header, b"content-disposition"):
        name = entity.disposition.parameter("filename")
    # QUIRK: Outlook writes encoded words here, though RFC 2047 section 5 forbids that inside parameters.
    return decode_words(name or "").strip().lower()


def _hint(entity: Entity) -> str | None:
    content_type = entity.content_type
    said = content_type.parameter("smime-type") or content_type.parameter("encapsulatingcontent") or ""
    hint = _HINTS.get("".join(character for character in said.lower() if character.isalnum()))
    return hint or _HINT_OF_NAME.get(_file_name(entity)[-4:])


def _cms_octets(entity: Entity) -> bytes:
    """The CMS object in DER or BER, whatever it was wrapped in."""
    octets = entity.decoded()
    if octets[:1] == b"\x30":
        return bytes(octets)
    octets = bytes(octets)
    for text in (octets, bytes(entity.body)):
        armoured = _PEM.search(text[:1024]) and _PEM.search(text)
        if armoured:
            return transfer.decode_base64(armoured[1])
    # QUIRK: some gateways lose the Content-Transfer-Encoding field and keep the base64.
    if _LOOKS_LIKE_BASE64.match(octets):
        return transfer.decode_base64(octets)
    return octets
