"""The outbox: what is to be sent to whom, claimed by one process at a time, and what came of it.

The id of a delivery follows from what it is, so that two processes that plan the same one create it once. Who wants to
send it claims it first. A claim ends with the process that made it: with an earlier start of the same collector at
once, with another collector when that one's heartbeat stops.
"""

from __future__ import annotations

import contextlib
import hashlib
import secrets
from collections.abc import Callable
from typing import Final, Literal

import msgspec

from collector.core.errors import RecordGone, RecordTaken
from collector.storage.documents import DocumentTable
from collector.storage.membership import ALIVE_SECONDS, Membership

LONGEST_SECONDS: Final = 600.0
"""No conversation takes longer: who claimed something before has failed to record what came of it."""

_CURRENT: Final = """
JSONExtractUInt(record, 'until') >= {now:Int64} OR JSONExtractString(record, 'state') NOT IN ('sent', 'failed')"""
_OF_SITE: Final = """
JSONExtractString(record, 'site') = {site:String} AND JSONExtractString(record, 'kind') = {kind:String}"""

State = Literal["pending", "claimed", "sent", "failed"]
Lane = Literal["mail", "webhook"]

BACKOFF: Final = (30, 300, 1_800, 7_200, 18_000, 36_000)
"""Seconds until the next attempt, after each that failed."""


class Delivery(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing to one recipient. Times are Unix seconds."""

    id: str
    kind: str
    """What it is, which says how `payload` reads."""
    lane: Lane
    site: str = ""
    """Id of the site; empty for the installation."""
    target: str = ""
    """Id of the subscription or channel."""
    payload: str = ""
    """Empty for a trial."""
    created: int = 0
    until: int = 0
    """After this it is not sent any more."""
    state: State = "pending"
    attempts: int = 0
    next: int = 0
    """Not before."""
    owner: str = ""
    """Who claimed it last."""
    claimed: float = 0.0
    finished: int = 0
    error: str = ""
    """Why the last attempt failed, without addresses."""


class NotClaimed(Exception):
    """Somebody else has it, or it is done."""


class Outbox:
    """All deliveries of the last 90 days. Blocking. `clock` gives Unix seconds."""

    def __init__(self, records: DocumentTable[Delivery], members: Membership, clock: Callable[[], float]) -> None:
        self._records = records
        self._members = members
        self._clock = clock
        self._start = secrets.token_hex(4)
        self._own: set[str] = set()

    def current(self) -> dict[str, Delivery]:
        """The deliveries that are not over, and those that might be planned again, by id: of all of 90 days these are
        few, whatever the owners of sites have had sent."""
        return self._records.where(_CURRENT, {"now": int(self._clock())})

    def of(self, site_id: str, kind: str) -> list[Delivery]:
        """Deliveries of that kind for one site, the newest first."""
        found = self._records.where(_OF_SITE, {"site": site_id, "kind": kind})
        return sorted(found.values(), key=lambda each: (-each.created, each.id))

    def add(self, delivery: Delivery) -> bool:
        """Plan a delivery; whether it is new."""
        try:
            self._records.create(delivery.id, delivery)
        except RecordTaken:
            return False
        return True

    def add_trial(self, kind: str, lane: Lane, site_id: str, target: str) -> None:
        """Record a trial of a site that was sent past the outbox: a delivery that is done, without a payload."""
        now = int(self._clock())
        id_ = secrets.token_hex(12)
        sent = Delivery(
            id=id_, kind=kind, lane=lane, site=site_id, target=target, created=now, until=now, state="sent", attempts=1,
            finished=now,
        )  # fmt: skip
        self._records.create(id_, sent)

    def is_due(self, delivery: Delivery) -> bool:
        """Whether it may be attempted now."""
        if delivery.state == "pending":
            return delivery.next <= self._clock()
        return delivery.state == "claimed" and self._is_abandoned(delivery)

    def claim(self, id_: str) -> Delivery | None:
        """The delivery, for this process alone until it is released; None where somebody else has it, or it is done."""

        def claimed(newest: Delivery) -> Delivery:
            if not self.is_due(newest):
                raise NotClaimed
            return msgspec.structs.replace(
                newest,
                state="claimed",
                owner=self._owner,
                claimed=self._members.mark() or self._clock(),
                attempts=newest.attempts + 1,
            )

        try:
            _, mine = self._records.update(id_, claimed)
        except (NotClaimed, RecordGone):
            return None
        self._own.add(id_)
        return mine

    def let_go(self, id_: str) -> None:
        """This process is not at it any more, whether or not that could be recorded."""
        self._own.discard(id_)

    def finish(self, id_: str, state: Literal["sent", "failed"], error: str = "") -> None:
        """Record how it ended. What was sent stays sent."""
        self._release(id_, lambda each: each if each.state == "sent" else self._ended(each, state, error))

    def postpone(self, id_: str, error: str) -> None:
        """Record a failed attempt; the next comes later, and none after `until`."""

        def postponed(each: Delivery) -> Delivery:
            wait = BACKOFF[min(max(each.attempts, 1), len(BACKOFF)) - 1]
            next_ = int(self._clock()) + wait
            if next_ > each.until:
                return self._ended(each, "failed", error)
            return msgspec.structs.replace(each, state="pending", next=next_, error=error)

        self._release(id_, postponed)

    def forget_site(self, site_id: str) -> None:
        """A site is no more: nothing of it is sent, or remembered. Blocking."""
        for id_ in self._records.where("JSONExtractString(record, 'site') = {site:String}", {"site": site_id}):
            self._records.delete(id_)

    @property
    def _owner(self) -> str:
        return f"{self._members.id}:{self._start}"

    def _ended(self, each: Delivery, state: State, error: str) -> Delivery:
        return msgspec.structs.replace(each, state=state, finished=int(self._clock()), error=error)

    def _release(self, id_: str, change: Callable[[Delivery], Delivery]) -> None:
        # Its site may have been deleted meanwhile.
        with contextlib.suppress(RecordGone):
            self._records.update(id_, change)

    def _is_abandoned(self, delivery: Delivery) -> bool:
        """Whether who claimed it is no more."""
        member, _, start = delivery.owner.partition(":")
        if member == self._members.id:
            return start != self._start or delivery.id not in self._own
        # One that has just come may not be known here yet.
        alive = any(each.id == member and each.alive for each in self._members.others())
        age = (self._members.mark() or self._clock()) - delivery.claimed
        return age > (LONGEST_SECONDS if alive else 2 * ALIVE_SECONDS)


def delivery_id(*parts: str) -> str:
    """The id of the delivery that these parts describe."""
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=12, person=b"tyst.delivery").hexdigest()
