"""What the server writes to its log: one line a message, and never an address or a user agent.

There is no access log: it would be a list of visitors.
"""

from __future__ import annotations

import logging
import time
from typing import Any

# Attributes that every record has; what else it carries was given with the message.
_ORDINARY = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName", "color_message"}


class LineFormatter(logging.Formatter):
    """`2026-03-01T08:00:00Z warning collector.writer: the message rows=3 reason='…'`."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line; a traceback, where there is one, with its line breaks escaped."""
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created))
        extras = "".join(f" {name}={_plain(value)}" for name, value in record.__dict__.items() if name not in _ORDINARY)
        line = f"{stamp} {record.levelname.lower()} {record.name}: {record.getMessage()}{extras}"
        if record.exc_info:
            line += f" traceback={_plain(self.formatException(record.exc_info))}"
        return line


def _plain(value: object) -> str:
    text = str(value)
    return text if text and text.isprintable() and " " not in text else repr(text)


def log_config(level: str) -> dict[str, Any]:
    """Configuration for `logging.config.dictConfig`: all to standard error, the web server only when it warns."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": LineFormatter}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line", "stream": "ext://sys.stderr"}},
        "root": {"handlers": ["stderr"], "level": "WARNING"},
        "loggers": {
            "collector": {"level": level.upper()},
            "dashboard": {"level": level.upper()},
            # Below warning it would log the addresses of connections.
            "uvicorn": {"level": "WARNING"},
            # They report each try; whoever called reports what came of it.
            "urllib3": {"level": "ERROR"},
            "clickhouse_connect": {"level": "ERROR"},
        },
    }
