"""The site-local day: which date a moment has in a time zone, and when that date begins and ends."""

from __future__ import annotations

import datetime
import zoneinfo


class Zone:
    """An IANA time zone. Dates follow its clock, daylight-saving changes included."""

    def __init__(self, name: str) -> None:
        """Raises `ValueError` for a name that the time zone database does not know."""
        try:
            self._zone = zoneinfo.ZoneInfo(name)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"{name!r} is no IANA time zone, such as Europe/Stockholm") from None
        self.name = name
        self._last = (datetime.date.min, 0, 0)

    def date(self, ts: float) -> datetime.date:
        """The local date of Unix second `ts`. The day asked for last is remembered: beacons come from today."""
        day, begins, ends = self._last
        if not begins <= ts < ends:
            day = datetime.datetime.fromtimestamp(ts, self._zone).date()
            # One value, set at once: threads share the zone.
            self._last = (day, *self.bounds(day))
        return day

    def bounds(self, day: datetime.date) -> tuple[int, int]:
        """Unix seconds at which the local date `day` begins, and the next one does."""
        last, begins, ends = self._last
        if day == last and ends:
            return begins, ends
        return self._midnight(day), self._midnight(day + datetime.timedelta(days=1))

    def _midnight(self, day: datetime.date) -> int:
        """First second of a local date. Where clocks skip midnight, that is when they skip to."""
        midnight = datetime.datetime(day.year, day.month, day.day, tzinfo=self._zone)
        ts = int(midnight.timestamp())
        # In a gap `timestamp` counts with the offset before it, and lands inside the right date or just before.
        while datetime.datetime.fromtimestamp(ts, self._zone).date() < day:
            ts += 900
        return ts
