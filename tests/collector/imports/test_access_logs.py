"""Access logs: the totals of the samples in every format, what is no page view, and what a line may look like."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable

import pytest
from backports import zstd

from collector.imports.formats.json_log import parse as parse_json
from collector.imports.formats.text_log import parse
from collector.imports.formats.w3c_log import parse as parse_w3c
from tests.collector.imports.imported import SAMPLES, Importing


def zstd_compress(content: bytes) -> bytes:
    """The content in one frame of Zstandard."""
    packed: bytes = zstd.compress(content)
    return packed


EXPECTED = json.loads((SAMPLES / "expected.json").read_text())["samples"]
COMBINED = (SAMPLES / "logs" / "combined.log").read_bytes()
CADDY = SAMPLES / "logs" / "caddy.json.log"


def totals(importing: Importing) -> dict[str, dict[str, int]]:
    """Visitors, visits and page views of each day."""
    names = ("visitors", "visits", "pageviews")
    return {day: {name: each[name] for name in names} for day, each in importing.per_day().items()}


def test_the_combined_format_gives_its_totals(importing: Importing) -> None:
    """Page views, visits and visitors, and everything that is left out by its reason."""
    record = importing.take(("upload", COMBINED))
    expected = EXPECTED["logs/combined.log"]
    assert totals(importing) == expected["per_day"]
    left_out = {reason: each.count for reason, each in record.report.left_out.items()}
    assert left_out == expected["dropped"] | {"unreadable": expected["bad_lines"]}
    assert record.report.read == record.report.accepted + sum(left_out.values()) == len(COMBINED.splitlines())
    assert importing.values("visit:channel")["2026-01-12 Organic Search"] == (1, 1, 3)
    assert importing.values("visit:utm_campaign")["2026-01-13 january"] == (1, 1, 1)
    assert importing.values("visit:exit_page")["2026-01-12 /signup"] == (1, 1, 3)


@pytest.mark.parametrize("packed", [gzip.compress, zstd_compress])
def test_packed_logs_give_the_same(importing: Importing, packed: Callable[[bytes], bytes]) -> None:
    """Gzip and Zstandard are told by their first bytes."""
    importing.take(("access.log", packed(COMBINED)))
    assert totals(importing) == EXPECTED["logs/combined.log"]["per_day"]


def test_caddys_log_gives_its_totals(importing: Importing) -> None:
    """With lines of other loggers in between."""
    record = importing.take(CADDY)
    assert totals(importing) == EXPECTED["logs/caddy.json.log"]["per_day"]
    assert record.report.left_out["not_counted"].count == 1
    assert "unreadable" not in record.report.left_out


def test_lines_may_be_in_any_order(importing: Importing) -> None:
    """Visits are the same."""
    importing.take(("upload", b"\n".join(reversed(COMBINED.splitlines()))))
    assert totals(importing) == EXPECTED["logs/combined.log"]["per_day"]
    assert importing.values("visit:entry_page")["2026-01-12 /"] == (1, 2, 5)


def test_a_log_without_user_agents_counts_page_views_alone(importing: Importing) -> None:
    """Neither bots nor visitors can be told in the common format, and the report says so."""
    common = re.sub(rb' "[^"]*" "[^"]*"$', b"", COMBINED, flags=re.MULTILINE)
    record = importing.take(("upload", common))
    assert totals(importing)["2026-01-12"] == {"visitors": 0, "visits": 0, "pageviews": 7}
    assert "no_user_agents" in record.report.notes


def test_hosts_of_other_sites_are_left_out(importing: Importing) -> None:
    """A log may be of several sites."""
    lines = [b"example.com:443 " + line for line in COMBINED.splitlines()]
    lines += [b"other.test:80 " + line for line in COMBINED.splitlines()]
    record = importing.take(("upload", b"\n".join(lines)))
    assert totals(importing) == EXPECTED["logs/combined.log"]["per_day"]
    assert record.report.left_out["other_host"].count == record.report.accepted


AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"


BEFORE, AFTER = "[10/Oct/2000:13:55:36 -0700]", "[10/Oct/2000:20:55:36 +0000]"


@pytest.mark.parametrize(
    ("line", "address", "host", "target"),
    [
        (f'192.0.2.1 - - {BEFORE} "GET /p HTTP/1.0" 200 2326', "192.0.2.1", "", "/p"),
        (f'192.0.2.1 - frank moore {BEFORE} "GET /p HTTP/1.0" 200 1', "192.0.2.1", "", "/p"),
        (f'a.test:443 ::1 - - {BEFORE} "GET /p HTTP/2.0" 200 -', "::1", "a.test:443", "/p"),
        (f'192.0.2.1 - - {AFTER} "GET /\\"q\\" HTTP/1.1" 200 1 "-" "a \\x22b"', "192.0.2.1", "", '/"q"'),
        (f'::1 - - {AFTER} "GET /p HTTP/1.1" 200 1 "-" "a" 12 "r@d" "http://x" 5ms', "::1", "", "/p"),
    ],
)
def test_forms_of_text(line: str, address: str, host: str, target: str) -> None:
    """Common, with a user's name, with the host, with escapes, and with what Traefik adds."""
    found = parse(line)
    assert (found.address, found.host, found.target, found.at) == (address, host, target, 971_211_336)


