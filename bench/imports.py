"""`python -m bench imports`: an access log of many lines, imported into an embedded database.

Prints the rate beside that of `wc -l` of the same file in the same run, and the greatest memory of the process that
imports beside what it takes before. `--kills N` kills imports at random moments instead, N times in a row: nothing may
be lost or doubled.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bench.calibration import slowness
from collector.imports.file import ImportedFile
from collector.sites.model import Site
from collector.sites.registry import Sites
from collector.storage.client import ClickHouse
from collector.storage.documents import DocumentTable
from tests.board import importing_into
from tests.collector.imports.killed import play
from tests.collector.imports.log_lines import write_log

SITE: Final = "example.com"
SEED: Final = 20_260_115
KILLED_LINES: Final = 20_000


def memory(name: str) -> float:
    """A figure of this process's memory in MB: `VmRSS` of now, or `VmHWM`, the greatest so far."""
    found = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(found.split()[1]) / 1024


def import_log(path: Path, directory: Path) -> dict[str, float]:
    """Import the log into a new database in `directory`; returns seconds and MB."""
    client = ClickHouse.at(f"chdb://{directory / 'clickhouse'}").prepare()
    sites = Sites(DocumentTable(client, "sites", Site), time.time)
    asyncio.run(sites.change(Site(domain=SITE, timezone="UTC")))
    site = sites.get(SITE)
    if site is None:
        raise LookupError(SITE)
    imports = importing_into(client, sites, time.time, directory)
    before, began, read = memory("VmRSS"), time.perf_counter(), [0.0, 0.0]
    used = time.process_time()

    def progress(_: int, __: int) -> None:
        read[:] = read if read[0] else [time.perf_counter() - began, memory("VmHWM")]

    with path.open("rb") as log:
        record = imports.read(site, [ImportedFile(path.name, log)], by="bench", progress=progress)
    imports.confirm(site, record.id)
    return {
        "seconds": time.perf_counter() - began, "first days": read[0], "before": before, "while reading": read[1],
        "peak": memory("VmHWM"), "accepted": record.report.accepted, "read": record.report.read,
        "days": len(record.days), "processor": time.process_time() - used,
    }  # fmt: skip


def _of_children() -> float:
    """Processor's time of processes that have ended, in seconds."""
    found = os.times()
    return found.children_user + found.children_system


def measure(count: int, days: int) -> int:
    """Import a log of so many lines in a process of its own, and print the figures."""
    with tempfile.TemporaryDirectory(prefix="tyst-imports-") as directory:
        path = Path(directory) / "access.log"
        write_log(path, count, SEED, days)
        began, used = time.perf_counter(), _of_children()
        subprocess.run(["wc", "-l", str(path)], check=True, stdout=subprocess.DEVNULL)
        counted, counting = time.perf_counter() - began, _of_children() - used
        command = [sys.executable, "-m", "bench.imports", "--import", directory]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
        found = json.loads(done.stdout)
        size = path.stat().st_size / 1e6
    print(f"| {count:,} lines, {size:,.0f} MB, {found['days']:,} days | |\n| --- | --- |")
    for title, figure in [
        ("slowness of the machine", f"{slowness():.1f}"),
        ("wc -l, and its processor's time", f"{counted:.2f} s, {counting:.2f} s"),
        ("import", f"{found['seconds']:,.1f} s, {count / found['seconds']:,.0f} lines a second"),
        ("of which until the first days were closed", f"{found['first days']:,.1f} s"),
        ("as a multiple of wc -l", f"{found['seconds'] / counted:,.0f}"),
        ("processor's time", f"{found['processor']:,.1f} s, {count / found['processor']:,.0f} lines a second"),
        ("as a multiple of that of wc -l", f"{found['processor'] / max(counting, 0.01):,.0f}"),
        ("accepted", f"{found['accepted']:,} of {found['read']:,}"),
        ("memory before", f"{found['before']:,.0f} MB"),
        ("greatest memory while reading", f"{found['while reading']:,.0f} MB"),
        ("greatest memory", f"{found['peak']:,.0f} MB"),
    ]:
        print(f"| {title} | {figure} |")
    return 0


def kill(kills: int) -> int:
    """Kill so many imports, and print what came of it."""
    with tempfile.TemporaryDirectory(prefix="tyst-imports-") as directory:
        logs = [Path(directory) / "first.log", Path(directory) / "second.log"]
        for number, log in enumerate(logs, 1):
            write_log(log, KILLED_LINES * number, SEED + number, days=30)
        data = Path(directory) / "data"
        data.mkdir()
        tally = play(data, logs, kills, SEED)
    print(f"| imports killed | {tally.killed} |\n| --- | --- |\n| done before | {tally.done} |")
    print(f"| lost or doubled | {len(tally.untrue)} |")
    for sentence in tally.untrue:
        print(sentence)
    return 1 if tally.untrue else 0


def main(arguments: Sequence[str]) -> int:
    """Measure, or kill."""
    parser = argparse.ArgumentParser(prog="python -m bench imports", description=__doc__)
    parser.add_argument("--lines", type=int, default=300_000)
    parser.add_argument("--days", type=int, default=90)
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--import", dest="directory", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.directory:
        print(json.dumps(import_log(Path(given.directory) / "access.log", Path(given.directory))))
        return 0
    return kill(given.kills) if given.kills else measure(given.lines, given.days)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
