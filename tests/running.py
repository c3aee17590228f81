"""Running `tyst` as a person does: single commands, and a server in a process of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

from tests.launcher import TYST, launch

READY = "Stop it with Ctrl-C."
PATIENCE = 120  # seconds; what takes longer has hung


@dataclass(frozen=True)
class Ran:
    """How one command ended."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True)
class Running:
    """A server that was started from the command line in `directory`."""

    directory: Path
    greeting: str
    process: subprocess.Popen[str]

    @property
    def url(self) -> str:
        found = re.search(r"http://127\.0\.0\.1:\d+", self.greeting)
        assert found, self.greeting
        return found[0]

    def tyst(self, *args: str, stdin: str = "", **environ: str) -> Ran:
        return tyst(*args, directory=self.directory, stdin=stdin, **environ)


def environment(**extra: str) -> dict[str, str]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("TYST_")}
    return {**plain, "COLUMNS": "80", **extra}


def tyst(*args: str, directory: Path, stdin: str = "", **environ: str) -> Ran:
    with TemporaryFile() as given, TemporaryFile() as out, TemporaryFile() as err:
        given.write(stdin.encode())
        given.seek(0)
        files = {"stdin": given.fileno(), "stdout": out.fileno(), "stderr": err.fileno()}
        process = launch(args, directory, environment(**environ), **files)
        try:
            status = process.wait(PATIENCE)
        finally:
            process.kill()
        said = [_read(file) for file in (out, err)]
    assert "Traceback" not in said[1], said[1]
    return Ran(status, *said)


def _read(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode()


def start(directory: Path, *args: str, command: tuple[str, ...] = (str(TYST),), **environ: str) -> Running:
    """Start a server and read what it prints until it is ready."""
    with (directory / "server.log").open("a") as log:
        process = subprocess.Popen(
            [*command, *args], cwd=directory, env=environment(**environ), stdout=subprocess.PIPE, stderr=log, text=True
        )
    alarm = threading.Timer(PATIENCE, process.kill)
    alarm.start()
    lines = []
    assert process.stdout
    for line in process.stdout:
        lines.append(line)
        if line.strip() == READY:
            break
    alarm.cancel()
    if lines[-1:] != [READY + "\n"]:
        process.communicate(timeout=PATIENCE)
        raise AssertionError((directory / "server.log").read_text())
    return Running(directory, "".join(lines), process)


def stop(running: Running, with_signal: int = signal.SIGTERM) -> tuple[int, str]:
    """Stop the server; returns its exit status and the rest of what it printed."""
    running.process.send_signal(with_signal)
    try:
        rest, _ = running.process.communicate(timeout=PATIENCE)
    finally:
        running.process.kill()
    return running.process.returncode, rest
