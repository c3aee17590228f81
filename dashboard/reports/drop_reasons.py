"""Dropped events and trimmed parts of events, in words that an owner can act on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from collector.core.metrics import Reason, TrimmedKey
from collector.server.drop_statistics import Dropped, Trimmed
from dashboard.i18n.translations import N_, _


@dataclass(frozen=True, slots=True)
class DropCount:
    """How often one reason applied on the site's today and in 30 days, and what it means."""

    reason: str
    text: str
    meaning: str
    count: int
    """Today."""
    month: int
    kinds: tuple[tuple[str, int], ...] = ()
    """Of bots: which kinds, and how many of each in 30 days, most frequent first."""

    @property
    def title(self) -> str:
        """The reason, as it begins a line."""
        return self.text[:1].upper() + self.text[1:]


MEANINGS: Final[dict[Reason, tuple[str, str]]] = {
    "consent": (
        N_("no consent"),
        N_("The visitor had not agreed. If they had, your banner does not pass the choice on to the tag."),
    ),
    "gpc": (
        N_("Global Privacy Control"),
        N_("The visitor’s browser sends Global Privacy Control, which is a refusal."),
    ),
    "dnt": (
        N_("Do Not Track"),
        N_(
            "The visitor’s browser sends Do Not Track, which overrides a yes in your banner. Firefox sends "
            "it by default in private windows and with strict tracking protection."
        ),
    ),
    "bot": (N_("a bot"), N_("Crawlers, monitoring services, headless browsers and scripts.")),
    "prefetch": (N_("prefetched"), N_("The browser loaded the page in advance; nobody has seen it yet.")),
    "unknown_site": (N_("unknown site"), N_("The tag names a site that is not registered.")),
    "excluded": (
        N_("excluded"),
        N_("The page, hostname, country or IP address is excluded in the settings, or the page was on localhost."),
    ),
    "spam_referrer": (N_("referrer spam"), N_("The referrer is a known source of fake visits.")),
    "datacenter": (
        N_("from a data center"),
        N_("The IP address belongs to a hosting company, and the site’s settings drop such visits."),
    ),
    "rate": (N_("rate limit"), N_("One IP address sent more events than the rate limit allows.")),
}


KINDS: Final[dict[str, str]] = {
    "crawler": N_("crawlers"),
    "ai": N_("AI crawlers and assistants"),
    "monitor": N_("uptime and speed monitors"),
    "preview": N_("link previews"),
    "headless": N_("headless browsers"),
    "library": N_("scripts and libraries"),
    "other": N_("others"),
}


def drops_of(dropped: Iterable[Dropped]) -> list[DropCount]:
    """What was dropped of a site by reason, most frequent in 30 days first."""
    found: dict[str, list[Dropped]] = {}
    for each in dropped:
        found.setdefault(each.reason, []).append(each)
    drops = [
        DropCount(
            reason,
            _(MEANINGS[reason][0]),
            _(MEANINGS[reason][1]),
            count=sum(each.today for each in found[reason]),
            month=sum(each.month for each in found[reason]),
            kinds=tuple((_(KINDS[each.kind]), each.month) for each in found[reason] if each.kind in KINDS),
        )
        for reason in MEANINGS
        if reason in found
    ]
    return sorted(drops, key=lambda drop: -drop.month)


@dataclass(frozen=True, slots=True)
class TrimCount:
    """Events of which one part was cut or left out, on the site's today and in 30 days."""

    key: TrimmedKey
    text: str
    count: int
    """Today."""
    month: int


PARTS: Final[dict[TrimmedKey, str]] = {
    "n": N_("Event name: cut to 120 characters"),
    "u": N_("Address of the page: shortened to 2,000 characters"),
    "d": N_("Sites: only the first 20 are used"),
    "r": N_("Referrer: cut to 2,000 characters, or left out"),
    "p": N_("Custom properties: too many, too long, or not text, number or boolean"),
    "$": N_("Revenue: amount missing, or currency not three letters"),
    "e": N_("Time engaged: out of range"),
    "sd": N_("Scroll depth: out of range"),
    "h": N_("Hash mode: not 1 or 0"),
    "i": N_("Interactive: not true or false"),
    "z": N_("Time zone: unknown name"),
    "w": N_("Width of the window: out of range"),
    "c": N_("Evidence of consent: unknown value"),
    "k": N_("Receipt of consent: too long"),
    "q": N_("Random value against duplicates: too long"),
}
"""Each part, and what is done where it is out of its bounds."""


def trims_of(trimmed: Iterable[Trimmed]) -> list[TrimCount]:
    """Parts of a site's events that were cut or left out, in the order given."""
    return [TrimCount(each.key, _(PARTS[each.key]), each.today, each.month) for each in trimmed if each.key in PARTS]
