"""The API of imports and exports: whose keys get exact figures, and uploads that do not go on."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
from clickhouse_connect.driver.client import Client
from starlette.applications import Starlette

from collector.storage.documents import DocumentTable
from dashboard.access.api_keys import ApiKey, ApiKeys, Right
from dashboard.access.audit_log import AuditLog
from dashboard.api.imports import routes
from dashboard.api.management import who_asks
from tests.collector.imports.imported import DOMAIN, SAMPLES, Importing

EXPORT = SAMPLES / "plausible" / "example_com_20260115.zip"


class ImportsRoom:
    """The API over a fresh database, with a site that has an import."""

    def __init__(self, client: Client, directory: Path, **settings: Any) -> None:
        self.importing = Importing(client, directory, settings=settings)
        self.importing.take(EXPORT)
        self.keys = ApiKeys(DocumentTable(client, "api_keys", ApiKey), "an administrator's key")
        sites = self.importing.sites
        changes = AuditLog(client, sites, lambda: self.importing.now)
        self.app = Starlette(
            routes=routes(self.importing.imports, sites, self.keys, changes, who_asks, client, directory)
        )

    def status(self, path: str, right: Right) -> int:
        """The status of a request with a key of the site."""

        async def once() -> int:
            _, key = await self.keys.create(sites=[self.importing.site.id], right=right)
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://tyst.test") as http:
                path_ = f"/api/v1/sites/{DOMAIN}/{path}"
                return (await http.get(path_, headers={"Authorization": f"Bearer {key}"})).status_code

        return asyncio.run(once())


@pytest.mark.parametrize("path", ["export", "imports"])
@pytest.mark.parametrize(
    ("settings", "expected"),
    [({}, 200), ({"strict": True}, 403), ({"strict": True, "min_visitors": 1}, 200)],
)
def test_exact_figures_of_a_strict_site_need_a_key_that_may_change_it(
    database: Client, tmp_path: Path, path: str, settings: dict[str, Any], expected: int
) -> None:
    """Whose figures are rounded everywhere else, and hidden where there are few visitors."""
    room = ImportsRoom(database, tmp_path, **settings)
    assert (room.status(path, "read"), room.status(path, "manage")) == (expected, 200)
