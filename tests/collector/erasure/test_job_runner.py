"""What is done to a whole site's figures: deleted, reset, removed, renamed; whatever happens in between."""

from __future__ import annotations

import contextlib
import datetime
import itertools
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import OperationalError

from collector.core.errors import RecordError
from collector.core.wildcards import LONGEST_PATTERN, MOST_STARS
from collector.erasure.delete_events import EventDeletion
from collector.erasure.job_runner import BUDGET_SECONDS, MOST_ATTEMPTS, SETTLE_SECONDS, SiteJobRunner
from collector.erasure.rename_site import SiteRename
from collector.erasure.rewrite_budget import AT_ONCE_SECONDS, LONGEST_WAIT
from collector.erasure.site_job import SiteJob, new_job
from collector.ingest.event import Event
from collector.rollups.job import RollupJob
from collector.sites.model import Site
from collector.sites.registry import Sites
from collector.spool.clickhouse_inserter import ClickHouseInserter
from collector.spool.site_aliases import SiteAliasInserter
from collector.spool.spool import Spool
from collector.storage.documents import DocumentTable
from collector.storage.membership import Membership
from dashboard.server.health_checks import check_jobs
from tests.collector.spool.test_spool import Clock
from tests.collector.storage.test_client import an_event
from tests.length import long
from tests.members import alone, member
from tests.served import Served, served, until

FIRST = datetime.date(2041, 3, 30)
DAYS = tuple(FIRST + datetime.timedelta(days=number) for number in range(4))
NOON = datetime.datetime(2041, 4, 3, 12, tzinfo=datetime.UTC).timestamp()
SITE = "site.test"

_tokens = itertools.count()


class Killed(Exception):
    """The process ends here."""


class Shop:
    """Two sites with closed days, over one database, and a process that may be started again."""

    def __init__(self, client: Client, spool: Spool) -> None:
        self.client = client
        self.spool = spool
        self.clock = Clock()
        self.clock.now = NOON
        self.heard: list[str] = []
        DocumentTable(client, "sites", Site).save(SITE, Site(domain=SITE))
        DocumentTable(client, "sites", Site).save("other.test", Site(domain="other.test"))
        self.restart()

    def restart(self, members: Membership | None = None) -> None:
        self.sites = Sites(DocumentTable(self.client, "sites", Site))
        self.sites.refresh()
        self.rollup = RollupJob(self.client, self.sites, self.clock)
        self.deletions = SiteJobRunner(
            self.client, self.sites, self.rollup, lambda: [self.spool], members or alone(self.client), self.clock
        )
        self.deletions.refresh()
        self.deletions.followers.append(self.heard.append)

    def see(self, *events: Event) -> None:
        ClickHouseInserter(self.client).insert(events, f"seen {next(_tokens)}")

    def ask(self, kind: Any, **fields: object) -> SiteJob:
        site = self.sites.get(SITE)
        assert site
        return self.deletions.enqueue(new_job(kind, site, "ada", self.clock(), **fields))

    def do(self, kind: Any, **fields: object) -> SiteJob:
        task = self.ask(kind, **fields)
        assert self.deletions.run_pending()
        return task

    def rows(self, site: str = SITE, table: str = "events") -> int:
        found = self.client.query(
            "SELECT count() FROM {table:Identifier} WHERE site = {site:String}",
            parameters={"table": table, "site": site},
        )
        return int(found.result_rows[0][0])

    def sums(self, site: str = SITE) -> dict[int, int]:
        """Pageviews by day of the month, as the closed days say."""
        rows = self.client.query(
            "SELECT toDayOfMonth(day), pageviews FROM daily_rollup INNER JOIN"
            " (SELECT site, day, version FROM daily_status FINAL WHERE NOT reopened) AS current"
            " USING (site, day, version)"
            " WHERE dimension = '' AND site = {site:String}",
            parameters={"site": site},
        ).result_rows
        return {int(day): int(views) for day, views in rows}


