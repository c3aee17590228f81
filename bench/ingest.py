"""`python -m bench ingest`: what durable ingest costs, beside an endpoint that only reads the body.

All rates are measured in one run, in turns, and given as medians: other work on the machine meets all of them. The
load generator is wrk (Debian: apt-get install wrk) on one thread. Every beacon has a path and a `q` of its own, one
of 5,000 real user agents and one of 65,536 addresses.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import platform
import re
import secrets
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from collector.spool.spool import Spool
from tests.collector.storage.test_client import an_event
from tests.faults.server import Serve, free_port, until
from tests.real_server import real_server

CONNECTIONS = 64
BODIES = {
    "consented": '{"n":"pageview","u":"https://site.test/p/%s","d":"site.test","c":"granted","q":"%s"}',
    "dropped": '{"n":"pageview","u":"https://site.test/p/%s","d":"site.test","q":"%s"}',
    "runlight": '{"k":"pageview","u":"https://site.example/p/%s","r":"","t":"","w":1280,"h":800,"l":"sv","i":"%s"}',
}

BARE = """
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.applications import Starlette
from starlette.routing import Route
import sys, uvicorn

async def take(request: Request) -> PlainTextResponse:
    await request.body()
    return PlainTextResponse("ok", status_code=202)

uvicorn.run(Starlette(routes=[Route("/api/event", take, methods=["POST"])]), port=int(sys.argv[1]), log_level="error",
            access_log=False)
