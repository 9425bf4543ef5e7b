"""Which copies of an encrypted message there are, who gets each, and for whom each is encrypted: a pure function.

    copies = plan_copies(visible=to_and_cc, bcc=bcc, own=(my_encryption_certificate,), forking=BccForking.EACH)

Everybody who can open a message, and everybody on its way, can see for how many it is encrypted and by which
certificates they are named. So Bcc recipients get copies of their own: one each (Exchange's 0), or one for all of them
(1), in which they can find each other. 2 makes a single message, in which everybody finds them; `Copy.exposed` says it.

Does: put the sender's certificates into every copy, so that what was sent stays readable; treat a Bcc recipient who
also stands in To or Cc as visible. Does not: choose algorithms (`policy.capabilities`; do it for each copy, for an old
cipher in the visible copy would betray a hidden recipient with an old client), remove the Bcc field or build anything
(`engine.copies`), find certificates. There is no copy for anybody without a certificate, and none in clear: such a
recipient cannot be expressed.

Standards: RFC 5322 section 3.6.3 (Bcc), RFC 8551 section 3.3 (the sender's own copy), Exchange's
OWABCCEncryptedEmailForking.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from smime_engine.addresses import comparable_address
from smime_engine.certificate import Certificate
from smime_engine.errors import InvalidKey
from smime_engine.policy.capabilities import Addressee
from smime_engine.policy.smime_config import BccForking

__all__ = ["Copy", "Correspondent", "forked", "plan_copies"]

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Correspondent:
    """A recipient: an address, and the certificates (usually one) of whoever reads its mail."""

    address: str
    addressees: tuple[Addressee, ...]

    def __post_init__(self) -> None:
        if not self.addressees:
            # Whoever cannot be encrypted for gets no copy, and whoever plans copies must find out before.
            raise InvalidKey(f"there is no certificate to encrypt for {self.address}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """One encrypted message."""

    recipients: tuple[str, ...]
    """Addresses that it is delivered to: those of the envelope, not of the header."""

    addressees: tuple[Addressee, ...]
    """Those whom it is encrypted for, each certificate once: the recipients, then the sender."""

    hidden: bool
    """Whether it goes to Bcc recipients alone."""

    exposed: tuple[str, ...] = ()
    """Bcc recipients whom other readers of this copy can find in it."""

    @property
    def certificates(self) -> tuple[Certificate, ...]:
        """Whose keys open it."""
        return tuple(addressee.certificate for addressee in self.addressees)


def plan_copies(
    *,
    visible: Sequence[Correspondent],
    bcc: Sequence[Correspondent] = (),
    own: Sequence[Addressee],
    forking: BccForking = BccForking.EACH,
) -> tuple[Copy, ...]:
    """Plan the copies of a message, that of the visible recipients first; each address stands in exactly one.

    `visible` are those of To and Cc; `own` are the sender's certificates: there is no default, so that leaving them out
    is a decision. Raises ValueError without recipients.
    """
    shown = _each_once(visible, known=set())
    hidden = _each_once(bcc, known={_comparable(person) for person in shown})
    if not shown and not hidden:
        raise ValueError("at least one recipient is needed")
    blind = frozenset(person.address for person in hidden)
    return tuple(_copy(group, blind, own) for group in forked(shown, hidden, forking))


def forked(visible: Sequence[_T], hidden: Sequence[_T], forking: BccForking) -> tuple[tuple[_T, ...], ...]:
    """Put recipients of any type into groups that get one encrypted message each; the visible ones come first."""
    if forking is BccForking.NONE:
        groups = [(*visible, *hidden)]
    elif forking is BccForking.TOGETHER:
        groups = [tuple(visible), tuple(hidden)]
    else:
        groups = [tuple(visible), *((person,) for person in hidden)]
    return tuple(group for group in groups if group)


def _copy(group: tuple[Correspondent, ...], blind: frozenset[str], own: Sequence[Addressee]) -> Copy:
    addressees = {
        addressee.certificate: addressee
        # The first one stays: what is known of a recipient's client counts more than the same certificate in `own`.
        for addressee in reversed((*(one for person in group for one in person.addressees), *own))
    }
    recipients = tuple(person.address for person in group)
    return Copy(
        recipients=recipients,
        addressees=tuple(reversed(addressees.values())),
        hidden=blind.issuperset(recipients),
        exposed=tuple(address for address in recipients if address in blind) if len(group) > 1 else (),
    )


def _each_once(people: Sequence[Correspondent], known: set[str]) -> tuple[Correspondent, ...]:
    """People whose address is not known yet; of two entries with one address, all certificates count."""
    found: dict[str, Correspondent] = {}
    for person in people:
        address = _comparable(person)
        before = found.get(address)
        if before is not None:
            person = Correspondent(address=before.address, addressees=(*before.addressees, *person.addressees))  # noqa: PLW2901
        if address not in known:
            found[address] = person
    return tuple(found.values())


def _comparable(person: Correspondent) -> str:
    return comparable_address(person.address) or person.address
