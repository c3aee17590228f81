"""Responses with a visitor's own data: JSON, files, and large ones in parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from collector.server.large_responses import send_in_parts
from dashboard.web.templating import DATA_HEADERS


class PacedResponse(Response):
    """Another response, sent in parts as its client reads them; then `sent` is called."""

    def __init__(self, response: Response, sent: Callable[[], None]) -> None:
        super().__init__(response.body, response.status_code)
        self.raw_headers = response.raw_headers
        self._sent = sent

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 # as ASGI has it
        """Send, and say when that is over."""
        try:
            await send_in_parts(send, self.status_code, self.raw_headers, bytes(self.body))
        finally:
            self._sent()


def json_response(status: int, value: Any, headers: Mapping[str, str] | None = None) -> Response:
    """A value as JSON that nobody else may keep."""
    return Response(
        msgspec.json.encode(value), status, {**DATA_HEADERS, **(headers or {})}, media_type="application/json"
    )


def file_response(content: str | bytes, kind: str, name: str, request: Request) -> Response:
    """Content of that media type; under `name` where the request asks for a download."""
    wanted = "download" in request.query_params
    disposition = {"content-disposition": f"attachment; filename*=UTF-8''{quote(name)}"} if wanted else {}
    return Response(content, headers={**DATA_HEADERS, **disposition}, media_type=kind)
