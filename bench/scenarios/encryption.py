"""Encrypting and decrypting as CMS (DER) and as S/MIME text: small, large, to many, and what failures tell.

Floor: the bare primitives. Peer: OpenSSL's CMS_encrypt and CMS_decrypt in this process.
"""

from __future__ import annotations

import random
import statistics
import time
import tracemalloc
from collections.abc import Callable
from functools import cache

from cryptography.hazmat.primitives.asymmetric import padding

from bench.contest import Contest, scenario
from bench.material import BENCH_TIME, entity, message
from bench.openssl_encryption import OpenSslEncryption
from bench.raw_encryption import raw_agreement, raw_decrypt, raw_encrypt, raw_gcm, raw_gcm_decrypt
from smime_engine import MessageEncryptor, open_message
from smime_engine.certificate import Certificate
from smime_engine.cms.addressing import recipient_for
from smime_engine.cms.enveloped import open_envelope, parse_envelope
from smime_engine.cms.opening import DecryptionKeys
from smime_engine.cms.recipients import KeyTransportRecipientInfo
from smime_engine.cms.sealing import Encryptor
from smime_engine.errors import DecryptionFailed
from smime_engine.keys import KeyRing, load_identities
from tests import pki

_SMALL, _LARGE = 4096, 25_000_000


@cache
def _authority() -> pki.Authority:
    return pki.authority("Bench Root for encryption")


@cache
def _holder(kind: str) -> pki.Credential:
    return _authority().issue("Bob", "bob@example.net", kind=kind, usage="encrypt")


@cache
def _certificates(count: int) -> tuple[bytes, ...]:
    """Certificates of different people who happen to have the same key: making keys takes long."""
    key = _holder("rsa2048").key
    people = (_authority().issue(f"Person {number}", key=key, usage="encrypt") for number in range(count))
    return tuple(person.certificate_der for person in people)


def _encryptor(*certificates: bytes, cipher: str = "aes256-cbc") -> Encryptor:
    return Encryptor([recipient_for(Certificate.parse(der)) for der in certificates], cipher=cipher)


def _keys(kind: str) -> DecryptionKeys:
    return DecryptionKeys(ring=KeyRing(load_identities(_holder(kind).pem())))


def _openssl(kind: str, *others: bytes) -> OpenSslEncryption:
    holder = _holder(kind)
    return OpenSslEncryption(key_pem=holder.key_pem(), certificate_der=holder.certificate_der, others_der=others)


@scenario
def encrypt_rsa2048_4k() -> Contest:
    """4 KB, AES-256-CBC, one recipient with RSA-2048."""
    holder, content = _holder("rsa2048"), entity(_SMALL)
    encryptor, openssl = _encryptor(holder.certificate_der), _openssl("rsa2048")
    return Contest(
        ours=lambda: encryptor.seal(content),
        floor=raw_encrypt(holder.key.public_key(), content),
        peers={"openssl CMS_encrypt": lambda: openssl.encrypt(content)},
    )


@scenario
def encrypt_p256_4k() -> Contest:
    """4 KB, AES-256-CBC, one recipient with P-256."""
    holder, content = _holder("p256"), entity(_SMALL)
    encryptor, openssl = _encryptor(holder.certificate_der), _openssl("p256")
    return Contest(
        ours=lambda: encryptor.seal(content),
        floor=raw_agreement(holder.key.public_key(), content),
        peers={"openssl CMS_encrypt": lambda: openssl.encrypt(content)},
    )


@scenario
def encrypt_100_recipients_4k() -> Contest:
    """4 KB, AES-256-CBC, 100 recipients with RSA-2048."""
    content, certificates = entity(_SMALL), _certificates(100)
    encryptor, openssl = _encryptor(*certificates), _openssl("rsa2048", *certificates[1:])
    return Contest(
        ours=lambda: encryptor.seal(content),
        floor=raw_encrypt(_holder("rsa2048").key.public_key(), content, 100),
        peers={"openssl CMS_encrypt": lambda: openssl.encrypt(content)},
    )


