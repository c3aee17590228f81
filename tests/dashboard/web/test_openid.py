"""Sign-in by OpenID Connect against a real provider on loopback, and against one that breaks the rules."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import anyio
import httpx
import msgspec
import pytest
from clickhouse_connect.driver.client import Client
from joserfc import jwt

from collector.storage.client import ClickHouse
from dashboard.access.openid import flow as flows
from dashboard.access.openid.accounts import OpenIdAccounts
from dashboard.access.openid.flow import Flow
from dashboard.access.openid.id_token import LEEWAY, with_userinfo
from dashboard.access.openid.provider import QUIET_SECONDS
from dashboard.access.openid.sign_in import CALLBACK, OpenIdSignIn
from dashboard.access.recent_authentication import RECENT_SECONDS
from dashboard.access.users import User
from tests.board import BASE, PASSWORD, SITE, Board, opened_board
from tests.openid_providers import (
    CLIENT,
    SECRET,
    HostileProvider,
    RealProvider,
    hostile_provider,
    other_key,
    real_provider,
    symmetric,
    unsigned,
)

BEGIN = "/login/openid"
COOKIE = f"__Host-{flows.COOKIE}"


def settings(issuer: str, **more: str) -> dict[str, str]:
    """For a provider."""
    given = {"ISSUER": issuer, "CLIENT_ID": CLIENT, "CLIENT_SECRET": SECRET, "NAME": "Example"}
    return {"TYST_PUBLIC_URL": BASE} | {f"TYST_OIDC_{name}": text for name, text in (given | more).items()}


@pytest.fixture(scope="module")
def provider() -> Iterator[RealProvider]:
    """A provider that tells the e-mail address by userinfo only."""
    with real_provider(f"{BASE}{CALLBACK}") as started:
        yield started


class Boards:
    """Makes dashboards with a provider."""

    def __init__(self, clickhouse: ClickHouse, database: Client, directory: Path, opened: ExitStack) -> None:
        self._clickhouse, self._database, self._directory = clickhouse, database, directory
        self._opened = opened

    def __call__(self, issuer: str, **more: str) -> Board:
        given = settings(issuer, **more)
        board = self._opened.enter_context(opened_board(self._clickhouse, self._database, self._directory, **given))
        # A provider's tokens are of now.
        board.clock.now = time.time()
        return board


@pytest.fixture
def board_with(clickhouse: ClickHouse, database: Client, tmp_path: Path) -> Iterator[Boards]:
    with ExitStack() as opened:
        yield Boards(clickhouse, database, tmp_path, opened)


@pytest.fixture
def hostile() -> Iterator[HostileProvider]:
    """A provider that breaks the rules as a test says."""
    with hostile_provider() as started:
        yield started


def began(board: Board, target: str = "/") -> str:
    """Where the browser is sent to."""
    answer = board.get(f"{BEGIN}?{urlencode({'next': target})}")
    assert answer.status_code == 303
    return answer.headers["location"]


def back(board: Board, address: str, peer: str = "192.0.2.1") -> httpx.Response:
    """The browser comes back to the redirect address."""
    assert address.startswith(f"{BASE}{CALLBACK}?")
    return board.get(address.removeprefix(BASE), headers={"sec-fetch-site": "cross-site"}, peer=peer)


def entered(board: Board, provider: RealProvider, name: str, target: str = "/") -> httpx.Response:
    """Sign in by the provider as that person."""
    return back(board, provider.sign_in(began(board, target), name))


def service(board: Board) -> OpenIdSignIn:
    """The service, which is there."""
    assert board.dashboard.openid is not None
    return board.dashboard.openid


def names(board: Board) -> dict[str, str]:
    """Every account's role."""
    return {user.name: user.role for user in board.dashboard.users.all()}


def account(board: Board, name: str) -> User:
    """An account that is there."""
    found = board.dashboard.users.get(name)
    assert found is not None
    return found


def noted(board: Board) -> list[tuple[str, str]]:
    """The audit log, the newest first: who and what."""
    return [(entry.who, entry.what) for entry in anyio.run(board.dashboard.changes.all)]


