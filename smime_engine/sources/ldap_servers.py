"""Connections to LDAP servers: TLS, bind, a pool, and another server when one is down.

Does: keep idle connections and hand each to one thread at a time; try a fresh one where an idle one has died; go to the
next server where one does not answer, and leave that one alone for a while; fail at once while all are down. Wrong
credentials are told and never tried on the next server: that would lock the account. Does not: know what is searched.
Referrals are never followed: they would take the credentials wherever a server points.

Needs python-ldap (extra `ldap`). Everything here blocks: call it from threads.

Standards: RFC 4511, RFC 4513 (StartTLS section 3, simple bind section 5.1, SASL section 5.2), RFC 4752 (GSSAPI).
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from smime_engine.errors import ConfigurationError, SourceUnavailable
from smime_engine.sources.ldap_queries import server_url

__all__ = ["LdapAccess", "LdapServers"]

T = TypeVar("T")

_IDLE_SECONDS = 60.0  # servers and firewalls forget idle connections after some minutes


@dataclass(frozen=True, slots=True, kw_only=True)
class LdapAccess:
    """How to reach the servers of one directory. Times are in seconds."""

    servers: tuple[str, ...]
    """In the order of preference: `ldaps://h`, `ldap://h:389`, `h:636` …"""

    start_tls: bool = False
    ca_file: Path | None = None
    """PEM; None: what the machine's LDAP library trusts. A server's certificate is always demanded, and checked."""

    bind: Literal["anonymous", "simple", "gssapi", "external"] = "anonymous"
    user: str = ""
    """Of a simple bind: a distinguished name, or what the server takes for one."""

    password: str = field(default="", repr=False)
    password_in_clear: bool = False
    """Send the password over a connection without TLS."""

    connect_seconds: float = 5.0
    seconds: float = 10.0
    """For one search, each page counted alone."""

    retry_seconds: float = 30.0
    """How long a server that did not answer is left alone."""

    connections: int = 4

    def __post_init__(self) -> None:
        urls = [server_url(server) for server in self.servers]
        if not urls:
            raise ConfigurationError("an LDAP directory needs at least one server")
        if self.bind == "simple":
            if not self.user or not self.password:
                # RFC 4513 section 5.1.2: servers take a name without password for an anonymous bind.
                raise ConfigurationError("a simple bind needs a user and a password")
            if not self.password_in_clear and not self.start_tls and any(url.startswith("ldap:") for url in urls):
                raise ConfigurationError("the password would be sent in clear: use ldaps or start_tls")


class _Server:
    """One server: its idle connections, and until when it is left alone."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.idle: deque[tuple[Any, float]] = deque()
        self.left_alone_until = 0.0
        self.failure = ""


