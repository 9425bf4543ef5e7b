"""`smime inspect`: what is in a file, as a tree for people or as JSON.

Does: show every structure of a message, certificate, revocation list or PKCS #12 file, opened as far as that is
possible without a key; check certificates against what mail clients ask of them (`--lint cert`). Does not: verify,
decrypt or judge trust (that is `smime open` and `smime path`).

Exit status: 0 shown (no errors found by `--lint`), 1 `--lint` found errors, 2 usage, 4 malformed: the whole file
(nothing is shown) or a value in it (the rest is shown, the value is marked).
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import click

from smime_engine.cli.exit_status import INVALID, MALFORMED
from smime_engine.cli.inputs import read_file

if TYPE_CHECKING:
    from smime_engine.cli.inspection.files import FileTree

__all__ = ["command"]


@click.command(name="inspect")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a tree.")
@click.option("--lint", type=click.Choice(["cert"]), help="Check the certificates of FILE instead of showing it.")
@click.option("--email", metavar="ADDRESS", help="With --lint: the address that the certificate is for.")
def command(*, file: str, as_json: bool, lint: str | None, email: str | None) -> None:
    """Show what is in FILE: an S/MIME message, CMS or PKCS #7 (DER, BER or PEM), a certificate, a CRL, PKCS #12.

    Nothing is verified or decrypted, and private keys are never shown.
    """
    if email is not None and lint is None:
        raise click.UsageError("--email needs --lint cert")
    data = read_file(file)
    if lint is not None:
        sys.exit(_lint(data, email, as_json=as_json))
    sys.exit(_inspect(data, as_json=as_json))


def _inspect(data: bytes, *, as_json: bool) -> int:
    from smime_engine.cli.inspection.files import file_tree
    from smime_engine.cli.inspection.tree import malformed_in

    found = file_tree(data)
    if as_json:
        _print_json(found)
    else:
        _print_tree(found)
    malformed = sum(1 for _ in malformed_in(found.tree))
    if malformed:
        what = "a value" if malformed == 1 else f"{malformed:,} values"
        click.echo(f"smime: malformed input: {what} could not be read (look for MALFORMED)", err=True)
    return MALFORMED if malformed else 0


def _print_json(found: FileTree) -> None:
    from smime_engine.cli.inspection.tree import as_json

    shown = {"kind": found.kind, "encoding": found.encoding, "size": found.size, "content": as_json(found.tree)}
    click.echo(json.dumps(shown, indent=2, ensure_ascii=True))


def _print_tree(found: FileTree) -> None:
    from rich.console import Console
    from rich.text import Text

    from smime_engine.cli.inspection.tree import as_lines

    console = Console(highlight=False, soft_wrap=True)
    lines = as_lines(f"{found.kind} ({found.encoding}, {found.size:,} bytes)", found.tree)
    for guide, label, text in lines:
        style = "bold red" if text.startswith("MALFORMED") else ""
        colon = ": " if label and text else ""
        console.print(Text.assemble((guide, "dim"), (label, "cyan"), (colon, "dim"), (text, style)))


def _lint(data: bytes, email: str | None, *, as_json: bool) -> int:
    from smime_engine.certificate_bundle import certificates_from
    from smime_engine.cli.rendering import printable
    from smime_engine.trust.lint import Severity, lint_certificate

    found = [(certificate, lint_certificate(certificate, email=email)) for certificate in certificates_from(data)]
    if as_json:
        rows = [
            {
                "certificate": certificate.subject,
                "findings": [
                    {"rule": f.rule, "severity": f.severity.value, "text": f.text, "source": f.source} for f in findings
                ],
            }
            for certificate, findings in found
        ]
        click.echo(json.dumps(rows, indent=2))
    else:
        for certificate, findings in found:
            click.echo(f"{printable(certificate.subject) or '(empty name)'}: {_count(len(findings))}")
            for finding in findings:
                click.echo(f"  {finding.severity.value:7} {finding.rule}: {printable(finding.text)} [{finding.source}]")
    errors = any(finding.severity is Severity.ERROR for _, findings in found for finding in findings)
    return INVALID if errors else 0


def _count(number: int) -> str:
    return {0: "nothing found", 1: "1 finding"}.get(number, f"{number} findings")
