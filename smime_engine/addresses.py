"""Comparison of Internet mail addresses.

Does: bring an address to the form in which two addresses are compared. Does not: parse header fields (that is
`mime.headers`) nor judge whether a mailbox exists.

The domain is compared without regard to case and with U-labels and A-labels taken as equal (RFC 5890, RFC 9598
section 5). The local part is, to the letter of RFC 5321 section 2.4, case-sensitive; mail clients and Exchange
compare it without regard to case, and so does this module, but for the letters A to Z alone: Unicode case folding
would make `ſ` (U+017F) equal to `s` and the Kelvin sign equal to `k`, which is a way to impersonate somebody.
A quoted local part equals the same local part without quotes where those are not needed (RFC 5321 section 4.1.2).
"""

from __future__ import annotations

import unicodedata

__all__ = ["comparable_address", "comparable_domain", "same_address"]

_MAXIMUM_LENGTH = 1_000
"""Characters; RFC 5321 allows 320 octets. Longer ones are no addresses, and bound the work per name."""

_MAXIMUM_LABEL = 63


def same_address(first: str, second: str) -> bool:
    """Whether two addresses (`local@domain`) name the same mailbox; False where either is no address."""
    comparable = comparable_address(first)
    return comparable is not None and comparable == comparable_address(second)


def comparable_address(address: str) -> str | None:
    """The form in which addresses are compared, or None where `address` is none.

    None is the answer for text without local part or domain, with control characters (a NUL byte in a certificate
    hides what follows from careless readers), with white space outside quotes, or longer than 1,000 characters.
    """
    if len(address) > _MAXIMUM_LENGTH or not address.isprintable():
        return None
    written, _, domain = address.rpartition("@")
    local = _comparable_local_part(written)
    if not local:
        return None
    comparable = comparable_domain(domain)
    return f"{local}@{comparable}" if comparable else None


def comparable_domain(domain: str) -> str | None:
    """The domain in lower case with every label as A-label and without a final dot, or None where it is no domain.

    Address literals (`[192.0.2.1]`) are kept in lower case.
    """
    if not domain or len(domain) > _MAXIMUM_LENGTH or not domain.isprintable() or " " in domain or "@" in domain:
        return None
    if domain.isascii():
        lowered = domain.lower()
        return lowered.removesuffix(".") or None
    # RFC 5890 section 2.3.2.1 demands NFC; IDNA2008 has no mapping of its own, lower case is what clients apply.
    unified = unicodedata.normalize("NFC", domain.replace("\u3002", ".").lower())
    labels = [_a_label(label) for label in unified.removesuffix(".").split(".")]
    return ".".join(labels) or None


def _a_label(label: str) -> str:
    # The codec's cost grows with the square of the label: longer ones are no DNS labels and stay as they are.
    if label.isascii() or len(label) > _MAXIMUM_LABEL:
        return label
    return "xn--" + label.encode("punycode").decode("ascii")


def _comparable_local_part(local: str) -> str | None:
    if len(local) >= 2 and local[0] == local[-1] == '"':
        local = _unquoted(local[1:-1])
    elif " " in local or '"' in local or "@" in local:
        return None
    # bytes.lower() changes A to Z and nothing else.
    return local.encode("utf-8", "surrogatepass").lower().decode("utf-8", "surrogatepass")


def _unquoted(quoted: str) -> str:
    if "\\" not in quoted:
        return quoted
    characters = iter(quoted)
    return "".join(next(characters, "") if character == "\\" else character for character in characters)
