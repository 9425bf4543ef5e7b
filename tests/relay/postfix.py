"""A Postfix of our own for tests: its own configuration, queue and ports on 127.0.0.1, nothing of the system's.

Postfix wants to be started by root and drops to its own user; tests skip where that is not possible.
"""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pytest

from tests import surroundings

_MAIN = """
compatibility_level = 3.6
config_directory = {folder}/etc
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file = {folder}/log
maillog_file_prefixes = {folder}
myhostname = {name}
mydestination =
local_recipient_maps =
alias_maps =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
smtputf8_enable = yes
smtpd_recipient_restrictions = permit_mynetworks, reject
message_size_limit = 80000000
mailbox_size_limit = 0
virtual_mailbox_limit = 0
bounce_queue_lifetime = 1h
minimal_backoff_time = 2s
maximal_backoff_time = 2s
queue_run_delay = 1s
transport_retry_time = 1s
{main}
"""

_MASTER = """
pickup    unix  n - n 60 1 pickup
cleanup   unix  n - n - 0 cleanup
qmgr      unix  n - n 1 1 qmgr
tlsmgr    unix  - - n 1000? 1 tlsmgr
rewrite   unix  - - n - - trivial-rewrite
bounce    unix  - - n - 0 bounce
defer     unix  - - n - 0 bounce
trace     unix  - - n - 0 bounce
verify    unix  - - n - 1 verify
flush     unix  n - n 1000? 0 flush
proxymap  unix  - - n - - proxymap
smtp      unix  - - n - - smtp
lmtp      unix  - - n - - lmtp
relay     unix  - - n - - smtp
error     unix  - - n - - error
retry     unix  - - n - - error
discard   unix  - - n - - discard
virtual   unix  - n n - - virtual
anvil     unix  - - n - 1 anvil
scache    unix  - - n - 1 scache
postlog   unix-dgram n - n - 1 postlogd
{master}
"""


@dataclass
class Postfix:
    """One instance; `main` and `master` are added to main.cf and master.cf. Use with `async with`.

    `{mail}` in `main` becomes a folder that every user may write to.
    """

    name: str
    main: str
    master: str
    mailboxes: str = ""
    """A regexp table, `{etc}/mailboxes` in `main`."""

    async def __aenter__(self) -> Self:
        if os.geteuid() != 0 or shutil.which("postfix", path="/usr/sbin") is None:
            pytest.skip("only root can start a Postfix")
        owner = pwd.getpwnam("postfix")
        # A short path that Postfix's own user can get through, unlike pytest's.
        self.folder = Path(tempfile.mkdtemp(prefix="postfix-"))
        self.folder.chmod(0o755)
        for name in ("etc", "queue", "data", "mail"):
            (self.folder / name).mkdir(parents=True)
        (self.folder / "mail").chmod(0o777)
        os.chown(self.folder / "data", owner.pw_uid, owner.pw_gid)
        values = {"folder": self.folder, "name": self.name}
        main = _MAIN.format(**values, main=self._main())
        (self.folder / "etc/main.cf").write_text(main, encoding="utf-8")
        (self.folder / "etc/mailboxes").write_text(self.mailboxes, encoding="utf-8")
        (self.folder / "etc/master.cf").write_text(_MASTER.format(master=self.master), encoding="utf-8")
        await self._postfix("start")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._postfix("abort")
        shutil.rmtree(self.folder, ignore_errors=True)

    def _main(self) -> str:
        return self.main.replace("{mail}", str(self.folder / "mail")).replace("{etc}", str(self.folder / "etc"))

    @property
    def log(self) -> str:
        """Everything it has logged."""
        return (self.folder / "log").read_text(encoding="utf-8", errors="replace")

    async def _postfix(self, action: str) -> None:
        program = surroundings.command("postfix")
        assert program is not None
        process = await asyncio.create_subprocess_exec(
            program,
            "-c",
            str(self.folder / "etc"),
            action,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await asyncio.wait_for(process.communicate(), 60)
        if process.returncode and action == "start":
            raise AssertionError(output.decode())
