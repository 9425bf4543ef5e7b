"""What is wrong with a message that can be read all the same.

Mail is written by thousands of programs, so the parser accepts nearly everything (RFC 5321 section 2.3.5: be
liberal) and names what it had to guess about. Whoever judges a message decides what a defect means: for a
signature check two From fields are an attack, for a display they are a curiosity. Does not judge.
"""

from __future__ import annotations

from enum import Enum

__all__ = ["Defect"]


class Defect(Enum):
    """One named defect; the name is the stable identifier, the text is for people."""

    # Header fields (RFC 5322)
    DUPLICATE_FIELD = "a field that may occur once occurs several times; the first one counts"
    HEADER_BROKEN_OFF = "the header ends in a line that is neither a field nor empty"
    CONTROL_CHARACTERS = "a field holds control characters"
    ENVELOPE_LINE = "a mailbox file's From line stands before the header"

    # Structured fields (RFC 2045, RFC 2231)
    MALFORMED_CONTENT_TYPE = "the content type cannot be read"
    MALFORMED_PARAMETERS = "parameters of a field cannot be read"
    DUPLICATE_PARAMETER = "a parameter is given twice with different values; the first one counts"

    # Multiparts (RFC 2046)
    NO_BOUNDARY = "a multipart has no usable boundary parameter"
    NO_PARTS = "a multipart has no part"
    MISSING_CLOSING_BOUNDARY = "the last boundary of a multipart is missing"
    ENCODED_MULTIPART = "a multipart claims a transfer encoding, which it must not have"

    # Addresses (RFC 5322 section 3.4)
    MALFORMED_ADDRESS = "an address cannot be read"
    ADDRESS_IN_DISPLAY_NAME = "a display name pretends to be an address"

    def __init__(self, text: str) -> None:
        self.text = text
