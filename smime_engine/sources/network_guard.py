"""Which addresses may be fetched from: certificates name hosts, and anybody can make certificates.

Does: refuse addresses that are not public (loopback, private, link-local with its cloud metadata services, multicast,
reserved, and IPv6 forms that embed such an IPv4 address), after names were resolved, so that the address that was
judged is the one that is connected to. Does not: stop a request at a proxy that resolves names itself.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from aiohttp.abc import AbstractResolver, ResolveResult

__all__ = ["AddressGuard", "ForbiddenAddress", "GuardedResolver"]

_NAT64 = IPv6Network("64:ff9b::/96")


class ForbiddenAddress(OSError):
    """A host has, or is, an address that may not be fetched from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressGuard:
    """The rule. `allowed` are networks that may be fetched from although they are not public."""

    allowed: tuple[IPv4Network | IPv6Network, ...] = ()

    def permits(self, address: str) -> bool:
        """Whether a numeric address may be connected to. False for what is no address."""
        try:
            number = ip_address(address.partition("%")[0])
        except ValueError:
            return False
        if any(number in network for network in self.allowed if network.version == number.version):
            return True
        return all(map(_is_public, _embedded(number)))

    def check(self, host: str, address: str) -> None:
        """Raise ForbiddenAddress unless the address of this host may be connected to."""
        if not self.permits(address):
            shown = address if address == host else f"{address} of {host}"
            raise ForbiddenAddress(f"address {shown} is not public, and fetching from there is not allowed")


def _embedded(number: IPv4Address | IPv6Address) -> tuple[IPv4Address | IPv6Address, ...]:
    """The address, and the IPv4 addresses that packets to it may reach."""
    if isinstance(number, IPv4Address):
        return (number,)
    inner: list[IPv4Address] = [part for part in (number.ipv4_mapped, number.sixtofour) if part is not None]
    if number.teredo is not None:
        inner += number.teredo
    if number in _NAT64:
        inner.append(IPv4Address(int(number) & 0xFFFF_FFFF))
    # A mapped address is the IPv4 address itself; the other forms must be public as IPv6 addresses too.
    return tuple(inner) if number.ipv4_mapped is not None else (number, *inner)


def _is_public(number: IPv4Address | IPv6Address) -> bool:
    if number.is_multicast or number.is_reserved or number.is_unspecified:
        return False
    return number in _NAT64 or number.is_global


class GuardedResolver(AbstractResolver):
    """A resolver for aiohttp that refuses a host as soon as one of its addresses is forbidden."""

    def __init__(self, guard: AddressGuard) -> None:
        self._guard = guard

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """All addresses of a host, each of them permitted. Raises OSError."""
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, family=family)
        addresses = list(dict.fromkeys((kind, str(address[0])) for kind, _, _, _, address in found))
        for _, address in addresses:
            self._guard.check(host, address)
        return [_result(host, port, kind, address) for kind, address in addresses]

    async def close(self) -> None:
        """Nothing is kept open."""

    async def addresses(self, host: str, port: int) -> Sequence[str]:
        """The numeric addresses of a host, each of them permitted. Raises OSError."""
        return [result["host"] for result in await self.resolve(host, port)]


def _result(host: str, port: int, family: int, address: str) -> ResolveResult:
    return ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=socket.AI_NUMERICHOST)
