"""Routes of the collector other than the event endpoint: snippet, metrics and health."""

from __future__ import annotations

import gzip
import hashlib

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from collector.core.resources import resource_path
from collector.server.collector import Collector


class SnippetEndpoint:
    """`GET /js/tyst.js`: the snippet, with an ETag and compressed as well as the browser can read it.

    Browsers take Brotli, over TLS and on localhost. The build compresses with it: Python cannot.
    """

    def __init__(self) -> None:
        self._plain = resource_path("tyst.js").read_bytes()
        self._compressed = {
            "br": resource_path("tyst.js.br").read_bytes(),
            "gzip": gzip.compress(self._plain, compresslevel=9, mtime=0),
        }
        self._etag = f'"{hashlib.blake2b(self._plain, digest_size=8).hexdigest()}"'

    async def __call__(self, request: Request) -> Response:
        headers = {
            # Weak, as it stands for every compression of the same text (RFC 9110, 8.8.1).
            "ETag": f"W/{self._etag}",
            "Cache-Control": "public, max-age=3600, stale-while-revalidate=86400",
            "Vary": "Accept-Encoding",
            "Access-Control-Allow-Origin": "*",
            "Cross-Origin-Resource-Policy": "cross-origin",
            "X-Content-Type-Options": "nosniff",
        }
        if self._etag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        accepted = _accepted_codings(request.headers.get("accept-encoding", ""))
        for coding, body in self._compressed.items():
            if coding in accepted:
                headers["Content-Encoding"] = coding
                return Response(body, headers=headers, media_type="text/javascript")
        return Response(self._plain, headers=headers, media_type="text/javascript")


def _accepted_codings(header: str) -> set[str]:
    """Content codings of an `Accept-Encoding` header, without those of weight 0 (RFC 9110, 12.5.3)."""
    entries = (entry.replace(" ", "").lower().partition(";q=") for entry in header.split(","))
    return {coding for coding, _, weight in entries if weight.strip("0.") or not weight}


def routes(collector: Collector) -> list[Route]:
    """The collector's endpoints other than the hot path."""

    async def healthz(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(_: Request) -> Response:
        state = collector.readiness()
        status = 200 if state.ready else 503
        return JSONResponse(msgspec.to_builtins(state), status_code=status, headers={"Cache-Control": "no-store"})

    async def metrics(_: Request) -> Response:
        return Response(collector.counters.text(), media_type="text/plain; version=0.0.4")

    return [
        Route("/js/tyst.js", SnippetEndpoint().__call__, methods=["GET"]),
        Route("/healthz", healthz, methods=["GET"]),
        Route("/readyz", readyz, methods=["GET"]),
        Route("/metrics", metrics, methods=["GET"]),
    ]
