"""What axe-core finds on a page, and whether the page fits its window."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from playwright.sync_api import Page

from tests.length import by_length
from tests.served import NotInTime, until

AXE = Path(__file__).parents[2] / "dashboard/frontend/node_modules/axe-core/axe.min.js"
SETTLING = 10.0
"""Seconds within which a chart has followed the width of its window."""

Scheme = Literal["light", "dark"]


def violations(page: Page) -> dict[str, list[str]]:
    """Contrast, names, roles, landmarks and order: each rule that does not hold, with where."""
    page.wait_for_load_state()
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE.read_text())
    found = page.evaluate("axe.run(document).then((report) => report.violations)")
    return {f"{page.url} {each['id']}": [node["html"][:200] for node in each["nodes"]] for each in found}


def show(page: Page, scheme: Scheme, width: int) -> None:
    """Give an open page another colour scheme and another width, without movement."""
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    page.set_viewport_size({"width": width, "height": 900})


def fits(page: Page) -> bool:
    """Whether nothing has to be scrolled sideways, once the chart has followed a new width."""
    wanted = "document.documentElement.scrollWidth <= innerWidth"
    try:
        return bool(until("a page as wide as its window", lambda: page.evaluate(wanted), SETTLING))
    except NotInTime:
        return False


def forms(page: Page, narrow: int = 390) -> Sequence[tuple[Scheme, int]]:
    """How a page is looked at: in short, each page in one of two ways, so that both are looked at on some."""
    both: Sequence[tuple[Scheme, int]] = (("light", 1280), ("dark", narrow))
    first = zlib.crc32(urlsplit(page.url).path.encode()) % 2
    return by_length(both[first : first + 1], both)


def shortcomings(page: Page, narrow: int = 390) -> dict[str, list[str]]:
    """What is wrong with an open page in light at a desk's width and in dark at a phone's; in short, in one of them."""
    found: dict[str, list[str]] = {}
    for scheme, width in forms(page, narrow):
        show(page, scheme, width)
        found |= {f"{scheme} {width} {what}": where for what, where in violations(page).items()}
        if not fits(page):
            found[f"{scheme} {width} {page.url}"] = ["too wide"]
    return found
