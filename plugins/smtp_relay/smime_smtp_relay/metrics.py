"""Numbers for Prometheus: counters, gauges and histograms of one process, in the text format.

Does: count and write (exposition format 0.0.4). Does not: serve them (`status`), or add up several workers: each has
its own port, and the scraper's sums do that.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

__all__ = ["Metrics"]

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Seconds."""

Labels = tuple[tuple[str, str], ...]


@dataclass
class _Histogram:
    counts: list[int] = field(default_factory=lambda: [0] * (len(_BUCKETS) + 1))
    total: float = 0.0


class Metrics:
    """All numbers of one process. Names are given with their help text where they are declared, in `_HELP`."""

    def __init__(self) -> None:
        self._counters: dict[tuple[str, Labels], float] = {}
        self._histograms: dict[tuple[str, Labels], _Histogram] = {}

    def count(self, name: str, amount: float = 1, **labels: str) -> None:
        """Add to a counter."""
        key = name, tuple(labels.items())
        self._counters[key] = self._counters.get(key, 0) + amount

    def observe(self, name: str, seconds: float, **labels: str) -> None:
        """Add an observation to a histogram of seconds."""
        histogram = self._histograms.setdefault((name, tuple(labels.items())), _Histogram())
        histogram.counts[bisect_left(_BUCKETS, seconds)] += 1
        histogram.total += seconds

    def text(self, gauges: Iterable[tuple[str, Labels, float]] = ()) -> str:
        """Everything in Prometheus' text format; `gauges` are numbers that are read now."""
        lines: list[str] = []
        families: dict[str, list[str]] = {}
        for (name, labels), value in self._counters.items():
            families.setdefault(f"{name} counter", []).append(_sample(name, labels, value))
        for (name, labels), histogram in self._histograms.items():
            families.setdefault(f"{name} histogram", []).extend(_samples(name, labels, histogram))
        for name, labels, value in gauges:
            families.setdefault(f"{name} gauge", []).append(_sample(name, labels, value))
        for family in sorted(families):
            name = family.partition(" ")[0]
            lines += [f"# HELP {name} {_HELP[name]}", f"# TYPE {family}", *families[family]]
        return "\n".join(lines) + "\n"


_HELP = {
    "smime_relay_messages_total": "Messages by direction and outcome.",
    "smime_relay_bytes_total": "Bytes of messages taken, by direction.",
    "smime_relay_message_seconds": "From the end of DATA to the reply, by direction.",
    "smime_relay_building_seconds": "Signing, encrypting, opening and composing, by direction.",
    "smime_relay_verdicts_total": "Verdicts about mail that arrives.",
    "smime_relay_logins_failed_total": "Refused logins.",
    "smime_relay_next_hop_failures_total": "Transactions that the next hop's connection failed.",
    "smime_relay_sessions": "Open sessions.",
    "smime_relay_memory_bytes": "Bytes of messages in work.",
    "smime_relay_next_hop_connections_opened": "Connections to the next hop that were opened so far.",
    "smime_relay_certificate_expiry_seconds": "End of validity of a signing certificate, in seconds since 1970.",
}


def _samples(name: str, labels: Labels, histogram: _Histogram) -> Iterator[str]:
    total = 0
    for bound, count in zip((*map(str, _BUCKETS), "+Inf"), histogram.counts, strict=True):
        total += count
        yield _sample(f"{name}_bucket", (*labels, ("le", bound)), total)
    yield _sample(f"{name}_sum", labels, histogram.total)
    yield _sample(f"{name}_count", labels, total)


def _sample(name: str, labels: Labels, value: float) -> str:
    inside = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels)
    number = str(int(value)) if value == int(value) else repr(value)
    return f"{name}{{{inside}}} {number}" if inside else f"{name} {number}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
