"""The pipeline: what becomes of a beacon, step by step."""

from __future__ import annotations

import datetime
from pathlib import Path

import msgspec
import pytest

from collector.enrichment.client_ip import network_of
from collector.enrichment.geoip import CountryResolver
from collector.enrichment.host_lists import SPAM_FILE, HostList
from collector.ingest.context import BeaconRequest, PipelineServices, Rejection
from collector.ingest.event import COLUMNS, Event
from collector.ingest.payload import Beacon
from collector.ingest.pipeline import STEPS, run
from collector.ingest.visits import VisitTracker
from collector.privacy.consent import Signals
from collector.privacy.visitor_id import FileSalts
from collector.sites.model import Site
from collector.sites.registry import Sites
from collector.storage.document_lock import DocumentLock
from collector.storage.documents import DocumentTable

CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36"
NOON = 1_772_362_800
"""2026-03-01 12:00 in Stockholm."""
MIDNIGHT = NOON + 12 * 3600
"""The end of that day in Stockholm."""


class Kept(DocumentTable[Site]):
    """Records of sites that are given, not stored."""

    def __init__(self, *sites: Site) -> None:
        self._given = {site.domain: site for site in sites}
        self.lock = DocumentLock(None, "sites")  # type: ignore[arg-type] # nothing is changed

    def all(self) -> dict[str, Site]:
        """The given sites."""
        return self._given


def rooms_for(path: Path, *sites: Site) -> PipelineServices:
    """Real rooms, with these sites registered."""
    registered = Sites(Kept(*sites))
    registered.refresh()
    return PipelineServices(
        sites=registered,
        salts=FileSalts(path / "salts"),
        visits=VisitTracker(),
        countries=CountryResolver(),
        spam=HostList(path / SPAM_FILE),
    )


SITE = Site(domain="site.test", timezone="Europe/Stockholm")


@pytest.fixture
def rooms(tmp_path: Path) -> PipelineServices:
    """One site of each policy."""
    others = [
        Site(domain=f"{policy}.test", timezone="Europe/Stockholm", consent=policy) for policy in ("limited", "exempt")
    ]
    return rooms_for(tmp_path, SITE, *others)


def arrival(
    url: str = "https://site.test/",
    *,
    at: int = NOON,
    address: str = "89.160.20.128",
    user_agent: str = CHROME,
    gpc: bool = False,
    dnt: bool = False,
    cookie: str = "",
    prefetch: bool = False,
    **fields: object,
) -> BeaconRequest:
    """A consenting visitor's pageview, changed by `fields` of the beacon."""
    values: dict[str, object] = {"name": "pageview", "url": url, "domains": ("site.test",), "consent": "granted"}
    return BeaconRequest(
        beacon=Beacon(**{**values, **fields}),  # type: ignore[arg-type] # the tests give fields by name
        at=at,
        address=address,
        network=network_of(address),
        user_agent=user_agent,
        signals=Signals(gpc=gpc, dnt=dnt, cookie=cookie),
        prefetch=prefetch,
    )


def kept(outcome: Event | Rejection) -> Event:
    """The event, where one is expected."""
    assert isinstance(outcome, Event)
    return outcome


def test_the_steps_read_as_a_list_of_drops_and_puts() -> None:
    """And nothing is derived from a beacon before it is known that it may be."""
    names = [step.__name__ for step in STEPS]
    assert all(name.startswith(("drop_", "put_")) for name in names)
    assert names.index("drop_without_consent") < names.index("put_page")
    assert names[-4:] == ["put_visitor", "put_visit", "put_origin", "put_visit_counters"]


