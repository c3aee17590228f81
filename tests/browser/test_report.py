"""The chart, the present and the map in a real browser, with visits and without, and when the server is away."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser import people
from tests.browser.accessibility import shortcomings, show
from tests.browser.conftest import NewPerson
from tests.length import long
from tests.served import Served, served

DEMO, EMPTY = "/demo.localhost", "/empty.example"
PNG = b"\x89PNG\r\n"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with some weeks of generated visits, and one site that nobody has visited."""
    with served(tmp_path_factory.mktemp("report"), "demo", "--events", "6000", "--days", "40") as server:
        server.add_site("empty.example", timezone="Europe/Stockholm")
        yield server


def opened(person: BrowserContext, demo: Served, path: str) -> Page:
    """The admin's tab at that page."""
    return people.signed_in(person, demo.url, path)


@long
def test_periods_are_chosen_by_menu_arrows_and_keys(person: BrowserContext, demo: Served) -> None:
    """Each is one address; letters do not choose while something is typed, nor once they are turned off."""
    page = opened(person, demo, DEMO)
    page.locator("#period summary").click()
    page.locator("#period-7d").click()
    expect(page).to_have_url(re.compile(r"\?period=7d$"))
    expect(page.locator("#chart tbody tr")).to_have_count(7)
    page.locator("#step-earlier").click()
    expect(page).to_have_url(re.compile(r"\?period=7d&date=\d{4}-\d\d-\d\d$"))
    page.keyboard.press("ArrowRight")
    expect(page).to_have_url(re.compile(r"\?period=7d$"))
    page.keyboard.press("m")
    expect(page).to_have_url(re.compile(r"\?period=month$"))
    page.keyboard.press("x")
    expect(page).to_have_url(re.compile(r"compare=none$"))
    expect(page.locator("#chart th", has_text="Previous period")).to_have_count(0)
    page.keyboard.press("c")
    expect(page.get_by_label("From").first).to_be_focused()
    page.keyboard.press("d")
    expect(page).to_have_url(re.compile("period=month"))
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    page.locator("#keys").uncheck()
    page.keyboard.press("Escape")
    page.locator("h1").click()
    page.keyboard.press("d")
    expect(page).to_have_url(re.compile("period=month"))
    page.locator("#period summary").click()
    page.get_by_role("button", name="Keyboard shortcuts").click()
    page.locator("#keys").check()
    page.keyboard.press("Escape")
    page.locator("h1").click()
    page.keyboard.press("r")
    expect(page).to_have_url(re.compile(f"{DEMO}/realtime"))


@long
def test_the_chart_is_another_metric_by_week_against_last_year(person: BrowserContext, demo: Served) -> None:
    """Metric, steps and comparison are chosen in place, and the address has them all."""
    page = opened(person, demo, DEMO)
    page.locator("#figure-views_per_visit").click()
    expect(page.locator("#figure-views_per_visit[aria-current]")).to_be_visible()
    page.locator("#step-week").click()
    expect(page.locator("#chart th[scope=row]").first).to_contain_text("Week of")
    page.locator("#compare summary").click()
    page.locator("#compare-year").click()
    expect(page).to_have_url(re.compile("bucket=week&compare=year&metric=views_per_visit"))
    # There was no last year: nothing is drawn, and the dates say so.
    expect(page.locator("#chart .legend .before")).to_have_count(0)
    expect(page.locator(".range")).to_contain_text("to compare with")
    page.reload()
    expect(page.locator("#figure-views_per_visit[aria-current]")).to_be_visible()
    expect(page.locator("#step-week[aria-current]")).to_be_visible()


def test_a_finger_reads_the_chart(new_person: NewPerson, demo: Served) -> None:
    """Touching the chart shows the values under the finger."""
    page = opened(new_person(has_touch=True, viewport={"width": 390, "height": 844}), demo, f"{DEMO}?period=7d")
    # By its own position: the chart is drawn anew whenever the report is.
    page.locator(".plot .u-over").tap(position={"x": 150, "y": 40})
    expect(page.locator(".plot .tip strong")).to_contain_text("visitors")


def test_a_note_is_written_changed_and_deleted_in_place(person: BrowserContext, demo: Served) -> None:
    """It stands below the chart, in the table, and is read out with its day; the page is never left."""
    page = opened(person, demo, f"{DEMO}?period=7d")
    page.evaluate("window.untouched = true")
    page.locator("#add-note summary").click()
    page.locator("#new-note-text").fill("Sale began")
    page.locator("#add-note button").click()
    expect(page.locator(".notes li")).to_contain_text("Sale began")
    expect(page).to_have_url(re.compile(r"\?period=7d$"))
    page.locator("[data-plot]").focus()
    page.keyboard.press("End")
    expect(page.locator("[data-reading]")).to_contain_text("Sale began")
    page.locator(".notes li summary").click()
    page.locator(".notes li input[name=text]").fill("Sale ended")
    page.locator(".notes li").get_by_role("button", name="Save").click()
    expect(page.locator(".notes li")).to_contain_text("Sale ended")
    page.locator(".notes li summary").click()
    page.locator(".notes li").get_by_role("button", name="Delete").click()
    expect(page.locator(".notes li")).to_have_count(0)
    assert page.evaluate("window.untouched")


