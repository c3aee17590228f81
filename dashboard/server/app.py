"""The composition root: collector and dashboard put together as one application for one process."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import anyio.to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from collector.core.app_secret import secrets_of
from collector.core.settings import Settings
from collector.enrichment.client_ip import TrustedProxies
from collector.ingest.request_body import BodyReader
from collector.ingest.request_context import RequestFields
from collector.ingest.request_origin import RequestOrigins
from collector.server.collector import Collector
from collector.server.event_endpoint import EVENT_PATH, EventEndpoint
from collector.server.header_timeout import MalformedRequests
from collector.server.pixel import PIXEL_PATH
from collector.server.routes import routes as collector_routes
from collector.spool.clickhouse_inserter import ClickHouseInserter
from collector.storage.documents import DocumentTable
from dashboard.access.api_keys import ApiKey, ApiKeys, admin_key
from dashboard.access.api_quota import ApiQuota, QuotaFields
from dashboard.access.audit_log import AuditLog
from dashboard.access.authenticator import KeyCipher
from dashboard.access.key_attempts import KeyAttempts
from dashboard.access.key_slots import KeySlotRelease
from dashboard.access.one_time_links import Invitation, Invitations
from dashboard.access.passwords import Passwords
from dashboard.access.sessions import Session, Sessions
from dashboard.access.share_links import ShareLink, ShareLinks
from dashboard.access.two_factor import TwoFactorAuth
from dashboard.access.users import User, Users, ensure_admin
from dashboard.analytics.executor import CACHE_SECONDS
from dashboard.analytics.funnels import Funnel
from dashboard.analytics.goal_filters import goals_of
from dashboard.analytics.service import StatsService
from dashboard.analytics.small_counts import Protection
from dashboard.api import alerts as alerts_api
from dashboard.api import collectors, journeys, mail, management, openapi, operations, privacy, site_check
from dashboard.api import funnels as funnels_api
from dashboard.api import imports as imports_api
from dashboard.api import report_subscriptions as report_api
from dashboard.api import stats as stats_api
from dashboard.api.auth import readers
from dashboard.compliance.notice_versions import History, NoticeVersions
from dashboard.i18n.translations import SHIPPED, Translations
from dashboard.notifications.services import build_notifications
from dashboard.reports.annotations import Annotation, Annotations
from dashboard.reports.funnels import Funnels, funnels_of
from dashboard.reports.segments import Segment, Segments
from dashboard.server.demo.site import demo_funnel, demo_routes
from dashboard.server.demo.timeline import DemoPlan, fill
from dashboard.server.error_handlers import error_handlers
from dashboard.server.health_checks import problems_of, status_of
from dashboard.server.site_lifecycle import key_revoker, share_revoker, site_lifecycle_hooks, user_lifecycle_hooks
from dashboard.web import routes, visitor_api, visitor_privacy
from dashboard.web.app_context import build_dashboard
from dashboard.web.edge import REFUSAL, Edge
from dashboard.web.locale_middleware import LocaleMiddleware
from dashboard.web.public_path import BelowPath
from dashboard.web.static_files import Assets
from dashboard.web.stopping import on_stop
from dashboard.web.templating import Pages
from dashboard.web.visitor_requests import VisitorRequests

log = logging.getLogger(__name__)

LANGUAGES = "languages"
"""The part of the data directory for catalogues of languages that Tyst does not come with."""


class Tyst(Starlette):
    """The ASGI application. Beacons bypass the middleware, as their path is the hot one."""

    def __init__(
        self,
        collector: Collector,
        translations: Translations | None = None,
        account: Callable[[Scope], str] = lambda _: "",
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.collector = collector
        bodies = BodyReader()
        self.beacons = EventEndpoint(collector, bodies)
        self.malformed = MalformedRequests(collector.counters)
        # A redirect to the address with a slash would have the request's Host in it.
        self.router.redirect_slashes = False
        trusted = TrustedProxies(collector.settings.trusted_proxies)
        path = collector.settings.public_path
        self._outermost: ASGIApp = BelowPath(self._routed, path) if path else self._routed
        # Around everything: also what the application says when something broke is in the reader's language.
        self._others = Edge(
            LocaleMiddleware(self._explained, translations),
            RequestOrigins(collector.settings, collector.sites),
            bodies,
            collector.counters,
            lambda scope: RequestFields(scope, trusted).network,
            account,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._outermost(scope, receive, send)

    async def _routed(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] in (EVENT_PATH, PIXEL_PATH):
            await self.beacons(scope, receive, send)
        else:
            await self._others(scope, receive, send)

    async def _explained(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The application, or in words why a request does not reach it."""
        refusal = scope.get(REFUSAL)
        if refusal is None:
            await super().__call__(scope, receive, send)
            return
        # A page would take longer than what it refuses.
        explain = refuse if refusal.status_code == 429 else self.exception_handlers.get(HTTPException, refuse)
        response = await explain(Request(scope, receive), refusal)
        await response(scope, receive, send)


