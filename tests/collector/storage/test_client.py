"""The database: one schema, one code path, errors told apart."""

from __future__ import annotations

import contextlib
import datetime
import socket
import subprocess
import sys
import threading
from decimal import Decimal
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, DatabaseError, StreamFailureError

from collector.core.errors import InsertRefused, InsertRetryable
from collector.ingest.event import COLUMNS, Event
from collector.spool.clickhouse_inserter import ClickHouseInserter
from collector.storage.client import ClickHouse, apply_schema, plain_reason
from collector.storage.statements import split_statements


def an_event(**fields: object) -> Event:
    """An ordinary pageview, with `fields` in place of what it would have."""
    values: dict[str, object] = {
        "site": "site.test",
        "day": datetime.date(2026, 3, 1),
        "ts": 1_772_366_400,
        "visitor": 2**64 - 1,
        "visit": 1_772_366_400,
        "name": "pageview",
        "consent": "granted",
        "expires": datetime.date(2028, 3, 30),
    }
    return Event(**{**values, **fields})  # type: ignore[arg-type] # the tests give fields by name


def test_the_columns_of_events_are_the_fields_of_event(database: Client) -> None:
    """What must not be stored has no column: table and type agree, name by name and in order."""
    rows = database.query("DESCRIBE TABLE events").result_rows
    assert tuple(row[0] for row in rows) == COLUMNS
    assert not {"ip", "address", "user_agent", "query"} & set(COLUMNS)


def test_the_schema_may_be_applied_again(database: Client) -> None:
    """Every start applies it."""
    apply_schema(database)
    apply_schema(database)
    assert database.query("SELECT count() FROM events").first_row == (0,)


@pytest.mark.parametrize(("scheme", "first"), [("https", b"\x16\x03"), ("http", b"PO")])
def test_a_server_is_spoken_to_as_its_address_says(scheme: str, first: bytes) -> None:
    """Under TLS where it says https, whatever the port: nothing leaves before the handshake."""
    heard = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def listen() -> None:
            connection, _ = listening.accept()
            with connection:
                heard.append(connection.recv(2))
            listening.close()

        listener = threading.Thread(target=listen)
        listener.start()
        with pytest.raises(ClickHouseError):
            ClickHouse.at(f"{scheme}://tyst:secret@127.0.0.1:{listening.getsockname()[1]}/tyst").client()
        listener.join()
    assert heard == [first]


@pytest.mark.parametrize(
    ("sql", "statements"),
    [
        ("SELECT 1;\nSELECT 2;\n", ["SELECT 1", "SELECT 2"]),
        ("-- a; b;\nSELECT 1", ["SELECT 1"]),
        ("SELECT ';a';\n\n\n;", ["SELECT ';a'"]),
        ("", []),
    ],
)
def test_a_script_is_split_where_a_line_ends_with_a_semicolon(sql: str, statements: list[str]) -> None:
    """One splitter serves both modes."""
    assert list(split_statements(sql)) == statements


def test_an_event_comes_back_as_it_went_in(database: Client) -> None:
    """Every column keeps its value, the widest ones too."""
    event = an_event(props={"plan": "pro", "å": "ö"}, revenue=Decimal("99.500"), currency="SEK", bounces=-1)
    ClickHouseInserter(database).insert([event], "t1")
    columns = ", ".join("toUnixTimestamp(ts)" if name == "ts" else name for name in COLUMNS)
    row = database.query(f"SELECT {columns} FROM events").result_rows[0]  # noqa: S608 # names of our own columns
    assert Event(**dict(zip(COLUMNS, row, strict=True))) == event


def test_the_same_token_is_stored_once(database: Client) -> None:
    """A segment sent again after a crash adds nothing; another token does."""
    inserter = ClickHouseInserter(database)
    for token in ("a", "a", "b"):
        inserter.insert([an_event(), an_event(page="/x")], token)
    assert database.query("SELECT count() FROM events").first_row == (4,)


@pytest.mark.parametrize("rows", [1, 16_384, 16_385, 50_000])
def test_a_large_segment_is_stored_whole_and_once(database: Client, rows: int) -> None:
    """However many rows the driver would put into one block."""
    events = [an_event(page=f"/{number}") for number in range(rows)]
    inserter = ClickHouseInserter(database)
    for _ in range(2):
        inserter.insert(events, "large")
        assert database.query("SELECT count(), uniqExact(page) FROM events").first_row == (rows, rows)


def test_a_row_that_cannot_be_encoded_is_refused_for_good(database: Client) -> None:
    """Sending it again would fail again."""
    with pytest.raises(InsertRefused):
        ClickHouseInserter(database).insert([an_event(visitor="not a number")], "t")


