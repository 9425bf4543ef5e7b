"""Header protection: reading never fails, what is written is read back as written, whatever the message."""

from __future__ import annotations

from smime_engine.errors import MalformedMessage
from smime_engine.mime.build import split_message
from smime_engine.mime.header_protection import (
    displayed_body,
    hcp_shy,
    main_body_parts,
    protect_header,
    read_header,
    restored_message,
)
from smime_engine.mime.parse import parse_entity


def fuzz(data: bytes) -> None:
    outer, _, payload = data.partition(b"\0")
    try:
        report = read_header(parse_entity(outer), parse_entity(payload), signed=True, encrypted=True)
        restored_message(report)
        for part in main_body_parts(report.message):
            displayed_body(part)
        split = protect_header(split_message(data), encrypted=True, policy=hcp_shy)
        written = read_header(parse_entity(split.outer), parse_entity(split.inner), signed=True, encrypted=True)
    except MalformedMessage:
        return
    if written.declared != "cipher":
        raise AssertionError("the mark of protection is lost")
    if written.changed_outside:
        raise AssertionError("what was just written seems changed")


def seeds() -> list[bytes]:
    outer = b"Subject: [...]\r\nFrom: a@b\r\nDate: Fri, 1 Jan 2027 12:00:00 +0200\r\n\r\n\0"
    text = b"Subject: real\r\n\r\nHello\r\n"
    html = b"<html><body><div class=header-protection-legacy-display><pre>Subject: real</pre></div><p>"
    fields = b"Subject: real\r\nFrom: A <a@b>\r\nHP-Outer: Subject: [...]\r\nHP-Outer: From: A <a@b>\r\n"
    mark = b'; hp="cipher"; hp-legacy-display="1"\r\n\r\n'
    return [
        outer + fields + b"Content-Type: text/plain; charset=utf-8" + mark + text,
        outer + fields + b"Content-Type: text/html" + mark + html,
        outer + b"Content-Type: message/rfc822\r\n\r\n" + fields + b"\r\n" + text,
        outer + fields + b'Content-Type: text/plain; protected-headers="v1"\r\n\r\n' + text,
    ]
