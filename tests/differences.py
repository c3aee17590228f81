"""The cases in which Tyst does otherwise than Plausible's collector, what it does, and why.

The reasons are word for word those of docs/plausible.md.
"""

from __future__ import annotations

from dataclasses import replace

from tests.contract import (
    CONSOLE,
    LONG_REFERRER,
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
    "A9": because(
        "A name that is too long is cut to 120 characters, and `X-Tyst-Trimmed` says so; Plausible refuses the event.",
        Row((Send({"n": "Buy now " * 16}, trimmed="n"),), ({"name": ("Buy now " * 15).strip()},)),
    ),
    "A10": because(
        "A URL that is too long is shortened so that path and tags survive; Plausible refuses the event.",
        Row(
            (Send({"u": "http://example.com/landing?utm_source=ads&state=" + "s" * 2300}, trimmed="u"),),
            ({"page": "/landing", "source": "ads"},),
        ),
    ),
    "A11": because(
        "Of the visitor's own machine (`file:`, `localhost`, `127.0.0.1`) nothing is counted, unless the site is "
        "called so or lists the host; the other schemes are as there.",
        Row(
            (
                Send({"u": "data:text/html,hi"}, status=400, errors={"url": ["scheme is not allowed"]}),
                Send({"u": "file:///home/me/a.html"}, dropped="excluded"),
                Send({"u": "http://localhost:3000/a"}, dropped="excluded"),
                Send({"u": "javascript:void(0)"}),
                Send({"u": "about:blank"}),
            ),
            ({"hostname": "(none)"},) * 2,
        ),
    ),
    "A21": because(
        "A body may have 16 KiB, not 1,000,000 bytes, and a longer one is answered `413`, not `400`.",
        Row((Send(raw=b" " * 16_385, status=413),), ()),
    ),
    "A22": because(
        "Of a dropped event, answered `202 ok` too, `X-Tyst-Dropped` names the reason; Plausible's header is a count.",
        Row((Send(headers={"sec-gpc": "1"}, dropped="gpc"),), ()),
    ),
    "A23": because(
        "There is one validation. What fails it is answered `400`, or costs a part of the event; nothing fails later.",
        Row((Send({"n": ["x"]}, status=400), Send({"w": "wide"}, trimmed="w")), ({"size": ""},)),
    ),
    "A24": because(
        "No header makes the collector say which address it counts by: an answer never holds one.",
        one({"name": "pageview"}, {"x-debug-request": "true"}),
    ),
    "A25": because(
        "Health is at `/healthz` and `/readyz`; the latter says in words what is wrong.",
        Row((Send(path="/healthz", method="GET", status=200), Send(path="/api/health", method="GET", status=404)), ()),
    ),
    "C8": because(
        "As there; and a referrer is the site's own at or under its name, former names and hostnames, whichever host "
        "the page is on: other subdomains are no source.",
        many(
            ({"r": "http://localhost:4000/"}, {"referrer": "", "source": ""}),
            ({"u": "https://shop.c8.test/", "r": "https://blog.c8.test/"}, {"referrer": "", "channel": "Direct"}),
        ),
    ),
    "C13": because(
        "A referrer is cut to 300 characters of host and path, not to 2,000 of its address.",
        Row(
            (Send({"r": LONG_REFERRER}, trimmed="r"),),
            ({"source": "site.example", "referrer": LONG_REFERRER[8:308]},),
        ),
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
        "Keys and values are measured in characters, not bytes, at the same 300 and 2,000. A longer value is cut and a "
        "longer key left out, and `X-Tyst-Trimmed` says so.",
        Row(
            (
                Send({"p": {"k" * 301: "v", "l": "word " * 401}}, trimmed="p"),
                Send({"p": {"å" * 300: "v"}}),
            ),
            ({"props": {"l": "word " * 400}}, {"props": {"å" * 300: "v"}}),
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
        "Salts change at the site's midnight, not at that of UTC, and each is destroyed when its date is over "
        "everywhere that a site is, not within 48 hours.",
        Row(
            (Send(after=LATE_IN_TOKYO), Send(after=PAST_MIDNIGHT_IN_TOKYO)),
            ({"visits": 1}, {"visits": 1}),
            site={"timezone": "Asia/Tokyo"},
            unequal=("day", "visitor"),
        ),
    ),
    "I5": because(
        "A visit ends at the site's midnight. What follows is a visit of its own, of another visitor: nothing that is "
        "stored links two days.",
        Row(
            (Send(after=LATE_IN_THE_DAY), Send({"u": "http://example.com/b"}, after=600)),
            ({"visits": 1, "bounces": 1}, {"visits": 1, "bounces": 1, "seconds": 0, "entry_page": "/b"}),
            unequal=("visitor", "visit", "day"),
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