def test_the_first_sign_in_makes_a_viewer(board_with: Boards, provider: RealProvider) -> None:
    """With the verified address as name, from userinfo where the token has none, on to the page that was asked for;
    the second is the same account."""
    board = board_with(provider.issuer)
    assert f'href="{BEGIN}?next=' in board.get("/login").text
    assert "Sign in with Example" in board.get("/login").text
    for _ in range(2):
        board.cookies.clear()
        answer = entered(board, provider, "ada", "/account?x=1")
        assert (answer.status_code, answer.headers["location"]) == (303, "/account?x=1")
        assert COOKIE not in board.cookies
        assert "ada@example.com" in board.get("/account").text
    assert names(board) == {"ada@example.com": "viewer", "admin": "admin"}
    assert noted(board) == [
        ("ada@example.com", "Signed in"),
        ("ada@example.com", "Signed in"),
        ("ada@example.com", "User added by single sign-on"),
    ]
    assert "single sign-on" in board.get("/account").text


def test_the_request_has_what_the_standard_asks_for(board_with: Boards, provider: RealProvider) -> None:
    """Code, exact redirect address, state, nonce, and an S256 challenge; new ones each time."""
    board = board_with(provider.issuer)
    asked = [dict(parse_qsl(urlsplit(began(board)).query)) for _ in range(2)]
    fixed = {name: asked[0].pop(name) for name in ("response_type", "client_id", "redirect_uri", "scope")}
    assert fixed == {
        "response_type": "code",
        "client_id": CLIENT,
        "redirect_uri": f"{BASE}{CALLBACK}",
        "scope": "openid email profile",
    }
    assert asked[0].pop("code_challenge_method") == "S256"
    assert asked[0].keys() == {"state", "nonce", "code_challenge"}
    assert all(len(value) >= 43 and asked[1][name] != value for name, value in asked[0].items())


@pytest.mark.parametrize("method", ["client_secret_post", "none"])
def test_other_ways_to_authenticate(board_with: Boards, method: str) -> None:
    """The secret in the form, or none at all; claims in the token itself."""
    in_token = {"token_endpoint_auth_method": method}
    with real_provider(f"{BASE}{CALLBACK}", in_token=True, **in_token) as provider:
        secret = "" if method == "none" else SECRET
        board = board_with(provider.issuer, CLIENT_SECRET=secret)
        if method == "client_secret_post":
            # This provider takes both; one that takes the form only says so.
            found = anyio.run(service(board).provider.discovery)
            only = msgspec.structs.replace(found, token_endpoint_auth_methods_supported=(method,))
            service(board).provider._discovery = (board.clock.now, only)
        assert entered(board, provider, "bob").headers["location"] == "/"


def test_roles_follow_the_claim(board_with: Boards, provider: RealProvider) -> None:
    """The highest that it gives, viewer without one; also when it changes later. What somebody is to a site stays."""
    board = board_with(provider.issuer, ROLE_CLAIM="groups", ROLES="staff=owner, chiefs=admin")
    for name in ("ada", "bob"):
        board.cookies.clear()
        assert entered(board, provider, name).status_code == 303
    assert names(board) == {"ada@example.com": "admin", "admin": "admin", "bob@example.com": "owner"}
    service(board).accounts = OpenIdAccounts(board.dashboard.users, "groups", {"nobody": "admin"})
    site = board.add_site().id
    anyio.run(board.dashboard.users.update, "bob@example.com", lambda user: user.with_role(site, "owner"))
    board.cookies.clear()
    entered(board, provider, "bob")
    bob = account(board, "bob@example.com")
    assert (bob.role, bob.role_at(site)) == ("viewer", "owner")
    assert noted(board)[:2] == [("bob@example.com", "Signed in"), ("bob@example.com", "Role changed")]


def test_the_last_administrator_keeps_the_role(board_with: Boards, provider: RealProvider) -> None:
    """A claim that would leave nobody is refused, in words."""
    board = board_with(provider.issuer, ROLE_CLAIM="groups", ROLES="chiefs=admin")
    entered(board, provider, "ada")
    anyio.run(board.dashboard.users.remove, "admin")
    service(board).accounts = OpenIdAccounts(board.dashboard.users, "groups", {"nobody": "admin"})
    board.cookies.clear()
    refused = entered(board, provider, "ada")
    assert refused.status_code == 401
    assert "only administrator" in refused.text
    assert names(board) == {"ada@example.com": "admin"}


