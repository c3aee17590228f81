"""Matomo: visits as JSON and CSV, and reports by day."""

from __future__ import annotations

import csv
import io
import json

import pytest

from collector.core.errors import ImportRefused
from tests.collector.imports.imported import SAMPLES, Importing

EXPECTED = json.loads((SAMPLES / "expected.json").read_text())["samples"]
MATOMO = SAMPLES / "matomo" / "Live.getLastVisitsDetails.json"
TOTALS = {
    "2026-01-12": {"nb_uniq_visitors": 2, "nb_visits": 3, "nb_actions": 9, "bounce_count": 1, "sum_visit_length": 150},
    "2026-01-13": [],
}
PAGES = {
    "2026-01-12": [
        {"label": "/index", "url": "https://example.com/", "nb_visits": 3, "nb_uniq_visitors": 2, "nb_hits": 4,
         "sum_time_spent": 60, "entry_nb_visits": 3, "exit_nb_visits": 1},
        {"label": "/pricing", "nb_visits": 2, "nb_uniq_visitors": 2, "nb_hits": 2, "exit_nb_visits": 2},
    ]
}  # fmt: skip


def test_matomos_reports_by_day(importing: Importing) -> None:
    """Totals and pages together: page views are those of the pages, not the actions."""
    importing.take(("totals.json", json.dumps(TOTALS).encode()), ("pages.json", json.dumps(PAGES).encode()))
    day = importing.per_day()["2026-01-12"]
    assert (day["visitors"], day["visits"], day["pageviews"], day["bounces"], day["seconds"]) == (2, 3, 6, 1, 150)
    assert importing.values("event:page") == {"2026-01-12 /": (2, 3, 4), "2026-01-12 /pricing": (2, 2, 2)}


def test_matomos_reports_as_utf_16(importing: Importing) -> None:
    """Which its CSV is by default, with a mark at the beginning."""
    names = "date,nb_uniq_visitors,nb_visits,nb_actions,bounce_count,sum_visit_length,nb_pageviews"
    rows = f"{names}\n2026-01-12,2,3,9,1,150,6\n"
    importing.take(("export.csv", rows.encode("utf-16")))
    day = importing.per_day()["2026-01-12"]
    assert (day["visitors"], day["visits"], day["pageviews"]) == (2, 3, 6)


REPORTS = {
    "countries": [
        {"label": "Sweden", "nb_visits": 2, "nb_uniq_visitors": 1, "segment": "countryCode==se"},
        {"label": "Unknown", "nb_visits": 1, "nb_uniq_visitors": 1, "code": "xx", "logo": "plugins/icons/flags/xx.png"},
    ],
    "devices": [{"label": "Smartphone", "nb_visits": 3, "nb_uniq_visitors": 2, "segment": "deviceType==smartphone"}],
    "browsers": [{"label": "Firefox", "nb_visits": 3, "nb_uniq_visitors": 2, "segment": "browserCode==FF"}],
    "systems": [{"label": "Mac", "nb_visits": 3, "nb_uniq_visitors": 2, "segment": "operatingSystemCode==MAC"}],
    "referrers": [
        {"label": "Google", "nb_visits": 2, "nb_uniq_visitors": 1,
         "segment": "referrerType==search;referrerName==Google"},
        {"label": "january", "nb_visits": 1, "nb_uniq_visitors": 1,
         "segment": "referrerType==campaign;referrerName==january"},
    ],
    "types": [{"label": "Search Engines", "nb_visits": 2, "nb_uniq_visitors": 1, "segment": "referrerType==search"}],
    "events": [{"label": "Signup", "nb_events": 2, "nb_visits": 1, "nb_uniq_visitors": 1,
                "segment": "eventCategory==Signup"}],
    "outlinks": [{"label": "x.test", "nb_hits": 4, "nb_visits": 2, "segment": "outlinkUrl==https%3A%2F%2Fx.test"}],
    "titles": [{"label": "Home", "nb_hits": 4, "nb_visits": 2, "segment": "pageTitle==Home"}],
}  # fmt: skip
EXPECTED_VALUES = {
    "visit:country": {"2026-01-12 ": (1, 1, 0), "2026-01-12 SE": (1, 2, 0)},
    "visit:device": {"2026-01-12 mobile": (2, 3, 0)},
    "visit:browser": {"2026-01-12 Firefox": (2, 3, 0)},
    "visit:os": {"2026-01-12 macOS": (2, 3, 0)},
    "visit:source": {"2026-01-12 ": (1, 1, 0), "2026-01-12 Google": (1, 2, 0)},
    "visit:utm_campaign": {"2026-01-12 ": (1, 2, 0), "2026-01-12 january": (1, 1, 0)},
    "visit:channel": {"2026-01-12 ": (1, 1, 0), "2026-01-12 Organic Search": (1, 2, 0)},
}


