"""What a process is started with: modes of files, secrets, a clock, and variables that are none of its business."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from collector.core.app_secret import SHORTEST
from collector.core.environment import PRIVATE, give_to_owner, make_private, restrict_permissions
from collector.core.errors import SettingError
from collector.core.settings import read_settings
from dashboard.compliance.health_report import check_directory, check_secret
from dashboard.server.serve import CannotStart, check_clock, warn_of_secret
from dashboard.server.sockets import bind, url_of
from tests.faults.server import Serve, until

SECRET = "correct-horse-battery"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """A server that was started among odd variables, with a password, in a directory that was open to all."""
    directory = tmp_path_factory.mktemp("environment")
    (directory / "data").mkdir(mode=0o755)
    (directory / "data").chmod(0o755)
    odd = {"TZ": "CET-1CEST,M3.5.0,M10.5.0/3", "CHDB_X": "1", "CLICKHOUSE_Y": "2", "TYST_ADMIN_PASSWORD": SECRET}
    environ = {**odd, "TYST_SECRET_KEY": f"{SECRET}-key", "TYST_HOST": "[::1]"}
    serve = Serve(directory, environ=environ, executed=True)
    previous = os.umask(0)
    try:
        serve.start()
        until("the server said so", lambda: b"is ready" in serve.log_file.read_bytes())
        yield serve
    finally:
        os.umask(previous)
        serve.kill()


def test_a_time_zone_that_the_engine_does_not_know_changes_nothing(server: Serve) -> None:
    """Days go by names of time zones that sites say; the environment's own is not the engine's to read."""
    assert b"chdb-core" not in server.log_file.read_bytes()
    assert "ClickHouse" in server.tyst("check")


def test_passwords_are_not_in_the_environment_of_the_server(server: Serve) -> None:
    """Neither for who may read `/proc`, nor for what it starts."""
    assert server.process
    environ = Path(f"/proc/{server.process.pid}/environ").read_bytes()
    assert b"TYST_DATA_DIR=" in environ
    assert SECRET.encode() not in environ


def test_the_data_directory_is_closed_to_others(server: Serve) -> None:
    """One that was open is closed at the start, and whatever is made in it is for its user alone."""
    data = server.directory / "data"
    opened = [path for path in (data, *data.rglob("*")) if path.lstat().st_mode & PRIVATE and not path.is_symlink()]
    assert opened == []
    assert b"open to others" in server.log_file.read_bytes()


@pytest.mark.parametrize("zone", ["Nowhere/Land", "Europe/Stokholm", ":/etc/hosts", "UTC0"])
def test_any_time_zone_of_the_environment_lets_the_engine_start(tmp_path: Path, zone: str) -> None:
    """A typo is no reason not to start. What is stored takes no library of tables into memory."""
    program = (
        "import sys; from collector.storage.client import ClickHouse\n"
        "client = ClickHouse.at(sys.argv[1]).create()\n"
        "client.command('CREATE TABLE numbers (number UInt8) ENGINE = Memory')\n"
        "client.insert('numbers', [[1]], ['number'])\n"
        "print(*client.query('SELECT timezone(), number FROM numbers').result_rows[0], 'pandas' in sys.modules)"
    )
    dsn = f"chdb://{tmp_path}/clickhouse"
    done = subprocess.run(
        [sys.executable, "-c", program, dsn],
        env={**os.environ, "TZ": zone},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "UTC 1 False", done.stderr


@pytest.mark.parametrize("zone", ["/etc/hosts", "CET-1CEST,M3.5.0,M10.5.0/3"])
def test_no_time_zone_of_the_environment_stops_a_command(zone: str) -> None:
    """Libraries of the command line read it when they are imported."""
    program = "import sys; from dashboard.cli.main import main; sys.argv[1:] = ['--version']; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, "TZ": zone}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout[:5]) == (0, "tyst "), done.stderr


DSNS = (
    "http://tyst:s3cr#t@clickhouse:8123/tyst",
    "http://tyst:12#s3cr@clickhouse/tyst",
    "http://tyst:s3cr/t@clickhouse:8123/tyst",
    "http://tyst:s3cr?t@clickhouse:8123/tyst",
    "http://tyst:s3cr[t@clickhouse:8123/tyst",
    "http://tyst:s3cr t@clickhouse:8123/tyst",
    "https://tyst:s3cr@clickhouse:port/tyst",
    "https://tyst:s3cr@:8123/tyst",
    "http://tyst:s3cr@clickhouse:99999/tyst",
    "http://tyst:s3cr\u2100t@clickhouse:8123/tyst",
)


@pytest.mark.parametrize("dsn", DSNS)
def test_an_address_that_cannot_be_read_is_refused_without_its_password(dsn: str) -> None:
    """In one sentence that says what to write instead, and shows no part of what was written."""
    with pytest.raises(SettingError) as refused:
        read_settings({"TYST_CLICKHOUSE_DSN": dsn})
    said = str(refused.value)
    assert "TYST_CLICKHOUSE_DSN" in said
    assert "percent" in said
    assert not any(part in said for part in ("s3cr", "tyst:", "clickhouse:8123"))
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__


@pytest.mark.parametrize("command", ["serve", "check"])
def test_commands_tell_nothing_of_such_an_address(tmp_path: Path, command: str) -> None:
    """One line, no traceback, whoever reads it."""
    environ = {**os.environ, "TYST_DATA_DIR": str(tmp_path), "TYST_CLICKHOUSE_DSN": DSNS[0]}
    tyst = Path(sys.executable).with_name("tyst")
    done = subprocess.run([tyst, command], env=environ, capture_output=True, text=True, check=False)
    assert done.returncode in (1, 2)
    assert "Traceback" not in done.stdout + done.stderr
    assert "s3cr" not in done.stdout + done.stderr


@pytest.mark.parametrize("dsn", ["http://tyst:p%40ss%23@clickhouse:8123/tyst", "https://clickhouse", "chdb:///var/x"])
def test_addresses_that_can_be_read_are_taken(dsn: str) -> None:
    """With a password written as addresses have it, or without one."""
    assert read_settings({"TYST_CLICKHOUSE_DSN": dsn}).clickhouse_dsn == dsn


@pytest.mark.parametrize("now", [0, 1_799, 86_400, -5])
def test_a_clock_that_was_never_set_is_said(now: float) -> None:
    """A sentence, not a traceback."""
    with pytest.raises(CannotStart, match="Set it"):
        check_clock(now)
    check_clock(1_700_000_000)


@pytest.mark.parametrize("host", ["[::1]", "::1", "127.0.0.1"])
def test_an_address_is_taken_as_a_url_has_it(host: str) -> None:
    """An IPv6 address may stand in brackets."""
    bound = bind(host, 0)
    assert host.strip("[]") in url_of(bound)
    bound.close()


def test_a_directory_that_is_open_to_others_is_reported(tmp_path: Path) -> None:
    """With the command that closes it."""
    tmp_path.chmod(0o750)
    found = check_directory(tmp_path)
    assert (found.state, found.advice) == ("warning", f"chmod 700 {tmp_path}")
    restrict_permissions(tmp_path)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700
    assert check_directory(tmp_path).state == "ok"


@pytest.mark.parametrize("name", ["TYST_SECRET_KEY", "TYST_SECRET_KEY_PREVIOUS"])
def test_a_secret_that_can_be_guessed_is_warned_of(name: str, caplog: pytest.LogCaptureFixture) -> None:
    """In the log at start and in the status, with the command that makes a better one; the secret is in neither."""
    weak, good = read_settings({name: "s" * (SHORTEST - 1)}), read_settings({name: "s" * SHORTEST})
    warn_of_secret(good)
    assert (caplog.text, check_secret(good).state) == ("", "ok")
    warn_of_secret(weak)
    found = check_secret(weak)
    assert f"{name} can be guessed" in caplog.text
    assert (found.state, found.code) == ("warning", "openssl rand -hex 32")
    assert name in found.found
    assert "sss" not in f"{caplog.text} {found}"


def test_what_was_written_for_others_is_made_private(tmp_path: Path) -> None:
    """Files and directories below, and nothing that a link leads to."""
    outside = tmp_path / "outside"
    outside.write_text("x")
    outside.chmod(0o644)
    inside = tmp_path / "backup" / "deep"
    inside.mkdir(parents=True)
    (inside / "file").write_text("x")
    (inside / "file").chmod(0o664)
    (inside / "link").symlink_to(outside)
    make_private(tmp_path / "backup")
    assert stat.S_IMODE((inside / "file").stat().st_mode) == 0o600
    assert stat.S_IMODE(inside.stat().st_mode) == 0o700
    assert stat.S_IMODE(outside.stat().st_mode) == 0o644


def test_what_root_has_written_is_given_to_the_owner(tmp_path: Path) -> None:
    """A service that runs as a user of its own could not read what a command has left there. Links are not followed."""
    owner = 65534 if os.geteuid() == 0 else os.geteuid()
    (tmp_path / "data" / "deep").mkdir(parents=True)
    (tmp_path / "other").touch()
    (tmp_path / "data" / "deep" / "file").touch()
    (tmp_path / "data" / "link").symlink_to(tmp_path / "other")
    os.chown(tmp_path / "data", owner, -1)
    give_to_owner(tmp_path / "data")
    assert {path.lstat().st_uid for path in (tmp_path / "data").rglob("*")} == {owner}
    assert (tmp_path / "other").stat().st_uid == os.geteuid()
