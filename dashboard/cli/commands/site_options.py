"""Options of commands that name a site, and those that change its settings."""

from __future__ import annotations

import difflib
import zoneinfo
from typing import Annotated, Literal

import typer

SiteOption = Annotated[str, typer.Option("--site", metavar="DOMAIN", help="The site.")]
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
