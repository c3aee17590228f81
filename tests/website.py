"""A website on this machine, made of whatever answers a test wants, that remembers how it was asked."""

from __future__ import annotations

import contextlib
import ssl
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = tuple[int, Mapping[str, str], bytes]


@dataclass
class Website:
    """`answers` by path; each request's path and headers are kept in `asked`."""

    port: int = 0
    answers: dict[str, Answer] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    silent: threading.Event = field(default_factory=threading.Event)
    """Requests for `/silence` wait for it."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def page(self, path: str, html: str, **headers: str) -> None:
        """Answer a path with HTML."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answers[path] = (200, {"content-type": "text/html; charset=utf-8", **given}, html.encode())

    def redirect(self, path: str, target: str, **headers: str) -> None:
        """Answer a path with the way to another address."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answers[path] = (302, {"location": target, **given}, b"")


@contextlib.contextmanager
def website(context: ssl.SSLContext | None = None) -> Iterator[Website]:
    """A website on a free port of 127.0.0.1, encrypted where there is a `context`."""
    site = Website()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
            if self.path == "/silence":
                site.silent.wait(60)
            status, headers, body = site.answers.get(self.path, (404, {"content-type": "text/plain"}, b"nothing"))
            # Who asked may have gone already: it had enough.
            with contextlib.suppress(ConnectionError):
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    site.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield site
    finally:
        site.silent.set()
        server.shutdown()
        thread.join()
        server.server_close()
