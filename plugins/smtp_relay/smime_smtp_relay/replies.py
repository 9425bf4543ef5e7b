"""SMTP replies as values: code, enhanced status code, text.

Does: build, read and encode replies (RFC 5321 section 4.2, RFC 2034, RFC 3463), and make of what the next hop said a
reply that may be passed on to our client. Does not: decide anything, or talk to anybody.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["Reply", "passed_on"]

_ENHANCED = re.compile(r"([245])\.\d{1,3}\.\d{1,3}(?: |$)")

# RFC 5321 section 4.5.3.1.5: 512 octets with code and line end; the rest of a longer line is cut off.
_LINE_LENGTH = 480
_LINES = 50

# What a reply means where its author gave no enhanced status code (RFC 3463 section 3); else class.0.0.
_DEFAULT_STATUS = {
    421: "4.3.2",
    450: "4.2.0",
    451: "4.3.0",
    452: "4.3.1",
    500: "5.5.2",
    501: "5.5.4",
    502: "5.5.1",
    503: "5.5.1",
    504: "5.5.4",
    530: "5.7.0",
    550: "5.0.0",
    552: "5.3.4",
    553: "5.1.3",
    555: "5.5.4",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One reply: a three-digit code, its enhanced status code, and a text of one or several lines."""

    code: int
    enhanced: str
    """Class, subject and detail, such as `5.7.1`; its class is that of the code."""

    text: str
    """Lines are separated by a line feed."""

    @classmethod
    def of(cls, code: int, text: str) -> Reply:
        """A reply whose text may start with an enhanced status code; without one, the code's usual one is taken."""
        match = _ENHANCED.match(text)
        if match is None or int(match[1]) != code // 100:
            return cls(code=code, enhanced=default_status(code), text=text)
        enhanced = match[0].strip()
        # Servers repeat the enhanced code on every line (RFC 2034 section 4).
        rest = "\n".join(line.removeprefix(enhanced).lstrip(" ") for line in text.split("\n"))
        return cls(code=code, enhanced=enhanced, text=rest)

    @property
    def positive(self) -> bool:
        """Whether the command was carried out (2yz)."""
        return self.code // 100 == 2

    @property
    def temporary(self) -> bool:
        """Whether trying again later may help (4yz)."""
        return self.code // 100 == 4

    def __str__(self) -> str:
        return f"{self.code} {self.enhanced} {self.text}".replace("\n", " / ")

    def encode(self, *, utf8: bool = False) -> bytes:
        """The reply as it goes over the wire, without the final CRLF.

        Control characters cannot occur in it, and characters outside ASCII only where the client asked for
        SMTPUTF8 (RFC 6531 section 3.5).
        """
        lines = [_printable(line, utf8=utf8) for line in self.text.split("\n")[:_LINES]]
        start = [f"{self.code}-{self.enhanced} " for _ in lines[1:]] + [f"{self.code} {self.enhanced} "]
        return "\r\n".join(map("".join, zip(start, lines, strict=True))).encode("utf-8" if utf8 else "ascii")


def default_status(code: int) -> str:
    """The enhanced status code that fits a reply code best when nothing more is known."""
    return _DEFAULT_STATUS.get(code, f"{code // 100}.0.0")


def passed_on(code: int, text: str) -> Reply:
    """The reply for our client, made from what the next hop answered.

    A 4yz or 5yz keeps its code, enhanced status and text. A 421 becomes a 451: the next hop closes *its* connection,
    we do not close ours. What is no reply to a mail command at all (1yz, 3yz out of place, nonsense) becomes a 451,
    so that the client keeps the message.
    """
    if code == 421:
        return Reply.of(451, text)
    if 200 <= code <= 299 or 400 <= code <= 599:
        return Reply.of(code, text)
    return Reply(code=451, enhanced="4.3.0", text=f"the next hop answered {code} {text}")


def _printable(line: str, *, utf8: bool) -> str:
    if not line.isascii():
        line = line.encode("utf-8", "replace").decode("utf-8") if utf8 else line.encode("ascii", "replace").decode()
    if not line.isprintable():
        line = "".join(character if character.isprintable() else "?" for character in line)
    return line[:_LINE_LENGTH]
