"""`smime tenant import-key|keys|choose-key|retire-key|new-master-key|rotate-master-key`: private keys in a store.

Does: translate between the command line, `keys`, `sources.store` and `sources.master_key`. Does not: export keys: what
is in the store stays there.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from smime_engine.certificate import Certificate
from smime_engine.cli.inputs import Moment, read_certificates, read_file, read_password
from smime_engine.cli.rendering import json_text, printable
from smime_engine.cli.tenant_place import (
    json_option,
    master_key_option,
    master_keys,
    name_option,
    opened_store,
    progress_bar,
    store_option,
    token_at,
)
from smime_engine.errors import ConfigurationError, InvalidKey, SmimeError
from smime_engine.keys import Identity, load_identities
from smime_engine.sources.tenant_folder import fingerprint

if TYPE_CHECKING:
    from smime_engine.sources.store import StoredKey

__all__ = ["key_commands"]


@click.command(name="import-key")
@store_option
@name_option
@master_key_option
@click.argument("address")
@click.argument("files", nargs=-1, metavar="[P12|PEM|MESSAGE…]")
@click.option("--password-file", metavar="FILE", help="First line: the password of the files.")
@click.option("--token", "uri", metavar="pkcs11:URI", help="Note a key that a token holds; it stays there.")
@click.option(
    "--cert", "certificates", multiple=True, metavar="FILE", help="With --token: its certificate, if not there."
)
def import_key_command(
    url: str,
    name: str,
    address: str,
    *,
    master: Sequence[str],
    files: Sequence[str],
    password_file: str | None,
    uri: str | None,
    certificates: Sequence[str],
) -> None:
    """Import a user's private keys with their certificates.

    A MESSAGE is mail with PKCS #12 attachments. Keys that are there already stay; former ones are kept, so that old
    mail still opens.
    """
    if not files and uri is None:
        raise click.UsageError("name a file with keys, or --token")
    tenant = opened_store(url).tenant(name)
    keys = tenant.keys
    if files and tenant.settings.smime_config().owa_only_use_smart_card:
        raise ConfigurationError("OWAOnlyUseSmartCard is on: keys in files are not used here; name a --token")
    if uri is not None:
        _import_from_token(keys, address, uri, read_certificates(certificates))
    if not files:
        return
    password = read_password(password_file)
    identities = [identity for file in files for identity in _identities(file, password)]
    with progress_bar("importing", len(identities)) as progress:
        added = keys.add(address, identities, master_keys(master))
        progress(len(identities))
    for identity in identities:
        if not identity.certificate.names_address(address):
            text = f"smime: warning: the certificate of {identity.certificate.subject} does not name {address}"
            click.echo(printable(text), err=True)
    click.echo(f"{len(added)} imported, {len(identities) - len(added)} known")


def _identities(file: str, password: bytes | None) -> tuple[Identity, ...]:
    """The keys of a PKCS #12 or PEM file, or of the PKCS #12 attachments of a message."""
    data = read_file(file)
    attachments: tuple[bytes, ...] = ()
    if data[:1] != b"\x30" and b"-----BEGIN" not in data:
        from smime_engine.mime.key_files import key_files_in

        attachments = tuple(found.data for found in key_files_in(data))
    try:
        return tuple(identity for each in attachments or (data,) for identity in load_identities(each, password))
    except SmimeError as error:
        raise InvalidKey(f"{file}: {error}") from error


def _import_from_token(keys: Any, address: str, text: str, certificates: Sequence[Certificate]) -> None:
    from smime_engine.sources.pkcs11_keys import TokenKey

    token, uri = token_at(text)
    there = [found for identifier, label, found in token.certificates() if _fits(uri, identifier, label)]
    candidates = [*certificates, *there]
    if not candidates:
        raise ConfigurationError("the token has no certificate for this key: name it with --cert")
    certificate = candidates[0]
    key = TokenKey(token, uri, certificate)
    keys.add_token_key(address, key.name, certificate, certificates[1:])
    click.echo(printable(f"{key.name} of {token.name} noted"))


def _fits(uri: Any, identifier: bytes, label: str) -> bool:
    if uri.id:
        return bool(uri.id == identifier)
    return not uri.object or bool(uri.object == label)


@click.command(name="keys")
@store_option
@name_option
@click.argument("address")
@click.option("--at", type=Moment(), help="Judge which key signs at this moment instead of now.")
@json_option
def keys_command(url: str, name: str, address: str, *, at: datetime | None, as_json: bool) -> None:
    """List a user's keys, and which one signs."""
    tenant = opened_store(url).tenant(name)
    choice = tenant.keys.signing_choice(address, tenant.settings.smime_config(), now=at or datetime.now(UTC))
    refused = {certificate: problem.name for certificate, problem in choice.refused}
    rows = [_row(key, choice.certificate, refused) for key in tenant.keys.stored(address)]
    if as_json:
        click.echo(json_text(rows))
        return
    for row in rows:
        use = "retired" if row["retired"] else "signs" if row["signs"] else row["signing_problem"] or "in use"
        click.echo(printable(f"{use:24} until {row['not_after'][:10]}  {row['place']:6} {row['subject']}"))
        click.echo(f"{'':24} sha256 {row['sha256']}{'  chosen by the user' if row['chosen'] else ''}")


