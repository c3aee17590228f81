"""Which way a question is answered: from sums that are kept, by counting events here, or by the database."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from clickhouse_connect.driver.client import Client

from dashboard.answers import Answers
from dashboard.asking import Asker
from dashboard.columns import EVERY_COLUMN
from dashboard.few import CHOICES, Asked, Choice, Few, Many, Reading, few
from dashboard.held import Groups, Held, Place, Summed, read, together
from dashboard.kept import Kept
from dashboard.parts import Gone, Listing, TooMany, Unread, Wanted
from dashboard.planner import Panel, batches
from dashboard.recent import Rows
from dashboard.sql import Days
from dashboard.statements import Form, Statement, statement
from dashboard.states import TRIES, State, States
from dashboard.summing import MOST_SUMS, DailySums, wanted_sums
from dashboard.sums import has_sums

Counted = tuple[Form, Rows]


@dataclass(frozen=True, slots=True)
class Split:
    """Panels over the same dates that are answered from the sums of closed days and the events of the others: where
    each one's sums are kept, those that are, and what has to be asked."""

    panels: tuple[Panel, ...]
    places: tuple[Place, ...]
    held: dict[Place, Summed | None]
    missing: dict[Place, Panel]
    open: dict[Place, Panel]

    @classmethod
    def of(cls, panels: Sequence[Panel], state: State, held: Held) -> Split:
        """What is kept of these panels, and what is not."""
        places = tuple(map(state.place, panels))
        wanted: dict[Place, Panel] = {}
        for panel, place in zip(panels, places, strict=True):
            # The same groups in another order are asked for once.
            more = wanted[place].components if place in wanted else frozenset()
            wanted[place] = replace(panel, components=panel.components | more)
        found = {place: held.get(place, panel.components) for place, panel in wanted.items()}
        missing = {place: held.missing(place, wanted[place]) for place in wanted if found[place] is None}
        open_ = {place: panel for place, panel in wanted.items() if state.of(panel).open_ranges(panel.period)}
        return cls(tuple(panels), places, found, missing, open_)

    def put(self, counted: Counted | None, answers: Answers) -> list[Panel]:
        """Answer the panels, with what was counted of open days; returns those with too many groups for that."""
        opened: dict[Place, Groups | None] = {place: {} for place in self.places}
        if counted:
            opened |= {place: groups for place, (_, groups) in zip(self.open, read(*counted), strict=True)}
        left = []
        for panel, place in zip(self.panels, self.places, strict=True):
            sums, groups = self.held[place], opened[place]
            if sums is None or sums.groups is None or groups is None:
                left.append(panel)
            else:
                answers.put(panel, *together(panel, sums, groups))
        return left


