"""What the engine says about a message: layers, signatures, problems, and what is missing to decide.

Reports are values. They have no truth value: a caller compares `report.verdict` with a `Verdict` or calls
`require_valid()`. Verdicts are derived from problems at every access and never stored, so none can disagree
with its reasons. This module decides nothing and knows neither MIME nor CMS syntax.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain
from typing import NoReturn

from smime_engine.certificate import Certificate
from smime_engine.cms.ess import SecurityServices, security_services
from smime_engine.cms.recipients import RecipientDescription, RecipientIdentifier
from smime_engine.cms.signed import SignerCheck, SignerInfo
from smime_engine.cms.timestamp import TimestampCheck
from smime_engine.errors import NotValid
from smime_engine.mime.header_protection import HeaderReport, read_header
from smime_engine.mime.parse import Entity
from smime_engine.problems import Finding, Problem, Verdict, verdict_of
from smime_engine.trust.history import ValidationTime
from smime_engine.trust.path import PathReport
from smime_engine.trust.wanted import Wanted

__all__ = [
    "CertificatesLayer",
    "CompressedLayer",
    "DigestedLayer",
    "EncryptedLayer",
    "Layer",
    "OpenedMessage",
    "OutsidePart",
    "SignatureReport",
    "SignedLayer",
    "TimestampReport",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class TimestampReport:
    """A time stamp of a signature (RFC 3161). It counts neither for nor against the signature that it stands by."""

    check: TimestampCheck
    """What the cryptographic check of the token found, and what the token says."""

    findings: tuple[Finding, ...]
    path: PathReport | None
    """The path of the authority's certificate; None when there is no certificate or no trust was given."""

    forgiven: frozenset[Problem] = frozenset()

    @property
    def moment(self) -> datetime | None:
        """When the signature existed at the latest, the stated accuracy included (aware, UTC); None if unreadable."""
        moment, accuracy = self.check.moment, self.check.accuracy
        return moment if moment is None or accuracy is None else moment + accuracy

    @property
    def certificate(self) -> Certificate | None:
        """The authority's certificate; None when nobody had it."""
        return None if self.check.signer is None else self.check.signer.certificate

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Every problem once: the token, its signature, the authority's path."""
        own = (finding.problem for finding in (*self.check.findings, *self.findings))
        path = () if self.path is None else (problem.problem for problem in self.path.problems)
        return tuple(dict.fromkeys((*own, *path)))

    @property
    def verdict(self) -> Verdict:
        """VALID only when token, signature and authority have nothing against them: then the moment is proven."""
        return verdict_of(self.problems, forgiven=self.forgiven)

    @property
    def wanted(self) -> tuple[Wanted, ...]:
        """What could turn an UNKNOWN into an answer when it is fetched and given."""
        return () if self.path is None else self.path.wanted

    def __bool__(self) -> NoReturn:
        raise TypeError("a time-stamp report has no truth value: compare its verdict")


