"""Collectors with data directories of their own over one ClickHouse server, behind nginx that hashes by address."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.balancers import nginx
from tests.faults.server import PATIENCE, Serve, until


class Collectors(Serve):
    """The collectors as one server: what is asked of it is asked of all of them. Where `claimed`, who sends
    `X-Forwarded-For` to nginx is taken for that address."""

    def __init__(
        self,
        directory: Path,
        dsn: str,
        *,
        count: int = 2,
        environ: dict[str, str] | None = None,
        claimed: bool = True,
    ) -> None:
        super().__init__(directory, dsn, environ={"TYST_SECRET_KEY": "the same for all", **(environ or {})})
        self.each = [
            Serve(directory / f"collector-{number}", dsn, environ={**self.environ, "TYST_COLLECTOR": f"c{number}"})
            for number in range(1, count + 1)
        ]
        self._claimed = claimed
        self._proxy: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start those that do not run, and the proxy."""
        for serve in self.each:
            if serve.process is None or serve.process.poll() is not None:
                serve.start()
        if self._proxy is None:
            directory = self.directory / "nginx"
            directory.mkdir(exist_ok=True)
            self._proxy = nginx(directory, [serve.port for serve in self.each], self.port, claimed=self._claimed)

    @property
    def data_dir(self) -> Path:
        return self.each[0].data_dir

    def environment(self) -> dict[str, str]:
        """Commands are for the first."""
        return self.each[0].environment()

    def kill(self) -> None:
        """`kill -9` of all, and of nothing else."""
        for serve in self.each:
            if serve.process is not None and serve.process.poll() is None:
                serve.kill()

    def kill_balancer(self) -> None:
        """`kill -9` of nginx and its workers."""
        assert self._proxy
        os.killpg(self._proxy.pid, signal.SIGKILL)
        self._proxy.wait(PATIENCE)
        self._proxy = None

    def kill_one(self, chosen: random.Random) -> None:
        """`kill -9` of one, and a start."""
        serve = chosen.choice(self.each)
        serve.kill()
        serve.start()

    def terminate(self) -> float:
        """SIGTERM of all; returns the most seconds that one took."""
        for serve in self.each:
            assert serve.process
            serve.process.send_signal(signal.SIGTERM)
        return max(serve.ended() for serve in self.each)

    def close(self) -> None:
        """End everything."""
        self.kill()
        if self._proxy is not None:
            self._proxy.terminate()
            self._proxy.wait(PATIENCE)

    def answers(self) -> bool:
        """Whether all are there."""
        return all(serve.answers() for serve in self.each)

    def well(self) -> bool:
        """Whether all say that all is well and nothing waits."""
        return all(serve.well() for serve in self.each)

    def problems(self) -> str:
        """The sentences of each."""
        return " ".join(serve.problems() for serve in self.each)

    def readiness(self) -> dict[str, object]:
        """The numbers added up."""
        found = [serve.readiness() for serve in self.each]
        names = ("spool_rows", "refused_segments")
        return {name: sum(each.get(name, 0) for each in found) for name in names} | {"of_each": found}

    def metrics(self) -> dict[str, float]:
        """The metrics added up, as Prometheus would."""
        found = [serve.metrics() for serve in self.each]
        return {name: sum(each.get(name, 0.0) for each in found) for name in {name for each in found for name in each}}

    def retry(self) -> int:
        """`tyst retry` at each; returns how many segments are tried again."""
        return sum(serve.retry() for serve in self.each)

    def log(self) -> str:
        """Everything that they have logged."""
        return "".join(serve.log() for serve in self.each)


@contextlib.contextmanager
def collectors(directory: Path, dsn: str, **options: object) -> Iterator[Collectors]:
    """Collectors, two by default, that answer and know of each other."""
    running = Collectors(directory, dsn, **options)  # type: ignore[arg-type]
    running.start()
    try:
        until("all collectors answer", running.answers)
        until("commands find each", lambda: all((s.directory / "data" / "server.json").exists() for s in running.each))
        yield running
    finally:
        running.close()
