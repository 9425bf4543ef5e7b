"""The arguments of MAIL and RCPT."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smime_smtp_relay.envelope import CommandRefused, MailCommand, RecipientCommand

EVERYTHING = frozenset({"size", "8bitmime", "smtputf8", "dsn"})


@pytest.mark.parametrize(
    ("argument", "sender", "again"),
    [
        ("FROM:<>", "", b"FROM:<>"),
        ("from: <a@b.example>", "a@b.example", b"FROM:<a@b.example>"),
        ("FROM:a@b.example", "a@b.example", b"FROM:<a@b.example>"),
        ("FROM:<@c.example:a@b.example>", "a@b.example", b"FROM:<a@b.example>"),
        ('FROM:<"a b"@b.example>', '"a b"@b.example', b'FROM:<"a b"@b.example>'),
        (r'FROM:<"a\"b"@b.example>', r'"a\"b"@b.example', rb'FROM:<"a\"b"@b.example>'),
        ("FROM:<a@[192.0.2.1]>", "a@[192.0.2.1]", b"FROM:<a@[192.0.2.1]>"),
        ("FROM:<a..b.@c.example>", "a..b.@c.example", b"FROM:<a..b.@c.example>"),
        ("FROM:<a@b> size=10 body=8bitmime", "a@b", b"FROM:<a@b> SIZE=10 BODY=8BITMIME"),
        ("FROM:<a@b> BODY=7BIT", "a@b", b"FROM:<a@b>"),
        ("FROM:<ä@ö.example> SMTPUTF8", "ä@ö.example", "FROM:<ä@ö.example> SMTPUTF8".encode()),
        ("FROM:<a@b> AUTH=<> RET=full ENVID=aBc+3D", "a@b", b"FROM:<a@b> RET=full ENVID=aBc+3D"),
    ],
)
def test_mail(argument, sender, again):
    command = MailCommand.parse(argument)
    assert command.sender == sender
    assert command.encode(EVERYTHING) == again
    assert MailCommand.parse(again.decode()) == command


@pytest.mark.parametrize(
    ("argument", "code"),
    [
        (None, 501),
        ("", 501),
        ("TO:<a@b>", 501),
        ("FROM:", 501),
        ("FROM:<a@b", 501),
        ("FROM:a@b>", 501),
        ("FROM:<a b@c>", 501),
        ("FROM:<a@b><c@d>", 501),
        ("FROM:<a@b>SIZE=1", 501),
        ("FROM:<a@b\r\nRCPT TO:<c@d>>", 501),
        ("FROM:<a@b\udc80>", 501),
        ("FROM:<a@b> SIZE=", 501),
        ("FROM:<a@b> SIZE=-1", 501),
        ("FROM:<a@b> SIZE=1 SIZE=2", 501),
        ("FROM:<a@b> SIZE=" + "1" * 21, 501),
        ("FROM:<a@b> BODY=BINARYMIME", 501),
        ("FROM:<a@b> SMTPUTF8=yes", 501),
        ("FROM:<a@b> RET=NONE", 501),
        ("FROM:<a@b> ENVID=" + "x" * 101, 501),
        ("FROM:<a@b> ENVID=a+zz", 501),
        ("FROM:<ä@b>", 553),
        ("FROM:<a@b> FOO", 555),
        ("FROM:<a@b> NOTIFY=NEVER", 555),
    ],
)
def test_mail_refused(argument, code):
    with pytest.raises(CommandRefused) as refused:
        MailCommand.parse(argument)
    assert refused.value.reply.code == code


@pytest.mark.parametrize(
    ("argument", "again"),
    [
        ("TO:<Postmaster>", b"TO:<Postmaster>"),
        ("TO:<a@b> NOTIFY=NEVER", b"TO:<a@b> NOTIFY=NEVER"),
        ("TO:<a@b> ORCPT=rfc822;a+40b notify=Success,delay", b"TO:<a@b> NOTIFY=Success,delay ORCPT=rfc822;a+40b"),
    ],
)
def test_recipient(argument, again):
    assert RecipientCommand.parse(argument, utf8=False).encode(EVERYTHING) == again
    assert b"NOTIFY" not in RecipientCommand.parse(argument, utf8=False).encode(frozenset())


@pytest.mark.parametrize(
    ("argument", "code"),
    [
        ("TO:<>", 501),
        ("TO:<a@b> NOTIFY=NEVER,DELAY", 501),
        ("TO:<a@b> ORCPT=a@b", 501),
        ("TO:<a@b> ORCPT=rfc822;", 501),
        ("TO:<ä@b> ORCPT=utf-8;ä@b", 553),
        ("TO:<a@b> SIZE=1", 555),
    ],
)
def test_recipient_refused(argument, code):
    with pytest.raises(CommandRefused) as refused:
        RecipientCommand.parse(argument, utf8=False)
    assert refused.value.reply.code == code


def test_utf8_recipient():
    command = RecipientCommand.parse("TO:<ä@b> ORCPT=utf-8;ä@b", utf8=True)
    assert command.encode(EVERYTHING) == "TO:<ä@b> ORCPT=utf-8;ä@b".encode()


@given(st.text(), st.booleans())
def test_nothing_gets_through_that_ends_a_command(text, utf8):
    for parse in (MailCommand.parse, lambda line: RecipientCommand.parse(line, utf8=utf8)):
        for prefix in ("FROM:", "TO:", "FROM:<", "TO:<a@b> "):
            try:
                encoded = parse(prefix + text).encode(EVERYTHING)
            except CommandRefused:
                continue
            assert not set(encoded) & {0, 10, 13}
            assert encoded.count(b">") >= 1


def test_time_is_linear():
    # Nested repetition in the pattern for addresses would take minutes for these.
    for text in ("a." * 8_000, '"' + "\\a" * 8_000, "@a," * 5_000, "a" * 16_000 + "@" + "." * 16_000):
        with pytest.raises(CommandRefused):
            MailCommand.parse(f"FROM:<{text}!@>")
