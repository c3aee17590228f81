"""`tyst alert` and `tyst channel`: what is told of a site, and where."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from dashboard.cli.commands.output import Json, print_json, print_result, print_table, say
from dashboard.cli.commands.site_options import SiteOption
from dashboard.cli.http_client import DELIVERY_SECONDS, connect

app = typer.Typer(no_args_is_help=True, help="Alerts of a site: what its channels are told of.")
channels = typer.Typer(no_args_is_help=True, help="Channels of alerts: e-mail addresses and webhooks.")

OptionalSite = Annotated[
    str | None,
    typer.Option(
        "--site", metavar="DOMAIN", help="The site; without it, the channels that operators are told by.",
        show_default=False,
    ),
]  # fmt: skip
ItemId = Annotated[str, typer.Argument(metavar="ID", help="Its id, as list shows it.")]


def _path(site: str | None) -> tuple[str, ...]:
    return ("sites", site, "channels") if site else ("channels",)


@app.command("list")
def list_alerts(site: SiteOption, json: Json = False) -> None:
    """List the alerts."""
    with connect() as client:
        found = client.get("sites", site, "alerts")["alerts"]
    if json:
        print_json(found)
        return
    rows = [[each["id"], each["kind"], str(each["threshold"] or ""), each["goal"]] for each in found]
    print_table(["Id", "Type", "Threshold", "Goal"], rows, empty="No alerts yet. Add one with: tyst alert add KIND")


@app.command("add")
def add_alert(
    kind: Annotated[
        Literal["spike", "drop", "unusual", "goal", "silence", "consent"],
        typer.Argument(
            metavar="KIND",
            help="spike: so many visitors at once. drop: fewer visitors in 12 hours. unusual: an hour unlike those of "
            "the weeks before. goal: reached so many times in a day. silence: nothing for so many hours. consent: so "
            "many percentage points below the weeks before.",
            show_default=False,
        ),
    ],
    site: SiteOption,
    threshold: Annotated[
        int | None, typer.Option(metavar="N", help="Else 10, 1, none, 1, 12 and 20.", show_default=False)
    ] = None,
    goal: Annotated[str, typer.Option(metavar="NAME", help="The goal, of goal.", show_default=False)] = "",
    json: Json = False,
) -> None:
    """Add an alert, which every channel of the site is told."""
    with connect() as client:
        body = {"kind": kind, "goal": goal, **({} if threshold is None else {"threshold": threshold})}
        added = client.post("sites", site, "alerts", body=body)
    print_result(added, f"Alert {added['id']} is on. Where it goes: tyst channel list --site {site}", json=json)


@app.command("remove")
def remove_alert(id_: ItemId, site: SiteOption, json: Json = False) -> None:
    """Remove an alert."""
    with connect() as client:
        found = client.delete("sites", site, "alerts", id_)
    print_result(found, "The alert is off.", json=json)


@channels.command("list")
def list_channels(site: OptionalSite = None, json: Json = False) -> None:
    """List the channels."""
    with connect() as client:
        found = client.get(*_path(site))["channels"]
    if json:
        print_json(found)
        return
    rows = [[each["id"], each["shape"], each["name"], each["language"]] for each in found]
    print_table(["Id", "Type", "Where", "Language"], rows, empty="None yet. Add one with: tyst channel add TARGET")


@channels.command("add")
def add_channel(
    target: Annotated[
        str, typer.Argument(metavar="TARGET", help="E-mail address, or address of a webhook.", show_default=False)
    ],
    site: OptionalSite = None,
    shape: Annotated[
        Literal["mail", "standard", "slack", "mattermost", "teams", "discord", "ntfy"],
        typer.Option(
            metavar="SHAPE", help="mail, standard (a signed webhook), slack, mattermost, teams, discord, ntfy."
        ),
    ] = "mail",
    language: Annotated[str, typer.Option(metavar="CODE", help="Language of what is sent, such as sv.")] = "en",
    json: Json = False,
) -> None:
    """Add a channel. The signing secret of a webhook is printed once."""
    with connect() as client:
        added = client.post(*_path(site), body={"shape": shape, "target": target, "language": language})
    if json:
        print_json(added)
        return
    say(f"Channel {added['id']} is added. Try it with: tyst channel test {added['id']}")
    if shape == "standard":
        say(f"Signing secret (shown this once): {added['secret']}")


@channels.command("remove")
def remove_channel(id_: ItemId, site: OptionalSite = None, json: Json = False) -> None:
    """Remove a channel."""
    with connect() as client:
        found = client.delete(*_path(site), id_)
    print_result(found, "Nothing is sent there any more.", json=json)


@channels.command("test")
def send_trial(id_: ItemId, site: OptionalSite = None, json: Json = False) -> None:
    """Send a trial there."""
    with connect(timeout=DELIVERY_SECONDS) as client:
        answer = client.post(*_path(site), id_, "test", body={})
    print_result(answer, "The test was sent.", json=json)