def test_a_consenting_visitors_pageview_becomes_an_event(rooms: PipelineServices) -> None:
    """Every column, once."""
    event = kept(
        run(
            arrival(
                "https://www.site.test/blog/hello?utm_source=news&utm_medium=email&secret=1#top",
                referrer="https://www.google.com/search?q=me",
                zone="Europe/Oslo",
                width=1280,
                props={"plan": "pro"},
            ),
            "site.test",
            rooms,
        )
    )
    shown = {name: getattr(event, name) for name in COLUMNS if getattr(event, name) not in ("", 0)}
    assert shown.pop("visitor") > 0
    assert shown == {
        "site": "site.test",
        "day": datetime.date(2026, 3, 1),
        "ts": NOON,
        "visit": NOON,
        "name": "pageview",
        "consent": "granted",
        "hostname": "site.test",
        "page": "/blog/hello",
        "entry_page": "/blog/hello",
        "referrer": "google.com/search",
        "source": "news",
        "channel": "Email",
        "utm_source": "news",
        "utm_medium": "email",
        "country": "NO",
        "browser": "Chrome",
        "browser_version": "156",
        "os": "Linux",
        "device": "desktop",
        "size": "lg",
        "visits": 1,
        "bounces": 1,
        "props": {"plan": "pro"},
        "expires": datetime.date(2026, 3, 1) + datetime.timedelta(days=760),
        "seq": 1,
    }


@pytest.mark.parametrize(
    ("came", "reason"),
    [
        (arrival(consent=""), "consent"),
        (arrival(consent="denied"), "consent"),
        (arrival(cookie="denied"), "consent"),
        (arrival(gpc=True), "gpc"),
        (arrival(dnt=True), "dnt"),
        (arrival(prefetch=True), "prefetch"),
        (arrival(user_agent="Googlebot/2.1 (+http://www.google.com/bot.html)"), "bot"),
        (arrival(user_agent=CHROME.replace("Chrome", "HeadlessChrome")), "bot"),
    ],
)
def test_each_refusal_names_its_reason(rooms: PipelineServices, came: BeaconRequest, reason: str) -> None:
    """And leaves no trace in memory."""
    outcome = run(came, "site.test", rooms)
    assert isinstance(outcome, Rejection)
    assert outcome.reason == reason
    assert len(rooms.visits) == 0


def test_an_unknown_site_is_dropped(rooms: PipelineServices) -> None:
    """Whatever it says about consent."""
    assert run(arrival(), "other.test", rooms) == Rejection("unknown_site")


def test_without_consent_the_limited_lane_counts_and_identifies_nobody(rooms: PipelineServices) -> None:
    """Page, referring host and device class; nothing else is even there."""
    came = arrival(
        "https://limited.test/a?utm_campaign=spring",
        consent="",
        referrer="https://blog.example/some/path",
        zone="Europe/Oslo",
        width=400,
        props={"plan": "pro"},
    )
    event = kept(run(came, "limited.test", rooms))
    shown = {name: value for name in COLUMNS if (value := getattr(event, name)) not in ("", 0, {})}
    assert shown == {
        "site": "limited.test",
        "day": datetime.date(2026, 3, 1),
        "ts": NOON,
        "name": "pageview",
        "consent": "none",
        "hostname": "limited.test",
        "page": "/a",
        "referrer": "blog.example",
        "device": "desktop",
        "expires": event.expires,
    }
    assert run(arrival(consent="", name="Signup"), "limited.test", rooms) == Rejection("consent")


def test_with_consent_the_limited_policy_keeps_all(rooms: PipelineServices) -> None:
    """The two lanes stand side by side."""
    assert kept(run(arrival(), "limited.test", rooms)).visitor > 0


def test_the_exempt_policy_collects_unless_refused(rooms: PipelineServices) -> None:
    """The kind of evidence says under which rule."""
    assert kept(run(arrival(consent=""), "exempt.test", rooms)).consent == "exempt"
    assert run(arrival(cookie="denied"), "exempt.test", rooms) == Rejection("consent")


def test_a_visit_has_one_entry_page_source_and_id(rooms: PipelineServices) -> None:
    """Later tags are ignored, sums add up."""
    first = kept(run(arrival("https://site.test/?utm_source=news"), "site.test", rooms))
    second = kept(run(arrival("https://site.test/b?utm_source=other", at=NOON + 40), "site.test", rooms))
    assert (second.visit, second.entry_page, second.source) == (first.visit, "/", "news")
    assert (first.visits + second.visits, first.bounces + second.bounces, second.seconds) == (1, 0, 40)


def test_engagement_belongs_to_its_own_page_and_counts_for_nothing(rooms: PipelineServices) -> None:
    """It may arrive after the next page's beacon."""
    run(arrival("https://site.test/a"), "site.test", rooms)
    run(arrival("https://site.test/b", at=NOON + 5), "site.test", rooms)
    event = kept(
        run(arrival("https://site.test/a", name="engagement", engaged=4500, scroll=54, at=NOON + 5), "site.test", rooms)
    )
    assert (event.page, event.engaged, event.scroll) == ("/a", 4500, 54)
    assert (event.visits, event.bounces, event.seconds) == (0, 0, 0)


