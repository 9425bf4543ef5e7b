"""For which moment a signature is judged; what counts as expiring."""

from __future__ import annotations

from datetime import timedelta

import pytest

from smime_engine.certificate import Certificate
from smime_engine.trust.collection_files import collection_of
from smime_engine.trust.history import Reason, TrustedTime, validation_time
from smime_engine.trust.watch import State, expiries, prometheus_text
from tests import pki

NOW = pki.MOMENT
HOUR = timedelta(hours=1)


def proof(hours: float) -> TrustedTime:
    return TrustedTime(moment=NOW + hours * HOUR, authority=f"TSA {hours}")


@pytest.mark.parametrize(
    ("at", "proofs", "moment", "reason"),
    [
        (None, [], NOW, Reason.PRESENT),
        (None, [proof(-5)], NOW - 5 * HOUR, Reason.TIMESTAMP),
        (None, [proof(-5), proof(-9), proof(-1)], NOW - 9 * HOUR, Reason.TIMESTAMP),
        (None, [proof(+9)], NOW, Reason.PRESENT),
        (None, [proof(+9), proof(-1)], NOW - HOUR, Reason.TIMESTAMP),
        (None, [proof(0.01)], NOW, Reason.TIMESTAMP),
        (NOW - 100 * HOUR, [proof(-5)], NOW - 100 * HOUR, Reason.ASKED),
        (NOW + 100 * HOUR, [], NOW + 100 * HOUR, Reason.ASKED),
    ],
)
def test_the_moment_to_judge_for(at: object, proofs: list, moment: object, reason: Reason) -> None:
    chosen = validation_time(present=NOW, at=at, trusted=proofs)  # type: ignore[arg-type]
    assert (chosen.moment, chosen.reason, chosen.present) == (moment, reason, NOW)
    if reason is Reason.TIMESTAMP:
        assert chosen.authority.startswith("TSA")


@pytest.mark.parametrize(
    ("left", "state", "days"),
    [
        (timedelta(days=30), State.EXPIRING, 30),
        (timedelta(days=30, seconds=1), State.GOOD, 30),
        (timedelta(0), State.EXPIRING, 0),
        (timedelta(seconds=-1), State.EXPIRED, -1),
        (timedelta(days=-3), State.EXPIRED, -3),
    ],
)
def test_the_border_of_expiring_is_thirty_days(left: timedelta, state: State, days: int) -> None:
    root = pki.authority("Root", not_after=NOW + left)
    (found,) = expiries(now=NOW, collection=collection_of([Certificate.parse(root.certificate_der)]))
    assert (found.state, found.days, found.kind.value) == (state, days, "root")


def test_hostile_names_stay_inside_their_label() -> None:
    root = pki.authority('x"} 1\nevil 2\\')
    text = prometheus_text(expiries(now=NOW, users=[Certificate.parse(root.certificate_der)]))
    assert not any(line.startswith("evil") for line in text.splitlines())
