"""Fetching pages on somebody's word: never inward, never for long, never much, and nothing is taken along."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import ipaddress
import socket
import ssl
import subprocess
import threading
import time
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import anyio
import pytest

from collector.core.settings import read_settings
from dashboard.compliance.site_check.errors import FetchError
from dashboard.compliance.site_check.fetcher import MOST_BYTES, MOST_PARTS, Fetched, Fetcher, within_time
from dashboard.compliance.site_check.pinned_transport import SystemResolver
from dashboard.compliance.site_check.public_addresses import is_outside
from tests.website import Website, website

LOOPBACK = read_settings({"TYST_VERIFY_NETWORKS": "127.0.0.0/8"}).verify_networks


@pytest.fixture
def site() -> Iterator[Website]:
    """A website on this machine."""
    with website() as running:
        yield running


class Names:
    """A resolver: each name's answers, one after the other, the last again and again."""

    def __init__(self, **answers: Sequence[Sequence[str]]) -> None:
        self.answers = {name.replace("_", "."): list(given) for name, given in answers.items()}
        self.asked: list[str] = []

    async def __call__(self, host: str, _: int) -> Sequence[str]:
        self.asked.append(host)
        if host not in self.answers:
            raise OSError
        given = self.answers[host]
        return given.pop(0) if len(given) > 1 else given[0]


def fetch(url: str, fetcher: Fetcher, seconds: float = 10) -> Fetched:
    return anyio.run(within_time, fetcher, url, seconds)


def obstacle(url: str, fetcher: Fetcher, seconds: float = 10) -> str:
    with pytest.raises(FetchError) as caught:
        fetch(url, fetcher, seconds)
    return caught.value.obstacle


INSIDE = (
    # This network, private, shared, loopback, link-local, special, relays, benchmark, documentation.
    "0.0.0.0", "10.1.2.3", "100.64.0.1", "127.0.0.1", "127.9.9.9", "169.254.169.254", "172.16.0.1", "172.31.255.255",
    "192.0.0.1", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.51.100.1", "203.0.113.1",
    # Multicast, reserved, broadcast.
    "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
    # The same of IPv6.
    "::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd12:3456::1", "fec0::1", "ff02::1", "100::1", "2001:db8::1",
    "3fff::1", "4000::1", "5f00::1",
    # An IPv4 address within: compatible, mapped, translated, NAT64 of both kinds, 6to4, Teredo, ISATAP.
    "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:93.184.216.34", "::ffff:0:127.0.0.1", "64:ff9b::7f00:1",
    "64:ff9b::5db8:d822", "64:ff9b:1::7f00:1", "2002:7f00:1::1", "2002:5db8:d822::1", "2001:0:4136:e378::1",
    "2a00:1450:4001::5efe:7f00:1", "2a00:1450:4001::200:5efe:7f00:1",
    # Services of clouds for their own machines, and their addresses within others, whatever the prefix.
    "169.254.169.253", "169.254.170.2", "168.63.129.16", "192.0.0.192", "192.0.0.9", "100.100.100.200",
    "fd00:ec2::254", "fd20:ce::254", "fd00:42::42", "::ffff:168.63.129.16", "64:ff9b::a83f:8110", "2002:a83f:8110::1",
    "64:ff9b::c000:c0", "::ffff:192.0.0.192", "2a00:1450:64::a9fe:a9fe", "2a00:1450:64::a83f:8110",
)  # fmt: skip
OUTSIDE = ("93.184.216.34", "1.1.1.1", "8.8.8.8", "2606:4700:4700::1111", "2a00:1450:4001:82a::200e")


@pytest.mark.parametrize("address", INSIDE)
def test_addresses_inside_are_refused(address: str) -> None:
    """Whatever a name resolves to, however the address is wrapped, no connection is tried."""
    assert not is_outside(ipaddress.ip_address(address))
    names = Names(inner_example=[[address]])
    assert obstacle("http://inner.example/", Fetcher(resolver=names)) == "address"
    host = f"[{address.replace('%', '%25')}]" if ":" in address else address
    assert obstacle(f"http://{host}/", Fetcher(resolver=names)) in ("address", "scheme")
    assert names.asked == ["inner.example"]


