"""`python -m bench attack --minutes N`: hostile requests made at random against a server of its own.

Each family of requests (`bench/attack_cases.py`) gets the same share of the time. After each attempt the server must
still answer, and at the end its log must hold no traceback, no more lines than a bound, and its memory must have
stayed within one. A finding is printed with the seed that repeats it.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import re
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import httpx

from bench.attack_cases import FAMILIES, RECEIPTS_SITE, SITE, SLOW_SECONDS, Finding, Target, sign_in
from tests.served import CHROME, Served, served

MAX_LOG_BYTES = 1_000_000
MAX_GROWTH_MB = 400


@dataclass(slots=True)
class Outcome:
    """What a run came to: attempts by family, what was found, and how the server fared."""

    attempts: Counter[str] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)
    slowest: dict[str, float] = field(default_factory=dict)
    calibration_ms: float = 0
    growth_mb: int = 0
    log_bytes: int = 0


@contextlib.contextmanager
def attacked(directory: Path) -> Iterator[Target]:
    """A server with one site and a trusted proxy, and its clients."""
    with served(directory, TYST_RATE_LIMIT="0", TYST_TRUSTED_PROXIES="127.0.0.1") as server:
        server.add_site(SITE)
        server.add_site(RECEIPTS_SITE, receipts=True)
        person = {"User-Agent": CHROME}
        made = partial(httpx.Client, base_url=server.url, timeout=2 * SLOW_SECONDS, trust_env=False, headers=person)
        with made() as admin, made() as guest:
            sign_in(admin, server)
            pageview = {"n": "pageview", "u": f"https://{RECEIPTS_SITE}/", "d": RECEIPTS_SITE, "c": "granted"}
            receipt = guest.post("/api/event", json=pageview).headers.get("x-tyst-receipt", "")
            yield Target(server, admin, guest, receipt)


def run(target: Target, seconds: float, seed: int) -> Outcome:
    """Attack for so long; the family that had the least time is next, so that each meets what the others left."""
    outcome = Outcome(calibration_ms=_calibrate(target))
    before = _resident_mb(target.server)
    spent = dict.fromkeys(FAMILIES, 0.0)
    ends = time.monotonic() + seconds
    number = 0
    while time.monotonic() < ends or not all(spent.values()):
        name = min(spent, key=spent.__getitem__)
        began = time.monotonic()
        try:
            FAMILIES[name](target, random.Random(f"{seed}-{number}"))
            _alive(target)
        except Finding as finding:
            outcome.findings.append(f"{name} (seed {seed}, attempt {number}): {finding}")
        took = time.monotonic() - began
        spent[name] += took
        outcome.slowest[name] = max(outcome.slowest.get(name, 0), took)
        outcome.attempts[name] += 1
        number += 1
    outcome.growth_mb = _resident_mb(target.server) - before
    log = target.server.log() + target.server.output()
    outcome.log_bytes = len(log)
    if "Traceback" in log:
        outcome.findings.append(f"a traceback in the log: {log[log.index('Traceback') :][:2_000]}")
    if outcome.log_bytes > MAX_LOG_BYTES:
        outcome.findings.append(f"a log of {outcome.log_bytes:,} bytes")
    if outcome.growth_mb > MAX_GROWTH_MB:
        outcome.findings.append(f"memory grew by {outcome.growth_mb} MB")
    return outcome


def _alive(target: Target) -> None:
    if target.server.process.poll() is not None:
        raise Finding("the server has ended")
    target.request(target.guest, "GET", "/healthz")


def _calibrate(target: Target) -> float:
    """The median time of the plainest answer, in milliseconds."""
    times = []
    for _ in range(20):
        began = time.monotonic()
        target.guest.get("/healthz")
        times.append(1_000 * (time.monotonic() - began))
    return statistics.median(times)


def _resident_mb(server: Served) -> int:
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    return int(found[1]) // 1024 if found else 0


def table(outcome: Outcome) -> str:
    """The run as a table in Markdown."""
    slowest = {name: f"{1_000 * seconds:,.0f} ms" for name, seconds in outcome.slowest.items()}
    rows = [f"| {name} | {count:,} | {slowest[name]} |" for name, count in outcome.attempts.items()]
    state = f"Memory grew by {outcome.growth_mb} MB; the log has {outcome.log_bytes:,} bytes."
    return "\n".join(
        [
            "| requests | attempts | slowest attempt |",
            "| --- | ---: | ---: |",
            *rows,
            "",
            f"Calibration: /healthz {outcome.calibration_ms:.1f} ms. {state} Findings: {len(outcome.findings)}.",
        ]
    )


def main(arguments: Sequence[str]) -> int:
    """Run, and print the table; 0 when nothing was found."""
    parser = argparse.ArgumentParser(prog="python -m bench attack", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    given = parser.parse_args(arguments)
    print(f"seed {given.seed}")
    with tempfile.TemporaryDirectory(prefix="tyst-attack-") as directory, attacked(Path(directory)) as target:
        outcome = run(target, 60 * given.minutes, given.seed)
    print(table(outcome))
    for finding in outcome.findings:
        print(finding)
    return 1 if outcome.findings else 0
