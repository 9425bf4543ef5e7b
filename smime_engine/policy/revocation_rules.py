"""What the tenant's settings say about revocation: modes and time limits.

Exchange Online has one rule for receiving: a certificate whose revocation list cannot be fetched is invalid. For
sending there are two: by default the lists do not stop a message, with OWACheckCRLOnSend they do. OWADisableCRLCheck
ends all checks.

Source: Microsoft's reference of Set-SmimeConfig; its pages on S/MIME for Outlook for the rule of Exchange Online.
"""

from __future__ import annotations

from dataclasses import dataclass

from smime_engine.policy.smime_config import SmimeConfig
from smime_engine.trust.path_report import RevocationMode

__all__ = ["RevocationRules", "revocation_rules"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RevocationRules:
    """Modes for both directions, and seconds for fetching."""

    receiving: RevocationMode
    sending: RevocationMode
    seconds: float
    """For one list: never more than for all."""

    total_seconds: float
    """For all lists of one message."""


def revocation_rules(config: SmimeConfig) -> RevocationRules:
    """Translate OWADisableCRLCheck, OWACheckCRLOnSend and both timeouts. The shorter of the timeouts wins: by default
    10 s for all lists, although one alone would have 60 s.
    """
    receiving = sending = RevocationMode.NONE
    if not config.owa_disable_crl_check:
        receiving = RevocationMode.EXCHANGE_ONLINE
        sending = RevocationMode.EXCHANGE_ONLINE if config.owa_check_crl_on_send else RevocationMode.SOFT_FAIL
    total = config.owa_crl_retrieval_timeout / 1000
    return RevocationRules(
        receiving=receiving,
        sending=sending,
        seconds=min(config.owa_crl_connection_timeout / 1000, total),
        total_seconds=total,
    )
