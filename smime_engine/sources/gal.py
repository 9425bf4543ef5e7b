"""The global address list of an on-premises Exchange server as a source, through Exchange Web Services (EWS).

For Exchange 2016, 2019 and Subscription Edition. **Exchange Online does not answer any more**: since October 2026 it
blocks EWS unless an administrator has listed the application, and EWS ends there for good in April 2027. Its endpoint
is refused here with that reason.

exchangelib speaks HTTPS, NTLM, Basic, OAuth and autodiscover; the certificates are taken out of the answer's XML here,
because exchangelib's own values lose them: EWS gives arrays (`UserSMIMECertificate`, `MSExchangeCertificate`), and it
expects a single value.

Does: `ResolveNames` for each address, `ExpandDL` for groups, in threads. Does not: write, cache, or judge certificates.
Needs exchangelib (extra `gal`).

Sources: Microsoft's EWS reference (ResolveNames, ExpandDL, Contact); its announcement of the end of EWS.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar
from urllib.parse import urlsplit

import pybase64

from smime_engine.addresses import comparable_address
from smime_engine.directory.attributes import entry_from_attributes
from smime_engine.directory.entries import Answer, DirectoryEntry, SourceFailure
from smime_engine.errors import ConfigurationError, SourceUnavailable
from smime_engine.limits import DEFAULT_LIMITS, Limits

__all__ = ["GalAccess", "GlobalAddressList"]

T = TypeVar("T")

_ONLINE = ("outlook.office365.com", "outlook.office.com", "outlook.com", "office365.us", "partner.outlook.cn")
_TYPES = "{http://schemas.microsoft.com/exchange/services/2006/types}"
_GROUPS = frozenset({"PublicDL", "PrivateDL"})


@dataclass(frozen=True, slots=True, kw_only=True)
class GalAccess:
    """How to reach the server. Times are in seconds."""

    endpoint: str = ""
    """`https://mail.example.org/EWS/Exchange.asmx`; empty: found by autodiscover for `user`, an address then."""

    user: str
    """For OAuth: the client's identifier."""

    password: str = field(repr=False)
    """For OAuth: the client's secret."""

    authentication: Literal["basic", "ntlm", "oauth"] = "ntlm"
    tenant: str = ""
    """Of OAuth: the directory's identifier."""

    ca_file: Path | None = None
    """PEM; None: what requests trusts. The server's certificate is always checked."""

    seconds: float = 20.0
    connections: int = 4

    def __post_init__(self) -> None:
        parts = urlsplit(self.endpoint)
        if self.endpoint and (parts.scheme != "https" or not parts.hostname):
            raise ConfigurationError(
                f"{self.endpoint!r} is no address such as https://mail.example.org/EWS/Exchange.asmx"
            )
        if any((parts.hostname or "").endswith(name) for name in _ONLINE):
            raise ConfigurationError(
                "Exchange Online has blocked Exchange Web Services since October 2026: use LDAP, ActiveSync or files"
            )


