"""The operator's part of the API."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import MutableMapping
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, cast

import anyio
import anyio.from_thread
import anyio.to_thread
import httpx
import msgspec
import pytest
from clickhouse_connect.driver.client import Client
from starlette.applications import Starlette

from collector.core.errors import BackupError
from collector.erasure.rename_site import SiteRename
from collector.erasure.site_job import SiteJob, new_job
from collector.erasure.visitor_erasure import Eraser
from collector.imports.record import ImportRecord
from collector.ingest.event import Event
from collector.server.collector import Collector
from collector.sites.model import Site
from collector.sites.restoration import keep_protection
from collector.spool.clickhouse_inserter import ClickHouseInserter
from collector.spool.rewrite import Erasure
from collector.storage.backup import Restored, SettingDifference, back_up, restore, tables_in_place
from collector.storage.client import ClickHouse
from collector.storage.documents import DocumentTable
from dashboard.access.api_keys import ApiKey, ApiKeys
from dashboard.access.audit_log import AuditLog
from dashboard.api import privacy
from dashboard.api.operations import routes
from dashboard.api.restored_records import keep_checked
from dashboard.compliance.notice_versions import NoticeVersions
from tests.collector.server.test_event_endpoint import settings_for
from tests.collector.storage.test_client import an_event

pytestmark = pytest.mark.anyio


def backed_up(tmp_path: Path, clickhouse: ClickHouse, *events: Event) -> tuple[Collector, str]:
    """A collector whose database has the events, and the name of a backup of it."""
    collector = Collector(settings_for(tmp_path), clickhouse=ClickHouse(clickhouse.dsn, clickhouse.database))
    ClickHouseInserter(collector.client).insert(events, "all")
    name = f"b-{secrets.token_hex(4)}"
    back_up(collector.clickhouse, name)
    return collector, name


def noted_of(collector: Collector) -> AuditLog:
    """The collector's audit log."""
    return AuditLog(collector.client, collector.sites, collector.clock)


async def test_backups_are_in_the_audit_log(tmp_path: Path, engine: str, clickhouse: ClickHouse) -> None:
    """Who made one, and who restored it: also where the log was replaced by that of the backup."""
    assert engine
    collector = Collector(settings_for(tmp_path), clickhouse=ClickHouse(clickhouse.dsn, clickhouse.database))
    keys = ApiKeys(DocumentTable(collector.client, "api_keys", ApiKey), "the key")
    transport = httpx.ASGITransport(app=Starlette(routes=routes(collector, keys, noted_of(collector))))
    headers = {"authorization": "Bearer the key"}
    name = f"b-{secrets.token_hex(4)}"
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost", headers=headers) as client:
        assert (await client.post("/api/v1/backups", json={"name": name})).status_code == 201
        assert (await client.post("/api/v1/backups/restore", json={"name": name})).status_code == 200
    rows = collector.client.query("SELECT who, what, after FROM audit_log ORDER BY at, what").result_rows
    assert [tuple(row) for row in rows] == [("command line", "Backup restored", name)]


async def test_nothing_is_restored_while_a_site_is_being_renamed(tmp_path: Path, clickhouse: ClickHouse) -> None:
    """What the renaming has copied would be put aside, and what it deletes be of the backup."""
    collector = Collector(settings_for(tmp_path), clickhouse=clickhouse)
    keys = ApiKeys(DocumentTable(collector.client, "api_keys", ApiKey), "the key")
    site = await collector.sites.add(Site(domain="old.test"))
    transport = httpx.ASGITransport(app=Starlette(routes=routes(collector, keys, noted_of(collector))))
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


async def test_a_deep_body_is_refused(clickhouse: ClickHouse, tmp_path: Path) -> None:
    """Lists within each other without end are no server error."""
    collector = Collector(settings_for(tmp_path), clickhouse=clickhouse)
    keys = ApiKeys(DocumentTable(collector.client, "api_keys", ApiKey), "the key")
    await collector.sites.add(Site(domain="deep.test"))
    of_privacy = privacy.routes(collector, keys, cast("NoticeVersions", None))
    app = Starlette(routes=[*routes(collector, keys, noted_of(collector)), *of_privacy])
    headers = {"authorization": "Bearer the key"}
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=app), base_url="http://localhost", headers=headers
    ) as client:
        for path in ("backups/restore", "sites/deep.test/preview"):
            answer = await client.post(f"/api/v1/{path}", content=b'{"x":' + b"[" * 2_000)
            assert answer.status_code == 400


