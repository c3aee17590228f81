"""Log configuration: one line a message, never an address or a user agent.

There is no access log: it would be a list of visitors. Of an error that nobody foresaw the log has its kind and
where it happened, and not what it says: that may be what a visitor sent, as in "'192.0.2.1x' is no address".
"""

from __future__ import annotations

import logging
import math
import time
import traceback
from collections.abc import Callable
from typing import Any, Final

MOST_LINES: Final = 60
"""Warnings and errors a minute from one line of the program."""

# Attributes that every record has; what else it carries was given with the message.
_ORDINARY = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName", "color_message"}


class LineFormatter(logging.Formatter):
    """`2026-03-01T08:00:00Z warning collector.spool.writer: the message rows=3 reason='…'`."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line; a traceback, where there is one, with its line breaks escaped."""
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created))
        extras = "".join(f" {name}={_plain(value)}" for name, value in record.__dict__.items() if name not in _ORDINARY)
        message = record.getMessage().strip().replace("\n", "\\n")
        line = f"{stamp} {record.levelname.lower()} {record.name}: {message}{extras}"
        if record.exc_info and record.exc_info[1] is not None:
            line += f" traceback={_plain(_told(record.exc_info[1]))}"
        return line


class SlowClientFilter(logging.Filter):
    """Leaves out that a response was ended before its end: that is how it ends where a client does not read it, and
    anybody could fill the log with it."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is another one."""
        return record.msg != "ASGI callable returned without completing response."


class RepetitionFilter(logging.Filter):
    """Rate limit of warnings and errors: of each line of the program that logs them at most `MOST_LINES` a minute pass,
    so that no flood of requests fills the disk. The next record from that line, a minute later or more, says how many
    were left out. `clock` gives seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._minutes: dict[tuple[str, int], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record passes."""
        if record.levelno < logging.WARNING:
            return True
        place, now = (record.pathname, record.lineno), self._clock()
        began, count = self._minutes.get(place, (-math.inf, 0))
        if now - began >= 60:
            if count > MOST_LINES:
                record.left_out = count - MOST_LINES
            began, count = now, 0
        self._minutes[place] = (began, count + 1)
        return count < MOST_LINES


def _told(error: BaseException) -> str:
    """Kinds and places of an error and of those that led to it, the last one last."""
    chain: list[BaseException] = []
    before: BaseException | None = error
    # An error may be said to be its own cause.
    while before is not None and before not in chain:
        chain.append(before)
        before = before.__cause__ or (None if before.__suppress_context__ else before.__context__)
    told = ["".join((*traceback.format_tb(each.__traceback__), type(each).__name__)) for each in reversed(chain)]
    return "\n".join(told)


def _plain(value: object) -> str:
    text = str(value)
    return text if text and text.isprintable() and " " not in text else repr(text)


def log_config(level: str) -> dict[str, Any]:
    """Configuration for `logging.config.dictConfig`: all to standard error, the web server only when it warns."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": LineFormatter}},
        "filters": {"slow clients": {"()": SlowClientFilter}, "repetitions": {"()": RepetitionFilter}},
        "handlers": {
            "stderr": {
                "class": "logging.StreamHandler",
                "formatter": "line",
                "filters": ["slow clients", "repetitions"],
                "stream": "ext://sys.stderr",
            }
        },
        "root": {"handlers": ["stderr"], "level": "WARNING"},
        "loggers": {
            "collector": {"level": level.upper()},
            "dashboard": {"level": level.upper()},
            # Below warning it would log the addresses of connections. Configured by itself it keeps its records.
            "uvicorn": {"level": "WARNING", "propagate": True},
            # They report each try; whoever called reports what came of it.
            "urllib3": {"level": "ERROR"},
            "clickhouse_connect": {"level": "ERROR"},
        },
    }