@pytest.mark.parametrize("address", OUTSIDE)
def test_public_addresses_are_outside(address: str) -> None:
    """Those are what pages are fetched from."""
    assert is_outside(ipaddress.ip_address(address))


ODD = ("2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "127.1", "127.0.1", "0", "0x", "127.0.0.1.", "1.2.3.256",
       "１２７.0.0.1", "①②⑦.⓪.⓪.①", "[::1", "[127.0.0.1]", "[::ffff:7f00:1]")  # fmt: skip


@pytest.mark.parametrize("host", ODD)
def test_odd_spellings_of_numbers_are_refused(host: str) -> None:
    """Decimal, octal, hexadecimal, shortened and wide digits: readers differ about them, so nobody is asked."""
    names = Names()
    assert obstacle(f"http://{host}/", Fetcher(resolver=names)) in ("address", "scheme")
    assert names.asked == []


def test_localhost_is_refused() -> None:
    """The system's own resolver is asked, and what it answers is looked at."""
    for url in ("http://localhost/", "http://LOCALHOST./", "https://localhost/", "http://localhost:80/"):
        assert obstacle(url, Fetcher()) in ("address", "name")


def test_a_name_with_one_address_inside_is_refused(site: Website) -> None:
    """A public address beside it does not make it better, wherever it stands in the answer."""
    for answers in (["93.184.216.34", "10.0.0.1"], ["::1", "2606:4700:4700::1111"], ["127.0.0.1", "10.0.0.1"]):
        names = Names(both_example=[answers])
        assert obstacle(f"http://both.example:{site.port}/", Fetcher(LOOPBACK, names)) in ("address", "port")
    assert site.asked == []


def test_the_name_is_resolved_once(site: Website) -> None:
    """A resolver that changes its answer after it was looked at is not asked again: the connection is to the first."""
    site.page("/", "here")
    names = Names(moving_example=[["127.0.0.1"], ["10.0.0.1"]])
    fetched = fetch(f"http://moving.example:{site.port}/", Fetcher(LOOPBACK, names))
    assert (fetched.text, names.asked) == ("here", ["moving.example"])
    assert site.asked[0][1]["host"] == f"moving.example:{site.port}"
    # And where the answer has changed by the next redirect, that one is refused.
    site.redirect("/", "/again")
    names = Names(moving_example=[["127.0.0.1"], ["10.0.0.1"]])
    assert obstacle(f"http://moving.example:{site.port}/", Fetcher(LOOPBACK, names)) == "address"
    assert [path for path, _ in site.asked] == ["/", "/"]


def test_only_the_ports_of_the_web_are_asked(site: Website) -> None:
    """On public addresses; what the operator allows may listen anywhere."""
    names = Names(public_example=[["93.184.216.34"]])
    for port in (22, 25, 8000, 8443):
        assert obstacle(f"http://public.example:{port}/", Fetcher(LOOPBACK, names)) == "port"
    site.page("/", "here")
    assert fetch(f"{site.url}/", Fetcher(LOOPBACK)).status == 200


NOT_THE_WEB = ("file:///etc/passwd", "ftp://example.com/", "gopher://example.com/", "javascript:alert(1)", "//", "",
               "http://", "https:///x", "http://user:word@example.com/", "http://exa mple.com/", "data:text/html,x",
               "unix:///run/x.sock", "http://example.com:99999/")  # fmt: skip


@pytest.mark.parametrize("url", NOT_THE_WEB)
def test_only_addresses_of_the_web_are_read(url: str, site: Website) -> None:
    """Asked for, or as where a page leads on to."""
    assert obstacle(url, Fetcher(resolver=Names())) in ("scheme", "port", "name")
    if ":" in url and not url.startswith("//"):
        site.redirect("/", url)
        # One without a host leads a browser back to where it was.
        assert obstacle(f"{site.url}/", Fetcher(LOOPBACK, Names())) in ("scheme", "port", "name", "redirects")


