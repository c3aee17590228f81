"""Acquisition channels: the first matching rule of a fixed order.

The order and the words are those that the field knows from Plausible and Google Analytics.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec

DISPLAY_MEDIUMS = frozenset({"display", "banner", "expandable", "interstitial", "cpm"})
SOCIAL_MEDIUMS = frozenset({"social", "social-network", "social-media", "sm", "social network", "social media"})
EMAIL = re.compile(r"e[-_ ]?mail|newsletter")
"""What a source or medium of messages has somewhere in its name: `Newsletter-UK`, `email_weekly`."""
AFFILIATE_MEDIUMS = frozenset({"affiliate", "affiliates"})
REFERRAL_MEDIUMS = frozenset({"referral", "app", "link"})

# What people share with people: a forum's thread and a group's message are social as a feed is.
SOCIAL_KINDS = frozenset({"social", "forum", "chat"})

PAID_SEARCH_CLICKS = {"gclid": "Google", "gbraid": "Google", "wbraid": "Google", "msclkid": "Bing"}
"""Click identifiers that only an advertisement in this search engine adds."""

_PAID = re.compile(r"cp|^ppc$|^retargeting$|^paid")
# "shop" as a word of its own or after a letter e ("eshop"), not the end of "workshop" or "bishop".
_SHOP = re.compile(r"(?:^|[^a-df-z])shop|shopping")


class AttributionSignals(msgspec.Struct, frozen=True):
    """Input of the channel rules, in lower case. `kind` is the kind of the source, or empty."""

    source: str = ""
    kind: str = ""
    medium: str = ""
    campaign: str = ""
    click_id: str = ""

    @property
    def paid(self) -> bool:
        return _PAID.search(self.medium) is not None and self.medium not in DISPLAY_MEDIUMS

    @property
    def shop(self) -> bool:
        return self.kind == "shopping" or _SHOP.search(self.campaign) is not None

    @property
    def clicked_in_search(self) -> bool:
        engine = PAID_SEARCH_CLICKS.get(self.click_id)
        return engine is not None and engine.lower() == self.source and self.medium not in DISPLAY_MEDIUMS


RULES: tuple[tuple[str, Callable[[AttributionSignals], bool]], ...] = (
    ("Cross-network", lambda c: "cross-network" in c.campaign),
    ("Paid Shopping", lambda c: c.paid and c.shop),
    ("Paid Search", lambda c: (c.paid and c.kind == "search") or c.clicked_in_search),
    ("Paid Social", lambda c: c.paid and c.kind in SOCIAL_KINDS),
    ("Paid Video", lambda c: c.paid and c.kind == "video"),
    ("Display", lambda c: c.medium in DISPLAY_MEDIUMS),
    # The server of an advertisement stands where the page would stand that shows it.
    ("Paid Other", lambda c: c.paid or (c.kind == "ads" and not c.medium)),
    ("Organic Shopping", lambda c: c.shop),
    ("Organic Social", lambda c: c.kind in SOCIAL_KINDS or c.medium in SOCIAL_MEDIUMS),
    ("Organic Video", lambda c: c.kind == "video" or "video" in c.medium),
    ("AI Assistants", lambda c: c.kind == "ai"),
    ("Organic Search", lambda c: c.kind == "search" or c.medium == "organic"),
    ("Email", lambda c: c.kind == "mail" or bool(EMAIL.search(c.medium) or EMAIL.search(c.source))),
    ("Affiliates", lambda c: c.medium in AFFILIATE_MEDIUMS),
    ("Audio", lambda c: c.medium == "audio"),
    ("SMS", lambda c: "sms" in (c.medium, c.source)),
    (
        "Mobile Push Notifications",
        lambda c: (
            c.medium.endswith("push") or "mobile" in c.medium or "notification" in c.medium or c.source == "firebase"
        ),
    ),
    ("Referral", lambda c: c.medium in REFERRAL_MEDIUMS or c.source != ""),
)
"""Channels in order, each with its rule; `DIRECT` is what is left."""

DIRECT = "Direct"

CHANNELS: tuple[str, ...] = (*(name for name, _ in RULES), DIRECT)
"""Every channel there is."""


def channel_of(clues: AttributionSignals) -> str:
    """Return the channel of a visit with these `clues`."""
    return next((name for name, fits in RULES if fits(clues)), DIRECT)
