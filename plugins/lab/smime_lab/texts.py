"""What the laboratory prints and writes for people: the relay's configuration, verdicts, instructions.

Pure. Does not: run anything.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from pathlib import Path

from smime_lab.authority import LabAuthority
from smime_lab.proof import Judgement

__all__ = ["instructions", "judgement_lines", "relay_configuration"]


def relay_configuration(authority: LabAuthority, *, port: int, next_hop: int) -> str:
    """The TOML that the laboratory's relay runs with: a small real configuration, see docs/how-to/gateway.md."""
    lines = [
        "# Written by `smime lab run` at every start.",
        'hostname = "lab.localhost"',
        f'\n[[listen]]\naddress = "127.0.0.1"\nport = {port}',
        f'\n[next_hop]\nhost = "127.0.0.1"\nport = {next_hop}\ntls = "none"',
    ]
    lines += [
        f'\n[[identity]]\nfile = "{user.file.name}"\npassword_file = "{user.password_file.name}"\n'
        f'addresses = ["{user.address}"]'
        for user in authority.users
    ]
    return "\n".join(lines) + "\n"


def judgement_lines(judgements: Iterable[Judgement]) -> list[str]:
    """One line for each reader."""
    return [f"  {judgement.reader}: {judgement.verdict}  ({judgement.detail})" for judgement in judgements]


def instructions(authority: LabAuthority, mailbox: Path, *, port: int) -> str:
    """How to send a message of one's own, and how to check it."""
    sender, recipient = (user.address for user in authority.users[:2])
    root = shlex.quote(str(authority.root_file))
    newest = f'"$(ls -t {shlex.quote(str(mailbox / "new"))}/* | head -1)"'
    return f"""
Send your own, for example with one of these:
  swaks --server 127.0.0.1:{port} --from {sender} --to {recipient} --attach @README.md
  printf 'From: {sender}\\r\\nSubject: hello\\r\\n\\r\\nHello\\r\\n' | \\
    curl -sS smtp://127.0.0.1:{port} --mail-from {sender} --mail-rcpt {recipient} -T -
  python3 -c "import smtplib; smtplib.SMTP('127.0.0.1', {port}).sendmail('{sender}', '{recipient}',
    'From: {sender}\\nSubject: hello\\n\\nHello\\n')"
Check what arrived:
  smime open {newest} --trust {root}
  openssl cms -verify -in {newest} -CAfile {root}
Keys: {", ".join(user.address for user in authority.users)}; other senders' mail passes unsigned.
Ctrl-C stops everything."""
