"""The directories of a tenant as a TOML file: read whole or refused whole.

    order = ["device", "contoso"]

    [[files]]
    name = "device"
    paths = ["certificates"]

    [[ldap]]
    name = "contoso"
    servers = ["ldaps://dc1.contoso.example", "ldaps://dc2.contoso.example"]
    base = "DC=contoso,DC=example"
    ca_file = "contoso-ca.pem"

Does: read it into immutable values and make the sources. Unknown keys, wrong types and contradictions are
ConfigurationErrors that name the place. Paths are taken relative to the file; passwords stand in files of their own.
Does not: connect; that happens when somebody is looked up.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec

from smime_engine.directory.attributes import AttributeNames
from smime_engine.directory.entries import Origin
from smime_engine.errors import ConfigurationError
from smime_engine.sources.certificate_files import CertificateFiles
from smime_engine.sources.directories import Directories
from smime_engine.sources.directory_cache import CachedSource, CacheRules
from smime_engine.sources.directory_source import DirectorySource
from smime_engine.sources.gal import GalAccess, GlobalAddressList
from smime_engine.sources.http import Fetcher
from smime_engine.sources.ldap import LdapDirectory
from smime_engine.sources.ldap_servers import LdapAccess
from smime_engine.sources.smimea import SmimeaSource

if TYPE_CHECKING:
    from smime_engine.sources.store_source import StoreSource

__all__ = ["DirectoryConfiguration", "ldap_directory", "make_directories", "read_directory_configuration"]

Seconds = Annotated[float, msgspec.Meta(gt=0)]
Count = Annotated[int, msgspec.Meta(gt=0)]
Name = Annotated[str, msgspec.Meta(min_length=1)]


class _Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Unknown keys are mistakes."""


class Cache(_Strict, frozen=True, kw_only=True):
    """How long answers are good: `[cache]`. Times in seconds."""

    found_seconds: Annotated[float, msgspec.Meta(ge=0)] = 900.0
    missing_seconds: Annotated[float, msgspec.Meta(ge=0)] = 60.0
    stale_seconds: Annotated[float, msgspec.Meta(ge=0)] = 86_400.0
    retry_seconds: Annotated[float, msgspec.Meta(ge=0)] = 30.0
    entries: Count = 100_000
    octets: Count = 512 * 1024 * 1024


class Files(_Strict, frozen=True, kw_only=True):
    """Certificates in files: `[[files]]`."""

    name: Name
    paths: tuple[Path, ...]
    pinned: bool = False
    """Whether somebody has settled that these are the ones."""


class Attributes(_Strict, frozen=True, kw_only=True):
    """Names of attributes, where they differ from Active Directory's: `[ldap.attributes]`."""

    mail: tuple[str, ...] = AttributeNames().mail
    proxies: tuple[str, ...] = AttributeNames().proxies
    smime_certificates: tuple[str, ...] = AttributeNames().smime_certificates
    certificates: tuple[str, ...] = AttributeNames().certificates
    name: tuple[str, ...] = AttributeNames().name
    members: tuple[str, ...] = AttributeNames().members


class Ldap(_Strict, frozen=True, kw_only=True):
    """An LDAP directory: `[[ldap]]`."""

    name: Name
    servers: tuple[str, ...]
    base: str
    start_tls: bool = False
    ca_file: Path | None = None
    bind: Literal["anonymous", "simple", "gssapi", "external"] = "anonymous"
    user: str = ""
    password_file: Path | None = None
    """Its first line is the password."""
    password_in_clear: bool = False
    filter: str = ""
    """Every entry must meet it: `(objectCategory=person)`."""
    connections: Count = 4
    batch: Count = 50
    size_limit: Count = 2_000
    connect_seconds: Seconds = 5.0
    seconds: Seconds = 10.0
    retry_seconds: Seconds = 30.0
    attributes: Attributes = Attributes()


class Gal(_Strict, frozen=True, kw_only=True):
    """The address list of an Exchange server on the premises: `[[gal]]`."""

    name: Name
    user: str
    password_file: Path
    """Its first line is the password, or the client's secret."""
    endpoint: str = ""
    authentication: Literal["basic", "ntlm", "oauth"] = "ntlm"
    tenant: str = ""
    ca_file: Path | None = None
    seconds: Seconds = 20.0
    connections: Count = 4


class Smimea(_Strict, frozen=True, kw_only=True):
    """SMIMEA records in DNS: `[[smimea]]`."""

    name: Name
    resolver: str = "127.0.0.1"
    """A resolver that validates DNSSEC, on a way that nobody can tamper with: this machine, best."""
    port: Annotated[int, msgspec.Meta(ge=1, le=65_535)] = 53
    seconds: Seconds = 5.0


class Store(_Strict, frozen=True, kw_only=True):
    """A tenant of the store, with what was synchronised into it and harvested from mail: `[[store]]`."""

    name: Name
    url: str
    """`sqlite:///FILE` or `postgresql://USER@HOST/NAME`."""
    tenant: Name


