"""A real `tyst serve` or `tyst demo` in a process of its own, and ways to talk to it.

It is started on a free port in a directory of its own and stopped by its process id. Nothing sleeps for a fixed
time: what happens in the process is polled for, with a deadline.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx

from dashboard.server.sockets import read_server_info
from tests.launcher import Launched, launch

PASSWORD = "only for this test"
# Two cores may be shared by several test processes, each with browsers and databases of its own. Nothing waits that
# long when all is well.
DEADLINE = 180.0
LONGEST_PAUSE = 0.1

CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/143.0.0.0 Safari/537.36"
"""A person's user agent, for requests that no browser makes."""

T = TypeVar("T")


class NotInTime(AssertionError):
    """Something did not happen before its deadline."""


def until(wanted: str, probe: Callable[[], T | None], seconds: float = DEADLINE, pause: float = 0.01) -> T:
    """The first answer of `probe` that is true; `wanted` names it in the error. Raises `NotInTime`. What takes
    longer is asked for less often: asking takes of the processor what it waits for."""
    deadline = time.monotonic() + seconds
    while True:
        found = probe()
        if found:
            return found
        if time.monotonic() > deadline:
            raise NotInTime(f"not within {seconds:g} s: {wanted}")
        time.sleep(pause)
        pause = max(pause, min(pause * 1.5, LONGEST_PAUSE))


@dataclass(frozen=True, slots=True)
class Served:
    """One running server. `key` has every right; `http` speaks to it with a person's user agent."""

    process: Launched
    data_dir: Path
    url: str
    key: str
    http: httpx.Client
    logs: Path

    def output(self) -> str:
        """Everything that it has written to standard output."""
        return (self.logs / "stdout").read_text()

    def log(self) -> str:
        """Everything that it has written to standard error."""
        return (self.logs / "stderr").read_text()

    def api(self, method: str, path: str, body: Any = None) -> Any:
        """Ask the management or the Stats API, with the key of the data directory; the answer's JSON."""
        answer = self.http.request(method, path, json=body, headers={"Authorization": f"Bearer {self.key}"})
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json()

    def add_site(self, domain: str, **settings: Any) -> None:
        """Register a site."""
        self.api("POST", "/api/v1/sites", {"domain": domain, **settings})

    def send(self, body: bytes | str, headers: dict[str, str] | None = None) -> httpx.Response:
        """Post one beacon."""
        return self.http.post("/api/event", content=body, headers={"Content-Type": "text/plain", **(headers or {})})

    def counted(self, series: str) -> float:
        """The value of one series of `/metrics`, such as `tyst_dropped_total{reason="bot"}`; 0 when there is none."""
        for line in self.http.get("/metrics").text.splitlines():
            name, _, value = line.rpartition(" ")
            if name == series:
                return float(value)
        return 0.0

    def drain(self) -> None:
        """Wait until every acknowledged event is in ClickHouse, and every promised erasure is done."""
        until("an empty spool", lambda: self.http.get("/readyz").json()["spool_rows"] == 0)
        until("no open erasure", lambda: not any(map(_erasures, self.data_dir.glob("spool/**/events.db"))))

    def stop(self) -> int:
        """Ask it to stop and wait for it; its exit status."""
        return self._end(signal.SIGTERM)

    def kill(self) -> int:
        """End it at once, as a power cut would; its exit status."""
        return self._end(signal.SIGKILL)

    def _end(self, sign: signal.Signals) -> int:
        if self.process.poll() is None:
            self.process.send_signal(sign)
        return self.process.wait(DEADLINE)


def _erasures(spool: Path) -> int:
    """How many erasures a spool's file promises."""
    with contextlib.closing(sqlite3.connect(f"{spool.as_uri()}?mode=ro", uri=True, timeout=DEADLINE)) as connection:
        return int(connection.execute("SELECT count(*) FROM erasures").fetchone()[0])


@contextlib.contextmanager
def served(directory: Path, *arguments: str, **settings: str) -> Iterator[Served]:
    """`tyst` with `arguments` (`serve` without any) over `directory`/data; `settings` are `TYST_*` variables.

    It works in `directory` and keeps its temporary files there, so that all it can write is below it. The same
    directory may be used again once the process has ended.
    """
    data_dir, logs, temporary = directory / "data", directory / "logs", directory / "tmp"
    for path in (logs, temporary):
        path.mkdir(parents=True, exist_ok=True)
    # A server that was killed could not take back the word it left.
    (data_dir / "server.json").unlink(missing_ok=True)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TYST_")}
    environment |= {
        "TYST_DATA_DIR": str(data_dir),
        "TYST_HOST": "127.0.0.1",
        "TYST_PORT": "0",
        "TYST_ADMIN_PASSWORD": PASSWORD,
        "TMPDIR": str(temporary),
        "PYTHONDONTWRITEBYTECODE": "1",
        **settings,
    }
    with (logs / "stdout").open("ab") as stdout, (logs / "stderr").open("ab") as stderr:
        files = {"stdout": stdout.fileno(), "stderr": stderr.fileno()}
        process = launch(arguments or ("serve",), directory, environment, **files)
    try:
        url, key = until("the server's word", lambda: _word(process, data_dir, logs))
        with httpx.Client(base_url=url, headers={"User-Agent": CHROME}, timeout=DEADLINE, trust_env=False) as http:
            server = Served(process, data_dir, url, key, http, logs)
            until("a ready server", lambda: http.get("/readyz").status_code == 200)
            yield server
    finally:
        _end(process)


def _end(process: Launched) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _word(process: Launched, data_dir: Path, logs: Path) -> tuple[str, str] | None:
    if process.poll() is not None:
        raise NotInTime(f"tyst ended with status {process.returncode}:\n{(logs / 'stderr').read_text()[-4_000:]}")
    word = read_server_info(data_dir)
    return (word.url, word.key) if word else None
