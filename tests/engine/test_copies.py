"""One sealed message for each copy: who opens which, and what none of them says."""

from __future__ import annotations

import pytest

from smime_engine import KeyRing, MessageSigner, NoMatchingKey, UnsupportedAlgorithm, Verdict, open_message
from smime_engine.cms.capabilities import cipher_capability
from smime_engine.crypto.encryption_algorithms import CONTENT_CIPHERS
from smime_engine.engine.copies import seal_copies, without_blind_fields
from smime_engine.engine.streaming import encrypt_message_stream
from smime_engine.policy.capabilities import Addressee
from smime_engine.policy.forking import Correspondent, plan_copies
from smime_engine.policy.smime_config import BccForking
from tests import pki
from tests.engine.people import CONTENT, MESSAGE, identity, ring, signer, trust

NOW = pki.MOMENT
BCC = b"Bcc: carol@example.org,\r\n dave@example.org\r\nresent-bcc: dave@example.org\r\n"
WITH_BCC = MESSAGE.replace(b"Subject:", BCC + b"Subject:")


def addressee(name, *ciphers):
    capabilities = tuple(cipher_capability(CONTENT_CIPHERS[cipher]) for cipher in ciphers) or None
    certificate = identity(name, kind="rsa2048", usage="encrypt").certificate
    return Addressee(certificate=certificate, capabilities=capabilities)


def person(name, *ciphers):
    return Correspondent(address=f"{name}@example.org", addressees=(addressee(name, *ciphers),))


def copies_for(forking=BccForking.EACH, bcc=("carol", "dave")):
    return plan_copies(
        visible=[person("bob")], bcc=[person(name) for name in bcc], own=[addressee("alice")], forking=forking
    )


def opens(message, name):
    try:
        return open_message(message, keys=ring(name), trust=trust(), now=NOW)
    except NoMatchingKey:
        return None


@pytest.mark.parametrize(
    ("forking", "readers"),
    [
        (BccForking.EACH, [{"bob"}, {"carol"}, {"dave"}]),
        (BccForking.TOGETHER, [{"bob"}, {"carol", "dave"}]),
        (BccForking.NONE, [{"bob", "carol", "dave"}]),
    ],
)
def test_who_opens_which(forking, readers):
    sealed = seal_copies(WITH_BCC, copies_for(forking), inner=(signer("alice"),), now=NOW)
    assert [{address.partition("@")[0] for address in copy.recipients} for copy in sealed] == readers
    for copy, expected in zip(sealed, readers, strict=True):
        able = set()
        for name in ("alice", "bob", "carol", "dave"):
            opened = opens(copy.message, name)
            if opened is not None:
                able.add(name)
                assert opened.require_valid().content == CONTENT
                assert len(opened.layers[0].recipients) == len(copy.copy.certificates)
        assert able == expected | {"alice"}


def test_no_copy_names_a_hidden_recipient():
    for steps in ((), (signer("alice"),), (signer("alice", clear=False),)):
        for copy in seal_copies(WITH_BCC, copies_for(), inner=steps, outer=steps, now=NOW):
            opened = opens(copy.message, "alice")
            assert opened is not None
            for octets in (copy.message, opened.content):
                assert b"bcc:" not in octets.lower()
                assert b"carol@" not in octets
                assert b"dave@" not in octets
            assert copy.message.startswith(b"From: Alice <alice@example.org>\r\nTo: bob@example.org\r\nSubject:")


def test_one_signature_for_all_copies():
    calls = []

    class CountingKey:
        def __init__(self, key):
            self._key = key
            self.public_key_info = key.public_key_info

        def sign(self, data, scheme):
            calls.append(scheme)
            return self._key.sign(data, scheme)

        def unwrap(self, wrapped):
            return self._key.unwrap(wrapped)

    alice = identity("alice")
    counting = MessageSigner(CountingKey(alice.key), alice.certificate, chain=alice.chain)
    sealed = seal_copies(MESSAGE, copies_for(), inner=(counting,), now=NOW)
    assert (len(sealed), len(calls)) == (3, 1)
    sealed = seal_copies(MESSAGE, copies_for(), inner=(counting,), outer=(counting,), now=NOW)
    assert (len(sealed), len(calls)) == (3, 1 + 1 + 3)  # a triple wrap signs what differs
    for copy in sealed:
        opened = opens(copy.message, "alice")
        assert opened is not None
        assert opened.verdict is Verdict.VALID
        assert len(opened.layers) == 3


def test_an_old_client_of_a_hidden_recipient_shows_in_no_other_copy():
    new, old = ("aes256-gcm", "aes128-cbc"), ("aes128-cbc",)
    for forking, ciphers in ((BccForking.EACH, ["aes256-gcm", "aes128-cbc"]), (BccForking.NONE, ["aes128-cbc"])):
        copies = plan_copies(
            visible=[person("bob", *new)], bcc=[person("carol", *old)], own=[addressee("alice", *new)], forking=forking
        )
        sealed = seal_copies(MESSAGE, copies, now=NOW)
        assert [opens(copy.message, "alice").layers[0].cipher for copy in sealed] == ciphers


def test_all_or_nothing():
    """A certificate whose key only signs is found out before anything is sealed."""
    signing_only = Addressee(certificate=identity("dave").certificate)
    dave = Correspondent(address="dave@example.org", addressees=(Addressee(certificate=_ed25519()), signing_only))
    copies = plan_copies(visible=[person("bob")], bcc=[dave], own=())
    with pytest.raises(UnsupportedAlgorithm):
        seal_copies(MESSAGE, copies, now=NOW)


def _ed25519():
    return identity("eve", kind="ed25519").certificate


@pytest.mark.parametrize("message", [WITH_BCC, MESSAGE])
def test_the_same_in_pieces(message):
    def source():
        return [message[start : start + 100] for start in range(0, len(message), 100)]

    visible, size = without_blind_fields(source, len(message))
    assert b"".join(map(bytes, visible())) == MESSAGE
    assert size == len(MESSAGE)
    from smime_engine.cms.addressing import recipient_for
    from smime_engine.cms.sealing import Encryptor

    encryptor = Encryptor([recipient_for(addressee("bob").certificate)])
    sealed = b"".join(encrypt_message_stream(visible, size, encryptor))
    opened = open_message(sealed, keys=KeyRing([identity("bob", kind="rsa2048", usage="encrypt")]), now=NOW)
    assert opened.content == CONTENT
    assert b"bcc:" not in sealed.lower()
