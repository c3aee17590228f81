"""With a ClickHouse server and two collectors: nothing leaks, and what was promised survives `kill -9`."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from clickhouse_connect.driver.client import Client

from collector.storage.client import ClickHouse
from tests.fault_proxy import FailingServer, failing_server
from tests.length import AT_LENGTH, long
from tests.real_server import ADMINISTRATOR
from tests.running import tyst
from tests.served import CHROME, DEADLINE, Served, served, until
from tests.system.test_leaks import (
    PAGE,
    SETTINGS,
    SOUGHT,
    Visitors,
    ask_without_a_database,
    assert_silent,
    back_up,
    break_everything,
    prepare,
    read_the_dashboard,
    send_everything,
)
from tests.traces import find, forms_of_text, written_below

pytestmark = long

SITE = "site.test"
SHARED = {"TYST_SECRET_KEY": "the same for both"}


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[FailingServer, Path]]:
    """A server whose own log has everything, and the directory that it writes to."""
    directory = tmp_path_factory.mktemp("clickhouse")
    with failing_server(directory, log_level="trace") as running:
        yield running, directory


def over(running: FailingServer, name: str) -> dict[str, str]:
    """The settings of a server whose figures are in the database `name`."""
    return {**SETTINGS, "TYST_FLUSH_SECONDS": "0.05", "TYST_CLICKHOUSE_DSN": running.database(f"test_{name}")}


def test_no_address_and_no_user_agent_is_left_behind_in_server_mode(
    tmp_path: Path, database: tuple[FailingServer, Path]
) -> None:
    """A ClickHouse server that is also away for a while: nothing in the spool, logs, temporary files, the server's own
    files, tables, its list of queries among them, and backups, or in any answer or export; and `tyst audit` finds the
    same there, nothing. Each canary is told of in one way; with an engine of its own, and at length, in every way."""
    running, directory = database
    with served(tmp_path, **over(running, "canary")) as server:
        prepare(server)
        visitors = Visitors(server, every_way=AT_LENGTH)
        send_everything(visitors)
        break_everything(visitors)
        read_the_dashboard(visitors)
        running.fail("refuse")
        ask_without_a_database(visitors)
        running.fail("well")
        server.drain()
        backup = back_up(server, tmp_path / "backup")
        assert_silent(((name, held) for name, held in written_below(directory) if backup in name), PAGE)
        assert_silent(written_below(tmp_path), "canary.test")
        client = ClickHouse.at(running.server.dsn("test_canary", user=ADMINISTRATOR)).client()
        client.command("SYSTEM FLUSH LOGS")
        kept = list(tables(client))
        assert "system.query_log" in dict(kept)
        assert_silent(kept, PAGE)
        client.close()
        environ = {"TYST_DATA_DIR": str(server.data_dir)}
        ran = tyst(
            "audit", "--json", "--path", str(directory), "--path", str(server.logs), directory=tmp_path, **environ
        )
        assert ran.status == 0, ran.out + ran.err
        assert ran.json["found"] == []
        assert any(place["name"] == "test_canary.events" for place in ran.json["places"])
        assert server.stop() == 0
    assert_silent(visitors.answers, PAGE)
    assert find(SOUGHT, written_below(directory)) == []
    assert_silent(written_below(tmp_path), "info dashboard.server.app: stopped")


def tables(client: Client) -> Iterator[tuple[str, bytes]]:
    """Every table that the server keeps, its own logs included, as text and as the bytes of its columns."""
    query = "SELECT database, name FROM system.tables WHERE engine LIKE '%MergeTree'"
    for name in client.query(query).result_rows:
        for form in ("JSONEachRow", "RowBinary"):
            sql = "SELECT * FROM {database:Identifier}.{table:Identifier}"
            parameters = dict(zip(("database", "table"), name, strict=True))
            yield ".".join(name), client.raw_query(sql, parameters=parameters, fmt=form)


def no_memory_is_written(server: Served) -> bool:
    """Whether core dumps are turned off, as the system itself says."""
    limits = Path(f"/proc/{server.process.pid}/limits").read_text().splitlines()
    (line,) = [line for line in limits if line.startswith("Max core file size")]
    return line.split()[4:6] == ["0", "0"]


def beacon(server: Served, page: str, user_agent: str = CHROME) -> None:
    """A person opens a page."""
    body = json.dumps({"n": "pageview", "u": f"https://{SITE}{page}", "d": SITE, "c": "granted"})
    assert server.send(body, {"User-Agent": user_agent}).status_code == 202


def test_an_acknowledged_erasure_survives_kill_9(tmp_path: Path, database: tuple[FailingServer, Path]) -> None:
    """ClickHouse does not answer, the erasure is acknowledged and the process is killed: the next one completes it.
    Others' events are there once, and so is what the same browser sends afterwards. The crash leaves no memory on
    the disk."""
    running, _ = database
    other = CHROME.replace("143", "142")
    settings = over(running, "erasing")
    with served(tmp_path, **settings) as server:
        assert no_memory_is_written(server)
        server.add_site(SITE, timezone="Europe/Stockholm")
        beacon(server, "/stored")
        beacon(server, "/theirs", other)
        server.drain()
        running.fail("refuse")
        beacon(server, "/waiting")
        beacon(server, "/theirs-waiting", other)
        answer = server.http.delete(f"/api/me?d={SITE}")
        assert (answer.status_code, answer.json()["complete"]) == (202, False)
        assert server.kill() != 0
    running.fail("well")
    with served(tmp_path, **settings) as server:
        client = ClickHouse.at(running.server.dsn("test_erasing")).client()

        def pages() -> list[str]:
            return [row[0] for row in client.query("SELECT page FROM events ORDER BY page").result_rows]

        until("others' events, and no more", lambda: pages() == ["/theirs", "/theirs-waiting"])
        beacon(server, "/later")
        server.drain()
        assert server.http.get(f"/api/me?d={SITE}").json()["events"][0]["page"] == "/later"
        assert server.stop() == 0
        assert pages() == ["/later", "/theirs", "/theirs-waiting"]
        client.close()


def test_an_erasure_takes_what_two_collectors_and_the_server_have(
    tmp_path: Path, database: tuple[FailingServer, Path]
) -> None:
    """Events of one browser come to either collector and its erasure goes to one: what is stored, and what waits in a
    spool because ClickHouse does not answer, is gone, and so are the bytes, the server's and the spools'; another's
    events are there once each. A crash would leave no memory on the disk."""
    running, directory = database
    settings = over(running, "erasing_two") | SHARED
    other = CHROME.replace("143", "142")
    with served(tmp_path / "a", **settings) as server, served(tmp_path / "b", **settings) as second:
        turns = itertools.cycle((server, second))
        assert no_memory_is_written(server)
        assert no_memory_is_written(second)
        server.add_site(SITE)
        client = ClickHouse.at(running.server.dsn("test_erasing_two")).client()
        # As in the schema, but within a second: the table's clean-up takes its pace when it is attached.
        client.command(
            "ALTER TABLE events MODIFY SETTING old_parts_lifetime = 1, cleanup_delay_period = 1, "
            "max_cleanup_delay_period = 1, cleanup_delay_period_random_add = 0"
        )
        client.command("DETACH TABLE events SYNC")
        client.command("ATTACH TABLE events")

        def ask(method: str, path: str, user_agent: str = CHROME, **given: object) -> httpx.Response:
            with httpx.Client(base_url=next(turns).url, headers={"User-Agent": user_agent}, timeout=60) as client:
                return client.request(method, path, **given)  # type: ignore[arg-type]

        def opens(page: str, user_agent: str = CHROME) -> bool:
            claim = {"n": "pageview", "u": f"https://{SITE}{page}", "d": SITE, "c": "granted"}
            answer = ask("POST", "/api/event", user_agent, json=claim)
            return answer.status_code == 202 and "x-tyst-dropped" not in answer.headers

        until("both collectors know the site", lambda: [opens("/known") for _ in range(4)] == [True] * 4)
        for number in range(4):
            assert opens(f"/mine-{number}")
            assert opens(f"/theirs-{number}", other)
        server.drain()
        second.drain()
        (visitor,) = {
            # So that no log of the server has what is searched for.
            row[0]
            for row in client.query("SELECT visitor FROM events WHERE page LIKE '/mi_e-%'").result_rows
        }
        running.fail("refuse")
        for number in range(4, 8):
            assert opens(f"/mine-{number}")
            assert opens(f"/theirs-{number}", other)
        needles = [b"/mine-", str(visitor).encode(), *(visitor.to_bytes(8, order) for order in ("little", "big"))]

        def places() -> list[str]:
            written = [*written_below(tmp_path), *written_below(directory)]
            return [name for name, held in written if any(needle in held for needle in needles)]

        assert {"spool" in place for place in places()} == {True, False}
        assert ask("DELETE", f"/api/me?d={SITE}").status_code == 202
        running.fail("well")

        def pages() -> list[str]:
            return [row[0] for row in client.query("SELECT page FROM events ORDER BY page").result_rows]

        theirs = [f"/theirs-{number}" for number in range(8)]
        until("others' events, and no more", lambda: pages() == theirs)

        def held() -> httpx.Response | None:
            answer = ask("GET", f"/api/me?d={SITE}")
            if answer.status_code == 429:
                # Who asks more than five times in a second is told when to ask again.
                assert answer.headers["Retry-After"] == "1"
                return None
            assert answer.status_code == 200, answer.text
            return answer

        assert [until("an answer", held).json()["events"] for _ in range(8)] == [[]] * 8
        until("the bytes have left the disk", lambda: places() == [], pause=1)
        assert (server.stop(), second.stop()) == (0, 0)
        assert pages() == theirs
        client.close()


def test_a_revoked_receipt_stays_so_after_kill_9(tmp_path: Path, database: tuple[FailingServer, Path]) -> None:
    """The acknowledged withdrawal holds at the other collector within seconds, and in the next process at once."""
    settings = over(database[0], "receipts") | SHARED
    claim = {"n": "pageview", "u": f"https://{SITE}/", "d": SITE, "c": "granted"}
    with served(tmp_path, **settings) as server, served(tmp_path / "second", **settings) as second:
        server.add_site(SITE, receipts=True)
        turns = itertools.cycle((server, second))

        def challenge() -> str:
            with httpx.Client(base_url=next(turns).url, headers={"User-Agent": CHROME}, timeout=DEADLINE) as client:
                return str(client.post("/api/event", json=claim).headers.get("x-tyst-receipt", ""))

        until("both collectors know the site", lambda: all(challenge() for _ in range(4)))
        receipt = challenge()
        with httpx.Client(base_url=server.url, headers={"User-Agent": CHROME}, timeout=DEADLINE) as client:
            assert "x-tyst-dropped" not in client.post("/api/event", json={**claim, "k": receipt}).headers
            assert (
                client.request("DELETE", "/api/event", json={"c": "withdrawn", "d": SITE, "k": receipt}).status_code
                == 202
            )

        def worthless() -> bool:
            answers = []
            for _ in range(4):
                with httpx.Client(base_url=next(turns).url, headers={"User-Agent": CHROME}, timeout=DEADLINE) as client:
                    answers.append(client.post("/api/event", json={**claim, "k": receipt}))
            return all(answer.headers.get("x-tyst-dropped") == "consent" for answer in answers)

        until("both collectors refuse it", worthless)
        server.kill()
    with served(tmp_path, **settings) as server:
        answer = server.send(json.dumps({**claim, "k": receipt}))
        assert answer.headers["x-tyst-dropped"] == "consent"


def test_the_search_of_this_module_sees_what_is_there(tmp_path: Path) -> None:
    """A leak in any file below the directory is found."""
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "part.bin").write_bytes(b"\0" + PAGE.encode())
    assert find(forms_of_text("control", PAGE), written_below(tmp_path))
