"""Private keys in the store: sealed, opened, retired, chosen; rotation of the master key; being killed meanwhile."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from datetime import timedelta
from functools import cache
from itertools import count

import pytest
from sqlalchemy import select, text, update

from smime_engine import MessageEncryptor, open_message, recipient_for
from smime_engine.certificate import Certificate
from smime_engine.errors import ConfigurationError, InvalidKey, NoMatchingKey
from smime_engine.keys import Identity, InMemoryKey, load_identities
from smime_engine.policy.smime_config import SmimeConfig
from smime_engine.sources.master_key import MasterKeys, PlainMasterKey
from smime_engine.sources.store import KeyOpener, Tenant, User
from smime_engine.sources.store.schema import private_keys
from tests import pki
from tests.surroundings import REPOSITORY

ALICE, BOB = "alice@example.org", "bob@example.org"
CA = pki.authority("Key Root").subordinate("Key CA")
OLD, NEW = MasterKeys([PlainMasterKey(bytes(32))]), MasterKeys([PlainMasterKey(b"\1" * 32)])
BOTH = MasterKeys([*NEW._keys.values(), *OLD._keys.values()])
_names = count()


@cache
def identity(kind: str = "p256", usage: str = "both", address: str = ALICE, start: int = 0) -> Identity:
    credential = CA.issue(
        f"{address} {next(_names)}",
        address,
        kind=kind,
        usage=usage,
        not_before=pki.NOT_BEFORE + timedelta(days=start),
    )
    (found,) = load_identities(credential.pem(b"secret"), b"secret")
    return found


@pytest.fixture
def tenant(store):
    tenant = store.add_tenant(Tenant(name="example", domains=("example.org",)))
    for address in (ALICE, BOB):
        tenant.directory.add(User(primary_address=address))
    return tenant


@pytest.mark.parametrize(
    "kind", ["rsa2048", "p256", "p521", "brainpool256", "ed25519", "x25519", "mldsa65", "mlkem768"]
)
def test_every_kind_of_key_comes_back(tenant, kind):
    own = identity(kind, "encrypt" if kind in {"x25519", "mlkem768"} else "both")
    (stored,) = tenant.keys.add(ALICE, [own], OLD)
    assert own.key.private_key_info() not in stored.sealed
    (found,) = tenant.keys.identities(ALICE.upper(), KeyOpener(master=OLD))
    assert found.certificate == own.certificate
    assert found.chain == own.chain
    assert found.key.public_key_info == own.key.public_key_info
    assert found.key.private_key_info() == own.key.private_key_info()
    assert tenant.keys.add(ALICE, [own], OLD) == ()
    assert "sealed=" not in repr(stored)


def test_the_database_holds_no_plain_key(store, tenant):
    own = identity("p256")
    tenant.keys.add(ALICE, [own], OLD)
    secret = own.key._native.private_numbers().private_value.to_bytes(32, "big")
    with store._database.reading() as connection:
        for table in private_keys.metadata.sorted_tables:
            for row in connection.execute(select(table)):
                assert all(secret not in value for value in row if isinstance(value, bytes))


def test_a_seal_moved_to_somebody_else_does_not_open(store, tenant):
    tenant.keys.add(ALICE, [identity()], OLD)
    tenant.keys.add(BOB, [identity(address=BOB)], OLD)
    (alice,), (bob,) = tenant.keys.stored(ALICE), tenant.keys.stored(BOB)
    opener = KeyOpener(master=OLD)
    with store._database.writing() as connection:
        connection.execute(update(private_keys).filter_by(user_id=bob.user_id).values(sealed=alice.sealed))
    with pytest.raises(InvalidKey):
        tenant.keys.identities(BOB, opener)
    with store._database.writing() as connection:
        connection.execute(update(private_keys).filter_by(user_id=bob.user_id).values(sealed=bob.sealed))
        connection.execute(update(private_keys).filter_by(user_id=alice.user_id).values(user_id=bob.user_id))
    with pytest.raises(InvalidKey):
        tenant.keys.identities(BOB, opener)


def test_old_mail_still_opens(tenant):
    old, new = identity(start=1, usage="encrypt"), identity(start=2, usage="encrypt")
    tenant.keys.add(ALICE, [old], OLD)
    tenant.keys.retire(ALICE, old.certificate.fingerprint_sha256)
    tenant.keys.add(ALICE, [new], OLD)
    ring = tenant.keys.key_ring(ALICE, KeyOpener(master=OLD))
    assert [each.certificate for each in ring] == [new.certificate, old.certificate]
    message = b"From: bob@example.org\r\nSubject: x\r\nContent-Type: text/plain\r\n\r\nhello\r\n"
    for each in (old, new):
        sealed = MessageEncryptor([recipient_for(each.certificate)]).encrypt(message)
        assert b"hello" in open_message(sealed, keys=ring, now=pki.MOMENT).content
    tenant.keys.remove(ALICE, old.certificate.fingerprint_sha256)
    sealed = MessageEncryptor([recipient_for(old.certificate)]).encrypt(message)
    with pytest.raises(NoMatchingKey):
        open_message(sealed, keys=tenant.keys.key_ring(ALICE, KeyOpener(master=OLD)), now=pki.MOMENT)


def test_correspondents_are_given_the_certificates_in_use(tenant):
    old, new = identity(start=1), identity(start=2)
    tenant.keys.add(ALICE, [old, new], OLD)
    tenant.keys.retire(ALICE, old.certificate.fingerprint_sha256)
    user = tenant.directory.user(ALICE)
    assert [(each.attribute, each.value) for each in user.values] == [("userCertificate", new.certificate.der)]
    assert tenant.settings.user_certificates() == (new.certificate,)
    tenant.keys.restore(ALICE, old.certificate.fingerprint_sha256)
    assert len(tenant.directory.user(ALICE).values) == 2


def test_separate_keys_and_the_choice_for_signing(tenant):
    first, second = identity(usage="sign", start=1), identity(usage="sign", start=2)
    tenant.keys.add(ALICE, [first, second, identity(usage="encrypt", start=3)], OLD)
    opener, automatic = KeyOpener(master=OLD), SmimeConfig()
    by_user = SmimeConfig(owa_allow_user_choice_of_signing_certificate=True)

    def signs(config: SmimeConfig) -> Certificate:
        return tenant.keys.signing_identity(ALICE, config, opener, now=pki.MOMENT).certificate

    assert signs(automatic) == second.certificate
    tenant.keys.choose(ALICE, first.certificate.fingerprint_sha256)
    assert (signs(automatic), signs(by_user)) == (second.certificate, first.certificate)
    tenant.keys.choose(ALICE, None)
    assert signs(by_user) == second.certificate
    tenant.keys.retire(ALICE, second.certificate.fingerprint_sha256)
    assert signs(automatic) == first.certificate
    assert tenant.keys.signing_identity(BOB, automatic, opener, now=pki.MOMENT) is None
    with pytest.raises(ConfigurationError, match="in use"):
        tenant.keys.choose(ALICE, second.certificate.fingerprint_sha256)


def test_a_directory_cannot_destroy_keys(tenant):
    tenant.directory.apply("ad", [User(primary_address=ALICE, external_id="a", source="ad")])
    tenant.keys.add(ALICE, [identity()], OLD)
    changes = tenant.directory.apply("ad", remove=["a"])
    assert (changes.removed, len(changes.refused)) == (0, 1)
    assert len(tenant.keys.key_ring(ALICE, KeyOpener(master=OLD))) == 1


def test_what_is_missing_is_said(tenant):
    with pytest.raises(ConfigurationError, match="add-user"):
        tenant.keys.add("nobody@example.org", [identity()], OLD)
    assert tenant.keys.stored("nobody@example.org") == ()
    tenant.keys.add(ALICE, [identity()], OLD)
    with pytest.raises(ConfigurationError, match="give the master key"):
        tenant.keys.identities(ALICE, KeyOpener())
    with pytest.raises(InvalidKey, match="not among those given"):
        tenant.keys.identities(ALICE, KeyOpener(master=NEW))
    with pytest.raises(ConfigurationError, match="seals under"):
        tenant.keys.add(BOB, [identity(address=BOB)], NEW)
    for act in (tenant.keys.remove, tenant.keys.retire, tenant.keys.restore):
        with pytest.raises(ConfigurationError, match="no key"):
            act(ALICE, b"\0" * 32)


def test_keys_of_tokens_are_named_and_not_sealed(tenant):
    own = identity()
    tenant.keys.add_token_key(ALICE, "pkcs11:token=a;object=b", own.certificate, own.chain)
    with pytest.raises(ConfigurationError, match="already"):
        tenant.keys.add_token_key(ALICE, "pkcs11:token=a;object=b", own.certificate)
    with pytest.raises(ConfigurationError, match="PKCS #11 module"):
        tenant.keys.identities(ALICE, KeyOpener(master=OLD))
    asked = []

    def token_key(uri: str, certificate: Certificate) -> InMemoryKey:
        asked.append((uri, certificate))
        return own.key

    (found,) = tenant.keys.identities(ALICE, KeyOpener(token_key=token_key))
    assert (found.certificate, found.chain) == (own.certificate, own.chain)
    assert asked == [("pkcs11:token=a;object=b", own.certificate)]


def test_with_smart_cards_alone_keys_in_files_neither_sign_nor_decrypt(tenant):
    own, card = identity(), identity(start=1)
    tenant.keys.add(ALICE, [own], OLD)
    tenant.keys.add_token_key(ALICE, "pkcs11:token=a;object=b", card.certificate, card.chain)
    config = SmimeConfig(owa_only_use_smart_card=True)
    opener = KeyOpener(master=OLD, token_key=lambda *_: card.key)
    assert len(tenant.keys.identities(ALICE, opener)) == 2
    (found,) = tenant.keys.key_ring(ALICE, opener, config=config)
    assert found.certificate == card.certificate
    choice = tenant.keys.signing_choice(ALICE, config, now=pki.MOMENT)
    assert choice.certificate == card.certificate
    assert own.certificate not in {certificate for certificate, _ in choice.refused}


# --- rotation


def test_rotation_seals_everything_anew(store, tenant):
    assert store.master_key() is None
    keys = [identity(start=each) for each in range(3)]
    tenant.keys.add(ALICE, keys, OLD)
    other = store.add_tenant(Tenant(name="other"))
    other.directory.add(User(primary_address=ALICE))
    other.keys.add(ALICE, [keys[0]], OLD)
    assert store.master_key() == OLD.current.identifier
    seen: list[int] = []
    assert store.rotate_master_key(OLD, NEW, progress=seen.append) == 4
    assert (sum(seen), store.sealed_keys()) == (4, 4)
    assert store.master_key() == NEW.current.identifier
    for each, expected in ((tenant, 3), (other, 1)):
        assert len(each.keys.identities(ALICE, KeyOpener(master=NEW))) == expected
        with pytest.raises(InvalidKey):
            each.keys.identities(ALICE, KeyOpener(master=OLD))
    assert store.rotate_master_key(OLD, NEW) == 0, "done is done"
    with pytest.raises(ConfigurationError, match="seals under"):
        tenant.keys.add(BOB, [identity(address=BOB)], OLD)
    assert store.rotate_master_key(NEW, OLD) == 4, "and back"
    tenant.keys.add(BOB, [identity(address=BOB)], OLD)


def test_a_node_with_both_keys_goes_on_through_a_rotation(store, tenant):
    tenant.keys.add(ALICE, [identity()], OLD)
    opener = KeyOpener(master=BOTH)
    assert tenant.keys.identities(ALICE, opener)
    store.rotate_master_key(OLD, NEW)
    assert tenant.keys.identities(ALICE, opener)


def test_a_rotation_that_cannot_open_everything_changes_nothing(store, tenant):
    tenant.keys.add(ALICE, [identity(), identity(start=1)], OLD)
    before = tenant.keys.stored(ALICE)
    with store._database.writing() as connection:
        damaged = before[1].sealed[:-1] + bytes((before[1].sealed[-1] ^ 1,))
        connection.execute(update(private_keys).filter_by(fingerprint=before[1].fingerprint).values(sealed=damaged))
    with pytest.raises(InvalidKey):
        store.rotate_master_key(OLD, NEW)
    assert store.master_key() == OLD.current.identifier
    assert tenant.keys.stored(ALICE)[0].sealed == before[0].sealed


def test_nobody_imports_under_the_former_key_during_a_rotation(url, store, tenant, opened):
    import threading

    tenant.keys.add(ALICE, [identity()], OLD)
    other = opened(url).tenant("example")
    failures: list[Exception] = []

    def importing():
        time.sleep(0.05)
        try:
            other.keys.add(BOB, [identity(address=BOB)], OLD)
        except Exception as error:
            failures.append(error)

    thread = threading.Thread(target=importing)
    thread.start()
    store.rotate_master_key(OLD, NEW, progress=lambda _: time.sleep(0.5))
    thread.join()
    assert len(failures) == 1
    assert store.sealed_keys() == 1
    assert tenant.keys.identities(ALICE, KeyOpener(master=NEW))


# --- being killed


_VICTIM = """
import sys, time
from smime_engine.sources.master_key import MasterKeys, PlainMasterKey
from smime_engine.sources.store import DirectoryValue, User, open_store
url, act = sys.argv[1:]
store = open_store(url)
tenant = store.tenant("example")
def entries():
    for number in range(3_000):
        value = DirectoryValue(attribute="userCertificate", value=bytes(200))
        yield User(primary_address=f"u{number}@example.org", external_id=str(number), values=(value,))
        if number == 2_500:
            print("half", flush=True)
            time.sleep(60)
