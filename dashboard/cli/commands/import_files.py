"""`tyst import`: exports of other products and access logs, sent to the running server."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, Annotated, Any

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from collector.core.text import with_hidden_shown
from dashboard.cli.commands.output import Json, console, print_json, print_table, say
from dashboard.cli.http_client import connect
from dashboard.reports.import_report import NOTES, REASONS

# Closing the days of a large file takes minutes.
PATIENCE = 3_600.0  # seconds
FOLLOW_SECONDS = 300.0

Files = Annotated[list[str], typer.Argument(metavar="FILE...", help="Files of one product; - reads standard input.")]
SiteName = Annotated[str, typer.Option("--site", metavar="DOMAIN", help="The site that they are for.")]
FormatName = Annotated[str, typer.Option("--format", metavar="FORMAT", help="auto, or the name of a format.")]
LogFormatText = Annotated[
    str, typer.Option("--log-format", metavar="TEXT", help="Format of the access logs, as nginx's log_format has it.")
]
Name = Annotated[str, typer.Option(metavar="NAME", help="What the import is called; else the first file's name.")]


def import_files(
    files: Files,
    site: SiteName,
    format: FormatName = "auto",  # noqa: A002 # the option's name
    log_format: LogFormatText = "",
    name: Name = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", metavar="", help="Only say what would be imported.")] = False,
    follow: Annotated[
        bool, typer.Option("--follow", metavar="", help="Go on, and import again whenever the files have grown.")
    ] = False,
    json: Json = False,
) -> None:
    """Import other products' exports and access logs as daily figures. Importing again replaces, and never doubles."""
    paths = [Path(each) for each in files if each != "-"]
    missing = next((path for path in paths if not path.is_file()), None)
    if missing is not None:
        raise typer.BadParameter(with_hidden_shown(f"there is no file {missing}"))
    if follow and len(paths) != len(files):
        raise typer.BadParameter("standard input cannot be followed; name the files")
    query = {"mode": "dry-run" if dry_run else "import", "format": format, "name": name, "log_format": log_format}
    for _ in _changes(paths) if follow else [()]:
        found = _send(files, site, query, quiet=json)
        if json:
            print_json(found)
        else:
            _show(site, found, dry_run=dry_run)


def _changes(paths: Sequence[Path], pause: Callable[[float], None] = time.sleep) -> Iterator[tuple[int, ...]]:
    """The sizes of files, at first and whenever they have changed: looked at every few minutes, without end."""
    before: tuple[int, ...] | None = None
    while True:
        sizes = tuple(path.stat().st_size if path.exists() else 0 for path in paths)
        if sizes != before:
            yield sizes
        before = sizes
        pause(FOLLOW_SECONDS)


def _send(files: Sequence[str], site: str, query: dict[str, str], *, quiet: bool) -> dict[str, Any]:
    """Send the files, with a bar that shows how fast they are read and how long it will take."""
    size = sum(Path(each).stat().st_size for each in files) if "-" not in files else None
    bar = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with (
        connect(os.environ, timeout=PATIENCE) as client,
        Progress(*bar, console=console(), transient=True, disable=quiet or not sys.stdout.isatty()) as progress,
        contextlib.ExitStack() as opened,
    ):
        task = progress.add_task("reading", total=size)
        form = [(_name(each), _Read(opened.enter_context(_open(each)), progress, task)) for each in files]
        return client.upload("sites", site, "imports", query=query, files=form)


class _Read:
    """A file whose reading moves the bar."""

    def __init__(self, file: IO[bytes], progress: Progress, task: Any) -> None:
        self._file = file
        self._progress = progress
        self._task = task

    def read(self, size: int = -1) -> bytes:
        chunk = self._file.read(size)
        self._progress.advance(self._task, len(chunk))
        return chunk


def _open(name: str) -> AbstractContextManager[IO[bytes]]:
    if name != "-":
        return Path(name).open("rb")
    # What is piped may take minutes to begin, as after `sort`; the server waits for one.
    piped = io.BufferedReader(io.FileIO(sys.stdin.fileno(), closefd=False))
    piped.peek(1)
    return piped


def _name(name: str) -> str:
    return "standard input" if name == "-" else Path(name).name


def _show(site: str, found: dict[str, Any], *, dry_run: bool) -> None:
    report = found["report"]
    months = [
        [month, *(f"{each.get(name, 0):,}" for name in ("days", "visitors", "visits", "pageviews", "events"))]
        for month, each in sorted(report["months"].items())
    ]
    print_table(["Month", "Days", "Visitors", "Visits", "Page views", "Events"], months, empty="No day was found.")
    left_out = [
        [REASONS.get(reason, reason), f"{each['count']:,}", ", ".join(each["first"][:5])]
        for reason, each in report["left_out"].items()
    ]
    if left_out:
        say("")
        print_table(["Left out", "Rows", "First lines"], left_out, empty="")
    say("")
    for note in report["notes"]:
        say(f"- {NOTES.get(note, note)}")
    lost = sum(each["count"] for each in report["left_out"].values())
    say(f"Read {report['read']:,} rows as {report['format']}: {report['accepted']:,} accepted, {lost:,} left out.")
    if report["own_days"]:
        say(f"{len(report['own_days']):,} days already have data, which is kept.")
    if report["replaced_days"]:
        say(f"{report['replaced_days']:,} days of an earlier import are replaced.")
    if report["shrinking_days"]:
        say(f"{report['shrinking_days']:,} of them had more page views before: are all files of these days here?")
    if dry_run:
        say("Nothing was imported. Run the same command without --dry-run to import it.")
    else:
        say(f"{found['days_counting']:,} days of {site} are imported. Remove them again with: tyst imports remove")
