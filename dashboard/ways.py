"""Which way a question is answered: from sums that are kept, by counting events here, or by the database."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from clickhouse_connect.driver.client import Client

from collector.rollup import WITH_PROPERTIES
from dashboard.answers import Answers
from dashboard.asking import Asker
from dashboard.few import Few, Many, Reading, TooMany, few
from dashboard.held import Groups, Held, Place, Summed, read, together
from dashboard.planner import Panel, batches
from dashboard.recent import Rows
from dashboard.statements import Form, Part, Statement, statement
from dashboard.sums import Closed, has_sums


@dataclass(frozen=True, slots=True)
class State:
    """The closed days of a site, and the state of the table of sums."""

    closed: Closed
    sums: str

    def of(self, panel: Panel) -> Closed:
        """The closed days that the panel is answered from."""
        return self.closed.within(panel.period).for_panel(panel)

    def place(self, panel: Panel) -> Place:
        """Where the panel's sums are kept."""
        return Place(panel.site, panel.period.first, self.of(panel).days, panel.dimensions, self.sums)


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
        states = dict(zip(sites, await asyncio.gather(*map(self._state, sites)), strict=True))
        summed: list[Panel] = []
        others: list[Panel] = []
        for panel in panels:
            (summed if self._from_held(panel, states[panel.site]) else others).append(panel)
        split = (self._split(batch, states[batch[0].site], answers) for batch in batches(summed, ordered=False))
        few = (self._add_few(batch, states[batch[0].site], answers) for batch in batches(others, ordered=False))
        left = await asyncio.gather(*split, *few)
        for batch in batches(panel for each in left for panel in each):
            await self._add(batch, states[batch[0].site], answers)

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

    async def _split(self, panels: Sequence[Panel], state: State, answers: Answers) -> list[Panel]:
        """Answer panels from the sums that are kept and the events of other days; returns those with too many groups
        for that."""
        places = {panel: state.place(panel) for panel in panels}
        wanted: dict[Place, Panel] = {}
        for panel, place in places.items():
            # The same groups in another order are asked for once.
            more = wanted[place].components if place in wanted else frozenset()
            wanted[place] = replace(panel, components=panel.components | more)
        held = {place: self._held.get(place, panel.components) for place, panel in wanted.items()}
        missing = {place: self._held.missing(place, wanted[place]) for place in wanted if held[place] is None}
        open_ = {place: panel for place, panel in wanted.items() if state.of(panel).open_ranges(panel.period)}
        asked = _parts([*missing.values()], [*open_.values()])
        opened: dict[Place, Groups | None] = {place: {} for place in wanted}
        answered = await asyncio.gather(*(self._part(each, state, part) for each, part in asked))
        for (_, part), (each, rows) in zip(asked, answered, strict=True):
            if part == "open":
                opened |= {place: groups for place, (_, groups) in zip(open_, read(each, rows), strict=True)}
                continue
            for place, (wide, groups) in zip(missing, read(each, rows), strict=True):
                found = held[place] = Summed(wide.components, groups)
                self._held.put(place, found)
        left = []
        for panel, place in places.items():
            sums, groups = held[place], opened[place]
            if sums is None or sums.groups is None or groups is None:
                left.append(panel)
            else:
                answers.put(panel, *together(panel, sums, groups))
        return left

    async def _add_few(self, panels: Sequence[Panel], state: State, answers: Answers) -> list[Panel]:
        """Answer panels whose events are few; returns them where they are not."""
        counted = await self._counted(panels, state, "all")
        found = [*read(*counted)] if counted else []
        if not found or any(groups is None for _, groups in found):
            return [*panels]
        for panel, groups in found:
            answers.put(panel, *together(panel, Summed(panel.components, {}), groups or {}))
        return []

    async def _add(self, panels: Sequence[Panel], state: State, answers: Answers) -> None:
        """Answer panels by one statement."""
        answers.add(*await self._ask(statement(panels, state.closed)))

    async def _part(self, panels: Sequence[Panel], state: State, part: Part) -> tuple[Form, Rows]:
        """The rows of the panels' closed days, or of the others."""
        counted = await self._counted(panels, state, part) if part == "open" else None
        return counted or await self._ask(statement(panels, state.closed, part))

    async def _counted(self, panels: Sequence[Panel], state: State, part: Part) -> tuple[Form, Rows] | None:
        """The panels' rows, counted here; None where there are too many events for that."""
        asked = few(panels, state.closed, part, self._most_few) if self._most_few else None
        if asked is None or any(map(self._many.known, asked.readings)):
            return None
        # The first alone: where it finds too much there is no need of the others.
        first, *others = asked.readings
        try:
            counted = [await self._count(asked, first)]
            counted += await asyncio.gather(*(self._count(asked, each) for each in others))
        except TooMany:
            return None
        return asked, asked.together(counted)

    async def _count(self, asked: Few, reading: Reading) -> Rows:
        def counted(client: Client, sql: str, parameters: dict[str, Any]) -> Rows:
            return asked.count(reading, client.query_arrow(sql, parameters=parameters))

        try:
            # The same rows may be counted by other groups.
            by = repr(asked.panels)
            return await self._asker.rows(reading.sql, reading.parameters, "reading", ask=counted, by=by)
        except TooMany:
            self._many.note(reading)
            raise

    async def _ask(self, asked: Statement) -> tuple[Statement, Rows]:
        return asked, await self._asker.rows(asked.sql, asked.parameters, "light" if asked.light else "heavy")


def _parts(closed: list[Panel], open_: list[Panel]) -> list[tuple[list[Panel], Part]]:
    """What has to be asked, and of which days."""
    asked: list[tuple[list[Panel], Part]] = [(closed, "closed"), (open_, "open")]
    return [each for each in asked if each[0]]


# The names of a table's parts are its state: a part never changes, and no name is given twice.
_CLOSED = """
SELECT day, version, form, (
    SELECT hex(sipHash128(arraySort(groupArray(name)))) FROM system.parts
    WHERE active AND database = currentDatabase() AND table = 'daily'
) AS state
FROM closed FINAL WHERE site = {site:String} AND NOT open ORDER BY day"""
