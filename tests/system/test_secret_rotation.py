"""Rotating the secret key: what the former one signed stays valid while the server knows it, and not without."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pyotp
import pytest

from dashboard.access.authenticator import STEP_SECONDS
from tests.served import CHROME, DEADLINE, PASSWORD, Served, served
from tests.webhook_receiver import webhook_receiver

SITE = "shop.example"


NewBrowser = Callable[..., httpx.Client]


@pytest.fixture
def browser() -> Iterator[NewBrowser]:
    """Makes browsers, each with these cookies or none."""
    with contextlib.ExitStack() as opened:

        def make(server: Served, cookies: dict[str, str] | None = None) -> httpx.Client:
            headers = {"User-Agent": CHROME, "Sec-Fetch-Site": "same-origin"}
            return opened.enter_context(
                httpx.Client(base_url=server.url, headers=headers, cookies=cookies, timeout=DEADLINE, trust_env=False)
            )

        yield make


def sign_in(http: httpx.Client) -> None:
    """As the administrator, by the password."""
    assert http.post("/login", data={"name": "admin", "password": PASSWORD}).status_code == 303


def read(text: str, id_: str) -> str:
    """The text of a `code` with that id."""
    found = re.search(rf'<code[^>]* id="{id_}">([^<]*)</code>', text)
    assert found
    return found[1]


def receipt(server: Served, known: str = "") -> httpx.Response:
    """One beacon that claims consent, with a receipt or without."""
    given = f',"k":"{known}"' if known else ""
    return server.send(f'{{"n":"pageview","u":"https://{SITE}/","d":"{SITE}","c":"granted"{given}}}')


def app_code(key: str, ahead: int = 0) -> str:
    """What an app shows now, or a step later."""
    return pyotp.TOTP(key).generate_otp(int(time.time()) // STEP_SECONDS + ahead)


def test_a_rotation_loses_no_webhook(tmp_path: Path) -> None:
    """Encrypted anew at a start with both secrets, it is called under the new one alone, signed by the same secret."""
    with webhook_receiver() as receiver:
        given = {"TYST_WEBHOOK_NETWORKS": "127.0.0.0/8"}
        with served(tmp_path, TYST_SECRET_KEY="the first secret", **given) as server:
            server.add_site(SITE)
            channels = f"/api/v1/sites/{SITE}/channels"
            id_ = server.api("POST", channels, {"shape": "standard", "target": receiver.url})["id"]
        with served(tmp_path, TYST_SECRET_KEY="the second", TYST_SECRET_KEY_PREVIOUS="the first secret", **given):
            pass
        with served(tmp_path, TYST_SECRET_KEY="the second", **given) as server:
            server.api("POST", f"{channels}/{id_}/test")
        assert len(receiver.calls) == 1


def test_a_rotation_signs_nobody_out(tmp_path: Path, browser: NewBrowser) -> None:
    """Session, half a sign-in, link's password, receipt of consent and authenticator app go over to the new secret;
    under a secret alone that never signed them, each is refused."""
    with served(tmp_path, TYST_SECRET_KEY="the first secret") as server:
        server.add_site(SITE, receipts=True, consent="required")
        http = browser(server)
        sign_in(http)
        page = http.post(f"/{SITE}/sharing", data={"name": "Board", "password": "a quiet password"}).text
        found = re.search(r"/share/([\w-]{20,})", page)
        assert found
        share = f"/share/{found[1]}"
        assert http.post(share, data={"password": "a quiet password"}).status_code == 303
        assert http.get(share).status_code == 200
        evidence = receipt(server).headers["x-tyst-receipt"]
        setup = http.get("/account/two-factor").text
        key = read(setup, "key").replace(" ", "")
        hidden = re.search(r'name="setup" value="([^"]+)"', setup)
        assert hidden
        confirmed = http.post("/account/two-factor", data={"act": "turn_on", "setup": hidden[1], "code": app_code(key)})
        codes = read(confirmed.text, "recovery-codes").split()
        half = browser(server)
        sign_in(half)
        session, begun = dict(http.cookies), dict(half.cookies)
    rotated = {"TYST_SECRET_KEY": "the second secret", "TYST_SECRET_KEY_PREVIOUS": "the first secret"}
    with served(tmp_path, **rotated) as server:
        assert browser(server, session).get("/account").status_code == 200
        assert browser(server, session).get(share).status_code == 200
        assert "x-tyst-dropped" not in receipt(server, evidence).headers
        entered = browser(server, begun)
        assert entered.post("/login/code", data={"recovery": codes[0]}).headers["location"] == "/"
        newer = dict(entered.cookies)
        renewed = receipt(server, evidence).headers["x-tyst-receipt"]
        assert renewed != evidence
    with served(tmp_path, TYST_SECRET_KEY="the second secret") as server:
        assert browser(server, newer).get("/account").status_code == 200
        assert browser(server, session).get("/account").headers["location"].startswith("/login")
        assert "password-protected" in browser(server, session).get(share).text.lower()
        assert receipt(server, evidence).headers["x-tyst-dropped"] == "consent"
        assert "x-tyst-dropped" not in receipt(server, renewed).headers
        last = browser(server)
        sign_in(last)
        # Encrypted anew at the start before: the former secret is not needed for it.
        assert last.post("/login/code", data={"code": app_code(key, 1)}).headers["location"] == "/"
