"""An Exchange server for tests: ResolveNames and ExpandDL over HTTPS, strict about what it is asked.

    async with ExchangeServer(folder, entries) as server: server.endpoint, server.ca_file

It demands Basic authentication, XML with the right root, and the attributes that make Exchange give certificates;
whatever else comes is a 400, so that a test fails.
"""

from __future__ import annotations

import base64
import ssl
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Self
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests import pki

USER, PASSWORD = "reader@example.org", "correct horse"
_SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
_MESSAGES = "http://schemas.microsoft.com/exchange/services/2006/messages"
_TYPES = "http://schemas.microsoft.com/exchange/services/2006/types"


@dataclass(frozen=True)
class Person:
    """An entry of the address list; `members` makes it a group."""

    address: str
    name: str = ""
    proxies: tuple[str, ...] = ()
    smime_certificates: tuple[bytes | str, ...] = ()
    certificates: tuple[bytes | str, ...] = ()
    members: tuple[str, ...] = field(default=())

    @property
    def mailbox(self) -> str:
        kind = "PublicDL" if self.members else "Mailbox"
        return (
            f"<t:Mailbox><t:Name>{escape(self.name or self.address)}</t:Name>"
            f"<t:EmailAddress>{escape(self.address)}</t:EmailAddress>"
            f"<t:RoutingType>SMTP</t:RoutingType><t:MailboxType>{kind}</t:MailboxType></t:Mailbox>"
        )

    @property
    def resolution(self) -> str:
        addresses = "".join(
            f'<t:Entry Key="EmailAddress{number}">smtp:{escape(proxy)}</t:Entry>'
            for number, proxy in enumerate((self.address, *self.proxies), 1)
        )
        contact = (
            f"<t:Contact><t:DisplayName>{escape(self.name)}</t:DisplayName>"
            f"<t:EmailAddresses>{addresses}</t:EmailAddresses>"
            f"{_array('UserSMIMECertificate', self.smime_certificates)}"
            f"{_array('MSExchangeCertificate', self.certificates)}</t:Contact>"
        )
        return f"<t:Resolution>{self.mailbox}{contact}</t:Resolution>"


def _array(name: str, values: Iterable[bytes | str]) -> str:
    texts = (value if isinstance(value, str) else base64.b64encode(value).decode() for value in values)
    inside = "".join(f"<t:Base64Binary>{escape(text)}</t:Base64Binary>" for text in texts)
    return f"<t:{name}>{inside}</t:{name}>" if inside else ""