class DirectoryConfiguration(_Strict, frozen=True, kw_only=True):
    """The whole file."""

    order: tuple[str, ...] = ()
    """Names of sources in the order in which they are asked; empty: files, stores, LDAP, address lists, SMIMEA, each
    as they stand in the file."""
    expansion_seconds: Seconds = 60.0
    cache: Cache = Cache()
    files: tuple[Files, ...] = ()
    ldap: tuple[Ldap, ...] = ()
    gal: tuple[Gal, ...] = ()
    smimea: tuple[Smimea, ...] = ()
    store: tuple[Store, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all sources."""
        kinds = (self.files, self.store, self.ldap, self.gal, self.smimea)
        return tuple(source.name for sources in kinds for source in sources)


def read_directory_configuration(path: Path) -> DirectoryConfiguration:
    """Read the file. Raises ConfigurationError, OSError."""
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
        configuration = msgspec.convert(raw, DirectoryConfiguration, dec_hook=_path_below(path.parent))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise ConfigurationError(f"{path}: {error}") from error
    names = configuration.names
    if len(set(names)) != len(names):
        raise ConfigurationError(f"{path}: two sources have the same name")
    unknown = set(configuration.order) - set(names)
    if unknown or len(set(configuration.order)) != len(configuration.order):
        raise ConfigurationError(f"{path}: order: {', '.join(sorted(unknown)) or 'a source'} is not there, or twice")
    return configuration


def make_directories(
    configuration: DirectoryConfiguration,
    *,
    fetcher: Fetcher | None = None,
    expansion_seconds: float | None = None,
) -> Directories:
    """Make the sources. `expansion_seconds` overrides the file's: Exchange's OWADLExpansionTimeout.

    Raises ConfigurationError, SourceUnavailable where an extra is missing, OSError for password files.
    """
    rules = CacheRules(**msgspec.structs.asdict(configuration.cache))
    sources: dict[str, DirectorySource] = {}
    for files in configuration.files:
        origin = Origin.PINNED if files.pinned else Origin.FILE
        sources[files.name] = CertificateFiles(files.name, files.paths, origin=origin)
    for store in configuration.store:
        sources[store.name] = _store_source(store)
    for ldap in configuration.ldap:
        sources[ldap.name] = CachedSource(ldap_directory(ldap), rules)
    for gal in configuration.gal:
        sources[gal.name] = CachedSource(_global_address_list(gal), rules)
    for smimea in configuration.smimea:
        source = SmimeaSource(smimea.name, resolver=smimea.resolver, port=smimea.port, seconds=smimea.seconds)
        sources[smimea.name] = CachedSource(source, rules)
    chosen = configuration.order or tuple(sources)
    return Directories(
        [sources[name] for name in chosen],
        fetcher=fetcher,
        expansion_seconds=expansion_seconds or configuration.expansion_seconds,
    )


def _first_line(path: Path | None) -> str:
    return "" if path is None else path.read_text(encoding="utf-8").partition("\n")[0].rstrip("\r")


def _global_address_list(gal: Gal) -> GlobalAddressList:
    access = GalAccess(
        endpoint=gal.endpoint,
        user=gal.user,
        password=_first_line(gal.password_file),
        authentication=gal.authentication,
        tenant=gal.tenant,
        ca_file=gal.ca_file,
        seconds=gal.seconds,
        connections=gal.connections,
    )
    return GlobalAddressList(gal.name, access)


def _store_source(store: Store) -> StoreSource:
    from smime_engine.sources.store import open_store  # noqa: PLC0415 - SQLAlchemy, for those who have a store
    from smime_engine.sources.store_source import StoreSource  # noqa: PLC0415

    opened = open_store(store.url)
    try:
        return StoreSource(store.name, opened.tenant(store.tenant), close=opened.close)
    except BaseException:
        opened.close()
        raise


def ldap_directory(ldap: Ldap) -> LdapDirectory:
    """The directory of one `[[ldap]]` table. Raises SourceUnavailable without python-ldap, OSError."""
    access = LdapAccess(
        servers=ldap.servers,
        start_tls=ldap.start_tls,
        ca_file=ldap.ca_file,
        bind=ldap.bind,
        user=ldap.user,
        password=_first_line(ldap.password_file),
        password_in_clear=ldap.password_in_clear,
        connect_seconds=ldap.connect_seconds,
        seconds=ldap.seconds,
        retry_seconds=ldap.retry_seconds,
        connections=ldap.connections,
    )
    return LdapDirectory(
        ldap.name,
        access,
        base=ldap.base,
        names=AttributeNames(**msgspec.structs.asdict(ldap.attributes)),
        also=ldap.filter,
        batch=ldap.batch,
        size_limit=ldap.size_limit,
    )


def _path_below(folder: Path) -> Callable[[type, Any], Any]:
    def convert(wanted: type, value: Any) -> Any:
        if issubclass(wanted, Path) and isinstance(value, str):
            return folder / value
        raise NotImplementedError

    return convert
