"""Recall of open visits from ClickHouse: at start, and when other collectors begin or end.

A proxy hands the visitors of a collector that ended to others, and back when it is there again. Who knows what the
others have stored goes on with their visits; what is not stored yet when a visitor comes begins a new visit. So visits
are split at most of visitors whose collector has ended.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping
from typing import Final

import anyio.to_thread
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from collector.ingest.visits import IDLE_SECONDS, MAX_VISITS, Attribution, Visit, VisitTracker
from collector.storage.client import plain_reason

log = logging.getLogger(__name__)

RECALLS: Final = (0.0, 4.0, 8.0, 12.0, 16.0, 30.0)
"""Seconds after a collector has begun or ended: proxies try one that failed again after some ten seconds."""
MOST_COLLECTORS: Final = 16
"""Of more, each has so few of the visitors that the others do not look for them: all would look at all events."""
OVERLAP_SECONDS: Final = 120
"""Events are stored some time after they came: each recall looks back beyond the one before."""
BACK_SECONDS: Final = 2 * IDLE_SECONDS
"""What came before is not read: of a visit without a page or event for so long the duration goes on from there, and it
is taken for one that is no bounce."""
LOOK_SECONDS: Final = 1.0
LIMITS: Final = {"max_execution_time": 5, "max_threads": 2, "max_memory_usage": 2_000_000_000}
"""What a recall may cost ClickHouse while it serves. One that needs more is given up, and visits are split."""
_AT_ONCE: Final = 2_000
"""Visits taken over in one turn of the event loop."""

_NONE: Final[Mapping[str, int]] = {}
_ATTRIBUTION: Final = ", ".join(f"any({name})" for name in Attribution.__struct_fields__)
_OPEN: Final = f"""
SELECT visitor, visit, toUnixTimestamp(max(ts)) AS last, toUnixTimestamp(maxIf(ts, name != 'engagement')),
    max(entry_page), sum(bounces) > 0, if(max(seq) = 0, count(), max(seq)), {_ATTRIBUTION}
FROM events
WHERE day >= toDate({{first:UInt32}}) - 1 AND ts >= toDateTime({{first:UInt32}}) AND visitor != 0 AND visit != 0
GROUP BY visitor, visit
HAVING last >= {{since:UInt32}}
ORDER BY last DESC
LIMIT {{most:UInt32}}"""  # noqa: S608 # names of our own columns


class VisitRecall:
    """Keeps a collector's visits up to date with what others have stored. `clock` gives Unix seconds, `monotonic` ones
    that no setting of a clock changes; `erased` are visitors of whom nothing may be taken up again."""

    def __init__(
        self,
        client: Client,
        visits: VisitTracker,
        clock: Callable[[], float],
        *,
        erased: Callable[[], Collection[int]] = frozenset,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._visits = visits
        self._clock = clock
        self._erased = erased
        self._monotonic = monotonic
        self._present: frozenset[str] = frozenset()
        self._due: deque[float] = deque()
        self._since = 0

    def recall(self) -> None:
        """Take up all open visits, before there are requests. Blocking; raises what ClickHouse raises."""
        for visitor, visit in self._open(int(self._clock()) - IDLE_SECONDS):
            self._visits.take_over(visitor, visit)

    async def follow(self, present: frozenset[str]) -> None:
        """Recall what is due; `present` are the other collectors at the moment. Raises what ClickHouse raises."""
        now = self._monotonic()
        if present != self._present:
            self._present = present
            self._due = deque(now + seconds for seconds in RECALLS if len(present) < MOST_COLLECTORS)
            self._since = int(self._clock()) - IDLE_SECONDS
        if not self._due or now < self._due[0]:
            return
        began = int(self._clock())
        while self._due and self._due[0] <= now:
            self._due.popleft()
        found = await anyio.to_thread.run_sync(self._open, self._since, LIMITS)
        for number, (visitor, visit) in enumerate(found, 1):
            self._visits.take_over(visitor, visit)
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)
        self._since = began - OVERLAP_SECONDS

    async def run(self, present: Callable[[], frozenset[str]]) -> None:
        """Follow the other collectors until cancelled."""
        while True:
            try:
                await self.follow(present())
            except (ClickHouseError, OSError) as error:
                log.info("visits could not be recalled", extra={"reason": plain_reason(error)})
            except Exception:  # one failed recall must not end them
                log.exception("visits could not be recalled")
            await asyncio.sleep(LOOK_SECONDS)

    def _open(self, since: int, limits: Mapping[str, int] = _NONE) -> list[tuple[int, Visit]]:
        """The visits with an event since that second, in order of their last one."""
        first = int(self._clock()) - BACK_SECONDS
        parameters = {"first": first, "since": since, "most": MAX_VISITS}
        rows = self._client.query(_OPEN, parameters=parameters, settings=dict(limits)).result_rows
        erased = self._erased()
        return [
            (
                visitor,
                Visit(id_, Attribution(*came), last, counted or first, entry, bool(bouncing), seq, network=visitor),
            )
            for visitor, id_, last, counted, entry, bouncing, seq, *came in reversed(rows)
            if visitor not in erased
        ]
