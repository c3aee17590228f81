"""`tyst collector`: the collectors that share a ClickHouse server."""

from __future__ import annotations

from typing import Annotated

import typer

from dashboard.cli.commands.output import Json, print_json, print_result, print_table
from dashboard.cli.http_client import Refused, connect

app = typer.Typer(no_args_is_help=True, help="The other collectors that share a ClickHouse server.")


@app.command("list")
def list_(json: Json = False) -> None:
    """List the other collectors, and when each was last heard of."""
    with connect() as client:
        found = client.get("collectors")["collectors"]
    if json:
        print_json(found)
        return
    print_table(
        ["Id", "Name", "State", "Last seen (UTC)"],
        [[each["id"], each["name"], "running" if each["alive"] else "stopped", each["last_seen"]] for each in found],
        empty="This is the only collector of its database.",
    )


@app.command()
def remove(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its name or id, from `tyst collector list`.")],
    json: Json = False,
) -> None:
    """Wait no longer for a collector that is gone for good. Events in its spool are lost."""
    with connect() as client:
        try:
            answer = client.delete("collectors", name)
        except Refused as error:
            if error.status != 404:
                raise
            raise Refused(error.status, "collector", f"{error.reason}. See: tyst collector list") from None
    print_result(
        answer, f"Collector {answer['name']} is removed. Erasures and deletions no longer wait for it.", json=json
    )
