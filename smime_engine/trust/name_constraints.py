"""Name constraints: whether the names of a certificate are where its issuers allow them.

Does: all name forms that RFC 5280 gives a meaning (rfc822Name, dNSName, URI, directoryName, iPAddress), and
SmtpUTF8Mailbox, which is the same name space as rfc822Name (RFC 9598 section 6). emailAddress attributes of the subject
are held to rfc822Name constraints even beside a subjectAltName, because mail clients read both. A constraint of another
form (x400Address, ediPartyName, registeredID, unknown otherName) is refused where a name of that form occurs, as
section 4.2.1.10 demands of those who cannot process it. Does not: look at the common name as if it were a host.

Names times constraints, whatever their forms, count against `limits.name_constraint_comparisons`: thousands of names
times thousands of constraints is an attack.

Standards: RFC 5280 sections 4.2.1.10, 6.1.3 (b, c), 6.1.4 (g), 7.1 to 7.5; RFC 5937 (constraints of an anchor);
RFC 9549 and 9598 (internationalised names).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from ipaddress import ip_address
from typing import Any, NamedTuple

from smime_engine.addresses import comparable_address, comparable_domain
from smime_engine.certificate import Certificate
from smime_engine.errors import MalformedMessage
from smime_engine.general_names import GeneralName, NameForm
from smime_engine.limits import Limits
from smime_engine.names import ComparableName, comparable_name, readable_name
from smime_engine.problems import Problem
from smime_engine.trust.path_report import PathProblem

__all__ = ["Comparisons", "check_name_constraints"]

_EMPTY_NAME = b"\x30\x00"

_Form = tuple[NameForm, str]
"""What a constraint applies to: the form of name, for unknown otherNames with their type."""


class Comparisons:
    """How many comparisons of a name with a constraint may still be made."""

    __slots__ = ("left",)

    def __init__(self, limits: Limits) -> None:
        self.left = limits.name_constraint_comparisons

    def spend(self, number: int) -> bool:
        """Take that many; False when there are not enough."""
        self.left -= number
        return self.left >= 0


def check_name_constraints(
    certificates: Sequence[Certificate], anchor: Certificate, comparisons: Comparisons
) -> Iterator[PathProblem]:
    """Check a path: `certificates` from the one that the anchor issued down to the leaf. One problem per certificate.

    Self-issued certificates inside the path are exempt, so that a CA may change its key (section 6.1.3 b).
    """
    constraints = _Constraints(comparisons)
    constraints.add(anchor)
    for index, certificate in enumerate(certificates):
        last = index == len(certificates) - 1
        if constraints and (last or not certificate.is_self_issued):
            objection = constraints.objection_to(certificate)
            if objection is not None:
                yield PathProblem(certificate=certificate, problem=objection[0], detail=objection[1])
        constraints.add(certificate)


class _Base(NamedTuple):
    """One subtree: two functions of a name in comparable form, None where the base can not be processed."""

    permits: Callable[[Any], bool] | None
    excludes: Callable[[Any], bool] | None


class _Constraints:
    """What all certificates so far permit and exclude."""

    def __init__(self, comparisons: Comparisons) -> None:
        self.comparisons = comparisons
        self.number = 0
        self.permitted: list[dict[_Form, list[_Base]]] = []
        """One entry per certificate: a name must be within each of them that has its form."""
        self.excluded: dict[_Form, list[_Base]] = {}

    def __bool__(self) -> bool:
        return bool(self.permitted or self.excluded)

    def add(self, certificate: Certificate) -> None:
        """Take the constraints of a certificate, for the certificates below it."""
        constraints = certificate.name_constraints
        if constraints is None:
            return
        self.number += len(constraints.permitted) + len(constraints.excluded)
        if constraints.permitted:
            self.permitted.append({})
            _sort_into(self.permitted[-1], constraints.permitted)
        _sort_into(self.excluded, constraints.excluded)

    def objection_to(self, certificate: Certificate) -> tuple[Problem, str] | None:
        """The first name that is not allowed, and why."""
        for name in _names_of(certificate):
            if not self.comparisons.spend(self.number):
                return Problem.UNSUPPORTED_NAME_CONSTRAINT, "too many names and constraints to compare"
            form = _form(name)
            excluded = self.excluded.get(form, [])
            permitted = [bases for entry in self.permitted if (bases := entry.get(form))]
            if not excluded and not permitted:
                continue
            problem = _objection(name, excluded, permitted)
            if problem is not None:
                return problem, f"{name.form.value} {_readable(name)}"
        return None


def _form(name: GeneralName) -> _Form:
    return name.form, name.type_id if name.form is NameForm.OTHER else ""


def _sort_into(found: dict[_Form, list[_Base]], names: Iterable[GeneralName]) -> None:
    """Sort bases by the form of name that they apply to: those of rfc822Name apply to SmtpUTF8Mailbox as well."""
    for name in names:
        base = _base(name)
        found.setdefault(_form(name), []).append(base)
        if name.form is NameForm.EMAIL:
            found.setdefault((NameForm.MAILBOX, ""), []).append(base)


def _objection(name: GeneralName, excluded: list[_Base], permitted: list[list[_Base]]) -> Problem | None:
    """Why one name is not allowed, or None."""
    if any(base.excludes is None or base.permits is None for bases in (excluded, *permitted) for base in bases):
        return Problem.UNSUPPORTED_NAME_CONSTRAINT
    comparable = _COMPARABLE[name.form](name.value)
    if comparable is None:
        # Nobody can say where a malformed name is: it is in no permitted subtree, and maybe in an excluded one.
        return Problem.NAME_NOT_PERMITTED if permitted else Problem.NAME_EXCLUDED
    if any(base.excludes(comparable) for base in excluded if base.excludes is not None):
        return Problem.NAME_EXCLUDED
    for bases in permitted:
        if not any(base.permits(comparable) for base in bases if base.permits is not None):
            return Problem.NAME_NOT_PERMITTED
    return None


def _names_of(certificate: Certificate) -> Iterator[GeneralName]:
    if certificate.subject_der != _EMPTY_NAME:
        yield GeneralName(NameForm.DIRECTORY, certificate.subject_der)
    yield from certificate.subject_alternative_names
    for address in certificate.subject_email_addresses:
        yield GeneralName(NameForm.EMAIL, address)


def _readable(name: GeneralName) -> str:
    try:
        if name.form is NameForm.DIRECTORY and isinstance(name.value, bytes):
            return readable_name(name.value)
        if name.form is NameForm.IP and isinstance(name.value, bytes):
            return str(ip_address(name.value))
    except (MalformedMessage, ValueError):
        pass
    return repr(name.value) if isinstance(name.value, str) else name.value.hex()


# --- forms


def _base(name: GeneralName) -> _Base:
    maker = _BASES.get(name.form)
    return maker(name.value) if maker is not None else _UNSUPPORTED


_UNSUPPORTED = _Base(None, None)


def _simple(matches: Callable[[Any], bool]) -> _Base:
    return _Base(matches, matches)


def _email_base(value: Any) -> _Base:
    """A mailbox, the mailboxes of one host, or (with a leading period) those of all hosts below a domain."""
    if not value:
        return _simple(lambda _: True)
    if "@" in value:
        mailbox = comparable_address(value)
        return _simple(lambda address: address == mailbox) if mailbox else _UNSUPPORTED
    domain = comparable_domain(value.removeprefix("."))
    if domain is None or domain.startswith("."):
        return _UNSUPPORTED
    ending = f".{domain}" if value.startswith(".") else f"@{domain}"
    return _simple(lambda address: address.endswith(ending))


_HOST = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*", re.ASCII)


def _comparable_host(value: Any) -> str | None:
    """A host name in lower case; `*.` may stand before it, as in server certificates."""
    domain = comparable_domain(value)
    return domain if domain and _HOST.fullmatch(domain.removeprefix("*.")) else None


def _dns_base(value: Any) -> _Base:
    """A host and everything below it."""
    if not value:
        return _simple(lambda _: True)
    base = _comparable_host(value)
    if base is None or base.startswith("*"):
        return _UNSUPPORTED
    below = "." + base

    def permits(host: str) -> bool:
        host = host.removeprefix("*.")
        return host == base or host.endswith(below)

    def excludes(host: str) -> bool:
        # A wildcard stands for the excluded host as well as for others.
        return permits(host) or (host.startswith("*.") and base.endswith(host[1:]))

    return _Base(permits, excludes)


def _uri_base(value: Any) -> _Base:
    """One host, or (with a leading period) all hosts below a domain."""
    if not value:
        return _simple(lambda _: True)
    base = _comparable_host(value.removeprefix("."))
    if base is None or base.startswith("*"):
        return _UNSUPPORTED
    if value.startswith("."):
        return _simple(lambda host: host.endswith("." + base))
    return _simple(lambda host: host == base)


def _host_of_uri(value: Any) -> str | None:
    """The host, or None where there is none or it is an address (which no constraint of this form can be about)."""
    _, authority, rest = value.partition("://")
    if not authority:
        return None
    host = re.split(r"[/?#]", rest, maxsplit=1)[0].rpartition("@")[2].partition(":")[0]
    comparable = _comparable_host(host)
    return None if comparable is None or comparable.rpartition(".")[2].isdigit() else comparable


def _directory_base(value: Any) -> _Base:
    """A name that others begin with."""
    base = _comparable_directory(value)
    if base is None:
        return _UNSUPPORTED
    return _simple(lambda name: name[: len(base)] == base)


def _comparable_directory(value: Any) -> ComparableName | None:
    try:
        return comparable_name(value)
    except MalformedMessage:
        return None


def _ip_base(value: Any) -> _Base:
    """Address and mask. A mask with holes is no prefix (RFC 4632) and refused."""
    size = len(value) // 2
    mask = int.from_bytes(value[size:], "big")
    holes = ~mask & ((1 << 8 * size) - 1)
    if len(value) not in {8, 32} or holes & (holes + 1):
        return _UNSUPPORTED
    base = int.from_bytes(value[:size], "big") & mask
    return _simple(lambda address: len(address) == size and int.from_bytes(address, "big") & mask == base)


def _address(value: Any) -> bytes | None:
    return value if len(value) in {4, 16} else None


_BASES: dict[NameForm, Callable[[Any], _Base]] = {
    NameForm.EMAIL: _email_base,
    NameForm.MAILBOX: _email_base,
    NameForm.DNS: _dns_base,
    NameForm.URI: _uri_base,
    NameForm.DIRECTORY: _directory_base,
    NameForm.IP: _ip_base,
}

_COMPARABLE: dict[NameForm, Callable[[Any], Any]] = {
    NameForm.EMAIL: comparable_address,
    NameForm.MAILBOX: comparable_address,
    NameForm.DNS: _comparable_host,
    NameForm.URI: _host_of_uri,
    NameForm.DIRECTORY: _comparable_directory,
    NameForm.IP: _address,
}
