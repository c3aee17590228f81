"""A `tyst serve` that is killed and started again at one port, and what it says of itself."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.launcher import ROOT, TYST, Launched, launch
from tests.running import tyst

PATIENCE = 120.0  # seconds; what takes longer does not recover by itself


class NotInTime(AssertionError):
    """Something that had to become true did not."""


def until(what: str, true: Callable[[], bool], patience: float = PATIENCE) -> float:
    """Wait until it is true; returns the seconds that it took. Raises `NotInTime`."""
    began = time.monotonic()
    while not true():
        if time.monotonic() - began > patience:
            raise NotInTime(f"not within {patience:.0f} s: {what}")
        time.sleep(0.05)
    return time.monotonic() - began


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as bound:
        port: int = bound.getsockname()[1]
        return port


@dataclass
class Serve:
    """The server. `dsn` is a served ClickHouse; without one it is embedded. `clock` is a file of seconds to add. Unless
    it is `executed`, as a shell does it, it is forked from a process that has imported it."""

    directory: Path
    dsn: str | None = None
    clock: Path | None = None
    port: int = field(default_factory=free_port)
    environ: dict[str, str] = field(default_factory=dict)
    executed: bool = False
    process: Launched | subprocess.Popen[bytes] | None = None

    @property
    def data_dir(self) -> Path:
        return self.directory / "data"

    @property
    def log_file(self) -> Path:
        return self.directory / "server.log"

    def start(self) -> None:
        """Start it, without waiting."""
        self.directory.mkdir(parents=True, exist_ok=True)
        arguments = ["serve", "--port", str(self.port)]
        with self.log_file.open("ab") as log:
            if self.executed or self.clock is not None:
                clocked = [sys.executable, "-m", "tests.faults.clocked", str(self.port), str(self.clock)]
                command = clocked if self.clock is not None else [str(TYST), *arguments]
                self.process = subprocess.Popen(command, cwd=ROOT, env=self.environment(), stdout=log, stderr=log)
            else:
                files = {"stdout": log.fileno(), "stderr": log.fileno()}
                self.process = launch(arguments, ROOT, self.environment(), **files)

    def environment(self) -> dict[str, str]:
        """The variables that it and commands to it run with."""
        plain = {name: value for name, value in os.environ.items() if not name.startswith("TYST_")}
        ours = {"TYST_DATA_DIR": str(self.data_dir), "TYST_RATE_LIMIT": "0", "TYST_FLUSH_SECONDS": "0.2"}
        served = {"TYST_CLICKHOUSE_DSN": self.dsn, "TYST_TRUSTED_PROXIES": "127.0.0.1"} if self.dsn else {}
        return {**plain, **ours, **served, **self.environ}

    def tyst(self, *arguments: str) -> str:
        """What a command prints. Raises when it fails."""
        done = tyst(*arguments, directory=ROOT, **self.environment())
        if done.status:
            raise AssertionError(f"tyst {' '.join(arguments)}: {done.out}{done.err}")
        return done.out

    def kill(self) -> None:
        """`kill -9`."""
        assert self.process
        self.process.kill()
        self.process.wait()

    def terminate(self) -> float:
        """SIGTERM; returns the seconds until it had ended."""
        assert self.process
        self.process.send_signal(signal.SIGTERM)
        return self.ended()

    def ended(self) -> float:
        """The seconds until it has ended."""
        assert self.process
        began = time.monotonic()
        self.process.wait(PATIENCE)
        return time.monotonic() - began

    def retry(self) -> int:
        """`tyst retry`; returns how many segments are tried again."""
        return int(json.loads(self.tyst("retry", "--json"))["segments"])

    def close(self) -> None:
        """End it."""
        if self.process is not None and self.process.poll() is None:
            self.kill()

    def get(self, path: str) -> tuple[int, str]:
        """A page of the server: status and text; 0 when it does not answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        with contextlib.closing(connection):
            try:
                connection.request("GET", path)
                answer = connection.getresponse()
                return answer.status, answer.read().decode()
            except (OSError, http.client.HTTPException):
                return 0, ""

    def readiness(self) -> dict[str, Any]:
        """What `/readyz` says; empty when nobody answers."""
        _, text = self.get("/readyz")
        try:
            said = json.loads(text)
        except ValueError:
            return {}
        return said if isinstance(said, dict) else {}

    def problems(self) -> str:
        """The sentences of `/readyz`."""
        return " ".join(self.readiness().get("problems", ()))

    def metrics(self) -> dict[str, float]:
        """What `/metrics` says, by name and labels."""
        return dict(_samples(self.get("/metrics")[1]))

    def answers(self) -> bool:
        """Whether the server is there. Raises when it has ended instead."""
        if self.process is not None and self.process.poll() is not None:
            raise AssertionError(f"the server ended with status {self.process.returncode}: {self.log()[-3_000:]}")
        return self.get("/healthz")[0] == 200

    def well(self) -> bool:
        """Whether it says that all is well and nothing waits."""
        said = self.readiness()
        return bool(said.get("ready")) and said.get("spool_rows") == 0

    def well_soon(self) -> bool:
        """Whether what comes goes into ClickHouse: all is well, and the oldest event has not waited long."""
        said = self.readiness()
        return bool(said.get("ready")) and 0 <= said.get("oldest_seconds", -1) < 5

    def log(self) -> str:
        """Everything that it has logged."""
        return self.log_file.read_text(errors="replace")


def _samples(text: str) -> Iterator[tuple[str, float]]:
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            yield (f"{sample.name}{{{labels}}}" if labels else sample.name), sample.value
