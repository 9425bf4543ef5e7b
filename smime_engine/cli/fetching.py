"""Fetching for one-shot commands: one fetcher, one loop "judge, see what is wanted, fetch, judge again".

Does: run `sources.settle` from synchronous code, without a cache on disk. Does not: decide what to fetch.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from ipaddress import IPv4Network, IPv6Network
from typing import TypeVar

from smime_engine.sources.fetched import Gathered
from smime_engine.sources.http import Fetcher, FetchRules
from smime_engine.sources.network_guard import AddressGuard
from smime_engine.sources.settle import settle
from smime_engine.trust.wanted import Wanted

__all__ = ["judge_and_fetch"]

T = TypeVar("T")


def judge_and_fetch(
    judge: Callable[[Gathered], T],
    wanted_by: Callable[[T], Iterable[Wanted]],
    *,
    networks: Iterable[IPv4Network | IPv6Network] = (),
) -> T:
    """Judge until nothing more is wanted that can be fetched; `networks` may be fetched from though not public."""
    rules = FetchRules(guard=AddressGuard(allowed=tuple(networks)))

    async def run() -> T:
        async with Fetcher(rules) as fetcher:
            return await settle(judge, wanted_by, fetcher)

    return asyncio.run(run())
