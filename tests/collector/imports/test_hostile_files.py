"""Files with anything in them: rows that cannot be are left out, and reading takes time in proportion to the size."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest

from collector.core.errors import ImportRefused
from collector.imports.file import ImportedFile
from collector.imports.formats.json_stream import objects
from collector.imports.formats.text_log import TEXT_LOG
from tests.collector.imports.imported import Importing, opened

UMAMI = "session_id,url_path,event_type,created_at\n"
GOATCOUNTER = "2Path,Event,Session,Date,Referrer,Referrer scheme,Bot,Screen size\n"
TYST = (
    "date,dimension,value,currency,visitors,visits,pageviews,custom_events,pageviews_without_visit,bounces,seconds,"
    "page_reads,engagement_ms,scroll_depth_sum,revenue,revenue_events,properties\n"
)


def matomo(timestamp: object) -> str:
    """One visit with one action at that time."""
    action = {"type": "action", "url": "https://example.com/", "timestamp": timestamp}
    return json.dumps([{"idVisit": 1, "visitorId": "a", "actionDetails": [action]}])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (matomo(10**30), "date"),
        (matomo(-(10**12)), "date"),
        (matomo(float("inf")), "unreadable"),
        (matomo(float("nan")), "unreadable"),
        (f"{UMAMI}a,/,1,9999-12-31 23:59:59-23:00\n", "date"),
        (f"{UMAMI}a,/,1,0001-01-01 00:00:00+23:00\n", "date"),
        (f"{GOATCOUNTER}/,false,a,2026-01-12T08:00:00Z,,,false,{'9' * 400}\n", "unreadable"),
        (f"{TYST}2026-01-12,,,,{10**30},1,1,0,0,0,0,0,0,0,0,0,1\n", "unreadable"),
        (f"{TYST}2026-01-12,,,,1,1,1,0,0,0,0,0,0,0,{2**63},1,1\n", "unreadable"),
        (f"date,visitors,visits,bounces\n2026-01-12,{10**30},1,1\n", "unreadable"),
    ],
)
def test_a_row_that_cannot_be_is_left_out(importing: Importing, content: str, reason: str) -> None:
    """Times that no calendar has and numbers that no column holds are the file's mistake, not the server's."""
    report = importing.read(("upload", content.encode())).report
    assert (report.read, {name: each.count for name, each in report.left_out.items()}) == (1, {reason: 1})


@pytest.mark.parametrize("broken", ["[" * 100_000, '{"a":' * 50_000, '{"idVisit": "', "{]}"])
def test_json_that_is_none_is_refused(importing: Importing, broken: str) -> None:
    """Also what is nested deeper than anything can read."""
    with pytest.raises(ImportRefused, match="incomplete or damaged"):
        importing.read(("upload", f'[{{"idVisit": 1, "actionDetails": {broken}'.encode()))


def test_a_file_that_begins_with_an_endless_object_is_in_no_format(importing: Importing) -> None:
    """What it is called, and what it is, is found out without an end of it."""
    with pytest.raises(ImportRefused, match="not in a supported format"):
        importing.read(("upload", b'{"a":' * 20_000))


def seconds(read: Callable[[], object]) -> float:
    """The processor time that it takes, the least of three."""

    def once() -> float:
        began = time.thread_time()
        read()
        return time.thread_time() - began

    return min(once() for _ in range(3))


def matomo_lines(count: int) -> Callable[[], object]:
    """A visit that is pretty-printed over so many lines."""
    content = b'[{"idVisit":1,"actionDetails":[\n' + b"1,\n" * count + b"1]}]"
    return lambda: sum(1 for _ in objects(opened(("upload", content))))


def matomo_objects(count: int) -> Callable[[], object]:
    """So many objects in one line."""
    content = b"[" + b'{"idVisit":1},' * count + b"{}]"
    return lambda: sum(1 for _ in objects(opened(("upload", content))))


def log_line(count: int) -> Callable[[], object]:
    """The beginning of a log whose user has a name of so many dots."""
    content = b"192.0.2.1 - a " + b"." * count + b" b"
    file: ImportedFile = opened(("upload", content))
    return lambda: TEXT_LOG.recognises(file)


@pytest.mark.parametrize(("work", "count"), [(matomo_lines, 8_000), (matomo_objects, 8_000), (log_line, 4_000)])
def test_reading_takes_time_in_proportion(work: Callable[[int], Callable[[], object]], count: int) -> None:
    """Of eight times as much it takes about eight times as long, not sixty-four times."""
    assert seconds(work(8 * count)) < 24 * seconds(work(count)) + 0.02


def test_texts_have_the_lengths_of_beacons(importing: Importing) -> None:
    """A path of a hundred thousand characters is cut before anything looks at it."""
    line = '192.0.2.1 - - [12/Jan/2026:08:00:00 +0000] "GET /{} HTTP/1.1" 200 5 "https://other.example/{}" "{}"\n'
    dotted = "1." * 50_000 + "1 " * 50_000
    agent = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"
    began = time.thread_time()
    content = line.format("first", "", agent) + line.format(dotted, dotted, agent)
    importing.take(("access.log", content.encode()))
    assert time.thread_time() - began < 2
    assert all(len(value) < 600 for value in importing.values("event:page"))
    assert len(importing.values("event:page")) == 2


def test_names_of_files_have_no_hidden_characters(importing: Importing) -> None:
    """They stand in lists, in reports and among the changes."""
    name = "a\0\u202evsc.\r\n\u200bcsv"
    record = importing.read((name, b"date,visitors,visits,bounces\n2026-01-12,1,1,1\nx,1,1,1\n"))
    assert record.name.isprintable()
    assert all(line.isprintable() for each in record.report.left_out.values() for line in each.first)
    assert importing.read(("a", b"date,visitors,visits,bounces\n"), name=name).name.isprintable()
