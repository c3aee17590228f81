"""Inspector of a site's page: fetches the page and its tag's script, and returns findings."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import anyio
import anyio.to_thread

from collector.core.rate_limits import AttemptLimit
from collector.sites.model import Site
from dashboard.compliance.health_report import Check
from dashboard.compliance.site_check.banner_findings import banner_of
from dashboard.compliance.site_check.errors import FetchError
from dashboard.compliance.site_check.fetcher import SECONDS, Fetched, Fetcher, within_time
from dashboard.compliance.site_check.findings import findings
from dashboard.compliance.site_check.html_scan import ParsedPage, read_source
from dashboard.compliance.site_check.page_inspection import PageInspection, obstacle
from dashboard.compliance.site_check.tag_finder import FoundTags, find_tags
from dashboard.i18n.translations import _

LOOKS_A_MINUTE = 10
AT_ONCE = 4


class SiteChecks(NamedTuple):
    """What was found on a page, and the key of its consent banner; "" where none is known for sure."""

    checks: list[Check]
    banner: str = ""


class Inspector:
    """Looks at pages, a few at once and a few a minute for each who asks. `clock` gives seconds."""

    def __init__(self, fetcher: Fetcher, clock: Callable[[], float]) -> None:
        self._fetcher = fetcher
        self._asked = AttemptLimit(clock, LOOKS_A_MINUTE, window=60)
        self._limiter = anyio.Semaphore(AT_ONCE)

    def wait(self, who: str) -> int:
        """Seconds until `who` may have a site inspected again; 0 allows it now, and counts."""
        wait = self._asked.wait(who)
        if not wait:
            self._asked.count(who)
        return wait

    async def inspect(self, site: Site, url: str, base: str) -> SiteChecks:
        """What is found at `url` for the site; `base` is this server's address, with a slash at the end."""
        url = url.strip() if "://" in url else f"https://{url.strip()}"
        async with self._limiter:
            ends = anyio.current_time() + SECONDS
            try:
                page = await within_time(self._fetcher, url)
            except FetchError as error:
                return SiteChecks([_not_fetched(url, error)])
            source, tags = await anyio.to_thread.run_sync(_read, page.text)
            look = PageInspection(site, base, page, source, tags)
            script = await self._script(look, ends - anyio.current_time())
        # In a thread: of megabytes that somebody else wrote this may take a second.
        return await anyio.to_thread.run_sync(_checked, PageInspection(site, base, page, source, tags, script))

    async def _script(self, inspection: PageInspection, seconds: float) -> Fetched | FetchError | None:
        address = inspection.address(inspection.tag.source) if inspection.tag else None
        if address is None:
            return None
        try:
            return await within_time(self._fetcher, str(address), seconds)
        except FetchError as error:
            return error


def _read(html: str) -> tuple[ParsedPage, FoundTags]:
    source = read_source(html)
    return source, find_tags(source)


def _checked(inspection: PageInspection) -> SiteChecks:
    return SiteChecks(findings(inspection), banner_of(inspection))


def _not_fetched(url: str, error: FetchError) -> Check:
    """Why the page could not be fetched, and what to do."""
    advice = {
        "address": _("Only public pages are fetched. Whoever runs this server can allow more: TYST_VERIFY_NETWORKS."),
        "port": _("Only ports 80 and 443 are allowed. Whoever runs this server can allow more: TYST_VERIFY_NETWORKS."),
        "name": _("Check the spelling and the domain’s DNS records."),
        "certificate": _("Browsers reject it too: renew it, and serve its intermediate certificates."),
        "scheme": _("Enter it as https://example.com/"),
    }.get(error.obstacle, _("Open it in a browser, and try again when it works there."))
    found = _("{url} could not be fetched: {reason}.").format(url=url[:300], reason=obstacle(error))
    return Check(name=_("Page"), state="failed", found=found, advice=advice)
