"""Write SignedData around SignerInfos that are already made: ContentInfo, versions, sorted SETs; and certs-only.

Everything is DER, the outer layers too, although CMS asks that of the signed attributes alone: one content, one
encoding. Does not sign (`signer.py`).

Standards: RFC 5652 sections 3, 5.1 (version numbers), 5.2, 10.2; RFC 8551 section 3.8 (certs-only).
"""

from __future__ import annotations

from collections.abc import Iterable

from smime_engine.asn1 import ber, oids

__all__ = ["certificates_only", "encode_signed_data", "encode_signed_data_pieces"]

Octets = bytes | memoryview


def encode_signed_data(
    signer_infos: Iterable[bytes],
    digest_algorithms: Iterable[bytes],
    certificates: Iterable[bytes],
    *,
    crls: Iterable[bytes] = (),
    content: Octets | None = None,
    content_type: oids.Oid = oids.ID_DATA,
) -> bytes:
    """Encode a ContentInfo with a SignedData; all arguments are complete DER encodings, in any order.

    `certificates` and `crls` may be other kinds than X.509 with their tags (RFC 5652 section 10.2). Content None is
    detached.
    """
    head, tail = encode_signed_data_pieces(
        signer_infos,
        digest_algorithms,
        certificates,
        crls=crls,
        content_size=None if content is None else len(content),
        content_type=content_type,
    )
    return b"".join((head, content or b"", tail))


def encode_signed_data_pieces(
    signer_infos: Iterable[bytes],
    digest_algorithms: Iterable[bytes],
    certificates: Iterable[bytes],
    *,
    crls: Iterable[bytes] = (),
    content_size: int | None = None,
    content_type: oids.Oid = oids.ID_DATA,
) -> tuple[bytes, bytes]:
    """The same, as what stands before the octets of the content and what stands behind them."""
    infos, certificates, crls = set(signer_infos), set(certificates), set(crls)
    version = _version(infos, certificates, crls, content_type)
    behind = b"".join(
        (
            ber.encode_set(0xA0, certificates) if certificates else b"",
            ber.encode_set(0xA1, crls) if crls else b"",
            ber.encode_set(0x31, infos),
        )
    )
    before = ber.encode(0x02, bytes((version,))) + ber.encode_set(0x31, set(digest_algorithms))
    size = content_size or 0
    inner = b""
    if content_size is not None:
        inner = b"\x04" + ber.encode_length(size)
        inner = b"\xa0" + ber.encode_length(len(inner) + size) + inner
    inner = content_type.tlv + inner
    inner = before + b"\x30" + ber.encode_length(len(inner) + size) + inner
    rest = size + len(behind)  # what follows `inner` in every layer around it
    inner = b"\x30" + ber.encode_length(len(inner) + rest) + inner
    inner = oids.ID_SIGNED_DATA.tlv + b"\xa0" + ber.encode_length(len(inner) + rest) + inner
    return b"\x30" + ber.encode_length(len(inner) + rest) + inner, behind


def certificates_only(certificates: Iterable[bytes], *, crls: Iterable[bytes] = ()) -> bytes:
    """A SignedData that nobody signs and that carries certificates and CRLs (DER): a `.p7c` file."""
    return encode_signed_data((), (), certificates, crls=crls)


def _version(infos: set[bytes], certificates: set[bytes], crls: set[bytes], content_type: oids.Oid) -> int:
    """RFC 5652 section 5.1."""
    kinds = {encoding[0] for encoding in certificates}
    if 0xA3 in kinds or any(encoding[0] == 0xA1 for encoding in crls):
        return 5
    if 0xA2 in kinds:
        return 4
    return 3 if 0xA1 in kinds or content_type != oids.ID_DATA or any(map(_is_version_3, infos)) else 1


def _is_version_3(info: bytes) -> bool:
    _, start, end = ber.read_header(info, 0, len(info))
    return info[start : min(start + 3, end)] == b"\x02\x01\x03"
