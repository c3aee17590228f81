"""Exports of single page views and visits: Umami's, GoatCounter's and Matomo's, whose totals the samples tell."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from collector.core.errors import ImportRefused
from tests.collector.imports.imported import SAMPLES, Importing

EXPECTED = json.loads((SAMPLES / "expected.json").read_text())["samples"]
UMAMI = SAMPLES / "umami" / "website_event.csv"
GOATCOUNTER = SAMPLES / "goatcounter" / "export.csv"
MATOMO = SAMPLES / "matomo" / "Live.getLastVisitsDetails.json"


@pytest.mark.parametrize("sample", [UMAMI, GOATCOUNTER, MATOMO])
def test_a_sample_gives_its_totals(importing: Importing, sample: Path) -> None:
    """Visitors, visits, page views and events of each day."""
    record = importing.take(sample)
    expected = EXPECTED[f"{sample.parent.name}/{sample.name}"]["per_day"]
    found = importing.per_day()
    assert {day: {name: found[day][name] for name in each} for day, each in expected.items()} == expected
    assert found.keys() == expected.keys()
    report = record.report
    assert report.read == report.accepted + sum(each.count for each in report.left_out.values())


def test_packed_and_reordered_columns_are_the_same(importing: Importing) -> None:
    """GoatCounter's packed export."""
    (packed,) = (SAMPLES / "goatcounter").glob("*.gz")
    importing.take(packed)
    assert importing.per_day()["2026-01-12"]["pageviews"] == 7


@pytest.mark.parametrize("sample", [UMAMI, GOATCOUNTER, MATOMO])
def test_dimensions_are_those_of_this_product(importing: Importing, sample: Path) -> None:
    """Sources, countries, systems, and campaigns."""
    importing.take(sample)
    assert {key[11:] for key in importing.values("visit:source")} == {"", "Google", "Hacker News", "newsletter"}
    assert {key[11:] for key in importing.values("visit:country")} == {"", "SE", "DE", "US", "FR"}
    assert {key[11:] for key in importing.values("visit:browser")} == {"Firefox", "Safari", "Chrome", "Edge"}
    assert {key[11:] for key in importing.values("visit:device")} == {"desktop", "mobile", "tablet"}
    assert importing.values("visit:channel")["2026-01-12 Organic Search"][0] == 1
    assert {key[11:] for key in importing.values("visit:consent")} == {"imported"}


def test_what_is_neither_page_view_nor_event_is_left_out(importing: Importing) -> None:
    """Umami's measurements; GoatCounter's bots."""
    assert importing.read(UMAMI).report.left_out["not_counted"].count == 1
    assert importing.read(GOATCOUNTER).report.left_out["bot"].count == 1


def test_umami_of_an_installation_is_read(importing: Importing) -> None:
    """PostgreSQL writes fractions of seconds and an offset."""
    header = "session_id,visit_id,hostname,browser,os,device,country,url_path,event_type,event_name,created_at"
    rows = "a,v,example.com,chrome,Mac OS,desktop,SE,/,1,,2026-01-12 08:00:00.123+00\n"
    rows += "a,v,example.com,chrome,Mac OS,desktop,SE,/x,1,,2026-01-12 08:00:01.5+00:00\n"
    record = importing.take(("dump", f"{header}\n{rows}".encode()))
    assert record.report.accepted == 2
    assert importing.per_day()["2026-01-12"]["visits"] == 1
    assert importing.values("visit:os") == {"2026-01-12 macOS": (1, 1, 2)}


def test_the_first_version_of_goatcounters_export(importing: Importing) -> None:
    """Its column `Browser` is the user agent."""
    header = "1Path,Title,Event,Bot,Session,FirstVisit,Referrer,Referrer scheme,Browser,Screen size,Location,Date"
    agent = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"
    row = f'/,T,false,0,ab12,true,,,{agent},"1920,1080,1",US-TX,2026-01-12T08:00:00Z'
    importing.take(("export", f"{header}\n{row}\n".encode()))
    assert importing.values("visit:browser") == {"2026-01-12 Firefox": (1, 1, 1)}
    assert importing.values("visit:country") == {"2026-01-12 US": (1, 1, 1)}


@pytest.mark.parametrize(
    ("content", "advice"),
    [
        (b"x,y\n/,12\n", "docs/migrating.md"),
        (b"session_id,website_id,browser,os,device,created_at\n1,2,chrome,Linux,desktop,2026-01-12\n", "together with"),
        (b'{"hour":"2026-01-12T08:00:00Z","path_id":1,"ref_id":1,"count":3}\n', "the whole GoatCounter zip"),
        (b"3Path,Title,Event,Session,Date,Referrer scheme\n", "versions 1 and 2"),
    ],
)
def test_near_misses_are_refused_with_the_way_to_the_right_file(
    importing: Importing, content: bytes, advice: str
) -> None:
    """Sums without dates, one table of two, a version that is not known."""
    with pytest.raises(ImportRefused, match=advice):
        importing.read(("export.csv", content))