@scenario
def decrypt_rsa2048_4k() -> Contest:
    """4 KB, AES-256-CBC, RSA-2048."""
    holder, content = _holder("rsa2048"), entity(_SMALL)
    sealed = _encryptor(holder.certificate_der).seal(content)
    keys, openssl = _keys("rsa2048"), _openssl("rsa2048")
    return Contest(
        ours=lambda: open_envelope(sealed, keys),
        floor=raw_decrypt(holder.key, content),
        peers={"openssl CMS_decrypt": lambda: openssl.decrypt(sealed)},
    )


@scenario
def encrypt_25m_gcm() -> Contest:
    """25 MB, AES-256-GCM, as DER."""
    holder, content = _holder("rsa2048"), entity(_LARGE)
    encryptor, openssl = _encryptor(holder.certificate_der, cipher="aes256-gcm"), _openssl("rsa2048")
    return Contest(
        ours=lambda: encryptor.seal(content),
        floor=raw_gcm(content),
        peers={"openssl CMS_encrypt": lambda: openssl.encrypt(content, "aes256-gcm")},
        figures=lambda: _peak(lambda: encryptor.seal(content), len(content)),
    )


@scenario
def decrypt_25m_gcm() -> Contest:
    """25 MB, AES-256-GCM, from DER."""
    holder, content = _holder("rsa2048"), entity(_LARGE)
    sealed = _encryptor(holder.certificate_der, cipher="aes256-gcm").seal(content)
    keys, openssl = _keys("rsa2048"), _openssl("rsa2048")
    return Contest(
        ours=lambda: open_envelope(sealed, keys),
        floor=raw_gcm_decrypt(content),
        peers={"openssl CMS_decrypt": lambda: openssl.decrypt(sealed)},
        figures=lambda: _peak(lambda: open_envelope(sealed, keys), len(content)),
    )


@scenario
def decrypt_25m_cbc() -> Contest:
    """25 MB, AES-256-CBC, from DER; the floor is that of GCM."""
    holder, content = _holder("rsa2048"), entity(_LARGE)
    sealed = _encryptor(holder.certificate_der).seal(content)
    keys, openssl = _keys("rsa2048"), _openssl("rsa2048")
    return Contest(
        ours=lambda: open_envelope(sealed, keys),
        floor=raw_gcm_decrypt(content),
        peers={"openssl CMS_decrypt": lambda: openssl.decrypt(sealed)},
        figures=lambda: _peak(lambda: open_envelope(sealed, keys), len(content)),
    )


@scenario
def encrypt_smime_25m_gcm() -> Contest:
    """A message of 25 MB to S/MIME text, AES-256-GCM."""
    holder, mail = _holder("rsa2048"), message(_LARGE)
    content = entity(_LARGE)
    encryptor = MessageEncryptor([recipient_for(Certificate.parse(holder.certificate_der))], cipher="aes256-gcm")
    openssl = _openssl("rsa2048")
    return Contest(
        ours=lambda: encryptor.encrypt(mail),
        floor=raw_gcm(content),
        peers={"openssl CMS_encrypt + SMIME_write": lambda: openssl.encrypt_smime(content, "aes256-gcm")},
        figures=lambda: _peak(lambda: encryptor.encrypt(mail), len(mail)),
    )


@scenario
def decrypt_smime_25m_gcm() -> Contest:
    """A message of 25 MB from S/MIME text, AES-256-GCM, with everything that `open_message` does."""
    return _open_smime("aes256-gcm")


@scenario
def decrypt_smime_25m_cbc() -> Contest:
    """A message of 25 MB from S/MIME text, AES-256-CBC; the floor is that of GCM."""
    return _open_smime("aes256-cbc")


