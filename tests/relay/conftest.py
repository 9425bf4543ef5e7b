"""Fixtures for the gateway: a configuration around a next hop, and certificates for TLS."""

from __future__ import annotations

import hashlib
import ipaddress
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from smime_smtp_relay.config import Configuration, parse_configuration
from tests import pki


@pytest.fixture
def configured(tmp_path: Path) -> Callable[..., Configuration]:
    """`configured(port, "…more TOML…")`: a gateway on a free port of 127.0.0.1 in front of the next hop at `port`."""

    def make(
        port: int,
        more: str = "",
        *,
        next_hop: str = 'tls = "none"',
        listen: str = "",
        first: str = "",
    ) -> Configuration:
        hop = f'[next_hop]\nhost = "127.0.0.1"\nport = {port}\n{next_hop}'
        text = f"{first}\n{hop}\n[[listen]]\nport = 0\n{listen}\n{more}"
        return parse_configuration(text.encode(), folder=tmp_path)

    return make


class TlsFiles:
    """A server certificate for the names (and the address 127.0.0.1 with localhost), as files and as contexts."""

    def __init__(self, folder: Path, name: str = "server", names: tuple[str, ...] = ("localhost",)) -> None:
        root = pki.authority("TLS Test Root")
        general_names: list[x509.GeneralName] = [x509.DNSName(text) for text in names]
        if "localhost" in names:
            general_names.append(x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
        credential = root.issue(
            name,
            names=general_names,
            usage=pki.key_usage("digital_signature"),
            extended_key_usage=(ExtendedKeyUsageOID.SERVER_AUTH,),
        )
        self.fingerprint = hashlib.sha256(credential.certificate_der).hexdigest()
        self.certificate = credential.write(folder, name)
        self.key = folder / f"{name}.key"
        self.root = folder / f"{name}.root"
        self.server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.server.load_cert_chain(self.certificate)
        self.client = ssl.create_default_context(cafile=str(self.root))

    def toml(self) -> str:
        """The listener's keys for these files."""
        return f'certificate = "{self.certificate}"\nkey = "{self.key}"'


@pytest.fixture
def tls_files(tmp_path: Path) -> TlsFiles:
    """TLS for listeners and for next hops."""
    return TlsFiles(tmp_path / "tls")
