"""Two collectors with data directories of their own over one ClickHouse server, behind nginx that hashes by address."""

from __future__ import annotations

import contextlib
import os
import random
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.faults.server import PATIENCE, ROOT, Serve, until

NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin") or "nginx"
BLOCKS = (ROOT / "deploy" / "nginx-collectors.conf").read_text()


def hashing_proxy(directory: Path, ports: Sequence[int], port: int) -> subprocess.Popen[bytes]:
    """nginx on a port of loopback, with the blocks of `deploy/nginx-collectors.conf` for these collectors. Who sends
    `X-Forwarded-For` is taken for that address."""
    directory.mkdir(parents=True, exist_ok=True)
    servers = "\n".join(f"server 127.0.0.1:{each} max_fails=0;" for each in ports)
    blocks = re.sub(r"( *server 127\.0\.0\.1:\d+ max_fails=0;\n)+", f"{servers}\n", BLOCKS)
    configuration = directory / "nginx.conf"
    configuration.write_text(
        f"""
daemon off;
worker_processes 1;
pid {directory}/nginx.pid;
error_log {directory}/error.log crit;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    set_real_ip_from 127.0.0.1;
    real_ip_header X-Forwarded-For;
    {blocks}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://tyst;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_next_upstream off;
            proxy_set_header Host $host;
            proxy_set_header X-Forwarded-For $remote_addr;
        }}
    }}
}}
"""
    )
    return subprocess.Popen([NGINX, "-c", str(configuration), "-e", str(directory / "error.log")])


class Collectors(Serve):
    """The collectors as one server: what is asked of it is asked of all of them."""

    def __init__(self, directory: Path, dsn: str, *, count: int = 2, environ: dict[str, str] | None = None) -> None:
        super().__init__(directory, dsn, environ={"TYST_SECRET_KEY": "the same for all", **(environ or {})})
        self.each = [
            Serve(directory / f"collector-{number}", dsn, environ={**self.environ, "TYST_COLLECTOR": f"c{number}"})
            for number in range(1, count + 1)
        ]
        self._proxy: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start those that do not run, and the proxy."""
        for serve in self.each:
            if serve.process is None or serve.process.poll() is not None:
                serve.start()
        if self._proxy is None:
            self._proxy = hashing_proxy(self.directory / "nginx", [serve.port for serve in self.each], self.port)

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
    """Two collectors that answer and know of each other."""
    running = Collectors(directory, dsn, **options)  # type: ignore[arg-type]
    running.start()
    try:
        until("all collectors answer", running.answers)
        until("commands find each", lambda: all((s.directory / "data" / "server.json").exists() for s in running.each))
        yield running
    finally:
        running.close()