class LdapServers:
    """The servers of one directory. Usable from several threads."""

    def __init__(self, access: LdapAccess) -> None:
        try:
            import ldap  # noqa: PLC0415 - an extra
        except ImportError as error:
            raise SourceUnavailable("LDAP directories need python-ldap: install smime-engine[ldap]") from error
        self.access = access
        self.ldap: Any = ldap
        self._servers = [_Server(server_url(server)) for server in access.servers]
        self._another_server = (
            *(ldap.SERVER_DOWN, ldap.CONNECT_ERROR, ldap.TIMEOUT, ldap.UNAVAILABLE, ldap.BUSY),
            *(ldap.LOCAL_ERROR, ldap.PROTOCOL_ERROR),
        )

    def ask(self, act: Callable[[Any], T]) -> T:
        """Call `act` with a connection (`ldap.ldapobject.SimpleLDAPObject`). Raises SourceUnavailable.

        `act` may be called again with another connection. Limits that a server sets (`ldap.SIZELIMIT_EXCEEDED` …)
        come through as they are.
        """
        failures = []
        for server in self._servers:
            if time.monotonic() < server.left_alone_until:
                failures.append(f"{server.url}: {server.failure}")
                continue
            try:
                return self._ask(server, act)
            except self._another_server as error:
                server.failure = self.text_of(error)
                server.left_alone_until = time.monotonic() + self.access.retry_seconds
                failures.append(f"{server.url}: {server.failure}")
                self._forget(server)
        raise SourceUnavailable("; ".join(failures))

    def _ask(self, server: _Server, act: Callable[[Any], T]) -> T:
        """With idle connections while there are any that live, then with a fresh one."""
        for connection in self._idle(server):
            try:
                return self._use(server, connection, act)
            except (self.ldap.SERVER_DOWN, self.ldap.CONNECT_ERROR):
                continue
        return self._use(server, self._connected(server), act)

    def _use(self, server: _Server, connection: Any, act: Callable[[Any], T]) -> T:
        try:
            result = act(connection)
        except self._limits:
            server.idle.append((connection, time.monotonic()))
            raise
        except self._another_server:
            self._close(connection)
            raise
        except self.ldap.LDAPError as error:
            self._close(connection)
            raise SourceUnavailable(f"{server.url}: {self.text_of(error)}") from error
        except (UnicodeError, ValueError) as error:  # python-ldap decodes names that a server makes up
            self._close(connection)
            raise SourceUnavailable(f"{server.url}: the answer cannot be read: {error}") from error
        except BaseException:
            self._close(connection)
            raise
        server.idle.append((connection, time.monotonic()))
        return result

    @property
    def _limits(self) -> tuple[type[Exception], ...]:
        ldap = self.ldap
        return ldap.SIZELIMIT_EXCEEDED, ldap.TIMELIMIT_EXCEEDED, ldap.ADMINLIMIT_EXCEEDED

    def _idle(self, server: _Server) -> Iterator[Any]:
        while True:
            try:
                connection, since = server.idle.pop()
            except IndexError:
                return
            if time.monotonic() - since < _IDLE_SECONDS:
                yield connection
            else:
                self._close(connection)

    # --- connecting

    def _connected(self, server: _Server) -> Any:
        ldap, access = self.ldap, self.access
        connection = ldap.initialize(server.url)
        connection.protocol_version = ldap.VERSION3
        connection.set_option(ldap.OPT_REFERRALS, 0)
        connection.set_option(ldap.OPT_NETWORK_TIMEOUT, access.connect_seconds)
        connection.set_option(ldap.OPT_TIMEOUT, access.seconds)
        connection.set_option(ldap.OPT_X_KEEPALIVE_IDLE, 30)
        try:
            self._secure(connection, server)
            self._log_in(connection)
        except self._another_server:
            self._close(connection)
            raise
        except ldap.LDAPError as error:
            self._close(connection)
            raise SourceUnavailable(f"{server.url}: {self.text_of(error)}") from error
        return connection

    def _secure(self, connection: Any, server: _Server) -> None:
        ldap, access = self.ldap, self.access
        if server.url.startswith("ldapi:"):
            return
        connection.set_option(ldap.OPT_X_TLS_REQUIRE_CERT, ldap.OPT_X_TLS_DEMAND)
        connection.set_option(ldap.OPT_X_TLS_PROTOCOL_MIN, 0x303)  # TLS 1.2
        if access.ca_file is not None:
            connection.set_option(ldap.OPT_X_TLS_CACERTFILE, str(access.ca_file))
        connection.set_option(ldap.OPT_X_TLS_NEWCTX, 0)  # the last: it makes the options above count
        if access.start_tls and server.url.startswith("ldap:"):
            connection.start_tls_s()

    def _log_in(self, connection: Any) -> None:
        access = self.access
        if access.bind == "simple":
            connection.simple_bind_s(access.user, access.password)
        elif access.bind == "anonymous":
            connection.simple_bind_s()
        else:
            mechanism = access.bind.upper()
            if not self.ldap.SASL_AVAIL:
                raise SourceUnavailable(f"python-ldap was built without SASL: {mechanism} cannot be used")
            connection.sasl_non_interactive_bind_s(mechanism)

    # --- the end

    def close(self) -> None:
        """Close the idle connections. What is in use closes when it is given back and found too old."""
        for server in self._servers:
            self._forget(server)

    def _forget(self, server: _Server) -> None:
        while server.idle:
            try:
                connection, _ = server.idle.pop()
            except IndexError:
                return
            self._close(connection)

    def _close(self, connection: Any) -> None:
        try:
            connection.unbind_ext_s()
        except self.ldap.LDAPError:
            return  # it was dead already

    @staticmethod
    def text_of(error: Exception) -> str:
        """One line about an error of libldap: what it is, and what the server said."""
        details = error.args[0] if error.args and isinstance(error.args[0], dict) else {}
        description = str(details.get("desc") or type(error).__name__).lower()
        info = str(details.get("info") or "").strip("()")
        if info == "unknown error code":  # all that libldap with GnuTLS says then
            info = "TLS failed: the certificate names another server, or its authority is not trusted"
        return f"{description} ({info})" if info and info.lower() != description else description
