"""What figures of a site come from at a moment: which days are closed, and which parts there are.

It is read before the rest: what is closed while a question is being answered still counts as it did.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from collector.rollup import WITH_PROPERTIES
from dashboard.asking import Asker
from dashboard.held import Place
from dashboard.kept import Kept
from dashboard.parts import Listing
from dashboard.period import Period
from dashboard.planner import Panel
from dashboard.sums import NOTHING_CLOSED, Closed

TRIES = 3
"""A merge may end while its parts are read; hardly twice running."""


@dataclass(frozen=True, slots=True)
class State:
    """The closed days of a site, the versions of those on which anything arrived, and the parts that there are."""

    closed: Closed
    filled: frozenset[int]
    listing: Listing
    _within: dict[Period, Closed] = field(default_factory=dict)

    def of(self, panel: Panel) -> Closed:
        """The closed days that the panel is answered from."""
        if panel.period not in self._within:
            self._within[panel.period] = self.closed.within(panel.period)
        return self._within[panel.period].for_panel(panel)

    def place(self, panel: Panel) -> Place:
        """Where the panel's sums are kept."""
        return Place(panel.site, panel.period.first, self.of(panel).days, panel.dimensions, self.listing.daily)


class States:
    """The states of all sites."""

    def __init__(self, asker: Asker, kept: Kept) -> None:
        self._asker = asker
        self._kept = kept
        self._parts: frozenset[str] = frozenset()
        """Where the parts of the table of closed days were when what is known was read."""
        self._known: dict[str, tuple[Closed, frozenset[int]]] = {}

    async def of(self, site: str) -> State:
        """Of now, or of a moment ago."""
        listing = await self._kept.listing()
        found: tuple[Closed, frozenset[int]] = NOTHING_CLOSED, frozenset()
        for _ in range(TRIES):
            if listing.closed != self._parts:
                self._parts, self._known = listing.closed, {}
            if site in self._known or not listing.closed:
                return State(*self._known.get(site, (NOTHING_CLOSED, frozenset())), listing)
            found, before = await self._read(site), listing
            # Days may be closed meanwhile.
            listing = await self._kept.listing(anew=True)
            if before.closed == listing.closed == self._parts:
                self._known[site] = found
        return State(*found, listing)

    async def _read(self, site: str) -> tuple[Closed, frozenset[int]]:
        rows = await self._asker.rows(_CLOSED, {"site": site}, given="once")
        closed = Closed(
            tuple((day, version) for day, version, *_ in rows),
            frozenset(day for day, _, form, _ in rows if form != WITH_PROPERTIES),
        )
        return closed, frozenset(version for _, version, _, full in rows if full)


_CLOSED = "SELECT day, version, form, rows > 0 FROM closed FINAL WHERE site = {site:String} AND NOT open ORDER BY day"
