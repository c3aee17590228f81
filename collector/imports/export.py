"""Export of a site: its daily figures as a zip file of CSV tables, and its events as JSON lines or Parquet.

The tables are those of Plausible's export, which many products read. What they have no place for, such as channels and
properties, is in one more: the rollup table itself, from which an import gets every figure back.
"""

# ruff: noqa: S608 -- text is names of our own tables and columns; every value is bound
from __future__ import annotations

import datetime
import secrets
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final, Literal, cast

from clickhouse_connect.driver.client import Client

from collector.core.csv import MARKING
from collector.ingest.event import COLUMNS
from collector.rollups.daily_status import SCHEMAS_WITH_PROPERTIES
from collector.sites.model import Site

EventFormat = Literal["jsonl", "parquet"]
BLOCK: Final = 1 << 20


def export_daily(client: Client, site: Site, directory: Path) -> IO[bytes]:
    """The daily figures of all days that are over, as a zip file without a name in `directory`. Blocking."""
    spooled = tempfile.TemporaryFile(dir=directory)  # noqa: SIM115 # whoever gets it closes it
    parameters: dict[str, object] = {"site": site.domain, **MARKING}
    first, last = client.query(_SPAN, parameters=parameters).result_rows[0]
    with zipfile.ZipFile(spooled, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, statement in _TABLES.items():
            prefix = "tyst" if name == "daily" else "imported"
            with archive.open(
                f"{prefix}_{name}_{_compact(first)}_{_compact(last)}.csv", "w", force_zip64=True
            ) as entry:
                for block in stream(client, statement, parameters, "CSVWithNames"):
                    entry.write(block)
    spooled.seek(0)
    return spooled


def export_events(client: Client, site: Site, before: datetime.date, format: EventFormat) -> Iterator[bytes]:  # noqa: A002
    """The events of days before `before`, as far as they are kept. Ids of visitors are other ones in each export: they
    tell events of one visitor and day together, and lead to nothing else."""
    parameters = {"site": site.domain, "before": before, "key": secrets.randbits(64), "other": secrets.randbits(64)}
    return stream(client, _EVENTS, parameters, "JSONEachRow" if format == "jsonl" else "Parquet")


def stream(client: Client, statement: str, parameters: dict[str, object], form: str) -> Iterator[bytes]:
    """The blocks of a statement's result."""
    source = cast("IO[bytes]", client.raw_stream(statement, parameters=parameters, fmt=form))
    try:
        while block := source.read(BLOCK):
            yield block
    finally:
        source.close()


def file_name(site: Site, today: datetime.date) -> str:
    """Name of a site's zip file, such as `example_com_20260115.zip`."""
    plain = "".join(letter if letter.isalnum() and letter.isascii() else "_" for letter in site.domain)
    return f"{plain}_{_compact(today)}.zip"


def _compact(day: datetime.date) -> str:
    return f"{day:%Y%m%d}"


_CLOSED = "SELECT day, version, schema_version FROM daily_status FINAL WHERE site = {site:String} AND NOT reopened"
_SPAN = f"SELECT min(day), max(day) FROM ({_CLOSED})"
_MARKED = "{formula:String}, {marked:String}"
_KEY, _TEXT = f"replaceRegexpAll(dimension, {_MARKED})", f"replaceRegexpAll(value, {_MARKED})"
_VISITS = "visitors, visits, seconds AS visit_duration, bounces, pageviews"


def _table(columns: str, dimension: str, where: str = "1") -> str:
    return f"""
SELECT day AS date, {columns} FROM daily_rollup INNER JOIN ({_CLOSED}) AS counting USING (day, version)
WHERE site = {{site:String}} AND dimension = '{dimension}' AND currency = '' AND {where} ORDER BY date, value"""


_TABLES: Final = {
    "daily": f"""
SELECT day AS date, {_KEY} AS dimension, {_TEXT} AS value, currency, visitors, visitors + extra_visits AS visits,
    pageviews, custom_events, pageviews_without_visit, bounces, seconds, page_reads, engagement_ms, scroll_depth_sum,
    revenue, revenue_events,
    schema_version IN {SCHEMAS_WITH_PROPERTIES} AS properties
FROM daily_rollup INNER JOIN ({_CLOSED}) AS counting USING (day, version) WHERE site = {{site:String}}
ORDER BY date, dimension, value, currency""",
    "visitors": _table("visitors, pageviews, bounces, visits, seconds AS visit_duration", ""),
    "sources": _table(
        f"{_TEXT} AS source, '' AS referrer, '' AS utm_source, '' AS utm_medium, '' AS utm_campaign, "
        "'' AS utm_content, '' AS utm_term, pageviews, visitors, visits, seconds AS visit_duration, bounces",
        "visit:source",
    ),
    "pages": _table(
        f"{{site:String}} AS hostname, {_TEXT} AS page, visits_with_event AS visits, visitors, pageviews, "
        "scroll_depth_sum AS total_scroll_depth, page_reads AS total_scroll_depth_visits, "
        "intDiv(engagement_ms, 1000) AS total_time_on_page, "
        "page_reads AS total_time_on_page_visits",
        "event:page",
    ),
    "entry_pages": _table(
        f"{_TEXT} AS entry_page, visitors, visits AS entrances, seconds AS visit_duration, bounces, pageviews",
        "visit:entry_page",
    ),
    "exit_pages": _table(
        f"{_TEXT} AS exit_page, visitors, seconds AS visit_duration, visits AS exits, bounces, pageviews",
        "visit:exit_page",
    ),
    "custom_events": _table(
        f"{_TEXT} AS name, '' AS link_url, '' AS path, visitors, custom_events AS events",
        "event:name",
        "value != 'pageview'",
    ),
    "locations": _table(
        f"value AS country, '' AS region, 0 AS city, {_VISITS}", "visit:country", "value != ''"
    ),
    "devices": _table(f"initcap(value) AS device, {_VISITS}", "visit:device"),
    "browsers": _table(f"{_TEXT} AS browser, '' AS browser_version, {_VISITS}", "visit:browser"),
    "operating_systems": _table(
        f"{_TEXT} AS operating_system, '' AS operating_system_version, {_VISITS}", "visit:os"
    ),
}  # fmt: skip
"""Statements of the tables, by name; the rollup table is first, so that whoever reads it may leave out the others."""

_ID = "sipHash64Keyed((toUInt64({key:UInt64}), toUInt64({other:UInt64})), toUInt64(visitor), day)"
_EVENTS: Final = f"""
SELECT {", ".join(f"if(visitor = 0, 0, {_ID}) AS visitor" if name == "visitor" else name for name in COLUMNS)}
FROM events WHERE site = {{site:String}} AND day < {{before:Date}} ORDER BY day, ts, seq"""
