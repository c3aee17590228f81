"""Order of sites: the user's pinned ones first, then by name."""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterable
from typing import Final

from collector.sites.model import Site
from dashboard.access.users import User

MOST_SWITCHED: Final = 12
"""Sites in the menu beside a site's name; the list of sites has all of them, and a search."""


def natural_order(domain: str) -> list[str | int]:
    """A key that sorts numbers within names by their value: shop-2 before shop-10."""
    return [int(part) if index % 2 else part for index, part in enumerate(re.split(r"([0-9]+)", domain))]


def other_sites(sites: Iterable[Site], user: User, current: Site) -> list[Site]:
    """The first sites that the user sees beside the current one."""
    seen = (site for site in sites if site.id != current.id and user.sees(site))
    return heapq.nsmallest(MOST_SWITCHED, seen, key=lambda site: (site.id not in user.pins, natural_order(site.domain)))
