"""Sign and encrypt messages and files that are larger than memory. Opening them is in `streamed_opening.py`.

    for piece in sign_message_stream(source, [signer], now=now):
        temporary_file.write(piece)

A `source` is a function that starts again at the first octet each time it is called: signing reads twice, once for the
digest and once for the copy. Results are iterators; nothing of them may be used before the last piece has come, so
callers write to a temporary file and rename it at the end.

Does: the same formats as `signing.py` and `sealing.py`, in memory that does not grow with the message. Does not:
re-encode: a message whose content is not clean (8-bit, long lines, bare LF …) is refused, since its canonical form
cannot be made piece by piece; sign it in memory, or as bare CMS. No I/O of its own.

Standards: as in `signing.py` and `sealing.py`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from smime_engine.cms.sealing import Encryptor
from smime_engine.cms.signed_data_writer import encode_signed_data, encode_signed_data_pieces
from smime_engine.cms.signer import CmsSigner
from smime_engine.crypto.signing import DigestContext, digest_context
from smime_engine.errors import MalformedMessage
from smime_engine.limits import DEFAULT_LIMITS, Limits
from smime_engine.mime.build import ClearSignedFrame, OpaqueFrame, boundary_from, split_message
from smime_engine.mime.canonical import is_clean, lines_are_clean
from smime_engine.mime.fields import header_end
from smime_engine.mime.transfer import base64_lines

__all__ = [
    "Source",
    "encrypt_message_stream",
    "encrypt_stream",
    "head_of",
    "sign_message_stream",
    "sign_stream",
    "span_of",
]

Octets = bytes | bytearray | memoryview
Source = Callable[[], Iterable[Octets]]

_BOUNDARY_OCTETS = 30


def sign_stream(source: Source, signers: Sequence[CmsSigner], *, now: datetime, detached: bool) -> Iterator[bytes]:
    """Sign any content -> bare CMS (DER) in pieces, with the content inside unless `detached`.

    Raises UnsupportedAlgorithm for signers without signed attributes whose algorithm needs the whole content.
    """
    infos, size = _signer_infos(source(), signers, now)
    identifiers = [signer.digest.identifier for signer in signers]
    certificates = [certificate for signer in signers for certificate in signer.certificates]
    if detached:
        yield encode_signed_data(infos, identifiers, certificates)
        return
    before, behind = encode_signed_data_pieces(infos, identifiers, certificates, content_size=size)
    yield before
    yield from _again(source(), size)
    yield behind


def encrypt_stream(source: Source, size: int, encryptor: Encryptor) -> Iterator[bytes]:
    """Encrypt any content of `size` octets -> bare CMS (DER) in pieces. Raises UnsupportedAlgorithm for CCM."""
    return encryptor.pieces(source(), size=size)


def sign_message_stream(
    source: Source,
    signers: Sequence[CmsSigner],
    *,
    now: datetime,
    clear: bool = True,
    limits: Limits = DEFAULT_LIMITS,
) -> Iterator[bytes]:
    """Sign a message whose content is clean -> the signed message in pieces.

    Raises MalformedMessage where the content would have to be re-encoded, LimitExceeded for the header.
    """
    head = head_of(source(), limits)
    split = split_message(head, limits=limits)

    def content() -> Iterator[Octets]:
        yield split.content_header
        yield from span_of(source(), split.body_start)

    _require_clean(content())
    if clear:
        (signature,) = sign_stream(content, signers, now=now, detached=True)
        # Unforeseeable, so that no search of the content is needed: nobody can have put it there.
        boundary = boundary_from(signature[-_BOUNDARY_OCTETS:])
        frame = ClearSignedFrame(",".join(dict.fromkeys(signer.micalg for signer in signers)))
        before, behind = frame.around(split.outer, signature, boundary)
        yield before
        yield from map(bytes, content())
        yield behind
        return
    yield split.outer
    yield OpaqueFrame("signed-data").header
    yield from base64_lines(sign_stream(content, signers, now=now, detached=False))


def encrypt_message_stream(
    source: Source, size: int, encryptor: Encryptor, *, limits: Limits = DEFAULT_LIMITS
) -> Iterator[bytes]:
    """Encrypt a message of `size` octets as it is -> `application/pkcs7-mime` in pieces.

    The content is not brought into canonical form: behind the encryption no relay can touch it.
    """
    split = split_message(head_of(source(), limits), limits=limits)

    def content() -> Iterator[Octets]:
        yield split.content_header
        yield from span_of(source(), split.body_start)

    content_size = len(split.content_header) + size - split.body_start
    yield split.outer
    kind = "authEnveloped-data" if encryptor.cipher.authenticates else "enveloped-data"
    yield OpaqueFrame(kind).header
    yield from base64_lines(encryptor.pieces(content(), size=content_size))


def head_of(chunks: Iterable[Octets], limits: Limits = DEFAULT_LIMITS, *, further: int = 0) -> bytes:
    """The header of a message with its empty line, and up to `further` octets of the body."""
    head = bytearray()
    for chunk in chunks:
        searched = max(len(head) - 3, 0)
        head += chunk
        found = _EMPTY_LINE.search(head, searched)
        if found is not None and len(head) >= found.end() + further:
            return bytes(head[: found.end() + further])
        if len(head) > limits.header_size + further:
            break  # `header_end` raises where this matters
    stop = header_end(bytes(head), 0, len(head), limits)
    return bytes(head[: stop + 2 + further])


_EMPTY_LINE = re.compile(rb"\n\r?\n|\A\r?\n")


def span_of(chunks: Iterable[Octets], start: int, end: int | None = None) -> Iterator[memoryview]:
    """The octets from `start` up to `end` of what comes in pieces."""
    position = 0
    for chunk in chunks:
        following = position + len(chunk)
        if following > start:
            first = max(start - position, 0)
            last = len(chunk) if end is None else min(end - position, len(chunk))
            if last > first:
                yield memoryview(chunk)[first:last]
        position = following
        if end is not None and position >= end:
            return


class _Digests(NamedTuple):
    """One context for each digest that the signers use."""

    contexts: dict[str, DigestContext]

    def update(self, chunk: Octets) -> None:
        for context in self.contexts.values():
            context.update(memoryview(chunk))


def _signer_infos(chunks: Iterable[Octets], signers: Sequence[CmsSigner], now: datetime) -> tuple[list[bytes], int]:
    digests = _Digests({signer.digest.name: digest_context(signer.digest) for signer in signers})
    size = 0
    for chunk in chunks:
        digests.update(chunk)
        size += len(chunk)
    results = {name: context.digest() for name, context in digests.contexts.items()}
    return [signer.signer_info(results[signer.digest.name], now=now) for signer in signers], size


def _again(chunks: Iterable[Octets], size: int) -> Iterator[bytes]:
    """The content for the second time; it must be as long as it was when it was digested."""
    left = size
    for chunk in chunks:
        left -= len(chunk)
        yield bytes(chunk)
    if left:
        raise MalformedMessage(f"{size:,} octets at the second reading as at the first")


def _require_clean(chunks: Iterable[Octets]) -> None:
    """Check whole lines, block by block; a block begins where the last whole line of the one before ended."""
    carry = b""
    position = 0
    is_first = True
    labels = False
    for chunk in chunks:
        block = carry + chunk
        cut = block.rfind(b"\n") + 1
        if not cut:
            carry = block
            if len(carry) > _LONGEST_HEADER_LINE:
                raise _unclean(position)
            continue
        if is_first:
            header = block[:cut].lower()
            labels = b"multipart/" in header or b"message/" in header
            clean = is_clean(block[:cut])
            is_first = False
        else:
            clean = lines_are_clean(block[:cut], 0, labels=labels)
        if not clean:
            raise _unclean(position)
        position += cut
        carry = block[cut:]
    if carry and not lines_are_clean(carry, 0, labels=labels):
        raise _unclean(position)


_LONGEST_HEADER_LINE = 4_096


def _unclean(position: int) -> MalformedMessage:
    return MalformedMessage(
        "7-bit lines of at most 76 characters with CRLF: a message of this size is not re-encoded", offset=position
    )
