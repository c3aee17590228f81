"""`tyst report`: who gets a site's reports by mail."""

from __future__ import annotations

import datetime
from typing import Annotated, Literal

import typer

from dashboard.cli.commands.output import Json, print_json, print_result, print_table
from dashboard.cli.commands.site_options import SiteOption
from dashboard.cli.http_client import DELIVERY_SECONDS, connect

app = typer.Typer(no_args_is_help=True, help="Reports by mail: who gets those of a site, how often, in which language.")

ReportId = Annotated[str, typer.Argument(metavar="ID", help="Its id, as tyst report list shows it.")]


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
    print_result(
        added,
        f"{address} gets the {frequency} report of {site}. Try it with: tyst report send {added['id']} --site {site}",
        json=json,
    )


@app.command("remove")
def remove_report(id_: ReportId, site: SiteOption, json: Json = False) -> None:
    """Remove a recipient."""
    with connect() as client:
        found = client.delete("sites", site, "reports", id_)
    print_result(found, "The report is no longer sent there.", json=json)


@app.command("send")
def send_report(id_: ReportId, site: SiteOption, json: Json = False) -> None:
    """Send a recipient the latest report now, besides those that come by themselves."""
    with connect(timeout=DELIVERY_SECONDS) as client:
        answer = client.post("sites", site, "reports", id_, "send", body={})
    print_result(answer, "The mail server has taken the report.", json=json)
