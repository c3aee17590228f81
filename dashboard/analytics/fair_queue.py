"""A thread pool that shares its threads between readers: whoever asks for much waits for it alone."""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
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


@dataclass(slots=True, eq=False)
class _Task:
    """Work that waits, in one lane or several."""

    future: Future[Any]
    work: Callable[[], Any]
    taken: bool = False


class FairQueue:
    """Takes work from lanes in turn, those first of which least is running. Members go before guests, who never have
    more than their share of the threads. Where all threads are taken, a lane of which nothing is running gets a spare
    one, of which there are as many: however long statements of others take, it waits for no end of theirs.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._guest_workers = max(1, workers // 2)
        self._threads = ThreadPoolExecutor(threads_of(workers), thread_name_prefix="analytics")
        self._lock = threading.Lock()
        self._waiting: OrderedDict[Lane, deque[_Task]] = OrderedDict()
        self._tasks: dict[Future[Any], _Task] = {}
        """Those that wait."""
        self._running: Counter[Lane] = Counter()

    def submit(self, lane: Lane, work: Callable[[], T]) -> Future[T]:
        """Do the work when it is its turn. Raises `QueueFull` where too much waits in the lane, or of guests."""
        task = _Task(Future[T](), work)
        with self._lock:
            self._enqueue(lane, task)
            self._tasks[task.future] = task
        self._start()
        return task.future

    def join(self, lane: Lane, future: Future[Any]) -> None:
        """Have what waits in another lane wait in this one, too: it begins when it is the turn of either. Raises as
        `submit`."""
        with self._lock:
            task = self._tasks.get(future)
            if task is None or task in self._waiting.get(lane, ()):
                return
            self._enqueue(lane, task)
        self._start()

    def close(self) -> None:
        """Wait for what is running; what waits is cancelled."""
        with self._lock:
            waiting = list(self._tasks)
            self._waiting.clear()
            self._tasks.clear()
        for future in waiting:
            future.cancel()
        self._threads.shutdown()

    def _enqueue(self, lane: Lane, task: _Task) -> None:
        if self._is_full(lane):
            self._drop_ended()
            if self._is_full(lane):
                raise QueueFull
        self._waiting.setdefault(lane, deque()).append(task)

    def _is_full(self, lane: Lane) -> bool:
        guests = sum(len(tasks) for (guest, _), tasks in self._waiting.items() if guest)
        return len(self._waiting.get(lane, ())) >= MAX_WAITING_OF_LANE or (lane[0] and guests >= MAX_WAITING)

    def _drop_ended(self) -> None:
        """Forget what nobody waits for any more, or has begun in another lane: who comes and goes fills no lane."""
        for lane, tasks in list(self._waiting.items()):
            left = deque(each for each in tasks if not (each.taken or each.future.cancelled()))
            for each in tasks:
                if each.future.cancelled():
                    self._tasks.pop(each.future, None)
            if left:
                self._waiting[lane] = left
            else:
                del self._waiting[lane]

    def _start(self) -> None:
        with self._lock:
            while (lane := self._next()) is not None:
                task = self._waiting[lane].popleft()
                self._waiting.move_to_end(lane)
                if not self._waiting[lane]:
                    del self._waiting[lane]
                self._tasks.pop(task.future, None)
                waited, task.taken = not task.taken, True
                if waited and task.future.set_running_or_notify_cancel():
                    self._running[lane] += 1
                    self._threads.submit(self._run, lane, task)

    def _next(self) -> Lane | None:
        """The lane whose turn it is, if one may begin."""
        for guest in (False, True):
            lanes = [lane for lane in self._waiting if lane[0] == guest]
            if lanes:
                least = min(lanes, key=lambda lane: self._running[lane])
                return least if self._may_begin(least) else None
        return None

    def _may_begin(self, lane: Lane) -> bool:
        running, spare = self._running.total(), 1 if self._running[lane] else 2
        guests = sum(count for (guest, _), count in self._running.items() if guest)
        return running < spare * self._workers and (not lane[0] or guests < spare * self._guest_workers)

    def _run(self, lane: Lane, task: _Task) -> None:
        try:
            found = task.work()
        except BaseException as error:  # noqa: BLE001 # whoever waits for it is told
            outcome = partial(task.future.set_exception, error)
        else:
            outcome = partial(task.future.set_result, found)
        with self._lock:
            self._running[lane] -= 1
            if not self._running[lane]:
                del self._running[lane]
        self._start()
        outcome()


def threads_of(workers: int) -> int:
    """How many threads a queue has, the spare ones included."""
    return 2 * workers
