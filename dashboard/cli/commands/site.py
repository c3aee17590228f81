"""`tyst site`: manage sites."""

from __future__ import annotations

import difflib
import sys
import zoneinfo
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import typer

from dashboard.cli.commands.output import Json, print_json, print_table, say
from dashboard.cli.http_client import Client, Refused, connect

app = typer.Typer(no_args_is_help=True, help="The sites that are measured.")

Policy = Literal["required", "limited", "exempt"]
Mode = Literal["off", "mark", "drop"]


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
Receipts = Annotated[
    bool | None,
    typer.Option(
        "--receipts/--no-receipts",
        help="Take evidence of consent only with a receipt that the server issued to the page. Not for a new site.",
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
Datacenter = Annotated[
    Mode | None,
    typer.Option(
        metavar="MODE",
        help="Visits from data centers (TYST_DATACENTER_FILE): off (as it is for a new site), mark, or drop.",
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


HiddenPaths = Annotated[
    list[str] | None,
    typer.Option(
        "--hide",
        metavar="PATTERN",
        help="What the stars of this path pattern stand for is not kept, as in /patients/*/notes. Again for more.",
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


Goals = Annotated[
    list[str] | None,
    typer.Option(
        "--goal",
        metavar="KIND=MATCH",
        help="A goal: event=NAME, page=PATH, outbound, download, form, 404 (each may have =PATTERN), or scroll=PATH. "
        "More after semicolons: name=, depth= (percent, of scroll), currency=. Give it again for more; these replace "
        "the ones there were. --goal '' leaves every custom event a goal.",
        show_default=False,
    ),
]
Strict = Annotated[
    bool | None,
    typer.Option(
        "--strict/--no-strict",
        help="Protect small counts in every breakdown, not only in filtered ones.",
        show_default=False,
    ),
]


def read_goal(text: str) -> dict[str, str]:
    """The fields of a goal from how the command line spells it. Raises `typer.BadParameter`."""
    fields: dict[str, str] = {}
    first, *more = (part.strip() for part in text.split(";"))
    kind, _, match = first.partition("=")
    fields |= {"kind": kind.strip()} | ({"match": match.strip()} if match else {})
    for part in more:
        name, equals, value = part.partition("=")
        if name.strip() not in ("name", "depth", "currency") or not equals:
            raise typer.BadParameter(f"{part!r} of the goal {first!r}: expected name=, depth= or currency=")
        fields[name.strip()] = value.strip()
    return fields


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
    with connect() as client:
        try:
            site = client.put("sites", domain, body=settings)
        except Refused as error:
            raise near_misses(client, domain, error) from None
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
    with connect() as client:
        try:
            site = client.put("sites", domain, body={"domain": new})
        except Refused as error:
            raise near_misses(client, domain, error) from None
    if json:
        print_json(site)
        return
    say(f"{domain} is {site['domain']} now. Its figures are there within seconds; tags of the old name still count.")


@app.command()
def reset(domain: Domain, yes: Yes = False, json: Json = False) -> None:
    """Delete all statistics of a site; its settings stay."""
    with connect() as client:
        _must_be_meant(client, domain, yes)
        answer = client.post("sites", domain, "reset", body={})
    if json:
        print_json(answer)
        return
    say(f"{domain} begins anew: {answer['events']} events and all sums are being deleted.")


@app.command()
def remove(domain: Domain, yes: Yes = False, json: Json = False) -> None:
    """Delete a site with its settings and statistics."""
    with connect() as client:
        _must_be_meant(client, domain, yes)
        answer = client.delete("sites", domain)
    if json:
        print_json(answer)
        return
    say(f"{domain} is no longer measured, and its figures are being deleted.")


def _must_be_meant(client: Client, domain: str, yes: bool) -> None:
    """Raises `Refused` for a site that is not there, and a usage error where its name is not typed."""
    try:
        client.get("sites", domain)
    except Refused as error:
        raise near_misses(client, domain, error) from None
    if yes:
        return
    if not sys.stdin.isatty():
        raise typer.BadParameter("this deletes figures for good: say --yes")
    typed: str = typer.prompt(f"This deletes its figures for good. Type {domain} to go on", err=True)
    if typed.strip() != domain:
        raise typer.BadParameter("that is not its name; nothing was deleted")


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
    from collector.sites.registry import Site
    from dashboard.compliance.site_check.tag_snippets import tag_of

    return tag_of(Site(domain=site["domain"], consent=site["consent"]), site["url"])


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(each["name"] if isinstance(each, dict) else str(each) for each in value) or "none"
    return str(value)
