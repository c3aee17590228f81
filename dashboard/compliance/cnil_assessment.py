"""The conditions of the audience-measurement exemption, site by site: what can be checked is, the rest is the
operator's to answer. The conditions are those that the French authority (CNIL) has published for trackers that are
exempt from consent: its guidelines and recommendation of 17 September 2020 and its self-assessment for publishers.
"""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from collector.core.resources import resource_path
from collector.ingest.event import COLUMNS
from collector.sites.model import Site
from dashboard.compliance.privacy_notice import facts_of, missing

State = Literal["pass", "fail", "yours"]
"""`yours`: no program can tell, the operator must."""

DISCLAIMER = "A self-assessment by a program, not legal advice. It claims no more than it names; `yours` is for you."

THIRTEEN_MONTHS = 396  # days
TWENTY_FIVE_MONTHS = 762  # days
PLACES = frozenset({"city", "region", "latitude", "longitude", "postcode", "geohash", "address", "ip"})


class Condition(msgspec.Struct, frozen=True):
    """A condition: its name, whether it is met, and the setting or test that shows it."""

    name: str
    state: State
    shown: str


def conditions(site: Site, longest_kept: int = 0) -> list[Condition]:
    """The conditions for one site. `longest_kept` is the longest retention, in days, that any stored row has."""
    lacking = missing(facts_of(site))
    life = cookie_days()
    kept = max(site.retention_days, longest_kept)
    finer = sorted(PLACES & set(COLUMNS))
    return [
        Condition("sole purpose", "yours", "the program measures and does nothing else; what you do with it is yours"),
        Condition("on the publisher's own account", "yours", "you run it; give keys and sign-ins for no other purpose"),
        Condition(
            "anonymous output",
            "pass" if site.min_visitors >= 2 else "fail",
            f"min_visitors = {site.min_visitors} (2 or more folds small groups); "
            "tests/dashboard/analytics/test_small_counts.py",
        ),
        Condition(
            "no cross-referencing",
            "yours",
            "an id ends with its day: tests/collector/erasure/test_retention.py. Join nothing to it",
        ),
        Condition(
            "no transfer",
            "yours",
            f"the program sends nothing; server: {site.hosting}" if site.hosting else "say where it stands: --hosting",
        ),
        Condition(
            "no identifier across sites",
            "pass",
            "tests/collector/privacy/test_visitor_id.py, tests/collector/erasure/test_subject_access.py",
        ),
        Condition(
            "life of the tracker at most 13 months",
            "pass" if life <= THIRTEEN_MONTHS else "fail",
            f"the cookie of the snippet that is served: {life} days, holding only the choice",
        ),
        Condition(
            "data at most 25 months",
            "pass" if kept <= TWENTY_FIVE_MONTHS else "fail",
            f"retention_days = {site.retention_days}, longest of a stored row {longest_kept}; "
            "tests/collector/erasure/test_retention.py",
        ),
        Condition(
            "visitors are informed",
            "fail" if lacking else "pass",
            f"missing in the notice: {', '.join(lacking)}"
            if lacking
            else f"the notice at /privacy/{site.domain} has no blanks; that your pages lead to it is for you to see",
        ),
        Condition(
            "easy opt-out", "pass", f"/privacy/{site.domain}, GPC, DNT; tests/dashboard/web/test_visitor_privacy.py"
        ),
        Condition(
            "place no finer than the city",
            "fail" if finer else "pass",
            "the only place in `events` is country" if not finer else f"columns: {', '.join(finer)}",
        ),
        Condition("only necessary metrics", "yours", "custom events and properties are what you send"),
        Condition("periodic review", "yours", "run this again, and keep what it prints"),
    ]


def cookie_days() -> int:
    """For how many days at most the snippet that is served keeps the visitor's choice: no number in it is larger than
    the cookie's life in seconds. A very large number if it does not say."""
    script = resource_path("tyst.js").read_text(encoding="utf-8")
    numbers = re.findall(r"\b\d+(?:\.\d+)?(?:e\d+)?\b", script)
    return int(max(map(float, numbers))) // 86_400 if "max-age=" in script else 1_000_000
