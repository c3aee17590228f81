"""Each thing that the dashboard is for, walked through: on a month of figures, and on a site that has none.

In short on the one where there is more of it to see; at length on both: `python -m bench tests`.
"""

from __future__ import annotations

import csv
import datetime
import itertools
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, StorageState, expect

from dashboard.reports.chart_metrics import MEASURES
from dashboard.reports.panels import PANELS, TABS
from dashboard.reports.revenue import REVENUE_MEASURES
from tests.browser.accessibility import fits, show, violations
from tests.browser.conftest import NewPerson
from tests.browser.people import Owner
from tests.browser.test_filters_and_goals import add_filter
from tests.browser.test_sharing_and_installing import make
from tests.length import AT_LENGTH, by_length, long
from tests.served import Served, served, until
from tests.website import website

FULL, FRESH = "demo.localhost", "fresh"


def on(*short: str) -> pytest.MarkDecorator:
    """The sites on which a walk is done in short; at length it is on both."""
    kinds = by_length(short, (FULL, FRESH))
    return pytest.mark.parametrize("kind", kinds, ids=["figures" if kind == FULL else "fresh" for kind in kinds])


_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def tyst(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with weeks of generated visits, that may look at websites on this machine."""
    directory = tmp_path_factory.mktemp("walk")
    with served(directory, "demo", "--events", "6000", "--days", "40", TYST_VERIFY_NETWORKS="127.0.0.0/8") as server:
        yield server


@pytest.fixture(scope="module")
def signed_in(browser: Any, tyst: Served) -> StorageState:
    """What the browser of somebody who has signed in keeps."""
    person: BrowserContext = browser.new_context()
    Owner(person, tyst.url).sign_in()
    state = person.storage_state()
    person.close()
    return state


Open = Callable[..., Page]


@pytest.fixture
def opened(new_person: NewPerson, signed_in: StorageState, tyst: Served) -> Open:
    """Opens a page as the admin, in a browser of its own."""

    def go(path: str, **options: Any) -> Page:
        page = new_person(storage_state=signed_in, **options).new_page()
        page.goto(tyst.url + path)
        return page

    return go


@pytest.fixture
def site(kind: str, tyst: Served) -> str:
    """The site with figures, or one that was added a moment ago."""
    if kind == FULL:
        return kind
    name = f"fresh{next(_numbers)}.example"
    tyst.add_site(name, timezone="Europe/Stockholm", min_visitors=1)
    return name


def visit(tyst: Served, site: str, path: str = "/", **keys: Any) -> None:
    """Somebody who has agreed looks at a page."""
    beacon = {"n": "pageview", "u": f"https://{site}{path}", "d": site, "c": "granted", **keys}
    answer = tyst.http.post("/api/event", json=beacon)
    assert (answer.status_code, answer.headers.get("x-tyst-dropped")) == (202, None)


@long
@on(FULL)
def test_everything_filters(opened: Open, tyst: Served, site: str) -> None:
    """By a row or by the form; the chip changes, takes several values and goes; the address is all of it, for another
    tab too; and what was chosen is kept as a segment."""
    page = opened(f"/{site}?period=7d")
    if site == FULL:
        for panel in ("Sources", "Pages", "Countries", "Devices", "Goals and events", "Consent"):
            row = page.get_by_role("region", name=panel).locator("tbody a").first
            expect(row).to_have_attribute("href", re.compile("f=is,(visit|event):"))
        page.get_by_role("region", name="Sources").get_by_role("link", name="Google").click()
    else:
        add_filter(page, "Source", "is", "Google")
    chip = page.locator(".chip").first
    expect(chip).to_contain_text("Source is Google")
    page.locator("#chip-1 > summary").click()
    page.get_by_label("Another value").fill("Bing")
    page.get_by_role("button", name="Add", exact=True).click()
    expect(chip).to_contain_text("Source is Google or Bing")
    page.locator("#chip-1 > summary").click()
    page.get_by_role("link", name="is not", exact=True).click()
    expect(chip).to_contain_text("Source is not Google or Bing")
    add_filter(page, "Page", "contains", "shop")
    expect(page.locator(".chip")).to_have_count(2)
    page.go_back()
    expect(page.locator(".chip")).to_have_count(1)
    page.go_forward()
    expect(page.locator(".chip")).to_have_count(2)
    page.reload()
    expect(page.locator(".chip")).to_have_count(2)
    page.locator("#saved > summary").click()
    page.get_by_label("Save these filters as").fill("From afar")
    page.get_by_role("button", name="Save segment").click()
    expect(page.locator("#saved > summary")).to_have_text("Segment: From afar")
    other = opened(page.url.removeprefix(tyst.url))
    expect(other.locator("#saved > summary")).to_have_text("Segment: From afar")
    page.locator("#saved > summary").click()
    page.get_by_role("link", name="Remove the filter Page contains shop").click()
    expect(page.locator(".chip")).to_have_count(1)
    page.goto(f"{tyst.url}/{site}?period=day")
    page.locator("#saved > summary").click()
    page.get_by_role("link", name="From afar").click()
    expect(page.locator("#saved .alternatives li")).to_have_count(2)


UNUSED = {"utm_term"}
"""The tag that the generated visits have none of."""


@long
@on(FULL, FRESH)
def test_every_panel_has_details(opened: Open, tyst: Served, site: str) -> None:
    """Each tab of each panel: a row has a bar, figures and a share, its details sort by every head and are a file with
    as many rows; without figures both say so, and the file has its head alone."""
    page = opened(f"/{site}/details/pages")
    for panel, tab in ((panel, tab) for panel, tabs in TABS.items() for tab in by_length([*tabs][:1], [*tabs])):
        page.goto(f"{tyst.url}/{site}/details/{panel}?period=28d&{panel}={tab}")
        with page.expect_download() as download:
            page.get_by_role("link", name="CSV").click()
        _head, *lines = csv.reader(Path(download.value.path()).read_text().splitlines())
        if site != FULL or tab in UNUSED:
            expect(page.locator("#found .nothing")).to_be_visible()
            assert lines == [], tab
            continue
        rows = page.locator("#found tbody tr")
        assert 0 < rows.count() == min(len(lines), 50), tab
        expect(rows.first.locator(".bar")).to_be_attached()
        expect(rows.first.locator("td").last).to_have_text(re.compile(r"%$|^–$"))
        heads = page.locator("#found thead a")
        assert heads.count() == rows.first.locator("th, td").count(), tab
        heads.last.click()
        expect(page.locator("#found [aria-sort]")).to_have_count(1)
        expect(heads.last.locator("xpath=..")).to_have_attribute("aria-sort", re.compile("ending"))
    assert len(TABS) == len(PANELS)


@long
@on(FULL)
def test_the_chart_is_drawn_compared_read_and_kept(opened: Open, site: str) -> None:
    """Any metric by any step, against the period before, a year before and other dates; by keys, as a table, as a
    picture and as a file. Of a site without figures it is the flat line of what was asked for."""
    page = opened(f"/{site}?period=28d" + ("" if site == FULL else "&f=is,visit:source,Google"))
    plot, table = page.locator("[data-plot]"), page.locator("#chart table")
    for metric in [figure.get_attribute("id") or "" for figure in page.locator("a[id^=figure-]").all()]:
        assert metric.removeprefix("figure-").partition("-")[0] in (*MEASURES, *REVENUE_MEASURES)
        page.locator(f"#{metric}").click()
        expect(page.locator(f"#{metric}[aria-current]")).to_be_visible()
        expect(plot.locator("canvas")).to_be_visible()
    page.locator("#figure-visitors").click()
    expect(page.locator("#figure-visitors[aria-current]")).to_be_visible()
    page.locator("#step-week").click()
    expect(table.locator("tbody th").first).to_contain_text("Week of")
    expect(table.locator("tbody th").last).to_contain_text("so far")
    page.locator("#compare summary").click()
    page.locator("#compare-year").click()
    # What is there by then is not replaced again, with the menu that is opened next.
    expect(page.locator("#compare-year[aria-current]")).to_be_attached()
    # Nothing was counted a year ago, so nothing is compared.
    expect(page.locator(".against")).to_contain_text("no data for")
    expect(table.locator("thead")).not_to_contain_text("Previous period")
    first = datetime.datetime.now(datetime.UTC).date() - datetime.timedelta(days=38)
    page.locator("#compare summary").click()
    page.locator("#compare-from").fill(str(first))
    page.locator("#compare-to").fill(str(first + datetime.timedelta(days=6)))
    page.get_by_role("button", name="Compare").click()
    if site == FULL:
        expect(table.locator("thead")).to_contain_text("Custom dates")
    else:
        expect(page.locator(".against")).to_contain_text(f"{first.day}")
    page.locator(".plot .u-over").hover()
    expect(page.locator(".plot .tip strong")).to_contain_text("visitors")
    plot.focus()
    page.keyboard.press("End")
    expect(page.locator("[data-reading]")).to_contain_text("so far")
    page.locator("#chart-summary").click()
    expect(table).to_be_visible()
    table_begins = '\ufeff"week","visitors"'.encode()
    for name, kind, begins in (
        ("Save chart as PNG", "button", b"\x89PNG"),
        ("Save chart data as CSV", "link", table_begins),
    ):
        page.locator("#download:not([open]) summary").or_(page.locator("#download[open] summary")).first.focus()
        page.locator("#download").evaluate("(menu) => (menu.open = true)")
        with page.expect_download() as download:
            page.get_by_role(kind, name=name).click()  # type: ignore[arg-type]
        assert Path(download.value.path()).read_bytes().startswith(begins)
    page.locator("#add-note summary").click()
    page.locator("#new-note-text").fill("Sale began")
    page.locator("#add-note button").click()
    expect(page.locator(".notes li")).to_contain_text("Sale began")
    expect(page.locator("#chart [data-noted]")).to_have_count(1)
    page.locator(".notes li summary").click()
    page.locator(".notes li").get_by_role("button", name="Delete").click()
    expect(page.locator(".notes li")).to_have_count(0)


@on(FRESH)
def test_the_present_moves(opened: Open, tyst: Served, site: str) -> None:
    """A visit is seen at once: in the count of the half hour, and among the pages."""
    page = opened(f"/{site}/realtime")
    caption = page.locator(".minutes figcaption")
    # The half hour moves on with each minute: what is read and what comes then must be of one.
    until("a minute with time left", lambda: time.time() % 60 < 45)
    before = int((caption.text_content() or "").split()[0])
    for _ in range(2):
        visit(tyst, site, "/walked")
    expect(caption).to_have_text(re.compile(rf"^{before + 2} "))
    expect(page.locator("[data-now]")).not_to_have_text("0")
    if site != FULL:
        page.locator("#live-page-1").click()
        expect(page.locator(".chip")).to_contain_text("Page is /walked")


@long
@on(FRESH)
def test_a_goal_is_defined_reached_and_broken_down(opened: Open, tyst: Served, site: str) -> None:
    """By a path with a wildcard; who reaches it is counted with rate, by any breakdown, and events have properties."""
    page = opened(f"/{site}/goals")
    page.get_by_role("radio", name="Page A page was viewed").check()
    page.locator("#match-page").fill("/demo/shop/**")
    page.get_by_label("Name optional").fill("Looked closely")
    page.get_by_role("button", name="Add goal").click()
    expect(page.locator(".record h3")).to_have_text(["Looked closely"])
    if site != FULL:
        page.goto(f"{tyst.url}/{site}?period=day&f=is,event:goal,Looked%20closely")
        expect(page.locator("#figure-visitors strong")).to_have_text("0")
        visit(tyst, site, "/demo/shop/teapot")
        signup: dict[str, Any] = {"n": "Signup", "p": {"plan": "pro"}, "$": {"amount": "99", "currency": "SEK"}}
        visit(tyst, site, **signup)
        tyst.drain()
    page.goto(f"{tyst.url}/{site}?period=28d")
    goals = page.get_by_role("region", name="Goals and events")
    row = goals.locator("tbody tr", has_text="Looked closely")
    expect(row.locator(".share")).to_have_text(re.compile(r"[1-9][\d.]*%"))
    row.get_by_role("link").click()
    expect(page.locator(".chip")).to_contain_text("Goal is Looked closely")
    expect(page.get_by_role("region", name="Devices").locator("th.share")).to_have_text("CR")
    page.goto(f"{tyst.url}/{site}/goals")
    page.get_by_role("button", name="Remove Looked closely").click()
    page.goto(f"{tyst.url}/{site}?period=28d&events=properties")
    expect(goals.locator("tbody tr")).not_to_have_count(0)
    page.goto(f"{tyst.url}/{site}?period=28d")
    revenue = goals.locator("tbody tr", has_text="Purchase" if site == FULL else "Signup")
    expect(revenue).to_contain_text(re.compile("[€¤]|SEK|kr"))


@on(FRESH)
def test_a_site_has_settings_people_and_an_end(opened: Open, new_person: NewPerson, tyst: Served, site: str) -> None:
    """A setting is saved and noted; somebody invited looks and may not change; the last word is typed."""
    page = opened(f"/{site}/settings")
    page.get_by_label("Minimum group size").fill("4")
    page.locator("#keeping").get_by_role("button", name="Save").click()
    expect(page.locator("#keeping [role=status]")).to_contain_text("Saved")
    page.goto(f"{tyst.url}/{site}/people")
    page.get_by_label("Name", exact=True).fill("Vera")
    page.get_by_role("button", name="Create link").click()
    name = f"vera-{site.partition('.')[0]}"
    guest = new_person().new_page()
    guest.goto(page.locator("#made-link").inner_text())
    guest.get_by_label("Choose a user name").fill(name)
    guest.get_by_label("Choose a password").fill("a quiet password")
    guest.get_by_role("button", name="Create account").click()
    expect(guest.get_by_role("heading", name=site)).to_be_visible()
    expect(guest.get_by_role("link", name="Settings")).to_have_count(0)
    page.goto(f"{tyst.url}/{site}/people")
    page.get_by_role("button", name=f"Remove {name}").click()
    page.goto(f"{tyst.url}/{site}/changes")
    expect(page.locator(".log")).to_contain_text("Minimum group size changed")
    page.goto(f"{tyst.url}/{site}/data")
    page.locator("#confirm_reset").fill("something else")
    page.get_by_role("button", name="Delete all data").click()
    expect(page.locator("#confirm_reset-problem")).to_contain_text(f"Type {site}")
    if site != FULL:
        page.locator("#confirm").fill(site)
        page.get_by_role("button", name=f"Delete {site}").click()
        expect(page.get_by_role("heading", name="Sites")).to_be_visible()
        expect(page.get_by_text(site)).to_have_count(0)


@long
@on(FULL)
def test_figures_are_shared_until_the_link_is_revoked(opened: Open, new_person: NewPerson, site: str) -> None:
    """Behind a password, in a frame of a page that was named, and then no more."""
    page = opened(f"/{site}/sharing")
    locked = make(page, "Locked", Password="open the quiet door", Expires_on="2099-12-31")
    with website() as home:
        link = make(page, "Framed", Sites_that_may_embed_it=home.url)
        home.page("/", f"<!doctype html><title>Ours</title>{page.get_by_label('Always dark', exact=True).inner_text()}")
        stranger = new_person().new_page()
        stranger.goto(f"{home.url}/")
        expect(stranger.frame_locator("iframe").locator("#figure-visitors")).to_be_visible()
        stranger.goto(locked)
        stranger.get_by_label("Password").fill("open the quiet door")
        stranger.get_by_role("button", name="Open").click()
        expect(stranger.get_by_role("heading", name=site)).to_be_visible()
    for name in ("Locked", "Framed"):
        page.get_by_role("button", name=f"Revoke the link {name}").click()
    expect(page.get_by_text("No shared links yet.")).to_be_visible()
    stranger.goto(link)
    expect(stranger.get_by_role("heading", name="Page not found")).to_be_visible()


@long
@on(FRESH)
def test_the_tag_is_shown_checked_and_listened_to(opened: Open, tyst: Served, site: str) -> None:
    """For each kind of site; a look at a page says what to mend; what arrives and what does not is there within two
    seconds, and nobody asks while nobody looks."""
    page = opened(f"/{site}/install")
    for variant in ("WordPress", "Google Tag Manager", "Next.js", "HTML"):
        page.get_by_role("link", name=variant, exact=True).click()
        expect(page.locator("#tag")).to_contain_text(site)
    with website() as home:
        home.page("/", "<!doctype html><title>Ours</title>")
        page.get_by_label("Page", exact=True).fill(f"{home.url}/")
        page.get_by_role("button", name="Check", exact=True).click()
        expect(page.locator(".found .failed")).to_contain_text("The page has no tag.")
    receiving = page.locator("#receiving")
    expect(receiving).to_contain_text("Receiving data" if site == FULL else "Waiting for data")
    beacon = f'{{"n":"pageview","u":"https://{site}/","d":"{site}"}}'
    # Under `limited` it is an anonymous count; other tests have sent some to the same server.
    counted = re.search(r"(\d+) events? recorded", receiving.inner_text())
    before = int(counted[1]) if counted else 0
    tyst.send(beacon)
    expect(receiving).to_contain_text(re.compile(f"{before + 1} event") if site == FULL else "no consent (1)")
    page.evaluate("Object.defineProperty(document, 'hidden', { get: () => window.away })")
    page.evaluate("window.away = true")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    tyst.send(beacon)
    with page.expect_event("console", lambda message: message.text == "two turns"):
        page.evaluate("setTimeout(() => console.log('two turns'), 4200)")
    assert asked == []
    page.evaluate("window.away = false; document.dispatchEvent(new Event('visibilitychange'))")
    expect(receiving).to_contain_text(re.compile(f"{before + 2} event") if site == FULL else "no consent (2)")
    visit(tyst, site)
    expect(receiving).to_contain_text(re.compile(r"\d events? recorded"))


@on(FULL)
def test_it_is_all_swedish_for_a_swede(opened: Open, site: str) -> None:
    """Words, numbers, dates and plurals, and those that scripts say; a click makes it English again."""
    page = opened(f"/{site}?period=7d&metric=visit_duration&f=is_not,visit:country,DE", locale="sv-SE")
    expect(page.locator("html")).to_have_attribute("lang", "sv")
    expect(page.locator(".chip")).to_contain_text("Land är inte Tyskland")
    page.locator("[data-plot]").focus()
    page.keyboard.press("Home")
    expect(page.locator("[data-reading]")).to_contain_text(
        re.compile(r"\d+ (jan|feb|mars|apr|maj|juni?|juli?|aug|sep|okt|nov|dec)")
    )
    if site == FULL:
        expect(page.locator("#figure-visit_duration strong")).to_have_text(re.compile(r"\d\s(min|s)"))
        expect(page.locator("#figure-views_per_visit strong")).to_have_text(re.compile(r"^\d,\d\d$"))
    page.get_by_role("button", name="English").click()
    expect(page.locator(".chip")).to_contain_text("Country is not Germany")


PAGES = ("", "/realtime", "/details/pages", "/funnels", "/funnels/edit", "/goals", "/segments", "/consent",
         "/status", "/install", "/sharing", "/settings", "/people", "/data", "/changes")  # fmt: skip
WIDTHS = (1280, 640, 390, 320)


@long
@on(FULL, FRESH)
def test_every_page_fits_and_is_accessible(opened: Open, tyst: Served, site: str) -> None:
    """From a desk to the smallest phone and at twice the size nothing has to be scrolled sideways, and axe-core finds
    nothing: of a site with figures, and in light, other modules ask it about the same pages."""
    page = opened("/account", reduced_motion="reduce")
    found: dict[str, list[str]] = {}
    for path in PAGES:
        page.goto(f"{tyst.url}/{site}{path}")
        for width in WIDTHS:
            show(page, "light", width)
            if not fits(page):
                found[f"{path} {width}"] = ["too wide"]
        if AT_LENGTH:
            found |= {f"light {what}": where for what, where in violations(page).items()}
        if AT_LENGTH or site != FULL:
            show(page, "dark", WIDTHS[-1])
            found |= {f"dark {what}": where for what, where in violations(page).items()}
    assert found == {}