CADDY_LINE = {
    "ts": 971211336.5, "logger": "http.log.access", "status": 200,
    "request": {"method": "GET", "host": "a.test", "uri": "/p", "headers": {"User-Agent": [AGENT], "Dnt": ["1"]}},
}  # fmt: skip


@pytest.mark.parametrize(
    "own",
    [
        {"client_ip": "192.0.2.1", "remote_ip": "10.0.0.1"},
        {"remote_ip": "192.0.2.1", "remote_port": "4711"},
        {"remote_addr": "192.0.2.1:4711"},
    ],
)
@pytest.mark.parametrize("ts", [971211336.5, "2000-10-10T20:55:36.5Z", 971211336_500000000, 971211336500])
def test_caddys_of_all_ages(own: dict[str, str], ts: object) -> None:
    """The address has had three names, and the time has four forms."""
    line = CADDY_LINE | {"ts": ts, "request": {**CADDY_LINE["request"], **own}}  # type: ignore[dict-item] # a dictionary
    found = parse_json(json.dumps(line))
    assert found
    assert (found.address, found.at, found.signals.dnt) == ("192.0.2.1", 971_211_336, True)


@pytest.mark.parametrize(
    "fields",
    [
        {"StartUTC": "2000-10-10T20:55:36.123Z", "ClientHost": "192.0.2.1", "RequestMethod": "GET", "RequestPath": "/p",
         "DownstreamStatus": 200, "RequestHost": "a.test", "request_User-Agent": AGENT},
        {"time_iso8601": "2000-10-10T13:55:36-07:00", "remote_addr": "192.0.2.1", "request": "GET /p HTTP/1.1",
         "status": "200", "host": "a.test", "http_user_agent": AGENT, "http_referer": "-"},
        {"date": "2000-10-10", "time": "20:55:36", "c-ip": "192.0.2.1", "cs-method": "GET", "cs-uri-stem": "/p",
         "sc-status": "200", "x-host-header": "a.test", "cs(User-Agent)": AGENT.replace(" ", "%20")},
        {"timestamp": "2000-10-10T20:55:36Z", "clientIp": "192.0.2.1:80", "httpMethod": "GET", "requestUri": "/p",
         "status_code": 200, "Host": "a.test", "userAgent": AGENT},
        {"time_local": "10/Oct/2000:13:55:36 -0700", "remote_addr": "192.0.2.1", "request_method": "GET", "uri": "/p",
         "status": 200, "server_name": "a.test", "http_user_agent": AGENT},
    ],
)  # fmt: skip
def test_requests_as_json(fields: dict[str, object]) -> None:
    """Traefik's, nginx's and CloudFront's, by the names that they give to the parts of a request."""
    found = parse_json(json.dumps(fields))
    assert found
    assert (found.address, found.at, found.target, found.host, found.user_agent) == (
        "192.0.2.1", 971_211_336, "/p", "a.test", AGENT
    )  # fmt: skip


def test_caddys_log_of_a_terminal() -> None:
    """Text with the object at the end of the line."""
    line = f"2000/10/10 20:55:36.500\tINFO\thttp.log.access\thandled request\t{json.dumps(CADDY_LINE)}"
    found = parse_json(line.replace('"ts": 971211336.5, ', ""))
    assert found
    assert (found.at, found.host, found.user_agent) == (971_211_336, "a.test", AGENT)


def test_cloudfronts_log() -> None:
    """Its user agent is encoded twice, and the host of the site is another field than that of the distribution."""
    cells = {
        "date": "2000-10-10", "time": "20:55:36", "c-ip": "192.0.2.1", "cs-method": "GET",
        "cs(host)": "d1.cloudfront.net", "cs-uri-stem": "/p", "sc-status": "200", "cs(referer)": "-",
        "cs(user-agent)": "Mozilla/5.0%2520(X11)", "cs-uri-query": "utm_source=n", "x-host-header": "a.test",
    }  # fmt: skip
    found = parse_w3c("\t".join(cells.values()), list(cells))
    assert (found.at, found.host, found.target, found.user_agent) == (
        971_211_336, "a.test", "/p?utm_source=n", "Mozilla/5.0 (X11)"
    )  # fmt: skip
