"""The private keys of a tenant's users: sealed in the store, or in a token that the store only names.

Does: seal keys on their way in and open them on their way out; keep former keys, so that old mail still opens; choose
the key to sign with. Does not: hold a key in clear, parse PKCS #12 (`keys.load_identities`), or talk to tokens
(`pkcs11`).

A seal is bound to tenant, user and certificate: moved to another row of the table it does not open.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from smime_engine.addresses import comparable_address
from smime_engine.asn1 import ber
from smime_engine.certificate import Certificate
from smime_engine.errors import ConfigurationError, InvalidKey
from smime_engine.keys import Identity, InMemoryKey, KeyRing, PrivateKey
from smime_engine.policy.signing_choice import SigningChoice, choose_signing_certificate
from smime_engine.policy.smime_config import SmimeConfig
from smime_engine.sources.master_key import MasterKeys
from smime_engine.sources.store.directory_queries import owner_of
from smime_engine.sources.store.rotation import require_current, seal_context
from smime_engine.sources.store.schema import private_keys, users
from smime_engine.sources.store.scope import Scope
from smime_engine.sources.store.values import StoredKey

__all__ = ["KeyOpener", "Keys"]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyOpener:
    """What it takes to use stored keys: the master keys, and a way to the keys of tokens."""

    master: MasterKeys | None = None
    token_key: Callable[[str, Certificate], PrivateKey] | None = None
    """From a PKCS #11 URI without module and PIN, and the certificate, to the key (`pkcs11.Token.key`)."""


