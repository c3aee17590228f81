"""`tyst lists update`: a list is fetched when asked for, checked, and put in place whole."""

from __future__ import annotations

import stat
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from collector.enrichment.host_lists import SPAM_FILE, HostList
from dashboard.cli.commands import lists
from dashboard.cli.commands.lists import MOST_BYTES, ListRefused, check_hosts, fetch, write
from tests.running import Ran, tyst

LIST = "# known for spam\nspam.example\nwww.Another-One.example\n\nxn--80aaaks3bbhabgbigamdr2h.xn--p1ai\n"
HOSTS = ["another-one.example", "spam.example", "xn--80aaaks3bbhabgbigamdr2h.xn--p1ai"]

ANSWERS: dict[str, tuple[int, dict[str, str], bytes]] = {
    "/list": (200, {}, LIST.encode()),
    "/newer": (200, {}, b"spam.example\nthird.example\n"),
    "/page": (200, {}, b"<!doctype html>\n<title>Sign in</title>\n<p>to go on</p>\n"),
    "/empty": (200, {}, b"# nothing\n"),
    "/moved": (302, {"Location": "http://192.0.2.1/list"}, b""),
    "/broken": (500, {}, b"spam.example\n"),
    "/long": (200, {}, b"spam.example\n" * (MOST_BYTES // 13 + 1)),
}


class Answering(BaseHTTPRequestHandler):
    """Answers from the table."""

    def do_GET(self) -> None:
        status, headers, body = ANSWERS.get(self.path, (404, {}, b""))
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def place() -> Iterator[str]:
    """Where the lists are."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def update(directory: Path, *arguments: str, **environ: str) -> Ran:
    """The command, run as a person runs it."""
    return tyst("lists", "update", *arguments, directory=directory, NO_PROXY="127.0.0.1", **environ)


def test_a_list_is_fetched_checked_and_used(tmp_path: Path, place: str) -> None:
    """Its hosts are what a running server reads; the counts say what changed."""
    (tmp_path / "data").mkdir()
    used = HostList(tmp_path / "data" / SPAM_FILE)
    assert used.hosts == frozenset()
    first = update(tmp_path, f"{place}/list", "--allow-http")
    assert (first.status, first.out.split(":")[0]) == (0, "3 hosts, 3 of them new and 0 gone")
    assert (tmp_path / "data" / SPAM_FILE).read_text().splitlines() == HOSTS
    used.refresh()
    assert sorted(used.hosts) == HOSTS
    second = update(tmp_path, "--allow-http", "--json", TYST_SPAM_LIST_URL=f"{place}/newer")
    assert (second.json["hosts"], second.json["added"], second.json["removed"]) == (2, 1, 2)
    used.refresh()
    assert sorted(used.hosts) == ["spam.example", "third.example"]
    assert [path.name for path in (tmp_path / "data" / "lists").iterdir()] == ["spam-referrers.txt"]
    assert stat.S_IMODE((tmp_path / "data" / "lists").stat().st_mode) == 0o700


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/page", "no list of hosts"),
        ("/empty", "no list of hosts"),
        ("/moved", "answered 302; it has moved to http://192.0.2.1/list"),
        ("/broken", "answered 500"),
        ("/missing", "answered 404"),
        ("/long", "longer than 4,000,000 bytes"),
    ],
)
def test_what_is_no_list_changes_nothing(
    tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch, path: str, said: str
) -> None:
    """Refused with a reason; the list that was there stays."""
    monkeypatch.setenv("TYST_DATA_DIR", str(tmp_path))
    (tmp_path / SPAM_FILE).parent.mkdir()
    (tmp_path / SPAM_FILE).write_text("kept.example\n")
    with pytest.raises(ListRefused, match=said):
        lists.update(place + path, allow_http=True)
    assert (tmp_path / SPAM_FILE).read_text() == "kept.example\n"


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("http://example.com/list", False),
        ("http://example.com/list", True),
        ("http://192.0.2.1/list", True),
        ("http://127.0.0.1/list", False),
        ("ftp://127.0.0.1/list", True),
        ("file:///etc/hosts", True),
        ("https://", False),
        ("https://[/", False),
        ("", True),
    ],
)
def test_only_https_is_fetched(url: str, allowed: bool) -> None:
    """And http from this machine itself, when that is allowed; nothing is asked of anybody before."""
    with pytest.raises(ListRefused, match="address"):
        fetch(url, allow_http=allowed)


def test_without_a_data_directory_it_says_so(tmp_path: Path, place: str) -> None:
    """A sentence and status 1."""
    ran = update(tmp_path, f"{place}/list", "--allow-http")
    assert (ran.status, ran.out) == (1, "")
    assert "Start Tyst once" in ran.err


def test_a_few_odd_lines_are_left_out() -> None:
    """A list of many hosts may have a mistake in it; what is no host is not kept."""
    hosts = [f"spam{number}.example" for number in range(50)]
    assert check_hosts("\n".join([*hosts, "not a host", "-bad-.example"])) == frozenset(hosts)
    with pytest.raises(ListRefused):
        check_hosts("\n".join([*hosts, *("not a host", "/etc/passwd", "<b>", "a", "..")]))


def test_a_list_is_replaced_whole(tmp_path: Path) -> None:
    """Whoever has the old one open goes on reading the old one."""
    path = tmp_path / "lists" / "spam.txt"
    write(path, frozenset({"old.example"}))
    with path.open() as reading:
        write(path, frozenset({"new.example", "a.example"}))
        assert reading.read() == "old.example\n"
    assert path.read_text() == "a.example\nnew.example\n"
