"""The page for visitors: what it says, in which language, and what its buttons do. No script is needed for any."""

from __future__ import annotations

import asyncio
import html
import re
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from starlette.types import Message

from collector.erasure.subject_access import as_csv
from collector.privacy.consent import Signals, decide_consent
from collector.sites.model import POLICIES, Policy, Site
from collector.storage.client import ClickHouse
from dashboard.compliance.privacy_notice_texts import notice_texts
from dashboard.compliance.visitor_privacy_texts import page_texts
from dashboard.web import visitor_api
from tests.collector.erasure.test_subject_access import FIREFOX, ME, OTHER, PAGE, Visiting, visiting
from tests.collector.ingest.test_pipeline import CHROME

pytestmark = pytest.mark.anyio

EN, SV = page_texts("en"), page_texts("sv")


@pytest.fixture
async def town(tmp_path: Path, clickhouse: ClickHouse) -> AsyncIterator[Visiting]:
    """A started collector."""
    async with visiting(tmp_path, clickhouse) as started:
        yield started


async def opened(town: Visiting, query: str = "", **who: str) -> str:
    """The page's text as it is read, without its tags."""
    async with town.client(**who) as client:
        answer = await client.get(f"/privacy/site.test{query}")
    assert answer.status_code == 200
    return html.unescape(re.sub(r"<[^>]+>", "", answer.text))


async def ruled(town: Visiting, policy: str, **settings: object) -> None:
    """The site has another policy."""
    site = town.collector.sites.get("site.test")
    assert site is not None
    await town.collector.sites.change(msgspec.structs.replace(site, consent=policy, **settings))


async def pressed(town: Visiting, action: str, **who: str) -> httpx.Response:
    """One of the page's buttons."""
    async with town.client(**who) as client:
        return await client.post("/privacy/site.test", data={"action": action, "lang": "sv"})


async def test_the_page_shows_what_is_held_about_this_browser_and_no_other(town: Visiting) -> None:
    """In words, with what it rests on; another browser reads that there is nothing."""
    await town.see()
    text = await opened(town)
    for part in (EN["held_one"], PAGE, "Chrome", "granted", EN["as_csv"], EN["erase"]):
        assert part in text, part
    for other in ({"address": OTHER}, {"user_agent": FIREFOX}, {"address": OTHER, "x_forwarded_for": ME}):
        text = await opened(town, **other)
        assert EN["held_none"] in text
        assert PAGE not in text


@pytest.mark.parametrize(
    ("query", "accepts", "language"),
    [
        ("", "", "en"),
        ("", "sv-SE,sv;q=0.9,en;q=0.8", "sv"),
        ("", "en-GB,sv;q=0.9", "en"),
        ("", "de,sv;q=0.5,en;q=0.4", "sv"),
        ("", "fr;q=nonsense,,;;", "en"),
        ("?lang=sv", "en", "sv"),
        ("?lang=en", "sv", "en"),
        ("?lang=xx", "sv", "sv"),
    ],
)
async def test_the_page_speaks_the_visitor_s_language(town: Visiting, query: str, accepts: str, language: str) -> None:
    """What is asked for, else what the browser prefers, else English; the document says which it is."""
    async with town.client(accept_language=accepts) as client:
        answer = await client.get(f"/privacy/site.test{query}")
    assert f'<html lang="{language}">' in answer.text
    assert answer.headers["content-language"] == language
    assert page_texts(language)["choice_title"] in answer.text


@pytest.mark.parametrize("policy", POLICIES)
async def test_the_page_says_what_the_settings_are(town: Visiting, policy: str) -> None:
    """Policy, retention and time zone, from the site as it is now; with the notice and its version."""
    await ruled(town, policy, retention_days=1, contact="hej@site.test")
    text = await opened(town)
    for part in (EN[f"policy_{policy}"], EN["kept_today"], "Europe/Stockholm", "hej@site.test", "imy.se", "Version 1"):
        assert part in text, part
    assert re.search(r"Version 1, \d{1,2}\s\w{3}\s\d{4}: first version", text)


