"""Reading what commands are given: files, folders, passwords, keys, certificates, moments.

Does: all file access of the one-shot commands, with errors that name the file. Does not: decide anything.
"""

from __future__ import annotations

import ssl
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path

import click
import pybase64

from smime_engine.certificate import Certificate
from smime_engine.certificate_bundle import certificates_from
from smime_engine.errors import ConfigurationError, InvalidKey, MalformedMessage, SmimeError
from smime_engine.keys import Identity, load_identities
from smime_engine.limits import DEFAULT_LIMITS
from smime_engine.mime.transfer import decode_base64
from smime_engine.trust.collection import TrustCollection
from smime_engine.trust.crl import RevocationList
from smime_engine.trust.evidence import Evidence, revocation_lists_from
from smime_engine.trust.sst import is_sst, parse_sst

__all__ = [
    "Moment",
    "collection_from",
    "from_pem",
    "machine_roots",
    "networks_of",
    "pem_text",
    "read_certificates",
    "read_evidence",
    "read_file",
    "read_identities",
    "read_password",
    "read_signing_identity",
    "tenant_collection",
    "trusted_collection",
    "write_file",
]

_CERTIFICATE_SUFFIXES = {".cer", ".crt", ".der", ".p7b", ".p7c", ".pem", ".sst"}


class Moment(click.ParamType[datetime]):
    """An RFC 3339 time with a zone; the value is an aware datetime in UTC."""

    name = "RFC3339"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Parse; a time without a zone is refused, since it would mean different moments on different machines."""
        if isinstance(value, datetime):
            return value
        try:
            moment = datetime.fromisoformat(str(value))
        except ValueError:
            self.fail(f"{value!r} is no RFC 3339 time such as 2026-11-22T10:00:00Z", param, ctx)
        if moment.tzinfo is None:
            self.fail(f"{value!r} has no time zone: add Z for UTC", param, ctx)
        return moment.astimezone(UTC)


def read_file(name: str, *, maximum: int = DEFAULT_LIMITS.message_size) -> bytes:
    """The bytes of a file; `-` is standard input. Raises MalformedMessage when it is larger than `maximum`."""
    with click.open_file(name, "rb") as stream:
        data: bytes = stream.read(maximum + 1)
    if len(data) > maximum:
        raise MalformedMessage(f"{name}: a file of at most {maximum:,} bytes")
    return data


def write_file(name: str | None, data: bytes) -> None:
    """Write a result; None or `-` is standard output. A file appears whole or not at all."""
    if name is None or name == "-":
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    with click.open_file(name, "wb", atomic=True) as stream:
        stream.write(data)


def read_password(name: str | None) -> bytes | None:
    """The first line of a password file, without its line end; None without a file."""
    if name is None:
        return None
    return read_file(name, maximum=64 * 1024).split(b"\n", 1)[0].rstrip(b"\r")


def read_identities(names: Sequence[str], password: bytes | None) -> tuple[Identity, ...]:
    """All identities of PKCS #12 and PEM files. Raises InvalidKey that names the file."""
    found: list[Identity] = []
    for name in names:
        try:
            found += load_identities(read_file(name), password)
        except SmimeError as error:
            raise InvalidKey(f"{name}: {error}") from error
    return tuple(found)


def read_signing_identity(name: str, password: bytes | None) -> Identity:
    """The first identity of a file whose key usage allows signing. Raises InvalidKey."""
    for identity in read_identities((name,), password):
        if identity.may_sign:
            return identity
    raise InvalidKey(f"{name}: the key usage of its certificate does not allow signing")


def read_certificates(names: Iterable[str]) -> tuple[Certificate, ...]:
    """All certificates of files and folders (in a folder: files with a certificate's suffix), each once."""
    found: dict[Certificate, None] = {}
    for name in names:
        for file in _files_of(Path(name)):
            try:
                found.update(dict.fromkeys(_certificates_in(read_file(str(file)))))
            except MalformedMessage as error:
                raise InvalidKey(f"{file}: {error}") from error
    return tuple(found)


def _certificates_in(data: bytes) -> tuple[Certificate, ...]:
    if is_sst(data):
        return tuple(map(Certificate.parse, parse_sst(data).certificates))
    return certificates_from(data)


def _files_of(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    return sorted(child for child in path.iterdir() if child.suffix.lower() in _CERTIFICATE_SUFFIXES)


def read_evidence(names: Iterable[str]) -> Evidence:
    """All revocation lists of files. Raises ConfigurationError that names the file."""
    lists: list[RevocationList] = []
    for name in names:
        try:
            lists += revocation_lists_from(read_file(name))
        except MalformedMessage as error:
            raise ConfigurationError(f"{name}: {error}") from error
    return Evidence(crls=lists)


def collection_from(trusted: Iterable[Certificate]) -> TrustCollection | None:
    """What `--trust` means: self-issued certificates are anchors and the rest intermediates, as in a tenant's
    collection; when none is self-issued, all are anchors. None when nothing was given.
    """
    certificates = tuple(trusted)
    if not certificates:
        return None
    anchors = tuple(certificate for certificate in certificates if certificate.is_self_issued)
    if not anchors:
        return TrustCollection(certificates)
    return TrustCollection(anchors, tuple(c for c in certificates if not c.is_self_issued))


def trusted_collection(
    trust: Sequence[str], tenant: str | None, *, machine_store: bool = False
) -> TrustCollection | None:
    """What `--trust` or `--collection` names, with the machine's roots behind it if wanted; None without any.

    Raises ConfigurationError for both of them, and for a machine without a store.
    """
    if tenant is not None and trust:
        raise ConfigurationError("--trust and --collection are two answers to one question: give one of them")
    own = collection_from(read_certificates(trust)) if tenant is None else tenant_collection(tenant)
    return (own or TrustCollection()).with_fallback(machine_roots()) if machine_store else own


def machine_roots() -> tuple[Certificate, ...]:
    """The roots of the machine's store: the file that SSL_CERT_FILE names, or OpenSSL's. Raises ConfigurationError."""
    file = ssl.get_default_verify_paths().cafile
    if file is None:
        raise ConfigurationError("this machine has no store of certificates: set SSL_CERT_FILE")
    return read_certificates((file,))


def networks_of(
    _context: click.Context, _parameter: click.Parameter, values: Sequence[str]
) -> Sequence[IPv4Network | IPv6Network]:
    """The networks of `--fetch-from`; a click callback."""
    try:
        return [ip_network(value) for value in values]
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def tenant_collection(name: str) -> TrustCollection:
    """The certificate collection of a tenant's folder, or of a tenant of the store that SMIME_STORE names.

    Raises ConfigurationError where there is none.
    """
    from smime_engine.cli.tenant_place import existing_settings

    return existing_settings(name).trust_collection()


def pem_text(der: bytes) -> bytes:
    """CMS as PEM (RFC 7468 section 9)."""
    digits = pybase64.b64encode(der)
    lines = b"\n".join(digits[start : start + 64] for start in range(0, len(digits), 64))
    return b"-----BEGIN CMS-----\n" + lines + b"\n-----END CMS-----\n"


def from_pem(data: bytes) -> bytes:
    """CMS from PEM, whatever label it has. Raises MalformedMessage."""
    _, begin, rest = data.partition(b"-----BEGIN ")
    label, _, rest = rest.partition(b"-----")
    body, end, _ = rest.partition(b"-----END ")
    if not begin or not end or label not in {b"CMS", b"PKCS7", b"PKCS #7 SIGNED DATA"}:
        raise MalformedMessage("a PEM block labelled CMS or PKCS7")
    return decode_base64(body)
