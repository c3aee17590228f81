"""The dashboard over a test's own database, and a client that holds cookies as a browser does."""

from __future__ import annotations

import contextlib
import datetime
import functools
import itertools
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import anyio
import httpx
from argon2 import PasswordHasher
from clickhouse_connect.driver.client import Client
from starlette.applications import Starlette

from collector.core.metrics import Counters
from collector.core.settings import read_settings
from collector.enrichment.geoip import CountryResolver
from collector.enrichment.host_lists import HostList
from collector.erasure.job_runner import SiteJobRunner
from collector.imports.imports import Imports
from collector.imports.salts import ImportSalts
from collector.ingest.context import PipelineServices
from collector.ingest.event import Event
from collector.ingest.visits import VisitTracker
from collector.rollups.job import RollupJob
from collector.server.drop_statistics import DropStatistics
from collector.sites.model import Site
from collector.sites.registry import Sites
from collector.spool.clickhouse_inserter import ClickHouseInserter
from collector.storage.client import ClickHouse
from collector.storage.documents import DocumentTable
from dashboard.access.api_keys import ApiKey, ApiKeys
from dashboard.access.audit_log import AuditLog
from dashboard.access.authenticator import KeyCipher
from dashboard.access.one_time_links import Invitation, Invitations
from dashboard.access.passwords import Passwords
from dashboard.access.sessions import Session, Sessions
from dashboard.access.share_links import ShareLink, ShareLinks
from dashboard.access.two_factor import TwoFactorAuth
from dashboard.access.users import Role, User, Users
from dashboard.analytics.funnels import Funnel
from dashboard.analytics.goal_filters import goals_of
from dashboard.analytics.service import StatsService
from dashboard.analytics.small_counts import Protection
from dashboard.compliance.notice_versions import History, NoticeVersions
from dashboard.i18n.translations import Translations, shipped
from dashboard.notifications.services import build_notifications
from dashboard.reports.annotations import Annotation, Annotations
from dashboard.reports.funnels import Funnels, funnels_of
from dashboard.reports.segments import Segment, Segments
from dashboard.server.error_handlers import error_handlers
from dashboard.server.site_lifecycle import key_revoker, share_revoker, site_lifecycle_hooks, user_lifecycle_hooks
from dashboard.web.app_context import Dashboard, build_dashboard
from dashboard.web.locale_middleware import LocaleMiddleware
from dashboard.web.routes import routes
from dashboard.web.static_files import Assets
from dashboard.web.templating import Pages
from tests.markup import Markup, read
from tests.members import alone

_seeds = itertools.count()

PASSWORD = "a quiet password"
SECRETS = ("a secret for tests",)
BASE = "https://tyst.test"
SITE = "example.com"
NOON = int(datetime.datetime(2026, 5, 20, 12, tzinfo=datetime.UTC).timestamp())


@dataclass
class Clock:
    """Unix seconds that pass only when a test says so."""

    now: float = NOON

    def __call__(self) -> float:
        return self.now

    def today(self) -> datetime.date:
        """The date of the moment (UTC)."""
        return datetime.datetime.fromtimestamp(self.now, datetime.UTC).date()


def cheap_passwords() -> Passwords:
    """The cheapest argon2: tests are about who may, not about how slowly."""
    return Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))


