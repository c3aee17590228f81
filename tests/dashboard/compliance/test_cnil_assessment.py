"""`tyst audit`: finds what must not be there, says what it looked at, and claims no more than it checks."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import msgspec
import pytest
from clickhouse_connect.driver.client import Client

from collector.sites.model import Site
from collector.spool.clickhouse_inserter import ClickHouseInserter
from dashboard.compliance.cnil_assessment import DISCLAIMER, Condition, conditions, cookie_days
from dashboard.compliance.leak_search import (
    CHUNK,
    UNREADABLE,
    files_below,
    forms_joined,
    forms_of_address,
    forms_of_text,
    search_files,
    search_tables,
)
from tests.collector.storage.test_client import an_event
from tests.length import long
from tests.running import PATIENCE, tyst
from tests.served import served
from tests.stored import read_events

TOLD = Site(domain="site.test", controller="Sol AB", contact="hej@site.test", hosting="Sverige")
ROOT = Path(__file__).resolve().parents[3]


def state_of(found: list[Condition], name: str) -> str:
    (one,) = [condition for condition in found if condition.name == name]
    return one.state


@long
def test_a_leak_in_a_file_is_found_in_every_form(tmp_path: Path) -> None:
    """In the middle of other bytes, also where two parts of a large file meet; what is not there is not found."""
    forms = [*forms_of_address("198.51.100.77"), *forms_of_address("2001:db8::77"), *forms_of_text("ua", "Kanarie77")]
    forms += forms_joined("both", "198.51.100.77", "Kanarie77")
    (tmp_path / "deep").mkdir()
    for number, form in enumerate(forms):
        (tmp_path / "deep" / f"{number}").write_bytes(b"before" + form.needle.upper() + b"after")
    (tmp_path / "large").write_bytes(b"x" * (CHUNK - 4) + b"kanarie77" + b"x" * 100)
    searched = search_files([tmp_path], forms)
    for number in range(len(forms)):
        assert any(line.endswith(f"/deep/{number}") for line in searched.found), forms[number]
    assert any(line.endswith("/large") for line in searched.found)
    assert len(searched.places) == len(forms) + 1
    assert search_files([tmp_path], list(forms_of_text("ua", "Another"))).found == ()


def test_a_directory_that_goes_while_files_are_listed_is_gone(tmp_path: Path) -> None:
    """As the database merges its own away; what follows is still looked at. A file may be named itself."""
    for name in ("a/1", "b/deep/2", "c/3"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(name)
    refused: list[str] = []
    files = files_below(tmp_path, refused.append)
    assert next(files) == tmp_path / "a/1"
    shutil.rmtree(tmp_path / "b")
    assert [*files] == [tmp_path / "c/3"]
    assert [*files_below(tmp_path / "c/3", refused.append)] == [tmp_path / "c/3"]
    assert [*files_below(tmp_path / "gone", refused.append)] == []
    assert refused == []


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    """A search that could not look somewhere says so, instead of having found nothing there."""
    (tmp_path / "plain").write_bytes(b"")
    (tmp_path / "broken").symlink_to("/proc/self/mem")
    places = {Path(place.name).name: place.unit for place in search_files([tmp_path], []).places}
    assert places == {"plain": "bytes", "broken": UNREADABLE}


def test_a_search_follows_no_link_and_reads_any_name(tmp_path: Path) -> None:
    """A link may lead to what has no end; a name need not be text."""
    (tmp_path / "in").mkdir()
    (tmp_path / "out").write_bytes(b"kanarie77")
    (tmp_path / "in" / "link").symlink_to(tmp_path / "out")
    (tmp_path / "in" / os.fsdecode(b"odd\xff")).write_bytes(b"kanarie77")
    searched = search_files([tmp_path / "in"], list(forms_of_text("ua", "Kanarie77")))
    assert {Path(place.name).name: place.unit for place in searched.places} == {
        "link": UNREADABLE, "odd\\xff": "bytes"
    }  # fmt: skip
    assert f"ua (percent) in {tmp_path}/in/odd\\xff" in searched.found
    assert search_files([tmp_path / "in" / "link"], list(forms_of_text("ua", "Kanarie77"))).found


@pytest.mark.parametrize(
    "leak",
    [
        {"page": "/from/198.51.100.77"},
        {"props": {"agent": "KANARIE77/1.0"}},
        {"visitor": 3325256781},
        {"referrer": "a:198.51.100.77"},
        {"utm_term": "k%C3%A4lla Kanarie77"},
    ],
    ids=json.dumps,
)
def test_a_leak_in_a_table_is_found(database: Client, leak: dict[str, object]) -> None:
    """In text, in a map, as a number; a clean table is searched and has none."""
    forms = [*forms_of_address("198.51.100.77"), *forms_of_text("ua", "Kanarie77")]
    inserter = ClickHouseInserter(database)
    inserter.insert([an_event()], "clean")
    events = f"{database.database}.events"

    def found() -> list[str]:
        return [line for line in search_tables(database, forms).found if line.endswith(events)]

    assert found() == []
    inserter.insert([an_event(**leak)], "leak")
    assert found()
    looked_at = {place.name: place.size for place in search_tables(database, forms).places}
    assert looked_at[events] == 2


@long
def test_the_audit_of_a_live_installation_finds_nothing_and_leaves_nothing(tmp_path: Path) -> None:
    """It says what it looked at; its site is gone and its events are erased. A leak makes it fail: a proxy in front
    that keeps an access log is found by it."""
    with served(tmp_path, TYST_FLUSH_SECONDS="0.05", TYST_TRUSTED_PROXIES="127.0.0.0/8") as server:
        server.add_site("site.test")
        environ = {"TYST_DATA_DIR": str(server.data_dir)}
        ran = tyst("audit", directory=tmp_path, **environ)
        assert (ran.status, ran.err) == (0, "")
        for part in ("Nothing was found.", "tyst.events", "spool", "Not looked at"):
            assert part in ran.out
        assert [site["domain"] for site in server.api("GET", "/api/v1/sites")["sites"]] == ["site.test"]
        mistyped = tyst("audit", "--path", "/nowhere.log", directory=tmp_path, **environ)
        assert (mistyped.status, "'/nowhere.log' does not exist" in mistyped.err) == (2, True)
        access_log = tmp_path / "access.log"
        with careless_proxy(server.url, access_log) as url:
            paths = ("--path", str(server.logs), "--path", str(access_log))
            environ |= {"TYST_URL": url, "TYST_API_KEY": server.key}
            told = tyst("audit", "--json", *paths, directory=tmp_path, **environ)
        assert told.status == 1
        assert {line.rpartition(" in ")[2] for line in told.json["found"]} == {str(access_log)}
        assert any(place["name"].endswith("stderr") for place in told.json["places"])
        server.stop()
    assert read_events(server.data_dir) == []


@contextlib.contextmanager
def careless_proxy(behind: str, access_log: Path) -> Iterator[str]:
    """A proxy that passes everything on, and writes down who asked; its address."""

    class Proxy(http.server.BaseHTTPRequestHandler):
        def pass_on(self) -> None:
            with access_log.open("a") as log:
                log.write(f"{self.client_address[0]} {self.headers['User-Agent']}\n")
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = list(self.headers.items())
            answer = httpx.request(self.command, behind + self.path, content=body, headers=headers, timeout=PATIENCE)
            self.send_response(answer.status_code)
            for name, value in answer.headers.items():
                if name not in ("content-length", "content-encoding", "transfer-encoding", "connection"):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

        do_GET = do_POST = do_DELETE = pass_on  # noqa: N815 # names that http.server calls

        def log_message(self, *_: object) -> None:
            """Nothing on standard error."""

    access_log.touch()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as proxy:
        threading.Thread(target=proxy.serve_forever).start()
        yield f"http://127.0.0.1:{proxy.server_address[1]}"
        proxy.shutdown()


def test_each_condition_is_shown_by_a_setting_or_a_test_that_exists() -> None:
    """Thirteen conditions; the tests that they name are there."""
    found = conditions(TOLD)
    assert len(found) == 13
    assert {one.state for one in found} <= {"pass", "yours"}
    for one in found:
        assert one.shown
        for word in one.shown.replace(",", " ").replace(";", " ").replace(".py.", ".py ").split():
            if word.startswith("tests/"):
                assert (ROOT / word.rstrip(".")).is_file(), word


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"min_visitors": 1}, "anonymous output"),
        ({"retention_days": 800}, "data at most 25 months"),
        ({"contact": ""}, "visitors are informed"),
    ],
    ids=str,
)
def test_a_setting_that_breaks_a_condition_fails_it(changed: dict[str, object], name: str) -> None:
    """And no other one."""
    before, after = conditions(TOLD), conditions(msgspec.structs.replace(TOLD, **changed))
    assert state_of(before, name) == "pass"
    assert state_of(after, name) == "fail"
    assert sum(one.state == "fail" for one in after) == 1


def test_rows_that_are_kept_for_longer_fail_though_the_setting_is_mended() -> None:
    """What is stored counts, not only what will be."""
    assert state_of(conditions(TOLD, longest_kept=800), "data at most 25 months") == "fail"


def test_the_life_of_the_cookie_is_read_from_the_snippet_that_is_served() -> None:
    """Thirteen months are at most 396 days."""
    assert 300 < cookie_days() <= 396


def test_the_assessment_is_a_table_and_json(tmp_path: Path) -> None:
    """Pass or fail for every site, the status tells, and it says that it is no legal advice."""
    with served(tmp_path) as server:
        server.add_site("site.test", controller="Sol AB", contact="hej@site.test", hosting="Sverige")
        environ = {"TYST_DATA_DIR": str(server.data_dir), "COLUMNS": "160"}
        ran = tyst("audit", "--cnil", directory=tmp_path, **environ)
        assert ran.status == 0, ran.out
        for part in ("site.test", "sole purpose", "periodic review", DISCLAIMER):
            assert part in ran.out
        server.add_site("other.test")
        told = tyst("audit", "--cnil", "--json", directory=tmp_path, **environ)
        assert told.status == 1
        assert [each["site"] for each in told.json["sites"]] == ["other.test", "site.test"]
        failed = [one["name"] for one in told.json["sites"][0]["conditions"] if one["state"] == "fail"]
        assert failed == ["visitors are informed"]
