"""A thread pool that shares its threads between readers: whoever asks for much waits for it alone."""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import ContextVar
from typing import Any, Final, TypeVar

from dashboard.analytics.errors import QueueFull

MAX_WAITING, MAX_WAITING_OF_LANE = 2_000, 500
"""Statements that wait at a time: of all guests, and in one lane, which are about thirty pages."""

T = TypeVar("T")

Lane = tuple[bool, str]
"""Whose work it is: whether a guest's, and of which account; of which site where it is of none."""

_reader: Final[ContextVar[str]] = ContextVar("reader", default="")


def set_reader(account: str) -> None:
    """Note whose the present request is; "" is nobody's."""
    _reader.set(account)


def lane_of(site: str, *, guest: bool) -> Lane:
    """The lane of work on a site for the present request. An account has one for all its sites."""
    account = _reader.get()
    return (guest, f"account {account}" if account and not guest else site)


class FairQueue:
    """Takes work from lanes in turn, those first of which least is running. Members go before guests, who never have
    more than their share of the threads. Where all threads are taken, a lane of which nothing is running gets a spare
    one of members or of guests: it waits for no end of what others have running, or always ask for.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._guest_workers = max(1, workers // 2)
        self.threads = 2 * (workers + self._guest_workers)  # the spare ones included
        self._pool = ThreadPoolExecutor(self.threads, thread_name_prefix="analytics")
        self._lock = threading.Lock()
        self._waiting: OrderedDict[Lane, deque[Future[Any]]] = OrderedDict()
        """What waits, in one lane or several."""
        self._work: dict[Future[Any], Callable[[], Any]] = {}
        self._running: Counter[Lane] = Counter()

    def submit(self, lane: Lane, work: Callable[[], T]) -> Future[T]:
        """Do the work when it is its turn. Raises `QueueFull` where too much waits in the lane, or of guests."""
        future = Future[T]()
        with self._lock:
            self._enqueue(lane, future)
            self._work[future] = work
        self._start()
        return future

    def join(self, lane: Lane, future: Future[Any]) -> None:
        """Have what waits in another lane wait in this one, too: it begins when it is the turn of either. Raises as
        `submit`."""
        with self._lock:
            if future in self._work and future not in self._waiting.get(lane, ()):
                self._enqueue(lane, future)
        self._start()

    def close(self) -> None:
        """Wait for what is running; what waits is cancelled."""
        with self._lock:
            waiting, self._work = self._work, {}
            self._waiting.clear()
        for future in waiting:
            future.cancel()
        self._pool.shutdown()

    def _enqueue(self, lane: Lane, future: Future[Any]) -> None:
        if self._is_full(lane):
            self._drop_ended()
            if self._is_full(lane):
                raise QueueFull
        self._waiting.setdefault(lane, deque()).append(future)

    def _is_full(self, lane: Lane) -> bool:
        guests = sum(len(futures) for (guest, _), futures in self._waiting.items() if guest)
        return len(self._waiting.get(lane, ())) >= MAX_WAITING_OF_LANE or (lane[0] and guests >= MAX_WAITING)

    def _drop_ended(self) -> None:
        """Forget what nobody waits for any more, or has begun in another lane: who comes and goes fills no lane."""
        self._work = {future: work for future, work in self._work.items() if not future.cancelled()}
        left = {lane: deque(filter(self._work.__contains__, futures)) for lane, futures in self._waiting.items()}
        self._waiting = OrderedDict((lane, futures) for lane, futures in left.items() if futures)

    def _start(self) -> None:
        with self._lock:
            while (lane := self._next()) is not None:
                futures = self._waiting.pop(lane)
                future = futures.popleft()
                if futures:
                    self._waiting[lane] = futures
                # It may have begun in another lane.
                work = self._work.pop(future, None)
                if work is not None and future.set_running_or_notify_cancel():
                    self._running[lane] += 1
                    self._pool.submit(self._run, lane, future, work)

    def _next(self) -> Lane | None:
        """The lane whose turn it is, if one may begin."""
        return min(filter(self._may_begin, self._waiting), key=lambda one: (one[0], self._running[one]), default=None)

    def _may_begin(self, lane: Lane) -> bool:
        running, guests = self._running.total(), sum(self._running[each] for each in self._running if each[0])
        if not self._running[lane]:
            return guests < 2 * self._guest_workers if lane[0] else running - guests < 2 * self._workers
        return running < self._workers and (not lane[0] or guests < self._guest_workers)

    def _run(self, lane: Lane, future: Future[Any], work: Callable[[], Any]) -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 # whoever waits for it is told
            future.set_exception(error)
        with self._lock:
            # Lanes of which nothing is running any more are left out.
            self._running -= Counter([lane])
        self._start()
