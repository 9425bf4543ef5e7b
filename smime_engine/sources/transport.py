"""One HTTP exchange with limits: the octets that are at an address, or one line that says why not.

Does: GET and POST over http and https, redirects (each judged anew), limits of size and redirects, refusal of addresses
that are not public. Does not: limit the time (its caller does), cache, or read what it got. Certificates of servers are
verified; over plain http nothing is, which is why everything that is fetched this way is signed itself.

Standards: RFC 9110; RFC 6960 appendix A and RFC 5019 section 5 (OCSP over HTTP), RFC 5280 section 4.2.1.13.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import aiohttp
from yarl import URL

from smime_engine.errors import SourceUnavailable
from smime_engine.sources.network_guard import AddressGuard, ForbiddenAddress, GuardedResolver

__all__ = ["HttpTransport", "RefusedRequest", "Request"]

_REDIRECTS = {301, 302, 303, 307, 308}
_KEEP_METHOD = {307, 308}
_LONGEST_URL = 4_096
_CHUNK = 64 * 1024


class RefusedRequest(SourceUnavailable):
    """The server answered, with an HTTP status other than 200."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What to ask for: `body` makes it a POST; `size` is the largest answer in octets."""

    url: str
    size: int
    body: bytes | None = None
    content_type: str = ""
    accept: str = "*/*"


class HttpTransport:
    """Connections that are kept and shared. Use as an asynchronous context manager."""

    def __init__(self, guard: AddressGuard, *, redirects: int = 4, proxy: str | None = None) -> None:
        self._guard = guard
        self._redirects = redirects
        self._proxy = proxy
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(
            resolver=GuardedResolver(self._guard), limit=32, limit_per_host=8, ttl_dns_cache=60
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),
            headers={"User-Agent": "smime-engine", "Accept-Encoding": "identity"},
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def exchange(self, request: Request) -> bytes:
        """Fetch the octets. Raises SourceUnavailable with one line that says what went wrong."""
        try:
            return await self._follow(request)
        except ForbiddenAddress as error:
            raise SourceUnavailable(str(error)) from error
        except aiohttp.ClientConnectorDNSError as error:
            cause = error.__cause__ or error.os_error
            if isinstance(cause, ForbiddenAddress):
                raise SourceUnavailable(str(cause)) from error
            raise SourceUnavailable(f"the host {error.host} is not known") from error
        except aiohttp.ClientConnectorCertificateError as error:
            raise SourceUnavailable(f"the server's certificate is not trusted: {error.certificate_error}") from error
        except aiohttp.ClientConnectorError as error:
            raise SourceUnavailable(_system_text(error.os_error)) from error
        except (aiohttp.ClientError, ssl.SSLError, OSError, ValueError) as error:
            raise SourceUnavailable(f"the exchange failed: {str(error) or type(error).__name__}") from error

    async def _follow(self, request: Request) -> bytes:
        url = self._checked(request.url, None)
        for _ in range(self._redirects + 1):
            answer = await self._once(url, request)
            if isinstance(answer, bytes):
                return answer
            status, location = answer
            if request.body is not None and status not in _KEEP_METHOD:
                raise SourceUnavailable(f"the answer to a POST is a redirection (HTTP {status})")
            url = self._checked(location, url)
        raise SourceUnavailable(f"more than {self._redirects} redirections")

    def _checked(self, text: str, base: URL | None) -> URL:
        """An address that may be fetched from, as far as can be told without resolving its host."""
        if len(text) > _LONGEST_URL:
            raise SourceUnavailable(f"the address has more than {_LONGEST_URL:,} characters")
        try:
            url = URL(text) if base is None else base.join(URL(text))
            port = url.port
        except ValueError as error:
            raise SourceUnavailable(f"the address is malformed: {text[:100]!r}") from error
        if url.scheme not in {"http", "https"}:
            raise SourceUnavailable(f"addresses of kind {url.scheme!r} are not fetched")
        if url.host is None or not port or url.user is not None or url.password is not None:
            raise SourceUnavailable(f"the address is malformed: {text[:100]!r}")
        if _is_numeric(url.host):  # aiohttp asks no resolver about these
            self._guard.check(url.host, url.host)
        return url

    async def _once(self, url: URL, request: Request) -> bytes | tuple[int, str]:
        assert self._session is not None, "use the transport as a context manager"
        headers = {"Accept": request.accept}
        if request.body is not None:
            headers["Content-Type"] = request.content_type
        method = "GET" if request.body is None else "POST"
        async with self._session.request(
            method, url, data=request.body, headers=headers, allow_redirects=False, proxy=self._proxy
        ) as response:
            if response.status in _REDIRECTS and "Location" in response.headers:
                return response.status, response.headers["Location"]
            if response.status != 200:
                raise RefusedRequest(f"the server answers HTTP {response.status}")
            return await _limited(response, request.size)


async def _limited(response: aiohttp.ClientResponse, size: int) -> bytes:
    too_large = SourceUnavailable(f"the answer is larger than {size:,} bytes")
    if response.content_length is not None and response.content_length > size:
        raise too_large
    chunks = []
    total = 0
    async for chunk in response.content.iter_chunked(_CHUNK):
        total += len(chunk)
        if total > size:
            raise too_large
        chunks.append(chunk)
    return b"".join(chunks)


def _is_numeric(host: str) -> bool:
    """Whether a host is an address, in any of the forms that the operating system takes for one (`0x7f.1`, `127.1`)."""
    return ":" in host or all(_is_number(part) for part in host.rstrip(".").split("."))


def _is_number(part: str) -> bool:
    try:
        int(part, 0)
    except ValueError:
        return part.isdigit()  # octal with a leading zero
    return True


def _system_text(error: OSError) -> str:
    if isinstance(error, ForbiddenAddress):
        return str(error)
    text = error.strerror or str(error)
    return text[:1].lower() + text[1:]
