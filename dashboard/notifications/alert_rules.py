"""Alert rules: what a site's owners want to be told of."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, Literal, get_args

import anyio.to_thread
import msgspec

from collector.core.errors import RecordError, RecordGone
from collector.core.text import is_one_line
from collector.sites.model import Site
from collector.storage.documents import DocumentTable
from collector.storage.site_records import SiteRecord, SiteRecords
from dashboard.i18n.translations import N_

AlertKind = Literal["spike", "drop", "unusual", "goal", "silence", "consent"]
ALERT_KINDS: Final[tuple[AlertKind, ...]] = get_args(AlertKind)
ALERT_NAMES: Final[dict[AlertKind, str]] = {
    "spike": N_("Traffic spike"),
    "drop": N_("Traffic drop"),
    "unusual": N_("Unusual traffic"),
    "goal": N_("Goal reached"),
    "silence": N_("No data"),
    "consent": N_("Drop in consent coverage"),
}
DEFAULT_THRESHOLDS: Final[dict[AlertKind, int]] = {
    "spike": 10, "drop": 1, "unusual": 0, "goal": 1, "silence": 12, "consent": 20
}  # fmt: skip
"""Current visitors; visitors in the last 12 hours; nothing; conversions of the day; hours; percentage points."""
LARGEST: Final[dict[AlertKind, int]] = {
    "spike": 10**9, "drop": 10**9, "unusual": 0, "goal": 10**9, "silence": 720, "consent": 99
}  # fmt: skip

LONGEST_GOAL: Final = 200
MOST_RULES: Final = 20
"""Of one site."""


class AlertRule(SiteRecord, frozen=True, kw_only=True, omit_defaults=True):
    """One rule. `fired` is the Unix second at which it last fired."""

    kind: AlertKind
    threshold: int = 0
    goal: str = ""
    """Name of the goal, of `goal`."""
    created: int = 0
    by: str = ""
    fired: int = 0


class AlertRules(SiteRecords[AlertRule]):
    """All rules. Reading is from memory; changes go to ClickHouse first. `clock` gives Unix seconds."""

    max_of_site = MOST_RULES

    def __init__(self, records: DocumentTable[AlertRule], clock: Callable[[], float]) -> None:
        super().__init__(records)
        self._clock = clock

    def of(self, site: Site) -> list[AlertRule]:
        """The rules of one site, oldest first."""
        return sorted(self._of_site(site.id), key=lambda each: (each.created, each.id))

    def of_site(self, site: Site, id_: str) -> AlertRule:
        """The rule of that id. Raises `RecordError` where the site has none."""
        found = self._find(site.id, id_)
        if found is None:
            raise RecordError("id", "alert not found")
        return found

    async def add(self, site: Site, kind: str, *, threshold: int | None, goal: str = "", by: str) -> AlertRule:
        """Create a rule; without a threshold it is the usual one. Raises `RecordError` naming the invalid field."""
        known = next((each for each in ALERT_KINDS if each == kind), None)
        if known is None:
            raise RecordError("kind", "expected one of {choices}", choices=", ".join(ALERT_KINDS))
        value, goal = _checked(site, known, threshold, goal)
        new = AlertRule(
            id=secrets.token_hex(8),
            site=site.id,
            kind=known,
            threshold=value,
            goal=goal,
            created=int(self._clock()),
            by=by,
        )

        def may_add(stored: Mapping[str, AlertRule]) -> None:
            if sum(each.site == site.id for each in stored.values()) >= self.max_of_site:
                raise RecordError("kind", "a site can have {count} alerts", count=self.max_of_site)

        await anyio.to_thread.run_sync(self._records.create, new.id, new, may_add)
        return new

    async def change(self, site: Site, rule: AlertRule, *, threshold: int | None, goal: str) -> AlertRule:
        """Another threshold or goal for a rule of the site. Raises `RecordError`."""
        value, goal = _checked(site, rule.kind, threshold, goal)
        change = partial(msgspec.structs.replace, threshold=value, goal=goal)
        _, new = await anyio.to_thread.run_sync(self._records.update, rule.id, change)
        return new

    def note_fired(self, rule: AlertRule, at: int) -> None:
        """Remember when it last fired. Blocking."""
        try:
            self._records.update(rule.id, partial(msgspec.structs.replace, fired=at))
        except RecordGone:
            return


def _checked(site: Site, kind: AlertKind, threshold: int | None, goal: str) -> tuple[int, str]:
    """The threshold and the goal of a rule of that kind. Raises `RecordError`."""
    most, value = LARGEST[kind], DEFAULT_THRESHOLDS[kind] if threshold is None else threshold
    if kind == "unusual":
        value = 0
    elif not 1 <= value <= most:
        raise RecordError("threshold", "expected a whole number from 1 to {most}", most=most)
    # A site without goals of its own has every custom event for one.
    goals = [each.name for each in site.goals] or [goal]
    if kind == "goal" and not (goal in goals and is_one_line(goal, LONGEST_GOAL)):
        raise RecordError("goal", "goal not found; add it under Settings, Goals")
    return value, goal if kind == "goal" else ""