@pytest.mark.parametrize("target", ["http://10.0.0.1/", "http://[::1]/", "http://2130706433/", "//169.254.169.254/"])
def test_redirects_are_looked_at_again(site: Website, target: str) -> None:
    """A page outside cannot lead inside."""
    site.redirect("/", target)
    assert obstacle(f"{site.url}/", Fetcher(LOOPBACK)) == "address"


def test_redirects_are_followed_a_few_times(site: Website) -> None:
    """Five of them, and the way is remembered; a sixth is too many, and so is a circle."""
    for step in range(6):
        site.redirect(f"/{step}", f"{step + 1}")
    site.page("/6", "arrived")
    fetched = fetch(f"{site.url}/1", Fetcher(LOOPBACK))
    assert (fetched.text, [hop.path for hop in fetched.hops]) == ("arrived", ["/1", "/2", "/3", "/4", "/5"])
    assert obstacle(f"{site.url}/0", Fetcher(LOOPBACK)) == "redirects"
    site.redirect("/circle", "/circle")
    assert obstacle(f"{site.url}/circle", Fetcher(LOOPBACK)) == "redirects"


def test_nothing_is_taken_along(site: Website, monkeypatch: pytest.MonkeyPatch) -> None:
    """No cookie from one answer to the next request, no referrer, no proxy, no credentials of this machine."""
    monkeypatch.setenv("HTTP_PROXY", "http://10.0.0.1:3128")
    site.redirect("/", "/next", set_cookie="a=b; path=/")
    site.page("/next", "here")
    fetch(f"{site.url}/", Fetcher(LOOPBACK))
    for _, headers in site.asked:
        assert set(headers) == {"host", "user-agent", "accept", "accept-encoding", "connection"}


def test_more_than_two_megabytes_are_not_read(site: Website) -> None:
    """Of a long page there is the beginning; packed ones are measured as they are unpacked."""
    bomb = gzip.compress(bytes(200 * 1024 * 1024), 9)
    assert len(bomb) < MOST_BYTES
    html = {"content-type": "text/html"}
    site.answers["/bomb"] = (200, {**html, "content-encoding": "gzip"}, bomb)
    site.answers["/long"] = (200, html, b"x" * (MOST_BYTES + 1))
    site.answers["/full"] = (200, html, b"x" * MOST_BYTES)
    for path, whole in (("/bomb", False), ("/long", False), ("/full", True)):
        fetched = fetch(f"{site.url}{path}", Fetcher(LOOPBACK))
        assert (len(fetched.text), fetched.whole) == (MOST_BYTES, whole)


