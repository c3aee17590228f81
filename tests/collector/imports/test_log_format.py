"""Access logs by a format string of nginx: text and JSON, with the escapes of either."""

from __future__ import annotations

import json
import time

import pytest

from collector.core.errors import ImportRefused
from collector.imports.formats.access import client_address
from collector.imports.formats.log_format import LONGEST_LINE, LogFormat
from collector.imports.formats.text_log import parse
from tests.collector.imports.imported import SAMPLES, Importing
from tests.collector.imports.test_access_logs import AGENT, COMBINED, EXPECTED, totals

AT = 971_211_336
LOCAL, ISO = "10/Oct/2000:13:55:36 -0700", "2000-10-10T13:55:36-07:00"
DIRECTIVE = """
log_format  main  '$remote_addr - $remote_user [$time_local] "$request" '
                  '$status $body_bytes_sent "$http_referer" '
                  '"$http_user_agent" "$http_x_forwarded_for"';
"""
OWN = "$host|$time_iso8601|$remote_addr|$request_method|$scheme://$host$request_uri|$status|${http_user_agent}"
JSON_FORMAT = """log_format j escape=json '{ "t": "$time_iso8601", "who": "$remote_addr", "verb": "$request_method", '
  '"url": "$scheme://$host$request_uri", "code": $status, "agent": "$http_user_agent", "from": "$http_referer" }';"""
SPACED = "$msec $remote_addr \"$request\" $status '$http_user_agent'"
MEMBERS = json.dumps(
    {"code": 200, "url": "https://a.test/p", "t": ISO, "who": "192.0.2.1", "verb": "GET", "agent": AGENT, "from": ""}
)
UNESCAPED = (
    f'{{ "t": "{ISO}", "who": "192.0.2.1", "verb": "GET", "url": "https://a.test/p", "code": 200, '
    f'"agent": "{AGENT}", "from": "http://x.test/\\xE5" }}'
)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (DIRECTIVE, f'192.0.2.1 - - [{LOCAL}] "GET /p HTTP/1.1" 200 12 "-" "{AGENT}" "-"'),
        (DIRECTIVE, f'10.0.0.1 - a b [{LOCAL}] "GET /p HTTP/1.1" 200 12 "-" "{AGENT}" "192.0.2.1, 10.0.0.9"'),
        ("combined", f'192.0.2.1 - - [{LOCAL}] "GET /p HTTP/1.1" 200 12 "-" "{AGENT}"'),
        (OWN, f"a.test|{ISO}|192.0.2.1|GET|https://a.test/p|200|{AGENT}"),
        (SPACED, f"{AT}.123 192.0.2.1 \"GET /p HTTP/2.0\" 200 '{AGENT}'"),
        (JSON_FORMAT, MEMBERS),
        (JSON_FORMAT, UNESCAPED),
    ],
)  # fmt: skip
def test_a_line_is_read_by_its_format(text: str, line: str) -> None:
    """A directive as it stands in the configuration, names of formats, any order of JSON, and JSON that is none."""
    found = LogFormat(text).parse(line)
    assert (found.address, found.at, found.status, found.user_agent) == ("192.0.2.1", AT, 200, AGENT)
    assert found.target.endswith("/p")
    assert found.has_user_agents


@pytest.mark.parametrize(
    ("escape", "written", "read"),
    [("default", r"a \x22b\x22 \xC3\xA5", 'a "b" å'), ("json", r"a \"b\" \\ \u00e5", 'a "b" \\ å')],
)
def test_escapes_are_undone(escape: str, written: str, read: str) -> None:
    """Those of nginx by default, and those of JSON."""
    text = '{"t":"$time_iso8601","r":"$request","s":"$status","ua":"$http_user_agent"}'
    form = LogFormat(f"log_format x escape={escape} '{text}';")
    line = f'{{"t":"{ISO}","r":"GET /p HTTP/1.1","s":"200","ua":"{written}"}}'
    assert form.parse(line).user_agent == read


@pytest.mark.parametrize("text", ["$remote_addr $status", "%h %l %u", "", "{}"])
def test_a_format_that_says_too_little_is_refused(text: str) -> None:
    """With the names of what is missing."""
    with pytest.raises(ImportRefused, match="missing"):
        LogFormat(text or "x")


