"""`tyst imports`: the imports of a site."""

from __future__ import annotations

import datetime
import os
from typing import Annotated

import typer

from dashboard.cli.commands.output import Json, print_json, print_result, print_table
from dashboard.cli.commands.site_options import SiteOption
from dashboard.cli.http_client import connect

app = typer.Typer(no_args_is_help=True, help="Imports of a site: list and remove. Add one with: tyst import")

# Deleting the rows of years takes its time.
PATIENCE = 600.0  # seconds


@app.command("list")
def list_imports(site: SiteOption, json: Json = False) -> None:
    """List the imports whose days count."""
    with connect(os.environ) as client:
        found = client.get("sites", site, "imports")["imports"]
    if json:
        print_json(found)
        return
    rows = [
        [
            each["id"],
            each["name"],
            each["report"]["format"],
            f"{each['report']['first']} to {each['report']['last']}",
            f"{each['days_counting']:,} of {each['days']:,}",
            datetime.datetime.fromtimestamp(each["at"], datetime.UTC).date().isoformat(),
            each["state"],
        ]
        for each in found
    ]
    headings = ["Id", "Name", "Format", "Dates", "Days that count", "Imported", "State"]
    print_table(headings, rows, empty=f"Nothing was imported into {site}.")


@app.command("remove")
def remove_import(
    id_: Annotated[str, typer.Argument(metavar="ID", help="Its id, as tyst imports list shows it.")],
    site: SiteOption,
    json: Json = False,
) -> None:
    """Remove an import with its figures, for good."""
    with connect(os.environ, timeout=PATIENCE) as client:
        found = client.delete("sites", site, "imports", id_)
    print_result(found, f"The import {id_} and its figures are removed.", json=json)
