"""Notes on dates of a site: what its owners want to remember when they look at the chart."""

from __future__ import annotations

import datetime
import secrets

import anyio.to_thread
import msgspec

from collector.exceptions import RecordError
from collector.records import Records
from dashboard.wording import _

LONGEST_NOTE = 200
MOST_NOTES = 2_000
"""Notes of one site."""

_EARLIEST, _LATEST = datetime.date(1971, 1, 1), datetime.date(2148, 12, 31)


class Annotation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One note about the site as a whole: for everybody who has an account that sees the site."""

    id: str
    site: str
    day: datetime.date
    """Site-local date."""
    text: str
    shared: bool = False
    """Whether guests read it too: behind secret links, and where the figures are public."""


class Annotations:
    """All notes. Reading is from memory; changes go to ClickHouse first."""

    def __init__(self, records: Records[Annotation]) -> None:
        self._records = records
        self._notes: dict[str, Annotation] = {}

    def refresh(self) -> None:
        """Read every note from ClickHouse. Blocking."""
        self._notes = self._records.all()

    def of(self, site: str) -> list[Annotation]:
        """The site's notes, the earliest first."""
        found = (note for note in self._notes.values() if note.site == site)
        return sorted(found, key=lambda note: (note.day, note.text))

    def within(self, site: str, first: datetime.date, last: datetime.date, *, guest: bool = False) -> list[Annotation]:
        """The site's notes on these dates, both included; those that a guest may read."""
        return [note for note in self.of(site) if first <= note.day <= last and (note.shared or not guest)]

    def get(self, site: str, id_: str) -> Annotation | None:
        """The site's note of that id, or None."""
        note = self._notes.get(id_)
        return note if note is not None and note.site == site else None

    async def put(self, site: str, day: str, text: str, id_: str = "", *, shared: bool = False) -> Annotation:
        """Write a note, new without an id. Raises `RecordError` naming what must be mended."""
        if not id_ and len(self.of(site)) >= MOST_NOTES:
            raise RecordError("text", _("there are too many notes already"))
        note = Annotation(id=id_ or secrets.token_hex(8), site=site, day=_day(day), text=_text(text), shared=shared)
        await anyio.to_thread.run_sync(self._records.put, note.id, note)
        self._notes = {**self._notes, note.id: note}
        return note

    async def remove(self, note: Annotation) -> None:
        """Take a note away."""
        await anyio.to_thread.run_sync(self._records.delete, note.id)
        self._notes = {id_: each for id_, each in self._notes.items() if id_ != note.id}

    async def move(self, site: str, to: str) -> None:
        """The site has another name from now on."""
        for note in self.of(site):
            await self.put(to, str(note.day), note.text, note.id, shared=note.shared)

    async def forget(self, site: str) -> None:
        """Take all notes of a site away."""
        for note in self.of(site):
            await self.remove(note)


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
    if not 0 < len(text) <= LONGEST_NOTE or not text.isprintable():
        raise RecordError("text", _("expected 1 to {most} characters").format(most=LONGEST_NOTE))
    return text
