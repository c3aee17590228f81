"""Detection of wall-clock jumps, which would make retention delete data irrevocably.

The wall clock is compared with `CLOCK_BOOTTIME`, which cannot be set and includes suspend, and at start with the last
trusted timestamp on disk. After a jump the clock is untrusted until it is correct again or has been stable for an hour
(for salts, whose loss counts visitors twice) or a day (for events, which cannot be restored). Waiting is harmless:
expired data is deleted a day later.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable
from pathlib import Path

log = logging.getLogger(__name__)

LEAP_SECONDS = 3_600.0
"""Difference between the two clocks from which a change counts as a jump."""

PAUSE_SECONDS = 86_400.0
"""Downtime from which the clock is untrusted for events."""

LONG_PAUSE_SECONDS = 30 * 86_400.0
"""Downtime from which the clock is untrusted for salts, too. A clock that shows a time before the last run is always
untrusted for them: today's salt would be destroyed as one of a later date."""

SALTS_SETTLE_SECONDS = 3_600.0
EVENTS_SETTLE_SECONDS = 86_400.0

Clock = Callable[[], float]


def uptime() -> float:
    """Seconds since the machine was started, suspend included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class ClockMonitor:
    """Compares the wall clock with a monotonic one.

    `clock` returns Unix seconds, `since_boot` monotonic seconds; `note` is the file that stores the last trusted
    timestamp for the next process. Call `check` every half minute, from one thread at a time. Blocking.
    """

    def __init__(self, clock: Clock, since_boot: Clock = uptime, note: Path | None = None) -> None:
        self._clock = clock
        self._since_boot = since_boot
        self._note = note
        self._at = since_boot()
        self._offset = clock() - self._at
        self._doubted: float | None = None
        """Monotonic time of the jump while the clock is untrusted, otherwise None."""
        self._leap = 0.0
        """Size of the jump in seconds; 0 after a long downtime alone."""
        self._away = 0.0
        self._begin()

    @property
    def problem(self) -> str | None:
        """The error to report, or None."""
        if not self._leap:
            return None
        days = abs(self._leap) / 86_400
        by = f"{days:,.0f} days" if days >= 2 else f"{abs(self._leap) / 3_600:,.1f} hours"
        return (
            f"The clock went {'forward' if self._leap > 0 else 'back'} by {by}. "
            "No event is deleted until it is correct again or has been stable for a day; synchronise it with NTP."
        )

    @property
    def jumped(self) -> bool:
        """Whether the clock has jumped, and is not trusted again."""
        return bool(self._leap) or self._has_just_jumped

    @property
    def may_delete_events(self) -> bool:
        """Whether the clock is trusted for deleting expired events."""
        return self._has_settled(EVENTS_SETTLE_SECONDS) and not self._has_just_jumped

    @property
    def may_destroy_salts(self) -> bool:
        """Whether the clock is trusted for destroying salts."""
        believed = not self._leap and -LEAP_SECONDS <= self._away < LONG_PAUSE_SECONDS
        return (believed or self._has_settled(SALTS_SETTLE_SECONDS)) and not self._has_just_jumped

    @property
    def may_close_days(self) -> bool:
        """Whether the clock is trusted for closing days, which would be those of years to come."""
        return not self.jumped or self.may_destroy_salts

    def check(self) -> None:
        """Compare the clocks and update the state."""
        at = self._since_boot()
        paused = at - self._at
        self._at = at
        offset = self._clock() - at
        moved = offset - self._offset
        if paused > PAUSE_SECONDS:
            # A pause between two checks: the machine was suspended, or both clocks jumped.
            self._doubt(paused)
        elif abs(moved - self._leap) > LEAP_SECONDS:
            if abs(moved) > LEAP_SECONDS:
                self._doubt(moved)
            else:
                self._believe("the clock is correct again")
        if not self._leap:
            # Follow gradual NTP corrections.
            self._offset = offset
        if self._doubted is not None and at - self._doubted >= EVENTS_SETTLE_SECONDS:
            self._offset = offset
            self._believe("the clock has been stable for a day and is trusted again")
        if self._doubted is None:
            self._write()

    @property
    def _has_just_jumped(self) -> bool:
        """Whether the clock has jumped since the last check: what depends on it may come first."""
        moved = self._clock() - self._since_boot() - self._offset
        return abs(moved - self._leap) > LEAP_SECONDS

    def _has_settled(self, seconds: float) -> bool:
        return self._doubted is None or self._since_boot() - self._doubted >= seconds

    def _begin(self) -> None:
        noted = self._read()
        if noted is not None:
            self._away = self._clock() - noted
            if not -LEAP_SECONDS <= self._away <= PAUSE_SECONDS:
                self._doubted = self._at
                if not -LEAP_SECONDS <= self._away <= LONG_PAUSE_SECONDS:
                    log.warning(
                        "the clock is far from the time of the last run: nothing is deleted for a day",
                        extra={"days": round(self._away / 86_400)},
                    )

    def _doubt(self, leap: float) -> None:
        self._doubted, self._leap = self._at, leap
        log.error("the clock jumped: no event is deleted until it is correct again", extra={"seconds": round(leap)})

    def _believe(self, why: str) -> None:
        self._doubted, self._leap, self._away = None, 0.0, 0.0
        log.warning(why)

    def _read(self) -> float | None:
        if self._note is None:
            return None
        try:
            return float(self._note.read_text())
        except (OSError, ValueError):
            return None

    def _write(self) -> None:
        if self._note is not None:
            # Without the file the next start is trusted, as a first start is.
            with contextlib.suppress(OSError):
                new = self._note.with_suffix(".new")
                new.write_text(f"{self._clock():.0f}")
                new.replace(self._note)