async def test_a_no_that_comes_too_soon_is_left_to_the_snippet(town: Visiting) -> None:
    """The page says that nothing was erased, and the cookie tells the site's next page to withdraw."""
    choices = []
    for done in ("withdrawn", "too_often"):
        answer = await pressed(town, "denied", origin="http://stats.test")
        assert f"done={done}" in answer.headers["location"]
        choices.append(answer.headers["set-cookie"].partition(";")[0])
    assert choices == ["tyst_consent=denied.own", "tyst_consent=denied.own.new"]


async def test_the_button_erases(town: Visiting) -> None:
    """And comes back with what was done, in the page's language; what others sent stays."""
    await town.see()
    await town.see("/theirs", address=OTHER)
    answer = await pressed(town, "erase", origin="http://stats.test")
    assert (answer.status_code, answer.headers["location"]) == (303, "/privacy/site.test?done=erased&lang=sv")
    text = await opened(town, "?done=erased&lang=sv")
    assert SV["erased"] in text
    assert SV["held_none"] in text
    assert await town.stored() == ["/theirs"]


@pytest.mark.parametrize("action", ["erase", "granted", "denied", "excluded"])
@pytest.mark.parametrize(
    "headers",
    [{"origin": "https://site.test"}, {"sec_fetch_site": "cross-site"}, {"sec_fetch_site": "same-site"}],
    ids=str,
)
async def test_a_stranger_s_page_presses_no_button(town: Visiting, action: str, headers: dict[str, str]) -> None:
    """Nothing is erased and no choice is made in a visitor's place."""
    await town.see()
    answer = await pressed(town, action, **headers)
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers
    assert await town.me() == [PAGE]


@pytest.mark.parametrize(
    ("policy", "choice", "done", "left"),
    [
        ("required", "granted", "saved", [PAGE, "/theirs"]),
        *((policy, choice, "withdrawn", ["/theirs"]) for policy in POLICIES for choice in ("denied", "excluded")),
    ],
)
async def test_saying_no_on_the_page_erases(
    town: Visiting, policy: str, choice: str, done: str, left: list[str]
) -> None:
    """Withdrawing and objecting take with them what was held; agreeing does not, and what others sent stays."""
    await ruled(town, policy)
    await town.see()
    await town.see("/theirs", address=OTHER)
    answer = await pressed(town, choice)
    assert answer.headers["location"] == f"/privacy/site.test?done={done}&lang=sv"
    assert SV[done] in await opened(town, f"?done={done}&lang=sv")
    assert await town.stored() == left


@pytest.mark.parametrize("policy", POLICIES)
async def test_the_page_says_what_a_no_does(town: Visiting, policy: Policy) -> None:
    """Here and to a banner it erases, under every policy; page and notice say so."""
    await ruled(town, policy)
    text = await opened(town)
    assert EN["choice_hint"] in text
    assert EN["banner_hint"].format(site="site.test") in text
    assert notice_texts("en").withdrawal.format(site="site.test") in text


@pytest.mark.parametrize(
    ("choice", "value"), [("granted", "granted"), ("denied", "denied.own"), ("excluded", "excluded")]
)
async def test_the_switch_sets_the_cookie_of_this_address(town: Visiting, choice: str, value: str) -> None:
    """The cookie that the snippet and the collector read, for thirteen months; the page then says so. A refusal is
    marked as one that no banner overrules."""
    answer = await pressed(town, choice)
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith(f"tyst_consent={value};")
    assert "Max-Age=34000000" in cookie
    assert "Path=/" in cookie
    assert "httponly" not in cookie.lower()
    assert EN[f"choice_{choice}"] in await opened(town, cookie=f"tyst_consent={value}")


@pytest.mark.parametrize("host", ["site.test", "www.site.test", "stats.site.test"])
async def test_a_choice_at_a_host_of_the_site_is_that_of_all_its_hosts(town: Visiting, host: str) -> None:
    """As the page says and the snippet stores it; an older one of this host alone, which would compete, is removed."""
    async with town.client() as client:
        answer = await client.post("/privacy/site.test", data={"action": "denied"}, headers={"host": host})
        assert "it cannot see" not in (await client.get("/privacy/site.test", headers={"host": host})).text
    removed, stored = answer.headers.get_list("set-cookie")
    assert removed.startswith('tyst_consent="";')
    assert "Max-Age=0" in removed
    assert "Domain" not in removed
    assert stored.startswith("tyst_consent=denied.own;")
    assert "Domain=site.test;" in stored


