"""Imports over their life: repeated, overlapping, removed, broken off, and beside own figures."""

# ruff: noqa: S608 -- text is names of our own tables
from __future__ import annotations

import datetime
import gzip
from collections.abc import Iterator

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError

from collector.core.errors import ImportRefused, RecordError
from collector.erasure.job_runner import SiteJobRunner
from collector.erasure.site_job import new_job
from collector.imports.file import ImportedFile
from collector.imports.scratch import Scratch
from collector.rollups.job import RollupJob
from tests.collector.imports.imported import DOMAIN, SAMPLES, Importing, opened
from tests.members import alone

EXPORT = SAMPLES / "plausible" / "example_com_20260115.zip"
LOG = SAMPLES / "logs" / "combined.log"
FIRST_DAY, DAY = datetime.date(2026, 1, 1), datetime.date(2026, 1, 13)


def everything(importing: Importing) -> list[object]:
    """Every row that counts."""
    return list(
        importing.rows(
            "SELECT * EXCEPT version FROM daily_rollup WHERE (site, day, version) IN "
            "(SELECT site, day, version FROM daily_status FINAL WHERE NOT reopened) ORDER BY ALL"
        )
    )


def own_event(importing: Importing, day: datetime.date) -> None:
    """An event of this server's own on that day."""
    importing.client.command(
        "INSERT INTO events (site, day, ts, visitor, visit, name, page, visits, bounces, expires) VALUES "
        f"('{DOMAIN}', '{day}', '{day} 12:00:00', 1, 1, 'pageview', '/own', 1, 1, '2030-01-01')"
    )


def test_importing_again_replaces(importing: Importing) -> None:
    """The same file, and one that overlaps: nothing is counted twice."""
    importing.take(EXPORT)
    before = everything(importing)
    second = importing.take(EXPORT)
    assert everything(importing) == before
    assert second.report.replaced_days == 3
    assert [record.id for record in importing.imports.of(importing.site)] == [second.id]
    visitors = b"date,visitors,pageviews,bounces,visits,visit_duration\n2026-01-14,7,8,2,7,10\n2026-01-15,1,1,1,1,0\n"
    importing.take(("later", visitors))
    days = importing.per_day()
    assert [days[day]["visitors"] for day in sorted(days)] == [2, 2, 7, 1]
    assert importing.imports.days_counting(importing.site)[second.id] == 2


