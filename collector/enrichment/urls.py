"""URL cleaning: the host, the path and the allow-listed campaign tags of a URL.

User info, port, query and (outside hash mode) fragment are dropped; of click identifiers the name is kept, never
the value. What in a path could lead to a person is replaced by a word for its kind, `/reset/:token`; see
`enrichment.pii` for what that is. Path parameters (`;jsessionid=…`) go as the query does, and so does a query whose
`?` somebody has encoded or left out (`/offer%3Femail=…`, `/offer&email=…`). Paths are decoded once,
so that they read as people write them; hosts stay in the ASCII form that browsers send (`xn--…`).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection
from urllib.parse import unquote, unquote_plus

import msgspec

from collector.core.text import without_hidden
from collector.enrichment.pii import is_ordinary, without_private
from collector.sites.hostnames import ascii_host, is_loopback

NO_HOST = "(none)"
"""Host of a page whose URL has none that names a site: a bare path, `file:`, `about:`, an extension."""

TAG_KEYS = {
    "utm_source": "source",
    "source": "source",
    "ref": "source",
    "utm_medium": "medium",
    "utm_campaign": "campaign",
    "utm_content": "content",
    "utm_term": "term",
}
"""Query keys that are kept, and the tag each fills; of several for one tag the first here wins."""

CLICK_IDS = frozenset(
    {
        "gclid", "gbraid", "wbraid", "dclid", "msclkid", "fbclid", "twclid",
        "ttclid", "li_fat_id", "rdt_cid", "sccid", "epik", "yclid",
    }
)  # fmt: skip
"""Query keys whose name alone is kept: click identifiers of advertising networks."""

NUMBERED_TAGS = frozenset({"campaign", "content", "term"})
"""Tags whose values may be long numbers."""

MOST_REFERRER = 2_000

_ORDINARY_HOST = re.compile(r"[a-z]{2,23}(?:[.-][a-z]{1,23})*+")
_HOST = re.compile(r"(?=.{1,253}\Z)[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?")
_IPV4 = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}")
_SUSPECT_HOST = re.compile(r"\d[^.]*\d|[a-z0-9]{24}")
_PATH_PARAMETER = re.compile(r"\?[^?&/=]*=.*|[;&][^;&/=]*=[^;&/]*", re.DOTALL)
_BEGINS_PARAMETER = re.compile(r"[;?&]")
_NUMBER = re.compile(r"[1-9][0-9]{0,19}")
_BORN = re.compile(r"(?:19|20)?[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])[0-9]{4}")
_APPLICATIONS = frozenset({"android-app", "ios-app"})


class CampaignTags(msgspec.Struct, frozen=True):
    """Values of the allow-listed query keys; empty where absent."""

    source: str = ""
    medium: str = ""
    campaign: str = ""
    content: str = ""
    term: str = ""
    click_id: str = ""
    """Name of a click identifier that was there, such as `gclid`."""


class Page(msgspec.Struct, frozen=True):
    """The stored parts of a page's URL."""

    hostname: str
    """Lower case, without `www.` and port; `(none)` when there is none."""
    path: str
    """Decoded and cleaned, beginning with `/`; with the fragment in hash mode."""
    tags: CampaignTags


NO_TAGS = CampaignTags()


def read_page(
    url: str, *, hash_mode: bool, allowed: frozenset[str] = frozenset(), own_hosts: Collection[str] = ()
) -> Page:
    """The stored parts of a page's URL. Never raises.

    `own_hosts` are those of the site, in ASCII: they name no person. `allowed` are further query keys that the site's
    owner wants kept: they stand behind the path in order of their names, `/search?page=2&q=lamp`, with cleaned values.
    """
    rest, _, fragment = url.partition("#")
    rest, _, query = rest.partition("?")
    hostname, path = _host_and_path(rest)
    hostname, path = masked_host(hostname, own_hosts), clean_path(path)
    pairs = _pairs(query) if query else []
    if allowed:
        path += _kept_query(pairs, allowed)
    if hash_mode and fragment:
        route, routed = _split_fragment(fragment)
        path += route
        if routed:
            path += _kept_query(routed, allowed) if route else ""
            pairs += routed
    return Page(hostname, path, _tags(pairs) if pairs else NO_TAGS)


def read_referrer(referrer: str, own_hosts: Collection[str] = ()) -> tuple[str, str]:
    """Host without `www.` and cleaned path (empty for `/`) of a referrer, or two empty texts when it is of no use.
    `own_hosts` are as in `read_page`.

    Of no use: other schemes than http, https and those of apps (`android-app://com.example` has the host
    `com.example`), no host, and the machine the browser runs on.
    """
    rest = referrer[:MOST_REFERRER].partition("#")[0].partition("?")[0]
    scheme, mark, tail = rest.partition("://")
    scheme = scheme.strip().lower()
    if not mark or (scheme not in ("https", "http") and scheme not in _APPLICATIONS):
        return "", ""
    authority, _, path = tail.partition("/")
    host = _host(authority)
    if host == NO_HOST or is_loopback(host):
        return "", ""
    return masked_host(host, own_hosts), clean_path("/" + path).rstrip("/")


def host_of(url: str) -> str:
    """Host of `url` in full, as a site's name, lower case and without `www.`; empty when it has none."""
    host = _host_and_path(url.partition("#")[0].partition("?")[0])[0]
    return "" if host == NO_HOST else host


