"""The peers of the table: how each reads what we make, and makes what we read.

`reads` says whether the peer gives back the signed or encrypted content, and for signatures that it finds them good up
to the root; None where its command knows nothing of the form. What a peer makes is judged by `we_read`.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import pytest

from smime_engine import (
    Certificate,
    EncryptedLayer,
    OpenedMessage,
    SmimeError,
    TrustCollection,
    Verdict,
    open_cms,
    open_message,
)
from tests.cms import signers
from tests.interop.combinations import CONTENT, Combination, Options, credential, keys, now
from tests.peer_commands import Gpgsm, Nss, OpenSsl, run

__all__ = ["GpgsmPeer", "NssPeer", "OpenSslPeer", "Peer", "we_read"]


class Peer(Protocol):
    """One other program."""

    name: str

    @property
    def version(self) -> str:
        """As it calls itself."""

    def reads(self, combination: Combination, data: bytes) -> bool | None:
        """Whether it reads `data`; None: not a form that it knows."""

    def may_make(self, combination: Combination) -> bool:
        """Whether its command has options for it."""

    def makes(self, combination: Combination) -> bytes | None:
        """The same combination made by it; None where it refuses."""


def we_read(combination: Combination, data: bytes, *, like: bytes | None = None) -> bool:
    """Whether this engine finds the content, the signatures VALID, and the algorithms of `like`."""
    opened = _opened(combination, data)
    if opened is None or (like is not None and _algorithms(opened) != _algorithms(_opened(combination, like))):
        return False
    signed = combination.kind == "signed"
    return (
        opened.content == CONTENT
        and len(opened.layers) == 1
        and opened.verdict is (Verdict.VALID if signed else None)
        and len(opened.signatures) == (len(combination.people) if signed else 0)
    )


def _opened(combination: Combination, data: bytes) -> OpenedMessage | None:
    root = TrustCollection((Certificate.parse(signers.authority().root_der),))
    known = _certificates(combination) if combination.bare else ()
    arguments: dict[str, Any] = {"keys": keys(combination), "trust": root, "now": now(), "certificates": known}
    try:
        if combination.smime:
            return open_message(data, **arguments)
        return open_cms(data, content=CONTENT if combination.detached else None, **arguments)
    except SmimeError:
        return None


def _algorithms(opened: OpenedMessage | None) -> object:
    """What makes the row: a peer that silently takes another algorithm has not made this combination."""
    assert opened is not None
    (layer,) = opened.layers
    if isinstance(layer, EncryptedLayer):
        # The digest of PBKDF2 cannot be chosen in OpenSSL's command.
        kinds = ((entry.kind, "" if entry.kind == "password" else entry.key_algorithm) for entry in layer.recipients)
        return layer.cipher, sorted(kinds)
    return sorted((signature.digest, signature.algorithm) for signature in opened.signatures)


def _certificates(combination: Combination) -> tuple[Certificate, ...]:
    return tuple(
        Certificate.parse(der)
        for kind in combination.people
        for der in (credential(kind).certificate_der, *credential(kind).chain_der)
    )


class OpenSslPeer:
    """`openssl cms`: knows every form."""

    name = "OpenSSL"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._openssl = OpenSsl()
        self._written: set[str] = set()
        (folder / "content").write_bytes(CONTENT)
        (folder / "root").write_bytes(signers.authority().root_pem)
        (folder / "authorities").write_bytes(signers.authority().root_pem + credential("rsa2048").chain_pem)

    @property
    def version(self) -> str:
        return ".".join(map(str, self._openssl.version))

    def reads(self, combination: Combination, data: bytes) -> bool:
        message = self._folder / "message"
        message.write_bytes(data)
        form = () if combination.smime else ("-binary", "-inform", "DER")
        common = ("-in", message, *form)
        if combination.kind != "encrypted" or not combination.people:
            return self._gives_content(*_OPENSSL_READS[combination.kind], *self._reading(combination), *common)
        return all(
            self._gives_content(
                "-decrypt", "-inkey", self._file(kind, "key"), "-recip", self._file(kind, "crt"), *common
            )
            for kind in combination.people
        )

    def may_make(self, combination: Combination) -> bool:
        return combination.openssl is not None

    def makes(self, combination: Combination) -> bytes | None:
        assert combination.openssl is not None
        form = () if combination.smime else ("-binary", "-outform", "DER")
        source = ("-in", self._folder / "content", *form)
        option = "-signer" if combination.kind == "signed" else "-recip"
        suffix = "pem" if combination.kind == "signed" else "crt"
        people = [word for kind in combination.people for word in (option, self._file(kind, suffix))]
        if combination.kind == "signed":
            people += ["-certfile", self._file(combination.people[0], "chain")]
        made = self._openssl(
            "cms", *_OPENSSL_MAKES[combination.kind], *source, *combination.secret, *people, *combination.openssl,
            check=False,
        )  # fmt: skip
        return made.stdout if made.returncode == 0 else None

    def _reading(self, combination: Combination) -> tuple[str | Path, ...]:
        if combination.kind != "signed":
            return combination.secret
        content = ("-content", self._folder / "content") if combination.detached else ()
        if not combination.bare:
            return (*content, "-CAfile", self._folder / "root")
        # Its command takes the signer's certificate from one file, those above it only from the trusted ones.
        return (
            *content,
            "-CAfile",
            self._folder / "authorities",
            "-certfile",
            self._file(combination.people[0], "crt"),
        )

    def _gives_content(self, *arguments: str | Path) -> bool:
        done = self._openssl("cms", *arguments, check=False)
        return done.returncode == 0 and done.stdout == CONTENT

    def _file(self, kind: str, suffix: str) -> Path:
        if kind not in self._written:
            credential(kind).write(self._folder, kind)
            self._written.add(kind)
        return self._folder / f"{kind}.{suffix}"


_OPENSSL_READS: dict[str, Options] = {
    "signed": ("-verify",),
    "encrypted": ("-decrypt",),
    "compressed": ("-uncompress",),
    "keyed": ("-EncryptedData_decrypt",),
}
_OPENSSL_MAKES: dict[str, Options] = {
    "signed": ("-sign",),
    "encrypted": ("-encrypt",),
    "compressed": ("-compress",),
    "keyed": ("-EncryptedData_encrypt",),
}


class GpgsmPeer:
    """`gpgsm`: bare CMS, signed and encrypted; MIME is the mail program's part."""

    name = "gpgsm"

    def __init__(self, gpgsm: Gpgsm, folder: Path) -> None:
        self._gpgsm = gpgsm
        self._folder = folder
        self._known: dict[str, bool] = {}
        (folder / "content").write_bytes(CONTENT)
        gpgsm.trust(signers.authority().root_der)
        for der in credential("rsa2048").chain_der:
            gpgsm.import_certificate(der)

    @property
    def version(self) -> str:
        return run("gpgsm", "--version").stdout.split()[2].decode("ascii")

    def reads(self, combination: Combination, data: bytes) -> bool | None:
        if combination.smime or combination.kind not in {"signed", "encrypted"}:
            return None
        for kind in combination.people:
            self._has_key(kind)
        message, out = self._folder / "message", self._folder / "out"
        message.write_bytes(data)
        out.unlink(missing_ok=True)
        if combination.kind == "encrypted":
            done = self._gpgsm("--output", out, "--decrypt", message, check=False)
        elif combination.detached:
            done = self._gpgsm("--verify", message, self._folder / "content", check=False)
            return done.returncode == 0 and done.stderr.count(b" GOODSIG ") == len(combination.people)
        else:
            done = self._gpgsm("--output", out, "--verify", message, check=False)
            if done.stderr.count(b" GOODSIG ") != len(combination.people):
                return False
        return done.returncode == 0 and out.is_file() and out.read_bytes() == CONTENT

    def may_make(self, combination: Combination) -> bool:
        return combination.gpgsm is not None

    def makes(self, combination: Combination) -> bytes | None:
        assert combination.gpgsm is not None
        able = [self._has_key(kind) for kind in combination.people]
        if combination.kind == "signed" and not all(able):
            return None
        made = self._folder / "made"
        made.unlink(missing_ok=True)
        addresses = [f"interop.{kind}@example.org" for kind in combination.people]
        if combination.kind == "signed":
            who = [word for address in addresses for word in ("--local-user", address)]
            command: tuple[str, ...] = ()
        else:
            who = [word for address in addresses for word in ("--recipient", address)]
            command = ("--encrypt",)
        done = self._gpgsm(*who, "--output", made, *combination.gpgsm, *command, self._folder / "content", check=False)
        return made.read_bytes() if done.returncode == 0 and made.is_file() else None

    def _has_key(self, kind: str) -> bool:
        """Import key and certificate, or the certificate alone where it does not take the key."""
        if kind not in self._known:
            holder = credential(kind)
            try:
                self._gpgsm.import_key_of(holder)
                self._known[kind] = True
            except (TypeError, pytest.fail.Exception):  # TypeError: PKCS #12 takes no such key here
                self._known[kind] = False
                with suppress(pytest.fail.Exception):
                    self._gpgsm.import_certificate(holder.certificate_der)
        return self._known[kind]