def view(day: datetime.date, page: str = "/", site: str = SITE, visitor: int = 7) -> Event:
    """A pageview at noon of a day."""
    at = int(datetime.datetime(day.year, day.month, day.day, 12, tzinfo=datetime.UTC).timestamp())
    return an_event(
        site=site, day=day, ts=at, page=page, visitor=visitor, visits=1, bounces=1,
        expires=day + datetime.timedelta(days=760),
    )  # fmt: skip


@pytest.fixture
def shop(database: Client, tmp_path: Path) -> Iterator[Shop]:
    """Three views a day of each site, all days closed but the last."""
    spool = Spool(tmp_path / "events.db", max_bytes=1 << 20, segment_rows=100, segment_seconds=1, clock=lambda: NOON)
    opened = Shop(database, spool)
    opened.see(
        *(view(day, page, site, visitor=number) for site in (SITE, "other.test") for day in DAYS
          for number, page in enumerate(("/", "/secret", "/secret/deep"), 1))
    )  # fmt: skip
    opened.clock.now = datetime.datetime(2041, 4, 3, 12, tzinfo=datetime.UTC).timestamp()
    opened.rollup.close_due()
    yield opened
    spool.close()


def test_events_of_a_page_between_two_dates_go_and_the_sums_follow(shop: Shop) -> None:
    """What is left is what stood beside them; the other site and the other days are untouched."""
    task = shop.do("delete", first=DAYS[1], last=DAYS[2], field="page", value="/secret**")
    assert task.rows == 4
    assert shop.rows() == 12 - 4
    assert shop.sums() == {30: 3, 31: 1, 1: 1, 2: 3}
    assert shop.rows("other.test") == 12
    assert set(shop.sums("other.test").values()) == {3}


def test_a_day_that_loses_every_event_has_no_sums_left(shop: Shop) -> None:
    """Also when fewer rows than before are left, which elsewhere means that retention took them."""
    shop.do("delete", first=DAYS[0], last=DAYS[0])
    assert shop.rows() == 9
    assert shop.sums() == {31: 3, 1: 3, 2: 3}


@long
def test_sums_of_days_whose_events_are_too_old_stay(shop: Shop) -> None:
    """There is nothing left to filter: a deletion by filter says so, and only a reset takes them."""
    shop.client.command(
        "ALTER TABLE events DELETE WHERE day = {day:Date}", parameters={"day": DAYS[0]}, settings={"mutations_sync": 1}
    )
    shop.do("delete", first=DAYS[0], last=DAYS[3], field="page", value="/secret**")
    assert shop.sums() == {30: 3, 31: 1, 1: 1, 2: 1}
    shop.do("reset")
    assert shop.sums() == {}


@pytest.mark.parametrize("kind", ["reset", "remove"])
def test_a_reset_and_a_removal_leave_no_row_in_any_table(shop: Shop, kind: str) -> None:
    """Events, sums, closed days and drops; of this site alone. A reset keeps the site, a removal does not."""
    shop.client.insert(
        "dropped_events", [[SITE, DAYS[0], "bot", "", 5]], column_names=["site", "day", "reason", "kind", "count"]
    )
    shop.do(kind)
    found = shop.client.query(
        "SELECT DISTINCT table FROM system.columns WHERE database = currentDatabase() AND name = 'site'"
    ).result_rows
    tables = {table for (table,) in found} - {"audit_log"}
    assert {"events", "daily_rollup", "daily_status", "dropped_events"} <= tables
    assert [table for table in tables if shop.rows(table=table)] == []
    assert shop.rows("other.test") == 12
    assert (shop.sites.get(SITE) is None) == (kind == "remove")
    assert set(shop.heard) == ({SITE} if kind == "remove" else set())


