"""From a plan to octets: sign, encrypt and wrap as the rules say.

Does: keep prepared signers and encryptors, and build one variant of a message. Does not: decide who gets what
(`policy.delivery_plan`) or choose ciphers (`policy.capabilities`).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from smime_engine import (
    Certificate,
    CmsSigner,
    MessageEncryptor,
    MessageSigner,
    SignedAttributes,
    TrustCollection,
    seal_message,
)
from smime_engine.cms.addressing import KekRecipient, PasswordRecipient, Recipient
from smime_engine.cms.capabilities import DEFAULT_CAPABILITIES, encode_capabilities
from smime_engine.engine import Step
from smime_engine.errors import UnsupportedAlgorithm
from smime_engine.policy.capabilities import Addressee, choose_encryption
from smime_engine.policy.rules import Certificates, OutboundRules
from smime_smtp_relay.identities import SigningIdentity

__all__ = ["Sealer"]

_KEPT = 256


class Sealer:
    """Builds variants; usable from several threads, as what is prepared twice is the same."""

    def __init__(self, *, roots: TrustCollection) -> None:
        self._roots = {anchor.subject_der: anchor for anchor in roots.anchors}
        self._signers: OrderedDict[object, MessageSigner] = OrderedDict()
        self._encryptors: OrderedDict[object, MessageEncryptor] = OrderedDict()

    def seal(
        self,
        message: bytes,
        *,
        signer: SigningIdentity | None,
        recipients: Sequence[Certificate],
        rules: OutboundRules,
        now: datetime,
    ) -> bytes:
        """One variant: signed if there is a signer, then encrypted if there are recipients, then wrapped if wanted."""
        steps: list[Step] = [] if signer is None else [self._signer(signer, rules)]
        if recipients:
            wrap = steps if rules.triple_wrap else []
            steps = [*steps, self._encryptor(recipients, rules), *wrap]
        return seal_message(message, steps=steps, now=now)

    def _signer(self, identity: SigningIdentity, rules: OutboundRules) -> MessageSigner:
        fingerprint = identity.certificate.fingerprint_sha256
        key = (fingerprint, rules.clear, rules.certificates, rules.capabilities, rules.digest)
        signer = self._signers.get(key)
        if signer is None:
            try:
                prepared = self._cms_signer(identity, rules, identity.digest or rules.digest)
            except UnsupportedAlgorithm:  # the rules' digest is not for this kind of key; the file's was tried before
                prepared = self._cms_signer(identity, rules, "")
            signer = self._signers[key] = MessageSigner.of(prepared, clear=rules.clear)
            _forget_oldest(self._signers)
        return signer

    def _cms_signer(self, identity: SigningIdentity, rules: OutboundRules, digest: str) -> CmsSigner:
        capabilities = encode_capabilities(DEFAULT_CAPABILITIES) if rules.capabilities else b""
        return CmsSigner(
            identity.identity.key,
            identity.certificate,
            chain=self._chain(identity, rules.certificates),
            digest=digest,
            attributes=SignedAttributes(capabilities=capabilities),
            include_certificates=rules.certificates is not Certificates.NONE,
        )

    def _chain(self, identity: SigningIdentity, wanted: Certificates) -> tuple[Certificate, ...]:
        if wanted in (Certificates.NONE, Certificates.SIGNER):
            return ()
        last = (identity.certificate, *identity.identity.chain)[-1]
        root = self._roots.get(last.issuer_der)
        chain = identity.identity.chain
        return (*chain, root) if wanted is Certificates.CHAIN_AND_ROOT and root is not None else chain

    def _encryptor(self, recipients: Sequence[Certificate], rules: OutboundRules) -> MessageEncryptor:
        fingerprints = tuple(found.fingerprint_sha256 for found in recipients)
        key = (fingerprints, rules.cipher, rules.ciphers, rules.by_key_identifier)
        encryptor = self._encryptors.get(key)
        if encryptor is None:
            addressees = [Addressee(certificate=certificate) for certificate in dict.fromkeys(recipients)]
            choice = choose_encryption(addressees, preference=rules.ciphers, demanded=rules.cipher)
            named = [_named(recipient, rules) for recipient in choice.recipients]
            encryptor = MessageEncryptor(named, cipher=choice.cipher, derives_key=choice.derives_key)
            self._encryptors[key] = encryptor
            _forget_oldest(self._encryptors)
        return encryptor


def _named(recipient: Recipient, rules: OutboundRules) -> Recipient:
    if isinstance(recipient, KekRecipient | PasswordRecipient) or not rules.by_key_identifier:
        return recipient
    return replace(recipient, by_key_identifier=True)


def _forget_oldest(kept: OrderedDict[object, MessageSigner] | OrderedDict[object, MessageEncryptor]) -> None:
    while len(kept) > _KEPT:
        kept.popitem(last=False)
