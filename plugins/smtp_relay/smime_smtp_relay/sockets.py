"""Listening sockets: opened by us, or handed over by systemd (socket activation).

Does: open TCP sockets, shared by several workers where wanted; take those of systemd by the protocol of
sd_listen_fds(3); tell it that we are ready (sd_notify(3)). Does not: accept connections.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from contextlib import suppress

from smime_engine.errors import ConfigurationError
from smime_smtp_relay.config import Listener

__all__ = ["handed_over", "notify", "open_sockets"]

_FIRST = 3
_BACKLOG = 1_024


def handed_over(*, process: int | None = None) -> list[socket.socket]:
    """The sockets that the service manager opened for us, in its order; none where it did not."""
    if os.environ.get("LISTEN_PID") != str(os.getpid() if process is None else process):
        return []
    count = int(os.environ.get("LISTEN_FDS", "0"))
    found = [socket.socket(fileno=number) for number in range(_FIRST, _FIRST + count)]
    for each in found:
        each.setblocking(False)
    return found


def open_sockets(
    listeners: Sequence[Listener], given: Sequence[socket.socket] = (), *, shared: bool
) -> list[socket.socket]:
    """A listening socket for each listener, those given first; ConfigurationError names the one that fails.

    `shared`: several processes may listen on the same port (SO_REUSEPORT).
    """
    if given:
        if len(given) != len(listeners):
            raise ConfigurationError(f"listen: systemd gave {len(given)} sockets for {len(listeners)} listeners")
        return list(given)
    opened: list[socket.socket] = []
    for listener in listeners:
        try:
            opened.append(_opened(listener, shared=shared))
        except OSError as error:
            for each in opened:
                each.close()
            raise ConfigurationError(f"listen: {listener.address}:{listener.port}: {error.strerror}") from error
    return opened


def notify(state: str) -> None:
    """Tell systemd, such as `READY=1`; does nothing without it."""
    path = os.environ.get("NOTIFY_SOCKET")
    if not path:
        return
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.connect("\0" + path[1:] if path.startswith("@") else path)
        channel.sendall(state.encode())


def _opened(listener: Listener, *, shared: bool) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(
        listener.address, listener.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    opened = socket.socket(family, kind, protocol)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        opened.setblocking(False)
        opened.bind(address)
        opened.listen(_BACKLOG)
    except BaseException:
        opened.close()
        raise
    return opened