@pytest.mark.parametrize(
    ("name", "says"), [("eve", "not confirmed"), ("nil", "not confirmed"), ("mia", "cannot sign in here")]
)
def test_who_may_not_is_told_why(board_with: Boards, provider: RealProvider, name: str, says: str) -> None:
    """No verified address, none at all, or one of another domain: no account and no session."""
    board = board_with(provider.issuer, EMAIL_DOMAINS="example.com, example.org")
    refused = entered(board, provider, name)
    assert refused.status_code == 401
    assert says in refused.text
    assert board.get("/").status_code == 303
    assert names(board) == {"admin": "admin"}


def test_a_refusal_at_the_provider_comes_back_in_words(board_with: Boards, provider: RealProvider) -> None:
    """What the provider wrote is not shown."""
    board = board_with(provider.issuer)
    refused = back(board, provider.sign_in(began(board), "ada", refuse=True))
    assert refused.status_code == 401
    assert "did not sign you in" in refused.text
    assert "refused</b>" not in refused.text


def test_an_account_of_the_same_name_is_not_taken_over(board_with: Boards, provider: RealProvider) -> None:
    """It is connected by somebody who is signed in to it; then either way leads there, and it keeps its role."""
    board = board_with(provider.issuer, ROLE_CLAIM="groups", ROLES="x=admin")
    board.add_site()
    board.add_user("ada@example.com", "owner", SITE)
    refused = entered(board, provider, "ada")
    assert refused.status_code == 401
    assert "exists already" in refused.text
    assert board.get("/").status_code == 303

    board.sign_in("ada@example.com")
    for site in ("cross-site", "none"):
        assert board.get("/account/openid", headers={"sec-fetch-site": site}).status_code == 403
    for referrer in ({}, {"referer": "https://evil.test/"}):
        assert board.get("/account/openid", headers=referrer).status_code == 403
    assert board.get("/account/openid", headers={"referer": f"{BASE}/account"}).status_code == 303
    board.clock.now += RECENT_SECONDS + 1
    asked = board.get("/account/openid", headers={"sec-fetch-site": "same-origin"})
    assert (asked.status_code, 'action="/account"' in asked.text) == (403, True)
    assert board.post("/account", {"act": "confirm", "confirm_password": "guessed"}).status_code == 422
    assert board.post("/account", {"act": "confirm", "confirm_password": PASSWORD}).status_code == 303
    board.clock.now = time.time()
    there = board.get("/account/openid", headers={"sec-fetch-site": "same-origin"}).headers["location"]
    connected = back(board, provider.sign_in(there, "ada"))
    assert connected.headers["location"] == "/account?done=connected"
    board.cookies.clear()
    assert entered(board, provider, "ada").headers["location"] == "/"
    assert board.get(f"/{SITE}/settings").status_code == 200
    assert account(board, "ada@example.com").role == "owner"

    assert board.post("/account", {"act": "disconnect"}).status_code == 303
    board.cookies.clear()
    assert entered(board, provider, "ada").status_code == 401
    assert [what for _, what in noted(board)][:1] == ["Single sign-on disconnected"]


def test_an_identity_is_of_one_account(board_with: Boards, provider: RealProvider) -> None:
    """Nobody connects what is another's; nor for somebody else who has signed in meanwhile."""
    board = board_with(provider.issuer)
    entered(board, provider, "ada")
    board.cookies.clear()
    board.sign_in()
    same = {"sec-fetch-site": "same-origin"}
    there = board.get("/account/openid", headers=same).headers["location"]
    refused = back(board, provider.sign_in(there, "ada"))
    assert "belongs to another account" in refused.text
    board.add_user("vera")
    there = board.get("/account/openid", headers=same).headers["location"]
    board.sign_in("vera")
    assert back(board, provider.sign_in(there, "bob")).status_code == 401
    assert account(board, "admin").openid is None
    assert account(board, "vera").openid is None


def test_an_account_of_the_provider_has_no_password(board_with: Boards, provider: RealProvider) -> None:
    """None signs in to it, none is asked for, and it cannot be disconnected."""
    board = board_with(provider.issuer)
    entered(board, provider, "ada")
    page = board.get("/account").text
    assert 'name="old"' not in page
    assert "disconnect" not in page
    assert board.post("/account", {"act": "disconnect"}).status_code == 400
    for password in ("", " ", "ada@example.com"):
        board.cookies.clear()
        assert board.sign_in("ada@example.com", password).status_code == 401


