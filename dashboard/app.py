"""The composition root: collector and dashboard put together as one application for one process."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import anyio.to_thread
from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send

from collector.app import EVENT_PATH, PIXEL_PATH, EventEndpoint
from collector.app import routes as collector_routes
from collector.clickhouse import ClickHouseInserter
from collector.privacy import Privacy
from collector.process import Collector
from collector.records import Records
from collector.settings import Settings
from dashboard import api, operations, privacy_api, privacy_views, stats_api, views
from dashboard.context import build_dashboard
from dashboard.demo import DemoPlan, fill
from dashboard.demo_site import demo_routes
from dashboard.editions import Editions, History
from dashboard.health import status_of
from dashboard.keys import ApiKey, Keys, admin_key
from dashboard.protect import protection_of
from dashboard.store import Store
from dashboard.users import Passwords, User, Users, ensure_admin

log = logging.getLogger(__name__)

KEY_FILE = "secret.key"


class Tyst(Starlette):
    """The application. Beacons go straight to their endpoint: that path is the hot one."""

    def __init__(self, collector: Collector, **options: Any) -> None:
        super().__init__(**options)
        self.collector = collector
        self._events = EventEndpoint(collector)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] in (EVENT_PATH, PIXEL_PATH):
            await self._events(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


def build(
    settings: Settings,
    *,
    workers: int = 1,
    demo: DemoPlan | None = None,
    clock: Callable[[], float] = time.time,
) -> Tyst:
    """The application for these settings; it starts and stops with the server's lifespan.

    Once started, `state.generated_password` is the password of `admin` if one was generated, else None. Raises
    `DataDirectoryInUse` when another process has the data directory.
    """
    began = clock()
    collector = Collector(settings, clock=clock, workers=workers, inserted=lambda _: store.forget())
    users = Users(Records(collector.client, "users", User))
    users.refresh()
    collector.refreshes.append(users.refresh)
    editions = Editions(Records(collector.client, "notices", History), clock)
    collector.refreshes.append(lambda: editions.note(collector.sites.all()))
    passwords = Passwords()
    keys = Keys(Records(collector.client, "api_keys", ApiKey), admin_key(settings.data_dir))
    store = Store(
        lambda limits: collector.clickhouse.client(readonly=True, settings=limits),
        protection=protection_of(collector.sites),
        # However many look at the same dashboard, it is asked for about twice a second.
        fresh=min(settings.flush_seconds, 0.5),
    )
    dashboard = build_dashboard(
        settings,
        collector.sites,
        users,
        passwords,
        store,
        collector.counters,
        collector.tally,
        _secret(settings),
        clock,
    )

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        app.state.generated_password = await ensure_admin(users, passwords, settings.admin_password)
        if demo is not None:
            await _prepare_demo(collector, demo)
            await anyio.to_thread.run_sync(collector.close_days)
        await collector.start()
        log.info("started", extra={"sites": len(collector.sites.all()), "embedded": settings.embedded})
        try:
            yield
        finally:
            store.close()
            await collector.stop()
            log.info("stopped", extra={"spool_rows": collector.spool.held().rows})

    return Tyst(
        collector,
        lifespan=lifespan,
        routes=[
            *collector_routes(collector),
            *api.routes(
                sites=collector.sites,
                users=users,
                passwords=passwords,
                keys=keys,
                status=partial(status_of, collector, began),
            ),
            *operations.routes(collector, keys),
            *privacy_api.routes(collector, keys, editions),
            *stats_api.routes(store=store, sites=collector.sites, authorise=api.readers(keys), clock=clock),
            *(demo_routes(dashboard.pages) if demo is not None else []),
            *privacy_views.routes(
                privacy=Privacy(collector),
                sites=collector.sites,
                editions=editions,
                pages=dashboard.pages,
                trusted=settings.trusted_proxies,
            ),
            *views.routes(dashboard),
        ],
        exception_handlers=views.error_handlers(dashboard),
    )


async def _prepare_demo(collector: Collector, plan: DemoPlan) -> None:
    """The demonstration's site, and its visits up to now."""
    site = plan.site(collector.clock())
    known = collector.sites.get(site.domain)
    site = known or await collector.sites.add(site)
    inserter = ClickHouseInserter(collector.client)
    await anyio.to_thread.run_sync(fill, plan, site, inserter, collector.settings.data_dir, collector.clock())


def _secret(settings: Settings) -> str:
    """What sign-in cookies are signed with: the operator's, or one that the data directory keeps."""
    return settings.secret_key or kept_secret(settings.data_dir / KEY_FILE)


def kept_secret(path: Path) -> str:
    """A random secret in a file that only its owner can read; made when there is none."""
    if not path.exists():
        new = path.with_suffix(f".{os.getpid()}")
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(f"{secrets.token_urlsafe(32)}\n")
        # Several workers may come here at once: the one whose link is first wins, whole.
        with contextlib.suppress(FileExistsError):
            os.link(new, path)
        new.unlink()
    return path.read_text().strip()
