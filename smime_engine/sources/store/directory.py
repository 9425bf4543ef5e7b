"""The users of a tenant in the store: who has which addresses, and which certificates the directory gives for them.

Does: look many addresses up in two queries; take changes from an administrator or from another directory, all of them
in one transaction, with the state from which the next synchronisation goes on. Does not: parse or judge the
certificates, talk to directories, or delete private keys because an entry vanishes from its directory: it stays as long
as the store holds a key for it, since old mail must remain readable.

An entry of another directory takes over the local user with the same primary address, keys included.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace

from sqlalchemy import Connection, bindparam, delete, exists, func, insert, select, update

from smime_engine.addresses import comparable_address
from smime_engine.errors import ConfigurationError
from smime_engine.sources.store.directory_queries import find_users, owner_of, read_users
from smime_engine.sources.store.directory_rows import (
    BATCH,
    Prepared,
    batches,
    insert_details,
    insert_users,
    prepared,
    update_users,
)
from smime_engine.sources.store.schema import directory_states, directory_values, private_keys, users
from smime_engine.sources.store.scope import Scope
from smime_engine.sources.store.values import LOCAL, Changes, User

__all__ = ["Directory", "Progress"]

Progress = Callable[[int], None]
"""Told, now and then, how many entries are done since the last time."""


class Directory:
    """The users of one tenant."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    # --- looking up

    def find(self, wanted: Iterable[str]) -> Mapping[str, tuple[User, ...]]:
        """Look addresses up, primary or not -> the entries of each, by the address as it was asked for.

        Several entries may claim one address; those for which it is the primary one come first. An address that nobody
        has is left out, and so is text that is no address.
        """
        asked: dict[str, list[str]] = {}
        for address in dict.fromkeys(wanted):
            comparable = comparable_address(address)
            if comparable is not None:
                asked.setdefault(comparable, []).append(address)
        found: dict[str, tuple[User, ...]] = {}
        with self._scope.reading() as connection:
            for batch in batches(asked):
                for comparable, entries in find_users(connection, self._scope.tenant_id, batch).items():
                    found.update(dict.fromkeys(asked[comparable], tuple(entries)))
        return found

    def find_identified(self, identifiers: Iterable[str]) -> Mapping[str, User]:
        """Look up what other directories call their entries -> the entries, of whichever source, that there are."""
        own = users.c.tenant_id == self._scope.tenant_id
        found: dict[str, User] = {}
        with self._scope.reading() as connection:
            for batch in batches(dict.fromkeys(identifiers)):
                query = select(users.c.external_id, users.c.id).where(
                    own, users.c.source != LOCAL, users.c.external_id.in_(batch)
                )
                rows = connection.execute(query).all()
                entries = read_users(connection, [user_id for _, user_id in rows])
                found.update((identifier, entries[user_id]) for identifier, user_id in rows if user_id in entries)
        return found

    def user(self, address: str) -> User | None:
        """The user who has an address; of several, the first one of `find`."""
        return next(iter(self.find([address]).get(address, ())), None)

    def users(self, *, source: str | None = None) -> Iterator[User]:
        """All users by their identifiers, or those of one source; read in batches, each in a state of its own."""
        last = 0
        wanted = [users.c.tenant_id == self._scope.tenant_id, users.c.id > bindparam("last")]
        if source is not None:
            wanted.append(users.c.source == source)
        next_ids = select(users.c.id).where(*wanted).order_by(users.c.id).limit(BATCH)
        while True:
            with self._scope.reading() as connection:
                ids = connection.execute(next_ids, {"last": last}).scalars().all()
                found = read_users(connection, ids)
            if not ids:
                return
            yield from (found[each] for each in ids if each in found)
            last = ids[-1]

    def count(self) -> int:
        """How many users there are."""
        with self._scope.reading() as connection:
            counted = select(func.count()).select_from(users).where(users.c.tenant_id == self._scope.tenant_id)
            return connection.execute(counted).scalar_one()

    # --- administrators

    def add(self, user: User) -> None:
        """Add a local user. Raises ConfigurationError where one of the addresses is taken or none."""
        with self._scope.writing() as connection:
            wanted = [comparable_address(address) for address in user.addresses]
            for address, comparable in zip(user.addresses, wanted, strict=True):
                if comparable is None:
                    raise ConfigurationError(f"{address!r} is no mail address")
                if owner_of(connection, self._scope.tenant_id, comparable) is not None:
                    raise ConfigurationError(f"the address {address} is taken")
            changes = self._put(connection, LOCAL, [replace(user, source=LOCAL, external_id="")], None)
            for _, reason in changes.refused:
                raise ConfigurationError(f"{user.primary_address}: {reason}")
            self._scope.record(connection, "user.added", user.primary_address)

    def remove(self, address: str) -> None:
        """Remove a user with everything that belongs to it, private keys too."""
        with self._scope.writing() as connection:
            owner = self._required(connection, address)
            connection.execute(delete(users).where(users.c.id == owner))
            self._scope.record(connection, "user.removed", address)

    def assign_mobile_policy(self, address: str, policy: str | None) -> None:
        """Name the policy for the user's mobile devices; None: the tenant's default."""
        with self._scope.writing() as connection:
            owner = self._required(connection, address)
            connection.execute(update(users).where(users.c.id == owner).values(mobile_policy=policy))
            self._scope.record(connection, "user.mobile_policy", address, policy=policy)

    def _required(self, connection: Connection, address: str) -> int:
        comparable = comparable_address(address)
        owner = None if comparable is None else owner_of(connection, self._scope.tenant_id, comparable)
        if owner is None:
            raise ConfigurationError(f"there is no user {address!r}")
        return owner

    # --- other directories

    def apply(
        self,
        source: str,
        put: Iterable[User] = (),
        *,
        remove: Iterable[str] = (),
        state: str | None = None,
        progress: Progress | None = None,
    ) -> Changes:
        """Take over what a directory says, in one transaction: entries, removals (by external identifier), its state.

        An entry whose revision is the one that is stored (and not empty) stays as it is. Entries that cannot be stored
        are named in the result and do not hold up the others. Of several with one external identifier the last counts.
        """
        if source == LOCAL:
            raise ConfigurationError(f"a directory cannot be called {LOCAL!r}")
        with self._scope.writing() as connection:
            changes = self._put(connection, source, put, progress)
            removed, kept = self._remove(connection, source, remove)
            if state is not None:
                key = {"tenant_id": self._scope.tenant_id, "source": source}
                connection.execute(delete(directory_states).filter_by(**key))
                connection.execute(insert(directory_states).values(**key, state=state))
            changes = replace(changes, removed=removed, refused=(*changes.refused, *kept))
            self._scope.record(
                connection,
                "directory.changed",
                source,
                added=changes.added,
                changed=changes.changed,
                removed=changes.removed,
                refused=len(changes.refused),
            )
        return changes

    def state(self, source: str) -> str | None:
        """What `apply` was last told to remember for a directory."""
        wanted = {"tenant_id": self._scope.tenant_id, "source": source}
        with self._scope.reading() as connection:
            found: str | None = connection.execute(select(directory_states.c.state).filter_by(**wanted)).scalar()
            return found

    def revisions(self, source: str) -> Mapping[str, str]:
        """External identifier -> revision of every entry of a directory: what a full synchronisation compares."""
        query = select(users.c.external_id, users.c.revision).filter_by(tenant_id=self._scope.tenant_id, source=source)
        with self._scope.reading() as connection:
            return {row.external_id: row.revision for row in connection.execute(query)}

    # --- writing

    def _put(self, connection: Connection, source: str, put: Iterable[User], progress: Progress | None) -> Changes:
        total = Changes()
        for batch in batches(put):
            entries: dict[str, Prepared] = {}
            refused: list[tuple[str, str]] = []
            for user in batch:
                entry = prepared(user, source)
                if isinstance(entry, str):
                    refused.append((user.external_id or user.primary_address, entry))
                else:
                    entries[entry.external_id] = entry
            unchanged = self._match(connection, source, entries)
            new = [entry for entry in entries.values() if entry.user_id is None]
            known = [entry for entry in entries.values() if entry.user_id is not None and not entry.same]
            insert_users(connection, self._scope.tenant_id, source, new)
            update_users(connection, source, known)
            insert_details(connection, self._scope.tenant_id, [*new, *known])
            total = Changes(
                added=total.added + len(new),
                changed=total.changed + len(known),
                unchanged=total.unchanged + unchanged,
                refused=(*total.refused, *refused),
            )
            if progress is not None:
                progress(len(batch))
        return total

    def _match(self, connection: Connection, source: str, entries: dict[str, Prepared]) -> int:
        """Find the rows that entries already have -> how many need no change."""
        here = users.c.tenant_id == self._scope.tenant_id
        columns = (users.c.id, users.c.external_id, users.c.revision)
        query = select(*columns).where(here, users.c.source == source, users.c.external_id.in_(list(entries)))
        unchanged = 0
        for user_id, external_id, revision in connection.execute(query):
            entry = entries[external_id]
            entry.user_id = user_id
            entry.same = bool(revision) and revision == entry.user.revision
            unchanged += entry.same
        if source != LOCAL:
            adoptable = {entry.primary: entry for entry in entries.values() if entry.user_id is None}
            query = select(*columns).where(here, users.c.source == LOCAL, users.c.external_id.in_(list(adoptable)))
            for user_id, primary, _ in connection.execute(query):
                adoptable[primary].user_id = user_id
        return unchanged

    def _remove(
        self, connection: Connection, source: str, remove: Iterable[str]
    ) -> tuple[int, tuple[tuple[str, str], ...]]:
        removed = 0
        kept: list[tuple[str, str]] = []
        for batch in batches(remove):
            theirs = (
                users.c.tenant_id == self._scope.tenant_id,
                users.c.source == source,
                users.c.external_id.in_(batch),
            )
            with_keys = exists().where(private_keys.c.user_id == users.c.id)
            held = connection.execute(select(users.c.id, users.c.external_id).where(*theirs, with_keys)).all()
            kept += ((external_id, "kept, as the store holds private keys for it") for _, external_id in held)
            connection.execute(
                delete(directory_values).where(directory_values.c.user_id.in_([user_id for user_id, _ in held]))
            )
            removed += connection.execute(delete(users).where(*theirs, ~with_keys)).rowcount
        return removed, tuple(kept)
