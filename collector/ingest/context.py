"""What the pipeline steps work on: the beacon with its request data, the event being built, and the services they use.

The address and the user agent are known here and to no later stage: the `Event` has no field for them.
"""

from __future__ import annotations

import datetime
import secrets
from dataclasses import dataclass, field

import msgspec

from collector.core.metrics import Reason
from collector.enrichment.bot_detection import BotDetector
from collector.enrichment.datacenters import DatacenterNetworks
from collector.enrichment.geoip import CountryResolver
from collector.enrichment.host_lists import HostList
from collector.enrichment.ip_exclusions import IpExclusions
from collector.enrichment.url_policy import PageCleaner
from collector.enrichment.urls import Page
from collector.enrichment.user_agent import NO_HINTS, Device, Hints, UserAgentParser
from collector.ingest.payload import Beacon
from collector.ingest.visits import Attribution, EventInVisit, Visit, VisitTracker
from collector.privacy.consent import Signals
from collector.privacy.consent_receipts import Receipts
from collector.privacy.visitor_id import Salts
from collector.sites.model import Site
from collector.sites.registry import Sites

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


def site_of(context: EventContext) -> Site:
    """The site that it is for."""
    if context.site is None:
        raise RuntimeError("drop_unknown_site comes first")
    return context.site


def page_of(context: EventContext) -> Page:
    """The page that it is of."""
    if context.page is None:
        raise RuntimeError("put_page comes first")
    return context.page


def device_of(context: EventContext) -> Device:
    """The browser and system that it is from."""
    if context.device is None:
        raise RuntimeError("put_device comes first")
    return context.device