@pytest.mark.parametrize("kind", ["reset", "remove", "rename"])
def test_what_is_built_meanwhile_leaves_nothing_behind(shop: Shop, kind: str) -> None:
    """A build may have read events that are gone when it is done, and others may be due: the next site of that name
    would have what they make."""
    job = threading.Thread(target=lambda: shop.deletions.run_pending())

    def build() -> int:
        """The job comes while a build is under way, which adds what it has read before."""
        if not job.ident:
            shop.ask(kind, **({"to": "new.test"} if kind == "rename" else {}))
            job.start()
            # It would be done by then, did it not wait.
            job.join(0.7)
            shop.client.insert("daily_rollup", [[SITE, DAYS[0], 3]], column_names=["site", "day", "visitors"])
        return 0

    shop.rollup = RollupJob(shop.client, shop.sites, shop.clock, builder=build)
    shop.deletions = SiteJobRunner(
        shop.client, shop.sites, shop.rollup, lambda: [shop.spool], alone(shop.client), shop.clock
    )
    built = list(shop.rollup.rebuild(SITE, DAYS[0], DAYS[0]))
    job.join()
    if kind != "reset":
        shop.rollup.close(built)
    assert [shop.rows(table=table) for table in ("events", "daily_rollup", "daily_status")] == [0, 0, 0]


def test_a_reset_keeps_what_comes_after_it(shop: Shop) -> None:
    """The site goes on counting while it is emptied."""
    task = shop.ask("reset")
    later = an_event(site=SITE, day=datetime.date(2041, 4, 3), ts=task.asked + 1, expires=datetime.date(2043, 4, 3))
    shop.see(later)
    shop.deletions.run_pending()
    assert shop.rows() == 1


def test_the_name_of_a_removed_site_is_free_once_its_figures_are_gone(shop: Shop) -> None:
    """Not before: else a new site would lose what it has just counted."""
    shop.ask("remove")
    with pytest.raises(RecordError, match="still being deleted"):
        shop.sites.must_be_free(SITE)
    shop.deletions.run_pending()
    shop.sites.must_be_free(SITE)


def test_a_renamed_site_takes_everything_along(shop: Shop) -> None:
    """Events, sums, closed days, and whatever follows by the same name; the old name is an alias."""
    before = shop.sums()
    shop.do("rename", to="new.test")
    assert (shop.rows(), shop.sums()) == (0, {})
    assert shop.rows("new.test") == 12
    assert shop.sums("new.test") == before
    site = shop.sites.get("new.test")
    assert site
    assert (site.aliases, site.hash_name) == ((SITE,), SITE)
    assert shop.sites.measured(SITE) == site
    assert shop.sites.get(SITE) is None
    assert shop.heard == []
    assert shop.rows("other.test") == 12


class Once:
    """Counts commands, and kills the process before or after one of them has been done."""

    def __init__(self, client: Client, at: int, *, after: bool) -> None:
        self._client = client
        self._left = at
        self._after = after

    def command(self, *args: Any, **options: Any) -> Any:
        self._left -= 1
        if self._left == 0 and not self._after:
            raise Killed
        done = self._client.command(*args, **options)
        if self._left == 0:
            raise Killed
        return done

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


@pytest.mark.parametrize(("at", "after"), [(2, True), (5, False), (6, True), (9, True), (15, False), (16, True)])
def test_a_rename_that_is_killed_anywhere_ends_whole(shop: Shop, at: int, after: bool) -> None:
    """No event is lost, none is there twice, and every sum is what it was."""
    before = shop.sums()
    task = shop.ask("rename", to="new.test")
    moving = SiteRename(Once(shop.client, at, after=after))  # type: ignore[arg-type] # acts as a client
    with contextlib.suppress(Killed):
        moving.run_step(task, lambda each: DocumentTable(shop.client, "site_jobs", SiteJob).save(each.id, each))
    shop.restart()
    assert shop.deletions.run_pending()
    assert (shop.rows(), shop.rows("new.test")) == (0, 12)
    assert shop.sums("new.test") == before


