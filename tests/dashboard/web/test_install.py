"""From an empty site to the first event: the tag in every form, a look at the page, and what arrives meanwhile."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import anyio
import httpx
import msgspec
import pytest
from clickhouse_connect.driver.client import Client
from starlette.applications import Starlette
from starlette.datastructures import QueryParams

from collector.core.metrics import REASONS, Counters
from collector.core.settings import read_settings
from collector.server.drop_statistics import Dropped
from collector.sites.model import Policy, Site
from collector.storage.client import ClickHouse
from collector.storage.documents import DocumentTable
from dashboard.access.api_keys import ApiKey, ApiKeys
from dashboard.api.site_check import routes as verify_routes
from dashboard.compliance.site_check.cmp_detection import ADAPTERS, BANNERS
from dashboard.compliance.site_check.fetcher import Fetcher
from dashboard.compliance.site_check.inspector import LOOKS_A_MINUTE, Inspector
from dashboard.compliance.site_check.platforms import PLATFORMS
from dashboard.compliance.site_check.tag_snippets import (
    MEASURABLE,
    STUB,
    VARIANTS,
    TagOptions,
    code_of,
    read_wanted,
    tag_of,
)
from dashboard.reports.installation_status import arrivals_of
from dashboard.server.error_handlers import error_handlers
from dashboard.web.routes import routes
from tests.board import BASE, SITE, Board, opened_board
from tests.markup import read
from tests.website import Website, website

LOCAL = read_settings({"TYST_VERIFY_NETWORKS": "127.0.0.0/8"}).verify_networks
ROOT = Path(__file__).parents[3]
SNIPPET = (ROOT / "snippet" / "tyst.js").read_text()
EXAMPLE = Site(domain=SITE)


@pytest.fixture
def board(clickhouse: ClickHouse, database: Client, tmp_path: Path) -> Iterator[Board]:
    """A dashboard with an empty site, the admin signed in, that may look at websites on this machine."""
    with opened_board(clickhouse, database, tmp_path) as opened:
        inspector = Inspector(Fetcher(LOCAL), opened.clock)
        opened.dashboard = dataclasses.replace(opened.dashboard, inspector=inspector)
        opened.app = Starlette(routes=routes(opened.dashboard), exception_handlers=error_handlers(opened.dashboard))
        opened.add_site(SITE)
        opened.sign_in()
        yield opened


@pytest.fixture
def site() -> Iterator[Website]:
    """The website that the tag goes into, which also passes the script on."""
    with website() as running:
        running.answers["/js/tyst.js"] = (200, {"content-type": "text/javascript"}, SNIPPET.encode())
        yield running


# ---- The tag


def test_the_tag_says_what_the_snippet_reads() -> None:
    """The line, with the policy where it is not the default, and the banner where one is followed."""
    assert tag_of(EXAMPLE, f"{BASE}/") == (
        '<script defer data-domain="example.com" src="https://tyst.test/js/tyst.js"></script>'
    )
    limited = Site(domain=SITE, consent="limited")
    assert tag_of(limited, f"{BASE}/", "klaro") == (
        '<script defer data-domain="example.com" data-consent="limited" data-cmp="klaro" '
        'src="https://tyst.test/js/tyst.js"></script>'
    )


def test_the_stub_is_the_one_of_the_readme() -> None:
    """One line, everywhere."""
    assert STUB in (ROOT / "snippet" / "README.md").read_text()


def test_every_banner_of_the_snippet_is_offered() -> None:
    """No more and no less than it follows: those that it has a query for, and those that it knows by an interface."""
    adapters = SNIPPET.split("const banners = {")[1].split("\n  }\n")[0]
    named = set(re.findall(r"^    (\w+)(?:\(|: )", adapters, flags=re.MULTILINE))
    assert set(ADAPTERS) == named | {"klaro", "orejime", "tarteaucitron"}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("policy", ["required", "limited", "exempt"])
@pytest.mark.parametrize("banner", ["", "none", "klaro", "cookie-notice", "osano"])
def test_every_form_has_every_attribute(variant: str, policy: str, banner: str) -> None:
    """Domain, policy and banner; what makes early calls work where the page has to call, and the banner's function."""
    site = Site(domain=SITE, consent=cast("Policy", policy))
    code = code_of(site, f"{BASE}/", TagOptions(variant, banner))
    spelled = code.replace("', '", '="').replace("');", '"')
    assert 'data-domain="example.com"' in spelled
    assert ('data-consent="' in spelled) == (policy != "required")
    assert ('data-cmp="' in spelled) == (banner in BANNERS)
    assert f"{BASE}/js/tyst.js" in code
    assert ("tyst.q=tyst.q" in code) == (policy != "exempt" and not banner)
    if banner in BANNERS:
        assert f'data-cmp="{BANNERS[banner].cmp}"' in spelled
        assert (f"function {BANNERS[banner].cmp}()" in code) == bool(BANNERS[banner].script)
    if variant == "gtm":
        assert "=>" not in code


