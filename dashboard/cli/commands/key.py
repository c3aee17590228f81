"""`tyst key`: API keys for programs."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from dashboard.cli.commands.near_misses import known_site
from dashboard.cli.commands.output import Json, print_json, print_result, print_table, say
from dashboard.cli.http_client import Refused, connect

app = typer.Typer(no_args_is_help=True, help="API keys for programs.")


@app.command()
def create(
    sites: Annotated[
        list[str] | None,
        typer.Option(
            "--site",
            metavar="DOMAIN",
            help="A site that the key is for. Give it again for more; without it, all.",
            show_default=False,
        ),
    ] = None,
    right: Annotated[
        Literal["read", "manage"],
        typer.Option(
            metavar="RIGHT",
            help="read: query statistics. manage: change sites too; for all sites, users and keys as well.",
        ),
    ] = "read",
    name: Annotated[str, typer.Option(metavar="NAME", help="What you call it.", show_default=False)] = "",
    expires: Annotated[
        str,
        typer.Option(metavar="DAY", help="Last day on which it is good, or never; else a year.", show_default=False),
    ] = "",
    json: Json = False,
) -> None:
    """Create an API key. It is shown once: only its hash is stored."""
    with connect() as client:
        for domain in sites or []:
            with known_site(client, domain):
                client.get("sites", domain)
        made = client.post("keys", body={"sites": sites or [], "right": right, "name": name, "expires": expires})
    if json:
        print_json(made)
        return
    say(f"Key (shown this once): {made['key']}")
    until = f"until {made['expires']}" if made["expires"] else "without a last day"
    say(f"It may {right} {', '.join(made['sites']) or 'all sites'}, {until}.")
    say(f"Revoke it with: tyst key revoke {made['id']}")


@app.command("list")
def list_(json: Json = False) -> None:
    """List all API keys, without their secrets."""
    with connect() as client:
        keys = client.get("keys")["keys"]
    if json:
        print_json(keys)
        return
    rows = [
        [
            key["id"],
            key["name"],
            key["right"],
            ", ".join(key["sites"]) or "all",
            key["created"] or "",
            key["last_used"] or "never",
            key["expires"] or "never",
        ]
        for key in keys
    ]
    print_table(
        ["Id", "Name", "May", "Sites", "Made", "Last used", "Expires"],
        rows,
        empty="No keys yet. Make one with: tyst key create --site DOMAIN",
    )


@app.command()
def revoke(
    id_: Annotated[str, typer.Argument(metavar="ID", help="The key's id, from `tyst key list`.", show_default=False)],
    json: Json = False,
) -> None:
    """The key is refused from now on."""
    with connect() as client:
        # The whole key is taken too: it is what people have at hand.
        try:
            answer = client.delete("keys", id_.removeprefix("tyst_").partition("_")[0])
        except Refused as error:
            if error.status != 404:
                raise
            raise Refused(error.status, "key", f"{error.reason}. The ids are in: tyst key list") from None
    print_result(answer, "The key is refused from now on.", json=json)
