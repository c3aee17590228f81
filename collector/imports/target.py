"""Where a format puts what it reads: counts, page views and events, and rows that are left out."""

from __future__ import annotations

import datetime
from typing import Final, Protocol, TypeVar

import msgspec

from collector.core.errors import ImportRefused
from collector.core.text import without_hidden
from collector.core.timezones import Zone
from collector.enrichment.shortening import shortened_url
from collector.enrichment.url_policy import PageCleaner
from collector.enrichment.urls import clean_value
from collector.imports.limits import MOST_MONTHS, MOST_PARTS
from collector.imports.report import ImportReport, LeftOut, Note
from collector.imports.scratch import EventOrigin, Scratch
from collector.imports.scratch_details import EventLink, EventProperty, EventRevenue, SessionDetails
from collector.imports.sums import Sum
from collector.imports.visits import STEPS, ForeignRequest, digest_of
from collector.ingest.context import PipelineServices, Rejection
from collector.ingest.payload_fields import MOST_URL, MOST_VALUE
from collector.ingest.pipeline import run
from collector.sites.model import Site

FIRST_DAY: Final = datetime.date(1990, 1, 1)
"""Dates before it are taken for unreadable ones."""
END_OF_TIME: Final = 1 << 32
"""The Unix second after the last that ClickHouse has a DateTime for."""


_encode = msgspec.json.Encoder().encode


class Notebook(Protocol):
    """What a format remembers from one file of an import to the next."""


N = TypeVar("N", bound=Notebook)


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
        self._months: set[int] = set()
        self._notebooks: dict[type[Notebook], Notebook] = {}
        self._files: list[str] = []
        self._requests_are = ""

    def begin(self, name: str) -> None:
        """A file, or a table of one, begins. Raises `ImportRefused` for one too many."""
        if len(self._files) >= MOST_PARTS:
            raise ImportRefused("file", "expected at most {count} files and tables", count=MOST_PARTS)
        self._files.append(name)
        self.file = name

    def notebook(self, kind: type[N]) -> N:
        """What a format remembers of the files of this import."""
        found = self._notebooks.setdefault(kind, kind())
        if not isinstance(found, kind):
            raise TypeError("expected a notebook of that kind")
        return found

    def add_sums(self, source: str, day: datetime.date, line: int, *rows: Sum) -> None:
        """Add the counts of one row of a file."""
        reason = self._reason(day)
        if reason:
            self.leave_out(reason, line)
            return
        self._count_month(day)
        self._scratch.sums.add(source, len(self._files), *rows)
        self.report.accept(source)

    def add_request(
        self,
        source: str,
        request: ForeignRequest,
        line: int,
        *,
        row: str | bytes = b"",
        link: EventLink | None = None,
    ) -> None:
        """Take one row of a file through the pipeline. Another file that has the `row`, or the same request where that
        is not given, repeats it; by the `link` details of it are found in other files."""
        known = 0 <= request.at < END_OF_TIME
        reason = self._reason(self.zone.date(request.at)) if known else "date"
        if reason:
            self.leave_out(reason, line)
            return
        event = run(request, self.site.domain, self.services, STEPS)
        if isinstance(event, Rejection):
            self.leave_out(event.reason, line)  # type: ignore[arg-type] # consent and rate cannot be
            return
        self._count_month(event.day)
        self._requests_are = source
        origin = EventOrigin(len(self._files), line, digest_of(row or _encode(request)))
        self._scratch.add_event(event, origin, link)
        self.report.accept(source)

    def add_session(self, session: SessionDetails) -> None:
        """Add what a file tells of a session, whose events are in another."""
        self._scratch.details.add_session(session)
        self.report.accept("sessions")

    def add_property(self, given: EventProperty) -> None:
        """Add a property of an event, which is in another file."""
        cleaned = given._replace(key=self.text(given.key), value=self.text(given.value))
        self._scratch.details.add_property(cleaned)
        self.report.accept("properties")

    def add_revenue(self, given: EventRevenue) -> None:
        """Add revenue of an event, which is in another file."""
        self._scratch.details.add_revenue(given)
        self.report.accept("revenue")

    def finish(self) -> None:
        """All files were read: count one of several that have the same, and only details of events that there are."""
        for repeated in self._scratch.repeats.find():
            name = self._files[repeated.file - 1]
            places = (f"{name}:{line}" for line in repeated.lines)
            self.report.take_back("repeated", self._requests_are, places, repeated.rows)
        for each in self._scratch.sums.choose():
            self.report.take_back("same_figures", each.source, [self._files[each.file - 1]], each.rows)
        for source, strays in self._scratch.details.strays().items() if self._scratch.details.found else ():
            self.report.take_back("no_event", source, [], strays)

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
        return clean_value(without_hidden(value[:MOST_VALUE]))

    @property
    def overlapping(self) -> list[datetime.date]:
        """Days of the files that have own figures."""
        return sorted(self._overlapping)

    def _count_month(self, day: datetime.date) -> None:
        """Each month is a part of the rollup table. Raises `ImportRefused` for one too many."""
        self._months.add(day.year * 12 + day.month)
        if len(self._months) > MOST_MONTHS:
            raise ImportRefused(
                "file",
                "the files have days of more than {count} months; import them in parts, for example ten years at a "
                "time. Nothing was imported",
                count=MOST_MONTHS,
            )

    def _reason(self, day: datetime.date) -> LeftOut | None:
        if day in self._own_days:
            self._overlapping.add(day)
            return "own_figures"
        if day >= self._today:
            return "day_not_over"
        return "date" if day < FIRST_DAY else None
