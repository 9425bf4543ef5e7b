"""Copies for To, Cc and Bcc: nobody is forgotten, nobody hidden is found, and the sender can read everything."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smime_engine.cms.capabilities import cipher_capability
from smime_engine.crypto.encryption_algorithms import CONTENT_CIPHERS
from smime_engine.errors import InvalidKey
from smime_engine.policy.capabilities import Addressee
from smime_engine.policy.forking import Copy, Correspondent, forked, plan_copies
from smime_engine.policy.smime_config import BccForking
from tests.cms import addressees

EACH, TOGETHER, NONE = BccForking.EACH, BccForking.TOGETHER, BccForking.NONE
NAMES = ("anna", "bert", "cleo", "dirk", "emma")


def addressee(name: str, **options) -> Addressee:
    return Addressee(certificate=addressees.identity("x25519", name).certificate, **options)


def person(name: str) -> Correspondent:
    return Correspondent(address=f"{name}@example.org", addressees=(addressee(name),))


def people(*names: str) -> list[Correspondent]:
    return [person(name) for name in names]


OWN = (addressee("sender"),)


def shape(copies: tuple[Copy, ...]) -> list[tuple[list[str], bool, list[str]]]:
    """Recipients, hidden, exposed of each copy, by the names alone."""
    return [
        ([address.partition("@")[0] for address in copy.recipients], copy.hidden,
         [address.partition("@")[0] for address in copy.exposed])
        for copy in copies
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("visible", "bcc", "forking", "expected"),
    [
        ("anna bert", "", EACH, [(["anna", "bert"], False, [])]),
        ("anna", "cleo dirk", EACH, [(["anna"], False, []), (["cleo"], True, []), (["dirk"], True, [])]),
        ("anna", "cleo dirk", TOGETHER, [(["anna"], False, []), (["cleo", "dirk"], True, ["cleo", "dirk"])]),
        ("anna", "cleo", TOGETHER, [(["anna"], False, []), (["cleo"], True, [])]),
        ("anna", "cleo dirk", NONE, [(["anna", "cleo", "dirk"], False, ["cleo", "dirk"])]),
        ("", "cleo dirk", EACH, [(["cleo"], True, []), (["dirk"], True, [])]),
        ("", "cleo dirk", NONE, [(["cleo", "dirk"], True, ["cleo", "dirk"])]),
        ("", "cleo", NONE, [(["cleo"], True, [])]),
        ("anna", "anna cleo", EACH, [(["anna"], False, []), (["cleo"], True, [])]),  # To and Bcc: no secret
        ("anna anna", "cleo cleo", EACH, [(["anna"], False, []), (["cleo"], True, [])]),
    ],
)
def test_copies(visible, bcc, forking, expected):
    copies = plan_copies(visible=people(*visible.split()), bcc=people(*bcc.split()), own=OWN, forking=forking)
    assert shape(copies) == expected


some_people = st.lists(st.sampled_from(NAMES), max_size=6)


@given(some_people, some_people, st.sampled_from(BccForking), st.booleans())
def test_the_promises(visible, bcc, forking, with_own):
    own = OWN if with_own else ()
    if not visible and not bcc:
        with pytest.raises(ValueError, match="recipient"):
            plan_copies(visible=[], bcc=[], own=own, forking=forking)
        return
    copies = plan_copies(visible=people(*visible), bcc=people(*bcc), own=own, forking=forking)
    delivered = [address for copy in copies for address in copy.recipients]
    assert sorted(delivered) == sorted({f"{name}@example.org" for name in (*visible, *bcc)})
    hidden = set(bcc) - set(visible)
    for copy in copies:
        readers = {address.partition("@")[0] for address in copy.recipients}
        named = {addressee(name).certificate for name in readers} | {entry.certificate for entry in own}
        assert set(copy.certificates) == named
        assert len(copy.certificates) == len(named)
        assert copy.hidden == (readers <= hidden)
        found = {address.partition("@")[0] for address in copy.exposed}
        assert found == (readers & hidden if len(readers) > 1 else set())
        if forking is not NONE:
            assert copy.hidden or not readers & hidden
        if forking is EACH:
            assert not copy.exposed


def test_addresses_compare_as_mailboxes_do():
    shouting = Correspondent(address="Anna@EXAMPLE.org", addressees=(addressee("anna"),))
    (copy,) = plan_copies(visible=people("anna"), bcc=[shouting], own=())
    assert copy.recipients == ("anna@example.org",)


def test_two_certificates_of_one_address_both_count():
    second = Correspondent(address="anna@example.org", addressees=(addressee("bert"),))
    (copy,) = plan_copies(visible=[person("anna"), second], own=())
    assert copy.recipients == ("anna@example.org",)
    assert copy.certificates == (addressee("anna").certificate, addressee("bert").certificate)


def test_the_senders_certificate_stands_once_and_what_is_known_of_it_counts():
    announced = addressee("anna", capabilities=(cipher_capability(CONTENT_CIPHERS["aes256-gcm"]),))
    anna = Correspondent(address="anna@example.org", addressees=(announced,))
    (copy,) = plan_copies(visible=[anna], own=(addressee("anna"),))
    assert copy.addressees == (announced,)


def test_nobody_without_a_certificate_can_be_planned_for():
    with pytest.raises(InvalidKey, match=r"zoe@example\.org"):
        Correspondent(address="zoe@example.org", addressees=())


def test_leaving_out_the_sender_is_a_decision():
    with pytest.raises(TypeError):
        plan_copies(visible=people("anna"))  # type: ignore[call-arg]


def test_groups_of_anything():
    assert forked((), (), EACH) == ()
    assert forked("ab", "cd", EACH) == (("a", "b"), ("c",), ("d",))
    assert forked("ab", "cd", TOGETHER) == (("a", "b"), ("c", "d"))
    assert forked("ab", "cd", NONE) == (("a", "b", "c", "d"),)
