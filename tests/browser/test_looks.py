"""What a reader sees: nothing is cut, left alone or beside its place, at any width, on paper and by keyboard."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import FloatRect, Locator, Page, expect

from tests.browser.accessibility import fits, show
from tests.browser.conftest import NewPerson
from tests.browser.people import signed_in
from tests.length import long
from tests.served import CHROME, Served, served, until

DEMO, EMPTY = "/demo.localhost", "/empty.example"
FILTERS = {"none": "", "page": "?f=is,event:page,/demo/shop", "goal": "?f=is,event:goal,Newsletter Signup"}
FETCHED_AGAIN = """new Promise((done) => {
  document.addEventListener('tyst:refreshed', () => setTimeout(done, 100), { once: true })
  document.dispatchEvent(new Event('tyst:retry'))
})"""
"""Have the report fetched and put in its place, as it is by itself when something has happened."""
PAGES_OF_PDF = re.compile(rb"/Type\s*/Page\b(?!s)")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with some weeks of generated visits, and one site that nobody has visited."""
    with served(tmp_path_factory.mktemp("looks"), "demo", "--events", "12000", "--days", "62") as server:
        server.add_site("empty.example", timezone="Europe/Stockholm")
        yield server


def opened(new_person: NewPerson, demo: Served, path: str, width: int = 1280, **options: Any) -> Page:
    """The admin's tab at that page, in a window of that width."""
    person = new_person(viewport={"width": width, "height": 900}, reduced_motion="reduce", **options)
    return signed_in(person, demo.url, path)


@long
def test_metrics_are_explained_where_nothing_hovers(new_person: NewPerson, demo: Served) -> None:
    """A phone has a list to open, with every metric of the strip."""
    page = opened(new_person, demo, DEMO, 390, has_touch=True, is_mobile=True)
    page.get_by_text("About these metrics").tap()
    names = page.locator(".figures .name").all_inner_texts()
    assert page.locator(".definitions dt").all_inner_texts() == names
    expect(page.locator(".definitions dd").first).to_contain_text("visitors")
    expect(opened(new_person, demo, DEMO).get_by_text("About these metrics")).to_be_hidden()


def box_of(element: Locator) -> FloatRect:
    """Where it stands once it does: the chart is drawn anew when the page's width settles, and has no place until
    then."""
    found: list[FloatRect] = []

    def has_a_place() -> bool:
        box = element.bounding_box()
        found[:] = [box] if box else []
        return box is not None

    until("a place", has_a_place)
    return found[0]


@long
def test_every_row_of_metrics_is_filled(new_person: NewPerson, demo: Served) -> None:
    """Under every filter and at every width each row of the strip reaches as far as the others, and nothing is wider
    than the window."""
    page = opened(new_person, demo, DEMO)
    for query in FILTERS.values():
        page.goto(f"{demo.url}{DEMO}{query}")
        for width in (320, 390, 768, 1280, 1920):
            show(page, "light", width)
            boxes = page.locator(".figures > li").evaluate_all(
                "items => items.map((item) => item.getBoundingClientRect()).map(({top, right}) => [top, right])"
            )
            ends = {top: round(right) for top, right in boxes}
            assert len(set(ends.values())) == 1, (query, width, ends)
            assert len(ends) < len(boxes)
            assert fits(page), (query, width)


@long
@pytest.mark.parametrize("width", [390, 1280])
def test_names_of_rows_have_room(new_person: NewPerson, demo: Served, width: int) -> None:
    """Columns beside a name leave it a third of its panel at least, in three columns of panels, too."""
    # Just after midnight today's panels would have no rows.
    for major in range(140, 144):
        visit = {"n": "pageview", "u": "https://demo.localhost/demo", "d": "demo.localhost", "c": "granted"}
        demo.send(json.dumps(visit), {"User-Agent": CHROME.replace("Chrome/143", f"Chrome/{major}")})
    demo.drain()
    page = opened(new_person, demo, DEMO, width)
    for path in ("", "/realtime", "/journeys/page?page=/demo", "/retention"):
        page.goto(f"{demo.url}{DEMO}{path}")
        expect(page.locator(".panel .rows tbody tr").first).to_be_visible()
        shares = page.locator(".panel .rows tbody th").evaluate_all(
            "names => names.map((name) => name.offsetWidth / name.closest('table').offsetWidth)"
        )
        assert min(shares) > 1 / 3, path


