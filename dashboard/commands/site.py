"""`tyst site`: the sites that are measured."""

from __future__ import annotations

import difflib
import zoneinfo
from typing import Annotated, Any, Literal

import typer

from dashboard.client import Client, Refused, connect
from dashboard.commands.output import Json, print_json, print_table, say

app = typer.Typer(no_args_is_help=True, help="The sites that are measured.")

Policy = Literal["required", "limited", "exempt"]


def known_zone(name: str | None) -> str | None:
    """The name, if the time zone database knows it; else the usage error suggests what may have been meant."""
    if name is None or name in zoneinfo.available_timezones():
        return name
    zones = sorted(zoneinfo.available_timezones())
    by_fold = {zone.casefold(): zone for zone in zones}
    by_city = {zone.rpartition("/")[2].casefold(): zone for zone in zones}
    wanted = name.casefold().replace(" ", "_")
    near = [by_fold[match] for match in difflib.get_close_matches(wanted, by_fold, n=3, cutoff=0.6)]
    near += [by_city[match] for match in difflib.get_close_matches(wanted, by_city, n=3, cutoff=0.7)]
    suggestions = list(dict.fromkeys(near))[:3]
    meant = f" Did you mean {' or '.join(suggestions)}?" if suggestions else " An example is Europe/Stockholm."
    raise typer.BadParameter(f"{name} is no IANA time zone.{meant}")


Domain = Annotated[
    str, typer.Argument(metavar="DOMAIN", help="The site's name, such as example.com.", show_default=False)
]
Consent = Annotated[
    Policy | None,
    typer.Option(
        metavar="POLICY",
        help="required (as it is for a new site): nothing without consent. limited: without it only an "
        "identifier-free count. exempt: collect unless refused, under the audience-measurement exemption.",
        show_default=False,
    ),
]
Timezone = Annotated[
    str | None,
    typer.Option(
        metavar="ZONE",
        help="By whose clock days begin and end, such as Europe/Stockholm. UTC for a new site.",
        callback=known_zone,
        show_default=False,
    ),
]
MinVisitors = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=1,
        max=1_000,
        help="In filtered breakdowns, fewer visitors than this are folded into one row. 3 for a new site.",
        show_default=False,
    ),
]
RetentionDays = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=1,
        max=36_500,
        help="Raw events are deleted after this many days. 760 for a new site.",
        show_default=False,
    ),
]
RateLimit = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=0,
        help="Beacons a second from one address, in place of TYST_RATE_LIMIT. 0 is off.",
        show_default=False,
    ),
]
Hostnames = Annotated[
    list[str] | None,
    typer.Option(
        "--hostname",
        metavar="HOST",
        help="Only pages of this host count; *. takes its subdomains. Give it again for more.",
        show_default=False,
    ),
]


Controller = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Who answers for the statistics, for the privacy notice.", show_default=False),
]
Contact = Annotated[
    str | None,
    typer.Option(metavar="TEXT", help="Where visitors may write to, for the privacy notice.", show_default=False),
]
Hosting = Annotated[
    str | None,
    typer.Option(
        metavar="TEXT", help="Where the server stands and who runs it, for the privacy notice.", show_default=False
    ),
]


@app.command()
def add(
    domain: Domain,
    consent: Consent = None,
    timezone: Timezone = None,
    min_visitors: MinVisitors = None,
    retention_days: RetentionDays = None,
    rate_limit: RateLimit = None,
    hostnames: Hostnames = None,
    controller: Controller = None,
    contact: Contact = None,
    hosting: Hosting = None,
    json: Json = False,
) -> None:
    """Measure a new site. Prints the tag to paste into its pages."""
    with connect() as client:
        settings = _given(consent, timezone, min_visitors, retention_days, rate_limit, hostnames)
        settings |= _named(controller, contact, hosting)
        site = client.post("sites", body={"domain": domain, **settings})
        if json:
            print_json(site)
            return
        say(f"{site['domain']} is measured (consent: {site['consent']}, days: {site['timezone']}).")
        say("Paste this into the <head> of its pages:\n")
        say(f'  <script defer data-domain="{site["domain"]}" src="{client.url}/js/tyst.js"></script>')


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
    timezone: Timezone = None,
    min_visitors: MinVisitors = None,
    retention_days: RetentionDays = None,
    rate_limit: RateLimit = None,
    hostnames: Hostnames = None,
    controller: Controller = None,
    contact: Contact = None,
    hosting: Hosting = None,
    json: Json = False,
) -> None:
    """Change a site's settings; what is left out stays."""
    settings = _given(consent, timezone, min_visitors, retention_days, rate_limit, hostnames)
    settings |= _named(controller, contact, hosting)
    if not settings:
        raise typer.BadParameter("name at least one setting to change, such as --consent limited")
    with connect() as client:
        try:
            site = client.put("sites", domain, body=settings)
        except Refused as error:
            raise near_misses(client, domain, error) from None
    if json:
        print_json(site)
        return
    say(f"{domain}: " + ", ".join(f"{name} is now {_shown(site[name])}" for name in settings))


@app.command()
def remove(domain: Domain, json: Json = False) -> None:
    """Stop measuring a site. Its events stay until they are too old, and come back if it is added again."""
    with connect() as client:
        try:
            answer = client.delete("sites", domain)
        except Refused as error:
            raise near_misses(client, domain, error) from None
    if json:
        print_json(answer)
        return
    say(f"{domain} is no longer measured. What was collected stays until it is too old: add it again to see it.")


def near_misses(client: Client, domain: str, error: Refused) -> Refused:
    """The error; where it is an unknown site, with the sites that may have been meant."""
    if error.status != 404:
        return error
    known = [site["domain"] for site in client.get("sites")["sites"]]
    near = difflib.get_close_matches(domain, known, n=3, cutoff=0.5)
    if near:
        advice = f"Did you mean {' or '.join(near)}?"
    elif known:
        advice = f"Known: {', '.join(known[:5])}{', …' if len(known) > 5 else ''}."
    else:
        advice = "There are no sites yet; add one with: tyst site add DOMAIN"
    return Refused(error.status, "site", f"{domain} is not known here. {advice}")


def _given(
    consent: str | None,
    timezone: str | None,
    min_visitors: int | None,
    retention_days: int | None,
    rate_limit: int | None,
    hostnames: list[str] | None,
) -> dict[str, Any]:
    fields = {
        "consent": consent,
        "timezone": timezone,
        "min_visitors": min_visitors,
        "retention_days": retention_days,
        "rate_limit": rate_limit,
        "hostnames": hostnames or None,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _named(controller: str | None, contact: str | None, hosting: str | None) -> dict[str, Any]:
    """What only the operator can say, for the privacy notice."""
    fields = {"controller": controller, "contact": contact, "hosting": hosting}
    return {name: value for name, value in fields.items() if value is not None}


def _shown(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
