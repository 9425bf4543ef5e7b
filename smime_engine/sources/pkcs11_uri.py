"""PKCS #11 URIs (RFC 7512): which token, which key, and how to get at them.

    pkcs11:token=Example;id=%01?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=file:/etc/smime/pin

Does: read and write them. Does not: take a PIN from a URI (`pin-value`): URIs stand in process lists and logs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from urllib.parse import quote, unquote_to_bytes

from smime_engine.errors import ConfigurationError

__all__ = ["Pkcs11Uri", "parse_pkcs11_uri"]

_LONGEST = 4_096
_PATH = frozenset({"token", "serial", "manufacturer", "model", "object", "id", "type"})
_QUERY = frozenset({"module-path", "pin-source"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Pkcs11Uri:
    """A token, perhaps an object on it, perhaps where module and PIN are. Empty: not said."""

    token: str = ""
    serial: str = ""
    manufacturer: str = ""
    model: str = ""
    object: str = ""
    """The object's label (CKA_LABEL)."""

    id: bytes = b""
    """The object's identifier (CKA_ID)."""

    module_path: str = ""
    pin_source: str = ""
    """`file:PATH`."""

    @property
    def bare(self) -> Pkcs11Uri:
        """Without module and PIN: what a database may hold, since whoever names a module has it run."""
        return replace(self, module_path="", pin_source="")

    def __str__(self) -> str:
        parts = [
            f"{name}={quote(getattr(self, name), safe='')}"
            for name in ("token", "serial", "manufacturer", "model", "object")
            if getattr(self, name)
        ]
        if self.id:
            parts.append("id=" + "".join(f"%{octet:02X}" for octet in self.id))
        query = [
            f"{name}={quote(value, safe='/:')}"
            for name, value in (("module-path", self.module_path), ("pin-source", self.pin_source))
            if value
        ]
        return "pkcs11:" + ";".join(parts) + ("?" + "&".join(query) if query else "")


def parse_pkcs11_uri(text: str) -> Pkcs11Uri:
    """Read a URI. Raises ConfigurationError, whose text never repeats a `pin-value`."""
    if len(text) > _LONGEST:
        raise ConfigurationError("a PKCS #11 URI is too long")
    scheme, colon, rest = text.partition(":")
    if scheme.lower() != "pkcs11" or not colon:
        raise ConfigurationError("a PKCS #11 URI starts with pkcs11:")
    path, _, query = rest.partition("?")
    values = {**_attributes(path, ";", _PATH), **_attributes(query, "&", _QUERY)}
    kind = values.pop("type", b"private")
    if kind not in {b"private", b"cert", b"secret-key"}:
        raise ConfigurationError("a PKCS #11 URI of a key has type=private or type=secret-key")
    identifier = values.pop("id", b"")
    try:
        texts = {name.replace("-", "_"): value.decode() for name, value in values.items()}
    except UnicodeDecodeError as error:
        raise ConfigurationError("a PKCS #11 URI has a name that is not UTF-8") from error
    return Pkcs11Uri(id=identifier, **texts)


def _attributes(text: str, separator: str, known: frozenset[str]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for part in filter(None, text.split(separator)):
        name, equals, value = part.partition("=")
        if name == "pin-value":
            raise ConfigurationError("a PKCS #11 URI must not hold a PIN: use pin-source=file:PATH")
        if not equals or name not in known:
            raise ConfigurationError(f"a PKCS #11 URI has the attribute {name[:40]!r}, which is not supported")
        if name in found:
            raise ConfigurationError(f"a PKCS #11 URI has the attribute {name} twice")
        found[name] = unquote_to_bytes(value)
    return found
