"""`tyst upgrade` on a data directory as the first release left it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from collector.core.file_locks import lock_data_dir
from collector.core.setting_values import embedded_directory
from collector.storage.client import ClickHouse
from collector.storage.migrations import STEPS
from collector.storage.upgrade_copy import copy_before_upgrade
from tests.disk import small_disk
from tests.length import long

ROOT = Path(__file__).resolve().parents[3]

# In a process of its own: one process opens one embedded database in its life.
STATEMENT = """
import sys
from pathlib import Path
from collector.storage.client import ClickHouse
ClickHouse.at(f"chdb://{sys.argv[1]}/clickhouse", backups=Path(sys.argv[1]) / "backups").client().command(sys.argv[2])
"""
FIRST_RELEASE = """
import sys
from pathlib import Path
from collector.storage.client import ClickHouse
from collector.storage.statements import split_statements
client = ClickHouse.at(f"chdb://{sys.argv[1]}/clickhouse", backups=Path(sys.argv[1]) / "backups").create()
for statement in split_statements(Path(sys.argv[2]).read_text()):
    client.command(statement)
client.command(
    "INSERT INTO events (site, day, ts, visitor, visit, name, consent, page, visits, bounces, expires) VALUES"
    " ('site.test', '2026-03-01', 1772366400, 7, 1772366400, 'pageview', 'granted', '/kept', 1, 1, '2028-03-30')"
)
"""


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data directory, with one event."""
    directory = tmp_path_factory.mktemp("old")
    schema = ROOT / "tests" / "fixtures" / "schema-1.sql"
    subprocess.run([sys.executable, "-c", FIRST_RELEASE, directory, schema], cwd=ROOT, check=True)
    return directory


