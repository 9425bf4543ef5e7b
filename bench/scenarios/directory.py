"""Recipients: from addresses to certificates that are fit, from a warm cache and from OpenLDAP's server.

Goals for 1,000 recipients: 50 ms from the cache, 1.5 s from the server. `judged_ms` is the same from the cache when
nothing is known about the certificates, so that every signature is verified. Left out where slapd or python-ldap are
missing.
"""

from __future__ import annotations

import asyncio
import atexit
import tempfile
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from bench.contest import Contest, scenario
from bench.material import BENCH_TIME, size
from smime_engine.certificate import Certificate
from smime_engine.directory.choosing import ChoicePolicy
from smime_engine.sources.directories import Directories, Resolution
from smime_engine.sources.directory_cache import CachedSource
from smime_engine.sources.ldap import LdapAccess, LdapDirectory
from smime_engine.trust.collection import TrustCollection
from tests import pki, surroundings
from tests.sources.slapd import BASE, Slapd, ldif_user

_USERS = 10_000
_RECIPIENTS = 1_000


def _where_ldap_is(prepare: Callable[[], Contest]) -> Callable[[], Contest]:
    return scenario(prepare) if surroundings.missing("ldap") is None else prepare


@cache
def _loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    atexit.register(loop.close)
    return loop


@cache
def _authority() -> pki.Authority:
    return pki.authority("Bench Directory Root").subordinate("Bench Directory CA")


def _policy() -> ChoicePolicy:
    root, ca = (Certificate.parse(der) for der in (_authority().root_der, _authority().certificate_der))
    return ChoicePolicy(collection=TrustCollection([root], [ca]))


def _addresses() -> list[str]:
    return [f"user{number}@example.org" for number in range(size(_RECIPIENTS, quick=20))]


@cache
def _server() -> Slapd:
    """A running server with users, a certificate each."""
    folder = tempfile.TemporaryDirectory(prefix="bench-slapd-")
    key = pki.new_key("p256", "bench directory")
    people = []
    for number in range(size(_USERS, quick=50)):
        holder = _authority().issue(f"user{number}", f"user{number}@example.org", key=key)
        people.append(ldif_user(f"user{number}", certificate=[holder.certificate_der]))
    server = Slapd(Path(folder.name), "".join(people))
    _loop().run_until_complete(server.start())

    def stop() -> None:
        _loop().run_until_complete(server.stop())
        folder.cleanup()

    atexit.register(stop)
    return server


def _ldap() -> LdapDirectory:
    return LdapDirectory("ldap", LdapAccess(servers=(_server().url,), connections=2), base=BASE, batch=100)


def _resolving(directories: Directories, policy: ChoicePolicy) -> Callable[[], Resolution]:
    addresses = _addresses()

    def resolve() -> Resolution:
        found: Resolution = _loop().run_until_complete(directories.resolve(addresses, policy, now=BENCH_TIME))
        assert not found.missing
        return found

    return resolve


def _bare_search(addresses: list[str]) -> Callable[[], Any]:
    """What nothing can be faster than: one connection, the same filters, entries not looked at."""
    import ldap

    from smime_engine.directory.attributes import AttributeNames
    from smime_engine.sources.ldap_queries import address_filter, requested_attributes

    names = AttributeNames()
    connection = ldap.initialize(_server().url)
    connection.simple_bind_s()
    filters = [address_filter(addresses[start : start + 100], names) for start in range(0, len(addresses), 100)]
    return lambda: [
        connection.search_s(BASE, ldap.SCOPE_SUBTREE, query, requested_attributes(names)) for query in filters
    ]


@_where_ldap_is
def recipients_1000_warm() -> Contest:
    """1,000 recipients, everything in the cache; the floor is a dictionary look-up each."""
    directories, policy = Directories([CachedSource(_ldap())]), _policy()
    resolve = _resolving(directories, policy)
    known = {choice.address: choice for choice in resolve().choices}
    addresses = _addresses()
    return Contest(
        ours=resolve,
        floor=lambda: [known[address] for address in addresses],
        figures=lambda: {"judged_ms": _milliseconds(_resolving(directories, _policy()))},
    )


@_where_ldap_is
def recipients_1000_from_slapd() -> Contest:
    """1,000 recipients from a server with 10,000, without cache; the floor is the search alone."""
    return Contest(ours=_resolving(Directories([_ldap()]), _policy()), floor=_bare_search(_addresses()))


def _milliseconds(act: Callable[[], object]) -> float:
    started = time.perf_counter()
    act()
    return (time.perf_counter() - started) * 1_000
