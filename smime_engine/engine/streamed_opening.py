"""Open messages and CMS objects that are larger than memory; `opening.py` does the same for what fits.

    streamed = open_message_stream(source, scratch=scratch, judge=Judge(now=now, trust=trust), keys=keys)
    streamed.opened.require_valid()
    for piece in streamed.content(): ...

`scratch` hands out places for what layers hold (a temporary file each). They are unverified until the function returns:
nothing may be used when it raises, and what `streamed.opened` says counts for what is used then.

Does: `multipart/signed` and CMS in `application/pkcs7-mime` or bare, nested in any order. Does not: look for S/MIME
inside other multiparts or forwarded messages, guess lost transfer encodings, try other line ends than those that
arrived: a message that needs that must be opened in memory.

Standards: as in `opening.py`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import pybase64

from smime_engine.asn1 import ber, oids
from smime_engine.cms.content_info import content_type_of
from smime_engine.cms.opening import DecryptionKeys
from smime_engine.cms.opening_stream import decompress_stream, open_stream
from smime_engine.cms.signed import ContentDigests, SignedData, parse_signed_data
from smime_engine.cms.stream import StreamReader
from smime_engine.crypto.digests import digest_from_identifier
from smime_engine.crypto.signing import DigestContext, digest_context
from smime_engine.engine.judging import Judge
from smime_engine.engine.sender import Sender, sender_of
from smime_engine.engine.streaming import Octets, Source, head_of, span_of
from smime_engine.errors import LimitExceeded, MalformedMessage, UnsupportedAlgorithm
from smime_engine.limits import Limits
from smime_engine.mime.classify import CmsPart, classify
from smime_engine.mime.parse import Entity, parse_entity
from smime_engine.report import (
    CertificatesLayer,
    CompressedLayer,
    EncryptedLayer,
    Layer,
    OpenedMessage,
    OutsidePart,
    SignedLayer,
)

__all__ = ["Scratch", "StreamedMessage", "open_cms_stream", "open_message_stream"]

_SNIFFED = 4_096
"""Octets of a body that are looked at to classify it."""


class Scratch(Protocol):
    """A place for the content of one layer."""

    def write(self, octets: bytes, /) -> object:
        """Append."""

    def read(self) -> Iterable[bytes]:
        """Everything from the beginning, in pieces."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamedMessage:
    """What was found; `opened.content` is empty, for the content is behind `content`."""

    opened: OpenedMessage
    content: Source


def open_message_stream(
    source: Source, *, judge: Judge, keys: DecryptionKeys, scratch: Callable[[], Scratch]
) -> StreamedMessage:
    """Open a message; raises what `open_message` raises, LimitExceeded for forms that need the whole message."""
    return _Peeling(judge, keys, scratch, sender_of(_entity_of(source, judge.limits))).entity(source)


def open_cms_stream(
    source: Source,
    *,
    judge: Judge,
    keys: DecryptionKeys,
    scratch: Callable[[], Scratch],
    detached: Source | None = None,
) -> StreamedMessage:
    """Open a bare CMS object, DER or BER; `detached` is the content of a detached signature."""
    peeling = _Peeling(judge, keys, scratch, Sender())
    if detached is not None:
        return peeling.detached(source, detached)
    return peeling.cms(source)


def _entity_of(source: Source, limits: Limits) -> Entity:
    return parse_entity(head_of(source(), limits, further=_SNIFFED), limits=limits)


