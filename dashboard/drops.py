"""What was not kept of a site, in words that an owner can act on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from collector.counters import Reason
from collector.tally import Dropped


@dataclass(frozen=True, slots=True)
class Drop:
    """How often one reason applied on the site's today and in 30 days, and what it means."""

    reason: str
    text: str
    meaning: str
    count: int
    """Today."""
    month: int
    kinds: tuple[tuple[str, int], ...] = ()
    """Of bots: which kinds, and how many of each in 30 days, most frequent first."""


MEANINGS: Final[dict[Reason, tuple[str, str]]] = {
    "consent": ("no consent", "The visitor had not agreed. If your banner says they had, tell the snippet about it."),
    "gpc": ("Global Privacy Control", "The browser says no on the visitor's behalf."),
    "dnt": ("Do Not Track", "The browser asks not to be measured."),
    "bot": ("a bot", "Crawlers, monitors, headless browsers and libraries."),
    "prefetch": ("prefetched", "The browser loaded the page ahead of time; nobody has seen it yet."),
    "unknown_site": ("unknown site", "The tag names a site that is not registered."),
    "excluded": ("excluded", "The page, host, country or address is one that you left out in the settings."),
    "spam_referrer": ("referrer spam", "The referrer is known for faking visits."),
    "rate": ("too many at once", "One address sent more than the rate limit allows."),
}


KINDS: Final[dict[str, str]] = {
    "crawler": "crawlers",
    "ai": "AI crawlers and assistants",
    "monitor": "uptime and speed monitors",
    "preview": "link previews",
    "headless": "headless browsers",
    "library": "programs and libraries",
    "other": "others",
}


def drops_of(dropped: Iterable[Dropped]) -> list[Drop]:
    """What was dropped of a site by reason, most frequent in 30 days first."""
    found: dict[str, list[Dropped]] = {}
    for each in dropped:
        found.setdefault(each.reason, []).append(each)
    drops = [
        Drop(
            reason,
            *MEANINGS[reason],
            count=sum(each.today for each in found[reason]),
            month=sum(each.month for each in found[reason]),
            kinds=tuple((KINDS[each.kind], each.month) for each in found[reason] if each.kind in KINDS),
        )
        for reason in MEANINGS
        if reason in found
    ]
    return sorted(drops, key=lambda drop: -drop.month)
