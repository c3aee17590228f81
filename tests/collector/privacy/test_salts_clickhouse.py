"""Salts that several collectors share: the same in each, destroyed for all."""

from __future__ import annotations

import datetime
import itertools

import pytest
from clickhouse_connect.driver.client import Client

from collector.privacy.salts_clickhouse import TableSalts

FIRST, LAST = datetime.date(2026, 3, 1), datetime.date(2026, 3, 2)


@pytest.fixture
def salts(database: Client) -> TableSalts:
    """One collector's."""
    ticks = itertools.count(1)
    return TableSalts(database, clock=lambda: next(ticks))


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


def test_the_salt_that_was_made_first_wins(salts: TableSalts, database: Client) -> None:
    """So that two who make one at once agree as soon as they look."""
    other = TableSalts(database, clock=lambda: 0)
    salts.rotate(FIRST, LAST)
    database.insert("salts", [[FIRST, "ab" * 32, 0]], column_names=["date", "salt", "made"])
    salts.rotate(FIRST, LAST)
    other.rotate(FIRST, LAST)
    assert salts.salt(FIRST) == other.salt(FIRST) == bytes.fromhex("ab" * 32)


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
