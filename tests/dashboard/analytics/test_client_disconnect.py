"""Work for a reader who goes away is given up."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Message

from dashboard.access.users import User
from dashboard.web.app_context import Dashboard, may_view

pytestmark = pytest.mark.anyio
NOBODY = cast("Any", None)


def request(*messages: Message) -> Request:
    """A GET request that gets these messages, and no more."""
    left = list(messages)

    async def receive() -> Message:
        if not left:
            await asyncio.Event().wait()
        return left.pop(0)

    return Request({"type": "http", "method": "GET", "path": "/", "headers": []}, receive)


async def test_a_page_that_nobody_waits_for_is_given_up() -> None:
    """The view is cancelled when its reader disconnects, and with it what it asked the store."""
    ended: list[str] = []

    async def view(_: Dashboard, __: Request, ___: User) -> Response:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("given up")
        raise AssertionError

    asked = request({"type": "http.request", "body": b"", "more_body": False}, {"type": "http.disconnect"})
    answer = await asyncio.wait_for(may_view(NOBODY, asked, NOBODY, view), 10)
    assert (answer.status_code, ended) == (499, ["given up"])


async def test_a_page_is_shown_to_who_waits() -> None:
    """With its errors, as if nothing stood between."""

    async def view(_: Dashboard, __: Request, ___: User) -> Response:
        return PlainTextResponse("here")

    async def broken(_: Dashboard, __: Request, ___: User) -> Response:
        raise LookupError("no such site")

    body = {"type": "http.request", "body": b"", "more_body": False}
    assert (await may_view(NOBODY, request(body), NOBODY, view)).body == b"here"
    with pytest.raises(LookupError, match="no such site"):
        await may_view(NOBODY, request(body), NOBODY, broken)
