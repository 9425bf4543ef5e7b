"""`smime inspect`: a tree that can be drawn and serialised, or `MalformedMessage`; certificates can be linted."""

from __future__ import annotations

import json

from smime_engine.asn1 import ber, oids
from smime_engine.certificate_bundle import certificates_from
from smime_engine.cli.inspection.files import file_tree
from smime_engine.cli.inspection.tree import as_json, as_lines, malformed_in
from smime_engine.errors import MalformedMessage
from smime_engine.trust.lint import lint_certificate
from tests import pki


def fuzz(data: bytes) -> None:
    _lint(data)
    try:
        found = file_tree(data)
    except MalformedMessage:
        return
    for guide, label, text in as_lines(found.kind, found.tree):
        if not (guide + label + text).isprintable():
            raise AssertionError("text that could steer a terminal")
    json.dumps(as_json(found.tree))
    for malformed in malformed_in(found.tree):
        if "is not defined" in malformed.problem:  # a NameError of ours must not pass for a fault of the input
            raise AssertionError(malformed.problem)


def _lint(data: bytes) -> None:
    try:
        certificates = certificates_from(data)
    except MalformedMessage:
        return
    for certificate in certificates:
        lint_certificate(certificate, email="alice@example.org")


def seeds() -> list[bytes]:
    root = pki.authority("Fuzz Root", crl_urls=["http://crl.example.org/root.crl"])
    alice = root.issue("Alice", "alice@example.org")
    content = ber.encode(0x30, oids.ID_DATA.tlv, ber.encode(0xA0, ber.encode(0x04, b"Content-Type: text/plain\n\nHi")))
    certificates = ber.encode(0xA0, alice.certificate_der)
    signed = ber.encode(0x30, b"\x02\x01\x01", b"\x31\x00", content, certificates, b"\x31\x00")
    message = ber.encode(0x30, oids.ID_SIGNED_DATA.tlv, ber.encode(0xA0, signed))
    return [
        message,
        alice.certificate_der,
        alice.pem(),
        alice.pkcs12(b"secret"),
        root.crl({alice: None}),
        root.ocsp_response(alice),
        b"Content-Type: application/pkcs7-mime\nContent-Transfer-Encoding: binary\n\n" + message,
    ]
