"""Every size, depth and count limit of the engine, with its reason.

All input is hostile. A limit that is exceeded raises `LimitExceeded` with the field's name, so that an operator
who has a good reason can raise exactly that one.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DEFAULT_LIMITS", "Limits"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits for one call. Sizes are in bytes."""

    message_size: int = 256 * 1024 * 1024
    """A whole message in memory. Exchange Online accepts 150 MB; base64 adds a third."""

    asn1_depth: int = 64
    """Nested constructed values. CMS with certificates needs about 20."""

    asn1_elements: int = 2_000_000
    """Values in one BER structure: a 150 MB content streamed in chunks of 1,000 bytes has 150,000."""

    header_size: int = 1024 * 1024
    """All header fields of one MIME entity together."""

    header_fields: int = 2_000
    """Header fields of one MIME entity; real mail has fewer than 200."""

    mime_parameters: int = 200
    """Parameters of one header field, RFC 2231 continuations counted one by one."""

    mime_depth: int = 32
    """Nested multiparts and message/rfc822 parts."""

    mime_parts: int = 10_000
    """Leaf and multipart entities of one message."""

    layers: int = 16
    """Signed, encrypted and compressed layers around a content; a triple-wrapped message has three."""

    signers: int = 64
    """SignerInfos of one SignedData: each costs a public-key operation."""

    attestations: int = 16
    """Countersignatures and time stamps of one signer, those of countersignatures included: each costs one or two."""

    certificates: int = 1_000
    """Certificates inside one SignedData."""

    crls: int = 100
    """CRLs and other revocation values inside one SignedData."""

    attributes: int = 200
    """Attributes of one SignerInfo, and values of one attribute."""

    recipients: int = 20_000
    """RecipientInfos of one EnvelopedData; matching is linear, unwrapping happens only for those that match."""

    envelope_head: int = 16 * 1024 * 1024
    """Recipients of an envelope that is read piece by piece: 20,000 with RSA-4096 take 14 MB."""

    unwrap_attempts: int = 64
    """Private-key operations spent on one EnvelopedData."""

    pbkdf2_iterations: int = 10_000_000
    """PBKDF2 rounds of a password recipient or key file: about 3 s; OWASP's advice for SHA-256 is 600,000."""

    decompressed_size: int = 256 * 1024 * 1024
    """Output of one CompressedData."""

    compression_ratio: int = 1_100
    """Output divided by input: above what zlib reaches on real text, zlib's own maximum is 1,032."""

    path_length: int = 16
    """Certificates of one path; PKITS needs 7."""

    path_candidates: int = 250
    """Links between certificates examined while one path is built; each may cost a signature check of a millisecond."""

    name_constraint_comparisons: int = 250_000
    """Names times constraints along a path."""

    policy_nodes: int = 2_000
    """Nodes of one certificate-policy graph (CVE-2023-0464)."""

    revoked_certificates: int = 20_000_000
    """Entries of one revocation list: 8 octets of index each. The largest public lists have about a million."""

    ocsp_answers: int = 10_000
    """Answers in one OCSP response; a request asks about one certificate."""

    directory_values: int = 1_000
    """Values of one attribute of a directory entry that are read. Entra ID allows 15; Active Directory's pages end at
    1,500, and encrypting file systems leave hundreds behind."""

    directory_value_size: int = 128 * 1024
    """One value of a certificate attribute: Active Directory allows 32,768 octets, others more."""

    judged_certificates: int = 64
    """Certificates of one recipient whose paths are judged before the rest is given up."""

    group_members: int = 20_000
    """Members of a distribution group, nested ones included: as many as a message may have recipients."""

    store_elements: int = 200_000
    """Certificates, CRLs, CTLs and properties in one serialized store (SST); Windows' whole root programme has 500."""


DEFAULT_LIMITS = Limits()