@long
def test_names_are_whole_on_phones(new_person: NewPerson, demo: Served) -> None:
    """Nothing hovers there to ask for the rest; beside the arrow the navigation goes on, and at its end it does not."""
    page = opened(new_person, demo, DEMO, 390)
    names = page.locator(".panel tbody th > :is(a, span):visible").evaluate_all(
        "names => names.map((name) => [name.textContent, name.scrollWidth > name.clientWidth + 1])"
    )
    assert len(names) > 20
    assert [name for name, cut in names if cut] == []
    arrow = "getComputedStyle(document.querySelector('.site-nav'), '::after').opacity"
    until("an arrow", lambda: page.evaluate(arrow) == "1")
    page.locator(".site-nav").evaluate("nav => (nav.scrollLeft = nav.scrollWidth)")
    until("no arrow", lambda: page.evaluate(arrow) == "0")


@long
@pytest.mark.parametrize("path", ["", FILTERS["page"], "/consent", "/status", "/realtime"])
def test_cards_beside_each_other_are_as_high_as_the_longest(new_person: NewPerson, demo: Served, path: str) -> None:
    """None is shorter than its neighbour, and none leaves more free than its neighbour fills."""
    page = opened(new_person, demo, f"{DEMO}{path}")
    rows = page.locator(":is(.panels, .columns) > .card").evaluate_all(
        """cards => Object.values(Object.groupBy(cards, (card) => card.getBoundingClientRect().top)).map((row) =>
            row.map((card) => {
                const height = card.offsetHeight
                card.style.alignSelf = 'start'
                const filled = card.offsetHeight
                card.style.alignSelf = ''
                return [height, filled]
            }))"""
    )
    assert any(len(row) > 1 for row in rows)
    for row in rows:
        assert {height for height, _ in row} == {max(filled for _, filled in row)}


def test_the_peak_is_below_the_highest_line_and_the_cursor_at_a_value(new_person: NewPerson, demo: Served) -> None:
    """The scale ends at a labelled line; wherever the pointer is, the hover line stands at the nearest point."""
    page = opened(new_person, demo, DEMO)
    page.evaluate("document.addEventListener('tyst:chart', ({ detail }) => (window.drawn = detail))")
    page.locator("#figure-pageviews").click()
    until("the chart", lambda: page.evaluate("window.drawn?.chart.dataset.metric") == "pageviews")
    highest, top = page.evaluate(
        """() => [Math.max(...drawn.plot.data.flat().filter((value) => value != null)), drawn.plot.scales.y.max]"""
    )
    lines = page.evaluate("drawn.plot.axes[1]._splits")
    assert highest <= top == lines[-1]
    box = box_of(page.locator(".plot .u-over"))
    page.mouse.move(box["x"] + 0.41 * box["width"], box["y"] + 60)
    line, point = page.evaluate(
        """() => [document.querySelector('.u-cursor-x').getBoundingClientRect().left,
            drawn.plot.over.getBoundingClientRect().left + drawn.plot.valToPos(drawn.plot.cursor.idx, 'x')]"""
    )
    assert abs(line - point) < 1.5


def test_a_drag_opens_a_range_and_a_click_a_day(new_person: NewPerson, demo: Served) -> None:
    """In place, and the address says it; going back shows the whole period again."""
    page = opened(new_person, demo, f"{DEMO}?compare=none")
    over = page.locator(".plot .u-over")
    box = box_of(over)
    page.mouse.move(box["x"] + 200, box["y"] + 80)
    page.mouse.down()
    page.mouse.move(box["x"] + 420, box["y"] + 90, steps=5)
    page.mouse.up()
    expect(page).to_have_url(re.compile(r"period=custom&from=\d{4}-\d\d-\d\d&to=\d{4}-\d\d-\d\d"))
    days = page.locator("#chart tbody tr")
    expect(days).not_to_have_count(30)
    count = days.count()
    assert 4 < count < 12
    over.click(position={"x": 20, "y": 60})
    expect(page).to_have_url(re.compile(r"period=day&date=\d{4}-\d\d-\d\d"))
    page.evaluate("history.back()")
    expect(days).to_have_count(count)


