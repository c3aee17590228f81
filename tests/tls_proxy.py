"""A proxy with TLS on loopback, which passes on what the configurations in `deploy/` pass on."""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parent.parent
TLS = ROOT / "tests" / "fixtures" / "tls"
MOST_HEAD = 65_536


def passed_on(configuration: str, host: str, address: str) -> dict[str, str]:
    """The header fields that `deploy/nginx.conf` or `deploy/Caddyfile` sets on a request, by lower-case name."""
    text = (ROOT / "deploy" / configuration).read_text()
    values = {"$host": host, "$remote_addr": address, "$scheme": "https", '""': ""}
    if configuration == "nginx.conf":
        location = text.partition("location / {")[2].partition("}")[0]
        found = {"host": "tyst", **dict(re.findall(r"proxy_set_header (\S+) (\S+);", location))}
    else:
        # Caddy passes the host on and says the scheme by itself.
        values |= {"{host}": host, "{remote_host}": address, "{scheme}": "https"}
        found = {"host": host, "x-forwarded-proto": "https", **dict(re.findall(r"header_up (\S+) (\S+)", text))}
    return {name.lower(): values.get(value, value) for name, value in found.items()}


@contextlib.contextmanager
def tls_proxy(upstream: str, configuration: str) -> Iterator[int]:
    """A port on which requests are taken over TLS and passed on to `upstream`, one on each connection."""
    target = httpx.URL(upstream)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / "cert.pem", TLS / "key.pem")
    loop = asyncio.new_event_loop()
    started: list[asyncio.Server] = []
    ready = threading.Event()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *fields = head.removesuffix("\r\n\r\n").split("\r\n")
        given = [field.split(": ", 1) for field in fields]
        host = next((value for name, value in given if name.lower() == "host"), "").partition(":")[0]
        replaced = passed_on(configuration, host, "127.0.0.1") | {"connection": "close"}
        kept = [pair for pair in given if pair[0].lower() not in replaced]
        sent = [line, *(f"{name}: {value}" for name, value in [*kept, *replaced.items()] if value), "", ""]
        onward_reader, onward = await asyncio.open_connection(target.host, target.port)
        onward.write("\r\n".join(sent).encode("latin-1"))
        length = next((int(value) for name, value in given if name.lower() == "content-length"), 0)
        onward.write(await reader.readexactly(length))
        writer.write(await onward_reader.read())
        for each in (writer, onward):
            each.close()

    async def run() -> None:
        server = await asyncio.start_server(take, "127.0.0.1", 0, ssl=context, limit=MOST_HEAD)
        started.append(server)
        ready.set()
        with contextlib.suppress(asyncio.CancelledError):
            await server.serve_forever()

    thread = threading.Thread(target=loop.run_until_complete, args=(run(),))
    thread.start()
    ready.wait()
    try:
        yield started[0].sockets[0].getsockname()[1]
    finally:
        loop.call_soon_threadsafe(started[0].close)
        thread.join()
        loop.close()


def browser(port: int, host: str = "stats.test", **headers: str) -> httpx.Client:
    """A client that reaches the proxy by that name."""
    context = ssl.create_default_context(cafile=TLS / "cert.pem")
    return httpx.Client(
        base_url=f"https://{host}:{port}",
        transport=_Loopback(context),
        headers=headers,
        trust_env=False,
        timeout=60,
    )


class _Loopback(httpx.BaseTransport):
    """Every name is at 127.0.0.1; the name itself is asked for in TLS and in `Host`."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._inner = httpx.HTTPTransport(verify=context)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        headers = {**request.headers, "host": request.url.netloc.decode()}
        extensions = {**request.extensions, "sni_hostname": request.url.host}
        url = request.url.copy_with(host="127.0.0.1")
        return self._inner.handle_request(
            httpx.Request(request.method, url, headers=headers, stream=request.stream, extensions=extensions)
        )

    def close(self) -> None:
        self._inner.close()
