"""`tyst notice`: the privacy notice of a site, from its settings."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer
from rich.markup import escape

from dashboard.cli.commands.near_misses import known_site
from dashboard.cli.commands.output import Json, console, print_json
from dashboard.cli.commands.site_options import Domain
from dashboard.cli.http_client import connect


def notice(
    domain: Domain,
    lang: Annotated[str, typer.Option(metavar="LANG", help="Its language: en, sv, or one of your own.")] = "en",
    format_: Annotated[
        Literal["md", "html"], typer.Option("--format", metavar="FORMAT", help="md (Markdown) or html.")
    ] = "md",
    url: Annotated[
        str,
        typer.Option(metavar="URL", help="This server as visitors reach it, for the link to their page."),
    ] = "",
    json: Json = False,
) -> None:
    """Print the privacy notice of a site: a complete text from its settings, with its version and its changes."""
    with connect() as client, known_site(client, domain):
        written: dict[str, Any] = client.post(
            "sites", domain, "notice", body={"language": lang, "format": format_, "url": url}
        )
    if json:
        print_json(written)
        return
    typer.echo(written["text"], nl=False)
    if written["missing"]:
        options = " ".join(f"--{name} …" for name in written["missing"])
        text = f"Some of it only you know. Fill it in with: tyst site set {domain} {options}"
        console(error=True).print(escape(text))
