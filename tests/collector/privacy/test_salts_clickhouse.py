"""Salts that several collectors share: the same in each, destroyed for all."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import pytest
from clickhouse_connect.driver.client import Client

from collector.privacy.salts_clickhouse import TableSalts

FIRST, LAST = datetime.date(2026, 3, 1), datetime.date(2026, 3, 2)


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
    assert database.query("SELECT count() FROM salts").first_row == (2,)


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
    assert database.query("SELECT count() FROM salts").first_row == (2,)


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
    assert dates(database) == [LAST]
    assert salts.salt(FIRST) != gone
    query = "SELECT count() FROM system.parts WHERE database = currentDatabase() AND table = 'salts' AND active"
    assert database.query(query).first_row == (1,)


def test_without_the_database_the_collector_goes_on_with_what_it_has(salts: TableSalts, database: Client) -> None:
    """And shares it afterwards."""
    salts.rotate(FIRST, FIRST)
    known = bytes(salts.salt(FIRST))
    database.command("RENAME TABLE salts TO away")
    assert salts.rotate(FIRST, LAST) == []
    assert salts.salt(FIRST) == known
    made = bytes(salts.salt(LAST))
    database.command("RENAME TABLE away TO salts")
    salts.rotate(FIRST, LAST)
    assert (salts.salt(FIRST), salts.salt(LAST)) == (known, made)
    assert dates(database) == [FIRST, LAST]


def test_a_day_that_begins_while_the_database_is_away(salts: TableSalts, database: Client) -> None:
    """Each collector has a salt of its own for it. Once the database is back all use the same one, and a process that
    is started afterwards knows the others until the day is over: what was counted under them can be erased."""
    other = TableSalts(database)
    for each in (salts, other):
        each.rotate(FIRST, FIRST)
    database.command("RENAME TABLE salts TO away")
    alone = []
    for each in (salts, other):
        each.rotate(LAST, LAST, destroy=False)
        alone.append(bytes(each.salt(LAST)))
    database.command("RENAME TABLE away TO salts")
    for each in (salts, other, salts):
        each.rotate(LAST, LAST)
    later = TableSalts(database)
    later.rotate(LAST, LAST)
    for each in (salts, other, later):
        assert each.every(LAST) == [alone[1], alone[0]]
        assert each.salt(LAST) == alone[0]
        each.rotate(LAST, LAST)
        assert len(each.every(LAST)) == 2
    later.rotate(FIRST, FIRST)
    assert dates(database) == [FIRST]
    assert database.query("SELECT countIf(replaced) FROM salts").first_row == (0,)