async def refuse(_: Request, error: Exception) -> Response:
    """Why a request does not reach an application that has no pages."""
    known = error if isinstance(error, HTTPException) else HTTPException(500)
    return PlainTextResponse(f"{known.detail}\n", known.status_code, known.headers)


def build(
    settings: Settings,
    *,
    demo: DemoPlan | None = None,
    clock: Callable[[], float] = time.time,
    since_boot: Callable[[], float] | None = None,
) -> Tyst:
    """The application for these settings; it starts and stops with the server's lifespan.

    Once started, `state.generated_password` is the password of `admin` if one was generated, else None. Raises
    `DataDirectoryInUse` when another process has the data directory, and `CatalogueError` for one of its languages.
    """
    began = clock()
    collector = Collector(settings, clock=clock, since_boot=since_boot, inserted=lambda _: stats.clear_cache())
    users = Users(DocumentTable(collector.client, "users", User))
    users.refresh()
    collector.refreshes.append(users.refresh)
    editions = NoticeVersions(DocumentTable(collector.client, "notices", History), clock)
    collector.refreshes.append(lambda: editions.note(collector.sites.all()))
    passwords = Passwords()
    trusted = TrustedProxies(settings.trusted_proxies)
    keys = ApiKeys(
        DocumentTable(collector.client, "api_keys", ApiKey),
        admin_key(settings.data_dir),
        quota=ApiQuota(settings.api_rate_limit),
        attempts=KeyAttempts(lambda scope: RequestFields(scope, trusted).network),
    )
    funnels = Funnels(DocumentTable(collector.client, "funnels", Funnel), clock)
    funnels.refresh()
    collector.refreshes.append(funnels.refresh)
    stats = StatsService(
        lambda limits: collector.clickhouse.client(readonly=True, settings=limits),
        protection=lambda domain: Protection.of(collector.sites.get(domain)),
        goals=goals_of(collector.sites),
        funnels=funnels_of(funnels, collector.sites),
        cluster=collector.clickhouse.cluster,
        cache_seconds=CACHE_SECONDS,
        clock=clock,
    )
    changes = AuditLog(collector.client, collector.sites, clock)
    secrets = secrets_of(settings)
    shares = ShareLinks(DocumentTable(collector.client, "shares", ShareLink), collector.sites, secrets, clock)
    shares.refresh()
    collector.refreshes.append(shares.refresh)
    segments = Segments(DocumentTable(collector.client, "segments", Segment), clock)
    segments.refresh()
    collector.refreshes.append(segments.refresh)
    annotations = Annotations(DocumentTable(collector.client, "annotations", Annotation))
    annotations.refresh()
    collector.refreshes.append(annotations.refresh)
    sessions = Sessions(
        DocumentTable(collector.client, "sessions", Session),
        users,
        secrets,
        clock,
        days=settings.session_days,
        idle_days=settings.session_idle_days,
    )
    two_factor = TwoFactorAuth(users, KeyCipher(secrets), clock, required=settings.require_two_factor)
    sessions.refresh()
    collector.refreshes.append(sessions.refresh)
    invitations = Invitations(DocumentTable(collector.client, "invitations", Invitation), clock)
    translations = Translations(SHIPPED, settings.data_dir / LANGUAGES)
    notifications = build_notifications(
        settings,
        collector.client,
        collector.sites,
        stats,
        secrets,
        collector.members,
        translations,
        clock,
        # By a clock that leapt the wrong reports would be due.
        leads=lambda: collector.members.leads and not collector.clock_monitor.jumped,
        problems=partial(problems_of, collector),
    )
    collector.refreshes.append(notifications.refresh)
    collector.deletions.followers += site_lifecycle_hooks(
        users, invitations, editions, shares, segments, annotations, funnels, notifications
    )
    users.access_reduced += [share_revoker(shares, collector.sites, changes), key_revoker(keys, changes)]
    users.followers += user_lifecycle_hooks(
        sessions, invitations, segments, annotations, notifications, collector.imports
    )
    dashboard = build_dashboard(
        settings,
        collector.sites,
        users,
        passwords,
        stats,
        collector.counters,
        collector.tally,
        secrets,
        clock,
        audit_log=changes,
        sessions=sessions,
        invitations=invitations,
        jobs=collector.deletions,
        shares=shares,
        annotations=annotations,
        segments=segments,
        funnels=funnels,
        keys=keys,
        imports=collector.imports,
        two_factor=two_factor,
        notifications=notifications,
        pages=Pages(Assets(), settings.public_path, collector.sites.all),
    )

    statistics = stats_api.StatsApi(
        stats,
        collector.sites,
        readers(keys, collector.sites),
        clock,
        lambda site: dashboard.segments.of(site, None),
    )

    def account(scope: Scope) -> str:
        user = sessions.user(Request(scope))
        return user.name if user else ""

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        app.state.generated_password = await ensure_admin(users, passwords, settings.admin_password)
        await two_factor.reencrypt()
        await notifications.channels.reencrypt()
        if demo is not None:
            await _prepare_demo(collector, demo, funnels)
            await anyio.to_thread.run_sync(collector.close_days)
        await collector.start()
        sending = [asyncio.create_task(each.run()) for each in (notifications.scheduler, notifications.trouble)]
        log.info("started", extra={"sites": len(collector.sites.all()), "embedded": settings.embedded})
        try:
            with on_stop(dashboard.hubs.close_soon):
                yield
        finally:
            await dashboard.hubs.close()
            for task in sending:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
            stats.close()
            await collector.stop()
            log.info("stopped", extra={"spool_rows": collector.spool.stats().rows})

    visitors = VisitorRequests(collector.privacy, collector.sites, settings, sessions.hosts_of_admins)
    return Tyst(
        collector,
        translations,
        account,
        lifespan=lifespan,
        middleware=[Middleware(KeySlotRelease), Middleware(QuotaFields)],
        routes=[
            *collector_routes(collector),
            *management.routes(
                sites=collector.sites,
                users=users,
                passwords=passwords,
                sessions=sessions,
                two_factor=two_factor,
                keys=keys,
                status=partial(status_of, collector, notifications.transport, began),
                audit_log=changes,
                jobs=collector.deletions,
            ),
            *imports_api.routes(
                collector.imports,
                collector.sites,
                keys,
                changes,
                partial(collector.clickhouse.client, readonly=True),
                settings.data_dir,
            ),
            *funnels_api.routes(funnels, statistics, collector.sites, keys, changes, clock),
            *alerts_api.routes(notifications, collector.sites, keys, changes),
            *report_api.routes(notifications, collector.sites, keys, changes),
            *site_check.routes(collector.sites, keys, dashboard.inspector),
            *operations.routes(collector, keys, changes),
            *mail.routes(notifications.letters, keys),
            *collectors.routes(collector.members, keys, changes),
            *privacy.routes(collector, keys, editions),
            *stats_api.routes_of(statistics),
            *openapi.routes(),
            *journeys.routes(statistics),
            *(demo_routes(dashboard.pages) if demo is not None else []),
            *visitor_api.routes(visitors),
            *visitor_privacy.routes(visitors, editions, dashboard.pages),
            *routes.routes(dashboard),
        ],
        exception_handlers=error_handlers(dashboard),
    )


async def _prepare_demo(collector: Collector, plan: DemoPlan, funnels: Funnels) -> None:
    """The demonstration's site with a funnel, and its visits up to now."""
    site = plan.site(collector.clock())
    known = collector.sites.get(site.domain)
    site = known or await collector.sites.add(site)
    if known is None:
        await funnels.add(site, demo_funnel())
    inserter = ClickHouseInserter(collector.client)
    await anyio.to_thread.run_sync(fill, plan, site, inserter, collector.settings.data_dir, collector.clock())