def clean_path(path: str) -> str:
    """A URL's path, decoded, with what could lead to a person replaced; `/` at least."""
    if path[:1] == "/" and is_ordinary(path):
        return path
    if _BEGINS_PARAMETER.search(path):
        path = _PATH_PARAMETER.sub("", path)
    if "%" in path:
        path = unquote(path)
        path = _PATH_PARAMETER.sub("", path) if _BEGINS_PARAMETER.search(path) else path
    if not path.isprintable():
        path = without_hidden(path)
    path = path.rstrip()
    if not path.startswith("/"):
        path = "/" + path
    return path if is_ordinary(path) else "/".join(map(without_private, path.split("/")))


def clean_value(text: str) -> str:
    """A property's or campaign's value, with what could lead to a person replaced.

    A value that is itself a URL is kept as its scheme, host and cleaned path: of its query nothing is kept.
    """
    if text.startswith(("https://", "http://")):
        host, path = _host_and_path(text.partition("#")[0].partition("?")[0])
        return f"{text.partition('://')[0]}://{masked_host(host)}{clean_path(path)}"
    return without_private(text)


def _host_and_path(rest: str) -> tuple[str, str]:
    """Split a URL without query and fragment. Only web addresses have a host; of `file:` not even the path is kept."""
    scheme, mark, tail = rest.partition("://")
    if mark:
        authority, slash, path = tail.partition("/")
        scheme = scheme.strip().lower()
        if scheme in ("https", "http"):
            return _host(authority), slash + path
        return NO_HOST, "/" if scheme == "file" else slash + path
    return NO_HOST, "/" if re.match(r"\s*[A-Za-z][A-Za-z0-9+.-]*:", rest) else rest.lstrip()


def _host(authority: str) -> str:
    """The host of an authority, lower case, without user info, port and `www.`; `(none)` when it is none."""
    host = authority.lower()
    if _ORDINARY_HOST.fullmatch(host):
        return host.removeprefix("www.")
    host = host.rpartition("@")[2].strip()
    if host.startswith("["):
        return _host_v6(host)
    host = host.partition(":")[0].removesuffix(".")
    if not host.isascii():
        host = ascii_host(host)
    if not _HOST.fullmatch(host):
        return NO_HOST
    return host.removeprefix("www.") or NO_HOST


def masked_host(host: str, own_hosts: Collection[str] = ()) -> str:
    """The host with a star for each label that is drawn by lot, which names a session or a person, not a site. One of
    `own_hosts` stays as it is, also at the end of a longer one."""
    if _SUSPECT_HOST.search(host) is None or _IPV4.fullmatch(host) or host.startswith("["):
        return host
    labels, rest = [], host
    while rest and rest not in own_hosts:
        label, _, rest = rest.partition(".")
        labels.append(label if without_private(label) == label else "*")
    return ".".join([*labels, rest] if rest else labels)


def _host_v6(host: str) -> str:
    try:
        return f"[{ipaddress.IPv6Address(host[1:].partition(']')[0].partition('%')[0])}]"
    except ValueError:
        return NO_HOST


def _pairs(query: str) -> list[tuple[str, str]]:
    """Key and raw value of each part of a query; `&amp;` left in links counts as `&`."""
    parts = (part.partition("=") for part in query.split("&"))
    return [(key.removeprefix("amp;").lower(), value) for key, _, value in parts]


def _tags(pairs: list[tuple[str, str]]) -> CampaignTags:
    found: dict[str, str] = {}
    click_id = ""
    for key, value in pairs:
        if key in TAG_KEYS:
            found.setdefault(key, value)
        elif key in CLICK_IDS:
            click_id = click_id or key
    if not found:
        return CampaignTags(click_id=click_id) if click_id else NO_TAGS
    tags: dict[str, str] = {}
    for key, tag in TAG_KEYS.items():
        if key in found and not tags.get(tag):
            tags[tag] = _tag_value(tag, found[key])
    return CampaignTags(**tags, click_id=click_id)


def _tag_value(tag: str, raw: str) -> str:
    """A tag's value. Advertising networks number their campaigns, advertisements and keywords: such numbers are kept,
    unless they begin as telephone numbers do, or are a date of birth and four digits, as national identity numbers."""
    value = raw.strip()
    if tag in NUMBERED_TAGS and _NUMBER.fullmatch(value) and not _BORN.fullmatch(value):
        return value
    return _value(raw)


def _value(raw: str) -> str:
    """A query's value, decoded once and cleaned."""
    value = unquote_plus(raw) if "%" in raw or "+" in raw else raw
    if not value.isprintable():
        value = without_hidden(value)
    return clean_value(value.strip())


def _kept_query(pairs: list[tuple[str, str]], allowed: frozenset[str]) -> str:
    kept = sorted((key, _value(value)) for key, value in pairs if key in allowed)
    return "?" + "&".join(f"{key}={value}" for key, value in kept) if kept else ""


def _split_fragment(fragment: str) -> tuple[str, list[tuple[str, str]]]:
    """The fragment as part of the path, and the query that it may carry (`#/welcome?ref=x`) or be (`#ref=x`)."""
    fragment = fragment.partition(":~:")[0]
    end = min((at for at in map(fragment.find, "?&") if at >= 0), default=len(fragment))
    route, query = fragment[:end], fragment[end + 1 :]
    if "=" in route:
        return "", _pairs(fragment)
    return "#" + clean_path("/" + route)[1:], _pairs(query) if query else []
