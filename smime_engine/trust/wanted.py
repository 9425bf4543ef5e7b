"""What a report would need to decide: values that an adapter can fetch, to call again with what it got.

The core never fetches. URLs are the certificate's own words, so hostile: the fetcher limits schemes, addresses, sizes
and redirects. A `url` of None means that the certificate names no place, and only the administrator can help.

Standards: RFC 5280 sections 4.2.1.13 (CRL distribution points), 4.2.2.1 (authority information access).
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Crl", "Issuer", "Ocsp", "Wanted"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuer:
    """The certificate of an issuer. `name` is its RFC 4514 text, `name_der` its DER; `url` is of AIA caIssuers."""

    url: str | None
    name: str
    name_der: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Crl:
    """A certificate revocation list. `issuer` is the RFC 4514 text of its issuer; `delta` for one of freshestCRL."""

    url: str | None
    issuer: str
    delta: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Ocsp:
    """An OCSP response. `request` is the DER of the OCSPRequest to send, made for the certificate in question."""

    url: str
    issuer: str
    request: bytes


Wanted = Issuer | Crl | Ocsp
