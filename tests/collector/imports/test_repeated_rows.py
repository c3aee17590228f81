"""Rows that several files of one import share: each counts once, and the report says how many were left out."""

from __future__ import annotations

import gzip
import random
from collections.abc import Sequence

import pytest

from collector.imports import scratch_repeats
from collector.imports.record import ImportRecord
from tests.collector.imports.imported import SAMPLES, Importing
from tests.collector.imports.log_lines import lines
from tests.length import long

LOG = (SAMPLES / "logs" / "combined.log").read_bytes()
MADE = [line.replace("2025", "2026").replace("Jun", "Jan").encode() for line in lines(300, 7, 3)]
"""Lines of the first three days of January."""
VIEW = next(each for each in MADE if b"GET /articles" in each and b"bot" not in each)
"""One of them that is a page view."""


def everything(importing: Importing) -> Sequence[object]:
    """Every row that counts."""
    return importing.rows(
        "SELECT * EXCEPT version FROM daily_rollup WHERE (site, day, version) IN "
        "(SELECT site, day, version FROM daily_status FINAL WHERE NOT reopened) ORDER BY ALL"
    )


def repeated(record: ImportRecord) -> int:
    """How many rows were left out as repeated, of a report that adds up."""
    report = record.report
    assert report.read == report.accepted + sum(each.count for each in report.left_out.values())
    assert report.accepted == sum(report.sources.values())
    return report.left_out["repeated"].count if "repeated" in report.left_out else 0


def files(*contents: Sequence[bytes]) -> list[tuple[str, bytes]]:
    """Files with these lines."""
    return [(f"access.log.{number}", b"".join(content)) for number, content in enumerate(contents)]


def test_a_file_given_twice_counts_once(importing: Importing) -> None:
    """Packed or not, and whichever comes first; the report names the file and its lines."""
    whole = importing.take(("access.log", LOG))
    before = everything(importing)
    record = importing.take(("access.log", LOG), ("access.log.1.gz", gzip.compress(LOG)))
    assert everything(importing) == before
    assert repeated(record) == whole.report.accepted == record.report.accepted
    first = record.report.left_out["repeated"].first
    assert len(first) == len(set(first)) == min(whole.report.accepted, 20)
    assert all(place.startswith("access.log.1.gz:") for place in first)


@long
def test_overlapping_files_count_each_line_once(importing: Importing, monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of one is the begin of the next, in any order of files, and however few are compared at a time."""
    monkeypatch.setattr(scratch_repeats, "COMPARED_AT_A_TIME", 20)
    accepted = importing.take(("access.log", b"".join(MADE))).report.accepted
    before = everything(importing)
    split = files(MADE[:140], MADE[100:230], MADE[200:])
    shared = [importing.read(("part", b"".join(part))).report.accepted for part in (MADE[100:140], MADE[200:230])]
    for given in (split, split[::-1]):
        record = importing.take(*given)
        assert everything(importing) == before
        assert (repeated(record), record.report.accepted) == (sum(shared), accepted)


@long
def test_interleaved_files_lose_nothing(importing: Importing) -> None:
    """Of two servers, which took turns; and lines that both have count once."""
    chosen = random.Random(3)  # noqa: S311 -- made up, not secret
    of_both = [line for line in MADE if chosen.random() < 0.2]
    importing.take(("access.log", b"".join(MADE)))
    before = everything(importing)
    assert repeated(importing.take(*files(MADE[::2], MADE[1::2]))) == 0
    assert everything(importing) == before
    shared = importing.read(("part", b"".join(of_both))).report.accepted
    assert repeated(importing.take(*files(MADE[::2], MADE[1::2], of_both))) == shared
    assert everything(importing) == before


def test_equal_requests_within_a_file_are_several(importing: Importing) -> None:
    """Two in one second are two, also where another file has both of them, or one more."""
    importing.take(*files([VIEW] * 2))
    assert [day["pageviews"] for day in importing.per_day().values()] == [2]
    assert repeated(importing.take(*files([VIEW] * 2, [VIEW] * 2, [VIEW]))) == 3
    assert [day["pageviews"] for day in importing.per_day().values()] == [2]
    assert repeated(importing.take(*files([VIEW] * 2, [VIEW] * 3))) == 2
    assert [day["pageviews"] for day in importing.per_day().values()] == [3]


def test_lines_that_differ_are_not_repeated(importing: Importing) -> None:
    """Two requests of one visitor, page and second that differ in a byte of the line, as in their sizes."""
    other = VIEW.replace(b" 5120 ", b" 5121 ")
    assert other != VIEW
    assert repeated(importing.take(*files([VIEW], [other]))) == 0
    assert [day["pageviews"] for day in importing.per_day().values()] == [2]


def test_page_views_of_nobody_are_compared_too(importing: Importing) -> None:
    """Those of logs without user agents, in more than one share of a day."""
    common = [b'"'.join(line.split(b'"')[:3]).rstrip() + b"\n" for line in MADE]
    accepted = importing.take(*files(common)).report.accepted
    before = everything(importing)
    record = importing.take(*files(common[:180], common[120:]))
    assert record.report.accepted == accepted
    assert repeated(record) > 0
    assert everything(importing) == before


@pytest.mark.parametrize(
    "name", ["umami/website_event.csv", "goatcounter/export.csv", "matomo/Live.getLastVisitsDetails.json"]
)  # fmt: skip
def test_exports_of_visits_that_overlap_count_once(importing: Importing, name: str) -> None:
    """Rows of other products' exports are compared as lines of logs are."""
    content = (SAMPLES / name).read_bytes()
    accepted = importing.take(("one", content)).report.accepted
    before = everything(importing)
    record = importing.take(("one", content), ("two", content.rstrip(b"\n") + b"\n"))
    assert everything(importing) == before
    assert repeated(record) == record.report.accepted == accepted