def test_a_day_that_would_have_less_than_before_is_told(importing: Importing) -> None:
    """A log that was rotated at noon has half of that day."""
    lines = LOG.read_bytes().splitlines(keepends=True)
    importing.take(LOG)
    assert importing.read(LOG).report.shrinking_days == 0
    rotated = importing.read(("access.log", b"".join(lines[len(lines) // 2 :]))).report
    assert 0 < rotated.shrinking_days <= rotated.replaced_days


def test_removing_an_import_waits_for_no_deletion(importing: Importing) -> None:
    """That goes through every month that anybody has imported. Figures are gone at once, and the rows of all that were
    removed are deleted together; of one that was refused there are none."""
    rewrites = "SELECT count() FROM system.mutations WHERE database = currentDatabase() AND table = 'daily_rollup'"
    counting, checked = importing.take(EXPORT), importing.read(LOG)
    with pytest.raises(ImportRefused):
        importing.read(("notes.txt", b"Dear diary,\n"))
    for record in (counting, checked):
        importing.imports.remove(importing.site, record.id)
    assert importing.per_day() == {}
    assert importing.imports.of(importing.site) == []
    assert importing.rows(rewrites) == [(0,)]
    importing.imports.delete_removed()
    importing.imports.delete_removed()
    assert importing.rows(rewrites) == [(1,)]
    assert importing.rows("SELECT count() FROM daily_rollup") == [(0,)]
    assert importing.rows("SELECT count() FROM imports FINAL WHERE NOT deleted") == [(0,)]


def test_rows_of_removed_imports_are_deleted_once_however_long_it_takes(importing: Importing) -> None:
    """A call that finds the deletion of an earlier one going on submits no other."""
    rewrites = "SELECT count() FROM system.mutations WHERE database = currentDatabase() AND table = 'daily_rollup'"
    importing.imports.remove(importing.site, importing.take(EXPORT).id)
    importing.client.command("SYSTEM STOP MERGES daily_rollup")
    importing.client.command("ALTER TABLE daily_rollup DELETE WHERE 1", settings={"mutations_sync": 0})
    importing.imports.delete_removed()
    assert importing.rows("SELECT count() > 0 FROM daily_rollup") == [(True,)]
    importing.client.command("SYSTEM START MERGES daily_rollup")
    while importing.rows("SELECT count() FROM daily_rollup") != [(0,)]:
        importing.imports.delete_removed()
    importing.imports.delete_removed()
    assert importing.rows(rewrites) == [(1,)]
    assert importing.rows("SELECT count() FROM imports FINAL WHERE NOT deleted") == [(0,)]


def test_rows_of_removed_imports_are_deleted_after_an_outage(importing: Importing) -> None:
    """What failed is tried again by the next call."""
    importing.imports.remove(importing.site, importing.take(EXPORT).id)
    importing.client.command("RENAME TABLE daily_status TO away")
    with pytest.raises(DatabaseError):
        importing.imports.delete_removed()
    importing.client.command("RENAME TABLE away TO daily_status")
    importing.imports.delete_removed()
    assert importing.rows("SELECT count() FROM daily_rollup") == importing.rows("SELECT count() FROM daily_status")
    assert importing.rows("SELECT count() FROM imports FINAL WHERE NOT deleted") == [(0,)]


def test_rows_of_a_removed_import_are_found_under_both_names_of_a_site(importing: Importing) -> None:
    """One that was renamed before they were deleted has taken them along."""
    record = importing.take(EXPORT)
    importing.imports.remove(importing.site, record.id)
    deletion(importing, kind="rename", to="new.example")
    importing.imports.delete_removed()
    assert importing.rows("SELECT count() FROM daily_rollup") == [(0,)]


def test_a_removed_import_is_gone_for_good(importing: Importing) -> None:
    """Of its figures nothing is left, and nobody finds it any more."""
    record = importing.take(EXPORT)
    importing.imports.remove(importing.site, record.id)
    importing.imports.delete_removed()
    assert importing.rows("SELECT count() FROM daily_rollup") == [(0,)]
    assert importing.rows("SELECT count() FROM daily_status") == [(0,)]
    with pytest.raises(RecordError):
        importing.imports.remove(importing.site, record.id)


def test_what_a_removed_import_had_replaced_does_not_come_back(importing: Importing) -> None:
    """Whether or not ClickHouse has merged the replaced records away."""
    importing.client.command("SYSTEM STOP MERGES daily_status")
    importing.take(EXPORT)
    header = b"date,visitors,pageviews,bounces,visits,visit_duration\n"
    later = importing.take(("later", header + b"2026-01-14,7,8,2,7,10\n2026-01-15,1,1,1,1,0\n"))
    importing.client.command("SYSTEM START MERGES daily_status")
    importing.imports.remove(importing.site, later.id)
    left = importing.per_day()
    assert "2026-01-14" not in left
    importing.imports.delete_removed()
    assert importing.per_day() == left


def test_nothing_is_left_under_a_name_that_the_site_gives_up_meanwhile(importing: Importing) -> None:
    """The next site of that name would have the figures; neither files that are being read, nor a confirmation."""
    record, before = importing.read(EXPORT), importing.site

    def renamed() -> Iterator[ImportedFile]:
        yield opened(EXPORT)
        importing.sites.rename_now(before, "other.test")

    with pytest.raises(RecordError):
        importing.imports.read(before, renamed(), by="test")
    with pytest.raises(RecordError):
        importing.imports.confirm(before, record.id)
    importing.imports.delete_removed()
    assert importing.per_day() == {}
    assert importing.rows("SELECT count() FROM daily_status") == [(0,)]


def test_nothing_counts_before_it_is_confirmed(importing: Importing) -> None:
    """What was only checked has been read, and is in no figure; after a day it is forgotten."""
    record = importing.read(EXPORT)
    assert importing.per_day() == {}
    assert record.report.total.visitors == 6
    importing.now += 25 * 3600
    importing.imports.recover(alone=False)
    importing.imports.delete_removed()
    assert importing.rows("SELECT count() FROM daily_rollup") == [(0,)]
    assert importing.imports.of(importing.site) == []


def test_days_with_own_figures_keep_them(importing: Importing) -> None:
    """Rows of such days are left out, with their lines; those of days before and after count."""
    own_event(importing, DAY)
    record = importing.take(EXPORT)
    assert sorted(importing.per_day()) == ["2026-01-12", "2026-01-14"]
    assert record.report.own_days == [DAY]
    assert record.report.left_out["own_figures"].count == 18


def test_own_figures_come_before_imported_ones(importing: Importing) -> None:
    """Events that arrive late for an imported day are what counts of it; other imported days stay as they are."""
    importing.take(EXPORT)
    rollup = RollupJob(importing.client, importing.sites, lambda: importing.now)
    rollup.close_due()
    assert importing.per_day()["2026-01-13"]["visitors"] == 2
    own_event(importing, DAY)
    rollup = RollupJob(importing.client, importing.sites, lambda: importing.now)
    rollup.close_due()
    assert importing.per_day()["2026-01-13"]["visitors"] == 1
    assert importing.per_day()["2026-01-14"]["visitors"] == 2
    assert list(rollup.rebuild(DOMAIN, datetime.date(2026, 1, 1), datetime.date(2026, 1, 31)))
    assert importing.per_day()["2026-01-14"]["visitors"] == 2


def test_days_that_are_not_over_are_left_out(importing: Importing) -> None:
    """Today is measured here, or imported tomorrow."""
    rows = b"date,visitors,pageviews,bounces,visits,visit_duration\n2026-01-20,7,8,2,7,10\n2026-01-19,1,1,1,1,0\n"
    record = importing.take(("export", rows))
    assert sorted(importing.per_day()) == ["2026-01-19"]
    assert record.report.left_out["day_not_over"].first == ["export:2"]


class Killed(BaseException):
    """The process ends."""


@pytest.mark.parametrize("file", [EXPORT, LOG])
@pytest.mark.parametrize("step", ["create", "flush", "build", "drop", "confirm"])
def test_an_import_that_is_killed_leaves_nothing(
    importing: Importing, monkeypatch: pytest.MonkeyPatch, file: object, step: str
) -> None:
    """Wherever its process ends, the next one tidies up; figures of before are as they were."""
    importing.take(EXPORT)
    before = everything(importing)

    def killed(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        # Not even what tidies up after an error runs.
        patched.setattr(importing.imports, "_take_back", lambda *_: None)
        patched.setattr(importing.imports._records, "delete", lambda _: None)
        patched.setattr(Scratch, "drop", lambda _: None)
        if step == "confirm":
            patched.setattr(importing.imports._closed, "put", killed)
        else:
            patched.setattr(Scratch, step, killed)
        with pytest.raises(Killed):
            importing.take(file)  # type: ignore[arg-type] # a path
    importing.now += 25 * 3600
    importing.imports.recover(alone=True)
    importing.imports.delete_removed()
    assert everything(importing) == before
    assert importing.rows("SELECT uniqExact(version) FROM daily_rollup") == [(3,)]
    assert len(importing.imports.of(importing.site)) == 1
    left = "SELECT count() FROM system.tables WHERE database = currentDatabase() AND name LIKE 'scratch%'"
    assert importing.rows(left) == [(0,)]


def test_an_import_that_was_killed_once_it_counted_is_there(
    importing: Importing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its record is set right."""
    record = importing.read(EXPORT)

    def killed(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(importing.imports._records, "save", killed)
        with pytest.raises(Killed):
            importing.imports.confirm(importing.site, record.id)
    importing.now += 25 * 3600
    importing.imports.recover(alone=True)
    assert [each.state for each in importing.imports.of(importing.site)] == ["done"]
    assert len(importing.per_day()) == 3


def test_an_import_that_is_killed_before_it_counts_leaves_nothing(importing: Importing) -> None:
    """Where its owner has confirmed it already: it does not wait for a day."""
    importing.read(EXPORT, confirmed=True)
    assert importing.imports.of(importing.site) == []
    importing.imports.recover(alone=True)
    importing.imports.delete_removed()
    assert importing.rows("SELECT count() FROM daily_rollup") == [(0,)]
    assert importing.rows("SELECT count() FROM imports FINAL WHERE NOT deleted") == [(0,)]


def test_files_of_two_products_are_no_import(importing: Importing) -> None:
    """One would replace the other."""
    with pytest.raises(ImportRefused, match="another product"):
        importing.read(EXPORT, LOG)


def test_a_file_in_no_known_format_is_refused(importing: Importing) -> None:
    """With the names of those that are known."""
    with pytest.raises(ImportRefused, match="Plausible"):
        importing.read(("notes.txt", b"Dear diary,\n"))


def test_a_file_that_breaks_off_is_refused(importing: Importing) -> None:
    """A packed file without its end leaves nothing."""
    with pytest.raises(ImportRefused, match="incomplete or damaged"):
        importing.read(("access.log.gz", gzip.compress(LOG.read_bytes() * 200)[:-100]))
    assert importing.rows("SELECT count() FROM daily_rollup") == [(0,)]


def test_salts_of_an_import_are_destroyed(importing: Importing, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once the file is read, before anything is built of it; and two imports give unrelated ids."""
    ids: list[frozenset[int]] = []
    build = Scratch.build

    def noted(scratch: Scratch, *given: object, **options: object) -> object:
        rows = importing.rows(f"SELECT DISTINCT visitor FROM {scratch._events}")
        ids.append(frozenset(visitor for (visitor,) in rows))
        return build(scratch, *given, **options)  # type: ignore[arg-type] # as they came

    monkeypatch.setattr(Scratch, "build", noted)
    importing.take(LOG)
    importing.take(LOG)
    assert len(ids[0]) == len(ids[1]) == 5
    assert not ids[0] & ids[1]


def test_a_zip_file_is_read_from_a_file_without_a_name(importing: Importing) -> None:
    """Nothing of it is in the directory while it is read."""
    file: ImportedFile = opened(EXPORT)
    for _ in file.entries(importing.directory):
        assert [path.name for path in importing.directory.iterdir() if path.suffix != ".txt"] == []


def deletion(importing: Importing, **fields: object) -> None:
    """Have data of the site deleted."""
    rollup = RollupJob(importing.client, importing.sites, lambda: importing.now)
    runner = SiteJobRunner(
        importing.client, importing.sites, rollup, list, alone(importing.client), lambda: importing.now
    )
    runner.enqueue(new_job(fields.pop("kind", "delete"), importing.site, "test", importing.now, **fields))  # type: ignore[arg-type] # a kind
    assert runner.run_pending()


def test_deleted_days_are_deleted_of_imports_too(importing: Importing) -> None:
    """By dates as a whole, by a value its rows in every dimension that has it."""
    importing.take(EXPORT)
    deletion(importing, first=DAY, last=DAY)
    assert sorted(importing.per_day()) == ["2026-01-12", "2026-01-14"]
    deletion(importing, first=FIRST_DAY, last=DAY, field="page", value="/blog/**")
    assert {key for key in importing.values("event:page") if "blog" in key} == set()
    assert {key for key in importing.values("visit:exit_page") if "blog" in key} == set()
    assert importing.per_day()["2026-01-12"]["pageviews"] == 6


def test_a_renamed_site_takes_its_imports_along(importing: Importing) -> None:
    """They count under the new name, and can be removed there."""
    record = importing.take(EXPORT)
    deletion(importing, kind="rename", to="new.example")
    site = importing.sites.get("new.example")
    assert site
    assert importing.imports.days_counting(site)[record.id] == 3
    importing.imports.remove(site, record.id)
    importing.imports.delete_removed()
    assert importing.rows("SELECT count() FROM daily_rollup") == [(0,)]


def test_a_reset_forgets_imports(importing: Importing) -> None:
    """Their figures go with all others; nothing is listed any more."""
    importing.take(EXPORT)
    deletion(importing, kind="reset")
    assert importing.rows("SELECT count() FROM daily_rollup") == [(0,)]
    assert importing.imports.of(importing.site) == []
    importing.imports.tidy()
    assert importing.rows("SELECT count() FROM imports FINAL WHERE NOT deleted") == [(0,)]
