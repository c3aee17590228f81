"""The visitors' own addresses: `/api/me` for programs and `/privacy/SITE` as a page. No account, no script needed.

Who asks is told by the request's own address and user agent, so another browser's data cannot be named, let alone
read. Everything that changes something must come from a page of this very origin, or from no page at all: a
stranger's page cannot erase or choose in a visitor's place. Answers to other origins carry no CORS header: the
site's own pages must not read them either, or they could learn which reader did what.
"""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Final
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import anyio.to_thread
import msgspec
from clickhouse_connect.driver.exceptions import ClickHouseError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from collector.core.errors import SpoolUnavailable
from collector.core.settings import Settings
from collector.enrichment.client_ip import TrustedProxies, client_address, network_of
from collector.erasure.subject_access import (
    ErasureReport,
    Requester,
    SubjectAccess,
    VisitorDataExport,
    as_count,
    as_csv,
    as_json,
)
from collector.ingest.cookies import CONSENT_COOKIE, consent_cookie
from collector.ingest.rate_limit import RateLimit
from collector.ingest.request_context import user_agent_of
from collector.ingest.request_origin import RequestOrigins, origin_of, public_base
from collector.server.large_responses import ResponseSlots
from collector.sites.hostnames import is_at_or_under, is_shared_suffix
from collector.sites.model import Site
from collector.sites.registry import Sites
from dashboard.access.csrf import is_foreign_subresource, same_origin
from dashboard.access.disclosure_limit import DisclosureLimit
from dashboard.compliance import privacy_notice
from dashboard.compliance.notice_versions import NoticeVersions
from dashboard.compliance.privacy_notice import NoticeVersion, facts_of, visitor_page_path
from dashboard.compliance.privacy_notice_texts import notice_texts
from dashboard.compliance.visitor_privacy_texts import page_texts
from dashboard.i18n.translations import languages, set_locale
from dashboard.reports.csv_export import csv_writer, usual_separator
from dashboard.reports.labels import retention_text
from dashboard.reports.visitor_summary import date_of, minute_of, row_of, summary_of
from dashboard.web.app_context import read_form
from dashboard.web.locale_middleware import preferred
from dashboard.web.templating import Pages
from dashboard.web.visitor_responses import PacedResponse, file_response, json_response

READS: Final = 5
ERASURES: Final = 1
"""A second, of one address; an erasure may rewrite a part of the table."""

CHOICE_SECONDS: Final = 34_000_000
"""About 13 months, as the snippet keeps it."""

# Each button's choice as its cookie holds it. A refusal here is the visitor's own word to the site: a banner that the
# snippet follows does not overrule it.
CHOICES: Final = {"granted": "granted", "denied": "denied.own", "excluded": "excluded"}
UNCONFIRMED: Final = ".new"
"""Note on a choice that has erased nothing yet: the snippet withdraws on the site's next page."""
NOTES: Final = frozenset({"erased", "erased_later", "not_erased", "too_often", "saved", "withdrawn"})
MOST_ROWS: Final = 200

_FOREIGN = "a visitor's data is not for the pages of other origins"


