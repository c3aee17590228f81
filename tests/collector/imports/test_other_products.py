"""Google Analytics 4 and Simple Analytics: rows of single events."""

from __future__ import annotations

import json

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
