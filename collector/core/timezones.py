"""Site-local dates: conversion between timestamps and dates in a time zone."""

from __future__ import annotations

import datetime
import zoneinfo
from collections.abc import Sequence

import msgspec


class FormerZone(msgspec.Struct, frozen=True):
    """A time zone that a site had until a Unix second."""

    until: int
    timezone: str


class Zone:
    """An IANA time zone. Dates follow its clock, daylight-saving changes included."""

    def __init__(self, name: str) -> None:
        """Raises `ValueError` for a name that the time zone database does not know."""
        try:
            self._zone = zoneinfo.ZoneInfo(name)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"{name!r} is not an IANA time zone such as Europe/Stockholm") from None
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


def borders(day: datetime.date, timezone: str, former: Sequence[FormerZone] = ()) -> tuple[int, int]:
    """Unix seconds at which a date begins and ends as events were counted: by the time zone that the site had then.

    `former` are the site's earlier time zones, oldest first. The date on which one was changed goes on until the
    change, and for as long as the next time zone has the same date.
    """
    names = [each.timezone for each in former] + [timezone]
    for index, each in enumerate(former):
        zone = Zone(each.timezone)
        changed = zone.date(each.until)
        if day < changed:
            return zone.bounds(day)
        if day == changed:
            return zone.bounds(day)[0], max(each.until, Zone(names[index + 1]).bounds(day)[1])
    return Zone(timezone).bounds(day)


def zone_offsets(name: str, first: int, last: int) -> list[tuple[int, int]]:
    """The offsets from UTC that a time zone has between two Unix seconds and a day around them: pairs of the Unix
    second from which one holds, and the offset in seconds."""
    zone, half_day = zoneinfo.ZoneInfo(name), 43_200

    def offset(ts: int) -> int:
        return int((datetime.datetime.fromtimestamp(ts, zone).utcoffset() or datetime.timedelta()).total_seconds())

    begins = max(0, first - 2 * half_day)
    found = [(begins, offset(begins))]
    for ts in range(begins, last + 2 * half_day, half_day):
        before, after = ts, ts + half_day
        if offset(after) != found[-1][1]:
            while after - before > 1:
                middle = (before + after) // 2
                before, after = (middle, after) if offset(middle) == found[-1][1] else (before, middle)
            found.append((after, offset(after)))
    return found
