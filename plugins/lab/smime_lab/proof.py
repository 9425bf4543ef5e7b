"""The proof: a real message through the relay, judged by two independent readers.

Does: compose a multipart message with an attachment and send it with the standard library's SMTP client; judge the
signed result with our reader and, where it is installed, with `openssl cms -verify`. Does not: fake anything.
"""

from __future__ import annotations

import shutil
import smtplib
import subprocess
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid
from pathlib import Path

from smime_engine import Certificate, TrustCollection, Verdict, open_message
from smime_engine.errors import SmimeError

__all__ = ["Judgement", "demonstration_message", "judge", "send"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What one reader says about a message."""

    reader: str
    verdict: str
    detail: str = ""

    @property
    def is_valid(self) -> bool:
        """Whether the reader found a valid signature."""
        return self.verdict == Verdict.VALID.name


def demonstration_message(sender: str, recipient: str, *, now: datetime) -> EmailMessage:
    """A message as mail programs write them: text and HTML, umlauts, a binary attachment."""
    message = EmailMessage()
    message["From"] = f"Alice <{sender}>"
    message["To"] = f"Bob <{recipient}>"
    message["Subject"] = "Grüße from the S/MIME lab"
    message["Date"] = format_datetime(now)
    message["Message-ID"] = make_msgid(domain="lab.example")
    message.set_content("Hello Bob,\n\nthis message was signed on its way.\n\nGrüße\nAlice\n", cte="8bit")
    message.add_alternative("<p>Hello Bob,</p><p>this message was <b>signed</b> on its way.</p>", subtype="html")
    attachment = bytes(range(256)) * 64
    message.add_attachment(attachment, maintype="application", subtype="octet-stream", filename="every-byte.bin")
    return message


def send(message: EmailMessage, port: int) -> None:
    """Send with smtplib over a real connection; smtplib.SMTPException or OSError where it is refused."""
    with smtplib.SMTP("127.0.0.1", port, timeout=30) as session:
        session.send_message(message)


def judge(message: bytes, path: Path, *, root: Certificate, root_file: Path, now: datetime) -> tuple[Judgement, ...]:
    """The verdicts of all readers that are there; `path` is the file that the message stands in."""
    judgements = [_our_own(message, root, now)]
    openssl = shutil.which("openssl")
    if openssl is not None:
        judgements.append(_openssl(openssl, path, root_file))
    return tuple(judgements)


def _our_own(message: bytes, root: Certificate, now: datetime) -> Judgement:
    try:
        opened = open_message(message, now=now, trust=TrustCollection([root]))
    except SmimeError as error:
        return Judgement(reader="smime_engine", verdict="MALFORMED", detail=str(error))
    if opened.verdict is None:
        return Judgement(reader="smime_engine", verdict="NOT SIGNED")
    problems = ", ".join(problem.name for signature in opened.signatures for problem in signature.problems)
    signers = ", ".join(
        address
        for signature in opened.signatures
        if signature.certificate is not None
        for address in signature.certificate.addresses
    )
    return Judgement(reader="smime_engine", verdict=opened.verdict.name, detail=problems or f"signed by {signers}")


def _openssl(program: str, path: Path, root_file: Path) -> Judgement:
    command = [program, "cms", "-verify", "-in", str(path), "-CAfile", str(root_file), "-out", "/dev/null"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603 - no shell
    said = done.stderr.strip().splitlines()
    verdict = Verdict.VALID if done.returncode == 0 else Verdict.INVALID
    return Judgement(reader="openssl cms -verify", verdict=verdict.name, detail=said[0] if said else "")
