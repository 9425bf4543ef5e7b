"""`python -m smime_lab`: the same as `smime lab run`; it is what `make run` calls."""

from __future__ import annotations

from smime_lab.main import run

if __name__ == "__main__":
    run(prog_name="python -m smime_lab")
