"""`tyst preview`: what a site would store of a URL."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from dashboard.cli.commands.near_misses import known_site
from dashboard.cli.commands.output import Json, print_json, print_table
from dashboard.cli.commands.site_options import Domain
from dashboard.cli.http_client import connect


def preview(
    domain: Domain,
    url: Annotated[str, typer.Argument(metavar="URL", help="A page's address, as a browser shows it.")],
    referrer: Annotated[str, typer.Option(metavar="URL", help="The page that led there.")] = "",
    hide: Annotated[
        list[str] | None,
        typer.Option("--hide", metavar="PATTERN", help="Try this pattern in place of the site's. Again for more."),
    ] = None,
    json: Json = False,
) -> None:
    """Show what a site would store of a URL. Nothing is stored."""
    asked: dict[str, Any] = {"url": url, "referrer": referrer} | ({"hidden_paths": hide} if hide else {})
    with connect() as client, known_site(client, domain):
        found: dict[str, Any] = client.post("sites", domain, "preview", body=asked)
    if json:
        print_json(found)
        return
    rows = [["host", found["hostname"]], ["page", found["path"]], ["referrer", found["referrer"]]]
    rows += [[f"campaign {name}", value] for name, value in found["tags"].items()]
    print_table(["Part", "Kept"], [row for row in rows if row[1]], empty="")