class NssPeer:
    """`cmsutil` of NSS: bare CMS, signed and encrypted."""

    name = "NSS"

    def __init__(self, nss: Nss, folder: Path) -> None:
        self._nss = nss
        self._folder = folder
        self._known: dict[str, bool] = {}
        (folder / "content").write_bytes(CONTENT)
        nss.trust(signers.authority().root_der)
        for der in credential("rsa2048").chain_der:
            nss.import_certificate(der, "authority")

    @property
    def version(self) -> str:
        done = run("dpkg-query", "-W", "-f", "${Version}", "libnss3-tools", check=False)
        return done.stdout.decode("ascii").partition(":")[2].partition("-")[0] or "unknown"

    def reads(self, combination: Combination, data: bytes) -> bool | None:
        if combination.smime or combination.kind not in {"signed", "encrypted"}:
            return None
        for kind in combination.people:
            self._has_key(kind)
        message, out = self._folder / "message", self._folder / "out"
        message.write_bytes(data)
        out.unlink(missing_ok=True)
        content = ("-c", self._folder / "content") if combination.detached else ()
        headers = ("-h", "1") if combination.kind == "signed" else ()
        done = self._nss("cmsutil", "-D", "-i", message, "-o", out, *content, *headers, check=False)
        said = out.read_bytes() if out.is_file() else b""
        if combination.kind == "signed":
            good = said.count(b".status=GoodSignature") == len(combination.people)
            return done.returncode == 0 and good and said.endswith(CONTENT)
        return done.returncode == 0 and said == CONTENT

    def may_make(self, combination: Combination) -> bool:
        return combination.nss is not None

    def makes(self, combination: Combination) -> bytes | None:
        assert combination.nss is not None
        able = [self._has_key(kind) for kind in combination.people]
        made = self._folder / "made"
        made.unlink(missing_ok=True)
        if combination.kind == "signed":
            if not all(able):
                return None
            command = ("-S", "-N", combination.people[0])
        else:
            command = ("-E", "-r", ",".join(f"interop.{kind}@example.org" for kind in combination.people))
        done = self._nss("cmsutil", *command, *combination.nss, "-i", self._folder / "content", "-o", made, check=False)
        return made.read_bytes() if done.returncode == 0 and made.is_file() else None

    def _has_key(self, kind: str) -> bool:
        if kind not in self._known:
            holder = credential(kind)
            try:
                self._nss.import_pkcs12(holder.pkcs12(b"password", friendly_name=kind, old=True), "password")
                self._known[kind] = True
            except (TypeError, pytest.fail.Exception):  # TypeError: PKCS #12 takes no such key here
                self._known[kind] = False
                with suppress(pytest.fail.Exception):
                    self._nss.import_certificate(holder.certificate_der, kind)
        return self._known[kind]