class _Peeling:
    """One message under way."""

    def __init__(self, judge: Judge, keys: DecryptionKeys, scratch: Callable[[], Scratch], sender: Sender) -> None:
        self.judge = judge
        self.keys = keys
        self.scratch = scratch
        self.sender = sender
        self.layers: list[Layer] = []
        self.outside: list[OutsidePart] = []

    def result(self, content: Source) -> StreamedMessage:
        opened = OpenedMessage(
            content=b"", layers=tuple(self.layers), sender=self.sender.addresses, outside=tuple(self.outside)
        )
        return StreamedMessage(opened=opened, content=content)

    def add(self, layer: Layer) -> None:
        if len(self.layers) >= self.judge.limits.layers:
            raise LimitExceeded("layers", self.judge.limits.layers)
        self.layers.append(layer)

    def entity(self, source: Source) -> StreamedMessage:
        """Peel an entity until its content is no S/MIME any more."""
        while True:
            entity = _entity_of(source, self.judge.limits)
            kind = entity.content_type
            if kind.value == "multipart/signed" and "pgp" not in (kind.parameter("protocol") or ""):
                source = self._clear_signed(source, entity)
                continue
            form = classify(entity)
            if isinstance(form, CmsPart) and not form.detached:
                return self.cms(_body_of(source, entity))
            if kind.type in {"multipart", "message"}:
                # There may be S/MIME inside, and only the whole tree shows what stands outside of it.
                raise LimitExceeded("message_size", self.judge.limits.message_size)
            return self.result(source)

    # --- clear-signed

    def _clear_signed(self, source: Source, entity: Entity) -> Source:
        parts = _parts_of(source, entity, self.judge.limits)
        tree = parse_entity(
            b"Content-Type: multipart/mixed; boundary=" + _quoted(parts.boundary) + b"\r\n\r\n" + parts.behind,
            limits=self.judge.limits,
        )
        if not tree.parts:
            raise MalformedMessage("a signature behind the signed part", offset=parts.end)
        signed = parse_signed_data(bytes(tree.parts[0].decoded()), limits=self.judge.limits)
        self.outside += [OutsidePart(content_type=p.content_type.value, size=p.end - p.start) for p in tree.parts[1:]]

        def content() -> Iterator[memoryview]:
            return span_of(source(), parts.start, parts.end)

        self._judge(signed, content(), clear=True)
        return content

    def detached(self, source: Source, content: Source) -> StreamedMessage:
        """Judge a bare signature over a content that is kept elsewhere."""
        limit = self.judge.limits.envelope_head
        data = b"".join(bytes(chunk) for chunk in span_of(source(), 0, limit + 1))
        if len(data) > limit:
            raise LimitExceeded("envelope_head", limit)
        self._judge(parse_signed_data(data, limits=self.judge.limits), content(), clear=True)
        return self.result(content)

    def _judge(self, signed: SignedData, content: Iterable[Octets], *, clear: bool) -> None:
        digests = _digests_of(signer.digest_algorithm for signer in signed.signers)
        for chunk in content:
            digests.update(chunk)
        self._add_signed(signed, digests, clear=clear)

    def _add_signed(self, signed: SignedData, digests: _Digests, *, clear: bool) -> None:
        signatures = self.judge.signatures(signed, ContentDigests(None, digests.results()), self.sender)
        self.add(SignedLayer(clear=clear, signatures=signatures, certificates=signed.certificates))

    # --- CMS

    def cms(self, source: Source) -> StreamedMessage:
        """Peel a CMS object; its content goes on as MIME entity."""
        content_type = content_type_of(b"".join(map(bytes, span_of(source(), 0, 64))))
        place = self.scratch()
        if content_type == oids.ID_SIGNED_DATA:
            inner = self._signed(source, place)
            if inner is None:
                return self.result(tuple)
        elif content_type == oids.ID_CT_COMPRESSED_DATA:
            inflated = decompress_stream(source(), place.write, limits=self.judge.limits)
            size = sum(map(len, place.read()))
            self.add(CompressedLayer(algorithm=inflated.algorithm, compressed_size=inflated.compressed_size, size=size))
            inner = inflated.content_type
        elif content_type in {oids.ID_ENVELOPED_DATA, oids.ID_CT_AUTH_ENVELOPED_DATA, oids.ID_ENCRYPTED_DATA}:
            opened = open_stream(source, self.keys, place.write, limits=self.judge.limits)
            self.add(
                EncryptedLayer(
                    content_type=opened.kind,
                    cipher=opened.cipher,
                    integrity=opened.integrity,
                    recipients=opened.recipients,
                    opened_with=opened.opened_with,
                    findings=opened.findings,
                )
            )
            inner = opened.content_type
        else:
            raise UnsupportedAlgorithm(oids.name_of(content_type), purpose="CMS content")
        return self.entity(place.read) if inner == oids.ID_DATA else self.result(place.read)

    def _signed(self, source: Source, place: Scratch) -> str | None:
        """Judge a SignedData while its content passes by -> the content type; None where nothing is inside."""
        reader = StreamReader(source(), limits=self.judge.limits)
        limit = self.judge.limits.envelope_head
        reader.enter(0x30, expected="a ContentInfo (SEQUENCE)")
        reader.value(limit)
        reader.enter(0xA0, expected="the content of a ContentInfo, [0]")
        reader.enter(0x30, expected="a SignedData (SEQUENCE)")
        version, algorithms = reader.value(limit), reader.value(limit)
        digests = _digests_of(_elements(algorithms))
        reader.enter(0x30, expected="an EncapsulatedContentInfo (SEQUENCE)")
        content_type = reader.value(limit)
        has_content = reader.next_tag() == 0xA0
        if has_content:
            reader.enter(0xA0, expected="the content, [0]")
            for piece in reader.octets(0x04, expected="the content (OCTET STRING)"):
                digests.update(piece)
                place.write(bytes(piece))
            reader.leave()
        reader.leave()
        rest = []
        while not reader.at_end():
            rest.append(reader.value(limit))
        for _ in range(3):
            reader.leave()
        if not reader.at_end():
            raise MalformedMessage("the end of the input", offset=reader.position)
        # What is left of the structure without its content fits into memory, and is read as a detached one.
        fields = (version, algorithms, ber.encode(0x30, content_type), *rest)
        small = ber.encode(0x30, oids.ID_SIGNED_DATA.tlv, ber.encode(0xA0, ber.encode(0x30, *fields)))
        signed = parse_signed_data(small, limits=self.judge.limits)
        if not signed.signers and not has_content:
            self.add(CertificatesLayer(certificates=signed.certificates, crls=signed.crls))
            return None
        self._add_signed(signed, digests, clear=False)
        return signed.content_type


