"""The way of the README: the server behind Caddy with `deploy/Caddyfile`, over TLS by Caddy's own authority."""

from __future__ import annotations

import os
import re
import ssl
import subprocess
from collections.abc import Iterator
from typing import NamedTuple

import httpx
import pytest

from tests.faults.server import free_port, until
from tests.launcher import ROOT
from tests.running import Running, start, stop, tyst

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


class Proxied(NamedTuple):
    """A server, and a client that reaches it over TLS only."""

    server: Running
    client: httpx.Client


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxied]:
    """`localhost` in the place of the domain; the authority is not installed on this machine."""
    directory = tmp_path_factory.mktemp("caddy")
    port, upstream = free_port(), free_port()
    # Besides: no port 80, no port for its administration, and no change to this machine's authorities.
    text = (ROOT / "deploy" / "Caddyfile").read_text()
    text = text.replace("{\n", "{\n\tadmin off\n\tskip_install_trust\n\tauto_https disable_redirects\n", 1)
    (directory / "Caddyfile").write_text(text)
    environ = {**os.environ, "XDG_DATA_HOME": str(directory), "XDG_CONFIG_HOME": str(directory)}
    environ |= {"TYST_DOMAIN": f"localhost:{port}", "TYST_UPSTREAM": f"127.0.0.1:{upstream}"}
    server = start(
        tmp_path_factory.mktemp("serve"), "serve", "--port", str(upstream),
        TYST_PUBLIC_URL=f"https://localhost:{port}", TYST_TRUSTED_PROXIES="127.0.0.1",
    )  # fmt: skip
    command = ["caddy", "run", "--adapter", "caddyfile", "--config", str(directory / "Caddyfile")]
    with subprocess.Popen(command, env=environ, stderr=subprocess.DEVNULL) as caddy:
        authority = directory / "caddy" / "pki" / "authorities" / "local" / "root.crt"
        until("Caddy has its authority", authority.is_file)
        with httpx.Client(
            base_url=f"https://localhost:{port}", verify=ssl.create_default_context(cafile=authority), timeout=60
        ) as client:
            until("Caddy answers", lambda: _answers(client))
            yield Proxied(server, client)
        caddy.terminate()
    stop(server)


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/healthz").status_code == 200
    except httpx.TransportError:
        return False


def test_a_site_is_measured_over_tls(proxied: Proxied) -> None:
    """Add a site, take its tag, send its beacon as a browser would, and ask for its figures."""
    added = tyst("site", "add", "example.com", directory=proxied.server.directory)
    assert added.status == 0, added.err
    tag = re.search(r'src="(https://[^"]+)"', added.out)
    assert tag is not None, added.out
    assert str(proxied.client.base_url.join("/js/tyst.js")) == tag[1]
    assert "javascript" in proxied.client.get(tag[1]).headers["content-type"]
    beacon = {"n": "pageview", "u": "https://example.com/read", "d": "example.com", "c": "granted"}
    for address in ("198.51.100.7", "203.0.113.9"):
        # What the sender claims in X-Forwarded-For is replaced by the address that Caddy saw.
        headers = {"user-agent": FIREFOX, "x-forwarded-for": address, "origin": "https://example.com"}
        answer = proxied.client.post("/api/event", json=beacon, headers=headers)
        assert (answer.status_code, answer.headers.get("x-tyst-dropped")) == (202, None)
    key = tyst("key", "create", "--site", "example.com", "--json", directory=proxied.server.directory).json

    def figures() -> list[int]:
        query = {"site_id": "example.com", "metrics": ["visitors", "pageviews"], "date_range": "day"}
        answer = proxied.client.post("/api/v2/query", json=query, headers={"authorization": f"Bearer {key['key']}"})
        (row,) = answer.json()["results"]
        return list(row["metrics"])

    until("the figures are there", lambda: figures() == [1, 2])


def test_signing_in_is_by_secure_cookies_and_the_operator_s_pages_are_private(proxied: Proxied) -> None:
    """Caddy says the scheme; `/metrics` and `/readyz` are not for the public."""
    form = {"name": "admin", "password": "wrong"}
    origin = str(proxied.client.base_url).rstrip("/")
    refused = proxied.client.post("/login", data=form, headers={"origin": origin, "sec-fetch-site": "same-origin"})
    assert refused.status_code == 401
    page = proxied.client.get("/login")
    assert "max-age" in page.headers["strict-transport-security"]
    assert [proxied.client.get(path).status_code for path in ("/metrics", "/readyz")] == [404, 404]
