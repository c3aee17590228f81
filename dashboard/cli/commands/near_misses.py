"""Sites that may have been meant where there is none of a name."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from contextlib import contextmanager

from dashboard.cli.http_client import Client, Refused


@contextmanager
def known_site(client: Client, domain: str) -> Iterator[None]:
    """What is asked for within is refused as `near_misses` says."""
    try:
        yield
    except Refused as error:
        raise near_misses(client, domain, error) from None


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
