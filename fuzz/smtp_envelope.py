"""MAIL and RCPT: a command, or a refusal with a reply; what is taken can be said again and is taken as the same."""

from __future__ import annotations

from smime_smtp_relay.envelope import CommandRefused, MailCommand, RecipientCommand

_EVERYTHING = frozenset({"size", "8bitmime", "smtputf8", "dsn"})


def fuzz(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    for parse in (MailCommand.parse, _recipient):
        try:
            command = parse(text)
        except CommandRefused as refused:
            refused.reply.encode()
            continue
        said = command.encode(_EVERYTHING)
        if set(said) & {0, 10, 13}:
            raise AssertionError("a command with control characters")
        if parse(said.decode()) != command:
            raise AssertionError("the command changes when it is passed on")


def _recipient(text: str) -> RecipientCommand:
    return RecipientCommand.parse(text, utf8=True)


def seeds() -> list[bytes]:
    return [
        b"FROM:<alice@example.org> SIZE=1000 BODY=8BITMIME RET=FULL ENVID=a+2B AUTH=<>",
        "FROM:<älice@exämple.org> SMTPUTF8".encode(),
        b"FROM:<>",
        b'TO:<@a.example,@b.example:"bob \\" x"@[192.0.2.1]> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;bob+40x',
        b"TO:Postmaster",
    ]
