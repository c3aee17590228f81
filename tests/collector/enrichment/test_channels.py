"""Acquisition channels: the first rule that fits."""

from __future__ import annotations

import pytest

from collector.enrichment.channels import CHANNELS, AttributionSignals, channel_of
from collector.enrichment.referrer import kind_of
from collector.enrichment.referrer_sources import KINDS


def clues(source: str = "", medium: str = "", campaign: str = "", click_id: str = "") -> AttributionSignals:
    """Clues of a visit from `source`, as the table of sources knows it."""
    return AttributionSignals(source.lower(), kind_of(source), medium.lower(), campaign.lower(), click_id)


RULED = [
    ("D1", clues("Google", campaign="A Cross-Network campaign"), "Cross-network"),
    ("D2 campaign", clues(campaign="shopping", medium="paid"), "Paid Shopping"),
    ("D2 source", clues("shopify", medium="paid"), "Paid Shopping"),
    ("D3 duckduckgo", clues("duckduckgo", medium="paid"), "Paid Search"),
    ("D3 google", clues("google", medium="paid"), "Paid Search"),
    ("D3 gclid", clues("Google", click_id="gclid"), "Paid Search"),
    ("D3 msclkid", clues("Bing", click_id="msclkid"), "Paid Search"),
    ("D3 gclid elsewhere", clues("Bing", click_id="gclid"), "Organic Search"),
    ("D5 gclid with medium", clues("Google", medium="paidads", click_id="gclid"), "Paid Search"),
    ("D6 tiktok", clues("tiktok", medium="paid"), "Paid Social"),
    ("D6 youtube", clues("youtube", medium="paid"), "Paid Video"),
    ("D7 display", clues("Google", medium="display", click_id="gclid"), "Display"),
    ("D7 banner", clues("Google", medium="banner"), "Display"),
    ("D7 expandable", clues("x", medium="expandable"), "Display"),
    ("D7 interstitial", clues("x", medium="interstitial"), "Display"),
    ("D7 cpm", clues("Google", medium="cpm", click_id="gclid"), "Display"),
    ("D8 cpc", clues(medium="cpc"), "Paid Other"),
    ("D8 ppc", clues("example.org", medium="PPC"), "Paid Other"),
    ("D8 retargeting", clues("example.org", medium="retargeting"), "Paid Other"),
    ("D8 not paid", clues("example.org", medium="unpaid"), "Referral"),
    ("D9 walmart", clues("walmart"), "Organic Shopping"),
    ("D9 temu", clues("Temu"), "Organic Shopping"),
    ("D9 campaign", clues(campaign="shop"), "Organic Shopping"),
    ("D9 eshop", clues(campaign="my-eshop"), "Organic Shopping"),
    ("D9 no shop", clues(campaign="photoshop workshop"), "Direct"),
    ("social", clues("Facebook"), "Organic Social"),
    ("social medium", clues("example.org", medium="social"), "Organic Social"),
    ("forum", clues("Hacker News"), "Organic Social"),
    ("chat", clues("Telegram"), "Organic Social"),
    ("C25", clues("producthunt"), "Organic Social"),
    ("D11 vimeo", clues("vimeo"), "Organic Video"),
    ("D11 medium", clues("example.org", medium="some-video"), "Organic Video"),
    ("C23", clues("ChatGPT"), "AI Assistants"),
    ("search", clues("Startpage"), "Organic Search"),
    ("search medium", clues("example.org", medium="organic"), "Organic Search"),
    ("mail", clues("Gmail"), "Email"),
    ("mail medium", clues("example.org", medium="e-mail"), "Email"),
    ("mail source", clues("newsletter"), "Email"),
    ("D13 affiliate", clues("example.org", medium="affiliate"), "Affiliates"),
    ("D13 audio", clues("example.org", medium="audio"), "Audio"),
    ("D13 sms", clues("example.org", medium="sms"), "SMS"),
    ("D13 sms source", clues("sms"), "SMS"),
    ("D14 push", clues("example.org", medium="web-push"), "Mobile Push Notifications"),
    ("D14 mobile", clues("example.org", medium="app mobile"), "Mobile Push Notifications"),
    ("D14 notification", clues("example.org", medium="notifications"), "Mobile Push Notifications"),
    ("D14 firebase", clues("firebase"), "Mobile Push Notifications"),
    ("D15 referral", clues(medium="referral"), "Referral"),
    ("D15 app", clues(medium="app"), "Referral"),
    ("D15 link", clues(medium="link"), "Referral"),
    ("D15 source", clues("example.org"), "Referral"),
    ("news", clues("BBC"), "Referral"),
    ("D16", clues(), "Direct"),
]


@pytest.mark.parametrize(("visit", "channel"), [row[1:] for row in RULED], ids=[row[0] for row in RULED])
def test_rules(visit: AttributionSignals, channel: str) -> None:
    """The first rule that fits names the channel, whatever the case of the tags."""
    assert channel_of(visit) == channel


def test_every_channel_is_reached() -> None:
    """The table above has an example of every channel, and names no other."""
    assert {channel for _, _, channel in RULED} == set(CHANNELS)


def test_order() -> None:
    """Channels come in the order that the field knows them by."""
    assert CHANNELS == (
        "Cross-network",
        "Paid Shopping",
        "Paid Search",
        "Paid Social",
        "Paid Video",
        "Display",
        "Paid Other",
        "Organic Shopping",
        "Organic Social",
        "Organic Video",
        "AI Assistants",
        "Organic Search",
        "Email",
        "Affiliates",
        "Audio",
        "SMS",
        "Mobile Push Notifications",
        "Referral",
        "Direct",
    )


@pytest.mark.parametrize("kind", ["", *KINDS])
def test_every_kind_has_a_channel(kind: str) -> None:
    """A visit from any kind of source is in some channel, and never in Direct."""
    assert channel_of(AttributionSignals(source="somewhere", kind=kind)) in CHANNELS[:-1]
