"""Header fields, all in one place: the door to `fields`, `parameters`, `encoded_words` and `addresses`.

Holds no code: import from here when you want to read header fields without knowing which file does what.
"""

from __future__ import annotations

from smime_engine.mime.addresses import AddressList, Mailbox, addresses_of, parse_addresses
from smime_engine.mime.encoded_words import decode_words, encode_words
from smime_engine.mime.fields import HeaderField, named_fields, split_fields, unfold
from smime_engine.mime.parameters import (
    ContentType,
    Parameterised,
    encode_parameter,
    parse_content_type,
    parse_parameterised,
)

__all__ = [
    "AddressList",
    "ContentType",
    "HeaderField",
    "Mailbox",
    "Parameterised",
    "addresses_of",
    "decode_words",
    "encode_parameter",
    "encode_words",
    "named_fields",
    "parse_addresses",
    "parse_content_type",
    "parse_parameterised",
    "split_fields",
    "unfold",
]
