"""`tyst report`: who gets a site's reports by mail."""

from __future__ import annotations

import datetime
from typing import Annotated, Literal

import typer

from dashboard.cli.commands.output import Json, print_json, print_table, say
from dashboard.cli.http_client import connect

app = typer.Typer(no_args_is_help=True, help="Reports by mail: who gets those of a site, how often, in which language.")

SiteOption = Annotated[str, typer.Option("--site", metavar="DOMAIN", help="The site.")]
ReportId = Annotated[str, typer.Argument(metavar="ID", help="Its id, as tyst report list shows it.")]
# The mail server may take its time.
PATIENCE = 200.0  # seconds


@app.command("list")
def list_reports(site: SiteOption, json: Json = False) -> None:
    """List the recipients."""
    with connect() as client:
        found = client.get("sites", site, "reports")["reports"]
    if json:
        print_json(found)
        return
    rows = [
        [
            each["id"],
            each["address"],
            each["frequency"],
            each["language"],
            datetime.datetime.fromtimestamp(each["created"], datetime.UTC).date().isoformat(),
        ]
        for each in found
    ]
    headings = ["Id", "Address", "Frequency", "Language", "Since"]
    print_table(headings, rows, empty=f"Nobody gets reports of {site}. Add somebody with: tyst report add ADDRESS")


@app.command("add")
def add_report(
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="E-mail address.", show_default=False)],
    site: SiteOption,
    frequency: Annotated[
        Literal["weekly", "monthly"],
        typer.Option(metavar="HOW_OFTEN", help="weekly: on Mondays. monthly: on the first of the month."),
    ] = "weekly",
    language: Annotated[str, typer.Option(metavar="CODE", help="Language of the mails, such as sv.")] = "en",
    json: Json = False,
) -> None:
    """Add a recipient."""
    with connect() as client:
        body = {"address": address, "frequency": frequency, "language": language}
        added = client.post("sites", site, "reports", body=body)
    if json:
        print_json(added)
        return
    say(f"{address} gets the {frequency} report of {site}. Try it with: tyst report send {added['id']} --site {site}")


@app.command("remove")
def remove_report(id_: ReportId, site: SiteOption, json: Json = False) -> None:
    """Remove a recipient."""
    with connect() as client:
        found = client.delete("sites", site, "reports", id_)
    if json:
        print_json(found)
        return
    say("The report is no longer sent there.")


@app.command("send")
def send_report(id_: ReportId, site: SiteOption, json: Json = False) -> None:
    """Send a recipient the latest report now, besides those that come by themselves."""
    with connect(timeout=PATIENCE) as client:
        answer = client.post("sites", site, "reports", id_, "send", body={})
    if json:
        print_json(answer)
        return
    say("The mail server has taken the report.")
