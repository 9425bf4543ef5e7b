"""SMIMEA records, from a DNS server of our own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dns.rcode
import pytest

from smime_engine.directory.choosing import Choice, choose_certificates
from smime_engine.directory.entries import Answer, Origin
from smime_engine.directory.reasons import Reason
from smime_engine.directory.smimea import SmimeaRecord, entry_of_records, smimea_name
from smime_engine.limits import Limits
from smime_engine.sources.smimea import SmimeaSource
from tests.directory.people import CA, NOW, STRANGER, certificate, policy
from tests.sources.dns_server import DnsServer

ADDRESS = "alice@example.org"
GOOD = certificate("Alice", ADDRESS)
NAME = smimea_name(ADDRESS)
assert NAME is not None


def record(der: bytes, *, usage: int = 3, selector: int = 0, matching_type: int = 0) -> str:
    return f"{usage} {selector} {matching_type} {der.hex()}"


async def look_up(server: DnsServer, *addresses: str, **options: Any) -> tuple[Answer, ...]:
    source = SmimeaSource("dns", resolver="127.0.0.1", port=server.port, **{"seconds": 2.0, **options})
    return await source.look_up(addresses or (ADDRESS,))


def choose(answers: Sequence[Answer]) -> Choice:
    return choose_certificates(answers, policy(), NOW)[0]


def test_names() -> None:
    # The hash of RFC 7929's example: both standards make it in one way.
    assert smimea_name("hugh@example.com") == (
        "c93f1e400f26708f98cb19d936620da35eec8f72e57f9eec01c1afd6._smimecert.example.com."
    )
    assert smimea_name('"hugh"@Example.COM') == smimea_name("hugh@example.com")
    assert smimea_name("Hugh@example.com") != smimea_name("hugh@example.com")
    assert smimea_name("u@bücher.example") == smimea_name("u@xn--bcher-kva.example")
    for address in ("alice", "alice@", "alice@[127.0.0.1]", "a\x00@b.c"):
        assert smimea_name(address) is None


async def test_a_certificate_from_dns() -> None:
    async with DnsServer({NAME: [record(GOOD.der), record(CA.certificate_der, usage=2)]}) as server:
        answers = await look_up(server, ADDRESS, "nobody@example.org", "nonsense")
    choice = choose(answers)
    assert choice.certificate == GOOD
    assert choice.chosen is not None
    assert choice.chosen.origin is Origin.SMIMEA
    assert choice.entry is not None
    assert [found.der for found in choice.entry.pool] == [CA.certificate_der]
    assert answers[1:] == (Answer(address="nobody@example.org"), Answer(address="nonsense"))


async def test_long_answers_come_over_tcp() -> None:
    leaves = [certificate("Alice", ADDRESS) for _ in range(20)]
    async with DnsServer({NAME: [record(leaf.der) for leaf in leaves]}) as server:
        (answer,) = await look_up(server)
        assert server.asked == [NAME, NAME]
    assert len(answer.entries[0].certificates) == 20


async def test_without_dnssec_nothing_counts() -> None:
    async with DnsServer({NAME: [record(GOOD.der)]}, validated=False) as server:
        alice, nobody = await look_up(server, ADDRESS, "nobody@example.org")
    choice = choose([alice])
    assert choice.reason is Reason.UNREADABLE
    assert "DNSSEC" in choice.detail
    assert nobody == Answer(address="nobody@example.org")


async def test_dns_decides_nothing_about_trust() -> None:
    strange = certificate("Alice", ADDRESS, issuer=STRANGER)
    records = [record(strange.der), record(STRANGER.certificate_der, usage=2)]
    async with DnsServer({NAME: records}) as server:
        assert choose(await look_up(server)).reason is Reason.UNTRUSTED


async def test_aliases() -> None:
    assert NAME is not None
    async with DnsServer({"real.example.": [record(GOOD.der)]}, aliases={NAME: "real.example."}) as server:
        assert choose(await look_up(server)).certificate == GOOD


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"code": dns.rcode.SERVFAIL}, "SERVFAIL"),
        ({"code": dns.rcode.REFUSED}, "REFUSED"),
        ({"raw": b"garbage"}, "DNS resolver"),
        ({"raw": b""}, "DNS resolver"),
    ],
)
async def test_resolvers_that_do_not_answer(options: dict[str, Any], text: str) -> None:
    async with DnsServer({}, **options) as server:
        (answer,) = await look_up(server, seconds=0.3)
    assert text in answer.failures[0].text


async def test_no_resolver() -> None:
    async with DnsServer({}) as server:
        port = server.port
    source = SmimeaSource("dns", port=port, seconds=0.3)
    assert (await source.look_up([ADDRESS]))[0].failures
    assert await source.look_up_members(["x"]) == {"x": None}


def test_records_that_hold_no_whole_certificate() -> None:
    records = [
        SmimeaRecord(3, 0, 1, b"\x00" * 32),
        SmimeaRecord(3, 1, 0, GOOD.public_key_info),
        SmimeaRecord(9, 0, 0, GOOD.der),
        SmimeaRecord(3, 0, 0, b"garbage"),
        SmimeaRecord(1, 0, 0, GOOD.der),
        SmimeaRecord(3, 0, 0, GOOD.der),
    ]
    entry = entry_of_records(ADDRESS, records, source="dns")
    assert entry is not None
    assert [listed.certificate for listed in entry.certificates] == [GOOD]
    assert len(entry.defects) == 4
    assert entry_of_records(ADDRESS, [], source="dns") is None
    few = entry_of_records(ADDRESS, records * 9, source="dns", limits=Limits(directory_values=2))
    assert few is not None
    assert few.certificates == ()
