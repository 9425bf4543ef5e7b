"""`smime encrypt`: encrypt a message, or any file as bare CMS, for the holders of certificates or a password.

Does: gather files, refuse certificates that are not fit, let `policy.forking` plan the copies, write them (`copies.py`)
and say who gets which. Does not: look recipients up in directories, or send.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import click

from smime_engine.certificate import Certificate
from smime_engine.cli.copies import CopySealer, copy_names, name_of, new_folder
from smime_engine.cli.inputs import (
    Moment,
    collection_from,
    read_certificates,
    read_evidence,
    read_password,
    read_signing_identity,
)
from smime_engine.cli.rendering import json_text, printable
from smime_engine.crypto.encryption_algorithms import CONTENT_CIPHERS
from smime_engine.crypto.key_management_algorithms import PKCS1_V1_5, oaep
from smime_engine.engine import HeaderProtection, MessageSigner
from smime_engine.errors import InvalidKey
from smime_engine.mime.header_protection import hcp_baseline, hcp_shy, no_confidentiality
from smime_engine.policy.capabilities import Addressee
from smime_engine.policy.forking import Copy, Correspondent, plan_copies
from smime_engine.policy.smime_config import BccForking
from smime_engine.problems import Verdict
from smime_engine.trust.collection import TrustCollection
from smime_engine.trust.evidence import Evidence
from smime_engine.trust.path import PathOptions, Purpose, RevocationMode, validate_path

__all__ = ["command"]

_CONFIDENTIALITY = {"baseline": hcp_baseline, "shy": hcp_shy, "none": no_confidentiality}


@click.command(name="encrypt")
@click.argument("file", default="-")
@click.option("--to", "visible", multiple=True, metavar="CERT", help="Recipient's certificate; repeat for more.")
@click.option("--bcc", "hidden", multiple=True, metavar="CERT", help="Hidden recipient's certificate; repeat for more.")
@click.option(
    "--bcc-forking",
    type=click.Choice([str(forking.value) for forking in BccForking]),
    default="0",
    show_default=True,
    help="0: a message for each hidden recipient. 1: one for all of them, who can find each other in it. "
    "2: a single message, in which everybody can find them.",
)
@click.option("--to-self", "own", multiple=True, metavar="CERT", help="Your own certificate: you can read every copy.")
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
@click.option("--sign-key", metavar="P12|PEM", help="Sign the message with this key before it is encrypted.")
@click.option("--password-file", metavar="FILE", help="First line: the password of --sign-key.")
@click.option("--triple-wrap", is_flag=True, help="Sign what was encrypted once more (RFC 2634).")
@click.option(
    "--protect-header",
    type=click.Choice(sorted(_CONFIDENTIALITY)),
    help="Put the header fields inside too (RFC 9788), and hide outside: the subject and what is not needed "
    "(baseline), people's names as well (shy), nothing (none).",
)
@click.option("--explain", is_flag=True, help="Say on standard error why these algorithms were chosen.")
@click.option("--at", type=Moment(), help="Judge the certificates for this moment instead of now.")
@click.option("-o", "--output", metavar="OUT", help="Where there is one copy. Default: standard output.")
@click.option("--output-folder", metavar="DIR", help="New folder for to.eml, bcc-1.eml …; who gets which is printed.")
@click.option("--json", "as_json", is_flag=True, help="With --output-folder: print who gets which copy as JSON.")
def command(  # noqa: PLR0913, PLR0917 - one argument for each option
    file: str,
    visible: Sequence[str],
    hidden: Sequence[str],
    bcc_forking: str,
    own: Sequence[str],
    message_password_file: str | None,
    cipher: str | None,
    use_oaep: bool,  # noqa: FBT001 - click hands flags over by name
    trust: Sequence[str],
    certificates: Sequence[str],
    crls: Sequence[str],
    form: str,
    sign_key: str | None,
    password_file: str | None,
    triple_wrap: bool,  # noqa: FBT001
    protect_header: str | None,
    explain: bool,  # noqa: FBT001
    at: datetime | None,
    output: str | None,
    output_folder: str | None,
    as_json: bool,  # noqa: FBT001
) -> None:
    """Encrypt FILE (a message, or with --form der|pem any file; - for standard input).

    A certificate that has expired, is not for encryption or, with --trust, has no valid path is refused, and then
    nothing is encrypted for anybody. Bcc fields leave the message. A recipient is called by the first address of the
    certificate.
    """
    password = read_password(message_password_file)
    if form != "smime" and (sign_key is not None or protect_header is not None):
        raise click.UsageError("--sign-key and --protect-header go with messages, not with --form der or pem")
    if sign_key is None and (triple_wrap or password_file is not None):
        raise click.UsageError("--triple-wrap and --password-file go with --sign-key")
    if not visible and not hidden and password is None:
        raise click.UsageError("nobody to encrypt for: give --to, --bcc or --message-password-file")
    if hidden and password is not None:
        raise click.UsageError(
            "--bcc and --message-password-file: whoever knows the password gets a message of its own"
        )
    if (output is not None and output_folder is not None) or (as_json and output_folder is None):
        raise click.UsageError("--output and --json: the one goes without --output-folder, the other with it")
    to, bcc, self_ = (_leaves(names) for names in (visible, hidden, own))
    collection = collection_from(read_certificates(trust))
    pool, evidence, now = read_certificates(certificates), read_evidence(crls), at or datetime.now(UTC)
    for leaf in dict.fromkeys((*to, *bcc, *self_)):
        _require_fit(leaf, collection, pool, evidence, now)
    copies = _copies(to, bcc, self_, BccForking(int(bcc_forking)))
    scheme = oaep() if use_oaep else PKCS1_V1_5
    sealer = CopySealer(
        form=form,
        cipher=cipher,
        rsa_scheme=scheme,
        password=password,
        explain=explain,
        signer=None if sign_key is None else _signer(sign_key, read_password(password_file)),
        triple=triple_wrap,
        header_protection=None if protect_header is None else HeaderProtection(policy=_CONFIDENTIALITY[protect_header]),
    )
    if output_folder is None:
        if len(copies) > 1:
            raise click.UsageError(f"there are {len(copies)} copies: give --output-folder")
        sealer.write(file, copies, [output], now)
        _tell_exposed(copies, ["the message"])
        return
    names = copy_names(copies, form)
    with new_folder(output_folder) as folder:
        sealer.write(file, copies, [str(folder / name) for name in names], now)
    places = [str(Path(output_folder) / name) for name in names]
    _tell(copies, places, as_json=as_json)
    _tell_exposed(copies, places)


def _signer(name: str, password: bytes | None) -> MessageSigner:
    identity = read_signing_identity(name, password)
    return MessageSigner(identity.key, identity.certificate, chain=identity.chain)


def _leaves(names: Sequence[str]) -> tuple[Certificate, ...]:
    """The first certificate of each file: a bundle may bring its issuers along."""
    return tuple(dict.fromkeys(read_certificates((name,))[0] for name in names))


def _copies(
    to: Sequence[Certificate], bcc: Sequence[Certificate], own: Sequence[Certificate], forking: BccForking
) -> tuple[Copy, ...]:
    addressees = tuple(Addressee(certificate=leaf) for leaf in own)
    if not to and not bcc:  # whoever knows the password, and the sender
        return (Copy(recipients=(), addressees=addressees, hidden=False),)
    return plan_copies(visible=_people(to), bcc=_people(bcc), own=addressees, forking=forking)


def _people(leaves: Sequence[Certificate]) -> list[Correspondent]:
    return [Correspondent(address=name_of(leaf), addressees=(Addressee(certificate=leaf),)) for leaf in leaves]


def _tell(copies: Sequence[Copy], places: Sequence[str], *, as_json: bool) -> None:
    """One line for each copy: its file and the addresses to deliver it to, with tabs between."""
    if as_json:
        rows = [
            {"file": place, "recipients": copy.recipients, "hidden": copy.hidden, "exposed": copy.exposed}
            for copy, place in zip(copies, places, strict=True)
        ]
        click.echo(json_text({"copies": rows}))
        return
    for copy, place in zip(copies, places, strict=True):
        click.echo("\t".join((place, *map(printable, copy.recipients))))


def _tell_exposed(copies: Sequence[Copy], places: Sequence[str]) -> None:
    for copy, place in zip(copies, places, strict=True):
        if copy.exposed:
            exposed = printable(", ".join(copy.exposed))
            click.echo(f"smime: everybody who can read {place} can find in it: {exposed}", err=True)


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
