"""SoftHSM for tests: tokens in a folder of their own, made by Debian's softhsm2-util and filled through PKCS #11."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pkcs11
from pkcs11 import Attribute, CertificateType, KeyType, MechanismFlag, ObjectClass
from pkcs11.util.ec import encode_named_curve_parameters
from pkcs11.util.rsa import decode_rsa_private_key

MODULE = "/usr/lib/softhsm/libsofthsm2.so"
PIN = "user pin 5678"


class SoftHsm:
    """One configuration of SoftHSM for this process: it can be loaded with one alone."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="hsm-"))
        self.tokens = self.folder / "tokens"
        self.tokens.mkdir()
        configuration = self.folder / "softhsm2.conf"
        configuration.write_text(f"directories.tokendir = {self.tokens}\nlog.level = ERROR\n")
        os.environ["SOFTHSM2_CONF"] = str(configuration)

    def new_token(self, label: str) -> None:
        """Initialise a token, as its administrator does, from another process."""
        arguments = ["--init-token", "--free", "--label", label, "--so-pin", "administrator", "--pin", PIN]
        subprocess.run(["softhsm2-util", *arguments], check=True, capture_output=True)
        self.refresh()

    @staticmethod
    def refresh() -> None:
        """SoftHSM looks for new tokens when it is initialised."""
        if MODULE in pkcs11._loaded:
            pkcs11.lib(MODULE).reinitialize()

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def session(self, label: str) -> Any:
        """A session that may write, for preparing a token."""
        token = pkcs11.lib(MODULE).get_token(token_label=label)
        try:
            return token.open(rw=True, user_pin=PIN)
        except pkcs11.UserAlreadyLoggedIn:
            return token.open(rw=True)


def put_certificate(session: Any, der: bytes, identifier: bytes, label: str = "") -> None:
    session.create_object(
        {
            Attribute.CLASS: ObjectClass.CERTIFICATE,
            Attribute.CERTIFICATE_TYPE: CertificateType.X_509,
            Attribute.TOKEN: True,
            Attribute.SUBJECT: b"",
            Attribute.VALUE: der,
            Attribute.ID: identifier,
            Attribute.LABEL: label,
        }
    )


def put_rsa(session: Any, pkcs1: bytes, identifier: bytes, label: str) -> None:
    """Import an RSA key; only the private object, as some cards have it."""
    attributes = decode_rsa_private_key(pkcs1)
    more = {Attribute.TOKEN: True, Attribute.ID: identifier, Attribute.LABEL: label, Attribute.PRIVATE: True}
    session.create_object({**attributes, **more})


def generate_elliptic(session: Any, curve: str, identifier: bytes, label: str) -> Any:
    """Make a key pair in the token -> its public object."""
    parameters = session.create_domain_parameters(
        KeyType.EC, {Attribute.EC_PARAMS: encode_named_curve_parameters(curve)}, local=True
    )
    uses = MechanismFlag.SIGN | MechanismFlag.DERIVE
    public, _ = parameters.generate_keypair(store=True, id=identifier, label=label, capabilities=uses)
    return public
