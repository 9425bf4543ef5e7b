"""Master keys: where they come from, what they seal, how their files are written."""

from __future__ import annotations

import os
import stat

import pytest

from smime_engine.errors import ConfigurationError, InvalidKey
from smime_engine.sources.master_key import (
    MasterKeys,
    PlainMasterKey,
    keys_in_file,
    new_key_text,
    read_keys,
    write_key_file,
)


def test_a_seal_opens_with_its_key_and_context_alone():
    first, second = PlainMasterKey(bytes(32)), PlainMasterKey(b"\1" * 32)
    sealed = MasterKeys([first]).seal(b"secret", b"alice")
    assert b"secret" not in sealed
    assert MasterKeys([second, first]).open(sealed, b"alice") == b"secret"
    assert sealed != MasterKeys([first]).seal(b"secret", b"alice")
    with pytest.raises(InvalidKey, match="not among those given"):
        MasterKeys([second]).open(sealed, b"alice")
    with pytest.raises(InvalidKey, match="somebody else"):
        MasterKeys([first]).open(sealed, b"bob")


def test_damage_is_always_noticed():
    keys = MasterKeys([PlainMasterKey(bytes(32))])
    sealed = keys.seal(b"secret", b"")
    for position in range(len(sealed)):
        damaged = bytearray(sealed)
        damaged[position] ^= 1
        with pytest.raises(InvalidKey):
            keys.open(bytes(damaged), b"")
        with pytest.raises(InvalidKey):
            keys.open(sealed[:position], b"")
    with pytest.raises(InvalidKey):
        keys.open(sealed + b"\0", b"")


def test_nothing_shows_the_key():
    text = new_key_text()
    (key,) = read_keys("env:KEY", {"KEY": text})
    shown = repr(key) + str(key) + repr(MasterKeys([key])) + key.identifier
    assert text not in shown
    with pytest.raises(ConfigurationError) as raised:
        read_keys("env:KEY", {"KEY": text[:-4]})
    assert text[:-4] not in str(raised.value)


def test_files_are_written_once_and_read_back(tmp_path):
    path = tmp_path / "master.key"
    first, second = new_key_text(), new_key_text()
    write_key_file(path, [first])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(ConfigurationError, match="never overwritten"):
        write_key_file(path, [second])
    assert [key.text for key in read_keys(f"file:{path}", {})] == [first]
    write_key_file(path, [second, first], replaces=True)
    assert [key.text for key in keys_in_file(path)] == [second, first]
    assert MasterKeys(keys_in_file(path)).identifiers[0] == MasterKeys(read_keys("env:K", {"K": second})).identifiers[0]
    assert [file.name for file in tmp_path.iterdir()] == ["master.key"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o620])
def test_a_file_that_others_may_touch_is_refused(tmp_path, mode):
    path = tmp_path / "master.key"
    write_key_file(path, [new_key_text()])
    path.chmod(mode)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        keys_in_file(path)
    path.chmod(0o400)
    assert keys_in_file(path)


def test_what_is_no_key_is_refused(tmp_path):
    path = tmp_path / "master.key"
    for text in ("", "# nothing\n", "c2hvcnQ=\n", "é\n", "A" * 44):
        path.write_text(text)
        path.chmod(0o600)
        with pytest.raises(ConfigurationError):
            keys_in_file(path)
    with pytest.raises(OSError, match=r"missing"):
        keys_in_file(tmp_path / "missing")
    os.mkfifo(tmp_path / "pipe", 0o600)
    handle = os.open(tmp_path / "pipe", os.O_RDWR)
    with pytest.raises(ConfigurationError, match="ordinary file"):
        keys_in_file(tmp_path / "pipe")
    os.close(handle)
    for specification in ("env:MISSING", "vault:x", "nothing"):
        with pytest.raises(ConfigurationError):
            read_keys(specification, {})
    with pytest.raises(ConfigurationError):
        PlainMasterKey(b"short")
    with pytest.raises(ConfigurationError):
        MasterKeys([])
