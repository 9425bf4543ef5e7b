"""Peak memory of one operation, in a fresh process: `python -m bench.memory ACT IDENTITY MESSAGE`.

`traced` counts what Python allocates, the message itself included, from just before it is read (tracemalloc);
`resident` is the growth of the process's largest resident size (Linux: VmHWM; getrusage would start from the parent's)
over the same span, measured in a second process because tracing costs memory itself. Both are given as multiples of
the message's size.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path

from bench.material import BENCH_TIME, message
from smime_engine import MessageSigner
from smime_engine.keys import load_identity

__all__ = ["peak_of"]


def peak_of(act: str, identity_pem: bytes, whole: bytes) -> dict[str, float]:
    """`{"peak_memory_ratio": …, "resident_memory_ratio": …}` of one operation on this message."""
    with tempfile.TemporaryDirectory() as folder:
        identity, content = Path(folder, "identity.pem"), Path(folder, "message.eml")
        identity.touch(mode=0o600)
        identity.write_bytes(identity_pem)
        content.write_bytes(whole)
        traced, resident = (_in_fresh_process(kind, act, identity, content) for kind in ("traced", "resident"))
    return {"peak_memory_ratio": traced / len(whole), "resident_memory_ratio": resident / len(whole)}


def _in_fresh_process(kind: str, act: str, identity: Path, content: Path) -> int:
    command = [sys.executable, "-m", "bench.memory", kind, act, str(identity), str(content)]
    return int(json.loads(subprocess.run(command, check=True, capture_output=True).stdout))


def _main(kind: str, act: str, identity: str, content: str) -> None:
    run = _ACTS[act](Path(identity).read_bytes())
    run(message(1_000))  # imports and first-use costs are not the message's
    if kind == "traced":
        tracemalloc.start()
        run(Path(content).read_bytes())
        print(tracemalloc.get_traced_memory()[1])
        return
    before = _largest_resident_size()
    run(Path(content).read_bytes())
    print(_largest_resident_size() - before)


def _largest_resident_size() -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def _signing(identity_pem: bytes) -> Callable[[bytes], object]:
    identity = load_identity(identity_pem)
    signer = MessageSigner(identity.key, identity.certificate, chain=identity.chain)
    return lambda whole: signer.sign(whole, now=BENCH_TIME)


_ACTS: dict[str, Callable[[bytes], Callable[[bytes], object]]] = {"sign": _signing}

if __name__ == "__main__":
    _main(*sys.argv[1:])
