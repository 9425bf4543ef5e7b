"""MIME entities for Hypothesis: trees of parts with the contents and line ends that hostile and careless mail has."""

from __future__ import annotations

import base64
import quopri
from dataclasses import dataclass, field

from hypothesis import strategies as st


@dataclass(frozen=True)
class Part:
    """One entity; `parts` of a multipart, or the one message of a `message/rfc822`."""

    type: str
    encoding: str = ""
    content: bytes = b""
    parts: tuple[Part, ...] = ()
    extra: tuple[str, ...] = ()
    boundary: str = ""
    preamble: bytes = b""
    epilogue: bytes = b""
    closed: bool = field(default=True)

    def fields(self) -> list[bytes]:
        parameter = f'; boundary="{self.boundary}"' if self.boundary else ""
        lines = [f"Content-Type: {self.type}{parameter}", *self.extra]
        if self.encoding:
            lines.append(f"Content-Transfer-Encoding: {self.encoding}")
        return [line.encode("utf-8") for line in lines]

    def body(self, line_end: bytes) -> bytes:
        if self.boundary:
            delimiter = b"--" + self.boundary.encode()
            pieces = [self.preamble + line_end if self.preamble else b""]
            for part in self.parts:
                pieces += [delimiter, line_end, part.octets(line_end), line_end]
            if self.closed:
                pieces += [delimiter, b"--", line_end, self.epilogue]
            return b"".join(pieces)
        if self.parts:
            return self.parts[0].octets(line_end)
        if self.encoding == "base64":
            return base64.encodebytes(self.content).replace(b"\n", line_end)
        if self.encoding == "quoted-printable":
            return quopri.encodestring(self.content.replace(b"\r\n", b"\n")).replace(b"\n", line_end)
        return self.content

    def octets(self, line_end: bytes = b"\r\n") -> bytes:
        return line_end.join([*self.fields(), b"", b""]) + self.body(line_end)

    def leaves(self) -> list[Part]:
        if not self.parts:
            return [self]
        return [leaf for part in self.parts for leaf in part.leaves()]


_WORDS = st.sampled_from([
    b"word", b"From ", b"From nowhere", b" ", b"\t", b".", b"=", b"=20", b"--", b"--b1", b"--b1--", b"-- ", b"x" * 40,
    b"y" * 77, "Grüße".encode(), "Grüße".encode("latin-1"), b"\xff\xfe", b">From", b"Content-Type: text/html", b"",
    b"Content-Transfer-Encoding: 8bit", b"\x1b$B", b"+/AZ" * 19,
])  # fmt: skip
LINES = st.lists(_WORDS, max_size=5).map(b"".join)


def texts(line_end: bytes) -> st.SearchStrategy[bytes]:
    return st.lists(LINES, max_size=6).map(line_end.join)


_STRAY = st.sampled_from([b"\0", b"\r", b"\n", b"\r\r\n", b"a\rb"])
binaries = st.one_of(st.binary(max_size=200), st.tuples(texts(b"\r\n"), _STRAY, texts(b"\n")).map(b"".join))

_EXTRA = st.lists(
    st.sampled_from(
        [
            "Content-Description: plain",
            "Content-Description: Grüße aus München, und noch viel mehr Wörter, die nicht in eine Zeile passen wollen",
            "Content-Disposition: attachment; filename=Übersicht.pdf",
            'Content-Disposition: attachment; filename="a file name that is long, with spaces in it, and more.pdf"',
            "Content-ID: <abc@example.org>",
            "X-Trailing: value   ",
            "X-Long: " + "word " * 30,
            "X-Unbreakable: " + "z" * 90,
        ]
    ),
    max_size=2,
    unique=True,
).map(tuple)


@st.composite
def leaves(draw: st.DrawFn, line_end: bytes) -> Part:
    encoding = draw(st.sampled_from(["", "7bit", "8bit", "binary", "base64", "quoted-printable"]))
    media_type = draw(st.sampled_from(["text/plain; charset=utf-8", "text/html", "application/octet-stream"]))
    if encoding == "base64":
        content = draw(binaries)
    elif encoding == "binary":
        content = draw(st.one_of(binaries, texts(line_end)))
    else:
        content = draw(texts(line_end))
    return Part(type=media_type, encoding=encoding, content=content, extra=draw(_EXTRA))


_BOUNDARIES = st.sampled_from(["b1", "b1--x", "b1x", "=_abc", "b 1", "very-long-boundary-" * 3, "'()+_,-./:=?"])
_SUBTYPES = st.sampled_from(["multipart/mixed", "multipart/alternative", "multipart/related", "multipart/report"])


@st.composite
def multiparts(draw: st.DrawFn, line_end: bytes, children: st.SearchStrategy[Part]) -> Part:
    return Part(
        type=draw(_SUBTYPES),
        encoding=draw(st.sampled_from(["", "7bit", "8bit"])),
        boundary=draw(_BOUNDARIES),
        parts=tuple(draw(st.lists(children, min_size=1, max_size=3))),
        extra=draw(_EXTRA),
        preamble=draw(st.sampled_from([b"", b"preamble", b"From \xfc"])),
        epilogue=draw(st.sampled_from([b"", b"epilogue ", b"From " + b"x" * 99])),
        closed=draw(st.sampled_from([True, True, True, False])),
    )


@st.composite
def messages(draw: st.DrawFn, children: st.SearchStrategy[Part]) -> Part:
    inner = draw(children)
    sender = draw(st.sampled_from(["From: a@b.example", "From: Jürgen <j@b.example>", "From: jürgen@müller.example"]))
    inner = Part(**{**inner.__dict__, "extra": (sender, "Subject: Grüße", *inner.extra)})
    return Part(type="message/rfc822", encoding=draw(st.sampled_from(["", "8bit"])), parts=(inner,))


def entities(line_end: bytes) -> st.SearchStrategy[Part]:
    """Trees of parts whose text bodies use `line_end`."""
    return st.recursive(
        leaves(line_end), lambda children: multiparts(line_end, children) | messages(children), max_leaves=6
    )


def boundaries_are_distinct(part: Part, around: tuple[str, ...] = ()) -> bool:
    """Whether no multipart has the boundary of one around it."""
    if part.boundary in around:
        return False
    inner = (*around, part.boundary) if part.boundary else around
    return all(boundaries_are_distinct(child, inner) for child in part.parts)
