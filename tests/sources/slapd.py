"""OpenLDAP's server with a schema like Active Directory's, started and killed by tests.

    server = Slapd(folder, ldif)      # loads the entries with slapadd
    async with server: server.url, server.tls_url, server.ca_file

The server has an administrator (`ADMINISTRATOR`, `PASSWORD`) and a certificate of the moment for its address.
"""

from __future__ import annotations

import asyncio
import base64
import socket
import subprocess
from collections.abc import Iterable, Mapping
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests import pki, surroundings

BASE = "dc=example,dc=org"
ADMINISTRATOR, PASSWORD = f"cn=reader,{BASE}", "correct horse"
_SCHEMA = Path(__file__).parent / "active_directory.schema"


class Slapd:
    """One server and its folder. It can be started and killed several times; the addresses stay the same."""

    def __init__(self, folder: Path, ldif: str, *, size_limit: int | str = "unlimited") -> None:
        self.folder = folder
        self.ca_file = folder / "ca.pem"
        self._ports = _free_ports(2)
        self._process: asyncio.subprocess.Process | None = None
        self._write_configuration(size_limit)
        (folder / "data.ldif").write_text(_ROOT_ENTRY + ldif)
        loader = surroundings.command("slapadd")
        assert loader is not None
        configuration, data = folder / "slapd.conf", folder / "data.ldif"
        arguments = [loader, "-q", "-f", configuration, "-l", data]
        done = subprocess.run(arguments, check=False, capture_output=True, timeout=120)
        assert done.returncode == 0, done.stderr.decode()

    @property
    def url(self) -> str:
        """`ldap://127.0.0.1:port`, with StartTLS."""
        return f"ldap://127.0.0.1:{self._ports[0]}"

    @property
    def tls_url(self) -> str:
        """`ldaps://127.0.0.1:port`."""
        return f"ldaps://127.0.0.1:{self._ports[1]}"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Start, and wait until it listens."""
        program = surroundings.command("slapd")
        assert program is not None
        arguments = ("-f", str(self.folder / "slapd.conf"), "-h", f"{self.url} {self.tls_url}", "-d", "0")
        self._process = await asyncio.create_subprocess_exec(program, *arguments, stderr=asyncio.subprocess.DEVNULL)
        for _ in range(400):
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self._ports[0])
            except OSError:
                await asyncio.sleep(0.02)
            else:
                writer.close()
                return
        raise AssertionError("slapd does not listen")

    async def stop(self) -> None:
        """End it; nothing happens if it does not run."""
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            await self._process.wait()

    async def kill(self) -> None:
        """End it without a word to anybody."""
        assert self._process is not None
        self._process.kill()
        await self._process.wait()

    def _write_configuration(self, size_limit: int | str) -> None:
        holder = _server_credential()
        for name, content in (
            ("ca.pem", holder.root_pem),
            ("server.pem", holder.certificate_pem),
            ("server.key", holder.key_pem()),
        ):
            (self.folder / name).write_bytes(content)
        (self.folder / "database").mkdir()
        (self.folder / "slapd.conf").write_text(
            "include /etc/ldap/schema/core.schema\n"
            f"include {_SCHEMA}\n"
            "modulepath /usr/lib/ldap\n"
            "moduleload back_mdb\n"
            f"pidfile {self.folder}/slapd.pid\n"
            "sizelimit unlimited\n"
            f"TLSCACertificateFile {self.folder}/ca.pem\n"
            f"TLSCertificateFile {self.folder}/server.pem\n"
            f"TLSCertificateKeyFile {self.folder}/server.key\n"
            "database mdb\n"
            "maxsize 268435456\n"
            f'suffix "{BASE}"\n'
            f'rootdn "{ADMINISTRATOR}"\n'
            f"rootpw {PASSWORD!r}\n".replace("'", '"')
            + f"directory {self.folder}/database\n"
            f"limits anonymous size={size_limit}\n"
            "index objectClass eq\n"
            "index mail,proxyAddresses eq\n"
            "access to * by * read\n"
        )


_ROOT_ENTRY = f"dn: {BASE}\nobjectClass: organization\nobjectClass: dcObject\no: Example\ndc: example\n\n"


def ldif_entry(name: str, attributes: Mapping[str, Iterable[str | bytes]]) -> str:
    """One entry `cn=name`; bytes are written as base64."""
    lines = [f"dn: cn={name},{BASE}"]
    for attribute, values in {"cn": [name], **attributes}.items():
        for value in values:
            text = f": {value}" if isinstance(value, str) else f":: {base64.b64encode(value).decode()}"
            lines.append(f"{attribute}{text}")
    return "\n".join(lines) + "\n\n"


def ldif_user(name: str, **attributes: Iterable[str | bytes]) -> str:
    """A user; `certificate` and `smime_certificate` are the two attributes with certificates."""
    spellings = {"certificate": "userCertificate;binary", "smime_certificate": "userSMIMECertificate"}
    named = {spellings.get(key, key): values for key, values in attributes.items()}
    return ldif_entry(name, {"objectClass": ["user"], "sn": [name], "mail": [f"{name}@example.org"], **named})


def ldif_group(name: str, *members: str, **attributes: Iterable[str | bytes]) -> str:
    """A distribution group of other entries, named by their cn."""
    names = [f"cn={member},{BASE}" for member in members]
    fields = {"objectClass": ["group"], "mail": [f"{name}@example.org"], "member": names, **attributes}
    return ldif_entry(name, {key: values for key, values in fields.items() if values})


@cache
def _server_credential() -> pki.Credential:
    return pki.authority("LDAP Root").issue(
        "LDAP server",
        names=[x509.IPAddress(ip_address("127.0.0.1"))],
        extended_key_usage=(ExtendedKeyUsageOID.SERVER_AUTH,),
        kind="p256",
    )


def _free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()