def _open_smime(cipher: str) -> Contest:
    holder, content = _holder("rsa2048"), entity(_LARGE)
    encryptor = MessageEncryptor([recipient_for(Certificate.parse(holder.certificate_der))], cipher=cipher)
    sealed = encryptor.encrypt(message(_LARGE))
    keys, openssl = _keys("rsa2048"), _openssl("rsa2048")
    assert open_message(sealed, keys=keys, now=BENCH_TIME).content == content
    return Contest(
        ours=lambda: open_message(sealed, keys=keys, now=BENCH_TIME),
        floor=raw_gcm_decrypt(content),
        peers={"openssl SMIME_read + CMS_decrypt": lambda: openssl.decrypt_smime(sealed)},
        figures=lambda: _peak(lambda: open_message(sealed, keys=keys, now=BENCH_TIME), len(sealed)),
    )


@scenario
def encrypt_10000_recipients() -> Contest:
    """10,000 recipients. Ours and floor are for 1,000; `linearity` is the time for 10,000 divided by ten times that."""
    content, certificates = entity(_SMALL), _certificates(1_000)
    encryptor = _encryptor(*certificates)
    many = _encryptor(*certificates)
    many._prepared *= 10
    return Contest(
        ours=lambda: encryptor.seal(content),
        floor=raw_encrypt(_holder("rsa2048").key.public_key(), content, 1_000),
        figures=lambda: {
            "linearity": _seconds(lambda: many.seal(content)) / _seconds(lambda: encryptor.seal(content)) / 10
        },
    )


@scenario
def failures_tell_nothing() -> Contest:
    """Failing with bad PKCS #1 padding (ours) against failing with good padding and a wrong key (floor).

    The figures come from single calls in random order: `difference_us` of the medians, and how many standard errors
    that is. Noise stays below 4; a branch that an attacker can measure does not, however many calls are made.
    """
    bad, wrong = _failing_messages()
    keys = _keys("rsa2048")
    return Contest(
        ours=lambda: _fail(bad, keys),
        floor=lambda: _fail(wrong, keys),
        figures=lambda: _difference(lambda: _fail(bad, keys), lambda: _fail(wrong, keys)),
    )


def _failing_messages() -> tuple[bytes, bytes]:
    """Two messages that differ in the encrypted key alone, and that both surely fail (not one time in 256 rubbish)."""
    holder, content = _holder("rsa2048"), entity(_SMALL)
    keys = _keys("rsa2048")
    while True:
        sealed = _encryptor(holder.certificate_der).seal(content)
        (info,) = parse_envelope(sealed).recipients
        assert isinstance(info, KeyTransportRecipientInfo)
        wrong_key = holder.key.public_key().encrypt(bytes(32), padding.PKCS1v15())
        bad_padding = bytes((wrong_key[0] ^ 1,)) + wrong_key[1:]
        bad, wrong = (sealed.replace(info.encrypted_key, key) for key in (bad_padding, wrong_key))
        try:
            _fail(bad, keys)
            _fail(wrong, keys)
        except AssertionError:
            continue
        return bad, wrong


def _fail(sealed: bytes, keys: DecryptionKeys) -> None:
    try:
        open_envelope(sealed, keys)
    except DecryptionFailed:
        return
    raise AssertionError("the message was decrypted")


def _difference(first: Callable[[], object], second: Callable[[], object], calls: int = 3_000) -> dict[str, float]:
    """Medians of single calls in random order, and the standard error of their difference (from quartiles)."""
    turns = [first, second] * calls
    random.Random(1).shuffle(turns)
    times: dict[Callable[[], object], list[float]] = {first: [], second: []}
    for act in turns:
        times[act].append(_seconds(act))
    spreads = []
    for values in times.values():
        lower, _, upper = statistics.quantiles(values, n=4)
        spreads.append((upper - lower) / 1.349)
    error = 1.2533 * (sum(spread**2 for spread in spreads) / calls) ** 0.5
    difference = statistics.median(times[first]) - statistics.median(times[second])
    return {"difference_us": difference * 1e6, "standard_errors": difference / error}


def _seconds(act: Callable[[], object]) -> float:
    started = time.perf_counter()
    act()
    return time.perf_counter() - started


def _peak(act: Callable[[], object], size: int) -> dict[str, float]:
    """Python's allocations while `act` runs, its result included and its input not, as a multiple of `size`."""
    tracemalloc.start()
    act()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return {"added_memory_ratio": peak / size}
