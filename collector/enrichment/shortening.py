"""Shortening of URLs that preserves what is stored of them: host, path and campaign tags.

Single-page applications and sign-in pages carry thousands of characters of state in the query or the fragment. Only
allow-listed keys of either are stored, so everything else is removed first.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from collector.enrichment.urls import CLICK_IDS, TAG_KEYS

MAX_PART = 100
"""Characters up to which a `key=value` part of the query counts as short, as in `page=2`."""
MAX_TAG = 200
"""Characters to which tag values are cut when the URL is still too long."""

# An incomplete escape or UTF-8 sequence at the end of a truncated text (RFC 3986, section 2.1; UTF-8).
_HALF = re.compile(r"(?:%[C-Fc-f][0-9A-Fa-f](?:%[89ABab][0-9A-Fa-f]){0,2})?(?:%[0-9A-Fa-f]?)?\Z")


def shortened_url(url: str, length: int) -> str:
    """Cut `url` to `length` characters, at least 2,000. A shorter one stays as it is.

    Removed in this order: long parts of query and fragment that are no campaign tags, short ones, tag values beyond
    200 characters, the end of the path.
    """
    if len(url) <= length:
        return url
    page, _, fragment = url.partition("#")
    path, _, query = page.partition("?")
    route, _, route_query = fragment.partition("?")
    if "=" in route:
        route = ""  # the answer to a sign-in (`#access_token=…`), no path of a single-page application
    parts, route_parts = query.split("&"), route_query.split("&")
    for is_kept in (_is_tag_or_short, _is_tag):
        parts, route_parts = list(filter(is_kept, parts)), list(filter(is_kept, route_parts))
        shortened = _joined(path, parts, route, route_parts)
        if len(shortened) <= length:
            return shortened
    tags = _short_tags([*parts, *route_parts])
    room = length - len(_joined("", tags, "", ())) - bool(route)
    path = _cut(path, room - min(len(route), room // 3))
    return _joined(path, tags, _cut(route, room - len(path)), ())


def _joined(path: str, parts: Iterable[str], route: str, route_parts: Iterable[str]) -> str:
    query, route_query = "&".join(parts), "&".join(route_parts)
    fragment = f"{route}?{route_query}" if route_query else route
    return path + (f"?{query}" if query else "") + (f"#{fragment}" if fragment else "")


def _key(part: str) -> str:
    return part.partition("=")[0].removeprefix("amp;").lower()


def _is_tag(part: str) -> bool:
    key = _key(part)
    return key in TAG_KEYS or key in CLICK_IDS


def _is_tag_or_short(part: str) -> bool:
    return 0 < len(part) <= MAX_PART or _is_tag(part)


def _short_tags(parts: Iterable[str]) -> list[str]:
    """The first value of each tag, truncated; click identifiers without a value, as only their name is stored."""
    tags: dict[str, str] = {}
    for part in parts:
        value = part.partition("=")[2]
        tags.setdefault(_key(part), "" if _key(part) in CLICK_IDS else _cut(value, MAX_TAG))
    return [f"{key}={value}" for key, value in tags.items()]


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else _HALF.sub("", text[:length])