def test_the_chart_is_zoomed_by_keyboard(new_person: NewPerson, demo: Served) -> None:
    """Enter opens what is read; with Shift and arrows several days are."""
    page = opened(new_person, demo, f"{DEMO}?compare=none")
    rows = page.locator("#chart tbody tr")
    first, last = rows.nth(25).get_attribute("data-first"), rows.nth(28).get_attribute("data-first")
    page.locator("[data-plot]").focus()
    for key in ("End", "ArrowLeft", "Shift+ArrowLeft", "Shift+ArrowLeft", "Shift+ArrowLeft", "Enter"):
        page.keyboard.press(key)
    expect(page).to_have_url(re.compile(f"from={first}&to={last}"))
    page.locator("[data-plot]").focus()
    page.keyboard.press("Home")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(f"period=day&date={first}"))


def test_days_are_opened_without_javascript(new_person: NewPerson, demo: Served) -> None:
    """From the table that stands in the chart's place."""
    page = opened(new_person, demo, f"{DEMO}?period=7d", java_script_enabled=False)
    page.locator("#chart th a").first.click()
    expect(page).to_have_url(re.compile(r"period=day&date="))


def test_metrics_are_explained_on_focus_and_put_away(new_person: NewPerson, demo: Served) -> None:
    """By keyboard and by pointing; Escape hides the words until the focus moves, also when the figures are fetched
    again meanwhile."""
    page = opened(new_person, demo, DEMO)
    told = page.locator("#help-visitors")
    expect(told).to_be_hidden()
    page.locator("#figure-visitors").hover()
    expect(told).to_be_visible()
    page.mouse.move(5, 5)
    expect(told).to_be_hidden()
    page.locator("#step-earlier").focus()
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "figure-visitors":
            break
    expect(told).to_be_visible()
    page.keyboard.press("Escape")
    expect(told).to_be_hidden()
    page.evaluate(FETCHED_AGAIN)
    assert page.evaluate("document.activeElement.id") == "figure-visitors"
    expect(told).to_be_hidden()
    page.keyboard.press("Tab")
    expect(page.locator("#help-visits")).to_be_visible()


def test_the_map_tells_its_countries_apart(new_person: NewPerson, demo: Served) -> None:
    """Each number of visitors has a shade of its own, the list is not cut, and the words at the pointer have a unit."""
    page = opened(new_person, demo, f"{DEMO}?countries=map")
    page.locator(".map svg").wait_for()
    rows = page.locator(".map-list tbody tr:visible")
    expect(rows).to_have_count(5)
    codes = rows.evaluate_all("rows => rows.map((row) => row.dataset.code)")
    shades = [page.locator(f'.map [data-code="{code}"]').get_attribute("fill-opacity") for code in codes]
    counts = rows.evaluate_all("rows => rows.map((row) => row.dataset.count)")
    assert len(set(zip(counts, shades, strict=True))) == len(set(counts)) == len(set(shades)) > 1
    cut = page.locator(".map-list").evaluate("list => list.scrollHeight - list.clientHeight")
    assert cut <= 1
    page.locator(".map").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".map .tip strong")).to_contain_text(re.compile(r"\d visitors"))


@long
@pytest.mark.parametrize("width", [320, 390])
def test_tabs_stay_on_one_line(new_person: NewPerson, demo: Served, width: int) -> None:
    """Those of panels and those of the site; the open one is in sight."""
    page = opened(new_person, demo, f"{DEMO}/settings", width)
    for path in ("settings", "goals", "consent"):
        page.goto(f"{demo.url}{DEMO}/{path}")
        expect(page.locator('.site-nav [aria-current="page"]')).to_be_in_viewport(ratio=0.9)
    page.goto(demo.url + DEMO)
    heights = page.locator(".tabs, .site-nav").evaluate_all(
        "lists => lists.map((list) => list.clientHeight / list.querySelector('a').offsetHeight)"
    )
    assert len(heights) == 6
    assert max(heights) < 1.9