def test_functions_stay_whole_in_every_form() -> None:
    """Quotes and backslashes of a banner's function are those of the form that it is pasted in."""
    script = BANNERS["cookie-notice"].script
    assert ("\\w" in script, "'" in script) == (True, True)
    html, php, tsx = (
        code_of(EXAMPLE, f"{BASE}/", TagOptions(variant, "cookie-notice"))
        for variant in ("html", "wordpress", "nextjs")
    )
    assert f"<script>{script}</script>" in html
    ((line,),) = [
        re.findall(r"echo '((?:[^'\\]|\\.)*)'", line) for line in php.splitlines() if "function cookie" in line
    ]
    assert re.sub(r"\\([\\'])", r"\1", line) == f"<script>{script}</script>"
    (literal,) = re.findall(r"\{`((?:[^`\\]|\\.)*)`\}", tsx)
    assert literal.replace("\\\\", "\\") == script


def test_the_form_is_in_the_address(board: Board) -> None:
    """Tabs are links, banners a list; what there is not is the plain form."""
    page = board.page(f"/{SITE}/install")
    assert page.link("Next.js") == f"/{SITE}/install?variant=nextjs"
    page = board.page(f"{page.link('Next.js')}&banner=klaro")
    assert '<Script data-domain="example.com" data-cmp="klaro" src="https://tyst.test/js/tyst.js" />' in page.text
    assert "Add a service named" in page.text
    assert read_wanted(QueryParams("variant=x&banner=y&measure=z")) == TagOptions()


@pytest.mark.parametrize("variant", VARIANTS)
def test_what_else_is_measured_is_in_every_form(variant: str) -> None:
    """As attributes without a value, of which the snippet reads only whether they are there; JSX would make one up."""
    code = code_of(EXAMPLE, f"{BASE}/", TagOptions(variant, "klaro", ("outbound", "downloads")))
    written = {"nextjs": 'data-outbound="" data-downloads=""', "gtm": "tag.setAttribute('data-downloads', '')"}
    assert written.get(variant, 'data-cmp="klaro" data-outbound data-downloads src=') in code
    assert "data-forms" not in code


def test_calls_of_the_page_work_before_the_script_has_loaded(board: Board) -> None:
    """By the stub, which is beside the calls, and in the tag where a page has to call for consent."""
    for banner, times in (("", 2), ("klaro", 1), ("none", 1)):
        assert board.page(f"/{SITE}/install?banner={banner}").text.count(STUB) == times


def test_the_snippet_reads_what_may_be_measured() -> None:
    """By the name of the option."""
    for name in MEASURABLE:
        assert re.search(rf"'{name}' in options|options\.{name}\b", SNIPPET)


def test_what_else_is_measured_stays_chosen(board: Board) -> None:
    """In the tag, the form, and the links to other platforms."""
    address = f"/{SITE}/install?banner=klaro&measure=forms&measure=outbound"
    page = board.page(address)
    assert 'data-cmp="klaro" data-outbound data-forms src' in page.text
    assert re.findall(r'name="measure" value="(\w+)"( checked)?', board.get(address).text) == [
        ("outbound", " checked"),
        ("downloads", ""),
        ("forms", " checked"),
        ("hash", ""),
    ]
    assert page.link("Next.js") == f"/{SITE}/install?variant=nextjs&banner=klaro&measure=outbound&measure=forms"


def test_every_platform_has_its_steps(board: Board) -> None:
    """By the names that people know, each with what is done there; a platform's own banner is a click away."""
    page = board.page(f"/{SITE}/install")
    known = {"WordPress", "Shopify", "Squarespace", "Wix", "Webflow", "Ghost", "Google Tag Manager", "Next.js", "React",
             "Vue", "Astro", "HTML"}  # fmt: skip
    assert {platform.name for platform in PLATFORMS.values()} == known
    texts = set()
    for platform in PLATFORMS.values():
        shown = board.page(page.link(platform.name)).text
        assert platform.steps in shown
        texts.add(platform.steps)
    assert len(texts) == len(PLATFORMS)
    assert "<script is:inline defer" in board.page(page.link("Astro")).text
    shopify = board.page(page.link("Shopify"))
    assert 'data-cmp="shopify_consent"' in board.page(shopify.link("Use it")).text


