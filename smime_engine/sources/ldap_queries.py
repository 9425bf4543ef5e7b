"""The parts of asking an LDAP server that need no server: filters, attribute lists, Active Directory's ranges, URLs.

Does: escape whatever goes into a filter; put many addresses into one filter; say which ranges of values are still to be
read. Does not: connect (`ldap_servers.py`), or read entries (`directory.attributes`).

Standards: RFC 4515 (filters), RFC 4516 (URLs), RFC 4522 (`;binary`), MS-ADTS 3.1.1.3.1.3.3 (range retrieval).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from smime_engine.addresses import comparable_address
from smime_engine.directory.attributes import AttributeNames
from smime_engine.errors import ConfigurationError

__all__ = ["Range", "address_filter", "escaped", "requested_attributes", "server_url", "whole_values"]

_SPECIAL = re.compile(r"[\x00-\x1f*()\\\x7f]")
_RANGE = re.compile(r"(?i);range=(\d{1,9})-(\d{1,9}|\*)(?=;|$)")


def escaped(text: str) -> str:
    """A value for a filter: everything that could end it or act in it, and control characters, as RFC 4515 says."""
    return _SPECIAL.sub(lambda found: f"\\{ord(found[0]):02x}", text)


def address_filter(addresses: Iterable[str], names: AttributeNames, *, also: str = "") -> str:
    """A filter for all entries that have one of the addresses. `also` is a filter that must hold too."""
    terms = []
    for address in addresses:
        spellings = dict.fromkeys((address, comparable_address(address) or address))
        for value in map(escaped, spellings):
            terms += [f"({name}={value})" for name in names.mail]
            terms += [f"({name}={_scheme(name)}{value})" for name in names.proxies]
    any_of = f"(|{''.join(terms)})"
    return f"(&{also}{any_of})" if also else any_of


def _scheme(name: str) -> str:
    return "smtp:" if name.lower() == "proxyaddresses" else ""


def requested_attributes(names: AttributeNames) -> list[str]:
    """What to ask for: certificates with and without `;binary`, as RFC servers and Active Directory differ there."""
    binary = (f"{name};binary" for name in (*names.smime_certificates, *names.certificates))
    return [*names.all, *binary]


@dataclass(frozen=True, slots=True)
class Range:
    """Values of one attribute that are still to be read."""

    description: str
    """Without the range."""

    start: int

    @property
    def request(self) -> str:
        """The attribute description that asks for them."""
        return f"{self.description};range={self.start}-*"


def whole_values(
    attributes: Mapping[str, Sequence[bytes]],
) -> tuple[dict[str, list[bytes]], tuple[Range, ...]]:
    """Take ranges out of attribute descriptions -> values without ranges, and what is still to be read.

    Active Directory gives 1,500 values of an attribute at most, as `member;range=0-1499`; the last part ends in `*`.
    """
    values: dict[str, list[bytes]] = {}
    missing: list[Range] = []
    for description, some in attributes.items():
        match = _RANGE.search(description)
        plain = description if match is None else _RANGE.sub("", description)
        values.setdefault(plain, []).extend(some)
        if match is not None and match[2] != "*" and some:
            missing.append(Range(plain, int(match[2]) + 1))
    return values, tuple(missing)


def server_url(text: str) -> str:
    """A server as configured -> a URL without path: `ldaps://h`, `ldap://h:389`, `ldapi://…`, or `h`, `h:636`.

    Without a scheme, port 636 means ldaps and everything else ldap, as in Outlook's LDAPHostName. Raises
    ConfigurationError.
    """
    if text.lower().startswith("ldapi://"):
        return text
    url = text if "://" in text else f"{'ldaps' if text.endswith(':636') else 'ldap'}://{text}"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ConfigurationError(f"{text!r} is no LDAP server: {error}") from error
    scheme = parts.scheme.lower()
    extra = parts.path.strip("/") or parts.query or parts.fragment or parts.username
    if scheme not in {"ldap", "ldaps"} or not parts.hostname or extra:
        raise ConfigurationError(f"{text!r} is no LDAP server such as ldaps://dc1.example.org or dc1.example.org:636")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{scheme}://{host}:{port or (636 if scheme == 'ldaps' else 389)}"


def batches(addresses: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    """Pieces of at most `size`."""
    for start in range(0, len(addresses), size):
        yield addresses[start : start + size]
