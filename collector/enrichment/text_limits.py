"""Maximum lengths of an event's stored texts, smaller than those of the wire format. Longer texts are truncated.

A URL on the wire may have 2,000 characters and a beacon 16 KiB, far more than a path, campaign or property needs.
"""

from __future__ import annotations

from typing import Final

import msgspec

from collector.enrichment.urls import NO_TAGS, Page

MAX_LENGTHS: Final = {
    "page": 500,
    "referrer": 300,
    "source": 100,
    "utm_source": 100,
    "utm_medium": 100,
    "utm_campaign": 200,
    "utm_content": 200,
    "utm_term": 200,
}
"""Characters by column. `entry_page` has the limit of `page`; hosts have at most 253 characters, event names 120."""

MAX_PROPERTIES_LENGTH: Final = 4_000
"""Characters of all property keys and values of one event."""


def truncated(column: str, text: str) -> str:
    """The text truncated to the maximum of its column."""
    return text if len(text) <= MAX_LENGTHS[column] else text[: MAX_LENGTHS[column]].rstrip()


def truncated_page(page: Page) -> Page:
    """The page with path and campaign tags truncated."""
    if len(page.path) <= MAX_LENGTHS["page"] and page.tags is NO_TAGS:
        return page
    tags = {name: truncated(f"utm_{name}", getattr(page.tags, name)) for name in _TAGS}
    return Page(page.hostname, truncated("page", page.path), msgspec.structs.replace(page.tags, **tags))


_TAGS = ("source", "medium", "campaign", "content", "term")
