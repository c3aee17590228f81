"""Beacons that may be at two collectors: claims on what a killed process has left, and the answers of the others.

A proxy, or the snippet, sends a beacon again when its collector was killed before the answer, and then another
collector gets it, while the first may have it on disk. So a process that finds beacons of an earlier one in its spool
claims their keys in ClickHouse, and inserts none before every other collector that is alive has answered which of them
it has. Those it drops. Whoever has answered takes a claimed key for seen from then on. Of two that find the same beacon
at the same time the one with the smaller id keeps it.

A collector that has just started claims new beacons as well: while it was away its visitors went to others, and a
beacon that one of those has stored without an answer reaching the visitor comes to this one when it is sent again.

Nothing of it costs anything after that minute: no key leaves a collector but then.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable, Collection, Sequence
from secrets import randbits
from typing import Final

import anyio.to_thread
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from collector.spool.deduplication import ONCE_SECONDS
from collector.spool.spool import Spool
from collector.storage.client import plain_reason
from collector.storage.membership import Membership

log = logging.getLogger(__name__)

START_SECONDS: Final = 60.0
"""So long after its start a collector claims what it gets. The snippet sends a beacon again for half a minute, and
proxies send the visitors of a collector that has come back to others for ten seconds."""
PAUSE_SECONDS: Final = 0.3
PATIENCE_SECONDS: Final = 60.0
"""So long answers are waited for: a collector of an earlier release gives none."""
_MOST_ANSWERED: Final = 10_000

_COLUMNS: Final = ["claim", "collector", "answer", "beacons"]
_ANSWERS: Final = "SELECT collector, answer, beacons FROM beacon_claims WHERE claim = {claim:UInt64}"
_CLAIMS: Final = """
SELECT claim, collector, beacons FROM beacon_claims
WHERE NOT answer AND collector != {own:String} AND claim NOT IN {answered:Array(UInt64)}
    AND at > now64(3) - toIntervalSecond({seconds:UInt32})"""


class BeaconClaims:
    """The claims of one collector, and its answers to those of the others. On the event loop.

    `spools` are those of this process; `monotonic` gives seconds that no setting of a clock changes.
    """

    def __init__(
        self,
        client: Client,
        members: Membership,
        spools: Callable[[], Sequence[Spool]],
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._members = members
        self._spools = spools
        self._monotonic = monotonic
        self._undecided: frozenset[int] = frozenset()
        self._answered: set[int] = set()
        self.problem: str | None = None
        """Why ClickHouse has not taken a claim, so that nothing is inserted; else None."""

    async def run(self) -> None:
        """Claim what an earlier process has left, then what comes in the first minute."""
        ends = self._monotonic() + START_SECONDS
        while self._monotonic() < ends:
            await self.settle()
            await asyncio.sleep(PAUSE_SECONDS)
        await self.finish()

    async def finish(self) -> None:
        """Claim what is left, and nothing that comes from now on."""
        for spool in self._spools():
            spool.stop_withholding()
        await self.settle()

    async def settle(self) -> None:
        """Claim what waits for it, and let it be inserted without what others have."""
        while True:
            try:
                await self._settle()
            except (ClickHouseError, OSError, sqlite3.Error) as error:
                if self.problem is None:
                    log.warning("segments wait for other collectors", extra={"reason": plain_reason(error)})
                self.problem = plain_reason(error)
                await asyncio.sleep(PAUSE_SECONDS)
            else:
                self.problem = None
                return

    async def _settle(self) -> None:
        spools = self._spools()
        found = [await anyio.to_thread.run_sync(spool.withheld) for spool in spools]
        self._undecided = frozenset[int]().union(*(each.keys for each in found))
        alone = not self._members.others()
        elsewhere = frozenset[int]() if alone or not self._undecided else await self._elsewhere()
        for spool, each in zip(spools, found, strict=True):
            await anyio.to_thread.run_sync(spool.release, each.segments, elsewhere)
        self._undecided = frozenset()
        if elsewhere:
            log.info("beacons that another collector has were dropped", extra={"count": len(elsewhere)})

    async def answer(self) -> None:
        """Answer the claims of others. Raises what ClickHouse raises."""
        for claim, collector, keys in await anyio.to_thread.run_sync(self._claims):
            # Between these there is no other turn of the event loop: each beacon comes before or after.
            for spool in self._spools():
                spool.leave_to_others(keys)
            own = [spool.own(keys) for spool in self._spools()]
            if None in own:
                continue
            had = frozenset[int]().union(*(each for each in own if each is not None))
            if self._members.id > collector:
                had -= self._undecided
            await anyio.to_thread.run_sync(self._insert, claim, 1, had)
            if len(self._answered) >= _MOST_ANSWERED:
                self._answered.clear()
            self._answered.add(claim)

    async def _elsewhere(self) -> frozenset[int]:
        """The undecided beacons that another collector has, once all that are alive have answered."""
        claim, claimed, ends = 0, False, self._monotonic() + PATIENCE_SECONDS
        while True:
            if not claimed:
                claim = randbits(63)
                await anyio.to_thread.run_sync(self._insert, claim, 0, self._undecided)
            rows = await anyio.to_thread.run_sync(self._answers, claim)
            # Claims are in memory: a ClickHouse that was started again has forgotten them.
            claimed = bool(rows)
            answered = {collector for collector, answer, _ in rows if answer}
            missing = [each.name for each in self._members.others() if each.alive and each.id not in answered]
            if missing and self._monotonic() >= ends:
                log.warning("collectors gave no answer about beacons", extra={"collectors": missing})
            if claimed and (not missing or self._monotonic() >= ends):
                return frozenset(key for _, answer, keys in rows if answer for key in keys)
            await asyncio.sleep(PAUSE_SECONDS)

    def _insert(self, claim: int, answer: int, keys: Collection[int]) -> None:
        row = [claim, self._members.id, answer, sorted(keys)]
        self._client.insert("beacon_claims", [row], column_names=_COLUMNS)

    def _answers(self, claim: int) -> list[tuple[str, int, list[int]]]:
        rows = self._client.query(_ANSWERS, parameters={"claim": claim}).result_rows
        return [(collector, answer, keys) for collector, answer, keys in rows]

    def _claims(self) -> list[tuple[int, str, list[int]]]:
        asked = {"own": self._members.id, "answered": sorted(self._answered), "seconds": ONCE_SECONDS}
        rows = self._client.query(_CLAIMS, parameters=asked).result_rows
        return [(claim, collector, keys) for claim, collector, keys in rows]
