"""A made-up site with so many million events, made inside ClickHouse in minutes.

90 days up to now, skewed as real ones are: few of 3,000 pages and 400 sources get most views (Zipf), a fifth of the
visits are returns of the same day, a tenth comes by campaigns, half of the visits are bounces.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from functools import cached_property

from clickhouse_connect.driver.client import Client

from collector.storage.client import ClickHouse
from collector.storage.shards import Shards

SITE = "scale.example"
DAYS = 90
EVENTS_PER_VISIT = 2.85

MAKE = """
INSERT INTO events (site, day, ts, visitor, visit, name, consent, hostname, page, entry_page, referrer, source, channel,
    utm_source, utm_medium, utm_campaign, country, browser, browser_version, os, os_version, device, size,
    visits, bounces, seconds, expires, seq)
SELECT {site:String}, day, toDateTime(start + step * gap, 'UTC'), visitor, start,
    if(step > 0 AND cityHash64(n, step, 9) % 50 = 0, concat('Goal ', toString(n % 7)), 'pageview'), 'granted',
    'scale.example', if(step = 0, entry, concat('/p', toString(zipf(cityHash64(n, step), 3000)))), entry,
    if(source = '', '', concat(lower(source), '.example/', toString(zipf(cityHash64(n, 11), 20)))), source,
    if(source = '', 'Direct', if(n % 3 = 0, 'Organic Search', 'Referral')),
    if(n % 10 = 0, concat('u', toString(n % 5)), ''), if(n % 10 = 0, 'mail', ''),
    if(n % 10 = 0, concat('campaign ', toString(zipf(cityHash64(n, 12), 40))), ''),
    concat('C', toString(zipf(cityHash64(visitor, 1), 120))), concat('B', toString(zipf(cityHash64(visitor, 2), 12))),
    toString(100 + zipf(cityHash64(visitor, 3), 30)), concat('O', toString(zipf(cityHash64(visitor, 4), 8))),
    toString(10 + zipf(cityHash64(visitor, 5), 6)),
    ['desktop', 'mobile', 'tablet'][1 + zipf(cityHash64(visitor, 6), 3)],
    ['xl', 'lg', 'md', 'sm', 'xs'][1 + zipf(cityHash64(visitor, 7), 5)],
    step = 0, if(step = 0, 1, if(step = 1, -1, 0)), if(step = 0, 0, gap), toDate('2100-01-01'),
    step + 1
FROM (
    WITH (h, k) -> toUInt32(floor(pow(k, (h % 1000003) / 1000003.) - 1)) AS zipf
    SELECT number AS n, {first:Date} + intDiv(n * {days:UInt32}, {visits:UInt64}) AS day,
        cityHash64(day, cityHash64(n, 20) % toUInt64({visits:UInt64} / {days:UInt32} * 0.8)) AS visitor,
        toUnixTimestamp(toDateTime(day, 'UTC')) + (cityHash64(n, 21) % 72000 + cityHash64(n, 22) % 14000) AS start,
        5 + cityHash64(n, 23) % 200 AS gap, concat('/p', toString(zipf(cityHash64(n, 24), 3000))) AS entry,
        if(n % 3 = 1, '', concat('S', toString(zipf(cityHash64(n, 25), 400)))) AS source,
        arrayJoin(range(if(cityHash64(n, 26) % 100 < 45, 1, 2 + cityHash64(n, 27) % 6))) AS step
    FROM numbers({begin:UInt64}, {count:UInt64})
)"""
# The lambda is no function of its own in SQL: put in by text.
ZIPF = "toUInt32(floor(pow({k}, ({h} % 1000003) / 1000003.) - 1))"


def _with_zipf(sql: str) -> str:
    """Replace `zipf(hash, k)` by its expression."""
    while (at := sql.find("zipf(cityHash64(")) >= 0:
        end = sql.index(")", at + len("zipf(cityHash64(")) + 1
        hashed = sql[at + len("zipf(") : end]
        close = sql.index(")", end)
        sql = sql[:at] + ZIPF.format(h=hashed, k=sql[end:close].strip(", ")) + sql[close + 1 :]
    return sql.replace("WITH (h, k) -> toUInt32(floor(pow(k, (h % 1000003) / 1000003.) - 1)) AS zipf\n", "")


@dataclass
class Town:
    """One made-up site with so many million events, up to `now`."""

    millions: float
    database: ClickHouse
    client: Client
    now: float
    days: int = DAYS

    @cached_property
    def shards(self) -> Shards:
        """Clients of the nodes that have the events."""
        return self.database.shards()

    def fill(self) -> None:
        """Make the events, a million visits at a time."""
        visits = int(self.millions * 1_000_000 / EVENTS_PER_VISIT)
        first = datetime.datetime.fromtimestamp(self.now, datetime.UTC).date() - datetime.timedelta(self.days - 1)
        make = _with_zipf(MAKE)
        for begin in range(0, visits, 1_000_000):
            given = {"site": SITE, "first": first, "days": self.days, "visits": visits, "begin": begin}
            self.client.command(make, parameters=given | {"count": min(1_000_000, visits - begin)})
        self.shards.command("OPTIMIZE TABLE events FINAL", settings={"max_execution_time": 0})

    def bytes(self, table: str) -> int:
        """Bytes on disk of a table's data."""
        sql = """
            SELECT sum(bytes_on_disk) FROM system.parts
            WHERE active AND database = currentDatabase() AND table = {t:String}"""
        return sum(int(found) for (found,) in self.shards.rows(sql, {"t": table}))

    def rows(self, table: str) -> int:
        """Rows of a table."""
        sql = "SELECT count() FROM {t:Identifier}"
        return int(self.client.query(sql, parameters={"t": table}).result_rows[0][0])

    def close(self) -> None:
        """Close the clients."""
        self.shards.close()
        self.client.close()