class PasswordsMeanwhile(Passwords):
    """Passwords that take their time: whenever one was hashed or verified, `meanwhile` is done before the answer."""

    def __init__(self, meanwhile: Callable[[], Awaitable[object]]) -> None:
        super().__init__(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
        self._meanwhile = meanwhile

    async def hash(self, password: str) -> str:
        found = await super().hash(password)
        await self._meanwhile()
        return found

    async def matches(self, hashed: str | None, password: str) -> bool:
        found = await super().matches(hashed, password)
        await self._meanwhile()
        return found


@dataclass
class Board:
    """The dashboard, its clock, and one browser's cookies."""

    dashboard: Dashboard
    database: Client
    clock: Clock
    app: Starlette
    cookies: httpx.Cookies = field(default_factory=httpx.Cookies)
    secure: bool = True
    catalogues: Translations | None = None
    """Languages that it speaks; None is those that Tyst comes with."""

    def add_user(self, name: str, role: Role = "viewer", *sites: str) -> User:
        """A user whose password is `PASSWORD`. A name that no site has stands for one that is no more."""
        password = anyio.run(self.dashboard.passwords.hash, PASSWORD)
        found = {domain: self.dashboard.sites.get(domain) for domain in sites}
        ids = tuple(site.id if site else domain for domain, site in found.items())
        return anyio.run(self.dashboard.users.add, User(name=name, password=password, role=role, sites=ids))

    def site(self, domain: str = SITE) -> Site:
        """The registered site of that name."""
        found = self.dashboard.sites.get(domain)
        assert found is not None, domain
        return found

    def add_site(self, domain: str = SITE, **settings: Any) -> Site:
        """A registered site."""
        return anyio.run(self.dashboard.sites.add, Site(domain=domain, **settings))

    def while_hashing(self, meanwhile: Callable[[], Awaitable[object]]) -> None:
        """Have that done whenever a password is hashed or verified."""
        dashboard = replace(self.dashboard, passwords=PasswordsMeanwhile(meanwhile))
        self.app = Starlette(routes=routes(dashboard), exception_handlers=error_handlers(dashboard))

    def seed(self, events: Sequence[Event]) -> None:
        """Events that stand in ClickHouse."""
        ClickHouseInserter(self.database).insert(events, f"seed {next(_seeds)}")

    def ask(self, method: str, path: str, *, peer: str = "192.0.2.1", **options: Any) -> httpx.Response:
        """One request, without following redirects; what it sets as cookies is kept."""

        async def once() -> httpx.Response:
            app = LocaleMiddleware(self.app, self.catalogues)
            transport = httpx.ASGITransport(app, client=(peer, 4321), raise_app_exceptions=False)
            base = BASE if self.secure else BASE.replace("https", "http")
            async with httpx.AsyncClient(transport=transport, base_url=base, cookies=self.cookies) as client:
                answer = await client.request(method, path, **options)
                self.cookies = client.cookies
                return answer

        return anyio.run(once)

    def get(self, path: str, **options: Any) -> httpx.Response:
        """Ask for a page."""
        return self.ask("GET", path, **options)

    def post(self, path: str, form: dict[str, str], **options: Any) -> httpx.Response:
        """Send a form from a page of the dashboard."""
        headers = {"sec-fetch-site": "same-origin", **options.pop("headers", {})}
        return self.ask("POST", path, data=form, headers=headers, **options)

    def fragment(self, path: str, target: str, **headers: str) -> httpx.Response:
        """Ask as htmx does, to replace the element with the id `target`."""
        return self.get(path, headers={"hx-request": "true", "hx-target": target, **headers})

    def sign_in(self, name: str = "admin", password: str = PASSWORD, **options: Any) -> httpx.Response:
        """Send the sign-in form."""
        return self.post("/login", {"name": name, "password": password}, **options)

    def page(self, path: str) -> Markup:
        """A page that must be there, read."""
        answer = self.get(path)
        assert answer.status_code == 200, f"{path}: {answer.status_code}"
        return read(answer.text)


@functools.cache
def prepared_pages() -> Pages:
    """The templates and static files, which tests share: reading them takes longer than most tests do."""
    return Pages(Assets())


def importing_into(
    database: Client,
    sites: Sites,
    clock: Callable[[], float],
    directory: Path,
    connect: Callable[[], Client] | None = None,
) -> Imports:
    """Imports with all that the pipeline needs."""
    services = PipelineServices(
        sites=sites,
        salts=ImportSalts(),
        visits=VisitTracker(),
        countries=CountryResolver(None),
        spam=HostList(directory / "spam.txt"),
    )
    return Imports(database, sites, services, clock, directory, connect=connect)


@contextlib.contextmanager
def opened_board(clickhouse: ClickHouse, database: Client, directory: Path, **environ: str) -> Iterator[Board]:
    """The dashboard with the user `admin`, who is not signed in yet; `environ` are settings."""
    clock = Clock()
    settings = read_settings({"TYST_DATA_DIR": str(directory), **environ})
    sites = Sites(DocumentTable(database, "sites", Site), clock)
    funnels = Funnels(DocumentTable(database, "funnels", Funnel), clock)
    store = StatsService(
        lambda settings: clickhouse.client(readonly=True, settings=settings),
        protection=lambda domain: Protection.of(sites.get(domain)),
        goals=goals_of(sites),
        funnels=funnels_of(funnels, sites),
        workers=2,
        clock=clock,
    )
    counters = Counters()
    users = Users(DocumentTable(database, "users", User))
    deletions = SiteJobRunner(database, sites, RollupJob(database, sites, clock), list, alone(database), clock)
    sessions = Sessions(
        DocumentTable(database, "sessions", Session),
        users,
        SECRETS,
        clock,
        days=settings.session_days,
        idle_days=settings.session_idle_days,
    )
    invitations = Invitations(DocumentTable(database, "invitations", Invitation), clock)
    shares = ShareLinks(DocumentTable(database, "shares", ShareLink), sites, SECRETS, clock)
    annotations = Annotations(DocumentTable(database, "annotations", Annotation))
    segments = Segments(DocumentTable(database, "segments", Segment), clock)
    editions = NoticeVersions(DocumentTable(database, "notices", History), clock)
    notifications = build_notifications(settings, database, sites, store, SECRETS, alone(database), shipped(), clock)
    deletions.followers += site_lifecycle_hooks(
        users, invitations, editions, shares, segments, annotations, funnels, notifications
    )
    changes = AuditLog(database, sites, clock)
    keys = ApiKeys(DocumentTable(database, "api_keys", ApiKey), "", today=clock.today)
    users.access_reduced += [share_revoker(shares, sites, changes), key_revoker(keys, changes)]
    imports = importing_into(database, sites, clock, directory)
    users.followers += user_lifecycle_hooks(sessions, invitations, segments, annotations, notifications, imports)
    dashboard = build_dashboard(
        settings,
        sites,
        users,
        cheap_passwords(),
        store,
        counters,
        DropStatistics(database, counters, sites, clock),
        SECRETS,
        clock,
        audit_log=changes,
        sessions=sessions,
        invitations=invitations,
        jobs=deletions,
        shares=shares,
        annotations=annotations,
        segments=segments,
        funnels=funnels,
        keys=keys,
        imports=imports,
        two_factor=TwoFactorAuth(users, KeyCipher(SECRETS), clock, required=settings.require_two_factor),
        notifications=notifications,
        pages=prepared_pages(),
    )
    app = Starlette(routes=routes(dashboard), exception_handlers=error_handlers(dashboard))
    board = Board(dashboard, database, clock, app)
    board.add_user("admin", "admin")
    try:
        yield board
    finally:
        store.close()


def pageview(visitor: int, page: str = "/", at: int = NOON, **columns: Any) -> Event:
    """A pageview at Unix second `at`, the only one of its visit unless `columns` say otherwise."""
    given: dict[str, Any] = {
        "site": SITE, "day": datetime.datetime.fromtimestamp(at, datetime.UTC).date(), "ts": at, "visitor": visitor,
        "visit": at if visitor else 0, "name": "pageview", "consent": "granted", "hostname": SITE, "page": page,
        "entry_page": page, "visits": 1 if visitor else 0, "bounces": 1 if visitor else 0,
        "expires": datetime.date(2100, 1, 1),
    }  # fmt: skip
    return Event(**(given | columns))
