"""Steps of the ingestion pipeline: each may drop the beacon (`drop_*`, with a reason from a closed set) or add to the
event being built (`put_*`)."""

from __future__ import annotations

from functools import lru_cache

from collector.core.wildcards import matches
from collector.enrichment.referrer import is_spam, read_origin
from collector.enrichment.sender_redaction import redact_sender, redact_user_agent
from collector.enrichment.text_limits import truncated
from collector.enrichment.urls import NO_HOST, NO_TAGS, Page, read_referrer
from collector.ingest.context import NO_PART, EventContext, PipelineServices, Rejection, page_of, site_of
from collector.ingest.visits import Attribution
from collector.privacy.consent import decide_consent
from collector.privacy.visitor_id import visitor_id
from collector.sites.hostnames import ascii_host, is_at_or_under, is_loopback


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
    site = site_of(context)
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
    context.day = services.sites.zone(site_of(context)).date(context.arrival.at)
    return None


def put_page(context: EventContext, services: PipelineServices) -> Rejection | None:
    """Host, cleaned path and allow-listed query values."""
    beacon = context.arrival.beacon
    page = services.pages.read(beacon.url, site_of(context), hash_mode=beacon.hash_mode)
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
    if services.shield and services.shield.covers(site_of(context).names, context.arrival.address):
        return Rejection("excluded")
    site, page = site_of(context), page_of(context)
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
    context.datacenter = site_of(context).datacenter != "off" and services.datacenters.covers(context.arrival.address)
    return None


def drop_datacenter(context: EventContext, services: PipelineServices) -> Rejection | None:
    """Drop visits from data centers, mostly automated browsers, on sites that choose so."""
    return Rejection("datacenter") if context.datacenter and site_of(context).datacenter == "drop" else None


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
        context.visitor = visitor_id(salt, site_of(context).hash_name, arrival.network, arrival.user_agent)
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
        of_today = 1000 * (at - services.sites.zone(site_of(context)).bounds(context.day)[0])
        context.engaged = min(beacon.engaged, of_today)
        context.part = visits.record_engagement(context.visitor, visit, at) if visit is not None else NO_PART
        return None
    pageview = beacon.name == "pageview"
    path = page_of(context).path if pageview else ""
    if visit is None:
        context.part = visits.begin(context.visitor, at, path, context.attribution, network=context.arrival.network)
    else:
        ends_bounce = beacon.interactive and (not pageview or bool(visit.entry_page))
        context.part = visits.extend(context.visitor, visit, at, path, ends_bounce=ends_bounce)
    return None


def _attribution(context: EventContext, services: PipelineServices) -> Attribution:
    page, referrer = page_of(context), context.arrival.beacon.referrer
    if context.arrival.address in referrer and read_referrer(referrer)[0] == context.arrival.address:
        referrer = ""
    if not referrer and page.tags is NO_TAGS:
        return _direct(context.country)
    origin, tags = read_origin(referrer, page, services.sites.own_hosts(site_of(context))), page.tags
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


@lru_cache(maxsize=512)
def _direct(country: str) -> Attribution:
    """Of a visit that nothing says anything of, as many are: those of a country share one."""
    origin = read_origin("", Page("", "/", NO_TAGS))
    return Attribution(channel=origin.channel, country=country)


def _host_matches(hostname: str, allowed: str) -> bool:
    if allowed.startswith("*."):
        return is_at_or_under(hostname, (ascii_host(allowed[2:]),))
    return hostname == ascii_host(allowed).removeprefix("www.")


def _is_on_own_machine(hostname: str, url: str) -> bool:
    if hostname == NO_HOST:
        return url[:8].lstrip().lower().startswith("file:")
    # Most hosts are known by their first letters.
    return hostname == "localhost" or (hostname.startswith(("127.", "[::")) and is_loopback(hostname))
