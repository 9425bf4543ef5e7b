"""`smime relay check`: what would go wrong, told before it does.

Does: read the configuration, every key and every TLS file, compare certificates with the addresses they sign for,
look at expiry and file modes, and talk to the next hop. Does not: send mail or check revocation.
"""

from __future__ import annotations

import asyncio
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from smime_engine.addresses import comparable_domain, same_address
from smime_engine.errors import ConfigurationError, SmimeError
from smime_smtp_relay.config import Configuration, read_configuration
from smime_smtp_relay.connection import Connection, NextHopUnavailable, tls_context
from smime_smtp_relay.correspondents import load_correspondents, read_certificates
from smime_smtp_relay.identities import SigningIdentity, load_identities, read_password
from smime_smtp_relay.journal import Journal
from smime_smtp_relay.opening import load_key_rings
from smime_smtp_relay.server import listener_tls

__all__ = ["Finding", "check_configuration"]

_WARN_DAYS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    subject: str
    text: str
    wrong: bool = False


def check_configuration(path: Path, *, offline: bool = False, now: datetime | None = None) -> Iterator[Finding]:
    """Look at everything that a configuration names."""
    try:
        configuration = read_configuration(path)
    except ConfigurationError as error:
        yield Finding(subject="configuration", text=str(error), wrong=True)
        return
    yield Finding(subject="configuration", text=str(path))
    yield from _listeners(configuration)
    yield from _identities(configuration, now or datetime.now(UTC))
    yield from _certificates(configuration)
    yield from _modes(configuration)
    if not offline:
        yield asyncio.run(_next_hop(configuration))


def _listeners(configuration: Configuration) -> Iterator[Finding]:
    for listener in configuration.listen:
        subject = f"listen {listener.address}:{listener.port}"
        try:
            listener_tls(listener)
        except ConfigurationError as error:
            yield Finding(subject=subject, text=str(error), wrong=True)
        else:
            yield Finding(subject=subject, text=f"TLS {listener.tls}, authentication {listener.authentication}")


def _identities(configuration: Configuration, now: datetime) -> Iterator[Finding]:
    outbound = any(listener.direction == "outbound" for listener in configuration.listen)
    if outbound and not configuration.identity:
        yield Finding(subject="identity", text="no [[identity]]: nothing will be signed", wrong=True)
    for file in configuration.identity:
        try:
            (identity,) = load_identities([file]).all
        except ConfigurationError as error:
            yield Finding(subject=f"identity {file.file.name}", text=str(error), wrong=True)
        else:
            yield from _identity(identity, now)


def _identity(identity: SigningIdentity, now: datetime) -> Iterator[Finding]:
    subject = f"identity {identity.name}"
    certificate = identity.certificate
    days = (certificate.not_after - now).days
    if not identity.valid_at(now):
        yield Finding(subject=subject, text=f"not valid now, only until {certificate.not_after:%Y-%m-%d}", wrong=True)
    elif days < _WARN_DAYS:
        yield Finding(subject=subject, text=f"expires in {days} days", wrong=True)
    else:
        yield Finding(subject=subject, text=f"{certificate.subject}, valid for {days} days")
    if certificate.key_usage is not None and not {"digitalSignature", "nonRepudiation"} & certificate.key_usage:
        yield Finding(subject=subject, text="the certificate's key usage does not allow signing", wrong=True)
    for address in identity.addresses:
        if not any(same_address(address, named) for named in certificate.addresses):
            text = f"the certificate does not name {address}: readers will not take its signatures for the sender's"
            yield Finding(subject=subject, text=text, wrong=True)
    named_domains = {comparable_domain(named.rpartition("@")[2]) for named in certificate.addresses}
    for domain in identity.domains:
        if comparable_domain(domain) not in named_domains:
            yield Finding(subject=subject, text=f"the certificate names no address of {domain}", wrong=True)


def _certificates(configuration: Configuration) -> Iterator[Finding]:
    """What encrypts, decrypts and verifies, and the journal."""
    verification = configuration.verification
    inbound = any(listener.direction == "inbound" for listener in configuration.listen)
    tried: list[tuple[str, bool, Callable[[], object]]] = [
        ("recipients", True, lambda: load_correspondents(configuration.recipients, harvested=verification.harvest)),
        ("decryption", bool(configuration.decryption), lambda: load_key_rings(configuration.decryption)),
        ("journal", configuration.journal.file is not None, lambda: Journal(configuration.journal.file).close()),
    ]
    if verification.trust is not None:
        trust = verification.trust
        tried.append(("verification", True, lambda: read_certificates(trust)))
    elif inbound:
        yield Finding(subject="verification", text="no trust: every signature will be UNKNOWN", wrong=True)
    for subject, present, attempt in tried:
        try:
            if present:
                attempt()
        except SmimeError as error:
            yield Finding(subject=subject, text=str(error), wrong=True)


def _modes(configuration: Configuration) -> Iterator[Finding]:
    secret = [identity.file for identity in configuration.identity]
    secret += [identity.password_file for identity in configuration.identity if identity.password_file is not None]
    secret += [keys.file for keys in configuration.decryption]
    secret += [keys.password_file for keys in configuration.decryption if keys.password_file is not None]
    secret += [listener.key or listener.certificate for listener in configuration.listen if listener.certificate]
    if configuration.next_hop.password_file is not None:
        secret.append(configuration.next_hop.password_file)
    for path in dict.fromkeys(secret):
        if path.exists() and path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            yield Finding(subject=f"file {path.name}", text="others may read it: chmod 600", wrong=True)


async def _next_hop(configuration: Configuration) -> Finding:
    next_hop = configuration.next_hop
    subject = f"next hop {next_hop.host}:{next_hop.port}"
    try:
        password = None if next_hop.password_file is None else read_password(next_hop.password_file).decode()
        context = tls_context(next_hop)
        connection = await Connection.open(next_hop, context, hostname=configuration.hostname, password=password)
    except (ConfigurationError, OSError) as error:
        return Finding(subject=subject, text=str(error), wrong=True)
    except NextHopUnavailable as error:
        return Finding(subject=subject, text=error.detail, wrong=True)
    extensions = ", ".join(sorted(connection.extensions)) or "none"
    await connection.quit()
    return Finding(subject=subject, text=f"takes mail; extensions: {extensions}")
