"""`tyst backup`, `tyst restore` and `tyst export`, as they are typed, where something else is in their place."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from collector.storage.backup_files import new_backup_name
from dashboard.cli.backup_copy import copy_backup
from dashboard.cli.commands.backup import _within_reach
from tests.running import tyst
from tests.served import Served, served, until


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with a site."""
    with served(tmp_path_factory.mktemp("backups")) as running:
        running.add_site("example.com")
        yield running


@pytest.fixture
def backup(server: Served, tmp_path: Path) -> Path:
    """A backup."""
    run(server, tmp_path, "backup", "backup")
    return tmp_path / "backup"


def run(server: Served, directory: Path, *arguments: str, status: int = 0) -> str:
    """What a command prints that is typed in the directory."""
    done = tyst(*arguments, directory=directory, TYST_DATA_DIR=str(server.data_dir))
    assert done.status == status, done.err
    return done.out + done.err


def left(server: Served) -> list[Path]:
    """What is left in the data directory."""
    return list(server.data_dir.glob("backups/*"))


def test_a_backup_is_in_nobodys_place(server: Served, tmp_path: Path) -> None:
    """Not behind a link to nowhere, nor below a file; nothing is written then."""
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    (tmp_path / "file").write_text("mine")
    assert "there already" in run(server, tmp_path, "backup", "link", status=1)
    assert "no place" in run(server, tmp_path, "backup", "file/backup", status=1)
    assert (tmp_path / "file").read_text() == "mine"
    assert left(server) == []


@pytest.mark.parametrize("named", ["", ".", "other", "..", "/"])
def test_a_directory_without_a_backup_is_not_copied(server: Served, tmp_path: Path, named: str) -> None:
    """As with a variable that is not set: the whole disk may be below it."""
    (tmp_path / "other").mkdir()
    assert "there is no backup in" in run(server, tmp_path, "restore", named, "--yes", status=1)
    assert left(server) == []


def test_links_in_a_backup_are_not_followed(server: Served, backup: Path) -> None:
    """Whether they lead nowhere, in circles, or to what is no part of it."""
    for name, target in (("nowhere", "nowhere-else"), ("circle", ".."), ("passwd", "/etc/passwd")):
        (backup / name).symlink_to(target)
    assert "are as they were" in run(server, backup.parent, "restore", "backup", "--yes")
    assert left(server) == []


def test_root_restores_for_a_service_of_another_user(server: Served, backup: Path) -> None:
    """The copy belongs to whom the data directory does: with systemd, a user who can read nothing of root's."""
    mine, nobody = server.data_dir.stat(), 65534
    owner = nobody if os.geteuid() == 0 else mine.st_uid
    seen = set[int]()
    os.chown(server.data_dir, owner, -1)
    with _within_reach(backup, server.data_dir) as name:
        copy = server.data_dir / "backups" / name
        seen = {path.stat().st_uid for path in (copy.parent, copy, *copy.rglob("*"))}
    os.chown(server.data_dir, mine.st_uid, -1)
    os.chown(server.data_dir / "backups", mine.st_uid, -1)
    assert seen == {owner}


def test_a_damaged_backup_leaves_nothing(server: Served, backup: Path) -> None:
    """And changes nothing."""
    shutil.rmtree(backup / "data")
    run(server, backup.parent, "restore", "backup", "--yes", status=1)
    assert left(server) == []
    assert [site["domain"] for site in server.api("GET", "/api/v1/sites")["sites"]] == ["example.com"]


def test_a_backup_that_has_lost_bits_replaces_nothing(server: Served, backup: Path) -> None:
    """ClickHouse restores such a file as it is, and every query of it fails from then on."""
    files = list((backup / "data").glob("*/audit_log/*/data.bin"))
    assert files
    for file in files:
        file.write_bytes(bytes(each ^ 0xFF for each in file.read_bytes()))
    assert "backup" in run(server, backup.parent, "restore", "backup", "--yes", status=1)
    assert left(server) == []
    assert [site["domain"] for site in server.api("GET", "/api/v1/sites")["sites"]] == ["example.com"]


