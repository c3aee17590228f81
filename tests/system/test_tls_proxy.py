"""Behind a proxy with TLS the server knows that it is reached over https, by the proxy's word or the operator's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from tests.length import by_length
from tests.served import CHROME, DEADLINE, PASSWORD, Served, served
from tests.tls_proxy import browser, tls_proxy

CONFIGURATIONS = ("nginx.conf", "Caddyfile")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server that trusts the proxy and has no public address set."""
    with served(tmp_path_factory.mktemp("tls"), TYST_TRUSTED_PROXIES="127.0.0.1") as running:
        running.add_site("site.test")
        yield running


@pytest.fixture(scope="module", params=CONFIGURATIONS)
def proxy(request: pytest.FixtureRequest, server: Served) -> Iterator[int]:
    """The port of a proxy in front of it."""
    with tls_proxy(server.url, request.param) as port:
        yield port


def signed_in(port: int) -> httpx.Client:
    """An administrator's browser."""
    client = browser(port)
    form = {"name": "admin", "password": PASSWORD}
    answer = client.post("/login", data=form, headers={"sec-fetch-site": "same-origin"})
    assert answer.status_code == 303, answer.text
    return client


def cookies_of(answer: httpx.Response) -> list[str]:
    return answer.headers.get_list("set-cookie")


def test_a_sign_in_is_bound_to_the_host_and_to_https(proxy: int) -> None:
    """The prefix makes browsers refuse such a cookie from anybody else, and the sign-in works."""
    with closing(signed_in(proxy)) as client:
        (cookie,) = [f"{each.name} {each.secure} {each.path}" for each in client.cookies.jar]
        assert cookie == "__Host-tyst_session True /"
        assert client.get("/").status_code == 200


def test_the_language_is_sent_over_https_only_and_the_visitor_s_choice_holds_over_http_too(proxy: int) -> None:
    """The choice keeps its name, which the snippet reads; a page over http could not read what is secure."""
    own = {"sec-fetch-site": "same-origin"}
    with browser(proxy, "site.test") as client:
        # One of this host alone is removed before that of the site is set.
        removed, cookie = cookies_of(client.post("/privacy/site.test", data={"action": "denied"}, headers=own))
        assert removed.startswith('tyst_consent="";')
        # `.new` where the same network has asked for an erasure within seconds: that of the other proxy's test.
        assert cookie.startswith(("tyst_consent=denied.own;", "tyst_consent=denied.own.new;"))
        assert "Secure" not in cookie
    with browser(proxy) as client:
        (cookie,) = cookies_of(client.post("/language", data={"language": "sv"}, headers=own))
        assert cookie.startswith("__Host-tyst_language=sv;")
        assert "Secure" in cookie


def test_tags_links_and_notices_say_https(proxy: int) -> None:
    """What is pasted into a page over https would otherwise be blocked there."""
    own = {"sec-fetch-site": "same-origin"}
    with closing(signed_in(proxy)) as client:
        tag = client.get("/site.test/install").text
        assert "http://" not in tag.partition("<pre")[2].partition("</pre>")[0]
        assert re.search(r"https://stats\.test(:\d+)?/js/tyst\.js", tag)
        link = client.post("/site.test/sharing", data={"name": "x"}, headers=own).text
        assert re.search(r"https://stats\.test(:\d+)?/share/", link)
        invited = client.post("/site.test/people", data={"act": "invite", "role": "viewer"}, headers=own).text
        assert re.search(r"https://stats\.test(:\d+)?/invitation/", invited)
    with browser(proxy, "site.test") as client:
        page = client.get("/privacy/site.test").text
        assert re.search(r"https://site\.test(:\d+)?/privacy/site\.test", page)
        assert "http://site.test" not in page


def test_without_the_operator_s_word_no_browser_is_bound_to_https_for_good(proxy: int) -> None:
    """HSTS is for the public address alone."""
    with browser(proxy) as client:
        assert "strict-transport-security" not in client.get("/login").headers


def test_only_a_trusted_proxy_is_believed(tmp_path: Path) -> None:
    """Anybody can write the fields."""
    claimed = {"x-forwarded-proto": "https", "forwarded": "proto=https"}
    with (
        served(tmp_path) as server,
        httpx.Client(base_url=server.url, headers=claimed, timeout=DEADLINE) as client,
    ):
        form = {"name": "admin", "password": PASSWORD}
        answer = client.post("/login", data=form, headers={"sec-fetch-site": "same-origin"})
        (cookie,) = cookies_of(answer)
        assert cookie.startswith("tyst_session=")
        assert "Secure" not in cookie


@pytest.mark.parametrize("configuration", by_length([*CONFIGURATIONS][:1], [*CONFIGURATIONS]))
def test_the_public_address_wins_over_all(configuration: str, tmp_path: Path) -> None:
    """It is in every link, whatever the request says; https is for good; other names are refused, sites' excepted."""
    with (
        served(
            tmp_path, TYST_PUBLIC_URL="https://stats.test", TYST_TRUSTED_PROXIES="127.0.0.1", TYST_FLUSH_SECONDS="0.05"
        ) as server,
        tls_proxy(server.url, configuration) as port,
    ):
        server.add_site("site.test")
        server.add_site("other.test")
        with closing(signed_in(port)) as client:
            answer = client.get("/site.test/install", headers={"x-forwarded-proto": "http"})
            assert "https://stats.test/js/tyst.js" in answer.text
            assert answer.headers["strict-transport-security"] == "max-age=31536000"
            assert all(each.secure for each in client.cookies.jar)
        # Over loopback nothing is certain about TLS, and links are the public ones all the same.
        notice = server.api("POST", "/api/v1/sites/site.test/notice", {})
        assert "https://stats.test/privacy/site.test" in notice["text"]
        with browser(port, "localhost") as client:
            assert client.get("/login").status_code == 200
        with browser(port, "site.test", **{"user-agent": CHROME}) as client:
            assert client.get("/login").status_code == 421
            assert client.get("/api/v1/sites").json()["errors"]
            assert client.get("/js/tyst.js").status_code == 200
            assert client.get("/api/me?d=site.test").status_code == 200
            assert client.get("/api/me?d=other.test").status_code == 404
            assert client.get("/privacy/other.test").status_code == 404
            assert "strict-transport-security" not in client.get("/privacy/site.test").headers
