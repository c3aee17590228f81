"""Serialisation of events as rows of JSON, in which they are spooled and inserted.

A row is an event's fields as an array of JSON, in the order of the columns (ClickHouse's JSONCompactEachRow). Between
the spool and ClickHouse nothing takes rows apart: that would keep the interpreter from the requests of the moment,
while ClickHouse reads them beside it.
"""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Collection, Iterable, Sequence
from functools import cached_property
from typing import overload

import msgspec

from collector.ingest.event import Event

FORMAT = "JSONCompactEachRow"

_FEW_VISITORS = 4
"""Looking for so many takes as long as decoding whose the rows are."""

encode = msgspec.json.Encoder().encode
"""One event's row; or what of one is looked for in rows, such as its visitor."""

_decoder = msgspec.json.Decoder(list[Event])
# Groups of the first release's spool.
_PACKED = b"\xdd"
_unpacker = msgspec.msgpack.Decoder(list[Event])


class _Head(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What is looked at of every row on its way to ClickHouse."""

    site: str
    day: datetime.date


_heads = msgspec.json.Decoder(list[_Head])


class _RowVisitor(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The columns of a row as far as its visitor."""

    site: str
    day: str
    ts: int
    visitor: int


_visitors_of_rows = msgspec.json.Decoder(list[_RowVisitor])


def group(rows: Iterable[bytes]) -> bytes:
    """Rows that lie in the spool together; some may be none, and some several."""
    return b",".join(filter(None, rows))


def events_of(grouped: bytes) -> list[Event]:
    """The events of such a group. Raises `ValueError` for one that was damaged on the disk."""
    if grouped.startswith(_PACKED):
        return _unpacker.decode(grouped)
    return _decoder.decode(b"[%b]" % grouped)


def readable_events_of(grouped: bytes) -> list[Event] | None:
    """The events of such a group; None of a damaged one, which is reported when it is to be inserted."""
    try:
        return events_of(grouped)
    except ValueError:
        return None


def may_have(grouped: bytes, needles: Iterable[bytes]) -> bool:
    """Whether a group may have a row with one of these, encoded or parts of texts. Looking for their bytes is a
    thousand times faster than decoding; what is found by chance does no harm."""
    return grouped.startswith(_PACKED) or any(needle in grouped for needle in needles)


def may_have_visitors(grouped: bytes, visitors: Collection[int]) -> bool:
    """The same for visitors. Of some thousands each would be looked for by itself: beyond a few, the rows tell whose
    they are."""
    if len(visitors) > _FEW_VISITORS and not grouped.startswith(_PACKED):
        # A damaged group may still name somebody.
        with contextlib.suppress(ValueError):
            return any(row.visitor in visitors for row in _visitors_of_rows.decode(b"[%b]" % grouped))
    return may_have(grouped, map(encode, visitors))


class SerializedEvents(Sequence[Event]):
    """The events of some groups, which are taken apart only when one of them is looked at."""

    def __init__(self, groups: Sequence[bytes], count: int) -> None:
        self._groups = [group(map(encode, events_of(each))) if each.startswith(_PACKED) else each for each in groups]
        self._count = count

    @classmethod
    def of(cls, events: Sequence[Event]) -> SerializedEvents:
        """Raises `TypeError` for what is no event's."""
        return events if isinstance(events, SerializedEvents) else cls([group(map(encode, events))], len(events))

    @cached_property
    def body(self) -> bytes:
        """The rows, as ClickHouse reads them."""
        return group(self._groups)

    @cached_property
    def dates(self) -> frozenset[tuple[str, datetime.date]]:
        """The sites and their dates that have events here."""
        return frozenset((head.site, head.day) for head in _heads.decode(b"[%b]" % self.body))

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, at: int) -> Event: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Event]: ...
    def __getitem__(self, at: int | slice) -> Event | Sequence[Event]:
        return self._events[at]

    @cached_property
    def _events(self) -> list[Event]:
        return events_of(self.body)
