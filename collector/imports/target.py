"""Where a format puts what it reads: counts, page views and events, and rows that are left out."""

from __future__ import annotations

import datetime
from typing import Final

from collector.core.timezones import Zone
from collector.enrichment.shortening import shortened_url
from collector.enrichment.url_policy import PageCleaner
from collector.enrichment.urls import clean_value
from collector.imports.report import ImportReport, LeftOut, Note
from collector.imports.scratch import Scratch
from collector.imports.sums import Sum
from collector.imports.visits import STEPS, ForeignRequest
from collector.ingest.payload_fields import MOST_URL, MOST_VALUE
from collector.ingest.pipeline import PipelineServices, Rejection, run
from collector.sites.registry import Site

FIRST_DAY: Final = datetime.date(1990, 1, 1)
"""Dates before it are taken for unreadable ones."""
END_OF_TIME: Final = 1 << 32
"""The Unix second after the last that ClickHouse has a DateTime for."""


class ImportTarget:
    """The receiving end of one import. `own_days` have figures of this server's own, which they keep; days from
    `today` on are not over."""

    def __init__(
        self,
        site: Site,
        zone: Zone,
        services: PipelineServices,
        scratch: Scratch,
        report: ImportReport,
        own_days: frozenset[datetime.date],
        today: datetime.date,
    ) -> None:
        self.site = site
        self.zone = zone
        self.services = services
        self.report = report
        self.file = ""
        """Name of the file that is being read."""
        self.exact = False
        """Whether sums are those of a rollup table, and nothing follows from them."""
        self.without_properties: set[datetime.date] = set()
        """Days of such a table that have no sums by property."""
        self._scratch = scratch
        self._own_days = own_days
        self._today = today
        self._pages = PageCleaner()
        self._overlapping: set[datetime.date] = set()

    def add_sums(self, source: str, day: datetime.date, line: int, *rows: Sum) -> None:
        """Add the counts of one row of a file."""
        reason = self._reason(day)
        if reason:
            self.leave_out(reason, line)
            return
        for row in rows:
            self._scratch.add_sum(row)
        self.report.accept(source)

    def add_request(self, source: str, request: ForeignRequest, line: int) -> None:
        """Take one row of a file through the pipeline."""
        known = 0 <= request.at < END_OF_TIME
        reason = self._reason(self.zone.date(request.at)) if known else "date"
        if reason:
            self.leave_out(reason, line)
            return
        event = run(request, self.site.domain, self.services, STEPS)
        if isinstance(event, Rejection):
            self.leave_out(event.reason, line)  # type: ignore[arg-type] # consent and rate cannot be
            return
        self._scratch.add_event(event)
        self.report.accept(source)

    def leave_out(self, reason: LeftOut, line: int) -> None:
        """A row that does not count."""
        self.report.leave_out(reason, f"{self.file}:{line}")

    def note(self, note: Note) -> None:
        """Something that the owner should know."""
        self.report.note(note)

    def page(self, hostname: str, path: str) -> str:
        """The cleaned path of a page, as the site's rules want it."""
        host = hostname or self.site.domain
        url = f"https://{host}{path if path.startswith('/') else '/' + path}"
        return self._pages.read(shortened_url(url, MOST_URL), self.site, hash_mode=False).path

    def text(self, value: str) -> str:
        """A name or value without what could lead to a person."""
        return clean_value(value[:MOST_VALUE])

    @property
    def overlapping(self) -> list[datetime.date]:
        """Days of the files that have own figures."""
        return sorted(self._overlapping)

    def _reason(self, day: datetime.date) -> LeftOut | None:
        if day in self._own_days:
            self._overlapping.add(day)
            return "own_figures"
        if day >= self._today:
            return "day_not_over"
        return "date" if day < FIRST_DAY else None
