#!/usr/bin/env bash
# Install the Debian packages of tests/peers.txt that are missing. Does nothing where all are there.
#
# No server is left behind: a policy-rc.d keeps packages from starting services while this runs, and Postfix and slapd get
# "no configuration". Without root (or sudo without a password) it says what to install and leaves it at that: the
# tests that need a missing peer are then skipped, or fail where CI=true.
set -euo pipefail

list="$(dirname "${BASH_SOURCE[0]}")/peers.txt"
missing=()
while read -r package commands _; do
    for command in ${commands//,/ }; do
        if ! PATH="$PATH:/usr/sbin:/sbin" command -v "$command" >/dev/null; then
            missing+=("$package")
            break
        fi
    done
done < <(grep -v '^#' "$list")
[ ${#missing[@]} -gt 0 ] || exit 0

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
