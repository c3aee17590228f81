"""The visitors' page: `/privacy/SITE` shows the stored events of this browser and the site's privacy notice, and takes
erasures and the visitor's choice. It needs neither an account nor a script.

What changes something must come from a page of this origin: another site's page can neither erase nor choose in a
visitor's place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from clickhouse_connect.driver.exceptions import ClickHouseError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from collector.core.errors import SpoolUnavailable
from collector.erasure.subject_access import VisitorDataExport
from collector.ingest.cookies import CONSENT_COOKIE, consent_cookie
from collector.ingest.request_origin import origin_of, public_base
from collector.sites.hostnames import is_at_or_under, is_shared_suffix
from collector.sites.model import Site
from dashboard.access.csrf import is_foreign_subresource, same_origin
from dashboard.compliance import privacy_notice
from dashboard.compliance.notice_versions import NoticeVersions
from dashboard.compliance.privacy_notice import NoticeVersion, facts_of, visitor_page_path
from dashboard.compliance.privacy_notice_texts import notice_texts
from dashboard.compliance.visitor_privacy_texts import page_texts
from dashboard.i18n.translations import languages, set_locale
from dashboard.reports.csv_export import usual_separator
from dashboard.reports.labels import retention_text
from dashboard.reports.visitor_summary import date_of, minute_of, row_of, summary_of
from dashboard.web.app_context import read_form
from dashboard.web.locale_middleware import preferred
from dashboard.web.templating import Pages
from dashboard.web.visitor_requests import VisitorRequests

CHOICE_SECONDS: Final = 34_000_000
"""About 13 months, as the snippet stores it."""

# Cookie values by button. A refusal made here is marked as the visitor's own: a banner that the snippet follows does
# not override it.
CHOICES: Final = {"granted": "granted", "denied": "denied.own", "excluded": "excluded"}
UNCONFIRMED: Final = ".new"
"""Suffix of a choice after which nothing was erased: the snippet sends a withdrawal on the site's next page."""
NOTES: Final = frozenset({"erased", "erased_later", "not_erased", "too_often", "saved", "withdrawn"})
SIGNALS: Final = {"signal_gpc": "sec-gpc", "signal_dnt": "dnt"}
MOST_ROWS: Final = 200


class VisitorPage:
    """Request handlers of the page."""

    def __init__(self, visitors: VisitorRequests, notice_versions: NoticeVersions, pages: Pages) -> None:
        self._visitors = visitors
        self._notice_versions = notice_versions
        self._pages = pages

    async def show(self, request: Request) -> Response:
        """`GET /privacy/SITE`."""
        if is_foreign_subresource(request.headers):
            raise HTTPException(403)
        site = self._visitors.site(request, request.path_params["domain"])
        requester = self._visitors.requester(request)
        export, problem, details = None, "", False
        if self._visitors.wait_to_read(requester):
            problem = "too_often"
        else:
            try:
                with await self._visitors.slot(requester):
                    export = await self._visitors.subject_access.held(site, requester)
                details = self._visitors.may_disclose(requester, export)
            except HTTPException:
                problem = "too_often"
            except (ClickHouseError, OSError):
                problem = "not_now"
        return await self._rendered(request, site, export, problem, details=details)

    async def change(self, request: Request) -> Response:
        """`POST /privacy/SITE`: one of the page's buttons."""
        site = self._visitors.site(request, request.path_params["domain"])
        if not same_origin(request.headers):
            raise HTTPException(403)
        form = await read_form(request)
        language = form.get("lang", "")
        action = form.get("action", "")
        if action == "erase":
            return _redirect(site, language, await self._erase(request, site))
        if action not in CHOICES:
            raise HTTPException(400)
        done = "saved" if action == "granted" else await self._withdraw(request, site)
        response = _redirect(site, language, done)
        choice = CHOICES[action] + (UNCONFIRMED if done in ("too_often", "not_erased") else "")
        _store_choice(request, response, site, choice)
        return response

    async def _withdraw(self, request: Request, site: Site) -> str:
        """Erase, as a refusal is also a withdrawal. Returns the name of the note to show."""
        done = await self._erase(request, site)
        return "withdrawn" if done == "erased" else done

    async def _erase(self, request: Request, site: Site) -> str:
        """Erase this browser's events. Returns the name of the note to show."""
        requester = self._visitors.requester(request)
        if self._visitors.wait_to_erase(requester):
            return "too_often"
        try:
            report = await self._visitors.subject_access.erase(site, requester)
        except SpoolUnavailable:
            return "not_erased"
        return "erased" if report.complete else "erased_later"

    async def _rendered(
        self, request: Request, site: Site, export: VisitorDataExport | None, problem: str, *, details: bool
    ) -> Response:
        language = language_of(request)
        set_locale(language)
        words = page_texts(language)
        zone = ZoneInfo(site.timezone)
        versions, facts = await self._versions_of(site), facts_of(site)
        days = [date_of(version.since, zone).replace(" ", "\N{NO-BREAK SPACE}") for version in versions]
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
            own=_is_site_host(host, site),
            host=host,
            query=urlencode({"d": site.domain}),
            separator=usual_separator(language),
            sections=privacy_notice.sections(facts, language, here),
            version=privacy_notice.version_line(versions, language, days[-1]) if versions else "",
            log_title=notice_texts(language).changes_title,
            log=privacy_notice.change_log(versions, language, days) if versions else [],
        )

    async def _versions_of(self, site: Site) -> Sequence[NoticeVersion]:
        """The versions of the site's notice; none while the database does not respond, so that the page opens."""
        try:
            return await self._notice_versions.of(site)
        except (ClickHouseError, OSError):
            return ()


def routes(visitors: VisitorRequests, notice_versions: NoticeVersions, pages: Pages) -> list[Route]:
    """Routes of the page."""
    page = VisitorPage(visitors, notice_versions, pages)
    return [
        Route("/privacy/{domain}", page.show, methods=["GET"]),
        Route("/privacy/{domain}", page.change, methods=["POST"]),
    ]


def language_of(request: Request) -> str:
    """The language in `?lang=`, else the first available one that the browser prefers, else English."""
    wanted = request.query_params.get("lang", "")
    return wanted if wanted in languages() else preferred(request.headers.get("accept-language", ""), languages())


def _is_site_host(host: str, site: Site) -> bool:
    """Whether a choice made at this host applies to the site, as its cookie does: at the site's host and below it."""
    return host == site.host or (not is_shared_suffix(site.host) and is_at_or_under(host, {site.host}))


def _store_choice(request: Request, response: Response, site: Site, choice: str) -> None:
    """Set the consent cookie: for all hosts of the site, as the snippet does, or else for the request's host alone.

    Browsers keep a cookie for a name without a dot to that host, whatever its `Domain`. It is not `Secure`, so that
    pages of the site over http read it, too.
    """
    shared = _is_site_host(origin_of(request).host, site) and not is_shared_suffix(site.host)
    if shared:
        # The browser would send a cookie of this host alone beside that of the whole site.
        response.delete_cookie(CONSENT_COOKIE, samesite="lax")
    domain = site.host if shared else None
    response.set_cookie(CONSENT_COOKIE, choice, max_age=CHOICE_SECONDS, domain=domain, samesite="lax")


def _choice(request: Request) -> str:
    return consent_cookie(value for name, value in request.headers.raw if name == b"cookie") or "none"


def _redirect(site: Site, language: str, done: str) -> Response:
    query = {"done": done} | ({"lang": language} if language in languages() else {})
    return RedirectResponse(f"{visitor_page_path(site)}?{urlencode(query)}", 303)
