"""Markup in every field of a beacon, stored by the real collector: no page makes an element or runs a script of it."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec
import pytest
from playwright.sync_api import Page

from collector.ingest.payload import _Wire
from tests.browser.conftest import USER_AGENT, NewPerson
from tests.browser.people import Owner
from tests.length import long
from tests.served import Served, served

SITE = "markup.test"
MOST_PAGES = 48

PAYLOADS = (
    """<xss-canary></xss-canary><img src=x onerror="ran=1"><script>ran=1</script>""",
    """"'><xss-canary autofocus tabindex=1 onfocus=ran=1></xss-canary><svg onload=ran=1>""",
    """</script></style></textarea></title><xss-canary></xss-canary><script>ran=1</script>""",
    """javascript:ran=1//<xss-canary>{{7*7}}${ran=1}</xss-canary><iframe srcdoc="<script>parent.ran=1</script>">""",
)
FOUND = (
    "() => [...document.querySelectorAll('xss-canary, [onerror], [onload], [onfocus], iframe')].map((e) => e.outerHTML)"
)
FOREIGN = """() => [...document.querySelectorAll('[href], [src], [action], [formaction]')]
  .flatMap((e) => [e.href, e.src, e.action, e.formAction]).filter((it) => /^\\s*(javascript|data):/i.test(it))"""


def beacons(payload: str) -> Iterator[dict[str, Any]]:
    """The payload in each field that there is, and in all at once; some of them are refused or cleaned."""
    plain = {"n": "pageview", "u": f"https://{SITE}/plain", "d": SITE, "c": "granted", "z": "Europe/Stockholm"}
    raw, coded = payload.replace("?", ""), quote(payload, safe="")
    tags = "&".join(f"{key}={coded}" for key in ("utm_source", "utm_medium", "utm_campaign", "utm_content", "utm_term"))
    yield plain | {"u": f"https://{SITE}/{raw}"}
    yield plain | {"u": f"https://{SITE}/{coded}?{tags}&ref={coded}&gclid={coded}&page={coded}#{raw}", "h": 1}
    yield plain | {"u": f"https://{payload}/"}
    yield plain | {"u": payload}
    yield plain | {"r": f"https://search.example/{raw}"}
    yield plain | {"r": f"https://{payload}/{raw}"}
    yield plain | {"r": payload}
    yield plain | {"n": payload[:120], "p": {payload: payload, "plan": payload, payload[:20]: "x"}}
    yield plain | {"n": "Order", "$": {"amount": payload, "currency": "SEK"}}
    yield plain | {"n": "Order", "$": {"amount": "9.5", "currency": payload}}
    yield plain | {"n": "Order", "$": {"amount": "9.5", "currency": "<b>"}}
    for key in ("d", "z", "c", "w", "h", "i", "q", "v", "e", "sd", "k", "l"):
        yield plain | {key: payload[:60]}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server that has taken all of it, under full and limited consent, from a browser that is markup itself."""
    with served(tmp_path_factory.mktemp("markup"), TYST_FLUSH_SECONDS="0.05", TYST_RATE_LIMIT="0") as running:
        running.add_site(SITE, query_keys=["page"])
        running.add_site("limited.markup.test", consent="limited")
        for payload in PAYLOADS:
            for beacon in beacons(payload):
                assert running.send(json.dumps(beacon), {"User-Agent": USER_AGENT}).status_code in (202, 400)
                running.send(json.dumps(beacon | {"d": "limited.markup.test", "c": ""}), {"User-Agent": USER_AGENT})
            named = f"Mozilla/5.0 ({payload}) Firefox/145.0"
            running.send(json.dumps(next(beacons(payload))), {"User-Agent": named, "Referer": payload})
        running.drain()
        yield running


def assert_harmless(page: Page) -> None:
    """Nothing of the payload is an element, an address that runs, or has run."""
    where = page.url
    assert page.evaluate(FOUND) == [], where
    assert page.evaluate(FOREIGN) == [], where
    assert page.evaluate("typeof ran") == "undefined", where
    assert "49${" not in (page.text_content("body") or ""), where


def links(page: Page) -> list[str]:
    """The dashboard's own addresses that the page leads to, those about the sites first."""
    found: list[str] = page.evaluate(
        "() => [...document.querySelectorAll('a[href]')].map((a) => a.getAttribute('href'))"
    )
    own = [link for link in found if link.startswith(("/", "?")) and not link.startswith(("//", "/static", "/js"))]
    at = urlsplit(page.url).path
    return [at + link if link.startswith("?") else link for link in own]


@long
def test_no_page_makes_anything_of_markup(server: Served, new_person: NewPerson) -> None:
    """Every page that the dashboard leads to, the visitors' page and what there is to download, with the content
    security policy switched off, so that it is not the policy that holds."""
    owner = Owner(new_person(bypass_csp=True), server.url)
    owner.sign_in(f"/{SITE}?period=day")
    page = owner.page
    parts = ("consent", "status", "settings", "hygiene", "realtime", "goals", "segments", "data", "changes", "sharing")
    first = [
        f"/{SITE}?period=day",
        "/",
        f"/privacy/{SITE}",
        f"/privacy/{SITE}?lang=sv",
        "/limited.markup.test?period=day",
    ]
    wanted = deque([*first, *(f"/{SITE}/{part}" for part in parts)])
    seen: set[str] = set()
    told = 0
    while wanted and len(seen) < MOST_PAGES:
        path = wanted.popleft()
        # Pages differ by their path and by what is looked at, not by its order.
        key = path if len(seen) < MOST_PAGES // 2 else path.partition("?")[0]
        if key in seen or "logout" in path or "stream" in path:
            continue
        seen.add(key)
        if ".csv" in path or path.startswith("/api/"):
            answer = page.request.get(server.url + path)
            kind = answer.headers.get("content-type", "")
            assert answer.status in (200, 404), path
            assert "html" not in kind or answer.status == 404, path
            assert answer.headers.get("x-content-type-options") == "nosniff", path
            continue
        page.goto(server.url + path)
        assert_harmless(page)
        told += (page.text_content("body") or "").count("<xss-canary")
        wanted.extend(links(page))
    assert told > 50, "the payloads are shown as the text that they are"
    assert len(seen) >= 30


def test_the_search_sees_what_it_looks_for(new_person: NewPerson) -> None:
    """A page that does put the payloads in as markup is told from one that does not."""
    page = new_person().new_page()
    for payload in PAYLOADS:
        page.set_content(f"<!doctype html><body><p title='{payload}'>{payload}</p>")
        with pytest.raises(AssertionError):
            assert_harmless(page)


def test_files_to_take_along_are_no_pages(server: Served) -> None:
    """What a visitor is told as JSON or CSV is of its own type, and no browser takes it for a page."""
    for form in ("json", "csv"):
        answer = server.http.get(f"/api/me?d={SITE}&format={form}", headers={"User-Agent": USER_AGENT})
        assert "xss-canary" in answer.text
        assert answer.headers["content-type"].partition(";")[0] in ("application/json", "text/csv")
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_every_wire_key_is_filled() -> None:
    """What is added to the wire has to be added here."""
    wire = {name.encode_name for name in msgspec.structs.fields(_Wire)}
    assert wire == {key for beacon in beacons("x") for key in beacon}
