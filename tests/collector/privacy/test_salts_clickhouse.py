"""Salts that several collectors share: the same in each, destroyed for all."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import pytest
from clickhouse_connect.driver.client import Client

from collector.privacy.salts_clickhouse import AHEAD, TableSalts

FIRST, LAST = datetime.date(2026, 3, 1), datetime.date(2026, 3, 2)
DAY = datetime.timedelta(days=1)
STORED = [FIRST + days * DAY for days in range(2 + AHEAD.days)]


@pytest.fixture
def salts(database: Client) -> TableSalts:
    """One collector's."""
    return TableSalts(database)


def dates(client: Client) -> list[datetime.date]:
    """The dates that have a salt in the database."""
    return [date for (date,) in client.query("SELECT DISTINCT date FROM salts ORDER BY date").result_rows]


def test_every_collector_has_the_same_salt(salts: TableSalts, database: Client) -> None:
    """Also one that comes later, and one that used a salt of its own before it could ask."""
    salts.rotate(FIRST, LAST)
    later = TableSalts(database)
    own = bytes(later.salt(FIRST))
    later.rotate(FIRST, LAST)
    assert later.salt(FIRST) == salts.salt(FIRST) != own
    assert later.salt(LAST) == salts.salt(LAST) != salts.salt(FIRST)


class Overtaken:
    """A client whose inserts come after `others` have done theirs."""

    def __init__(self, client: Client, others: Callable[[], object]) -> None:
        self._client = client
        self._others = others

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def insert(self, *given: Any, **more: Any) -> Any:
        """As the client does, but too late."""
        self._others()
        return self._client.insert(*given, **more)


def test_of_two_that_make_a_salt_at_once_both_use_the_first(salts: TableSalts, database: Client) -> None:
    """Both had found none. What one of them has begun to use stays, and the other never used its own."""
    late = TableSalts(cast("Client", Overtaken(database, lambda: salts.rotate(FIRST, LAST))))
    late.rotate(FIRST, LAST)
    used = [bytes(salts.salt(date)) for date in (FIRST, LAST)]
    assert [late.salt(date) for date in (FIRST, LAST)] == used
    salts.rotate(FIRST, LAST)
    assert [salts.salt(date) for date in (FIRST, LAST)] == used
    assert database.query("SELECT count() FROM salts").first_row == (len(STORED),)


def test_many_that_begin_at_once_agree(database: Client) -> None:
    """As soon as each has asked, whoever was first."""
    collectors = [TableSalts(database) for _ in range(8)]

    def first_use(salts: TableSalts) -> bytes:
        salts.rotate(FIRST, LAST)
        return bytes(salts.salt(FIRST))

    with ThreadPoolExecutor(len(collectors)) as pool:
        assert len(set(pool.map(first_use, collectors))) == 1


def test_the_table_of_an_earlier_release_agrees_too(database: Client) -> None:
    """It has a column more, and knew no tokens."""
    database.command(
        "CREATE TABLE salts (date Date, salt String, made UInt64) ENGINE = MergeTree"
        " PARTITION BY date ORDER BY (date, made, salt)"
    )
    database.insert("salts", [[FIRST, "ab" * 32, 1]], column_names=["date", "salt", "made"])
    salts = TableSalts(database)
    TableSalts(cast("Client", Overtaken(database, lambda: salts.rotate(FIRST, LAST)))).rotate(FIRST, LAST)
    assert salts.salt(FIRST) == bytes.fromhex("ab" * 32)
    assert database.query("SELECT count() FROM salts").first_row == (len(STORED),)


def test_a_date_that_comes_again_has_a_new_salt(salts: TableSalts, database: Client) -> None:
    """After a clock that went wrong: the token of the one that was destroyed is forgotten with it."""
    salts.rotate(FIRST, LAST)
    gone = bytes(salts.salt(FIRST))
    salts.rotate(LAST, LAST)
    salts.rotate(FIRST, LAST)
    other = TableSalts(database)
    other.rotate(FIRST, LAST)
    assert other.salt(FIRST) == salts.salt(FIRST) != gone


def test_a_salt_is_destroyed_when_its_date_is_over(salts: TableSalts, database: Client) -> None:
    """Its partition is dropped, and no part of it stays."""
    salts.rotate(FIRST, LAST)
    gone = bytes(salts.salt(FIRST))
    assert salts.rotate(LAST, LAST) == [FIRST]
    assert dates(database) == STORED[1:]
    assert salts.salt(FIRST) != gone
    query = "SELECT count() FROM system.parts WHERE database = currentDatabase() AND table = 'salts' AND active"
    assert database.query(query).first_row == (len(STORED) - 1,)


def test_without_the_database_the_collector_goes_on_with_what_it_has(salts: TableSalts, database: Client) -> None:
    """And shares it afterwards, what it has made meanwhile among it."""
    salts.rotate(FIRST, FIRST)
    known = bytes(salts.salt(FIRST))
    late = STORED[-1] + DAY
    database.command("RENAME TABLE salts TO away")
    assert salts.rotate(FIRST, late) == []
    assert salts.salt(FIRST) == known
    made = bytes(salts.salt(late))
    database.command("RENAME TABLE away TO salts")
    salts.rotate(FIRST, late)
    assert (salts.salt(FIRST), salts.salt(late)) == (known, made)
    assert dates(database)[:: len(STORED)] == [FIRST, late]


def test_collectors_agree_on_days_that_begin_while_the_database_is_away(salts: TableSalts, database: Client) -> None:
    """A visitor who comes to either is one; so are they to a process that is started afterwards, which erases what they
    have sent."""
    other = TableSalts(database)
    for each in (salts, other):
        each.rotate(FIRST, LAST)
    database.command("RENAME TABLE salts TO away")
    while_away = []
    for each in (salts, other):
        each.rotate(LAST + 3 * DAY, LAST + 4 * DAY)
        while_away.append(bytes(each.salt(LAST + 3 * DAY)))
    database.command("RENAME TABLE away TO salts")
    started = TableSalts(database)
    started.rotate(LAST + 3 * DAY, LAST + 4 * DAY)
    assert {*while_away, bytes(started.salt(LAST + 3 * DAY))} == {while_away[0]}
    assert dates(database)[0] == LAST + 3 * DAY
