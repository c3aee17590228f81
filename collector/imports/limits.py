"""Bounds on reading one file: how long it may take, and how much may come out of archives."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from collector.core.errors import ImportRefused

MAX_LAYERS: Final = 3
"""Layers of gzip, Zstandard, bzip2 and zip around the content of a file."""
MAX_ZIP_BYTES: Final = 1 << 30
"""Bytes that come out of one zip file with all its members, or of one file that is packed more than once."""
MAX_DIRECTORY_BYTES: Final = 1 << 20
"""Bytes of a zip file's list of members, which is read into memory; some ten thousand members."""
LOG_OF_WINDOW: Final = 27
"""Of bytes that Zstandard looks back at, as `zstd --long` has it."""
LOG_OF_INNER_WINDOW: Final = 23
"""The same inside of another layer of packing."""
MOST_PARTS: Final = 10_000
"""Files and tables of one import."""
MOST_MONTHS: Final = 240
"""Months that an import has days of: each is inserted, and deleted again, by itself."""
READING_SECONDS: Final = 3_600.0
"""Seconds in which the files of one import have to be read, however slowly they arrive."""


class ReadingLimits:
    """What the reading of a file may still take. `clock` gives seconds, and `began` is when the import began."""

    def __init__(self, began: float | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._deadline = (clock() if began is None else began) + READING_SECONDS
        self._bytes = MAX_ZIP_BYTES

    def check(self) -> None:
        """Raise `ImportRefused` when the time is over."""
        if self._clock() > self._deadline:
            raise ImportRefused(
                "file",
                "reading took longer than {minutes} minutes; split the file, for example by month. Nothing was "
                "imported",
                minutes=round(READING_SECONDS / 60),
            )

    def spend(self, count: int) -> None:
        """So many bytes came out of an archive. Raises `ImportRefused` when it is too much."""
        self.check()
        self._bytes -= count
        if self._bytes < 0:
            raise ImportRefused(
                "file",
                "an archive has more than {size} GiB of content; unpack it and import its files one after the other. "
                "Nothing was imported",
                size=MAX_ZIP_BYTES >> 30,
            )


def next_layer(layers: int) -> int:
    """One more layer of packing. Raises `ImportRefused` when there are too many."""
    if layers == MAX_LAYERS:
        raise ImportRefused(
            "file", "a file is compressed in more than {count} layers; nothing was imported", count=MAX_LAYERS
        )
    return layers + 1
