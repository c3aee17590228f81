"""Export and import: everything comes back as it was, and other products can read it."""

from __future__ import annotations

import csv
import io
import json
import zipfile

from collector.core.csv import escape_formulas
from collector.imports.export import export_daily, export_events, file_name
from collector.rollups.job import RollupJob
from collector.spool.clickhouse_inserter import ClickHouseInserter
from tests.board import pageview
from tests.collector.imports.imported import DOMAIN, SAMPLES, Importing
from tests.collector.imports.test_imports import DAY, everything

AT = 1_768_305_600  # noon of 13 January 2026


def seeded(importing: Importing) -> None:
    """Own figures of one day with everything that a day may have, and imported ones of others."""
    importing.take(SAMPLES / "umami" / "website_event.csv")
    given = {
        "site": DOMAIN, "hostname": DOMAIN, "source": "Google", "channel": "Organic Search", "country": "SE",
        "utm_campaign": "120210000000", "click_id": "gclid", "browser": "Firefox", "os": "Linux", "size": "lg",
    }  # fmt: skip
    events = [pageview(number, f"/page/{number % 5}", AT + number, **given) for number in range(1, 30)]
    events += [pageview(0, "/quiet", AT, site=DOMAIN)]
    events += [pageview(1, "/page/1", AT + 60, visit=AT + 1, visits=0, bounces=-1, seconds=59, seq=2, **given)]
    events += [
        pageview(
            number, "/page/1", AT + 70, visit=AT + number, visits=0, bounces=0, seq=3, name="Buy",
            props={"plan": "pro", "n": str(number)}, revenue="9.5", currency="SEK", **given,
        )
        for number in range(1, 4)
    ]  # fmt: skip
    events += [
        pageview(2, "/page/2", AT + 80, visit=AT + 2, visits=0, bounces=0, seq=9, name="engagement", engaged=4_000,
                 scroll=80, **given)
    ]  # fmt: skip
    ClickHouseInserter(importing.client).insert(events, "seed")
    RollupJob(importing.client, importing.sites, lambda: importing.now).close_due()


def test_a_round_trip_gives_the_same_figures(importing: Importing) -> None:
    """Every value of every dimension, with its counts and revenue, and properties."""
    seeded(importing)
    before = everything(importing)
    forms = importing.rows(
        "SELECT day, schema_version IN (4, 104) FROM daily_status FINAL WHERE NOT reopened AND rows > 0 ORDER BY day"
    )
    with export_daily(importing.client, importing.site, importing.directory) as exported:
        content = exported.read()
    importing.client.command("TRUNCATE TABLE daily_rollup SYNC")
    importing.client.command("TRUNCATE TABLE daily_status SYNC")
    importing.client.command("TRUNCATE TABLE events SYNC")
    record = importing.take(("export.zip", content))
    assert everything(importing) == before
    assert (
        importing.rows("SELECT day, schema_version IN (4, 104) FROM daily_status FINAL WHERE day = '2026-01-13'")
        == forms
    )
    report = record.report
    assert report.read == report.accepted + sum(each.count for each in report.left_out.values())
    assert set(report.left_out) == {"same_figures"}


def test_no_cell_is_a_formula_and_every_text_comes_back(importing: Importing) -> None:
    """Names of events are anybody's; spreadsheets that split at other separators are thought of, too."""
    names = {"=1+1", "'=1", "''+1", "a;=b", "＝1", '\xa0"@x', "plain", "it's = 5", "|-1,=2"}
    given = {"site": DOMAIN, "props": {"a;=1": "=2"}}
    events = [pageview(number, "/", AT, name=name, **given) for number, name in enumerate(sorted(names), 1)]
    ClickHouseInserter(importing.client).insert(events, "seed")
    RollupJob(importing.client, importing.sites, lambda: importing.now).close_due()
    before = everything(importing)
    with export_daily(importing.client, importing.site, importing.directory) as exported:
        archive = zipfile.ZipFile(exported)
        for name in archive.namelist():
            cells = [cell for row in csv.reader(io.TextIOWrapper(archive.open(name))) for cell in row]
            assert all(escape_formulas(cell) == cell for cell in cells)
        exported.seek(0)
        content = exported.read()
    for table in ("daily_rollup", "daily_status", "events"):
        importing.client.command(f"TRUNCATE TABLE {table} SYNC")
    importing.take(("export.zip", content))
    assert everything(importing) == before
    assert {value.partition(" ")[2] for value in importing.values("event:name")} == names


def test_the_tables_are_those_of_plausibles_export(importing: Importing) -> None:
    """With its names and columns, so that they can be taken elsewhere; here they give the same totals."""
    seeded(importing)
    before = importing.per_day()
    pages = importing.values("event:page")
    with export_daily(importing.client, importing.site, importing.directory) as exported:
        archive = zipfile.ZipFile(io.BytesIO(exported.read()))
    names = [name for name in archive.namelist() if name.startswith("imported_")]
    for path in (SAMPLES / "plausible").glob("*.csv"):
        table = path.name.rsplit("_", 2)[0]
        (name,) = [name for name in names if name.startswith(f"{table}_2")]
        ours, theirs = (content.decode().splitlines() for content in (archive.read(name), path.read_bytes()))
        assert next(csv.reader(ours)) == next(csv.reader(theirs))
    importing.client.command("TRUNCATE TABLE daily_rollup SYNC")
    importing.client.command("TRUNCATE TABLE daily_status SYNC")
    importing.client.command("TRUNCATE TABLE events SYNC")
    importing.take(*((name, archive.read(name)) for name in names))
    assert importing.per_day() == before
    assert importing.values("event:page") == pages


def test_events_are_json_lines_with_ids_of_their_own(importing: Importing) -> None:
    """Of days that are over; ids of two exports are unrelated."""
    seeded(importing)
    exports = [
        [
            json.loads(line)
            for line in b"".join(export_events(importing.client, importing.site, day, "jsonl")).splitlines()
        ]
        for day in (DAY.replace(day=14), DAY.replace(day=14), DAY)
    ]
    assert [len(each) for each in exports] == [35, 35, 0]
    first, second = ({row["visitor"] for row in each} - {0, "0"} for each in exports[:2])
    assert len(first) == len(second) == 29
    assert not first & second
    assert b"".join(export_events(importing.client, importing.site, DAY.replace(day=14), "parquet"))[:4] == b"PAR1"
    assert file_name(importing.site, DAY) == "example_com_20260113.zip"
