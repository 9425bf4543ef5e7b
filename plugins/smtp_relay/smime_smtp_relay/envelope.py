"""The arguments of MAIL and RCPT as values.

Does: parse paths and parameters (RFC 5321 sections 4.1.1 and 4.1.2, RFC 6531 section 3, SIZE of RFC 1870, BODY of
RFC 6152, DSN of RFC 3461, AUTH of RFC 4954 section 5) and write them again for the next hop. Does not: judge whether
an address exists or may send. aiosmtpd's own parsing is not used: it knows no DSN parameters, changes the case of
`ENVID`, and takes addresses through the general header parser, which costs more than the rest of the transaction.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from smime_smtp_relay.replies import Reply

__all__ = ["UNKNOWN_CLIENT", "XFORWARD", "CommandRefused", "ForwardedClient", "MailCommand", "RecipientCommand"]


class CommandRefused(Exception):
    """The command cannot be taken as the client wrote it; `reply` says why."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply
        super().__init__(str(reply))


# Local parts and domains take any character outside ASCII here (RFC 6531 section 3.3); whether the client asked for
# SMTPUTF8 is checked when all parameters are known. Domains are not checked further: that is the next hop's business.
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\-\x80-\U0010ffff]+"
_LOCAL = rf'(?:{_ATOM}(?:\.+{_ATOM})*\.?|"(?:[ !#-\[\]-~\x80-\U0010ffff]|\\[ -~])*")'
_DOMAIN = r"(?:[A-Za-z0-9_\-.\x80-\U0010ffff]+|\[[!-Z^-~]+\])"
_MAILBOX = rf"{_LOCAL}(?:@{_DOMAIN})?"
# A source route is read and ignored (RFC 5321 appendix C). Addresses without angle brackets are an old habit of
# clients that Postfix and aiosmtpd tolerate as well.
_PATH = re.compile(rf" *(?:<(?:@{_DOMAIN}(?:,@{_DOMAIN})*:)?({_MAILBOX})?>|({_MAILBOX}))(?= |$)")
_XTEXT = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})*")
_NOTIFY = re.compile(r"NEVER|(?:SUCCESS|FAILURE|DELAY)(?:,(?:SUCCESS|FAILURE|DELAY))*", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class MailCommand:
    """`MAIL FROM:<sender> …`."""

    sender: str
    """The return path; empty for bounces (`<>`)."""

    size: int | None = None
    """Bytes that the client announced."""

    eight_bit: bool = False
    """BODY=8BITMIME."""

    utf8: bool = False
    """SMTPUTF8."""

    notification: tuple[str, ...] = ()
    """RET and ENVID as they were written."""

    @classmethod
    def parse(cls, argument: str | None) -> MailCommand:
        """Read what follows `MAIL `; CommandRefused with a 501, 553 or 555 where it is not right."""
        sender, parameters = _path_and_parameters("FROM", argument)
        notification = _taken_notification(parameters, ("RET", "ENVID"))
        parameters.pop("AUTH", None)  # RFC 4954 section 5: who does not trust the claim treats it as AUTH=<>
        command = cls(
            sender=sender,
            size=_size(parameters),
            eight_bit=_eight_bit(parameters),
            utf8=_flag(parameters, "SMTPUTF8"),
            notification=notification,
        )
        _nothing_left(parameters)
        _ascii_unless_asked(sender, utf8=command.utf8)
        return command

    def encode(self, extensions: frozenset[str]) -> bytes:
        """The argument for a next hop with these EHLO keywords (lower case); parameters it does not know are left out.

        The announced size goes along as an estimate, so that the next hop can refuse early; signing adds to it.
        """
        parts = [f"FROM:<{self.sender}>"]
        if self.size is not None and "size" in extensions:
            parts.append(f"SIZE={self.size}")
        if self.eight_bit and "8bitmime" in extensions:
            parts.append("BODY=8BITMIME")
        if self.utf8:
            parts.append("SMTPUTF8")
        if "dsn" in extensions:
            parts.extend(self.notification)
        return " ".join(parts).encode("utf-8")


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipientCommand:
    """`RCPT TO:<recipient> …`."""

    recipient: str
    notification: tuple[str, ...] = ()
    """NOTIFY and ORCPT as they were written."""

    @classmethod
    def parse(cls, argument: str | None, *, utf8: bool) -> RecipientCommand:
        """Read what follows `RCPT `; `utf8` says whether the transaction was opened with SMTPUTF8."""
        recipient, parameters = _path_and_parameters("TO", argument)
        if not recipient:
            raise CommandRefused(Reply(code=501, enhanced="5.1.3", text="a recipient must be named"))
        notification = _taken_notification(parameters, ("NOTIFY", "ORCPT"))
        _nothing_left(parameters)
        _ascii_unless_asked(recipient, utf8=utf8)
        return cls(recipient=recipient, notification=notification)

    def encode(self, extensions: frozenset[str]) -> bytes:
        """The argument for a next hop with these EHLO keywords (lower case)."""
        parts = [f"TO:<{self.recipient}>"]
        if "dsn" in extensions:
            parts.extend(self.notification)
        return " ".join(parts).encode("utf-8")


XFORWARD = ("NAME", "ADDR", "PORT", "PROTO", "HELO", "SOURCE", "IDENT")
"""Attributes of Postfix's XFORWARD extension."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForwardedClient:
    """What a server in front of us says about the client that it has the mail from (Postfix's XFORWARD_README)."""

    attributes: tuple[tuple[str, str], ...] = ()
    """Names and values (xtext) as they were written."""

    @property
    def address(self) -> str | None:
        """The client's IP address, if it is told."""
        value = dict(self.attributes).get("ADDR", "")
        return value.removeprefix("IPV6:") if value and value != "[UNAVAILABLE]" else None

    def including(self, argument: str | None) -> ForwardedClient:
        """This and what follows `XFORWARD `; CommandRefused with a 501 where it is not right."""
        found = dict(self.attributes)
        for word in (argument or "").split():
            name, equals, value = word.partition("=")
            if name.upper() not in XFORWARD or not equals or len(value) > 255 or not _XTEXT.fullmatch(value):
                raise CommandRefused(_bad_parameter(name.upper()[:20]))
            found[name.upper()] = value
        if not argument:
            raise CommandRefused(Reply(code=501, enhanced="5.5.4", text="syntax: XFORWARD attribute=value ..."))
        return ForwardedClient(attributes=tuple(found.items()))

    def encode(self, offered: frozenset[str]) -> bytes | None:
        """The argument for a next hop that takes these attributes; None where nothing is left to say."""
        words = [f"{name}={value}" for name, value in self.attributes if name in offered]
        return " ".join(words).encode("ascii") if words else None


UNKNOWN_CLIENT = ForwardedClient()
"""Nothing is told."""


def _path_and_parameters(keyword: str, argument: str | None) -> tuple[str, dict[str, str | None]]:
    start = len(keyword) + 1
    if argument is None or argument[:start].upper() != f"{keyword}:":
        raise CommandRefused(Reply(code=501, enhanced="5.5.4", text=f"syntax: {keyword}:<address> [parameters]"))
    # Control characters could end our command line to the next hop; a lone surrogate stands for invalid UTF-8.
    if not argument.isprintable():
        raise CommandRefused(Reply(code=501, enhanced="5.1.3", text="the address is not valid"))
    match = _PATH.match(argument, start)
    if match is None:
        raise CommandRefused(Reply(code=501, enhanced="5.1.3", text="the address is not valid"))
    return match[1] or match[2] or "", _parameters(argument[match.end() :])


def _parameters(text: str) -> dict[str, str | None]:
    parameters: dict[str, str | None] = {}
    for word in text.split():
        keyword, equals, value = word.partition("=")
        keyword = keyword.upper()
        if keyword in parameters or (equals and not value):
            raise CommandRefused(_bad_parameter(keyword))
        parameters[keyword] = value if equals else None
    return parameters


def _taken_notification(parameters: dict[str, str | None], keywords: tuple[str, ...]) -> tuple[str, ...]:
    taken = []
    for keyword in keywords:
        if keyword in parameters:
            value = parameters.pop(keyword) or ""
            if not _NOTIFICATION[keyword](value):
                raise CommandRefused(_bad_parameter(keyword))
            taken.append(f"{keyword}={value}")
    return tuple(taken)


def _is_xtext(value: str, limit: int) -> bool:
    return 0 < len(value) <= limit and _XTEXT.fullmatch(value) is not None


def _is_original_recipient(value: str) -> bool:
    kind, separator, address = value.partition(";")
    # RFC 6533 section 3 adds the type utf-8, whose addresses may hold characters outside ASCII.
    readable = address.isprintable() if kind.lower() == "utf-8" else _is_xtext(address, 500)
    return bool(separator) and _is_xtext(kind, 100) and 0 < len(address) <= 500 and readable


# RFC 3461 sections 4.1 to 4.4.
_NOTIFICATION = {
    "RET": lambda value: value.upper() in ("FULL", "HDRS"),
    "ENVID": lambda value: _is_xtext(value, 100),
    "NOTIFY": lambda value: _NOTIFY.fullmatch(value) is not None,
    "ORCPT": _is_original_recipient,
}


def _size(parameters: dict[str, str | None]) -> int | None:
    if "SIZE" not in parameters:
        return None
    value = parameters.pop("SIZE") or ""
    # RFC 1870 section 4: up to 20 digits.
    if not (value.isascii() and value.isdigit() and len(value) <= 20):
        raise CommandRefused(_bad_parameter("SIZE"))
    return int(value)


def _eight_bit(parameters: dict[str, str | None]) -> bool:
    body = (parameters.pop("BODY", "7BIT") or "").upper()
    if body not in ("7BIT", "8BITMIME"):
        raise CommandRefused(_bad_parameter("BODY"))
    return body == "8BITMIME"


def _flag(parameters: dict[str, str | None], keyword: str) -> bool:
    if keyword not in parameters:
        return False
    if parameters.pop(keyword) is not None:
        raise CommandRefused(_bad_parameter(keyword))
    return True


def _nothing_left(parameters: dict[str, str | None]) -> None:
    if parameters:
        raise CommandRefused(Reply(code=555, enhanced="5.5.4", text="unknown parameter: " + ", ".join(parameters)))


def _ascii_unless_asked(address: str, *, utf8: bool) -> None:
    if not utf8 and not address.isascii():
        raise CommandRefused(Reply(code=553, enhanced="5.6.7", text="an address outside ASCII needs SMTPUTF8"))


def _bad_parameter(keyword: str) -> Reply:
    return Reply(code=501, enhanced="5.5.4", text=f"bad parameter: {keyword}")