def test_an_account_of_the_provider_keeps_its_identity(board_with: Boards, provider: RealProvider) -> None:
    """Whoever finds its browser open would put their own in its place: it has no password that could be asked for."""
    board = board_with(provider.issuer)
    entered(board, provider, "ada")
    own = account(board, "ada@example.com").openid
    board.clock.now += RECENT_SECONDS + 1
    assert board.get("/account/openid", headers={"sec-fetch-site": "same-origin"}).status_code == 400
    assert account(board, "ada@example.com").openid == own


def test_a_second_factor_is_the_provider_s_business(
    clickhouse: ClickHouse, database: Client, tmp_path: Path, provider: RealProvider
) -> None:
    """Where it is required, it is of those with a password."""
    given = settings(provider.issuer) | {"TYST_REQUIRE_TWO_FACTOR": "on"}
    with opened_board(clickhouse, database, tmp_path, **given) as board:
        board.clock.now = time.time()
        entered(board, provider, "ada")
        assert board.get("/").status_code == 200
        board.cookies.clear()
        board.sign_in()
        assert board.get("/").headers["location"] == "/account/two-factor"


# What must not get in, against the real provider.


def tampered(board: Board, **parts: Any) -> None:
    """Change parts of the flow in the browser's cookie, signed as the server does."""
    serializer = service(board).flows._serializer
    known = Flow(*serializer.loads(board.cookies[COOKIE]))
    values = {name: getattr(known, name) for name in Flow.__struct_fields__} | parts
    board.cookies.set(COOKIE, str(serializer.dumps(list(values.values()))), domain="tyst.test")


def test_another_state_is_refused_before_anybody_is_asked(board_with: Boards, hostile: HostileProvider) -> None:
    """And so are no state, no cookie, a forged one, and one of ten minutes ago."""
    board = board_with(hostile.issuer)
    answer = hostile.sign_in(began(board))
    hostile.asked.clear()
    query = dict(parse_qsl(urlsplit(answer).query))
    began(board)
    for wrong in ({**query, "state": "x" * 43}, {**query, "state": ""}, {"code": "a-code"}, {**query, "state": "é"}):
        refused = back(board, f"{BASE}{CALLBACK}?{urlencode(wrong)}")
        assert refused.status_code == 401
        assert "began in another browser" in refused.text
        answer = hostile.sign_in(began(board))
    board.cookies.clear()
    assert back(board, answer).status_code == 401
    answer = hostile.sign_in(began(board))
    board.cookies.set(COOKIE, board.cookies[COOKIE][:-3] + "abc", domain="tyst.test")
    assert back(board, answer).status_code == 401
    answer = hostile.sign_in(began(board))
    board.clock.now += flows.GOOD_FOR + 1
    assert back(board, answer).status_code == 401
    assert "/token" not in hostile.asked
    assert names(board) == {"admin": "admin"}


def test_another_verifier_is_refused_by_the_provider(
    board_with: Boards, provider: RealProvider, caplog: pytest.LogCaptureFixture
) -> None:
    """A code that somebody has intercepted is worth nothing."""
    board = board_with(provider.issuer)
    answer = provider.sign_in(began(board), "ada")
    tampered(board, verifier="x" * 43)
    with caplog.at_level(logging.WARNING):
        assert back(board, answer).status_code == 401
    assert "token endpoint: answered 400 invalid_grant" in caplog.text
    assert names(board) == {"admin": "admin"}


def test_another_nonce_is_refused(board_with: Boards, provider: RealProvider, caplog: pytest.LogCaptureFixture) -> None:
    """The token is of another flow."""
    board = board_with(provider.issuer)
    answer = provider.sign_in(began(board), "ada")
    tampered(board, nonce="x" * 43)
    with caplog.at_level(logging.WARNING):
        assert back(board, answer).status_code == 401
    assert "ID token: invalid_claim (nonce)" in caplog.text


