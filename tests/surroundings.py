"""What a test finds around it: the third-party corpora and the peers' commands.

Corpora: the folder named by `SMIME_CORPORA`, else `../shared/corpora` beside the repository. Nothing of them is
copied into the repository. Peers: `tests/peers.txt` is the only list; `tests/install_peers.sh` reads it too.
"""

from __future__ import annotations

import os
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

REPOSITORY = Path(__file__).resolve().parent.parent
CORPORA = Path(os.environ.get("SMIME_CORPORA") or REPOSITORY.parent / "shared" / "corpora")
IN_CI = os.environ.get("CI", "").lower() == "true"

_SEARCH_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])


class Peer(NamedTuple):
    """One line of `peers.txt`."""

    package: str
    commands: tuple[str, ...]
    marker: str


def peers() -> tuple[Peer, ...]:
    """All lines of `peers.txt`."""
    lines = (REPOSITORY / "tests" / "peers.txt").read_text(encoding="ascii").splitlines()
    rows = (line.split() for line in lines if line and not line.startswith("#"))
    return tuple(Peer(package, tuple(commands.split(",")), marker) for package, commands, marker in rows)


def command(name: str) -> str | None:
    """The full path of a command; Debian keeps servers in /usr/sbin, which users' PATH often lacks."""
    return shutil.which(name, path=_SEARCH_PATH)


def _is_there(sign: str) -> bool:
    if sign.startswith("python:"):
        return find_spec(sign.removeprefix("python:")) is not None
    return Path(sign).exists() if sign.startswith("/") else command(sign) is not None


def missing(marker: str) -> str | None:
    """Why a test with this marker cannot run here (None: it can)."""
    if marker == "corpora":
        return None if CORPORA.is_dir() else f"no corpora at {CORPORA} (set SMIME_CORPORA)"
    lacking = [name for peer in peers() if peer.marker == marker for name in peer.commands if not _is_there(name)]
    return f"missing: {', '.join(lacking)} (tests/install_peers.sh installs the peers)" if lacking else None


def must_not_be_missing(marker: str) -> bool:
    """CI installs every peer, so a missing one is an error there; corpora only where the environment names them."""
    return "SMIME_CORPORA" in os.environ if marker == "corpora" else IN_CI
