"""Start the ClickHouse stand-in as a process of its own, and tell it what to do."""

from __future__ import annotations

import contextlib
import http.client
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass(slots=True)
class StandInProcess:
    """A running stand-in. `dsn` is where it listens, without a database."""

    dsn: str
    port: int
    control: int
    process: subprocess.Popen[str]

    def database(self, name: str, **options: object) -> str:
        """A DSN of Tyst's for one of its databases."""
        query = "&".join(f"{key}={value}" for key, value in options.items())
        return f"{self.dsn}/{name}" + (f"?{query}" if query else "")

    def fail(self, kind: str, seconds: float = 0) -> None:
        """From now on fail in this way; `well` ends it."""
        connection = http.client.HTTPConnection("127.0.0.1", self.control, timeout=60)
        with contextlib.closing(connection):
            try:
                connection.request("POST", f"/{kind}?seconds={seconds}")
                connection.getresponse().read()
            except OSError:
                if kind != "exit":
                    raise

    def stop(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()


def start_standin(directory: Path, *, user: str = "", password: str = "", port: int = 0) -> StandInProcess:
    """Start a stand-in whose engine lies in `directory`, and wait until it listens."""
    command = [sys.executable, "-m", "tests.clickhouse_standin", str(directory), "--port", str(port)]
    if user:
        command += ["--user", user, "--password", password]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    line = process.stdout.readline() if process.stdout else ""
    if not line:
        raise RuntimeError(f"the stand-in did not start; it ended with status {process.wait()}")
    ports = json.loads(line)
    who = f"{user}:{password}@" if user else ""
    return StandInProcess(f"http://{who}127.0.0.1:{ports['port']}", ports["port"], ports["control"], process)


@contextlib.contextmanager
def standin(directory: Path, *, user: str = "", password: str = "") -> Iterator[StandInProcess]:
    """A stand-in for as long as the block lasts."""
    running = start_standin(directory, user=user, password=password)
    try:
        yield running
    finally:
        running.stop()