def test_an_answer_opens_once(board_with: Boards, provider: RealProvider) -> None:
    """Again, the browser has no flow; with its cookie put back, the provider refuses the code."""
    board = board_with(provider.issuer)
    answer = provider.sign_in(began(board), "ada")
    cookie = board.cookies[COOKIE]
    assert back(board, answer).status_code == 303
    board.cookies.clear()
    assert back(board, answer).status_code == 401
    board.cookies.set(COOKIE, cookie, domain="tyst.test")
    assert back(board, answer).status_code == 401
    assert board.get("/").status_code == 303


# What must not get in, from a provider that breaks the rules.


def refusal(board: Board, hostile: HostileProvider, caplog: pytest.LogCaptureFixture, peer: str = "192.0.2.1") -> str:
    """Why a sign-in is refused, by the log; nobody got in."""
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        answer = back(board, hostile.sign_in(began(board)), peer)
    assert answer.status_code == 401
    assert board.get("/").status_code == 303
    assert names(board) == {"admin": "admin"}
    (record,) = [each for each in caplog.records if each.name == "dashboard.web.openid"]
    return record.getMessage().partition(": ")[2]


def test_an_honest_one_gets_in(board_with: Boards, hostile: HostileProvider) -> None:
    """So that what follows is refused for its own reason."""
    board = board_with(hostile.issuer)
    assert back(board, hostile.sign_in(began(board))).status_code == 303
    assert names(board) == {"ada@example.com": "viewer", "admin": "admin"}
    assert "/me" not in hostile.asked


NOW = int(time.time())


WRONG_CLAIMS: list[tuple[dict[str, Any], str]] = [
    ({"nonce": "another"}, "ID token: invalid_claim (nonce)"),
    ({"nonce": None}, "ID token: missing_claim (nonce)"),
    ({"iss": "https://evil.test"}, "ID token: invalid_claim (iss)"),
    ({"iss": None}, "ID token: missing_claim (iss)"),
    ({"aud": "another"}, "ID token: invalid_claim (aud)"),
    ({"aud": ["another"]}, "ID token: invalid_claim (aud)"),
    ({"aud": [CLIENT, "another"]}, "ID token: issued to another party"),
    ({"azp": "another"}, "ID token: issued to another party"),
    ({"exp": NOW - LEEWAY - 1}, "ID token: expired_token (exp)"),
    ({"exp": None}, "ID token: missing_claim (exp)"),
    ({"exp": "never"}, "ID token: invalid_claim (exp)"),
    ({"iat": NOW + 3600}, "ID token: invalid_claim (iat)"),
    ({"iat": None}, "ID token: missing_claim (iat)"),
    ({"nbf": NOW + 3600}, "ID token: invalid_claim (nbf)"),
    ({"sub": None}, "ID token: missing_claim (sub)"),
    ({"sub": ""}, "ID token: invalid_claim (sub)"),
    ({"sub": "x" * 256}, "ID token: nonce or sub of the wrong form"),
    ({"sub": "å"}, "ID token: nonce or sub of the wrong form"),
    ({"email_verified": False}, "no verified e-mail address"),
    ({"email_verified": "false"}, "no verified e-mail address"),
    ({"email": ["ada@example.com"]}, "no verified e-mail address"),
    ({"email": "two words@example.com"}, "no account: name"),
]


def test_a_token_with_a_wrong_claim_is_refused(
    board_with: Boards, hostile: HostileProvider, caplog: pytest.LogCaptureFixture
) -> None:
    """Each on its own, and for its own reason."""
    board = board_with(hostile.issuer)
    for number, (claims, reason) in enumerate(WRONG_CLAIMS):
        hostile.claims = claims
        assert refusal(board, hostile, caplog, peer=f"192.0.2.{number}") == reason, claims


def test_a_token_of_an_earlier_sign_in_is_refused(
    board_with: Boards, hostile: HostileProvider, caplog: pytest.LogCaptureFixture
) -> None:
    """It was good once."""
    board = board_with(hostile.issuer)
    assert back(board, hostile.sign_in(began(board))).status_code == 303
    board.cookies.clear()
    anyio.run(board.dashboard.users.remove, "ada@example.com")
    (earlier,) = hostile.tokens
    hostile.signed = lambda _: earlier
    assert refusal(board, hostile, caplog) == "ID token: invalid_claim (nonce)"


