"""Tyst below a path of another website: every link, form, redirect and cookie leads there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from tests.markup import Markup, read
from tests.served import CHROME, DEADLINE, PASSWORD, Served, served

DOMAIN, PATH = "demo.localhost", "/stats"
# What these say may be the path of a page that was visited.
TEXTS = {"aria-label", "data-label", "data-name", "data-text", "data-title", "placeholder", "title", "value"}


@pytest.fixture(scope="module")
def tyst(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with a week of figures, whose address has a path."""
    directory = tmp_path_factory.mktemp("below")
    public = f"http://stats.localhost{PATH}"
    with served(directory, "demo", "--events", "2000", "--days", "8", TYST_PUBLIC_URL=public) as server:
        yield server


@pytest.fixture
def browser(tyst: Served) -> Iterator[httpx.Client]:
    """A signed-in browser, for which the proxy passes paths on as they are."""
    headers = {"User-Agent": CHROME, "Host": "stats.localhost", "Sec-Fetch-Site": "same-origin"}
    with httpx.Client(base_url=tyst.url, headers=headers, timeout=DEADLINE, trust_env=False) as client:
        signed_in = client.post(f"{PATH}/login", data={"name": "admin", "password": PASSWORD})
        assert (signed_in.status_code, signed_in.headers["location"]) == (303, f"{PATH}/")
        yield client


def addresses(page: Markup) -> set[str]:
    """Every address of this server in a page, whichever attribute has it."""
    given = (item for _, attributes in page.elements for item in attributes.items())
    return {value for name, value in given if name not in TEXTS and value.startswith("/") and value != "/"}


def linked(page: Markup) -> set[str]:
    """Addresses of other pages, and of what the page is made of; not those of forms and streams."""
    return {given[name] for _, given in page.elements for name in ("href", "src") if name in given}


def kind(address: str) -> tuple[str, ...]:
    """Pages of one kind differ in the values of their parameters."""
    parts = urlsplit(address)
    return (parts.path, *(name for name, _ in parse_qsl(parts.query)))


def test_every_page_leads_below_the_path(browser: httpx.Client) -> None:
    """From page to page, and to what they are made of."""
    waiting, seen, pages = [f"{PATH}/"], set[tuple[str, ...]](), 0
    while waiting and pages < 40:
        address = waiting.pop(0)
        if kind(address) in seen:
            continue
        seen.add(kind(address))
        answer = browser.get(address)
        if answer.is_redirect:
            assert answer.headers["location"].startswith(f"{PATH}/"), address
        else:
            assert answer.status_code == 200, address
        if answer.headers["content-type"].startswith("text/html"):
            pages += 1
            page = read(answer.text)
            found = addresses(page)
            assert {each for each in found if not each.startswith(f"{PATH}/")} == set(), address
            waiting += sorted(found & linked(page))
    assert pages == 40


def test_a_proxy_may_take_the_path_away(tyst: Served, browser: httpx.Client) -> None:
    """Beacons, the snippet and pages are reached either way, and the tag has the public address."""
    beacon = {"n": "pageview", "u": f"https://{DOMAIN}/", "d": DOMAIN, "c": "granted"}
    for path in (PATH, ""):
        assert browser.post(f"{path}/api/event", json=beacon).status_code == 202
        assert browser.get(f"{path}/js/tyst.js").headers["content-type"].startswith("text/javascript")
        assert f'src="{PATH}/static/' in browser.get(f"{path}/{DOMAIN}").text
    assert f"http://stats.localhost{PATH}/js/tyst.js" in browser.get(f"{PATH}/{DOMAIN}/install").text
    assert tyst.http.get(f"{PATH}x/login").status_code == 404
    signed_out = tyst.http.get(f"{PATH}/{DOMAIN}")
    assert signed_out.headers["location"] == f"{PATH}/login?next=%2F{DOMAIN}"


@pytest.mark.parametrize("path", ["/metrics", "/readyz"])
def test_what_is_the_operator_s_is_not_below_the_path(tyst: Served, path: str) -> None:
    """A proxy that takes the path away refuses it there, and would pass on what is below the path twice."""
    assert tyst.http.get(path).status_code == 200
    assert tyst.http.get(f"{PATH}{path}").status_code == 404
    assert tyst.http.get(f"{PATH}/healthz").status_code == 200


def test_cookies_of_a_path_are_for_the_path_below(tyst: Served, browser: httpx.Client) -> None:
    """The password of a shared link is remembered for that link."""
    form = {"name": "Board", "password": "for the board"}
    made = browser.post(f"{PATH}/{DOMAIN}/sharing", data=form, follow_redirects=True)
    found = re.search(rf"http://stats\.localhost({PATH}/share/[\w.-]+)", made.text)
    assert found
    path = found[1]
    host = {"Host": "stats.localhost", "Sec-Fetch-Site": "same-origin"}
    opened = tyst.http.post(path, data={"password": form["password"]}, headers=host)
    assert f"Path={path}" in opened.headers["set-cookie"]