BY_NAME = (
    "Cookiebot", "OneTrust", "Usercentrics", "CookieYes", "Complianz", "iubenda", "Didomi", "Termly", "Axeptio",
    "Quantcast", "InMobi", "Osano", "Borlabs", "Real Cookie Banner", "Cookie Information", "Sourcepoint", "Klaro",
    "tarteaucitron", "Orejime", "vanilla-cookieconsent", "WP Consent API", "Google Consent Mode", "IAB TCF", "Shopify",
    "HubSpot", "TrustArc", "Cookie-Script", "CookieHub", "CookieFirst", "consentmanager", "Moove", "Cookie Notice",
)  # fmt: skip


@pytest.mark.parametrize("name", BY_NAME)
def test_banners_have_the_names_that_people_know(name: str) -> None:
    """Each is in the list."""
    assert any(name.casefold() in banner.name.casefold() for banner in BANNERS.values())


def test_a_banner_that_marks_scripts_is_followed_unmarked(board: Board) -> None:
    """The page says that the tag itself stays unmarked, and why."""
    assert "Do not mark the tag" in board.page(f"/{SITE}/install?banner=cookiebot").text
    assert "Do not mark the tag" not in board.page(f"/{SITE}/install?banner=onetrust").text
    assert 'type="text/plain"' not in board.page(f"/{SITE}/install?banner=cookiebot").text


@pytest.mark.parametrize("policy", ["required", "limited", "exempt"])
def test_a_site_without_a_banner_chooses_a_policy(board: Board, policy: Policy) -> None:
    """Anonymous counts or the exemption, each with its code; under `required` the page says that nothing is counted."""
    anyio.run(board.dashboard.sites.change, msgspec.structs.replace(EXAMPLE, consent=policy))
    page = board.page(f"/{SITE}/install?banner=none")
    for choice in ("limited", "exempt"):
        assert f'data-domain="example.com" data-consent="{choice}" src=' in page.text
    assert ("nobody can give it" in page.text) == (policy == "required")
    # Nothing in the pages calls before the script has loaded, unless they record events.
    assert page.text.count("tyst.q=tyst.q") == page.text.count('tyst("Signup"') == 1
    assert page.text.count("in force") == (policy != "required")


@pytest.mark.parametrize(
    ("host", "warned"), [("127.0.0.1:8000", True), ("localhost", True), ("[::1]:8000", True), ("stats.test", False)]
)
def test_an_address_of_this_computer_is_pointed_out(board: Board, host: str, warned: bool) -> None:
    """Where the tag would lead to a loopback address, the page says which setting changes that."""
    page = board.get(f"/{SITE}/install", headers={"host": host}).text
    assert f"//{host}/js/tyst.js" in page
    assert ("TYST_PUBLIC_URL" in page) == warned


def test_every_banner_is_offered_by_its_name(board: Board) -> None:
    """Each leads to its lines and to what an owner has to look at; the form of the tag stays as it was chosen."""
    page = board.page(f"/{SITE}/install?variant=gtm")
    standards = [key for key, banner in BANNERS.items() if banner.generic and not banner.script]
    products = [key for key in BANNERS if key not in standards]
    assert [given["value"] for name, given in page.elements if name == "option"] == ["", "none", *products, *standards]
    assert page.attributes(name="variant", type="hidden")["value"] == "gtm"
    for key, banner in BANNERS.items():
        page = board.page(TagOptions("html", key).href(EXAMPLE))
        assert [given["value"] for name, given in page.elements if name == "option" and "selected" in given] == [key]
        assert f'data-cmp="{banner.cmp}"' in page.text
        assert " ".join(banner.script.split()) in " ".join(page.text.split())
        assert banner.adapt in page.text


def test_an_exempt_site_may_follow_a_banner_too(board: Board) -> None:
    """A refusal there counts; what Consent Mode does to it is said."""
    anyio.run(board.dashboard.sites.change, msgspec.structs.replace(EXAMPLE, consent="exempt"))
    page = board.page(f"/{SITE}/install?banner=google-consent-mode")
    assert 'data-consent="exempt" data-cmp="gcm"' in page.text
    assert "before anybody has answered" in page.text
    assert "before anybody has answered" not in board.page(f"/{SITE}/install?banner=klaro").text


def test_nothing_is_offered_that_cannot_be_withdrawn(board: Board) -> None:
    """Where the page itself calls, the line for the refusal stands beside that for the yes, and why it is needed."""
    text = " ".join(board.page(f"/{SITE}/install").text.split())
    assert 'tyst.consent("granted") tyst.consent("denied")' in text
    assert "visitors could not withdraw" in text
    assert "text/plain" not in text


