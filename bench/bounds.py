"""`python -m bench bounds`: what a server's memory does under overload.

Ten thousand open connections, half of which say nothing and half of which never end their body; bodies of nearly
16 KiB at full rate; a ClickHouse that hangs while beacons come at full rate. The load generator is wrk.
"""

from __future__ import annotations

import argparse
import contextlib
import resource
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from bench.ingest import BODIES, Generator, Load, machine, memory, missing, tyst
from tests.fault_proxy import failing_server
from tests.faults.server import Serve, until

_FIELDS = ",".join(f'"k{number}":"{"word " * 350}"' for number in range(9))
LARGE = '{"n":"Large","u":"https://site.test/p/%s","d":"site.test","c":"granted","q":"%s","p":{' + _FIELDS + "}}"
SLOW = b"POST /api/event HTTP/1.1\r\nHost: a\r\nContent-Length: 16000\r\n\r\n" + b"x" * 8_000
SPOOL_BYTES = 64 << 20

Row = tuple[str, str]


class Peak:
    """The most resident memory of a process, looked at ten times a second while the block runs. In MB."""

    def __init__(self, serve: Serve) -> None:
        self._pid = serve.process.pid if serve.process else 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self.most = memory(self._pid)

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.1):
            self.most = max(self.most, memory(self._pid))


def connections(directory: Path, count: int, seconds: float) -> list[Row]:
    """So many connections that want nothing, or never end, with ordinary load beside them."""
    load = Generator(directory)
    with tyst(directory / "tyst") as serve, contextlib.ExitStack() as opened:
        load.run(serve.port, ["consented"], seconds)
        idle = memory(serve.process.pid) if serve.process else 0
        with Peak(serve) as peak:
            held = [opened.enter_context(each) for each in _opened(serve.port, count)]
            beside = load.run(serve.port, ["consented"], seconds)
            took = until("the server has ended them all", lambda: sum(map(_open, held)) == 0, 60)
        until("nothing waits", serve.well)
    return [
        (f"memory before, and with {count:,} connections that are silent or slow", f"{idle} MB, {peak.most} MB"),
        ("beside them", _described(beside)),
        ("all of them ended by the server", f"{took + seconds:.0f} s after they came"),
    ]


def _opened(port: int, count: int) -> Iterator[socket.socket]:
    for number in range(count):
        made = socket.create_connection(("127.0.0.1", port), timeout=20)
        if number % 2:
            made.sendall(SLOW)
        made.setblocking(False)
        yield made


def _open(held: socket.socket) -> bool:
    try:
        # What came is the answer 408; nothing, or an error, is the end.
        return held.recv(4_096) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False


def large(directory: Path, seconds: float) -> list[Row]:
    """Bodies of nearly the size that is taken, at full rate."""
    load = Generator(directory, {**BODIES, "large": LARGE})
    with tyst(directory / "tyst") as serve:
        with Peak(serve) as peak:
            came = load.run(serve.port, ["large"], seconds)
            until("nothing waits", serve.well, 300)
        full = serve.metrics()
    return [
        (f"bodies of {len(LARGE) / 1024:.1f} KiB at full rate", f"{_described(came)}; memory at most {peak.most} MB"),
        ("segments refused by ClickHouse", f"{full.get('tyst_spool_refused_segments', 0):.0f}"),
    ]


def hanging(directory: Path, seconds: float, spool_bytes: int = SPOOL_BYTES) -> list[Row]:
    """Full rate while ClickHouse hangs, until the spool is full and for a while longer; then all is well again."""
    load = Generator(directory)
    with failing_server(directory / "clickhouse") as server:
        environ = {"TYST_CLICKHOUSE_DSN": server.database("tyst", send_receive_timeout=5)}
        with tyst(directory / "tyst", TYST_SPOOL_MAX_BYTES=str(spool_bytes), **environ) as serve:
            load.run(serve.port, ["consented"], seconds)
            server.fail("hang")
            came: list[Load] = []
            with Peak(serve) as peak:
                while not came or came[-1].refused < came[-1].requests / 2:
                    came.append(load.run(serve.port, ["consented"], seconds))
                waiting = serve.readiness()
                server.fail("well")
                drained = until("nothing waits", serve.well, 600)
    held = f"{waiting['spool_rows']:,} rows wait in {waiting['spool_bytes'] / 2**20:.0f} MB"
    refused = f"then 503 ({sum(each.refused for each in came):,} of them)"
    return [
        (
            f"ClickHouse hangs, full rate, spool of at most {spool_bytes >> 20} MB",
            f"{held}; {refused}; memory at most {peak.most} MB",
        ),
        ("and is well again", f"all of it stored after {drained:.0f} s"),
    ]


def _described(load: Load) -> str:
    return f"{load.rate:,.0f}/s, p99 {load.p99:.0f} ms, {load.lost} lost, {load.refused} refused"


def main(arguments: Sequence[str]) -> int:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench bounds", description=__doc__)
    parser.add_argument("--connections", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--spool-bytes", type=int, default=SPOOL_BYTES)
    given = parser.parse_args(arguments)
    if missing():
        print(missing())
        return 2
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    print(machine())
    print("| what | figure |\n| --- | --- |")
    parts: tuple[Callable[[Path], list[Row]], ...] = (
        lambda place: connections(place, given.connections, given.seconds),
        lambda place: large(place, 2 * given.seconds),
        lambda place: hanging(place, given.seconds, given.spool_bytes),
    )
    for part in parts:
        with tempfile.TemporaryDirectory(prefix="tyst-bench-") as directory:
            for what, figure in part(Path(directory)):
                print(f"| {what} | {figure} |", flush=True)
    return 0
