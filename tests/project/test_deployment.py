"""The proxy's configurations in `deploy/` are accepted by the proxy of Debian."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.faults.collectors import NGINX
from tests.faults.server import ROOT, free_port

TLS = ROOT / "tests" / "fixtures" / "tls"
SINGLE = (ROOT / "deploy" / "nginx.conf").read_text()
SEVERAL = (ROOT / "deploy" / "nginx-collectors.conf").read_text()
UPSTREAM = SINGLE[SINGLE.index("upstream tyst") : SINGLE.index("server {\n    listen")]


@pytest.mark.parametrize("text", [SINGLE, SINGLE.replace(UPSTREAM, f"{SEVERAL}\n")], ids=["one", "several"])
def test_nginx_takes_the_configuration(text: str, tmp_path: Path) -> None:
    """With this machine's certificate, log and port in the place of the example's."""
    live = "/etc/letsencrypt/live/stats.example.com/"
    text = text.replace(f"{live}fullchain.pem", str(TLS / "cert.pem")).replace(
        f"{live}privkey.pem", str(TLS / "key.pem")
    )
    text = text.replace("/var/log/nginx/tyst.log", str(tmp_path / "error.log"))
    text = text.replace("[::]:443", f"127.0.0.1:{free_port()}").replace("listen 443", f"listen 127.0.0.1:{free_port()}")
    configuration = tmp_path / "nginx.conf"
    configuration.write_text(f"pid {tmp_path}/pid;\nevents {{}}\nhttp {{\n{text}\n}}\n")
    command = [NGINX, "-t", "-q", "-c", str(configuration), "-e", str(tmp_path / "error.log")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
