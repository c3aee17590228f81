"""The ingestion pipeline: an ordered list of small steps from a beacon to an event.

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

from collector.core.metrics import Reason
from collector.core.wildcards import matches
from collector.enrichment.bot_detection import BotDetector
from collector.enrichment.datacenters import DatacenterNetworks
from collector.enrichment.geoip import CountryResolver
from collector.enrichment.host_lists import HostList
from collector.enrichment.ip_exclusions import IpExclusions
from collector.enrichment.referrer import is_own, is_spam, read_origin
from collector.enrichment.sender_redaction import redact_sender, redact_user_agent
from collector.enrichment.text_limits import truncated
from collector.enrichment.url_policy import PageCleaner
from collector.enrichment.urls import NO_HOST, NO_TAGS, Page, clean_value, read_referrer
from collector.enrichment.user_agent import NO_HINTS, Device, Hints, UserAgentParser, size_class
from collector.ingest.event import Event
from collector.ingest.payload import Beacon
from collector.ingest.visits import Attribution, EventInVisit, Visit, VisitTracker
from collector.privacy.consent import Signals, decide_consent
from collector.privacy.consent_receipts import Receipts
from collector.privacy.visitor_id import Salts, visitor_id
from collector.sites.hostnames import ascii_host, is_at_or_under, is_loopback
from collector.sites.registry import Site, Sites

OWN_NAMES = frozenset({"pageview", "engagement"})
NO_ATTRIBUTION = Attribution()
NO_PART = EventInVisit(visit=0, entry_page="", attribution=NO_ATTRIBUTION)


class BeaconRequest(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A beacon with its request data. Kept in memory until its events are built."""

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


class Rejection(msgspec.Struct, frozen=True, gc=False):
    """A dropped beacon, with the reason. `kind` is the kind of bot."""

    reason: Reason
    kind: str = ""


class EventContext(msgspec.Struct, gc=False):
    """An event being built, for one site."""

    arrival: BeaconRequest
    domain: str
    site: Site | None = None
    limited: bool = False
    evidence: str = ""
    day: datetime.date = datetime.date.min
    page: Page | None = None
    device: Device | None = None
    country: str = ""
    datacenter: bool = False
    visitor: int = 0
    visit: Visit | None = None
    attribution: Attribution = NO_ATTRIBUTION
    part: EventInVisit = NO_PART
    engaged: int = 0
    """Milliseconds of the day on which it is stored."""

    @property
    def today(self) -> datetime.date:
        """The date in UTC, by which receipts go."""
        return datetime.datetime.fromtimestamp(self.arrival.at, datetime.UTC).date()

    def __repr__(self) -> str:
        """Shows nothing of the visitor, also in a traceback."""
        return f"Draft({self.domain!r}, …)"


@dataclass(frozen=True, slots=True)
class PipelineServices:
    """Services that the pipeline steps depend on."""

    sites: Sites
    salts: Salts
    visits: VisitTracker
    countries: CountryResolver
    spam: HostList
    datacenters: DatacenterNetworks = field(default_factory=DatacenterNetworks)
    shield: IpExclusions = field(default_factory=IpExclusions)
    devices: UserAgentParser = field(default_factory=UserAgentParser)
    bots: BotDetector = field(default_factory=BotDetector)
    pages: PageCleaner = field(default_factory=PageCleaner)
    receipts: Receipts = field(default_factory=lambda: Receipts((secrets.token_urlsafe(32),)))


Step = Callable[[EventContext, PipelineServices], Rejection | None]


def drop_unknown_site(context: EventContext, services: PipelineServices) -> Rejection | None:
    """Only registered sites are measured."""
    site = services.sites.measured(context.domain)
    if site is None:
        return Rejection("unknown_site")
    context.site, context.domain = site, site.domain
    return None


def drop_without_consent(context: EventContext, services: PipelineServices) -> Rejection | None:
    """The site's policy decides what consent, refusal or silence allow."""
    beacon = context.arrival.beacon
    site = _site(context)
    verdict = decide_consent(site.consent, beacon.consent, context.arrival.signals, bare=beacon.bare)
    if site.receipts and verdict.by_evidence and not services.receipts.find(beacon.receipt, site.domain, context.today):
        # The answer brings a receipt, and the snippet sends the beacon again with it.
        return Rejection("consent")
    if verdict.reason:
        return Rejection(verdict.reason)
    context.limited = verdict.lane == "limited"
    if context.limited and beacon.name != "pageview":
        # The identifier-free lane counts pages; what a person did on them needs consent.
        return Rejection("consent")
    context.evidence = "none" if context.limited else verdict.evidence
    return None


def drop_prefetch(context: EventContext, services: PipelineServices) -> Rejection | None:
    """A page fetched ahead of time has not been seen by anybody."""
    return Rejection("prefetch") if context.arrival.prefetch else None


