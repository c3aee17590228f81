"""Which way a question is answered: from sums that are kept, by counting events here, or by the database."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from clickhouse_connect.driver.client import Client

from collector.rollup import WITH_PROPERTIES
from dashboard.answers import Answers
from dashboard.asking import Asker
from dashboard.few import Asked, Few, Many, Reading, TooMany, few
from dashboard.held import Groups, Held, Place, Summed, read, together
from dashboard.period import Period
from dashboard.planner import Panel, batches
from dashboard.recent import Rows
from dashboard.statements import Form, Statement, statement
from dashboard.sums import NOTHING_CLOSED, Closed, has_sums


@dataclass(frozen=True, slots=True)
class State:
    """The closed days of a site, and the state of the table of sums."""

    closed: Closed
    sums: str
    _within: dict[Period, Closed] = field(default_factory=dict)

    def of(self, panel: Panel) -> Closed:
        """The closed days that the panel is answered from."""
        if panel.period not in self._within:
            self._within[panel.period] = self.closed.within(panel.period)
        return self._within[panel.period].for_panel(panel)

    def place(self, panel: Panel) -> Place:
        """Where the panel's sums are kept."""
        return Place(panel.site, panel.period.first, self.of(panel).days, panel.dimensions, self.sums)


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
        self._many = Many()

    async def answer(self, panels: Sequence[Panel], answers: Answers) -> None:
        """Put the groups of all panels into `answers`."""
        sites = sorted({panel.site for panel in panels})
        found = await asyncio.gather(
            *(self._of_site(site, [each for each in panels if each.site == site], answers) for site in sites)
        )
        closed = {site: state.closed for site, (state, _) in zip(sites, found, strict=True)}
        for batch in batches(panel for _, left in found for panel in left):
            answers.add(*await self._ask(statement(batch, closed[batch[0].site])))

    async def _of_site(self, site: str, panels: Sequence[Panel], answers: Answers) -> tuple[State, list[Panel]]:
        """Answer a site's panels from sums that are kept and events that are counted here; returns the others."""
        if any(map(has_sums, panels)):
            state = await self._state(site)
            return state, await self._from_both(panels, state, answers)
        # All are counted from events, whichever days are closed: both are asked for at once.
        asked = [Asked(tuple(batch), NOTHING_CLOSED, "all") for batch in batches(panels, ordered=False)]
        state, counted = await asyncio.gather(self._state(site), self._counted(asked))
        pairs = zip(asked, counted, strict=True)
        return state, [panel for each, rows in pairs for panel in self._put(each.panels, rows, answers)]

    async def _from_both(self, panels: Sequence[Panel], state: State, answers: Answers) -> list[Panel]:
        """The same where sums of closed days are of use to some."""
        summed: list[Panel] = []
        others: list[Panel] = []
        for panel in panels:
            (summed if self._from_held(panel, state) else others).append(panel)
        splits = [Split.of(batch, state, self._held) for batch in batches(summed, ordered=False)]
        rest = [Asked(tuple(batch), state.closed, "all") for batch in batches(others, ordered=False)]
        opened = [Asked(tuple(split.open.values()), state.closed, "open") for split in splits if split.open]
        (counted, _) = await asyncio.gather(
            self._counted([*opened, *rest]),
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
        return left

    async def _state(self, site: str) -> State:
        """Read before the rest: what is closed while a question is being answered still counts as it did."""
        rows = await self._asker.rows(_CLOSED, {"site": site})
        bare = frozenset(day for day, _, form, _ in rows if form != WITH_PROPERTIES)
        return State(Closed(tuple((day, version) for day, version, _, _ in rows), bare), rows[0][3] if rows else "")

    def _from_held(self, panel: Panel, state: State) -> bool:
        """Whether the sums of the panel's closed days are kept, or could be."""
        if not has_sums(panel) or not state.of(panel).days:
            return False
        found = self._held.get(state.place(panel), panel.components)
        return found is None or found.groups is not None

    async def _sum(self, split: Split, state: State) -> None:
        """Read the sums that are not kept yet, and keep them."""
        asked = statement([*split.missing.values()], state.closed, "closed")
        for place, (wide, groups) in zip(split.missing, read(*await self._ask(asked)), strict=True):
            found = split.held[place] = Summed(wide.components, groups)
            self._held.put(place, found)

    async def _counted(self, asked: Sequence[Asked]) -> list[Counted | None]:
        """The rows of what is asked, counted here: all of it from one reading, or else each from the rows that the
        database chooses for it; None where there are too many even for that."""
        if not self._most_few or not asked:
            return [None] * len(asked)
        found = await self._tried(few(asked, self._most_few), len(asked))
        again = [
            few([each], self._most_few, whole=False) if rows is None else None
            for each, rows in zip(asked, found, strict=True)
        ]
        alone = await asyncio.gather(*(self._tried(each, 1) for each in again))
        return [rows or other for rows, (other,) in zip(found, alone, strict=True)]

    async def _tried(self, asked: Few | None, size: int) -> list[Counted | None]:
        nothing: list[Counted | None] = [None] * size
        if asked is None or any(map(self._many.known, asked.readings)):
            return nothing
        # The first alone: where it finds too much there is no need of the others.
        first, *others = asked.readings
        try:
            counted = [await self._count(asked, first)]
            counted += await asyncio.gather(*(self._count(asked, each) for each in others))
        except TooMany:
            return nothing
        return asked.together(counted)

    async def _count(self, asked: Few, reading: Reading) -> Rows:
        def counted(client: Client, sql: str, parameters: dict[str, Any]) -> Rows:
            return asked.count(reading, client.query_arrow(sql, parameters=parameters))

        try:
            # The same rows may be counted by other groups.
            by = repr(asked.forms)
            return await self._asker.rows(reading.sql, reading.parameters, "reading", ask=counted, by=by)
        except TooMany:
            self._many.note(reading)
            raise

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


# The names of a table's parts are its state: a part never changes, and no name is given twice.
_CLOSED = """
SELECT day, version, form, (
    SELECT hex(sipHash128(arraySort(groupArray(name)))) FROM system.parts
    WHERE active AND database = currentDatabase() AND table = 'daily'
) AS state
FROM closed FINAL WHERE site = {site:String} AND NOT open ORDER BY day"""
