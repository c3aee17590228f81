"""`tyst import`, `tyst imports` and `tyst export`, as they are typed, against a running server."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from dashboard.cli.commands.import_files import _changes
from tests.running import tyst
from tests.served import Served, served

SAMPLES = Path(__file__).parents[2] / "fixtures" / "imports"
EXPORT = SAMPLES / "plausible" / "example_com_20260115.zip"
LOG = SAMPLES / "logs" / "combined.log"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with a site."""
    with served(tmp_path_factory.mktemp("importing")) as running:
        running.add_site("example.com", timezone="Europe/Stockholm")
        yield running


def run(server: Served, *arguments: str, stdin: str = "", status: int = 0) -> str:
    """What a command prints."""
    done = tyst(*arguments, directory=server.data_dir.parent, stdin=stdin, TYST_DATA_DIR=str(server.data_dir))
    assert done.status == status, done.err
    return done.out + done.err


def visitors(server: Served) -> int:
    """Visitors of all time."""
    query = {"site_id": "example.com", "metrics": ["visitors"], "date_range": "all"}
    found: int = server.api("POST", "/api/v2/query", query)["results"][0]["metrics"][0]
    return found


def test_a_dry_run_says_what_an_import_then_does(server: Served, tmp_path: Path) -> None:
    """Then it is listed, exported, and removed."""
    said = run(server, "import", str(EXPORT), "--site", "example.com", "--dry-run")
    assert "Read 57 rows as plausible: 56 accepted, 1 left out." in said
    assert "Nothing was imported." in said
    assert visitors(server) == 0
    assert "3 days of example.com are imported" in run(server, "import", str(EXPORT), "--site", "example.com")
    assert visitors(server) == 6
    aggregate = "/api/v1/stats/aggregate?site_id=example.com&period=custom&date=2026-01-01,2026-01-31"
    assert server.api("GET", aggregate)["meta"] == {
        "imports_included": True, "imported_days": 3, "imported_days_left_out": 0
    }  # fmt: skip
    filtered = server.api("GET", f"{aggregate}&filters=visit:country==SE")["meta"]
    assert (filtered["imported_days_left_out"], filtered["imported_dates_left_out"]) == (
        3,
        [["2026-01-12", "2026-01-14"]],
    )
    (listed,) = json.loads(run(server, "imports", "list", "--site", "example.com", "--json"))
    exported = json.loads(run(server, "export", str(tmp_path / "out"), "--site", "example.com", "--json"))
    assert (tmp_path / "out" / "events.jsonl").read_bytes() == b""
    run(server, "imports", "remove", listed["id"], "--site", "example.com")
    assert visitors(server) == 0
    back = json.loads(run(server, "import", exported["daily"], "--site", "example.com", "--json"))
    assert back["report"]["format"] == "tyst"
    assert visitors(server) == 6


def test_standard_input_is_read(server: Served) -> None:
    """A log of another command."""
    said = run(server, "import", "-", "--site", "example.com", stdin=LOG.read_text())
    assert "11 accepted, 17 left out" in said


def test_a_log_is_read_by_its_format(server: Served, tmp_path: Path) -> None:
    """A format string in the place of detection."""
    log = tmp_path / "own.log"
    log.write_text('{"w":"2026-01-12T08:00:00+00:00","a":"192.0.2.1","r":"GET /own HTTP/1.1","s":200,"u":"Mozilla"}\n')
    form = '{"w":"$time_iso8601","a":"$remote_addr","r":"$request","s":$status,"u":"$http_user_agent"}'
    said = run(server, "import", str(log), "--site", "example.com", "--dry-run", "--log-format", form)
    assert "Read 1 rows as log-format: 1 accepted, 0 left out." in said
    said = run(server, "import", str(log), "--site", "example.com", "--log-format", "$remote_addr", status=1)
    assert "$time_local" in said


def test_what_cannot_be_imported_ends_in_a_sentence(server: Served) -> None:
    """With the way to the right file, and exit status 1; a file that is not there is bad usage."""
    (wrong,) = (SAMPLES / "plausible-wrong").glob("*.zip")
    assert "Export to CSV" in run(server, "import", str(wrong), "--site", "example.com", status=1)
    assert "there is no file" in run(server, "import", "nowhere.csv", "--site", "example.com", status=2)


def test_followed_files_are_imported_again_when_they_have_changed(tmp_path: Path) -> None:
    """Not when they are as they were."""
    log = tmp_path / "access.log"
    log.write_bytes(b"one\n")
    pauses = itertools.count(1)

    def pause(_: float) -> None:
        if next(pauses) == 3:
            log.write_bytes(b"one\ntwo\n")

    changes = _changes([log], pause)
    assert [next(changes), next(changes)] == [(4,), (8,)]
    assert next(pauses) == 4
