"""Starts `tyst` in processes that need not import it: a process that has done so forks for each.

A start takes a second and a half of a processor, and there are hundreds. What is forked is otherwise as if it had been
started from a shell: it has its own working directory, environment and files, runs the same `main`, and ends as any
program does. It comes from a process that runs a single thread and has not loaded the database engine.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
TYST = Path(sys.executable).with_name("tyst")
REQUEST_BYTES = 1 << 20


class Request(NamedTuple):
    """What is started, where, and with which environment."""

    arguments: list[str]
    directory: str
    environment: dict[str, str]


class Launched:
    """One started process, with what tests use of `subprocess.Popen`."""

    def __init__(self, request: Request, report: int) -> None:
        self.args = [str(TYST), *request.arguments]
        self.returncode: int | None = None
        self._report = os.fdopen(report, "r")
        begun = self._report.readline()
        if not begun:
            raise RuntimeError("the process that starts others has ended")
        self.pid = int(begun)

    def poll(self) -> int | None:
        """The exit status, or None while it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The exit status, once it has ended; negative for a signal. Raises `subprocess.TimeoutExpired`."""
        if self.returncode is None:
            if not select.select([self._report], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            self.returncode = int(self._report.readline())
            self._report.close()
        return self.returncode

    def send_signal(self, sign: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, sign)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)


def launch(
    arguments: Sequence[str],
    directory: Path,
    environment: Mapping[str, str],
    *,
    stdin: int | None = None,
    stdout: int,
    stderr: int,
) -> Launched:
    """Start `tyst` with these arguments; the numbers are of open files, and without `stdin` it reads nothing."""
    request = Request(list(arguments), str(directory), dict(environment))
    report, reported = os.pipe()
    with open(os.devnull) as nothing:  # noqa: PTH123 # a file's number is wanted
        files = [nothing.fileno() if stdin is None else stdin, stdout, stderr, reported]
        socket.send_fds(_launcher(), [json.dumps(request).encode()], files)
    os.close(reported)
    return Launched(request, report)


@functools.cache
def _launcher() -> socket.socket:
    """The process that forks, one of each test process, which ends with it."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.launcher", str(theirs.fileno())],
            cwd=ROOT,
            env={name: value for name, value in os.environ.items() if not name.startswith("TYST_")},
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours


def _serve(requests: socket.socket) -> Request | None:
    """Fork for each request, and report how each ended. Returns in the child, with its request; None at the end."""
    running: dict[int, tuple[int, int]] = {}
    while True:
        watched: list[socket.socket | int] = [requests, *running]
        ready, _, _ = select.select(watched, [], [])
        for process in [process for process in running if process in ready]:
            pid, report = running.pop(process)
            os.close(process)
            os.write(report, f"{os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}\n".encode())
            os.close(report)
        if requests not in ready:
            continue
        message, files, _, _ = socket.recv_fds(requests, REQUEST_BYTES, 4)
        if not message:
            return None
        request = Request(*json.loads(message))
        pid = os.fork()
        if pid == 0:
            requests.close()
            for process, (_, report) in running.items():
                os.close(process)
                os.close(report)
            _become(request, files)
            return request
        for each in files[:3]:
            os.close(each)
        os.write(files[3], f"{pid}\n".encode())
        running[os.pidfd_open(pid)] = (pid, files[3])


def _become(request: Request, files: list[int]) -> None:
    for number, file in enumerate(files[:3]):
        os.dup2(file, number)
    for file in files:
        os.close(file)
    os.chdir(request.directory)
    os.environ.clear()
    os.environ.update(request.environment)
    time.tzset()
    tempfile.tempdir = None
    sys.argv = [str(TYST), *request.arguments]


def _main() -> int:
    from dashboard.cli.main import main

    # What the server consists of, for those that will run one, and what typer imports when it reads an option.
    for name in ("dashboard.server.serve", "pydantic"):
        importlib.import_module(name)
    gc.freeze()
    return main() if _serve(socket.socket(fileno=int(sys.argv[1]))) else 0


if __name__ == "__main__":
    sys.exit(_main())
