"""`tyst audit`: finds what must not be there, says what it looked at, and claims no more than it checks."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from clickhouse_connect.driver.client import Client

from collector.inserter import ClickHouseInserter
from collector.sites import Site
from dashboard.audit import DISCLAIMER, Condition, conditions, cookie_days
from dashboard.canary import CHUNK, forms_of_address, forms_of_text, search_files, search_tables
from tests.running import tyst
from tests.served import served
from tests.stored import read_events
from tests.test_clickhouse import an_event

TOLD = Site(domain="site.test", controller="Sol AB", contact="hej@site.test", hosting="Sverige")
ROOT = Path(__file__).resolve().parent.parent


def state_of(found: list[Condition], name: str) -> str:
    (one,) = [condition for condition in found if condition.name == name]
    return one.state


def test_a_leak_in_a_file_is_found_in_every_form(tmp_path: Path) -> None:
    """In the middle of other bytes, also where two parts of a large file meet; what is not there is not found."""
    forms = [*forms_of_address("198.51.100.77"), *forms_of_address("2001:db8::77"), *forms_of_text("ua", "Kanarie77")]
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


def test_the_audit_of_a_live_installation_finds_nothing_and_leaves_nothing(tmp_path: Path) -> None:
    """It says what it looked at; its site is gone and its events are erased. A leak makes it fail."""
    with served(tmp_path, TYST_FLUSH_SECONDS="0.05", TYST_TRUSTED_PROXIES="127.0.0.0/8") as server:
        server.add_site("site.test")
        environ = {"TYST_DATA_DIR": str(server.data_dir)}
        ran = tyst("audit", directory=tmp_path, **environ)
        assert (ran.status, ran.err) == (0, "")
        for part in ("Nothing was found.", "tyst.events", "spool", "Not looked at"):
            assert part in ran.out
        assert [site["domain"] for site in server.api("GET", "/api/v1/sites")["sites"]] == ["site.test"]
        (server.data_dir / "careless.log").write_text("a browser came: Mozilla/5.0 (X11; Linux x86_64; Kanarie")
        told = tyst("audit", "--json", "--path", str(server.logs), directory=tmp_path, **environ)
        assert told.status == 0
        assert told.json["found"] == []
        assert any(place["name"].endswith("stderr") for place in told.json["places"])
        server.stop()
    assert read_events(server.data_dir) == []


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