async def test_a_site_of_another_alphabet_is_known_by_its_host(town: Visiting) -> None:
    """Browsers ask for it, and cookies name it, in ASCII."""
    await town.collector.sites.add(Site(domain="räkor.test"))
    async with town.client() as client:
        host = {"host": "www.xn--rkor-loa.test"}
        answer = await client.post("/privacy/räkor.test", data={"action": "excluded"}, headers=host)
        assert "tyst-exclude" not in (await client.get("/privacy/räkor.test", headers=host)).text
    assert "Domain=xn--rkor-loa.test;" in answer.headers.get_list("set-cookie")[-1]


async def test_an_intranet_host_without_a_dot_is_the_site_s_own(town: Visiting) -> None:
    """Browsers store a cookie of such a name for the host alone, so that the choice has no `Domain`."""
    await town.collector.sites.add(Site(domain="wiki"))
    async with town.client() as client:
        answer = await client.post("/privacy/wiki", data={"action": "excluded"}, headers={"host": "wiki"})
        assert "it cannot see" not in (await client.get("/privacy/wiki", headers={"host": "wiki"})).text
    (stored,) = answer.headers.get_list("set-cookie")
    assert "Domain" not in stored


async def test_the_switch_says_what_it_cannot_do(town: Visiting) -> None:
    """On another address than the site's it leads to the site; on the site's own it is the site's choice."""
    async with town.client() as client:
        foreign = (await client.get("/privacy/site.test")).text
        own = (await client.get("/privacy/site.test", headers={"host": "site.test"})).text
    assert 'href="https://site.test/#tyst-exclude"' in foreign
    assert "it cannot see" not in own
    assert "tyst-exclude" not in own
    assert html.escape(EN["foreign"].format(host="stats.test", site="site.test"), quote=True) in foreign
    assert html.escape(EN["own"].format(host="site.test", site="site.test"), quote=True) in own


@pytest.mark.parametrize("policy", POLICIES)
def test_an_objection_for_good_is_followed_by_the_collector(policy: str) -> None:
    """Whatever the beacon says: nothing is kept, not even a count."""
    verdict = decide_consent(policy, "granted", Signals(gpc=False, dnt=False, cookie="excluded"))  # type: ignore[arg-type]
    assert (verdict.lane, verdict.reason) == ("none", "consent")


@pytest.mark.parametrize(("header", "word"), [("sec_gpc", "signal_gpc"), ("dnt", "signal_dnt")])
async def test_a_signal_of_the_browser_is_named(town: Visiting, header: str, word: str) -> None:
    """So that the visitor sees that it is followed."""
    assert EN[word] in await opened(town, **{header: "1"})
    assert EN[word] not in await opened(town)


async def test_nothing_on_the_page_can_be_script(town: Visiting) -> None:
    """No script at all, a policy that allows no other origin, no cache, no frame; and what a beacon said is text."""
    await town.see("/<script>alert(1)</script>?utm_source=<img%20src=x>")
    async with town.client() as client:
        answer = await client.get("/privacy/site.test")
        other = await client.get("/privacy/site.test?done=<script>&lang=<script>")
    assert "<script" not in answer.text
    assert "<img" not in answer.text
    assert "<script>" not in other.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "private, no-store"
    assert "access-control-allow-origin" not in answer.headers
    assert "set-cookie" not in answer.headers


