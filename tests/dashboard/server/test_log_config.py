"""The server's log: one line a message, with what was said beside it."""

from __future__ import annotations

import inspect
import ipaddress
import logging
import logging.config
import re
import sys
from collections.abc import Iterator

import pytest
from uvicorn.protocols.http import httptools_impl

from dashboard.server.log_config import MOST_LINES, LineFormatter, RepetitionFilter, log_config


def line(message: str, **extra: object) -> str:
    record = logging.makeLogRecord({"name": "collector.spool.writer", "levelname": "WARNING", "msg": message, **extra})
    return LineFormatter().format(record)


def test_a_message_is_one_line_with_its_time_level_and_place() -> None:
    """UTC, then what a person greps for."""
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ warning collector\.spool\.writer: it waits", line("it waits"))


@pytest.mark.parametrize(
    ("value", "shown"),
    [(3, "rows=3"), ("no route", "rows='no route'"), ("", "rows=''"), ("two\nlines", r"rows='two\nlines'")],
)
def test_what_was_said_beside_it_follows(value: object, shown: str) -> None:
    """As name=value; nothing can break out of its line."""
    assert line("it waits", rows=value).endswith(f": it waits {shown}")


@pytest.fixture
def configured() -> Iterator[None]:
    """The server's configuration of logging, and afterwards the one before it."""
    names = ("", "collector", "dashboard", "uvicorn", "urllib3", "clickhouse_connect")
    before = {name: (logging.getLogger(name).level, list(logging.getLogger(name).handlers)) for name in names}
    logging.config.dictConfig(log_config("debug"))
    yield
    for name, (level, handlers) in before.items():
        logging.getLogger(name).setLevel(level)
        logging.getLogger(name).handlers = handlers


@pytest.mark.usefixtures("configured")
def test_debugging_tyst_does_not_make_the_web_server_talk() -> None:
    """Below warning it would log the addresses of connections."""
    assert logging.getLogger("collector.server.event_endpoint").isEnabledFor(logging.DEBUG)
    for name in ("uvicorn.error", "uvicorn.access", "uvicorn.asgi"):
        assert not logging.getLogger(name).isEnabledFor(logging.INFO)


@pytest.mark.usefixtures("configured")
def test_who_does_not_read_a_response_fills_no_log(capsys: pytest.CaptureFixture[str]) -> None:
    """The web server has a line for each response that was ended before its end, and has others."""
    ended = "ASGI callable returned without completing response."
    assert ended in inspect.getsource(httptools_impl)
    # As after a configuration of the web server's own.
    logging.getLogger("uvicorn").propagate = False
    logging.config.dictConfig(log_config("info"))
    for message in (ended, "something else"):
        logging.getLogger("uvicorn.error").error(message)
    assert [line.partition(": ")[2] for line in capsys.readouterr().err.splitlines()] == ["something else"]


def test_a_traceback_stays_in_its_line() -> None:
    """So that a line is a message also for those who count lines. It says which errors there were, the one that led
    to it too, and where; not what they say, which may be what a visitor sent."""
    try:
        try:
            ipaddress.ip_address("203.0.113.7x\n")
        except ValueError as error:
            raise LookupError("203.0.113.7x") from error
    except LookupError:
        text = line("unexpected\n", exc_info=sys.exc_info())
    assert text.index("ValueError") < text.index("LookupError")
    assert "test_log_config.py" in text
    assert "203.0.113.7" not in text.replace('"203.0.113.7x', "")
    assert "\n" not in text


def test_an_error_that_is_its_own_cause_is_logged() -> None:
    """Once, in one line."""
    error = ValueError("secret")
    error.__cause__ = error
    record = logging.LogRecord("tyst", logging.ERROR, "here", 1, "failed", None, (ValueError, error, None))
    assert LineFormatter().format(record).endswith("failed traceback=ValueError")


@pytest.mark.usefixtures("configured")
def test_what_anybody_can_have_logged_fills_no_disk(capsys: pytest.CaptureFixture[str]) -> None:
    """Of each place in the program there are so many warnings a minute; others are not affected."""
    logging.config.dictConfig(log_config("debug"))
    log = logging.getLogger("dashboard.web.passkey_sign_in")
    for number in range(10 * MOST_LINES):
        log.warning("a passkey was refused: %s", number)
        log.debug("statement %s", number)
    log.warning("another place")
    lines = capsys.readouterr().err.splitlines()
    assert sum("a passkey was refused" in each for each in lines) == MOST_LINES
    assert sum("statement" in each for each in lines) == 10 * MOST_LINES
    assert "another place" in lines[-1]


def test_a_later_minute_says_how_many_lines_were_left_out() -> None:
    """The log is complete in what happened, if not in each time."""
    now = 0.0
    bounded, record = RepetitionFilter(lambda: now), {"levelno": logging.ERROR, "msg": "it waits"}
    assert sum(bounded.filter(logging.makeLogRecord(record)) for _ in range(MOST_LINES + 5)) == MOST_LINES
    now = 60.0
    later = logging.makeLogRecord(record)
    assert bounded.filter(later)
    assert LineFormatter().format(later).endswith(": it waits left_out=5")