def drop_bot(context: EventContext, services: PipelineServices) -> Rejection | None:
    """Programs do not count; a missing or unknown user agent is a person."""
    kind = services.bots.kind(context.arrival.user_agent)
    return Rejection("bot", kind) if kind else None


def put_day(context: EventContext, services: PipelineServices) -> Rejection | None:
    """The site-local date."""
    context.day = services.sites.zone(_site(context)).date(context.arrival.at)
    return None


def put_page(context: EventContext, services: PipelineServices) -> Rejection | None:
    """Host, cleaned path and allow-listed query values."""
    beacon = context.arrival.beacon
    page = services.pages.read(beacon.url, _site(context), hash_mode=beacon.hash_mode)
    context.page = redact_sender(page, context.arrival.user_agent, context.arrival.address)
    return None


def put_device(context: EventContext, services: PipelineServices) -> Rejection | None:
    """Browser and system families with major versions; the user agent itself is used for the visitor hash only."""
    context.device = services.devices.read(context.arrival.user_agent, context.arrival.hints)
    return None


def put_country(context: EventContext, services: PipelineServices) -> Rejection | None:
    """By the browser's time zone, else by the address, which is otherwise used for the visitor hash only."""
    beacon, address = context.arrival.beacon, context.arrival.address
    context.country = services.countries.read(beacon.zone, address, is_hosted=context.datacenter)
    return None


def drop_excluded(context: EventContext, services: PipelineServices) -> Rejection | None:
    """What the owner or the operator does not want counted: addresses, other hosts, some paths, some countries; and
    copies of the site on somebody's own machine."""
    if services.shield and services.shield.covers(context.domain, context.arrival.address):
        return Rejection("excluded")
    site, page = _site(context), _page(context)
    if site.excluded_countries and context.country in site.excluded_countries:
        return Rejection("excluded")
    if site.hostnames and not any(_host_matches(page.hostname, allowed) for allowed in site.hostnames):
        return Rejection("excluded")
    if _is_on_own_machine(page.hostname, context.arrival.beacon.url) and not services.sites.is_local(
        site, page.hostname
    ):
        # Somebody works on the site, or has saved a copy of it: neither is a visit.
        return Rejection("excluded")
    if site.excluded_paths and any(matches(pattern, page.path) for pattern in site.excluded_paths):
        return Rejection("excluded")
    return None


def put_datacenter(context: EventContext, services: PipelineServices) -> Rejection | None:
    """Check the address against the data center list, for sites that enable it. Does not store the address."""
    context.datacenter = _site(context).datacenter != "off" and services.datacenters.covers(context.arrival.address)
    return None


def drop_datacenter(context: EventContext, services: PipelineServices) -> Rejection | None:
    """Drop visits from data centers, mostly automated browsers, on sites that choose so."""
    return Rejection("datacenter") if context.datacenter and _site(context).datacenter == "drop" else None


def drop_spam_referrer(context: EventContext, services: PipelineServices) -> Rejection | None:
    """Referrers on the operator's list of spam hosts."""
    spam = services.spam.hosts
    if spam and is_spam(read_referrer(context.arrival.beacon.referrer)[0], spam):
        return Rejection("spam_referrer")
    return None


def put_visitor(context: EventContext, services: PipelineServices) -> Rejection | None:
    """The id of the day. Here the address and the user agent end."""
    if not context.limited:
        salt, arrival = services.salts.salt(context.day), context.arrival
        context.visitor = visitor_id(salt, _site(context).hash_name, arrival.network, arrival.user_agent)
    return None


def put_visit(context: EventContext, services: PipelineServices) -> Rejection | None:
    """The open visit, if there is one. A new day has new visitor ids, and so no open visits."""
    if context.visitor != 0:
        context.visit = services.visits.current(context.visitor, context.arrival.at)
    return None


def put_origin(context: EventContext, services: PipelineServices) -> Rejection | None:
    """Referrer, source, channel and campaign, from the first event of a visit."""
    if context.visitor != 0 and context.visit is None:
        context.attribution = _attribution(context, services)
    return None


def put_visit_counters(context: EventContext, services: PipelineServices) -> Rejection | None:
    """What the event is within its visit, and adds to the sums."""
    if context.visitor == 0:
        return None
    visits, visit, beacon, at = services.visits, context.visit, context.arrival.beacon, context.arrival.at
    if beacon.name == "engagement":
        # What was read before midnight belongs to a day that is over: it would tell that this visitor was there.
        of_today = 1000 * (at - services.sites.zone(_site(context)).bounds(context.day)[0])
        context.engaged = min(beacon.engaged, of_today)
        context.part = visits.record_engagement(context.visitor, visit, at) if visit is not None else NO_PART
        return None
    pageview = beacon.name == "pageview"
    path = _page(context).path if pageview else ""
    if visit is None:
        context.part = visits.begin(context.visitor, at, path, context.attribution, network=context.arrival.network)
    else:
        ends_bounce = beacon.interactive and (not pageview or bool(visit.entry_page))
        context.part = visits.extend(context.visitor, visit, at, path, ends_bounce=ends_bounce)
    return None


