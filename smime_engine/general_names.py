"""GeneralName, the names of subjectAltName, name constraints and distribution points.

Does: decode into values, or raise MalformedMessage. Does not: compare (`trust.name_constraints`) nor check that a name
is well-formed beyond its ASN.1 type.

Standards: RFC 5280 section 4.2.1.6, RFC 9598 (SmtpUTF8Mailbox).
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from smime_engine.asn1 import ber, oids
from smime_engine.errors import MalformedMessage

__all__ = ["GeneralName", "NameForm", "general_name", "general_names", "general_names_in"]

SMTP_UTF8_MAILBOX = "1.3.6.1.5.5.7.8.9"

_OID, _UTF8, _SEQUENCE = 0x06, 0x0C, 0x30


class NameForm(Enum):
    """The forms of GeneralName, and SmtpUTF8Mailbox as a form of its own."""

    OTHER = "otherName"
    MAILBOX = "SmtpUTF8Mailbox"
    EMAIL = "rfc822Name"
    DNS = "dNSName"
    X400 = "x400Address"
    DIRECTORY = "directoryName"
    EDI = "ediPartyName"
    URI = "uniformResourceIdentifier"
    IP = "iPAddress"
    REGISTERED = "registeredID"


class GeneralName(NamedTuple):
    """One GeneralName.

    `value` is the text of EMAIL, MAILBOX, DNS and URI, dotted for REGISTERED, the DER Name of DIRECTORY, the octets
    of IP, and the content octets of the rest. `type_id` is the dotted type of OTHER and MAILBOX, else "".
    """

    form: NameForm
    value: str | bytes
    type_id: str = ""


def general_names(value: bytes) -> tuple[GeneralName, ...]:
    """GeneralNames (subjectAltName, issuerAltName): at least one."""
    start, end = ber.content(value, 0, len(value), _SEQUENCE, expected="GeneralNames")
    if end != len(value):
        raise MalformedMessage("the end of GeneralNames", offset=end)
    return general_names_in(value, start, end)


def general_names_in(data: bytes, start: int, end: int) -> tuple[GeneralName, ...]:
    """The GeneralNames that fill data[start:end]."""
    names = tuple(general_name(data, element) for element in ber.children(data, start, end))
    if not names:
        raise MalformedMessage("at least one GeneralName", offset=start)
    return names


_TEXT_FORMS = {0x81: NameForm.EMAIL, 0x82: NameForm.DNS, 0x86: NameForm.URI}
_OPAQUE_FORMS = {0xA3: NameForm.X400, 0xA5: NameForm.EDI, 0x87: NameForm.IP}


def general_name(data: bytes, element: ber.Element) -> GeneralName:
    """One GeneralName, an element of `data`."""
    tag, offset, start, end = element
    if form := _TEXT_FORMS.get(tag):
        try:
            return GeneralName(form, data[start:end].decode("ascii"))
        except UnicodeDecodeError as error:
            raise MalformedMessage("ASCII (IA5String)", offset=start) from error
    if form := _OPAQUE_FORMS.get(tag):
        return GeneralName(form, data[start:end])
    if tag == 0xA0:
        return _other_name(data, start, end)
    if tag == 0xA4:
        _, name_end = ber.content(data, start, end, _SEQUENCE, expected="a directory name")
        if name_end != end:
            raise MalformedMessage("the end of the directory name", offset=name_end)
        return GeneralName(NameForm.DIRECTORY, data[start:end])
    if tag == 0x88:
        return GeneralName(NameForm.REGISTERED, oids.dotted(data[start:end]))
    raise MalformedMessage("a GeneralName", offset=offset)


def _other_name(data: bytes, start: int, end: int) -> GeneralName:
    fields = ber.children(data, start, end)
    if len(fields) != 2 or fields[0][0] != _OID or fields[1][0] != 0xA0:
        raise MalformedMessage("an otherName", offset=start)
    type_id = oids.dotted(data[fields[0][2] : fields[0][3]])
    _, _, value_start, value_end = fields[1]
    if type_id != SMTP_UTF8_MAILBOX:
        return GeneralName(NameForm.OTHER, data[value_start:value_end], type_id)
    text_start, text_end = ber.content(data, value_start, value_end, _UTF8, expected="SmtpUTF8Mailbox (UTF8String)")
    if text_end != value_end:
        raise MalformedMessage("the end of SmtpUTF8Mailbox", offset=text_end)
    try:
        return GeneralName(NameForm.MAILBOX, data[text_start:text_end].decode(), type_id)
    except UnicodeDecodeError as error:
        raise MalformedMessage("UTF-8", offset=text_start) from error
