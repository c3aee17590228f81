"""Annotations: notes on dates of a site, shown on the chart."""

from __future__ import annotations

import datetime
import secrets
from collections.abc import Mapping
from functools import partial

import anyio.to_thread
import msgspec

from collector.core.errors import RecordError
from collector.core.text import is_one_line
from collector.sites.model import Site
from collector.storage.site_records import SiteRecord, SiteRecords
from dashboard.i18n.translations import _

LONGEST_NOTE = 200
MOST_NOTES = 500
"""Notes that one user may have written for one site."""

_EARLIEST, _LATEST = datetime.date(1971, 1, 1), datetime.date(2148, 12, 31)


class Annotation(SiteRecord, frozen=True, kw_only=True, omit_defaults=True):
    """One note about the site as a whole: for everybody who has an account that sees the site."""

    day: datetime.date
    """Site-local date."""
    text: str
    shared: bool = False
    """Whether guests read it too: behind shared links, and where the figures are public."""
    by: str = ""
    """Name of the user who wrote it first."""


class Annotations(SiteRecords[Annotation]):
    """All annotations. Reads are from memory; changes are written to ClickHouse first."""

    max_of_user = MOST_NOTES

    def of(self, site: Site) -> list[Annotation]:
        """The site's notes, the earliest first."""
        return sorted(self._of_site(site.id), key=lambda note: (note.day, note.text))

    def within(self, site: Site, first: datetime.date, last: datetime.date, *, guest: bool = False) -> list[Annotation]:
        """The site's notes on these dates, both included; those that a guest may read."""
        return [note for note in self.of(site) if first <= note.day <= last and (note.shared or not guest)]

    def get(self, site: Site, id_: str) -> Annotation | None:
        """The site's note of that id, or None."""
        return self._find(site.id, id_)

    async def add(self, site: Site, by: str, day: str, text: str, *, shared: bool = False) -> Annotation:
        """Create a note. Raises `RecordError` naming the invalid field."""
        note = Annotation(id=secrets.token_hex(8), site=site.id, day=_day(day), text=_text(text), shared=shared, by=by)

        def may_add(notes: Mapping[str, Annotation]) -> None:
            if sum(each.site == site.id and each.by == by for each in notes.values()) >= self.max_of_user:
                raise RecordError("text", _("there are too many annotations already"))

        await anyio.to_thread.run_sync(self._records.create, note.id, note, may_add)
        return note

    async def update(self, note: Annotation, day: str, text: str, *, shared: bool = False) -> Annotation:
        """Change the date or text of a note. Raises `RecordError` naming the invalid field."""
        fields = {"day": _day(day), "text": _text(text), "shared": shared}
        change = partial(msgspec.structs.replace, **fields)
        return (await self._update(note.site, note.id, change))[1]


def _day(text: str) -> datetime.date:
    try:
        day = datetime.date.fromisoformat(text.strip())
    except ValueError:
        raise RecordError("date", _("expected a date")) from None
    if not _EARLIEST <= day <= _LATEST:
        raise RecordError("date", _("expected a date from {first} to {last}").format(first=_EARLIEST, last=_LATEST))
    return day


def _text(given: str) -> str:
    text = " ".join(given.split())
    if not is_one_line(text, LONGEST_NOTE):
        raise RecordError("text", _("expected 1 to {most} characters").format(most=LONGEST_NOTE))
    return text
