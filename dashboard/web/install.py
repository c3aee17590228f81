"""Installation page: the tag, received events, and *Check my site*."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from collector.ingest.request_origin import public_base
from collector.sites.hostnames import is_loopback
from collector.sites.model import Policy, Site
from dashboard.access.users import User
from dashboard.compliance.site_check.cmp_detection import BANNERS, STANDARDS
from dashboard.compliance.site_check.platforms import PLATFORMS
from dashboard.compliance.site_check.tag_snippets import (
    EVENT_CALLS,
    NO_BANNER,
    OWN,
    OWN_FUNCTION,
    STUB,
    VARIANTS,
    TagOptions,
    code_of,
    read_wanted,
    where_of,
)
from dashboard.i18n import formatting
from dashboard.i18n.translations import _
from dashboard.reports.installation_status import InstallationStatus, arrivals_of
from dashboard.web.app_context import Dashboard, changeable_site, read_form, visible_site
from dashboard.web.templating import HEADERS, fragment_asked

MOST_URL = 2_000
WITHOUT_BANNER: Final[tuple[Policy, ...]] = ("limited", "exempt")
"""Policies under which a site without a banner is counted."""


async def install(dashboard: Dashboard, request: Request, user: User) -> Response:
    """`/SITE/install`: the page, or only the received events for htmx."""
    site = visible_site(dashboard, request, user)
    if fragment_asked(request) == "receiving":
        arrivals = await _arrivals(dashboard, site)
        # Asked for every two seconds: what is on the screen already is not read out again.
        if request.headers.get("x-seen") == arrivals.version:
            return Response(status_code=204, headers=HEADERS)
        wanted = read_wanted(request.query_params)
        values = {"arrivals": arrivals, "wanted": wanted, "NO_BANNER": NO_BANNER}
        return dashboard.pages.html("_receiving.html", site=site, user=user, **values)
    return await install_page(dashboard, request, user, site)


async def install_page(
    dashboard: Dashboard, request: Request, user: User, site: Site, status: int = 200, **looked: Any
) -> Response:
    """The whole page; `looked` is the result of an inspection, if there was one."""
    unlooked = {"url": f"https://{site.domain}/", "findings": None, "problem": "", "detected": ""}
    values = {**unlooked, **_tag_values(site, request, read_wanted(request.query_params)), **looked}
    return dashboard.pages.html(
        "install.html", status, site=site, user=user, arrivals=await _arrivals(dashboard, site), **values
    )


def _tag_values(site: Site, request: Request, wanted: TagOptions) -> dict[str, Any]:
    """What the part of the page with the tag needs."""
    base = public_base(request)
    return {
        "wanted": wanted,
        "code": code_of(site, base, wanted),
        "loopback": base if is_loopback(urlsplit(base).hostname or "") else "",
        "without_banner": _without_banner(site, base, wanted) if wanted.banner == NO_BANNER else [],
        "where": where_of(wanted.variant),
        "variants": VARIANTS,
        "banners": BANNERS,
        "banner": BANNERS.get(wanted.banner),
        "standards": STANDARDS,
        "own_function": OWN_FUNCTION,
        "event_calls": f"{STUB}\n{EVENT_CALLS}",
        "OWN": OWN,
        "NO_BANNER": NO_BANNER,
        "platform_banner": BANNERS.get(PLATFORMS[wanted.variant].banner),
    }


def _without_banner(site: Site, base: str, wanted: TagOptions) -> list[tuple[str, str, bool]]:
    """The policies that need no banner, each with the code of the tag and whether it is in force."""
    return [
        (policy, code_of(msgspec.structs.replace(site, consent=policy), base, wanted), site.consent == policy)
        for policy in WITHOUT_BANNER
    ]


async def _arrivals(dashboard: Dashboard, site: Site) -> InstallationStatus:
    # Counters begin anew with the process; what stands in ClickHouse does not.
    known = dashboard.counters.accepted(site.id) == 0 and await dashboard.stats.first_day(site.domain) is not None
    dropped = await dashboard.tally.dropped(site)
    return arrivals_of(site, dashboard.counters, dropped, known=known)


async def check(dashboard: Dashboard, request: Request, user: User) -> Response:
    """`POST /SITE/install/check`: inspect the page `url`."""
    site = changeable_site(dashboard, request, user)
    url = (await read_form(request)).get("url", "").strip()[:MOST_URL]
    wait = dashboard.inspector.wait(user.name)
    wanted = read_wanted(request.query_params)
    looked: dict[str, Any] = {"url": url, "findings": None, "problem": "", "wanted": wanted}
    if wait:
        looked["problem"] = _("Too many requests. Try again in {time}.").format(time=formatting.waiting(wait))
    elif not url:
        looked["problem"] = _("Which page?")
    else:
        looked["findings"], banner = await dashboard.inspector.inspect(site, url, public_base(request))
        if banner and wanted.banner == OWN:
            # Nobody has chosen another one.
            chosen = _tag_values(site, request, replace(wanted, banner=banner))
            looked |= chosen | {"detected": BANNERS[banner].name}
    status = 429 if wait else 200
    if fragment_asked(request) == "findings":
        # htmx shows answers of success only.
        fragment = "_checked.html" if "detected" in looked else "_findings.html"
        return dashboard.pages.html(fragment, site=site, user=user, **looked)
    return await install_page(dashboard, request, user, site, status, **looked)
