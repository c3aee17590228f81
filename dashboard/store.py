"""Ask ClickHouse: the one way by which dashboard, exports and Stats API read events."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Callable, Sequence
from typing import Any

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from collector.goals import Goal
from dashboard.answers import Answers, answer
from dashboard.asking import Asker
from dashboard.exceptions import QueryTooLarge
from dashboard.few import MOST_FEW
from dashboard.filters import Filter
from dashboard.goals import patterns
from dashboard.period import Period
from dashboard.present import CURRENT_SECONDS, STATEMENT, Present, read_present
from dashboard.properties import keys_statement
from dashboard.protect import Protection
from dashboard.query import Checked, Query, Result, check
from dashboard.ways import Ways

# What pyarrow says of an answer that broke off.
_BROKEN_OFF = (OSError, ValueError)


class Store:
    """Answers queries.

    `connect` opens a read-only client with given settings; `protection` says what a site tells of small groups, `goals`
    which it has; `readers` bound how many statements run at once; an answer is given again for `fresh` seconds; up to
    `most_few` events are counted in this process.
    """

    def __init__(
        self,
        connect: Callable[[dict[str, Any]], Client],
        *,
        protection: Callable[[str], Protection] = lambda _: Protection(),
        goals: Callable[[str], tuple[Goal, ...]] = lambda _: (),
        readers: int = 4,
        fresh: float = 0,
        most_few: int = MOST_FEW,
    ) -> None:
        self._protection = protection
        self._goals = goals
        self._asker = Asker(connect, readers=readers, fresh=fresh)
        self._ways = Ways(self._asker, most_few)

    async def run(self, queries: Sequence[Query]) -> list[Result]:
        """Answer several queries together, in order; those over the same events share one scan.

        Raises `QueryError` for one that cannot be answered as asked, `QueryTooLarge` past a limit.
        """
        checked = [await self._checked(query) for query in queries]
        answers = Answers(self._protection)
        panels = [panel for each in checked for panel in answers.asked(each)]
        await self._ways.answer(panels, answers)
        return [answer(each, answers) for each in checked]

    async def prepare(self, site: str, period: Period, before: Period | None) -> None:
        """After a page about these dates: have at hand what the next one will need, such as one that is filtered.

        What the database says against it is for that page to say.
        """
        periods = (period, before) if before else (period,)
        with contextlib.suppress(QueryTooLarge, ClickHouseError, *_BROKEN_OFF):
            await self._ways.prepare(site, tuple((each.first, each.last) for each in periods))

    async def property_keys(self, site: str, period: Period, filters: Filter | None = None) -> list[str]:
        """Keys of the properties of the events that the filters choose, the most frequent first.

        Of a filtered view, those that fewer visitors gave than may be told apart are left out.
        """
        asked = Query(site=site, metrics=("events",), period=period, filters=filters)
        checked, protection = await self._checked(asked), self._protection(site)
        protected = filters is not None or protection.strict
        rows = await self._asker.rows(*keys_statement(checked, protection.least if protected else 1))
        return [key for (key,) in rows]

    async def current_visitors(self, site: str) -> int:
        """Visitors with any event in the last five minutes, by the database's clock."""
        rows = await self._asker.rows(_CURRENT, {"site": site, "seconds": CURRENT_SECONDS})
        return int(rows[0][0])

    async def present(self, site: str) -> Present:
        """The last half hour of the site, in one statement, by the database's clock."""
        rows = await self._asker.rows(STATEMENT, {"site": site, "seconds": CURRENT_SECONDS})
        return read_present(site, rows, self._protection(site))

    async def first_day(self, site: str) -> datetime.date | None:
        """The first site-local date that has an event, or None."""
        rows = await self._asker.rows(_FIRST, {"site": site})
        found: datetime.date | None = rows[0][0]
        return found

    def forget(self) -> None:
        """Events were stored: ask again. Other processes hear of them after `fresh` seconds."""
        self._asker.forget()

    def close(self) -> None:
        """Wait for what is being answered, and close the clients."""
        self._asker.close()
        self._ways.forget()

    async def _checked(self, query: Query) -> Checked:
        goals = self._goals(query.site)
        names = [goal.name for goal in goals]
        matching = {}
        for leaf in patterns(query.filters) if goals else ():
            expressions = [each if leaf.case_sensitive else f"(?i){each}" for each in leaf.values]
            rows = await self._asker.rows(_MATCHING, {"names": names, "patterns": expressions})
            matching[leaf] = frozenset(rows[0][0])
        return check(query, goals, matching)


_CURRENT = """
SELECT uniqExact(visitor) FROM events
WHERE site = {site:String} AND visitor != 0
AND day >= toDate(now('UTC') - {seconds:UInt32}) - 1 AND ts > now('UTC') - {seconds:UInt32}"""

_MATCHING = """
SELECT arrayFilter(
    each -> arrayExists(pattern -> match(each, pattern), {patterns:Array(String)}), {names:Array(String)}
)"""

_FIRST = "SELECT minOrNull(day) FROM events WHERE site = {site:String}"
