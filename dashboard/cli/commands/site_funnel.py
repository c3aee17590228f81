"""`tyst site funnel`: funnels of a site."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from dashboard.cli.commands.near_misses import known_site
from dashboard.cli.commands.output import Json, print_json, print_result, print_table, say
from dashboard.cli.commands.site_options import Domain
from dashboard.cli.http_client import Client, connect

app = typer.Typer(no_args_is_help=True, help="Funnels of a site: how many take one step after the other.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="What the funnel is called.", show_default=False)]


def _read_steps(texts: list[str]) -> list[dict[str, Any]]:
    """The steps from how the command line spells them. Raises `typer.BadParameter`."""
    # Their modules take longer to load than most commands take to run.
    import msgspec

    from collector.core.errors import RecordError
    from dashboard.analytics.funnels import read_step

    try:
        return [msgspec.to_builtins(read_step(text, "--step")) for text in texts]
    except RecordError as error:
        raise typer.BadParameter(str(error)) from None


@app.command()
def add(
    domain: Domain,
    name: Name,
    steps: Annotated[
        list[str],
        typer.Option(
            "--step",
            metavar="KIND=MATCH",
            help="page=PATH (with * and **), goal=NAME, or event=NAME and conditions on its properties after "
            "semicolons: plan=pro, plan!=pro, file~pdf. Give it 2 to 8 times, in order.",
            show_default=False,
        ),
    ],
    order: Annotated[
        Literal["sequential", "strict", "any"],
        typer.Option(
            metavar="ORDER",
            help="sequential: other events may lie between. strict: none may. any: the steps in any order.",
        ),
    ] = "sequential",
    window: Annotated[
        Literal["visit", "day"],
        typer.Option(metavar="WINDOW", help="visit: within a visit, counts visits. day: a day, counts visitors."),
    ] = "visit",
    json: Json = False,
) -> None:
    """Add a funnel to a site."""
    body = {"name": name, "steps": _read_steps(steps), "order": order, "window": window}
    with connect() as client:
        with known_site(client, domain):
            funnel = client.post("sites", domain, "funnels", body=body)
        if json:
            print_json(funnel)
            return
        say(f"{funnel['name']}: {_spelled(funnel)}")
        say(f"It is at {client.url}/{domain}/funnels/{funnel['id']}")


@app.command("list")
def list_(domain: Domain, json: Json = False) -> None:
    """List a site's funnels."""
    with connect() as client:
        funnels = _funnels(client, domain)
    if json:
        print_json(funnels)
        return
    print_table(
        ["Name", "Steps", "Order", "Window"],
        [[each["name"], _spelled(each), each["order"], each["window"]] for each in funnels],
        empty=f"No funnels yet. Add one with: tyst site funnel add {domain} NAME --step page=/a --step page=/b",
    )


@app.command()
def remove(domain: Domain, name: Name, json: Json = False) -> None:
    """Remove a funnel of a site."""
    with connect() as client:
        found = [each for each in _funnels(client, domain) if name in (each["name"], each["id"])]
        if not found:
            raise typer.BadParameter(f"{domain} has no funnel named {name}")
        answer = client.delete("sites", domain, "funnels", found[0]["id"])
    print_result(answer, f"{name} is removed from {domain}.", json=json)


def _funnels(client: Client, domain: str) -> list[dict[str, Any]]:
    with known_site(client, domain):
        found: list[dict[str, Any]] = client.get("sites", domain, "funnels")["funnels"]
    return found


def _spelled(funnel: dict[str, Any]) -> str:
    return " → ".join(each["match"] for each in funnel["steps"])