def tyst(directory: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """`tyst upgrade` of that directory."""
    command = [sys.executable, "-c", "import sys; from dashboard.cli.main import main; sys.exit(main())", "upgrade"]
    environ = {**os.environ, "TYST_DATA_DIR": str(directory), **settings}
    return subprocess.run(
        [*command, *arguments], cwd=ROOT, env=environ, capture_output=True, text=True, timeout=120, check=False
    )


def run(directory: Path, statement: str) -> None:
    """A statement that somebody runs on the database."""
    subprocess.run([sys.executable, "-c", STATEMENT, directory, statement], cwd=ROOT, check=True)


def described(directory: Path) -> dict[str, object]:
    """What an upgrade would do."""
    found: dict[str, object] = json.loads(tyst(directory, "--check", "--json").stdout)
    return found


@long
def test_a_failed_upgrade_leaves_the_data_as_they_were(old: Path, tmp_path: Path) -> None:
    """In a copy, by which one goes back; it is gone after the attempt that succeeds."""
    directory = tmp_path / "data"
    shutil.copytree(old, directory, symlinks=True)
    database, copy = directory / "clickhouse", directory / "clickhouse.before-upgrade"
    # A table of somebody's own stands in the way of the last step.
    run(directory, "CREATE TABLE daily_rollup (own UInt8) ENGINE = MergeTree ORDER BY own")
    for _ in range(2):
        failed = tyst(directory)
        assert failed.returncode == 1
        assert f"put {copy} in the place of {database}." in " ".join(failed.stderr.split())
        assert described(directory)["version"] == STEPS[-1].number - 1
    database.rename(tmp_path / "failed")
    copy.rename(database)
    assert (described(directory)["version"], described(directory)["events"]) == (1, 1)
    run(directory, "DROP TABLE daily_rollup SYNC")
    assert tyst(directory).returncode == 0
    assert (described(directory)["version"], described(directory)["events"]) == (STEPS[-1].number, 1)
    assert not copy.exists()


@long
@pytest.mark.parametrize("linked", [False, True], ids=["mounted", "linked"])
def test_a_database_on_a_disk_of_its_own_is_upgraded(old: Path, tmp_path: Path, linked: bool) -> None:
    """No file of it can be linked elsewhere. Nothing is left of its copy."""
    directory, disk = tmp_path / "data", tmp_path / "disk"
    database = directory / "clickhouse"
    with small_disk(disk if linked else database, 200 << 20):
        shutil.copytree(old, directory, symlinks=True, dirs_exist_ok=True)
        if linked:
            shutil.move(database, disk / "clickhouse")
            database.symlink_to(disk / "clickhouse")
        done = tyst(directory)
        assert (done.returncode, done.stderr) == (0, "")
        assert (described(directory)["version"], described(directory)["events"]) == (STEPS[-1].number, 1)
        assert list(tmp_path.rglob("*.before-upgrade*")) == []


def test_a_directory_that_was_copied_without_its_links_is_opened(old: Path, tmp_path: Path) -> None:
    """As by `scp -r`, and with the links that it had. Nothing of a table is left in a second place."""
    directory = tmp_path / "data"
    shutil.copytree(old, directory)
    database = directory / "clickhouse"
    assert not (database / "metadata" / "tyst").is_symlink()
    assert described(directory)["events"] == 1
    assert (database / "metadata" / "tyst").is_symlink()
    assert [path for path in (database / "data" / "tyst").iterdir() if not path.is_symlink()] == []


@long
def test_an_upgrade_is_described_then_done_then_needless(old: Path) -> None:
    """The check changes nothing: asked twice, it says the same."""
    for _ in range(2):
        described = json.loads(tyst(old, "--check", "--json").stdout)
        assert (described["version"], described["events"], described["applied"]) == (1, 1, False)
        assert [step["version"] for step in described["steps"]] == [step.number for step in STEPS]
    assert f"  {STEPS[-1].number}  {STEPS[-1].what}" in tyst(old, "--check").stdout
    done = tyst(old)
    assert (done.returncode, "Done." in done.stdout) == (0, True)
    after = tyst(old, "--check")
    assert f"version {STEPS[-1].number}, the newest" in after.stdout
    assert json.loads(tyst(old, "--check", "--json").stdout)["events"] == 1


def test_a_directory_in_use_or_empty_is_said(tmp_path: Path) -> None:
    """The embedded database belongs to one process."""
    assert "no database yet" in tyst(tmp_path, "--check").stdout
    (tmp_path / "clickhouse").mkdir()
    lock = lock_data_dir(tmp_path)
    refused = tyst(tmp_path)
    os.close(lock)
    assert refused.returncode == 1
    assert "Error:" in refused.stderr


def test_a_server_that_does_not_answer_is_said_in_words(tmp_path: Path) -> None:
    """Without a traceback, and without the password of the address."""
    address = "http://tyst:not-to-be-told@127.0.0.1:1/tyst"
    for arguments in ((), ("--check",)):
        done = tyst(tmp_path, *arguments, TYST_CLICKHOUSE_DSN=address)
        assert done.returncode == 1
        assert "ClickHouse does not answer" in done.stderr
        assert "Traceback" not in done.stderr
        assert "not-to-be-told" not in done.stderr + done.stdout


def test_what_a_killed_upgrade_has_left_goes_at_the_next_start(clickhouse: ClickHouse) -> None:
    """Its last step was taken, and the copy was there yet: what is erased from now on must not stay there."""
    copy = copy_before_upgrade(embedded_directory(clickhouse.dsn))
    left = (copy, copy.with_name(f"{copy.name}.tmp"))
    for each in left:
        each.mkdir()
        (each / "data").write_text("what was")
    clickhouse.prepare().close()
    assert not any(each.exists() for each in left)


def test_what_cannot_be_opened_is_said_in_a_sentence(tmp_path: Path) -> None:
    """And nothing is written where a link leads."""
    (tmp_path / "clickhouse").mkdir()
    (tmp_path / "mine").write_text("precious")
    (tmp_path / "lock").symlink_to(tmp_path / "mine")
    done = tyst(tmp_path)
    assert (done.returncode, done.stderr.startswith("Error: ")) == (1, True)
    assert "Traceback" not in done.stderr
    assert (tmp_path / "mine").read_text() == "precious"