def _row(key: StoredKey, signing: Certificate | None, refused: dict[Certificate, str]) -> dict[str, Any]:
    certificate = Certificate.parse(key.certificate)
    return {
        "sha256": key.fingerprint.hex(),
        "subject": certificate.subject,
        "addresses": list(certificate.addresses),
        "not_before": certificate.not_before.isoformat(),
        "not_after": certificate.not_after.isoformat(),
        "key_usage": None if certificate.key_usage is None else sorted(certificate.key_usage),
        "place": "store" if key.token is None else "token",
        "token": key.token,
        "imported": key.imported.isoformat(),
        "retired": None if key.retired is None else key.retired.isoformat(),
        "chosen": key.chosen,
        "signs": certificate == signing,
        "signing_problem": refused.get(certificate),
    }


@click.command(name="choose-key")
@store_option
@name_option
@click.argument("address")
@click.argument("certificate", metavar="SHA256|automatic")
def choose_key_command(url: str, name: str, address: str, certificate: str) -> None:
    """Choose the certificate that signs a user's mail; `automatic` leaves it to the newest one.

    The choice counts where the tenant has OWAAllowUserChoiceOfSigningCertificate.
    """
    tenant = opened_store(url).tenant(name)
    tenant.keys.choose(address, None if certificate == "automatic" else fingerprint(certificate))
    if not tenant.settings.smime_config().owa_allow_user_choice_of_signing_certificate and certificate != "automatic":
        click.echo(
            "smime: warning: OWAAllowUserChoiceOfSigningCertificate is off; the newest certificate signs", err=True
        )


@click.command(name="retire-key")
@store_option
@name_option
@click.argument("address")
@click.argument("certificate", metavar="SHA256")
@click.option("--restore", is_flag=True, help="Take it into use again.")
def retire_key_command(url: str, name: str, address: str, certificate: str, *, restore: bool) -> None:
    """Keep a key for old mail only: it neither signs nor is given to correspondents."""
    keys = opened_store(url).tenant(name).keys
    (keys.restore if restore else keys.retire)(address, fingerprint(certificate))


# --- the master key


@click.command(name="new-master-key")
@click.argument("place", metavar="file:PATH|pkcs11:URI")
def new_master_key_command(place: str) -> None:
    """Make a master key in a new file of mode 0600, or in a token, which it never leaves.

    Whoever has the file and the store has all private keys; whoever loses it has lost them. A backup of it belongs in
    another place than the store's.
    """
    from smime_engine.sources.master_key import new_key_text, write_key_file

    if place.lower().startswith("pkcs11:"):
        from smime_engine.sources.pkcs11_keys import generate_master_key

        token, uri = token_at(place)
        if not uri.object:
            raise ConfigurationError("name the new key: pkcs11:token=…;object=LABEL")
        generate_master_key(token, uri.object)
    else:
        write_key_file(_path(place), [new_key_text()])
    click.echo(f"master key {master_keys([place]).current.identifier}")


def _path(place: str) -> Path:
    kind, _, path = place.partition(":")
    if kind != "file" or not path:
        raise ConfigurationError(f"{place}: a new master key is written to file:PATH or pkcs11:…")
    return Path(path)


@click.command(name="rotate-master-key")
@store_option
@master_key_option
@click.option(
    "--to", "target", metavar="file:PATH|env:NAME|pkcs11:URI", help="Another place, with a key that is there."
)
@click.option("--forget", is_flag=True, help="Take former keys out of the file afterwards. Old backups need them.")
def rotate_master_key_command(url: str, *, master: Sequence[str], target: str | None, forget: bool) -> None:
    """Seal all private keys under another master key.

    With --to, under the key that is there. Otherwise a new key goes to the head of the key file, and the former one
    stays behind it. Killed at any moment, the store is sealed under the old key or the new one, and the file has it;
    running the command again completes what was begun. Other nodes need the new file before they import keys again.
    """
    store = opened_store(url)
    if target is not None:
        if forget:
            raise click.UsageError("--forget is about a file that gets a new key; --to leaves files as they are")
        old, new = master_keys(master), master_keys([target])
    else:
        if len(master) != 1:
            raise click.UsageError("name one key file with --master-key, or the new place with --to")
        old = new = _renewed_file(_path(master[0]), store.master_key())
    with progress_bar("sealing", store.sealed_keys()) as progress:
        done = store.rotate_master_key(old, new, progress=progress)
    if forget:
        _forget_former(_path(master[0]))
    click.echo(f"{done} keys sealed under the master key {new.current.identifier}")


def _renewed_file(path: Path, sealing: str | None) -> Any:
    """Put a new key at the head of a file, unless an earlier rotation did and was stopped before it sealed anything."""
    from smime_engine.sources.master_key import MasterKeys, keys_in_file, new_key_text, write_key_file

    keys = keys_in_file(path)
    if sealing is not None and sealing not in {key.identifier for key in keys}:
        raise ConfigurationError(f"{path}: the master key {sealing}, under which the store seals, is not in it")
    if sealing is None or keys[0].identifier == sealing:
        write_key_file(path, [new_key_text(), *(key.text for key in keys)], replaces=True)
    return MasterKeys(keys_in_file(path))


def _forget_former(path: Path) -> None:
    from smime_engine.sources.master_key import keys_in_file, write_key_file

    write_key_file(path, [keys_in_file(path)[0].text], replaces=True)


key_commands = (
    import_key_command,
    keys_command,
    choose_key_command,
    retire_key_command,
    new_master_key_command,
    rotate_master_key_command,
)
"""What `smime tenant` gains."""
