"""`tyst site`: manage sites."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from dashboard.cli.commands.near_misses import known_site
from dashboard.cli.commands.output import Json, print_json, print_result, print_table, say
from dashboard.cli.commands.site_options import (
    Consent,
    Contact,
    Controller,
    Datacenter,
    Domain,
    Goals,
    HiddenPaths,
    Hosting,
    Hostnames,
    MinVisitors,
    RateLimit,
    Receipts,
    RetentionDays,
    Strict,
    Timezone,
    read_goal,
)
from dashboard.cli.http_client import Client, connect

app = typer.Typer(no_args_is_help=True, help="The sites that are measured.")


@app.command()
def add(
    domain: Domain,
    consent: Consent = None,
    receipts: Receipts = None,
    timezone: Timezone = None,
    min_visitors: MinVisitors = None,
    retention_days: RetentionDays = None,
    rate_limit: RateLimit = None,
    datacenter: Datacenter = None,
    hostnames: Hostnames = None,
    hidden_paths: HiddenPaths = None,
    controller: Controller = None,
    contact: Contact = None,
    hosting: Hosting = None,
    goals: Goals = None,
    strict: Strict = None,
    json: Json = False,
) -> None:
    """Measure a new site. Prints the tag to paste into its pages."""
    with connect() as client:
        settings = _given(
            consent, receipts, timezone, min_visitors, retention_days, rate_limit, hostnames, hidden_paths
        )
        settings |= _named(controller, contact, hosting) | _report_settings(goals, strict, datacenter)
        site = client.post("sites", body={"domain": domain, **settings})
        if json:
            print_json(site)
            return
        say(f"{site['domain']} is measured (consent: {site['consent']}, days: {site['timezone']}).")
        say("Paste this into the <head> of its pages:\n")
        say(f"  {_tag(site)}")
        if site["consent"] != "exempt":
            say("\nNothing is counted in full before visitors agree. How the tag follows your consent banner is at")
            say(f"{site['url']}{site['domain']}/install and, for each banner, in docs/banners.md.")


@app.command("list")
def list_(json: Json = False) -> None:
    """All sites."""
    with connect() as client:
        sites = client.get("sites")["sites"]
    if json:
        print_json(sites)
        return
    rows = [
        [
            site["domain"],
            site["consent"],
            site["timezone"],
            f"{site['retention_days']} days",
            str(site["min_visitors"]),
        ]
        for site in sites
    ]
    print_table(
        ["Site", "Consent", "Time zone", "Kept", "Min. visitors"],
        rows,
        empty="No sites yet. Add one with: tyst site add DOMAIN",
    )


@app.command("set")
def set_(
    domain: Domain,
    consent: Consent = None,
    receipts: Receipts = None,
    timezone: Timezone = None,
    min_visitors: MinVisitors = None,
    retention_days: RetentionDays = None,
    rate_limit: RateLimit = None,
    datacenter: Datacenter = None,
    hostnames: Hostnames = None,
    hidden_paths: HiddenPaths = None,
    controller: Controller = None,
    contact: Contact = None,
    hosting: Hosting = None,
    goals: Goals = None,
    strict: Strict = None,
    json: Json = False,
) -> None:
    """Change a site's settings; what is left out stays."""
    settings = _given(consent, receipts, timezone, min_visitors, retention_days, rate_limit, hostnames, hidden_paths)
    settings |= _named(controller, contact, hosting) | _report_settings(goals, strict, datacenter)
    if not settings:
        raise typer.BadParameter("name at least one setting to change, such as --consent limited")
    with connect() as client, known_site(client, domain):
        site = client.put("sites", domain, body=settings)
    if json:
        print_json(site)
        return
    say(f"{domain}: " + ", ".join(f"{name} is now {_shown(site[name])}" for name in settings))
    if "consent" in settings:
        say("The tag of its pages must say the same:\n")
        say(f"  {_tag(site)}")


Yes = Annotated[bool, typer.Option("--yes", metavar="", help="Do not ask for the name to be typed.")]


@app.command()
def rename(
    domain: Domain,
    new: Annotated[str, typer.Argument(metavar="NEW", help="Its new name.", show_default=False)],
    json: Json = False,
) -> None:
    """Give a site another name. Its figures move, and beacons of the old name go on to count."""
    with connect() as client, known_site(client, domain):
        site = client.put("sites", domain, body={"domain": new})
    print_result(
        site,
        f"{domain} is {site['domain']} now. Its figures are there within seconds; tags of the old name still count.",
        json=json,
    )


@app.command()
def reset(domain: Domain, yes: Yes = False, json: Json = False) -> None:
    """Delete all statistics of a site; its settings stay."""
    with connect() as client:
        _must_be_meant(client, domain, yes)
        answer = client.post("sites", domain, "reset", body={})
    print_result(answer, f"{domain} begins anew: {answer['events']} events and all sums are being deleted.", json=json)


@app.command()
def remove(domain: Domain, yes: Yes = False, json: Json = False) -> None:
    """Delete a site with its settings and statistics."""
    with connect() as client:
        _must_be_meant(client, domain, yes)
        answer = client.delete("sites", domain)
    print_result(answer, f"{domain} is no longer measured, and its figures are being deleted.", json=json)


def _must_be_meant(client: Client, domain: str, yes: bool) -> None:
    """Raises `Refused` for a site that is not there, and a usage error where its name is not typed."""
    with known_site(client, domain):
        client.get("sites", domain)
    if yes:
        return
    if not sys.stdin.isatty():
        raise typer.BadParameter("this deletes figures for good: say --yes")
    typed: str = typer.prompt(f"This deletes its figures for good. Type {domain} to go on", err=True)
    if typed.strip() != domain:
        raise typer.BadParameter("that is not its name; nothing was deleted")


def _given(
    consent: str | None,
    receipts: bool | None,
    timezone: str | None,
    min_visitors: int | None,
    retention_days: int | None,
    rate_limit: int | None,
    hostnames: list[str] | None,
    hidden_paths: list[str] | None,
) -> dict[str, Any]:
    fields = {
        "consent": consent,
        "receipts": receipts,
        "timezone": timezone,
        "min_visitors": min_visitors,
        "retention_days": retention_days,
        "rate_limit": rate_limit,
        "hostnames": hostnames or None,
        "hidden_paths": hidden_paths or None,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _named(controller: str | None, contact: str | None, hosting: str | None) -> dict[str, Any]:
    """Settings of the privacy notice, without those that were not passed."""
    fields = {"controller": controller, "contact": contact, "hosting": hosting}
    return {name: value for name, value in fields.items() if value is not None}


def _report_settings(goals: list[str] | None, strict: bool | None, datacenter: str | None) -> dict[str, Any]:
    """Settings of goals, small counts and data centers, without those that were not passed."""
    given = {"strict": strict, "datacenter": datacenter}
    fields: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    return fields | ({"goals": [read_goal(text) for text in goals if text]} if goals else {})


def _tag(site: Mapping[str, Any]) -> str:
    """The tag of the site's pages, which names the policy where it is not the default."""
    # Their modules take longer to load than most commands take to run.
    from collector.sites.model import Site
    from dashboard.compliance.site_check.tag_snippets import tag_of

    return tag_of(Site(domain=site["domain"], consent=site["consent"]), site["url"])


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(each["name"] if isinstance(each, dict) else str(each) for each in value) or "none"
    return str(value)