class VisitorViews:
    """Request handlers with their dependencies."""

    def __init__(
        self,
        subject_access: SubjectAccess,
        sites: Sites,
        notice_versions: NoticeVersions,
        pages: Pages,
        settings: Settings,
        in_use: Callable[[], Collection[str]],
    ) -> None:
        self._privacy = subject_access
        self._sites = sites
        self._editions = notice_versions
        self._pages = pages
        self._trusted = TrustedProxies(settings.trusted_proxies)
        self._hosts = RequestOrigins(settings, sites, in_use)
        self._reads = RateLimit(READS)
        self._erasures = RateLimit(ERASURES)
        self._asking = DisclosureLimit()
        self._answering = ResponseSlots()

    async def read(self, request: Request) -> Response:
        """`GET /api/me?d=SITE`: what is held about this browser, as JSON, or as CSV where that is asked for. Where
        others of its network have asked before: how much it is."""
        site, browser = self._asked(request, self._reads)
        with await self._alone(browser) as slot:
            held = await self._privacy.held(site, browser)
            if not self._may_see(browser, held):
                return file_response(as_count(held), "application/json", f"{site.domain}.json", request)
            name = f"{site.domain}-{datetime.datetime.fromtimestamp(held.linkable_until, datetime.UTC):%Y-%m-%d}"
            as_table = request.query_params.get("format") == "csv" or (
                "text/csv" in request.headers.get("accept", "") and "format" not in request.query_params
            )
            # Of thousands of events a table takes seconds, in which nobody else may wait.
            if as_table:
                table = await anyio.to_thread.run_sync(as_csv, held, csv_writer(request))
                found = file_response(table, "text/csv", f"{name}.csv", request)
            else:
                document = await anyio.to_thread.run_sync(as_json, held)
                found = file_response(document, "application/json", f"{name}.json", request)
            return PacedResponse(found, slot.pop_all().close)

    async def erase(self, request: Request) -> Response:
        """`DELETE /api/me?d=SITE`: 200 when everything is gone, 202 when it is promised and still being done."""
        site, browser = self._asked(request, self._erasures)
        erased = await self._privacy.erase(site, browser)
        return json_response(200 if erased.complete else 202, msgspec.to_builtins(erased))

    def guarded(self, handler: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        """The handler with its errors as JSON, and closed to other origins."""

        async def answer(request: Request) -> Response:
            if not same_origin(request.headers):
                return json_response(403, {"errors": {"request": [_FOREIGN]}})
            try:
                return await handler(request)
            except HTTPException as error:
                return json_response(error.status_code, {"errors": {"request": [error.detail]}}, error.headers)
            except (ClickHouseError, SpoolUnavailable, OSError):
                reason = "the database or its disk does not answer now; ask again later"
                return json_response(503, {"errors": {"request": [reason]}}, {"Retry-After": "5"})

        return answer

    async def page(self, request: Request) -> Response:
        """`GET /privacy/SITE`."""
        if is_foreign_subresource(request.headers):
            raise HTTPException(403)
        site = self._site(request, request.path_params["domain"])
        browser = self._browser(request)
        held, problem, details = None, "", False
        if self._reads.wait(network_of(browser.address), None):
            problem = "too_often"
        else:
            try:
                with await self._alone(browser):
                    held = await self._privacy.held(site, browser)
                details = self._may_see(browser, held)
            except HTTPException:
                problem = "too_often"
            except (ClickHouseError, OSError):
                problem = "not_now"
        return await self._shown(request, site, held, problem, details=details)

    async def change(self, request: Request) -> Response:
        """`POST /privacy/SITE`: the page's own buttons."""
        site = self._site(request, request.path_params["domain"])
        if not same_origin(request.headers):
            raise HTTPException(403)
        form = await read_form(request)
        language = form.get("lang", "")
        action = form.get("action", "")
        if action == "erase":
            return _back(site, language, await self._erase_for_page(request, site))
        if action not in CHOICES:
            raise HTTPException(400)
        done = "saved" if action == "granted" else await self._withdraw_for_page(request, site)
        answer = _back(site, language, done)
        choice = CHOICES[action] + (UNCONFIRMED if done in ("too_often", "not_erased") else "")
        domain, secure = _cookie_domain(request, site), request.url.scheme == "https"
        if domain is not None:
            # A cookie of this host alone would be sent beside that of the whole site.
            answer.delete_cookie(CONSENT_COOKIE, samesite="lax", secure=secure)
        answer.set_cookie(CONSENT_COOKIE, choice, max_age=CHOICE_SECONDS, domain=domain, samesite="lax", secure=secure)
        return answer

    async def _withdraw_for_page(self, request: Request, site: Site) -> str:
        """Who says no here withdraws: what was held goes as well."""
        erased = await self._erase_for_page(request, site)
        return "withdrawn" if erased == "erased" else erased

    async def _erase_for_page(self, request: Request, site: Site) -> str:
        browser = self._browser(request)
        if self._erasures.wait(network_of(browser.address), None):
            return "too_often"
        try:
            erased: ErasureReport = await self._privacy.erase(site, browser)
        except SpoolUnavailable:
            return "not_erased"
        return "erased" if erased.complete else "erased_later"

    async def _alone(self, requester: Requester) -> contextlib.ExitStack:
        """Answer one request of a network at a time, and few in all: however much is held, others get their turn, and
        memory has a bound. Raises 429."""
        network = network_of(requester.address)
        if not await self._answering.acquire(network):
            raise HTTPException(429, "comes while another is answered", {"Retry-After": "1"})
        slot = contextlib.ExitStack()
        slot.callback(self._answering.release, network)
        return slot

    def _may_see(self, requester: Requester, held: VisitorDataExport) -> bool:
        dates = {date for date, _ in held.visitors}
        return self._asking.may_disclose(network_of(requester.address), requester.user_agent, dates)

    async def _shown(
        self, request: Request, site: Site, export: VisitorDataExport | None, problem: str, *, details: bool
    ) -> Response:
        language = language_of(request)
        set_locale(language)
        words = page_texts(language)
        zone = ZoneInfo(site.timezone)
        editions, facts = await self._editions_of(site), facts_of(site)
        days = [date_of(edition.since, zone).replace(" ", "\N{NO-BREAK SPACE}") for edition in editions]
        done = request.query_params.get("done", "")
        host = origin_of(request).host
        here = public_base(request).rstrip("/") + visitor_page_path(site)
        return self._pages.html(
            "privacy.html",
            503 if problem == "not_now" else 429 if problem == "too_often" else 200,
            {"content-language": language, "vary": "cookie, accept-language"},
            user=None,
            site=site,
            words=words,
            language=language,
            others={code: name for code, name in languages().items() if code != language},
            held=export,
            details=details,
            summary=summary_of(export, words, zone) if export is not None and export.events else [],
            rows=[row_of(event, zone) for event in export.events[:MOST_ROWS]] if export is not None else [],
            until=minute_of(export.linkable_until, zone) if export is not None else "",
            problem=problem,
            done=done if done in NOTES else "",
            choice=_choice(request),
            retention=retention_text(site.retention_days),
            signals=[name for name, header in SIGNALS.items() if request.headers.get(header) == "1"],
            own=_cookie_domain(request, site) is not None,
            host=host,
            query=urlencode({"d": site.domain}),
            separator=usual_separator(language),
            sections=privacy_notice.sections(facts, language, here),
            version=privacy_notice.version_line(editions, language, days[-1]) if editions else "",
            log_title=notice_texts(language).changes_title,
            log=privacy_notice.change_log(editions, language, days) if editions else [],
        )

    async def _editions_of(self, site: Site) -> Sequence[NoticeVersion]:
        """The versions of the site's notice; none while the database does not answer: the rules can be said still."""
        try:
            return await self._editions.of(site)
        except (ClickHouseError, OSError):
            return ()

    def _asked(self, request: Request, limit: RateLimit) -> tuple[Site, Requester]:
        """The site and the browser of a request. Raises 404 and 429."""
        site = self._site(request, request.query_params.get("d", ""))
        browser = self._browser(request)
        wait = limit.wait(network_of(browser.address), None)
        if wait:
            raise HTTPException(429, "comes too often from one address", {"Retry-After": str(wait)})
        return site, browser

    def _site(self, request: Request, domain: str) -> Site:
        """The site, where the request's host may ask about it; others are as absent as those that are not there."""
        site = self._sites.measured(domain.lower())
        if site is None or not self._hosts.may_access(origin_of(request), site):
            raise HTTPException(404, "there is no such site at this address")
        return site

    def _browser(self, request: Request) -> Requester:
        peer = request.client.host if request.client else ""
        address = client_address(peer, request.headers.raw, self._trusted)
        return Requester(address, user_agent_of(request.headers.raw))


SIGNALS: Final = {"signal_gpc": "sec-gpc", "signal_dnt": "dnt"}


def routes(
    *,
    subject_access: SubjectAccess,
    sites: Sites,
    notice_versions: NoticeVersions,
    pages: Pages,
    settings: Settings,
    in_use: Callable[[], Collection[str]] = frozenset[str],
) -> list[Route]:
    """The visitors' addresses. `in_use` gives names of this server that its administrators use."""
    views = VisitorViews(subject_access, sites, notice_versions, pages, settings, in_use)
    return [
        Route("/api/me", views.guarded(views.read), methods=["GET"]),
        Route("/api/me", views.guarded(views.erase), methods=["DELETE"]),
        Route("/privacy/{domain}", views.page, methods=["GET"]),
        Route("/privacy/{domain}", views.change, methods=["POST"]),
    ]


def language_of(request: Request) -> str:
    """`?lang=`, else the first language that the browser prefers and there is, else English."""
    asked = request.query_params.get("lang", "")
    return asked if asked in languages() else preferred(request.headers.get("accept-language", ""), languages())


def _cookie_domain(request: Request, site: Site) -> str | None:
    """`Domain` of the cookie with the visitor's choice: the site's host, so that all hosts of the site share it, as the
    snippet stores it. None where the request is to another host."""
    is_own = is_at_or_under(origin_of(request).host, {site.host}) and not is_shared_suffix(site.host)
    return site.host if is_own else None


def _choice(request: Request) -> str:
    return consent_cookie(value for name, value in request.headers.raw if name == b"cookie") or "none"


def _back(site: Site, language: str, done: str) -> Response:
    query = {"done": done} | ({"lang": language} if language in languages() else {})
    return RedirectResponse(f"{visitor_page_path(site)}?{urlencode(query)}", 303)
