"""Imports that are killed: a process that imports a log, and a play of many that end by kill -9 at random moments."""

# ruff: noqa: S608 -- text is names of our own tables
from __future__ import annotations

import asyncio
import hashlib
import json
import random
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, cast

from clickhouse_connect.driver.client import Client

from collector.imports.file import ImportedFile
from collector.sites.model import Site
from collector.sites.registry import Sites
from collector.storage.client import ClickHouse
from collector.storage.documents import DocumentTable
from tests.board import importing_into

SITE = "example.com"
_COUNTS = "(site, day, version) IN (SELECT site, day, version FROM daily_status FINAL WHERE NOT reopened)"
_EVERY_ROW = f"SELECT * EXCEPT version FROM daily_rollup WHERE {_COUNTS} ORDER BY ALL"
_STRAYS = f"SELECT count() FROM daily_rollup WHERE NOT {_COUNTS}"
_SCRATCH = "SELECT count() FROM system.tables WHERE database = currentDatabase() AND name LIKE 'scratch%'"


def state(client: Client) -> dict[str, Any]:
    """What is stored: a digest of every row that counts, and how much there is that should not be."""
    rows = client.query(_EVERY_ROW).result_rows
    strays, scratch = (client.query(statement).result_rows[0][0] for statement in (_STRAYS, _SCRATCH))
    digest = hashlib.blake2b(repr(rows).encode(), digest_size=8).hexdigest()
    return {"digest": digest, "rows": len(rows), "strays": strays, "scratch": scratch}


def run(directory: Path, logs: list[Path]) -> None:
    """Start as a server does, say what is stored, and say it again after the import of each log."""
    client = ClickHouse.at(f"chdb://{directory / 'clickhouse'}").prepare()
    sites = Sites(DocumentTable(client, "sites", Site), time.time)
    if sites.get(SITE) is None:
        asyncio.run(sites.change(Site(domain=SITE, timezone="Europe/Stockholm")))
    site = sites.get(SITE)
    if site is None:
        raise LookupError(SITE)
    imports = importing_into(client, sites, time.time, directory)
    imports.recover(alone=True)
    # What was replaced goes when nobody reads it any more.
    imports.forget_uncounted()
    imports.delete_removed()
    _say(state(client))
    for log in logs:
        with log.open("rb") as opened:
            record = imports.read(site, [ImportedFile(log.name, opened)], by="test", confirmed=True)
        imports.confirm(site, record.id)
        _say(state(client))


def _say(found: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(found) + "\n")
    sys.stdout.flush()


@dataclass
class Kills:
    """What came of a play: processes that were killed, those that were done before, and sentences that are not true."""

    killed: int = 0
    done: int = 0
    untrue: list[str] = field(default_factory=list)


def play(directory: Path, logs: list[Path], kills: int, seed: int) -> Kills:
    """Import one of two logs of the same days and the other by turns, killed at random moments; then each once more,
    undisturbed."""
    chosen, tally = random.Random(seed), Kills()  # noqa: S311 -- moments, not secrets
    with _started(directory, logs) as process:
        _heard(process)
        began = time.monotonic()
        digests = [_heard(process)["digest"] for _ in logs]
        longest = (time.monotonic() - began) / len(logs)
    for number in range(kills):
        with _started(directory, [logs[number % 2]]) as process:
            _check(_heard(process), digests, f"after kill {number}", tally)
            time.sleep(chosen.uniform(0, longest))
            tally.done += process.poll() is not None
            tally.killed += process.poll() is None
            process.kill()
    with _started(directory, logs) as process:
        _check(_heard(process), digests, "at the end", tally)
        for log, digest in zip(logs, digests, strict=True):
            if _heard(process)["digest"] != digest:
                tally.untrue.append(f"imported again, {log.name} gives other figures")
    return tally


def _check(found: dict[str, Any], digests: list[str], when: str, tally: Kills) -> None:
    if found["digest"] not in digests:
        tally.untrue.append(f"{when} other figures count than those of a whole import")
    if found["strays"] or found["scratch"]:
        tally.untrue.append(f"{when} {found['strays']} rows and {found['scratch']} tables are left over")


def _started(directory: Path, logs: list[Path]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.collector.imports.killed", *map(str, [directory, *logs])]
    return subprocess.Popen(command, stdout=subprocess.PIPE)


def _heard(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    line = cast("IO[bytes]", process.stdout).readline()
    if not line:
        raise ChildProcessError("an import ended by itself")
    found: dict[str, Any] = json.loads(line)
    return found


if __name__ == "__main__":
    run(Path(sys.argv[1]), list(map(Path, sys.argv[2:])))
