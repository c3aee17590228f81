"""Answers of a client after statements that failed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, DatabaseError

from collector.storage.client import ClickHouse

# Fails when much of its answer has been put out.
FAILS = "SELECT number, toString(number), throwIf(number = 200000) FROM numbers(300000) ORDER BY number"
FAILED = "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO|IncompleteRead"
"""What a server's answer ends with, or that it broke off."""
FAR = {"max_block_size": 1000, "max_threads": 1}


def by_rows(client: Client, sql: str) -> list[Any]:
    """The first column, as Python's objects."""
    return [row[0] for row in client.query(sql).result_rows]


def by_arrow(client: Client, sql: str) -> list[Any]:
    """The first column, by way of Arrow."""
    return list(client.query_arrow(sql).column(0).to_pylist())


def by_command(client: Client, sql: str) -> list[Any]:
    """The same of one row."""
    return [client.command(sql)]


@pytest.mark.parametrize("ask", [by_rows, by_arrow, by_command])
@pytest.mark.parametrize("readonly", [False, True])
@pytest.mark.usefixtures("database")
def test_what_a_failed_statement_had_put_out_is_in_no_other_answer(
    clickhouse: ClickHouse, ask: Any, readonly: bool
) -> None:
    """However the next is asked; each failure is told, and none is told twice."""
    client = clickhouse.client(readonly=readonly, settings=FAR)
    for turn in range(3):
        with pytest.raises(DatabaseError, match=FAILED):
            ask(client, FAILS)
        assert ask(client, f"SELECT toUInt8({turn}) AS turn") == [turn]
    client.close()


@pytest.mark.usefixtures("database")
def test_after_a_failure_the_client_is_as_it_was(clickhouse: ClickHouse) -> None:
    """Its database, its settings and what it may not do."""
    client = clickhouse.client(readonly=True, settings={"max_result_rows": 7})
    for _ in range(2):
        with pytest.raises(DatabaseError, match="396"):
            client.query("SELECT number FROM numbers(100000)")
        assert client.query("SELECT currentDatabase(), getSetting('max_result_rows')").result_rows == [
            (clickhouse.database, 7)
        ]
        with pytest.raises(DatabaseError, match="readonly"):
            client.command("TRUNCATE TABLE events")
        assert client.query("SELECT count() FROM events").first_row == (0,)
    client.close()


@pytest.mark.usefixtures("database")
def test_threads_that_share_a_client_get_their_own_answers(clickhouse: ClickHouse) -> None:
    """Also those that wait while another's statement fails."""
    client = clickhouse.client(settings=FAR)

    def ask(number: int) -> bool:
        if number % 3 == 0:
            with pytest.raises(DatabaseError, match="395"):
                client.query(FAILS)
            return True
        return bool(client.query(f"SELECT {number}, number FROM numbers({number})").result_rows == [  # noqa: S608
            (number, each) for each in range(number)
        ])  # fmt: skip

    with ThreadPoolExecutor(6) as threads:
        assert all(threads.map(ask, range(1, 40)))
    client.close()


@pytest.mark.usefixtures("database")
def test_a_closed_client_stays_closed(clickhouse: ClickHouse) -> None:
    """A failure after that opens nothing, and it may be closed twice."""
    client = clickhouse.client()
    with pytest.raises(DatabaseError):
        client.query("SELECT nothing")
    client.close()
    client.close()
    if clickhouse.embedded:
        for _ in range(2):
            with pytest.raises(ClickHouseError, match="closed"):
                client.query("SELECT 1")