def test_a_missing_table_can_be_mended_from_outside(database: Client) -> None:
    """So the segment is kept and tried again."""
    database.command("DROP TABLE events SYNC")
    with pytest.raises(InsertRetryable):
        ClickHouseInserter(database).insert([an_event()], "t")


@pytest.mark.usefixtures("database")
def test_a_read_only_client_cannot_write(clickhouse: ClickHouse) -> None:
    """The engine refuses, whatever the program asks."""
    reader = clickhouse.client(readonly=True)
    with pytest.raises(DatabaseError, match="readonly"):
        reader.command("TRUNCATE TABLE events")


@pytest.mark.parametrize("readonly", [True, False])
def test_no_statement_waits_for_a_compiler(clickhouse: ClickHouse, *, readonly: bool) -> None:
    """What is executed the third time would otherwise be compiled first, for longer than it takes to execute."""
    client = clickhouse.client(readonly=readonly)
    names = ("compile_expressions", "compile_aggregate_expressions", "compile_sort_description")
    (values,) = client.query("SELECT " + ", ".join(f"getSetting('{name}')" for name in names)).result_rows
    client.close()
    assert values is not None
    assert not any(values), values


def test_a_reason_never_shows_credentials() -> None:
    """What is logged of an error has no password in it."""
    assert (
        plain_reason(OSError("no route to http://tyst:s3cret@db:8123/tyst\nmore")) == "no route to http://db:8123/tyst"
    )


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("unrecognized data found in stream: `2f70726976617465`", "the answer broke off"),
        ("\x06/private\n", "the answer broke off"),
        ("Stream ended unexpectedly (connection closed by server)",) * 2,
        ("Code: 159. DB::Exception: Timeout exceeded",) * 2,
    ],
)
def test_a_reason_shows_nothing_of_an_answer(message: str, reason: str) -> None:
    """The driver puts what it could not read into its error."""
    assert plain_reason(StreamFailureError(message)) == reason


@pytest.mark.parametrize(
    "fields", [{"visitor": "s3cret" * 99}, {"day": "s3cret"}, {"revenue": "s3cret"}, {"props": ["s3cret"]}]
)
def test_a_refused_row_is_not_shown(database: Client, fields: dict[str, object]) -> None:
    """Which column it was, is."""
    with pytest.raises(InsertRefused, match=f"key {next(iter(fields))}") as refused:
        ClickHouseInserter(database).insert([an_event(page="/s3cret", **fields)], "t")
    assert "s3cret" not in str(refused.value)


def test_later_clients_know_the_engine_from_the_first(embedded_engine: str) -> None:
    """Its version, time zone and settings; each client has settings of its own besides."""
    clients = [ClickHouse(dsn=embedded_engine).outside() for _ in range(2)]
    first, second = ((each.server_version, each.server_tz, each.server_settings) for each in clients)
    assert first == second
    assert "max_threads" in first[2]
    clients[0].set_client_setting("max_threads", 1)
    asked = [each.query("SELECT value FROM system.settings WHERE name = 'max_threads'").first_row for each in clients]
    assert asked[0] == ("1",) != asked[1]
    for each in clients:
        each.close()


def test_the_engine_keeps_no_logs_of_its_own(embedded_engine: str) -> None:
    """An idle installation does not grow: no table but Tyst's is ever written to."""
    place = ClickHouse(embedded_engine, "idle")
    client = place.prepare()
    client.query("SELECT 1")
    rows = client.query(
        "SELECT name FROM system.tables WHERE database = 'system' AND engine LIKE '%MergeTree'"
    ).result_rows
    client.command("DROP DATABASE idle SYNC")
    client.close()
    assert list(rows) == []


def test_the_engine_is_loaded_without_arrow(tmp_path: Path) -> None:
    """It works, and what it does not need takes no memory; whoever does need it can import it afterwards."""
    code = (
        "import sys; from collector.storage.client import ClickHouse; "
        f"rows = ClickHouse(dsn='chdb://{tmp_path}/engine').prepare().query('SELECT 1').result_rows; "
        "print(rows, 'pyarrow' in sys.modules); import pyarrow"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[(1,)] False"


def test_what_is_merged_is_synced(embedded_engine: str) -> None:
    """In every table: after a power failure a merged part that is not whole would be told as damaged, although what it
    was made of is there."""
    with contextlib.closing(ClickHouse.at(embedded_engine).outside()) as client:
        found = client.query(
            "SELECT value FROM system.merge_tree_settings WHERE name = 'min_rows_to_fsync_after_merge'"
        ).result_rows
    assert found == [("1",)]