def test_a_token_that_the_provider_has_not_signed_is_refused(
    board_with: Boards, hostile: HostileProvider, caplog: pytest.LogCaptureFixture
) -> None:
    """Not signed at all, by the client's secret, by the public key as if it were a secret, by a key of somebody else,
    or by an algorithm that is not of the list."""
    board = board_with(hostile.issuer)
    public = hostile.key.as_pem(private=False)
    for signed, reason in (
        (unsigned, "ID token: unsupported_algorithm"),
        (symmetric(SECRET), "ID token: unsupported_algorithm"),
        (symmetric(public.replace(b"-----", b"")), "ID token: unsupported_algorithm"),
        (other_key("one"), "ID token: bad_signature"),
        (other_key("two"), "ID token: signed by an unknown key"),
        (lambda claims: jwt.encode({"alg": "RS512", "kid": "one"}, claims, hostile.key, ["RS512"]), None),
        (lambda claims: jwt.encode({"alg": "RS256", "kid": "one"}, claims, hostile.key)[:-8] + "AAAAAAAA", None),
        (lambda _: "no token", None),
    ):
        hostile.signed = signed
        found = refusal(board, hostile, caplog)
        assert found.startswith("ID token: ")
        assert reason in (None, found)


def test_of_a_key_the_public_part_is_read(board_with: Boards, hostile: HostileProvider) -> None:
    """Primes of a private one would be looked for as long as it takes, and everybody would wait."""
    key = {**hostile.key.as_dict(private=False), "d": "Aw"}
    hostile.answers["/jwks"] = (200, json.dumps({"keys": [key]}))
    board = board_with(hostile.issuer)
    assert back(board, hostile.sign_in(began(board))).status_code == 303


def test_a_new_key_is_fetched_once_it_is_used(board_with: Boards, hostile: HostileProvider) -> None:
    """A provider that rotates its keys signs nobody out of signing in."""
    board = board_with(hostile.issuer)
    assert back(board, hostile.sign_in(began(board))).status_code == 303
    hostile.key = type(hostile.key).generate_key(2048, {"kid": "new"}, private=True)
    hostile.signed = lambda claims: jwt.encode({"alg": "RS256", "kid": "new"}, claims, hostile.key)
    board.cookies.clear()
    assert back(board, hostile.sign_in(began(board))).status_code == 303
    assert hostile.asked.count("/jwks") == 2


@pytest.mark.parametrize(
    ("userinfo", "reason"),
    [
        ({"sub": "43", "email": "ada@example.com", "email_verified": True}, "userinfo: about another subject"),
        ({"email": "ada@example.com", "email_verified": True}, "userinfo: about another subject"),
        ({"sub": "42"}, "no verified e-mail address"),
    ],
)
def test_userinfo_is_about_the_same_person(
    board_with: Boards,
    hostile: HostileProvider,
    caplog: pytest.LogCaptureFixture,
    userinfo: dict[str, Any],
    reason: str,
) -> None:
    """What it says of another, or says nothing of, is nothing."""
    hostile.claims, hostile.userinfo = {"email": None, "email_verified": None}, userinfo
    assert refusal(board_with(hostile.issuer), hostile, caplog) == reason


def test_an_address_is_verified_by_who_says_it() -> None:
    """What userinfo says of its address is not said of the token's."""
    said = {"sub": "1", "email": "mine@example.com", "email_verified": True}
    assert with_userinfo({"sub": "1", "email": "yours@example.com"}, said) == said
    assert with_userinfo({"sub": "1", "email_verified": True}, {"sub": "1", "email": "yours@example.com"}) == {
        "sub": "1", "email": "yours@example.com"
    }  # fmt: skip
    whole = {"sub": "1", "email": "yours@example.com", "email_verified": True}
    assert with_userinfo(whole, said | {"groups": ["staff"]}) == whole | {"groups": ["staff"]}


def test_an_answer_of_another_issuer_is_refused(
    board_with: Boards, hostile: HostileProvider, caplog: pytest.LogCaptureFixture
) -> None:
    """Mixed up by somebody who runs another provider (RFC 9207)."""
    hostile.discovery = {"authorization_response_iss_parameter_supported": True}
    board = board_with(hostile.issuer)
    for wrong in ({"iss": "https://evil.test"}, {}):
        query = dict(parse_qsl(urlsplit(hostile.sign_in(began(board))).query))
        del query["iss"]
        with caplog.at_level(logging.WARNING):
            assert back(board, f"{BASE}{CALLBACK}?{urlencode({**query, **wrong})}").status_code == 401
    assert caplog.text.count("the answer is another issuer's") == 2
    assert "/token" not in hostile.asked


