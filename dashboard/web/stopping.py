"""Hearing of a stop at once. A server waits for answers under way before it tells the application, and a stream of
events is an answer that has no end of its own."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def on_stop(react: Callable[[], Any]) -> Iterator[None]:
    """Call `react` on the running loop when the process is told to stop; whoever heard of it before still does.

    Only the main thread hears of signals; elsewhere, as in tests, nothing is changed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in _SIGNALS}

    def heard(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(react)
        then = before[signal.Signals(number)]
        if callable(then):
            then(number, frame)

    for number in _SIGNALS:
        if callable(before[number]):
            signal.signal(number, heard)
    try:
        yield
    finally:
        for number in _SIGNALS:
            if signal.getsignal(number) is heard:
                signal.signal(number, before[number])
