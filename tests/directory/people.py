"""What the tests of directories have in common: an authority, people's certificates, entries and values."""

from __future__ import annotations

from datetime import timedelta
from functools import cache
from typing import Any

from smime_engine.certificate import Certificate
from smime_engine.directory.choosing import ChoicePolicy
from smime_engine.directory.entries import Answer, DirectoryEntry, ListedCertificate, Origin
from smime_engine.directory.publishing import published_value
from smime_engine.keys import Identity, InMemoryKey
from smime_engine.trust.collection import TrustCollection
from smime_engine.trust.path import Evidence, PathOptions, RevocationMode
from tests import pki

NOW = pki.MOMENT
ROOT = pki.authority("Directory Root")
CA = ROOT.subordinate("Directory CA")
STRANGER = pki.authority("Unknown Root")
COLLECTION = TrustCollection([Certificate.parse(ROOT.certificate_der)], [Certificate.parse(CA.certificate_der)])


def certificate(name: str, *addresses: str, issuer: pki.Authority = CA, **options: Any) -> Certificate:
    """A certificate for encrypting; the options are those of `pki.Authority.issue`."""
    options.setdefault("usage", "encrypt")
    return Certificate.parse(issuer.issue(name, *addresses, **options).certificate_der)


@cache
def identity(name: str = "Alice", address: str = "alice@example.org", usage: str = "both") -> Identity:
    """Somebody with key and chain."""
    holder = CA.issue(name, address, usage=usage)
    return Identity(
        key=InMemoryKey(holder.key),
        certificate=Certificate.parse(holder.certificate_der),
        chain=(Certificate.parse(CA.certificate_der),),
    )


def value(**options: Any) -> bytes:
    """A userSMIMECertificate value of Alice's."""
    return published_value(identity(), now=NOW, **options)


def entry(*certificates: Certificate | ListedCertificate, **fields: Any) -> DirectoryEntry:
    """An entry of alice@example.org; bare certificates are those of userCertificate."""
    fields.setdefault("source", "ldap")
    fields.setdefault("identifier", "cn=Alice")
    fields.setdefault("primary", "alice@example.org")
    listed = tuple(
        found
        if isinstance(found, ListedCertificate)
        else ListedCertificate(certificate=found, origin=Origin.USER_CERTIFICATE)
        for found in certificates
    )
    return DirectoryEntry(certificates=listed, **fields)


def answer(*entries: DirectoryEntry, address: str = "alice@example.org", **fields: Any) -> Answer:
    """What is known about an address."""
    return Answer(address=address, entries=entries, **fields)


def policy(**fields: Any) -> ChoicePolicy:
    """Trust in ROOT, without revocation unless `crls` are given."""
    crls = fields.pop("crls", None)
    fields.setdefault("collection", COLLECTION)
    if crls is not None:
        fields["evidence"] = Evidence.read(crls=crls)
        fields["options"] = PathOptions(revocation=RevocationMode.HARD_FAIL)
    return ChoicePolicy(**fields)


DAY = timedelta(days=1)
