"""HTML scanner for the site check: scripts, including inert ones, and meta policies.

In one pass whose time grows with the page's length only, whatever the page is made of.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from html import unescape
from typing import Final, Literal

Inert = Literal["", "type", "comment", "noscript", "template"]

RUNS: Final = frozenset({"", "module", "text/javascript", "application/javascript", "text/ecmascript"})
"""Types of scripts that browsers run."""

_TAG = re.compile(r"<(/?)([a-zA-Z][^\s/><]{0,40})")
_ATTRIBUTE = re.compile(
    r"""[\s/]*([^\s"'<>/=][^\s<>/=]{0,200})(?:\s{0,20}=\s{0,20}(?:"([^"]{0,9000})"|'([^']{0,9000})'|([^\s"'<>]{1,9000})))?"""
)
_CLOSED_BY: Final = {name: re.compile(rf"</{name}", re.IGNORECASE) for name in ("script", "style", "textarea", "title")}
_HIDING: Final[Mapping[str, Inert]] = {"noscript": "noscript", "template": "template"}


@dataclass(frozen=True, slots=True)
class Script:
    """One script element. `inert` says why browsers do not run it, "" when they do."""

    attributes: Mapping[str, str]
    inner: str
    inert: Inert = ""
    made: bool = False
    """Whether a script of the page makes it; then its attributes are read from that script's text."""

    @property
    def source(self) -> str:
        """Its `src`, "" without."""
        return self.attributes.get("src", "")


@dataclass
class ParsedPage:
    """Scripts and policies found in a page."""

    scripts: list[Script] = field(default_factory=list)
    policies: list[str] = field(default_factory=list)
    """Content of every `meta http-equiv=content-security-policy`."""
    links: list[str] = field(default_factory=list)
    """Addresses of every `link`."""
    base: str = ""
    """The address of the first `base` element."""


def read_source(html: str) -> ParsedPage:
    """Read a page."""
    source = ParsedPage()
    _scan(html, source)
    return source


def _scan(html: str, source: ParsedPage, inert: Inert = "") -> None:
    place, hidden = 0, inert
    while (place := html.find("<", place)) != -1:
        if html.startswith("<!--", place):
            end = html.find("-->", place + 4)
            text = html[place + 4 : end if end != -1 else len(html)]
            if not inert:
                _scan(text, source, "comment")
            place += 4 + len(text)
            continue
        tag = _TAG.match(html, place)
        if tag is None:
            place += 1
            continue
        name = tag[2].lower()
        attributes, place = _attributes(html, tag.end())
        if name in _HIDING and not inert:
            hidden = "" if tag[1] else _HIDING[name]
        elif not tag[1] and name in _CLOSED_BY:
            closing = _CLOSED_BY[name].search(html, place)
            inner = html[place : closing.start() if closing else len(html)]
            place += len(inner)
            if name == "script":
                source.scripts.append(_script(attributes, inner, hidden))
        elif not tag[1] and not hidden:
            _note(name, attributes, source)


def _attributes(html: str, place: int) -> tuple[dict[str, str], int]:
    """Attributes from here to the end of the tag, and the place behind it. The first of a name counts."""
    found: dict[str, str] = {}
    while match := _ATTRIBUTE.match(html, place):
        value = next((group for group in match.groups()[1:] if group is not None), "")
        found.setdefault(match[1].lower(), unescape(value))
        place = match.end()
    while place < len(html) and html[place] in " \t\r\n\f/":
        place += 1
    # Whatever stands here is the end of the tag, or no attribute that we care for.
    return found, place + (1 if html.startswith(">", place) else 0)


def _script(attributes: dict[str, str], inner: str, hidden: Inert) -> Script:
    script = Script(attributes, inner, hidden)
    type_ = attributes.get("type", "").strip().lower()
    return script if hidden or type_ in RUNS else replace(script, inert="type")


def _note(name: str, attributes: dict[str, str], source: ParsedPage) -> None:
    if name == "meta" and attributes.get("http-equiv", "").lower() == "content-security-policy":
        source.policies.append(attributes.get("content", ""))
    elif name == "link":
        source.links.append(attributes.get("href", ""))
    elif name == "base":
        source.base = source.base or attributes.get("href", "")
