"""Runlight over the same events: `prepare` makes its virtual environment, `compare` its figures.

It runs in a process of its own, by its own Python: this module is that program too, and then imports nothing of ours.
Its SQLite store is filled directly, a row per visit and per event, as its collector would have left it; then its own
code builds the rollups of every day that is over, and answers.
"""

from __future__ import annotations

import csv
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

VERSION = "0.3.2"
DIMENSIONS = (
    "channel", "source", "referrer", "utm_campaign", "page", "entry", "exit", "country", "browser", "os", "device",
    "screen", "event",
)  # fmt: skip
FILTERS = {
    "unfiltered": (),
    "filtered by one": (("country", "C1"),),
    "filtered by two": (("country", "C1"), ("browser", "B1")),
    "filtered by three": (("country", "C1"), ("browser", "B1"), ("source", "S1")),
    "filtered by a page": (("page", "/p0"),),
}
_DAY = 86_400_000
_SESSIONS = (
    "id", "site", "visitor", "started_at", "last_at", "entry_path", "exit_path", "pageviews", "events", "hostname",
    "referrer_host", "referrer_path", "source", "channel", "utm_source", "utm_medium", "utm_campaign", "country",
    "browser", "browser_version", "os", "os_version", "device", "screen",
)  # fmt: skip
_EVENTS = ("site", "ts", "kind", "visitor", "session", "pageview", "path", "hostname", "name")

EXPORT_SESSIONS = """
SELECT concat(toString(visitor), '-', toString(visit)), 's', toString(visitor), toUnixTimestamp(min(ts)) * 1000,
    toUnixTimestamp(max(ts)) * 1000, any(entry_page), argMax(page, (ts, seq)), countIf(name = 'pageview'),
    countIf(name != 'pageview'), any(hostname), domain(concat('https://', any(referrer))),
    path(concat('https://', any(referrer))), any(source), any(channel), any(utm_source), any(utm_medium),
    any(utm_campaign), any(country), any(browser), any(browser_version), any(os), any(os_version), any(device),
    any(size)
FROM events GROUP BY visitor, visit ORDER BY 4"""
EXPORT_EVENTS = """
SELECT 's', toUnixTimestamp(ts) * 1000, if(name = 'pageview', 'pageview', 'event'), toString(visitor),
    concat(toString(visitor), '-', toString(visit)),
    if(name = 'pageview', concat(toString(visitor), '-', toString(rowNumberInAllBlocks())), ''), page, hostname,
    if(name = 'pageview', '', name)
FROM events ORDER BY ts, seq"""


def prepare() -> Path | None:
    """Its Python, in a virtual environment that is kept in the directory for temporary files; None without one."""
    home = Path(tempfile.gettempdir()) / f"tyst-bench-runlight-{VERSION}-{os.getuid()}"
    python = home / "bin" / "python"
    check = [str(python), "-c", "import runlight"]
    if python.exists() and subprocess.run(check, check=False, capture_output=True).returncode == 0:
        return python
    venv.create(home, with_pip=True, clear=True)
    install = [str(python), "-m", "pip", "install", "--quiet", f"runlight=={VERSION}"]
    done = subprocess.run(install, check=False, capture_output=True, timeout=180)
    return python if done.returncode == 0 else None


def compare(python: Path, directory: Path, now: float, times: int) -> dict[str, Any]:
    """Its figures over the exported `sessions.tsv` and `events.tsv` of the directory, in milliseconds and bytes."""
    command = [str(python), str(Path(__file__)), str(directory), str(now), str(times)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=600)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _rows(path: Path) -> Iterator[list[str]]:
    with path.open(newline="") as file:
        yield from csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)


def _fill(directory: Path, path: Path) -> None:
    database = sqlite3.connect(path)
    for table, columns, name in (("rl_sessions", _SESSIONS, "sessions"), ("rl_events", _EVENTS, "events")):
        marks = ", ".join("?" * len(columns))
        insert = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})"  # noqa: S608 - our own names
        database.executemany(insert, _rows(directory / f"{name}.tsv"))
    database.commit()
    database.execute("ANALYZE")
    database.commit()
    database.close()


def _took(work: Callable[[], object], times: int) -> list[float]:
    """Medians of wall clock and processor, in milliseconds, after once."""
    work()
    walls, processors = [], []
    for _ in range(times):
        began, used = time.perf_counter(), time.process_time()
        work()
        walls.append(1000 * (time.perf_counter() - began))
        processors.append(1000 * (time.process_time() - used))
    return [statistics.median(walls), statistics.median(processors)]


def _panels(store: Any, now: int, chosen: tuple[tuple[str, str], ...]) -> Callable[[], object]:
    """The same panels as ours, asked of its store as its dashboard does."""
    today = now // _DAY * _DAY
    filters = [{"dimension": name, "op": "is", "value": value} for name, value in chosen]

    def query(first: int, end: int) -> dict[str, Any]:
        return {"site": "s", "from": first, "to": end, "filters": filters}

    shown = query(today - 29 * _DAY, today + _DAY)
    before = query(today - 59 * _DAY, today - 29 * _DAY)
    days = [{"start": today - back * _DAY, "end": today - (back - 1) * _DAY} for back in range(29, -1, -1)]

    def ask() -> object:
        return (
            store.stats(shown),
            store.stats(before),
            store.series(shown, days),
            [store.breakdown(shown, name, 10, 0) for name in DIMENSIONS],
        )

    return ask


def _main(directory: Path, now: int, times: int) -> dict[str, Any]:
    from runlight.store import Stores  # type: ignore[import-not-found]  # only in its own environment

    path = directory / "runlight.db"
    store = Stores.sqlite(str(path))
    store.migrate()
    _fill(directory, path)
    found: dict[str, Any] = {"before": _took(_panels(store, now, ()), 1)}
    first, today = int(next(_rows(directory / "sessions.tsv"))[3]) // _DAY * _DAY, now // _DAY * _DAY
    began = time.perf_counter()
    for start in range(first, today, _DAY):
        store.build_rollup_day("s", time.strftime("%Y-%m-%d", time.gmtime(start // 1000)), start, start + _DAY)
    found["rollups"] = time.perf_counter() - began
    for title, chosen in FILTERS.items():
        found[title] = _took(_panels(store, now, chosen), times)
    found["visitors"] = store.stats({"site": "s", "from": today - 29 * _DAY, "to": today + _DAY, "filters": []})[
        "visitors"
    ]
    found["bytes"] = path.stat().st_size
    return found


if __name__ == "__main__":
    print(json.dumps(_main(Path(sys.argv[1]), int(1000 * float(sys.argv[2])), int(sys.argv[3]))))