@contextlib.contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """The address of a server that answers one request with these bytes."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection, contextlib.suppress(ConnectionError):
                connection.recv(65_536)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/"
        thread.join()


def test_interim_answers_have_an_end() -> None:
    """A few hints are in order. A server that sends them without end would keep the processor busy."""
    interim, answer = b"HTTP/1.1 103 Early Hints\r\n\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
    with answering(interim * 20 + answer) as url:
        assert fetch(url, Fetcher(LOOPBACK)).text == "ok"
    with answering(interim * 20_000 + answer) as url:
        assert obstacle(url, Fetcher(LOOPBACK)) == "connection"


def test_a_body_has_few_parts() -> None:
    """A chunk of one byte takes as long as one of thousands."""
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    for parts, whole in ((1_000, True), (MOST_PARTS + 1_000, False)):
        with answering(head + b"1\r\nx\r\n" * parts + b"0\r\n\r\n") as url:
            assert fetch(url, Fetcher(LOOPBACK)).whole == whole


def test_packed_pages_are_unpacked(site: Website) -> None:
    """In the ways that were asked for, and no other."""
    for name, body in (("gzip", gzip.compress(b"hej")), ("deflate", zlib.compress(b"hej")), ("identity", b"hej")):
        site.answers[f"/{name}"] = (200, {"content-encoding": name}, body)
        assert fetch(f"{site.url}/{name}", Fetcher(LOOPBACK)).text == "hej"
    for name, body in (("br", b"hej"), ("gzip", b"hej")):
        site.answers["/odd"] = (200, {"content-encoding": name}, body)
        assert obstacle(f"{site.url}/odd", Fetcher(LOOPBACK)) == "encoding"


def test_the_type_of_a_page_takes_no_time(site: Website) -> None:
    """What is in it is read for the encoding, however long and odd it is."""
    odd = 'text/html; charset="' + ";" * 60_000
    for name, type_, body in (
        ("odd", odd, "å".encode()),
        ("wide", 'text/html; Charset="UTF-16LE"', "å".encode("utf-16")),
    ):
        site.answers[f"/{name}"] = (200, {"content-type": type_}, body)
    began = time.process_time()
    assert fetch(f"{site.url}/odd", Fetcher(LOOPBACK)).text == "å"
    assert time.process_time() - began < 1
    assert fetch(f"{site.url}/wide", Fetcher(LOOPBACK)).text == "å"


def test_who_does_not_answer_is_not_waited_for(site: Website) -> None:
    """The time is for everything together."""
    assert obstacle(f"{site.url}/silence", Fetcher(LOOPBACK), 0.3) == "time"


def test_nobody_there_is_said(site: Website) -> None:
    """No server, no such name, and no encryption where it was asked for."""
    gone = site.port
    assert obstacle(f"https://127.0.0.1:{gone}/", Fetcher(LOOPBACK)) in ("connection", "certificate")
    assert obstacle("http://127.0.0.1:1/", Fetcher(LOOPBACK)) == "connection"
    assert obstacle("http://nowhere.example/", Fetcher(resolver=Names())) == "name"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for shop.example that nobody but itself vouches for, with its key in the same file."""
    file = tmp_path_factory.mktemp("tls") / "shop.pem"
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", str(file))
    name = ("-subj", "/CN=shop.example", "-addext", "subjectAltName=DNS:shop.example", "-days", "1")
    made = subprocess.run(["openssl", "req", "-x509", *key, *name], check=True, capture_output=True)
    file.write_bytes(file.read_bytes() + made.stdout)
    return file


def test_over_tls_the_name_is_asked_for_and_verified(certificate: Path) -> None:
    """The connection goes to the address that was looked at; the handshake names the host, and its certificate must
    be for that name and from somebody who is believed. Else nothing is asked for, after a redirect neither."""
    named: list[str | None] = []
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(certificate)
    serving.sni_callback = lambda _socket, name, _context: named.append(name)
    believing = ssl.create_default_context(cafile=str(certificate))
    names = Names(shop_example=[["127.0.0.1"]], other_example=[["127.0.0.1"]])
    with website(serving) as site:
        url, other = (f"https://{host}:{site.port}/" for host in ("shop.example", "other.example"))
        site.page("/", "here")
        site.redirect("/away", other)
        assert fetch(url, Fetcher(LOOPBACK, names, believing)).text == "here"
        assert obstacle(other, Fetcher(LOOPBACK, names, believing)) == "certificate"
        assert obstacle(f"{url}away", Fetcher(LOOPBACK, names, believing)) == "certificate"
        assert obstacle(f"https://127.0.0.1:{site.port}/", Fetcher(LOOPBACK, names, believing)) == "certificate"
        assert obstacle(url, Fetcher(LOOPBACK, names)) == "certificate"
        assert [(path, headers["host"]) for path, headers in site.asked] == [
            (path, f"shop.example:{site.port}") for path in ("/", "/away")
        ]
    assert named == ["shop.example", "other.example", "shop.example", "other.example", None, "shop.example"]


def test_a_name_that_is_never_answered_holds_no_thread_of_the_event_loop() -> None:
    """By these the names of others are looked up, such as a provider's at a sign-in."""

    async def scene() -> None:
        loop, answered = asyncio.get_running_loop(), threading.Event()
        loop.set_default_executor(ThreadPoolExecutor(1))
        held = loop.run_in_executor(None, answered.wait)
        try:
            with anyio.fail_after(10):
                assert await SystemResolver()("127.0.0.1", 443) == ["127.0.0.1"]
        finally:
            answered.set()
            await held

    asyncio.run(scene())
