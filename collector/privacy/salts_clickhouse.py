"""Daily salts shared by several collectors: a ClickHouse table partitioned by date, excluded from backups.

Each date's salt is made ahead, and is inserted under the date's deduplication token: of two collectors that make one
at once only the first is stored, and both read that one before they use either. A date that begins while the database
is away has a salt of each collector's own until it is back; then all use the one that is stored, and the others are
kept beside it for erasures. Once a date is over its partition is dropped.
"""

from __future__ import annotations

import datetime
import logging
import secrets

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from collector.privacy.visitor_id import Salt, overwrite, random_salt

log = logging.getLogger(__name__)

# Rows are told apart by their tokens alone. `old_parts_lifetime`: what is dropped leaves the disk at once, not after
# eight minutes.
TABLE = """
CREATE TABLE IF NOT EXISTS salts
(
    date Date,
    salt String,
    replaced Bool DEFAULT false
)
ENGINE = MergeTree
PARTITION BY date
ORDER BY date
SETTINGS non_replicated_deduplication_window = 1000,
         fsync_after_insert = 1, fsync_part_directory = 1, old_parts_lifetime = 1
"""

# Of an earlier release's table, in which a date may have two for as long as it lasts.
_UPGRADES = (
    "ALTER TABLE salts MODIFY SETTING non_replicated_deduplication_window = 1000",
    "ALTER TABLE salts ADD COLUMN IF NOT EXISTS replaced Bool DEFAULT false",
)

_STORED = """
SELECT date, minIf(salt, NOT replaced), groupUniqArrayIf(salt, replaced) FROM salts
GROUP BY date HAVING countIf(NOT replaced) > 0"""


class TableSalts:
    """One random salt per date, from memory; `keep` talks to the database and may block.

    When the database does not answer, the collector goes on with what it has.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._salts: dict[datetime.date, bytearray] = {}
        self._shared: set[datetime.date] = set()
        """The dates of which this is the one that all use."""
        self._replaced: dict[datetime.date, list[bytearray]] = {}
        for statement in (TABLE, *_UPGRADES):
            client.command(statement)

    def salt(self, date: datetime.date) -> Salt:
        """The salt of `date`; a missing one is created at random, and stored by the next rotation."""
        found = self._salts.get(date)
        if found is None:
            found = self._salts[date] = random_salt()
        return found

    def every(self, date: datetime.date) -> list[Salt]:
        """The salts that collectors have used on that date; that of `salt` is the last."""
        return [*self._replaced.get(date, ()), self.salt(date)]

    def rotate(self, first: datetime.date, last: datetime.date, *, destroy: bool = True) -> list[datetime.date]:
        """Have a salt for each date from `first` to `last`, the same in every process; destroy all others."""
        wanted = [first + datetime.timedelta(days=offset) for offset in range((last - first).days + 1)]
        own = [date for date in self._salts if date not in self._shared]
        for date in wanted:
            self.salt(date)
        over = {date for date in self._salts if not first <= date <= last} if destroy else set()
        try:
            over |= self._agree(wanted, own, first, last, destroy=destroy)
        except (ClickHouseError, OSError) as error:
            log.warning("shared salts could not be read", extra={"reason": type(error).__name__})
        for date in over:
            self._shared.discard(date)
            for salt in (self._salts.pop(date, None), *self._replaced.pop(date, ())):
                overwrite(salt)
        return sorted(over)

    def _agree(
        self,
        wanted: list[datetime.date],
        own: list[datetime.date],
        first: datetime.date,
        last: datetime.date,
        *,
        destroy: bool,
    ) -> set[datetime.date]:
        """Take what others stored, store what nobody has, drop what is over; returns the dates dropped. Of the `own`
        dates the salt that is here has been used."""
        stored = self._stored()
        missing = [date for date in wanted if date not in stored]
        for date in missing:
            self._insert(date, f"salt of {date}", replaced=False)
        if missing:
            stored = self._stored()
        for date in wanted:
            if date in stored:
                agreed, replaced = stored[date]
                if date in own and self._salts[date] != agreed:
                    self._insert(date, f"salt of {date}: {secrets.token_hex(8)}", replaced=True)
                    replaced = [*replaced, bytearray(self._salts[date])]
                self._replaced[date] = replaced
                self._salts[date][:] = agreed
                self._shared.add(date)
        over = {date for date in stored if not first <= date <= last} if destroy else set()
        for date in over:
            self._client.command("ALTER TABLE salts DROP PARTITION {date:Date}", parameters={"date": date})
        return over

    def _insert(self, date: datetime.date, token: str, *, replaced: bool) -> None:
        once = {"async_insert": 0, "insert_deduplicate": 1, "insert_deduplication_token": token}
        row = [date, self._salts[date].hex(), replaced]
        self._client.insert("salts", [row], column_names=["date", "salt", "replaced"], settings=once)

    def _stored(self) -> dict[datetime.date, tuple[bytearray, list[bytearray]]]:
        """Of each date the salt that all use, and those that it has replaced."""
        rows = self._client.query(_STORED).result_rows
        return {date: (bytearray.fromhex(salt), list(map(bytearray.fromhex, rest))) for date, salt, rest in rows}
