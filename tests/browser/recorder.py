"""A small website with the snippet on every page, and a collector that only writes down what it is sent."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from collector.core.resources import resource_path
from tests.served import DEADLINE

CHECKOUT = Path(__file__).parents[2]
VENDOR = CHECKOUT / "dashboard/static/vendor"
FOREIGN = CHECKOUT / "dashboard/frontend/test-dist"


@dataclass(frozen=True, slots=True)
class Sent:
    """One request to the collector: the beacon and the request's headers; or, with no beacon's keys, a withdrawal."""

    beacon: dict[str, Any]
    headers: dict[str, str]
    method: str = "POST"

    @property
    def path(self) -> str:
        """The page's URL without its origin."""
        return "/" + str(self.beacon["u"]).split("/", 3)[3]


class Recorder:
    """`url` is the website; `elsewhere` the same server under a host of another site."""

    def __init__(self, port: int) -> None:
        self.url = f"http://site.localhost:{port}"
        self.elsewhere = f"http://127.0.0.1:{port}"
        self.domain = ""
        self.html = ""
        self.csp = ""
        self.answers: list[tuple[int, dict[str, str]]] = []
        self._sent: list[Sent] = []
        self._pages: list[str] = []
        self._changed = threading.Condition()
        served = [
            Route("/js/tyst.js", self._snippet),
            Route("/api/event", self._collect, methods=["POST", "DELETE", "OPTIONS"]),
        ]
        self.app = Starlette(
            routes=[
                *served,
                Mount("/proxied", routes=served),
                Route("/fence", self._fence),
                Route("/asked/{path:path}", self._asked),
                Mount("/vendor", StaticFiles(directory=VENDOR)),
                Mount("/foreign", StaticFiles(directory=FOREIGN)),
                Route("/{path:path}", self._page),
            ]
        )

    def start_over(self, domain: str) -> None:
        """Forget everything. What pages of another `domain` still send while they close is not recorded."""
        with self._changed:
            self.domain, self.csp = domain, ""
            self._sent, self._pages, self.answers = [], [], []
        self.page()

    def page(self, attributes: str = "", body: str = "", head: str = "", *, src: str = "/js/tyst.js") -> None:
        """What every page consists of from now on; `attributes` are those of the snippet's tag."""
        tag = f'<script defer {attributes} data-domain="{self.domain}" src="{src}"></script>'
        self.html = f"<!doctype html><title>page</title>{head}{tag}<body>{body}"

    def wait(self, count: int) -> list[Sent]:
        """What was sent, once it is at least `count` beacons; forgets them."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._sent) >= count, DEADLINE):
                raise AssertionError(f"{len(self._sent)} of {count} beacons arrived: {self._sent}")
            return self.take()

    def take(self) -> list[Sent]:
        """What was sent so far; forgets it."""
        with self._changed:
            sent, self._sent = self._sent, []
            return sent

    def wait_for_page(self, path: str) -> None:
        """Until a browser has asked for `path`."""
        with self._changed:
            if not self._changed.wait_for(lambda: path in self._pages, DEADLINE):
                raise AssertionError(f"nobody asked for {path}")

    async def _collect(self, request: Request) -> Response:
        cors = {"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": "Retry-After"}
        if request.method == "OPTIONS":
            return Response(status_code=204, headers={**cors, "Access-Control-Allow-Methods": "DELETE"})
        beacon = msgspec.json.decode(await request.body())
        if beacon["d"] != self.domain:
            return PlainTextResponse("of another test")
        with self._changed:
            self._sent.append(Sent(beacon, dict(request.headers), request.method))
            self._changed.notify_all()
            status, headers = self.answers.pop(0) if self.answers else (202, {})
        return PlainTextResponse("ok", status, cors | headers)

    async def _snippet(self, _: Request) -> Response:
        return FileResponse(resource_path("tyst.js"), media_type="text/javascript")

    async def _fence(self, _: Request) -> Response:
        return PlainTextResponse("passed")

    async def _asked(self, request: Request) -> Response:
        """Whether a browser has asked for a page: for pages that drive themselves."""
        with self._changed:
            return PlainTextResponse("yes" if "/" + request.path_params["path"] in self._pages else "no")

    async def _page(self, request: Request) -> Response:
        with self._changed:
            self._pages.append(request.url.path)
            self._changed.notify_all()
        headers = {"Content-Security-Policy": self.csp} if self.csp else {}
        if request.url.path.endswith(".pdf"):
            headers["Content-Disposition"] = "attachment"
        return HTMLResponse(self.html, headers=headers)


@contextlib.contextmanager
def recording() -> Iterator[Recorder]:
    """A recorder that serves on a free port until the block ends."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()  # who comes before the server's thread is ready waits, and is not refused
    recorder = Recorder(listener.getsockname()[1])
    server = uvicorn.Server(uvicorn.Config(recorder.app, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield recorder
    finally:
        server.should_exit = True
        server.force_exit = True
        thread.join()
        listener.close()
