"""Where components come from: rows to read, and what panels count of them.

A branch is one scan for several panels. It says nothing of who counts: the database does (`dashboard.statements`), or,
of few rows, this process (`dashboard.columns`).
"""

# ruff: noqa: S608 -- text is names of our own tables and columns; every value is bound
from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from collector.components import COMPONENTS, Basis, Component
from dashboard.dimensions import Dimension, find_dimension
from dashboard.filters import Filter, direct_leaves, leaves
from dashboard.goals import COUNTED, countable, listable, scrolls
from dashboard.planner import Panel
from dashboard.sql import AT_PAGE, EXIT_PAGE, VISIT_KEY, Days, Grouped, Rows, entered
from dashboard.terms import Term

_OF_VISITORS = ("name != 'engagement'", "visitor != 0")


@dataclass(frozen=True, slots=True)
class Grouping:
    """What a branch is grouped by for one panel, which is named by its index."""

    panel: int
    groups: tuple[Grouped, ...]


@dataclass(frozen=True, slots=True)
class Branch:
    """Rows of a relation, and the components that its panels take of them.

    Of a relation of events `among` says of which site and days, `where` what must hold of these. `entered` tells the
    rows of visits that began on a page which the filter selects. With `chosen` they are those of visits that have a row
    for which these hold; `by_visit` counts the rows of a visit in one group as one. Panels that are `visitless` have
    what is counted of visits from another branch, or do not ask for it. Where this process finds the pages that visits
    were left from, `exits` says that the branch is grouped by them. `read` is what holds of the rows that are looked
    at for it, where these are more than its own; `days` are the dates of these.
    """

    groupings: tuple[Grouping, ...]
    taken: tuple[Component, ...]
    relation: str
    among: tuple[str, ...]
    where: tuple[Term, ...]
    entered: str = "1"
    chosen: tuple[Term, ...] = ()
    by_visit: bool = False
    visitless: frozenset[int] = frozenset()
    exits: bool = False
    read: tuple[str, ...] = ()
    days: Days = ()

    def taken_by(self, panel: int, components: Collection[str]) -> dict[str, Component]:
        """What the panel takes of these components, by their names."""
        visitless = panel in self.visitless
        return {
            each.name: each
            for each in self.taken
            if each.name in components and not (visitless and each.basis == "visit")
        }