"""

LUA = """
local bodies, agents = {BODIES}, {}
for line in io.lines("{AGENTS}") do agents[#agents + 1] = line end
local salt, n, pause = 0, 0, {PAUSE}
function setup(thread) thread:set("salt", math.floor(os.time() % 100000)) end
function init(args) math.randomseed(os.time() + salt) salt = math.random(1, 9999999) end
function delay() return pause * 2 * math.random() end
function request()
  n = n + 1
  local own = string.format("%x%x", salt, n)
  local body = string.format(bodies[n % #bodies + 1], tostring(n % 200), own)
  return wrk.format("POST", "{PATH}", {
    ["content-type"] = "text/plain", ["user-agent"] = agents[n % #agents + 1],
    ["x-forwarded-for"] = string.format("10.9.%d.%d", math.random(0, 255), math.random(0, 255)) }, body)
end
function done(summary, latency, requests)
  io.write(string.format('\\nJSON {"requests":%d,"seconds":%f,"refused":%d,"lost":%d,"p50":%f,"p99":%f,"p999":%f}\\n',
    summary.requests, summary.duration / 1e6, summary.errors.status, summary.errors.connect + summary.errors.read +
    summary.errors.timeout, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, latency:percentile(99.9) / 1e3))
end
"""


@dataclass(frozen=True, slots=True)
class Load:
    """What one run of wrk came to: latencies in milliseconds, answers other than 2xx, lost connections."""

    requests: int
    seconds: float
    refused: int
    lost: int
    p50: float
    p99: float
    p999: float

    @property
    def rate(self) -> float:
        """Acknowledged requests a second."""
        return (self.requests - self.refused) / self.seconds


class Generator:
    """Runs wrk with bodies of some kinds."""

    def __init__(self, directory: Path, bodies: Mapping[str, str] = BODIES) -> None:
        self._directory = directory
        self._bodies = bodies
        agents = user_agents(5_000)
        self._agents = directory / "agents"
        self._agents.write_text("\n".join(agents) + "\n")

    def run(
        self, port: int, kinds: Sequence[str], seconds: float, *, path: str = "/api/event", pause: float = 0
    ) -> Load:
        """Load `port` for so long; each connection pauses for `pause` milliseconds on average between requests."""
        script = LUA.replace("{BODIES}", "{" + ", ".join(f"'{self._bodies[kind]}'" for kind in kinds) + "}")
        script = script.replace("{AGENTS}", str(self._agents)).replace("{PATH}", path)
        if not pause:
            script = script.replace("function delay() return pause * 2 * math.random() end\n", "")
        file = self._directory / "load.lua"
        file.write_text(script.replace("{PAUSE}", str(pause)))
        command = [
            "wrk",
            "-t1",
            f"-c{CONNECTIONS}",
            f"-d{max(1, round(seconds))}s",
            "-s",
            str(file),
            f"http://127.0.0.1:{port}",
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        found = re.search(r"^JSON (.*)$", done.stdout, re.MULTILINE)
        if not found:
            raise RuntimeError(f"wrk: {done.stdout}{done.stderr}")
        return Load(**json.loads(found[1]))


def user_agents(count: int) -> list[str]:
    """So many distinct real user agents."""
    text = resources.files("fake_useragent").joinpath("data/browsers.jsonl").read_text()
    agents = dict.fromkeys(json.loads(line)["useragent"] for line in text.splitlines())
    return list(agents)[:count]


@contextlib.contextmanager
def bare(directory: Path) -> Iterator[tuple[int, int]]:
    """The endpoint that reads the body and answers 202, on its own: its port and its process."""
    port = free_port()
    script = directory / "bare.py"
    script.write_text(BARE)
    process = subprocess.Popen([sys.executable, str(script), str(port)])
    try:
        until("the bare endpoint answers", lambda: _answers(port, "/"))
        yield port, process.pid
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def tyst(directory: Path, **environ: str) -> Iterator[Serve]:
    """A server with one site whose policy is `required`."""
    serve = Serve(directory, environ={"TYST_TRUSTED_PROXIES": "127.0.0.1", "TYST_FLUSH_SECONDS": "1", **environ})
    serve.start()
    try:
        until("the server answers", serve.answers)
        serve.tyst("site", "add", "site.test")
        yield serve
    finally:
        serve.kill()


@contextlib.contextmanager
def runlight(directory: Path) -> Iterator[int | None]:
    """Runlight's own server with SQLite, in a virtual environment of its own; None where it cannot be installed."""
    place = directory / "runlight"
    made = subprocess.run([sys.executable, "-m", "venv", str(place)], check=False).returncode == 0
    pip = [str(place / "bin" / "pip"), "install", "--quiet", "runlight==0.3.2"]
    if not made or subprocess.run(pip, capture_output=True, check=False).returncode:
        yield None
        return
    port, token = free_port(), secrets.token_hex(16)
    environ = {
        **os.environ,
        "DATA_DIR": str(place),
        "RUNLIGHT_GEO": "off",
        "RUNLIGHT_TOKEN": token,
        "HOST": "127.0.0.1",
        "PORT": str(port),
    }
    process = subprocess.Popen([str(place / "bin" / "runlight")], env=environ, stdout=subprocess.DEVNULL)
    try:
        until("runlight answers", lambda: _answers(port, "/"))
        site = json.dumps({"id": "site", "name": "site", "hostnames": ["site.example"]}).encode()
        headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
        urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{port}/api/sites", site, headers)).close()
        yield port
    finally:
        process.kill()
        process.wait()


def _answers(port: int, path: str) -> bool:
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5).close()  # our own address
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def peer_rows(directory: Path) -> int:
    """Pageviews in runlight's database: that it really stores what it acknowledges."""
    file = directory / "runlight" / "runlight.db"
    if not file.exists():
        return 0
    with contextlib.closing(sqlite3.connect(file)) as connection:
        count: int = connection.execute("SELECT count(*) FROM rl_events").fetchone()[0]
    return count


def memory(pid: int) -> int:
    """Resident memory in MB."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) // 1024 if found else 0


def processor(pid: int) -> float:
    """CPU seconds so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rates(directory: Path, rounds: int, seconds: float, *, beside: bool = True) -> list[tuple[str, str]]:
    """Rates in turns, and their ratios; `beside` also those of runlight."""
    load = Generator(directory)
    taken: dict[str, list[Load]] = {}
    kinds = {"consented": ["consented"], "mixed": ["consented", "dropped"], "dropped": ["dropped"]}
    peers = runlight(directory) if beside else contextlib.nullcontext()
    with bare(directory) as (bare_port, bare_pid), tyst(directory / "tyst") as serve, peers as peer:
        pid = serve.process.pid if serve.process else 0
        idle = memory(pid)
        cold = warm(load, serve.port)
        if peer is not None:
            load.run(peer, ["runlight"], 3, path="/e")
        used = before = commits = after = bare_used = 0.0
        for _ in range(rounds):
            before = processor(bare_pid)
            taken.setdefault("bare", []).append(load.run(bare_port, ["consented"], seconds))
            bare_used += processor(bare_pid) - before
            for name, bodies in kinds.items():
                if name == "consented":
                    before, commits = processor(pid), serve.metrics().get("tyst_spool_commits", 0)
                taken.setdefault(name, []).append(load.run(serve.port, bodies, seconds))
                if name == "consented":
                    used += processor(pid) - before
                    after += serve.metrics().get("tyst_spool_commits", 0) - commits
            if peer is not None:
                taken.setdefault("runlight", []).append(load.run(peer, ["runlight"], seconds, path="/e"))
        rate = {name: statistics.median(each.rate for each in loads) for name, loads in taken.items()}
        half = rate["consented"] / 2
        slow = load.run(serve.port, ["consented"], seconds * 2, pause=1_000 * CONNECTIONS / half)
        full = memory(pid)
        visible = seen(serve)
        kept = peer_rows(directory)
    stored = sum(each.requests - each.refused for each in taken["consented"])
    heard = sum(each.requests for each in taken["bare"])
    rows = [
        ("bare Starlette endpoint", f"{rate['bare']:,.0f}/s"),
        *((f"durable, {name}", f"{rate[name]:,.0f}/s, {rate[name] / rate['bare']:.2f} of bare") for name in kinds),
        (
            f"acknowledged at {slow.rate:,.0f}/s",
            f"p50 {slow.p50:.1f} ms, p99 {slow.p99:.1f} ms, p99.9 {slow.p999:.1f} ms",
        ),
        ("the first 15,000 beacons, from 5,000 user agents never seen", f"{cold:,.0f}/s"),
        (
            "CPU for 1,000 beacons, and of the bare endpoint",
            f"{used / stored * 1e3:.3f} s, {bare_used / heard * 1e3:.3f} s",
        ),
        ("fsyncs for 1,000 beacons", f"{after / stored * 1_000:.0f}"),
        ("memory idle, and after this load", f"{idle} MB, {full} MB"),
        ("from acknowledgement to visible", f"{visible:.2f} s"),
        ("answers other than 2xx, lost connections", _wrong(taken)),
    ]
    if "runlight" in rate:
        rows.append(
            (
                "runlight: rows that it stored of those",
                f"{kept:,} of {sum(each.requests for each in taken['runlight']):,} and its warm-up",
            )
        )
        rows.append(
            (
                "runlight 0.3.2 (SQLite)",
                f"{rate['runlight']:,.0f}/s; Tyst {rate['consented'] / rate['runlight']:.0f} times",
            )
        )
    return rows


def warm(load: Generator, port: int) -> float:
    """Send until every user agent has been seen three times; returns the rate of that."""
    began, sent = time.monotonic(), 0
    while sent < 15_000:
        sent += load.run(port, ["consented"], 2).requests
    return sent / (time.monotonic() - began)


def _wrong(taken: dict[str, list[Load]]) -> str:
    wrong = {
        name: (sum(each.refused for each in loads), sum(each.lost for each in loads)) for name, loads in taken.items()
    }
    return ", ".join(f"{name} {refused}+{lost}" for name, (refused, lost) in wrong.items())


def seen(serve: Serve) -> float:
    """Seconds from an acknowledgement to its being in a query's answer; the median of five."""
    key = json.loads(serve.tyst("key", "create", "--site", "site.test", "--json"))["key"]

    def count() -> int:
        body = {"site_id": "site.test", "metrics": ["events"], "date_range": "day"}
        request = urllib.request.Request(  # our own address
            f"http://127.0.0.1:{serve.port}/api/v2/query",
            json.dumps(body).encode(),
            {"authorization": f"Bearer {key}", "content-type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 # our own address
            return int(json.load(answer)["results"][0]["metrics"][0])

    took = []
    for number in range(5):
        until("nothing waits", serve.well)
        before = count()
        body = BODIES["consented"] % (number, f"seen-{number}")
        request = urllib.request.Request(  # our own address
            f"http://127.0.0.1:{serve.port}/api/event", body.encode(), {"user-agent": user_agents(1)[0]}
        )
        urllib.request.urlopen(request, timeout=30).close()  # noqa: S310 # our own address
        took.append(until("the event is visible", lambda before=before: count() > before))  # type: ignore[misc]
    return statistics.median(took)


def full_spool(directory: Path, rows: int) -> list[tuple[str, str]]:
    """Start with a spool of so many rows, and drain it."""
    with tyst(directory):
        pass
    place = directory / "data" / "spool" / "1" / "events.db"
    asyncio.run(_fill(place, rows))
    size = sum(file.stat().st_size for file in place.parent.glob("events.db*"))
    serve = Serve(directory, environ={"TYST_FLUSH_SECONDS": "1"})
    began = time.monotonic()
    serve.start()
    try:
        until("the server answers", serve.answers)
        ready = time.monotonic() - began
        until("the spool is empty", lambda: serve.metrics().get("tyst_spool_rows", 1) == 0, 600)
        drained = time.monotonic() - began - ready
        peak = memory(serve.process.pid) if serve.process else 0
    finally:
        serve.kill()
    return [
        (f"start with {rows:,} rows in the spool ({size / 1e6:,.0f} MB)", f"{ready:.1f} s"),
        ("draining it", f"{drained:.1f} s, {rows / max(drained, 0.01):,.0f} rows/s; memory then {peak} MB"),
    ]


async def _fill(place: Path, rows: int) -> None:
    spool = Spool(place, max_bytes=1 << 40, segment_rows=20_000, segment_seconds=1)
    spool.start()
    now = int(time.time())
    for number in range(0, rows, 1_000):
        events = [
            an_event(page=f"/{number + n}", ts=now, visitor=number + n + 1, visit=now, visits=1) for n in range(1_000)
        ]
        await spool.append(events, None)
    await asyncio.to_thread(spool.close)


def server_mode(directory: Path, seconds: float) -> list[tuple[str, str]]:
    """Over a ClickHouse server."""
    load = Generator(directory)
    with real_server(directory / "clickhouse") as server:
        serve = Serve(directory / "serve", server.dsn("tyst"))
        serve.start()
        try:
            until("the server answers", serve.answers)
            serve.tyst("site", "add", "site.test")
            time.sleep(3)
            best = statistics.median(load.run(serve.port, ["consented"], seconds).rate for _ in range(3))
        finally:
            serve.kill()
    return [("server mode", f"{best:,.0f}/s")]


def missing() -> str:
    """What to say when the load generator is not there; "" when it is."""
    if shutil.which("wrk"):
        return ""
    return "The load generator is missing. Install it as root, for example: apt-get install wrk"


def machine() -> str:
    """The line above a table that says where it was measured, and how busy the machine was."""
    system = f"{os.cpu_count()} processors, {platform.machine()}, {platform.system()} {platform.release()}"
    return f"{system}, Python {platform.python_version()}, load before {os.getloadavg()[0]:.1f}\n"


def main(arguments: Sequence[str]) -> int:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench ingest", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--spool-rows", type=int, default=1_000_000)
    parser.add_argument("--only", choices=["rates", "spool", "server"])
    parser.add_argument("--alone", action="store_true", help="without runlight, which is installed with pip")
    given = parser.parse_args(arguments)
    if missing():
        print(missing())
        return 2
    parts: dict[str, Callable[[Path], list[tuple[str, str]]]] = {
        "rates": lambda place: rates(place, given.rounds, given.seconds, beside=not given.alone),
        "spool": lambda place: full_spool(place, given.spool_rows),
        "server": lambda place: server_mode(place, given.seconds),
    }
    print(machine())
    print("| what | figure |\n| --- | --- |")
    for name, part in parts.items():
        if given.only in (None, name):
            with tempfile.TemporaryDirectory(prefix="tyst-bench-") as directory:
                for what, figure in part(Path(directory)):
                    print(f"| {what} | {figure} |", flush=True)
    return 0