# ---- Incoming data


def test_each_drop_says_what_to_do() -> None:
    """In words of its own for each reason, most frequent first; only today's count."""
    dropped = [Dropped(reason, "", number + 1, 99) for number, reason in enumerate(REASONS)]
    dropped.append(Dropped("bot", "ai", 100, 100))
    arrivals = arrivals_of(EXAMPLE, Counters(), [*dropped, Dropped("gpc", "", 0, 7)], known=False)
    assert arrivals.losses[0].reason == "bot"
    assert {loss.reason for loss in arrivals.losses} == set(REASONS)
    assert all(loss.advice and loss.count for loss in arrivals.losses)


def test_the_page_goes_on_telling(board: Board) -> None:
    """First that nothing came, then why it was not kept, then that it was; and it keeps looking."""
    path = f"/{SITE}/install"
    assert f"Waiting for data from {SITE}" in board.page(path).text
    assert "accept its banner" in read(board.fragment(path, "receiving").text).text
    assert "accept its banner" not in board.page(f"{path}?banner=none").text
    assert "accept its banner" not in read(board.fragment(f"{path}?banner=none", "receiving").text).text
    assert f'hx-get="{path}?banner=none"' in board.get(f"{path}?banner=none").text
    board.dashboard.counters.drop("", "unknown_site")
    assert "Is data-domain on your tag exactly" in read(board.fragment(path, "receiving").text).text
    board.dashboard.counters.drop(board.site().id, "consent")
    waiting = board.fragment(path, "receiving").text
    assert "no consent (1)" in read(waiting).text
    assert "choose your banner above" in read(waiting).text
    board.dashboard.counters.accept(board.site().id)
    done = board.fragment(path, "receiving").text
    assert "1 event recorded" in read(done).text
    assert "no consent (1)" in read(done).text
    assert 'hx-trigger="every 2s,' in done
    seen = re.search(r'"X-Seen": "(\w+)"', done)
    assert seen is not None
    assert board.fragment(path, "receiving", **{"x-seen": seen[1]}).status_code == 204
    board.dashboard.counters.accept(board.site().id)
    assert "2 events recorded" in read(board.fragment(path, "receiving", **{"x-seen": seen[1]}).text).text


# ---- A look at the site


def check(board: Board, url: str) -> dict[str, str]:
    """Findings by what they are about."""
    answer = board.post(f"/{SITE}/install/check", {"url": url})
    assert answer.status_code == 200
    items = re.findall(r'<li class="(ok|warning|failed)">.*?<strong>(.*?)</strong>', answer.text, re.S)
    return {name: state for state, name in items}


def test_a_page_is_looked_at(board: Board, site: Website) -> None:
    """Fetched by the server, with what was found in words; mending it makes each finding good."""
    site.page("/", "<head><script src=/klaro.js></script></head>")
    assert check(board, f"{site.url}/") == {"Page": "ok", "Tag": "failed", "Banner": "warning"}
    tag = tag_of(EXAMPLE, f"{site.url}/", "klaro")
    csp = "default-src 'self'; script-src 'none'"
    site.page("/", f"<head><script src=/klaro.js></script>{tag}</head>", content_security_policy=csp)
    found = check(board, f"{site.url}/")
    assert (found["Tag"], found["Banner"], found["Content policy"]) == ("ok", "ok", "failed")
    site.page("/", f"<head><script src=/klaro.js></script>{tag}</head>")
    assert set(check(board, f"{site.url}/").values()) == {"ok"}
    assert [path for path, _ in site.asked if path == "/js/tyst.js"]


def test_the_banner_that_is_found_is_chosen_for_the_tag(board: Board, site: Website) -> None:
    """In the whole page and in what htmx replaces, unless another one was chosen before."""
    site.page("/", "<head><script src=/klaro.js></script></head>")
    form, headers = {"url": f"{site.url}/"}, {"hx-request": "true", "hx-target": "findings"}
    for answer in (
        board.post(f"/{SITE}/install/check", form),
        board.post(f"/{SITE}/install/check", form, headers=headers),
    ):
        assert '<option value="klaro" selected>' in answer.text
        assert "data-cmp=&#34;klaro&#34;" in answer.text
    chosen = board.post(f"/{SITE}/install/check?banner=orejime", form)
    assert '<option value="orejime" selected>' in chosen.text


