"""Columns of tables, kept in memory part by part: of what was read before, a question reads no more.

What was read of a part is true for as long as the part is listed, and the list is read before each question. What was
read of parts that are listed no more is dropped there and then; all of it is when nobody has asked anything for five
minutes.
"""

# ruff: noqa: S608 -- text is names of our own tables and columns; every value is bound
from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

from clickhouse_connect.driver.client import Client

from dashboard.asking import Asker
from dashboard.parts import Gone, Listing, Part, TooMany, Unread, Wanted, mostly
from dashboard.tables import Columns, by_part, put_together

MOST_BYTES = 64 * 1024 * 1024
"""Of all columns with their expressions. Those that a page about 60,000 events needs have five million."""

IDLE_SECONDS = 300.0

# Parts are of months: so many rows are read whichever days they are of, and more where half of them are wanted.
ANYWAY, MOST_READ = 100_000, 400_000

# Of parts with so many rows that were not read yet, a few days are read alone by who waits for them: it is quicker.
UNREAD = 10_000

# What Python and Arrow need for a column of nothing.
_AROUND = 1_000


class Kept:
    """The columns of all sites; those that were not asked for longest make room."""

    def __init__(self, asker: Asker, most: int = MOST_BYTES, idle: float = IDLE_SECONDS) -> None:
        self._asker = asker
        self._most = most
        self._idle = idle
        self._held: OrderedDict[tuple[str, Part, str], Any] = OrderedDict()
        """By site, part, and the expression that the column is of."""
        self._bytes = 0
        self._counts: dict[tuple[str, Part], int] = {}
        self._listed: frozenset[Part] = frozenset()
        self._rows: object = None
        self._asked = 0.0
        self._clearing: asyncio.TimerHandle | None = None

    async def listing(self, *, anew: bool = False) -> Listing:
        """The parts that there are, or were a moment ago; `anew` those that there are."""
        asked = self._asker.now()
        rows = await self._asker.rows(_LISTING, {}, given="anew" if anew else "again")
        old = rows is self._rows
        self._rows, self._asked = rows, self._asked if old else asked
        listing = Listing.of([Part(*row) for row in rows], self._asked, old=old)
        self._drop_all_but(frozenset(listing.parts))
        return listing

    async def table(self, wanted: Wanted, listing: Listing, most: int) -> Any:
        """An Arrow table of what is wanted; None where no part has any.

        Raises `TooMany` for more than `most` rows, `Unread` where those of a few days are better read alone, and `Gone`
        for a listing that is true no longer.
        """
        # The table of events is sorted by date; of the other all rows are looked at.
        of_events, parts = wanted.table == "events", wanted.among(listing.parts)
        few_of_them = of_events and not mostly(parts, wanted.days)
        if few_of_them and self._unread(wanted, parts) > UNREAD:
            raise Unread
        much = most if not of_events else ANYWAY if few_of_them else MOST_READ
        found = await self.columns(wanted, listing, much)
        return put_together(found, wanted.days if of_events else (), most) if found else None

    async def prepare(self, wanted: Wanted, most: int) -> None:
        """Have columns of events in memory, where a question about these days, for `most` rows, would keep them."""
        listing = await self.listing()
        half_of_them = mostly(wanted.among(listing.parts), wanted.days)
        with contextlib.suppress(Gone, TooMany):
            await self.columns(wanted, listing, most if half_of_them else ANYWAY)

    async def columns(self, wanted: Wanted, listing: Listing, much: int) -> list[Columns]:
        """The columns of each part, which are kept from now on.

        Raises `TooMany` where the site has more than so `much` rows in these parts, and `Gone`.
        """
        self._clear_later()
        parts = wanted.among(listing.parts)
        if sum(part.rows for part in parts) > much and await self._count(wanted, parts) > much:
            raise TooMany
        texts = wanted.texts()
        found = {part: self._get(wanted.site, part, texts) for part in parts}
        lacking: dict[tuple[str, ...], list[Part]] = {}
        for part, columns in found.items():
            names = tuple(name for name in texts if name not in columns)
            if names:
                lacking.setdefault(names, []).append(part)
        if lacking:
            read = await asyncio.gather(*(self._read(wanted, names, those) for names, those in lacking.items()))
            await self._know(found, {part: columns for each in read for part, columns in each.items()})
            for part, columns in found.items():
                self._put(wanted.site, part, {texts[name]: column for name, column in columns.items()})
        return [*found.values()]

    def clear(self) -> None:
        """Drop everything."""
        self._held.clear()
        self._counts.clear()
        self._bytes = 0
        if self._clearing is not None:
            self._clearing.cancel()

    def _unread(self, wanted: Wanted, parts: Sequence[Part]) -> int:
        """Rows of those of the parts of which nothing is in memory."""
        return sum(part.rows for part in parts if (wanted.site, part, wanted.columns["date"]) not in self._held)

    async def _count(self, wanted: Wanted, parts: Sequence[Part]) -> int:
        """How many rows the site has in these parts."""
        unknown = {part.name: part for part in parts if (wanted.site, part) not in self._counts}
        if unknown:
            sql = f"""
SELECT _part, count() FROM {wanted.table}
WHERE site = {{site:String}} AND _part IN {{parts:Array(String)}} GROUP BY _part"""
            parameters = {"site": wanted.site, "parts": [*unknown]}
            counts = dict(await self._asker.rows(sql, parameters, given="once"))
            self._counts |= {(wanted.site, part): counts.get(name, 0) for name, part in unknown.items()}
        return sum(self._counts.get((wanted.site, part), 0) for part in parts)

    async def _read(self, wanted: Wanted, names: Sequence[str], parts: Sequence[Part]) -> dict[Part, Columns]:
        """These columns of each part."""

        def ask(client: Client, sql: str, parameters: dict[str, Any]) -> Any:
            return by_part(client.query_arrow(sql, parameters=parameters), names, [part.name for part in parts])

        columns = ", ".join(f"{wanted.columns[name]} AS {name}" for name in names)
        sql = f"""
SELECT {columns}, _part AS in_part, toUInt32(_part_offset) AS at_row
FROM {wanted.table} WHERE site = {{kept_site:String}} AND _part IN {{kept_parts:Array(String)}}"""
        own = {"kept_site": wanted.site, "kept_parts": [part.name for part in parts]}
        found = await self._asker.rows(sql, {**wanted.parameters, **own}, "reading", ask=ask, given="once")
        return dict(zip(parts, found, strict=True))

    async def _know(self, found: Mapping[Part, Columns], read: Mapping[Part, Columns]) -> None:
        """Put what was read beside what was known of each part. Of one that has gone nothing was read."""
        unsure = set[Part]()
        for part, columns in read.items():
            sizes = {len(column) for column in (*found[part].values(), *columns.values())}
            if len(sizes) > 1:
                raise Gone
            if not found[part] and sizes != {part.rows}:
                unsure.add(part)
            found[part].update(columns)
        # Of a part that was never read before, fewer rows than it has may be all of the site: another listing tells.
        if unsure and not unsure <= {*(await self.listing(anew=True)).parts}:
            raise Gone

    def _get(self, site: str, part: Part, texts: Mapping[str, str]) -> Columns:
        found = Columns()
        for name, text in texts.items():
            column = self._held.get((site, part, text))
            if column is not None:
                self._held.move_to_end((site, part, text))
                found[name] = column
        return found

    def _put(self, site: str, part: Part, columns: Columns) -> None:
        # While they were read the part may have gone.
        for text, column in columns.items() if part in self._listed else ():
            if (site, part, text) not in self._held:
                self._held[site, part, text] = column
                self._bytes += _size(text, column)
        while self._bytes > self._most:
            (_, _, text), column = self._held.popitem(last=False)
            self._bytes -= _size(text, column)

    def _drop_all_but(self, listed: frozenset[Part]) -> None:
        if listed != self._listed:
            for place in [place for place in self._held if place[1] not in listed]:
                self._bytes -= _size(place[2], self._held.pop(place))
            self._counts = {(site, part): size for (site, part), size in self._counts.items() if part in listed}
        self._listed = listed

    def _clear_later(self) -> None:
        if self._clearing is not None:
            self._clearing.cancel()
        self._clearing = asyncio.get_running_loop().call_later(self._idle, self.clear)


def _size(text: str, column: Any) -> int:
    """Bytes of a column and what belongs to it: anybody may filter by long texts, however few rows there are."""
    return int(column.nbytes) + len(text) + _AROUND


# A part that is being made, or has been replaced, is not active: nothing is read from it.
_LISTING = """
SELECT table, name, min_date, max_date, rows, path FROM system.parts
WHERE active AND database = currentDatabase() AND table IN ('closed', 'daily', 'events') ORDER BY table, name"""
