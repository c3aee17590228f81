"""Occasions: what an alert rule found, and the sentence that says it in a reader's language."""

from __future__ import annotations

import datetime
from typing import Literal

import msgspec

from dashboard.i18n import formatting
from dashboard.i18n.translations import _, plural

OccasionKind = Literal["spike", "drop", "unusual_spike", "unusual_drop", "goal", "silence", "consent"]


class Occasion(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was found, in numbers. `value` is None where it is too small to be told."""

    kind: OccasionKind
    value: int | None = None
    threshold: int = 0
    low: int = 0
    high: int = 0
    weeks: int = 0
    hour: str = ""
    """The hour by the site's clock, ISO 8601, of what is unusual."""
    goal: str = ""


def title(occasion: Occasion, site: str) -> str:
    """The occasion in a few words."""
    match occasion.kind:
        case "spike" | "unusual_spike":
            return _("Traffic spike on {site}").format(site=site)
        case "drop" | "unusual_drop":
            return _("Traffic drop on {site}").format(site=site)
        case "goal":
            return _("Goal reached on {site}: {goal}").format(site=site, goal=occasion.goal)
        case "silence":
            return _("No data from {site}").format(site=site)
    return _("Drop in consent coverage on {site}").format(site=site)


def sentence(occasion: Occasion) -> str:
    """Why the alert was sent, in one sentence."""
    number, most = formatting.number(occasion.value or 0), formatting.number(occasion.threshold)
    match occasion.kind:
        case "spike":
            text = plural(
                "{count} visitor is on the site now; your threshold is {most}.",
                "{count} visitors are on the site now; your threshold is {most}.",
                occasion.value or 0,
            )
        case "drop":
            text = plural(
                "Fewer than {most} visitor in the last 12 hours.",
                "Fewer than {most} visitors in the last 12 hours.",
                occasion.threshold,
            )
        case "goal":
            text = plural(
                "It was reached {count} time today; your threshold is {most}.",
                "It was reached {count} times today; your threshold is {most}.",
                occasion.value or 0,
            )
        case "silence":
            text = plural(
                "No data has been received for {most} hour. Check that the tag is still on the page.",
                "No data has been received for {most} hours. Check that the tag is still on the page.",
                occasion.threshold,
            )
        case "consent":
            text = _("{share} of yesterday’s pageviews came with consent; over the four weeks before it was {before}.")
            return text.format(share=formatting.percent(occasion.low), before=formatting.percent(occasion.high))
        case _:
            return _unusual(occasion, number)
    return text.format(count=number, most=most)


def _unusual(occasion: Occasion, number: str) -> str:
    begins = datetime.datetime.fromisoformat(occasion.hour)
    if occasion.value is None:
        text = _(
            "Unusually few visitors from {first} to {last}; the same hour in the last {weeks} weeks had {low} to "
            "{high}."
        )
    else:
        text = plural(
            "{count} visitor from {first} to {last}; the same hour in the last {weeks} weeks had {low} to {high}.",
            "{count} visitors from {first} to {last}; the same hour in the last {weeks} weeks had {low} to {high}.",
            occasion.value,
        )
    return text.format(
        count=number,
        first=f"{begins:%H:%M}",
        last=f"{begins + datetime.timedelta(hours=1):%H:%M}",
        weeks=occasion.weeks,
        low=formatting.number(occasion.low),
        high=formatting.number(occasion.high),
    )
