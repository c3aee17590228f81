"""Umami's tables of an installation as separate files: events, sessions and properties in any order."""

from __future__ import annotations

import csv
import io
import itertools
import json

import pytest

from collector.core.errors import ImportRefused
from tests.collector.imports.imported import SAMPLES, Importing

EXPECTED = json.loads((SAMPLES / "expected.json").read_text())["samples"]["umami/website_event.csv"]["per_day"]
SESSION = ("session_id", "website_id", "browser", "os", "device", "screen", "language", "country", "city")


def table(rows: list[dict[str, str]], delimiter: str = ",") -> bytes:
    """Rows as a CSV file."""
    written = io.StringIO()
    made = csv.DictWriter(written, list(rows[0]), delimiter=delimiter)
    made.writeheader()
    made.writerows(rows)
    return written.getvalue().encode()


def tables() -> dict[str, list[dict[str, str]]]:
    """The sample, taken apart into the tables of an installation, with a property of its events."""
    rows = list(csv.DictReader(io.StringIO((SAMPLES / "umami" / "website_event.csv").read_text())))
    events = [{name: value for name, value in row.items() if name not in SESSION[2:]} for row in rows]
    sessions = {row["session_id"]: {name: row[name] for name in SESSION} | {"created_at": rows[0]["created_at"]}
                for row in rows}  # fmt: skip
    data = [
        {"event_data_id": "d", "website_event_id": row["event_id"], "data_key": "price", "string_value": "",
         "number_value": "99.5000", "date_value": "\\N", "data_type": "2"}
        for row in rows if row["event_type"] == "2"
    ]  # fmt: skip
    data.append(data[0] | {"website_event_id": "of-no-event"})
    return {"website_event": events, "session": list(sessions.values()), "event_data": data}


@pytest.mark.parametrize("order", list(itertools.permutations(["website_event", "session", "event_data"])))
def test_tables_give_what_the_joined_one_gives(importing: Importing, order: tuple[str, ...]) -> None:
    """In any order: days, countries, browsers, and properties of events."""
    importing.take(SAMPLES / "umami" / "website_event.csv")
    dimensions = ("visit:country", "visit:browser", "visit:os", "visit:device", "visit:source", "event:page")
    whole = {name: importing.values(name) for name in dimensions}
    given = tables()
    record = importing.take(*((f"{name}.csv", table(given[name])) for name in order))
    found = importing.per_day()
    assert {day: {name: found[day][name] for name in each} for day, each in EXPECTED.items()} == EXPECTED
    assert {name: importing.values(name) for name in dimensions} == whole
    assert {key[11:] for key in importing.values("event:props:price")} == {"", "99.5"}
    report = record.report
    assert report.read == sum(map(len, given.values()))
    assert report.read == report.accepted + sum(each.count for each in report.left_out.values())
    assert {reason: each.count for reason, each in report.left_out.items()} == {"not_counted": 1, "no_event": 1}
    assert "no_devices" not in report.notes


def test_spellings_of_a_database_client(importing: Importing) -> None:
    """Tabs, NULL for nothing, names with capitals."""
    events = [
        {"sessionId" if name == "session_id" else name.upper() if name == "url_path" else name: value or "NULL"
         for name, value in row.items()}
        for row in tables()["website_event"]
    ]  # fmt: skip
    record = importing.take(("dump.tsv", table(events, "\t")))
    found = importing.per_day()
    assert {day: {name: found[day][name] for name in each} for day, each in EXPECTED.items()} == EXPECTED
    assert "no_devices" in record.report.notes


def test_events_of_other_websites_are_left_out(importing: Importing) -> None:
    """By their hosts; where that does not tell the files are refused."""
    events = tables()["website_event"]
    others = [row | {"website_id": "w2", "hostname": "other.test"} for row in events]
    record = importing.take(("events.csv", table([*events, *others])))
    assert record.report.left_out["other_host"].count == len(events) - 1
    assert importing.per_day()["2026-01-12"]["pageviews"] == EXPECTED["2026-01-12"]["pageviews"]
    third = [row | {"website_id": "w3", "hostname": "third.test"} for row in events]
    with pytest.raises(ImportRefused, match="several websites"):
        importing.read(("events.csv", table([*others, *third])))
    assert importing.read(("events.csv", table(others))).report.accepted == len(events) - 1


def test_no_identifier_is_left_in_a_table(importing: Importing) -> None:
    """Nor is a scratch table."""
    importing.take(*((f"{name}.csv", table(rows)) for name, rows in tables().items()))
    left = "SELECT count() FROM system.tables WHERE database = currentDatabase() AND name LIKE 'scratch%'"
    assert importing.rows(left) == [(0,)]
