"""Redaction of the sender's own user agent and network address from a beacon's texts.

A page may send `navigator.userAgent` as a property, in a URL or as a campaign. Such a text is replaced by `:agent`,
whether it contains the whole user agent, a long part of it, its cleaned form, or its words joined in another way.
Addresses within texts are redacted by `enrichment.pii`; this module redacts hosts that are the sender's address.
"""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import unquote

import msgspec

from collector.enrichment.urls import NO_HOST, NO_TAGS, Page, clean_path, clean_value

AGENT = ":agent"
_JOINTS = re.compile(r"[\W_]+")
_LOOPBACK = ("127.0.0.1", "::1")
"""The machine's own addresses tell nothing of a sender."""

LONG_PART = 40
"""Characters from which a part of the user agent reveals more than a browser's name and version."""


def redact_user_agent(text: str, user_agent: str) -> str:
    """The text, or `:agent` where it contains the user agent."""
    if len(text) < min(len(user_agent), LONG_PART) or not user_agent:
        return text
    words, agents = _known(user_agent)
    small = text.lower()
    if words and not any(word in small for word in words):
        return text
    forms = _forms(text)
    return AGENT if any(_matches(form, agent) for form in forms for agent in agents) else text


def _matches(text: str, agent: str) -> bool:
    """Short user agents have to match exactly, since browser names are ordinary words."""
    return text == agent or (len(agent) >= LONG_PART and agent in text) or (len(text) >= LONG_PART and text in agent)


def redact_sender(page: Page, user_agent: str, address: str) -> Page:
    """The page with its sender redacted from host, path and campaign tags."""
    path = redact_user_agent(page.path, user_agent)
    address = "" if address in _LOOPBACK else address
    if page.tags is NO_TAGS and path is page.path and page.hostname != address:
        return page  # the common case
    tags = {
        name: shown
        for name in page.tags.__struct_fields__
        if (shown := redact_user_agent(tag := getattr(page.tags, name), user_agent)) is not tag
    }
    if path is page.path and not tags and page.hostname != address:
        return page
    return Page(
        NO_HOST if page.hostname == address else page.hostname,
        path if path is page.path else f"/{AGENT}",
        msgspec.structs.replace(page.tags, **tags),
    )


@lru_cache(maxsize=1_024)
def _known(user_agent: str) -> tuple[tuple[str, ...], frozenset[str]]:
    """Words of the user agent, as a quick test, and its normalised forms. In a bounded in-memory cache."""
    return tuple(dict.fromkeys(re.findall(r"[a-z]{4,}", user_agent.lower()))), frozenset(_forms(user_agent))


def _forms(text: str) -> set[str]:
    """Lower-case forms of a text: as sent, percent-decoded, cleaned like values and paths, and its words alone, however
    they are joined (`mozilla-5-0-x11`)."""
    decoded = unquote(unquote(text)) if "%" in text else text
    words = _JOINTS.sub(" ", decoded)
    return {form.lower().strip("/ ") for form in (text, decoded, words, clean_value(decoded), clean_path(decoded))}