@dataclass(frozen=True, slots=True)
class Scan:
    """The branches of panels over the same events. With `whole` they are counted here, from all rows of their days."""

    panels: Sequence[Panel]
    rows: Rows
    components: tuple[str, ...]
    whole: bool = False

    def branches(self, indexes: Sequence[int]) -> list[Branch]:
        """What answers these panels: selected events, the visits that contain one, engagement on their pages."""
        found = []
        for exits, goals in sorted({self._source(self.panels[index]) for index in indexes}):
            sharing = [index for index in indexes if self._source(self.panels[index]) == (exits, goals)]
            found.append(self._selected(sharing, exits=exits, goals=goals))
        of_visits = [index for index in indexes if self._has(index, "visit") and not self._flat(self.panels[index])]
        plain = [index for index in of_visits if not _own(self.panels[index])]
        for exits in (False, True):
            sharing = [index for index in plain if _by_exits(self.panels[index]) == exits]
            found += [self._visits(each, exits=exits) for each in _apart(self._groupings(sharing, of_visit=True))]
        found += [self._visits_by_events(index) for index in of_visits if index not in plain]
        return found + [self._readings(index) for index in indexes if self._has(index, "reading")]

    @property
    def _filter(self) -> Filter | None:
        return self.panels[0].filters

    def _has(self, index: int, basis: Basis) -> bool:
        return any(COMPONENTS[name].basis == basis for name in self.panels[index].components)

    def _source(self, panel: Panel) -> tuple[bool, bool]:
        """Whether a panel needs exit pages, and whether only events that reach goals are in its groups."""
        goals = any(each.name == "event:goal" for each in panel.dimensions)
        return _by_exits(panel), goals

    def _flat(self, panel: Panel) -> bool:
        """Whether the selected events are all events of their visits, and fall into the same groups as these."""
        filtered = (find_dimension(leaf.dimension) for leaf in direct_leaves(self._filter))
        return not any(each.level == "event" for each in (*filtered, *panel.dimensions)) and not any(
            each.column in ("hour", "minute") for each in panel.dimensions
        )

    def _selected(self, sharing: list[int], *, exits: bool, goals: bool) -> Branch:
        """Components of the events that the filter selects; of whole visits too, for panels where that is the same."""
        groupings = self._groupings(sharing)
        flat = [index for index in sharing if self._flat(self.panels[index])]
        taken = (*self._of("event"), *(self._of("visit") if flat else ()))
        if exits and not self.whole and self._exits_alone(sharing):
            return self._exits(groupings, taken)
        shown = [each for each in self.panels[sharing[0]].dimensions if goals and each.name == "event:goal"]
        where: list[Term] = [countable(self._filter, shown, self.rows.bound)]
        where += [self._holds()] if self._filter is not None else []
        where += [listable(each, self._filter, self.rows.bound) for each in shown]
        if scrolls(self._filter, shown):
            taken = tuple(replace(each, sql=COUNTED, row="") if each.name == "events" else each for each in taken)
        others = frozenset(index for index in sharing if index not in flat and self._has(index, "visit"))
        return Branch(
            groupings,
            taken,
            self._relation(exits=exits),
            self.rows.terms(),
            tuple(where),
            self._entered(taken),
            visitless=others if flat else frozenset(),
            exits=exits and self.whole,
            read=self._read(where, exits=exits),
            days=self.rows.days,
        )

    def _exits_alone(self, sharing: list[int]) -> bool:
        """Whether visits need be told apart by nothing but their exit page, and dates."""
        dimensions = (each for index in sharing for each in self.panels[index].dimensions)
        alone = all(each.column in ("day", "week", "month", "exit_page") for each in dimensions)
        return alone and not scrolls(self._filter, ())

    def _exits(self, groupings: tuple[Grouping, ...], taken: tuple[Component, ...]) -> Branch:
        """What `_selected` gives, from visits instead of events: each visit's exit page comes from the same scan."""
        chosen = f"{self.rows.where()} AND name != 'engagement' AND {self.rows.holds(self._filter)}"
        # All events of a visit are looked at, as its exit page may be none of the selected.
        among = f"AND visitor IN (SELECT visitor FROM events WHERE {chosen})" if self._filter else ""
        counts = {
            "pageviews": "countIf(chosen AND name = 'pageview')",
            "events": "countIf(chosen)",
            "began": "sumIf(visits, chosen)",
            "bounced": "sumIf(bounces, chosen)",
            "lasted": "sumIf(seconds, chosen)",
            "sales": "countIf(chosen AND currency != '')",
            "revenue": "sumIf(toInt64(revenue * 1000), chosen)",
        }
        each = ", ".join(f"{sql} AS of_{name}" for name, sql in counts.items())
        viewed = "name = 'pageview' AND visitor != 0"
        visits = f"""(
            WITH ({chosen}) AS chosen
            SELECT {VISIT_KEY}, substring(maxIf({AT_PAGE}, {viewed}), 5) AS exit_page, {each}
            FROM events WHERE {self.rows.of_whole_days().where()} {among}
            GROUP BY {VISIT_KEY} HAVING of_events > 0
        )"""
        summed = {
            **{name: f"of_{name}" for name in ("pageviews", "events", "sales", "revenue")},
            "entries": "of_began",
            "landings": "of_began",
            "bounces": "of_bounced",
            "seconds": "of_lasted",
            "views": "if(visitor != 0, of_pageviews, 0)",
        }
        of_visits = (
            replace(each, sql=f"sum({summed[each.name]})", row=summed[each.name]) if each.name in summed else each
            for each in taken
        )
        return Branch(groupings, tuple(of_visits), visits, ("1",), ())

    def _visits(self, groupings: tuple[Grouping, ...], *, exits: bool) -> Branch:
        """Components of all events of the visits that contain a selected one."""
        taken, relation, chosen = tuple(self._of("visit")), self._relation(exits=exits), tuple[Term, ...]()
        if self._filter is not None:
            chosen = countable(self._filter, (), self.rows.bound), "visitor != 0", self._holds()
        return Branch(
            groupings,
            taken,
            relation,
            self.rows.terms(),
            _OF_VISITORS,
            self._entered(taken),
            chosen,
            exits=exits and self.whole,
            read=self._read(chosen, exits=exits, chosen=bool(chosen)),
            days=self.rows.days,
        )

    def _visits_by_events(self, index: int) -> Branch:
        """The same by what the selected events themselves are: a visit is in the groups of each of them."""
        dimensions = self.panels[index].dimensions
        own = _own(self.panels[index])
        columns = [f"{self.rows.value(each)} AS own{number}" for number, each in enumerate(own)]
        matched = self.rows.visits_with(self._filter, *columns, dimensions=dimensions)
        groups = tuple(
            Grouped(f"own{own.index(each)}") if each in own else self.rows.grouped(each, of_visit=True)
            for each in dimensions
        )
        source = self.rows.relation(exits=_by_exits(self.panels[index]))
        relation = f"(SELECT * FROM {source} INNER JOIN ({matched}) AS matched USING ({VISIT_KEY}))"
        taken = tuple(self._of("visit"))
        return Branch(
            (Grouping(index, groups),), taken, relation, self.rows.terms(), _OF_VISITORS, self._entered(taken)
        )

    def _readings(self, index: int) -> Branch:
        """Components of the engagement that was measured on the selected pages."""
        exits = _by_exits(self.panels[index])
        where = "name = 'engagement'", "visitor != 0", self._holds()
        return Branch(
            self._groupings([index]),
            tuple(self._of("reading")),
            self._relation(exits=exits),
            self.rows.terms(),
            where,
            by_visit=True,
            exits=exits and self.whole,
            read=self._read(where, exits=exits, readings=True),
            days=self.rows.days,
        )

    def _relation(self, *, exits: bool) -> str:
        """What to select from: where all rows of visits are read, their exit pages are found here."""
        return self.rows.relation(exits=exits and not self.whole)

    def _read(
        self, where: Iterable[Term], *, exits: bool, chosen: bool = False, readings: bool = False
    ) -> tuple[str, ...]:
        """Where whole visits are looked at: that rows are of their days, and are events if nothing else is wanted."""
        if not self.whole or not (exits or chosen or any(not isinstance(each, str) for each in where)):
            return ()
        goals = [goal for leaf in leaves(self._filter) for goal in leaf.goals or ()]
        goals += [goal for panel in self.panels for each in panel.dimensions for goal in each.goals or ()]
        besides = readings or any(goal.kind == "scroll" for goal in goals)
        return (*self.rows.of_whole_days().terms(), *(() if besides else ("name != 'engagement'",)))

    def _holds(self) -> Term:
        """The filter."""
        return self.rows.term(self._filter) if self.whole else self.rows.holds(self._filter)

    def _groupings(self, sharing: Iterable[int], *, of_visit: bool = False) -> tuple[Grouping, ...]:
        return tuple(
            Grouping(index, tuple(self.rows.grouped(each, of_visit=of_visit) for each in self.panels[index].dimensions))
            for index in sharing
        )

    def _of(self, basis: Basis) -> list[Component]:
        return [COMPONENTS[name] for name in self.components if COMPONENTS[name].basis == basis]

    def _entered(self, taken: Iterable[Component]) -> str:
        needed = any(each.name in ("landings", "bounces") for each in taken)
        return self.rows.holds(entered(self._filter)) if needed else "1"


def _by_exits(panel: Panel) -> bool:
    return any(each.name == EXIT_PAGE for each in panel.dimensions)


def _own(panel: Panel) -> list[Dimension]:
    """The dimensions that a panel's visits have from their selected events."""
    return [each for each in panel.dimensions if each.level == "event" and not each.entered]


def _apart(groupings: Iterable[Grouping]) -> list[tuple[Grouping, ...]]:
    """In one branch no two panels group by the same: a visit's page is the one that it entered on."""
    found: list[dict[frozenset[str], Grouping]] = []
    for each in groupings:
        by = frozenset(group.by for group in each.groups)
        place = next((branch for branch in found if by not in branch), None)
        if place is None:
            found.append(place := {})
        place[by] = each
    return [tuple(branch.values()) for branch in found]
