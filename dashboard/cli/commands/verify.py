"""`tyst verify`: check that a page has the tag and that it can work there."""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer

from dashboard.cli.commands.near_misses import near_misses
from dashboard.cli.commands.output import Json, print_json, print_table, say
from dashboard.cli.http_client import Refused, connect

MARKS: Final = {"ok": "ok", "warning": "look", "failed": "FAILED"}


def verify(
    url: Annotated[
        str, typer.Argument(metavar="URL", help="The page, such as https://example.com/", show_default=False)
    ],
    site: Annotated[
        str,
        typer.Option(
            metavar="DOMAIN",
            help="The site it belongs to; without it the one whose name the address has.",
            show_default=False,
        ),
    ] = "",
    json: Json = False,
) -> None:
    """Have the server inspect a page: tag, banner and policies. Status 1 if anything needs fixing."""
    with connect() as client:
        try:
            found: dict[str, Any] = client.post("verify", body={"url": url, "site": site})
        except Refused as error:
            if error.field != "site":
                raise
            if site:
                raise near_misses(client, site, error) from None
            reason = f"{error.reason} with --site, or add it with: tyst site add DOMAIN"
            raise Refused(error.status, error.field, reason) from None
    checks = found["checks"]
    if json:
        print_json(checks)
    else:
        rows = [[MARKS[each["state"]], each["name"], _told(each)] for each in checks]
        print_table(["", "What", "Found"], rows, empty="")
        # Below the table, whose cells are folded: what is there to copy must stay whole.
        for each in checks:
            if each.get("code"):
                say(f"\n{each['name']}, to copy:\n\n{each['code']}")
    if any(each["state"] == "failed" for each in checks):
        raise typer.Exit(1)


def _told(check: dict[str, str]) -> str:
    return "\n".join(filter(None, (check["found"], check["advice"])))
