"""Google Analytics 4: reports and explorations by date, in several languages."""

from __future__ import annotations

import pytest

from collector.core.errors import ImportRefused
from collector.imports.formats.country_names import country_named
from collector.imports.formats.ga4_headings import columns, named
from tests.collector.imports.imported import Importing

COMMENT = "# ----------------\n# {title}\n# Account: X\n# Start date: 20260112\n# End date: 20260114\n"


def report(header: str, *rows: str, title: str = "Free form 1") -> bytes:
    """An exploration as it is exported."""
    return "\n".join([COMMENT.format(title=title) + "# ----", "", header, *rows, ""]).encode()


def test_totals_by_date_are_the_days_totals(importing: Importing) -> None:
    """Thousands are written with separators; the grand total is left out, and says so."""
    rows = [',"1,205",11,7,"4", Grand total', "20260112,1.200,3,3,2", '20260113,"3",3,2,1', "20260114,2,2,2,1"]
    content = report("Date,Views,Total users,Sessions,Engaged sessions", *rows)
    record = importing.take(("download.csv", b"\xef\xbb\xbf" + content.replace(b"\n", b"\r\n")))
    day = importing.per_day()["2026-01-12"]
    assert (day["visitors"], day["visits"], day["pageviews"], day["bounces"]) == (3, 3, 1200, 1)
    assert len(importing.per_day()) == 3
    assert {reason: each.count for reason, each in record.report.left_out.items()} == {"total": 1}
    assert (record.report.read, record.report.accepted) == (4, 3)


@pytest.mark.parametrize(
    ("header", "delimiter"),
    [
        ("Date,Page path and screen class,Views,Active users", ","),
        ("Datum;Seitenpfad und Bildschirmklasse;Aufrufe;Aktive Nutzer", ";"),
        ("Date,Chemin de la page et classe de l'écran,Vues,Utilisateurs actifs", ","),
        ("日付,ページパスとスクリーン クラス,表示回数,アクティブ ユーザー", ","),
        ("Datum\tSidsökväg och skärmklass\tVisningar\tAktiva användare", "\t"),
        ("x,y,Просмотры,Пользователи", ","),
        ("date,pagePath,screenPageViews,activeUsers", ","),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_headings_are_in_any_language(importing: Importing, header: str, delimiter: str, encoding: str) -> None:
    """By lists of headings, or by what is in the columns."""
    rows = ["20260112,/,4,2", "20260112,/pricing,2,2", "20260113,/,1,1"]
    content = "\n".join([header, *(row.replace(",", delimiter) for row in rows)])
    importing.take(("Freiform.csv", content.encode(encoding)))
    assert importing.values("event:page") == {
        "2026-01-12 /": (2, 2, 4), "2026-01-12 /pricing": (2, 2, 2), "2026-01-13 /": (1, 1, 1)
    }  # fmt: skip
    assert [day["pageviews"] for day in importing.per_day().values()] == [6, 1]


def test_the_number_of_a_day_counts_from_the_first(importing: Importing) -> None:
    """Tables of one file are read each by itself; those without dates are left out."""
    first = report("Nth day,Active users", "0000,5", "0001,3", title="Reports snapshot").decode()
    others = "\n# Start date: 20260110\n# End date: 20260112\nN-ter Tag,Sitzungen\n0000,9\n\n"
    others += "# Start date: 20260110\nLand,Aktive Nutzer\nSchweden,5\nDeutschland,2\n"
    record = importing.take(("report.csv", (first + others).encode()))
    days = importing.per_day()
    assert [(day, each["visitors"], each["visits"]) for day, each in days.items()] == [
        ("2026-01-10", 0, 9), ("2026-01-12", 5, 0), ("2026-01-13", 3, 0)
    ]  # fmt: skip
    assert record.report.left_out["no_date"].count == 2


def test_dimensions_are_those_of_this_product(importing: Importing) -> None:
    """Sources, channels, countries by name, devices, browsers and events."""
    sources = report(
        "Session source / medium,Date,Sessions,Total users",
        "google / organic,20260112,2,2", "(direct) / (none),20260112,1,1", "news.example / referral,20260112,1,1",
        "newsletter / email,20260112,1,1",
    )  # fmt: skip
    countries = report(
        "Pays,Catégorie d'appareil,Date,Sessions,Utilisateurs",
        "Suède,mobile,20260112,3,3",
        "(not set),desktop,20260112,2,2",
    )
    events = report(
        "Event name,Date,Event count,Total users", "page_view,20260112,12,5", "sign_up,20260112,2,2",
        "scroll,20260112,9,4",
    )  # fmt: skip
    record = importing.take(("a.csv", sources), ("b.csv", countries), ("c.csv", events))
    assert importing.values("visit:source") == {
        "2026-01-12 ": (1, 1, 0), "2026-01-12 Google": (2, 2, 0), "2026-01-12 news.example": (1, 1, 0),
        "2026-01-12 newsletter": (1, 1, 0),
    }  # fmt: skip
    assert importing.values("visit:channel")["2026-01-12 Email"] == (1, 1, 0)
    assert importing.values("visit:country") == {"2026-01-12 ": (2, 2, 0), "2026-01-12 SE": (3, 3, 0)}
    assert importing.values("visit:device")["2026-01-12 mobile"] == (3, 3, 0)
    day = importing.per_day()["2026-01-12"]
    assert (day["visitors"], day["visits"], day["pageviews"], day["custom_events"]) == (5, 5, 12, 2)
    assert {reason: each.count for reason, each in record.report.left_out.items()} == {"automatic": 1}


def test_a_day_that_two_files_have_counts_once(importing: Importing) -> None:
    """The file that has more of it; rows of the other are left out."""
    header = "Date,Page path,Views,Users"
    record = importing.take(
        ("january.csv", report(header, "20260112,/,4,2", "20260113,/,1,1")),
        ("later.csv", report(header, "20260113,/,3,2", "20260113,/b,1,1", "20260114,/,1,1")),
    )
    assert [day["pageviews"] for day in importing.per_day().values()] == [4, 4, 1]
    assert record.report.left_out["same_figures"].first == ["january.csv"]
    assert (record.report.read, record.report.accepted) == (5, 4)


@pytest.mark.parametrize(
    ("content", "advice"),
    [
        (report("Seitenpfad,Aufrufe", "/,12"), "with Date among its rows"),
        (report("Landing page,Sessions", "/,12"), "with Date among its rows"),
        (report("Date,Wyswietlone", "20260112,4"), "to English"),
        (b"Page path,Views\n/,12\n", "with Date among its rows"),
    ],
)
def test_reports_that_say_nothing_of_days_are_refused(importing: Importing, content: bytes, advice: str) -> None:
    """With the way to the right one."""
    with pytest.raises(ImportRefused, match=advice):
        importing.read(("report.csv", content))


def test_columns_are_told_by_their_cells() -> None:
    """Where no list has their headings."""
    rows = [["20260112", "/a", "mobile", "google / organic", "12", "Hem"]]
    assert columns(["1", "2", "3", "4", "5", "6"], rows) == ["date", "page", "device", "source_medium", "", "other"]
    assert named("CATEGORIE D’APPAREIL") == "device"


@pytest.mark.parametrize(
    ("name", "code"), [("Sverige", "SE"), ("Türkiye", "TR"), ("DE", "DE"), ("日本", "JP"), ("x", "")]
)
def test_countries_have_names_in_every_language(name: str, code: str) -> None:
    """Or are codes already."""
    assert country_named(name) == code
