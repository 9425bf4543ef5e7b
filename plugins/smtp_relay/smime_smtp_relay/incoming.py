"""The content of DATA, from raw chunks to a message: sans I/O.

Does: find the end (`<CRLF>.<CRLF>` and nothing else), take back the dot stuffing (RFC 5321 section 4.5.2), drop what
is over the limit while it goes on looking for the end, and bring bare CR and LF to CRLF or name them. Does not: look
into the message.

Attack: SMTP smuggling. A server that ends a message at `<LF>.<LF>`, `<LF>.<CRLF>` or `<CR>.<CR>` and a sender that
does not can be made to see different messages. Here only `<CRLF>.<CRLF>` ends a message, and a message that leaves
has no bare CR or LF in it: what looked like an early end has become a line with one dot, which is stuffed again on
the way out. Signing happens afterwards, so that the signature covers what is sent.
"""

from __future__ import annotations

import re

__all__ = ["IncomingMessage", "has_bare_line_ends", "with_normal_line_ends"]

_END = b"\r\n.\r\n"
_BARE = re.compile(rb"\r(?!\n)|(?<!\r)\n")


class IncomingMessage:
    """Collects the chunks of one DATA command. `limit` is the largest message in bytes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._chunks: list[bytes] = []
        # The end may come at once, and its first CRLF is then that of the DATA command (RFC 5321 section 4.1.1.4).
        self._tail = b"\r\n"
        self.received = 0
        """Bytes so far, without what follows the end."""
        self.discarded = False
        """Whether the content was over the limit (or given up by `discard`) and is lost."""

    def feed(self, chunk: bytes) -> bytes | None:
        """Take what arrived; None when the end was not in it, else the bytes behind the end (pipelined commands)."""
        seam = self._tail + chunk[:4]
        position = seam.find(_END)
        # `end` counts from the start of the chunk; the seam sees an end that began in an earlier chunk.
        end = position + len(_END) - len(self._tail) if position >= 0 else -1
        if end < 0:
            position = chunk.find(_END)
            end = position + len(_END) if position >= 0 else -1
        taken = chunk if end < 0 else chunk[:end]
        self._take(taken)
        if end >= 0:
            return chunk[end:]
        self._tail = (self._tail + chunk)[-4:] if len(chunk) < 4 else chunk[-4:]
        return None

    def discard(self) -> None:
        """Give up the content (there is no memory for it), and go on looking for the end."""
        self.discarded = True
        self._chunks.clear()

    def message(self) -> bytes:
        """The message without the final dot and without dot stuffing; call it once, after `feed` saw the end."""
        content = b"".join(self._chunks)
        self._chunks.clear()
        content = content[:-3]  # the dot and its CRLF; the CRLF before it ends the last line
        # Exactly what section 4.5.2 says: a leading dot is deleted. A line of one dot cannot occur, it is the end.
        if content.startswith(b"."):
            content = content[1:]
        return content.replace(b"\r\n.", b"\r\n")

    def _take(self, taken: bytes) -> None:
        self.received += len(taken)
        # The end's three bytes are no part of the message.
        if self.received > self._limit + 3:
            self.discard()
        if not self.discarded:
            self._chunks.append(taken)


def has_bare_line_ends(message: bytes) -> bool:
    """Whether there is a CR without LF or a LF without CR (RFC 5321 section 2.3.8 forbids both)."""
    pairs = message.count(b"\r\n")
    return message.count(b"\n") != pairs or message.count(b"\r") != pairs


def with_normal_line_ends(message: bytes) -> bytes:
    """The message with every bare CR and LF as CRLF, and ending in CRLF; the same object where it is so already."""
    if has_bare_line_ends(message):
        message = _BARE.sub(b"\r\n", message)
    return message if message.endswith(b"\r\n") or not message else message + b"\r\n"
