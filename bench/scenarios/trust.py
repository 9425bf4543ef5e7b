"""Certificate paths: a chain of three that was judged before, one that was not, and one among ten thousand CAs.

Floor of the warm ones: hashing the leaf, since nothing can be recognised without looking at it. Floor of the cold one:
its two signatures. The peer, `cryptography`'s verifier, knows no CRLs, no policies and no reasons; its extension
policies of the Web PKI are turned off, as they would refuse mail certificates.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from itertools import count

from cryptography import x509
from cryptography.x509 import verification

from bench.contest import Contest, scenario
from bench.material import BENCH_TIME, user
from bench.primitives import raw_verify
from smime_engine.certificate import Certificate
from smime_engine.problems import Verdict
from smime_engine.trust.collection import TrustCollection
from smime_engine.trust.path import Purpose, validate_path
from tests import pki

_OTHER_AUTHORITIES = 10_000


@scenario
def path_warm() -> Contest:
    """Leaf, one intermediate, root; the collection has seen them. Without revocation."""
    return _warm(TrustCollection((_root(),)))


@scenario
def path_warm_10000_authorities() -> Contest:
    """The same among ten thousand other authorities: the look-up must not grow with them."""
    return _warm(TrustCollection((_root(), *_strangers())))


@scenario
def path_cold() -> Contest:
    """Everything from DER: a new collection, three certificates parsed, two signatures verified."""
    alice = user("p256")
    ders = (alice.certificate_der, *alice.chain_der)
    root = alice.root_der

    def ours() -> None:
        collection = TrustCollection((Certificate.parse(root),))
        leaf, *pool = map(Certificate.parse, ders)
        report = validate_path(leaf, collection=collection, pool=pool, now=BENCH_TIME, purpose=Purpose.SIGN)
        assert report.verdict is Verdict.VALID

    once = raw_verify(pki.new_key("p256", "Bench CA"))
    return Contest(ours=ours, floor=lambda: (once(), once()), peers={"pyca verifier": _pyca(root, ders, parse=True)})


def _warm(collection: TrustCollection) -> Contest:
    alice = user("p256")
    leaf, *pool = (collection.certificate(der) for der in (alice.certificate_der, *alice.chain_der))
    report = validate_path(leaf, collection=collection, pool=pool, now=BENCH_TIME, purpose=Purpose.SIGN)
    assert report.verdict is Verdict.VALID, report.problems
    ders = (alice.certificate_der, *alice.chain_der)
    return Contest(
        ours=lambda: (
            validate_path(leaf, collection=collection, pool=pool, now=BENCH_TIME, purpose=Purpose.SIGN).verdict
        ),
        floor=lambda: hashlib.sha256(leaf.der).digest(),
        peers={"pyca verifier": _pyca(alice.root_der, ders, parse=False)},
    )


def _root() -> Certificate:
    return Certificate.parse(user("p256").root_der)


def _strangers() -> tuple[Certificate, ...]:
    """Roots that differ in name and serial number alone: a pattern with the digits replaced."""
    pattern = pki.authority("Stranger 00000000").certificate_der
    numbers = (b"%08d" % number for number in count())
    return tuple(Certificate.parse(pattern.replace(b"00000000", next(numbers))) for _ in range(_OTHER_AUTHORITIES))


def _pyca(root: bytes, ders: tuple[bytes, ...], *, parse: bool) -> Callable[[], object]:
    """The verifier of `cryptography` on the same chain; `parse` makes it start from DER too."""
    ca_policy = verification.ExtensionPolicy.permit_all().require_present(
        x509.BasicConstraints, verification.Criticality.AGNOSTIC, None
    )

    def verifier() -> verification.ClientVerifier:
        store = verification.Store([x509.load_der_x509_certificate(root)])
        builder = verification.PolicyBuilder().store(store).time(BENCH_TIME)
        builder = builder.extension_policies(ca_policy=ca_policy, ee_policy=verification.ExtensionPolicy.permit_all())
        return builder.build_client_verifier()

    def load() -> list[x509.Certificate]:
        return [x509.load_der_x509_certificate(der) for der in ders]

    ready, loaded = verifier(), load()
    if parse:
        return lambda: _verify(verifier(), load())
    return lambda: _verify(ready, loaded)


def _verify(verifier: verification.ClientVerifier, certificates: list[x509.Certificate]) -> object:
    return verifier.verify(certificates[0], certificates[1:])
