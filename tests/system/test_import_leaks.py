"""Addresses, user agents and foreign identifiers in imported files are in nothing that the server writes or answers."""

from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path

from tests.length import long
from tests.served import Served, served
from tests.stored import read_tables
from tests.system.test_leaks import ADDRESSES, SOUGHT, USER_AGENT
from tests.traces import Form, find, forms_of_text, written_below

SITE, PAGE = "canary.test", "/the-imported-cage-door-is-open"
SESSION, VISIT, DISTINCT = "8f14e45fceea-kanarie-session", "c9f0f895fb98-kanarie-visit", "kanarie-distinct-id"
MAIL = "kanarie.exporter@mail.example"


def log() -> bytes:
    """A log in the combined format, from every canary address."""
    lines = [
        f'{address} - kanarie [12/Jan/2026:08:0{number}:00 +0000] "GET {PAGE}?mail={MAIL} HTTP/1.1" 200 1 '
        f'"https://search.example/{address}" "{USER_AGENT}"'
        for number, address in enumerate(ADDRESSES)
    ]
    return "\n".join([*lines, f"{ADDRESSES[0]} broken {USER_AGENT}", ""]).encode()


def caddy() -> bytes:
    """The same as Caddy writes it."""
    lines = [
        {
            "ts": 1768291200.5 + number,
            "status": 200,
            "request": {
                "client_ip": address, "method": "GET", "host": SITE, "uri": PAGE,
                "headers": {"User-Agent": [USER_AGENT], "Cookie": [SESSION]},
            },
        }
        for number, address in enumerate(ADDRESSES)
    ]  # fmt: skip
    return "\n".join(map(json.dumps, lines)).encode()


def umami() -> bytes:
    """Umami's table with identifiers that last for a month."""
    written = io.StringIO()
    names = ["session_id", "visit_id", "event_id", "distinct_id", "hostname", "url_path", "event_type", "created_at"]
    rows = csv.DictWriter(written, names)
    rows.writeheader()
    for minute in range(3):
        at = f"2026-01-14 08:0{minute}:00"
        rows.writerow(dict(zip(names, [SESSION, VISIT, VISIT, DISTINCT, SITE, PAGE, "1", at], strict=True)))
    return written.getvalue().encode()


def goatcounter() -> bytes:
    """GoatCounter's export, whose first version has the user agent."""
    header = "1Path,Title,Event,Bot,Session,FirstVisit,Referrer,Referrer scheme,Browser,Screen size,Location,Date"
    return f'{header}\n{PAGE},T,false,0,{SESSION},true,,,"{USER_AGENT}",,SE,2026-01-15T08:00:00Z\n'.encode()


def upload(server: Served, content: bytes, query: str = "") -> tuple[str, bytes]:
    """One import, and its answer."""
    headers = {"Authorization": f"Bearer {server.key}"}
    answer = server.http.post(f"/api/v1/sites/{SITE}/imports{query}", content=content, headers=headers)
    assert answer.status_code in (200, 201, 400), answer.text
    return f"the answer to {query or content[:9]!r}", answer.content


def sought() -> list[Form]:
    """Every form of every canary, and of identifiers of other products."""
    return [*SOUGHT, *(form for text in (SESSION, VISIT, DISTINCT, MAIL) for form in forms_of_text("identifier", text))]


@long
def test_nothing_of_a_file_that_could_lead_to_a_person_is_left_behind(tmp_path: Path) -> None:
    """On disk, in a log, in ClickHouse or in an answer: while the server runs, and after it has stopped."""
    answers = []
    with served(tmp_path, TYST_LOG_LEVEL="debug") as server:
        server.add_site(SITE)
        for content in (log()[:300] + b"\xff\x00", log(), caddy(), gzip.compress(umami()), goatcounter()):
            answers += [upload(server, content, "?mode=dry-run"), upload(server, content)]
        answers.append(upload(server, f"{ADDRESSES[0]} {USER_AGENT} is no format".encode()))
        assert find(sought(), written_below(tmp_path)) == []
        figures = server.api("POST", "/api/v2/query", {"site_id": SITE, "metrics": ["pageviews"], "date_range": "all"})
        assert figures["results"][0]["metrics"] == [len(ADDRESSES) * 2 + 4]
        assert server.stop() == 0
    assert find(sought(), written_below(tmp_path)) == []
    assert find(sought(), answers) == []
    tables = [(f"{table.database}.{table.name}", table.packed) for table in read_tables(tmp_path / "data")]
    assert find(forms_of_text("control", PAGE), tables), "the search does not see"
    assert find(sought(), tables) == []
    assert [name for name, _ in tables if "scratch" in name] == []
