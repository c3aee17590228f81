"""A store that is listened to: what the database is asked, and what becomes of its parts meanwhile."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from clickhouse_connect.driver.client import Client

from collector.clickhouse import ClickHouse
from collector.event import Event
from collector.inserter import ClickHouseInserter
from dashboard.filters import Filter
from dashboard.kept import Kept
from dashboard.period import Period
from dashboard.protect import Protection
from dashboard.query import Query
from dashboard.store import Store
from tests.model import Model
from tests.test_rollup import DAY
from tests.test_store import ALL, MONDAY, SITE, dates, table

DAYS = dates(MONDAY - DAY, MONDAY + DAY)


@dataclass
class Heard:
    """What a store's clients were asked, and what is to happen before the next statement that reads rows."""

    counting: list[str] = field(default_factory=list)
    """Statements that count or add up."""
    reading: list[str] = field(default_factory=list)
    """Statements that only read rows."""
    happening: list[Callable[[], object]] = field(default_factory=list)


@dataclass
class Listening:
    """A client that notes what it is asked."""

    client: Client
    heard: Heard

    def query(self, sql: str, **more: Any) -> Any:
        """Ask a statement whose rows are Python's."""
        if ("FROM events" in sql or "FROM daily" in sql) and "SELECT _part, count()" not in sql:
            self.heard.counting.append(sql)
        return self.client.query(sql, **more)

    def query_arrow(self, sql: str, **more: Any) -> Any:
        """Ask a statement whose rows are columns."""
        self.heard.reading.append(sql)
        if self.heard.happening:
            self.heard.happening.pop()()
        return self.client.query_arrow(sql, **more)

    def close(self) -> None:
        """Close the client."""
        self.client.close()


def listened(clickhouse: ClickHouse, heard: Heard, *, least: int = 2, readers: int = 1, **more: Any) -> Store:
    """A store that is listened to. With `least` over 1 wholes are asked for as well, to protect small counts."""

    def connect(settings: dict[str, Any]) -> Client:
        return cast(Client, Listening(clickhouse.client(readonly=True, settings=settings), heard))

    return Store(connect, protection=lambda _: Protection(least=least), readers=readers, **more)


@dataclass
class House:
    """A store that is listened to, and the database behind it."""

    clickhouse: ClickHouse
    database: Client
    heard: Heard = field(default_factory=Heard)

    def __post_init__(self) -> None:
        self.store = listened(self.clickhouse, self.heard, least=1, readers=2)

    @property
    def kept(self) -> Kept:
        """What its store keeps."""
        return self.store._ways._kept

    def keep(self, **more: Any) -> None:
        """Keep columns in another way."""
        ways = self.store._ways
        ways._kept = ways._states._kept = Kept(self.store._asker, **more)

    def parts(self) -> set[str]:
        """Of which parts there are columns in memory."""
        return {part.name for _, part, _ in self.kept._held}

    def ask(self, filters: Filter | None = None, site: str = SITE, period: Period = DAYS) -> list[Any]:
        """A page's questions."""
        return [table(each) for each in asyncio.run(self.store.run(questions(filters, site, period)))]

    def insert(self, events: Sequence[Event]) -> None:
        """Store events as the writer does: each time as a batch of its own."""
        ClickHouseInserter(self.database).insert(events, secrets.token_hex(8))

    def command(self, sql: str) -> None:
        """Change the table, and wait until it is changed."""
        self.database.command(sql, settings={"mutations_sync": 1})


def questions(filters: Filter | None, site: str = SITE, period: Period = DAYS) -> list[Query]:
    """Totals and panels."""
    panels = ((), ("visit:source",), ("event:page",), ("visit:exit_page",), ("time:day",))
    return [Query(site, ALL, period, each, filters, limit=1_000) for each in panels]


def told(events: Sequence[Event], filters: Filter | None = None, period: Period = DAYS) -> list[Any]:
    """What the model says to the same."""
    model = Model(events)
    return [model.rows(query) for query in questions(filters, period=period)]
