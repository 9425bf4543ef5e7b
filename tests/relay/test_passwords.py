"""Password hashes."""

from __future__ import annotations

import pytest

from smime_smtp_relay.passwords import NOBODY, PasswordCheck, hash_password, is_password_hash


def test_round_trip():
    stored = hash_password("sesame")
    check = PasswordCheck()
    assert is_password_hash(stored)
    assert not check.remembers(b"sesame", stored)
    assert check.check(b"sesame", stored)
    assert check.remembers(b"sesame", stored)
    assert not check.check(b"Sesame", stored)
    assert not check.remembers(b"Sesame", stored)
    assert not check.check(b"sesame", hash_password("other"))
    assert hash_password("sesame") != stored


def test_nobody_has_no_password():
    assert is_password_hash(NOBODY)
    assert not PasswordCheck().check(b"", NOBODY)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "plain",
        "scrypt$1$2$3$4",
        "scrypt$32768$8$3$!!$" + "A" * 44,
        "scrypt$32767$8$3$AAAA$" + "A" * 43 + "=",
        "scrypt$2097152$8$3$AAAA$" + "A" * 43 + "=",
        "scrypt$32768$8$3$AAAA$QQ==",
        "scrypt$32768$8$3$$" + "A" * 43 + "=",
        "scrypt$-1$8$3$AAAA$" + "A" * 43 + "=",
    ],
)
def test_what_is_no_hash(text):
    assert not is_password_hash(text)
    assert not PasswordCheck().check(b"plain", text)