@pytest.mark.parametrize("kind", ["rename", "reset"])
def test_no_day_is_closed_without_its_sums_meanwhile(shop: Shop, kind: str) -> None:
    """Whoever reads keeps what a closed day has: figures that were too small would stay so."""
    query = (
        "SELECT count() FROM daily_status FINAL WHERE rows > 0"
        " AND (site, day, version) NOT IN (SELECT site, day, version FROM daily_rollup)"
    )
    found = []

    class Watched(Once):
        def command(self, *args: Any, **options: Any) -> Any:
            done = super().command(*args, **options)
            found.append(shop.client.query(query).result_rows[0][0])
            return done

    client = Watched(shop.client, -1, after=False)
    task = shop.ask(kind, **({"to": "new.test"} if kind == "rename" else {}))
    steps = SiteRename(client) if kind == "rename" else EventDeletion(client, shop.rollup)  # type: ignore[arg-type] # acts as a client
    steps.run_step(task, lambda each: DocumentTable(shop.client, "site_jobs", SiteJob).save(each.id, each))
    assert len(found) > 4
    assert set(found) == {0}


@pytest.mark.parametrize(("at", "after"), [(1, True), (2, True), (3, True)])
def test_a_deletion_that_is_killed_anywhere_ends_whole(shop: Shop, at: int, after: bool) -> None:
    """The days it was about are built anew even when it had deleted their rows before it was killed."""
    task = shop.ask("delete", first=DAYS[0], last=DAYS[3], field="page", value="/secret**")
    purging = EventDeletion(Once(shop.client, at, after=after), shop.rollup)  # type: ignore[arg-type] # acts as a client
    with contextlib.suppress(Killed):
        purging.run_step(task, lambda each: DocumentTable(shop.client, "site_jobs", SiteJob).save(each.id, each))
    shop.restart()
    assert shop.deletions.run_pending()
    assert shop.rows() == 4
    assert shop.sums() == {30: 1, 31: 1, 1: 1, 2: 1}


def test_events_that_wait_in_the_spool_are_deleted_too(shop: Shop) -> None:
    """They would come back otherwise, hours later perhaps; those of the other site stay."""
    events = [view(DAYS[3], "/secret"), view(DAYS[3], "/kept"), view(DAYS[3], "/secret", "other.test")]
    fill(shop.spool, events)
    shop.do("delete", first=DAYS[0], last=DAYS[3], field="page", value="/secret**")
    assert [(event.site, event.page) for event in shop.spool.events()] == [(SITE, "/kept"), ("other.test", "/secret")]


def test_a_task_waits_for_a_segment_that_is_on_its_way(shop: Shop) -> None:
    """What the writer has read cannot be called back: the deletion is complete only when it is in."""
    fill(shop.spool, [view(DAYS[3], "/secret")])
    shop.spool.seal()
    shop.spool.start()
    segment = shop.spool.next_segment(5)
    assert segment
    events = shop.spool.read(segment)
    shop.ask("reset")
    assert not shop.deletions.run_pending()
    shop.see(*events)
    shop.spool.acknowledge(segment)
    assert shop.deletions.run_pending()
    assert shop.rows() == 0


def test_what_was_spooled_under_the_old_name_is_inserted_under_the_new(shop: Shop) -> None:
    """Beacons that were taken just before the rename are counted where their site is now."""
    shop.do("rename", to="new.test")
    SiteAliasInserter(ClickHouseInserter(shop.client), shop.sites).insert([view(DAYS[3])], "late")
    assert (shop.rows(), shop.rows("new.test")) == (0, 13)


def test_what_another_collector_holds_is_waited_for(shop: Shop, tmp_path: Path) -> None:
    """A reset is not complete before what another collector had accepted is in ClickHouse, and deletes that too."""
    held = {1}
    other = member(shop.client, tmp_path / "other", held=lambda: frozenset(held))
    own = member(shop.client, tmp_path / "own")
    shop.restart(own)
    shop.ask("reset")
    shop.clock.now += SETTLE_SECONDS + 1
    for _ in range(3):
        other.beat()
        own.beat()
        assert not shop.deletions.run_pending()
    shop.see(view(DAYS[3]))
    held.clear()

    def done() -> bool:
        other.beat()
        own.beat()
        return shop.deletions.run_pending()

    until("the reset is complete", lambda: done() or None)
    assert shop.rows() == 0