class ExchangeServer:
    """The server; `asked` are the addresses that were resolved, `status` makes it answer with that alone."""

    def __init__(self, folder: Path, entries: Iterable[Person]) -> None:
        self.ca_file = folder / "ca.pem"
        self.entries = tuple(entries)
        self.asked: list[str] = []
        self.problems: list[str] = []
        self.status = 200
        self.body: str | None = None
        self._folder = folder

    async def __aenter__(self) -> Self:
        holder = pki.authority("Exchange Root").issue(
            "Exchange",
            names=[x509.IPAddress(ip_address("127.0.0.1"))],
            extended_key_usage=(ExtendedKeyUsageOID.SERVER_AUTH,),
        )
        self.ca_file.write_bytes(holder.root_pem)
        (self._folder / "server.pem").write_bytes(holder.certificate_pem + holder.key_pem())
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self._folder / "server.pem")
        self._server = _HttpsServer(self, context)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def endpoint(self) -> str:
        return f"https://127.0.0.1:{self._server.server_address[1]}/EWS/Exchange.asmx"

    def reply(self, path: str, headers: Message, body: bytes) -> tuple[int, str]:
        """Status and text for one request."""
        credentials = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if self.status != 200 or path != "/EWS/Exchange.asmx":
            return self.status if self.status != 200 else 404, ""
        if headers.get("Authorization") != f"Basic {credentials}":
            return 401, ""
        if self.body is not None:
            return 200, self.body
        try:
            return 200, self._answer(headers.get_content_type(), body)
        except (AssertionError, ET.ParseError) as error:
            self.problems.append(str(error))
            return 400, ""

    def _answer(self, content_type: str, body: bytes) -> str:
        assert content_type == "text/xml", content_type
        envelope = ET.fromstring(body)
        assert envelope.tag == f"{{{_SOAP}}}Envelope", envelope.tag
        version = envelope.find(f"{{{_SOAP}}}Header/{{{_TYPES}}}RequestServerVersion")
        assert version is not None, "no RequestServerVersion"
        (operation,) = envelope.findall(f"{{{_SOAP}}}Body/*")
        if operation.tag == f"{{{_MESSAGES}}}ResolveNames":
            assert operation.attrib == {
                "ReturnFullContactData": "true",
                "SearchScope": "ActiveDirectory",
                "ContactDataShape": "AllProperties",
            }, operation.attrib
            (entry,) = operation.findall(f"{{{_MESSAGES}}}UnresolvedEntry")
            return self._resolved(entry.text or "")
        assert operation.tag == f"{{{_MESSAGES}}}ExpandDL", operation.tag
        address = operation.findtext(f"{{{_MESSAGES}}}Mailbox/{{{_TYPES}}}EmailAddress")
        (group,) = (entry for entry in self.entries if entry.address == address)
        members = "".join(Person(member).mailbox for member in group.members)
        return _soap(
            "ExpandDL", f'<m:DLExpansion TotalItemsInView="1" IncludesLastItemInRange="true">{members}</m:DLExpansion>'
        )

    def _resolved(self, entry: str) -> str:
        self.asked.append(entry)
        assert entry.startswith("smtp:"), entry
        wanted = entry.removeprefix("smtp:").lower()
        # Exchange resolves the beginnings of names as well.
        stem = wanted.partition("@")[0]
        found = [each for each in self.entries if any(a.startswith(stem) for a in (each.address, *each.proxies))]
        if not found:
            return _soap("ResolveNames", code="ErrorNameResolutionNoResults")
        resolutions = "".join(each.resolution for each in found)
        attributes = f'TotalItemsInView="{len(found)}" IncludesLastItemInRange="true"'
        code = "NoError" if len(found) == 1 else "ErrorNameResolutionMultipleResults"
        return _soap("ResolveNames", f"<m:ResolutionSet {attributes}>{resolutions}</m:ResolutionSet>", code=code)


class _HttpsServer(ThreadingHTTPServer):
    """Closes every connection behind its answer: exchangelib leaves its own to the garbage collector."""

    def __init__(self, exchange: ExchangeServer, context: ssl.SSLContext) -> None:
        super().__init__(("127.0.0.1", 0), _Request)
        self.exchange = exchange
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that do not trust the server go away."""


class _Request(BaseHTTPRequestHandler):
    server: _HttpsServer

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status, text = self.server.exchange.reply(self.path, self.headers, body)
        self.send_response(status)
        if status == 401:
            self.send_header("WWW-Authenticate", 'Basic realm="x"')
        self.send_header("Content-Type", "text/xml; charset=utf-8")
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the base
        """Say nothing."""


def _soap(operation: str, inside: str = "", *, code: str = "NoError") -> str:
    kind = {"NoError": "Success", "ErrorNameResolutionMultipleResults": "Warning"}.get(code, "Error")
    text = "" if code == "NoError" else f"<m:MessageText>{code}</m:MessageText>"
    return (
        f'<s:Envelope xmlns:s="{_SOAP}" xmlns:m="{_MESSAGES}" xmlns:t="{_TYPES}"><s:Header>'
        '<t:ServerVersionInfo MajorVersion="15" MinorVersion="1" MajorBuildNumber="2507" MinorBuildNumber="6"'
        ' Version="V2017_07_11"/></s:Header><s:Body>'
        f'<m:{operation}Response><m:ResponseMessages><m:{operation}ResponseMessage ResponseClass="{kind}">'
        f"{text}<m:ResponseCode>{code}</m:ResponseCode>{inside}</m:{operation}ResponseMessage></m:ResponseMessages>"
        f"</m:{operation}Response></s:Body></s:Envelope>"
    )
