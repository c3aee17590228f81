"""Content Security Policy of a page (CSP level 3): what it allows a browser to load."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import httpx

Directives = Mapping[str, tuple[str, ...]]
"""Sources by directive."""

FALLBACKS: Final = {
    "script": ("script-src-elem", "script-src", "default-src"),
    "connect": ("connect-src", "default-src"),
}
"""Directives that decide about a kind of request, the first that is there (CSP 6.8.3)."""

_PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class ResourceRequest:
    """A request that a page would make: its kind, its address, the page, and the script element's own nonce."""

    kind: str
    url: httpx.URL
    page: httpx.URL
    nonce: str = ""
    made: bool = False
    """Whether a script that runs already makes it: `strict-dynamic` lets those pass."""


def read_policies(texts: Iterable[str]) -> list[Directives]:
    """Every policy in these header values or `meta` contents; a comma separates two, and all of them hold."""
    return [_directives(part) for text in texts for part in text.split(",") if part.strip()]


def _directives(text: str) -> Directives:
    found: dict[str, tuple[str, ...]] = {}
    for part in text.split(";"):
        name, *sources = part.split()[:200] or [""]
        if name:
            found.setdefault(name.lower(), tuple(sources))
    return found


def blocking(policies: Iterable[Directives], asked: ResourceRequest) -> str:
    """The directive that forbids the request, "" when none does."""
    for policy in policies:
        directive = next((name for name in FALLBACKS[asked.kind] if name in policy), "")
        if directive and not _allows(policy[directive], asked):
            return directive
    return ""


def _allows(sources: tuple[str, ...], asked: ResourceRequest) -> bool:
    lowered = {source.lower() for source in sources}
    if asked.kind == "script":
        if asked.nonce and f"'nonce-{asked.nonce}'" in sources:
            return True
        if "'strict-dynamic'" in lowered:
            return asked.made
    return any(_matches(source, asked) for source in sources)


def _matches(source: str, asked: ResourceRequest) -> bool:
    url, page, plain = asked.url, asked.page, source.lower()
    if plain == "*":
        return url.scheme in ("http", "https")
    if plain == "'self'":
        return url.host == page.host and _port(url) == _port(page) and _scheme_fits(page.scheme, url.scheme)
    if plain.startswith("'"):
        return False
    if plain.endswith(":") and "/" not in plain:
        return _scheme_fits(plain[:-1], url.scheme)
    scheme, separator, rest = plain.partition("://")
    if not separator:
        scheme, rest = page.scheme, plain
    host, slash, path = rest.partition("/")
    host, _, port = host.rpartition(":") if ":" in host and not host.endswith("]") else (host, "", "")
    return (
        _scheme_fits(scheme, url.scheme)
        and _host_fits(host, url.host)
        and _port_fits(port, url)
        and _path_fits(slash + source.partition("://")[2].partition("/")[2] if separator else slash + path, url.path)
    )


def _scheme_fits(allowed: str, actual: str) -> bool:
    return allowed == actual or (allowed == "http" and actual == "https")


def _host_fits(allowed: str, actual: str) -> bool:
    return actual.endswith(allowed[1:]) if allowed.startswith("*.") else allowed in ("*", actual)


def _port_fits(allowed: str, url: httpx.URL) -> bool:
    if allowed == "*":
        return True
    # A policy for http also lets https on its own port pass (CSP 6.7.2.11).
    return str(_port(url)) == allowed if allowed else url.port is None


def _path_fits(allowed: str, actual: str) -> bool:
    if allowed in ("", "/"):
        return True
    return actual.startswith(allowed) if allowed.endswith("/") else actual == allowed


def _port(url: httpx.URL) -> int | None:
    return url.port or _PORTS.get(url.scheme)