def test_lists_of_the_consent_page_end_with_a_whole_row_on_a_phone(new_person: NewPerson, demo: Served) -> None:
    """What is in sight before scrolling, down to the edge of its list."""
    page = opened(new_person, demo, f"{DEMO}/consent", 390)
    apart = page.locator(".consent-groups .scroll").evaluate_all(
        """lists => lists.map((list) => {
            const end = (part) => part.getBoundingClientRect().bottom
            return Math.min(...[...list.querySelectorAll('tbody tr')].map((row) => Math.abs(end(row) - end(list))))
        })"""
    )
    assert len(apart) == 3
    assert max(apart) < 4


@pytest.mark.parametrize("width", [390, 1280])
def test_the_banner_of_the_demonstration_covers_none_of_its_strip(
    new_person: NewPerson, demo: Served, width: int
) -> None:
    """The strip is as high as what it says at that width."""
    page = new_person(viewport={"width": width, "height": 844}, reduced_motion="reduce").new_page()
    page.goto(f"{demo.url}/demo/about")
    expect(page.get_by_role("dialog")).to_be_visible()

    def above() -> bool:
        banner, strip = box_of(page.locator(".cm")), box_of(page.locator(".lab"))
        return 0 < strip["y"] - banner["y"] - banner["height"] < 20

    until("the banner above the strip", above)


def test_an_alert_is_edited_and_removed_beside_its_name_on_a_phone(new_person: NewPerson, demo: Served) -> None:
    """Both on its line, "Edit" first; the form that opens is below them."""
    page = opened(new_person, demo, f"{EMPTY}/alerts", 390)
    page.locator("#kind").select_option("silence")
    page.get_by_role("button", name="Add alert").click()
    entry = page.locator("section:has(#rules-title) .entries li").first
    name, edit, remove = (box_of(entry.locator(part)) for part in ("strong", "summary", "button:has-text('Remove')"))
    assert name["x"] < edit["x"] < remove["x"]
    assert abs(edit["y"] + edit["height"] / 2 - remove["y"] - remove["height"] / 2) < 4
    entry.locator("summary").click()
    assert (
        box_of(entry.get_by_role("button", name="Save"))["y"] > box_of(entry.get_by_role("button", name="Remove"))["y"]
    )


def test_the_preview_of_a_funnel_stays_in_sight(new_person: NewPerson, demo: Served) -> None:
    """Its card ends with what it shows, and follows the form."""
    page = opened(new_person, demo, f"{DEMO}/funnels/edit")
    page.locator("#funnel-form button[type=submit]").last.scroll_into_view_if_needed()
    page.mouse.wheel(0, 2000)
    expect(page.locator("#preview-title")).to_be_in_viewport()


def test_both_edited_sections_of_the_settings_are_saved(new_person: NewPerson, demo: Served) -> None:
    """By the button of either; until then both say that they have changes."""
    page = opened(new_person, demo, f"{EMPTY}/settings")
    page.locator("#controller").fill("Ada")
    page.locator("#timezone").fill("Asia/Tokyo")
    expect(page.locator("#notice [data-changed]")).to_be_visible()
    expect(page.locator("#general [data-changed]")).to_be_visible()
    expect(page.locator("#consent [data-changed]")).to_be_hidden()
    page.locator("#general").get_by_role("button", name="Save").click()
    expect(page.locator("#general [role=status]")).to_have_text("Saved.")
    expect(page.locator("#notice [role=status]")).to_have_text("Saved.")
    expect(page.locator("#controller")).to_have_value("Ada")
    expect(page.locator("#timezone")).to_have_value("Asia/Tokyo")


def test_leaving_with_unsaved_settings_asks_first(new_person: NewPerson, demo: Served) -> None:
    """The browser's own question; who stays has everything as it was typed."""
    page = opened(new_person, demo, f"{EMPTY}/settings")
    asked: list[str] = []

    def stay(dialog: Any) -> None:
        asked.append(dialog.type)
        dialog.dismiss()

    page.on("dialog", stay)
    page.locator("#contact").click()
    page.keyboard.type("ada@empty.example")
    page.get_by_role("link", name="Dashboard").click(no_wait_after=True)
    until("the question", lambda: asked == ["beforeunload"])
    expect(page.locator("#contact")).to_have_value("ada@empty.example")


