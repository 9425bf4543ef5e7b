"""What a source of directory entries is: the one interface of LDAP, the address list, DNS, files and the cache.

Does: define it. Does not: implement it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from smime_engine.directory.entries import Answer, DirectoryEntry

__all__ = ["DirectorySource"]


class DirectorySource(Protocol):
    """A source. Usable from one event loop; what blocks is moved to threads by the source itself."""

    @property
    def name(self) -> str:
        """The name that its entries carry."""

    async def look_up(self, addresses: Sequence[str]) -> tuple[Answer, ...]:
        """An answer for each address, in their order. A source that does not answer says so in `Answer.failures`.

        Never raises SmimeError.
        """

    async def look_up_members(self, members: Sequence[str]) -> Mapping[str, DirectoryEntry | None]:
        """Entries by what groups of this source call their members; None for nobody. Raises SourceUnavailable."""

    async def aclose(self) -> None:
        """Give back connections. Whoever made the source calls it once."""
