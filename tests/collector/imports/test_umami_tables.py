"""Umami's tables of an installation as separate files: events, sessions and properties in any order."""

# ruff: noqa: S608 -- text is names of our own tables
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


def revenue() -> list[dict[str, str]]:
    """Revenue of the sample's events, and of one that there is not."""
    rows = [
        {"revenue_id": "r", "event_id": row["event_id"], "event_name": row["event_name"], "currency": "sek",
         "revenue": "99.5000", "created_at": row["created_at"]}
        for row in tables()["website_event"] if row["event_type"] == "2"
    ]  # fmt: skip
    return [*rows, rows[0] | {"event_id": "of-no-event"}]


def dump(given: dict[str, list[dict[str, str]]]) -> bytes:
    """Tables as `pg_dump` writes them."""
    parts = ["--\n-- PostgreSQL database dump\n--\n\nSET client_encoding = 'UTF8';\n"]
    for name, rows in given.items():
        cells = ["\t".join(copied(value) for value in row.values()) for row in rows]
        block = "\n".join([f"COPY public.{name} ({', '.join(rows[0])}) FROM stdin;", *cells, "\\."])
        parts.append(f"--\n-- Data for Name: {name}; Type: TABLE DATA\n--\n\n{block}\n")
    return "\n".join(parts).encode()


def copied(value: str) -> str:
    """A value as in a `COPY` block."""
    return value.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n") if value not in ("", "\\N") else "\\N"


def sales(importing: Importing) -> list[tuple[str, int, int]]:
    """Revenue of all days that count by currency, and how many events had it."""
    counts = "(site, day, version) IN (SELECT site, day, version FROM daily_status FINAL WHERE NOT reopened)"
    found = importing.rows(
        "SELECT currency, sum(revenue), sum(revenue_events) FROM daily_rollup "
        f"WHERE dimension = 'event:revenue' AND currency != '' AND {counts} GROUP BY currency"
    )
    return [tuple(row) for row in found]


def test_revenue_of_events(importing: Importing) -> None:
    """From its own table, in any order of the files; of no event it is left out."""
    given = tables()
    files = [("revenue.csv", table(revenue())), *((f"{name}.csv", table(rows)) for name, rows in given.items())]
    count = len(revenue()) - 1
    for order in (files, files[::-1]):
        record = importing.take(*order)
        assert sales(importing) == [("SEK", 99_500 * count, count)]
        assert record.report.left_out["no_event"].count == 2
        assert record.report.sources["revenue"] == count
    broken = [
        revenue()[0] | {"currency": "crowns"},
        revenue()[0] | {"revenue": "much"},
        revenue()[0] | {"event_id": ""},
    ]
    report = importing.read(("revenue.csv", table(broken)), files[1]).report
    assert report.left_out["unreadable"].count == 3


def test_a_dump_gives_what_its_tables_give(importing: Importing) -> None:
    """All tables in one file, whatever else is in it; other websites of the installation are left out."""
    given = tables()
    other = {"website_id": "w2", "hostname": "other.test", "session_id": "s2", "event_id": "e2"}
    whole = {
        "account": [{"user_id": "u", "username": "admin", "password": "$2b$10$secret"}],
        "event_data": [row | {"string_value": "a\\b"} for row in given["event_data"]],
        "revenue": revenue(),
        "session": [*given["session"], given["session"][0] | {"website_id": "w2", "session_id": "s2"}],
        "website": [
            {"website_id": "w2", "name": "Other", "domain": "other.test"},
            {"website_id": given["website_event"][0]["website_id"], "name": "Own", "domain": "www.example.com"},
        ],
        "website_event": [given["website_event"][0] | other, *given["website_event"]],
    }
    record = importing.take(("umami.sql", dump(whole)))
    found = importing.per_day()
    assert {day: {name: found[day][name] for name in each} for day, each in EXPECTED.items()} == EXPECTED
    assert sales(importing) == [("SEK", 99_500 * (len(revenue()) - 1), len(revenue()) - 1)]
    assert {key[11:] for key in importing.values("event:props:price")} == {"", "a\\b"}
    report = record.report
    assert report.read == sum(map(len, whole.values()))
    assert report.read == report.accepted + sum(each.count for each in report.left_out.values())
    assert report.left_out["other_host"].count == 1
    assert "no_devices" not in report.notes


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"PGDMP\x01\x0e\x00", "pg_restore"),
        (b"-- MySQL dump 10.13\nINSERT INTO `website_event` VALUES ('a');\n", "SQL statements"),
        (b"-- PostgreSQL database dump\nINSERT INTO public.website_event VALUES ('a');\n", "SQL statements"),
        (b"-- PostgreSQL database dump\nCREATE TABLE public.website_event (a text);\n", "has no events"),
    ],
)
def test_dumps_in_other_forms_are_refused_with_the_way(importing: Importing, content: bytes, reason: str) -> None:
    """A binary one, statements, and one without data."""
    with pytest.raises(ImportRefused, match=reason):
        importing.read(("umami.sql", content))


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