STEPS: tuple[Step, ...] = (
    drop_unknown_site,
    drop_without_consent,
    drop_prefetch,
    drop_bot,
    put_day,
    put_page,
    put_datacenter,
    put_country,
    drop_excluded,
    drop_spam_referrer,
    drop_datacenter,
    put_device,
    put_visitor,
    put_visit,
    put_origin,
    put_visit_counters,
)


def run(
    request: BeaconRequest, domain: str, services: PipelineServices, steps: Sequence[Step] = STEPS
) -> Event | Rejection:
    """Take one beacon through the steps for one of its sites."""
    draft = EventContext(request, domain)
    for step in steps:
        dropped = step(draft, services)
        if dropped is not None:
            return dropped
    return _limited_event(draft, services) if draft.limited else _event(draft)


def _event(context: EventContext) -> Event:
    beacon, page, device, part = context.arrival.beacon, _page(context), _device(context), context.part
    came = part.attribution
    return Event(
        site=context.domain,
        day=context.day,
        ts=context.arrival.at,
        visitor=context.visitor,
        visit=part.visit,
        name=beacon.name if beacon.name in OWN_NAMES else _clean(beacon.name, context),
        consent=context.evidence,
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
        engaged=context.engaged,
        scroll=beacon.scroll,
        props={_clean(key, context): _clean(value, context) for key, value in beacon.props.items()}
        if beacon.props
        else {},
        revenue=beacon.revenue,
        currency=beacon.currency,
        expires=_days_after(context.day, _site(context).retention_days),
        seq=part.seq,
        datacenter=context.datacenter,
    )


def _limited_event(context: EventContext, services: PipelineServices) -> Event:
    """The identifier-free count: page, referring host, device class, and nothing that could tell people apart."""
    page = _page(context)
    host = read_referrer(context.arrival.beacon.referrer)[0]
    own = services.sites.own_hosts(_site(context))
    return Event(
        site=context.domain,
        day=context.day,
        # The second could be matched with a log of requests.
        ts=context.arrival.at // 60 * 60,
        visitor=0,
        visit=0,
        name="pageview",
        consent="none",
        hostname=page.hostname,
        page=page.path,
        referrer="" if host == context.arrival.address or is_own(host, page.hostname, own) else host,
        device=_device(context).kind,
        expires=_days_after(context.day, _site(context).retention_days),
    )


def _attribution(context: EventContext, services: PipelineServices) -> Attribution:
    page, referrer = _page(context), context.arrival.beacon.referrer
    if context.arrival.address in referrer and read_referrer(referrer)[0] == context.arrival.address:
        referrer = ""
    if not referrer and page.tags is NO_TAGS:
        return _direct(context.country)
    origin, tags = read_origin(referrer, page, services.sites.own_hosts(_site(context))), page.tags
    return Attribution(
        referrer=truncated("referrer", redact_user_agent(origin.referrer, context.arrival.user_agent)),
        source=truncated("source", origin.source),
        channel=origin.channel,
        utm_source=tags.source,
        utm_medium=origin.medium,
        utm_campaign=tags.campaign,
        utm_content=tags.content,
        utm_term=tags.term,
        click_id=tags.click_id,
        country=context.country,
    )


def _clean(text: str, context: EventContext) -> str:
    """A name, key or value without what could lead to a person, and without the sender's user agent."""
    return clean_value(redact_user_agent(text, context.arrival.user_agent))


@lru_cache(maxsize=512)
def _direct(country: str) -> Attribution:
    """Of a visit that nothing says anything of, as many are: those of a country share one."""
    origin = read_origin("", Page("", "/", NO_TAGS))
    return Attribution(channel=origin.channel, country=country)


@lru_cache(maxsize=256)
def _days_after(day: datetime.date, days: int) -> datetime.date:
    return day + datetime.timedelta(days=days)


def _host_matches(hostname: str, allowed: str) -> bool:
    if allowed.startswith("*."):
        return is_at_or_under(hostname, (ascii_host(allowed[2:]),))
    return hostname == ascii_host(allowed).removeprefix("www.")


def _is_on_own_machine(hostname: str, url: str) -> bool:
    if hostname == NO_HOST:
        return url[:8].lstrip().lower().startswith("file:")
    # Most hosts are known by their first letters.
    return hostname == "localhost" or (hostname.startswith(("127.", "[::")) and is_loopback(hostname))


def _site(context: EventContext) -> Site:
    if context.site is None:
        raise RuntimeError("drop_unknown_site comes first")
    return context.site


def _page(context: EventContext) -> Page:
    if context.page is None:
        raise RuntimeError("put_page comes first")
    return context.page


def _device(context: EventContext) -> Device:
    if context.device is None:
        raise RuntimeError("put_device comes first")
    return context.device