@pytest.mark.parametrize("form", ["json", "csv"])
def test_matomos_reports_of_dimensions(importing: Importing, form: str) -> None:
    """What a row is about is told by its segment, or its icon."""
    files = []
    for name, rows in REPORTS.items():
        if form == "json":
            files.append((f"{name}.json", json.dumps({"2026-01-12": rows, "2026-01-13": []}).encode()))
        else:
            named = [{"date": "2026-01-12"} | {_column(key): value for key, value in row.items()} for row in rows]
            written = io.StringIO()
            table = csv.DictWriter(written, list({key: None for row in named for key in row}))
            table.writeheader()
            table.writerows(named)
            files.append((f"{name}.csv", written.getvalue().encode("utf-16")))
    record = importing.take(("totals.json", json.dumps(TOTALS).encode()), *files)
    for dimension, values in EXPECTED_VALUES.items():
        found = importing.values(dimension)
        assert {key: (visitors, visits) for key, (visitors, visits, _) in found.items()} == {
            key: (visitors, visits) for key, (visitors, visits, _) in values.items()
        }, dimension
    assert importing.per_day()["2026-01-12"]["custom_events"] == 6
    assert record.report.left_out["not_counted"].count == 1
    assert record.report.read == record.report.accepted + 1


def _column(key: str) -> str:
    return f"metadata_{key}" if key in ("segment", "code", "logo") else key


def as_csv() -> bytes:
    """The sample of visits as Matomo writes it as CSV."""
    visits = json.loads(MATOMO.read_text())
    rows = []
    for visit in visits:
        row = {key: value for key, value in visit.items() if not isinstance(value, list | dict)}
        for number, action in enumerate(visit["actionDetails"]):
            row |= {f"actionDetails_{number}_{key}": value for key, value in action.items()}
        rows.append(
            {key: f"'{value}" if str(value)[:1] in "=+-@" and str(value) else value for key, value in row.items()}
        )
    written = io.StringIO()
    table = csv.DictWriter(written, list({key: None for row in rows for key in row}))
    table.writeheader()
    table.writerows(rows)
    return written.getvalue().encode("utf-16-le")


@pytest.mark.parametrize("mark", [b"\xff\xfe", b""])
def test_visits_as_csv_give_the_totals_of_the_sample(importing: Importing, mark: bytes) -> None:
    """UTF-16 with or without a mark, as many columns as the longest visit needs."""
    record = importing.take(("export.csv", mark + as_csv()))
    expected = EXPECTED["matomo/Live.getLastVisitsDetails.json"]["per_day"]
    found = importing.per_day()
    assert {day: {name: found[day][name] for name in each} for day, each in expected.items()} == expected
    assert record.report.read == record.report.accepted


def test_visits_are_read_however_long_a_line_is(importing: Importing) -> None:
    """The API's answer is one line; visits by date are read, too."""
    visits = json.loads(MATOMO.read_text())
    one_line = json.dumps([visits[0] | {"idVisit": f"x{number}", "padding": "x" * 9_000} for number in range(300)])
    record = importing.read(("visits.json", one_line.encode()))
    assert record.report.accepted == 300 * len(visits[0]["actionDetails"])
    by_date = json.dumps({"2026-01-12": visits[:1], "2026-01-13": []}, indent=1)
    assert importing.read(("visits.json", by_date.encode())).report.accepted == len(visits[0]["actionDetails"])
    with pytest.raises(ImportRefused, match="incomplete"):
        importing.read(("visits.json", one_line[:-50].encode()))


@pytest.mark.parametrize(
    ("content", "advice"),
    [
        (b"label,nb_visits,nb_hits\n/,3,4\n", "period=day"),
        (b'[{"label":"/","nb_visits":3,"nb_hits":4}]', "period=day"),
        (b'date,nb_visits,bounce_count\n"2026-01-12,2026-01-18",3,4\n', "by week"),
        (b'{"2026-01":{"nb_visits":3,"bounce_count":4}}', "by week"),
        (b'{"2026-01-12":[{"label":"blog","nb_visits":3,"nb_hits":4,"idsubdatatable":2}]}', "flat=1"),
        (b"idVisit,visitorId,visitIp\n1,abc,192.0.2.1\n", "without their actions"),
    ],
)
def test_near_misses_are_refused(importing: Importing, content: bytes, advice: str) -> None:
    """With what to ask for."""
    with pytest.raises(ImportRefused, match=advice):
        importing.read(("export", content))