def test_sites_never_share_a_visitor(rooms: PipelineServices) -> None:
    """The same browser has unrelated ids on two sites."""
    ids = {kept(run(arrival(), domain, rooms)).visitor for domain in ("site.test", "exempt.test", "limited.test")}
    assert len(ids) == 3


def test_an_ipv6_visitor_is_its_network(rooms: PipelineServices) -> None:
    """Browsers change the lower half of the address by themselves."""
    ids = {
        kept(run(arrival(address=address), "site.test", rooms)).visitor
        for address in ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", "2001:db8:1:3::1")
    }
    assert len(ids) == 2


@pytest.mark.parametrize(
    ("site", "url", "excluded"),
    [
        (Site(domain="site.test", hostnames=("site.test",)), "https://www.site.test/", False),
        (Site(domain="site.test", hostnames=("site.test",)), "https://copy.example/", True),
        (Site(domain="site.test", hostnames=("*.site.test",)), "https://shop.site.test/", False),
        (Site(domain="site.test", hostnames=("*.site.test",)), "https://notsite.test/", True),
        (Site(domain="site.test", hostnames=("стопкоронавирус.рф",)), "http://xn--80aesfpebagmfblc0a.xn--p1ai", False),
        (Site(domain="site.test", hostnames=("*.a5b2c8d9e1f2.example",)), "https://b.a5b2c8d9e1f2.example/", False),
        (Site(domain="site.test", hostnames=("a5b2c8d9e1f2.example",)), "https://a5b2c8d9e1f3.example/", True),
        (Site(domain="site.test", excluded_paths=("/admin/**",)), "https://site.test/admin/users/7", True),
        (Site(domain="site.test", excluded_paths=("/admin/*",)), "https://site.test/admin/users/7", False),
        (Site(domain="site.test", excluded_paths=("/a.b",)), "https://site.test/axb", False),
        (Site(domain="site.test", excluded_countries=("SE",)), "https://site.test/", True),
        (Site(domain="site.test", excluded_countries=("NO",)), "https://site.test/", False),
    ],
)
def test_owners_exclude_hosts_paths_and_countries(tmp_path: Path, site: Site, url: str, *, excluded: bool) -> None:
    """And only those."""
    outcome = run(arrival(url), "site.test", rooms_for(tmp_path, site))
    assert (outcome == Rejection("excluded")) == excluded


def test_spam_referrers_are_dropped(rooms: PipelineServices, tmp_path: Path) -> None:
    """Those of the operator's list, `www.` or not, from when it is there until it is gone."""
    came = arrival(referrer="https://www.best-seo.example/offer")
    assert kept(run(came, "site.test", rooms))
    (tmp_path / SPAM_FILE).parent.mkdir()
    (tmp_path / SPAM_FILE).write_text("# bought links\nbest-seo.example # every day\n\n")
    rooms.spam.refresh()
    assert run(came, "site.test", rooms) == Rejection("spam_referrer")
    (tmp_path / SPAM_FILE).unlink()
    rooms.spam.refresh()
    assert kept(run(came, "site.test", rooms))


def test_owners_may_keep_keys_of_the_query(tmp_path: Path) -> None:
    """As part of the page; all others are gone."""
    own = rooms_for(tmp_path, Site(domain="site.test", query_keys=("page",)))
    assert kept(run(arrival("https://site.test/list?page=2&sid=9"), "site.test", own)).page == "/list?page=2"


def test_private_text_in_names_and_properties_is_replaced(rooms: PipelineServices) -> None:
    """Whatever a site puts there by mistake."""
    came = arrival(name="Mail to ann@example.com", props={"who": "ann@example.com"})
    event = kept(run(came, "site.test", rooms))
    assert "ann" not in msgspec.json.encode(event).decode()


def test_neither_address_nor_user_agent_is_in_any_representation() -> None:
    """What is known of a visitor in memory does not get into a log by accident."""
    came = arrival()
    assert "89.160" not in repr(came)
    assert "Mozilla" not in repr(came)
