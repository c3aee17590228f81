"""An inspected page: what was fetched, and the tag that was found."""

from __future__ import annotations

from dataclasses import dataclass

import httpx

from collector.sites.model import Site
from dashboard.compliance.site_check.cmp_detection import BannerTraces, find_banners
from dashboard.compliance.site_check.errors import FetchError
from dashboard.compliance.site_check.fetcher import Fetched
from dashboard.compliance.site_check.html_scan import ParsedPage, Script
from dashboard.compliance.site_check.tag_finder import FoundTags
from dashboard.i18n.translations import _


@dataclass(frozen=True, slots=True)
class PageInspection:
    """An inspected page with everything that findings are derived from."""

    site: Site
    base: str
    """This server's address, with a slash at the end."""
    page: Fetched
    source: ParsedPage
    tags: FoundTags
    script: Fetched | FetchError | None = None
    """What the first tag's address answers."""

    @property
    def traces(self) -> BannerTraces:
        """The consent banners that have left a trace in the page."""
        return find_banners(self.source.scripts)

    @property
    def tag(self) -> Script | None:
        """The tag that counts: the first that runs."""
        return self.tags.active[0] if self.tags.active else None

    def address(self, text: str) -> httpx.URL | None:
        """An address in the page, in full; None for what is none."""
        try:
            return self.page.url.join(self.source.base).join(text)
        except (httpx.InvalidURL, ValueError):
            return None


def collects_at(inspection: PageInspection, tag: Script, url: httpx.URL) -> httpx.URL | None:
    """Where the snippet sends: `data-api`, else beside its own address, as the snippet reads it."""
    given = tag.attributes.get("data-api", "")
    return inspection.address(given) if given else url.join("../api/event")


def quoted(text: str) -> str:
    """What a page says, fit to be repeated: short, and without characters that a terminal would act on."""
    return "".join(character if character.isprintable() else "?" for character in text[:100])


def origin(url: httpx.URL) -> str:
    return f"{url.scheme}://{url.netloc.decode()}"


def is_local(url: httpx.URL) -> bool:
    """Whether browsers trust the address without encryption (Secure Contexts, 3.1)."""
    return url.host in ("localhost", "127.0.0.1", "::1") or url.host.endswith(".localhost")


def obstacle(error: FetchError) -> str:
    """What was in the way, in words."""
    return {
        "scheme": _("it is not a web address"),
        "address": _("it does not resolve to a public address"),
        "port": _("only ports 80 and 443 are allowed"),
        "name": _("its host name does not resolve"),
        "connection": _("the connection failed"),
        "certificate": _("its certificate cannot be verified"),
        "time": _("it timed out"),
        "redirects": _("it redirects too many times"),
        "encoding": _("its response cannot be decompressed"),
    }[error.obstacle]
