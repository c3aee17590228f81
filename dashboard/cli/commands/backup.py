"""`tyst backup`, `tyst restore` and `tyst retry`: operations of the running server."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from collector.core.environment import make_private, use_private_umask
from collector.core.errors import BackupError
from collector.core.settings import read_settings
from collector.core.text import with_hidden_shown
from collector.storage.backup_files import METADATA, new_backup_name, new_copy_name
from dashboard.cli.backup_copy import copy_backup
from dashboard.cli.commands.output import Json, print_json, print_result, print_table, say
from dashboard.cli.http_client import Refused, connect

# A large database takes its time.
PATIENCE = 3_600.0  # seconds

Directory = Annotated[Path, typer.Argument(help="A directory; for a backup, one that is not there yet.")]


def backup(directory: Directory, json: Json = False) -> None:
    """Write a backup of everything in ClickHouse while serving. Salts are in no backup."""
    use_private_umask()
    if os.path.lexists(directory):
        raise BackupError(directory.name, f"{directory} is there already; choose another directory")
    with _told(directory, f"{directory.parent} is no place for it"):
        directory.parent.mkdir(parents=True, exist_ok=True)
    name = new_backup_name()
    with connect(os.environ, timeout=PATIENCE) as client:
        try:
            done = client.post("backups", body={"name": name})
        except Refused as error:
            raise BackupError(directory.name, error.reason) from None
    # Where the server says it is, but never another directory of this machine.
    place = Path(read_settings(os.environ).data_dir).resolve() / "backups" / name
    if done["place"] == str(place) and place.is_dir():
        with _told(directory, f"it cannot be moved to {directory} and is still in {place}"):
            shutil.move(place, directory)
        # What the engine writes, it may have written for others to read.
        make_private(directory)
        found = str(directory)
    else:
        found = done["place"] or name
    if json:
        print_json({"backup": found, "tables": done["tables"]})
    elif done["place"]:
        say(f"{len(done['tables'])} tables are in {found}{'' if found == str(directory) else ', at the server'}")
    else:
        say(f"{len(done['tables'])} tables are in the ClickHouse server's backups, under {found}")


Yes = Annotated[bool, typer.Option("--yes", metavar="", help="Replace everything without being asked.")]


def restore(directory: Directory, yes: Yes = False, json: Json = False) -> None:
    """Replace everything in ClickHouse by a backup, while serving. Asks for confirmation."""
    use_private_umask()
    if not yes:
        _confirm(directory)
    with _within_reach(directory, Path(read_settings(os.environ).data_dir)) as name:
        try:
            with connect(os.environ, timeout=PATIENCE) as client:
                done = client.post("backups", "restore", body={"name": name})
        except Refused as error:
            raise BackupError(directory.name, error.reason) from None
    if json:
        print_json({"restored": str(directory), "tables": done["tables"], "settings": done["settings"]})
    else:
        say(f"{len(done['tables'])} tables are as they were in {directory}")
        _show_differences(done["settings"])


def _show_differences(settings: Sequence[Mapping[str, str]]) -> None:
    """Settings that were others when the backup was made."""
    if settings:
        say("Settings that were others in the backup; where visitors are concerned the stricter one counts:")
        rows = [[each[name] for name in ("site", "setting", "before", "backup", "restored")] for each in settings]
        print_table(["Site", "Setting", "Before", "In the backup", "Now"], rows, empty="")


@contextlib.contextmanager
def _within_reach(directory: Path, data_dir: Path) -> Iterator[str]:
    """The name of a backup for the engine: of a directory, that of a copy where the engine may read."""
    if not directory.is_dir():
        yield directory.name
        return
    if not (directory / METADATA).is_file():
        raise BackupError(directory.name, f"there is no backup in {directory}")
    copy = data_dir / "backups" / new_copy_name()
    try:
        with _told(directory, "it cannot be copied into the data directory"):
            copy_backup(directory, data_dir, copy.name)
        yield copy.name
    finally:
        shutil.rmtree(copy, ignore_errors=True)


@contextlib.contextmanager
def _told(directory: Path, what: str) -> Iterator[None]:
    """Errors of the file system as one of the backup."""
    try:
        yield
    except (OSError, shutil.Error) as error:
        reason = getattr(error, "strerror", None)
        raise BackupError(directory.name, f"{what}{f': {reason}' if reason else ''}") from None


def _confirm(directory: Path) -> None:
    """Ask whether what is there may be replaced; exit status 1 for a no, 2 where nobody can be asked."""
    with connect(os.environ) as client:
        sites, url = [site["domain"] for site in client.get("sites")["sites"]], client.url
    named = ", ".join(sites[:5]) + (f" and {len(sites) - 5} more" if len(sites) > 5 else "")
    what = f"everything at {url}, with {len(sites)} sites{f' ({named})' if sites else ''},"
    if not sys.stdin.isatty():
        typer.echo(with_hidden_shown(f"This would replace {what} by {directory}. Say so with --yes."), err=True)
        raise typer.Exit(2)
    question = f"This replaces {what} by {directory}. Replace it?"
    typer.confirm(with_hidden_shown(question), abort=True, err=True)


def retry(json: Json = False) -> None:
    """Retry quarantined segments and failed jobs, once the cause is fixed."""
    with connect() as client:
        segments = client.post("spool", "retry", body={})["segments"]
    print_result(
        {"segments": segments},
        f"{segments} segments are tried again." if segments else "No segment was set aside.",
        json=json,
    )