def test_what_cannot_be_fetched_is_said(board: Board, site: Website) -> None:
    """With what to do, and without naming any address inside."""
    answer = board.post(f"/{SITE}/install/check", {"url": "http://10.0.0.1/"})
    assert "does not resolve to a public address" in read(answer.text).text
    site.redirect("/", "http://169.254.169.254/latest/")
    answer = board.post(f"/{SITE}/install/check", {"url": f"{site.url}/"})
    assert "does not resolve to a public address" in read(answer.text).text
    headers = {"hx-request": "true", "hx-target": "findings"}
    part = board.post(f"/{SITE}/install/check", {"url": ""}, headers=headers)
    assert part.text.lstrip().startswith('<div id="findings"')
    assert "Which page?" in read(part.text).text


def test_what_a_page_says_is_shown_as_text(board: Board, site: Website) -> None:
    """Nothing in it becomes markup of the dashboard."""
    evil = "&quot;&gt;&lt;img src=x onerror=alert(1)&gt;"
    site.page("/", f'<script data-domain="{evil}" data-cmp="{evil}" data-consent="{evil}" src="/js/tyst.js"></script>')
    text = board.post(f"/{SITE}/install/check", {"url": f'{site.url}/?"><img>'}).text
    assert "<img" not in text


def test_only_owners_have_pages_looked_at(board: Board, site: Website) -> None:
    """Viewers do not see the form, and their posts are refused, as are those from elsewhere."""
    board.add_user("vera", "viewer", SITE)
    board.sign_in("vera")
    assert "Check my site" not in board.page(f"/{SITE}/install").text
    assert board.post(f"/{SITE}/install/check", {"url": f"{site.url}/"}).status_code == 403
    board.sign_in()
    foreign = {"sec-fetch-site": "cross-site"}
    assert board.post(f"/{SITE}/install/check", {"url": f"{site.url}/"}, headers=foreign).status_code == 403
    assert site.asked == []


def test_pages_are_looked_at_now_and_then(board: Board, site: Website) -> None:
    """Ten times a minute for each person and site."""
    site.page("/", "")
    for _ in range(LOOKS_A_MINUTE):
        check(board, f"{site.url}/")
    answer = board.post(f"/{SITE}/install/check", {"url": f"{site.url}/"})
    assert (answer.status_code, "Too many requests" in answer.text) == (429, True)
    assert len([path for path, _ in site.asked if path == "/"]) == LOOKS_A_MINUTE
    board.clock.now += 60
    check(board, f"{site.url}/")


# ---- The API


def ask(
    board: Board, database: Client, body: dict[str, str], *, right: str = "manage", sites: tuple[str, ...] = ()
) -> httpx.Response:
    """One question with a key of that right."""
    keys = ApiKeys(DocumentTable(database, "api_keys", ApiKey), "tyst_admin_x")
    app = Starlette(routes=verify_routes(board.dashboard.sites, keys, board.dashboard.inspector))

    async def once() -> httpx.Response:
        _, shown = await keys.create(right="manage" if right == "manage" else "read", sites=sites)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=BASE) as client:
            return await client.post("/api/v1/verify", json=body, headers={"authorization": f"Bearer {shown}"})

    return anyio.run(once)


def test_the_api_finds_the_same(board: Board, database: Client, site: Website) -> None:
    """For the site that is named, or whose name the address has."""
    site.page("/", "<head></head>")
    answer = ask(board, database, {"url": f"{site.url}/", "site": SITE}).json()
    assert answer["site"] == SITE
    assert {(each["name"], each["state"]) for each in answer["checks"]} == {
        ("Page", "ok"), ("Tag", "failed"), ("Banner", "warning")
    }  # fmt: skip
    board.add_site("127.0.0.1")
    assert ask(board, database, {"url": f"{site.url}/"}).json()["site"] == "127.0.0.1"


def test_the_api_refuses_with_the_field(board: Board, database: Client, site: Website) -> None:
    """A site that is not there, or that the key may not manage; nothing is fetched."""
    wrong: tuple[tuple[dict[str, str], str, tuple[str, ...], int, str], ...] = (
        ({"url": f"{site.url}/", "site": "nowhere.example"}, "manage", (), 404, "site"),
        ({"url": f"{site.url}/", "site": SITE}, "read", (), 404, "site"),
        ({"url": f"{site.url}/", "site": SITE}, "manage", ("other.example",), 404, "site"),
        ({"url": "https://nowhere.example/"}, "manage", (), 404, "site"),
        ({"url": "", "site": SITE}, "manage", (), 400, "url"),
        ({"site": SITE}, "manage", (), 400, "url"),
    )
    for body, right, sites, status, field in wrong:
        answer = ask(board, database, body, right=right, sites=sites)
        assert (answer.status_code, list(answer.json()["errors"])) == (status, [field]), body
    assert site.asked == []