def test_the_chart_is_kept_as_picture_and_numbers(person: BrowserContext, demo: Served) -> None:
    """A PNG that the browser draws, and a file of all metrics by bucket."""
    page = opened(person, demo, f"{DEMO}?period=7d")
    page.locator("#download summary").click()
    with page.expect_download() as picture:
        page.get_by_role("button", name="Save chart as PNG").click()
    assert Path(picture.value.path()).read_bytes().startswith(PNG)
    page.locator("#download[open]").wait_for()
    with page.expect_download() as numbers:
        page.get_by_role("link", name="Save chart data as CSV").click()
    head, *rows = csv.reader(Path(numbers.value.path()).read_text("utf-8-sig").splitlines())
    assert head[:2] == ["day", "visitors"]
    assert len(rows) == 7


def test_the_present_moves_by_itself(person: BrowserContext, demo: Served) -> None:
    """A visit elsewhere changes the page of the last half hour, and today's figures, without anybody's doing."""
    page = opened(person, demo, f"{EMPTY}/realtime")
    expect(page.locator("[data-now]")).to_have_text("0")
    figures = person.new_page()
    figures.goto(f"{demo.url}{EMPTY}?period=day")
    expect(figures.get_by_text("No data yet")).to_be_visible()
    beacon = {"n": "pageview", "u": "https://empty.example/", "d": "empty.example", "c": "granted"}
    assert demo.http.post("/api/event", json=beacon).status_code == 202
    expect(figures.locator("#figure-pageviews strong")).to_have_text("1")
    expect(page.locator("[data-now]")).to_have_text("1")
    expect(page.locator(".minutes figcaption")).to_have_text("1 pageview in the last 30 minutes")


def test_the_map_comes_when_it_is_opened_and_filters(person: BrowserContext, demo: Served) -> None:
    """Nothing of it is fetched before; it is read by keyboard and by hand, and a click filters by the country."""
    fetched: list[str] = []
    person.on("request", lambda request: fetched.append(request.url.rpartition("/")[2]))
    page = opened(person, demo, f"{DEMO}?period=30d")
    page.wait_for_load_state("networkidle")
    assert not {"map.js", "world.json"} & set(fetched)
    page.locator("#countries-tab-2").click()
    sweden = page.locator('.map [data-code="SE"]')
    expect(sweden).to_have_attribute("fill-opacity", "1.000")
    assert page.locator(".map path").count() > 150
    first = page.locator(".map-list tbody tr").first
    page.locator(".map").focus()
    page.keyboard.press("ArrowRight")
    name = first.locator("th").inner_text().strip()
    expect(page.locator("[data-reading-map]")).to_contain_text(f"{name}: {first.locator('td').first.inner_text()}")
    expect(page.locator(".map .tip span")).to_have_text(name)
    page.keyboard.press("Enter")
    expect(page.locator(".chip")).to_contain_text(name)
    expect(page).to_have_url(re.compile(r"countries=map"))
    expect(page.locator(".map svg")).to_be_visible()


def test_a_server_that_fails_is_said_and_asked_again(person: BrowserContext, demo: Served) -> None:
    """The old figures stay, with a word about it and a way to try again."""
    page = opened(person, demo, f"{DEMO}?period=yesterday")
    person.route("**/demo.localhost?**", lambda route: route.abort())
    page.locator("#figure-visits").click()
    expect(page.get_by_role("alert")).to_contain_text("could not be updated")
    expect(page.locator("#figure-visitors[aria-current]")).to_be_visible()
    person.unroute("**/demo.localhost?**")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#trouble")).to_be_hidden()


def test_paper_has_the_numbers_and_no_controls(person: BrowserContext, demo: Served) -> None:
    """Printed, the chart is drawn by the server, every panel is there, and nothing to press."""
    page = opened(person, demo, f"{DEMO}?period=7d")
    expect(page.locator("[data-plot] canvas")).to_be_visible()
    page.emulate_media(media="print")
    expect(page.locator(".on-paper svg")).to_be_visible()
    for gone in ("#period", "#compare", ".plot", "#add-note", ".top", ".more"):
        expect(page.locator(gone).first).to_be_hidden()
    expect(page.locator(".panel").last).to_be_visible()


PATHS = (f"{DEMO}/realtime", f"{EMPTY}/realtime", f"{DEMO}?countries=map", f"{DEMO}?period=all&bucket=week", EMPTY)


@long
def test_axe_finds_nothing_here_either(person: BrowserContext, demo: Served) -> None:
    """With the map drawn, menus open and the present shown; and nothing is wider than the window."""
    page = opened(person, demo, DEMO)
    found: dict[str, list[str]] = {}
    for path in PATHS:
        page.goto(demo.url + path)
        if "map" in path:
            page.locator(".map svg").wait_for()
        for menu in ("", "#period", "#compare") if "realtime" not in path else ("",):
            if menu and page.locator(menu).count():
                page.locator(f"{menu} summary").click()
            found |= {f"{menu} {what}": where for what, where in shortcomings(page, narrow=320).items()}
            show(page, "light", 1280)
    assert found == {}
