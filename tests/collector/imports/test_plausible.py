"""Plausible's export: the totals of the sample, older columns, and what is refused."""

from __future__ import annotations

import json

import pytest

from collector.core.errors import ImportRefused
from tests.collector.imports.imported import SAMPLES, Importing

EXPORT = SAMPLES / "plausible" / "example_com_20260115.zip"
EXPECTED = json.loads((SAMPLES / "expected.json").read_text())["samples"]["plausible/example_com_20260115.zip"]


def test_the_export_gives_its_totals(importing: Importing) -> None:
    """Day by day, with bounces and durations."""
    importing.take(EXPORT)
    found = importing.per_day()
    assert {day: {name: found[day][name] for name in each} for day, each in EXPECTED["per_day"].items()} == EXPECTED[
        "per_day"
    ]
    assert found.keys() == EXPECTED["per_day"].keys()
    pages = importing.values("event:page")
    assert pages == {
        key: (each["visitors"], each["visits"], each["pageviews"]) for key, each in EXPECTED["pages"].items()
    }


def test_loose_files_give_what_the_zip_file_gives(importing: Importing) -> None:
    """Whatever they are called."""
    importing.take(*sorted((SAMPLES / "plausible").glob("*.csv")))
    loose = {name: importing.values(name) for name in ("event:page", "visit:source", "visit:country", "event:name")}
    importing.take(
        *(
            (f"file {number}.txt", path.read_bytes())
            for number, path in enumerate(sorted((SAMPLES / "plausible").glob("*.csv")))
        )
    )
    assert {name: importing.values(name) for name in loose} == loose
    importing.take(EXPORT)
    assert {name: importing.values(name) for name in loose} == loose


def test_every_row_is_accepted_or_left_out(importing: Importing) -> None:
    """What is read is the sum of both, and each row that is left out has its reason and line."""
    report = importing.read(EXPORT).report
    assert report.read == report.accepted + sum(each.count for each in report.left_out.values()) == 57
    assert {reason: each.first for reason, each in report.left_out.items()} == {
        "automatic": ["imported_custom_events_20260112_20260114.csv:3"]
    }
    assert set(report.notes) == {"zone", "visitors_added", "regions_not_kept", "versions_cut", "properties_not_kept"}
    assert (report.total.days, report.total.visitors, report.total.visits, report.total.pageviews) == (3, 6, 7, 11)
    assert list(report.months) == ["2026-01"]


def test_a_visit_without_a_country_is_not_set(importing: Importing) -> None:
    """The export leaves it out of its locations; the day's totals have it."""
    importing.take(EXPORT)
    countries = importing.values("visit:country")
    assert countries["2026-01-13 "] == (1, 1, 2)
    assert countries["2026-01-13 US"] == (1, 1, 1)
    assert "2026-01-12 " not in countries


def test_names_are_those_of_this_product(importing: Importing) -> None:
    """Browsers, systems, devices, channels and major versions."""
    importing.take(EXPORT)
    assert {key[11:] for key in importing.values("visit:browser")} == {"Firefox", "Safari", "Chrome", "Edge"}
    assert {key[11:] for key in importing.values("visit:os")} == {"Windows", "iOS", "Linux"}
    assert {key[11:] for key in importing.values("visit:os_version")} == {"10", "26", ""}
    assert {key[11:] for key in importing.values("visit:device")} == {"desktop", "mobile", "tablet"}
    assert {key[11:] for key in importing.values("visit:channel")} == {
        "Direct",
        "Organic Search",
        "Organic Social",
        "Email",
    }
    assert importing.values("visit:consent")["2026-01-12 imported"] == (2, 3, 6)


def test_goals_are_counted(importing: Importing) -> None:
    """Custom events by name, without what is no event."""
    importing.take(EXPORT)
    events = importing.rows(
        "SELECT value, sum(custom_events) FROM daily_rollup"
        " WHERE dimension = 'event:name' GROUP BY value ORDER BY value"
    )
    assert [row for row in events if row[0] != "pageview"] == [("404", 1), ("Outbound Link: Click", 1), ("Signup", 1)]


def test_older_columns_are_read(importing: Importing) -> None:
    """Pages with exits, time_on_page and active_visitors; sources without utm_source; no page views."""
    pages = (
        b'"date","page","visitors","pageviews","exits","time_on_page","active_visitors"\n"2023-05-01","/",3,4,1,90,2\n'
    )
    tags = '"utm_medium","utm_campaign","utm_content","utm_term"'
    columns = f'"date","source",{tags},"visitors","visits","visit_duration","bounces"'
    sources = f'{columns}\n"2023-05-01","Google","","","","",3,3,60,1\n'.encode()
    visitors = b'"date","visitors","pageviews","bounces","visits","visit_duration"\n"2023-05-01",3,4,1,3,60\n'
    importing.take(("p", pages), ("s", sources), ("v", visitors))
    assert importing.per_day()["2023-05-01"]["pageviews"] == 4
    assert importing.values("event:page") == {"2023-05-01 /": (3, 3, 4)}
    assert importing.rows("SELECT events > 0 FROM daily_rollup WHERE dimension = 'visit:source'") == [(1,)]


def test_no_more_than_every_visit_bounces(importing: Importing) -> None:
    """Whatever a table says, of the day and of each source."""
    visitors = b'"date","visitors","pageviews","bounces","visits","visit_duration"\n"2023-05-01",3,4,9,3,60\n'
    tags = b"utm_medium,utm_campaign,utm_content,utm_term"
    sources = b"date,source," + tags + b",visitors,visits,visit_duration,bounces\n2023-05-01,Google,,,,,2,2,60,7\n"
    importing.take(("v", visitors), ("s", sources))
    assert importing.per_day()["2023-05-01"]["bounces"] == 3
    (google,) = importing.rows("SELECT bounces FROM daily_rollup WHERE value = 'Google'")
    assert google == (2,)


def test_totals_are_made_of_tables_that_have_every_visit_once(importing: Importing) -> None:
    """Where the table of visitors is missing, devices give the totals."""
    files = [path for path in (SAMPLES / "plausible").glob("*.csv") if "visitors" not in path.name]
    importing.take(*files)
    found = importing.per_day()
    assert {
        day: (each["visitors"], each["visits"], each["pageviews"], each["seconds"]) for day, each in found.items()
    } == {
        day: (each["visitors"], each["visits"], each["pageviews"], each["seconds"])
        for day, each in EXPECTED["per_day"].items()
    }


def test_the_dashboards_export_is_refused_with_the_way_to_the_right_one(importing: Importing) -> None:
    """Nothing is left of it."""
    (wrong,) = (SAMPLES / "plausible-wrong").glob("*.zip")
    with pytest.raises(ImportRefused, match="Imports & Exports, Export to CSV"):
        importing.read(wrong)
    assert importing.rows("SELECT count() FROM daily_rollup") == [(0,)]
    assert importing.rows("SELECT count() FROM imports FINAL WHERE NOT deleted") == [(0,)]
    assert (
        importing.rows("SELECT name FROM system.tables WHERE database = currentDatabase() AND name LIKE 'scratch%'")
        == []
    )