async def test_no_backup_is_made_of_a_site_that_is_half_renamed(
    tmp_path: Path, engine: str, clickhouse: ClickHouse
) -> None:
    """The job would go on after a restoration, and copy once more what it had copied. It waits meanwhile."""
    assert engine
    database = ClickHouse(clickhouse.dsn, clickhouse.database)
    collector = Collector(settings_for(tmp_path), clickhouse=database)
    keys = ApiKeys(DocumentTable(collector.client, "api_keys", ApiKey), "the key")
    site = await collector.sites.add(Site(domain="old.test"))
    collector.client.command(
        "INSERT INTO events (site, day, ts, visitor, name) SELECT 'old.test', '2041-03-30', now(), number, 'pageview'"
        " FROM numbers(5)"
    )
    transport = httpx.ASGITransport(app=Starlette(routes=routes(collector, keys, noted_of(collector))))
    headers = {"authorization": "Bearer the key"}
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost", headers=headers) as client:

        async def backed_up() -> int:
            return (await client.post("/api/v1/backups", json={"name": f"b-{secrets.token_hex(4)}"})).status_code

        job = new_job("rename", site, "admin", collector.clock(), to="new.test")
        job = await anyio.to_thread.run_sync(collector.deletions.enqueue, job)
        assert await backed_up() == 201
        seen: list[int] = []
        jobs = DocumentTable(collector.client, "site_jobs", SiteJob)

        def put(each: SiteJob) -> None:
            jobs.save(each.id, each)
            seen.append(anyio.from_thread.run(backed_up))

        await anyio.to_thread.run_sync(SiteRename(collector.client).run_step, job, put)
        assert (seen[0], seen[1], seen[2]) == (409, 409, 201)
        with collector.deletions.paused():
            assert not await anyio.to_thread.run_sync(collector.deletions.run_pending)
        assert await anyio.to_thread.run_sync(collector.deletions.run_pending)
        assert await backed_up() == 201
    assert collector.client.query("SELECT site, count() FROM events GROUP BY site").result_rows == [("new.test", 5)]


async def test_who_is_promised_to_be_erased_is_in_no_backup(
    tmp_path: Path, engine: str, clickhouse: ClickHouse
) -> None:
    """However long the erasure would have waited for others."""
    assert engine
    collector = Collector(settings_for(tmp_path), clickhouse=ClickHouse(clickhouse.dsn, clickhouse.database))
    keys = ApiKeys(DocumentTable(collector.client, "api_keys", ApiKey), "the key")
    mine, theirs = an_event(visitor=7), an_event(visitor=8)
    ClickHouseInserter(collector.client).insert([mine, theirs], "both")
    collector.eraser.enqueue([Erasure(mine.site, mine.day, mine.visitor, mine.ts)])
    transport = httpx.ASGITransport(app=Starlette(routes=routes(collector, keys, noted_of(collector))))
    headers = {"authorization": "Bearer the key"}
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost", headers=headers) as client:
        answer = await client.post("/api/v1/backups", json={"name": f"b-{secrets.token_hex(4)}"})
    assert answer.status_code == 201
    assert collector.client.query("SELECT visitor FROM events").result_rows == [(8,)]


async def test_who_is_erased_during_a_restoration_stays_erased(
    tmp_path: Path, engine: str, clickhouse: ClickHouse
) -> None:
    """The tables that the events were deleted from are put aside: the erasure is repeated in those of the backup."""
    assert engine
    mine, theirs = an_event(visitor=7), an_event(visitor=8)
    collector, name = backed_up(tmp_path, clickhouse, mine, theirs)
    done: list[bool] = []

    def erased(*_: Client) -> list[SettingDifference]:
        collector.eraser.enqueue([Erasure(mine.site, mine.day, mine.visitor, mine.ts)])
        done.extend(collector.eraser.run_once(urgent=True) for _ in range(3))
        return []

    restore(collector.clickhouse, name, erased)
    assert done == [False] * 3
    assert collector.client.query("SELECT visitor FROM events ORDER BY visitor").result_rows == [(7,), (8,)]
    assert collector.eraser.run_once(urgent=True)
    assert collector.client.query("SELECT visitor FROM events").result_rows == [(8,)]


async def test_nothing_is_restored_where_another_collector_began_to_import(
    tmp_path: Path, engine: str, clickhouse: ClickHouse
) -> None:
    """Its days would count in the restored tables, and their rows be in those that were put aside."""
    assert engine
    collector, name = backed_up(tmp_path, clickhouse, an_event())
    keys = ApiKeys(DocumentTable(collector.client, "api_keys", ApiKey), "the key")
    transport = httpx.ASGITransport(app=Starlette(routes=routes(collector, keys, noted_of(collector))))
    headers = {"authorization": "Bearer the key"}
    now = int(collector.clock())
    record = ImportRecord(id="theirs", site_id="site", name="", by="", at=now, versions=1, beat=now)

    def is_restoring() -> bool:
        return tables_in_place(collector.clickhouse, collector.client).restoring

    async with httpx.AsyncClient(transport=transport, base_url="http://localhost", headers=headers) as client:
        with collector.rollup.replacing_tables():
            answer = asyncio.create_task(client.post("/api/v1/backups/restore", json={"name": name}))
            while not await anyio.to_thread.run_sync(is_restoring):
                assert not answer.done()
            await anyio.to_thread.run_sync(
                DocumentTable(collector.client, "imports", ImportRecord).create, record.id, record
            )
        assert (await answer).status_code == 409
        assert "being imported" in (await answer).text
    assert not is_restoring()


