"""From components to results: metrics, order and the page of rows that was asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from dashboard.dimensions import Dimension
from dashboard.goals import currency_of
from dashboard.metrics import Metric, ratio
from dashboard.planner import BIGGEST, UNORDERED_ROWS, Panel, Place, own_panel, panels_of, top_of, whole_panel
from dashboard.protect import Components, Groups, Key, Protection, bounds, protect
from dashboard.query import Checked, Result, Row
from dashboard.statements import Statement


@dataclass(slots=True)
class Answers:
    """Components by group, for every panel that was asked for; read as the site's protection allows."""

    protection: Callable[[str], Protection]
    _groups: dict[Place, Groups] = field(default_factory=dict)
    _totals: dict[Place, int] = field(default_factory=dict)
    _told: dict[Place, Groups] = field(default_factory=dict)
    _money: dict[Place, dict[Key, dict[str, Components]]] = field(default_factory=dict)

    def add(self, asked: Statement, rows: Sequence[Sequence[Any]]) -> None:
        """Take in the rows of one statement."""
        for panel in asked.panels:
            self._groups[panel.place] = {}
        for row in rows:
            panel = asked.panels[row[0]]
            key = tuple(row[1 : 1 + len(panel.dimensions)])
            counts = zip(asked.components, row[1 + asked.keys : -1], strict=True)
            # What other panels of the statement wanted besides is not this one's: its groups may not be told apart.
            self._groups[panel.place][key] = {name: count for name, count in counts if name in panel.components}
            self._totals[panel.place] = row[-1]

    def put(self, panel: Panel, groups: Groups, total: int) -> None:
        """Take in a panel's groups, in order, and how many there are in all."""
        self._groups[panel.place] = groups
        self._totals[panel.place] = total

    def panel(self, own: Panel) -> Panel:
        """The panel that is asked for a query's own groups: where small ones are folded, all of them."""
        if own.few or not self.protection(own.site).covers(own):
            return own
        return replace(own, order=BIGGEST, rows=UNORDERED_ROWS)

    def asked(self, checked: Checked) -> list[Panel]:
        """Every panel that the answer to a query needs."""
        own, *wholes = panels_of(checked)
        found = [self.panel(own), *wholes]
        for panel in (*found,):
            protection = self.protection(panel.site)
            if protection.covers(panel):
                found += [each for bound in bounds(panel, protection) for each in (bound.panel, bound.rest) if each]
        return found

    def groups(self, panel: Panel) -> Groups:
        """The panel's groups as they may be told; empty when there are none."""
        protection = self.protection(panel.site)
        if not protection.covers(panel):
            return self._groups[panel.place]
        if panel.place not in self._told:
            exact = self._groups[panel.place]
            self._told[panel.place] = protect(exact, panel, protection, lambda each: self._groups[each.place])
        return self._told[panel.place]

    def by_currency(self, panel: Panel) -> dict[Key, dict[str, Components]]:
        """The groups of a panel whose last dimension is the currency, by their other dimensions."""
        if panel.place not in self._money:
            split: dict[Key, dict[str, Components]] = {}
            self._money[panel.place] = split
            for (*key, currency), components in self.groups(panel).items():
                if currency:
                    split.setdefault(tuple(key), {})[currency] = components
        return self._money[panel.place]

    def total(self, panel: Panel) -> int:
        """How many groups the panel has, those past its limit included."""
        if self.protection(panel.site).covers(panel):
            return len(self.groups(panel))
        return self._totals.get(panel.place, 0)


def answer(checked: Checked, answers: Answers) -> Result:
    """The result of one query."""
    query = checked.query
    panel = answers.panel(own_panel(checked))
    groups = answers.groups(panel)
    if not checked.dimensions:
        groups = groups or {(): {}}
    rows = [_row(checked, answers, key, components) for key, components in groups.items()]
    for name, way in reversed(checked.order_by):
        _sort(checked, rows, name, descending=way == "desc")
    page = rows[query.offset : query.offset + query.limit]
    labels = [
        Row(tuple(map(Dimension.label, checked.dimensions, row.dimensions)), row.metrics, row.currency) for row in page
    ]
    return Result(query.metrics, query.dimensions, labels, answers.total(panel) if query.total_rows else None)


def _row(checked: Checked, answers: Answers, key: Key, components: dict[str, int]) -> Row:
    currency, money = _money(checked, answers, key)
    values = tuple(
        ratio(metric, money.get(metric.top), money.get(metric.bottom))
        if metric.whole == "currency"
        else _value(checked, answers, metric, key, components)
        for metric in checked.metrics
    )
    return Row(key, values, currency)


def _value(
    checked: Checked, answers: Answers, metric: Metric, key: Key, components: dict[str, int]
) -> int | float | None:
    bottom = _whole(checked, answers, metric, key) if metric.whole else components
    # Nothing at all is zero of everything; of a group that is told as another one, what that one lacks is unknown.
    nothing = None if components else 0
    return ratio(metric, components.get(top_of(checked, metric), nothing), bottom.get(metric.bottom))


def _whole(checked: Checked, answers: Answers, metric: Metric, key: Key) -> dict[str, int]:
    """Components of the result that the metric divides by."""
    panel = whole_panel(checked, metric)
    kept = tuple(value for value, each in zip(key, checked.dimensions, strict=True) if each in panel.dimensions)
    return answers.groups(panel).get(kept, {})


def _money(checked: Checked, answers: Answers, key: Key) -> tuple[str, dict[str, int]]:
    """The currency of a group's revenue, with its components; nothing when its goals have none and it has several."""
    metric = next((metric for metric in checked.metrics if metric.whole == "currency"), None)
    if metric is None:
        return "", {}
    found = answers.by_currency(whole_panel(checked, metric)).get(key, {})
    asked = currency_of(checked.dimensions, key, checked.query.filters)
    if asked:
        return asked, found.get(asked, {"revenue": 0, "sales": 0})
    return next(iter(found.items())) if len(found) == 1 else ("", {})


def _sort(checked: Checked, rows: list[Row], name: str, *, descending: bool) -> None:
    """Stable, so that sorting by the last term of the order first gives the whole of it. None comes last."""
    names = [dimension.name for dimension in checked.dimensions]
    if name in names:
        place = names.index(name)
        rows.sort(key=lambda row: row.dimensions[place], reverse=descending)
        return
    place = checked.query.metrics.index(name)
    sign = -1 if descending else 1
    rows.sort(key=lambda row: (row.metrics[place] is None, sign * (row.metrics[place] or 0)))
