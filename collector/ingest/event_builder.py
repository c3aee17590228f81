"""The event that is built from a beacon once every step has let it through."""

from __future__ import annotations

import datetime
from functools import lru_cache

from collector.enrichment.referrer import is_own
from collector.enrichment.sender_redaction import redact_user_agent
from collector.enrichment.urls import clean_value, read_referrer
from collector.enrichment.user_agent import size_class
from collector.ingest.context import EventContext, PipelineServices, device_of, page_of, site_of
from collector.ingest.event import Event

OWN_NAMES = frozenset({"pageview", "engagement"})


def build_event(context: EventContext) -> Event:
    """All that the visitor has consented to."""
    beacon, page, device, part = context.arrival.beacon, page_of(context), device_of(context), context.part
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
        expires=_days_after(context.day, site_of(context).retention_days),
        seq=part.seq,
        datacenter=context.datacenter,
    )


def build_limited_event(context: EventContext, services: PipelineServices) -> Event:
    """The identifier-free count: page, referring host, device class, and nothing that could tell people apart."""
    page = page_of(context)
    own = services.sites.own_hosts(site_of(context))
    host = read_referrer(context.arrival.beacon.referrer, own)[0]
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
        device=device_of(context).kind,
        expires=_days_after(context.day, site_of(context).retention_days),
    )


def _clean(text: str, context: EventContext) -> str:
    """A name, key or value without what could lead to a person, and without the sender's user agent."""
    return clean_value(redact_user_agent(text, context.arrival.user_agent))


@lru_cache(maxsize=256)
def _days_after(day: datetime.date, days: int) -> datetime.date:
    return day + datetime.timedelta(days=days)