class GlobalAddressList:
    """The address list of one server. Connects when it is first asked."""

    def __init__(self, name: str, access: GalAccess, *, limits: Limits = DEFAULT_LIMITS) -> None:
        try:
            import exchangelib  # noqa: PLC0415 - an extra
        except ImportError as error:
            raise SourceUnavailable("Exchange's address list needs exchangelib: install smime-engine[gal]") from error
        self._exchangelib: Any = exchangelib
        self._name = name
        self._access = access
        self._limits = limits
        self._threads = ThreadPoolExecutor(access.connections, thread_name_prefix=f"gal {name}")
        self._protocol: Any = None

    @property
    def name(self) -> str:
        """The name that its entries carry."""
        return self._name

    async def look_up(self, addresses: Sequence[str]) -> tuple[Answer, ...]:
        """An answer for each address, in their order; EWS takes one in a request."""
        return tuple(await asyncio.gather(*(self._in_thread(partial(self._look_up, each)) for each in addresses)))

    async def look_up_members(self, members: Sequence[str]) -> Mapping[str, DirectoryEntry | None]:
        """Entries by address, as `ExpandDL` names members. Raises SourceUnavailable."""
        found: dict[str, DirectoryEntry | None] = {}
        for answer in await self.look_up(members):
            if answer.failures:
                raise SourceUnavailable(answer.failures[0].text)
            found[answer.address] = answer.entries[0] if answer.entries else None
        return found

    async def aclose(self) -> None:
        """Close the connections; requests under way are waited for."""
        await asyncio.to_thread(self._threads.shutdown)
        if self._protocol is not None:
            self._protocol.close()

    async def _in_thread(self, act: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, act)

    # --- in a thread

    def _look_up(self, address: str) -> Answer:
        if comparable_address(address) is None:
            return Answer(address=address)
        try:
            entries = [self._entry(found) for found in self._ask(partial(self._resolve, address))]
        except SourceUnavailable as error:
            return Answer(address=address, failures=(SourceFailure(source=self._name, text=str(error)),))
        # Exchange resolves parts of names as well: only whose address it really is counts.
        return Answer(address=address, entries=tuple(entry for entry in entries if entry.has_address(address)))

    def _ask(self, act: Callable[[], T]) -> T:
        """Call; whatever exchangelib and the libraries below it raise means that there is no answer."""
        try:
            return act()
        except Exception as error:
            # exchangelib lets errors of requests, urllib3, lxml and spnego through, which have no class in common.
            text = f"{type(error).__name__}: {error}"[:300]
            raise SourceUnavailable(f"Exchange: {text}") from error

    def _resolve(self, address: str) -> list[Any]:
        base = self._exchangelib.services.ResolveNames
        service = type("ResolveNames", (base,), {"_elem_to_obj": lambda _, element: element})  # the answer stays XML
        found = service(protocol=self._connected()).call(
            unresolved_entries=[f"smtp:{address}"],
            return_full_contact_data=True,
            search_scope="ActiveDirectory",
            contact_data_shape="AllProperties",
        )
        return self._without_errors(found)

    def _members(self, address: str) -> tuple[str, ...]:
        library = self._exchangelib
        group = library.properties.DLMailbox(email_address=address, mailbox_type="PublicDL")
        found = library.services.ExpandDL(protocol=self._connected()).call(distribution_list=group)
        # A member without address is kept by its name: nobody is left out silently.
        members = self._without_errors(found)
        return tuple(member.email_address or member.name or "a member without name" for member in members)

    def _without_errors(self, found: Any) -> list[Any]:
        results = list(found)
        for result in results:
            if isinstance(result, self._exchangelib.errors.ErrorNameResolutionNoResults):
                return []
            if isinstance(result, Exception):
                raise result
        return results

    def _entry(self, resolution: Any) -> DirectoryEntry:
        """One `Resolution` element: a mailbox, and a contact with addresses and certificates."""
        attributes: dict[str, list[bytes]] = {
            "mail": _texts(resolution, "Mailbox/EmailAddress"),
            "displayName": _texts(resolution, "Contact/DisplayName") or _texts(resolution, "Mailbox/Name"),
            "proxyAddresses": _texts(resolution, "Contact/EmailAddresses/Entry"),
            "userSMIMECertificate": _binaries(resolution, "Contact/UserSMIMECertificate"),
            "userCertificate": _binaries(resolution, "Contact/MSExchangeCertificate"),
        }
        address = b"".join(attributes["mail"][:1]).decode()
        kinds = {text.decode() for text in _texts(resolution, "Mailbox/MailboxType")}
        if kinds & _GROUPS:
            members = self._ask(partial(self._members, address))
            attributes |= {"objectClass": [b"group"], "member": [member.encode() for member in members]}
        return entry_from_attributes(attributes, source=self._name, identifier=address, limits=self._limits)

    # --- connecting

    def _connected(self) -> Any:
        if self._protocol is None:
            self._protocol = self._new_protocol()
        return self._protocol

    def _new_protocol(self) -> Any:
        """A protocol of our own, past exchangelib's global cache: that would mix up different certificates."""
        library, access = self._exchangelib, self._access
        adapter_base, base = library.protocol.BaseProtocol.HTTP_ADAPTER_CLS, library.protocol.Protocol

        def cert_verify(adapter: Any, conn: Any, url: Any, verify: Any, cert: Any) -> None:
            chosen = verify if access.ca_file is None else str(access.ca_file)
            adapter_base.cert_verify(adapter, conn, url, chosen, cert)

        adapter = type("Adapter", (adapter_base,), {"cert_verify": cert_verify})
        protocol = type(base)("Protocol", (base,), {"HTTP_ADAPTER_CLS": adapter, "TIMEOUT": access.seconds})
        configuration = library.Configuration(
            service_endpoint=access.endpoint or self._discovered(),
            credentials=self._credentials(),
            auth_type={"basic": library.BASIC, "ntlm": library.NTLM, "oauth": library.OAUTH2}[access.authentication],
            version=library.Version(build=library.Build(15, 1)),
            retry_policy=library.protocol.FailFast(),
            max_connections=access.connections,
        )
        return type.__call__(protocol, config=configuration)

    def _credentials(self) -> Any:
        library, access = self._exchangelib, self._access
        if access.authentication == "oauth":
            return library.OAuth2Credentials(
                client_id=access.user, client_secret=access.password, tenant_id=access.tenant or None
            )
        return library.Credentials(access.user, access.password)

    def _discovered(self) -> str:
        discovered = self._exchangelib.autodiscover.discover(
            email=self._access.user, credentials=self._credentials(), retry_policy=self._exchangelib.protocol.FailFast()
        )
        # Checked as if it had been configured: autodiscover may well lead to Exchange Online.
        return replace(self._access, endpoint=str(discovered[1].service_endpoint)).endpoint


def _elements(resolution: Any, path: str) -> list[Any]:
    found: list[Any] = resolution.findall("/".join(f"{_TYPES}{name}" for name in path.split("/")))
    return found


def _texts(resolution: Any, path: str) -> list[bytes]:
    return [element.text.strip().encode() for element in _elements(resolution, path) if element.text]


def _binaries(resolution: Any, path: str) -> list[bytes]:
    """All `Base64Binary` of an array. What is no base64 is handed on as it is, and told as a value that is none."""
    values = []
    for text in _texts(resolution, f"{path}/Base64Binary"):
        try:
            values.append(pybase64.b64decode(b"".join(text.split()), validate=True))
        except ValueError:
            values.append(text[:100])
    return values
