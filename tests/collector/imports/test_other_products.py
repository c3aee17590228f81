"""Google Analytics 4, Simple Analytics, and Matomo's reports by day."""

from __future__ import annotations

import json

import pytest

from collector.core.errors import ImportRefused
from tests.collector.imports.imported import Importing

AT = 1768204800_000000  # 8:00 UTC on 12 January 2026, in microseconds


def event(name: str, seconds: int, user: str | None = "123.456", **params: str) -> str:
    """A row of BigQuery's table, as JSON."""
    pairs = {"page_location": "https://example.com/", "ga_session_id": "77", **params}
    return json.dumps({
        "event_date": "20260112", "event_timestamp": str(AT + seconds * 1_000_000), "event_name": name,
        "event_params": [
            {"key": key, "value": {"int_value": value} if key == "ga_session_id" else {"string_value": value}}
            for key, value in pairs.items()
        ],
        "user_pseudo_id": user, "geo": {"country": "Sweden"},
        "device": {"category": "mobile", "operating_system": "iOS", "operating_system_version": "iOS 26.1",
                   "web_info": {"browser": "Safari", "browser_version": "26.1"}},
        "collected_traffic_source": {"manual_source": "newsletter", "manual_medium": "email"},
    })  # fmt: skip


def test_google_analytics_by_bigquery(importing: Importing) -> None:
    """Visits by session, campaigns, names of countries; automatic events are none; without an id only views count."""
    lines = [
        event("session_start", 0), event("first_visit", 0), event("page_view", 0),
        event("page_view", 60, page_location="https://example.com/pricing"), event("user_engagement", 61),
        event("sign_up", 62), event("click", 63), event("page_view", 4000),
        event("page_view", 90, user=None), "{broken",
    ]  # fmt: skip
    record = importing.take(("bq.json", "\n".join(lines).encode()))
    day = importing.per_day()["2026-01-12"]
    assert (day["visitors"], day["visits"], day["pageviews"], day["custom_events"]) == (1, 1, 4, 2)
    left_out = {reason: each.count for reason, each in record.report.left_out.items()}
    assert left_out == {"automatic": 3, "unreadable": 1}
    assert "2026-01-12 SE" in importing.values("visit:country")
    assert importing.values("visit:source")["2026-01-12 newsletter"] == (1, 1, 3)
    assert importing.values("visit:os_version")["2026-01-12 26"][0] == 1
    assert "2026-01-12 Outbound Link: Click" in importing.values("event:name")


def test_reports_of_google_analytics_are_refused(importing: Importing) -> None:
    """In any language."""
    report = (
        "# ----------------------------------------\n# Seiten und Bildschirme\n# Konto: X\nSeitenpfad,Aufrufe\n/,12\n"
    )
    with pytest.raises(ImportRefused, match="BigQuery"):
        importing.read(("report.csv", report.encode()))


def test_simple_analytics(importing: Importing) -> None:
    """Page views and events by session."""
    header = "added_iso,hostname,path,query,document_referrer,country_code,browser_name,os_name,device_type,session_id"
    rows = [
        "2026-01-12T08:00:00.000Z,example.com,/,,https://www.google.com/,SE,Firefox,Windows,desktop,s1,,false",
        "2026-01-12T08:01:00.000Z,example.com,/x,,,SE,Firefox,Windows,desktop,s1,,false",
        "2026-01-12T08:02:00.000Z,example.com,/x,,,SE,Firefox,Windows,desktop,s1,signup,false",
        "2026-01-12T09:00:00.000Z,example.com,/,,,DE,Safari,iOS,mobile,s2,,true",
    ]
    content = "\n".join([f"{header},datapoint,is_robot", *rows])
    record = importing.take(("export.csv", content.encode()))
    day = importing.per_day()["2026-01-12"]
    assert (day["visitors"], day["visits"], day["pageviews"], day["custom_events"]) == (1, 1, 2, 1)
    assert record.report.left_out["bot"].count == 1
    assert importing.values("visit:channel") == {"2026-01-12 Organic Search": (1, 1, 2)}


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


def test_matomos_reports_without_dates_are_refused(importing: Importing) -> None:
    """With what to ask for."""
    with pytest.raises(ImportRefused, match="period=day"):
        importing.read(("export.csv", b"label,nb_visits,nb_hits\n/,3,4\n"))
