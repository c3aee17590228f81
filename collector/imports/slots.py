"""Slots of imports: one at a time for a site, two for a member or key, a few together."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Final

from collector.core.errors import ImportRefused

MOST_AT_ONCE: Final = 4
"""Imports of all sites together, each with a thread."""
MOST_OF_ONE: Final = 2
"""Imports of one member or key: whoever has many sites leaves room for others."""


class ImportSlots:
    """Which imports are being read."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken: list[tuple[str, str]] = []
        self._closed = False

    @property
    def idle(self) -> bool:
        """Whether none is being read."""
        return not self._taken

    @contextlib.contextmanager
    def taken(self, site_id: str, by: str) -> Iterator[None]:
        """A slot for as long as the block lasts. Raises `ImportRefused` when there is none."""
        slot = (site_id, by)
        with self._lock:
            if self._closed:
                raise ImportRefused("file", "a backup is being restored; try again when that has finished")
            of_site = any(site_id == each for each, _ in self._taken)
            of_one = sum(by == each for _, each in self._taken)
            if of_site or of_one >= MOST_OF_ONE or len(self._taken) >= MOST_AT_ONCE:
                raise ImportRefused("file", "another import is in progress; try again when it has finished")
            self._taken.append(slot)
        try:
            yield
        finally:
            with self._lock:
                self._taken.remove(slot)

    @contextlib.contextmanager
    def closed(self) -> Iterator[bool]:
        """Whether none is being read; if so none begins for as long as the block lasts."""
        with self._lock:
            self._closed = idle = self.idle
        try:
            yield idle
        finally:
            self._closed = False
