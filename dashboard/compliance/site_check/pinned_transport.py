"""HTTP transport pinned to checked addresses: a name is resolved once, and only public addresses are connected to.

Between looking and connecting nobody can change the answer, because it is not asked for again. The name still goes
into the TLS handshake (SNI) and the `Host` header, as it stands in the URL.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import math
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import TracebackType
from typing import Any, Final

import httpcore
import httpx

from collector.core.setting_values import Network
from dashboard.compliance.site_check.errors import FetchError
from dashboard.compliance.site_check.public_addresses import Address, is_outside, is_within, literal

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Addresses of a host and port, as text. Raises `OSError` when there are none."""

PORTS: Final = (80, 443)


LOOKUPS: Final = 64
"""Names looked up at a time."""

MOST_HEAD: Final = 65_536
"""Maximum bytes up to the end of the answer's head: interim answers (RFC 9110, 15.2) may come without end, as fast as
they are read."""


class SystemResolver:
    """Asks the system's resolver, in threads of its own: a name that is never answered holds one for half a minute,
    and the threads of the event loop are those by which everybody else's names are looked up."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(LOOKUPS, "lookup")

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        """As `Resolve`."""
        ask = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        found = await asyncio.get_running_loop().run_in_executor(self._threads, ask)
        return [str(sockaddr[0]) for *_, sockaddr in found]


class PinnedBackend(httpcore.AsyncNetworkBackend):
    """Opens connections to public addresses on the ports of the web, and to those in `networks` on any port. `left` is
    how many bytes they may still read."""

    def __init__(self, networks: Iterable[Network], resolver: Resolve) -> None:
        self._networks = tuple(networks)
        self._resolve = resolver
        self._backend = httpcore.AnyIOBackend()
        self.left: float = MOST_HEAD

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 # the interface's
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Raises `FetchError` where the host leads anywhere that it must not, or nowhere."""
        addresses = await self._checked(host, port)
        for last, address in zip((*[False] * (len(addresses) - 1), True), addresses, strict=True):
            try:
                opened = await self._backend.connect_tcp(str(address), port, timeout, local_address, socket_options)
                return _BoundedStream(opened, self)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                if last:
                    raise
        raise FetchError("name", host)

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ARG002, ASYNC109 # the interface's
        socket_options: Iterable[Any] | None = None,  # noqa: ARG002 # likewise
    ) -> httpcore.AsyncNetworkStream:
        """Never."""
        raise FetchError("address", path)

    async def sleep(self, seconds: float) -> None:
        """Between attempts, of which there is one."""
        await self._backend.sleep(seconds)

    async def _checked(self, host: str, port: int) -> list[Address]:
        """Every address of the host. One that is not allowed spoils the others: nobody has both in good faith."""
        try:
            given = literal(host)
            texts = [str(given)] if given is not None else await self._resolve(host, port)
            addresses = [ipaddress.ip_address(text) for text in texts]
        except ValueError:
            raise FetchError("address", host) from None
        except (OSError, UnicodeError):
            raise FetchError("name", host) from None
        for address in addresses:
            if is_within(address, self._networks):
                continue
            if not is_outside(address):
                raise FetchError("address", host)
            if port not in PORTS:
                raise FetchError("port", host)
        return addresses


class _BoundedStream(httpcore.AsyncNetworkStream):
    """A connection of the backend."""

    def __init__(self, stream: httpcore.AsyncNetworkStream, backend: PinnedBackend) -> None:
        self._stream = stream
        self._backend = backend

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 # the interface's
        if self._backend.left <= 0:
            raise httpcore.ReadError("the answer has no end")
        found = await self._stream.read(max_bytes, timeout)
        self._backend.left -= len(found)
        return found

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 # likewise
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 # likewise
    ) -> httpcore.AsyncNetworkStream:
        return _BoundedStream(await self._stream.start_tls(ssl_context, server_hostname, timeout), self._backend)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class PinnedTransport(httpx.AsyncBaseTransport):
    """An httpx transport over such connections: no proxy, no cookies, no retries, one connection at a time."""

    def __init__(self, networks: Iterable[Network], resolver: Resolve, context: ssl.SSLContext | None) -> None:
        self._backend = PinnedBackend(networks, resolver)
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=context or httpx.create_ssl_context(trust_env=False),
            max_connections=1,
            max_keepalive_connections=0,
            retries=0,
            network_backend=self._backend,
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """One request and its answer. Raises `FetchError`."""
        url = request.url
        asked = httpcore.Request(
            method=request.method,
            url=httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
            headers=request.headers.raw,
            content=request.stream,
            extensions=request.extensions,
        )
        with explained(url.host):
            answer = await self._pool.handle_async_request(asked)
        self._backend.left = math.inf
        return httpx.Response(
            answer.status, headers=answer.headers, stream=_Body(answer, url.host), extensions=answer.extensions
        )

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        """Close every connection."""
        await self.aclose()

    async def aclose(self) -> None:
        """Close every connection."""
        await self._pool.aclose()


class _Body(httpx.AsyncByteStream):
    """The body of an answer, as it comes."""

    def __init__(self, answer: httpcore.Response, host: str) -> None:
        self._answer = answer
        self._host = host

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with explained(self._host):
            async for part in self._answer.aiter_stream():
                yield part

    async def aclose(self) -> None:
        await self._answer.aclose()


@contextlib.contextmanager
def explained(host: str) -> Iterator[None]:
    """Errors of the transport as `FetchError`."""
    try:
        yield
    except httpcore.TimeoutException:
        raise FetchError("time", host) from None
    except httpcore.ConnectError as error:
        certificate = "CERTIFICATE" in str(error).upper() or isinstance(error.__cause__, ssl.SSLError)
        raise FetchError("certificate" if certificate else "connection", host) from None
    except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.UnsupportedProtocol):
        raise FetchError("connection", host) from None
