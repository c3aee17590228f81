"""The API of imports and exports: whose keys get exact figures, and uploads that do not go on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from clickhouse_connect.driver.client import Client
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.types import Message

from collector.core.errors import ImportRefused
from collector.imports.upload import Upload, read_upload
from collector.storage.client import ClickHouse
from collector.storage.documents import DocumentTable
from dashboard.access.api_keys import ApiKey, ApiKeys, Right
from dashboard.access.audit_log import AuditLog
from dashboard.api.imports import routes
from tests.collector.imports.imported import DOMAIN, SAMPLES, Importing

EXPORT = SAMPLES / "plausible" / "example_com_20260115.zip"


class ImportsRoom:
    """The API over a fresh database, with a site that has an import."""

    def __init__(self, client: Client, clickhouse: ClickHouse, directory: Path, **settings: Any) -> None:
        self.importing = Importing(client, directory, settings=settings)
        self.importing.take(EXPORT)
        self.keys = ApiKeys(DocumentTable(client, "api_keys", ApiKey), "an administrator's key")
        sites = self.importing.sites
        changes = AuditLog(client, sites, lambda: self.importing.now)
        connect = partial(clickhouse.client, readonly=True)
        imports = self.importing.imports
        self.app = Starlette(routes=routes(imports, sites, self.keys, changes, connect, directory))

    def status(self, path: str, right: Right, method: str = "GET") -> int:
        """The status of a request without a body, with a key of the site."""

        async def once() -> int:
            _, key = await self.keys.create(sites=[self.importing.site.id], right=right)
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://tyst.test") as http:
                path_ = f"/api/v1/sites/{DOMAIN}/{path}"
                answer = await http.request(method, path_, headers={"Authorization": f"Bearer {key}"})
                return answer.status_code

        return asyncio.run(once())


@pytest.mark.parametrize("path", ["export", "imports"])
@pytest.mark.parametrize(
    ("settings", "expected"),
    [({}, 200), ({"strict": True}, 403), ({"strict": True, "min_visitors": 1}, 200)],
)
def test_exact_figures_of_a_strict_site_need_a_key_that_may_change_it(
    database: Client, clickhouse: ClickHouse, tmp_path: Path, path: str, settings: dict[str, Any], expected: int
) -> None:
    """Whose figures are rounded everywhere else, and hidden where there are few visitors."""
    room = ImportsRoom(database, clickhouse, tmp_path, **settings)
    assert (room.status(path, "read"), room.status(path, "manage")) == (expected, 200)


def test_an_empty_file_is_an_import_of_no_days(database: Client, clickhouse: ClickHouse, tmp_path: Path) -> None:
    """As a log that was just rotated."""
    assert ImportsRoom(database, clickhouse, tmp_path).status("imports", "manage", "POST") == 201


def test_an_import_does_not_count_whose_key_was_revoked_while_it_was_uploaded(
    database: Client, clickhouse: ClickHouse, tmp_path: Path
) -> None:
    """An upload may take an hour: who may not change the site any more when it ends has changed nothing."""
    room = ImportsRoom(database, clickhouse, tmp_path)
    before = room.importing.imports.of(room.importing.site)

    async def uploaded(*, revoked: bool) -> int:
        made, key = await room.keys.create(sites=[room.importing.site.id], right="manage")

        async def chunks() -> AsyncIterator[bytes]:
            yield b"date,visitors,pageviews,bounces,visits,visit_duration\n"
            if revoked:
                await room.keys.revoke(made.id)
            yield b"2025-03-01,9000,9000,0,9000,1\n"

        path = f"/api/v1/sites/{DOMAIN}/imports?name=imported_visitors_20250301_20250301.csv"
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "text/csv"}
        async with httpx.AsyncClient(transport=httpx.ASGITransport(room.app), base_url="http://tyst.test") as http:
            return (await http.post(path, headers=headers, content=chunks())).status_code

    assert asyncio.run(uploaded(revoked=True)) == 401
    assert room.importing.imports.of(room.importing.site) == before
    assert asyncio.run(uploaded(revoked=False)) == 201
    assert len(room.importing.imports.of(room.importing.site)) == len(before) + 1


def size_of(upload: Upload) -> int:
    """The bytes of all files."""
    return sum(len(file.bytes().read()) for file in upload.files())


@pytest.mark.parametrize(
    "content_type", ["text/csv", "multipart/form-data; boundary=b"], ids=["a file as it is", "a form"]
)
@pytest.mark.parametrize("pause", [None, 0.02], ids=["silent", "a byte now and then"])
def test_an_upload_that_does_not_go_on_is_given_up(content_type: str, pause: float | None) -> None:
    """A client that went without a word would keep everybody else from importing."""

    async def receive() -> Message:
        if pause is None:
            await asyncio.Event().wait()
        await asyncio.sleep(pause or 0)
        return {"type": "http.request", "body": b"-", "more_body": True}

    async def upload() -> None:
        headers = [(b"content-type", content_type.encode())]
        request = Request({"type": "http", "method": "POST", "headers": headers, "query_string": b""}, receive)
        async with asyncio.timeout(30):
            await read_upload(request, size_of, silent=0.3)

    with pytest.raises(ImportRefused, match=r"interrupted|multipart"):
        asyncio.run(upload())


def test_an_upload_may_pause_when_it_goes_on() -> None:
    """Together longer than it may be silent, as long as enough comes."""
    chunks = iter([b"x" * 4_096] * 12)

    async def receive() -> Message:
        await asyncio.sleep(0.05)
        chunk = next(chunks, b"")
        return {"type": "http.request", "body": chunk, "more_body": bool(chunk)}

    async def upload() -> int:
        request = Request({"type": "http", "method": "POST", "headers": [], "query_string": b""}, receive)
        return await read_upload(request, size_of, silent=0.3)

    assert asyncio.run(upload()) == 12 * 4_096


def test_a_boundary_that_is_none_is_the_clients_mistake() -> None:
    """Longer than any may be (RFC 2046, 5.1.1)."""

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def upload() -> None:
        headers = [(b"content-type", b"multipart/form-data; boundary=" + b"a" * 5_000)]
        request = Request({"type": "http", "method": "POST", "headers": headers, "query_string": b""}, receive)
        await read_upload(request, lambda upload: list(upload.files()))

    with pytest.raises(ImportRefused, match="multipart"):
        asyncio.run(upload())
