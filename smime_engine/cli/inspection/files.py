"""What kind of file it is, and its tree: DER or BER, PEM with any number of blocks, bare base64, a message, or a
serialized certificate store of Windows.

Standards: RFC 7468 (PEM), RFC 5322 (messages).
"""

from __future__ import annotations

import binascii
import re
from dataclasses import dataclass

from smime_engine.cli.inspection.binary import structure_tree
from smime_engine.cli.inspection.messages import OUTERMOST, looks_like_message, message_tree
from smime_engine.cli.inspection.tree import Leaf, Titled, Tree
from smime_engine.cli.inspection.values import elements_tree, guarded
from smime_engine.errors import MalformedMessage
from smime_engine.trust.sst import StoreEntry, is_sst, parse_sst

__all__ = ["FileTree", "file_tree"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileTree:
    """What a file is, how it is written, and what is in it."""

    kind: str
    encoding: str
    size: int
    tree: Tree


_PEM = re.compile(rb"-----BEGIN ([A-Z0-9 #]{1,40})-----([^-]*)-----END \1-----")
_BASE64 = re.compile(rb"[A-Za-z0-9+/=\s]+")

# Key formats that are no SubjectPublicKeyInfo or PKCS #8; nothing of them is shown.
_OLD_KEYS = {b"RSA PRIVATE KEY", b"EC PRIVATE KEY", b"DSA PRIVATE KEY", b"OPENSSH PRIVATE KEY", b"EC PARAMETERS"}


def file_tree(data: bytes) -> FileTree:
    """Read a file. Raises MalformedMessage where it is nothing of what `smime inspect` can show."""
    size = len(data)
    text = data.removeprefix(b"\xef\xbb\xbf")
    if is_sst(data):
        return FileTree(kind="certificate store", encoding="SST", size=size, tree=_store(data))
    if data[:1] in {b"\x30", b"\x31"}:
        kind, tree = structure_tree(data, OUTERMOST)
        return FileTree(kind=kind, encoding="binary", size=size, tree=tree)
    if not text.lstrip().startswith(b"-----BEGIN ") and looks_like_message(text):
        return FileTree(kind="message", encoding="MIME", size=size, tree=message_tree(text, OUTERMOST))
    if blocks := _PEM.findall(text):
        return _pem_tree(blocks, size)
    if _BASE64.fullmatch(text):
        kind, tree = structure_tree(_from_base64(text), OUTERMOST)
        return FileTree(kind=kind, encoding="base64", size=size, tree=tree)
    raise MalformedMessage("CMS, a certificate, a CRL, PKCS #12 (DER, BER or PEM) or a message", offset=0)


def _pem_tree(blocks: list[tuple[bytes, bytes]], size: int) -> FileTree:
    if len(blocks) == 1 and blocks[0][0] not in _OLD_KEYS:
        kind, tree = structure_tree(_from_base64(blocks[0][1]), OUTERMOST)
        return FileTree(kind=kind, encoding="PEM", size=size, tree=tree)
    trees = elements_tree(blocks, lambda block: _block(*block))
    return FileTree(kind=f"{len(blocks)} PEM blocks", encoding="PEM", size=size, tree=trees)


def _block(label: bytes, body: bytes) -> Tree:
    name = label.decode("ascii")
    if label in _OLD_KEYS:
        return Titled(name, {"kind": Leaf(name), "structure": Leaf("not shown")}, Leaf("not shown"))
    kind, tree = structure_tree(_from_base64(body), OUTERMOST)
    return Titled(kind, {"kind": Leaf(kind), "structure": tree}, tree)


def _from_base64(text: bytes) -> bytes:
    # Headers of old PEM (RFC 1421: Proc-Type, DEK-Info) are no base64, and what they announce is encrypted.
    try:
        return binascii.a2b_base64(b"".join(text.split()), strict_mode=True)
    except binascii.Error as error:
        raise MalformedMessage("base64") from error


def _store(data: bytes) -> Tree:
    return elements_tree(parse_sst(data).entries, _entry)


def _entry(entry: StoreEntry) -> Tree:
    kind = entry.content.name
    inner = guarded(lambda: structure_tree(entry.der, OUTERMOST)[1])
    properties = Leaf(", ".join(str(identifier) for identifier, _ in entry.properties) or "none")
    fields: dict[str, Tree] = {"kind": Leaf(kind), "properties": properties, "structure": inner}
    return Titled(kind, fields, {"properties": properties, "structure": inner})