NONSENSE: tuple[tuple[str, dict[str, object], str], ...] = (
    ("delete", {}, "first"),
    ("delete", {"first": DAYS[1], "last": DAYS[0]}, "first"),
    ("delete", {"first": DAYS[0], "last": DAYS[1], "field": "visitor", "value": "7"}, "field"),
    ("delete", {"first": DAYS[0], "last": DAYS[1], "field": "page"}, "value"),
    ("rename", {"to": "other.test"}, "domain"),
    ("rename", {"to": SITE}, "domain"),
    ("rename", {"to": "login"}, "domain"),
    ("rename", {"to": "two words"}, "domain"),
)


def test_what_makes_no_sense_is_not_begun(shop: Shop) -> None:
    """And the error names the field."""
    for kind, fields, field in NONSENSE:
        with pytest.raises(RecordError) as raised:
            shop.ask(kind, **fields)
        assert raised.value.field == field
    assert shop.deletions.all() == []


def test_one_thing_at_a_time_is_done_to_a_site(shop: Shop) -> None:
    """A rename in the middle of a deletion would leave half of it."""
    shop.ask("reset")
    with pytest.raises(RecordError, match="still running"):
        shop.ask("rename", to="new.test")


@pytest.mark.parametrize(
    ("value", "left"),
    [
        ("/**", []),
        ("/*", ["/secret/deep"]),
        ("/secret/*", ["/", "/50%_x", "/secret"]),
        ("/secret*", ["/", "/50%_x", "/secret/deep"]),
        ("/50%_x", ["/", "/secret", "/secret/deep"]),
        ("/__%_x", ["/", "/50%_x", "/secret", "/secret/deep"]),
    ],
)
def test_stars_of_a_deletion_are_those_of_goals(shop: Shop, value: str, left: list[str]) -> None:
    """In ClickHouse and in the spool one star ends at a slash, and no other character stands for others."""
    shop.see(view(DAYS[2], "/50%_x"))
    fill(shop.spool, [view(DAYS[2], page) for page in ("/", "/50%_x", "/secret", "/secret/deep")])
    shop.do("delete", first=DAYS[2], last=DAYS[2], field="page", value=value)
    rows = shop.client.query(
        "SELECT DISTINCT page FROM events WHERE site = {site:String} AND day = {day:Date} ORDER BY page",
        parameters={"site": SITE, "day": DAYS[2]},
    ).result_rows
    assert [page for (page,) in rows] == left
    assert [event.page for event in shop.spool.events()] == left


def test_what_was_deleted_is_in_no_file_of_the_table(shop: Shop) -> None:
    """Neither in a part that is in use, nor in the list of mutations, nor in the task's own record."""
    needle = "/canary-of-a-deletion"
    shop.see(view(DAYS[2], needle))
    shop.do("delete", first=DAYS[2], last=DAYS[2], field="page", value="/canary-of*")
    assert shop.rows() == 12
    paths = shop.client.query(
        "SELECT path FROM system.parts WHERE database = currentDatabase() AND active"
        " AND table IN ('events', 'site_jobs', 'daily_rollup', 'daily_status')"
    ).result_rows
    assert paths
    for (path,) in paths:
        for file in Path(path).iterdir():
            assert b"canary-of" not in file.read_bytes(), file
    commands = shop.client.query("SELECT command FROM system.mutations WHERE database = currentDatabase()").result_rows
    assert commands
    assert not any("canary" in command for (command,) in commands)


def fill(spool: Spool, events: list[Event]) -> None:
    """Events that are on disk, in one open segment, as if a process before had written them."""

    async def appended() -> None:
        spool.start()
        await spool.append(events, None)

    anyio.run(appended)


def pageviews(server: Served, site: str) -> int:
    """All that the Stats API counts."""
    body = {"site_id": site, "metrics": ["pageviews"], "date_range": "all"}
    return int(server.api("POST", "/api/v2/query", body)["results"][0]["metrics"][0])