class _Digests:
    """The digests that signers may use, all computed while the content passes by."""

    def __init__(self, contexts: dict[str, DigestContext]) -> None:
        self._contexts = contexts

    def update(self, chunk: Octets) -> None:
        for context in self._contexts.values():
            context.update(memoryview(chunk))

    def results(self) -> dict[str, bytes]:
        return {name: context.digest() for name, context in self._contexts.items()}


_MOST_DIGESTS = 8
"""Each costs a pass over the content; honest messages use one or two."""


def _digests_of(identifiers: Iterable[bytes]) -> _Digests:
    contexts: dict[str, DigestContext] = {}
    for identifier in identifiers:
        try:
            algorithm = digest_from_identifier(identifier)
        except (UnsupportedAlgorithm, MalformedMessage):
            continue  # the signer who uses it is reported UNSUPPORTED_DIGEST
        if len(contexts) < _MOST_DIGESTS:
            contexts.setdefault(algorithm.name, digest_context(algorithm))
    return _Digests(contexts)


def _elements(encoded_set: bytes) -> list[bytes]:
    start, end = ber.content(encoded_set, 0, len(encoded_set), 0x31, expected="digest algorithms (SET)")
    return ber.elements(encoded_set, start, end)


class _Parts(NamedTuple):
    """A `multipart/signed`: where its first part is, and everything behind it."""

    boundary: bytes
    start: int
    end: int
    behind: bytes
    """From the second boundary line on."""


def _parts_of(source: Source, entity: Entity, limits: Limits) -> _Parts:
    boundary = (entity.content_type.parameter("boundary") or "").rstrip(" \t").encode("utf-8", "replace")
    if not boundary or b"\n" in boundary:
        raise MalformedMessage("a boundary parameter of multipart/signed", offset=0)
    found = _lines(source, entity.body_start, b"\n--" + boundary)
    first = next(found, None)
    second = next(found, None) if first is not None else None
    if first is None or second is None:
        raise MalformedMessage("two parts in multipart/signed", offset=entity.body_start)
    behind = b"".join(map(bytes, span_of(source(), second[0], second[0] + limits.envelope_head + 1)))
    if len(behind) > limits.envelope_head:
        raise LimitExceeded("envelope_head", limits.envelope_head, offset=second[0])
    return _Parts(boundary, first[1], second[0], behind.lstrip(b"\r\n"))


_REST_OF_LINE = re.compile(rb"(?:--)?[ \t]*\r?\n")


def _lines(source: Source, start: int, delimiter: bytes) -> Iterator[tuple[int, int]]:
    """Where boundary lines are: (offset of the line end before, offset behind)."""
    keep = len(delimiter) + 80  # a boundary line with white space behind it, and the line ends around it
    carry = b"\n"  # the body begins at the beginning of a line
    position = start - 1  # of the carry's first octet
    for chunk in span_of(source(), start):
        block = carry + chunk
        limit = max(len(block) - keep, 0)
        cut = max(limit - 1, 0)  # the CR before a boundary's LF must not be lost
        for first, last in _lines_in(block, delimiter, limit):
            yield position + first, position + last
            cut = max(cut, last - 1)  # its line end may be that of the next boundary
        carry = block[cut:]
        position += cut
    for first, last in _lines_in(carry + b"\n", delimiter, len(carry)):
        yield position + first, position + last


def _lines_in(block: bytes, delimiter: bytes, limit: int) -> Iterator[tuple[int, int]]:
    """Boundary lines of a block whose line end before them stands below `limit`."""
    found = block.find(delimiter)
    while 0 <= found < limit:
        rest = _REST_OF_LINE.match(block, found + len(delimiter))
        if rest is not None:
            yield found - (block[found - 1 : found] == b"\r"), rest.end()
        found = block.find(delimiter, found + 1)


def _quoted(boundary: bytes) -> bytes:
    return b'"' + boundary.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


def _body_of(source: Source, entity: Entity) -> Source:
    """The body without its transfer encoding."""
    start = entity.body_start

    def plain() -> Iterator[memoryview]:
        return span_of(source(), start)

    if entity.transfer_encoding == "base64":
        return lambda: _base64_decoded(plain())
    if entity.transfer_encoding in {"", "7bit", "8bit", "binary"}:
        return plain
    raise LimitExceeded("message_size", 0, offset=start)


_NOT_BASE64 = bytes(set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="))


def _base64_decoded(chunks: Iterable[memoryview]) -> Iterator[bytes]:
    """Decode base64 that comes in pieces; the first padding ends it, as in `transfer.decode_base64`."""
    carry = b""
    for chunk in chunks:
        digits, padding, _ = (carry + bytes(chunk).translate(None, _NOT_BASE64)).partition(b"=")
        if padding:
            carry = digits
            break
        cut = len(digits) & ~3
        yield pybase64.b64decode(digits[:cut])
        carry = digits[cut:]
    if len(carry) % 4 == 1:  # six bits are no octet
        carry = carry[:-1]
    yield pybase64.b64decode(carry + b"=" * (-len(carry) % 4))