async def test_the_page_speaks_while_the_database_does_not(town: Visiting) -> None:
    """503 with the rules and the switch; what is held, and which version of the rules this is, is not guessed at."""
    town.collector.client.command("RENAME TABLE events TO away, notices TO rules")
    async with town.client() as client:
        answer = await client.get("/privacy/site.test?lang=en")
    town.collector.client.command("RENAME TABLE away TO events, rules TO notices")
    assert answer.status_code == 503
    text = html.unescape(answer.text)
    assert EN["not_now"] in text
    assert EN["choice_title"] in text
    assert notice_texts("en").legal_title in text
    assert "Version" not in text
    assert EN["held_none"] not in text


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
@pytest.mark.parametrize(("mode", "dest"), [("no-cors", "image"), ("navigate", "iframe"), ("cors", "empty")])
async def test_pages_of_other_sites_get_nothing_to_measure(town: Visiting, site: str, mode: str, dest: str) -> None:
    """How long or large the answer is would tell whether their visitor was on the site; a link to it may be followed,
    and its own page is no other site."""
    await town.see()
    headers = {"sec_fetch_site": site, "sec_fetch_mode": mode, "sec_fetch_dest": dest}
    async with town.client(**headers) as client:
        assert (await client.get("/privacy/site.test")).status_code == 403
    followed = {**headers, "sec_fetch_mode": "navigate", "sec_fetch_dest": "document"}
    for allowed in (followed, {**headers, "sec_fetch_site": "same-origin"}, {**headers, "sec_fetch_site": "none"}):
        async with town.client(**allowed) as client:
            assert (await client.get("/privacy/site.test")).status_code == 200


async def test_a_page_of_another_site_measures_nothing_by_a_websocket(town: Visiting) -> None:
    """Chromium sends its origin, and nothing of Fetch Metadata."""
    await town.see()
    async with town.client(origin="https://evil.test", upgrade="websocket") as client:
        assert (await client.get("/privacy/site.test")).status_code == 403


async def test_an_unknown_site_has_no_page(town: Visiting) -> None:
    """404, and 400 for a button that there is not."""
    async with town.client() as client:
        assert (await client.get("/privacy/nowhere.test")).status_code == 404
        assert (await client.post("/privacy/site.test", data={"action": "sing"})).status_code == 400


async def test_a_network_has_its_next_answer_once_the_last_one_is_read(town: Visiting) -> None:
    """Answers that nobody reads would lie in memory, one upon the other."""
    await town.see()
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def receive() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            begun.set()
            await go_on.wait()

    scope = {
        "type": "http", "http_version": "1.1", "scheme": "http", "method": "GET", "path": "/api/me", "root_path": "",
        "raw_path": b"/api/me", "query_string": b"d=site.test", "client": (ME, 4711), "server": ("stats.test", 80),
        "headers": [(b"host", b"stats.test"), (b"user-agent", CHROME.encode())],
    }  # fmt: skip
    reading = asyncio.create_task(town._app(scope, receive, send))
    await begun.wait()
    async with town.client() as client, town.client(address=OTHER) as stranger:
        assert (await client.get("/api/me?d=site.test")).status_code == 429
        assert (await stranger.get("/api/me?d=site.test")).status_code == 200
        go_on.set()
        await reading
        assert (await client.get("/api/me?d=site.test")).status_code == 200


async def test_one_request_of_a_network_is_answered_at_a_time(town: Visiting, monkeypatch: pytest.MonkeyPatch) -> None:
    """However much is held: others have their turn, and no table is written on the event loop."""
    await town.see()
    threads = list[threading.Thread]()
    held, first, go_on = town.collector.privacy.held, asyncio.Event(), asyncio.Event()

    async def slow(*asked: Any) -> Any:
        first.set()
        await go_on.wait()
        return await held(*asked)

    def table(*given: Any) -> str:
        threads.append(threading.current_thread())
        return as_csv(*given)

    monkeypatch.setattr(town.collector.privacy, "held", slow)
    monkeypatch.setattr(visitor_api, "as_csv", table)
    async with town.client() as client, town.client(address=OTHER) as stranger:
        asked = asyncio.create_task(client.get("/api/me?d=site.test&format=csv"))
        await first.wait()
        again = await client.get("/api/me?d=site.test")
        assert (again.status_code, again.headers["retry-after"]) == (429, "1")
        assert (await client.get("/privacy/site.test")).status_code == 429
        go_on.set()
        assert (await asked).status_code == (await stranger.get("/api/me?d=site.test")).status_code == 200
        assert PAGE in (await client.get("/api/me?d=site.test&format=csv")).text
    assert threads
    assert threading.main_thread() not in threads
