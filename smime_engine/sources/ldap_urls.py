"""Fetch a revocation list or a certificate from an LDAP URL, as certificates of Active Directory name them.

Does: one anonymous read of one attribute of one entry, in a thread (libldap blocks), with time and size limits and the
same refusal of addresses that are not public as for HTTP. Needs `python-ldap` (extra `ldap`); says so where it is
missing. Does not: log in, follow referrals, or search below the entry.

Standards: RFC 4516 (LDAP URLs), RFC 4523 (certificateRevocationList, cACertificate), RFC 4522 (`;binary`).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from smime_engine.errors import SourceUnavailable
from smime_engine.sources.network_guard import GuardedResolver

__all__ = ["LdapUrl", "fetch_ldap", "parse_ldap_url"]

_PORTS = {"ldap": 389, "ldaps": 636}
_ATTRIBUTES = frozenset(
    {"certificaterevocationlist", "deltarevocationlist", "authorityrevocationlist", "cacertificate", "usercertificate"}
    | {"crosscertificatepair"}
)
_SCOPES = {"": 0, "base": 0}


@dataclass(frozen=True, slots=True, kw_only=True)
class LdapUrl:
    """The parts of an LDAP URL that are used."""

    scheme: str
    host: str
    port: int
    name: str
    attribute: str
    filter: str


def parse_ldap_url(url: str) -> LdapUrl:
    """Split an LDAP URL. Raises SourceUnavailable for what is not fetched: no host, other attributes or scopes."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise SourceUnavailable(f"the address is malformed: {url[:100]!r}") from error
    scheme = parts.scheme.lower()
    if scheme not in _PORTS or parts.username is not None or parts.fragment:
        raise SourceUnavailable(f"the address is malformed: {url[:100]!r}")
    if not parts.hostname:
        # Active Directory writes ldap:///CN=...: any domain controller. There is none to ask here.
        raise SourceUnavailable("the LDAP address names no host: it can be fetched inside its Windows domain only")
    fields = [unquote(field) for field in parts.query.split("?")]
    attribute, scope, search = (*fields, "", "", "")[:3]
    if attribute.partition(";")[0].lower() not in _ATTRIBUTES or scope.lower() not in _SCOPES:
        raise SourceUnavailable("the LDAP address asks for something else than a revocation list or a CA certificate")
    return LdapUrl(
        scheme=scheme,
        host=parts.hostname,
        port=port or _PORTS[scheme],
        name=unquote(parts.path.removeprefix("/")),
        attribute=attribute,
        filter=search or "(objectClass=*)",
    )


async def fetch_ldap(url: str, *, resolver: GuardedResolver, size: int, seconds: float) -> bytes:
    """Read the first value that an LDAP URL names. Raises SourceUnavailable."""
    parsed = parse_ldap_url(url)
    try:
        import ldap  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise SourceUnavailable("LDAP addresses need python-ldap: install smime-engine[ldap]") from error
    try:
        addresses = await resolver.addresses(parsed.host, parsed.port)
    except OSError as error:
        raise SourceUnavailable(error.strerror or str(error)) from error
    # The address that was judged is the one that is connected to. With TLS the name is needed, and proves itself.
    host = parsed.host if parsed.scheme == "ldaps" else addresses[0]
    value = await asyncio.to_thread(_read, ldap, parsed, host, seconds)
    if len(value) > size:
        raise SourceUnavailable(f"the answer is larger than {size:,} bytes")
    return value


def _read(ldap: Any, url: LdapUrl, host: str, seconds: float) -> bytes:
    host = f"[{host}]" if ":" in host else host
    connection = ldap.initialize(f"{url.scheme}://{host}:{url.port}")
    connection.set_option(ldap.OPT_REFERRALS, 0)
    connection.set_option(ldap.OPT_NETWORK_TIMEOUT, seconds)
    connection.set_option(ldap.OPT_TIMEOUT, seconds)
    connection.protocol_version = ldap.VERSION3
    try:
        found = connection.search_ext_s(
            url.name, ldap.SCOPE_BASE, url.filter, [url.attribute], timeout=seconds, sizelimit=1
        )
    except ldap.LDAPError as error:
        raise SourceUnavailable(f"LDAP: {_text(error)}") from error
    finally:
        connection.unbind_ext_s()
    wanted = url.attribute.partition(";")[0].lower()
    for _, attributes in found:
        for name, values in (attributes or {}).items():
            if name.partition(";")[0].lower() == wanted and values:
                return bytes(values[0])
    raise SourceUnavailable("LDAP: the entry has no such attribute")


def _text(error: Exception) -> str:
    details = error.args[0] if error.args and isinstance(error.args[0], dict) else {}
    return str(details.get("desc") or type(error).__name__).lower()
