"""Display names of stored values such as countries and device types, and the reverse."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from dashboard.analytics import funnels_filter, journeys_filter
from dashboard.analytics.dimensions import DIRECT, FUNNEL, JOURNEY, NONE, NOT_SET, find_dimension
from dashboard.i18n import formatting
from dashboard.i18n.translations import N_, _, language, plural
from dashboard.reports.filter_params import key_of
from dashboard.reports.journey_labels import path_title

UNKNOWN: Final = N_("Unknown")
NOTHING: Final = frozenset({"", NOT_SET})
"""What a breakdown has in place of an empty value."""

SIZES: Final[Mapping[str, str]] = {
    "xs": N_("Under 576 px"),
    "sm": N_("576–767 px"),
    "md": N_("768–991 px"),
    "lg": N_("992–1439 px"),
    "xl": N_("1440 px and up"),
}
CONSENT: Final[Mapping[str, str]] = {
    "granted": N_("Website’s own code"),
    "cookie": N_("Saved choice"),
    "tcf": N_("IAB TCF"),
    "gcm": N_("Google Consent Mode"),
    "exempt": N_("Exempt from consent"),
    "imported": N_("Imported"),
    "none": N_("Anonymous count, no consent"),
}
POLICIES: Final[Mapping[str, str]] = {
    "required": N_("Only with consent"),
    "limited": N_("Anonymous counts without consent"),
    "exempt": N_("Everyone who has not refused"),
}
RETENTIONS: Final = {
    1: N_("today only"),
    7: N_("7 days"),
    30: N_("30 days"),
    90: N_("3 months"),
    182: N_("6 months"),
    395: N_("13 months"),
    760: N_("25 months"),
}
"""Retentions to choose from, in days; any number of days can be set by the command line."""
YES_OR_NO: Final[Mapping[str, str]] = {"true": N_("Yes"), "false": N_("No")}
DEVICES: Final[Mapping[str, str]] = {
    "desktop": N_("Desktop"),
    "mobile": N_("Mobile"),
    "tablet": N_("Tablet"),
    "tv": N_("TV"),
}
CHANNELS: Final[Mapping[str, str]] = {
    name: name
    for name in (
        N_("Direct"),
        N_("Referral"),
        N_("Organic Search"),
        N_("Organic Social"),
        N_("Organic Video"),
        N_("Organic Shopping"),
        N_("AI Assistants"),
        N_("Email"),
        N_("Affiliates"),
        N_("Audio"),
        N_("SMS"),
        N_("Mobile Push Notifications"),
        N_("Display"),
        N_("Paid Search"),
        N_("Paid Social"),
        N_("Paid Video"),
        N_("Paid Shopping"),
        N_("Paid Other"),
        N_("Cross-network"),
    )
}
NO_SOURCE: Final[Mapping[str, str]] = {DIRECT: N_("Direct / None")}
_NAMED: Final[Mapping[str, Mapping[str, str]]] = {
    # As the product writes itself; stored as the Stats API of Plausible has it.
    "visit:source": {**NO_SOURCE, "Youtube": "YouTube"},
    "visit:referrer": NO_SOURCE,
    "visit:channel": {**CHANNELS, **NO_SOURCE},
    "visit:size": SIZES,
    "visit:device": DEVICES,
    "visit:consent": CONSENT,
    "visit:engaged": YES_OR_NO,
    "visit:returning": YES_OR_NO,
    "visit:datacenter": YES_OR_NO,
}


def label(dimension: str, value: str, nothing: str = UNKNOWN) -> str:
    """How a value of the dimension reads; `nothing` names the empty value."""
    if value in NOTHING:
        return _(nothing)
    if value == NONE and key_of(dimension):
        return _(nothing)
    if dimension == "visit:country":
        return formatting.country(value)
    if dimension == FUNNEL.name:
        return _funnel_step(value)
    if dimension == JOURNEY.name:
        return path_title(journeys_filter.read_value(value))
    if dimension in _NAMED and value in _NAMED[dimension]:
        return _(_NAMED[dimension][value])
    return _("Banner: {name}").format(name=value) if dimension == "visit:consent" else value


def _funnel_step(text: str) -> str:
    value = funnels_filter.read_value(text)
    if value is None:
        return text
    said = _("{funnel}: dropped off after step {step}") if value.left else _("{funnel}: reached step {step}")
    return said.format(funnel=value.name, step=value.step)


def named_value(dimension: str, text: str) -> str:
    """The value that a reader means by `text`: its name in any case, else the text itself."""
    wanted = text.casefold()
    found = (value for value, name in names(dimension) if wanted in (name.casefold(), value.casefold()))
    value = next(found, None)
    if value is None and wanted == _(UNKNOWN).casefold():
        return NONE if key_of(dimension) else find_dimension(dimension).empty
    return text if value is None else value


def names(dimension: str) -> Iterator[tuple[str, str]]:
    """Values of a dimension that has names for them, with these."""
    if dimension == "visit:country":
        yield from formatting.countries(language()).items()
    for value, name in _NAMED.get(dimension, {}).items():
        yield value, _(name)


def policy_title(policy: str) -> str:
    """A consent policy, as the settings call it."""
    return _(POLICIES[policy])


def consent_text(share: str) -> str:
    """What is counted without consent, and what is known only of that share of the pageviews, which came with it."""
    return _(
        "Without consent, only pageviews are counted. Visitors, visits, custom events and revenue are known for the "
        "{share} with consent."
    ).format(share=share)


def retention_text(days: int) -> str:
    """How long events are kept, in words."""
    return _(RETENTIONS[days]) if days in RETENTIONS else plural("{count} day", "{count} days", days).format(count=days)
