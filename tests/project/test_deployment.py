"""The proxies' configurations in `deploy/` work with the proxies of Debian."""

from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.balancers import BALANCERS, NGINX, balancing
from tests.faults.server import free_port
from tests.launcher import ROOT
from tests.served import until

TLS = ROOT / "tests" / "fixtures" / "tls"
SINGLE = (ROOT / "deploy" / "nginx.conf").read_text()
SEVERAL = (ROOT / "deploy" / "nginx-collectors.conf").read_text()
SENT = 100_000
UPSTREAM = SINGLE[SINGLE.index("upstream tyst") : SINGLE.index("server {\n    listen")]


@pytest.mark.parametrize("text", [SINGLE, SINGLE.replace(UPSTREAM, f"{SEVERAL}\n")], ids=["one", "several"])
def test_nginx_takes_the_configuration(text: str, tmp_path: Path) -> None:
    """With this machine's certificate, log and port in the place of the example's."""
    command = [NGINX, "-t", "-q", "-c", str(configured(text, tmp_path, free_port())), "-e", str(tmp_path / "error.log")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def configured(text: str, tmp_path: Path, port: int) -> Path:
    """The configuration as a file, for a port of loopback."""
    live = "/etc/letsencrypt/live/stats.example.com/"
    text = text.replace(f"{live}fullchain.pem", str(TLS / "cert.pem")).replace(
        f"{live}privkey.pem", str(TLS / "key.pem")
    )
    text = text.replace("/var/log/nginx/tyst.log", str(tmp_path / "error.log"))
    text = text.replace("[::]:443", f"127.0.0.1:{free_port()}").replace("listen 443", f"listen 127.0.0.1:{port}")
    configuration = tmp_path / "nginx.conf"
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    paths = "".join(f"{kind}_temp_path {tmp_path}/{kind};\n" for kind in kinds)
    configuration.write_text(f"pid {tmp_path}/pid;\nevents {{}}\nhttp {{\n{paths}{text}\n}}\n")
    return configuration


@pytest.mark.parametrize("path", ["/site.test/imports", "/api/v1/sites/site.test/imports?mode=check"])
def test_files_to_import_pass_through_nginx_as_they_come(path: str, tmp_path: Path) -> None:
    """None is put on its disk as a whole first; what is no import has the size of forms."""
    port = free_port()
    with socket.create_server(("127.0.0.1", 0)) as upstream:
        text = SINGLE.replace("127.0.0.1:8000", f"127.0.0.1:{upstream.getsockname()[1]}")
        configuration = configured(text, tmp_path, port)
        nginx = subprocess.Popen([NGINX, "-c", configuration, "-g", "daemon off;", "-e", str(tmp_path / "error.log")])
        try:
            with sending(port, path):
                upstream.settimeout(30)
                received, _ = upstream.accept()
                with received:
                    received.settimeout(30)
                    size = 0
                    while size < SENT:
                        size += len(received.recv(1 << 16))
            with sending(port, "/site.test/settings") as client:
                assert b" 413 " in client.recv(1 << 16)
        finally:
            nginx.terminate()
            nginx.wait(30)


@pytest.mark.parametrize("name", BALANCERS)
def test_a_redirect_to_a_long_address_passes(name: str, tmp_path: Path) -> None:
    """Such as the one from a view with many filters to the sign-in page, which repeats its address, quoted. nginx takes
    8 KB of an address, which may become three times as long."""
    port, location = free_port(), "/login?next=" + "%26" * 8_000
    with (
        socket.create_server(("127.0.0.1", 0)) as upstream,
        balancing(BALANCERS[name], tmp_path, [upstream.getsockname()[1]], port),
        ThreadPoolExecutor(1) as thread,
    ):
        thread.submit(answer_for_ever, upstream, f"HTTP/1.1 303 See Other\r\nLocation: {location}\r\n")
        try:
            found = until("the upstream answers", lambda: redirect_of(port))
        finally:
            upstream.shutdown(socket.SHUT_RDWR)
    assert found == location


def answer_for_ever(upstream: socket.socket, head: str) -> None:
    """Answer each connection with that head, until the socket is shut down."""
    with contextlib.suppress(OSError):
        while True:
            received, _ = upstream.accept()
            with received:
                if received.recv(1 << 16):
                    received.sendall(f"{head}Connection: close\r\nContent-Length: 0\r\n\r\n".encode())


def redirect_of(port: int) -> str | None:
    """Where the proxy at this port redirects to; None while it does not listen, or its upstream is not up yet."""
    with contextlib.suppress(httpx.TransportError):
        answer = httpx.get(f"http://127.0.0.1:{port}/site.test", headers={"host": "stats.test"}, timeout=30)
        if answer.status_code != 503:
            return str(answer.headers.get("location", f"none, but {answer.status_code}"))
    return None


@contextlib.contextmanager
def sending(port: int, path: str) -> Iterator[ssl.SSLSocket]:
    """A connection with a request of ten megabytes, of which a hundredth has been sent."""
    context = ssl.create_default_context(cafile=TLS / "cert.pem")
    context.check_hostname = False
    plain = until("nginx answers", lambda: connected(port))
    with context.wrap_socket(plain, server_hostname="stats.test") as client:
        client.settimeout(30)
        head = f"POST {path} HTTP/1.1\r\nHost: stats.test\r\nContent-Length: {100 * SENT}\r\n\r\n"
        client.sendall(head.encode())
        with contextlib.suppress(OSError):
            client.sendall(b"x" * SENT)
        yield client


def connected(port: int) -> socket.socket | None:
    """A connection to the port, or None while nobody listens there."""
    try:
        return socket.create_connection(("127.0.0.1", port))
    except ConnectionRefusedError:
        return None
