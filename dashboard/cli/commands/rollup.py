"""`tyst rollup`: rebuild the rollups of past days."""

from __future__ import annotations

import datetime
import os
import sys
from typing import Annotated

import typer
from rich.progress import Progress

from dashboard.cli.commands.output import Json, console, print_result
from dashboard.cli.http_client import connect

# A large day takes seconds.
PATIENCE = 3_600.0  # seconds

Day = Annotated[datetime.datetime | None, typer.Option(formats=["%Y-%m-%d"], metavar="DATE", show_default=False)]


def rollup(
    domain: Annotated[str, typer.Argument(help="The site.")], first: Day = None, last: Day = None, json: Json = False
) -> None:
    """Rebuild the rollups of a site's past days from its events; all days, or --first to --last."""
    body = {"site": domain}
    body |= {name: day.date().isoformat() for name, day in (("first", first), ("last", last)) if day is not None}
    days = rows = 0
    with (
        connect(os.environ, timeout=PATIENCE) as client,
        Progress(console=console(), transient=True, disable=json or not sys.stdout.isatty()) as progress,
    ):
        bar = progress.add_task("closing", total=None)
        for closed in client.stream("rollup", body=body):
            days, rows = days + 1, rows + closed["rows"]
            progress.update(bar, description=f"{closed['day']}, {days:,} days, {rows:,} events")
    print_result(
        {"site": domain, "days": days, "rows": rows},
        f"{domain}: {days:,} days were built from {rows:,} events",
        json=json,
    )
