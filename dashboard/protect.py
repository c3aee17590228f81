"""Small counts: what a filtered view shows, so that no two answers single a person out.

Let m be the least number of visitors that may be told apart, and n a group's visitors:

- n < m: nothing is told of the group; rows by value are folded into one.
- n within m of W, the visitors of a group that can be seen unfiltered and contains it: what is told is W's own counts.
- else: every count is told as the nearest multiple of 2m; near W as the one below.

docs/small-counts.md says what this guarantees, why, and what it costs. Pure: components in, components out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from collector.sites import Sites
from dashboard.dimensions import CURRENCY, Dimension, find_dimension
from dashboard.filters import Compare, top_leaves
from dashboard.goals import GOAL, exact_goals, place_of
from dashboard.planner import Panel

OTHER = "(other)"
"""Value of the row that small groups are folded into."""

Key = tuple[str, ...]
Components = dict[str, int]
Groups = dict[Key, Components]


@dataclass(frozen=True, slots=True)
class Protection:
    """What a site has chosen: the least visitors, 1 for none; `strict` protects unfiltered views as well."""

    least: int = 3
    strict: bool = False

    def covers(self, panel: Panel) -> bool:
        """Whether the panel's counts are protected.

        Two dimensions are one filtering the other; a stretch of time, or hours by a dimension, cut as finely.
        """
        goals = any(not goal.plain for each in panel.dimensions for goal in each.goals or ())
        return self.least > 1 and (goals or self.cuts(panel))

    def cuts(self, panel: Panel) -> bool:
        """Whether all of the panel's counts are protected, whichever goals it lists."""
        values = [each for each in panel.dimensions if each.level != "time" and each != CURRENCY]
        hours = any(each.column in ("hour", "minute") for each in panel.dimensions)
        fine = len(values) > 1 or (hours and bool(values)) or panel.period.start is not None
        return self.strict or panel.filters is not None or fine


def protection_of(sites: Sites) -> Callable[[str], Protection]:
    """Each site's own choice; unknown sites have the default."""

    def chosen(domain: str) -> Protection:
        site = sites.get(domain)
        return Protection() if site is None else Protection(site.min_visitors, site.strict)

    return chosen


@dataclass(frozen=True, slots=True)
class Bound:
    """A group that can be seen unfiltered and contains those of a panel.

    `panel` has its counts; of the dimension at the end it is the row of the group's own value (`values` None; of the
    event or page that its `goal` needs), or the sum of the rows of `values`, or all but that sum (`rest`).
    """

    panel: Panel
    values: tuple[str, ...] | None = None
    rest: Panel | None = None
    goal: Dimension | None = None


def bounds(panel: Panel, protection: Protection) -> list[Bound]:
    """The unfiltered groups that contain those of a protected panel. None in strict form: nothing is exact there."""
    if protection.strict or panel.period.start is not None:
        return []
    times = tuple(each for each in panel.dimensions if each.level == "time")
    total = _unfiltered(panel, times)
    values = [each for each in panel.dimensions if each.level != "time" and each != CURRENCY]
    # A group that is told at all has at least so many, and so has what contains it.
    rows = (_unfiltered(panel, (*times, each)) for each in values if each.name != GOAL)
    found = [Bound(replace(each, least=protection.least)) for each in rows]
    goals = [each for each in values if each.name == GOAL]
    found += [
        Bound(replace(each, least=protection.least), goal=goal) for goal in goals for each in _of_goals(panel, times)
    ]
    for leaf, negated in top_leaves(panel.filters):
        if leaf.dimension == GOAL:
            found += [] if negated else _of_asked_goals(leaf, _of_goals(panel, times))
        elif leaf.operator == "is" and leaf.case_sensitive:
            found.append(_of_values(panel, times, leaf, total if negated else None))
    return [*found, Bound(total)]


def _of_values(panel: Panel, times: tuple[Dimension, ...], leaf: Compare, rest: Panel | None) -> Bound:
    """The group of a dimension's values, or all but that."""
    dimension = find_dimension(leaf.dimension)
    values, alternatives = dimension.stored(leaf.values), _unfiltered(panel, (*times, dimension))
    if dimension.key and len(values) == 1 and rest is None:
        # One value of a property is the same filtered by as among all values, which takes far longer.
        return Bound(replace(alternatives, dimensions=times, filters=leaf))
    return Bound(alternatives, tuple(values), rest)


def _of_goals(panel: Panel, times: tuple[Dimension, ...]) -> list[Panel]:
    """Who had an event of a name, who had one on a page, and what they paid: as the sums of closed days have it."""
    names = _unfiltered(panel, (*times, find_dimension("event:name")))
    pages = _unfiltered(panel, (*times, find_dimension("event:page")))
    found = [replace(each, components=each.components & _SUMMED) for each in (names, pages)]
    if CURRENCY not in panel.dimensions:
        return found
    # What was paid by all who had the event, in that currency: by a goal's name alone its revenue would be unknown.
    paid = _unfiltered(panel, (*times, find_dimension(GOAL), CURRENCY))
    return [*found, replace(paid, components=panel.components & _PAID)]


def _of_asked_goals(leaf: Compare, panels: list[Panel]) -> Iterable[Bound]:
    """What contains the goals that a filter asks for: where all of them need an event's name, or all a page."""
    if leaf.goals is None and (leaf.operator != "is" or not leaf.case_sensitive):
        return
    dimension = replace(find_dimension(GOAL), goals=leaf.goals)
    names = leaf.values if leaf.goals is None else [goal.name for goal in leaf.goals]
    places = [place_of(dimension, name) for name in names]
    for panel in panels:
        values = [page if panel.dimensions[-1].name == "event:page" else event for event, page in places]
        if values and all(values):
            yield Bound(panel, tuple(dict.fromkeys(values)))