def test_a_backup_whose_command_has_gone_is_not_kept(server: Served) -> None:
    """Nobody knows of it, and it would go on having what is erased."""
    with post(server, "/api/v1/backups", f'{{"name": "{new_backup_name()}"}}'):
        until("a backup that is being written", lambda: left(server))
    until("no backup", lambda: not left(server), 30)


def test_nothing_is_restored_while_data_is_imported(server: Served, backup: Path) -> None:
    """The rows of its first days would be in tables that others are put in the place of."""
    with post(server, "/api/v1/sites/example.com/imports", "date,visitors\n", missing=9):
        until(
            "an import that goes on",
            lambda: "being imported" in tyst_restore(server, backup),
            30,
        )
    until("a restoration", lambda: "are as they were" in tyst_restore(server, backup), 60)


def tyst_restore(server: Served, backup: Path) -> str:
    """What `tyst restore` prints."""
    done = tyst("restore", str(backup), "--yes", directory=backup.parent, TYST_DATA_DIR=str(server.data_dir))
    return done.out + done.err


@contextlib.contextmanager
def post(server: Served, path: str, body: str, *, missing: int = 0) -> Iterator[None]:
    """A request, `missing` bytes of whose body never come, and nobody who waits for the response."""
    fields = [f"POST {path} HTTP/1.1", "Host: tyst", f"Authorization: Bearer {server.key}"]
    fields += ["Content-Type: text/csv", f"Content-Length: {len(body) + missing}", "", body]
    where = httpx.URL(server.url)
    with socket.create_connection((where.host, where.port or 0)) as connection:
        connection.sendall("\r\n".join(fields).encode())
        yield


def test_an_export_takes_the_place_of_links_and_writes_through_none(server: Served, tmp_path: Path) -> None:
    """Only its owner reads it, whoever could read what was there."""
    (tmp_path / "mine").write_text("precious")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "events.jsonl").symlink_to(tmp_path / "mine")
    for _ in range(2):
        run(server, tmp_path, "export", "out", "--site", "example.com")
    assert (tmp_path / "mine").read_text() == "precious"
    written = {path.name: path for path in (tmp_path / "out").iterdir()}
    assert len(written) == 2
    assert not written["events.jsonl"].is_symlink()
    assert {path.stat().st_mode & 0o777 for path in written.values()} == {0o600}
    assert "no directory" in run(server, tmp_path, "export", "mine", "--site", "example.com", status=2)


def test_a_backup_moves_nothing_but_itself(tmp_path: Path) -> None:
    """A server somewhere else says where its backup is: it may name any directory of this machine."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "precious").touch()

    class Elsewhere(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # the name that http.server calls
            body = json.dumps({"name": "x", "tables": ["events"], "place": str(tmp_path / "mine")}).encode()
            self.send_response(201)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with http.server.HTTPServer(("127.0.0.1", 0), Elsewhere) as elsewhere:
        threading.Thread(target=elsewhere.handle_request, daemon=True).start()
        url = f"http://127.0.0.1:{elsewhere.server_port}"
        done = tyst("backup", "taken", directory=tmp_path, TYST_URL=url, TYST_API_KEY="key")
    assert done.status == 0, done.err
    assert (tmp_path / "mine" / "precious").exists()
    assert not (tmp_path / "taken").exists()


def test_nothing_is_copied_where_somebody_else_leads_it(backup: Path, tmp_path: Path) -> None:
    """Who owns the data directory may put something in the place of the copy, and links and devices into a backup."""
    data, owner = tmp_path / "data", 65534 if os.geteuid() == 0 else os.geteuid()
    data.mkdir()
    os.chown(data, owner, -1)
    os.mkfifo(backup / "fifo")
    (backup / "link").symlink_to("/etc/passwd")
    copy_backup(backup, data, "copy")
    copied = {path.name: path.stat() for path in (data / "backups").rglob("*")}
    assert {status.st_uid for status in copied.values()} == {owner}
    assert {"metadata", ".backup"} <= copied.keys()
    assert copied.keys().isdisjoint({"fifo", "link"})
    (tmp_path / "elsewhere").mkdir()
    (data / "backups" / "other").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError):
        copy_backup(backup, data, "other")
    assert list((tmp_path / "elsewhere").iterdir()) == []
