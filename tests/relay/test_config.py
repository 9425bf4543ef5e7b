"""The configuration file: everything that is wrong is named with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from smime_engine.errors import ConfigurationError
from smime_engine.policy.sending import Binding, Otherwise
from smime_smtp_relay.config import parse_configuration, read_configuration
from smime_smtp_relay.passwords import NOBODY

HOP = '[next_hop]\nhost = "mx"\n'
FULL = f"""
hostname = "gw.example"
[[listen]]
address = "0.0.0.0"
port = 25
tls = "offered"
certificate = "tls.pem"
authentication = "required"
[next_hop]
host = "mx.example"
tls = "verify"
ca_file = "/etc/ca.pem"
fingerprints = ["{"AB:" * 31}CD"]
user = "gateway"
password_file = "hop.password"
[signing]
no_key = "reject"
no_key_status = "5.7.509"
sender_must_match = "authenticated"
[[identity]]
file = "alice.p12"
password_file = "alice.password"
addresses = ["alice@example.org"]
[[identity]]
file = "gateway.pem"
domains = ["example.org"]
digest = "sha512"
[users.alice]
password = "{NOBODY}"
"""


def test_a_full_file():
    configuration = parse_configuration(FULL.encode(), folder=Path("/etc/smime"))
    assert configuration.listen[0].certificate == Path("/etc/smime/tls.pem")
    assert configuration.next_hop.ca_file == Path("/etc/ca.pem")
    assert configuration.signing.rules.without_key is Otherwise.REJECT
    assert configuration.signing.rules.binding is Binding.AUTHENTICATED
    assert configuration.identity[1].domains == ("example.org",)


def test_defaults():
    configuration = parse_configuration(HOP.encode(), folder=Path("/"))
    assert (configuration.listen[0].address, configuration.listen[0].port) == ("127.0.0.1", 2525)
    assert configuration.next_hop.port == 25


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "Object missing required field `next_hop`"),
        ("nonsense", "Expected '='"),
        (HOP + "prot = 25", "next_hop: Object contains unknown field `prot`"),
        (HOP + "port = '25'", "next_hop.port: Expected `int`, got `str`"),
        (HOP + "port = 70000", "next_hop.port: Expected `int` <= 65535"),
        (HOP + "tls = 'sometimes'", "next_hop.tls: Invalid enum value 'sometimes'"),
        (HOP + "implicit_tls = true", 'next_hop.tls: with implicit_tls choose "encrypt" or "verify"'),
        (HOP + "tls = 'none'\nfingerprints = ['00']", 'next_hop.tls: "none" contradicts'),
        (HOP + "tls = 'encrypt'\nfingerprints = ['00']", "next_hop.fingerprints: 00 is not a SHA-256"),
        (HOP + "fingerprints = ['" + "0" * 64 + "']", "next_hop.tls: with fingerprints choose"),
        (HOP + "ca_file = 'x'", "next_hop.ca_file: only tls"),
        (HOP + "user = 'x'", "next_hop.user: user and password_file belong together"),
        (HOP + "user = 'x'\npassword_file = 'y'", "next_hop.tls: a password is only sent over TLS"),
        ("listen = []\n" + HOP, "listen: at least one listener is needed"),
        (HOP + "[[listen]]\ncertificate = 'x'", 'listen[0].tls: a certificate is given, but tls is "none"'),
        (HOP + "[[listen]]\ntls = 'offered'", 'listen[0].certificate: tls = "offered" needs a certificate'),
        (HOP + "[[listen]]\nauthentication = 'offered'", "listen[0].authentication: passwords are not taken"),
        (
            HOP + "[[listen]]\ntls = 'offered'\ncertificate = 'x'\nauthentication = 'offered'",
            "listen[0].authentication: nobody can log in",
        ),
        (HOP + "[users.a]\npassword = 'plain'", "users.a.password: not a password hash"),
        (HOP + "[[identity]]\nfile = 'x'", "identity[0]: name the addresses or domains"),
        (
            HOP + "[[identity]]\nfile='x'\naddresses=['A@b.c']\n[[identity]]\nfile='y'\naddresses=['a@B.C']",
            "identity[1]: a@B.C stands in identity[0] as well",
        ),
        (HOP + "[signing]\nsender_must_match = 'authenticated'", "signing.sender_must_match: `authenticated` needs"),
        (HOP + "[signing]\nno_key_status = '4.0.0'", "signing.no_key_status: "),
        (HOP + "[limits]\nmessage_size = 0", "limits.message_size: Expected `int` >= 1"),
    ],
)
def test_what_is_wrong_is_named(text, complaint):
    with pytest.raises(ConfigurationError) as error:
        parse_configuration(text.encode(), folder=Path("/"), name="gw.toml")
    assert str(error.value).startswith("gw.toml: ")
    assert complaint in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_file(tmp_path):
    with pytest.raises(ConfigurationError, match="No such file"):
        read_configuration(tmp_path / "none.toml")


def test_bytes_that_are_no_text():
    with pytest.raises(ConfigurationError):
        parse_configuration(b"\xff\xfe", folder=Path("/"))
