"""A site that imports files, and the figures that come of it."""

# ruff: noqa: S608 -- text is names of our own tables and columns
from __future__ import annotations

import asyncio
import datetime
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clickhouse_connect.driver.client import Client

from collector.imports.file import ImportedFile
from collector.imports.record import ImportRecord
from collector.sites.model import Site
from collector.sites.registry import Sites
from collector.storage.documents import DocumentTable
from tests.board import importing_into

SAMPLES = Path(__file__).parents[2] / "fixtures" / "imports"
DOMAIN = "example.com"
NOW = datetime.datetime(2026, 1, 20, 12, tzinfo=datetime.UTC).timestamp()


@dataclass
class Importing:
    """A site in Stockholm with its imports, on 20 January 2026."""

    client: Client
    directory: Path
    now: float = NOW
    settings: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.sites = Sites(DocumentTable(self.client, "sites", Site), lambda: self.now)
        asyncio.run(self.sites.change(Site(domain=DOMAIN, timezone="Europe/Stockholm", **self.settings)))
        self.imports = importing_into(self.client, self.sites, lambda: self.now, self.directory)

    @property
    def site(self) -> Site:
        """The site as it is now."""
        found = self.sites.get(DOMAIN)
        assert found
        return found

    def read(self, *files: Path | tuple[str, bytes], **options: Any) -> ImportRecord:
        """Read files, each a path or a name with its content."""
        self.now += 1
        return self.imports.read(self.site, map(opened, files), by="test", **options)

    def take(self, *files: Path | tuple[str, bytes], **options: Any) -> ImportRecord:
        """Read files and have their days count."""
        return self.imports.confirm(self.site, self.read(*files, **options).id)

    def rows(self, sql: str) -> Sequence[Any]:
        """Rows of a query."""
        found: Sequence[Any] = self.client.query(sql).result_rows
        return found

    def per_day(self) -> dict[str, dict[str, int]]:
        """The totals of each day that counts, as expected.json names them."""
        names = ("visitors", "visits", "pageviews", "bounces", "seconds", "custom_events")
        return {str(day): dict(zip(names, counts, strict=True)) for day, *counts in self.rows(PER_DAY)}

    def values(self, dimension: str) -> dict[str, tuple[int, int, int]]:
        """Visitors, visits and page views of each day and value of a dimension, as `2026-01-12 VALUE`."""
        found = self.client.query(VALUES, parameters={"dimension": dimension}).result_rows
        return {f"{day} {value}": (visitors, visits, pageviews) for day, value, visitors, visits, pageviews in found}


_COUNTS = "(site, day, version) IN (SELECT site, day, version FROM daily_status FINAL WHERE NOT reopened)"
PER_DAY = f"""
SELECT day, visitors, visits, pageviews, bounces, seconds, custom_events FROM daily_rollup
WHERE dimension = '' AND currency = '' AND {_COUNTS} ORDER BY day"""
VALUES = f"""
SELECT day, value, visitors, visits_with_event, pageviews FROM daily_rollup
WHERE dimension = {{dimension:String}} AND currency = '' AND {_COUNTS} ORDER BY day, value"""


def opened(file: Path | tuple[str, bytes]) -> ImportedFile:
    """A file as it is uploaded."""
    name, content = (file.name, file.read_bytes()) if isinstance(file, Path) else file
    return ImportedFile(name, io.BytesIO(content))


def samples(*names: str) -> Iterator[Path]:
    """Samples by their names."""
    return (SAMPLES / name for name in names)