class Ways:
    """Answers panels; up to `most_few` events are counted in this process."""

    def __init__(self, asker: Asker, most_few: int) -> None:
        self._asker = asker
        self._most_few = most_few
        self._held = Held()
        self._kept = Kept(asker)
        self._many = Many()
        self._states = States(asker, self._kept)

    async def answer(self, panels: Sequence[Panel], answers: Answers) -> None:
        """Put the groups of all panels into `answers`."""
        sites = sorted({panel.site for panel in panels})
        found = await asyncio.gather(
            *(self._of_site(site, [each for each in panels if each.site == site], answers) for site in sites)
        )
        closed = {site: state.closed for site, (state, _) in zip(sites, found, strict=True)}
        for batch in batches(panel for _, left in found for panel in left):
            answers.add(*await self._ask(statement(batch, closed[batch[0].site])))

    async def prepare(self, site: str, days: Days) -> None:
        """Have in memory what questions about these days are mostly about, where that is little."""
        if self._most_few:
            await self._kept.prepare(Wanted("events", site, days, EVERY_COLUMN, {}), self._most_few)

    def forget(self) -> None:
        """Drop the events that are in memory."""
        self._kept.clear()

    async def _of_site(self, site: str, panels: Sequence[Panel], answers: Answers) -> tuple[State, list[Panel]]:
        """Answer a site's panels from sums that are kept and events that are counted here; returns the others."""
        state = await self._states.of(site)
        summed: list[Panel] = []
        others: list[Panel] = []
        for panel in panels:
            (summed if self._from_held(panel, state) else others).append(panel)
        splits = [Split.of(batch, state, self._held) for batch in batches(summed, ordered=False)]
        rest = [Asked(tuple(batch), state.closed, "all") for batch in batches(others, ordered=False)]
        opened = [Asked(tuple(split.open.values()), state.closed, "open") for split in splits if split.open]
        (counted, _) = await asyncio.gather(
            self._counted([*opened, *rest], state.listing),
            asyncio.gather(*(self._sum(split, state) for split in splits if split.missing)),
        )
        left = [
            panel
            for asked, rows in zip(rest, counted[len(opened) :], strict=True)
            for panel in self._put(asked.panels, rows, answers)
        ]
        answered = iter(
            await asyncio.gather(*(self._given(asked, rows) for asked, rows in zip(opened, counted, strict=False)))
        )
        for split in splits:
            left += split.put(next(answered) if split.open else None, answers)
        return state, left

    def _from_held(self, panel: Panel, state: State) -> bool:
        """Whether the sums of the panel's closed days are kept, or could be."""
        if not has_sums(panel) or not state.of(panel).days:
            return False
        found = self._held.get(state.place(panel), panel.components)
        return found is None or found.groups is not None

    async def _sum(self, split: Split, state: State) -> None:
        """Add up the sums that are not kept yet, here or in the database, and keep them."""
        added = await self._added(split.missing, state)
        left = {place: panel for place, panel in split.missing.items() if place not in added}
        found = {place: Summed(split.missing[place].components, groups) for place, groups in added.items()}
        if left:
            asked = statement([*left.values()], state.closed, "closed")
            answered = zip(left, read(*await self._ask(asked)), strict=True)
            found |= {place: Summed(wide.components, groups) for place, (wide, groups) in answered}
        for place, sums in found.items():
            split.held[place] = sums
            self._held.put(place, sums)

    async def _added(self, missing: Mapping[Place, Panel], state: State) -> dict[Place, Groups | None]:
        """Those that are added up here: none where there are too many rows for that."""
        panel = next(iter(missing.values()))
        wanted = wanted_sums(panel.site, ((panel.period.first, panel.period.last),))
        if not self._most_few or self._many.known(wanted.rows):
            return {}
        versions = [version for _, version in state.of(panel).days if version in state.filled]
        try:
            sums = await self._sums(wanted, state.listing)
            if sums and not sums.have(versions):
                # Parts of two tables are not listed in one moment. On a day there may also be nothing to add up.
                sums = await self._sums(wanted, await self._kept.listing(anew=True))
        except Gone:
            return {}
        except TooMany:
            self._many.note(wanted.rows)
            return {}

        def added() -> Rows:
            return [(place, sums.groups(panel, state.of(panel))) for place, panel in missing.items()] if sums else []

        found = await self._asker.worked_out(added)
        return {place: groups for place, groups in found if groups is not None}

    async def _sums(self, wanted: Wanted, listing: Listing) -> DailySums | None:
        table = await self._table(wanted, listing, MOST_SUMS)
        return None if table is None else DailySums(table)

    async def _counted(self, asked: Sequence[Asked], listing: Listing) -> list[Counted | None]:
        """The rows of what is asked, counted here; None where there are too many for that."""
        found: dict[int, Counted] = {}
        for choice in CHOICES if self._most_few else ():
            left = {place: each for place, each in enumerate(asked) if place not in found}
            # What the database chooses for each may be few where all together is too much.
            apart = [{place: each} for place, each in left.items()] if choice == "chosen" else [left]
            for tried in await asyncio.gather(*(self._tried(each, choice, listing) for each in apart if each)):
                found |= tried
        return [found.get(place) for place in range(len(asked))]

    async def _tried(self, asked: Mapping[int, Asked], choice: Choice, listing: Listing) -> dict[int, Counted]:
        """What could be counted so, by its place."""
        these = few([*asked.values()], self._most_few, choice)
        if these is None or any(self._many.known(reading.rows) for reading in these.readings):
            return {}
        # The first alone: where it finds too much there is no need of the others.
        first, *others = these.readings
        try:
            counted = [await self._count(these, first, listing)]
            counted += await asyncio.gather(*(self._count(these, each, listing) for each in others))
        except (Gone, TooMany, Unread):
            return {}
        return {place: rows for place, rows in zip(asked, these.together(counted), strict=True) if rows}

    async def _count(self, asked: Few, reading: Reading, listing: Listing) -> Rows:
        def counted(client: Client, sql: str, parameters: dict[str, Any]) -> Rows:
            return asked.count(reading, client.query_arrow(sql, parameters=parameters))

        async def counted_here() -> Rows:
            listed = await self._kept.listing(anew=True) if listing.old else listing
            table = await self._table(reading.wanted, listed, self._most_few)
            return [] if table is None else await self._asker.worked_out(lambda: asked.count(reading, table))

        # The same rows may be counted by other groups.
        by = repr(asked.forms)
        try:
            if not reading.sql:
                return await self._asker.made(reading.key + by, listing.at, counted_here)
            return cast(Rows, await self._asker.rows(reading.sql, reading.parameters, "reading", ask=counted, by=by))
        except TooMany:
            self._many.note(reading.rows)
            raise

    async def _table(self, wanted: Wanted, listing: Listing, most: int) -> Any:
        """What is wanted. Raises `TooMany`, `Unread`, and `Gone` where it cannot be had."""
        for _ in range(TRIES):
            try:
                return await self._kept.table(wanted, listing, most)
            except Gone:
                listing = await self._kept.listing(anew=True)
        raise Gone

    def _put(self, panels: Sequence[Panel], rows: Counted | None, answers: Answers) -> Sequence[Panel]:
        """Answer panels from what was counted here; returns them where it was not, or has too many groups."""
        found = [*read(*rows)] if rows else []
        if not found or any(groups is None for _, groups in found):
            return panels
        for panel, groups in found:
            answers.put(panel, *together(panel, Summed(panel.components, {}), groups or {}))
        return ()

    async def _given(self, asked: Asked, rows: Counted | None) -> Counted:
        """What was counted here, or else by the database."""
        return rows or await self._ask(statement(asked.panels, asked.closed, asked.part))

    async def _ask(self, asked: Statement) -> tuple[Statement, Rows]:
        return asked, await self._asker.rows(asked.sql, asked.parameters, "light" if asked.light else "heavy")