_SUMMED = frozenset({"visitors", "seen", "pageviews", "events"})
_PAID = frozenset({"visitors", "events", "revenue", "sales"})
WHOLE = -1


def told(size: int, whole: int | None, least: int) -> int:
    """How many visitors are told of a group of `size` within a known one of `whole`: 0 is nothing, `WHOLE` all of it.

    Never falls when `size` grows. Each answer stands for `least` or more neighbouring sizes.
    """
    if size < least or (whole is not None and whole < 2 * least - 1):
        return 0
    if whole is not None and 0 <= whole - size < least:
        return WHOLE
    level = _nearest(size, least)
    # The topmost sizes are too few to have an answer of their own: someone who knows the whole would know them.
    if whole is not None and level - least > whole - 2 * least:
        level -= 2 * least
    return level


def protect(
    groups: Mapping[Key, Components],
    panel: Panel,
    protection: Protection,
    counted: Callable[[Panel], Mapping[Key, Components]],
) -> Groups:
    """The panel's groups as they may be shown. `counted` gives the exact groups of the bounds' panels."""
    least, shown = protection.least, Groups()
    containing = [(bound, counted(bound.panel)) for bound in bounds(panel, protection)]
    exact = frozenset() if protection.cuts(panel) else exact_goals(panel.dimensions)
    goal = next((place for place, each in enumerate(panel.dimensions) if each.name == GOAL), 0)
    folded: dict[Key, Components] = {}
    for key, components in groups.items():
        if exact and key[goal] in exact:
            shown[key] = dict(components)
            continue
        size = _size(components)
        found = (_whole(bound, rows, key, panel.dimensions, counted) for bound, rows in containing)
        known = [each for each in found if each and _size(each) >= size]
        # Of two as big the one that can be told more of: revenue is known of those who paid in its currency.
        whole = min(known, key=lambda each: (_size(each), len(components.keys() - each)), default=None)
        level = told(size, None if whole is None else _size(whole), least)
        if level == 0:
            _add(folded.setdefault(_folded(key, panel.dimensions), {}), components)
        elif level == WHOLE and whole is not None:
            shown[key] = _rounded(_of_whole(whole, components), least)
        else:
            shown[key] = _rounded(components, least) | ({"visitors": level} if components.get("visitors") else {})
    for key, components in folded.items():
        if OTHER in key and _size(components) >= least:
            shown[key] = _rounded(components, least)
    return shown


def _of_whole(whole: Components, components: Components) -> Components:
    """The whole's counts by the group's names, those that it has; of visits a whole site or source counts all."""
    known = {"seen": whole.get("entries", 0)} | whole
    return {name: known[name] for name in components if name in known}


def _whole(
    bound: Bound,
    rows: Mapping[Key, Components],
    key: Key,
    dimensions: Sequence[Dimension],
    counted: Callable[[Panel], Mapping[Key, Components]],
) -> Components | None:
    """The containing group of one group; None where there is none."""
    times = tuple(value for value, each in zip(key, dimensions, strict=True) if each.level == "time")
    paid = tuple(key[dimensions.index(CURRENCY)] for each in bound.panel.dimensions if each == CURRENCY)
    if bound.values is not None:
        found: Components = {}
        for value in bound.values:
            _add(found, rows.get((*times, value, *paid), {}))
        if bound.rest is None:
            return found
        total = counted(bound.rest).get(times, {})
        return {name: total[name] - found.get(name, 0) for name in total}
    if bound.goal is not None:
        event, page = place_of(bound.goal, key[dimensions.index(bound.goal)])
        value = page if bound.panel.dimensions[-1].name == "event:page" else event
        return rows.get((*times, value, *paid)) if value else None
    if len(bound.panel.dimensions) == len(times):
        return rows.get(times)
    place = dimensions.index(bound.panel.dimensions[-1])
    return rows.get((*times, key[place]))


def _unfiltered(panel: Panel, dimensions: tuple[Dimension, ...]) -> Panel:
    """The same counts of everyone."""
    # Readings and revenue of a containing group are not looked up: there is nothing to tell.
    visits = {"entries", "seen"} if any(each.level == "event" for each in dimensions) else {"entries"}
    kept = (panel.components - {"seen", "readings", "engaged", "scrolled", "revenue", "sales"}) | {"visitors"} | visits
    return replace(panel, filters=None, dimensions=dimensions, components=kept, total_rows=False)


def _folded(key: Key, dimensions: Sequence[Dimension]) -> Key:
    return tuple(value if each.level == "time" else OTHER for value, each in zip(key, dimensions, strict=True))


def _size(components: Components) -> int:
    """How many people a group may be: without consent each event may be another's."""
    return components.get("visitors", 0) or components.get("events", 0)


def _add(total: Components, more: Components) -> None:
    for name, count in more.items():
        total[name] = total.get(name, 0) + count


def _rounded(components: Components, least: int) -> Components:
    return {name: _nearest(max(0, count), least) for name, count in components.items()}


def _nearest(count: int, least: int) -> int:
    """The nearest multiple of twice the least; halves go up."""
    return (count + least) // (2 * least) * (2 * least)