async def test_an_erasure_is_not_done_by_a_deletion_from_tables_that_were_replaced(
    tmp_path: Path, engine: str, clickhouse: ClickHouse
) -> None:
    """A restoration may begin and end while events are being deleted."""
    assert engine
    mine = an_event(visitor=7)
    collector, name = backed_up(tmp_path, clickhouse, mine)
    place = collector.clickhouse
    restored: list[Restored] = []

    def during(*_: object) -> None:
        if not restored:
            restored.append(restore(place, name, keep_protection))

    collector.eraser = Eraser(
        collector.client,
        lambda: [collector.spool],
        collector.members,
        lambda: 1,
        reopen=during,
        in_place=lambda: tables_in_place(place, collector.client),
    )
    collector.eraser.enqueue([Erasure(mine.site, mine.day, mine.visitor, mine.ts)])
    assert not collector.eraser.run_once(urgent=True)
    assert restored
    assert collector.eraser.run_once(urgent=True)
    assert collector.client.query("SELECT count() FROM events").result_rows == [(0,)]


async def test_nothing_is_restored_when_figures_were_deleted_meanwhile(
    tmp_path: Path, engine: str, clickhouse: ClickHouse
) -> None:
    """By another collector, which does not wait for this one: the backup would bring them back."""
    assert engine
    collector, name = backed_up(tmp_path, clickhouse, an_event())
    site = await collector.sites.add(Site(domain="site.test"))
    jobs = collector.deletions.all()
    job = new_job("reset", site, "admin", collector.clock())
    await anyio.to_thread.run_sync(collector.deletions.enqueue, job)
    assert await anyio.to_thread.run_sync(collector.deletions.run_pending)
    with pytest.raises(BackupError, match="meanwhile; nothing was restored"):
        restore(collector.clickhouse, name, partial(keep_checked, name, jobs))
    assert collector.client.query("SELECT count() FROM events").result_rows == [(0,)]


async def test_what_a_killed_restoration_has_left_goes_while_a_collector_serves(
    tmp_path: Path, engine: str, clickhouse: ClickHouse
) -> None:
    """Of several collectors the killed one may never start again. Until then no erasure is called done."""
    assert engine
    mine = an_event(visitor=7)
    collector, _ = backed_up(tmp_path, clickhouse, mine)
    with closing(ClickHouse(clickhouse.dsn, f"{clickhouse.database}_restored_{secrets.token_hex(4)}").create()):
        collector.eraser.enqueue([Erasure(mine.site, mine.day, mine.visitor, mine.ts)])
        assert not collector.eraser.run_once(urgent=True)
        upkeep = asyncio.create_task(collector.run_upkeep())
        with anyio.fail_after(30):
            while tables_in_place(collector.clickhouse, collector.client).restoring:  # noqa: ASYNC110 # no event
                await anyio.sleep(0.05)
        upkeep.cancel()
        assert await anyio.to_thread.run_sync(partial(collector.eraser.run_once, urgent=True))


async def test_a_backup_that_nobody_waits_for_is_neither_kept_nor_noted(
    tmp_path: Path, embedded_engine: str, clickhouse: ClickHouse
) -> None:
    """Its command was stopped: it would go on having what is erased, and nobody knows of it."""
    backups = Path(embedded_engine.removeprefix("chdb://")).parent / "backups"
    place = ClickHouse(clickhouse.dsn, clickhouse.database, backups=backups)
    collector = Collector(settings_for(tmp_path), clickhouse=place)
    keys = ApiKeys(DocumentTable(collector.client, "api_keys", ApiKey), "the key")
    app = Starlette(routes=routes(collector, keys, noted_of(collector)))
    # As the command names them.
    name = f"20410330T120000Z-{secrets.token_hex(4)}"
    statuses: list[object] = []
    body = msgspec.json.encode({"name": name})
    received: list[MutableMapping[str, Any]] = [{"type": "http.disconnect"}, {"type": "http.request", "body": body}]

    async def receive() -> MutableMapping[str, Any]:
        return received.pop() if received else {"type": "http.disconnect"}

    async def send(message: MutableMapping[str, Any]) -> None:
        statuses.append(message.get("status"))

    headers = [(b"authorization", b"Bearer the key"), (b"content-length", str(len(body)).encode())]
    scope = {"type": "http", "method": "POST", "path": "/api/v1/backups", "query_string": b"", "headers": headers}
    await app(scope, receive, send)
    assert statuses[0] == 499
    assert not (backups / name).exists()
    assert collector.client.query("SELECT what FROM audit_log").result_rows == []