@dataclass(frozen=True, slots=True, kw_only=True)
class SignatureReport:
    """One signature of one signed layer, or a countersignature of one."""

    signer: SignerInfo = field(repr=False)
    """The signer as the message names it."""

    check: SignerCheck
    """What the cryptographic check of this signer found."""

    findings: tuple[Finding, ...]
    """Problems of the sender binding and of missing trust, beside those of `check` and `path`."""

    path: PathReport | None
    """The certificate path; None when there is no certificate or no trust was given."""

    sender_bound: bool | None
    """Whether the certificate names the message's sender; None when the message has no sender to compare."""

    forgiven: frozenset[Problem] = frozenset()
    """Problems that the caller's policy tolerates: reported, but not counted in the verdict."""

    judged_at: ValidationTime | None = None
    """The moment that the path was judged for where a time stamp moved it; None for the moment of the caller."""

    timestamps: tuple[TimestampReport, ...] = ()
    countersignatures: tuple[SignatureReport, ...] = ()
    """Signatures over this signature (RFC 5652 section 11.4). They count neither for nor against it."""

    @property
    def certificate(self) -> Certificate | None:
        """The signer's certificate; None when neither the message nor the caller had it."""
        return self.check.certificate

    @property
    def identifier(self) -> str:
        """The signer as the SignerInfo names it, for people: issuer and serial number, or key identifier."""
        return RecipientIdentifier(self.signer.issuer_and_serial, self.signer.subject_key_identifier).text

    @property
    def digest(self) -> str:
        """Digest algorithm of the content: a name such as `sha256`, or the dotted OID when unknown."""
        return self.check.digest

    @property
    def algorithm(self) -> str:
        """Signature algorithm: a name such as `ecdsa`, or the dotted OID when unknown."""
        return self.check.algorithm

    @property
    def signing_time(self) -> datetime | None:
        """When the signer claims to have signed (aware, UTC): a claim, not a proof."""
        return self.check.signing_time

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Every problem once, in the order found: signature, sender, path."""
        own = (finding.problem for finding in (*self.check.findings, *self.findings))
        path = () if self.path is None else (problem.problem for problem in self.path.problems)
        return tuple(dict.fromkeys((*own, *path)))

    @property
    def verdict(self) -> Verdict:
        """VALID only when signature, sender and path have nothing against them."""
        return verdict_of(self.problems, forgiven=self.forgiven)

    @property
    def services(self) -> SecurityServices:
        """What the signer asks for and says by the attributes of RFC 2634; decoded at each access."""
        return security_services(self.check)

    @property
    def wanted(self) -> tuple[Wanted, ...]:
        """What could turn an UNKNOWN into an answer when it is fetched and given."""
        own = () if self.path is None else self.path.wanted
        others = [*[stamp.wanted for stamp in self.timestamps], *[other.wanted for other in self.countersignatures]]
        return (*own, *chain.from_iterable(others)) if others else own

    def __bool__(self) -> NoReturn:
        raise TypeError("a signature report has no truth value: compare its verdict")


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedLayer:
    """A SignedData with content (RFC 5652 section 5): `multipart/signed` (clear) or opaque."""

    clear: bool
    signatures: tuple[SignatureReport, ...]
    certificates: tuple[bytes, ...]
    """All certificates that the layer carries, DER, in their order, trusted or not."""

    kind = "signed"

    @property
    def verdict(self) -> Verdict:
        """The worst of all signatures; INVALID when nobody signed, whatever the structure looks like."""
        if not self.signatures:
            return Verdict.INVALID
        return _worst(signature.verdict for signature in self.signatures)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Problems of the layer as such."""
        return () if self.signatures else (Problem.NO_SIGNERS,)