@long
def test_a_server_that_is_killed_goes_on_after_it(tmp_path: Path) -> None:
    """A rename and a removal that were promised are done by the next process; the old tag counts all along."""
    beacon = '{"n": "pageview", "u": "https://old.test/", "d": "old.test"}'
    with served(tmp_path) as server:
        server.add_site("old.test", consent="exempt")
        assert {server.send(beacon).status_code for _ in range(20)} == {202}
        server.api("PUT", "/api/v1/sites/old.test", {"domain": "new.test"})
        server.kill()
    with served(tmp_path) as server:
        assert server.send(beacon).headers.get("x-tyst-dropped") is None
        until("all figures under the new name", lambda: pageviews(server, "new.test") == 21 or None)
        # The figures are there a little before the rename is noted as done.
        key = {"Authorization": f"Bearer {server.key}"}
        until("the removal", lambda: server.http.delete("/api/v1/sites/new.test", headers=key).is_success or None)
        server.kill()
    with served(tmp_path) as server:
        assert server.api("GET", "/api/v1/sites") == {"sites": []}
        key = {"Authorization": f"Bearer {server.key}"}
        new = {"domain": "new.test"}
        until("a free name", lambda: server.http.post("/api/v1/sites", json=new, headers=key).is_success or None)
        assert pageviews(server, "new.test") == 0


class Broken:
    """A client for which every deletion fails, and all else works; or nothing does, as in an outage."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.deletions_fail = self.outage = False

    def command(self, sql: str, **more: Any) -> Any:
        if self.outage or (self.deletions_fail and "ALTER TABLE events DELETE" in sql):
            raise OperationalError("it does not work")
        return self._client.command(sql, **more)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


class Workshop:
    """A shop whose database may break and whose time may be set."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.broken = Broken(shop.client)
        self.now = 0.0
        self.restart()

    def restart(self) -> None:
        shop = self.shop
        self.deletions = shop.deletions = SiteJobRunner(
            self.broken,  # type: ignore[arg-type] # acts as a client
            shop.sites, shop.rollup, lambda: [shop.spool], alone(shop.client), shop.clock, monotonic=lambda: self.now,
        )  # fmt: skip
        self.deletions.refresh()

    def attempts(self, count: int) -> int:
        """Have that many rounds of the upkeep, each an hour after the other; returns how many failed."""
        failed = 0
        for _ in range(count):
            self.now += 3_601
            try:
                self.deletions.run_pending()
            except OperationalError:
                failed += 1
        return failed


class Laborious(Broken):
    """A client by whose clock each deletion of events takes some seconds."""

    now = 0.0

    def command(self, sql: str, **more: Any) -> Any:
        self.now += 0.6 * AT_ONCE_SECONDS * ("ALTER TABLE events DELETE" in sql)
        return super().command(sql, **more)


def test_deletions_one_after_the_other_wait(shop: Shop) -> None:
    """Each rewrites the events of all sites that lie beside its own, until the budget is spent: then the next waits,
    no longer than it may."""
    client = Laborious(shop.client)
    shop.deletions = SiteJobRunner(
        client,  # type: ignore[arg-type] # acts as a client
        shop.sites, shop.rollup, lambda: [shop.spool], alone(shop.client), shop.clock, monotonic=lambda: client.now,
    )  # fmt: skip
    done = []
    for page in ("/", "/secret", "/secret/deep"):
        shop.ask("delete", first=DAYS[3], last=DAYS[3], field="page", value=page)
        done.append(shop.deletions.run_pending())
    assert (done, shop.rows()) == ([True, True, False], 10)
    client.now += LONGEST_WAIT
    assert shop.deletions.run_pending()
    assert shop.rows() == 9


