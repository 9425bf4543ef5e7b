"""`smime relay explain`: what the gateway would do with a message, and why.

Does: plan a message as the gateway does, and build its parcels into files. Does not: talk to the next hop (so its
refusals do not show), keep harvested certificates, or touch the journal.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from msgspec import structs

from smime_engine.errors import ConfigurationError
from smime_smtp_relay.actions import Accept, Action, Replace
from smime_smtp_relay.config import JournalFile, read_configuration
from smime_smtp_relay.envelope import CommandRefused, MailCommand, RecipientCommand
from smime_smtp_relay.gateway import Gateway
from smime_smtp_relay.parcels import Order, Parcel, Planned

__all__ = ["explained"]


async def explained(
    config: Path,
    message: bytes,
    sender: str,
    recipients: Sequence[str],
    *,
    direction: str,
    output: Path | None = None,
) -> list[str]:
    """The explanation in lines; ConfigurationError where configuration or addresses are wrong."""
    configuration = read_configuration(config)
    verification = structs.replace(configuration.verification, harvest=None)
    gateway = Gateway(structs.replace(configuration, journal=JournalFile(), verification=verification))
    await gateway.start()
    try:
        return await _explained(gateway, _order(message, sender, recipients), direction, output)
    finally:
        await gateway.close()


def _order(message: bytes, sender: str, recipients: Sequence[str]) -> Order:
    try:
        mail = MailCommand.parse(f"FROM:<{sender}> SMTPUTF8")
        commands = tuple(RecipientCommand.parse(f"TO:<{recipient}>", utf8=True) for recipient in recipients)
    except CommandRefused as refused:
        raise ConfigurationError(str(refused)) from refused
    return Order(message=message, mail=mail, recipients=commands)


async def _explained(gateway: Gateway, order: Order, direction: str, output: Path | None) -> list[str]:
    planner, now = gateway.planners[direction], gateway.clock()
    lines = []
    for command in order.recipients:
        refusal = await planner.refusal_at_rcpt(order.mail.sender, command.recipient, now=now)
        if refusal is not None:
            lines.append(f"<{command.recipient}>: refused at RCPT: {refusal}")
    planned = await planner.plan(order, now=now)
    if not isinstance(planned, Planned):
        return [*lines, f"the whole message: {_outcome(planned)}"]
    lines += planned.explanation
    for number, parcel in enumerate(planned.parcels, 1):
        action = await planned.build(parcel)
        lines.append(f"parcel {number} for {_addressed(parcel)}: {_outcome(action)}")
        if output is not None and isinstance(action, Accept | Replace):
            message = action.message if isinstance(action, Replace) else planned.message
            lines.append(f"  written to {_written(output, number, message)}")
    return lines


def _written(folder: Path, number: int, message: bytes) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"parcel-{number}.eml"
    path.write_bytes(message)
    return path


def _addressed(parcel: Parcel) -> str:
    recipients = ", ".join(f"<{recipient}>" for recipient in parcel.recipients)
    return recipients if parcel.redirect is None else f"<{parcel.redirect}> instead of {recipients}"


def _outcome(action: Action) -> str:
    if isinstance(action, Replace):
        return f"a new message of {len(action.message):,} bytes"
    return "as it came" if isinstance(action, Accept) else str(action.reply)