@dataclass(frozen=True, slots=True, kw_only=True)
class EncryptedLayer:
    """An EnvelopedData, AuthEnvelopedData or EncryptedData."""

    content_type: str
    """`enveloped-data`, `auth-enveloped-data` or `encrypted-data`."""

    cipher: str
    """Content cipher: name such as `aes256-cbc`, or the dotted OID when unknown."""

    integrity: bool
    """True when the cipher authenticates (AEAD); CBC content can be changed without being noticed (EFAIL)."""

    recipients: tuple[RecipientDescription, ...]
    opened_with: RecipientDescription | None
    """The recipient whose key opened the layer; None for EncryptedData, which has none."""

    findings: tuple[Finding, ...] = ()

    kind = "encrypted"

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Problems of the layer, such as a weak cipher."""
        return tuple(finding.problem for finding in self.findings)


@dataclass(frozen=True, slots=True, kw_only=True)
class CompressedLayer:
    """A CompressedData (RFC 3274)."""

    algorithm: str
    compressed_size: int
    size: int

    kind = "compressed"


@dataclass(frozen=True, slots=True, kw_only=True)
class DigestedLayer:
    """A DigestedData (RFC 5652 section 7): a digest protects against accidents, not against anybody."""

    algorithm: str
    intact: bool
    """Whether the digest fits the content."""

    kind = "digested"


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificatesLayer:
    """A certs-only SignedData (RFC 8551 section 3.8): it carries certificates and CRLs and signs nothing."""

    certificates: tuple[bytes, ...]
    crls: tuple[bytes, ...]

    kind = "certificates"


Layer = SignedLayer | EncryptedLayer | CompressedLayer | DigestedLayer | CertificatesLayer


@dataclass(frozen=True, slots=True, kw_only=True)
class OutsidePart:
    """A part of the message that stands beside the opened one: neither signed nor encrypted with it."""

    content_type: str
    size: int
    """Bytes, header fields included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedMessage:
    """A message with all its layers peeled off."""

    content: bytes
    """The innermost MIME entity (or bare content), every byte as the layer carried it."""

    layers: tuple[Layer, ...]
    """Outermost first."""

    sender: tuple[str, ...] = ()
    """Addresses of the From field that the signers were compared with."""

    findings: tuple[Finding, ...] = ()
    """Problems of the message as a whole, such as a signature that lost its content."""

    outside: tuple[OutsidePart, ...] = ()
    """What stands outside of the opened part: show it, if at all, apart from the content."""

    parts: tuple[OpenedMessage, ...] = ()
    """Where several protected parts stand side by side: each opened for itself, the content left closed."""

    outer: Entity | None = field(default=None, repr=False, compare=False)
    """The message as it came; None for bare CMS."""

    payload: Entity | None = field(default=None, repr=False, compare=False)
    """The entity inside all layers; None where the content is no MIME entity."""

    decrypted: bytes | None = field(default=None, repr=False, compare=False)
    """The MIME entity right inside the innermost encryption, signatures inside it as they were: what a gateway that
    only decrypts hands on. None where nothing was encrypted, or no MIME entity was."""

    @property
    def header(self) -> HeaderReport | None:
        """What protects the header fields (RFC 9788), computed at each access; None for bare CMS."""
        if self.outer is None or self.payload is None:
            return None
        return read_header(
            self.outer,
            self.payload,
            signed=self.verdict is Verdict.VALID and not self.partial,
            encrypted=not self.partial and any(isinstance(layer, EncryptedLayer) for layer in self.layers),
        )

    @property
    def partial(self) -> bool:
        """Whether something of the message stands outside of what was opened."""
        return bool(self.outside or self.parts) or any(part.partial for part in self.parts)

    @property
    def signatures(self) -> tuple[SignatureReport, ...]:
        """All signatures of all layers, outermost first."""
        return tuple(s for layer in self.layers if isinstance(layer, SignedLayer) for s in layer.signatures)

    @property
    def verdict(self) -> Verdict | None:
        """The worst verdict of all signed layers and parts; None when nothing was signed."""
        verdicts = [layer.verdict for layer in self.layers if isinstance(layer, SignedLayer)]
        verdicts += [part.verdict for part in self.parts if part.verdict is not None]
        verdicts += [finding.problem.effect for finding in self.findings if finding.problem.effect is not None]
        return _worst(verdicts) if verdicts else None

    @property
    def sender_bound(self) -> bool | None:
        """Whether every signature of the innermost signed layer names the sender; None when undecidable."""
        inner = next((layer for layer in reversed(self.layers) if isinstance(layer, SignedLayer)), None)
        bound = {signature.sender_bound for signature in inner.signatures} if inner is not None else {None}
        if not bound or None in bound:
            return None
        return bound == {True}

    @property
    def wanted(self) -> tuple[Wanted, ...]:
        """Everything that could help to decide, each once."""
        own = (item for signature in self.signatures for item in signature.wanted)
        nested = (item for part in self.parts for item in part.wanted)
        return tuple(dict.fromkeys((*own, *nested)))

    def require_valid(self) -> OpenedMessage:
        """Return self when everything is signed and VALID and nothing stands outside; raise `NotValid` else."""
        if self.verdict is Verdict.VALID and not self.partial:
            return self
        raise NotValid(_why_not_valid(self))

    def __bool__(self) -> NoReturn:
        raise TypeError("an opened message has no truth value: compare its verdict or call require_valid()")


def _worst(verdicts: Iterable[Verdict]) -> Verdict:
    found = set(verdicts)
    if Verdict.INVALID in found:
        return Verdict.INVALID
    return Verdict.UNKNOWN if Verdict.UNKNOWN in found else Verdict.VALID


def _why_not_valid(opened: OpenedMessage) -> str:
    if opened.verdict is None:
        return "the message is not signed"
    if opened.verdict is Verdict.VALID:
        return "part of the message stands outside of the signature"
    own = (finding.problem for finding in opened.findings)
    names = dict.fromkeys((*own, *(p for s in opened.signatures for p in s.problems if p.effect is not None)))
    return f"{opened.verdict.value}: " + ("; ".join(problem.text for problem in names) or Problem.NO_SIGNERS.text)
