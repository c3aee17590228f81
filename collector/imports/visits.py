"""Page views and custom events of a file: the request that a row stands for, and its way through the pipeline's steps.

A file may give in words what a beacon's headers would tell, such as the browser; where it has an address and a user
agent these go through the same steps as a beacon's. Which visit an event belongs to is decided when all rows are there:
files are in any order.
"""

from __future__ import annotations

import secrets
from hashlib import blake2b
from typing import Final

import msgspec

from collector.enrichment.channels import AttributionSignals, channel_of
from collector.enrichment.referrer import kind_of, name_of_tag
from collector.enrichment.shortening import shortened_url
from collector.enrichment.text_limits import truncated
from collector.enrichment.user_agent import Device
from collector.ingest.context import BeaconRequest, EventContext, PipelineServices, Rejection
from collector.ingest.payload import Beacon
from collector.ingest.payload_fields import MOST_URL, MOST_VALUE, properties_of
from collector.ingest.pipeline import Step
from collector.ingest.steps import (
    drop_bot,
    drop_datacenter,
    drop_excluded,
    drop_prefetch,
    drop_spam_referrer,
    drop_unknown_site,
    put_country,
    put_datacenter,
    put_day,
    put_device,
    put_origin,
    put_page,
    put_visitor,
)
from collector.ingest.visits import Attribution, EventInVisit
from collector.privacy.consent import NO_SIGNALS, Signals

CONSENT: Final = "imported"
"""Kind of evidence of what another product collected: under which, this one cannot know."""


class ForeignRequest(BeaconRequest, frozen=True, gc=False, kw_only=True):
    """A row of a file as a request. `network` is whatever the file tells visitors apart by; it is hashed under a salt
    of the import, and kept nowhere."""

    device: Device | None = None
    """Browser and system, where the file has their names; else they are read from the user agent."""
    country: str | None = None
    """Where the file has it; else it is found by the address."""
    source: str = ""
    """Name of the source, where the file has that in place of a referrer."""
    visit: int = 0
    """Hash of the visit that the file says it belongs to; 0 where 30 minutes without an event end a visit."""
    anonymous: bool = False
    """Whether nothing tells visitors apart: then only the page view is counted."""


def foreign_request(
    at: int,
    url: str,
    *,
    name: str = "pageview",
    referrer: str = "",
    visitor: str = "",
    address: str = "",
    user_agent: str = "",
    props: dict[str, str] | None = None,
    width: int = 0,
    signals: Signals = NO_SIGNALS,
    prefetch: bool = False,
    device: Device | None = None,
    country: str | None = None,
    source: str = "",
    visit: int = 0,
    anonymous: bool = False,
) -> ForeignRequest:
    """The request of a row; `at` is a Unix second, and without an `address` `visitor` tells visitors apart. Texts have
    the lengths that those of beacons may have."""
    return ForeignRequest(
        beacon=Beacon(
            name=name,
            url=shortened_url(url, MOST_URL),
            domains=(),
            referrer=referrer[:MOST_URL],
            props=properties_of(props)[0],
            width=width,
        ),
        at=at,
        address=address,
        network=visitor,
        user_agent=user_agent,
        signals=signals,
        prefetch=prefetch,
        device=device,
        country=country,
        source=source[:MOST_VALUE],
        visit=visit,
        anonymous=anonymous,
    )


def key_hash(key: str) -> int:
    """A number for what the file calls a visit, within its visitor and date; 0 for nothing."""
    if not key:
        return 0
    return int.from_bytes(blake2b(key.encode("utf-8", "replace"), digest_size=4, key=_KEY).digest(), "little") or 1


def wide_hash(key: str) -> int:
    """A number for what a file calls a session or an event, by which other files tell more of it; 0 for nothing."""
    return digest_of(key) or 1 if key else 0


def digest_of(row: str | bytes) -> int:
    """A digest of a row, which is the same in every file of an import, and of 64 bits."""
    content = row.encode("utf-8", "replace") if isinstance(row, str) else row
    return int.from_bytes(blake2b(content, digest_size=8, key=_KEY).digest(), "little")


# Random for each process: from a visit's number nobody finds what the file called it.
_KEY: Final = secrets.token_bytes(16)


def drop_refused(context: EventContext, _: PipelineServices) -> Rejection | None:
    """Who refused by Global Privacy Control or Do Not Track is not counted afterwards either."""
    signals = context.arrival.signals
    if signals.gpc or signals.dnt:
        return Rejection("gpc" if signals.gpc else "dnt")
    context.evidence = CONSENT
    context.limited = _foreign(context).anonymous
    return None


def put_named_country(context: EventContext, services: PipelineServices) -> Rejection | None:
    """The country of the file, else that of the address."""
    country = _foreign(context).country
    if country is None:
        return put_country(context, services)
    context.country = country
    return None


def put_named_device(context: EventContext, services: PipelineServices) -> Rejection | None:
    """Browser and system of the file, else those of the user agent."""
    device = _foreign(context).device
    if device is None:
        return put_device(context, services)
    context.device = device
    return None


def put_named_source(context: EventContext, services: PipelineServices) -> Rejection | None:
    """The source that the file names, else that of referrer and tags. Every row has it: its visit takes the first."""
    put_origin(context, services)
    source = _foreign(context).source
    if source and not context.attribution.source:
        name = truncated("source", name_of_tag(source))
        channel = channel_of(AttributionSignals(name.lower(), kind_of(name)))
        context.attribution = msgspec.structs.replace(context.attribution, source=name, channel=channel)
    return None


def put_unassigned(context: EventContext, _: PipelineServices) -> Rejection | None:
    """The visit is not known yet."""
    came = context.attribution if context.visitor else Attribution()
    context.part = EventInVisit(_foreign(context).visit, "", came)
    return None


STEPS: Final[tuple[Step, ...]] = (
    drop_unknown_site,
    drop_refused,
    drop_prefetch,
    drop_bot,
    put_day,
    put_page,
    put_datacenter,
    put_named_country,
    drop_excluded,
    drop_spam_referrer,
    drop_datacenter,
    put_named_device,
    put_visitor,
    put_named_source,
    put_unassigned,
)
"""The steps of a beacon, with those in place of which a file may give the result."""


def _foreign(context: EventContext) -> ForeignRequest:
    if not isinstance(context.arrival, ForeignRequest):
        raise TypeError("expected a row of a file")
    return context.arrival