class Keys:
    """The keys of one tenant's users."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    # --- in

    def add(self, address: str, identities: Iterable[Identity], master: MasterKeys) -> tuple[StoredKey, ...]:
        """Seal keys for a user, all in one transaction -> those that were not there yet.

        Each key comes with its own certificate: separate ones for signing and encryption are two identities. Raises
        ConfigurationError where there is no such user or the store is sealed under another master key, InvalidKey where
        a key cannot leave where it is.
        """
        with self._scope.writing() as connection:
            user_id = self._user(connection, address)
            require_current(connection, self._scope, master)
            present = {key.fingerprint for key in self._read(connection, user_id)}
            added = []
            for identity in identities:
                if identity.certificate.fingerprint_sha256 in present:
                    continue
                present.add(identity.certificate.fingerprint_sha256)
                if not isinstance(identity.key, InMemoryKey):
                    raise InvalidKey("only a key in memory can be sealed; add the key of a token by its URI")
                fingerprint = identity.certificate.fingerprint_sha256
                context = seal_context(self._scope.tenant, user_id, fingerprint)
                sealed = master.seal(identity.key.private_key_info(), context)
                added.append(
                    self._insert(connection, user_id, identity.certificate, identity.chain, sealed=sealed, by=master)
                )
            for key in added:
                self._scope.record(connection, "key.imported", address, certificate=key.fingerprint.hex())
        return tuple(added)

    def add_token_key(
        self, address: str, uri: str, certificate: Certificate, chain: Sequence[Certificate] = ()
    ) -> StoredKey:
        """Note that a token holds a user's key. `uri` is a PKCS #11 URI that names neither module nor PIN."""
        with self._scope.writing() as connection:
            user_id = self._user(connection, address)
            if any(key.fingerprint == certificate.fingerprint_sha256 for key in self._read(connection, user_id)):
                raise ConfigurationError(f"{address} has a key for this certificate already")
            key = self._insert(connection, user_id, certificate, chain, token=uri)
            self._scope.record(connection, "key.token_added", address, certificate=key.fingerprint.hex(), token=uri)
        return key

    def retire(self, address: str, fingerprint: bytes) -> None:
        """Keep a key for old mail only. Raises ConfigurationError where there is none."""
        self._change(address, fingerprint, "key.retired", retired=self._scope.clock(), chosen=False)

    def restore(self, address: str, fingerprint: bytes) -> None:
        """Take a retired key into use again."""
        self._change(address, fingerprint, "key.restored", retired=None)

    def remove(self, address: str, fingerprint: bytes) -> None:
        """Destroy a key. Mail that was encrypted to it can never be read again."""
        with self._scope.writing() as connection:
            row = {"user_id": self._user(connection, address), "fingerprint": fingerprint}
            if connection.execute(delete(private_keys).filter_by(**row)).rowcount == 0:
                raise ConfigurationError(f"{address} has no key {fingerprint.hex()}")
            self._scope.record(connection, "key.removed", address, certificate=fingerprint.hex())

    def choose(self, address: str, fingerprint: bytes | None) -> None:
        """Remember the user's choice for signing; None: none, the newest one signs.

        Whether the choice counts is the tenant's decision (OWAAllowUserChoiceOfSigningCertificate).
        """
        with self._scope.writing() as connection:
            user_id = self._user(connection, address)
            theirs = {key.fingerprint for key in self._read(connection, user_id) if key.retired is None}
            if fingerprint is not None and fingerprint not in theirs:
                raise ConfigurationError(f"{address} has no key {fingerprint.hex()} in use")
            connection.execute(
                update(private_keys).filter_by(user_id=user_id).values(chosen=private_keys.c.fingerprint == fingerprint)
                if fingerprint is not None
                else update(private_keys).filter_by(user_id=user_id).values(chosen=False)
            )
            self._scope.record(
                connection, "key.chosen", address, certificate=None if fingerprint is None else fingerprint.hex()
            )

    # --- out

    def stored(self, address: str) -> tuple[StoredKey, ...]:
        """A user's keys: those in use first, then retired ones; the latest imported first. Empty without a user."""
        comparable = comparable_address(address)
        if comparable is None:
            return ()
        with self._scope.reading() as connection:
            user_id = owner_of(connection, self._scope.tenant_id, comparable)
            return () if user_id is None else self._read(connection, user_id)

    def certificates(self) -> Iterator[Certificate]:
        """The certificates of all keys in use: what expires, and should be watched."""
        query = (
            select(private_keys.c.certificate)
            .join(users, users.c.id == private_keys.c.user_id)
            .where(users.c.tenant_id == self._scope.tenant_id, private_keys.c.retired.is_(None))
        )
        with self._scope.reading() as connection:
            found = connection.execute(query).scalars().all()
        return (Certificate.parse(der) for der in found)

    def identities(self, address: str, opener: KeyOpener, *, config: SmimeConfig | None = None) -> tuple[Identity, ...]:
        """A user's keys that the tenant's `config` allows, opened, in the order of `stored`.

        Raises InvalidKey where a seal does not open and SourceUnavailable where a token does not answer.
        """
        return tuple(self._open(key, opener) for key in allowed_keys(self.stored(address), config))

    def key_ring(self, address: str, opener: KeyOpener, *, config: SmimeConfig | None = None) -> KeyRing:
        """All keys that `config` allows with which a user's mail opens, former ones too."""
        return KeyRing(self.identities(address, opener, config=config))

    def signing_choice(self, address: str, config: SmimeConfig, *, now: datetime) -> SigningChoice:
        """Which certificate signs mail from an address (`policy.signing_choice`). Nothing is opened for that."""
        usable = [key for key in allowed_keys(self.stored(address), config) if key.retired is None]
        chosen = next((key.fingerprint for key in usable if key.chosen), None)
        certificates = [Certificate.parse(key.certificate) for key in usable]
        return choose_signing_certificate(certificates, address=address, now=now, config=config, chosen=chosen)

    def signing_identity(
        self, address: str, config: SmimeConfig, opener: KeyOpener, *, now: datetime
    ) -> Identity | None:
        """The key with which mail from an address is signed, opened; None where no certificate is fit."""
        certificate = self.signing_choice(address, config, now=now).certificate
        if certificate is None:
            return None
        stored = self.stored(address)
        return next((self._open(key, opener) for key in stored if key.certificate == certificate.der), None)

    # --- rows

    def _user(self, connection: Connection, address: str) -> int:
        comparable = comparable_address(address)
        found = None if comparable is None else owner_of(connection, self._scope.tenant_id, comparable)
        if found is None:
            raise ConfigurationError(f"there is no user {address!r}: `smime tenant add-user` adds one")
        return found

    def _insert(
        self,
        connection: Connection,
        user_id: int,
        certificate: Certificate,
        chain: Sequence[Certificate],
        *,
        sealed: bytes | None = None,
        by: MasterKeys | None = None,
        token: str | None = None,
    ) -> StoredKey:
        key = StoredKey(
            user_id=user_id,
            fingerprint=certificate.fingerprint_sha256,
            certificate=certificate.der,
            chain=tuple(issuer.der for issuer in chain),
            sealed=sealed,
            token=token,
            imported=self._scope.clock(),
        )
        values = {
            "user_id": user_id,
            "fingerprint": key.fingerprint,
            "certificate": key.certificate,
            "chain": b"".join(key.chain),
            "master_key": None if by is None else by.current.identifier,
            "sealed": sealed,
            "token": token,
            "imported": key.imported,
        }
        connection.execute(insert(private_keys).values(**values))
        return key

    def _read(self, connection: Connection, user_id: int) -> tuple[StoredKey, ...]:
        query = select(private_keys).filter_by(user_id=user_id)
        rows = sorted(connection.execute(query).mappings(), key=lambda row: (row["imported"], row["fingerprint"]))
        found = [
            StoredKey(
                user_id=user_id,
                fingerprint=row["fingerprint"],
                certificate=row["certificate"],
                chain=split_chain(row["chain"]),
                sealed=row["sealed"],
                token=row["token"],
                imported=row["imported"],
                retired=row["retired"],
                chosen=row["chosen"],
            )
            for row in reversed(rows)
        ]
        return tuple(sorted(found, key=lambda key: key.retired is not None))

    def _change(self, address: str, fingerprint: bytes, action: str, **values: Any) -> None:
        with self._scope.writing() as connection:
            row = {"user_id": self._user(connection, address), "fingerprint": fingerprint}
            if connection.execute(update(private_keys).filter_by(**row).values(**values)).rowcount == 0:
                raise ConfigurationError(f"{address} has no key {fingerprint.hex()}")
            self._scope.record(connection, action, address, certificate=fingerprint.hex())

    def _open(self, key: StoredKey, opener: KeyOpener) -> Identity:
        certificate = Certificate.parse(key.certificate)
        chain = tuple(Certificate.parse(der) for der in key.chain)
        if key.token is not None:
            if opener.token_key is None:
                raise ConfigurationError(f"a token holds the key of {certificate.subject!r}: name its PKCS #11 module")
            return Identity(key=opener.token_key(key.token, certificate), certificate=certificate, chain=chain)
        if opener.master is None:
            raise ConfigurationError("the store's keys are sealed: give the master key")
        assert key.sealed is not None
        context = seal_context(self._scope.tenant, key.user_id, key.fingerprint)
        opened = InMemoryKey.load(opener.master.open(key.sealed, context))
        return Identity(key=opened, certificate=certificate, chain=chain)


def allowed_keys(keys: Iterable[StoredKey], config: SmimeConfig | None) -> tuple[StoredKey, ...]:
    """The keys that may be used: with OWAOnlyUseSmartCard those in tokens alone."""
    only_tokens = config is not None and config.owa_only_use_smart_card
    return tuple(key for key in keys if key.token is not None or not only_tokens)


def split_chain(octets: bytes) -> tuple[bytes, ...]:
    """The certificates of a column that holds them one behind the other."""
    return tuple(octets[start:end] for _, start, _, end in ber.children(octets, 0, len(octets)))
