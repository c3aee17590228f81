"""What was not kept of a site, in words that an owner can act on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from collector.counters import Reason
from collector.tally import Dropped
from dashboard.wording import N_, _


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

    @property
    def title(self) -> str:
        """The reason, as it begins a line."""
        return self.text[:1].upper() + self.text[1:]


MEANINGS: Final[dict[Reason, tuple[str, str]]] = {
    "consent": (
        N_("no consent"),
        N_("The visitor had not agreed. If your banner says they had, tell the snippet about it."),
    ),
    "gpc": (N_("Global Privacy Control"), N_("The browser says no on the visitor's behalf.")),
    "dnt": (N_("Do Not Track"), N_("The browser asks not to be measured.")),
    "bot": (N_("a bot"), N_("Crawlers, monitors, headless browsers and libraries.")),
    "prefetch": (N_("prefetched"), N_("The browser loaded the page ahead of time; nobody has seen it yet.")),
    "unknown_site": (N_("unknown site"), N_("The tag names a site that is not registered.")),
    "excluded": (N_("excluded"), N_("The page, host, country or address is one that you left out in the settings.")),
    "spam_referrer": (N_("referrer spam"), N_("The referrer is known for faking visits.")),
    "rate": (N_("too many at once"), N_("One address sent more than the rate limit allows.")),
}


KINDS: Final[dict[str, str]] = {
    "crawler": N_("crawlers"),
    "ai": N_("AI crawlers and assistants"),
    "monitor": N_("uptime and speed monitors"),
    "preview": N_("link previews"),
    "headless": N_("headless browsers"),
    "library": N_("programs and libraries"),
    "other": N_("others"),
}


def drops_of(dropped: Iterable[Dropped]) -> list[Drop]:
    """What was dropped of a site by reason, most frequent in 30 days first."""
    found: dict[str, list[Dropped]] = {}
    for each in dropped:
        found.setdefault(each.reason, []).append(each)
    drops = [
        Drop(
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
