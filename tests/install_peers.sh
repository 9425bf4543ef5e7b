#!/usr/bin/env bash
# Install the Debian packages of tests/peers.txt that are missing, and the Python modules that are built with them.
# Does nothing where all are there.
#
# No server is left behind: a policy-rc.d keeps packages from starting services while this runs, and Postfix and slapd get
# "no configuration". Without root (or sudo without a password) it says what to install and leaves it at that: the
# tests that need a missing peer are then skipped, or fail where CI=true.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
missing=()
modules=()
is_there() {
    case $1 in
        python:*) .venv/bin/python -c "import ${1#python:}" 2>/dev/null ;;
        /*) [ -e "$1" ] ;;
        *) PATH="$PATH:/usr/sbin:/sbin" command -v "$1" >/dev/null ;;
    esac
}
while read -r package signs _; do
    for sign in ${signs//,/ }; do
        is_there "$sign" || { [ "$package" = - ] && modules+=("$sign") || missing+=("$package"); break; }
    done
done < <(grep -v '^#' tests/peers.txt)

build_modules() {
    [ ${#modules[@]} -gt 0 ] || return 0
    echo "tests: building ${modules[*]}"
    PIP_CONSTRAINT=$PWD/requirements/constraints.txt PIP_DISABLE_PIP_VERSION_CHECK=1 \
        .venv/bin/python -m pip install --quiet --requirement requirements/peers.txt || {
        echo "tests: not built: ${modules[*]}; their tests are skipped" >&2
        [ "${CI:-}" != true ]
    }
}
[ ${#missing[@]} -gt 0 ] || { build_modules; exit; }

give_up() {
    echo "tests: not installed: ${missing[*]} ($1); their tests are skipped" >&2
    [ "${CI:-}" != true ] || exit 1
    exit 0
}

command -v apt-get >/dev/null || give_up "no apt-get here"
root=()
if [ "$(id -u)" -ne 0 ]; then
    sudo -n true 2>/dev/null || give_up "run as root: apt-get install ${missing[*]}"
    root=(sudo -n)
fi

echo "tests: installing ${missing[*]}"
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap '"${root[@]}" rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' | "${root[@]}" tee "$policy" >/dev/null
    "${root[@]}" chmod 755 "$policy"
fi
if command -v debconf-set-selections >/dev/null; then
    "${root[@]}" debconf-set-selections <<'ANSWERS'
postfix postfix/main_mailer_type select No configuration
slapd slapd/no_configuration boolean true
ANSWERS
fi
log=$(mktemp)
install() {
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${missing[@]}" >"$log" 2>&1
}
install || { "${root[@]}" apt-get update -qq >"$log" 2>&1 && install; } || {
    cat "$log" >&2
    give_up "apt-get failed"
}
rm -f "$log"
build_modules
