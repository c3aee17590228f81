"""The cases in which Tyst does otherwise than Plausible's collector, what it does, and why.

The reasons are word for word those of docs/plausible.md.
"""

from __future__ import annotations

from dataclasses import replace

from tests.contract import (
    CONSOLE,
    NEVER,
    OLD_MAC,
    SURFING_TAB,
    TWO_PAGES,
    WEBVIEW,
    Row,
    Send,
    agent,
    because,
    located,
    many,
    one,
)

LATE_IN_THE_DAY = 11 * 3600 + 55 * 60
LATE_IN_TOKYO = 2 * 3600
PAST_MIDNIGHT_IN_TOKYO = 3600 + 300

DIFFERENT: dict[str, Row] = {
    "A21": because(
        "A body may have 16 KiB, not 1,000,000 bytes, and a longer one is answered `413`, not `400`.",
        Row((Send(raw=b" " * 16_385, status=413),), ()),
    ),
    "A22": because(
        "Of a dropped event, answered `202 ok` too, `X-Tyst-Dropped` names the reason; Plausible's header is a count.",
        Row((Send(headers={"sec-gpc": "1"}, dropped="gpc"),), ()),
    ),
    "A23": because(
        "There is one validation. Whatever fails it is answered `400`, and nothing fails later.",
        Row((Send({"p": {"k": "v" * 2001}}, status=400),), ()),
    ),
    "A24": because(
        "No header makes the collector say which address it counts by: an answer never holds one.",
        one({"name": "pageview"}, {"x-debug-request": "true"}),
    ),
    "A25": because(
        "Health is at `/healthz` and `/readyz`; the latter says in words what is wrong.",
        Row((Send(path="/healthz", method="GET", status=200), Send(path="/api/health", method="GET", status=404)), ()),
    ),
    "E1": because(
        "The system is called macOS, and versions are major ones only.",
        agent(
            OLD_MAC,
            {"os": "macOS", "os_version": "10", "browser": "Chrome", "browser_version": "70", "device": "desktop"},
        ),
    ),
    "E2": because(
        "A page inside an app is named after the app where it says so, and else Android WebView or iOS WebView, "
        "not Mobile App.",
        agent(WEBVIEW, {"device": "mobile", "browser": "Android WebView"}),
    ),
    "E11": because(
        "Versions are major ones only: a minor one tells visitors apart.",
        agent(SURFING_TAB, {"os_version": "4", "browser_version": "4"}),
    ),
    "E13": because(
        "Televisions and consoles are a class of their own, `tv`, not desktops.",
        agent(CONSOLE, {"device": "tv"}),
    ),
    "F4": because(
        "`B-Forwarded-For` is not read. Forwarding headers count from trusted proxies only, from the right.",
        located("US", {"x-forwarded-for": "216.160.83.56", "b-forwarded-for": "2001:218::1"}),
    ),
    "F5": because(
        "`X-Plausible-IP` is not read: nobody can choose the address that an event is counted by.",
        located("US", {"x-forwarded-for": "216.160.83.56", "x-plausible-ip": "2001:218::1"}),
    ),
    "F8": because(
        "Of the place only the country is kept: no region, no city.",
        located("GB", {"x-forwarded-for": "2.125.160.216"}),
    ),
    "F10": because(
        "`X-Plausible-IP-Type` is not read, and nobody is dropped for whose network they use.",
        located("US", {"x-forwarded-for": "216.160.83.56", "x-plausible-ip-type": "dc_ip"}),
    ),
    "F11": because(
        "Neither is a VPN marked: its visitors have the country of their time zone.",
        replace(
            located("US", {"x-forwarded-for": "216.160.83.56", "x-plausible-ip-type": "anonymous_vpn_ip"}),
            sends=(Send({"z": "Europe/Oslo"}, headers={"x-forwarded-for": "216.160.83.56"}),),
            stored=({"country": "NO"},),
        ),
    ),
    "G7": because(
        "Keys and values are measured in characters, not bytes, at the same 300 and 2,000; the message says so.",
        Row(
            (
                Send(
                    {"p": {"k" * 301: "v"}},
                    status=400,
                    errors={"props": ["keys should have at most 300 characters and values 2000"]},
                ),
                Send({"p": {"å" * 300: "v"}}),
            ),
            ({"props": {"å" * 300: "v"}},),
        ),
    ),
    "G10": because(
        "Revenue needs no goal that was set up before: every event keeps what it brought.",
        many(({"n": "Anything", "$": {"amount": 5, "currency": "SEK"}}, {"revenue": 5, "currency": "SEK"})),
    ),
    "G11": because(
        "Amounts stay in their own currency. Converting them would mean asking somebody for rates.",
        many(
            ({"n": "Order", "$": {"amount": 5, "currency": "SEK"}}, {"revenue": 5, "currency": "SEK"}),
            ({"n": "Order", "$": {"amount": 5, "currency": "EUR"}}, {"revenue": 5, "currency": "EUR"}),
        ),
    ),
    "H9": because(
        "Engagement without a visit that goes on is kept as time on its page, and belongs to no visit.",
        one({"name": "engagement", "visit": 0, "visits": 0, "engaged": 5000}, n="engagement", e=5000),
    ),
    "I1": because(
        "A visitor is a keyed hash of site, address (of IPv6 the /64) and user agent, under the salt of the site's "
        "local date. The page's host is no part of it.",
        Row(
            tuple(Send(headers={"x-forwarded-for": f"2001:db8::{end}"}) for end in (1, 2)), ({}, {}), equal=("visitor",)
        ),
    ),
    "I2": because(
        "Another address, user agent or site is another visitor; another domain of the same site is not.",
        Row(
            (
                Send({"u": "http://example.com/"}),
                Send({"u": "http://example.org/"}),
            ),
            ({}, {}),
            equal=("visitor",),
        ),
    ),
    "I4": because(
        "Salts change at the site's midnight, not at that of UTC, and each is destroyed 30 minutes after its date is "
        "over everywhere that a site is, not within 48 hours.",
        Row(
            (Send(after=LATE_IN_TOKYO), Send(after=PAST_MIDNIGHT_IN_TOKYO)),
            ({"visits": 1}, {"visits": 1}),
            site={"timezone": "Asia/Tokyo"},
            unequal=("day", "visitor"),
        ),
    ),
    "I5": because(
        "A visit goes on over midnight, but under the new day's visitor: no number links two days.",
        Row(
            (Send(after=LATE_IN_THE_DAY), Send({"u": "http://example.com/b"}, after=600)),
            ({"visits": 1}, {"visits": 0, "bounces": -1, "seconds": 600}),
            equal=("visit", "entry_page"),
            unequal=("visitor", "day"),
        ),
    ),
    "I12": because(
        "Each event has the host of its own page; a visit has none.",
        Row(
            (Send({"u": "http://example.com/"}), Send({"u": "http://shop.example.com/"})),
            ({"hostname": "example.com"}, {"hostname": "shop.example.com"}),
            equal=("visit",),
        ),
    ),
    "I14": because(
        "Events of one visitor are taken in one at a time, without a lock to wait for; none is dropped for that.",
        Row(TWO_PAGES, ({}, {}), equal=("visit",)),
    ),
    "J1": because(
        "Above the rate limit, which is per address, the answer is `429` with `Retry-After`: a sender can wait.",
        Row(
            (Send(), Send(status=429, dropped="rate", errors={"request": ["comes too often from one address"]})),
            ({},),
            site={"rate_limit": 1},
        ),
    ),
    "J2": because(
        "A rate limit of 0 is none. A site that shall take nothing is removed.",
        Row((Send(), Send(), Send()), ({}, {}, {}), site={"rate_limit": 0}),
    ),
    "J3": because("The limiter is a table in memory; it has no fault that could be answered.", NEVER),
    "J5": because("There are no subscriptions.", NEVER),
}
