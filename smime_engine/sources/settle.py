"""The loop around the pure core: open, see what is wanted, fetch it, open again.

Does: bound the rounds, the fetches and the time; ask an address again, past the cache, when what the cache gave did not
settle the question (it may have been poisoned over plain http). Does not: know what is opened: the caller gives a
function of what was gathered, and one that says what its result wants.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import TypeVar

from smime_engine.sources.fetched import Fetched, Gathered, gathered
from smime_engine.sources.http import Fetcher
from smime_engine.trust.evidence import FetchFailure
from smime_engine.trust.wanted import Wanted

__all__ = ["settle"]

T = TypeVar("T")

_ROUNDS = 4  # an issuer, its issuer, their lists, the lists' signers


async def settle(
    open_with: Callable[[Gathered], T],
    wanted_by: Callable[[T], Iterable[Wanted]],
    fetcher: Fetcher,
    *,
    rounds: int = _ROUNDS,
    seconds: float | None = None,
) -> T:
    """Open until nothing more is wanted that could be fetched; returns the last result.

    `open_with` gets what the fetcher has in memory the first time, and what was fetched beside that from then on.
    `seconds` is for all fetches together (None: as the fetcher's rules say).
    """
    clock = asyncio.get_running_loop().time
    deadline = clock() + (fetcher.rules.total_seconds if seconds is None else seconds)
    answers: dict[Wanted, Fetched | FetchFailure] = {}
    result = open_with(_everything(fetcher, answers))
    for _ in range(rounds):
        wanted = [each for each in dict.fromkeys(wanted_by(result)) if each.url is not None]
        new = [each for each in wanted if each not in answers][: max(fetcher.rules.fetches - len(answers), 0)]
        again = [each for each in wanted if _came_from_cache(answers.get(each))]
        if not new and not again:
            break
        fetched = (
            *await fetcher.fetch_all(new, seconds=deadline - clock()),
            *await fetcher.fetch_all(again, seconds=deadline - clock(), fresh=True),
        )
        answers.update({answer.wanted: answer for answer in fetched})
        result = open_with(_everything(fetcher, answers))
    return result


def _everything(fetcher: Fetcher, answers: dict[Wanted, Fetched | FetchFailure]) -> Gathered:
    """What was fetched for this message, beside what is in memory anyhow."""
    if not answers:
        return Gathered(evidence=fetcher.known(), certificates=())
    own = gathered(answers.values())
    return Gathered(evidence=fetcher.known().including(own.evidence), certificates=own.certificates)


def _came_from_cache(answer: Fetched | FetchFailure | None) -> bool:
    return isinstance(answer, Fetched) and answer.from_cache
