"""The gateway's configuration: one TOML file, read whole or refused whole.

Does: read TOML with tomllib through msgspec into immutable values; unknown keys, wrong types and contradictions are
ConfigurationErrors that name the place (`next_hop.tls`) and what would be right. Paths are taken relative to the file.
Does not: open keys and certificates (`identities`, `tls`), so that a configuration can be read without secrets.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from smime_engine.errors import ConfigurationError
from smime_engine.policy.rules import OutboundRules, layered
from smime_engine.policy.sending import Binding, Otherwise, SeveralAuthors, SigningRules
from smime_engine.policy.smime_config import SmimeConfig
from smime_engine.trust.path import RevocationMode
from smime_smtp_relay.inbound_config import DecryptionFile, Inbound, InboundBook, Verification
from smime_smtp_relay.outbound_config import Domain, Outbound, Person, Recipients, RuleBook, Tenant
from smime_smtp_relay.passwords import is_password_hash

__all__ = ["Configuration", "IdentityFile", "Limits", "Listener", "NextHop", "Signing", "User", "read_configuration"]

Port = Annotated[int, msgspec.Meta(ge=0, le=65_535)]
"""0 lets the system choose."""
Positive = Annotated[int, msgspec.Meta(gt=0)]
Seconds = Annotated[float, msgspec.Meta(gt=0)]


class Listener(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where clients come in: `[[listen]]`."""

    address: str = "127.0.0.1"
    port: Port = 2525
    tls: Literal["none", "offered", "required", "implicit"] = "none"
    """`offered` and `required` mean STARTTLS (RFC 3207), `implicit` TLS from the first byte (RFC 8314)."""
    certificate: Path | None = None
    """PEM file with the server's certificate and chain."""
    key: Path | None = None
    """PEM file with its key; None when it stands in the certificate's file."""
    direction: Literal["outbound", "inbound"] = "outbound"
    """`outbound`: mail of our people, to be signed and encrypted; `inbound`: mail for them, to be opened."""
    xforward_from: tuple[str, ...] = ()
    """Networks of servers in front of us that may say where mail comes from (XFORWARD), such as `127.0.0.0/8`."""
    proxy_protocol: bool = False
    """Connections come through a load balancer that says so (HAProxy's PROXY protocol, version 1 or 2)."""
    protocol: Literal["smtp", "lmtp"] = "smtp"
    """LMTP (RFC 2033) has a reply for each recipient: the better choice behind Postfix where recipients differ."""
    authentication: Literal["none", "offered", "required"] = "none"
    """AUTH is never offered without TLS."""

    @property
    def xforward_networks(self) -> tuple[IPv4Network | IPv6Network, ...]:
        """`xforward_from`; ValueError where one is no network."""
        return tuple(map(ip_network, self.xforward_from))


