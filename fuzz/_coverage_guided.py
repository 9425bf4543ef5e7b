"""One target under atheris (libFuzzer for Python), in a process of its own: see `main`.

Not installed by `make install`: `pip install atheris` where its wheels exist. Findings are written by libFuzzer as
`crash-*` into `var/fuzz/`.
"""

from __future__ import annotations

import sys
from pathlib import Path

FINDINGS = Path("var/fuzz")


def main(name: str, seconds: str) -> None:
    """`python -m fuzz._coverage_guided NAME SECONDS`; atheris ends the process, non-zero after a finding."""
    import atheris

    with atheris.instrument_imports(include=["smime_engine", "fuzz"]):
        from fuzz._runner import Target

        target = Target(name)
    corpus = FINDINGS / "corpus" / name
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds):
        (corpus / f"seed-{number}").write_bytes(seed)
    options = [f"-max_total_time={seconds}", f"-artifact_prefix={FINDINGS}/{name}-", "-max_len=65536", "-verbosity=0"]
    atheris.Setup([sys.argv[0], *options, str(corpus)], target.fuzz)
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
