"""What a tenant has set: its S/MIME settings, whom it trusts, its policies for mobile devices.

Does: the same as a tenant's folder does with files (`tenant_folder.TenantFolder`), each change in one transaction and
with an audit event. Does not: judge; whoever imports a collection has it checked (`trust.collection_files`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, delete, insert, select, update

from smime_engine.addresses import comparable_address
from smime_engine.certificate import Certificate
from smime_engine.errors import ConfigurationError, MalformedMessage
from smime_engine.policy.smime_config import SmimeConfig, smime_config_from_json, smime_config_to_json
from smime_engine.sources.store.directory_queries import owner_of
from smime_engine.sources.store.keys import Keys
from smime_engine.sources.store.schema import (
    collections,
    distrusted,
    mobile_policies,
    smime_configs,
    users,
)
from smime_engine.sources.store.schema import pins as pin_rows
from smime_engine.sources.store.scope import Scope
from smime_engine.sources.store.values import MobilePolicy
from smime_engine.trust.collection import Pin, TrustCollection
from smime_engine.trust.collection_files import collection_of
from smime_engine.trust.crl import RevocationList
from smime_engine.trust.evidence import Evidence
from smime_engine.trust.sst import SerializedStore, parse_sst

__all__ = ["StoredSettings"]


class StoredSettings:
    """The settings of one tenant of a store. What was never set has its default."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._own = {"tenant_id": scope.tenant_id}

    # --- settings

    def smime_config(self) -> SmimeConfig:
        """The settings, with the collection as SMIMECertificateIssuingCA."""
        with self._scope.reading() as connection:
            text = connection.execute(select(smime_configs.c.settings).filter_by(**self._own)).scalar()
            sst = connection.execute(select(collections.c.sst).filter_by(**self._own)).scalar()
        config = SmimeConfig() if text is None else smime_config_from_json(text)[0]
        return replace(config, smime_certificate_issuing_ca=sst or None)

    def save_smime_config(self, config: SmimeConfig) -> None:
        """Keep the settings; the collection is kept by `save_collection`."""
        text = smime_config_to_json(replace(config, smime_certificate_issuing_ca=None))
        with self._scope.writing() as connection:
            self._replace(connection, smime_configs, [{"settings": text}])
            self._scope.record(connection, "smime_config.changed")

    # --- trust

    def save_collection(self, sst: bytes) -> None:
        """Put another collection in the place of the one that is there."""
        with self._scope.writing() as connection:
            self._replace(connection, collections, [{"sst": sst}])
            self._scope.record(connection, "collection.changed", certificates=len(parse_sst(sst).certificates))

    def certificates(self) -> tuple[Certificate, ...]:
        """The certificates of the collection, in their order. Raises ConfigurationError."""
        try:
            return tuple(Certificate.parse(der) for der in self._collection().certificates)
        except MalformedMessage as error:
            raise ConfigurationError(f"the collection of {self._scope.tenant}: {error}") from error

    def collection_crls(self) -> tuple[bytes, ...]:
        """DER of the revocation lists that the collection holds."""
        return self._collection().crls

    def trust_collection(self, *, fallback: Iterable[Certificate] = ()) -> TrustCollection:
        """What the tenant trusts; `fallback` are roots of the machine's store, behind the tenant's own."""
        return collection_of(self.certificates(), distrusted=self.distrusted(), pins=self.pins(), fallback=fallback)

    def distrusted(self) -> tuple[bytes, ...]:
        """Fingerprints on the distrust list."""
        query = select(distrusted.c.fingerprint).filter_by(**self._own).order_by(distrusted.c.position)
        with self._scope.reading() as connection:
            return tuple(connection.execute(query).scalars())

    def save_distrusted(self, fingerprints: Iterable[bytes]) -> None:
        """Keep the distrust list."""
        rows = [{"fingerprint": found, "position": at} for at, found in enumerate(dict.fromkeys(fingerprints))]
        with self._scope.writing() as connection:
            self._replace(connection, distrusted, rows)
            self._scope.record(connection, "distrust.changed", entries=len(rows))

    def pins(self) -> tuple[Pin, ...]:
        """The pin list."""
        query = select(pin_rows.c.name, pin_rows.c.fingerprint).filter_by(**self._own).order_by(pin_rows.c.position)
        found: dict[str, set[bytes]] = {}
        with self._scope.reading() as connection:
            for name, fingerprint in connection.execute(query):
                found.setdefault(name, set()).add(fingerprint)
        return tuple(Pin(name=name, fingerprints=frozenset(each)) for name, each in found.items())

    def save_pins(self, pins: Iterable[Pin]) -> None:
        """Keep the pin list."""
        rows = [
            {"name": pin.name, "fingerprint": each, "position": at}
            for at, pin in enumerate(pins)
            for each in sorted(pin.fingerprints)
        ]
        with self._scope.writing() as connection:
            self._replace(connection, pin_rows, rows)
            self._scope.record(connection, "pins.changed", entries=len(rows))

    def _collection(self) -> SerializedStore:
        with self._scope.reading() as connection:
            sst = connection.execute(select(collections.c.sst).filter_by(**self._own)).scalar()
        try:
            return parse_sst(sst or b"")
        except MalformedMessage as error:
            raise ConfigurationError(f"the collection of {self._scope.tenant}: {error}") from error

    # --- what is watched

    def user_certificates(self) -> tuple[Certificate, ...]:
        """The certificates of the keys that the store holds."""
        return tuple(dict.fromkeys(Keys(self._scope).certificates()))

    def crls(self) -> tuple[RevocationList, ...]:
        """The revocation lists of the collection."""
        return tuple(dict.fromkeys(Evidence.read(crls=self.collection_crls()).crls))

    # --- mobile devices

    def mobile_policies(self) -> tuple[MobilePolicy, ...]:
        """All policies for mobile devices, by name."""
        query = select(mobile_policies).filter_by(**self._own).order_by(mobile_policies.c.name)
        with self._scope.reading() as connection:
            return tuple(map(_policy, connection.execute(query).mappings()))

    def mobile_policy_of(self, address: str) -> MobilePolicy | None:
        """The policy that applies to a user's devices: the user's own, else the tenant's default; None without one."""
        own = mobile_policies.c.tenant_id == self._scope.tenant_id
        with self._scope.reading() as connection:
            comparable = comparable_address(address)
            user = None if comparable is None else owner_of(connection, self._scope.tenant_id, comparable)
            name = connection.execute(select(users.c.mobile_policy).where(users.c.id == user)).scalar()
            wanted: tuple[ColumnElement[bool], ...] = (mobile_policies.c.name == name, mobile_policies.c.is_default)
            for condition in wanted:
                row = connection.execute(select(mobile_policies).where(own, condition)).mappings().first()
                if row is not None:
                    return _policy(row)
        return None

    def save_mobile_policy(self, policy: MobilePolicy) -> None:
        """Keep a policy under its name; a default takes that place from another one."""
        key = {**self._own, "name": policy.name}
        with self._scope.writing() as connection:
            if policy.default:
                connection.execute(update(mobile_policies).filter_by(**self._own).values(is_default=False))
            connection.execute(delete(mobile_policies).filter_by(**key))
            values = {"settings": dict(policy.settings), "is_default": policy.default}
            connection.execute(insert(mobile_policies).values(**key, **values))
            self._scope.record(connection, "mobile_policy.changed", policy.name)

    def remove_mobile_policy(self, name: str) -> None:
        """Remove a policy; whoever had it gets the tenant's default."""
        with self._scope.writing() as connection:
            connection.execute(delete(mobile_policies).filter_by(**self._own, name=name))
            self._scope.record(connection, "mobile_policy.removed", name)

    def _replace(self, connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
        connection.execute(delete(table).filter_by(**self._own))
        if rows:
            connection.execute(insert(table), [{**self._own, **row} for row in rows])


def _policy(row: Any) -> MobilePolicy:
    return MobilePolicy(name=row["name"], settings=row["settings"], default=row["is_default"])
