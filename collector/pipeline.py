"""From a beacon to an event: an ordered list of small steps.

Each step may stop the beacon (`drop_*`, with a reason from a closed set) or add to the draft (`put_*`). The
address and the user agent are known to the draft and to no later stage: the `Event` has no field for them.
"""

from __future__ import annotations

import datetime
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import msgspec

from collector.beacon import Beacon
from collector.bots import Bots
from collector.consent import Signals, judge
from collector.counters import Reason
from collector.device import NO_HINTS, Device, Devices, Hints, size_class
from collector.event import Event
from collector.hygiene import Pages
from collector.lists import HostList
from collector.location import Countries
from collector.page import NO_TAGS, Page, clean_value, read_referrer
from collector.patterns import fits
from collector.receipts import Receipts
from collector.shield import Shield
from collector.sites import Site, Sites
from collector.source import is_spam, read_origin
from collector.visit import IDLE_SECONDS, Attribution, Part, Visit, Visits
from collector.visitor import Salts, visitor_id

OWN_NAMES = frozenset({"pageview", "engagement"})
NO_ATTRIBUTION = Attribution()
NO_PART = Part(visit=0, entry_page="", attribution=NO_ATTRIBUTION)


class Arrival(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What one request brought. It lives in memory, until its events are made."""

    beacon: Beacon
    at: int
    """Server clock, Unix seconds."""
    address: str
    network: str
    """Of the address: what a household shares, or empty."""
    user_agent: str
    signals: Signals
    hints: Hints = NO_HINTS
    """They name browser and system more exactly; who the visitor is, they do not say."""
    prefetch: bool = False

    def __repr__(self) -> str:
        """Shows nothing of the visitor, also in a traceback."""
        return "Arrival(…)"


class Drop(msgspec.Struct, frozen=True, gc=False):
    """A beacon that is not kept, and why. `kind` says which kind of bot it was."""

    reason: Reason
    kind: str = ""


class Draft(msgspec.Struct, gc=False):
    """An event in the making, for one site."""

    arrival: Arrival
    domain: str
    site: Site | None = None
    limited: bool = False
    evidence: str = ""
    day: datetime.date = datetime.date.min
    page: Page | None = None
    device: Device | None = None
    country: str = ""
    visitor: int = 0
    visit: Visit | None = None
    attribution: Attribution = NO_ATTRIBUTION
    part: Part = NO_PART

    @property
    def today(self) -> datetime.date:
        """The date in UTC, by which receipts go."""
        return datetime.datetime.fromtimestamp(self.arrival.at, datetime.UTC).date()

    def __repr__(self) -> str:
        """Shows nothing of the visitor, also in a traceback."""
        return f"Draft({self.domain!r}, …)"


@dataclass(frozen=True, slots=True)
class Rooms:
    """What the steps look things up in."""

    sites: Sites
    salts: Salts
    visits: Visits
    countries: Countries
    spam: HostList
    shield: Shield = field(default_factory=Shield)
    devices: Devices = field(default_factory=Devices)
    bots: Bots = field(default_factory=Bots)
    pages: Pages = field(default_factory=Pages)
    receipts: Receipts = field(default_factory=lambda: Receipts(secrets.token_urlsafe(32)))


Step = Callable[[Draft, Rooms], Drop | None]


def drop_unknown_site(draft: Draft, rooms: Rooms) -> Drop | None:
    """Only registered sites are measured."""
    site = rooms.sites.measured(draft.domain)
    if site is None:
        return Drop("unknown_site")
    draft.site, draft.domain = site, site.domain
    return None


def drop_without_consent(draft: Draft, rooms: Rooms) -> Drop | None:
    """The site's policy decides what consent, refusal or silence allow."""
    beacon = draft.arrival.beacon
    site = _site(draft)
    verdict = judge(site.consent, beacon.consent, draft.arrival.signals)
    if site.receipts and verdict.by_evidence and not rooms.receipts.find(beacon.receipt, site.domain, draft.today):
        # The answer brings a receipt, and the snippet sends the beacon again with it.
        return Drop("consent")
    if verdict.reason:
        return Drop(verdict.reason)
    draft.limited = verdict.lane == "limited"
    if draft.limited and beacon.name != "pageview":
        # The identifier-free lane counts pages; what a person did on them needs consent.
        return Drop("consent")
    draft.evidence = "none" if draft.limited else verdict.evidence
    return None


def drop_prefetch(draft: Draft, rooms: Rooms) -> Drop | None:
    """A page fetched ahead of time has not been seen by anybody."""
    return Drop("prefetch") if draft.arrival.prefetch else None


def drop_bot(draft: Draft, rooms: Rooms) -> Drop | None:
    """Programs do not count; a missing or unknown user agent is a person."""
    kind = rooms.bots.kind(draft.arrival.user_agent)
    return Drop("bot", kind) if kind else None


def put_day(draft: Draft, rooms: Rooms) -> Drop | None:
    """The site-local date."""
    draft.day = rooms.sites.zone(_site(draft)).date(draft.arrival.at)
    return None


def put_page(draft: Draft, rooms: Rooms) -> Drop | None:
    """Host, cleaned path and allow-listed query values."""
    beacon = draft.arrival.beacon
    draft.page = rooms.pages.read(beacon.url, _site(draft), hash_mode=beacon.hash_mode)
    return None


def put_device(draft: Draft, rooms: Rooms) -> Drop | None:
    """Families and major versions; the user agent itself goes no further than the visitor's hash."""
    draft.device = rooms.devices.read(draft.arrival.user_agent, draft.arrival.hints)
    return None


def put_country(draft: Draft, rooms: Rooms) -> Drop | None:
    """From the browser's time zone, else from the address, which goes no further than the visitor's hash."""
    draft.country = rooms.countries.read(draft.arrival.beacon.zone, draft.arrival.address)
    return None


def drop_excluded(draft: Draft, rooms: Rooms) -> Drop | None:
    """What the owner or the operator does not want counted: addresses, other hosts, some paths, some countries."""
    if rooms.shield and rooms.shield.covers(draft.domain, draft.arrival.address):
        return Drop("excluded")
    site, page = _site(draft), _page(draft)
    if site.excluded_countries and draft.country in site.excluded_countries:
        return Drop("excluded")
    if site.hostnames and not any(_host_matches(page.hostname, allowed) for allowed in site.hostnames):
        return Drop("excluded")
    if site.excluded_paths and any(fits(pattern, page.path) for pattern in site.excluded_paths):
        return Drop("excluded")
    return None


def drop_spam_referrer(draft: Draft, rooms: Rooms) -> Drop | None:
    """Referrers on the operator's list of spam hosts."""
    spam = rooms.spam.hosts
    if spam and is_spam(read_referrer(draft.arrival.beacon.referrer)[0], spam):
        return Drop("spam_referrer")
    return None


def put_visitor(draft: Draft, rooms: Rooms) -> Drop | None:
    """The id of the day. Here the address and the user agent end."""
    if not draft.limited:
        draft.visitor = _visitor(draft, rooms, draft.day)
    return None


def put_visit(draft: Draft, rooms: Rooms) -> Drop | None:
    """The visit that goes on, if there is one."""
    if draft.visitor == 0:
        return None
    visits, at = rooms.visits, draft.arrival.at
    draft.visit = visits.current(draft.visitor, at)
    if draft.visit is None and at - rooms.sites.zone(_site(draft)).bounds(draft.day)[0] < IDLE_SECONDS:
        # Just after midnight the visit may have begun under yesterday's salt.
        yesterday = _visitor(draft, rooms, draft.day - datetime.timedelta(days=1))
        draft.visit = visits.current(yesterday, at)
        if draft.visit is not None:
            visits.rename(yesterday, draft.visitor)
    return None


def put_origin(draft: Draft, rooms: Rooms) -> Drop | None:
    """Referrer, source, channel and campaign: the first event of a visit says where it came from."""
    if draft.visitor != 0 and draft.visit is None:
        draft.attribution = _attribution(draft)
    return None


def put_part(draft: Draft, rooms: Rooms) -> Drop | None:
    """What the event is within its visit, and adds to the sums."""
    if draft.visitor == 0:
        return None
    visits, visit, beacon, at = rooms.visits, draft.visit, draft.arrival.beacon, draft.arrival.at
    if beacon.name == "engagement":
        draft.part = visits.engage(draft.visitor, visit, at) if visit is not None else NO_PART
        return None
    pageview = beacon.name == "pageview"
    path = _page(draft).path if pageview else ""
    if visit is None:
        draft.part = visits.begin(draft.visitor, at, path, draft.attribution)
    else:
        ends_bounce = beacon.interactive and (not pageview or bool(visit.entry_page))
        draft.part = visits.go_on(draft.visitor, visit, at, path, ends_bounce=ends_bounce)
    return None


STEPS: tuple[Step, ...] = (
    drop_unknown_site,
    drop_without_consent,
    drop_prefetch,
    drop_bot,
    put_day,
    put_page,
    put_country,
    drop_excluded,
    drop_spam_referrer,
    put_device,
    put_visitor,
    put_visit,
    put_origin,
    put_part,
)


def run(arrival: Arrival, domain: str, rooms: Rooms, steps: Sequence[Step] = STEPS) -> Event | Drop:
    """Take one beacon through the steps for one of its sites."""
    draft = Draft(arrival, domain)
    for step in steps:
        dropped = step(draft, rooms)
        if dropped is not None:
            return dropped
    return _limited_event(draft) if draft.limited else _event(draft)


def _event(draft: Draft) -> Event:
    beacon, page, device, part = draft.arrival.beacon, _page(draft), _device(draft), draft.part
    came = part.attribution
    return Event(
        site=draft.domain,
        day=draft.day,
        ts=draft.arrival.at,
        visitor=draft.visitor,
        visit=part.visit,
        name=beacon.name if beacon.name in OWN_NAMES else clean_value(beacon.name),
        consent=draft.evidence,
        hostname=page.hostname,
        page=page.path,
        entry_page=part.entry_page,
        referrer=came.referrer,
        source=came.source,
        channel=came.channel,
        utm_source=came.utm_source,
        utm_medium=came.utm_medium,
        utm_campaign=came.utm_campaign,
        utm_content=came.utm_content,
        utm_term=came.utm_term,
        click_id=came.click_id,
        country=came.country,
        browser=device.browser,
        browser_version=device.browser_version,
        os=device.os,
        os_version=device.os_version,
        device=device.kind,
        size=size_class(beacon.width),
        visits=part.visits,
        bounces=part.bounces,
        seconds=part.seconds,
        engaged=beacon.engaged,
        scroll=beacon.scroll,
        props={clean_value(key): clean_value(value) for key, value in beacon.props.items()} if beacon.props else {},
        revenue=beacon.revenue,
        currency=beacon.currency,
        expires=_days_after(draft.day, _site(draft).retention_days),
    )


def _limited_event(draft: Draft) -> Event:
    """The identifier-free count: page, referring host, device class, and nothing that could tell people apart."""
    page = _page(draft)
    host = read_referrer(draft.arrival.beacon.referrer)[0]
    return Event(
        site=draft.domain,
        day=draft.day,
        ts=draft.arrival.at,
        visitor=0,
        visit=0,
        name="pageview",
        consent="none",
        hostname=page.hostname,
        page=page.path,
        referrer=host if host != page.hostname else "",
        device=_device(draft).kind,
        size=size_class(draft.arrival.beacon.width),
        expires=_days_after(draft.day, _site(draft).retention_days),
    )


def _attribution(draft: Draft) -> Attribution:
    page, referrer = _page(draft), draft.arrival.beacon.referrer
    if not referrer and page.tags is NO_TAGS:
        return _direct(draft.country)
    origin, tags = read_origin(referrer, page), page.tags
    return Attribution(
        referrer=origin.referrer,
        source=origin.source,
        channel=origin.channel,
        utm_source=tags.source,
        utm_medium=origin.medium,
        utm_campaign=tags.campaign,
        utm_content=tags.content,
        utm_term=tags.term,
        click_id=tags.click_id,
        country=draft.country,
    )


@lru_cache(maxsize=512)
def _direct(country: str) -> Attribution:
    """Of a visit that nothing says anything of, as many are: those of a country share one."""
    origin = read_origin("", Page("", "/", NO_TAGS))
    return Attribution(channel=origin.channel, country=country)


def _visitor(draft: Draft, rooms: Rooms, day: datetime.date) -> int:
    """The visitor's id on a date."""
    arrival = draft.arrival
    return visitor_id(rooms.salts.salt(day), _site(draft).hash_name, arrival.network, arrival.user_agent)


@lru_cache(maxsize=256)
def _days_after(day: datetime.date, days: int) -> datetime.date:
    return day + datetime.timedelta(days=days)


def _host_matches(hostname: str, allowed: str) -> bool:
    if allowed.startswith("*."):
        return hostname.endswith(allowed[1:]) or hostname == allowed[2:]
    return hostname == allowed.removeprefix("www.")


def _site(draft: Draft) -> Site:
    if draft.site is None:
        raise RuntimeError("drop_unknown_site comes first")
    return draft.site


def _page(draft: Draft) -> Page:
    if draft.page is None:
        raise RuntimeError("put_page comes first")
    return draft.page


def _device(draft: Draft) -> Device:
    if draft.device is None:
        raise RuntimeError("put_device comes first")
    return draft.device
