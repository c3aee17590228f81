"""A thread pool that shares its threads fairly between lanes: many requests of one reader delay that reader only."""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import ContextVar
from typing import Any, Final, TypeVar

from dashboard.analytics.errors import QueueFull

MAX_WAITING, MAX_WAITING_OF_LANE = 2_000, 500
"""Statements that may wait: of all guests, and in one lane, where they are those of about thirty pages."""

T = TypeVar("T")

Lane = tuple[bool, str]
"""Key of fair sharing: whether the reader is a guest, and the account, or the site of a reader without one."""

_reader: Final[ContextVar[str]] = ContextVar("reader", default="")


def set_reader(account: str) -> None:
    """Set the account of the current request; "" is none."""
    _reader.set(account)


def lane_of(site: str, *, guest: bool) -> Lane:
    """The lane of the current request for work on a site. An account has one lane for all its sites."""
    account = _reader.get()
    return (guest, f"account {account}" if account and not guest else site)


class FairQueue:
    """Runs the work of the lane with the least running work first, in turn. Members come before guests, who have a
    limited share of the threads. When all threads are busy, a lane without running work gets a spare thread of members
    or guests, so that it never waits for the long-running work of others.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._guest_workers = max(1, workers // 2)
        self.threads = 2 * (workers + self._guest_workers)  # including spare ones
        self._pool = ThreadPoolExecutor(self.threads, thread_name_prefix="analytics")
        self._lock = threading.Lock()
        self._waiting: OrderedDict[Lane, deque[Future[Any]]] = OrderedDict()
        """Waiting work by lane; the same work may wait in several."""
        self._work: dict[Future[Any], Callable[[], Any]] = {}
        self._running: Counter[Lane] = Counter()

    def submit(self, lane: Lane, work: Callable[[], T]) -> Future[T]:
        """Queue work in a lane. Raises `QueueFull` if too much waits in the lane, or of all guests."""
        future = Future[T]()
        with self._lock:
            self._enqueue(lane, future)
            self._work[future] = work
        self._start()
        return future

    def join(self, lane: Lane, future: Future[Any]) -> None:
        """Queue work that waits in another lane in this one as well: it starts at the turn of either. Raises
        `QueueFull` as `submit` does."""
        with self._lock:
            if future in self._work and future not in self._waiting.get(lane, ()):
                self._enqueue(lane, future)
        self._start()

    def close(self) -> None:
        """Cancel waiting work, and wait for running work."""
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
        """Remove work that was cancelled or has started in another lane, so that it does not fill this one."""
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
                # It may have started in another lane.
                work = self._work.pop(future, None)
                if work is not None and future.set_running_or_notify_cancel():
                    self._running[lane] += 1
                    self._pool.submit(self._run, lane, future, work)

    def _next(self) -> Lane | None:
        """The lane whose turn it is, if any may start work."""
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
            # The subtraction drops lanes without running work.
            self._running -= Counter([lane])
        self._start()