@pytest.mark.parametrize(
    ("answers", "discovery", "reason"),
    [
        ({}, {"issuer": "https://evil.test"}, "the metadata are those of another issuer"),
        ({}, {"token_endpoint": "ftp://127.0.0.1/"}, "an address in the metadata is not https"),
        ({"/.well-known/openid-configuration": (500, "")}, {}, "discovery: answered 500"),
        ({"/.well-known/openid-configuration": (200, "<html>")}, {}, "discovery: the answer cannot be read"),
        ({"/.well-known/openid-configuration": (302, "")}, {}, "discovery: answered 302"),
        ({"/.well-known/openid-configuration": (200, "[" * 300_000)}, {}, "discovery: the answer is too long"),
    ],
)
def test_a_provider_that_cannot_be_read_is_said_to_be(
    board_with: Boards,
    hostile: HostileProvider,
    caplog: pytest.LogCaptureFixture,
    answers: dict[str, tuple[int, str]],
    discovery: dict[str, Any],
    reason: str,
) -> None:
    """On the sign-in page, where passwords go on to work; and it is asked again, but not by everybody who tries."""
    hostile.answers, hostile.discovery = answers, discovery
    board = board_with(hostile.issuer)
    with caplog.at_level(logging.WARNING):
        refused = board.get(BEGIN)
    assert refused.status_code == 401
    assert "Single sign-on failed" in refused.text
    assert reason in caplog.text
    asked = list(hostile.asked)
    assert board.get(BEGIN).status_code == 401
    assert hostile.asked == asked
    assert board.sign_in().status_code == 303
    board.clock.now += QUIET_SECONDS
    hostile.answers, hostile.discovery = {}, {}
    board.cookies.clear()
    assert back(board, hostile.sign_in(began(board))).status_code == 303


@pytest.mark.parametrize(
    ("path", "answer", "reason"),
    [
        ("/token", (200, "{}"), "token endpoint: the answer cannot be read"),
        ("/token", (200, '{"x":' + "[" * 100_000), "token endpoint: the answer cannot be read"),
        ("/token", (400, '{"error": "<script>"}'), "token endpoint: answered 400"),
        ("/token", (400, '{"x":' + "[" * 100_000), "token endpoint: answered 400"),
        ("/jwks", (200, '{"keys": []}'), "there are no keys that can be used"),
        ("/jwks", (200, '{"keys": [{"kty": "oct", "k": "AAAA", "kid": "one"}]}'), "there are no keys that can be used"),
        ("/jwks", (200, '{"keys": [{"kty": "RSA", "kid": "one"}]}'), "there are no keys that can be used"),
    ],
)
def test_endpoints_that_answer_nonsense(
    board_with: Boards,
    hostile: HostileProvider,
    caplog: pytest.LogCaptureFixture,
    path: str,
    answer: tuple[int, str],
    reason: str,
) -> None:
    """Symmetric keys are no keys."""
    hostile.answers = {path: answer}
    assert refusal(board_with(hostile.issuer), hostile, caplog) == reason


def test_refusals_are_counted(board_with: Boards, hostile: HostileProvider) -> None:
    """Twenty from one network in a quarter of an hour; passwords are not affected elsewhere."""
    board = board_with(hostile.issuer)
    answers = [board.get(f"{CALLBACK}?state=x").status_code for _ in range(12)]
    assert answers == [401] * 10 + [429] * 2
    assert board.sign_in(peer="198.51.100.1").status_code == 303


def test_without_a_provider_there_is_no_such_page(clickhouse: ClickHouse, database: Client, tmp_path: Path) -> None:
    """And no button."""
    with opened_board(clickhouse, database, tmp_path) as board:
        assert BEGIN not in board.get("/login").text
        assert [board.get(path).status_code for path in (BEGIN, CALLBACK)] == [404, 404]
        board.sign_in()
        assert board.get("/account/openid", headers={"sec-fetch-site": "same-origin"}).status_code == 404
