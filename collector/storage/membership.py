"""Membership: which collectors share one ClickHouse, which of them leads, and what all of them have stored.

Each collector is a process with a data directory of its own. Every second it writes a heartbeat: when it was
heard of, and the moment by which everything that it had accepted was in ClickHouse, both by the clock of ClickHouse, so
that clocks of machines that differ change nothing. Of those that are alive the one with the smallest id leads: it
closes days and runs the jobs of sites. Correctness does not rest on there being one leader only.

What must reach every event, such as an erasure, waits until each known collector has stored what it accepted before.
One that stopped with events in its spool is waited for until it is back, or until an operator removes it.
"""

from __future__ import annotations

import datetime
import logging
import os
import re
import time
from collections import deque
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from secrets import token_hex

from clickhouse_connect.driver.client import Client

from collector.core.app_secret import Secrets
from collector.core.errors import CannotJoin

log = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 1.0
ALIVE_SECONDS = 20.0
"""A collector that was not heard of for so long does not lead; another one does."""
PRESENT_SECONDS = 5.0
"""A proxy may have handed the visitors of a collector to others when it was not heard of for so long."""
LEASE_SECONDS = 10.0
"""A leader whose own heartbeat is older than this stops leading, well before another one begins."""

COMMIT_SECONDS = 1.0
"""An event waits for the disk within this time after it has come, and is then waited for."""

ID_FILE = "collector.id"

NUMBERS = 7_600
"""Collectors of a database have different numbers below this."""

_NOW = "SELECT toFloat64(now64(3))"
_READ = """
SELECT collector, name, toFloat64(seen), toFloat64(stored), secret, removed, toFloat64(now64(3))
FROM collectors FINAL"""
_COLUMNS = ["collector", "name", "stored", "secret", "removed"]
_LEAVE = "DELETE FROM collectors WHERE collector = {collector:String}"
_REMOVED = "SELECT max(removed) FROM collectors FINAL WHERE collector = {collector:String}"


@dataclass(frozen=True, slots=True)
class Member:
    """A collector as the others see it. `seen` and `stored` are Unix seconds by the clock of ClickHouse."""

    id: str
    name: str
    seen: float
    stored: float
    secret: int
    removed: bool
    alive: bool
    present: bool

    @property
    def number(self) -> int:
        """Tells it apart in the versions of builds."""
        return _number_of(self.id)


