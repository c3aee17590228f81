"""Times of log lines."""

from __future__ import annotations

import datetime
from functools import lru_cache
from typing import Final

_MONTHS: Final = {
    name: number
    for number, name in enumerate(
        ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"), 1
    )
}
_OFFSET: Final = 5


def common_log_time(text: str) -> int:
    """Unix second of `10/Oct/2000:13:55:36 -0700`. Raises `ValueError`."""
    minute, second = _minute(text[:17], text[21:]), text[18:20]
    if len(text) < 20 or not second.isdecimal():
        raise ValueError("expected a time")
    return minute + int(second)


@lru_cache(maxsize=4_096)
def _minute(text: str, offset: str) -> int:
    month = _MONTHS.get(text[3:6])
    if month is None:
        raise ValueError("expected the name of a month")
    moment = datetime.datetime(
        int(text[7:11]), month, int(text[:2]), int(text[12:14]), int(text[15:17]), tzinfo=datetime.UTC
    )
    ahead = 0
    if len(offset) == _OFFSET and offset[1:].isdecimal():
        ahead = (int(offset[1:3]) * 60 + int(offset[3:])) * (-60 if offset[0] == "-" else 60)
    return int(moment.timestamp()) - ahead


def moment_of(value: object) -> int:
    """Unix second of a number of seconds, milliseconds, microseconds or nanoseconds, or of a text with one, an ISO 8601
    time (UTC where it names no zone) or a time of the common log format. Raises `ValueError`."""
    if isinstance(value, str):
        value = value.strip()
        if value[2:3] == "/" and value[6:7] == "/":
            return common_log_time(value)
        if value[4:5] in ("-", "/"):
            return iso_time(value)
        value = float(value)
    seconds = float(value) if isinstance(value, int | float) else 0.0
    for unit in (1e17, 1e14, 1e11):
        if abs(seconds) >= unit:
            seconds /= unit / 1e8
            break
    if not 0 < seconds < 1 << 32:
        raise ValueError("expected a time")
    return int(seconds)


def iso_time(text: str) -> int:
    """Unix second of `2026-01-12T08:00:00.123Z`, `2026-01-12 08:00:00+00` and the like. Raises `ValueError`."""
    text = text.strip().replace("/", "-").replace(" UTC", "Z").replace(" +", "+")
    moment = datetime.datetime.fromisoformat(text)
    return int((moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)).timestamp())
