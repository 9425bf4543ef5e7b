"""The plain version of `smime_engine.mime.canonical.is_clean`: one rule after the other, line by line."""

from __future__ import annotations

import re

_LABEL = re.compile(rb"(?i)encoding[ \t]*:[ \t\r\n]*(?:8bit|binary)")


def is_clean(data: bytes) -> bool:
    if any(octet == 0 or octet > 127 for octet in data):
        return False
    lines = data.split(b"\r\n")
    for line in lines:
        if b"\r" in line or b"\n" in line:
            return False
        if len(line) > 76 or line.endswith((b" ", b"\t")) or line.startswith(b"From "):
            return False
    header, separator, _body = data.partition(b"\r\n\r\n")
    if not separator:
        header = data
    labelled = data if re.search(rb"(?i)multipart/|message/", header) else header
    return not _LABEL.search(labelled)