class Membership:
    """The collectors of one database. Blocking but for what is read from memory.

    `held` gives the segments of this process that are not in ClickHouse, `uncommitted` for how many seconds the oldest
    event has waited for the disk. Where the database is embedded (`shared` is
    false) there is one collector, which leads, and no heartbeat. `monotonic` gives seconds that no setting of a clock
    changes.
    """

    def __init__(
        self,
        client: Client,
        directory: Path,
        *,
        name: str,
        secrets: Secrets,
        held: Callable[[], frozenset[Hashable]],
        shared: bool,
        uncommitted: Callable[[], float] = lambda: 0.0,
        commit_seconds: float = COMMIT_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._path = directory / ID_FILE
        self._held = held
        self._uncommitted = uncommitted
        self._accepted: deque[tuple[float, frozenset[Hashable]]] = deque()
        self._commit_seconds = commit_seconds
        self._monotonic = monotonic
        self._shared = shared
        self._last_beat: float | None = None
        self._members: Mapping[str, Member] = {}
        self._secrets = [_mark(secret) for secret in secrets]
        self.id = _stored_id(self._path)
        self._name = name
        self._written: deque[float] = deque(maxlen=_MOST_MOMENTS)
        """The moments of the last heartbeats: replicas of ClickHouse may be behind."""
        self._foreign: float | None = None
        """The moment of the last heartbeat under this id that this process did not write."""
        self.is_removed = False
        """Whether an operator has removed this collector, which had stopped, while it held events."""

    @property
    def number(self) -> int:
        """Tells this collector's builds apart from those of the others; 0 where there is one."""
        return _number_of(self.id) if self._shared else 0

    @property
    def name(self) -> str:
        """What the operator calls it, else its id."""
        return self._name or self.id

    def join(self) -> None:
        """Read the other collectors, and write the first heartbeat. Raises `CannotJoin` for a collector that was
        removed while its spool held events, and for one that does not accept the secret of the others."""
        if not self._shared:
            return
        self._refresh()
        self._take_removal()
        if self.is_removed:
            raise CannotJoin(self._why_removed)
        self._must_share_secret()
        self.beat()
        # Of two that begin at the same time, the later one sees the other only now.
        self._refresh()
        try:
            self._must_share_secret()
        except CannotJoin:
            self.leave()
            raise
        if any(each.number == self.number for each in self.others()):
            former = self.id
            self._take_new_id()
            # In this order: what it holds is waited for under one id or the other.
            self.beat()
            self._forget(former)

    def _must_share_secret(self) -> None:
        if any(each.alive and each.secret not in self._secrets for each in self.others()):
            raise CannotJoin(
                "another collector of this database has a different secret. Set TYST_SECRET_KEY to the same value for "
                "all of them: sign-ins and receipts of consent must hold at each."
            )

    def beat(self) -> None:
        """Write a heartbeat, and read those of the others."""
        if not self._shared:
            return
        self._refresh()
        self._take_removal()
        if self.is_removed:
            # The others do not wait for it any more.
            return
        if self._has_twin():
            self._take_new_id()
            log.warning("another collector has a copy of this data directory; this one has a new id since")
        stored = self._stored()
        moment = datetime.datetime.fromtimestamp(stored, datetime.UTC)
        # Noted first: of an insert whose response is lost the row may be there.
        self._written.append(stored)
        self._client.insert("collectors", [[self.id, self.name, moment, self._secrets[-1], 0]], column_names=_COLUMNS)
        self._last_beat = self._monotonic()

    def must_not_be_removed(self) -> None:
        """Raises `CannotJoin` where the others wait no longer for what this collector holds, as it had stopped: some of
        it may have been erased."""
        if self._shared and not self.is_removed:
            found = self._client.query(_REMOVED, parameters={"collector": self.id}).result_rows
            self.is_removed = bool(found[0][0])
        if self.is_removed:
            raise CannotJoin(self._why_removed)

    def leave(self) -> None:
        """Be no member any more, unless events wait in the spool: then the others wait for them."""
        if self._shared and not self._held():
            self._forget(self.id)

    def remove(self, id_: str) -> Member | None:
        """Wait no longer for a collector that is not alive; returns it, or None where there is no such one."""
        self._refresh()
        member = next((each for each in self.others() if id_ in (each.id, each.name) and not each.alive), None)
        if member is not None:
            row = [member.id, member.name, _BEGINNING, member.secret, 1]
            self._client.insert("collectors", [row], column_names=_COLUMNS)
            self._refresh()
        return member

    def mark(self) -> float:
        """The present moment by the clock of ClickHouse, for `stored_by_all`; Unix seconds."""
        return float(self._client.query(_NOW).result_rows[0][0]) if self._shared else 0.0

    def stored_by_all(self, mark: float) -> bool:
        """Whether every other collector has stored what it had accepted before `mark`."""
        return not self.waiting_for(mark)

    def waiting_for(self, mark: float) -> list[Member]:
        """The other collectors that may hold events accepted before `mark`."""
        return [each for each in self.others() if each.stored <= mark]

    def others(self) -> list[Member]:
        """The other collectors that are known, alive or not, by name."""
        found = (each for each in self._members.values() if each.id != self.id and not each.removed)
        return sorted(found, key=lambda each: each.name)

    @property
    def present(self) -> frozenset[str]:
        """The ids of the other collectors that were heard of a moment ago."""
        return frozenset(each.id for each in self.others() if each.present)

    @property
    def leads(self) -> bool:
        """Whether this process is the one that does what one does for all."""
        if not self._shared:
            return True
        if self.is_removed or self._last_beat is None or self._monotonic() - self._last_beat > LEASE_SECONDS:
            return False
        return all(self.id < each.id for each in self.others() if each.alive)

    @property
    def problem(self) -> str | None:
        """What an operator should know: collectors that stopped with events in their spools."""
        if self.is_removed:
            return f"{self._why_removed[0].upper()}{self._why_removed[1:]}"
        missing = [each for each in self.others() if not each.alive]
        if not missing:
            return None
        names = ", ".join(each.name for each in missing)
        return (
            f"No heartbeat from collector {names}. It may hold events, so erasures and deletions wait for it. "
            "Start it again, or if its disk is gone: tyst collector remove NAME."
        )

    def _has_twin(self) -> bool:
        """Whether another process writes heartbeats under this id, as one of their data directories is a copy of the
        other. Of two only the one that did not write last sees that.

        One that this process did not write may be its predecessor's, which was under way when that one was killed; a
        process that lives writes another.
        """
        own = self._members.get(self.id)
        if own is None or not self._written or any(abs(own.stored - each) < _RESOLUTION for each in self._written):
            return False
        before, self._foreign = self._foreign, own.stored
        return before is not None and abs(own.stored - before) >= _RESOLUTION

    @property
    def _why_removed(self) -> str:
        return (
            f"this collector ({self.name}) was removed while its spool held events, some of which may have been "
            f"erased since. Delete {self._path.parent / 'spool'} to start without them."
        )

    def _take_removal(self) -> None:
        """Where an operator has removed this collector: be another one, unless it holds events of that one."""
        own = self._members.get(self.id)
        if own is None or not own.removed:
            return
        self.is_removed = bool(self._held())
        if not self.is_removed:
            self._take_new_id()

    def _forget(self, id_: str) -> None:
        self._client.command(_LEAVE, parameters={"collector": id_})

    def _take_new_id(self) -> None:
        self.id = _new_id(self._path)
        self._written.clear()
        self._foreign = None

    def _stored(self) -> float:
        """The latest moment of which everything that was accepted before is in ClickHouse."""
        # In this order: what is accepted in between is later than the moment.
        now = self.mark() - max(self._commit_seconds, self._uncommitted())
        held = self._held()
        self._accepted.append((now, held))
        while len(self._accepted) > 1 and not self._accepted[1][1] & held:
            self._accepted.popleft()
        if len(self._accepted) > _MOST_MOMENTS:
            # An outage: of the moments between, every other one will do.
            self._accepted = deque([*list(self._accepted)[:-1:2], self._accepted[-1]])
        moment, then = self._accepted[0]
        return 0.0 if then & held else moment

    def _refresh(self) -> None:
        rows = self._client.query(_READ).result_rows
        self._members = {
            id_: Member(
                id_,
                name,
                seen,
                stored,
                secret,
                bool(removed),
                alive=now - seen < ALIVE_SECONDS,
                present=now - seen < PRESENT_SECONDS,
            )
            for id_, name, seen, stored, secret, removed, now in rows
        }


_MOST_MOMENTS = 64
_RESOLUTION = 0.002
"""Seconds; those of the column are thousandths, rounded either way."""
_BEGINNING = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


def _number_of(id_: str) -> int:
    return int(id_, 16) % NUMBERS


def _mark(secret: str) -> int:
    """What tells secrets apart and reveals none."""
    return int.from_bytes(blake2b(secret.encode(), digest_size=2, person=b"tyst-members").digest())


def _stored_id(path: Path) -> str:
    """The id in the data directory; a new one where there is none, or what a power failure or a full disk has left."""
    found = path.read_text().strip() if path.exists() else ""
    return found if re.fullmatch(r"[0-9a-f]{8}", found) else _new_id(path)


def _new_id(path: Path) -> str:
    """A new random id, kept in the data directory: all of it, or the one before."""
    id_ = token_hex(4)
    new = path.with_suffix(".new")
    with new.open("w") as file:
        file.write(f"{id_}\n")
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    return id_