class NextHop(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The one server that takes everything: `[next_hop]`."""

    host: str
    port: Port = 25
    tls: Literal["none", "opportunistic", "encrypt", "verify"] = "opportunistic"
    """`opportunistic`: STARTTLS when it is offered; `encrypt`: STARTTLS or nothing, with any certificate;
    `verify`: STARTTLS or nothing, with a certificate for `host` that `ca_file` or the system trusts."""
    implicit_tls: bool = False
    """TLS from the first byte instead of STARTTLS."""
    ca_file: Path | None = None
    fingerprints: tuple[str, ...] = ()
    """SHA-256 of accepted server certificates in hexadecimal: one of them must be met, whatever `tls` says."""
    hostname: str | None = None
    """What we call ourselves in EHLO; the gateway's own name by default."""
    user: str | None = None
    password_file: Path | None = None
    connections: Positive = 20
    """Kept and busy ones together, per process."""
    wait: Seconds = 30.0
    """Seconds that a client waits for one of them to become free before it is told to come again."""
    idle: Seconds = 60.0
    """Seconds after which an unused connection is closed."""
    messages_per_connection: Positive = 1_000
    connect_timeout: Seconds = 30.0
    command_timeout: Seconds = 300.0
    """RFC 5321 section 4.5.3.2: 5 minutes for MAIL and RCPT."""
    final_timeout: Seconds = 600.0
    """The same: 10 minutes for the reply to the final dot."""


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one process takes: `[limits]`. Sizes in bytes, times in seconds."""

    message_size: Positive = 50 * 1024 * 1024
    recipients: Positive = 1_000
    sessions: Positive = 500
    sessions_per_client: Positive = 100
    memory: Positive = 512 * 1024 * 1024
    """Message bytes of all sessions together; above it clients are told to come again (452)."""
    command_timeout: Seconds = 300.0
    data_timeout: Seconds = 180.0
    """Longest silence within DATA."""
    data_rate: Positive = 500
    """Bytes per second that a client must reach on average within DATA."""
    failed_logins: Positive = 3
    drain: Seconds = 30.0
    """How long running transactions may go on after SIGTERM."""


class Signing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When and as whom messages are signed: `[signing]`."""

    form: Literal["clear", "opaque"] = "clear"
    """`clear` is multipart/signed, which readers without S/MIME can read; `opaque` survives relays that change text."""
    no_key: Otherwise = Otherwise.PASS
    no_key_status: Annotated[str, msgspec.Meta(pattern=r"^5\.\d{1,3}\.\d{1,3}$")] = "5.7.5"
    sender_must_match: Binding = Binding.NONE
    mismatch: Otherwise = Otherwise.REJECT
    several_authors: SeveralAuthors = SeveralAuthors.SENDER
    bounces: bool = False
    resent: bool = False
    malformed: Otherwise = Otherwise.REJECT
    """What happens to a message that cannot be read as MIME."""
    line_ends: Literal["normalise", "reject"] = "normalise"
    """What happens to a message with a bare CR or LF."""
    thread_above: Positive = 128 * 1024
    """Messages larger than this many bytes are signed in a thread, so that others need not wait."""
    rsa_in_threads: bool | None = None
    """Sign with RSA keys in threads, which use a second core; by default where there is one worker alone."""

    @property
    def rules(self) -> SigningRules:
        """The same for the engine's policy."""
        return SigningRules(
            without_key=self.no_key,
            binding=self.sender_must_match,
            not_bound=self.mismatch,
            several_authors=self.several_authors,
            sign_null_sender=self.bounces,
            sign_resent=self.resent,
        )


class IdentityFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A signing key and whom it signs for: `[[identity]]`."""

    file: Path
    """PKCS#12, or PEM with key, certificate and chain."""
    password_file: Path | None = None
    """Its first line is the password."""
    addresses: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    """Every address of these domains that has no identity of its own."""
    digest: Literal["sha256", "sha384", "sha512"] | None = None
    """By default the one that suits the key."""


class User(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Somebody who may log in: `[users.NAME]`."""

    password: str
    """What `smime relay password` printed."""
    senders: tuple[str, ...] = ()
    """Addresses, and domains with a leading `@`, that the user may send as; none: every address."""


class Status(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Health, readiness and metrics over HTTP: `[status]`."""

    address: str = "127.0.0.1"
    port: Port | None = None
    """Of the first worker; the others have the following ones."""


class JournalFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was delivered of messages that did not reach everybody at once: `[journal]`."""

    file: Path | None = None
    """An SQLite file; without it the memory of one process, which is lost at its end."""


class Store(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where tenants are kept that are no folders: `[store]`."""

    url: str
    """`sqlite:///FILE` or `postgresql://USER@HOST/NAME`."""


class Configuration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file."""

    hostname: str = "localhost"
    """Our name in the greeting and in EHLO."""
    workers: Positive = 1
    """Processes; one for each core is a good number."""
    listen: tuple[Listener, ...] = (Listener(),)
    next_hop: NextHop
    limits: Limits = Limits()
    signing: Signing = Signing()
    identity: tuple[IdentityFile, ...] = ()
    users: dict[str, User] = {}
    recipients: Recipients = Recipients()
    journal: JournalFile = JournalFile()
    status: Status = Status()
    outbound: Outbound = Outbound()
    store: Store | None = None
    tenants: dict[str, Tenant] = {}
    domains: dict[str, Domain] = {}
    people: dict[str, Person] = {}
    inbound: Inbound = Inbound()
    verification: Verification = Verification()
    decryption: tuple[DecryptionFile, ...] = ()

    def inbound_book(self) -> InboundBook:
        """The inbound rules of all layers."""
        return InboundBook(
            self.inbound,
            tenants={domain: tenant.inbound for tenant in self.tenants.values() for domain in tenant.domains},
            domains={name: domain.inbound for name, domain in self.domains.items()},
            people={name: person.inbound for name, person in self.people.items()},
        )

    def rule_book(self, exchange: Mapping[str, SmimeConfig] | None = None) -> RuleBook:
        """The outbound rules of all layers; `exchange` are tenants' settings (`tenants.exchange_settings`)."""
        base = replace(OutboundRules(), clear=self.signing.form == "clear")
        return RuleBook(
            base=layered(base, [self.outbound.rules]),
            tenants=self.tenants,
            domains=self.domains,
            people=self.people,
            exchange=exchange,
        )


def read_configuration(path: Path) -> Configuration:
    """Read and check a file; ConfigurationError says where it is wrong."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from error
    return parse_configuration(text, folder=path.parent, name=str(path))


def parse_configuration(text: bytes, *, folder: Path, name: str = "configuration") -> Configuration:
    """Like `read_configuration`, from the file's bytes; paths in it are relative to `folder`."""

    def decoded(kind: type, value: object) -> object:
        if kind is Path and isinstance(value, str):
            return folder / value
        raise NotImplementedError

    try:
        configuration = msgspec.toml.decode(text, type=Configuration, dec_hook=decoded)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{name}: {_place_of(str(error))}") from error
    for place, complaint in _contradictions(configuration):
        raise ConfigurationError(f"{name}: {place}: {complaint}")
    return configuration


def _place_of(text: str) -> str:
    # msgspec says "Expected `int`, got `str` - at `$.next_hop.port`".
    complaint, separator, place = text.rpartition(" - at `$")
    return f"{place.strip('`.')}: {complaint}" if separator and place.strip("`.") else text.replace(" - at `$`", "")


def _contradictions(configuration: Configuration) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    if not configuration.listen:
        found.append(("listen", "at least one listener is needed"))
    for number, listener in enumerate(configuration.listen):
        found += [(f"listen[{number}].{place}", complaint) for place, complaint in _listener_complaints(listener)]
        if listener.authentication != "none" and not configuration.users:
            found.append((f"listen[{number}].authentication", "nobody can log in: there is no [users.NAME]"))
    found += [(f"next_hop.{place}", complaint) for place, complaint in _next_hop_complaints(configuration.next_hop)]
    for number, identity in enumerate(configuration.identity):
        if not identity.addresses and not identity.domains:
            found.append((f"identity[{number}]", "name the addresses or domains that it signs for"))
    found += _ambiguous(configuration.identity)
    found += _inbound_complaints(configuration)
    found += _tenant_complaints(configuration)
    if configuration.workers > 1 and any(listener.port == 0 for listener in configuration.listen):
        found.append(("workers", "several workers need a port that is not 0"))
    for name, user in configuration.users.items():
        if not is_password_hash(user.password):
            found.append((f"users.{name}.password", "not a password hash; `smime relay password` makes one"))
    if configuration.signing.sender_must_match is Binding.AUTHENTICATED and not all(
        listener.authentication == "required" for listener in configuration.listen
    ):
        found.append(
            ("signing.sender_must_match", '`authenticated` needs authentication = "required" on every listener')
        )
    return found


def _tenant_complaints(configuration: Configuration) -> Iterator[tuple[str, str]]:
    for name, tenant in configuration.tenants.items():
        if tenant.settings is not None and tenant.stored_as is not None:
            yield f"tenants.{name}", "settings and stored_as: give one of them"
        if tenant.stored_as is not None and configuration.store is None:
            yield f"tenants.{name}.stored_as", "there is no [store] with a url"


def _listener_complaints(listener: Listener) -> list[tuple[str, str]]:
    found = []
    if listener.tls == "none" and (listener.certificate or listener.key):
        found.append(("tls", 'a certificate is given, but tls is "none"'))
    if listener.tls != "none" and listener.certificate is None:
        found.append(("certificate", f'tls = "{listener.tls}" needs a certificate'))
    try:
        assert listener.xforward_networks is not None
    except ValueError as error:
        found.append(("xforward_from", str(error)))
    if listener.proxy_protocol and listener.tls == "implicit":
        found.append(("proxy_protocol", "goes with STARTTLS, not with implicit TLS"))
    if listener.tls == "none" and listener.authentication != "none":
        found.append(("authentication", "passwords are not taken without TLS: set tls"))
    return found


def _next_hop_complaints(next_hop: NextHop) -> list[tuple[str, str]]:
    found = []
    if next_hop.tls == "none" and (next_hop.implicit_tls or next_hop.ca_file or next_hop.fingerprints):
        found.append(("tls", '"none" contradicts implicit_tls, ca_file and fingerprints'))
    if next_hop.ca_file and next_hop.tls != "verify":
        found.append(("ca_file", 'only tls = "verify" looks at certificates'))
    if next_hop.implicit_tls and next_hop.tls == "opportunistic":
        found.append(("tls", 'with implicit_tls choose "encrypt" or "verify"'))
    if next_hop.fingerprints and next_hop.tls == "opportunistic":
        found.append(("tls", 'with fingerprints choose "encrypt" or "verify"'))
    if (next_hop.user is None) != (next_hop.password_file is None):
        found.append(("user", "user and password_file belong together"))
    if next_hop.user is not None and next_hop.tls in ("none", "opportunistic"):
        found.append(("tls", 'a password is only sent over TLS: choose "encrypt" or "verify"'))
    for text in next_hop.fingerprints:
        digits = text.replace(":", "").lower()
        if len(digits) != 64 or not set(digits) <= set("0123456789abcdef"):
            found.append(("fingerprints", f"{text} is not a SHA-256 in hexadecimal"))
    return found


def _inbound_complaints(configuration: Configuration) -> list[tuple[str, str]]:
    layers = {"inbound": configuration.inbound}
    layers |= {f"tenants.{name}.inbound": tenant.inbound for name, tenant in configuration.tenants.items()}
    layers |= {f"domains.{name}.inbound": domain.inbound for name, domain in configuration.domains.items()}
    layers |= {f"people.{name}.inbound": person.inbound for name, person in configuration.people.items()}
    found = [(place, complaint) for place, layer in layers.items() for complaint in layer.complaints()]
    try:
        assert configuration.verification.networks is not None
    except ValueError as error:
        found.append(("verification.fetch_from", str(error)))
    if configuration.verification.revocation is not RevocationMode.NONE and not configuration.verification.fetch:
        found.append(("verification.revocation", "nothing can be checked that is not fetched: set fetch = true"))
    return found


def _ambiguous(identities: tuple[IdentityFile, ...]) -> list[tuple[str, str]]:
    found = []
    seen: dict[str, int] = {}
    for number, identity in enumerate(identities):
        for name in (*identity.addresses, *(f"@{domain}" for domain in identity.domains)):
            other = seen.setdefault(name.lower(), number)
            if other != number:
                found.append((f"identity[{number}]", f"{name} stands in identity[{other}] as well"))
    return found
