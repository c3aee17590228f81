"""Path masking of a site: patterns of its owner such as `/patients/*/notes`, and a preview of their effect.

In a pattern `*` stands for anything within a segment, and `**` as the last segment for the rest of the path. Where
the whole path fits, what the stars stand for is replaced by `:hidden`; of several patterns the first that fits counts.
Matching looks each character up at most once for each star's text: there is nothing to backtrack into.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from collector.enrichment.referrer import is_own
from collector.enrichment.text_limits import truncated_page
from collector.enrichment.urls import Page, masked_host, read_page, read_referrer
from collector.sites.model import Site
from collector.sites.registry import own_hosts

HIDDEN = ":hidden"
LONGEST_REMEMBERED = 200
"""Characters of an address: of four bytes each, ten thousand addresses of the longest would take 150 MB."""


class Preview(msgspec.Struct, frozen=True):
    """What a site would store of a page's URL and of its referrer."""

    hostname: str
    path: str
    tags: dict[str, str]
    """Campaign tags by name, those that are there."""
    referrer: str


def hide(path: str, patterns: Sequence[str]) -> str:
    """The path, with what the first fitting pattern hides replaced."""
    segments = path.split("/")
    for pattern in patterns:
        found = _fitted(segments, pattern.split("/"))
        if found is not None:
            return "/".join(found)
    return path


class PageCleaner:
    """Reads the addresses of pages. The last `capacity` that are kept to the letter are remembered: reading one takes
    as long as all else that is done with a beacon's text, and they hold nothing that the tables do not have, too."""

    def __init__(self, capacity: int = 10_000) -> None:
        self._capacity = capacity
        self._known: dict[str, Page] = {}

    @property
    def remembered(self) -> int:
        """How many addresses are in memory now."""
        return len(self._known)

    def read(self, url: str, site: Site, *, hash_mode: bool) -> Page:
        """The stored parts of a page's URL on this site: cleaned, with the owner's allowed keys and masked paths."""
        page = self._known.get(url)
        if page is None:
            allowed, own = frozenset(site.query_keys), own_hosts(site)
            page = read_page(url, hash_mode=hash_mode, allowed=allowed, own_hosts=own)
            if _kept_to_the_letter(url, page):
                if len(self._known) >= self._capacity:
                    self._known.clear()
                self._known[url] = page
        return truncated_page(_hidden(page, site))


def _kept_to_the_letter(url: str, page: Page) -> bool:
    """Whether an address, which has neither query nor fragment, reads the same for every site."""
    if len(url) > LONGEST_REMEMBERED or not url.startswith("https://") or "?" in url or "#" in url:
        return False
    # A host that is only kept as it is the site's own is read otherwise for others.
    host = masked_host(page.hostname)
    return url.removeprefix("https://").removeprefix("www.") == host + page.path


def _hidden(page: Page, site: Site) -> Page:
    """The page without what its site's owner hides."""
    if not site.hidden_paths:
        return page
    ends = [at for at in (page.path.find(mark) for mark in "?#") if at >= 0]
    end = min(ends) if ends else len(page.path)
    hidden = hide(page.path[:end], site.hidden_paths) + page.path[end:]
    return page if hidden == page.path else msgspec.structs.replace(page, path=hidden)


def preview(site: Site, url: str, referrer: str = "") -> Preview:
    """What would be stored of a page that is opened under this address."""
    page = PageCleaner().read(url, site, hash_mode=False)
    host, path = read_referrer(referrer, own_hosts(site))
    tags = {name: value for name, value in msgspec.structs.asdict(page.tags).items() if value}
    return Preview(page.hostname, page.path, tags, "" if is_own(host, page.hostname, own_hosts(site)) else host + path)


def _fitted(segments: Sequence[str], pattern: Sequence[str]) -> list[str] | None:
    """The path's segments with what is hidden replaced, or None when the pattern does not fit."""
    rest = pattern[-1] == "**"
    named = pattern[:-1] if rest else pattern
    if len(segments) < len(named) + rest or (len(segments) > len(named) and not rest):
        return None
    found = []
    for segment, wanted in zip(segments, named, strict=False):
        replaced = _fitted_segment(segment, wanted.split("*"))
        if replaced is None:
            return None
        found.append(replaced)
    return [*found, HIDDEN] if rest else found


def _fitted_segment(segment: str, texts: Sequence[str]) -> str | None:
    """One segment with each star's part replaced. `texts` are what stands between the stars, which take the least."""
    first, last = texts[0], texts[-1]
    if len(texts) == 1:
        return segment if segment == first else None
    if not (segment.startswith(first) and segment.endswith(last) and len(segment) >= len(first) + len(last)):
        return None
    at, end, found = len(first), len(segment) - len(last), first
    for text in texts[1:-1]:
        place = segment.find(text, at, end)
        if place < 0:
            return None
        found += (HIDDEN if place > at else "") + text
        at = place + len(text)
    return found + (HIDDEN if end > at else "") + last
