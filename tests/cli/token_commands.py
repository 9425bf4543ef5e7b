"""What `test_tenant_store` runs in a process of its own: `smime tenant` with a token of SoftHSM."""

from __future__ import annotations

import json
import os
from pathlib import Path
from urllib.parse import quote

from click.testing import CliRunner
from cryptography.hazmat.primitives import serialization

from smime_engine.certificate import Certificate
from smime_engine.cli.tenant import command
from smime_engine.policy.smime_config import SmimeConfig
from smime_engine.sources.master_key import MasterKeys
from smime_engine.sources.pkcs11 import token_of
from smime_engine.sources.pkcs11_keys import TokenKey, TokenMasterKey
from smime_engine.sources.pkcs11_uri import parse_pkcs11_uri
from smime_engine.sources.store import KeyOpener, open_store
from tests import pki
from tests.sources.softhsm import MODULE, PIN, SoftHsm, put_certificate, put_rsa

ALICE = "alice@example.org"
FOLDER = Path(os.environ["TOKEN_FOLDER"])


def run(*arguments: object) -> str:
    result = CliRunner().invoke(command, [str(each) for each in arguments])
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout


def main() -> None:
    hsm = SoftHsm()
    try:
        work(hsm)
    finally:
        hsm.remove()


def work(hsm: SoftHsm) -> None:
    hsm.new_token("people")
    (FOLDER / "pin").write_text(PIN)
    (FOLDER / "pin").chmod(0o600)
    ca = pki.authority("Token Root").subordinate("Token CA")
    alice = ca.issue("Alice in a token", ALICE, kind="rsa2048")
    pkcs1 = alice.key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    session = hsm.session("people")
    put_rsa(session, pkcs1, b"\x07", "alice")
    put_certificate(session, alice.certificate_der, b"\x07", "alice")
    session.close()
    access = f"module-path={MODULE}&pin-source=file:{quote(str(FOLDER / 'pin'))}"

    assert run("import-key", ALICE, "--token", f"pkcs11:token=people;object=alice?{access}").startswith("pkcs11:")
    (row,) = json.loads(run("keys", ALICE, "--json"))
    assert (row["place"], row["token"]) == ("token", "pkcs11:token=people;object=alice")

    master = f"pkcs11:token=people;object=master?{access}"
    assert run("new-master-key", master).startswith("master key token-")
    (FOLDER / "bob.p12").write_bytes(ca.issue("Bob", ALICE).pkcs12(b"secret"))
    (FOLDER / "password").write_text("secret")
    run("import-key", ALICE, FOLDER / "bob.p12", "--password-file", FOLDER / "password")
    assert "1 keys sealed under the master key token-" in run("rotate-master-key", "--to", master)

    with (
        token_of(parse_pkcs11_uri(f"pkcs11:token=people?{access}")) as token,
        open_store(os.environ["SMIME_STORE"]) as store,
    ):
        keys = MasterKeys([TokenMasterKey(token, parse_pkcs11_uri("pkcs11:object=master"))])

        def token_key(uri: str, certificate: Certificate) -> TokenKey:
            return TokenKey(token, uri, certificate)

        opener = KeyOpener(master=keys, token_key=token_key)
        tenant = store.tenant("example")
        assert len(tenant.keys.key_ring(ALICE, opener)) == 2
        assert tenant.keys.signing_identity(ALICE, SmimeConfig(), opener, now=pki.MOMENT) is not None


if __name__ == "__main__":
    main()
