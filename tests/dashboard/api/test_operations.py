"""The operator's part of the API."""

from __future__ import annotations

from pathlib import Path

import anyio.to_thread
import httpx
import pytest
from starlette.applications import Starlette

from collector.erasure.site_job import new_job
from collector.server.collector import Collector
from collector.sites.model import Site
from collector.storage.client import ClickHouse
from collector.storage.documents import DocumentTable
from dashboard.access.api_keys import ApiKey, ApiKeys
from dashboard.api.operations import routes
from tests.collector.server.test_event_endpoint import settings_for

pytestmark = pytest.mark.anyio


async def test_nothing_is_restored_while_a_site_is_being_renamed(tmp_path: Path, clickhouse: ClickHouse) -> None:
    """What the renaming has copied would be put aside, and what it deletes be of the backup."""
    collector = Collector(settings_for(tmp_path), clickhouse=clickhouse)
    keys = ApiKeys(DocumentTable(collector.client, "api_keys", ApiKey), "the key")
    site = await collector.sites.add(Site(domain="old.test"))
    transport = httpx.ASGITransport(app=Starlette(routes=routes(collector, keys)))
    headers = {"authorization": "Bearer the key"}
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost", headers=headers) as client:
        wanted = {"name": "none"}
        assert (await client.post("/api/v1/backups/restore", json=wanted)).status_code == 400
        job = new_job("rename", site, "admin", collector.clock(), to="new.test")
        await anyio.to_thread.run_sync(collector.deletions.enqueue, job)
        assert (await client.post("/api/v1/backups/restore", json=wanted)).status_code == 409
        while not await anyio.to_thread.run_sync(collector.deletions.run_pending):
            pass
        assert (await client.post("/api/v1/backups/restore", json=wanted)).status_code == 400
