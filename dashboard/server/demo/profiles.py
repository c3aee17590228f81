"""Profiles of the demonstration: weighted tables from `data/demo/*.toml`, whose heads describe what they hold.

The shares are round numbers near what small European sites see. Names of sources, channels, browsers and systems
are those that the collector itself would derive.
"""

from __future__ import annotations

import random
from bisect import bisect
from collections.abc import Mapping, Sequence
from decimal import Decimal
from itertools import accumulate
from pathlib import Path
from typing import Final, Generic, NamedTuple, TypeVar

import msgspec

T = TypeVar("T")
S = TypeVar("S")

DATA: Final = Path(__file__).resolve().parents[2] / "data" / "demo"


class WeightedChoice(Generic[T]):
    """Values with weights, to draw from."""

    def __init__(self, weights: Mapping[T, float]) -> None:
        self.values = tuple(weights)
        self._cumulative = list(accumulate(weights.values()))
        # Of the last weight nothing is left out: the product below can round up to the total.
        self._total = self._cumulative.pop()

    def draw(self, random_: random.Random) -> T:
        """One value, as often as its share of the weights."""
        return self.values[bisect(self._cumulative, random_.random() * self._total)]


class DemoDevice(NamedTuple):
    """What a visitor reads with: the device columns of an event."""

    browser: str
    browser_version: str
    os: str
    os_version: str
    device: str
    size: str


class DemoArrival(NamedTuple):
    """Where a visit comes from: the source columns of an event, how many leave at once, and where it lands."""

    referrer: str = ""
    source: str = ""
    channel: str = "Direct"
    utm_source: str = ""
    utm_medium: str = ""
    utm_campaign: str = ""
    utm_content: str = ""
    utm_term: str = ""
    click_id: str = ""
    bounce: float = 0.45
    landing: str = ""


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table of a data file."""


class _Kind(_File, frozen=True):
    software: Sequence[tuple[str, str, str, str, float]]
    sizes: Mapping[str, float]


class _Devices(_File, frozen=True):
    kinds: Mapping[str, _Kind]
    shares: Mapping[str, Mapping[str, float]]

    def choice(self, when: str) -> WeightedChoice[DemoDevice]:
        """Devices of which each kind has its share on such a day."""
        return WeightedChoice(
            {
                DemoDevice(browser, version, os, os_version, kind, size): share * of_software * of_size
                for kind, share in self.shares[when].items()
                for browser, version, os, os_version, of_software in self.kinds[kind].software
                for size, of_size in self.kinds[kind].sizes.items()
            }
        )


class _Arrival(_File, frozen=True):
    weight: float
    bounce: float
    referrer: str = ""
    source: str = ""
    channel: str = "Direct"
    utm_source: str = ""
    utm_medium: str = ""
    utm_campaign: str = ""
    utm_content: str = ""
    utm_term: str = ""
    click_id: str = ""
    landing: str = ""


class _Arrivals(_File, frozen=True):
    ordinary: Sequence[_Arrival]
    campaign: Sequence[_Arrival]


class ConsentProfile(_File, frozen=True):
    """Shares of visitors who agree `before` and `since` the banner `changes`, and kinds of evidence by weight."""

    before: float
    since: float
    changes: float
    evidence: Mapping[str, float]


class _People(_File, frozen=True):
    countries: Mapping[str, float]
    currencies: Mapping[str, str]
    consent: ConsentProfile


class _Hours(_File, frozen=True):
    weekday: tuple[int, ...]
    weekend: tuple[int, ...]


class _Days(_File, frozen=True):
    weekdays: tuple[float, ...]
    growth: float
    second_visit: float


class _Campaign(_File, frozen=True):
    begins: float
    extra: tuple[float, ...]


class Calendar(_File, frozen=True):
    """Hours, weekdays and the campaign."""

    hours: _Hours
    days: _Days
    campaign: _Campaign


class Till(_File, frozen=True):
    """The way from the shop's page over its products to the thanks, and the share who go each step of it."""

    shop: str
    steps: tuple[str, str, str]
    to_product: float
    to_basket: float
    onwards: tuple[float, float, float]


class Workshops(_File, frozen=True):
    """Pages of workshops, and the seats that are booked there."""

    below: str
    booked: float
    price: Mapping[str, Decimal]
    seats: Mapping[str, float]


class Newsletter(_File, frozen=True):
    """How many sign up, and where."""

    signed_up: float
    places: Mapping[str, float]


class Journal(_File, frozen=True):
    """Pages of the journal, and the links out of them."""

    below: str
    followed: float
    links: Mapping[str, float]


class SavedFunnel(_File, frozen=True):
    """The funnel that the demonstration has; its steps as the command line spells them."""

    name: str
    steps: tuple[str, ...]


class Website(_File, frozen=True):
    """Pages, the way to the till, prices, and what else is done."""

    pages: tuple[str, ...]
    till: Till
    prices: Mapping[str, Mapping[str, Decimal]]
    workshops: Workshops
    newsletter: Newsletter
    journal: Journal
    funnel: SavedFunnel


def _read(name: str, type_: type[S]) -> S:
    return msgspec.toml.decode((DATA / f"{name}.toml").read_bytes(), type=type_)


def _arrivals(table: Sequence[_Arrival]) -> WeightedChoice[DemoArrival]:
    return WeightedChoice(
        {DemoArrival(*(getattr(each, name) for name in DemoArrival._fields)): each.weight for each in table}
    )


def zipf(values: Sequence[str], exponent: float) -> WeightedChoice[str]:
    """Values of which the n-th is drawn in proportion to 1 / n ** exponent, as pages of a site are."""
    return WeightedChoice({value: 1 / rank**exponent for rank, value in enumerate(values, start=1)})


_devices, _people, _table = _read("devices", _Devices), _read("people", _People), _read("arrivals", _Arrivals)

CALENDAR: Final = _read("calendar", Calendar)
WEBSITE: Final = _read("website", Website)
CONSENT: Final = _people.consent

WEEKDAY_DEVICES: Final = _devices.choice("weekday")
WEEKEND_DEVICES: Final = _devices.choice("weekend")
COUNTRIES: Final = WeightedChoice(_people.countries)
CURRENCIES: Final = _people.currencies
"""Currency by country; that of "" is everybody else's."""
EVIDENCE: Final = WeightedChoice(CONSENT.evidence)
ARRIVALS: Final = _arrivals(_table.ordinary)
CAMPAIGN: Final = _arrivals(_table.campaign)

PAGES: Final = (*WEBSITE.pages, *WEBSITE.till.steps)
"""Every page: the most read first, and those of the till, which only the basket leads to."""
ENTRY_PAGES: Final = zipf(WEBSITE.pages, 1.15)
NEXT_PAGES: Final = zipf(WEBSITE.pages, 0.75)
PRODUCTS: Final = zipf(tuple(WEBSITE.prices), 0.75)
