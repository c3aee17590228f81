"""GoatCounter's JSON export: counts by hour and day, with names in tables of their own."""

from __future__ import annotations

import io
import json
import zipfile

import pytest

from collector.core.errors import ImportRefused
from tests.collector.imports.imported import Importing

INFO = {"export_version": 1.0, "goatcounter_version": "2.7", "created_for": "x", "created_by": "A <a@mail.example>"}
TABLES: dict[str, list[dict[str, object]]] = {
    "hit_stats": [
        {"hour": "2026-01-12T08:00:00Z", "path_id": 1, "ref_id": 2, "count": 4},
        {"hour": "2026-01-12T23:00:00Z", "path_id": 2, "ref_id": 1, "count": 3},
        {"hour": "2026-01-12T09:00:00Z", "path_id": 3, "ref_id": 1, "count": 2},
        {"hour": "2026-01-12T09:00:00Z", "path_id": 99, "ref_id": 1, "count": 2},
    ],
    "browser_stats": [{"day": "2026-01-12", "path_id": 1, "browser_id": 7, "count": 4}],
    "system_stats": [{"day": "2026-01-12", "path_id": 1, "system_id": 7, "count": 4}],
    "location_stats": [{"day": "2026-01-12", "path_id": 1, "location": "US-TX", "count": 4}],
    "size_stats": [{"day": "2026-01-12", "path_id": 1, "width": 1920, "count": 4}],
    "language_stats": [{"day": "2026-01-12", "path_id": 1, "language": "eng", "count": 4}],
    "paths": [
        {"id": 1, "path": "/", "title": "Home", "event": False},
        {"id": 2, "path": "/about", "title": "", "event": False},
        {"id": 3, "path": "signup", "title": "", "event": True},
    ],
    "refs": [{"id": 1, "ref": "", "ref_scheme": "o"}, {"id": 2, "ref": "Google", "ref_scheme": "g"}],
    "browsers": [{"id": 7, "name": "Firefox", "version": "145"}],
    "systems": [{"id": 7, "name": "Windows", "version": "10"}],
    "languages": [{"iso_639_3": "eng", "name": "English"}],
}


def archive(tables: dict[str, list[dict[str, object]]]) -> bytes:
    """The zip file of an export, counts before names."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as made:
        made.writestr("example/info.json", json.dumps(INFO, indent=4))
        made.writestr("example/README.txt", "Dear reader")
        for name, rows in tables.items():
            made.writestr(f"example/{name}.jsonl", "\n".join(map(json.dumps, rows)))
    return written.getvalue()


def test_counts_are_page_views_without_a_visit(importing: Importing) -> None:
    """Hours go into the site's days; events are events; what is not known or kept is left out."""
    record = importing.take(("export.zip", archive(TABLES)))
    days = importing.per_day()
    assert {day: (each["visitors"], each["pageviews"], each["custom_events"]) for day, each in days.items()} == {
        "2026-01-12": (0, 4, 2), "2026-01-13": (0, 3, 0)
    }  # fmt: skip
    assert importing.values("event:page") == {"2026-01-12 /": (0, 0, 4), "2026-01-13 /about": (0, 0, 3)}
    assert importing.values("visit:source")["2026-01-12 Google"] == (0, 0, 4)
    assert importing.values("visit:channel")["2026-01-12 Organic Search"] == (0, 0, 4)
    assert importing.values("visit:browser") == {"2026-01-12 Firefox": (0, 0, 4), "2026-01-13 ": (0, 0, 3)}
    assert importing.values("visit:os_version")["2026-01-12 10"] == (0, 0, 4)
    assert importing.values("visit:country")["2026-01-12 US"] == (0, 0, 4)
    assert importing.values("event:name")["2026-01-12 signup"] == (0, 0, 0)
    report = record.report
    assert {reason: each.count for reason, each in report.left_out.items()} == {
        "unreadable": 1, "not_counted": 1, "other_file": 1
    }  # fmt: skip
    assert report.read == report.accepted + 3
    assert {"first_views", "utc_days"} <= set(report.notes)
    assert "mail.example" not in repr(record)


def test_exports_that_overlap_in_a_day_count_it_once(importing: Importing) -> None:
    """The one that has more of it."""
    hits = [{"hour": "2026-01-12T08:00:00Z", "path_id": 1, "ref_id": 2, "count": 6}]
    importing.take(("first.zip", archive(TABLES)), ("second.zip", archive(TABLES | {"hit_stats": hits})))
    assert importing.per_day()["2026-01-12"]["pageviews"] == 6


def test_counts_without_names_are_refused(importing: Importing) -> None:
    """A table of the zip file alone."""
    rows = "\n".join(map(json.dumps, TABLES["hit_stats"])).encode()
    with pytest.raises(ImportRefused, match="whole GoatCounter zip file"):
        importing.read(("hit_stats.jsonl", rows))
    names = [(f"{name}.jsonl", "\n".join(map(json.dumps, TABLES[name])).encode()) for name in ("paths", "refs")]
    assert importing.read(*names, ("hit_stats.jsonl", rows)).report.accepted == 3
