"""The copies that `smime encrypt` makes: how each is encrypted, and where it is written.

Does: choose the algorithms of a copy, seal it in memory or in pieces, write one copy to a file or all of them to a new
folder. Does not: plan copies (`policy.forking`) or judge certificates (`encrypt.py`).
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import click

from smime_engine.certificate import Certificate
from smime_engine.cli.inputs import pem_text, read_file, write_file
from smime_engine.cli.large_files import FileSource, is_large, write_pieces
from smime_engine.cms.addressing import PasswordRecipient, Recipient
from smime_engine.cms.sealing import Encryptor
from smime_engine.crypto.encryption_algorithms import CONTENT_CIPHERS, Mode
from smime_engine.crypto.key_management_algorithms import PKCS1_V1_5, RsaScheme
from smime_engine.engine import HeaderProtection, MessageEncryptor, MessageSigner
from smime_engine.engine.copies import seal_copies, without_blind_fields
from smime_engine.engine.streaming import encrypt_message_stream, encrypt_stream
from smime_engine.policy.capabilities import Choice, choose_encryption
from smime_engine.policy.forking import Copy

__all__ = ["CopySealer", "copy_names", "name_of", "new_folder"]

_SUFFIXES = {"smime": "eml", "der": "p7m", "pem": "pem"}
_CIPHER = "aes256-cbc"


@dataclass(frozen=True, kw_only=True)
class CopySealer:
    """What holds for all copies of one run."""

    form: str
    """`smime`, `der` or `pem`."""

    cipher: str | None = None
    """Demanded, whatever recipients announce."""

    rsa_scheme: RsaScheme = PKCS1_V1_5
    password: bytes | None = field(default=None, repr=False)
    """Opens the copies that are not hidden."""

    explain: bool = False
    signer: MessageSigner | None = None
    """Signs the message before it is encrypted."""

    triple: bool = False
    """Sign what was encrypted again (RFC 2634 section 1.1)."""

    header_protection: HeaderProtection | None = None

    def write(self, file: str, copies: Sequence[Copy], outputs: Sequence[str | None], now: datetime) -> None:
        """Seal `file` for each copy and write it to its place (None: standard output)."""
        prepared = cache(self._prepared)  # the choice is explained once
        ciphers = [CONTENT_CIPHERS[prepared(copy)[1]["cipher"]] for copy in copies]
        whole = self.form == "pem" or self.signer is not None or self.header_protection is not None
        if is_large(file) and not whole and not any(cipher.mode is Mode.CCM for cipher in ciphers):
            for copy, output in zip(copies, outputs, strict=True):
                recipients, options = prepared(copy)
                write_pieces(output, self._pieces(file, Encryptor(recipients, **options)))
            return
        data = read_file(file)
        if self.form == "smime":
            inner = () if self.signer is None else (self.signer,)
            sealed = seal_copies(
                data,
                copies,
                now=now,
                inner=inner,
                outer=inner if self.triple else (),
                header_protection=self.header_protection,
                encryptor=lambda copy: _message_encryptor(*prepared(copy)),
            )
            results = [entry.message for entry in sealed]
        else:
            encryptors = [Encryptor(recipients, **options) for recipients, options in map(prepared, copies)]
            results = [encryptor.seal(data) for encryptor in encryptors]
            results = [pem_text(result) for result in results] if self.form == "pem" else results
        for result, output in zip(results, outputs, strict=True):
            write_file(output, result)

    def _prepared(self, copy: Copy) -> tuple[tuple[Recipient, ...], dict[str, Any]]:
        """Recipients, and the options of an encryptor."""
        recipients: tuple[Recipient, ...] = ()
        options: dict[str, Any] = {"cipher": self.cipher or _CIPHER}
        if copy.addressees:
            choice = choose_encryption(copy.addressees, demanded=self.cipher, rsa_scheme=self.rsa_scheme)
            recipients = choice.recipients
            options = {"cipher": choice.cipher, "derives_key": choice.derives_key}
            if self.explain:
                _explain(choice, copy)
        if self.password is not None and not copy.hidden:
            recipients = (*recipients, PasswordRecipient(password=self.password))
        return recipients, options

    def _pieces(self, file: str, encryptor: Encryptor) -> Iterator[bytes]:
        source = FileSource(file, label="encrypting")
        if self.form != "smime":
            return encrypt_stream(source, source.size, encryptor)
        visible, size = without_blind_fields(source, source.size)
        return encrypt_message_stream(visible, size, encryptor)


def _message_encryptor(recipients: tuple[Recipient, ...], options: dict[str, Any]) -> MessageEncryptor:
    return MessageEncryptor(recipients, **options)


def name_of(certificate: Certificate) -> str:
    """How a recipient is called: the certificate's first address, else its subject and serial number."""
    if certificate.addresses:
        return certificate.addresses[0]
    return f"{certificate.subject} ({certificate.serial_number:x})"


def copy_names(copies: Sequence[Copy], form: str) -> tuple[str, ...]:
    """File names that tell nothing but the order: `to.eml`, `bcc-1.eml`, `bcc-2.eml` …"""
    names, hidden = [], 0
    for copy in copies:
        hidden += copy.hidden
        names.append(f"bcc-{hidden}.{_SUFFIXES[form]}" if copy.hidden else f"to.{_SUFFIXES[form]}")
    return tuple(names)


@contextmanager
def new_folder(name: str) -> Iterator[Path]:
    """A folder that appears whole or not at all: it is filled beside its place and renamed.

    It must be empty or not exist yet, for a copy left over from another message would be sent with these.
    """
    place = Path(name)
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise click.UsageError(f"{name} is not empty: copies are written into a new folder")
    place.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{place.name}.", dir=place.parent))
    try:
        yield scratch
        scratch.replace(place)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise


def _explain(choice: Choice, copy: Copy) -> None:
    click.echo(f"cipher: {choice.cipher}", err=True)
    for entry in choice.explanations:
        who = "message" if entry.recipient is None else copy.certificates[entry.recipient].subject
        click.echo(f"  {who}: {entry.reason.value}{f' ({entry.detail})' if entry.detail else ''}", err=True)
