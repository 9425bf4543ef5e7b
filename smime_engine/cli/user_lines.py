"""Users as lines of JSON: the file that `smime tenant import-users` reads.

Does: read one object a line, strictly, in memory that does not grow with the file. Does not: store them. A malformed
line is MalformedMessage with its number.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from smime_engine.errors import MalformedMessage
from smime_engine.sources.store import DirectoryValue, User

__all__ = ["count_lines", "read_users"]

_LONGEST = 64 * 1024 * 1024  # octets of one line
_CHUNK = 1024 * 1024


class _Line(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    address: str
    id: str = ""
    revision: str = ""
    proxies: tuple[str, ...] = ()
    display_name: str = ""
    members: tuple[str, ...] | None = None
    smime_certificates: tuple[bytes, ...] = msgspec.field(default=(), name="userSMIMECertificate")
    certificates: tuple[bytes, ...] = msgspec.field(default=(), name="userCertificate")


def count_lines(path: Path) -> int:
    """How many lines a file has, for a progress bar."""
    with path.open("rb") as file:
        return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(_CHUNK), b""))


def read_users(path: Path, source: str) -> Iterator[User]:
    """Read the users of a file. Raises MalformedMessage, which names file and line."""
    decoder = msgspec.json.Decoder(_Line)
    with path.open("rb") as file:
        number = 0
        while line := file.readline(_LONGEST + 1):
            number += 1
            if len(line) > _LONGEST:
                raise MalformedMessage(f"{path}: line {number}: a line of at most {_LONGEST:,} octets")
            if not line.strip():
                continue
            try:
                found = decoder.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                raise MalformedMessage(f"{path}: line {number}: a user as JSON ({error})") from error
            yield _user(found, source)


def _user(line: _Line, source: str) -> User:
    named = (("userSMIMECertificate", line.smime_certificates), ("userCertificate", line.certificates))
    return User(
        primary_address=line.address,
        proxy_addresses=line.proxies,
        display_name=line.display_name,
        source=source,
        external_id=line.id or line.address.lower(),
        revision=line.revision,
        values=tuple(DirectoryValue(attribute=name, value=value) for name, values in named for value in values),
        members=line.members,
    )
