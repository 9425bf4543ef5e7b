#!/usr/bin/env bash
# Make .venv and install the project into it, editable, with all that development needs (pins: constraints.txt).
#
# Debian ships Python without venv's ensurepip: where python3-venv is missing it is installed with apt (root, or sudo
# without a password), else this says what to install. PYTHON chooses the interpreter.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

fail() {
    echo "make install: $1" >&2
    exit 1
}

python=${PYTHON:-}
if [ -z "$python" ]; then
    for candidate in python3.11 python3 python3.12 python3.13; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            python=$candidate
            break
        fi
    done
fi
[ -n "$python" ] || fail "Python 3.11 or newer is needed (set PYTHON=/path/to/python3)"

install_venv_package() {
    local package=python3-venv root=()
    command -v apt-get >/dev/null || fail "this Python cannot make virtual environments: install its venv package"
    if [ "$(id -u)" -ne 0 ]; then
        sudo -n true 2>/dev/null || fail "this Python cannot make virtual environments: apt-get install $package"
        root=(sudo -n)
    fi
    echo "make install: installing $package"
    "${root[@]}" apt-get update -qq || true
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$package" >/dev/null 2>&1 ||
        fail "apt-get install $package failed; install it, then try again"
}

if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    rm -rf .venv
    "$python" -c 'import ensurepip, venv' 2>/dev/null || install_venv_package
    "$python" -m venv .venv || fail "$python -m venv failed"
fi

# PIP_CONSTRAINT, unlike --constraint, also holds for what builds the package.
PIP_CONSTRAINT=$PWD/requirements/constraints.txt PIP_DISABLE_PIP_VERSION_CHECK=1 \
    .venv/bin/python -m pip install --quiet --editable '.[dev]'
