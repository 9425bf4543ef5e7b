"""`smime sign`: sign a message, or any file as bare CMS.

Does: gather files and keys, call `MessageSigner` or `CmsSigner`, write the result. Does not: choose keys by sender (the
relay does), nor encrypt.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import click

from smime_engine.addresses import comparable_address
from smime_engine.asn1 import oids
from smime_engine.cli.inputs import (
    Moment,
    pem_text,
    read_certificates,
    read_file,
    read_password,
    read_signing_identity,
    write_file,
)
from smime_engine.cli.large_files import FileSource, is_large, write_pieces
from smime_engine.cms.ess import (
    ReceiptRequest,
    SecurityLabel,
    encode_receipt_request,
    encode_security_label,
)
from smime_engine.cms.several_signers import sign_with
from smime_engine.cms.signer import CmsSigner, SignedAttributes
from smime_engine.engine import HeaderProtection, MessageSigner, seal_message
from smime_engine.engine.streaming import sign_message_stream, sign_stream

__all__ = ["command"]


@click.command(name="sign")
@click.argument("file", default="-")
@click.option(
    "--key", "keys", multiple=True, required=True, metavar="P12|PEM", help="Key with certificate; repeat to sign twice."
)
@click.option("--password-file", metavar="FILE", help="First line: the password of the keys.")
@click.option("--chain", multiple=True, metavar="FILE", help="Further CA certificates to put into the message.")
@click.option("--digest", default="", metavar="NAME", help="sha256, sha384, sha512, … Default: what suits the key.")
@click.option("--pss", is_flag=True, help="RSASSA-PSS instead of PKCS #1 v1.5.")
@click.option("--opaque", is_flag=True, help="application/pkcs7-mime instead of multipart/signed.")
@click.option("--key-identifier", is_flag=True, help="Name the signer by subject key identifier.")
@click.option("--no-certificates", is_flag=True, help="Leave the certificates out of the message.")
@click.option("--no-attributes", is_flag=True, help="Sign the content without signed attributes.")
@click.option(
    "--protect-header", is_flag=True, help="Sign the header fields too (RFC 9788, for mail that stays clear)."
)
@click.option("--signing-certificate", is_flag=True, help="Bind the certificate into the signature (RFC 5035).")
@click.option(
    "--receipt-to", multiple=True, metavar="ADDRESS", help="Ask every recipient for a signed receipt to this address."
)
@click.option(
    "--label", metavar="POLICY[:CLASS[:MARK]]", help="Security label: policy's OID, classification, privacy mark."
)
@click.option(
    "--form",
    type=click.Choice(["smime", "der", "pem"]),
    default="smime",
    help="smime: a message in, a message out. der, pem: any file in, bare CMS out.",
)
@click.option("--detached", is_flag=True, help="With der or pem: leave the content out.")
@click.option("--at", type=Moment(), help="Signing time instead of now.")
@click.option("-o", "--output", metavar="OUT", help="Default: standard output.")
def command(  # noqa: PLR0913, PLR0917 - one argument for each option
    file: str,
    keys: Sequence[str],
    password_file: str | None,
    chain: Sequence[str],
    digest: str,
    pss: bool,  # noqa: FBT001 - click hands flags over by name, here and below
    opaque: bool,  # noqa: FBT001
    key_identifier: bool,  # noqa: FBT001
    no_certificates: bool,  # noqa: FBT001
    no_attributes: bool,  # noqa: FBT001
    protect_header: bool,  # noqa: FBT001
    signing_certificate: bool,  # noqa: FBT001
    receipt_to: Sequence[str],
    label: str | None,
    form: str,
    detached: bool,  # noqa: FBT001
    at: datetime | None,
    output: str | None,
) -> None:
    """Sign FILE (a message, or with --form der|pem any file; - for standard input)."""
    now = at or datetime.now(UTC)
    password = read_password(password_file)
    further = read_certificates(chain)
    further_attributes = (*_receipt_request(receipt_to), *_security_label(label))
    if no_attributes and (further_attributes or signing_certificate):
        raise click.UsageError("--no-attributes leaves no place for --receipt-to, --label and --signing-certificate")
    attributes = SignedAttributes(signing_certificate=signing_certificate, further=further_attributes)
    signers = [
        CmsSigner(
            identity.key,
            identity.certificate,
            chain=(*identity.chain, *(c for c in further if c not in identity.chain)),
            digest=digest,
            pss=pss,
            attributes=None if no_attributes else attributes,
            by_key_identifier=key_identifier,
            include_certificates=not no_certificates,
        )
        for identity in (read_signing_identity(key, password) for key in keys)
    ]
    if form == "smime" and detached:
        raise click.UsageError("--detached goes with --form der or pem; a message is clear-signed by default")
    if form != "smime" and opaque:
        raise click.UsageError("--opaque goes with messages; bare CMS holds its content unless --detached is given")
    if protect_header and (form != "smime" or is_large(file)):
        raise click.UsageError("--protect-header goes with messages that fit into memory")
    if is_large(file) and form != "pem":
        source = FileSource(file, readings=1 if detached else 3 if form == "smime" else 2, label="signing")
        if form == "smime":
            write_pieces(output, sign_message_stream(source, signers, now=now, clear=not opaque))
        else:
            write_pieces(output, sign_stream(source, signers, now=now, detached=detached))
    elif form == "smime":
        protection = HeaderProtection() if protect_header else None
        signer = MessageSigner.of(*signers, clear=not opaque)
        write_file(output, seal_message(read_file(file), steps=(signer,), now=now, header_protection=protection))
    else:
        signed = sign_with(signers, read_file(file), now=now, detached=detached)
        write_file(output, signed if form == "der" else pem_text(signed))


def _receipt_request(addresses: Sequence[str]) -> Iterator[tuple[oids.Oid, bytes]]:
    for address in addresses:
        if comparable_address(address) is None:
            raise click.BadParameter(f"{address!r} is no e-mail address", param_hint="--receipt-to")
    if addresses:
        # RFC 2634 section 2.7: an identifier that never occurs again.
        request = ReceiptRequest(secrets.token_bytes(24), tuple(addresses))
        yield oids.ID_AA_RECEIPT_REQUEST, encode_receipt_request(request)


_LABEL = re.compile(r"([0-2](?:\.(?:0|[1-9]\d{0,30})){1,30})(?::(\d{1,3})(?::(.{1,128}))?)?")


def _security_label(text: str | None) -> Iterator[tuple[oids.Oid, bytes]]:
    if text is None:
        return
    found = _LABEL.fullmatch(text)
    classification = None if found is None or found[2] is None else int(found[2])
    if found is None or (classification is not None and classification > 256):
        raise click.BadParameter(
            "such as 1.2.840.113549.1.9.16.7.2:3:INTERNAL, a class up to 256", param_hint="--label"
        )
    label = SecurityLabel(found[1], classification, found[3] or "")
    yield oids.ID_AA_SECURITY_LABEL, encode_security_label(label)
