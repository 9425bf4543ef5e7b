"""`smime encrypt`: encrypt a message, or any file as bare CMS, for the holders of certificates or a password.

Does: gather files, refuse certificates that are not fit, let `policy.capabilities` choose the algorithms, write the
result. Does not: look recipients up in directories, or sign (`smime sign` first, then this, is sign-then-encrypt).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import click

from smime_engine.certificate import Certificate
from smime_engine.cli.inputs import (
    Moment,
    collection_from,
    pem_text,
    read_certificates,
    read_evidence,
    read_file,
    read_password,
    write_file,
)
from smime_engine.cli.large_files import FileSource, is_large, write_pieces
from smime_engine.cms.addressing import PasswordRecipient, Recipient
from smime_engine.cms.sealing import Encryptor
from smime_engine.crypto.encryption_algorithms import CONTENT_CIPHERS, Mode
from smime_engine.crypto.key_management_algorithms import PKCS1_V1_5, oaep
from smime_engine.engine import MessageEncryptor
from smime_engine.engine.streaming import encrypt_message_stream, encrypt_stream
from smime_engine.errors import InvalidKey
from smime_engine.policy.capabilities import Addressee, Choice, choose_encryption
from smime_engine.problems import Verdict
from smime_engine.trust.collection import TrustCollection
from smime_engine.trust.evidence import Evidence
from smime_engine.trust.path import PathOptions, Purpose, RevocationMode, validate_path

__all__ = ["command"]


@click.command(name="encrypt")
@click.argument("file", default="-")
@click.option("--to", "recipients", multiple=True, metavar="CERT", help="Recipient's certificate; repeat for more.")
@click.option("--message-password-file", metavar="FILE", help="First line: a password that opens the message.")
@click.option(
    "--cipher",
    type=click.Choice(sorted(CONTENT_CIPHERS)),
    metavar="NAME",
    help="Content cipher, such as aes256-gcm. Default: the strongest that all recipients announce, else aes256-cbc.",
)
@click.option("--oaep", "use_oaep", is_flag=True, help="RSA-OAEP with SHA-256 where a recipient announces nothing.")
@click.option("--trust", multiple=True, metavar="FILE|DIR", help="Demand a valid path to one of these CAs.")
@click.option("--cert", "certificates", multiple=True, metavar="FILE", help="Intermediates that help with --trust.")
@click.option("--crl", "crls", multiple=True, metavar="FILE", help="Revocation lists that count with --trust.")
@click.option(
    "--form",
    type=click.Choice(["smime", "der", "pem"]),
    default="smime",
    help="smime: a message in, a message out. der, pem: any file in, bare CMS out.",
)
@click.option("--explain", is_flag=True, help="Say on standard error why these algorithms were chosen.")
@click.option("--at", type=Moment(), help="Judge the certificates for this moment instead of now.")
@click.option("-o", "--output", metavar="OUT", help="Default: standard output.")
def command(  # noqa: PLR0913, PLR0917 - one argument for each option
    file: str,
    recipients: Sequence[str],
    message_password_file: str | None,
    cipher: str | None,
    use_oaep: bool,  # noqa: FBT001 - click hands flags over by name
    trust: Sequence[str],
    certificates: Sequence[str],
    crls: Sequence[str],
    form: str,
    explain: bool,  # noqa: FBT001
    at: datetime | None,
    output: str | None,
) -> None:
    """Encrypt FILE (a message, or with --form der|pem any file; - for standard input).

    A certificate that has expired, is not for encryption or, with --trust, has no valid path is refused, and then
    nothing is encrypted for anybody.
    """
    leaves = _leaves(recipients)
    password = read_password(message_password_file)
    if not leaves and password is None:
        raise click.UsageError("nobody to encrypt for: give --to or --message-password-file")
    collection = collection_from(read_certificates(trust))
    pool, evidence, now = read_certificates(certificates), read_evidence(crls), at or datetime.now(UTC)
    for leaf in leaves:
        _require_fit(leaf, collection, pool, evidence, now)
    chosen: tuple[Recipient, ...] = ()
    options: dict[str, Any] = {"cipher": cipher or "aes256-cbc"}
    if leaves:
        addressees = [Addressee(certificate=leaf) for leaf in leaves]
        choice = choose_encryption(addressees, demanded=cipher, rsa_scheme=oaep() if use_oaep else PKCS1_V1_5)
        chosen = choice.recipients
        options = {"cipher": choice.cipher, "derives_key": choice.derives_key}
        if explain:
            _explain(choice, leaves)
    if password is not None:
        chosen = (*chosen, PasswordRecipient(password=password))
    encryptor = Encryptor(chosen, **options)
    if is_large(file) and form != "pem" and encryptor.cipher.mode is not Mode.CCM:
        source = FileSource(file, label="encrypting")
        stream = encrypt_message_stream if form == "smime" else encrypt_stream
        write_pieces(output, stream(source, source.size, encryptor))
    elif form == "smime":
        write_file(output, MessageEncryptor(chosen, **options).encrypt(read_file(file)))
    else:
        sealed = encryptor.seal(read_file(file))
        write_file(output, sealed if form == "der" else pem_text(sealed))


def _leaves(names: Sequence[str]) -> tuple[Certificate, ...]:
    """The first certificate of each file: a bundle may bring its issuers along."""
    return tuple(dict.fromkeys(read_certificates((name,))[0] for name in names))


def _require_fit(
    leaf: Certificate,
    collection: TrustCollection | None,
    pool: tuple[Certificate, ...],
    evidence: Evidence,
    now: datetime,
) -> None:
    """Without trusted CAs the certificate is judged alone, as its own anchor: dates and usages count all the same."""
    revocation = RevocationMode.HARD_FAIL if evidence.crls else RevocationMode.NONE
    report = validate_path(
        leaf,
        collection=collection or TrustCollection((leaf,)),
        now=now,
        pool=pool,
        purpose=Purpose.ENCRYPT,
        options=PathOptions(revocation=revocation if collection is not None else RevocationMode.NONE),
        evidence=evidence,
    )
    if report.verdict is not Verdict.VALID:
        reasons = "; ".join(str(problem) for problem in report.problems if problem.problem.effect is not None)
        raise InvalidKey(f"the certificate of {leaf.subject or leaf.addresses} is not fit to encrypt for: {reasons}")


def _explain(choice: Choice, leaves: Sequence[Certificate]) -> None:
    click.echo(f"cipher: {choice.cipher}", err=True)
    for entry in choice.explanations:
        who = "message" if entry.recipient is None else leaves[entry.recipient].subject
        click.echo(f"  {who}: {entry.reason.value}{f' ({entry.detail})' if entry.detail else ''}", err=True)
