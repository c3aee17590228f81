"""API behind `tyst notice` and `tyst audit`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from http import HTTPStatus
from typing import Literal, TypeVar
from zoneinfo import ZoneInfo

import anyio.to_thread
import msgspec
from clickhouse_connect.driver.exceptions import ClickHouseError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from collector.enrichment.url_policy import preview
from collector.ingest.payload_fields import MOST_URL
from collector.ingest.request_origin import public_base
from collector.server.collector import Collector
from collector.sites.model import Site, checked
from collector.storage.client import plain_reason
from dashboard.access.api_keys import ApiKey, ApiKeys
from dashboard.api.auth import ApiError, json_answer
from dashboard.api.key_handlers import KeyHandler, answering, require_full_key, site_of
from dashboard.compliance import privacy_notice
from dashboard.compliance.cnil_assessment import DISCLAIMER, conditions
from dashboard.compliance.leak_search import EncodedNeedle, SearchReport, search_files, search_tables
from dashboard.compliance.notice_versions import NoticeVersions
from dashboard.compliance.privacy_notice import NoticeVersion, visitor_page_path
from dashboard.compliance.privacy_notice_texts import notice_texts
from dashboard.i18n.translations import ENGLISH, languages, speaking
from dashboard.reports.visitor_summary import date_of

MOST_BODY = 1 << 20


class NoticeRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body that asks for a notice. `url` is this server as visitors reach it."""

    language: str = ENGLISH
    format: Literal["md", "html"] = "md"
    url: str = ""


class WrittenNotice(msgspec.Struct, frozen=True):
    """A notice: its text, its version, and which settings are missing that it should name."""

    text: str
    version: int
    digest: str
    missing: list[str]
    changes: list[str]


class PreviewRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body that asks what would be kept of an address; settings that are named stand in for the site's."""

    url: str
    referrer: str = ""
    query_keys: tuple[str, ...] | None = None
    hidden_paths: tuple[str, ...] | None = None


class SearchRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body that asks for a search."""

    forms: list[EncodedNeedle]


class PrivacyApi:
    """The handlers, with what they need."""

    def __init__(self, collector: Collector, notice_versions: NoticeVersions) -> None:
        self._collector = collector
        self._editions = notice_versions

    async def write_notice(self, request: Request, key: ApiKey) -> Response:
        """`POST /api/v1/sites/DOMAIN/notice`: the site's privacy notice."""
        site = site_of(self._collector.sites, request, key.may_read)
        wanted = await _body(request, NoticeRequest)
        if wanted.language not in languages():
            raise ApiError(HTTPStatus.BAD_REQUEST, "language", f"expected one of {', '.join(languages())}")
        base = (wanted.url or public_base(request)).rstrip("/")
        editions = await self._editions.of(site)
        written = write_notice(site, editions, wanted.language, wanted.format, base + visitor_page_path(site))
        return json_answer(msgspec.to_builtins(written))

    async def preview(self, request: Request, key: ApiKey) -> Response:
        """`POST /api/v1/sites/DOMAIN/preview`: what a site would store of a URL. Nothing is stored."""
        site = site_of(self._collector.sites, request, key.may_read)
        wanted = await _body(request, PreviewRequest)
        if wanted.query_keys is not None:
            site = msgspec.structs.replace(site, query_keys=wanted.query_keys)
        if wanted.hidden_paths is not None:
            site = msgspec.structs.replace(site, hidden_paths=wanted.hidden_paths)
        found = preview(checked(site), wanted.url[:MOST_URL], wanted.referrer[:MOST_URL])
        return json_answer(msgspec.to_builtins(found))

    async def assess(self, _: Request, key: ApiKey) -> Response:
        """`GET /api/v1/audit`: the conditions of the audience-measurement exemption for every site of the key."""
        sites = [site for site in self._collector.sites.all() if key.may_read(site)]
        kept = await anyio.to_thread.run_sync(self._longest_kept)
        found = [
            {"site": site.domain, "conditions": msgspec.to_builtins(conditions(site, kept.get(site.domain, 0)))}
            for site in sites
        ]
        return json_answer({"disclaimer": DISCLAIMER, "sites": found})

    async def search(self, request: Request, key: ApiKey) -> Response:
        """`POST /api/v1/audit/search`: look for bytes in the data directory and in every table."""
        require_full_key(key)
        wanted = await _body(request, SearchRequest)
        searched = await anyio.to_thread.run_sync(self._search, wanted.forms)
        return json_answer(msgspec.to_builtins(searched))

    def _longest_kept(self) -> dict[str, int]:
        rows = self._collector.client.query("SELECT site, max(expires - day) FROM events GROUP BY site").result_rows
        return {site: int(days) for site, days in rows}

    def _search(self, forms: Sequence[EncodedNeedle]) -> SearchReport:
        files = search_files([self._collector.settings.data_dir], forms)
        tables = search_tables(self._collector.client, forms)
        return SearchReport((*files.places, *tables.places), (*files.found, *tables.found))


def routes(collector: Collector, keys: ApiKeys, notice_versions: NoticeVersions) -> list[Route]:
    """The routes of this part."""
    part = PrivacyApi(collector, notice_versions)
    table: list[tuple[str, str, KeyHandler]] = [
        ("POST", "/api/v1/sites/{domain}/notice", part.write_notice),
        ("POST", "/api/v1/sites/{domain}/preview", part.preview),
        ("GET", "/api/v1/audit", part.assess),
        ("POST", "/api/v1/audit/search", part.search),
    ]
    return [
        Route(path, answering(keys, partial(_of_database, handler)), methods=[method])
        for method, path, handler in table
    ]


async def _of_database(handler: KeyHandler, request: Request, key: ApiKey) -> Response:
    try:
        return await handler(request, key)
    except (ClickHouseError, OSError) as error:
        raise ApiError(HTTPStatus.SERVICE_UNAVAILABLE, "database", plain_reason(error)) from None


def write_notice(
    site: Site, editions: Sequence[NoticeVersion], language: str, format_: Literal["md", "html"], page: str
) -> WrittenNotice:
    """The notice in force, as text. `page` is the address of the visitors' page."""
    zone = ZoneInfo(site.timezone)
    with speaking(language):
        days = [date_of(edition.since, zone) for edition in editions]
    facts = editions[-1].facts
    log = privacy_notice.change_log(editions, language, days)
    render = privacy_notice.as_markdown if format_ == "md" else privacy_notice.as_html
    text = render(
        privacy_notice.heading(facts, language),
        privacy_notice.sections(facts, language, page),
        privacy_notice.version_line(editions, language, days[-1]),
        notice_texts(language).changes_title,
        log,
    )
    return WrittenNotice(text, editions[-1].number, facts.digest, privacy_notice.missing(facts), log)


T = TypeVar("T", bound=msgspec.Struct)


async def _body(request: Request, kind: type[T]) -> T:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BODY:
            raise ApiError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body", f"must be at most {MOST_BODY} bytes")
    try:
        return msgspec.json.decode(body or b"{}", type=kind)
    except msgspec.MsgspecError as error:
        raise ApiError(HTTPStatus.BAD_REQUEST, "body", str(error)) from None
    except (UnicodeDecodeError, RecursionError):
        raise ApiError(HTTPStatus.BAD_REQUEST, "body", "expected JSON in UTF-8") from None