NEEDED = "$time_local $request $status"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (f"{'-'.join(f'$v{number}' for number in range(40))}x {NEEDED}", "-" * LONGEST_LINE),
        (f"{' '.join(f'$v{number}' for number in range(40))} x {NEEDED}", " " * LONGEST_LINE),
        (f"{'$a$request_uri$host$uri' * 20}|{NEEDED}", "/" * LONGEST_LINE),
        (f'"{NEEDED}" "$a" "$b"', '"' + '\\"' * (LONGEST_LINE // 2 - 1)),
        (f"$a{'a' * 3_000}b {NEEDED}", "a" * LONGEST_LINE),
        (f'{{"a":"{"-".join(f"$v{number}" for number in range(40))}x","b":"{NEEDED}"}}', f'{{"a":"{"-" * 16_000}"}}'),
        (NEEDED, " " * (64 * LONGEST_LINE)),
    ],
    ids=["dashes", "spaces", "adjacent", "quotes", "long text", "members", "a long line"],
)
def test_no_format_takes_its_time(text: str, line: str) -> None:
    """Whatever a format and a line are made of: each character is looked at a few times, and nothing is tried again."""
    form = LogFormat(text)
    began = time.thread_time()
    assert not form.fits(line)
    assert time.thread_time() - began < 1


def test_a_log_without_user_agents_counts_page_views_alone() -> None:
    """As the common format does."""
    assert not LogFormat("common").parse(f'192.0.2.1 - - [{LOCAL}] "GET /p HTTP/1.1" 200 12').has_user_agents


def test_the_sample_gives_its_totals(importing: Importing) -> None:
    """Lines that do not fit are left out."""
    record = importing.take(("upload", COMBINED), log_format="combined")
    expected = EXPECTED["logs/combined.log"]
    assert totals(importing) == expected["per_day"]
    left_out = {reason: each.count for reason, each in record.report.left_out.items()}
    assert left_out == expected["dropped"] | {"unreadable": expected["bad_lines"]}


def test_a_file_of_another_format_is_refused(importing: Importing) -> None:
    """Before anything of it is read."""
    with pytest.raises(ImportRefused, match="fits the log format"):
        importing.read(SAMPLES / "umami" / "website_event.csv", log_format="combined")


@pytest.mark.parametrize(
    ("address", "forwarded", "client"),
    [
        ("10.0.0.1", "8.8.8.8, 10.0.0.2", "8.8.8.8"),
        ("1.1.1.1", "8.8.8.8, 9.9.9.9", "9.9.9.9"),
        ("1.1.1.1", "10.1.2.3", "1.1.1.1"),
        ("10.0.0.1", "10.1.2.3", "10.1.2.3"),
        ("1.1.1.1", "-", "1.1.1.1"),
        ("1.1.1.1", "unknown, x", "1.1.1.1"),
        ("::1", "[2606:4700::1111]:443", "2606:4700::1111"),
    ],
)
def test_clients_behind_proxies(address: str, forwarded: str, client: str) -> None:
    """The last public address that the proxies name."""
    assert client_address(address, forwarded) == client


@pytest.mark.parametrize(
    ("line", "host"),
    [
        (f'192.0.2.1 a.test - [{LOCAL}] "GET /p HTTP/1.1" 200 12 "-" "{AGENT}"', "a.test"),
        (f'Oct 10 13:55:36 web nginx: 192.0.2.1 - - [{LOCAL}] "GET /p HTTP/1.1" 200 12 "-" "{AGENT}"', ""),
        (f'web_1  | 192.0.2.1 - - [{LOCAL}] "GET /p HTTP/1.1" 200 12 "-" "{AGENT}"', ""),
        (f'10.0.0.1 - - [{LOCAL}] "GET /p HTTP/1.1" 200 12 "-" "{AGENT}" "192.0.2.1"', ""),
    ],
)
def test_lines_with_something_around_them(line: str, host: str) -> None:
    """The host where lighttpd writes it, what syslog and containers put before a line, and what proxies tell."""
    found = parse(line)
    assert (found.address, found.host, found.at, found.user_agent) == ("192.0.2.1", host, AT, AGENT)
