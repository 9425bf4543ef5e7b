"""What the tenant's settings mean for revocation."""

from __future__ import annotations

import pytest

from smime_engine.policy.revocation_rules import revocation_rules
from smime_engine.policy.smime_config import SmimeConfig
from smime_engine.trust.path_report import RevocationMode

EXCHANGE, SOFT, NONE = RevocationMode.EXCHANGE_ONLINE, RevocationMode.SOFT_FAIL, RevocationMode.NONE


@pytest.mark.parametrize(
    ("settings", "receiving", "sending"),
    [
        ({}, EXCHANGE, SOFT),
        ({"owa_check_crl_on_send": True}, EXCHANGE, EXCHANGE),
        ({"owa_disable_crl_check": True}, NONE, NONE),
        ({"owa_disable_crl_check": True, "owa_check_crl_on_send": True}, NONE, NONE),
    ],
)
def test_modes(settings: dict, receiving: RevocationMode, sending: RevocationMode) -> None:
    rules = revocation_rules(SmimeConfig(**settings))
    assert (rules.receiving, rules.sending) == (receiving, sending)


@pytest.mark.parametrize(
    ("connection", "retrieval", "seconds", "total"),
    [(60_000, 10_000, 10, 10), (2_500, 10_000, 2.5, 10), (0, 5, 0, 0.005)],
)
def test_the_total_time_wins(connection: int, retrieval: int, seconds: float, total: float) -> None:
    config = SmimeConfig(owa_crl_connection_timeout=connection, owa_crl_retrieval_timeout=retrieval)
    rules = revocation_rules(config)
    assert (rules.seconds, rules.total_seconds) == (seconds, total)
