"""Declarative DER: the only importer of `cryptography.hazmat.asn1`.

A structure is a class that reads like the ASN.1 of its RFC:

    @sequence
    class AttributeTypeAndValues:
        type: ObjectIdentifier
        values: SetOf[TLV]

`decode` and `encode` go between such a class and bytes; whatever is wrong with the bytes is MalformedMessage.

What the declarative layer cannot do, so that nobody looks for it: BER (see `ber.to_der`); `TLV | None`; IMPLICIT on
TLV; an unsorted universal SET OF (split it with `ber.elements`; an `[n] IMPLICIT SET OF` can be declared as a list);
contents of megabytes at speed (walk to them with `ber`, which hands out spans).

Standards: X.690 section 10 (DER), X.680.
"""

from __future__ import annotations

from typing import TypeVar

from cryptography.hazmat.asn1 import (
    TLV,
    BitString,
    Default,
    Explicit,
    GeneralizedTime,
    IA5String,
    Implicit,
    Null,
    PrintableString,
    SetOf,
    Size,
    UTCTime,
    Variant,
    decode_der,
    encode_der,
    sequence,
    set,  # noqa: A004 - the name that ASN.1 gives it
    value_set,
)
from cryptography.x509 import ObjectIdentifier

from smime_engine.errors import MalformedMessage

__all__ = [
    "TLV",
    "BitString",
    "Default",
    "Explicit",
    "GeneralizedTime",
    "IA5String",
    "Implicit",
    "Null",
    "ObjectIdentifier",
    "PrintableString",
    "SetOf",
    "Size",
    "UTCTime",
    "Variant",
    "decode",
    "encode",
    "sequence",
    "set",
    "value_set",
]

T = TypeVar("T")


def decode(cls: type[T], data: bytes | memoryview, *, expected: str, offset: int = 0) -> T:
    """Decode exactly one value of a declared type (or of a plain one: `int`, `bytes`, `ObjectIdentifier` …).

    `expected` names the structure in the error's text, `offset` says where `data` begins in the message. Trailing
    octets, BER and values that Python cannot hold (a year 0, say) are MalformedMessage like every other fault.
    """
    try:
        # bytes() of bytes is the same object; a memoryview has to be copied, the decoder takes nothing else.
        return decode_der(cls, bytes(data))
    except (ValueError, OverflowError) as error:
        raise MalformedMessage(expected, offset=offset) from error


def encode(value: object) -> bytes:
    """Encode a value of a declared type as DER. Raises TypeError or ValueError for a value that does not fit it."""
    return encode_der(value)
