"""The programs in front of several collectors, with the configurations of `deploy/` on a port of loopback."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tests.launcher import ROOT

Process = subprocess.Popen[bytes]
_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin"
NGINX = shutil.which("nginx", path=_PATH) or "nginx"
HAPROXY = shutil.which("haproxy", path=_PATH) or "haproxy"


def nginx(directory: Path, ports: Sequence[int], port: int, *, claimed: bool = False) -> Process:
    """nginx with `nginx.conf` and the blocks of `nginx-collectors.conf`. Where `claimed`, who sends
    `X-Forwarded-For` is taken for that address. Answers say which collector it was."""
    server, blocks = ((ROOT / "deploy" / name).read_text() for name in ("nginx.conf", "nginx-collectors.conf"))
    blocks = _instead(r"( *server 127\.0\.0\.1:\d+ max_fails=1 fail_timeout=10s;\n)+", blocks, (
        f"    server 127.0.0.1:{each} max_fails=1 fail_timeout=10s;\n" for each in ports
    ))  # fmt: skip
    text = server[server.index("server {\n    listen") :]
    text = re.sub(r"(\s+listen .*?;)+", f"\n    listen 127.0.0.1:{port};", text, count=1)
    text = re.sub(r"\s+ssl_certificate.*?;", "", text).replace("/var/log/nginx/tyst.log", f"{directory}/error.log")
    seen = "set_real_ip_from 127.0.0.1; real_ip_header X-Forwarded-For;" if claimed else ""
    paths = "".join(
        f"{kind}_temp_path {directory}/{kind}; " for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    configuration = directory / "nginx.conf"
    configuration.write_text(
        f"daemon off; worker_processes 1; pid {directory}/nginx.pid;\nevents {{ worker_connections 1024; }}\n"
        f"http {{\n{paths}{seen}\nadd_header X-Collector $upstream_addr always;\n{blocks}\n{text}\n}}\n"
    )
    command = [NGINX, "-c", str(configuration), "-e", str(directory / "error.log")]
    return subprocess.Popen(command, start_new_session=True)


def haproxy(directory: Path, ports: Sequence[int], port: int, *, claimed: bool = False) -> Process:
    """HAProxy with `haproxy-collectors.cfg`."""
    text = (ROOT / "deploy" / "haproxy-collectors.cfg").read_text()
    text = _instead(r"( *server collector\d 127\.0\.0\.1:\d+\n)+", text, (
        f"    server collector{number} 127.0.0.1:{each}\n" for number, each in enumerate(ports, 1)
    ))  # fmt: skip
    text = re.sub(r"bind :443 .*", f"bind 127.0.0.1:{port}", text)
    if claimed:
        text = text.replace("src,ipmask", "req.hdr_ip(x-claimed),ipmask")
        claim = "    http-request set-header X-Claimed %[req.hdr(x-forwarded-for)]\n"
        text = text.replace("    # Replaced, ", f"{claim}    # Replaced, ")
    configuration = directory / "haproxy.cfg"
    configuration.write_text(text)
    return subprocess.Popen([HAPROXY, "-db", "-q", "-f", configuration], stderr=subprocess.DEVNULL)


def caddy(directory: Path, ports: Sequence[int], port: int, *, claimed: bool = False) -> Process:
    """Caddy with `Caddyfile-collectors`."""
    text = (ROOT / "deploy" / "Caddyfile-collectors").read_text()
    text = text.replace("{\n", "{\n\tadmin off\n", 1).replace("example.com} {\n", "example.com} {\n\tbind 127.0.0.1\n")
    if claimed:
        text = text.replace("map {remote_host} {written}", "map {header.x-forwarded-for} {written}")
        text = text.replace("default {remote_host}", "default {header.x-forwarded-for}")
    configuration = directory / "Caddyfile"
    configuration.write_text(text)
    environ = {**os.environ, "XDG_DATA_HOME": str(directory), "XDG_CONFIG_HOME": str(directory)}
    environ |= {
        "TYST_DOMAIN": f"http://:{port}",
        "TYST_COLLECTORS": " ".join(f"127.0.0.1:{each}" for each in ports),
    }
    command = ["caddy", "run", "--adapter", "caddyfile", "--config", str(configuration)]
    return subprocess.Popen(command, env=environ, stderr=subprocess.DEVNULL)


Balancer = Callable[..., Process]
BALANCERS: dict[str, Balancer] = {"nginx": nginx, "haproxy": haproxy, "caddy": caddy}


@contextlib.contextmanager
def balancing(
    program: Balancer, directory: Path, ports: Sequence[int], port: int, *, claimed: bool = False
) -> Iterator[Process]:
    """The program while it runs."""
    directory.mkdir(parents=True, exist_ok=True)
    process = program(directory, ports, port, claimed=claimed)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)


def _instead(pattern: str, text: str, lines: Iterator[str]) -> str:
    """The text with other lines in the place of those of the pattern, which must be there."""
    found, count = re.subn(pattern, "".join(lines), text)
    if count != 1:
        raise AssertionError(f"no {pattern} in the configuration")
    return found
