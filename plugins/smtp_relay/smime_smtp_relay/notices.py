"""Delivery status notifications: what the sender is told about recipients who will not get the message.

Pure. Does: compose a multipart/report (RFC 3462, RFC 3464, RFC 6533 outside ASCII) with the header of the message and
never its body, which may have been meant to be encrypted. Does not: send it, or decide that it is due.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime

from smime_smtp_relay.envelope import MailCommand, RecipientCommand
from smime_smtp_relay.replies import Reply

__all__ = ["Failure", "failure_notice", "wants_notice"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One recipient who will not get the message, and why."""

    command: RecipientCommand
    reply: Reply


def wants_notice(mail: MailCommand, command: RecipientCommand) -> bool:
    """Whether anybody is to be told: never about bounces, nor where the client said NOTIFY without FAILURE."""
    notify = next((text.partition("=")[2].upper() for text in command.notification if text[:7] == "NOTIFY="), "FAILURE")
    return bool(mail.sender) and "FAILURE" in notify.split(",")


def failure_notice(
    mail: MailCommand,
    failures: Sequence[Failure],
    message: bytes,
    *,
    hostname: str,
    identifier: str,
    now: datetime,
) -> bytes:
    """The notice for the envelope's sender, with CRLF; `message` is the one that failed, `identifier` ours."""
    international = not (mail.sender.isascii() and all(failure.command.recipient.isascii() for failure in failures))
    boundary = f"={identifier}={int(now.timestamp())}"
    date = format_datetime(now)
    lines = [
        f"From: Mail Delivery System <postmaster@{hostname}>",
        f"To: <{mail.sender}>",
        "Subject: Undelivered mail returned to sender",
        f"Date: {date}",
        f"Message-ID: <{identifier}.notice@{hostname}>",
        "Auto-Submitted: auto-replied",
        "MIME-Version: 1.0",
        f'Content-Type: multipart/report; report-type=delivery-status; boundary="{boundary}"',
        "",
        f"--{boundary}",
        f"Content-Type: text/plain; charset={'utf-8' if international else 'us-ascii'}",
        *_encoding(international=international),
        "",
        f"This is the mail gateway at {hostname}.",
        "",
        "Your message could not be delivered to everybody. It did not reach:",
        "",
        *(f"<{failure.command.recipient}>: {_text(failure.reply)}" for failure in failures),
        "",
        "All other recipients have it.",
        "",
        f"--{boundary}",
        f"Content-Type: message/{'global-' if international else ''}delivery-status",
        *_encoding(international=international),
        "",
        f"Reporting-MTA: dns; {hostname}",
        f"Arrival-Date: {date}",
        *_original_envelope(mail),
        *(line for failure in failures for line in _status(failure)),
        "",
        f"--{boundary}",
        f"Content-Type: {'message/global-headers' if international else 'text/rfc822-headers'}",
        *_encoding(international=international),
        "",
    ]
    end = message.find(b"\r\n\r\n")
    header = message[: end if end >= 0 else len(message)]
    if not international and not header.isascii():
        header = header.decode("utf-8", "replace").encode("ascii", "replace")
    return "\r\n".join(lines).encode("utf-8") + b"\r\n" + header + f"\r\n\r\n--{boundary}--\r\n".encode()


def _encoding(*, international: bool) -> tuple[str, ...]:
    return ("Content-Transfer-Encoding: 8bit",) if international else ()


def _original_envelope(mail: MailCommand) -> list[str]:
    return [f"Original-Envelope-Id: {text[6:]}" for text in mail.notification if text.startswith("ENVID=")]


def _status(failure: Failure) -> list[str]:
    command = failure.command
    kind = "rfc822" if command.recipient.isascii() else "utf-8"
    original = [text[6:].replace(";", "; ", 1) for text in command.notification if text.startswith("ORCPT=")]
    return [
        "",
        *(f"Original-Recipient: {text}" for text in original),
        f"Final-Recipient: {kind}; {command.recipient}",
        "Action: failed",
        f"Status: {failure.reply.enhanced}",
        f"Diagnostic-Code: smtp; {failure.reply.code} {_text(failure.reply)}",
    ]


def _text(reply: Reply) -> str:
    # One line without control characters, whatever the next hop said.
    return reply.encode(utf8=False).decode("ascii").replace("\r\n", " ")[4:]