@pytest.mark.parametrize("path", ["/account", "/users", f"{DEMO}/sharing", f"{DEMO}/people"])
def test_narrow_pages_stand_in_the_middle(new_person: NewPerson, demo: Served, path: str) -> None:
    """As far from the left of the window as from its right."""
    page = opened(new_person, demo, path)
    for width in (1280, 1920):
        show(page, "light", width)
        box = page.locator("main .set-out, main .stack, main .sharing").first.bounding_box()
        assert box is not None
        if page.locator(".set-out").count():
            edges = page.locator(".contents, .set-out > .stack").evaluate_all(
                "parts => [parts[0].getBoundingClientRect().left, parts[1].getBoundingClientRect().right]"
            )
            assert abs(edges[0] - (width - edges[1])) < 40
        else:
            assert abs(box["x"] - (width - box["x"] - box["width"])) < 4


@pytest.mark.parametrize(
    ("scheme", "query"), [("light", ""), ("dark", "?period=7d&countries=map"), ("dark", FILTERS["page"])]
)
def test_the_report_is_one_page_of_paper(new_person: NewPerson, demo: Served, scheme: Any, query: str) -> None:
    """With the chart drawn, dark ink on white whatever the screen, and names of goals whole."""
    page = opened(new_person, demo, f"{DEMO}{query}", color_scheme=scheme)
    assert len(PAGES_OF_PDF.findall(page.pdf(prefer_css_page_size=True))) == 1
    page.emulate_media(media="print", color_scheme=scheme)
    page.set_viewport_size({"width": 688, "height": 1000})
    expect(page.locator(".on-paper svg")).to_be_visible()
    expect(page.locator("#chart table")).to_be_hidden()
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(17, 17, 17)"
    cut = page.locator(".panel tbody th > :is(a, span):visible").evaluate_all(
        "names => names.filter((name) => name.scrollWidth > name.clientWidth + 1).map((name) => name.textContent)"
    )
    assert cut == []


@long
def test_other_reports_are_one_page_of_paper(new_person: NewPerson, demo: Served) -> None:
    """A funnel with its table, journeys, and returning visitors, each without what only a screen can do."""
    page = opened(new_person, demo, f"{DEMO}/funnels")
    funnel = page.locator(".record h3 a").first.get_attribute("href")
    for path in (funnel, f"{DEMO}/journeys", f"{DEMO}/retention"):
        page.goto(f"{demo.url}{path}")
        assert len(PAGES_OF_PDF.findall(page.pdf(prefer_css_page_size=True))) == 1, path
    page.emulate_media(media="print")
    page.goto(f"{demo.url}{funnel}")
    page.set_viewport_size({"width": 688, "height": 1000})
    assert page.locator(".funnel-table").evaluate("table => table.offsetWidth <= table.parentElement.offsetWidth")


def test_shortcuts_are_listed_by_a_key_and_by_a_button(new_person: NewPerson, demo: Served) -> None:
    """The list opens over the page, and closes by Escape."""
    page = opened(new_person, demo, DEMO)
    listed = page.locator("#shortcuts")
    page.keyboard.press("?")
    expect(listed).to_be_visible()
    expect(listed).to_contain_text("Last 7 days")
    page.keyboard.press("Escape")
    expect(listed).to_be_hidden()
    page.locator("#period summary").click()
    page.get_by_role("button", name="Keyboard shortcuts").click()
    expect(listed).to_be_visible()


@pytest.mark.parametrize("width", [390, 1280])
def test_custom_dates_need_no_scrolling(new_person: NewPerson, demo: Served, width: int) -> None:
    """The fields and their button are in sight as soon as the menu is open."""
    page = opened(new_person, demo, DEMO, width)
    page.locator("#period summary").click()
    expect(page.locator("#to")).to_be_in_viewport(ratio=1)
    expect(page.locator("#custom button")).to_be_in_viewport(ratio=1)


def test_a_row_opens_its_page_from_the_keyboard(new_person: NewPerson, demo: Served) -> None:
    """The link is seen when it has the focus."""
    page = opened(new_person, demo, DEMO)
    link = page.locator(".rows .open").first
    link.focus()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Tab")
    expect(link).to_be_focused()
    expect(link).to_have_css("opacity", "1")
    expect(link).to_have_attribute("rel", "noopener noreferrer")