def test_a_task_that_fails_again_and_again_is_set_aside(shop: Shop) -> None:
    """Also over restarts; the site is free for others, an operator may have it tried again, and then it is done."""
    workshop = Workshop(shop)
    workshop.broken.deletions_fail = True
    task = shop.ask("delete", first=DAYS[0], last=DAYS[3], field="page", value="/secret**")
    assert workshop.attempts(3) == 3
    workshop.restart()
    assert check_jobs(workshop.deletions).state == "ok"
    assert workshop.attempts(20) < MOST_ATTEMPTS
    found = check_jobs(workshop.deletions)
    assert (found.state, found.found) == ("failed", "1 set aside (delete of site.test: OperationalError)")
    assert "/secret" not in found.found + found.advice
    (given_up,) = workshop.deletions.set_aside()
    assert (given_up.id, given_up.error, given_up.value) == (task.id, "OperationalError", "/secret**")
    workshop.restart()
    assert workshop.attempts(3) == 0
    assert [each.id for each in workshop.deletions.set_aside()] == [task.id]
    workshop.broken.deletions_fail = False
    assert workshop.deletions.retry() == 1
    assert workshop.deletions.run_pending()
    assert (shop.rows(), workshop.deletions.set_aside()) == (4, [])


def test_attempts_after_a_failure_are_apart(shop: Shop) -> None:
    """One that fails does not keep the processor busy, and other sites' tasks are done meanwhile."""
    workshop = Workshop(shop)
    workshop.broken.deletions_fail = True
    shop.ask("reset")
    with pytest.raises(OperationalError):
        workshop.deletions.run_pending()
    for _ in range(100):
        assert not workshop.deletions.run_pending()
    assert workshop.deletions.set_aside() == []


def test_an_outage_of_the_database_sets_nothing_aside(shop: Shop) -> None:
    """However long it lasts: the task is done when the database answers."""
    workshop = Workshop(shop)
    shop.ask("delete", first=DAYS[0], last=DAYS[3], field="page", value="/secret**")
    workshop.broken.outage = True
    with pytest.raises(OperationalError):
        workshop.deletions.run_pending()
    workshop.broken.outage = False
    workshop.broken.deletions_fail = True
    assert workshop.attempts(1) == 1
    workshop.broken.deletions_fail, workshop.broken.outage = False, True
    assert workshop.attempts(3 * MOST_ATTEMPTS) == 3 * MOST_ATTEMPTS
    workshop.broken.outage = False
    assert workshop.attempts(1) == 0
    assert (shop.rows(), workshop.deletions.set_aside()) == (4, [])


def test_a_task_that_takes_longer_than_its_budget_is_set_aside(shop: Shop) -> None:
    """Between two of its steps; what has been done stays done."""
    workshop = Workshop(shop)
    fill(shop.spool, [view(DAYS[3], "/secret")])
    task = shop.ask("delete", first=DAYS[0], last=DAYS[3], field="page", value="/secret**")
    times = itertools.chain([0.0, 0.0, 1.0], itertools.repeat(BUDGET_SECONDS + 1))
    workshop.deletions._monotonic = lambda: next(times)
    assert workshop.deletions.run_pending()
    (given_up,) = workshop.deletions.set_aside()
    assert (given_up.id, given_up.error) == (task.id, "it took longer than 3,600 s")


def test_a_task_that_no_process_survives_is_set_aside(shop: Shop) -> None:
    """It is counted before it is begun: a server that ends in it starts again without it."""
    task = shop.ask("reset")
    for _ in range(MOST_ATTEMPTS):
        workshop = Workshop(shop)
        workshop.deletions._go_on = killed  # type: ignore[method-assign] # stands for the end of the process
        with pytest.raises(SystemExit):
            workshop.deletions.run_pending()
    workshop = Workshop(shop)
    assert workshop.deletions.run_pending()
    assert [each.id for each in workshop.deletions.set_aside()] == [task.id]


def killed(job: SiteJob, check: object) -> None:  # noqa: ARG001 # takes what the method takes
    raise SystemExit


def test_what_is_deleted_by_is_bounded(shop: Shop) -> None:
    """The error names the field."""
    for value in ("*a" * (MOST_STARS + 1), "a" * (LONGEST_PATTERN + 1)):
        with pytest.raises(RecordError, match="stars"):
            shop.ask("delete", first=DAYS[0], last=DAYS[0], field="page", value=value)