def half(_):
    print("half", flush=True)
    time.sleep(60)
if act == "import":
    tenant.directory.apply("ad", entries(), state="new")
else:
    one, other = (MasterKeys([PlainMasterKey(octet * 32)]) for octet in (b"\\0", b"\\1"))
    store.rotate_master_key(one, other, progress=half)
"""


@pytest.mark.parametrize("act", ["import", "rotate"])
def test_a_killed_process_leaves_the_old_state(url, tenant, opened, act):
    tenant.directory.apply("ad", [User(primary_address="u1@example.org", external_id="1")], state="old")
    tenant.keys.add(ALICE, [identity(start=each) for each in range(3)], OLD)
    command = [sys.executable, "-c", _VICTIM, url, act]
    victim = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE)
    try:
        assert victim.stdout.readline() == b"half\n"
    finally:
        victim.send_signal(signal.SIGKILL)
        victim.communicate()
    store = opened(url)
    found = store.tenant("example")
    _wait_until_free(store, found)
    assert found.directory.state("ad") == "old"
    assert found.directory.count() == 3
    assert found.directory.user("u1@example.org").values == ()
    assert store.master_key() == OLD.current.identifier
    assert len(found.keys.identities(ALICE, KeyOpener(master=OLD))) == 3
    found.directory.apply("ad", [User(primary_address="u2@example.org", external_id="2")], state="new")
    assert store.rotate_master_key(OLD, NEW) == 3, "and both can be done again"


def _wait_until_free(store, tenant) -> None:
    """PostgreSQL notices the end of a client that is killed when it next writes to it: end what it left by hand."""
    if store._database.is_sqlite:
        return
    with store._database.reading() as connection:
        others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        connection.execute(text(f"SELECT pg_terminate_backend(pid) {others} AND state LIKE 'idle in transaction%'"))
        for _ in range(100):
            if not connection.execute(text(f"SELECT 1 {others} AND state <> 'idle'")).all():
                return
            time.sleep(0.05)


def test_a_store_opened_before_a_fork_is_opened_again(url, tenant):
    """What the documentation says: a child opens its own."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            from smime_engine.sources.store import open_store

            with open_store(url) as own:
                code = 0 if own.tenant("example").directory.count() == 2 else 2
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert tenant.directory.count() == 2
