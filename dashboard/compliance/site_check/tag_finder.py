"""Finder of the site's tag in a page: as markup, blocked by a consent manager, or injected by a script."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from dashboard.compliance.site_check.html_scan import ParsedPage, Script

_NAME = re.compile(r"(?:^|/)tyst\.js(?:[?#]|\Z)")
_MADE_SOURCE = re.compile(r"""["'`]([^"'`\s\\<>]{0,500}/tyst\.js)[\\"'`?]""")
_MADE_ATTRIBUTE = re.compile(
    r"""\b(data-(?:domain|consent|cmp|api))\\?["']?\s{0,9}[,:=]\s{0,9}\\?["']([^"'\\]{1,500})\\?["']"""
)
_MANAGERS: Final = re.compile(r"googletagmanager\.com/gtm\.js|/containers?/[\w.]*\.js|GTM-[A-Z0-9]{4,}")


@dataclass(frozen=True, slots=True)
class FoundTags:
    """Tags of a page: those that run, and inert ones."""

    active: tuple[Script, ...]
    inert: tuple[Script, ...]
    manager: bool
    """Whether a tag manager is there, which may add one that cannot be seen from outside."""


def find_tags(source: ParsedPage) -> FoundTags:
    """All tags of a page. Injected ones are searched for only if there is no other."""
    standing = [script for script in source.scripts if _is_tag(script)]
    active = tuple(script for script in standing if not script.inert)
    made = () if active else tuple(filter(None, map(_made, source.scripts)))[:1]
    return FoundTags(
        active=active or made,
        inert=tuple(script for script in standing if script.inert),
        manager=any(_MANAGERS.search(script.source + script.inner) for script in source.scripts),
    )


def _is_tag(script: Script) -> bool:
    # Behind a proxy the file may have any name; the attribute is ours, and Plausible's.
    return bool(script.source) and (bool(_NAME.search(script.source)) or "data-domain" in script.attributes)


def _made(script: Script) -> Script | None:
    """The tag that a script of the page makes, as far as its text tells."""
    source = None if script.inert else _MADE_SOURCE.search(script.inner)
    if source is None:
        return None
    # The text may make other scripts too: what is nearest belongs to it.
    near = script.inner[max(0, source.start() - 1_000) : source.end() + 1_000]
    attributes = {"src": source[1], **dict(_MADE_ATTRIBUTE.findall(near))}
    return Script(attributes, "", made=True)
