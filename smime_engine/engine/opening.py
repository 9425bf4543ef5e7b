"""Open a message: peel its layers, judge every signature, decrypt what the keys fit, and say what was found.

Does: join `mime` (which form an entity has, which octets were signed), `cms` (structures and cryptography) and `trust`
(paths) into one report. Does not: fetch what is missing (it is named in `wanted`), read the clock, or decide what shall
happen to the message (`policy`).

Hot file. Goal: the parts around one signature check cost less than half of a P-256 verification. Plan: certificates are
parsed once per collection (`TrustCollection.certificates`), spans of the input are handed on without copies.

Attacks considered: content beside a signed or encrypted part (EFAIL, "covert content") is never merged with it but
listed in `outside`; a signer who is not the sender; several From fields; two line-end forms of one content, of which
only the one that was signed counts; nesting without end.

Standards: RFC 8551 section 3, RFC 8550 sections 3 and 4, RFC 5652, RFC 3274.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from smime_engine.asn1 import oids
from smime_engine.certificate import Certificate
from smime_engine.cms.compressed import decompress
from smime_engine.cms.content_info import content_type_of, with_content_info
from smime_engine.cms.digested import open_digested_data
from smime_engine.cms.encrypted import open_encrypted_data
from smime_engine.cms.enveloped import OpenedEnvelope, open_envelope
from smime_engine.cms.opening import DecryptionKeys
from smime_engine.cms.signed import ContentDigests, parse_signed_data
from smime_engine.engine.judging import Judge
from smime_engine.engine.sender import Sender, sender_of
from smime_engine.errors import LimitExceeded, UnsupportedAlgorithm
from smime_engine.keys import KeyRing
from smime_engine.limits import DEFAULT_LIMITS, Limits
from smime_engine.mime.classify import ClearSigned, CmsPart, Container, Plain, classify
from smime_engine.mime.defects import Defect
from smime_engine.mime.parse import Entity, parse_entity
from smime_engine.problems import Finding, Problem
from smime_engine.report import (
    CertificatesLayer,
    CompressedLayer,
    DigestedLayer,
    EncryptedLayer,
    Layer,
    OpenedMessage,
    OutsidePart,
    SignatureReport,
    SignedLayer,
)
from smime_engine.trust.collection import TrustCollection
from smime_engine.trust.path import DEFAULT_OPTIONS, NO_EVIDENCE, Evidence, PathOptions

__all__ = ["open_cms", "open_message"]

_NO_KEYS = DecryptionKeys()

_STRUCTURES = frozenset(
    {
        oids.ID_SIGNED_DATA,
        oids.ID_ENVELOPED_DATA,
        oids.ID_CT_AUTH_ENVELOPED_DATA,
        oids.ID_ENCRYPTED_DATA,
        oids.ID_CT_COMPRESSED_DATA,
    }
)


def open_message(  # noqa: PLR0913 - each says another thing about the world; most callers need three
    raw: bytes,
    *,
    now: datetime,
    keys: KeyRing | DecryptionKeys = _NO_KEYS,
    trust: TrustCollection | None = None,
    evidence: Evidence = NO_EVIDENCE,
    certificates: Sequence[Certificate] = (),
    options: PathOptions = DEFAULT_OPTIONS,
    present: datetime | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> OpenedMessage:
    """Open an Internet message or MIME entity, with all its layers.

    `now` (aware) is the moment that certificates are judged for; `present` the real time where that differs. `keys`
    decrypt, `trust` is the tenant's collection (without one, verdicts are UNKNOWN at best), `evidence` what is known
    about revocation, `certificates` further ones that may help and are not trusted, `options` the path policy.

    Raises MalformedMessage (LimitExceeded), NoMatchingKey, DecryptionFailed, UnsupportedAlgorithm (of a layer that has
    to be opened). Whatever is wrong with signatures is in the report. RFC 8551 section 3.
    """
    judge = Judge(
        now=now,
        trust=trust,
        evidence=evidence,
        certificates=certificates,
        options=options,
        present=present,
        limits=limits,
    )
    entity = parse_entity(raw, limits=limits)
    return _Peeling(judge, decryption_keys(keys), sender_of(entity)).entity(entity).result()


def open_cms(  # noqa: PLR0913 - as open_message
    data: bytes,
    *,
    now: datetime,
    content: bytes | None = None,
    keys: KeyRing | DecryptionKeys = _NO_KEYS,
    trust: TrustCollection | None = None,
    evidence: Evidence = NO_EVIDENCE,
    certificates: Sequence[Certificate] = (),
    options: PathOptions = DEFAULT_OPTIONS,
    present: datetime | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> OpenedMessage:
    """Open a bare CMS object, DER or BER; `content` is that of a detached signature. Else as `open_message`.

    There is no message around it, so no sender is compared. RFC 5652.
    """
    judge = Judge(
        now=now,
        trust=trust,
        evidence=evidence,
        certificates=certificates,
        options=options,
        present=present,
        limits=limits,
    )
    return _Peeling(judge, decryption_keys(keys), Sender()).cms(data, detached=content).result()


def decryption_keys(keys: KeyRing | DecryptionKeys) -> DecryptionKeys:
    """A key ring is the usual case of everything that may open a message."""
    return keys if isinstance(keys, DecryptionKeys) else DecryptionKeys(ring=keys)


class _Peeling:
    """One message under way: layers found so far, and what stands outside of them."""

    __slots__ = (
        "content",
        "decrypted",
        "findings",
        "judge",
        "keys",
        "layers",
        "limits",
        "outer",
        "outside",
        "parts",
        "payload",
        "sender",
    )

    def __init__(self, judge: Judge, keys: DecryptionKeys, sender: Sender) -> None:
        self.judge = judge
        self.keys = keys
        self.limits = judge.limits
        self.sender = sender
        self.content = b""
        self.layers: list[Layer] = []
        self.findings: list[Finding] = []
        self.outside: list[OutsidePart] = []
        self.parts: list[OpenedMessage] = []
        self.outer: Entity | None = None
        self.payload: Entity | None = None
        self.decrypted: bytes | None = None

    def result(self) -> OpenedMessage:
        """What was found."""
        layers = self.layers
        if sum(isinstance(layer, SignedLayer) for layer in layers) > 1:
            layers = _with_tolerated_outer_signers(layers)
        return OpenedMessage(
            content=self.content,
            layers=tuple(layers),
            sender=self.sender.addresses,
            findings=tuple(self.findings),
            outside=tuple(self.outside),
            parts=tuple(self.parts),
            outer=self.outer,
            payload=self.payload,
            decrypted=self.decrypted,
        )

    def add(self, layer: Layer) -> None:
        if len(self.layers) >= self.limits.layers:
            raise LimitExceeded("layers", self.limits.layers)
        self.layers.append(layer)

    # --- MIME

    def entity(self, entity: Entity) -> _Peeling:
        """Peel an entity until its content is no S/MIME any more."""
        if self.outer is None and not self.layers:
            self.outer = entity
        while True:
            form = classify(entity)
            if not _AMBIGUOUS.isdisjoint(entity.defects) and not isinstance(form, Plain):
                self._ambiguous(entity)
            match form:
                case ClearSigned():
                    entity = self._clear_signed(form)
                case CmsPart():
                    return self.cms(form.data, detached=None, lone=form.detached)
                case Container(nested=(only,), orphans=()):
                    self.outside += map(_outside, form.outside)
                    if only.forwarded:
                        # The fields around a forwarded message belong to whoever forwarded it.
                        self.outside.append(_outside(entity))
                    self.sender, self.outer = sender_of(only.message), only.message
                    entity = only.form.entity
                case Container():
                    return self._several(form)
                case Plain():
                    self.payload = entity
                    raw = entity.raw
                    self.content = entity.data if len(raw) == len(entity.data) else bytes(raw)
                    return self

    def _ambiguous(self, entity: Entity) -> None:
        """Two content types or boundaries: another reader takes the other one, and shows what nobody signed."""
        detail = "; ".join(defect.text for defect in entity.defects if defect in _AMBIGUOUS)
        self.findings.append(Finding(problem=Problem.STRUCTURE_AMBIGUOUS, detail=detail))

    def _clear_signed(self, form: ClearSigned) -> Entity:
        signed = parse_signed_data(form.signature, limits=self.limits)
        self.outside += map(_outside, form.outside)
        best: tuple[SignatureReport, ...] = ()
        for content in form.candidates():
            found = self.judge.signatures(signed, ContentDigests(content), self.sender)
            if not any(_CHANGED & set(report.problems) for report in found):
                best = found
                break
            best = best or found
        self.add(SignedLayer(clear=True, signatures=best, certificates=signed.certificates))
        return form.content

    def _several(self, form: Container) -> _Peeling:
        """Several protected parts side by side: nothing can be called *the* content, each is opened for itself."""
        self.content = bytes(form.entity.raw)
        self.outside += map(_outside, form.outside)
        for orphan in form.orphans:
            self.findings.append(Finding(problem=Problem.SIGNATURE_ORPHANED, detail=orphan.content_type.value))
        if len(form.nested) > self.limits.layers:
            raise LimitExceeded("layers", self.limits.layers)
        for nested in form.nested:
            peeling = _Peeling(self.judge, self.keys, sender_of(nested.message))
            self.parts.append(peeling.entity(nested.form.entity).result())
        return self

    # --- CMS

    def cms(self, data: bytes, *, detached: bytes | None, lone: bool = False) -> _Peeling:
        """Peel CMS objects; a content that is data goes on as MIME entity."""
        while True:
            content_type = content_type_of(data)
            if content_type == oids.ID_SIGNED_DATA:
                inner = self._signed_data(data, detached, lone=lone)
            elif content_type in {oids.ID_ENVELOPED_DATA, oids.ID_CT_AUTH_ENVELOPED_DATA}:
                inner = self._encrypted(open_envelope(data, self.keys, limits=self.limits))
            elif content_type == oids.ID_ENCRYPTED_DATA:
                inner = self._encrypted(open_encrypted_data(data, self.keys, limits=self.limits))
            elif content_type == oids.ID_CT_COMPRESSED_DATA:
                inner = self._compressed(data)
            elif content_type == oids.ID_DIGESTED_DATA:
                inner = self._digested(data)
            else:
                raise UnsupportedAlgorithm(oids.name_of(content_type), purpose="CMS content")
            if inner is None:
                return self
            inner_type, content = inner
            if inner_type in _STRUCTURES:
                data, detached = with_content_info(inner_type, content), None
                continue
            if inner_type != oids.ID_DATA:
                self.content = content
                return self
            return self.entity(parse_entity(content, limits=self.limits))

    def _signed_data(self, data: bytes, detached: bytes | None, *, lone: bool) -> tuple[str, bytes] | None:
        """Judge a SignedData -> (content type, content); None where nothing is inside."""
        signed = parse_signed_data(data, limits=self.limits)
        content = signed.content if detached is None else detached
        if not signed.signers and content is None and not lone:
            self.add(CertificatesLayer(certificates=signed.certificates, crls=signed.crls))
            return None
        signatures = self.judge.signatures(signed, ContentDigests(content), self.sender)
        clear = detached is not None or lone
        self.add(SignedLayer(clear=clear, signatures=signatures, certificates=signed.certificates))
        return None if content is None else (signed.content_type, bytes(content))

    def _encrypted(self, opened: OpenedEnvelope) -> tuple[str, bytes]:
        layer = EncryptedLayer(
            content_type=opened.kind,
            cipher=opened.cipher,
            integrity=opened.integrity,
            recipients=opened.recipients,
            opened_with=opened.opened_with,
            findings=opened.findings,
        )
        self.add(layer)
        self.decrypted = opened.content if opened.content_type == oids.ID_DATA else None
        return opened.content_type, opened.content

    def _compressed(self, data: bytes) -> tuple[str, bytes]:
        opened = decompress(data, limits=self.limits)
        layer = CompressedLayer(
            algorithm=opened.algorithm, compressed_size=opened.compressed_size, size=len(opened.content)
        )
        self.add(layer)
        return opened.content_type, opened.content

    def _digested(self, data: bytes) -> tuple[str, bytes]:
        opened = open_digested_data(data, limits=self.limits)
        self.add(DigestedLayer(algorithm=opened.algorithm, intact=opened.intact))
        if not opened.intact:
            self.findings.append(Finding(problem=Problem.DIGEST_MISMATCH, detail="DigestedData"))
        return opened.content_type, opened.content


_AMBIGUOUS = frozenset({Defect.DUPLICATE_FIELD, Defect.DUPLICATE_PARAMETER})
_CHANGED = {Problem.DIGEST_MISMATCH, Problem.SIGNATURE_MISMATCH}


def _with_tolerated_outer_signers(layers: list[Layer]) -> list[Layer]:
    """The innermost signature says who wrote the content; around it gateways and list servers sign as themselves."""
    innermost = max(index for index, layer in enumerate(layers) if isinstance(layer, SignedLayer))
    return [
        replace(layer, signatures=tuple(map(_as_outer, layer.signatures)))
        if isinstance(layer, SignedLayer) and index < innermost
        else layer
        for index, layer in enumerate(layers)
    ]


def _as_outer(signature: SignatureReport) -> SignatureReport:
    findings = tuple(
        replace(finding, problem=Problem.OUTER_SIGNER_DIFFERS)
        if finding.problem is Problem.SENDER_MISMATCH
        else finding
        for finding in signature.findings
    )
    return replace(signature, findings=findings)


def _outside(entity: Entity) -> OutsidePart:
    return OutsidePart(content_type=entity.content_type.value, size=entity.end - entity.start)
