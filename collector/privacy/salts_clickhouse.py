"""Daily salts shared by several collectors: a ClickHouse table partitioned by date, excluded from backups.

Each date's salt is made a week ahead, and is inserted under the date's deduplication token: of two collectors that make
one at once only the first is stored, and both read that one before they use either, also where the database is away
for days meanwhile. Once a date is over its partition is dropped.
"""

from __future__ import annotations

import datetime
import logging

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
    salt String
)
ENGINE = MergeTree
PARTITION BY date
ORDER BY date
SETTINGS non_replicated_deduplication_window = 1000,
         fsync_after_insert = 1, fsync_part_directory = 1, old_parts_lifetime = 1
"""

# Of an earlier release's table, in which a date may have two for as long as it lasts.
_UPGRADE = "ALTER TABLE salts MODIFY SETTING non_replicated_deduplication_window = 1000"

AHEAD = datetime.timedelta(days=7)
"""How long the database may be away without collectors using salts of their own, in which a visitor counts as two."""

_STORED = "SELECT date, min(salt) FROM salts GROUP BY date"


class TableSalts:
    """One random salt per date, from memory; `keep` talks to the database and may block.

    When the database does not answer, the collector goes on with what it has.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._salts: dict[datetime.date, bytearray] = {}
        client.command(TABLE)
        client.command(_UPGRADE)

    def salt(self, date: datetime.date) -> Salt:
        """The salt of `date`; a missing one is created at random, and stored by the next rotation."""
        found = self._salts.get(date)
        if found is None:
            found = self._salts[date] = random_salt()
        return found

    def rotate(self, first: datetime.date, last: datetime.date, *, destroy: bool = True) -> list[datetime.date]:
        """Have a salt for each date from `first` to a week after `last`, the same in every process; destroy all
        others."""
        last += AHEAD
        wanted = [first + datetime.timedelta(days=offset) for offset in range((last - first).days + 1)]
        for date in wanted:
            self.salt(date)
        over = {date for date in self._salts if not first <= date <= last} if destroy else set()
        try:
            over |= self._agree(wanted, first, last, destroy=destroy)
        except (ClickHouseError, OSError) as error:
            log.warning("shared salts could not be read", extra={"reason": type(error).__name__})
        for date in over:
            overwrite(self._salts.pop(date, None))
        return sorted(over)

    def _agree(
        self, wanted: list[datetime.date], first: datetime.date, last: datetime.date, *, destroy: bool
    ) -> set[datetime.date]:
        """Take what others stored, store what nobody has, drop what is over; returns the dates dropped."""
        stored = self._stored()
        missing = [date for date in wanted if date not in stored]
        for date in missing:
            once = {"async_insert": 0, "insert_deduplicate": 1, "insert_deduplication_token": f"salt of {date}"}
            row = [date, self._salts[date].hex()]
            self._client.insert("salts", [row], column_names=["date", "salt"], settings=once)
        if missing:
            stored = self._stored()
        for date in wanted:
            if date in stored:
                self._salts[date][:] = bytes.fromhex(stored[date])
        over = {date for date in stored if not first <= date <= last} if destroy else set()
        for date in over:
            self._client.command("ALTER TABLE salts DROP PARTITION {date:Date}", parameters={"date": date})
        return over

    def _stored(self) -> dict[datetime.date, str]:
        return {row[0]: row[1] for row in self._client.query(_STORED).result_rows}
