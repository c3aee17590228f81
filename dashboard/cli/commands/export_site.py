"""`tyst export`: everything of a site, as files that other products and `tyst import` read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from collector.core.environment import use_private_umask
from collector.core.text import with_hidden_shown
from dashboard.cli.commands.output import Json, print_json, say
from dashboard.cli.commands.site_options import SiteOption
from dashboard.cli.http_client import connect

PATIENCE = 3_600.0  # seconds

Directory = Annotated[Path, typer.Argument(metavar="DIR", help="Where the files are written.")]


def export_site(
    directory: Directory,
    site: SiteOption,
    parquet: Annotated[bool, typer.Option("--parquet", metavar="", help="Events as Parquet, not JSON lines.")] = False,
    json: Json = False,
) -> None:
    """Export a site: daily figures as a zip file of CSV tables, in the shape of Plausible's export, and its events."""
    use_private_umask()
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise typer.BadParameter(with_hidden_shown(f"{directory} is no directory: {error.strerror}")) from None
    form = "parquet" if parquet else "jsonl"
    with connect(os.environ, timeout=PATIENCE) as client:
        daily = client.download(directory, "sites", site, "export", default="daily.zip")
        events = client.download(
            directory, "sites", site, "export", "events", default=f"events.{form}", query={"format": form}
        )
    if json:
        print_json({"daily": str(daily), "events": str(events)})
    else:
        say(f"Daily figures   {daily}   (take them back with: tyst import {daily} --site {site})")
        say(f"Events          {events}")
